"""Changes lead from one array to another, through bytes, and nothing else does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from napari_unetstyle.core.annotation import changes as module
from napari_unetstyle.core.annotation.changes import Changes
from napari_unetstyle.core.errors import JournalError

SHAPE = (4, 5, 6)
labels = arrays.arrays(np.int32, SHAPE, elements=st.integers(0, 3))


@given(labels, labels)
def test_changes_lead_from_one_array_to_the_other_and_back(before, after):
    there = Changes.from_bytes(Changes.between(before, after).to_bytes(), before.size)
    back = Changes.between(after, before)
    array = before.copy()
    there.apply(array)
    assert np.array_equal(array, after)
    assert there.count == np.count_nonzero(before != after)
    back.apply(array)
    assert np.array_equal(array, before)


@given(labels, labels, st.integers(1, 50))
def test_large_changes_are_written_in_pieces(before, after, piece):
    array = before.copy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_PIECE", piece)
        Changes.between(before, after).apply(array)
    assert np.array_equal(array, after)


@given(labels, labels, st.integers(0, 3))
def test_parts_have_their_place(before, after, plane):
    changes = Changes.between(before[plane], after[plane], plane * 30)
    array = before.copy()
    changes.apply(array)
    expected = before.copy()
    expected[plane] = after[plane]
    assert np.array_equal(array, expected)


@given(labels)
def test_an_array_is_made_of_zeros(array):
    made = np.zeros_like(array)
    Changes.of(array).apply(made)
    assert np.array_equal(made, array)


@given(labels, labels, st.binary(max_size=40), st.integers(0, 10_000))
def test_damaged_bytes_are_refused_or_fit(before, after, junk, at):
    data = bytearray(Changes.between(before, after).to_bytes())
    data[at % len(data) :] = junk
    try:
        changes = Changes.from_bytes(bytes(data), before.size)
    except JournalError:
        return
    assert changes.count <= before.size


def test_changes_of_a_larger_array_are_refused():
    data = Changes.of(np.ones((10, 10), int)).to_bytes()
    with pytest.raises(JournalError):
        Changes.from_bytes(data, 99)
    with pytest.raises(JournalError):
        Changes.from_bytes(data, 100).apply(np.zeros((9, 9), int))


def test_values_that_the_labels_cannot_hold_are_refused():
    with pytest.raises(JournalError):
        Changes.of(np.full((3, 3), 300)).apply(np.zeros((3, 3), np.uint8))


def test_a_bomb_is_not_unpacked():
    bomb = Changes.of(np.arange(10**6)).to_bytes()
    with pytest.raises(JournalError):
        Changes.from_bytes(bomb, 10)
