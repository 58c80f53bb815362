"""Temporary outlines over napari's canvas: drawn by Qt on top of it, in no layer and no file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QObject, QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QImage, QPainter, QPaintEvent, QPen, QTransform
from qtpy.QtWidgets import QWidget

from napari_unetstyle.widgets.parts import follow

if TYPE_CHECKING:
    import napari.viewer

CANVAS = "CanvasBackendDesktop"  # vispy's Qt widget, inside every napari window
_LINE = 1.5  # pixels of the screen
Map = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Outlines:
    """A mask to draw, and where.

    Attributes
    ----------
    mask
        Boolean ``(Y, X)``.
    origin
        Row and column of its first pixel in the picture.
    color
        Name or ``#rrggbb``.
    canvas_map
        Gives matrix and offset from picture pixels (y, x) to canvas (y, x), as the camera is now.
    """

    mask: NDArray[np.bool_]
    origin: tuple[int, int]
    color: str
    canvas_map: Callable[[], Map]


@dataclass(frozen=True, kw_only=True, eq=False)
class Frames:
    """Boxes to draw as lines that stay thin at any zoom, and where.

    Attributes
    ----------
    boxes
        Rows and columns of the picture.
    color, canvas_map
        As those of :class:`Outlines`.
    """

    boxes: tuple[tuple[slice, slice], ...]
    color: str
    canvas_map: Callable[[], Map]


class Overlay(QWidget):
    """Draws :class:`Outlines` and :class:`Frames` where the camera shows them; lets every mouse event through.

    Parameters
    ----------
    viewer
        Whose camera is followed.
    canvas
        Widget to lie on.
    """

    def __init__(self, viewer: napari.viewer.ViewerModel, canvas: QWidget) -> None:
        super().__init__(canvas)
        self._viewer = viewer
        self._drawn: dict[str, tuple[Outlines, QImage]] = {}
        self._frames: dict[str, Frames] = {}
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setAttribute(Qt.WidgetAttribute.WA_NoSystemBackground)
        self.setStyleSheet("background: transparent")  # napari's theme fills widgets
        canvas.installEventFilter(self)
        camera = viewer.scene.camera.events
        for event in (camera.zoom, camera.center, camera.orientation, viewer.dims.events.ndisplay):
            follow(self, event, self._on_camera)
        self.setGeometry(canvas.rect())

    def show_outlines(self, key: str, outlines: Outlines | None) -> None:
        """Draw outlines under a key, or none."""
        if outlines is None:
            self._drawn.pop(key, None)
        else:
            self._drawn[key] = (outlines, _tinted(outlines.mask, outlines.color))
        self._show()

    def show_frames(self, key: str, frames: Frames | None) -> None:
        """Draw frames under a key, or none."""
        if frames is None:
            self._frames.pop(key, None)
        else:
            self._frames[key] = frames
        self._show()

    def _show(self) -> None:
        self.setVisible(bool(self._drawn or self._frames))
        self.raise_()
        self.update()

    def outlines(self, key: str) -> Outlines | None:
        """What is drawn under a key."""
        drawn = self._drawn.get(key)
        return drawn[0] if drawn else None

    def frames(self, key: str) -> Frames | None:
        """The frames that are drawn under a key."""
        return self._frames.get(key)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw every mask and frame through the map of this moment."""
        if self._viewer.dims.ndisplay != 2:
            return
        drawn = [(outlines.origin, image, *outlines.canvas_map()) for outlines, image in self._drawn.values()]
        painter = QPainter(self)
        for (top, left), image, matrix, offset in drawn:
            painter.setTransform(_transform(matrix, offset))
            painter.drawImage(QPointF(left - 0.5, top - 0.5), image)
        for frames in self._frames.values():
            painter.setTransform(_transform(*frames.canvas_map()))
            pen = QPen(QColor(frames.color), _LINE, Qt.PenStyle.DashLine)
            pen.setCosmetic(True)  # as wide on the screen whatever the zoom
            painter.setPen(pen)
            for y, x in frames.boxes:
                painter.drawRect(QRectF(x.start - 0.5, y.start - 0.5, x.stop - x.start, y.stop - y.start))
        painter.end()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Stay as large as the canvas."""
        if event is not None and event.type() == QEvent.Type.Resize and isinstance(watched, QWidget):
            self.setGeometry(watched.rect())
        return False

    def _on_camera(self) -> None:
        self.update()


class Drawing:
    """One thing that a docked widget draws on the canvas of its window.

    Parameters
    ----------
    widget
        In a dock of the napari window, when something is first drawn.
    viewer
        The viewer of that window.
    key
        Names the thing among those of other widgets.
    """

    def __init__(self, widget: QWidget, viewer: napari.viewer.ViewerModel, key: str) -> None:
        self._widget, self._viewer, self._key = widget, viewer, key
        self._overlay: Overlay | None = None

    @property
    def outlines(self) -> Outlines | None:
        """What is drawn now."""
        return self._overlay.outlines(self._key) if self._overlay is not None else None

    @property
    def frames(self) -> Frames | None:
        """The frames that are drawn now."""
        return self._overlay.frames(self._key) if self._overlay is not None else None

    def show(self, drawn: Outlines | Frames | None) -> None:
        """Draw something else, or nothing."""
        if self._overlay is None and drawn is not None:
            self._overlay = self._find_overlay()
        if self._overlay is not None:
            self._overlay.show_outlines(self._key, drawn if isinstance(drawn, Outlines) else None)
            self._overlay.show_frames(self._key, drawn if isinstance(drawn, Frames) else None)

    def _find_overlay(self) -> Overlay | None:
        canvas = canvas_of(self._widget)
        if canvas is None:
            return None
        overlay = canvas.findChild(Overlay) or Overlay(self._viewer, canvas)
        overlay.destroyed.connect(self._forget)
        return overlay

    def _forget(self) -> None:
        self._overlay = None


def canvas_of(widget: QWidget) -> QWidget | None:
    """The canvas in the napari window that a widget is in."""
    found = widget.window().findChildren(QWidget)
    return next((canvas for canvas in found if type(canvas).__name__ == CANVAS), None)


def outline_mask(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels of objects that touch another value above, below, left or right."""
    edge = np.zeros(labels.shape, bool)
    for axis in range(2):
        here = np.moveaxis(labels, axis, 0)
        differs = here[1:] != here[:-1]
        inside = np.moveaxis(edge, axis, 0)
        inside[1:] |= differs
        inside[:-1] |= differs
    return edge & (labels > 0)


def _tinted(mask: NDArray[np.bool_], color: str) -> QImage:
    tint = QColor(color)
    pixels = np.zeros((*mask.shape, 4), np.uint8)
    pixels[mask] = (tint.red(), tint.green(), tint.blue(), 255)
    height, width = mask.shape
    return QImage(pixels.tobytes(), width, height, 4 * width, QImage.Format.Format_RGBA8888).copy()


def _transform(matrix: NDArray[np.float64], offset: NDArray[np.float64]) -> QTransform:
    (yy, yx), (xy, xx) = matrix
    return QTransform(float(xx), float(yx), float(xy), float(yy), float(offset[1]), float(offset[0]))
