from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from skimage.measure import label as connected

from napari_unetstyle.core.segmentation.runs import Runs, components

arrays = hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=7).flatmap(
    lambda shape: hnp.arrays(np.uint8, shape, elements=st.integers(0, 2))
)


@given(array=arrays, cut=st.integers(1, 7))
def test_painting_gives_back_what_was_read_in_bands(array: NDArray[np.uint8], cut: int) -> None:
    rows = range(0, len(array), cut)
    runs = Runs.joined([Runs.of(array[i : i + cut], i) for i in rows])
    np.testing.assert_array_equal(runs.paint(0, array.shape, np.uint8), array)
    painted = [runs.paint(i, array[i : i + cut].shape, np.uint8) for i in rows]
    np.testing.assert_array_equal(np.concatenate(painted), array)


@given(array=arrays)
def test_runs_are_the_longest_of_one_value_within_a_line(array: NDArray[np.uint8]) -> None:
    runs, flat, width = Runs.of(array), array.ravel(), array.shape[-1]
    assert runs.length.sum() == (array > 0).sum()
    for start, stop, value in zip(runs.start, runs.stop, runs.value, strict=True):
        assert (flat[start:stop] == value).all()
        assert start // width == (stop - 1) // width
        assert start % width == 0 or flat[start - 1] != value
        assert stop % width == 0 or flat[stop] != value


@given(array=arrays)
def test_components_are_those_of_scikit_image(array: NDArray[np.uint8]) -> None:
    runs = Runs.of(array)
    ours = runs.valued(components(runs, array.shape) + 1).paint(0, array.shape, np.int32)
    theirs = connected(array, connectivity=1, background=0)
    pairs = np.unique(np.stack([ours.ravel(), theirs.ravel()]), axis=1)
    assert pairs.shape[1] == len(np.unique(ours)) == len(np.unique(theirs))
    np.testing.assert_array_equal(ours > 0, theirs > 0)
