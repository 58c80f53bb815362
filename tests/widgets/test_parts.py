from __future__ import annotations

import pytest
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_unetstyle.widgets.message_row import MessageRow
from napari_unetstyle.widgets.parts import Words

LONG = "This picture has no file. Keep a copy (1 MB) of it, to open it with its fixes another day, or leave it?"


@pytest.fixture
def panel(qtbot):
    made = QWidget()
    QVBoxLayout(made)
    qtbot.addWidget(made)
    made.resize(300, 100)
    made.show()
    return made


@pytest.mark.parametrize("width", [300, 240, 420])
def test_words_are_never_cut_in_a_panel_as_low_as_it_says_it_may_be(panel, qtbot, width):
    words = Words(LONG)
    panel.layout().addWidget(words)

    def is_whole():
        panel.resize(width, panel.minimumSizeHint().height())
        return words.height() >= words.heightForWidth(words.width()) > 20

    qtbot.waitUntil(is_whole)
    words.setText("Short.")
    qtbot.waitUntil(lambda: panel.minimumSizeHint().height() < 60)


def test_a_question_is_whole_and_takes_no_room_once_it_is_answered(panel, qtbot):
    row = MessageRow()
    panel.layout().addWidget(row)
    row.ask(LONG, ("Keep a copy", lambda: None))
    (words,) = row.findChildren(QLabel)
    qtbot.waitUntil(lambda: words.minimumHeight() >= words.heightForWidth(words.width()) > 20)
    row.buttons()["Not now"].click()
    assert row.isHidden()
