"""Buttons for what a brush cannot do: whole objects, areas that are right, slices in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import QGroupBox, QHBoxLayout, QPushButton, QVBoxLayout

from napari_unetstyle.core.annotation.edits import Point
from napari_unetstyle.core.errors import UnetstyleError
from napari_unetstyle.widgets import clicked_fixes as fixes
from napari_unetstyle.widgets.class_palette import ClassPalette
from napari_unetstyle.widgets.clicked_fixes import CLICKED
from napari_unetstyle.widgets.drag_trace import DragTrace
from napari_unetstyle.widgets.limited_brush import LimitedBrush
from napari_unetstyle.widgets.message_row import MessageRow
from napari_unetstyle.widgets.next_place import NextPlace
from napari_unetstyle.widgets.overlay import canvas_of
from napari_unetstyle.widgets.parts import Words
from napari_unetstyle.widgets.scope import ROLLED, shows_rows_and_columns
from napari_unetstyle.widgets.unsure_map import ShowUnsure

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

    from napari_unetstyle.widgets.corrected_layer import CorrectedLayer
    from napari_unetstyle.widgets.corrections import Corrections

_KEYS = ("Ctrl+Z", "Ctrl+Shift+Z")
_IN_SLICES = "A click in a volume that is turned round has no one place. Go back to slices (2D) to correct it."


@dataclass(frozen=True)
class Tool:
    """What a button does.

    Attributes
    ----------
    words, hint
        On the button, and beside it while it is in use.
    points
        Clicks that it takes, or 0.
    do
        Called with them.
    drag
        Called with the way of the mouse from the press to the release; if None, that moves the view.
    is_box
        Whether a drag is for the box between its ends, not for the line.
    suits
        Whether it means something for an active result.
    """

    words: str
    hint: str
    points: int
    do: Callable[[CorrectedLayer, list[Point]], None]
    drag: Callable[[CorrectedLayer, list[Point]], None] | None = None
    is_box: bool = False
    suits: Callable[[CorrectedLayer], bool] = lambda _: True


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
            "add": Tool("Add", "Click a missed object.", 1, fixes.add, suits=_is_objects),
            "delete": Tool("Delete", "Click what is wrong.", 1, fixes.delete),
            "merge": Tool("Merge", "Click one object, then another part of it.", 2, fixes.merge, suits=_is_objects),
            "split": Tool(
                "Split",
                "Click two places in one object, or draw a line across it.",
                2,
                fixes.split,
                drag=fixes.cut,
                suits=_is_objects,
            ),
            "class": Tool(
                "Change class",
                "Choose a class above, then click what is to be of it.",
                1,
                fixes.change_class,
                suits=_has_classes,
            ),
            "right": Tool(
                "✓ This area is right",
                "Drag a box; a click takes the whole slice.",
                1,
                fixes.accept,
                drag=fixes.accept,
                is_box=True,
            ),
            "nothing": Tool(
                "Nothing here", "Drag a box around what is empty.", 1, fixes.empty, drag=fixes.empty, is_box=True
            ),
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
        self.classes = ClassPalette(lambda: self._target is not None)
        self.classes.look.bind(corrections.looks)
        self.brush = LimitedBrush(viewer, corrections)
        self.hint = Words()
        self.message = MessageRow()
        self._lay_out()
        self._connect()
        self.refresh()

    def _lay_out(self) -> None:
        rows = QVBoxLayout(self)
        rows.addWidget(self.classes)
        self.next_place = NextPlace(self._viewer, self._corrections)
        self.unsure = ShowUnsure(self._viewer, self._corrections)
        for parts in (
            [self.buttons[key] for key in ("add", "delete", "merge", "split", "class")],  # of areas one or two
            [self.buttons["right"], self.buttons["nothing"]],
            [self.between, self.original],
            [self.next_place, self.unsure],
            [self.undo, self.redo],
        ):
            row = QHBoxLayout()  # where one of them is hidden, the others take its room
            for part in parts:
                row.addWidget(part, 1)
            rows.addLayout(row)
        for key, button in self.buttons.items():
            button.setCheckable(True)
            button.setToolTip(f"{self.tools[key].hint} Escape puts the tool down.")
        self.original.setToolTip("The result as it was before you painted on it; your fixes are kept")
        self.undo.setToolTip("Take back the last stroke, click or area")
        self.redo.setToolTip("Do again what was taken back")
        rows.addWidget(self.brush)
        rows.addWidget(self.hint)
        rows.addWidget(self.message)
        self.hint.hide()

    def _connect(self) -> None:
        for key, button in self.buttons.items():
            button.toggled.connect(lambda is_on, key=key: self._on_toggled(key, is_on))
        self.between.clicked.connect(self._on_between)
        self.original.toggled.connect(self._on_original)
        self.undo.clicked.connect(lambda: self._with_active(lambda active: active.history.undo()))
        self.redo.clicked.connect(lambda: self._with_active(lambda active: active.history.redo()))
        self.escape.activated.connect(self.stop)
        self.unsure.failed.connect(self.message.fail)
        self._corrections.changed.connect(self.refresh)

    def refresh(self) -> None:
        """Show what means something for the active result."""
        active = self._corrections.active
        if self._target is not None and self._viewer.layers.selection.active is not self._target.layer:
            self.stop()  # clicks go elsewhere
        self.setVisible(active is not None)
        self.classes.refresh(active)
        if active is None:
            return
        for key, tool in self.tools.items():
            self.buttons[key].setVisible(tool.suits(active))
        self.between.setVisible(len(active.header.shape) > 2)
        self.original.setEnabled(active.is_corrected)
        with QSignalBlocker(self.original):
            self.original.setChecked(active.shown_original.is_on)

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
        if self._viewer.dims.ndisplay == 3:
            self.message.say(_IN_SLICES)
            self.buttons[key].setChecked(False)
            return
        active.shown_original.show(False)
        layer = active.layer
        if not layer.visible:  # napari puts the brush down where a layer that is visible is to be
            layer.visible = True
        self._viewer.layers.selection.active = layer
        self._target, self._points = active, []
        self._before = (str(layer.mode), layer.mouse_pan)
        layer.mode = "pan_zoom"
        layer.mouse_pan = self.tools[key].drag is None
        layer.mouse_drag_callbacks.append(self._on_mouse)
        layer.events.mode.connect(self._on_mode)
        self.hint.setText(self.tools[key].hint)
        self.hint.show()
        self.escape.setEnabled(True)

    def stop(self) -> None:
        """Put the tool down."""
        for button in self.buttons.values():
            button.setChecked(False)

    def close_down(self) -> None:
        """Leave napari's brush and mouse as they were; this dock was closed."""
        self.stop()
        self.brush.close_down()
        self.unsure.close_down()

    def _release(self) -> None:
        target, self._target = self._target, None
        self.hint.hide()
        self.escape.setEnabled(False)
        if target is None:
            return
        layer = target.layer
        if self._on_mouse in layer.mouse_drag_callbacks:
            layer.mouse_drag_callbacks.remove(self._on_mouse)
            layer.events.mode.disconnect(self._on_mode)
        layer.mode, layer.mouse_pan = self._before

    def _on_mode(self) -> None:
        """Whoever takes the brush puts the tool down."""
        if self._target is not None:
            layer = self._target.layer
            self._before = (str(layer.mode), layer.mouse_pan)
            self.stop()

    def _on_mouse(self, layer: napari.layers.Labels, event: Any) -> Iterator[None]:
        """Napari's callback for a press, the moves and the release."""
        target = self._target
        key = next((key for key, button in self.buttons.items() if button.isChecked()), None)
        if target is None or key is None or event.button != 1:
            return
        tool = self.tools[key]
        obstacle = self._obstacle(target, tool)
        if obstacle:
            self.message.say(obstacle)
            return
        way = [self._place(target, layer, event)]
        trace = None if tool.drag is None else self._begin_trace(event.pos, is_box=tool.is_box)
        yield
        while event.type == "mouse_move":
            way.append(self._place(target, layer, event))
            if trace is not None:
                trace.go_on(event.pos)
            yield
        if trace is not None:
            trace.hide()
        way.append(self._place(target, layer, event))
        moved = max(abs(a - b) for a, b in zip(way[0], way[-1], strict=True))
        if moved <= CLICKED * max(1.0, 1 / self._viewer.scene.camera.zoom):
            self._points.append(way[0])
            if len(self._points) == tool.points:
                points, self._points = self._points, []
                self._run(lambda: tool.do(target, points))
        elif tool.drag is not None:  # else the view was moved
            drag, self._points = tool.drag, []
            self._run(lambda: drag(target, way))

    def _obstacle(self, target: CorrectedLayer, tool: Tool) -> str:
        """Why what is seen is not what a press would change; empty if it is."""
        if self._viewer.dims.ndisplay == 3:
            return _IN_SLICES
        if not target.layer.visible:
            return "These labels are hidden. Show them before you correct them."
        if tool.drag is not None and not shows_rows_and_columns(target.placement.layer, target.image, self._viewer):
            return f"{ROLLED} Roll the axes back before you mark a part of it."
        return ""

    def _begin_trace(self, place: Any, *, is_box: bool) -> DragTrace | None:
        canvas = canvas_of(self)
        if canvas is None:
            return None
        trace = canvas.findChild(DragTrace) or DragTrace(canvas)
        trace.begin(place, is_box=is_box)
        return trace

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
        self._with_active(fixes.between)

    def _on_original(self, is_shown: bool) -> None:
        self.stop()
        self._with_active(lambda active: active.shown_original.show(is_shown))


def _is_objects(target: CorrectedLayer) -> bool:
    return target.header.output == "objects"


def _has_classes(target: CorrectedLayer) -> bool:
    return len(target.classes) > 1
