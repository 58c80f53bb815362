from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from skimage.measure import label as connected

from napari_unetstyle.core.progress import run
from napari_unetstyle.core.segmentation.postprocessing import areas, bands, iter_areas
from tests.core.turns_for_tests import right_turns

small = hnp.array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=9)


def softmax_bytes(logits: NDArray[np.float64]) -> NDArray[np.uint8]:
    parts = np.exp(logits - logits.max(axis=0))
    return np.rint(255 * parts / parts.sum(axis=0)).astype(np.uint8)


@given(random=st.integers(0, 2**20))
def test_one_class_at_one_half_is_the_argmax(random: int) -> None:
    values = softmax_bytes(np.random.default_rng(random).normal(size=(2, 20, 20)))
    np.testing.assert_array_equal(areas(values), values.argmax(axis=0))


def test_a_tie_is_background() -> None:
    values = softmax_bytes(np.zeros((2, 3, 3)))
    assert not areas(values).any()


def test_the_most_probable_class_counts_even_if_background_is_more_probable_than_each() -> None:
    values = np.array([102, 51, 77, 25], np.uint8).reshape(4, 1, 1)  # 0.4, 0.2, 0.3, 0.1
    assert areas(values) == 2
    assert areas(values, threshold=0.65) == 0


@given(random=st.integers(0, 2**20), thresholds=st.tuples(st.floats(0.01, 0.99), st.floats(0.01, 0.99)))
def test_a_lower_threshold_only_adds_foreground_and_changes_no_class(random, thresholds) -> None:
    values = softmax_bytes(np.random.default_rng(random).normal(size=(4, 12, 12)))
    more, fewer = (areas(values, threshold=threshold) for threshold in sorted(thresholds))
    np.testing.assert_array_equal(more[fewer > 0], fewer[fewer > 0])


def test_of_tied_classes_the_first_counts() -> None:
    values = np.array([15, 80, 80, 80], np.uint8).reshape(4, 1, 1)
    assert areas(values) == 1


@given(threshold=st.integers(1, 255))
def test_a_pixel_exactly_at_the_threshold_is_foreground(threshold: int) -> None:
    foreground = np.arange(256, dtype=np.uint8)[None]
    label = areas(np.stack([255 - foreground, foreground]), threshold=threshold / 255)
    np.testing.assert_array_equal(label, foreground >= threshold)


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_extreme_thresholds_keep_their_meaning(threshold: float) -> None:
    foreground = np.array([[0, 1, 254, 255]], np.uint8)
    label = areas(np.stack([255 - foreground, foreground]), threshold=threshold)
    assert label.tolist() == ([[0, 1, 1, 1]] if threshold == 0 else [[0, 0, 0, 1]])


def drop_one_by_one(label: NDArray[np.uint8], min_pixels: int) -> NDArray[np.uint8]:
    result = label.copy()
    for value in np.unique(label[label > 0]):
        parts = connected(label == value, connectivity=1)
        for number in range(1, parts.max() + 1):
            if (parts == number).sum() < min_pixels:
                result[parts == number] = 0
    return result


@given(data=st.data(), shape=small, band=st.integers(1, 10), min_pixels=st.integers(0, 8))
def test_small_areas_of_a_class_become_background_whatever_the_band(
    data: st.DataObject, shape: tuple[int, ...], band: int, min_pixels: int
) -> None:
    label = data.draw(hnp.arrays(np.uint8, shape, elements=st.integers(0, 2)))
    values = np.stack([np.where(label == c, 255, 0).astype(np.uint8) for c in range(3)])
    expected = drop_one_by_one(label, min_pixels)
    np.testing.assert_array_equal(areas(values, min_pixels=min_pixels), expected)
    out = np.full(shape, 9, np.uint8)
    run(iter_areas(values, out, threshold=0.5, min_pixels=min_pixels, band=band))
    np.testing.assert_array_equal(out, expected)


def test_pixels_that_meet_at_a_corner_are_apart() -> None:
    foreground = (np.eye(4) * 255).astype(np.uint8)
    assert not areas(np.stack([255 - foreground, foreground]), min_pixels=2).any()


@given(rows=st.integers(1, 50), step=st.integers(1, 60))
def test_bands_cover_every_row_once(rows: int, step: int) -> None:
    parts, progress = zip(*bands((rows, 7), step), strict=True)
    assert progress[-1].fraction == 1.0
    assert [i for part in parts for i in range(part.start, part.stop)] == list(range(rows))
    assert max(part.stop - part.start for part in parts) <= step


def keep_one_by_one(label: NDArray[np.uint8]) -> NDArray[np.uint8]:
    result = np.zeros_like(label)
    for value in np.unique(label[label > 0]):
        parts = connected(label == value, connectivity=1)
        sizes = np.bincount(parts.ravel())[1:]
        result[parts == 1 + sizes.argmax()] = value  # scikit-image numbers in raster order
    return result


@given(data=st.data(), shape=small, band=st.integers(1, 10), min_pixels=st.integers(0, 8))
def test_the_largest_area_of_each_class_stays(
    data: st.DataObject, shape: tuple[int, ...], band: int, min_pixels: int
) -> None:
    label = data.draw(hnp.arrays(np.uint8, shape, elements=st.integers(0, 3)))
    values = np.stack([np.where(label == c, 255, 0).astype(np.uint8) for c in range(4)])
    expected = drop_one_by_one(keep_one_by_one(label), min_pixels)
    out = np.full(shape, 9, np.uint8)
    run(iter_areas(values, out, threshold=0.5, min_pixels=min_pixels, keep_largest=True, band=band))
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(areas(values, min_pixels=min_pixels, keep_largest=True), expected)


@given(
    data=st.data(),
    dims=st.sampled_from((2, 3)),
    random=st.integers(0, 2**20),
    threshold=st.floats(0, 1),
    min_pixels=st.integers(0, 8),
)
def test_mirrored_and_turned_pictures_have_the_same_areas(
    data: st.DataObject, dims: int, random: int, threshold: float, min_pixels: int
) -> None:
    """Of any bytes, ties included; the largest only where no two are as large, as else the first in raster order is."""
    turn = data.draw(right_turns(dims))
    shape = data.draw(hnp.array_shapes(min_dims=dims, max_dims=dims, max_side=9))
    values = np.random.default_rng(random).choice(np.array([0, 60, 100, 255], np.uint8), (4, *shape))
    options = {"threshold": threshold, "min_pixels": min_pixels}
    found = areas(values, **options)
    np.testing.assert_array_equal(areas(turn(values), **options), turn(found))
    sizes = [sorted(np.bincount(connected(found == value, connectivity=1).ravel())[1:]) for value in (1, 2, 3)]
    if all(len(each) < 2 or each[-1] > each[-2] for each in sizes):
        largest = areas(values, keep_largest=True, **options)
        np.testing.assert_array_equal(areas(turn(values), keep_largest=True, **options), turn(largest))
