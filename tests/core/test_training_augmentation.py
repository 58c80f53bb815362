from __future__ import annotations

import numpy as np
import pytest

from napari_unetstyle.core.training import augmentation
from napari_unetstyle.core.training.augmentation import LIGHT, STRONG, appear, smooth_field
from napari_unetstyle.core.training.blanks import background, blank, sparse
from tests.core.training_for_tests import discs

CHANGES = sorted({change for _, change in (*STRONG, *LIGHT)}, key=lambda change: change.__name__)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("seed", range(4))
def test_each_change_is_finite_repeatable_and_leaves_its_input_alone(change, seed):
    image = discs().image
    before = image.copy()
    first = np.asarray(change(image, np.random.default_rng(seed)))
    assert first.shape == image.shape
    assert np.isfinite(first).all()
    assert np.array_equal(image, before)
    assert np.array_equal(first, change(image, np.random.default_rng(seed)))


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_each_change_bears_a_constant_picture_and_a_volume(change):
    for image in (np.full((3, 20, 24), 0.4, np.float32), discs((18, 20, 24), channels=1).image):
        changed = np.asarray(change(image, np.random.default_rng(0)))
        assert changed.shape == image.shape
        assert np.isfinite(changed).all()


@pytest.mark.parametrize("change", [c for c in CHANGES if c is not augmentation.random_convolution])
def test_no_change_wipes_out_dim_objects(change):
    """Labels must still be seen: objects of a dim picture keep a contrast against the ground."""
    example = discs()
    dim = 0.05 * example.image
    inside = example.labels[1] > 0
    for seed in range(8):
        changed = np.asarray(change(dim, np.random.default_rng(seed)), np.float64).max(axis=0)
        inverse = np.asarray(change(dim, np.random.default_rng(seed)), np.float64).min(axis=0)
        contrast = max(
            abs(p[inside].mean() - p[~inside].mean()) / (p[~inside].std() + 1e-9) for p in (changed, inverse)
        )
        assert contrast > 0.3


def test_inversion_twice_is_nothing():
    image = discs().image
    rng = np.random.default_rng(0)
    assert np.allclose(augmentation.invert(augmentation.invert(image, rng), rng), image, atol=1e-6)


def test_chance_zero_and_one():
    image = discs().image
    rng = np.random.default_rng(0)
    assert np.array_equal(appear(image, rng, [(0.0, augmentation.invert)]), image)
    assert np.array_equal(appear(image, rng, [(1.0, augmentation.invert)]), 1 - image)


@pytest.mark.parametrize("shape", [(30, 40), (8, 20, 24)])
def test_smooth_fields_are_smooth_and_within_zero_and_one(shape):
    for seed in range(12):
        field = smooth_field(shape, np.random.default_rng(seed))
        assert field.shape == shape
        assert 0 <= field.min() <= field.max() <= 1 + 1e-6
        assert np.abs(np.diff(field, axis=-1)).max() < 0.4


def test_blanks_are_empty_varied_and_repeatable():
    drawn = [blank(3, (32, 40), np.random.default_rng(seed)) for seed in range(60)]
    assert all(not example.labels.any() for example in drawn)
    assert all(np.isfinite(example.image).all() for example in drawn)
    assert any(not np.ptp(example.image.reshape(3, -1), axis=1).any() for example in drawn)
    gray = [bool((e.image == e.image[:1]).all()) for e in drawn]
    assert 20 < sum(gray) < 55
    assert np.array_equal(drawn[3].image, blank(3, (32, 40), np.random.default_rng(3)).image)
    cloudy = [blank(1, (32, 40), np.random.default_rng(seed), clouds=1.0) for seed in range(20)]
    assert sum(np.ptp(example.image) > 0 for example in cloudy) > 15  # a few are too dim for eight bits
    assert not any(example.labels.any() for example in cloudy)


def test_background_pieces_hold_no_object():
    example = discs((200, 200), count=3)
    example.image[:, example.labels[1] > 0] = 9.0
    found = [background(example, (64, 64), np.random.default_rng(seed)) for seed in range(20)]
    assert any(piece is not None for piece in found)
    for piece in found:
        if piece is not None:
            assert piece.image.max() < 1
            assert not piece.labels.any()


def test_no_background_no_piece():
    example = discs()
    example.labels[:] = 1
    assert background(example, (32, 32), np.random.default_rng(0)) is None


def test_sparse_keeps_few_objects_and_their_pixels():
    example = discs((128, 128), count=12)
    for seed in range(10):
        thin = sparse(example, np.random.default_rng(seed), keep=2)
        kept = thin.labels[1] > 0
        assert 1 <= len(np.unique(thin.labels[1][kept])) <= 2
        assert np.array_equal(thin.image[:, kept], example.image[:, kept])
        gone = (example.labels[1] > 0) & ~kept
        assert thin.image[:, gone].max() < 0.4
        assert np.array_equal(thin.labels[0] > 0, kept)
