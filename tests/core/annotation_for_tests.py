"""Labels, headers and pictures for tests of corrections."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from napari_unetstyle.core.annotation.journal_header import Header
from napari_unetstyle.core.imaging.image import as_image


def blobs(seed, shape=(24, 30), dtype=np.int32):
    field = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2)
    return ndimage.label(field > 0.05)[0].astype(dtype)


def header(labels, path=None, **changes):
    return Header.of("slide7 nuclei", picture(labels.shape), labels.dtype, path, **{"created": 1.0, **changes})


def picture(shape=(24, 30), axes=None, name="slide7"):
    return as_image(np.zeros(shape, np.uint8), axes=axes or "TZYX"[-len(shape) :], name=name)


def stroke(labels, rng):
    """Paint one brush stroke with a random id somewhere, at once."""
    center = [rng.integers(n) for n in labels.shape]
    box = tuple(slice(max(0, c - 3), c + 4) for c in center[-2:])
    labels[(*center[:-2], *box)] = rng.integers(0, 20)
