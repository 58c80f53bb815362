"""The table of measurements: a row and an object select each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QAbstractTableModel, QItemSelectionModel, QModelIndex, Qt
from qtpy.QtWidgets import QAbstractItemView, QApplication, QHBoxLayout, QPushButton, QTableView, QVBoxLayout

from napari_unetstyle.core.segmentation import planes
from napari_unetstyle.widgets.dockable import Dockable
from napari_unetstyle.widgets.level_grid import seen
from napari_unetstyle.widgets.measurements import is_too_large
from napari_unetstyle.widgets.outputs import restyled_note
from napari_unetstyle.widgets.overlay import Drawing, Outlines, outline_mask
from napari_unetstyle.widgets.parts import Words, follow
from napari_unetstyle.widgets.scope import canvas_map, plane_in_sight

if TYPE_CHECKING:
    import napari.viewer
    import pandas as pd

    from napari_unetstyle.widgets.outputs import Output

KEY = "selected object"
COLOR = "#ffffff"
MARGIN = 2  # pixels around an object that its outline is sought in
ROW, LEAST_ROWS = 22, 3  # pixels; more would push the window past a screen of 720
NO_INDEX = QModelIndex()


class FeaturesModel(QAbstractTableModel):
    """A data frame as Qt sees it; sorts by value, shows numbers short."""

    def __init__(self) -> None:
        super().__init__()
        self._names: list[str] = []
        self._columns: list[Any] = []
        self._sorting = (0, Qt.SortOrder.AscendingOrder)
        self._order = np.zeros(0, np.int64)

    def set_frame(self, frame: pd.DataFrame | None) -> bool:
        """Show another table, or none; whether it has other columns."""
        before = self._names
        self.beginResetModel()
        columns = [] if frame is None else list(frame.items())
        self._names = [str(name) for name, _ in columns]
        self._columns = [column.to_numpy() for _, column in columns]
        self._put_in_order()
        self.endResetModel()
        return self._names != before

    def rowCount(self, parent: QModelIndex = NO_INDEX) -> int:
        """Number of objects."""
        return 0 if parent.isValid() else len(self._order)

    def columnCount(self, parent: QModelIndex = NO_INDEX) -> int:
        """Number of measurements."""
        return 0 if parent.isValid() else len(self._columns)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """One measurement."""
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        value = self._columns[index.column()][self._order[index.row()]]
        return f"{value:.5g}" if isinstance(value, (float, np.floating)) else str(value)

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; numpy is quicker than Qt's own sorting by a factor of a hundred."""
        self.layoutAboutToBeChanged.emit()
        held, before = self.persistentIndexList(), self._order
        self._sorting = (column, order)
        self._put_in_order()
        rows = np.argsort(self._order)  # of each object
        for index in held:
            self.changePersistentIndex(index, self.index(int(rows[before[index.row()]]), index.column()))
        self.layoutChanged.emit()

    def _put_in_order(self) -> None:
        column, order = self._sorting
        if not 0 <= column < len(self._columns):
            self._order = np.arange(len(self._columns[0]) if self._columns else 0)
            return
        rising = np.argsort(self._columns[column], kind="stable")
        self._order = rising if order == Qt.SortOrder.AscendingOrder else rising[::-1]

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Names of the columns."""
        if role != Qt.ItemDataRole.DisplayRole or orientation != Qt.Orientation.Horizontal:
            return None
        return self._heading(self._names[section])

    def _heading(self, name: str) -> str:
        is_volume = any(other.startswith("surface") for other in self._names)
        return "voxels" if name == "area" and is_volume else heading(name)

    def text(self) -> str:
        """All of the table as lines of tab-separated values, numbers in full, in the order that is shown."""
        rows = zip(*(np.asarray(column)[self._order].tolist() for column in self._columns), strict=True)
        lines = [[self._heading(name) for name in self._names], *([str(value) for value in row] for row in rows)]
        return "\n".join("\t".join(line) for line in lines) + "\n"

    def labels(self) -> np.ndarray[Any, Any]:
        """The object of each row."""
        return self._columns[self._names.index("index")][self._order] if "index" in self._names else np.zeros(0, int)


def heading(column: str) -> str:
    """A column's name as people write it: ``area µm²`` for ``area_um2``."""
    special = {"index": "label", "class": "class number", "class_name": "class"}
    words = special.get(column, column).split("_")
    signs = {"um": "µm", "um2": "µm²", "um3": "µm³", "mm2": "mm²", "mm3": "mm³"}
    return " ".join(signs.get(word, word) for word in words)


