from __future__ import annotations

import numpy as np
import pytest
from measure import interval, score


def squares(*corners, side=6):
    labels = np.zeros((40, 40), np.int32)
    for number, (y, x) in enumerate(corners, 1):
        labels[y : y + side, x : x + side] = number
    return labels


def test_the_same_labels_under_other_ids_are_perfect():
    truth = squares((0, 0), (10, 10), (20, 5))
    got = score(np.where(truth > 0, 9 - truth, 0), truth)
    assert (got.dice, got.precision, got.found, got.there) == (1, 1, 3, 3)


def test_merged_objects_do_not_hide_behind_dice():
    truth = squares((0, 0), (0, 6))
    got = score((truth > 0).astype(np.int32), truth)
    assert got.dice == 1
    assert got.precision == 0
    assert (got.found, got.there) == (1, 2)


def test_one_missed_one_invented_one_found():
    got = score(squares((0, 0), (30, 30)), squares((0, 0), (10, 10)))
    assert got.precision == pytest.approx(1 / 3)
    assert got.dice == pytest.approx(0.5)


def test_nothing_in_nothing_is_perfect_and_something_in_nothing_is_worthless():
    empty = np.zeros((8, 8), np.int32)
    assert score(empty, empty).dice == score(empty, empty).precision == 1
    assert score(np.ones_like(empty), empty).dice == score(np.ones_like(empty), empty).precision == 0


def test_the_interval_holds_the_mean_and_shrinks_with_more_pictures():
    rng = np.random.default_rng(0)
    few, many = rng.normal(0.8, 0.1, 8), rng.normal(0.8, 0.1, 200)
    for values in (few, many):
        low, high = interval(list(values))
        assert low < values.mean() < high
    assert np.diff(interval(list(many))) < np.diff(interval(list(few)))
    assert interval(list(few)) == interval(list(few))
