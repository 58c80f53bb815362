from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import ndimage

from napari_unetstyle.core.progress import run
from napari_unetstyle.core.segmentation.holes import fill_holes, iter_fill_holes

shapes = hnp.array_shapes(min_dims=2, max_dims=3, min_side=2, max_side=8)


def fill_one_by_one(label: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Holes of each class by SciPy, the largest first, so that the innermost has the last word."""
    holes = []
    for value in np.unique(label[label > 0]):
        mask = label == value
        parts, count = ndimage.label(ndimage.binary_fill_holes(mask) & ~mask)
        holes += [((parts == i).sum(), value, parts == i) for i in range(1, count + 1)]
    result = label.copy()
    for _, value, hole in sorted(holes, key=lambda h: (-h[0], -int(h[1]))):
        result[hole & (label == 0)] = value
    return result


@given(data=st.data(), shape=shapes, band=st.integers(1, 9))
def test_holes_are_those_of_scipy_whatever_the_band(data: st.DataObject, shape: tuple[int, ...], band: int) -> None:
    label = data.draw(hnp.arrays(np.uint8, shape, elements=st.sampled_from([0, 1, 1, 1, 2])))
    expected = fill_one_by_one(label)
    np.testing.assert_array_equal(fill_holes(label), expected)
    out = label.copy()
    run(iter_fill_holes(out, band))
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(out[label > 0], label[label > 0])  # no voxel of a class is lost


def test_the_innermost_class_takes_the_hole_and_what_floats_in_it_stays() -> None:
    label = np.zeros((11, 11), np.uint8)
    label[0:11, 0:11] = 1
    label[1:10, 1:10] = 0
    label[3:8, 3:8] = 2
    label[4:7, 4:7] = 0
    filled = fill_holes(label)
    assert (filled[4:7, 4:7] == 2).all()
    assert (filled[1:3, 1:10] == 1).all()
    assert (filled == 2).sum() == 25


def test_a_tunnel_is_no_hole_but_a_cave_is() -> None:
    block = np.ones((7, 7, 7), np.uint8)
    block[3, 3, 3] = 0
    assert fill_holes(block).all()
    block[:4, 3, 3] = 0
    np.testing.assert_array_equal(fill_holes(block), block)


def test_a_volume_of_one_slice_has_holes_in_its_plane() -> None:
    ring = np.ones((1, 5, 5), np.uint8)
    ring[0, 2, 2] = 0
    assert fill_holes(ring).all()


@pytest.mark.parametrize("shape", [(4, 4), (1, 1), (3, 1, 5)])
def test_nothing_stays_nothing(shape: tuple[int, ...]) -> None:
    assert not fill_holes(np.zeros(shape, np.uint8)).any()
