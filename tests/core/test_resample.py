from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unetstyle.core.imaging.resample import Resampler, scaled_shape

sizes = st.integers(1, 40)


@given(source=st.tuples(sizes, sizes), target=st.tuples(sizes, sizes), data=st.data())
def test_a_box_equals_that_box_of_the_whole(source, target, data):
    pixels = np.random.default_rng(0).random((2, *source), np.float32)
    resampler = Resampler(source, target)
    whole = resampler.apply(pixels, tuple(slice(0, n) for n in target))
    assert whole.shape == (2, *target)
    starts = [data.draw(st.integers(0, n - 1)) for n in target]
    box = tuple(slice(a, data.draw(st.integers(a + 1, n))) for a, n in zip(starts, target, strict=True))
    part = resampler.apply(pixels[(slice(None), *resampler.needs(box))], box)
    np.testing.assert_array_equal(part, whole[(slice(None), *box)])


@given(source=st.tuples(sizes, sizes), target=st.tuples(sizes, sizes))
def test_constants_stay_and_nothing_leaves_the_range(source, target):
    box = tuple(slice(0, n) for n in target)
    resampler = Resampler(source, target)
    np.testing.assert_allclose(resampler.apply(np.full((1, *source), 7.0), box), 7, rtol=1e-5)
    pixels = np.random.default_rng(1).random((1, *source))
    result = resampler.apply(pixels, box)
    assert pixels.min() - 1e-6 <= result.min() <= result.max() <= pixels.max() + 1e-6


def test_it_agrees_with_pillows_bilinear_filter():
    from PIL import Image as Pillow

    pixels = np.random.default_rng(2).random((60, 45)).astype(np.float32)
    for target in ((30, 22), (91, 100), (17, 45)):
        expected = np.asarray(Pillow.fromarray(pixels).resize(target[::-1], Pillow.Resampling.BILINEAR))
        ours = Resampler(pixels.shape, target).apply(pixels[None], tuple(slice(0, n) for n in target))[0]
        inner = (slice(4, -4), slice(4, -4))  # beyond the border Pillow drops weights, we repeat the last pixel
        np.testing.assert_allclose(ours[inner], expected[inner], atol=1e-4)


@pytest.mark.parametrize(("shape", "scale", "expected"), [((10, 20), 0.5, (5, 10)), ((3, 3), 0.01, (1, 1))])
def test_scaled_shape(shape, scale, expected):
    assert scaled_shape(shape, scale) == expected
