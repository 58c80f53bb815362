from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_unetstyle.core import GatysOptions, Reference, as_image, iter_stylize, run, stylize
from napari_unetstyle.core.errors import ImageError, ModelFileError, OptionError
from napari_unetstyle.core.networks.features import TAPS, Features
from napari_unetstyle.core.style import gatys
from napari_unetstyle.core.style.change import StyleOptions
from napari_unetstyle.core.style.gatys import Gatys, StyleProgress, iter_gatys
from napari_unetstyle.core.style.perceptual import LAYERS, PerceptualLoss

FAST = GatysOptions(steps=6, preview_every=3)


def spots(shape=(48, 56), seed=0):
    """Bright discs on black, uint8."""
    rng, picture = np.random.default_rng(seed), np.full(shape, 12, np.uint8)
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    for _ in range(5):
        y, x = rng.uniform(8, shape[0] - 8), rng.uniform(8, shape[1] - 8)
        picture[(rows - y) ** 2 + (columns - x) ** 2 < 36] = 200
    return picture


def stripes(shape=(40, 44)):
    """Dark purple stripes on a pink ground, uint8."""
    wave = (np.sin(np.arange(shape[1]) * 1.2) > 0.5)[None, :, None] * np.ones((shape[0], 1, 1))
    return (235 - wave * (150, 190, 60) - (0, 40, 20) * np.ones((*shape, 1))).clip(0, 255).astype(np.uint8)


def unit(picture):
    return np.moveaxis(np.atleast_3d(picture), -1, 0).astype(np.float32) / 255


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_the_style_comes_nearer_and_is_seen_coming(optimizer):
    seen = []
    start = np.repeat(unit(spots()), 3, 0)
    options = GatysOptions(steps=10, preview_every=5, optimizer=optimizer)
    made = run(iter_gatys(start, [unit(stripes())], options), seen.append)
    assert all(isinstance(step, StyleProgress) for step in seen)
    assert [step.step for step in seen] == list(range(1, 11))
    assert [step.preview is not None for step in seen] == [s % 5 == 0 for s in range(1, 11)]
    assert seen[-1].style_loss < 0.8 * seen[0].style_loss
    assert made.shape == start.shape
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made, seen[-1].preview)


def test_the_same_seed_gives_the_same_pixels_and_another_gives_others():
    one, same, other = (
        stylize(spots(), stripes(), "gatys", neural=GatysOptions(steps=4, seed=seed)).image.array for seed in (1, 1, 2)
    )
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_a_gray_picture_takes_colors_and_polarity():
    styled = stylize(spots(), stripes(), "gatys", neural=FAST)
    assert styled.is_inverted
    assert styled.image.axes == "YXC"
    assert styled.image.array.dtype == np.uint8
    discs = spots() > 100
    assert styled.image.array[discs].mean() < styled.image.array[~discs].mean() - 20  # dark on bright now


def test_no_pixel_leaves_the_gamut_of_the_style():
    style = unit(stripes())
    made = run(iter_gatys(np.random.default_rng(0).random((3, 32, 32), np.float32), [style], FAST))
    low, high = np.percentile(style.reshape(3, -1), (1, 99), axis=1)
    assert (made.min(axis=(1, 2)) >= low - 1e-6).all()
    assert (made.max(axis=(1, 2)) <= high + 1e-6).all()


def test_strength_0_is_the_identity_and_a_half_lies_between():
    zero, half, whole = (stylize(stripes(), stripes()[:, ::-1], "gatys", strength=s, neural=FAST) for s in (0, 0.5, 1))
    assert np.array_equal(zero.image.array, stripes())
    mean = (stripes().astype(float) + whole.image.array) / 2
    assert np.abs(half.image.array - mean).max() <= 1


def test_a_part_of_the_loss_counts_as_much_in_each_slice_of_a_volume():
    style, near = unit(spots(seed=5)), unit(spots(seed=6))
    far = np.random.default_rng(0).random((1, 48, 56), np.float32)
    made = Gatys.of([style], 1, FAST)
    alone, same, shared = (run(one.steps(near)) for one in (made, made.measured([near]), made.measured([near, far])))
    np.testing.assert_array_equal(alone, same)
    assert np.abs(shared - near).mean() < 0.7 * np.abs(alone - near).mean()  # as little as it needs


