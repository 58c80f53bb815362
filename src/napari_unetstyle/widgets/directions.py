"""Where the patient's sides are: a letter at each edge of the canvas, drawn by Qt on top of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QObject, QPoint, QRect, Qt
from qtpy.QtGui import QColor, QFont, QPainter, QPaintEvent
from qtpy.QtWidgets import QWidget

from napari_unetstyle.core.errors import ImageError
from napari_unetstyle.core.imaging.geometry import toward
from napari_unetstyle.widgets.layers import PLACE, axes_of, placed_geometry
from napari_unetstyle.widgets.overlay import canvas_of
from napari_unetstyle.widgets.parts import follow

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

EDGES = ("left", "right", "top", "bottom")
_INK, _HALO = "#ffffff", "#000000"
_BOX, _MARGIN, _POINTS = 40, 4, 13


def edge_letters(viewer: napari.viewer.ViewerModel) -> dict[str, str]:
    """The side of the patient beyond each edge of the canvas: one of S I P A L R, two where it lies between them.

    Empty in 3D, on a grid of canvases, and where no visible layer knows how it lies in a patient.
    """
    layer = _placed_layer(viewer)
    if layer is None or viewer.dims.ndisplay != 2 or viewer.canvas.grid.enabled:
        return {}
    try:
        down, right = (_in_patient(viewer, layer, axis) for axis in viewer.dims.displayed)
    except ImageError:  # sheared: nothing certain can be said
        return {}
    vertical, horizontal = viewer.scene.camera.orientation2d
    down, right = down * (1 if vertical == "down" else -1), right * (1 if horizontal == "right" else -1)
    return dict(zip(EDGES, map(toward, (-right, right, -down, down)), strict=True))


def _placed_layer(viewer: napari.viewer.ViewerModel) -> napari.layers.Layer | None:
    """The selected layer if it lies in a patient, else the topmost that is seen and does."""
    active = viewer.layers.selection.active
    for layer in (active, *reversed(viewer.layers)):
        if layer is not None and layer.visible and layer.metadata.get(PLACE, {}).get("is_anatomical"):
            return layer
    return None


def _in_patient(viewer: napari.viewer.ViewerModel, layer: napari.layers.Layer, axis: int) -> NDArray[np.float64]:
    """Direction in the patient ``ZYX`` of a step along one of the viewer's axes."""
    axes, _ = axes_of(layer)
    geometry = placed_geometry(layer, axes)
    step = np.zeros(viewer.dims.ndim)
    step[axis] = 1
    moved = np.array(layer.world_to_data(step)) - np.array(layer.world_to_data(np.zeros_like(step)))
    index = [moved[axes.index(letter)] for letter in geometry.axes]
    direction: NDArray[np.float64] = geometry.affine[:-1, :-1] @ index
    return direction


class Directions(QWidget):
    """Paints :func:`edge_letters` over the canvas of the window that a docked widget is in.

    Parameters
    ----------
    dock
        In a dock of the napari window, when there is first something to paint.
    viewer
        The viewer of that window.
    """

    def __init__(self, dock: QWidget, viewer: napari.viewer.ViewerModel) -> None:
        super().__init__(dock)
        self._dock, self._viewer = dock, viewer
        self.letters: dict[str, str] = {}
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setAttribute(Qt.WidgetAttribute.WA_NoSystemBackground)
        self.setStyleSheet("background: transparent")  # napari's theme fills widgets
        self.hide()
        layers, dims = viewer.layers, viewer.dims.events
        events = [
            layers.events.inserted,
            layers.events.removed,
            layers.events.reordered,
            layers.selection.events.active,
        ]
        view = [dims.ndisplay, dims.order, viewer.scene.camera.events.orientation, viewer.canvas.grid.events.enabled]
        for event in (*events, *view):
            follow(self, event, self.refresh)
        for layer in viewer.layers:
            follow(self, layer.events.visible, self.refresh)
        follow(self, layers.events.inserted, self._on_inserted)

    def _on_inserted(self, event: Any) -> None:
        follow(self, event.value.events.visible, self.refresh)

    def refresh(self) -> None:
        """Look anew at what is shown."""
        self.letters = edge_letters(self._viewer)
        if self.letters and not self._is_on_canvas():
            return
        self.setVisible(bool(self.letters))
        self.raise_()
        self.update()

    def close_down(self) -> None:
        """Leave the canvas."""
        self.hide()
        self.deleteLater()

    def _is_on_canvas(self) -> bool:
        canvas = canvas_of(self._dock)
        if canvas is None:
            return False
        if self.parent() is not canvas:
            self.setParent(canvas)
            canvas.installEventFilter(self)
            self.setGeometry(canvas.rect())
        return True

    def paintEvent(self, event: QPaintEvent) -> None:
        """Letters with a halo, readable on black and on white."""
        painter = QPainter(self)
        font = QFont(self.font())
        font.setPointSize(_POINTS)
        font.setBold(True)
        painter.setFont(font)
        for edge, letters in self.letters.items():
            box = self._box(edge)
            painter.setPen(QColor(_HALO))
            for x, y in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
                painter.drawText(box.translated(QPoint(x, y)), Qt.AlignmentFlag.AlignCenter, letters)
            painter.setPen(QColor(_INK))
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, letters)
        painter.end()

    def _box(self, edge: str) -> QRect:
        box = QRect(0, 0, _BOX, _BOX // 2)
        middle = self.rect().center()
        box.moveCenter(middle)
        match edge:
            case "left":
                box.moveLeft(_MARGIN)
            case "right":
                box.moveRight(self.width() - _MARGIN)
            case "top":
                box.moveTop(_MARGIN)
            case _:
                box.moveBottom(self.height() - _MARGIN)
        return box

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Stay as large as the canvas."""
        if event is not None and event.type() == QEvent.Type.Resize and isinstance(watched, QWidget):
            self.setGeometry(watched.rect())
        return False
