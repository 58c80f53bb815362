from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unetstyle.core.segmentation.preprocessing import Intensity
from napari_unetstyle.core.training.drawing import Drawing
from napari_unetstyle.core.training.patches import (
    UNKNOWN,
    Example,
    Warp,
    _linear_map,
    draw_patch,
    renumbered,
    touching,
    unit_range,
)
from tests.core.networks_for_tests import tiny_model, tiny_volume_model
from tests.core.training_for_tests import discs

WILD = Warp(zoom=(0.5, 2.0), turn=1.0, bend=1.0, amplitude=6.0, focus=0.5)
ELASTIC = Warp(turn=0.0, bend=1.0, elastic=(30.0, 5.0), focus=0.0)
PLAIN = Warp(turn=0.0, bend=0.0, focus=0.0)


@given(seed=st.integers(0, 10_000), warp=st.sampled_from([WILD, ELASTIC]))
def test_labels_follow_the_pixels_through_any_warp(seed, warp):
    patch = draw_patch(discs(), (64, 48), warp, np.random.default_rng(seed))
    assert patch.image.shape == (3, 64, 48)
    bright, labeled = patch.image[0] > 0.42, patch.labels[0] == 1
    # they may differ only along edges, where the picture is interpolated and the labels are not
    edge = np.zeros_like(labeled)
    edge[1:] |= labeled[1:] != labeled[:-1]
    edge[:-1] |= labeled[1:] != labeled[:-1]
    edge[:, 1:] |= labeled[:, 1:] != labeled[:, :-1]
    edge[:, :-1] |= labeled[:, 1:] != labeled[:, :-1]
    edge[[0, -1]] = edge[:, [0, -1]] = True  # there it may lie just outside
    assert not ((bright != labeled) & ~edge).any()
    assert np.array_equal(patch.labels[1] > 0, labeled)


@given(seed=st.integers(0, 10_000), size=st.integers(8, 40))
def test_flips_and_right_angles_only_move_pixels(seed, size):
    example = discs((41, 41))
    patch = draw_patch(example, (size, size), PLAIN, np.random.default_rng(seed))
    assert np.isin(np.rint(patch.image * 255), np.rint(example.image * 255)).all()


def test_an_elastic_deformation_moves_pixels_by_smoothed_noise_times_alpha():
    shape = (192, 192)
    ramps = np.stack(np.meshgrid(*(np.arange(n, dtype=np.float32) for n in shape), indexing="ij"))
    warp = replace(ELASTIC, mirror="", exchange=False)
    moved = draw_patch(Example(ramps, np.zeros((2, *shape), np.int32)), shape, warp, np.random.default_rng(0)).image
    shifts = (moved - ramps)[:, 20:-20, 20:-20]
    smoothed = np.sqrt(1 / 3) / (2 * np.sqrt(np.pi) * 5)  # of white noise by a Gaussian of sigma 5, in two dimensions
    assert shifts.std() == pytest.approx(30 * smoothed, rel=0.2)
    neighbors = np.corrcoef(shifts[:, 1:].ravel(), shifts[:, :-1].ravel())[0, 1]
    assert neighbors == pytest.approx(np.exp(-1 / (4 * 5**2)), abs=0.01)


def test_the_same_generator_draws_the_same_patch():
    first, second, third = (draw_patch(discs(), (32, 32), WILD, np.random.default_rng(s)) for s in (3, 3, 4))
    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.labels, second.labels)
    assert not np.array_equal(first.image, third.image)


def test_a_picture_smaller_than_the_patch_is_mirrored_and_its_copies_are_objects_of_their_own():
    example = discs((40, 40), count=1)
    patch = draw_patch(example, (160, 160), PLAIN, np.random.default_rng(0))
    from skimage.measure import label

    assert patch.labels[1].max() == label(patch.labels[0], connectivity=1).max() > 1


def test_unknown_pixels_stay_unknown():
    example = discs()
    example.labels[:, :, :50] = UNKNOWN
    patch = draw_patch(example, (96, 112), PLAIN, np.random.default_rng(1))
    assert (patch.labels[0] == UNKNOWN).any()
    assert np.array_equal(patch.labels[0] == UNKNOWN, patch.labels[1] == UNKNOWN)


def test_focus_brings_a_rare_object_into_the_patch():
    image, objects = np.zeros((1, 600, 600), np.uint8), np.zeros((600, 600), np.int32)
    objects[500:510, 40:50] = 1
    example = Example.of(image, objects)
    there = [
        (draw_patch(example, (64, 64), Warp(focus=focus), np.random.default_rng(s)).labels[1] > 0).any()
        for focus in (0.0, 1.0)
        for s in range(40)
    ]
    assert sum(there[:40]) < 8
    assert sum(there[40:]) > 35


def test_volumes_are_drawn_by_the_same_code():
    example = discs((24, 30, 32), channels=1)
    patch = draw_patch(example, (16, 24, 24), WILD, np.random.default_rng(0))
    assert patch.image.shape == (1, 16, 24, 24)
    assert np.array_equal(patch.labels[0] == 1, patch.labels[1] > 0)


