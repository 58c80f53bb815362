from __future__ import annotations

from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from napari_unetstyle.widgets.message_row import MessageRow
from napari_unetstyle.widgets.parts import scrolling

LONG = "This picture has no file. Keep a copy (1 MB) of it, to open it with its fixes another day, or leave it?"


def test_words_are_never_cut_however_low_the_window_is(qtbot):
    panel = QWidget()
    layout = QVBoxLayout(panel)
    row = MessageRow()
    layout.addWidget(row)
    for i in range(12):
        layout.addWidget(QPushButton(str(i)))
    area = scrolling(panel)
    qtbot.addWidget(area)
    area.resize(340, 200)
    area.show()
    row.ask(LONG, ("Keep a copy", lambda: None))
    for width in (340, 260, 400):
        area.resize(width, 200)
        qtbot.waitUntil(lambda: row._text.height() >= row._text.heightForWidth(row._text.width()) > 20)
    row.say("Short.")
    qtbot.waitUntil(lambda: row._text.height() < 30)
