"""The relief on which touching objects are told apart: how deep each pixel lies in its object.

The mean of two answers to the same question: how far the pixel is from the edge of the foreground, which is
reliable but does not see where two objects touch along their whole side, and how deep the network says it lies,
which does, but is noisier.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.imaging.image import ArrayLike
from napari_unetstyle.core.progress import Progress, Steps
from napari_unetstyle.core.segmentation.postprocessing import BAND_PIXELS, bands, shared_rows
from napari_unetstyle.core.segmentation.runs import Runs, components
from napari_unetstyle.core.side_by_side import side_by_side

DEEPEST = 40.0
"""Pixels of the network; what lies deeper counts as this deep. Its map is the square root of the depth over this."""
LEVELS = 6
"""Levels of the relief to one pixel of depth."""
HOLE_SHARE = 1 / 8
"""Holes of at most this part of the area around them are filled: a pale middle is no hole in a nucleus."""
_SIGMA, _REACH = 1.5, 5  # of the smoothing, in pixels of the network
_TALL = 512  # rows of a band of a wide picture
_WIDE = BAND_PIXELS // _TALL  # columns


def relief(inside: NDArray[np.bool_], seed_map: NDArray[np.uint8], zoom: float = 1.0) -> NDArray[np.uint8]:
    """Depth of every pixel of an array in ``1 / LEVELS`` pixels of the network, smoothed.

    Parameters
    ----------
    inside
        Foreground, ``(*spatial,)``; the border of the array is no edge.
    seed_map
        Bytes of the network's map ``"depth"``, same shape.
    zoom
        Pixels of the network per pixel of the array.
    """
    from scipy import ndimage

    if inside.all():
        measured = np.full(inside.shape, DEEPEST)
    else:
        measured = np.minimum(zoom * ndimage.distance_transform_edt(inside), DEEPEST)
    told = DEEPEST * np.square(seed_map.astype(np.float64) / 255)
    radius = math.ceil(_REACH / zoom)
    depth = ndimage.gaussian_filter((measured + told) / 2, _SIGMA / zoom, mode="nearest", radius=radius)
    levels: NDArray[np.uint8] = np.rint(LEVELS * depth).astype(np.uint8)
    return levels


def iter_relief(
    seed_map: ArrayLike, inside: Runs, out: NDArray[np.uint8], zoom: float = 1.0, band: int | None = None
) -> Steps[None]:
    """Like :func:`relief`, as a job that fills `out` in bands of `band` rows; the values do not depend on it.

    Nothing that is more than ``DEEPEST`` and the reach of the smoothing away changes a pixel. The bands of wide
    pictures are cut: many low ones would mostly look at what is around them.
    """
    rows, columns = (band, _WIDE) if band else piece_shape(out.shape)

    def one(banded: tuple[slice, Progress]) -> Progress:
        part, progress = banded
        around, core = _around(part, out.shape[0], zoom)
        here = inside.paint(around.start, (around.stop - around.start, *out.shape[1:]), np.bool_)
        told = np.asarray(seed_map[around])
        for left in range(0, out.shape[-1], columns):
            across = slice(left, min(left + columns, out.shape[-1]))
            beside, middle = _around(across, out.shape[-1], zoom)
            out[part, ..., across] = relief(here[..., beside], told[..., beside], zoom)[core, ..., middle]
        return progress

    yield from side_by_side(one, bands(out.shape, rows, "Finding objects"))


def piece_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    """Rows (of the first axis) and columns (of the last) that are looked at at once."""
    rows = shared_rows(shape)
    if len(shape) != 2 or rows >= min(_TALL, shape[0]):
        return rows, shape[-1]
    return _TALL, _WIDE


def _around(part: slice, size: int, zoom: float) -> tuple[slice, slice]:
    """A range of an axis with what has a say in it, and where the range is in that."""
    low, high = max(0, part.start - reach(zoom)), min(size, part.stop + reach(zoom))
    return slice(low, high), slice(part.start - low, part.stop - low)


def reach(zoom: float) -> int:
    """How many rows around a band have a say in it."""
    return math.ceil(DEEPEST / zoom) + math.ceil(_REACH / zoom)


def filled(inside: Runs, outside: Runs, shape: tuple[int, ...]) -> Runs:
    """The foreground with its small holes filled.

    Parameters
    ----------
    inside
        Runs of the foreground.
    outside
        Runs of everything else.
    shape
        Of the whole array.

    Returns
    -------
    Runs
        Of the foreground; value: component, from 1.
    """
    inside = inside.valued(components(inside, shape) + 1)
    if not len(inside) or not len(outside):
        return inside
    hole = components(outside, shape)
    _, first = np.unique(hole, return_index=True)
    left = np.searchsorted(inside.start, outside.start[first] - 1, side="right") - 1
    around = np.bincount(inside.value, inside.length)[inside.value[left]]
    small = np.bincount(hole, outside.length) <= HOLE_SHARE * around
    open_ = np.zeros(len(small), bool)
    open_[hole[_at_border(outside, shape)]] = True
    chosen = outside[np.flatnonzero((small & ~open_)[hole])]
    if not len(chosen):
        return inside
    whole = Runs.joined([inside.valued(np.ones(len(inside), np.int32)), chosen]).merged(shape[-1])
    return whole.valued(components(whole, shape) + 1)


def _at_border(runs: Runs, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Whether each run touches the border of the array."""
    *leading, first = np.unravel_index(runs.start, shape)
    touches: NDArray[np.bool_] = (first == 0) | (runs.stop % shape[-1] == 0)
    for place, size in zip(leading, shape, strict=False):
        touches |= (place == 0) | (place == size - 1)
    return touches
