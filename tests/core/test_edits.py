"""Edits of objects do what they say and nothing else."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from napari_unetstyle.core.annotation.edits import (
    add,
    between,
    cut,
    delete,
    free_id,
    merge,
    nothing,
    object_at,
    outside_range,
    relabel,
    split,
)
from napari_unetstyle.core.errors import OptionError
from tests.core.annotation_for_tests import blobs

seeds = st.integers(0, 10_000)


def some_place(labels, data, value=None):
    places = np.argwhere(labels > 0 if value is None else labels == value)
    return tuple(map(int, places[data.draw(st.integers(0, len(places) - 1))]))


@given(seeds, st.data())
def test_delete_erases_one_object(seed, data):
    labels = blobs(seed)
    point = some_place(labels, data)
    after = delete(labels, point).applied(labels)
    assert np.array_equal(after, np.where(labels == labels[point], 0, labels))


@given(seeds, st.data())
def test_merge_makes_one_of_two(seed, data):
    labels = blobs(seed)
    first, second = some_place(labels, data), some_place(labels, data)
    if labels[first] == labels[second]:
        with pytest.raises(OptionError):
            merge(labels, first, second)
        return
    edit = merge(labels, first, second)
    assert np.array_equal(edit.applied(labels), np.where(labels == labels[second], labels[first], labels))
    assert edit.touched == {labels[first]}


@given(seeds, st.data())
def test_split_parts_one_object_and_no_pixel_is_lost(seed, data):
    labels = blobs(seed)
    first = some_place(labels, data)
    second = some_place(labels, data, labels[first])
    if first == second:
        with pytest.raises(OptionError):
            split(labels, first, second)
        return
    edit = split(labels, first, second)
    after = edit.applied(labels)
    assert (after[first], after[second]) == (labels[first], labels.max() + 1)
    assert np.array_equal(after > 0, labels > 0)
    assert np.array_equal(after[labels != labels[first]], labels[labels != labels[first]])
    assert edit.touched == {labels[first], labels.max() + 1}
    assert ndimage.label(after == after[second])[1] == 1


def test_two_discs_are_split_at_their_neck():
    y, x = np.indices((40, 70))
    left, right = (y - 20) ** 2 + (x - 20) ** 2 < 196, (y - 20) ** 2 + (x - 44) ** 2 < 196
    labels = (left | right).astype(int)
    after = split(labels, (20, 18), (22, 47)).applied(labels)
    assert np.mean((after == 2) == (right & (x >= 32))) > 0.99


@given(seeds, st.data())
def test_a_line_through_an_object_parts_it_and_no_pixel_is_lost(seed, data):
    labels = blobs(seed)
    point = some_place(labels, data)
    turn = data.draw(st.floats(0, np.pi))
    far = np.array([np.sin(turn), np.cos(turn)]) * 200
    path = [tuple(np.rint(point + end).astype(int).tolist()) for end in (-far, far)]
    try:
        edit = cut(labels, path)
    except OptionError:
        return  # it only ran along the edge
    after, found = edit.applied(labels), min(edit.touched)
    assert np.array_equal(after > 0, labels > 0)
    assert np.array_equal(after[labels != found], labels[labels != found])
    assert (after == edit.value).any()
    assert (after == found).any()
    assert edit.value == labels.max() + 1


def test_a_disc_is_cut_where_the_line_was_drawn_in_all_slices():
    y, x = np.indices((40, 40))
    labels = np.repeat(((y - 20) ** 2 + (x - 20) ** 2 < 196).astype(int)[None], 3, axis=0)
    labels[:, 2:5, 2:5] = 1  # a piece that lies apart stays what it is
    after = cut(labels, [(1, 1, 15), (1, 20, 24), (1, 39, 15)]).applied(labels)
    edge = np.where(y < 20, 15 + 9 * (y - 1) / 19, 24 - 9 * (y - 20) / 19)
    right = (labels[0] == 1) & (x > edge + 1)
    left = (labels[0] == 1) & (x < edge - 1)
    for plane in after:
        assert len(np.unique(plane[right])) == len(np.unique(plane[left])) == 1
        assert plane[20, 10] != plane[20, 30]
    assert (after[:, 2:5, 2:5] == 1).all()


@pytest.mark.parametrize(
    ("path", "words"),
    [([(0, 0), (0, 39)], "no object"), ([(20, 20), (20, 25)], "one piece"), ([(-5, 1)], "no object")],
)
def test_a_line_that_parts_nothing_says_so(path, words):
    y, x = np.indices((40, 40))
    with pytest.raises(OptionError, match=words):
        cut(((y - 20) ** 2 + (x - 20) ** 2 < 196).astype(int), path)


def test_a_faint_object_gets_its_own_edge():
    y, x = np.indices((80, 90))
    faint = np.hypot(y - 40, x - 30) < 9
    bright = np.hypot(y - 40, x - 62) < 12
    field = ndimage.gaussian_filter(np.where(faint, 70.0, 3.0) + 180 * bright, 1.5).astype(np.uint8)
    labels = np.where(bright, 1, 0)
    edit = add(field, labels, (42, 28))
    found = edit.applied(labels) == 2
    assert 2 * (found & faint).sum() / (found.sum() + faint.sum()) > 0.93
    assert not (found & bright).any()
    assert edit.touched == {2}


@given(seeds, st.data())
def test_added_objects_are_connected_hold_the_place_and_cover_no_other(seed, data):
    rng = np.random.default_rng(seed)
    field = (255 * ndimage.gaussian_filter(rng.random((60, 60)), 4, mode="wrap")).astype(np.float64)
    field = ((field - field.min()) / np.ptp(field) * 255).astype(np.uint8)
    labels = np.where(field > 200, 1, 0)
    point = (data.draw(st.integers(0, 59)), data.draw(st.integers(0, 59)))
    try:
        edit = add(field, labels, point)
    except OptionError:
        return
    after = edit.applied(labels)
    assert after[point] == edit.value
    assert np.array_equal(after == 1, labels == 1)
    assert ndimage.label(after == edit.value)[1] == 1


def test_nothing_is_added_where_nothing_stands_out():
    with pytest.raises(OptionError, match="Paint"):
        add(np.zeros((50, 50), np.uint8), np.zeros((50, 50), int), (25, 25))
    with pytest.raises(OptionError, match="already"):
        add(np.full((50, 50), 99, np.uint8), np.ones((50, 50), int), (25, 25))


@given(seeds, seeds)
def test_nothing_here_empties_the_region_only(seed, other):
    labels, region = blobs(seed), blobs(other) > 0
    assert np.array_equal(nothing(labels, region).applied(labels), np.where(region, 0, labels))


@given(seeds, st.data())
def test_relabel_gives_one_connected_area_another_class(seed, data):
    classes = (blobs(seed) > 0).astype(int)
    point = some_place(classes, data)
    after = relabel(classes, point, 2).applied(classes)
    parts, _ = ndimage.label(classes)
    assert np.array_equal(after == 2, parts == parts[point])
    assert np.array_equal(after > 0, classes > 0)


def test_shapes_are_interpolated_between_slices():
    y, x = np.indices((60, 60))
    distance = np.hypot(y - 30, x - 30)
    labels = np.zeros((7, 60, 60), int)
    labels[1], labels[5] = 4 * (distance < 8), 4 * (distance < 20)
    labels[3, 30, 25:28] = 9
    edit = between(labels, 4, 3)
    after = edit.applied(labels)
    for z, radius in zip(range(1, 6), (8, 11, 14, 17, 20), strict=True):
        wanted = distance < radius
        assert np.mean((after[z] == 4) == wanted) > 0.985
    assert np.array_equal(after == 9, labels == 9)
    assert not after[[0, 6]].any()
    with pytest.raises(OptionError):
        between(labels, 4, 0)
    with pytest.raises(OptionError):
        between(labels, 4, 1)


def test_background_and_places_outside_are_no_objects():
    for point in [(0, 0), (99, 0), (-1, 2)]:
        with pytest.raises(OptionError):
            object_at(np.pad(np.ones((3, 3), int), 1), point)


def test_a_brush_can_be_limited_to_intensities():
    pixels, painted = np.arange(12.0).reshape(3, 4), np.ones((3, 4), bool)
    painted[0] = False
    taken_back = outside_range(pixels, painted, 5, 9)
    assert np.array_equal(pixels[painted & ~taken_back], [5, 6, 7, 8, 9])
    assert not taken_back[0].any()


def disc(value, dtype):
    y, x = np.indices((40, 40))
    return np.where((y - 20) ** 2 + (x - 20) ** 2 < 196, value, 0).astype(dtype)


def test_an_object_with_a_large_id_is_cut_without_memory_for_all_ids_below_it():
    labels = disc(2_000_000_000, np.int64)
    tracemalloc.start()
    after = cut(labels, [(0, 18), (39, 18)]).applied(labels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert set(np.unique(after)) == {0, 2_000_000_000, 2_000_000_001}
    assert peak < 2**24


def test_where_the_type_of_labels_ends_a_free_id_is_taken():
    labels = disc(255, np.uint8)
    labels[0, :3] = 1, 2, 4
    assert cut(labels, [(0, 18), (39, 18)]).value == 3
    assert split(labels, (20, 10), (20, 30)).applied(labels)[20, 30] == 3
    assert free_id(np.zeros((2, 2), np.uint8)) == 1


def test_labels_without_a_free_id_say_so():
    labels = disc(255, np.uint8)
    labels.flat[:255] = range(1, 256)
    with pytest.raises(OptionError, match="ids up to 255"):
        split(labels, (20, 10), (20, 30))
