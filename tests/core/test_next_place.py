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
    iter_uncertainty,
    next_place,
    uncertainty,
)
from napari_unetstyle.core.imaging.geometry import unknown
from napari_unetstyle.core.models.spec import ClassSpec
from napari_unetstyle.core.progress import run
from napari_unetstyle.core.segmentation.options import SegmentOptions
from napari_unetstyle.core.segmentation.result import SegmentResult


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


def result_of(stored, axes, frames=((),), temperature=None):
    """Of a run that gave these bytes, and a seed map that says nothing of classes."""
    classes = tuple(ClassSpec(value=i, name=str(i), color="#e41a1c") for i in range(1, len(stored)))
    return SegmentResult(
        labels=np.zeros(stored.shape[1:], np.uint8),
        label_axes=axes,
        geometry=unknown(2),
        classes=classes,
        output="areas",
        objects={},
        probability_bytes=np.concatenate([stored, np.full((1, *stored.shape[1:]), 128, np.uint8)]),
        seed_rise=0.75,
        zoom=1.0,
        frames=frames,
        options=SegmentOptions(),
        provenance={},
        temperature=temperature,
    )


def find(result, judged=None, looked=()):
    return run(iter_next_place(result, judged, looked, 8))


BOX = (slice(4, 8), slice(4, 8))
EVERYWHERE = (slice(0, 16), slice(0, 16))


def unsure_at(stored, index, amount):
    stored[(slice(None), *index, *BOX)] = np.array([255 - amount, amount, 0])[:, None, None]


def test_all_classes_count_not_only_what_is_foreground():
    stored = of_classes((16, 40))
    stored[:, 4:8, 24:28] = np.array([0, 128, 127], np.uint8)[:, None, None]  # surely foreground, but of which class
    found = find(result_of(stored, "YX"))
    assert found.index == ()
    assert found.box[1].start <= 24 < found.box[1].stop


@pytest.mark.parametrize("axes", ["ZYX", "TYX"])
@pytest.mark.parametrize("is_volume", [False, True])
def test_slices_and_frames_come_by_how_unsure_they_are_and_none_twice(axes, is_volume):
    stored = of_classes((20, 16, 16))
    for z, amount in ((3, 90), (4, 85), (15, 120), (19, 60)):
        unsure_at(stored, (z,), amount)
    result = result_of(stored, axes, ((),) if is_volume else tuple((z,) for z in range(20)))
    looked = []
    while (found := find(result, None, looked)) is not None:
        assert found not in looked
        looked.append(found)
    near = [3] if axes == "ZYX" else [3, 4]  # in a volume slice 4 is nearly slice 3
    assert [one.index[0] for one in looked] == [15, *near, 19]
    assert abs(4 - 3) <= NEAR


def test_what_was_judged_or_not_segmented_is_not_looked_at():
    stored = of_classes((2, 3, 16, 16))
    for index in np.ndindex(2, 3):
        unsure_at(stored, index, 40 + 20 * index[0] + 5 * index[1])
    result = result_of(stored, "TZYX", ((1,),))
    judged = np.zeros((2, 3, 16, 16), bool)
    judged[1, 2] = judged[1, 1] = True
    assert find(result).index == (1, 2)
    assert find(result, judged).index == (1, 0)
    assert find(result, judged, [Looked((1, 0), EVERYWHERE)]) is None
    assert find(result, judged, [Looked((0, 0), EVERYWHERE)]).index == (1, 0)


def test_the_map_of_a_whole_result_is_that_of_its_slices_at_the_model_s_temperature():
    stored = np.moveaxis(np.rint(255 * np.random.default_rng(0).dirichlet(np.ones(3), (2, 4, 5, 6))), -1, 0)
    result = result_of(stored.astype(np.uint8), "TZYX", ((1,),), temperature=1.7)
    found = run(iter_uncertainty(result))
    assert (found.shape, found.dtype) == ((2, 4, 5, 6), np.float32)
    assert not found[0].any()  # not segmented
    np.testing.assert_array_equal(found[1], uncertainty(stored[:, 1].astype(np.uint8), 1.7))
