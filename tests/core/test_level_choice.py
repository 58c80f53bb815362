"""Options in pixels of the finest level, told in pixels of another."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unetstyle.core import SegmentOptions, as_image
from napari_unetstyle.core.imaging.levels import LevelGrid
from napari_unetstyle.core.segmentation.level_choice import on_grid


@pytest.mark.parametrize(
    ("axes", "factor", "pixels"),
    [("YX", (2.0, 2.0), 20), ("ZYX", (1.0, 2.0, 2.0), 20), ("ZYX", (2.0, 2.0, 2.0), 10), ("YXC", (4.0, 4.0, 1.0), 5)],
)
def test_the_smallest_object_is_as_large_on_every_level(axes, factor, pixels):
    image = as_image(np.zeros((8,) * len(axes)), axes=axes)
    grid = LevelGrid(index=1, factor=factor, offset=(0.0,) * len(axes))
    assert on_grid(SegmentOptions(min_pixels=80), grid, image).min_pixels == pixels
