"""Which objects are different in new labels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_unetstyle.widgets.changed_objects import CHANGED, GONE, changed_objects

LABELS = arrays(np.int32, (9, 11), elements=st.integers(0, 4))


def squares(*places: tuple[int, int, int]) -> np.ndarray:
    labels = np.zeros((40, 60), np.int32)
    for i, (y, x, side) in enumerate(places, 1):
        labels[y : y + side, x : x + side] = i
    return labels


def test_numbers_and_small_moves_are_no_change_but_new_gone_and_grown_objects_are():
    old = squares((2, 2, 10), (2, 20, 10), (20, 2, 10), (20, 30, 6))
    new = squares((20, 2, 10), (3, 2, 10), (20, 30, 10), (2, 40, 8))
    found = changed_objects(old, new, "objects")
    assert not found[3:13, 2:12].any()  # moved by a row
    assert not found[20:30, 2:12].any()  # another number
    assert (found[2:12, 20:30] == GONE).all()
    assert (found[20:30, 30:40] == CHANGED).all()  # nearly three times as large
    assert (found[2:10, 40:48] == CHANGED).all()
    assert np.count_nonzero(found) == 100 + 100 + 64


@given(LABELS, st.permutations([1, 2, 3, 4]))
def test_other_numbers_alone_change_nothing(labels, numbers):
    renamed = np.array([0, *numbers])[labels]
    assert not changed_objects(labels, renamed, "objects").any()


@pytest.mark.parametrize("output", ["objects", "areas"])
@given(old=LABELS, new=LABELS)
def test_only_what_differs_is_marked(output, old, new):
    found = changed_objects(old, new, output)
    assert not found[(old == 0) & (new == 0)].any()
    assert (new[found == CHANGED] > 0).all()
    assert (old[found == GONE] > 0).all()
    if output == "areas":
        assert np.array_equal(found > 0, old != new)
