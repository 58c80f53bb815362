"""What the network is to answer, computed from labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.training.patches import UNKNOWN

IGNORE = float("nan")
"""Marks pixels of a seed map that nobody has judged."""

Objects = NDArray[np.int32]
SeedMap = NDArray[np.float32]


def seed_target(objects: Objects, separation: str) -> SeedMap:
    """The seed map of objects ``(*spatial,)``, in 0..1; NaN where the object is unknown.

    High in the middle of an object, 0 on the background and low where two objects touch:

    ``"distance"``
        distance to the object's edge, over the largest such distance in the object;
    ``"boundary"``
        1 except on the rim, which is a sixth of that largest distance wide and at least 1.5 pixels;
    ``"center"``
        a Gaussian around the pixel farthest from the edge, half as wide as it lies deep.

    Only objects count: background is known only where it has been said that there is none.
    """
    target = _SEED_MAPS[separation](np.maximum(objects, 0)) if (objects > 0).any() else np.zeros(objects.shape)
    return np.where(objects == UNKNOWN, IGNORE, target).astype(np.float32)


def near_contact(objects: Objects, reach: int = 2) -> NDArray[np.bool_]:
    """Pixels from which two different objects lie within `reach` pixels: where they touch, or nearly.

    What decides whether two objects are told apart is a few pixels there; a loss has to weigh them
    (Ronneberger et al. 2015).
    """
    from scipy import ndimage

    beyond = np.iinfo(np.int32).max
    known = np.maximum(objects, 0)
    largest = ndimage.maximum_filter(known, 2 * reach + 1)
    smallest = ndimage.minimum_filter(np.where(known > 0, known, beyond), 2 * reach + 1)
    apart: NDArray[np.bool_] = (largest > 0) & (largest != smallest)
    return apart


def _depth(objects: Objects) -> tuple[NDArray[Any], NDArray[Any]]:
    """Distance of each object pixel to the nearest pixel that is not the object's, and the ids' deepest."""
    from scipy import ndimage

    from napari_unetstyle.core.training.patches import touching

    seam = touching(objects)
    inner = ndimage.distance_transform_edt((objects > 0) & ~seam)
    depth = np.where(seam, 0.5, inner)  # the edge runs between two seam pixels
    deepest = np.zeros(int(objects.max()) + 1)
    np.maximum.at(deepest, objects.ravel(), depth.ravel())
    return depth, deepest


def _distance(objects: Objects) -> NDArray[Any]:
    depth, deepest = _depth(objects)
    relative: NDArray[Any] = depth / np.maximum(deepest, 1.0)[objects]
    return relative


def _boundary(objects: Objects) -> NDArray[Any]:
    depth, deepest = _depth(objects)
    rim = np.maximum(deepest / 6, 1.5)[objects]
    return (objects > 0) & ((depth > rim) | (depth >= deepest[objects]))


def _center(objects: Objects) -> NDArray[Any]:
    depth, deepest = _depth(objects)
    flat = objects.ravel()
    tops = np.flatnonzero((depth.ravel() == deepest[flat]) & (flat > 0))
    ids, first = np.unique(flat[tops], return_index=True)
    middle = np.zeros((objects.ndim, int(objects.max()) + 1))
    middle[:, ids] = np.unravel_index(tops[first], objects.shape)
    grids: tuple[NDArray[Any], ...] = np.indices(objects.shape, sparse=True)
    squared = sum((grid - middle[axis][objects]) ** 2 for axis, grid in enumerate(grids))
    width = np.maximum(0.5 * deepest, 1.0)[objects]
    return np.where(objects > 0, np.exp(-squared / (2 * width**2)), 0.0)


_SEED_MAPS: dict[str, Callable[[Objects], NDArray[Any]]] = {
    "distance": _distance,
    "boundary": _boundary,
    "center": _center,
}
