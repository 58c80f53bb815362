"""Outlines cover exactly their label's pixels, whatever its shape."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from skimage import measure
from skimage.draw import polygon2mask

from napari_unetstyle.core.segmentation import outlines as module
from napari_unetstyle.core.segmentation.outlines import Outline, Ring, outlines, signed_area

pictures = hnp.arrays(np.int32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 3))


def filled(ring: Ring, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Pixels whose middle lies inside a ring."""
    return polygon2mask(shape, ring[:, ::-1] - 0.5)


def drawn(parts: list[Outline], shape: tuple[int, ...]) -> NDArray[np.int64]:
    """How often each pixel is covered."""
    total = np.zeros(shape, np.int64)
    for part in parts:
        total += filled(part.outer, shape)
        for hole in part.holes:
            total -= filled(hole, shape)
    return total


def assert_simple(ring: Ring) -> None:
    assert len(ring) >= 4
    assert len(np.unique(ring, axis=0)) == len(ring)
    steps = np.roll(ring, -1, axis=0) - ring
    assert ((steps == 0).sum(axis=1) == 1).all()  # along rows and columns in turn
    assert (steps[:, 0] != np.roll(steps, 1, axis=0)[:, 0]).all()


@settings(max_examples=100)
@given(labels=pictures, band=st.sampled_from([1, 3, 100]), at_once=st.sampled_from([1, 20, 1000]))
def test_outlines_cover_exactly_the_pixels(labels: NDArray[Any], band: int, at_once: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BAND", band)
        patch.setattr(module, "_AT_ONCE", at_once)
        found = dict(outlines(labels))
    assert list(found) == [value for value in np.unique(labels) if value]
    for value, parts in found.items():
        np.testing.assert_array_equal(drawn(parts, labels.shape), labels == value)
        for part in parts:
            assert signed_area(part.outer) > 0
            assert_simple(part.outer)
            for hole in part.holes:
                assert signed_area(hole) < 0
                assert_simple(hole)
        assert len(parts) == measure.label(labels == value, connectivity=1).max()
        for part in parts:
            covered = drawn([part], labels.shape)
            assert measure.label(covered, connectivity=1).max() == 1  # no part falls apart, so each polygon is valid
        areas = sum(signed_area(ring) for part in parts for ring in (part.outer, *part.holes))
        assert areas == (labels == value).sum()


def test_a_square_has_four_corners() -> None:
    labels = np.zeros((9, 9), int)
    labels[2:5, 3:8] = 7
    ((value, (part,)),) = outlines(labels)
    assert value == 7
    assert sorted(map(tuple, part.outer.tolist())) == [(3, 2), (3, 5), (8, 2), (8, 5)]
    assert part.holes == ()


def test_an_island_in_a_hole_belongs_to_nobody_else() -> None:
    labels = np.ones((11, 11), int)
    labels[2:9, 2:9] = 0
    labels[4:7, 4:7] = 1
    labels[5, 5] = 0
    ((_, parts),) = outlines(labels)
    assert sorted(len(part.holes) for part in parts) == [1, 1]
    assert {signed_area(part.outer) for part in parts} == {121.0, 9.0}


def test_parts_that_touch_at_a_corner_are_separate() -> None:
    ((_, parts),) = outlines(np.eye(3, dtype=int))
    assert len(parts) == 3


def test_no_label_no_outline() -> None:
    assert list(outlines(np.zeros((5, 5), np.uint8))) == []
