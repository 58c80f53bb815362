"""Buttons for what a brush cannot do: whole objects, areas that are right, slices in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import QGridLayout, QGroupBox, QHBoxLayout, QPushButton, QSizePolicy, QVBoxLayout

from napari_unetstyle.core.annotation import edits
from napari_unetstyle.core.annotation.edits import Edit, Point
from napari_unetstyle.core.errors import OptionError, UnetstyleError
from napari_unetstyle.widgets.class_palette import ClassPalette
from napari_unetstyle.widgets.message_row import MessageRow
from napari_unetstyle.widgets.next_place import NextPlace
from napari_unetstyle.widgets.parts import label

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

    from napari_unetstyle.core.annotation.corrections import Mask
    from napari_unetstyle.widgets.corrected_layer import CorrectedLayer
    from napari_unetstyle.widgets.corrections import Corrections

CLICKED = 3  # pixels of the picture that the mouse may move in a click


@dataclass(frozen=True)
class Tool:
    """What a button does.

    Attributes
    ----------
    words, hint
        On the button, and beside it while it is in use.
    points
        Clicks that it takes; 0 for a box.
    do
        Called with them.
    for_objects
        Whether it means nothing for areas.
    """

    words: str
    hint: str
    points: int
    do: Callable[[CorrectedLayer, list[Point]], None]
    for_objects: bool = False


class FixTools(QGroupBox):
    """The row *Fix* of the tab *Teach*; works on the active result.

    Parameters
    ----------
    viewer
        The napari viewer.
    corrections
        What can be corrected.
    """

    def __init__(self, viewer: napari.viewer.ViewerModel, corrections: Corrections) -> None:
        super().__init__("Fix: just paint, or")
        self._viewer, self._corrections = viewer, corrections
        self._target: CorrectedLayer | None = None
        self._points: list[Point] = []
        self._before: tuple[str, bool] = ("pan_zoom", True)
        self.tools = {
            "add": Tool("Add", "Click a missed object.", 1, _add, for_objects=True),
            "delete": Tool("Delete", "Click what is wrong.", 1, _delete),
            "merge": Tool("Merge", "Click one object, then another part of it.", 2, _merge, for_objects=True),
            "split": Tool("Split", "Click two places in one object.", 2, _split, for_objects=True),
            "right": Tool("✓ This area is right", "Drag a box; a click takes the whole slice.", 0, _accept),
            "nothing": Tool("Nothing here", "Drag a box around what is empty.", 0, _empty),
        }
        self.buttons = {key: QPushButton(tool.words) for key, tool in self.tools.items()}
        self.between = QPushButton("Between")
        self.between.setToolTip("Fill the slices between two that have the selected label")
        self.original = QPushButton("Show original")
        self.original.setCheckable(True)
        undo, redo = (QKeySequence(key).toString(QKeySequence.SequenceFormat.NativeText) for key in _KEYS)
        self.undo, self.redo = QPushButton(f"Undo {undo}"), QPushButton(f"Redo {redo}")
        self.escape = QShortcut(QKeySequence(Qt.Key.Key_Escape), self)  # napari's own while no tool is in use
        self.escape.setContext(Qt.ShortcutContext.WindowShortcut)
        self.escape.setEnabled(False)
        self.classes = ClassPalette()
        self.hint = label()
        self.message = MessageRow()
        self._lay_out()
        self._connect()
        self.refresh()

    def _lay_out(self) -> None:
        rows = QVBoxLayout(self)
        rows.addWidget(self.classes)
        grid = QGridLayout()
        places = ("add", "delete", "merge", "split")
        whole = QHBoxLayout()  # of these areas have only one
        for key in places:
            whole.addWidget(self.buttons[key])
        grid.addLayout(whole, 0, 0, 1, 4)
        grid.addWidget(self.buttons["right"], 1, 0, 1, 2)
        grid.addWidget(self.buttons["nothing"], 1, 2, 1, 2)
        views = QHBoxLayout()  # where one of them is hidden, the other takes its room
        views.addWidget(self.between)
        views.addWidget(self.original)
        self.next_place = NextPlace(self._viewer, self._corrections)
        views.addWidget(self.next_place)
        grid.addLayout(views, 2, 0, 1, 4)
        grid.addWidget(self.undo, 3, 0, 1, 2)
        grid.addWidget(self.redo, 3, 2, 1, 2)
        for button in self.findChildren(QPushButton):
            button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        for key, button in self.buttons.items():
            button.setCheckable(True)
            button.setToolTip(f"{self.tools[key].hint} Escape puts the tool down.")
        self.original.setToolTip("The result as it was before you painted on it; your fixes are kept")
        self.undo.setToolTip("Take back the last stroke, click or area")
        self.redo.setToolTip("Do again what was taken back")
        rows.addLayout(grid)
        rows.addWidget(self.hint)
        rows.addWidget(self.message)
        self.hint.hide()

    def _connect(self) -> None:
        for key, button in self.buttons.items():
            button.toggled.connect(lambda is_on, key=key: self._on_toggled(key, is_on))
        self.between.clicked.connect(self._on_between)
        self.original.toggled.connect(self._on_original)
        self.undo.clicked.connect(lambda: self._with_active(lambda active: active.undo()))
        self.redo.clicked.connect(lambda: self._with_active(lambda active: active.redo()))
        self.escape.activated.connect(self.stop)
        self._corrections.changed.connect(self.refresh)

    def refresh(self) -> None:
        """Show what means something for the active result."""
        active = self._corrections.active
        if active is not self._target and self._target is not None:
            self.stop()
        self.setVisible(active is not None)
        self.classes.refresh(active)
        if active is None:
            return
        is_objects = active.header.output == "objects"
        for key, tool in self.tools.items():
            self.buttons[key].setVisible(is_objects or not tool.for_objects)
        self.between.setVisible(len(active.header.shape) > 2)
        self.original.setEnabled(active.is_corrected)
        with QSignalBlocker(self.original):
            self.original.setChecked(active.is_original_shown)

    # Clicks in the picture -------------------------------------------------------------------------------------------

    def _on_toggled(self, key: str, is_on: bool) -> None:
        if not is_on:
            self._release()
            return
        for other, button in self.buttons.items():
            if other != key:
                button.setChecked(False)
        active = self._corrections.active
        if active is None:
            return
        self.message.clear()
        layer = active.layer
        self._viewer.layers.selection.active = layer
        self._target, self._points = active, []
        self._before = (str(layer.mode), layer.mouse_pan)
        layer.mode = "pan_zoom"
        layer.mouse_pan = self.tools[key].points > 0  # a box is dragged
        layer.mouse_drag_callbacks.append(self._on_mouse)
        self.hint.setText(self.tools[key].hint)
        self.hint.show()
        self.escape.setEnabled(True)

    def stop(self) -> None:
        """Put the tool down."""
        for button in self.buttons.values():
            button.setChecked(False)

    def _release(self) -> None:
        target, self._target = self._target, None
        self.hint.hide()
        self.escape.setEnabled(False)
        if target is None:
            return
        layer = target.layer
        if self._on_mouse in layer.mouse_drag_callbacks:
            layer.mouse_drag_callbacks.remove(self._on_mouse)
        layer.mode, layer.mouse_pan = self._before

    def _on_mouse(self, layer: napari.layers.Labels, event: Any) -> Iterator[None]:
        """Napari's callback for a press, the moves and the release."""
        target = self._target
        key = next((key for key, button in self.buttons.items() if button.isChecked()), None)
        if target is None or key is None or event.button != 1:
            return
        start = self._place(target, layer, event)
        yield
        while event.type == "mouse_move":
            yield
        end = self._place(target, layer, event)
        moved = max(abs(a - b) for a, b in zip(start, end, strict=True))
        tool = self.tools[key]
        if tool.points and moved > CLICKED * max(1.0, 1 / self._viewer.scene.camera.zoom):
            return  # the view was moved
        self._points += [start] if tool.points else [start, end]
        if len(self._points) >= (tool.points or 2):
            points, self._points = self._points, []
            self._run(lambda: tool.do(target, points))

    @staticmethod
    def _place(target: CorrectedLayer, layer: napari.layers.Labels, event: Any) -> Point:
        """The pixel under the mouse, in the order T Z Y X."""
        at = np.rint(np.asarray(layer.world_to_data(event.position))).astype(int)
        axes = target.placement.axes
        kept = axes[1:] if axes.startswith("C") else axes
        return tuple(int(at[kept.index(a)]) for a in target.image.label_axes)

    def _run(self, work: Callable[[], Any]) -> None:
        self.message.clear()
        try:
            work()
        except UnetstyleError as error:  # what the person clicked, so there is nothing to report
            self.message.say(str(error))

    # Buttons that act at once ----------------------------------------------------------------------------------------

    def _with_active(self, work: Callable[[CorrectedLayer], Any]) -> None:
        active = self._corrections.active
        if active is not None:
            self._run(lambda: work(active))

    def _on_between(self) -> None:
        self._with_active(_between)

    def _on_original(self, is_shown: bool) -> None:
        self._with_active(lambda active: active.show_original(is_shown))


