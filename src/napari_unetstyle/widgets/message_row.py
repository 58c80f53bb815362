"""A row of words with what to do about them: errors and questions, never a dialog."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QApplication, QFrame, QGridLayout, QPushButton, QVBoxLayout, QWidget

from napari_unetstyle.widgets.jobs import Failed
from napari_unetstyle.widgets.parts import Words

_IN_A_ROW = 3  # buttons; of more, two, as the dock is narrow
_PLAIN, _ERROR = "#7a8fd4", "#d9534f"  # seen on both of napari's themes
Action = tuple[str, Callable[[], Any]]


class MessageRow(QFrame):
    """Hidden until it has something to say; every answer closes it."""

    answered = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._text = Words()
        self._buttons = QGridLayout()
        self._buttons.setColumnStretch(_IN_A_ROW, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 2, 0, 2)
        layout.addWidget(self._text)
        layout.addLayout(self._buttons)
        self.setObjectName("message")
        self.hide()

    @property
    def text(self) -> str:
        """What is said."""
        return self._text.text()

    def say(self, text: str, *actions: Action, dismiss: str = "OK") -> None:
        """Show a sentence with buttons; the last one only closes the row."""
        buttons = [self._button(label, action) for label, action in (*actions, (dismiss, None))]
        self._show(text, buttons, _PLAIN)

    def ask(self, text: str, *actions: Action) -> None:
        """Show a question; *Not now* changes nothing."""
        self.say(text, *actions, dismiss="Not now")

    def fail(self, failed: Failed) -> None:
        """Show an error in words; its traceback can be copied for a report."""
        copy = QPushButton("Copy details")
        copy.clicked.connect(lambda: QApplication.clipboard().setText(failed.details))
        self._show(failed.sentence, [copy, self._button("OK", None)], _ERROR)

    def _show(self, text: str, buttons: list[QPushButton], color: str) -> None:
        """A bar of a color at the left tells the row from what stands around it."""
        self.clear()
        self.setStyleSheet(f"#message {{ border: none; border-left: 3px solid {color}; }}")
        self._text.setText(text)
        columns = _IN_A_ROW if len(buttons) <= _IN_A_ROW else 2
        for number, button in enumerate(buttons):
            self._buttons.addWidget(button, *divmod(number, columns))
        self.show()

    def clear(self) -> None:
        """Say nothing."""
        while (item := self._buttons.takeAt(0)) is not None:
            if (button := item.widget()) is not None:
                button.hide()
                button.deleteLater()
        self._text.clear()
        self.hide()

    def buttons(self) -> dict[str, QPushButton]:
        """The buttons that are shown, by their words."""
        found = (self._buttons.itemAt(i).widget() for i in range(self._buttons.count()))
        return {button.text(): button for button in found if isinstance(button, QPushButton)}

    def _button(self, label: str, action: Callable[[], Any] | None) -> QPushButton:
        button = QPushButton(label)
        button.clicked.connect(lambda: self._answer(action))
        return button

    def _answer(self, action: Callable[[], Any] | None) -> None:
        self.clear()
        if action is not None:
            action()
        self.answered.emit()
