"""What is on screen, before and after: two small pictures, outlines on both, and whether the labels still fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QImage, QPainter, QPixmap
from qtpy.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_unetstyle.core.errors import UnetstyleError
from napari_unetstyle.widgets.core_calls import CoreCalls
from napari_unetstyle.widgets.jobs import Failed, Finished, JobSlot, Outcome
from napari_unetstyle.widgets.parts import Words, follow

if TYPE_CHECKING:
    import napari.viewer

    from napari_unetstyle.core.imaging.image import Image
    from napari_unetstyle.core.style.change import StyleOptions
    from napari_unetstyle.core.style.kept_style import KeptStyle

REST = 150  # milliseconds in which nothing changes
WIDTH, HEIGHT = 148, 130
COLOR = (235, 40, 160, 255)  # seen on black, on white and on stains


@dataclass(frozen=True, kw_only=True, eq=False)
class Labeled:
    """A part of the picture at full resolution, and the labels that lie on it.

    Attributes
    ----------
    at
        Index along the axes behind the channels, two slices among it.
    labels
        ``(Y, X)``
    """

    at: tuple[int | slice, ...]
    labels: NDArray[Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class StyleRequest:
    """What *Apply* would do, and the part of it that is on screen.

    Attributes
    ----------
    image, styles, options
        As for ``core.stylize``.
    at
        Index along the axes behind the channels: the part in sight, two slices among it.
    labels
        Of the part, or None.
    judged
        Where it is looked whether labels still fit, or None.
    where
        Which part of what is on screen that is, in words; empty for all of it.
    """

    image: Image
    styles: tuple[Image | KeptStyle, ...]
    options: StyleOptions
    at: tuple[int | slice, ...]
    labels: NDArray[Any] | None
    judged: Labeled | None = None
    where: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class StylePreviewed:
    """The part before and after, ``(C, Y, X)``; what a check of the labels said."""

    before: NDArray[Any]
    after: NDArray[Any]
    words: str = ""


class StylePreview(QWidget):
    """Follows the camera and the form.

    Parameters
    ----------
    viewer
        Whose camera is followed.
    calls
        The core's functions.
    ask
        Gives what *Apply* would do; None where there is nothing to show.
    """

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        calls: CoreCalls,
        ask: Callable[[], StyleRequest | None],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._calls, self._ask = calls, ask
        self._slot = JobSlot(self)
        self._kept: dict[Any, Any] = {}
        self._request: StyleRequest | None = None
        self.shown: StylePreviewed | None = None
        self.before, self.after, self.words = QLabel(), QLabel(), Words()
        self.pictures = QWidget()
        pictures = QHBoxLayout(self.pictures)
        pictures.setContentsMargins(0, 0, 0, 0)
        for picture, what in ((self.before, "as it is"), (self.after, "in this style")):
            column = QVBoxLayout()
            caption = QLabel(what)
            for part in (picture, caption):
                part.setAlignment(Qt.AlignmentFlag.AlignHCenter)
                column.addWidget(part)
            pictures.addLayout(column)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.pictures)
        layout.addWidget(self.words)
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST)
        self._rest.timeout.connect(self._on_rest)
        self._slot.done.connect(self._on_done)
        camera, dims = viewer.scene.camera.events, viewer.dims.events
        for event in (camera.zoom, camera.center, dims.current_step):
            follow(self, event, self.touch)
        self.hide()

    def touch(self) -> None:
        """Something changed: look again when it rests."""
        self._rest.start()

    def pause(self) -> None:
        """Give way to a run, or to being closed."""
        self._rest.stop()
        self._slot.cancel()

    def show_step(self, pixels: NDArray[Any] | None) -> None:
        """What has come of the whole picture so far, ``(C, Y, X)`` in 0..1."""
        if pixels is not None:
            self.after.setPixmap(_pixmap(pixels, 0.0, 1.0))

    def _on_rest(self) -> None:
        try:
            request = self._ask()
        except UnetstyleError:  # the form, or Apply, says it
            request = None
        self._request = request
        if request is None:
            self._slot.cancel()
            self.shown = None
            self.hide()
            return
        self._slot.replace(lambda: self._calls.iter_style_preview(request, self._kept))

    def _on_done(self, outcome: Outcome) -> None:
        if self._request is None:
            return
        match outcome:
            case Finished(value=StylePreviewed() as shown):
                self.shown = shown
                self.pictures.show()
                for picture, pixels in ((self.before, shown.before), (self.after, shown.after)):
                    picture.setPixmap(_outlined(_pixmap(pixels, *_range(pixels)), self._request.labels))
                self._say(f"{self._request.where}{shown.words}" if shown.words else "")
                self.show()
            case Failed(sentence=sentence):
                self.shown = None
                self.pictures.hide()
                self._say(sentence)
                self.show()

    def _say(self, words: str) -> None:
        self.words.setText(words)
        self.words.setVisible(bool(words))


def _range(pixels: NDArray[Any]) -> tuple[float, float]:
    if pixels.dtype == np.uint8:
        return 0.0, 255.0
    if pixels.dtype == bool:
        return 0.0, 1.0
    low, high = np.nanpercentile(pixels[np.isfinite(pixels)] if pixels.size else [0.0], (0.5, 99.5))
    return float(low), float(high if high > low else low + 1)


def _pixmap(pixels: NDArray[Any], low: float, high: float) -> QPixmap:
    """Channels as red, green and blue where there are three, else the first one in gray."""
    shown = pixels if len(pixels) == 3 else np.repeat(pixels[:1], 3, axis=0)
    unit = np.nan_to_num((shown.astype(np.float32) - low) / (high - low)).clip(0, 1)
    colors = np.ascontiguousarray(np.moveaxis((255 * unit).astype(np.uint8), 0, -1))
    height, width = colors.shape[:2]
    image = QImage(colors.data, width, height, 3 * width, QImage.Format.Format_RGB888).copy()
    keep, smooth = Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
    return QPixmap.fromImage(image).scaled(WIDTH, HEIGHT, keep, smooth)


def _outlined(shown: QPixmap, labels: NDArray[Any] | None) -> QPixmap:
    """With borders one pixel wide, at whatever size it is shown."""
    if labels is None:
        return shown
    height, width = shown.height(), shown.width()
    rows, columns = (np.arange(n) * side // n for n, side in zip((height, width), labels.shape, strict=True))
    small = labels[np.ix_(rows, columns)]
    overlay = np.zeros((height, width, 4), np.uint8)
    overlay[:-1][small[1:] != small[:-1]] = COLOR
    overlay[:, :-1][small[:, 1:] != small[:, :-1]] = COLOR
    with_borders = QPixmap(shown)
    painter = QPainter(with_borders)
    painter.drawImage(0, 0, QImage(overlay.data, width, height, 4 * width, QImage.Format.Format_RGBA8888))
    painter.end()
    return with_borders
