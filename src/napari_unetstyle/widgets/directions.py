"""Where the patient's sides are: letters at the edges of the canvas, in 3D at the ends of the volume's axes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QObject, QPoint, QRect, Qt
from qtpy.QtGui import QColor, QFont, QPainter, QPaintEvent
from qtpy.QtWidgets import QWidget

from napari_unetstyle.core.errors import ImageError
from napari_unetstyle.core.imaging.geometry import toward
from napari_unetstyle.widgets.anatomy import names, place_among
from napari_unetstyle.widgets.layers import PLACE, axes_of
from napari_unetstyle.widgets.overlay import canvas_of
from napari_unetstyle.widgets.parts import follow

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

EDGES = ("left", "right", "top", "bottom")
MIRRORED = "mirror image: left and right are exchanged"
_INK, _HALO = "#ffffff", "#000000"
_BOX, _MARGIN, _POINTS, _SMALL = 40, 4, 13, 10
_ONE_WAY = 0.9  # cosine of the angle up to which two directions are one
_DEPTHS = {"away": "towards", "towards": "away"}
_VIEWS = ("scale", "translate", "rotate", "shear", "affine", "visible")


@dataclass(frozen=True, kw_only=True, eq=False)
class Shown:
    """How what is shown lies in a patient.

    Attributes
    ----------
    steps
        Directions in the patient ``ZYX`` of the viewer's displayed axes, as columns; none if nothing lies in one.
    said
        Why there are none though something does.
    box
        Corners in the world, along the displayed axes, of the layer that is on top.
    """

    steps: NDArray[np.float64] | None = None
    said: str = ""
    box: NDArray[np.float64] = field(default_factory=lambda: np.zeros((2, 3)))

    @classmethod
    def of(cls, viewer: napari.viewer.ViewerModel) -> Shown:
        """By all layers that are seen and lie in a patient; they have to agree."""
        if viewer.canvas.grid.enabled:
            return cls()
        found = [(layer, steps) for layer in _placed_layers(viewer) if (steps := _steps(viewer, layer)) is not None]
        if not found:
            return cls()
        top, steps = found[0]
        others = [layer for layer, other in found if not _are_one_way(steps, other)]
        if others:
            return cls(said=f"no letters: {names([top, others[0]])} lie in different directions here")
        box = np.zeros((2, viewer.dims.ndim))
        box[:, -top.ndim :] = np.asarray(top.extent.world)
        return cls(steps=steps, box=box[:, list(viewer.dims.displayed)])


def edge_letters(viewer: napari.viewer.ViewerModel) -> dict[str, str]:
    """The side of the patient beyond each edge of the canvas: one of S I P A L R, two where it lies between them.

    They follow the anatomy: a picture that is turned on the screen has the letters of its file, turned with it. Empty
    in 3D, on a grid of canvases, and where no visible layer knows how it lies in a patient, or two of them disagree.
    """
    steps = Shown.of(viewer).steps
    if steps is None or viewer.dims.ndisplay != 2:
        return {}
    vertical, horizontal = viewer.scene.camera.orientation2d
    down, right = steps.T * np.array([[1 if vertical == "down" else -1], [1 if horizontal == "right" else -1]])
    return dict(zip(EDGES, map(toward, (-right, right, -down, down)), strict=True))


def box_letters(viewer: napari.viewer.ViewerModel) -> list[tuple[str, NDArray[np.float64]]]:
    """In 3D, the side of the patient at both ends of each axis, and where on the canvas ``(y, x)`` that is."""
    shown = Shown.of(viewer)
    if shown.steps is None or viewer.dims.ndisplay != 3:
        return []
    center, half = shown.box.mean(axis=0), np.diag(np.ptp(shown.box, axis=0) / 2)
    return [
        (toward(sign * step), on_canvas(viewer, center + sign * end))
        for step, end in zip(shown.steps.T, half, strict=True)
        for sign in (-1, 1)
    ]


def on_canvas(viewer: napari.viewer.ViewerModel, point: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where a point of the 3D scene is on the canvas ``(y, x)``, without perspective."""
    camera = viewer.scene.camera
    view, up = np.array(camera.view_direction), np.array(camera.up_direction)
    right = np.cross(view, up) * (1 if camera.handedness == "right" else -1)
    away = np.asarray(point) - np.array(camera.center)
    return camera.zoom * np.array([-away @ up, away @ right]) + np.array(viewer.canvas.size) / 2


def is_mirrored(viewer: napari.viewer.ViewerModel) -> bool:
    """Whether 3D shows the mirror image of the patient.

    napari calls axes right-handed if Z x Y is X; of a patient's head, back and left it is the other way round.
    """
    steps = Shown.of(viewer).steps
    if steps is None or viewer.dims.ndisplay != 3:
        return False
    return bool((np.linalg.det(steps) > 0) == (viewer.scene.camera.handedness == "right"))


def _placed_layers(viewer: napari.viewer.ViewerModel) -> list[napari.layers.Layer]:
    """Those that are seen and lie in a patient: the selected one, then from the top."""
    active = viewer.layers.selection.active
    layers = [*([active] if active is not None else []), *(one for one in reversed(viewer.layers) if one is not active)]
    return [one for one in layers if one.visible and one.metadata.get(PLACE, {}).get("is_anatomical")]


