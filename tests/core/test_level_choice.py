"""Options in pixels of the finest level, told in pixels of another."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unetstyle.core import SegmentOptions, as_image
from napari_unetstyle.core.imaging.levels import LevelGrid
from napari_unetstyle.core.models.spec import InputSpec
from napari_unetstyle.core.segmentation.level_choice import on_grid, read_fitting
from tests.core.networks_for_tests import tiny_model
from tests.core.slides_for_tests import shrunk, stained, write_svs


@pytest.mark.parametrize(
    ("axes", "factor", "pixels"),
    [("YX", (2.0, 2.0), 20), ("ZYX", (1.0, 2.0, 2.0), 20), ("ZYX", (2.0, 2.0, 2.0), 10), ("YXC", (4.0, 4.0, 1.0), 5)],
)
def test_the_smallest_object_is_as_large_on_every_level(axes, factor, pixels):
    image = as_image(np.zeros((8,) * len(axes)), axes=axes)
    grid = LevelGrid(index=1, factor=factor, offset=(0.0,) * len(axes))
    assert on_grid(SegmentOptions(min_pixels=80), grid, image).min_pixels == pixels


@pytest.mark.parametrize(
    ("plane", "box", "frames"),
    [("YX", ((4, 5), (3, 6)), ((9,),)), ("ZX", ((8, 10), (3, 6)), ((4,),)), ("ZY", ((8, 10), (3, 6)), ((4,),))],
)
def test_a_part_of_a_slice_is_the_same_place_on_every_level(plane, box, frames):
    image = as_image(np.zeros((16, 8, 8)), axes="ZYX")
    grid = LevelGrid(index=1, factor=(1.0, 2.0, 2.0), offset=(0.0, 0.5, 0.5))
    options = SegmentOptions(plane=plane, box=((8, 10), (6, 12)), frames=((9,),))
    found = on_grid(options, grid, image)
    assert (found.box, found.frames) == (box, frames)


def test_models_that_fit_different_levels_are_given_the_finer_one(tmp_path):
    finest = stained((80, 96))
    path = write_svs(tmp_path / "slide.svs", [finest, shrunk(finest, 2), shrunk(finest, 4)])
    known = [InputSpec(channels="rgb", spacing=(size, size), unit="um") for size in (2.0, 1.0)]
    spec = tiny_model(tmp_path / "models").spec
    coarse, fine = (spec.model_copy(update={"input": one}) for one in known)
    alone, both = (read_fitting(path, specs, SegmentOptions())[0] for specs in ([coarse], [coarse, fine]))
    assert alone.array.shape == (20, 24, 3)
    assert both.array.shape == (40, 48, 3)
    assert both.geometry.spacing == (1.0, 1.0)
    assert "The models fit level 1" in both.notes[-1]
