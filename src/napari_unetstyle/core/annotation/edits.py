"""Corrections of whole objects: what a brush cannot do. Each gives what is to be set where, and changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.annotation.corrections import Mask
from napari_unetstyle.core.errors import OptionError

Point = tuple[int, ...]

_LEVELS = 16  # tried for an outline
_FAINTEST = 5  # of 255; below that, probabilities are noise


@dataclass(frozen=True, kw_only=True, eq=False)
class Edit:
    """New labels at some places.

    Attributes
    ----------
    places
        Indices, one array for each axis, as of :func:`numpy.nonzero`.
    value
        For all of them.
    touched
        Objects that a person has decided on.
    """

    places: tuple[NDArray[np.intp], ...]
    value: int
    touched: frozenset[int]

    def applied(self, labels: NDArray[Any]) -> NDArray[Any]:
        """A copy of labels with the edit in it."""
        after = labels.copy()
        after[self.places] = self.value
        return after


def object_at(labels: NDArray[Any], point: Point) -> int:
    """The object at a place.

    Raises
    ------
    OptionError
        If there is none.
    """
    found = int(labels[point]) if all(0 <= p < n for p, n in zip(point, labels.shape, strict=True)) else 0
    if not found:
        raise OptionError("There is no object at this place. Click inside one.")
    return found


def free_id(labels: NDArray[Any]) -> int:
    """An id that no object has: the next one, or where their type ends the lowest.

    Raises
    ------
    OptionError
        If every id that the labels can hold is taken.
    """
    highest, last = max(int(labels.max(initial=0)), 0), int(np.iinfo(labels.dtype).max)
    if highest < last:
        return highest + 1
    used = np.unique(labels[labels > 0])
    gaps = np.flatnonzero(used != np.arange(1, len(used) + 1))
    if not len(gaps):
        raise OptionError(
            f"Labels of type {labels.dtype} hold ids up to {last}, and each of them is taken. Convert the labels to "
            "int32 (right-click on their layer), or delete an object first."
        )
    return int(gaps[0]) + 1


def delete(labels: NDArray[Any], point: Point) -> Edit:
    """Erase the object at a place, in all slices."""
    found = object_at(labels, point)
    return Edit(places=np.nonzero(labels == found), value=0, touched=frozenset())


def merge(labels: NDArray[Any], first: Point, second: Point) -> Edit:
    """Make the object at the second place a part of that at the first.

    Raises
    ------
    OptionError
        If both are the same.
    """
    kept, gone = object_at(labels, first), object_at(labels, second)
    if kept == gone:
        raise OptionError("Both places are in the same object. Click another one to merge it with.")
    return Edit(places=np.nonzero(labels == gone), value=kept, touched=frozenset({kept}))


def split(labels: NDArray[Any], first: Point, second: Point, spacing: tuple[float, ...] | None = None) -> Edit:
    """Part an object between two places: a watershed on the distance to its edge, seeded at both.

    Parameters
    ----------
    labels
        Objects.
    first, second
        Inside one object; the part around `second` becomes a new object.
    spacing
        Pixel size, where it differs between axes.

    Raises
    ------
    OptionError
        If the places are the same, or not in one object.
    """
    from scipy import ndimage
    from skimage.segmentation import watershed

    found = object_at(labels, first)
    if object_at(labels, second) != found or first == second:
        raise OptionError("Click two places inside the same object to split it between them.")
    box, inside = _box_of(labels, found)
    depth = ndimage.distance_transform_edt(np.pad(inside, 1), sampling=spacing)
    depth = depth[(slice(1, -1),) * inside.ndim]
    seeds = np.zeros(inside.shape, np.int32)
    for number, point in enumerate((first, second), 1):
        seeds[tuple(p - s.start for p, s in zip(point, box, strict=True))] = number
    parts = watershed(-depth, seeds, mask=inside)  # type: ignore[no-untyped-call]
    new = free_id(labels)
    return Edit(places=_shifted(np.nonzero(parts == 2), box), value=new, touched=frozenset({found, new}))


def cut(labels: NDArray[Any], path: Sequence[Point]) -> Edit:
    """Part an object along a line; in a volume, the line cuts through all slices.

    Parameters
    ----------
    labels
        Objects.
    path
        Places along the line. Of the objects that it crosses, the one is cut that most of it lies in; the smaller
        part becomes a new object, and the line itself goes to the part that is nearer.

    Raises
    ------
    OptionError
        If the line crosses no object, or leaves it in one piece.
    """
    from scipy import ndimage

    line = _line([point[-2:] for point in path], labels.shape[-2:])
    crossed = labels[(*path[0][:-2], *line)]
    if not crossed.any():
        raise OptionError("There is no object on this line. Draw it across one.")
    ids, lengths = np.unique(crossed[crossed > 0], return_counts=True)  # ids can be large
    found = int(ids[lengths.argmax()])
    box, inside = _box_of(labels, found)
    wall = np.zeros(labels.shape[-2:], bool)
    wall[line] = True
    on_line = inside & wall[box[-2:]]
    parts, _ = ndimage.label(inside & ~on_line)  # neighbors by a side, so that a slanted line has no gaps
    beside = np.unique(parts[ndimage.binary_dilation(on_line)])
    beside = beside[beside > 0]
    if len(beside) < 2:
        raise OptionError("The line leaves the object in one piece. Draw it from one edge to the other.")
    kept, smaller = beside[np.argsort(-np.bincount(parts.ravel())[beside], kind="stable")][:2]
    nearest = ndimage.distance_transform_edt(
        ~np.isin(parts, (kept, smaller)), return_distances=False, return_indices=True
    )
    goes = (parts == smaller) | (on_line & (parts[tuple(nearest)] == smaller))
    new = free_id(labels)
    return Edit(places=_shifted(np.nonzero(goes), box), value=new, touched=frozenset({found, new}))


def add(probabilities: NDArray[np.uint8], labels: NDArray[Any], point: Point, reach: int = 40) -> Edit:
    """Outline a missed object from the probabilities that a run left.

    Of the connected regions around the place that are more probable than some level, the one is taken whose border
    has the steepest slope, so that a faint object gets its own edge and not the level that bright ones are cut at.

    Parameters
    ----------
    probabilities
        Foreground, uint8 ``(*spatial,)``.
    labels
        Objects, of the same shape; only background is taken.
    point
        Inside the missed object.
    reach
        Largest distance in pixels from the place to the object's edge.

    Raises
    ------
    OptionError
        If there is an object already, or nothing that stands out.
    """
    from scipy import ndimage

    if labels[point]:
        raise OptionError("There is an object at this place already. Click beside it, or paint.")
    box = tuple(slice(max(0, p - reach), min(n, p + reach + 1)) for p, n in zip(point, labels.shape, strict=True))
    seed = tuple(p - s.start for p, s in zip(point, box, strict=True))
    field = ndimage.gaussian_filter(probabilities[box].astype(np.float32), 1.0)
    free = labels[box] == 0
    slope = ndimage.gaussian_gradient_magnitude(probabilities[box].astype(np.float32), 1.0)
    best, steepest = None, 0.0
    for level in np.linspace(0.15, 0.9, _LEVELS) * field[seed]:
        region = _region(free & (field >= level), seed)
        rim = region & ~ndimage.binary_erosion(region, border_value=1)
        if _is_cut(region, box, labels.shape) or not rim.any():
            continue
        mean = float(slope[rim].mean())
        if mean > steepest:
            best, steepest = region, mean
    if best is None or field[seed] < _FAINTEST:
        raise OptionError("Nothing stands out at this place in what the model saw. Paint the object instead.")
    filled = ndimage.binary_fill_holes(best) & free
    new = free_id(labels)
    return Edit(places=_shifted(np.nonzero(filled), box), value=new, touched=frozenset({new}))


def nothing(labels: NDArray[Any], region: Mask) -> Edit:
    """Erase all that is in a region, cutting objects at its border."""
    return Edit(places=np.nonzero(region & (labels != 0)), value=0, touched=frozenset())


def relabel(classes: NDArray[Any], point: Point, value: int) -> Edit:
    """Give the connected area at a place another class.

    Raises
    ------
    OptionError
        If there is none.
    """
    from scipy import ndimage

    found = object_at(classes, point)
    parts, _ = ndimage.label(classes == found)
    return Edit(places=np.nonzero(parts == parts[point]), value=value, touched=frozenset())


def between(labels: NDArray[Any], value: int, index: int) -> Edit:
    """Fill the slices between the two nearest ones that have an object, by interpolating its shape.

    The shape in between is where the signed distances to its edge, mixed in proportion, are positive (Raya and Udupa
    1990). Only background is filled.

    Parameters
    ----------
    labels
        ``(Z, Y, X)``, or time in place of Z.
    value
        The object, or class.
    index
        A slice between the two.

    Raises
    ------
    OptionError
        If the object is not in a slice on either side, or no slice between them lacks it.
    """
    has = np.flatnonzero((labels == value).any(axis=tuple(range(1, labels.ndim))))
    below, above = has[has < index], has[has > index]
    if index in has or not len(below) or not len(above):
        raise OptionError(
            f"Object {value} has to be in a slice before and in one after this one, and not in this one. Paint it in "
            "two slices and go between them."
        )
    first, last = int(below[-1]), int(above[0])
    low, high = _signed_distance(labels[first] == value), _signed_distance(labels[last] == value)
    filled = np.zeros(labels.shape, bool)
    for z in range(first + 1, last):
        share = (z - first) / (last - first)
        filled[z] = ((1 - share) * low + share * high > 0) & (labels[z] == 0)
    return Edit(places=np.nonzero(filled), value=value, touched=frozenset({value}))


def outside_range(pixels: NDArray[Any], painted: Mask, low: float, high: float) -> Mask:
    """What of a stroke is to be taken back, as its intensity is not between `low` and `high` (both included)."""
    return painted & ~((pixels >= low) & (pixels <= high))


def _line(path: Sequence[Point], shape: tuple[int, ...]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The pixels of a line through places, as far as it lies in the picture."""
    from skimage.draw import line

    ends = zip(path, path[1:] or path, strict=False)
    rows, columns = (np.concatenate(axis) for axis in zip(*(line(*a, *b) for a, b in ends), strict=True))  # type: ignore[no-untyped-call]
    is_inside = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
    return rows[is_inside], columns[is_inside]


