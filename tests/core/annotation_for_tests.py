"""Labels, headers and pictures for tests of corrections."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from napari_unetstyle.core.annotation.journal import Header, Picture


def blobs(seed, shape=(24, 30), dtype=np.int32):
    field = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2)
    return ndimage.label(field > 0.05)[0].astype(dtype)


def header(labels, path=None, **changes):
    axes = "TZYX"[-labels.ndim :]
    spatial = tuple(1.0 for a in axes if a in "ZYX")
    picture = Picture(name="slide7", path=path and str(path), axes=axes, spacing=spatial, unit="px")
    about = {"layer": "slide7 nuclei", "created": 1.0, **changes}
    return Header(picture=picture, shape=labels.shape, dtype=str(labels.dtype), **about)


def stroke(labels, rng):
    """Paint one brush stroke with a random id somewhere, at once."""
    center = [rng.integers(n) for n in labels.shape]
    box = tuple(slice(max(0, c - 3), c + 4) for c in center[-2:])
    labels[(*center[:-2], *box)] = rng.integers(0, 20)
