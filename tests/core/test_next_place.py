from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unetstyle.core.annotation.next_place import next_place, uncertainty


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
