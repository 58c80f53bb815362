"""Place, size and shape of all objects of a picture at once, from their runs."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.progress import Progress, Steps
from napari_unetstyle.core.segmentation.postprocessing import bands
from napari_unetstyle.core.segmentation.result import Table
from napari_unetstyle.core.segmentation.runs import Runs

_HULLS_AT_ONCE = 500


@dataclass(frozen=True, kw_only=True, eq=False)
class MeasuredObjects:
    """The objects of one picture or volume.

    Attributes
    ----------
    ids
        Sorted, without gaps in `member`.
    runs, member
        Their runs, and for each the index into `ids`.
    shape
        Of the picture.
    low, high
        ``(dims, n)``: half-open bounding boxes.
    """

    ids: NDArray[Any]
    runs: Runs
    member: NDArray[np.int64]
    shape: tuple[int, ...]
    low: NDArray[np.int64]
    high: NDArray[np.int64]

    @classmethod
    def of(cls, labels: NDArray[Any], only: Collection[int] | None) -> MeasuredObjects:
        """All of a picture, or those with the ids `only`."""
        runs = Runs.joined([Runs.of(np.asarray(labels[part]), part.start) for part, _ in bands(labels.shape)])
        if only is not None:
            runs = runs[np.flatnonzero(np.isin(runs.value, list(only)))]
        ids, member = np.unique(runs.value, return_inverse=True)
        low = np.full((labels.ndim, len(ids)), max(labels.shape))
        high = np.zeros_like(low)
        first, last = np.unravel_index(runs.start, labels.shape), np.unravel_index(runs.stop - 1, labels.shape)
        for axis in range(labels.ndim):
            np.minimum.at(low[axis], member, first[axis])
            np.maximum.at(high[axis], member, last[axis] + 1)
        return cls(ids=ids, runs=runs, member=member, shape=tuple(labels.shape), low=low, high=high)

    def sum(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Add up a value of each run for each object."""
        weights = np.asarray(values, np.float64)
        return np.bincount(self.member, weights, minlength=len(self.ids)).astype(np.float64)


def length_column(name: str, geometry: Geometry) -> str:
    """Name of a column of lengths, with the unit if the pixel size is known."""
    return f"{name}_{geometry.unit}" if geometry.is_physical else name


def places(objects: MeasuredObjects) -> Table:
    """Middles and half-open bounding boxes, in pixels."""
    axes = "zyx"[-len(objects.shape) :]
    size = objects.sum(objects.runs.length)
    first, last = (np.unravel_index(p, objects.shape) for p in (objects.runs.start, objects.runs.stop - 1))
    middles = [(a + b) / 2 * objects.runs.length for a, b in zip(first, last, strict=True)]
    columns = {f"centroid_{axis}": objects.sum(middle) / size for axis, middle in zip(axes, middles, strict=True)}
    columns |= {f"box_{axis}0": low for axis, low in zip(axes, objects.low, strict=True)}
    return columns | {f"box_{axis}1": high for axis, high in zip(axes, objects.high, strict=True)}


def moments(objects: MeasuredObjects, geometry: Geometry) -> Table:
    """The disk or ball of the same size, and the ellipse or ellipsoid of the same second moments."""
    dims, area = len(objects.shape), objects.sum(objects.runs.length)
    table: Table = {}
    ball = math.pi ** (dims / 2) / math.gamma(dims / 2 + 1)  # of radius 1
    table[length_column("equivalent_diameter", geometry)] = 2 * (area * geometry.pixel_size / ball) ** (1 / dims)
    covariance = _covariance(objects, area, geometry)
    spread = np.linalg.eigvalsh(covariance).clip(min=0)
    table[length_column("major_axis", geometry)] = 2 * np.sqrt((dims + 2) * spread[:, -1])
    table[length_column("minor_axis", geometry)] = 2 * np.sqrt((dims + 2) * spread[:, 0])
    if dims == 2:
        ratio = np.divide(spread[:, 0], spread[:, 1], out=np.ones(len(area)), where=spread[:, 1] > 0)
        table["eccentricity"] = np.sqrt(1 - ratio)
        yy, xx, yx = covariance[:, 0, 0], covariance[:, 1, 1], covariance[:, 0, 1]
        table["orientation"] = np.degrees(np.arctan2(2 * yx, yy - xx) / 2)
    return table


