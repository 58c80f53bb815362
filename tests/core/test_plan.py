from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from napari_unetstyle.core.models.folder import read_spec
from napari_unetstyle.core.models.spec import NetworkSpec
from napari_unetstyle.core.models.store import BUNDLED
from napari_unetstyle.core.networks.plan import SMALLEST, plan

SPACING = st.tuples(*[st.floats(0.1, 10)] * 3)
SHAPE = st.tuples(*[st.integers(1, 200)] * 3)
UNLIMITED = 99


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


@pytest.mark.parametrize(
    ("spacing", "shape", "strides"),
    [
        ((1, 1, 1), (11, 7, 7), ()),  # one axis alone, fewer than 12
        ((1, 1, 1), (12, 7, 7), ((2, 1, 1),)),
        ((1, 1, 1), (11, 8, 7), ((2, 2, 1),)),  # not alone
        ((1, 1, 1), (23, 7, 7), ((2, 1, 1), (2, 1, 1))),  # 12 are left after the first step
        ((1, 1, 1), (22, 7, 7), ((2, 1, 1),)),
        ((1, 1, 1), (48, 48, 20), ((2, 2, 2), (2, 2, 2), (2, 2, 1))),
        ((1, 1, 1), (16, 40, 16), ((2, 2, 2), (2, 2, 2))),  # 10 are left of the longest
        ((1, 4, 4), (11, 64, 64), ()),  # alone because it is the finest: that ends it, too
        ((1, 4, 4), (16, 32, 32), ((2, 1, 1),)),  # 8 are left, and still finest
        ((1, 1), (64, 9), ((2, 2), (2, 1), (2, 1))),
    ],
)
def test_an_axis_is_halved_alone_only_while_it_has_three_times_the_smallest_size(spacing, shape, strides):
    assert plan(spacing, shape, deepest=UNLIMITED)[0] == strides


@given(
    spacing=st.tuples(*[st.floats(0.1, 10) | st.sampled_from((0.5, 1.0, 2.0, 4.0))] * 3),
    shape=SHAPE,
    dims=st.sampled_from((2, 3)),
)
def test_it_is_the_plan_of_nnunet(spacing, shape, dims):
    theirs = pytest.importorskip("nnunetv2.experiment_planning.experiment_planners.network_topology")
    spacing, shape = spacing[-dims:], shape[-dims:]
    _, strides, kernels, _, _ = theirs.get_pool_and_conv_props(spacing, shape, SMALLEST, UNLIMITED)
    assert plan(spacing, shape, deepest=UNLIMITED) == (strides[1:], kernels)


def test_the_bundled_model_of_volumes_is_what_is_planned_today():
    network = read_spec(BUNDLED / "hippocampus").network
    assert (network.strides, network.kernels) == plan((1, 1, 1), (32, 48, 32))


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
