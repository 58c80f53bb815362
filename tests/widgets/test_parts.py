from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qtpy.QtCore import QLocale
from qtpy.QtGui import QValidator
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_unetstyle.widgets.message_row import MessageRow
from napari_unetstyle.widgets.parts import NamedBox, NumberBox, Words, combo

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


@pytest.mark.parametrize("name", ["a short one", "TCGA-A1-A0SB-01Z-00-DX1.B34C267B-CAAA-4AB6-AD5C-276C26F997A1 & co"])
def test_a_long_name_does_not_widen_the_dock(panel, qtbot, name):
    box = NamedBox()
    inside = QVBoxLayout(box)
    inside.addWidget(QLabel("inside"))
    panel.layout().addWidget(box)
    box.setTitle(name)
    qtbot.waitUntil(lambda: 200 < box.width() < 320)
    assert panel.minimumSizeHint().width() < 200
    shown = box.title().replace("&&", "&")
    assert box.fontMetrics().horizontalAdvance(shown) < box.width()
    if name == "a short one":
        assert (shown, box.toolTip()) == (name, "")
    else:
        assert "…" in shown
        assert box.toolTip() == name
        panel.resize(900, 100)
        qtbot.waitUntil(lambda: box.title().replace("&&", "&") == name)


@given(
    number=st.floats(0, 1e9),
    decimals=st.integers(0, 6),
    language=st.sampled_from(["en_US", "de_DE", "tr_TR", "ar_EG", "fa_IR", "fr_CH"]),
)
def test_a_number_is_read_back_as_it_is_written(qapp, number, decimals, language):
    box = NumberBox()
    box.setLocale(QLocale(language))
    box.setDecimals(decimals)
    box.setRange(0, 1e9)
    box.setValue(number)
    kept = box.value()
    text = box.cleanText()
    assert box.validate(text, len(text))[0] == QValidator.State.Acceptable
    assert box.valueFromText(text) == kept
    assert not text.endswith(box.locale().decimalPoint())


def test_long_names_that_differ_at_their_end_can_be_told_apart(qtbot):
    box = combo()
    qtbot.addWidget(box)
    box.resize(120, 24)
    seen = []
    for name in ("a rather long name of slide 7", "a rather long name of slide 8"):
        box.addItem(name)
        box.setCurrentText(name)
        seen.append(box.grab().toImage())
    assert seen[0] != seen[1]
