"""Pixels of any type as numbers in 0..1, and back."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.errors import ImageError
from napari_unetstyle.core.free_memory import free_memory, gigabytes

if TYPE_CHECKING:
    from napari_unetstyle.core.imaging.image import Image

Pixels = NDArray[np.float32]
"""``(C, *spatial)``, the picture's range at 0..1."""

_COLORS = 3
MOST = 2**17
"""Pixels that statistics are taken from."""
_TAILS = (0.1, 99.9)
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


def channels_first(image: Image) -> NDArray[Any]:
    """All of a picture's pixels ``(C, *rest)``; opacity is no color.

    Raises
    ------
    ImageError
        If there is no room for them and for as many more, which are made of them.
    """
    _check_room(image)
    array = np.asarray(image.array[:])
    if "C" not in image.axes:
        return array[np.newaxis]
    pixels = np.moveaxis(array, image.axes.index("C"), 0)
    return pixels[:_COLORS] if len(pixels) == _COLORS + 1 else pixels


def _check_room(image: Image) -> None:
    needed, free = 2 * math.prod(image.array.shape) * np.dtype(image.array.dtype).itemsize, free_memory()
    if needed > free:
        raise ImageError(
            f"The picture {image.name!r} is taken as a whole, which needs {gigabytes(needed)} of memory, and "
            f"{gigabytes(free)} are free. Take a coarser level of it, where its file has several, or a part."
        )


def sampled(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """At most about 130,000 pixels ``(C, N)`` on an even grid, finite in all channels."""
    few = thinned(pixels, MOST)
    flat = few.reshape(len(pixels), -1).astype(np.float32)
    finite = np.isfinite(flat).all(axis=0)
    return flat[:, finite] if finite.any() else np.zeros((len(pixels), 1), np.float32)


def thinned(pixels: NDArray[Any], most: int) -> NDArray[Any]:
    """About as many pixels ``(C, *spatial)`` as are wanted, on an even grid (a view)."""
    step = max(1, int(np.ceil((np.prod(pixels.shape[1:], dtype=float) / most) ** (1 / (pixels.ndim - 1)))))
    return pixels[(slice(None), *[slice(None, None, step)] * (pixels.ndim - 1))]


def scale_of(pixels: NDArray[Any]) -> tuple[float, float]:
    """What becomes 0 and what becomes 1: the range of 8-bit pixels, else the outermost 0.1 % on either side."""
    if pixels.dtype == np.uint8:
        return 0.0, 255.0
    if pixels.dtype == np.bool_:
        return 0.0, 1.0
    low, high = map(float, np.percentile(sampled(pixels), _TAILS))
    return low, high if high > low else low + 1.0


def to_unit(pixels: NDArray[Any], scale: tuple[float, float] | None = None) -> tuple[Pixels, Callable[[Pixels], Any]]:
    """Pixels ``(C, *spatial)`` in 0..1, and the way back to their own type.

    NaN is seen as the lowest value; on the way back whatever is no finite number is what it was.
    """
    low, high = scale or scale_of(pixels)
    unit = (pixels.astype(np.float32) - np.float32(low)) / np.float32(high - low)
    np.nan_to_num(unit, copy=False, nan=0.0, posinf=1.0, neginf=0.0)
    unknown = ~np.isfinite(pixels) if pixels.dtype.kind == "f" else None

    def back(changed: Pixels) -> Any:
        made = _in_type(low + changed * (high - low), pixels.dtype)
        if unknown is not None:
            made[unknown] = pixels[unknown]
        return made

    return unit, back


def _in_type(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    if dtype.kind == "f":
        return values.astype(dtype)
    if dtype.kind == "b":
        return values > 0.5
    limits = np.iinfo(dtype)
    return np.clip(np.rint(values.astype(np.float64)), limits.min, limits.max).astype(dtype)


def luminance(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """``(C, *rest)`` to ``(*rest,)``: what an eye sees of three channels, the mean of any other number."""
    if len(pixels) == len(_LUMINANCE):
        seen: NDArray[np.float32] = np.tensordot(_LUMINANCE, pixels, 1)
        return seen
    mean: NDArray[np.float32] = pixels.mean(axis=0, dtype=np.float32)
    return mean
