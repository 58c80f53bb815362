"""Scattered components of a large picture, laid side by side on small arrays where library code can work on them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.segmentation.runs import Positions, Runs

UNKNOWN = -1  # the seed of what lies outside a window
_CANVAS_PIXELS = 2**16  # flooded at once; a watershed jumps about, so it should fit the cache


@dataclass(frozen=True, kw_only=True, eq=False)
class Canvas:
    """A small array on which components lie side by side, far enough apart not to touch.

    Attributes
    ----------
    runs
        Indices of the runs on it.
    start
        Flat position of each of them on the canvas.
    shape
        Of the canvas.
    """

    runs: Positions
    start: Positions
    shape: tuple[int, ...]

    def tops(self, there: Positions, height: NDArray[np.uint8], rise: int) -> NDArray[np.bool_]:
        """Whether each pixel is on a top that rises by more than `rise` above the saddle to any higher one and above 0.

        Every component on the canvas has to have one.
        """
        from skimage.morphology import local_maxima

        relief = np.zeros(self.shape, np.uint8)
        relief.reshape(-1)[there] = height
        if rise:
            relief = reconstructed(np.maximum(relief, rise) - np.uint8(rise), relief)
        tops: NDArray[np.bool_] = local_maxima(relief, connectivity=1).reshape(-1)[there]  # type: ignore[no-untyped-call]
        return tops

    def watershed(self, there: Positions, height: NDArray[np.float32], marker: NDArray[np.int32]) -> NDArray[np.int32]:
        """Flood the pixels at `there`, given with their seed or 0; returns the seed that each belongs to.

        Markers of equal height are taken in raster order, where the order of scikit-image's queue would depend
        on everything else in the array.
        """
        from skimage.segmentation import watershed

        elevation, markers = np.zeros(self.shape), np.zeros(self.shape, np.int32)
        mask = np.zeros(self.shape, bool)
        marked = np.flatnonzero(marker)
        unknown, rank = marker[marked] == UNKNOWN, (marked + 1) / (len(marker) + 1)
        elevation.reshape(-1)[there] = height
        elevation.reshape(-1)[there[marked]] = np.where(unknown, 0, height[marked]) - 1 - unknown + rank
        markers.reshape(-1)[there] = marker
        mask.reshape(-1)[there] = marker == 0
        front = _beside(mask) & (markers != 0)  # the inside of a seed has nothing to flood
        markers *= front
        mask |= front
        flooded: NDArray[np.int32] = watershed(elevation, markers, mask=mask).reshape(-1)[there]  # type: ignore[no-untyped-call]
        np.copyto(flooded, marker, where=marker != 0)
        return flooded


def reconstructed(marker: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Morphological reconstruction by dilation of `marker` under `mask` along faces, in `marker` itself.

    As by :func:`skimage.morphology.reconstruction`, which takes 66 bytes for each pixel where this takes one: rows take
    from the one before, forward and backward along each axis, until nothing changes.
    """
    before = np.zeros_like(marker)
    while not np.array_equal(before, marker):
        before[...] = marker
        for axis in range(marker.ndim):
            rows, limits = np.moveaxis(marker, axis, 0), np.moveaxis(mask, axis, 0)
            for ahead in (slice(None), slice(None, None, -1)):
                _carry(rows[ahead], limits[ahead])
    return marker


def _carry(rows: NDArray[np.uint8], limits: NDArray[np.uint8]) -> None:
    """Raise each row to the one before it, as far as its limit."""
    for before, row, limit in zip(rows, rows[1:], limits[1:], strict=False):
        np.maximum(row, before, out=row)
        np.minimum(row, limit, out=row)


def _beside(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where a face is shared with a pixel of `mask`."""
    beside = np.zeros_like(mask)
    for axis in range(mask.ndim):
        there, here = np.moveaxis(mask, axis, 0), np.moveaxis(beside, axis, 0)
        here[1:] |= there[:-1]
        here[:-1] |= there[1:]
    return beside


def canvases(runs: Runs, shape: tuple[int, ...]) -> Iterator[Canvas]:
    """Lay out components (`runs.value`), those of like height together."""
    _, component = np.unique(runs.value, return_inverse=True)
    count = int(component.max()) + 1
    low, high = np.stack(np.unravel_index(runs.start, shape)), np.stack(np.unravel_index(runs.stop - 1, shape))
    corner, extent = np.empty((len(shape), count), np.int64), np.empty((len(shape), count), np.int64)
    for axis in range(len(shape)):
        corner[axis], extent[axis] = shape[axis], 0
        np.minimum.at(corner[axis], component, low[axis])
        np.maximum.at(extent[axis], component, high[axis] + 1)
    extent -= corner
    order = np.lexsort(extent[:-1])
    group = np.empty(count, np.int64)
    group[order] = np.cumsum(np.prod(extent + 1, axis=0)[order]) // _CANVAS_PIXELS
    by_group = np.argsort(group[component], kind="stable")
    for chosen in np.split(by_group, np.flatnonzero(np.diff(group[component][by_group])) + 1):
        members, member = np.unique(component[chosen], return_inverse=True)
        width = extent[-1, members] + 1  # a column between neighbors
        canvas = (*extent[:-1, members].max(axis=1).tolist(), int(width.sum()))
        place = low[:, chosen] - corner[:, component[chosen]]
        place[-1] += (np.cumsum(width) - width)[member]
        yield Canvas(runs=chosen, start=np.ravel_multi_index(tuple(place), canvas), shape=canvas)
