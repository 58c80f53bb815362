"""Surfaces of classes, and how far they are from each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.metrics.pair import Box, Piece, ranks
from napari_unetstyle.core.progress import Progress, Steps

_POINTS = 2**15  # distances found at once
_LEAF = 64
_NEAR = 8  # pixels that a tree finds in no time
_TREE_COST = 200  # pixels of a distance transform that take as long as a far point in the tree
_LARGEST_BOX = 2**25  # pixels, of 13 bytes each
_SLACK = 1 + 1e-6  # 3 steps of 0.7 mm are within 2.1 mm, whatever the last bit says

Frame = tuple[int, ...]


class Surfaces:
    """The surface pixels of every class of one label array, as places in their frame; added up from pieces."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        self._places: dict[tuple[int, Frame], list[NDArray[np.int64]]] = {}

    def add(self, labels: NDArray[Any], piece: Piece) -> None:
        """Find the surface pixels inside the box of a piece, which has one pixel around it."""
        for value, pixels in _surface_pixels(labels, piece.inner, piece.ignored):
            places = np.ravel_multi_index(
                tuple(p + s.start for p, s in zip(pixels, piece.box, strict=True)), self._shape
            )
            self._places.setdefault((value, piece.frame), []).append(places)

    def places(self, value: int, frame: Frame) -> NDArray[np.int64]:
        """Flat indices, each once."""
        parts = self._places.get((value, frame))
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def _surface_pixels(
    labels: NDArray[Any], inner: Box, ignored: NDArray[np.bool_] | None
) -> Iterator[tuple[int, tuple[NDArray[np.intp], ...]]]:
    """Value and surface pixels, relative to `inner`, of each class in it."""
    from scipy import ndimage

    values = np.unique(labels[inner])
    boxes = ndimage.find_objects(ranks(values, labels[inner]) + 1, len(values))
    for value, found in zip(values.tolist(), boxes, strict=True):
        if not value or found is None:
            continue
        low = [f.start + i.start for f, i in zip(found, inner, strict=True)]
        high = [f.stop + i.start for f, i in zip(found, inner, strict=True)]
        around = tuple(slice(max(a - 1, 0), b + 1) for a, b in zip(low, high, strict=True))
        core = tuple(slice(a - s.start, b - s.start) for a, b, s in zip(low, high, around, strict=True))
        inside = labels[around] == value
        solid = inside if ignored is None else inside | ignored[around]
        surface = inside & ~ndimage.binary_erosion(solid)
        if ignored is not None:
            surface &= ~ignored[around]
        pixels = np.nonzero(surface[core])
        yield value, tuple(p + f.start for p, f in zip(pixels, found, strict=True))


@dataclass(frozen=True, kw_only=True, eq=False)
class SurfaceDistances:
    """Distances between the surfaces of a class in prediction and truth.

    Attributes
    ----------
    to_truth
        From each surface pixel of the prediction to the nearest one of the truth in the same frame.
    to_prediction
        The other way round. Infinite where the other surface has no pixel.
    """

    to_truth: NDArray[np.float64]
    to_prediction: NDArray[np.float64]

    def scores(self, tolerance: float | None) -> dict[str, float]:
        """``hd95``, ``assd`` and (with a tolerance) ``nsd``; 0, 0 and 1 where neither has a surface."""
        both = np.concatenate([self.to_truth, self.to_prediction])
        if not both.size:
            return {"hd95": 0.0, "assd": 0.0} | ({} if tolerance is None else {"nsd": 1.0})
        scores = {"hd95": max(_percentile95(d) for d in (self.to_truth, self.to_prediction)), "assd": both.mean()}
        if tolerance is not None:
            scores["nsd"] = np.mean(both <= tolerance * _SLACK)
        return {name: float(score) for name, score in scores.items()}


def _percentile95(distances: NDArray[np.float64]) -> float:
    """0 if there is nothing; infinite as soon as an infinite distance takes part."""
    if not distances.size:
        return 0.0
    with np.errstate(invalid="ignore"):
        found = float(np.percentile(distances, 95))
    return float("inf") if np.isnan(found) else found


