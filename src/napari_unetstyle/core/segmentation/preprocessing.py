"""From stored pixels to what the network sees: channels and intensity."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core import scratch
from napari_unetstyle.core.errors import ImageError
from napari_unetstyle.core.imaging.image import Frame
from napari_unetstyle.core.imaging.resample import Resampler, scaled_shape
from napari_unetstyle.core.models.spec import InputSpec

_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_TAILS = (0.1, 99.9)
_LIMIT = 10.0
_MOST_AHEAD = 2**31  # bytes of a lazy volume that are unpacked at once, to disk
_IN_MEMORY, _PIECE = 2**26, 2**25  # of these are in memory, and are read at once


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
        channels = np.asarray(samples, np.float32)
        if len(channels) > 1 and (channels[1:] == channels[0]).all():  # a gray picture in color is looked at once
            pairs = [_moments(channels[0])] * len(channels)
        else:
            pairs = [_moments(channel) for channel in channels]
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
    problem = f"The picture has {got} channels, but this model takes {allowed}."
    raise ImageError(f"{problem} Choose one channel (option 'channel').").for_windows(
        f"{problem} Choose one channel; for a folder, open one of its pictures and choose it there."
    )


class _Ahead:
    """Reads the slices of a lazy volume in whole chunks, so that thin slabs do not unpack each chunk many times.

    What is unpacked lies on disk where it is much (chunks that span the volume), and is read in pieces, each of whole
    chunks: more than a piece, or one chunk, is never in memory.
    """

    def __init__(self, frame: Frame) -> None:
        self._frame, self._height = frame, _held_height(frame)
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
        for _, held in self._held:
            scratch.release(held)
        parts = [piece[:, max(0, start - first) : stop - first] for first, piece in self._held if first < stop]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def _extend(self, start: int) -> None:
        """Read the next chunks, after what lies before `start` was let go of."""
        tails = ((first, piece[:, max(0, start - first) :]) for first, piece in self._held)
        self._held = [(max(first, start), np.array(tail)) for first, tail in tails if tail.shape[1]]
        end = min(self._stop + self._height, self._frame.shape[0])
        self._held.append((self._stop, self._unpacked(slice(self._stop, end))))
        self._stop = end

    def _unpacked(self, along: slice) -> NDArray[Any]:
        """Some slices, of the part of the other axes that is looked at."""
        given = [*self._across, *[slice(None)] * (2 - len(self._across))]
        across = [slice(*s.indices(n)) for s, n in zip(given, self._frame.shape[1:], strict=True)]
        pieces = list(_pieces(self._frame, along, across))
        if len(pieces) == 1:
            return self._frame.read(along, *across)
        sides = [s.stop - s.start for s in (along, *across)]
        held = scratch.zeros((self._frame.channels, *sides), self._frame.image.array.dtype, _IN_MEMORY)
        for rows, columns in pieces:
            there = (slice(s.start - a.start, s.stop - a.start) for s, a in zip((rows, columns), across, strict=True))
            held[(slice(None), slice(None), *there)] = self._frame.read(along, rows, columns)
            scratch.release(held)
        return held


def ahead_bytes(frame: Frame, across: tuple[slice, ...]) -> int:
    """Memory that slices of a lazy volume take which are held because they were unpacked with others.

    Parameters
    ----------
    frame
        The volume, or a picture, of which nothing is held.
    across
        The part of its other axes that is read.
    """
    height = _held_height(frame)
    if height <= 1:
        return 0
    held = height * math.prod(s.stop - s.start for s in across) * _pixel_bytes(frame)
    return held if held <= _IN_MEMORY else _PIECE


def _held_height(frame: Frame) -> int:
    """Slices of a lazy volume that are unpacked together: a chunk of them, or part of one that would be too much."""
    if frame.dims != 3:
        return 1
    return max(1, min(_chunk(frame, 0), _MOST_AHEAD // (math.prod(frame.shape[1:]) * _pixel_bytes(frame))))


def _pieces(frame: Frame, along: slice, across: Sequence[slice]) -> Iterator[tuple[slice, slice]]:
    """Rows and columns to read at once: as many whole chunks as fit, at least one."""
    rows, columns = across
    each = (along.stop - along.start) * _pixel_bytes(frame)
    chunk = _chunk(frame, 1), _chunk(frame, 2)
    high = max(1, _PIECE // (each * (columns.stop - columns.start)) // chunk[0]) * chunk[0]
    wide = max(1, _PIECE // (each * min(high, rows.stop - rows.start)) // chunk[1]) * chunk[1]
    return itertools.product(_steps(rows, high), _steps(columns, wide))


def _steps(whole: slice, step: int) -> Iterator[slice]:
    """A range in parts that end on multiples of `step`."""
    edges = [whole.start, *range((whole.start // step + 1) * step, whole.stop, step), whole.stop]
    return (slice(a, b) for a, b in itertools.pairwise(edges))


def _chunk(frame: Frame, axis: int) -> int:
    """Length of the chunks of a lazy picture along one of its spatial axes; 1 where it has none."""
    chunks = getattr(frame.image.array, "chunks", None)
    if not chunks:
        return 1
    along = chunks[frame.image.axes.index(frame.axes[axis])]
    return int(max(along)) if isinstance(along, tuple) else int(along)


def _pixel_bytes(frame: Frame) -> int:
    return frame.channels * np.dtype(frame.image.array.dtype).itemsize


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
