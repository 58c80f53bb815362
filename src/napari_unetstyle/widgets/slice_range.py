"""From which slice to which: two numbers, counted as the picture's data are.

So does napari's slider, unless the picture lies mirrored on another one, or several that differ are open.
"""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QGridLayout, QLabel, QPushButton, QSpinBox, QWidget

from napari_unetstyle.core.imaging.image import Image

Span = tuple[int, int]
_HIDDEN = "A single slice is not shown: roll the axes back, or leave 3D"
_COUNTED = "Slices of the picture itself, from 0. napari's slider may count others; the buttons take what is shown."


class SliceRange(QWidget):
    """First and last slice (or time point), both included.

    Parameters
    ----------
    shown
        Gives the slice that the viewer shows; None where it shows none.
    """

    changed = Signal()

    def __init__(self, shown: Callable[[], int | None], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shown = shown
        self._count = 0
        self.first, self.last = QSpinBox(), QSpinBox()
        self.from_here, self.to_here = QPushButton("from here"), QPushButton("to here")
        for box in (self.first, self.last):
            box.setToolTip(_COUNTED)
        rows = QGridLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.addWidget(self.first, 0, 0)
        rows.addWidget(QLabel("to"), 0, 1)
        rows.addWidget(self.last, 0, 2)
        rows.addWidget(self.from_here, 1, 0)
        rows.addWidget(self.to_here, 1, 2)
        rows.setColumnStretch(0, 1)
        rows.setColumnStretch(2, 1)
        self.first.valueChanged.connect(self._on_first)
        self.last.valueChanged.connect(self._on_last)
        self.from_here.clicked.connect(lambda: self._take(self.first))
        self.to_here.clicked.connect(lambda: self._take(self.last))

    @property
    def value(self) -> Span:
        """First slice, and the one after the last."""
        return self.first.value(), self.last.value() + 1

    def show_for(self, image: Image | None) -> None:
        """Offer the slices of a picture; a choice that it has, too, is kept."""
        count = 0 if image is None else image.size(range_axis(image))
        if count == self._count:
            return
        self._count = count
        with QSignalBlocker(self.first), QSignalBlocker(self.last):
            for box in (self.first, self.last):
                box.setRange(0, max(count - 1, 0))
            self.first.setValue(0)
            self.last.setValue(max(count - 1, 0))

    def show_whether_one_is_shown(self) -> None:
        """Offer to take the slice that is shown only where there is one."""
        is_one = self._shown() is not None
        for button in (self.from_here, self.to_here):
            button.setEnabled(is_one)
            button.setToolTip("" if is_one else _HIDDEN)

    def _take(self, box: QSpinBox) -> None:
        shown = self._shown()
        if shown is not None:
            box.setValue(shown)

    def _on_first(self, value: int) -> None:
        with QSignalBlocker(self.last):
            self.last.setValue(max(self.last.value(), value))
        self.changed.emit()

    def _on_last(self, value: int) -> None:
        with QSignalBlocker(self.first):
            self.first.setValue(min(self.first.value(), value))
        self.changed.emit()


def range_axis(image: Image) -> str:
    """The axis whose slices a person chooses from: Z where there is one, else T."""
    return "Z" if image.size("Z") > 1 else "T"
