"""Stating a picture's axes and pixel size."""

from __future__ import annotations

import math

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLineEdit, QPushButton, QWidget

from napari_unetstyle.core.errors import ImageError
from napari_unetstyle.core.imaging.geometry import unknown
from napari_unetstyle.widgets.layers import Statement
from napari_unetstyle.widgets.parts import NumberBox, Words, combo, form, name

_UNITS = (("unknown", "px"), ("µm", "um"), ("mm", "mm"))


class AxesEditor(QWidget):
    """A form for a :class:`Statement`; shown under the picture while it is edited."""

    accepted = Signal(object)  # Statement

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.axes = QLineEdit()
        self.axes.setToolTip("One letter per axis: T time, C channel or color, Z depth, Y rows, X columns")
        self.pixel_size = self._size_box()
        self.row_step, self.slice_step = self._size_box(), self._size_box()
        self.unit = combo()
        self.unit.setMinimumContentsLength(2)
        for words, unit in _UNITS:
            self.unit.addItem(words, unit)
        self.use = QPushButton("use")
        self._shown = unknown(2)
        self._filled: dict[NumberBox, tuple[float, float]] = {}  # what each shows at first, and in full
        self.problem = Words()
        self.problem.hide()
        self._lay_out()
        self.axes.textChanged.connect(self._show_rows)
        self.unit.currentIndexChanged.connect(self._show_rows)
        self.use.clicked.connect(self._on_use)
        self.axes.returnPressed.connect(self._on_use)

    @staticmethod
    def _size_box() -> NumberBox:
        box = NumberBox()
        box.setDecimals(4)
        box.setRange(1e-4, 1e5)
        box.setMinimumWidth(78)
        box.setStepType(NumberBox.StepType.AdaptiveDecimalStepType)
        return box

    def _lay_out(self) -> None:
        size = QHBoxLayout()
        size.addWidget(self.pixel_size, 3)
        size.addWidget(self.unit, 2)
        rows = self._rows = form(self)
        rows.addRow(name("Axes"), self.axes)
        rows.addRow(name("Pixel size"), size)
        rows.addRow(name("Row step"), self.row_step)
        rows.addRow(name("Slice step"), self.slice_step)
        rows.addRow(self.problem)
        rows.addRow(self.use)

    def set_value(self, statement: Statement) -> None:
        """Show what is stated now."""
        self.problem.hide()
        self._shown = statement.geometry
        self.axes.setText(statement.axes)
        self.unit.setCurrentIndex(self.unit.findData(statement.geometry.unit))
        spacing = statement.geometry.spacing
        for box, size in ((self.pixel_size, spacing[-1]), (self.row_step, spacing[-2]), (self.slice_step, spacing[0])):
            box.setValue(size)
            self._filled[box] = box.value(), size
        self._show_rows()

    def value(self) -> Statement:
        """What the fields say; a volume stays where it lies in the patient.

        Raises
        ------
        ImageError
            If a number is not allowed.
        """
        axes = self.axes.text().strip().upper()
        dims = max(sum(letter in "ZYX" for letter in axes), 1)
        unit = self.unit.currentData()
        if unit == "px":
            return Statement(axes=axes, geometry=unknown(dims))
        depth = [self._size(self.slice_step)] if "Z" in axes else []
        across = self._size(self.pixel_size)
        down = self._size(self.row_step) if self._is_oblong or across == self._shown.spacing[-1] else across
        flat = dims - len(depth)
        spacing = (*depth, *(*[down] * (flat - 1), across)[:flat])
        place = self._shown if len(self._shown.spacing) == dims else unknown(dims)
        return Statement(axes=axes, geometry=place.with_spacing(spacing, unit))

    @property
    def _is_oblong(self) -> bool:
        """Whether pixels that are longer along one axis are shown."""
        *_, y, x = self._shown.spacing
        return not math.isclose(x, y, rel_tol=1e-3)

    def _size(self, box: NumberBox) -> float:
        """The number in a box; where nobody changed it, with the digits that the box does not show."""
        filled, size = self._filled.get(box, (None, 0.0))
        return size if box.value() == filled else float(box.value())

    def refuse(self, sentence: str) -> None:
        """Say why the fields cannot be used."""
        self.problem.setText(sentence)
        self.problem.show()

    def _show_rows(self) -> None:
        is_known = self.unit.currentData() != "px"
        self.pixel_size.setVisible(is_known)  # else the unit has its room
        self._rows.setRowVisible(self.row_step, is_known and self._is_oblong)
        self._rows.setRowVisible(self.slice_step, is_known and "Z" in self.axes.text().upper())

    def _on_use(self) -> None:
        try:
            statement = self.value()
        except ImageError as error:
            self.refuse(str(error))
            return
        self.accepted.emit(statement)