def test_areas_have_classes_and_no_known_objects():
    example = Example.of_areas(np.zeros((1, 8, 8), np.uint16), np.arange(64).reshape(8, 8) % 3)
    assert set(np.unique(example.labels[0])) == {0, 1, 2}
    assert (example.labels[1] == UNKNOWN).all()


def test_labels_of_another_size_are_refused():
    with pytest.raises(ValueError, match="labels must be"):
        Example(np.zeros((1, 8, 8), np.float32), np.zeros((2, 8, 9), np.int32))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.int16])
def test_any_type_is_brought_to_zero_to_one(dtype):
    image = np.linspace(0, 255, 30).reshape(1, 5, 6).astype(dtype)
    scaled = unit_range(image)
    assert scaled.dtype == np.float32
    assert scaled.min() == 0
    assert scaled.max() == 1


def test_constant_and_nonfinite_pictures_stay_finite():
    image = np.full((1, 4, 4), np.nan, np.float32)
    image[0, 0, 0] = np.inf
    assert np.isfinite(unit_range(image)).all()


def test_pixels_that_are_no_numbers_are_learned_as_a_run_sees_them():
    """A CT of about -500 HU, of which the upper half is NaN: that is no bright thing."""
    rng = np.random.default_rng(0)
    image = rng.normal(-500, 40, (2, 40, 40)).astype(np.float32)
    image[1] += 900
    image[:, :20] = np.nan
    seen = Intensity.of(image.reshape(2, -1)).normalize(image)
    learned = unit_range(image)
    assert np.isfinite(learned).all()
    assert (learned.min(), learned.max()) == (0, 1)
    assert learned[1].min() > learned[0].max()
    shown = Intensity.of(learned.reshape(2, -1)).normalize(learned)
    np.testing.assert_allclose(shown[:, :20], seen[:, :20], atol=0.02)
    image[0, 0, 0], image[0, 0, 1] = np.inf, -np.inf
    assert np.array_equal(unit_range(image), learned)


def test_objects_of_any_number_stay_apart():
    """float32 cannot tell 16777216 and 16777217 apart."""
    objects = np.full((24, 24), 16777216)
    objects[:, 12:] = 16777217
    example = Example.of(np.zeros((1, 24, 24), np.uint8), objects)
    plain = Warp(turn=0, bend=0, focus=0)
    patch = draw_patch(example, (24, 24), plain, np.random.default_rng(0))
    assert set(np.unique(patch.labels[1])) == {1, 2}
    assert (patch.labels[0] == 1).all()


def test_numbers_without_gaps_stay_and_those_with_gaps_keep_their_order():
    given = np.array([[UNKNOWN, 0, 1], [2, 3, 2]], np.int32)
    np.testing.assert_array_equal(renumbered(given), given)
    given = np.array([[50_000_000, 7, 0], [7, UNKNOWN, 2_000_000_000]], np.int32)
    np.testing.assert_array_equal(renumbered(given), [[2, 1, 0], [1, UNKNOWN, 3]])
    assert renumbered(given).dtype == np.int32
    assert not renumbered(np.zeros((2, 2), np.int32)).any()


def test_where_two_objects_touch():
    objects = np.array([[1, 1, 2, 0, 3, 3]], np.int32)
    assert touching(objects).tolist() == [[False, True, True, False, False, False]]


@pytest.mark.parametrize(
    ("dims", "stated", "signs", "is_exchanged"),
    [(2, None, "YX", True), (2, "X", "X", False), (2, "", "", False), (3, None, "", False), (3, "ZX", "ZX", False)],
)
def test_teaching_mirrors_only_what_the_model_allows(tmp_path, dims, stated, signs, is_exchanged):
    spec = (tiny_volume_model if dims == 3 else tiny_model)(tmp_path).spec
    spec = spec.model_copy(update={"input": spec.input.model_copy(update={"mirror": stated})})
    warp = Drawing(spec=spec, lessons=[]).warp
    assert warp.angle == pytest.approx(np.deg2rad(15))
    flipped, exchanged = set(), False
    for seed in range(40):
        linear = _linear_map(dims, replace(warp, turn=0.0), np.random.default_rng(seed))
        exchanged |= not np.diagonal(linear)[-1]
        flipped |= {"ZYX"[-dims:][i] for i in np.flatnonzero(linear.sum(axis=0) < 0)}
    assert (flipped, exchanged) == (set(signs), is_exchanged)


def test_a_volume_is_tilted_only_as_far_as_asked():
    level, tilted = (Warp(turn=1.0, exchange=False, angle=0.0, tilt=tilt) for tilt in (0.0, 0.3))
    for seed in range(20):
        straight = _linear_map(3, level, np.random.default_rng(seed))
        np.testing.assert_allclose(np.abs(straight), np.eye(3), atol=1e-12)
        linear = _linear_map(3, tilted, np.random.default_rng(seed))
        np.testing.assert_allclose(linear @ linear.T, np.eye(3), atol=1e-12)
        assert np.abs(linear).diagonal().min() > np.cos(0.3) ** 2 - 1e-9
        assert not np.allclose(np.abs(linear), np.eye(3))
