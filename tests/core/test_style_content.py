"""Planted failures are caught, faithful styles are not accused."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy import ndimage
from skimage.draw import ellipse

from napari_unetstyle.core import Reference, StyleOptions, check_content
from napari_unetstyle.core.errors import ImageError
from napari_unetstyle.core.style import content_check
from napari_unetstyle.core.style.change import change_of

COUNT = 24  # pictures of each kind
SHAPE = (96, 112)


def scene(seed: int, channels: int = 1, crowded: bool | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Cells with texture on an uneven background ``(C, Y, X)``, and their numbers."""
    rng = np.random.default_rng(seed)
    ids = np.zeros(SHAPE, np.int32)
    many = int(rng.integers(8, 20)) if crowded is None else (40 if crowded else 5)
    for number in range(1, many + 1):
        middle = rng.uniform((8, 8), np.array(SHAPE) - 8)
        rows, columns = ellipse(*middle, *rng.uniform(5, 10, 2), shape=SHAPE, rotation=rng.uniform(0, 3))
        free = ids[rows, columns] == 0
        ids[rows[free], columns[free]] = number
    inside = ndimage.gaussian_filter((ids > 0).astype(float), 0.8)
    texture = ndimage.gaussian_filter(rng.standard_normal(SHAPE), 1.5)
    levels = rng.uniform(0.6, 1, many + 1)[ids]
    field = 0.15 + 0.5 * inside * levels + (0.08 * inside + 0.04) * texture / texture.std()
    colors = rng.uniform(0.5, 1, (channels, 1, 1)) if channels > 1 else 1.0
    pixels = field * colors + rng.normal(0, 0.015, (channels, *SHAPE))
    pixels = pixels.clip(0, 1).astype(np.float32)
    return (1 - pixels if rng.random() < 0.4 else pixels), ids


