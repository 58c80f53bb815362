"""Measurements of objects: size, shape, and intensity per channel and per stain.

The values are those of scikit-image's ``regionprops`` (solidity apart, see there) but found for all objects at
once from their runs, several times faster, so that a table can follow a brush.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.errors import ImageError, OptionError
from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.imaging.image import Frame, Image
from napari_unetstyle.core.progress import Progress, Steps, run, share
from napari_unetstyle.core.segmentation.postprocessing import bands
from napari_unetstyle.core.segmentation.result import Table
from napari_unetstyle.core.segmentation.runs import Runs
from napari_unetstyle.core.segmentation.surface import iter_surface_areas
from napari_unetstyle.core.segmentation.table import sizes

STAINS = {"hed": ("hematoxylin", "eosin", "dab"), "hdx": ("hematoxylin", "dab")}
"""Separations by scikit-image's matrices (Ruifrok and Johnston 2001), and the stains that each gives."""

_HULLS_AT_ONCE = 500


def measure(
    labels: NDArray[Any],
    image: Image | None = None,
    *,
    geometry: Geometry | None = None,
    classes: Mapping[int, str] | None = None,
    stains: str | None = None,
    only: Collection[int] | None = None,
    dims: int | None = None,
) -> Table:
    """A row of measurements for each object.

    Parameters
    ----------
    labels
        Ids, 0 is background; the last `dims` axes are spatial, those before are frames (each measured by itself).
    image
        The picture, for intensities; its label axes are those of `labels`.
    geometry
        Pixel size; that of the picture if not given.
    classes
        Name of the class of each id.
    stains
        ``"hed"`` (hematoxylin, eosin, DAB) or ``"hdx"`` (hematoxylin, DAB) to measure the stains of an RGB
        picture, too.
    only
        Measure these ids only.
    dims
        2 or 3; the number of spatial axes if not given.

    Returns
    -------
    dict
        Columns of equal length, rows in the order of frames and ids: ``label``, ``frame_t`` … (if there are
        frames), ``class_name`` (with `classes`); ``area`` in pixels (voxels in 3D) and ``area_um2``
        (``volume_um3``; ``volume_mm3`` and ``volume_ml``); ``surface_um2`` (3D, see
        :func:`~napari_unetstyle.core.segmentation.surface.surface_area`);
        lengths in pixels, or with the unit in the column's name if the pixel size is known:
        ``equivalent_diameter`` of the disk (ball) of the same size, ``major_axis`` and ``minor_axis`` of the
        ellipse (ellipsoid) with the same second moments, ``perimeter`` (2D, square pixels); ``eccentricity``
        (2D), ``orientation`` (2D: from the Y axis to the major axis, counterclockwise, in degrees from -90 to
        90), ``circularity`` (``4 pi area / perimeter**2``, at most 1), ``solidity`` (share of the convex hull of
        all pixel corners; scikit-image counts the pixels inside the hull instead); ``centroid_y`` … and
        the half-open bounding box ``box_y0, box_x0, box_y1, box_x1`` in pixels; then ``mean``, ``std``, ``min``
        and ``max`` of each channel and stain, with its name behind if there are several (a stain's are optical
        densities). An intensity is NaN if one of the object's pixels is.

    Raises
    ------
    ImageError
        If labels and picture do not fit, or stains are asked of a picture without colors.
    OptionError
        If `stains` is not known.
    """
    steps = iter_measure(labels, image, geometry=geometry, classes=classes, stains=stains, only=only, dims=dims)
    return run(steps)


def iter_measure(
    labels: NDArray[Any],
    image: Image | None = None,
    *,
    geometry: Geometry | None = None,
    classes: Mapping[int, str] | None = None,
    stains: str | None = None,
    only: Collection[int] | None = None,
    dims: int | None = None,
) -> Steps[Table]:
    """Like :func:`measure`, as a job."""
    if image is not None and tuple(labels.shape) != image.label_shape:
        raise ImageError(
            f"The labels have shape {tuple(labels.shape)}, but the picture ({image.axes}) needs {image.label_shape}. "
            "Measure labels on the picture they were made for."
        )
    if stains:
        _check_stains(stains, image)
    geometry = geometry or (image.geometry if image else Geometry(spacing=(1.0,) * (dims or labels.ndim)))
    dims = dims or min(len(geometry.spacing), labels.ndim)
    geometry = geometry.sizes(dims)
    indices = list(np.ndindex(labels.shape[:-dims]))
    tables = []
    for i, index in enumerate(indices):
        frame = image.frame(index, dims) if image else None
        steps = _iter_frame(labels[index], frame, geometry, stains or "", only)
        table = yield from share(steps, i / len(indices), (i + 1) / len(indices))
        tables.append(_named(table, "TZYX"[-labels.ndim :] if image is None else image.label_axes, index, classes))
    return {column: np.concatenate([table[column] for table in tables]) for column in tables[0]}