_KEYS = ("Ctrl+Z", "Ctrl+Shift+Z")


def _frame(target: CorrectedLayer, point: Point) -> tuple[tuple[int, ...], NDArray[Any], Point]:
    """The picture or volume that an object lies in: its index, its labels, and the place in it."""
    leading = len(point) - target.header.dims
    labels = target.labels
    if not all(0 <= p < n for p, n in zip(point, labels.shape, strict=True)):
        raise OptionError("This place is outside the picture.")
    return point[:leading], labels[point[:leading]], point[leading:]


def _apply(target: CorrectedLayer, index: tuple[int, ...], edit: Edit) -> None:
    """Write an edit of one frame."""
    places = tuple(np.full(len(edit.places[0]), i) for i in index)
    target.edit((*places, *edit.places), edit.value, edit.touched)


def _delete(target: CorrectedLayer, points: list[Point]) -> None:
    index, labels, point = _frame(target, points[0])
    if target.header.output == "areas":
        _apply(target, index, edits.relabel(labels, point, 0))
    else:
        _apply(target, (), edits.delete(target.labels, points[0]))


def _merge(target: CorrectedLayer, points: list[Point]) -> None:
    _apply(target, (), edits.merge(target.labels, *points))


def _split(target: CorrectedLayer, points: list[Point]) -> None:
    index, labels, first = _frame(target, points[0])
    other, _, second = _frame(target, points[1])
    if other != index:
        raise OptionError("Click both places in the same slice.")
    edit = edits.split(labels, first, second, target.image.geometry.spacing[-labels.ndim :])
    _apply(target, index, _new_everywhere(target, edit))


