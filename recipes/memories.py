"""The few pictures that a bundled model carries: training pictures to replay, validation pictures to check with.

Test pictures are never among them. They are chosen by a fixed seed and cut to at most 384 pixels a side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import splits
from numpy.typing import NDArray

from napari_unetstyle.core import SegmentOptions, as_image, run
from napari_unetstyle.core.annotation.known import UNKNOWN
from napari_unetstyle.core.models.memory import Memory, Role
from napari_unetstyle.core.models.model import Model
from napari_unetstyle.core.segmentation.fitting import iter_fit
from napari_unetstyle.core.training.patches import Example

SIDE = 384
COUNTS: Mapping[Role, int] = {"learn": 3, "check": 2}
PARTS: Mapping[Role, splits.Part] = {"learn": "train", "check": "val"}

Picture = tuple[NDArray[np.generic], NDArray[np.int32]]
"""Pixels ``(C, *spatial)`` and targets ``(2, *spatial)``."""


def memories(
    pictures: Mapping[splits.Part, Sequence[Picture]],
    seed: int = 0,
    brought: Callable[[Picture], Picture] = lambda picture: picture,
) -> list[Memory]:
    """Three training pictures and two validation pictures, fewer where there are no more, each `brought` to the pixel
    size of the model.
    """
    rng = np.random.default_rng(seed)
    chosen = []
    for role, count in COUNTS.items():
        known = pictures[PARTS[role]]
        for index in rng.permutation(len(known))[:count]:
            pixels, targets = brought(known[int(index)])
            box = tuple(
                slice((n - min(n, SIDE)) // 2, (n - min(n, SIDE)) // 2 + min(n, SIDE)) for n in targets.shape[1:]
            )
            chosen.append(Memory(pixels[(slice(None), *box)], targets[(slice(None), *box)].astype(np.int32), role))
    return chosen


def nuclei(data: Path, model: Model, domains: Sequence[str] = splits.NUCLEI) -> list[Memory]:
    """Of each domain of nuclei, at the scale at which a model sees them."""
    from nuclei import pictures, resized

    def of(domain: str, part: splits.Part) -> list[Picture]:
        return [
            (np.moveaxis(np.atleast_3d(pixels), -1, 0), _objects(ids)) for pixels, ids in pictures(data, domain, part)
        ]

    def brought(picture: Picture) -> Picture:
        pixels, targets = picture
        zoom = run(iter_fit(as_image(pixels, axes="CYX"), model, SegmentOptions())).scale[0]
        seen = resized(Example(pixels.astype(np.float32), targets), zoom)
        return np.rint(seen.image).clip(0, 255).astype(pixels.dtype), seen.labels

    return [m for d in domains for m in memories({"train": of(d, "train"), "val": of(d, "val")}, brought=brought)]


def _objects(ids: NDArray[np.generic]) -> NDArray[np.int32]:
    objects = np.asarray(ids).astype(np.int32)
    return np.stack([(objects > 0).astype(np.int32), objects])


def area_targets(classes: NDArray[np.generic]) -> NDArray[np.int32]:
    """Targets of areas: class values, and no objects known."""
    values = np.asarray(classes).astype(np.int32)
    return np.stack([values, np.full_like(values, UNKNOWN)])