def _covariance(objects: MeasuredObjects, area: NDArray[np.float64], geometry: Geometry) -> NDArray[np.float64]:
    """Of the pixel centers of each object, ``(n, dims, dims)``, in the unit of the geometry squared."""
    runs, dims = objects.runs, len(objects.shape)
    first = np.stack(np.unravel_index(runs.start, objects.shape)) - objects.low[:, objects.member]
    middle = first.astype(np.float64)
    middle[-1] += (runs.length - 1) / 2
    mean = np.stack([objects.sum(m * runs.length) for m in middle]) / area
    covariance = np.empty((len(area), dims, dims))
    for a in range(dims):
        for b in range(dims):
            second = middle[a] * middle[b] * runs.length
            if a == b == dims - 1:
                second += runs.length * (runs.length**2 - 1) / 12  # within the run itself
            covariance[:, a, b] = (objects.sum(second) / area - mean[a] * mean[b]) * (
                geometry.spacing[a] * geometry.spacing[b]
            )
    return covariance


def perimeters(labels: NDArray[Any], objects: MeasuredObjects) -> NDArray[np.float64]:
    """Length of the line through the centers of the border pixels (Benkrid and Crookes 2000), in pixels."""
    total = np.zeros(len(objects.ids))
    if not len(objects.ids):
        return total
    (top, left), (bottom, right) = objects.low.min(axis=1), objects.high.max(axis=1)
    columns = slice(max(left - 1, 0), right + 1)
    for part, _ in bands((int(bottom - top), int(right - left))):
        first, last = top + part.start, top + part.stop
        rows = slice(max(first - 2, 0), last + 2)
        block = np.pad(np.asarray(labels[rows, columns]), ((2 - (first - rows.start), 2), (2, 2)))
        ids, steps = _border_steps(block, last - first)
        index = np.searchsorted(objects.ids, ids)
        ours = objects.ids[np.minimum(index, len(objects.ids) - 1)] == ids
        total += np.bincount(index[ours], steps[ours], minlength=len(total))
    return total


def _border_steps(block: NDArray[Any], rows: int) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Id of each border pixel of the `rows` rows from the third on, and the length of line that it stands for."""
    width = block.shape[1]
    flat = block.reshape(-1)
    inner = np.zeros(block.shape, bool)
    center = block[1:-1, 1:-1]
    inner[1:-1, 1:-1] = (center == block[:-2, 1:-1]) & (center == block[2:, 1:-1])
    inner[1:-1, 1:-1] &= (center == block[1:-1, :-2]) & (center == block[1:-1, 2:])
    border = ((block != 0) & ~inner).reshape(-1)
    pixels = np.flatnonzero(border[2 * width : (rows + 2) * width]) + 2 * width
    code = np.ones(len(pixels), np.int64)
    for offset, weight in ((1, 2), (width, 2), (width - 1, 10), (width + 1, 10)):
        for other in (pixels - offset, pixels + offset):
            code += weight * (border[other] & (flat[other] == flat[pixels]))
    lengths = np.zeros(51)
    lengths[[5, 7, 15, 17, 25, 27]] = 1
    lengths[[21, 33]] = math.sqrt(2)
    lengths[[13, 23]] = (1 + math.sqrt(2)) / 2
    return flat[pixels], lengths[code]


def iter_hulls(objects: MeasuredObjects) -> Steps[NDArray[np.float64]]:
    """Area (volume) of the convex hull of each object's pixel corners."""
    from scipy.spatial import ConvexHull

    order = np.argsort(objects.member, kind="stable")
    ends = np.searchsorted(objects.member[order], np.arange(len(objects.ids) + 1))
    first = np.stack(np.unravel_index(objects.runs.start[order], objects.shape), axis=1)
    last = np.stack(np.unravel_index(objects.runs.stop[order] - 1, objects.shape), axis=1) + 1
    ends_of_runs = np.stack([first, last])
    corners = np.array(list(np.ndindex((2,) * len(objects.shape))))
    points = np.stack([ends_of_runs[corner, :, np.arange(len(corner))].T for corner in corners], axis=1)
    hulls = np.empty(len(objects.ids))
    for i in range(len(hulls)):
        hulls[i] = ConvexHull(points[ends[i] : ends[i + 1]].reshape(-1, len(objects.shape))).volume
        if i % _HULLS_AT_ONCE == 0:
            yield Progress(i, len(hulls), "Measuring shapes")
    return hulls