def made_up(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blobs that look like cells, where there are none."""
    spots = ndimage.gaussian_filter(rng.standard_normal(SHAPE), 3)
    return pixels + np.float32(0.9 * np.ptp(pixels)) * (spots > np.quantile(spots, 0.8))


def part_gone(pixels: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Every other cell painted over with what is around it."""
    gone = ndimage.binary_dilation(np.isin(ids, np.unique(ids[ids > 0])[::2]), iterations=2)
    around = np.median(pixels[:, ids == 0], axis=1).reshape(-1, 1, 1)
    return np.where(gone, around, pixels).astype(np.float32)


def erased(pixels: np.ndarray, seed: int) -> np.ndarray:
    """Ranks matched to a picture that has almost none of what the first is full of, and then dimmed as cameras do."""
    wanted = Reference.of_unit(np.full_like(pixels, 0.3) + np.random.default_rng(seed).normal(0, 0.01, pixels.shape))
    noise = np.random.default_rng(seed + 1).normal(0, 0.01, pixels.shape)
    options = StyleOptions(method="histogram", align=False)
    return (change_of(Reference.of_unit(pixels), wanted, options)(pixels) * 0.2 + noise + 0.2).astype(np.float32)


FAILURES = {
    "shifted by 3 pixels": lambda p, ids, rng: np.roll(p, (3, 0) if rng.random() < 0.5 else (0, 3), (1, 2)),
    "shifted aslant": lambda p, ids, rng: np.roll(p, (2, -2), (1, 2)),
    "made up": lambda p, ids, rng: made_up(p, rng),
    "part gone": lambda p, ids, rng: part_gone(p, ids),
    "erased": lambda p, ids, rng: erased(p, int(rng.integers(999))),
    "of another picture": lambda p, ids, rng: scene(int(rng.integers(10**6)), len(p))[0],
    "only texture": lambda p, ids, rng: ndimage.gaussian_filter(rng.random(p.shape), (0, 2, 2)).astype(np.float32),
}
FAITHFUL = {
    "same": lambda p, rng: p,
    "gamma": lambda p, rng: p ** rng.choice([0.6, 1.6]),
    "gain": lambda p, rng: p * rng.uniform(0.3, 2) + rng.uniform(-0.2, 0.3),
    "inverted": lambda p, rng: 1 - p,
    "shading": lambda p, rng: p * np.linspace(0.6, 1.3, p.shape[-1], dtype=np.float32),
    "noise": lambda p, rng: p + rng.normal(0, 0.03, p.shape),
    "blur": lambda p, rng: ndimage.gaussian_filter(p, (0, *[0.8] * (p.ndim - 1))),
    "moments": lambda p, rng: styled(p, "moments", rng),
    "histogram": lambda p, rng: styled(p, "histogram", rng),
    "automatic": lambda p, rng: styled(p, "automatic", rng),
}


def styled(pixels, method, rng):
    wanted = Reference.of_unit(scene(int(rng.integers(10**6)), len(pixels))[0])
    return change_of(Reference.of_unit(pixels), wanted, StyleOptions(method=method))(pixels)


@cache
def scenes():
    return [scene(seed, 1 + 2 * (seed % 2)) for seed in range(COUNT)]


def test_planted_failures_are_caught():
    caught = {}
    for name, spoil in FAILURES.items():
        rng = np.random.default_rng(len(name))
        caught[name] = [not check_content(p, spoil(p, ids, rng), ids).holds for p, ids in scenes()]
    missed = {name: found.count(False) for name, found in caught.items()}
    assert max(missed.values()) <= 0.05 * COUNT, missed


def test_faithful_styles_are_not_accused():
    accused = {}
    for name, change in FAITHFUL.items():
        rng = np.random.default_rng(len(name))
        found = [check_content(p, np.asarray(change(p, rng), np.float32), ids) for p, ids in scenes()]
        accused[name] = [one.words for one in found if not one.holds]
    assert max(map(len, accused.values())) < 0.05 * COUNT, accused


def test_an_inversion_is_said():
    pixels, ids = scene(3)
    found = check_content(pixels, 1 - pixels, ids)
    assert found.is_inverted
    assert found.holds
    assert "Bright and dark" in found.words
    assert not check_content(pixels, pixels, ids).is_inverted


def test_a_volume_is_checked_as_one():
    slices = [scene(seed) for seed in (1, 1, 1, 1)]
    pixels = np.stack([p for p, _ in slices], axis=1) + np.random.default_rng(0).normal(0, 0.01, (1, 4, *SHAPE))
    pixels, ids = pixels.astype(np.float32), np.stack([i for _, i in slices])
    assert check_content(pixels, 0.5 * pixels + 0.2, ids).holds
    assert not check_content(pixels, np.roll(pixels, 3, 2), ids).holds


def test_labels_without_a_border_leave_the_structure_of_the_whole():
    pixels, ids = scene(5)
    nothing = np.zeros_like(ids)
    assert check_content(pixels, 2 * pixels, nothing).holds
    assert not check_content(pixels, np.random.default_rng(0).random(pixels.shape, np.float32), nothing).holds
    assert check_content(np.zeros_like(pixels), np.zeros_like(pixels), nothing).edges == 1


def test_words_name_what_is_wrong():
    pixels, ids = scene(6)
    assert "moved" in check_content(pixels, np.roll(pixels, 3, 1), ids).words
    assert "no longer differ" in check_content(pixels, part_gone(pixels, ids), ids).words
    assert "still fit" in check_content(pixels, pixels, ids).words


def test_unknown_pixels_are_not_judged():
    pixels, ids = scene(7)
    unknown = np.where(np.arange(SHAPE[1]) < SHAPE[1] // 2, -1, ids).astype(np.int32)
    changed = pixels.copy()
    changed[:, :, : SHAPE[1] // 3] = made_up(pixels, np.random.default_rng(0))[:, :, : SHAPE[1] // 3]
    assert not check_content(pixels, changed, ids).holds
    assert check_content(pixels, changed, unknown).holds


def test_a_picture_in_several_styles_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, ids = scene(3)
    styles = [1 - pixels, pixels**2, np.roll(pixels, 3, axis=-1)]
    apart = [check_content(pixels, style, ids) for style in styles]
    looked = []
    near = content_check._objects
    monkeypatch.setattr(content_check, "_objects", lambda labels: (looked.append(1), near(labels))[1])
    content = content_check.Content(pixels, ids)
    assert [content.judge(style) for style in styles] == apart
    assert len(looked) == 1


def test_what_does_not_fit_is_refused():
    pixels, ids = scene(1)
    with pytest.raises(ImageError, match="same shape"):
        check_content(pixels, pixels[:, 1:], ids)
    with pytest.raises(ImageError, match="NaN"):
        check_content(pixels, np.full_like(pixels, np.nan), ids)
