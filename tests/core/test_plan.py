from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from napari_unetstyle.core.models.spec import NetworkSpec
from napari_unetstyle.core.networks.plan import plan

SPACING = st.tuples(*[st.floats(0.1, 10)] * 3)
SHAPE = st.tuples(*[st.integers(1, 200)] * 3)


def test_even_spacing_is_halved_along_every_axis_while_something_is_left():
    assert plan((1, 1, 1), (40, 56, 40)) == (((2, 2, 2),) * 3, ((3, 3, 3),) * 4)
    assert plan((1, 1), (64, 64), deepest=2) == (((2, 2),) * 2, ((3, 3),) * 3)


def test_thick_slices_are_treated_in_their_plane_first():
    strides, kernels = plan((5, 0.5, 0.5), (16, 256, 256))
    assert strides == ((1, 2, 2), (1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2))
    assert kernels == ((1, 3, 3), (1, 3, 3), (1, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3))


def test_an_axis_that_cannot_be_halved_any_more_does_not_hold_up_the_others():
    strides, _ = plan((1, 1, 1), (7, 64, 64))
    assert strides == ((1, 2, 2),) * 4


@given(spacing=SPACING, shape=SHAPE)
def test_the_unit_does_not_matter_and_every_axis_keeps_some_pixels(spacing, shape):
    strides, kernels = plan(spacing, shape)
    assert plan(tuple(1024 * s for s in spacing), shape) == (strides, kernels)
    assert len(kernels) == len(strides) + 1
    left = np.array(shape) / np.prod(np.array(strides).reshape(-1, 3), axis=0)
    assert (left >= np.minimum(shape, 3)).all()
    if strides:
        NetworkSpec(spatial_dims=3, widths=(4,) * len(kernels), strides=strides, kernels=kernels)


@given(spacing=SPACING, shape=SHAPE, order=st.permutations(range(3)))
def test_turning_the_axes_turns_the_plan(spacing, shape, order):
    strides, kernels = plan(spacing, shape)
    turned = plan(tuple(spacing[i] for i in order), tuple(shape[i] for i in order))
    assert turned == tuple(tuple(tuple(one[i] for i in order) for one in each) for each in (strides, kernels))


@pytest.mark.parametrize(
    "axes",
    [
        {"strides": ((2, 2, 2), (2, 2, 2))},
        {"strides": ((2, 2),)},
        {"strides": ((1, 1, 1),)},
        {"strides": ((4, 2, 2),)},
        {"kernels": ((3, 3, 3),)},
        {"kernels": ((3, 3, 3), (2, 3, 3))},
    ],
)
def test_strides_and_kernels_have_to_fit_the_levels(axes):
    with pytest.raises(ValidationError):
        NetworkSpec(spatial_dims=3, widths=(4, 8), **axes)


def test_what_was_written_before_strides_existed_is_read_as_the_classic_unet():
    spec = NetworkSpec.model_validate({"kind": "unet", "spatial_dims": 2, "in_channels": 1, "widths": [4, 8]})
    assert spec.level_strides == ((2, 2),)
    assert spec.level_kernels == ((3, 3), (3, 3))
