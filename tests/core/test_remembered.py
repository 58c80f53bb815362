"""Looking around in a picture: no pixel is computed twice, and all are as if computed at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unetstyle.core.imaging.image import as_image
from napari_unetstyle.core.progress import run
from napari_unetstyle.core.segmentation.fitted import Fitted
from napari_unetstyle.core.segmentation.fitting import iter_fit
from napari_unetstyle.core.segmentation.options import SegmentOptions
from napari_unetstyle.core.segmentation.remembered import Remembered, missing
from tests.core.networks_for_tests import tiny_model

SHAPE = (150, 190)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    picture = np.random.default_rng(0).integers(0, 255, SHAPE, dtype=np.uint8)
    model = tiny_model(tmp_path_factory.mktemp("models"))
    return run(iter_fit(as_image(picture), model, SegmentOptions()))


def read(fitted, box, index=()):
    out = np.zeros((fitted.channels, *(s.stop - s.start for s in box)), np.uint8)
    run(fitted.iter_bytes(index, box, out))
    return out


@st.composite
def boxes(draw):
    edges = (sorted(draw(st.sets(st.integers(0, n), min_size=2, max_size=2))) for n in SHAPE)
    return tuple(slice(*side) for side in edges)


@given(st.lists(boxes(), min_size=1, max_size=5))
def test_what_is_missing_covers_the_unknown_and_nothing_outside(asked):
    known = np.zeros(SHAPE, bool)
    for box in asked:
        new = missing(known[box], box)
        times = np.zeros(SHAPE, int)
        for part in new:
            assert all(side.start < side.stop for side in part)
            times[part] += 1
        assert times.max(initial=0) <= 1
        inside = np.zeros(SHAPE, bool)
        inside[box] = True
        assert not times[~inside].any()
        assert times[inside & ~known].all()
        for part in new:
            known[part] = True
        assert missing(known[box], box) == []


def test_every_view_has_the_pixels_of_the_whole(fitted):
    whole, remembered = read(fitted, tuple(slice(0, n) for n in SHAPE)), Remembered.of(fitted)
    for y, x in ((20, 30), (40, 50), (0, 0), (35, 45), (70, 90)):
        box = (slice(y, y + 80), slice(x, x + 100))
        off = read(remembered, box).astype(int) - whole[:, *box]
        assert np.abs(off).max() <= 1


def test_only_the_new_part_goes_through_the_network(fitted, monkeypatch):
    computed = []
    original = Fitted.iter_bytes

    def counting(self, index, box, out):
        computed.append(out[0].size)
        return (yield from original(self, index, box, out))

    monkeypatch.setattr(Fitted, "iter_bytes", counting)
    remembered = Remembered.of(fitted)
    read(remembered, (slice(0, 100), slice(0, 100)))
    read(remembered, (slice(20, 80), slice(20, 80)))  # inside
    read(remembered, (slice(10, 110), slice(10, 110)))  # down and right
    assert computed == [100 * 100, 10 * 100, 90 * 10]
    remembered = Remembered.of(fitted)
    assert not remembered._frames


def test_a_view_that_was_stopped_is_not_taken_for_known(fitted):
    remembered = Remembered.of(fitted)
    box = (slice(0, 100), slice(0, 100))
    steps = remembered.iter_bytes((), box, np.zeros((fitted.channels, 100, 100), np.uint8))
    next(steps)
    steps.close()
    assert np.abs(read(remembered, box).astype(int) - read(fitted, box)).max() <= 1


def test_few_frames_of_a_stack_are_remembered(tmp_path):
    stack = np.random.default_rng(0).integers(0, 255, (7, 40, 50), dtype=np.uint8)
    steps = iter_fit(as_image(stack, axes="TYX"), tiny_model(tmp_path), SegmentOptions())
    remembered = Remembered.of(run(steps))
    for i in (0, 1, 2, 3, 0, 4, 5):
        read(remembered, (slice(0, 40), slice(0, 50)), (i,))
    assert list(remembered._frames) == [(3,), (0,), (4,), (5,)]
