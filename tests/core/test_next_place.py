from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import entropy

from napari_unetstyle.core.annotation.next_place import (
    NEAR,
    Looked,
    iter_next_place,
    next_place,
    slices_of,
    uncertainty,
)
from napari_unetstyle.core.progress import run


def test_uncertainty_is_entropy():
    p = np.array([0, 51, 128, 255], np.uint8)
    found = uncertainty(np.stack([255 - p, p]))
    q = p / 255
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = -np.nan_to_num(q * np.log(q)) - np.nan_to_num((1 - q) * np.log(1 - q))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found[0] == found[3] == 0


@pytest.mark.parametrize("shape", [(64, 80), (12, 40, 44)])
def test_the_least_sure_place_comes_first_and_then_the_next(shape):
    unsure, judged = np.zeros(shape, np.float32), np.zeros(shape, bool)
    one = tuple(slice(2, 8) for _ in shape)
    other = (*(slice(2, 8) for _ in shape[:-1]), slice(shape[-1] - 10, shape[-1] - 4))
    unsure[one], unsure[other] = 0.5, 0.6
    seen = []
    for _ in range(2):
        box = next_place(unsure, judged, 10)
        seen.append(box)
        judged[box] = True
    assert unsure[seen[0]].max() == np.float32(0.6)
    assert unsure[seen[1]].max() == np.float32(0.5)


@given(side=st.integers(1, 40), seed=st.integers(0, 9), share=st.floats(0, 1))
def test_a_place_lies_inside_and_has_something_to_judge(side, seed, share):
    rng = np.random.default_rng(seed)
    unsure, judged = rng.random((23, 31)).astype(np.float32), rng.random((23, 31)) < share
    box = next_place(unsure, judged, side)
    if box is None:
        assert share > 0.5 or side < 3
        return
    assert all(0 <= s.start < s.stop <= n for s, n in zip(box, unsure.shape, strict=True))
    assert (~judged[box]).any()


def test_nothing_unsure_is_no_place():
    assert next_place(np.zeros((30, 30), np.float32), np.zeros((30, 30), bool), 8) is None
    assert next_place(np.ones((30, 30), np.float32), np.ones((30, 30), bool), 8) is None


@given(seed=st.integers(0, 99), classes=st.integers(2, 5), temperature=st.floats(0.5, 5))
def test_uncertainty_is_the_entropy_of_the_softmax_of_logits_over_the_temperature(seed, classes, temperature):
    given = np.random.default_rng(seed).dirichlet(np.ones(classes), size=(3, 4))
    stored = np.moveaxis(np.rint(255 * given), -1, 0).astype(np.uint8)
    with np.errstate(divide="ignore"):
        honest = softmax(np.log(stored / 255) / temperature, axis=0)
    np.testing.assert_allclose(uncertainty(stored, temperature), entropy(honest, axis=0), atol=2e-6)


def test_a_temperature_keeps_the_order_of_two_classes_and_changes_what_many_pixels_add_up_to():
    p = np.arange(0, 129, dtype=np.uint8)  # less sure from pixel to pixel
    stored = np.stack([255 - p, p])
    assert all((np.diff(uncertainty(stored, t)[:128]) >= 0).all() for t in (0.5, 1, 2, 4))
    thin, broad = np.zeros((40, 80), np.uint8), np.zeros((40, 80), np.uint8)
    thin[18:22, 8:32], broad[8:32, 48:72] = 128, 15
    both = thin + broad
    boxes = [next_place(uncertainty(np.stack([255 - both, both]), t), thin > 255, 40) for t in (0.6, 2.0)]
    assert [box[1] for box in boxes] == [slice(0, 40), slice(40, 80)]


def test_what_nobody_segmented_is_not_unsure():
    assert not uncertainty(np.zeros((3, 4, 4), np.uint8), 2.0).any()


def of_classes(shape):
    """Bytes of three classes, all background."""
    stored = np.zeros((3, *shape), np.uint8)
    stored[0] = 255
    return stored


def unsure_at(stored, index, box, amount, one=0, other=1):
    stored[(slice(None), *index, *box)] = 0
    stored[(one, *index, *box)], stored[(other, *index, *box)] = 255 - amount, amount


BOX = (slice(4, 8), slice(4, 8))


def test_all_classes_count_not_only_what_is_foreground():
    stored = of_classes((16, 40))
    stored[:, 4:8, 24:28] = np.array([0, 128, 127], np.uint8)[:, None, None]  # surely foreground, but of which class
    found = run(iter_next_place(stored, "YX", 1.0, [()], None, [], 8))
    assert found.index == ()
    assert found.box[1].start <= 24 < found.box[1].stop


@pytest.mark.parametrize("axes", ["ZYX", "TYX"])
def test_slices_and_frames_come_by_how_unsure_they_are_and_none_twice(axes):
    stored = of_classes((20, 16, 16))
    for z, amount in ((3, 90), (4, 85), (15, 120), (19, 60)):
        unsure_at(stored, (z,), BOX, amount)
    slices, looked = slices_of([(z,) for z in range(20)], stored.shape[1:]), []
    while (found := run(iter_next_place(stored, axes, 1.0, slices, None, looked, 8))) is not None:
        assert found not in looked
        looked.append(found)
    order = [one.index[0] for one in looked]
    near = [3] if axes == "ZYX" else [3, 4]  # in a volume slice 4 is nearly slice 3
    assert order == [15, *near, 19]
    assert abs(4 - 3) <= NEAR


def test_what_was_judged_or_not_segmented_is_not_looked_at():
    stored = of_classes((2, 3, 16, 16))
    for index in np.ndindex(2, 3):
        unsure_at(stored, index, BOX, 40 + 20 * index[0] + 5 * index[1])
    slices = slices_of([(1,)], stored.shape[1:])
    assert slices == [(1, 0), (1, 1), (1, 2)]
    judged = np.zeros((2, 3, 16, 16), bool)
    judged[1, 2] = judged[1, 1] = True
    find = lambda judged, looked: run(iter_next_place(stored, "TZYX", 1.0, slices, judged, looked, 8))  # noqa: E731
    assert find(None, []).index == (1, 2)
    assert find(judged, []).index == (1, 0)
    assert find(judged, [Looked((1, 0), (slice(0, 16), slice(0, 16)))]) is None
    assert find(judged, [Looked((0, 0), (slice(0, 16), slice(0, 16)))]).index == (1, 0)