def iter_distances(
    predicted: Surfaces, true: Surfaces, value: int, frames: list[Frame], spacing: tuple[float, ...]
) -> Steps[SurfaceDistances]:
    """Distances of a class, frame by frame, as a job."""
    to_truth, to_prediction = [np.zeros(0)], [np.zeros(0)]
    for i, frame in enumerate(frames):
        pair = predicted.places(value, frame), true.places(value, frame)
        for start, goal, found in ((*pair, to_truth), (*pair[::-1], to_prediction)):
            for part in _directed(start, goal, true._shape, spacing):
                found.append(part)
                yield Progress(i, len(frames), "distances")
    return SurfaceDistances(to_truth=np.concatenate(to_truth), to_prediction=np.concatenate(to_prediction))


def _directed(
    start: NDArray[np.int64], goal: NDArray[np.int64], shape: tuple[int, ...], spacing: tuple[float, ...]
) -> Iterator[NDArray[np.float64]]:
    """Distances from `start` to the nearest of `goal`, in parts, in any order.

    Near pixels are found in a tree. Its cost grows without measure where a surface lies far around the other, so the
    rest goes through a distance transform of the box around both, unless they are few or the box is huge.
    """
    if not goal.size:
        yield np.full(start.size, np.inf)
        return
    from scipy.spatial import KDTree

    apart = start[~np.isin(start, goal, assume_unique=True)]
    yield np.zeros(start.size - apart.size)
    if not apart.size:
        return
    tree = KDTree(_points(goal, shape, spacing), leafsize=_LEAF, balanced_tree=False, compact_nodes=False)
    far = []
    for part in _parts(apart):
        found = np.asarray(tree.query(_points(part, shape, spacing), distance_upper_bound=_NEAR * max(spacing))[0])
        far.append(part[np.isinf(found)])
        yield found[np.isfinite(found)]
    rest = np.concatenate(far)
    if rest.size * _TREE_COST > (volume := _box_volume(rest, goal, shape)) and volume <= _LARGEST_BOX:
        yield _by_transform(rest, goal, shape, spacing)
        return
    for part in _parts(rest):
        yield np.asarray(tree.query(_points(part, shape, spacing))[0])


def _by_transform(
    start: NDArray[np.int64], goal: NDArray[np.int64], shape: tuple[int, ...], spacing: tuple[float, ...]
) -> NDArray[np.float64]:
    from scipy import ndimage

    low, high = _bounds(start, goal, shape)
    at, to = (tuple(np.stack(np.unravel_index(p, shape)) - low[:, None]) for p in (start, goal))
    is_elsewhere = np.ones(high - low, bool)
    is_elsewhere[to] = False
    # indices alone take a fifth of the memory of distances
    nearest = ndimage.distance_transform_edt(is_elsewhere, spacing, return_distances=False, return_indices=True)
    steps = np.stack(at) - nearest[(slice(None), *at)]
    distances: NDArray[np.float64] = np.linalg.norm(steps * np.asarray(spacing)[:, None], axis=0)
    return distances


def _bounds(
    start: NDArray[np.int64], goal: NDArray[np.int64], shape: tuple[int, ...]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Corners of the box around both."""
    ends = [np.stack(np.unravel_index(places, shape)) for places in (start, goal)]
    return np.min([e.min(axis=1) for e in ends], axis=0), np.max([e.max(axis=1) for e in ends], axis=0) + 1


def _box_volume(start: NDArray[np.int64], goal: NDArray[np.int64], shape: tuple[int, ...]) -> int:
    if not start.size:
        return 0
    low, high = _bounds(start, goal, shape)
    return int(np.prod(high - low))


def _parts(places: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    for first in range(0, places.size, _POINTS):
        yield places[first : first + _POINTS]


def _points(places: NDArray[np.int64], shape: tuple[int, ...], spacing: tuple[float, ...]) -> NDArray[np.float64]:
    points: NDArray[np.float64] = np.stack(np.unravel_index(places, shape), axis=1) * np.asarray(spacing)
    return points
