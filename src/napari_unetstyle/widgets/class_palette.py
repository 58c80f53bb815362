"""A button for each class of areas, or of objects where there are several: whoever presses it paints that class."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QGridLayout, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_unetstyle.widgets.class_looks import ClassLookRow

if TYPE_CHECKING:
    from napari_unetstyle.core.models.spec import ClassSpec
    from napari_unetstyle.widgets.corrected_layer import CorrectedLayer

_COLUMNS, _SWATCH = 3, 12  # buttons in a row, pixels


class ClassPalette(QWidget):
    """Name and color of each class of the labels that are corrected; hidden for objects of one class.

    Parameters
    ----------
    is_clicking
        Whether a click in the picture means something else than painting at the moment; then a class is only chosen.
    """

    def __init__(self, is_clicking: Callable[[], bool], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._is_clicking = is_clicking
        self.buttons: dict[str, QPushButton] = {}
        self._shown: tuple[ClassSpec, ...] = ()
        self._target: CorrectedLayer | None = None
        rows = QVBoxLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        self._grid = QGridLayout()
        self._grid.setContentsMargins(0, 0, 0, 0)
        self.look = ClassLookRow()
        self.look.legend.hide()  # the buttons are one
        rows.addLayout(self._grid)
        rows.addWidget(self.look)
        self.hide()

    def refresh(self, target: CorrectedLayer | None) -> None:
        """Show the classes of these labels."""
        self._target = target
        is_shown = target is not None and (target.header.output == "areas" or target.object_classes.are_several)
        classes = target.classes if target is not None and is_shown else ()
        if classes != self._shown:
            self._show(classes)
        is_objects = target is not None and target.object_classes.are_several
        self.look.show_classes(classes if is_objects else ())
        self._check()

    def _show(self, classes: tuple[ClassSpec, ...]) -> None:
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
        button.clicked.connect(partial(self._choose, one.value))
        return button

    def _choose(self, value: int) -> None:
        target = self._target
        if target is None:
            return
        if not self._is_clicking():
            target.take_class(value)
        elif target.object_classes.are_several:
            target.object_classes.hand = value
        else:
            target.layer.selected_label = value
        self._check()

    def _check(self) -> None:
        """Of objects, which have colors of their own, show the class in hand."""
        target = self._target
        hand = target.object_classes.hand if target is not None and target.object_classes.are_several else None
        for one, button in zip(self._shown, self.buttons.values(), strict=True):
            button.setCheckable(hand is not None)
            button.setChecked(one.value == hand)
            painted = f"objects of class {one.name}" if hand is not None else f"{one.name} (label {one.value})"
            button.setToolTip(f"Paint {painted}; label 0 is the background")
