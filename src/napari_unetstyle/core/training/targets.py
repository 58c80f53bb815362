"""What the network is to answer, computed from labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.annotation.known import UNKNOWN
from napari_unetstyle.core.segmentation.relief import DEEPEST

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
    ``"depth"``
        the square root of the distance to the object's edge over 40 pixels, at most 1: unlike the others it can
        be told from a pixel's surroundings, without seeing the whole object. Models are run with this one.

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


def _scaled_depth(objects: Objects) -> NDArray[Any]:
    depth, _ = _depth(objects)
    scaled: NDArray[Any] = np.sqrt(np.minimum(depth / DEEPEST, 1))
    return scaled


def _boundary(objects: Objects) -> NDArray[Any]:
    depth, deepest = _depth(objects)
    rim = np.maximum(deepest / 6, 1.5)[objects]
    return (objects > 0) & ((depth > rim) | (depth >= deepest[objects]))


_SEED_MAPS: dict[str, Callable[[Objects], NDArray[Any]]] = {
    "distance": _distance,
    "depth": _scaled_depth,
    "boundary": _boundary,
}
