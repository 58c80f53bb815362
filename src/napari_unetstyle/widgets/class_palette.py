"""A button for each class of areas: whoever presses it paints that class."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QGridLayout, QPushButton, QSizePolicy, QWidget

if TYPE_CHECKING:
    from napari_unetstyle.core.models.spec import ClassSpec
    from napari_unetstyle.widgets.corrected_layer import CorrectedLayer

_COLUMNS, _SWATCH = 3, 12  # buttons in a row, pixels


class ClassPalette(QWidget):
    """Name and color of each class of the labels that are corrected; hidden for objects."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.buttons: dict[str, QPushButton] = {}
        self._shown: tuple[ClassSpec, ...] = ()
        self._target: CorrectedLayer | None = None
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self.hide()

    def refresh(self, target: CorrectedLayer | None) -> None:
        """Show the classes of these labels."""
        self._target = target
        classes = target.classes if target is not None and target.header.output == "areas" else ()
        if classes == self._shown:
            return
        self._shown = classes
        for button in self.buttons.values():
            self._grid.removeWidget(button)
            button.hide()
            button.deleteLater()
        self.buttons = {one.name: self._button(one) for one in classes}
        for i, button in enumerate(self.buttons.values()):
            self._grid.addWidget(button, *divmod(i, _COLUMNS))
        self.setVisible(bool(classes))

    def _button(self, one: ClassSpec) -> QPushButton:
        swatch = QPixmap(_SWATCH, _SWATCH)
        swatch.fill(QColor(one.color))
        button = QPushButton(QIcon(swatch), one.name)
        button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        button.setToolTip(f"Paint {one.name} (label {one.value}); label 0 is the background")
        button.clicked.connect(partial(self._take_brush, one.value))
        return button

    def _take_brush(self, value: int) -> None:
        if self._target is not None:
            self._target.take_brush(value)