def _check_stains(stains: str, image: Image | None) -> None:
    if stains not in STAINS:
        raise OptionError(f"Stains {stains!r} are not known: use one of {', '.join(STAINS)}.")
    if image is None or image.size("C") not in (3, 4):
        raise ImageError(
            f"Stains are separated in RGB pictures only; this one has {image.size('C') if image else 'no'} channels."
        )
    if np.dtype(image.array.dtype) not in (np.uint8, np.uint16) and np.dtype(image.array.dtype).kind != "f":
        raise ImageError(
            f"Stains need colors of 8 or 16 bits, or from 0 to 1; these are {image.array.dtype}. "
            "Convert the picture to 8 bits first."
        )


def _named(table: Table, axes: str, index: tuple[int, ...], classes: Mapping[int, str] | None) -> Table:
    rows = len(table["label"])
    first: Table = {"label": table["label"]}
    first |= {f"frame_{axis.lower()}": np.full(rows, i) for axis, i in zip(axes, index, strict=False)}
    if classes is not None:
        first["class_name"] = np.array([classes.get(label, "") for label in table["label"].tolist()], dtype=object)
    return first | table


@dataclass(frozen=True, kw_only=True, eq=False)
class _Objects:
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
    def of(cls, labels: NDArray[Any], only: Collection[int] | None) -> _Objects:
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


def _iter_frame(
    labels: NDArray[Any], frame: Frame | None, geometry: Geometry, stains: str, only: Collection[int] | None
) -> Steps[Table]:
    objects = _Objects.of(labels, only)
    yield Progress(1, 10, "Measuring")
    table: Table = {"label": objects.ids.astype(np.int64)}
    size = objects.sum(objects.runs.length)
    table |= {"area": size.astype(np.int64), **sizes(size, geometry, labels.ndim)}
    if labels.ndim == 3:
        steps = iter_surface_areas(labels, objects.ids, objects.low, objects.high, geometry.spacing)
        table[f"surface_{geometry.unit}2" if geometry.is_physical else "surface"] = yield from share(steps, 0.1, 0.4)
    table |= _moments(objects, geometry)
    if labels.ndim == 2 and math.isclose(*geometry.spacing, rel_tol=1e-3):
        perimeter = _perimeters(labels, objects)
        table[_length("perimeter", geometry)] = perimeter * geometry.spacing[0]
        table["circularity"] = np.minimum(1, 4 * np.pi * table["area"] / np.maximum(perimeter, 1) ** 2)
    yield Progress(5, 10, "Measuring")
    hulls = yield from share(_iter_hulls(objects), 0.5, 0.7)
    table["solidity"] = table["area"] / hulls
    table |= _places(objects)
    if frame is not None:
        table |= yield from share(_iter_intensities(objects, frame, stains), 0.7, 1.0)
    return table


def _length(name: str, geometry: Geometry) -> str:
    return f"{name}_{geometry.unit}" if geometry.is_physical else name


def _places(objects: _Objects) -> Table:
    axes = "zyx"[-len(objects.shape) :]
    size = objects.sum(objects.runs.length)
    first, last = (np.unravel_index(p, objects.shape) for p in (objects.runs.start, objects.runs.stop - 1))
    middles = [(a + b) / 2 * objects.runs.length for a, b in zip(first, last, strict=True)]
    columns = {f"centroid_{axis}": objects.sum(middle) / size for axis, middle in zip(axes, middles, strict=True)}
    columns |= {f"box_{axis}0": low for axis, low in zip(axes, objects.low, strict=True)}
    return columns | {f"box_{axis}1": high for axis, high in zip(axes, objects.high, strict=True)}


def _moments(objects: _Objects, geometry: Geometry) -> Table:
    """The disk or ball of the same size, and the ellipse or ellipsoid of the same second moments."""
    dims, area = len(objects.shape), objects.sum(objects.runs.length)
    table: Table = {}
    ball = math.pi ** (dims / 2) / math.gamma(dims / 2 + 1)  # of radius 1
    table[_length("equivalent_diameter", geometry)] = 2 * (area * geometry.pixel_size / ball) ** (1 / dims)
    covariance = _covariance(objects, area, geometry)
    spread = np.linalg.eigvalsh(covariance).clip(min=0)
    table[_length("major_axis", geometry)] = 2 * np.sqrt((dims + 2) * spread[:, -1])
    table[_length("minor_axis", geometry)] = 2 * np.sqrt((dims + 2) * spread[:, 0])
    if dims == 2:
        ratio = np.divide(spread[:, 0], spread[:, 1], out=np.ones(len(area)), where=spread[:, 1] > 0)
        table["eccentricity"] = np.sqrt(1 - ratio)
        yy, xx, yx = covariance[:, 0, 0], covariance[:, 1, 1], covariance[:, 0, 1]
        table["orientation"] = np.degrees(np.arctan2(2 * yx, yy - xx) / 2)
    return table


