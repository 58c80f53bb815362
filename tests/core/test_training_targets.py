from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from napari_unetstyle.core.annotation.known import UNKNOWN
from napari_unetstyle.core.training.patches import touching
from napari_unetstyle.core.training.targets import near_contact, seed_target
from tests.core.training_for_tests import discs

SEPARATIONS = ("depth", "distance", "boundary")


@pytest.mark.parametrize("separation", SEPARATIONS)
@given(seed=st.integers(0, 1000))
def test_within_zero_and_one_and_zero_outside_objects(separation, seed):
    objects = discs(seed=seed, count=10).labels[1]
    target = seed_target(objects, separation)
    assert target.dtype == np.float32
    assert not target[objects == 0].any()
    assert 0 <= target.min() <= target.max() <= 1


@pytest.mark.parametrize("separation", SEPARATIONS)
def test_each_object_has_a_peak_and_touching_ones_are_apart(separation):
    objects = np.zeros((40, 60), np.int32)
    y, x = np.indices(objects.shape)
    objects[(y - 20) ** 2 + (x - 20) ** 2 < 121] = 1
    objects[((y - 20) ** 2 + (x - 38) ** 2 < 121) & (objects == 0)] = 2
    assert touching(objects).any()
    target = seed_target(objects, separation)
    target /= target.max()
    assert min(target[objects == 1].max(), target[objects == 2].max()) > 0.9  # the second is cut by the first
    assert ndimage.label(target > 0.5)[1] == 2
    assert target[touching(objects)].max() < 0.5


@pytest.mark.parametrize("separation", SEPARATIONS)
def test_tiny_objects_still_have_a_seed(separation):
    objects = np.zeros((9, 9), np.int32)
    objects[4, 4] = 5
    objects[0, 0:2] = 9
    target = seed_target(objects, separation)
    target /= target.max()
    assert target[4, 4] == 1
    assert target[0, 0:2].max() == 1


@pytest.mark.parametrize("separation", SEPARATIONS)
def test_only_completed_objects_count(separation):
    objects = discs().labels[1].copy()
    objects[:, :56] = UNKNOWN
    target = seed_target(objects, separation)
    assert np.isnan(target[:, :56]).all()
    assert np.isfinite(target[:, 56:]).all()


def test_distance_is_relative_to_each_object():
    objects = np.zeros((30, 60), np.int32)
    objects[10:15, 5:10], objects[3:26, 30:53] = 1, 2
    target = seed_target(objects, "distance")
    assert target[12, 7] == target[14, 41] == 1
    assert target[10, 7] == pytest.approx(1 / 3)
    assert target[3, 41] == pytest.approx(1 / 12)


def test_an_empty_picture_has_an_empty_map():
    for separation in SEPARATIONS:
        assert not seed_target(np.zeros((5, 6, 7), np.int32), separation).any()


def test_volumes():
    objects = discs((24, 30, 32), channels=1).labels[1]
    for separation in SEPARATIONS:
        assert seed_target(objects, separation).shape == objects.shape


def test_near_contact_is_where_two_objects_nearly_touch():
    objects = np.zeros((12, 30), np.int32)
    objects[2:10, 2:10], objects[2:10, 12:20], objects[2:10, 27:30] = 4, 9, 2
    near = near_contact(objects)
    assert near[5, 10:12].all()
    assert not near[:, :7].any()
    assert not near[:, 20:].any()
    assert not near_contact(np.where(objects == 9, 4, objects)).any()
    assert not near_contact(np.full((5, 5), UNKNOWN, np.int32)).any()