def test_a_stack_is_done_slice_by_slice_and_seen_coming():
    stack = as_image(np.stack([spots(seed=0), spots(seed=1)]), axes="ZYX")
    seen = []
    styled = run(iter_stylize(stack, [spots(seed=5)], StyleOptions(method="gatys", neural=FAST)), seen.append)
    assert styled.image.array.shape == stack.array.shape
    fractions = [step.fraction for step in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert any(step.preview is not None for step in seen)


def test_it_can_be_stopped_at_any_step_and_computes_no_other(monkeypatch):
    losses, usual = [], PerceptualLoss.__call__
    monkeypatch.setattr(PerceptualLoss, "__call__", lambda self, x: losses.append(1) or usual(self, x))
    start, style = unit(stripes((20, 24))), unit(spots((20, 24)))
    for count in (1, 3):
        losses.clear()
        steps = iter_gatys(start, [style], FAST)
        for _ in range(count):
            next(steps)
        steps.close()
        with pytest.raises(StopIteration):
            next(steps)
        assert len(losses) == count
    np.testing.assert_array_equal(start, unit(stripes((20, 24))))
    losses.clear()
    stack = as_image(np.stack([spots((20, 24), seed) for seed in (0, 1)]), axes="ZYX")
    steps = iter_stylize(stack, [spots((20, 24), 5)], StyleOptions(method="gatys", neural=FAST))
    next(steps)
    steps.close()
    assert len(losses) == 1  # nor is the next slice begun


def test_half_the_precision_gives_nearly_the_same_picture_and_is_not_used_on_a_processor(monkeypatch):
    style, start, quick = unit(spots((20, 20), 5)), unit(spots((20, 20), 6)), GatysOptions(steps=2)
    assert not Gatys.of([style], 1, quick).aim.is_mixed
    whole = run(iter_gatys(start, [style], quick))
    monkeypatch.setattr(gatys, "is_faster_mixed", lambda device: True)
    half = run(iter_gatys(start, [style], quick))
    assert not np.array_equal(whole, half)
    assert np.abs(whole - half).mean() < 0.5 * np.abs(whole - start).mean()


def test_the_content_is_compared_in_the_layer_that_is_asked_for():
    assert tuple(TAPS) == LAYERS
    style, start = unit(spots((20, 24), 5)), unit(stripes((20, 24)))[:1]
    made = [run(iter_gatys(start, [style], GatysOptions(steps=2, content_layer=layer))) for layer in LAYERS]
    usual = run(iter_gatys(start, [style], GatysOptions(steps=2)))
    assert [np.array_equal(usual, one) for one in made] == [False, False, True, False]


def test_weights_of_torchvision_are_used(tmp_path, monkeypatch):
    torch.manual_seed(0)
    torch.save(Features().state_dict(), tmp_path / "vgg.pth")
    made = [
        stylize(spots(), stripes(), "gatys", neural=GatysOptions(steps=3, weights=w))
        for w in (None, tmp_path / "vgg.pth")
    ]
    assert not np.array_equal(made[0].image.array, made[1].image.array)
    with pytest.raises(ModelFileError, match="There is no file"):
        stylize(spots(), stripes(), "gatys", neural=GatysOptions(weights=tmp_path / "gone.pth"))


def test_what_is_not_possible_is_said(monkeypatch):
    with pytest.raises(OptionError, match="statistics only"):
        stylize(spots(), Reference.of(np.moveaxis(stripes(), -1, 0)), "gatys", neural=FAST)
    with pytest.raises(ImageError, match="at least 16"):
        stylize(spots()[:10], stripes(), "gatys", neural=FAST)
    monkeypatch.setattr(gatys, "free_memory", lambda: 10**6)
    with pytest.raises(ImageError, match=r"needs about 0\.\d GB"):
        stylize(spots(), stripes(), "gatys", neural=FAST)
    for wrong in (
        {"steps": 0},
        {"style_weight": 0},
        {"optimizer": "sgd"},
        {"content_weight": -1},
        {"content_layer": "relu9"},
    ):
        with pytest.raises(OptionError):
            GatysOptions(**wrong)
