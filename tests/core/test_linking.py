from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unetstyle.core.progress import run
from napari_unetstyle.core.segmentation.linking import _mates, iter_linked
from napari_unetstyle.core.segmentation.objects import iter_objects, objects

THRESHOLDS = {"foreground_threshold": 0.5, "seed_rise": 0.75}
PLANES = st.sampled_from(["YX", "ZX", "ZY"])


def of_boxes(shape, boxes):
    """Probability bytes with one class, in which each box is certain to be an object."""
    values = np.zeros((3, *shape), np.uint8)
    for box in boxes:
        values[(slice(1, None), *box)] = 255
    values[0] = 255 - values[1]
    return values


def linked(values, **options):
    out = np.full(values.shape[1:], 99, np.int32)
    owners = run(iter_linked(values, out, find=partial(iter_objects, **THRESHOLDS), **options))
    return out, owners


@given(plane=PLANES, order=st.permutations(range(3)), first_id=st.integers(1, 50))
def test_apart_boxes_are_the_objects_of_the_volume_in_every_plane(plane, order, first_id):
    boxes = [np.s_[1:5, 2:6, 1:7], np.s_[0:3, 9:14, 3:8], np.s_[7:12, 1:12, 10:14]]
    values = of_boxes((13, 15, 16), boxes).transpose(0, *(axis + 1 for axis in order))
    found, owners = linked(values, plane=plane, first_id=first_id)
    expected, kinds = objects(values, **THRESHOLDS)
    np.testing.assert_array_equal(found, np.where(expected, expected + first_id - 1, 0))
    np.testing.assert_array_equal(owners, kinds)


def test_what_hardly_overlaps_in_the_next_slice_is_another_object():
    values = of_boxes((6, 12, 12), [np.s_[:3, 0:6, 0:6], np.s_[3:, 4:10, 4:10]])
    found, owners = linked(values)
    assert owners.tolist() == [1, 1]
    assert set(np.unique(found[:3])) == {0, 1}
    assert set(np.unique(found[3:])) == {0, 2}


def test_of_two_candidates_the_better_one_goes_on():
    values = of_boxes((2, 10, 20), [np.s_[:1, :, 0:12], np.s_[1:, :, 0:8], np.s_[1:, :, 9:12]])
    found, _ = linked(values)
    assert found[0, 0, 0] == found[1, 0, 0] == 1
    assert found[1, 0, 10] == 2


def test_of_two_equal_candidates_the_first_goes_on():
    before, after = np.ones((1, 4), np.int32), np.array([[2, 2, 3, 3]], np.int32)
    assert _mates(before, after) == {2: 1}
    assert _mates(after, before) == {1: 2}


def test_tens_of_thousands_of_objects_in_a_slice_are_linked_with_themselves():
    labels = np.kron(np.arange(1, 200**2 + 1, dtype=np.int32).reshape(200, 200), np.ones((2, 2), np.int32))
    assert _mates(labels, labels) == {i: i for i in range(1, 200**2 + 1)}


def test_small_objects_go_by_their_whole_volume():
    values = of_boxes((8, 8, 8), [np.s_[0:8, 0:2, 0:2], np.s_[0:1, 4:7, 4:7]])
    found, owners = linked(values, min_pixels=10)
    assert len(owners) == 1
    assert np.bincount(found.ravel())[1:].tolist() == [32]


@pytest.mark.parametrize("plane", ["YX", "ZX", "ZY"])
def test_an_empty_volume_has_no_objects(plane):
    found, owners = linked(of_boxes((3, 4, 5), []), plane=plane)
    assert not found.any()
    assert owners.shape == (0,)