def _covariance(objects: _Objects, area: NDArray[np.float64], geometry: Geometry) -> NDArray[np.float64]:
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


def _perimeters(labels: NDArray[Any], objects: _Objects) -> NDArray[np.float64]:
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


def _iter_hulls(objects: _Objects) -> Steps[NDArray[np.float64]]:
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


class _Statistics:
    """Mean, deviation, minimum and maximum for each object, added up band by band (Chan et al. 1979)."""

    def __init__(self, channels: int, count: int) -> None:
        self._pixels = np.zeros(count)
        self._squares = np.zeros((channels, count))  # summed around the mean
        self.mean = np.zeros((channels, count))
        self.low, self.high = np.full((2, channels, count), [[[np.inf]], [[-np.inf]]])

    @np.errstate(all="ignore")  # NaN and Inf among the pixels come out as such
    def add(self, values: Iterable[NDArray[np.float64]], runs: Runs, member: NDArray[np.int64]) -> None:
        """Add the pixels of some runs of the objects `member`, channel by channel."""
        count = len(self._pixels)
        pixels = np.bincount(member, runs.length, minlength=count)
        total = np.maximum(self._pixels + pixels, 1)
        begins, of_pixel = np.cumsum(runs.length) - runs.length, np.repeat(member, runs.length)
        for channel, value in enumerate(values):
            mean = np.bincount(member, np.add.reduceat(value, begins), minlength=count) / np.maximum(pixels, 1)
            around = np.add.reduceat((value - mean[of_pixel]) ** 2, begins)
            apart = np.where(pixels > 0, mean - self.mean[channel], 0)
            self._squares[channel] += np.bincount(member, around, minlength=count)
            self._squares[channel] += apart**2 * self._pixels * pixels / total
            self.mean[channel] += apart * pixels / total
            np.minimum.at(self.low[channel], member, np.minimum.reduceat(value, begins))
            np.maximum.at(self.high[channel], member, np.maximum.reduceat(value, begins))
        self._pixels += pixels

    @property
    def deviation(self) -> NDArray[np.float64]:
        """Population standard deviation."""
        return np.sqrt(self._squares / np.maximum(self._pixels, 1))


def _iter_intensities(objects: _Objects, frame: Frame, stains: str) -> Steps[Table]:
    names = [*_channel_names(frame), *STAINS.get(stains, ())]
    statistics, plane = _Statistics(len(names), len(objects.ids)), math.prod(objects.shape[1:])
    for part, progress in bands(objects.shape, None, "Measuring intensities"):
        near = objects.runs.within(part.start * plane, part.stop * plane)
        runs, member = objects.runs[near], objects.member[near]
        if len(runs):
            pixels = frame.read(part).reshape(frame.channels, -1)[:, runs.positions() - part.start * plane]
            channels = (channel.astype(np.float64) for channel in pixels)
            statistics.add(chain(channels, _separated(pixels, stains)), runs, member)
        yield progress
    columns: Table = {}
    deviation = statistics.deviation
    for i, name in enumerate(f"_{name}" if name else "" for name in names):
        columns |= {f"mean{name}": statistics.mean[i], f"std{name}": deviation[i]}
        columns |= {f"min{name}": statistics.low[i], f"max{name}": statistics.high[i]}
    return columns


def _channel_names(frame: Frame) -> list[str]:
    """Names of the channels, all different; one channel needs none."""
    given = frame.image.channel_names
    if frame.channels == 1 and not given:
        return [""]
    if len(given) == frame.channels == len(set(given)):
        return list(given)
    if frame.channels in (3, 4) and frame.image.axes.endswith("C"):
        return ["red", "green", "blue", "alpha"][: frame.channels]
    return [f"channel{i}" for i in range(frame.channels)]


def _separated(pixels: NDArray[Any], stains: str) -> NDArray[np.float64]:
    """Optical density of each stain, from colors ``(C, n)``."""
    if not stains:
        return np.empty((0, pixels.shape[1]))
    from skimage import color

    if pixels.dtype.kind == "f" and pixels.size and pixels[:3].max() > 1:
        raise ImageError(
            f"Stains need colors of 8 or 16 bits, or from 0 to 1; these go up to {pixels[:3].max():.6g}. "
            "Convert the picture to 8 bits first."
        )
    matrix = color.hed_from_rgb if stains == "hed" else color.hdx_from_rgb
    densities: NDArray[np.float64] = color.separate_stains(pixels[:3].T, matrix).T
    return densities[: len(STAINS[stains])].astype(np.float64)
