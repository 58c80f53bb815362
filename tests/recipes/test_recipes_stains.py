"""Pictures of nuclei with a second stain: still the same nuclei."""

from __future__ import annotations

import numpy as np
import pytest
import stains
from skimage.draw import disk

from napari_unetstyle.core.training.patches import Example


def nuclei(*, bright: bool) -> Example:
    """Three disks on an even canvas, bright on dark or the other way round."""
    ids = np.zeros((64, 72), np.int32)
    for number, place in enumerate([(16, 16), (40, 30), (30, 58)], 1):
        ids[disk(place, 8)] = number
    gray = np.where(ids > 0, 0.7, 0.2) + 0.02 * np.random.default_rng(0).standard_normal(ids.shape)
    image = np.repeat((gray if bright else 1 - gray)[np.newaxis], 3, 0).astype(np.float32)
    return Example(image, np.stack([np.minimum(ids, 1), ids]))


@pytest.mark.parametrize("bright", [True, False])
def test_the_nuclei_stay_and_the_same_seed_gives_the_same_pixels(bright: bool) -> None:
    patch = nuclei(bright=bright)
    for seed in range(20):
        made, again = (stains.counterstained(patch, np.random.default_rng(seed)) for _ in range(2))
        assert made.labels is patch.labels
        assert made.image.shape == patch.image.shape
        assert made.image.dtype == np.float32
        assert 0 <= made.image.min() <= made.image.max() <= 1
        assert not np.array_equal(made.image, patch.image)
        assert np.array_equal(made.image, again.image)


@pytest.mark.parametrize("bright", [True, False])
def test_the_second_stain_is_often_stronger_than_the_nuclei(bright: bool) -> None:
    patch = nuclei(bright=bright)
    inside = patch.labels[0] > 0
    stronger = 0
    for seed in range(60):
        gray = stains.counterstained(patch, np.random.default_rng(seed)).image.mean(0)
        middle = gray[inside].mean()
        stronger += np.quantile(gray[~inside], 0.02) < middle < np.quantile(gray[~inside], 0.98)
    assert 15 < stronger < 50


def test_a_second_stain_leaves_the_nuclei_out() -> None:
    ids = nuclei(bright=True).labels[1]
    inside = ids > 0
    for seed in range(20):
        amount = stains.second_stain(ids, np.random.default_rng(seed))
        assert 0 <= amount.min() <= amount.max() <= 1
        if amount.any():
            assert amount[inside].mean() < amount[~inside].max()


@pytest.mark.parametrize("value", [0, 1])
def test_a_patch_without_nuclei_or_without_background_stays_as_it_is(value: int) -> None:
    labels = np.full((2, 16, 16), value, np.int32)
    patch = Example(np.zeros((3, 16, 16), np.float32), labels)
    assert stains.counterstained(patch, np.random.default_rng(0)) is patch
