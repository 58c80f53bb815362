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
from napari_unetstyle.core.style.change import ANY, TRAINED
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
SIDE = 512  # pixels of the largest square that is judged, or put through a network: a second, where cores are slow
IN_ONE_PASS = (ANY, *TRAINED)
MADE, SO_FAR = "in this style", "so far"
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
    caption
        What stands below the part after.
    note
        What else is to be known of it.
    """

    image: Image
    styles: tuple[Image | KeptStyle, ...]
    options: StyleOptions
    at: tuple[int | slice, ...]
    labels: NDArray[Any] | None
    judged: Labeled | None = None
    where: str = ""
    caption: str = MADE
    note: str = ""

    @property
    def frame(self) -> tuple[int, ...]:
        """Which slice it is of."""
        return tuple(one for one in self.at if not isinstance(one, slice))

    def is_same_run(self, other: StyleRequest) -> bool:
        """Whether both ask for the same pixels, of whatever part."""
        ours, theirs = ([getattr(look, "array", look) for look in (r.image, *r.styles)] for r in (self, other))
        is_same = len(ours) == len(theirs) and all(one is another for one, another in zip(ours, theirs, strict=True))
        return is_same and (self.image.axes, self.options) == (other.image.axes, other.options)


@dataclass(frozen=True, kw_only=True, eq=False)
class StylePreviewed:
    """The part before and after, ``(C, Y, X)``; what a check of the labels said."""

    before: NDArray[Any]
    after: NDArray[Any]
    words: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """What has come of a slice so far.

    Attributes
    ----------
    pixels
        Of the whole slice, ``(C, Y, X)`` in 0..1, at full strength.
    frame
        Which slice it is.
    run
        What is being made.
    is_last
        Whether nothing more comes.
    """

    pixels: NDArray[Any]
    frame: tuple[int, ...]
    run: StyleRequest
    is_last: bool = False

    def part(self, request: StyleRequest) -> NDArray[Any]:
        """Of what a request shows, in whatever slice."""
        return self.pixels[:, *(one for one in request.at if isinstance(one, slice))]

    def caption(self, request: StyleRequest) -> str:
        """What stands below it."""
        where = f", slice {'.'.join(map(str, self.frame))}" if self.frame != request.frame else ""
        return (
            f"{MADE if self.is_last else SO_FAR}{where}{', at full strength' if request.options.strength < 1 else ''}"
        )


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
        self._step: Step | None = None
        self.shown: StylePreviewed | None = None
        self.before, self.after, self.words = QLabel(), QLabel(), Words()
        self.pictures = QWidget()
        pictures = QHBoxLayout(self.pictures)
        pictures.setContentsMargins(0, 0, 0, 0)
        self.caption = QLabel(MADE)
        for picture, caption in ((self.before, QLabel("as it is")), (self.after, self.caption)):
            column = QVBoxLayout()
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
        for event in (camera.zoom, camera.center, viewer.canvas.events.size, dims.current_step):
            follow(self, event, self.touch)
        self.hide()

    def touch(self) -> None:
        """Something changed: look again when it rests."""
        self._rest.start()

    def pause(self) -> None:
        """Give way to a run, or to being closed."""
        self._rest.stop()
        self._slot.cancel()

    def show_step(self, step: Step) -> None:
        """What has come of the picture so far; it stays until something else is asked for."""
        self._step = step
        self._draw()

    def _on_rest(self) -> None:
        try:
            request = self._ask()
        except UnetstyleError:  # the form, or Apply, says it
            request = None
        self._request, self.shown = request, None
        if request is None:
            self._slot.cancel()
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
                self._draw()
                verdict = self._request.where + shown.words if shown.words else ""
                note = "" if self._step is not None else self._request.note
                self._say(" ".join(filter(None, (verdict, note))))
                self.show()
            case Failed(sentence=sentence):
                self.pictures.hide()
                self._say(sentence)
                self.show()

    def _draw(self) -> None:
        """Both pictures, with outlines; after what has come so far, where that is of the same run."""
        request, shown, step = self._request, self.shown, self._step
        if request is None or shown is None:
            return
        self.before.setPixmap(_outlined(_pixmap(shown.before, *_range(shown.before)), request.labels))
        if step is not None and not step.run.is_same_run(request):
            self._step = step = None
        pixels, range_ = (shown.after, _range(shown.after)) if step is None else (step.part(request), (0.0, 1.0))
        after = _pixmap(pixels, *range_)
        is_of_slice = step is None or step.frame == request.frame
        self.after.setPixmap(_outlined(after, request.labels if is_of_slice else None))
        self.caption.setText(request.caption if step is None else step.caption(request))

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
