"""A small annotated picture of bright discs on a dark ground."""

from __future__ import annotations

import numpy as np

from napari_unetstyle.core.training.patches import Example


def discs(shape=(96, 112), *, channels=3, count=7, seed=0) -> Example:
    """Discs of radius 5 to 8 that may touch; dims follow `shape`."""
    rng = np.random.default_rng(seed)
    objects = np.zeros(shape, np.int32)
    grid = np.indices(shape)
    for number in range(1, count + 1):
        middle = [rng.uniform(8, n - 8) for n in shape]
        radius = rng.uniform(5, 8)
        inside = sum((g - m) ** 2 for g, m in zip(grid, middle, strict=True)) < radius**2
        objects[inside & (objects == 0)] = number
    pixels = np.where(objects > 0, 180, 20) + rng.integers(0, 20, shape)
    return Example.of(np.repeat(pixels[np.newaxis].astype(np.uint8), channels, 0), objects)