def _add(target: CorrectedLayer, points: list[Point]) -> None:
    index, labels, point = _frame(target, points[0])
    if target.foreground is None:
        raise OptionError("What the model saw is not known any more. Segment the picture again, or paint the object.")
    _apply(target, index, _new_everywhere(target, edits.add(target.foreground(index), labels, point)))


def _new_everywhere(target: CorrectedLayer, edit: Edit) -> Edit:
    """The edit with a number for its new object that is free in all frames."""
    new = int(target.labels.max()) + 1
    touched = (edit.touched - {edit.value}) | {new}
    return Edit(places=edit.places, value=new, touched=touched)


def _between(target: CorrectedLayer) -> None:
    frame, value = target.frame, int(target.layer.selected_label)
    _apply(target, frame[:-1], edits.between(target.labels[frame[:-1]], value, frame[-1]))


def _box(target: CorrectedLayer, points: list[Point]) -> tuple[tuple[int, ...], Mask]:
    """The box between two corners in a slice; the whole slice if they are the same."""
    (y0, x0), (y1, x1) = points[0][-2:], points[1][-2:]
    region = np.zeros(target.header.shape[-2:], bool)
    if max(abs(y1 - y0), abs(x1 - x0)) <= CLICKED:
        region[:] = True
    else:
        (top, bottom), (left, right) = sorted((y0, y1)), sorted((x0, x1))
        region[max(top, 0) : max(bottom + 1, 0), max(left, 0) : max(right + 1, 0)] = True
    return points[0][:-2], region


def _accept(target: CorrectedLayer, points: list[Point]) -> None:
    target.accept(*_box(target, points))


def _empty(target: CorrectedLayer, points: list[Point]) -> None:
    index, region = _box(target, points)
    edit = edits.nothing(target.labels[index], region)
    _apply(target, index, edit)
    target.accept(index, region, has_stroke=bool(len(edit.places[0])))