class MeasurementTable(Dockable):
    """Shows the features of one output's layer."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._output: Output | None = None
        self._is_selecting = False
        self.drawing = Drawing(self, viewer, KEY)
        self.model = FeaturesModel()
        self.view = QTableView()
        self.view.setModel(self.model)
        self.view.setSortingEnabled(True)
        self.view.sortByColumn(0, Qt.SortOrder.AscendingOrder)
        self.view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.view.verticalHeader().hide()
        self.view.horizontalHeader().setResizeContentsPrecision(20)  # rows
        self.view.verticalHeader().setDefaultSectionSize(ROW)
        bars = self.view.horizontalHeader().sizeHint().height() + self.view.horizontalScrollBar().sizeHint().height()
        self.view.setMinimumHeight(LEAST_ROWS * ROW + bars)
        self.title = Words()
        self.copy = QPushButton("Copy")
        self.copy.setToolTip("The whole table, to paste into a spreadsheet")
        self.copy.clicked.connect(lambda: QApplication.clipboard().setText(self.model.text()))
        top = QHBoxLayout()
        top.addWidget(self.title, 1)
        top.addWidget(self.copy)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 0, 6, 6)
        layout.addLayout(top)
        layout.addWidget(self.view)
        self.view.selectionModel().selectionChanged.connect(self._on_row)
        for event in (viewer.dims.events.current_step, viewer.dims.events.order, viewer.dims.events.ndisplay):
            follow(self, event, self.hide_object)
        follow(self, viewer.layers.events.removed, self.hide_object)
        self.undocked.connect(lambda: self.show_output(None))

    def show_output(self, output: Output | None) -> None:
        """Show the table of an output; the selected object stays selected."""
        selected = self.selected_label
        if output is not self._output:
            self._forget()
            self._output, selected = output, None
            if output is not None:
                output.layer.events.selected_label.connect(self._on_object)
                output.layer.mouse_drag_callbacks.append(self._on_click)
        self.title.setText("" if output is None else f"{output.layer.name}: {_hint(output)}")
        if self.model.set_frame(None if output is None else output.layer.features):
            self.view.resizeColumnsToContents()
        self.hide_object()
        if selected is not None:
            self._select_row(selected)
            self._show_object(selected, may_move=False)

    def _forget(self) -> None:
        """Hear nothing more from the layer."""
        if self._output is not None:
            self._output.layer.events.selected_label.disconnect(self._on_object)
            self._output.layer.mouse_drag_callbacks.remove(self._on_click)

    @property
    def selected_label(self) -> int | None:
        """The object of the selected row."""
        rows = self.view.selectionModel().selectedRows()
        return int(self.model.labels()[rows[0].row()]) if rows else None

    def _on_row(self) -> None:
        chosen, output = self.selected_label, self._output
        if chosen is None or output is None or self._is_selecting or not output.is_open:
            return
        self._is_selecting = True
        output.layer.selected_label = chosen
        self._is_selecting = False
        self._show_object(chosen)

    def _on_object(self) -> None:
        if self._output is not None and not self._is_selecting:
            self._select_row(int(self._output.layer.selected_label))

    def _on_click(self, layer: Any, event: Any) -> Any:
        """A click that is no drag selects the object under it."""
        yield
        if event.type != "mouse_release" or layer.mode != "pan_zoom":
            return
        ray = {"view_direction": event.view_direction, "dims_displayed": list(event.dims_displayed)}  # in 3D
        value = layer.get_value(event.position, world=True, **ray)
        if value:
            self._select_row(int(value))
            layer.selected_label = int(value)
            self._show_object(int(value), may_move=False)

    def _select_row(self, chosen: int) -> None:
        (rows,) = np.nonzero(self.model.labels() == chosen)
        if not len(rows):
            return
        index = self.model.index(int(rows[0]), 0)
        flags = QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows
        self._is_selecting = True
        self.view.selectionModel().select(index, flags)
        self.view.scrollTo(index)
        self._is_selecting = False

    def hide_object(self) -> None:
        """Outline no object."""
        self.drawing.show(None)

    def _show_object(self, chosen: int, *, may_move: bool = True) -> None:
        """Outline an object on the canvas, moving there if it is out of sight."""
        output = self._output
        if output is None or not output.is_open or output.is_reshaped:
            return
        layer, image = seen(output.placement), output.image
        plane = plane_in_sight(layer, image, self._viewer)
        found = None if plane is None else find_object(planes.seen(output.labels, plane), chosen)
        if plane is None or found is None:
            self.hide_object()
            return
        frame, origin, mask = found
        if may_move:
            self._go_to(plane, frame, np.array(origin) + np.array(mask.shape) / 2)
        self.drawing.show(
            Outlines(
                mask=outline_mask(mask.astype(np.uint8)),
                origin=origin,
                color=COLOR,
                canvas_map=lambda: canvas_map(layer, image, self._viewer, plane),
            )
        )

    def _go_to(self, plane: str, frame: tuple[int, ...], center: Any) -> None:
        """Show a slice in a plane of the volume, and in it what lies around a place if that is out of sight."""
        assert self._output is not None
        layer, image = seen(self._output.placement), self._output.image
        leading = [image.axes.index(axis) for axis in image.label_axes if axis not in plane]
        point = np.array(layer.world_to_data(self._viewer.dims.point), dtype=float)
        point[leading] = frame
        point[[image.axes.index(axis) for axis in plane]] = center
        world = np.asarray(layer.data_to_world(point))
        if leading:
            axes = [self._viewer.dims.ndim - layer.ndim + axis for axis in leading]
            self._viewer.dims.set_point(axes, [float(world[axis]) for axis in leading])
        matrix, offset = canvas_map(layer, image, self._viewer, plane)
        place = matrix @ center + offset
        if (place < 0).any() or (place > np.array(self._viewer.canvas.size)).any():
            shown = list(self._viewer.dims.displayed)[-2:]
            ahead = self._viewer.dims.ndim - layer.ndim
            self._viewer.scene.camera.center = (0, *(float(world[axis - ahead]) for axis in shown))


def _hint(output: Output) -> str:
    note = restyled_note(output.result)
    return " ".join(filter(None, (f"{_use(output)}.", note))) if note else _use(output)


def _use(output: Output) -> str:
    if is_too_large(output):
        return "as the run has measured it; the picture is too large to follow what you paint"
    return "click a row or an object"


def find_object(labels: np.ndarray[Any, Any], chosen: int) -> tuple[tuple[int, ...], tuple[int, int], Any] | None:
    """Frame, origin and mask (with a margin) of an object in labels ``(..., Y, X)``; None if it is not there.

    Of an object in several slices, the one with most of it.
    """
    frame = max(np.ndindex(labels.shape[:-2]), key=lambda index: np.count_nonzero(labels[index] == chosen))
    plane = labels[frame] == chosen
    rows, columns = np.flatnonzero(plane.any(axis=1)), np.flatnonzero(plane.any(axis=0))
    if not len(rows):
        return None
    y, x = max(rows[0] - MARGIN, 0), max(columns[0] - MARGIN, 0)
    return frame, (int(y), int(x)), plane[y : rows[-1] + 1 + MARGIN, x : columns[-1] + 1 + MARGIN]