def _steps(viewer: napari.viewer.ViewerModel, layer: napari.layers.Layer) -> NDArray[np.float64] | None:
    """Directions in the patient ``ZYX`` of steps along the displayed axes; None where that is not certain."""
    try:
        axes, _ = axes_of(layer)
        place = place_among(layer, axes, viewer.layers)
    except ImageError:
        return None
    if len(place.spacing) != 3 or not place.is_anatomical:
        return None
    steps = np.eye(viewer.dims.ndim)[list(viewer.dims.displayed)]
    start = np.array(layer.world_to_data(np.zeros(viewer.dims.ndim)))
    moved = np.stack([np.array(layer.world_to_data(step)) - start for step in steps], axis=1)
    directions = place.affine[:-1, :-1] @ moved[[axes.index(letter) for letter in place.axes]]
    return directions if np.linalg.norm(directions, axis=0).all() else None


def _are_one_way(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    lengths = np.linalg.norm(one, axis=0) * np.linalg.norm(other, axis=0)
    return bool(((one * other).sum(axis=0) >= _ONE_WAY * lengths).all())


class Directions(QWidget):
    """Paints :func:`edge_letters` and :func:`box_letters` over the canvas of the window that a docked widget is in.

    Where 3D would show a mirror image of the patient, the view's depth is turned over as long as it is needed; a person
    who turns it themselves is told so instead.

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
        self.ends: list[tuple[str, NDArray[np.float64]]] = []
        self.said = ""
        self._is_turning = self._is_turned_over = self._is_by_person = False
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setAttribute(Qt.WidgetAttribute.WA_NoSystemBackground)
        self.setStyleSheet("background: transparent")  # napari's theme fills widgets
        self.hide()
        layers, dims, camera = viewer.layers, viewer.dims.events, viewer.scene.camera.events
        events = [
            layers.events.inserted,
            layers.events.removed,
            layers.events.reordered,
            layers.selection.events.active,
        ]
        for event in (*events, dims.order, viewer.canvas.grid.events.enabled):
            follow(self, event, self.refresh)
        follow(self, dims.ndisplay, self._on_ndisplay)
        follow(self, camera.orientation, self._on_orientation)
        for event in (camera.angles, camera.center, camera.zoom):
            follow(self, event, self._on_camera)
        for layer in viewer.layers:
            self._follow(layer)
        follow(self, layers.events.inserted, self._on_inserted)

    def _follow(self, layer: napari.layers.Layer) -> None:
        for name in _VIEWS:
            follow(self, getattr(layer.events, name), self.refresh)

    def _on_inserted(self, event: Any) -> None:
        self._follow(event.value)

    def _on_ndisplay(self) -> None:
        self._is_by_person = False
        self.refresh()

    def _on_orientation(self) -> None:
        if self._is_turning:
            return
        self._is_by_person, self._is_turned_over = self._viewer.dims.ndisplay == 3, False
        self.refresh()

    def _on_camera(self) -> None:
        if self.ends:
            self.ends = box_letters(self._viewer)
            self.update()

    def refresh(self) -> None:
        """Look anew at what is shown."""
        is_3d = self._viewer.dims.ndisplay == 3 and Shown.of(self._viewer).steps is not None
        if (is_mirrored(self._viewer) and not self._is_by_person) or (self._is_turned_over and not is_3d):
            self._turn_over()
        self.letters, self.ends = edge_letters(self._viewer), box_letters(self._viewer)
        self.said = MIRRORED if is_mirrored(self._viewer) else Shown.of(self._viewer).said
        is_wanted = bool(self.letters or self.ends or self.said)
        if is_wanted and not self._is_on_canvas():
            return
        self.setVisible(is_wanted)
        self.raise_()
        self.update()

    def _turn_over(self) -> None:
        """Exchange near and far, which mirrors what 3D shows and touches no data."""
        camera = self._viewer.scene.camera
        self._is_turning = True
        camera.orientation = (_DEPTHS[str(camera.orientation[0])], *camera.orientation[1:])
        self._is_turning, self._is_turned_over = False, not self._is_turned_over

    def close_down(self) -> None:
        """Leave the canvas."""
        if self._is_turned_over:
            self._turn_over()
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
            _write(painter, self._box(edge), letters)
        for letters, (y, x) in self.ends:
            box = QRect(0, 0, _BOX, _BOX // 2)
            box.moveCenter(QPoint(round(float(x)), round(float(y))))
            _write(painter, box, letters)
        if self.said:
            font.setPointSize(_SMALL)
            painter.setFont(font)
            top = _MARGIN + (_BOX // 2 if self.letters else 0)
            words = painter.fontMetrics().elidedText(self.said, Qt.TextElideMode.ElideRight, self.width() - 2 * _MARGIN)
            _write(painter, QRect(0, top, self.width(), _BOX // 2), words)
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


def _write(painter: QPainter, box: QRect, words: str) -> None:
    painter.setPen(QColor(_HALO))
    for x, y in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
        painter.drawText(box.translated(QPoint(x, y)), Qt.AlignmentFlag.AlignCenter, words)
    painter.setPen(QColor(_INK))
    painter.drawText(box, Qt.AlignmentFlag.AlignCenter, words)
