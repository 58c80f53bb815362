"""Random looks of a patch: repeatable, of the same shape, and of the labels' geometry."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unetstyle.core.style.randomized import bezier, by_class, fourier
from napari_unetstyle.core.training.drawing import Drawing
from tests.core.networks_for_tests import tiny_model
from tests.core.training_for_tests import discs

LOOKS = {
    "bezier": lambda example, rng: bezier(example.image, rng),
    "by_class": lambda example, rng: by_class(example.image, example.labels[0], rng),
    "fourier": lambda example, rng: fourier(example.image, 0.8 * example.image[..., ::-1] ** 2, rng),
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS.keys())
@pytest.mark.parametrize("shape", [(60, 71), (18, 20, 24)])
@pytest.mark.parametrize("channels", [1, 3])
def test_each_look_is_finite_repeatable_and_leaves_its_input_alone(look, shape, channels):
    example = discs(shape, channels=channels)
    before = example.image.copy()
    made = [look(example, np.random.default_rng(seed)) for seed in (3, 3, 4)]
    assert all(m.shape == before.shape and m.dtype == np.float32 and np.isfinite(m).all() for m in made)
    assert np.array_equal(example.image, before)
    assert np.array_equal(made[0], made[1])
    assert not np.array_equal(made[0], made[2])


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS.keys())
@pytest.mark.filterwarnings("error")
def test_each_look_bears_a_constant_picture(look):
    example = discs()
    example.image[:] = 0.4
    assert np.isfinite(look(example, np.random.default_rng(0))).all()


@given(seed=st.integers(0, 10**6), falls=st.booleans())
@settings(max_examples=50, deadline=None)
def test_a_curve_keeps_the_order_of_pixels_or_turns_it_round_and_keeps_the_range(seed, falls):
    rng = np.random.default_rng(seed)
    image = rng.uniform(-0.1, 1.2, (2, 9, 9)).astype(np.float32)
    made = bezier(image, rng, float(falls))
    steps = np.diff(made.ravel()[np.argsort(image.ravel())])
    assert (steps <= 0).all() if falls else (steps >= 0).all()
    assert made.min() == pytest.approx(image.min(), abs=1e-5)
    assert made.max() == pytest.approx(image.max(), abs=1e-5)


def test_classes_have_curves_of_their_own_and_no_outline():
    image = np.broadcast_to(np.linspace(0, 1, 60, dtype=np.float32), (1, 60, 60))
    classes = np.zeros((60, 60), np.int32)
    classes[20:40] = 1
    classes[50:] = -1
    for seed in range(8):
        made = by_class(image, classes, np.random.default_rng(seed))[0]
        assert 0 <= made.min() <= made.max() <= 1 + 1e-6
        assert (np.diff(made[5]) <= 1e-6).all()
        edge = made[14:26]
        ends = np.stack([edge[0], edge[-1]])
        assert (edge <= ends.max(axis=0) + 1e-6).all()
        assert (edge >= ends.min(axis=0) - 1e-6).all()
        assert np.allclose(made[45], made[5], atol=1e-3)
        assert np.abs(made[30] - made[5]).max() > 0.05
    drawn = [by_class(image, classes, np.random.default_rng(seed))[0, 30] for seed in range(20)]
    assert 3 < sum(line[-1] > line[0] for line in drawn) < 17


def test_low_frequencies_come_from_the_style_and_high_ones_stay():
    rng = np.random.default_rng(0)
    image, style = rng.random((2, 3, 64, 80), np.float32)
    made = fourier(image, 0.2 * style, rng, (0.05, 0.05))
    spectra = [np.fft.fft2(pixels) for pixels in (made, image, 0.2 * style)]
    kept, low = np.ones((64, 80), bool), [np.r_[0:4, -3:0]] * 2
    kept[np.ix_(*low)] = False
    assert np.allclose(np.abs(spectra[0])[:, ~kept], np.abs(spectra[2])[:, ~kept], rtol=1e-3, atol=1e-2)
    assert np.allclose(spectra[0][:, kept], spectra[1][:, kept], atol=1e-2)
    assert np.allclose(fourier(image, image, rng), image, atol=1e-5)
    with pytest.raises(ValueError, match="one shape"):
        fourier(image, style[:, :-1], rng)


def test_a_teaching_draws_them_only_where_they_are_wanted_and_the_same_again(tmp_path):
    lessons = [discs((96, 96), seed=seed) for seed in range(2)]
    plain, random, same = (
        Drawing(spec=tiny_model(tmp_path / str(i)).spec, lessons=lessons, randomized=i > 0) for i in range(3)
    )
    drawn = [[draw.patch(np.random.default_rng(seed)) for seed in range(30)] for draw in (plain, random, same)]
    assert all(np.array_equal(one.image, other.image) for one, other in zip(*drawn[1:], strict=True))
    changed = [not np.array_equal(one.image, other.image) for one, other in zip(*drawn[:2], strict=True)]
    assert 10 < sum(changed) <= 30
    assert all(one.image.shape == other.image.shape for one, other in zip(*drawn[:2], strict=True))