def _signed_distance(mask: Mask) -> NDArray[np.float64]:
    from scipy import ndimage

    inside, outside = ndimage.distance_transform_edt(mask), ndimage.distance_transform_edt(~mask)
    signed: NDArray[np.float64] = np.where(mask, inside - 0.5, 0.5 - outside)
    return signed


def _box_of(labels: NDArray[Any], value: int) -> tuple[tuple[slice, ...], Mask]:
    places = np.nonzero(labels == value)
    box = tuple(slice(int(p.min()), int(p.max()) + 1) for p in places)
    return box, labels[box] == value


def _shifted(places: tuple[NDArray[np.intp], ...], box: tuple[slice, ...]) -> tuple[NDArray[np.intp], ...]:
    return tuple(p + s.start for p, s in zip(places, box, strict=True))


def _region(mask: Mask, seed: Point) -> Mask:
    from scipy import ndimage

    parts, _ = ndimage.label(mask)
    region: Mask = (parts == parts[seed]) & mask
    return region


def _is_cut(region: Mask, box: tuple[slice, ...], shape: tuple[int, ...]) -> bool:
    """Whether a region reaches a side of its window that is none of the picture."""
    for axis, (side, n) in enumerate(zip(box, shape, strict=True)):
        ends = [0] if side.start > 0 else []
        ends += [-1] if side.stop < n else []
        if any(np.take(region, end, axis).any() for end in ends):
            return True
    return False
