"""From stored pixels to what the network sees: channels and intensity."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.errors import ImageError
from napari_unetstyle.core.imaging.image import Frame
from napari_unetstyle.core.imaging.resample import Resampler, scaled_shape
from napari_unetstyle.core.models.spec import InputSpec

_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_TAILS = (0.1, 99.9)
_LIMIT = 10.0
_MOST_AHEAD = 2**28  # bytes of a lazy volume that are held at once


@dataclass(frozen=True, eq=False)
class Intensity:
    """Mean and standard deviation of each channel of a picture, float32 ``(C,)``.

    Taken once per picture; robust to NaN, Inf and to the outermost 0.1 % on either side (saturated and
    dead pixels). A constant channel has a deviation of 1, so it becomes zero and nothing is multiplied.
    """

    mean: NDArray[np.float32]
    std: NDArray[np.float32]

    @classmethod
    def of(cls, samples: NDArray[Any]) -> Intensity:
        """Statistics of pixels ``(C, N)``; non-finite ones do not count."""
        pairs = [_moments(channel) for channel in np.asarray(samples, np.float32)]
        mean, std = np.array(pairs, np.float32).T
        return cls(mean, std)

    def normalize(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """``(C, *spatial)`` to zero mean, unit deviation, within +-10; non-finite pixels become 0."""
        shape = (-1, *(1,) * (pixels.ndim - 1))
        scaled: NDArray[np.float32] = (pixels.astype(np.float32) - self.mean.reshape(shape)) / self.std.reshape(shape)
        np.nan_to_num(scaled, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
        return np.clip(scaled, -_LIMIT, _LIMIT, out=scaled)


def _moments(channel: NDArray[np.float32]) -> tuple[float, float]:
    finite = channel[np.isfinite(channel)]
    if finite.size == 0:
        return 0.0, 1.0
    low, high = np.percentile(finite, _TAILS)
    kept = np.clip(finite, low, high).astype(np.float64)
    mean, std = float(kept.mean()), float(kept.std())
    resolution = 1e-6 * max(abs(mean), 1e-30)  # what float32 could not tell from a constant
    return mean, std if std > resolution else 1.0


def select_channels(pixels: NDArray[Any], spec: InputSpec, in_channels: int) -> NDArray[Any]:
    """Pixels ``(C, *spatial)`` as the channels that the network takes, in their stored type if possible.

    Raises
    ------
    ImageError
        If the channels of the picture cannot be turned into those of the model.
    """
    got = pixels.shape[0]
    if got == 4 and spec.channels != "exact":  # RGBA: opacity is no intensity
        pixels, got = pixels[:3], 3
    if spec.channels == "rgb" and got == 1:
        return np.repeat(pixels, 3, axis=0)
    if spec.channels == "gray" and got == 3:
        return np.tensordot(_LUMINANCE, pixels.astype(np.float32), 1)[np.newaxis]
    if got == in_channels:
        return pixels
    allowed = {"rgb": "1 (gray) or 3 (color)", "gray": "1 (gray) or 3 (color)"}.get(spec.channels, str(in_channels))
    raise ImageError(
        f"The picture has {got} channels, but this model takes {allowed}. Choose one channel (option 'channel')."
    )


class _Ahead:
    """Reads the slices of a lazy volume in whole chunks, so that thin slabs do not unpack each chunk many times."""

    def __init__(self, frame: Frame) -> None:
        self._frame, self._height = frame, _chunk_height(frame)
        self._across: tuple[slice, ...] = ()
        self._held: list[tuple[int, NDArray[Any]]] = []  # where each begins, in order without gaps
        self._stop = 0

    def read(self, *slices: slice) -> NDArray[Any]:
        """As :meth:`Frame.read`; slabs are best asked for in order."""
        if self._height <= 1 or not slices:
            return self._frame.read(*slices)
        start, stop, _ = slices[0].indices(self._frame.shape[0])
        if slices[1:] != self._across or not self._held or not self._held[0][0] <= start <= self._stop:
            self._across, self._held = slices[1:], []
            self._stop = start // self._height * self._height
        while self._stop < stop:
            self._extend(start)
        parts = [piece[:, max(0, start - first) : stop - first] for first, piece in self._held if first < stop]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def _extend(self, start: int) -> None:
        """Read the next chunks, after what lies before `start` was let go of."""
        tails = ((first, piece[:, max(0, start - first) :]) for first, piece in self._held)
        self._held = [(max(first, start), tail.copy()) for first, tail in tails if tail.shape[1]]
        end = min(self._stop + self._height, self._frame.shape[0])
        self._held.append((self._stop, self._frame.read(slice(self._stop, end), *self._across)))
        self._stop = end


def ahead_bytes(frame: Frame, across: tuple[slice, ...]) -> int:
    """Memory that slices of a lazy volume take which are held because they were unpacked with others.

    Parameters
    ----------
    frame
        The volume, or a picture, of which nothing is held.
    across
        The part of its other axes that is read.
    """
    height = _chunk_height(frame)
    each = math.prod(s.stop - s.start for s in across) * frame.channels * np.dtype(frame.image.array.dtype).itemsize
    return height * each if height > 1 else 0


def _chunk_height(frame: Frame) -> int:
    """Slices in a chunk of a lazy volume; 1 where nothing is gained by reading them together."""
    chunks = getattr(frame.image.array, "chunks", None)
    if frame.dims != 3 or not chunks:
        return 1
    along = chunks[frame.image.axes.index(frame.axes[0])]
    height = int(max(along)) if isinstance(along, tuple) else int(along)
    plane = frame.channels * math.prod(frame.shape[1:]) * np.dtype(frame.image.array.dtype).itemsize
    return height if height * plane <= _MOST_AHEAD else 1


class Prepared:
    """A picture as the network sees it: chosen channels, normalized intensity, the model's scale.

    Parameters
    ----------
    frame
        The stored picture.
    spec, in_channels
        What the model expects.
    channel
        Index of the only channel to take, or None.
    scale
        Factor on the picture's size along each spatial axis.
    intensity
        Statistics to normalize with; None gives the pixels as they are stored.
    """

    def __init__(
        self,
        frame: Frame,
        spec: InputSpec,
        in_channels: int,
        *,
        channel: int | None = None,
        scale: float | tuple[float, ...] = 1.0,
        intensity: Intensity | None = None,
    ) -> None:
        self._frame, self._spec, self._in_channels, self._channel = frame, spec, in_channels, channel
        self._intensity = intensity
        self._ahead = _Ahead(frame)
        self._resampler = Resampler(frame.shape, scaled_shape(frame.shape, scale))
        self.has_nonfinite = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Spatial shape at the model's scale."""
        return self._resampler.target

    def read(self, *slices: slice) -> NDArray[Any]:
        """Pixels ``(C, *spatial)`` inside the slices of the leading axes."""
        given = [*slices, *[slice(None)] * (len(self.shape) - len(slices))]
        box = tuple(slice(*s.indices(n)) for s, n in zip(given, self.shape, strict=True))
        pixels = self.stored(*self._resampler.needs(box))
        if self._intensity is not None:
            if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
                self.has_nonfinite = True
            pixels = self._intensity.normalize(pixels)
        return self._resampler.apply(pixels, box) if self.shape != self._frame.shape else pixels

    def stored(self, *slices: slice) -> NDArray[Any]:
        """The chosen channels on the picture's own grid, as stored."""
        pixels = self._ahead.read(*slices)
        if self._channel is not None:
            pixels = pixels[self._channel : self._channel + 1]
        return select_channels(pixels, self._spec, self._in_channels)
