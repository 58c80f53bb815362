from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unetstyle.core import KeptStyle, Reference, StyleAugment, as_image, stylize
from napari_unetstyle.core.errors import OptionError
from napari_unetstyle.core.style.any_style import with_texture


def picture(seed, shape=(3, 40, 50), dark=False):
    rng = np.random.default_rng(seed)
    blobs = np.zeros(shape[1:], np.float32)
    for _ in range(6):
        corner = [int(rng.integers(n - 8)) for n in shape[1:]]
        blobs[tuple(slice(c, c + 8) for c in corner)] = rng.uniform(0.5, 0.9)
    levels = rng.uniform(0.5, 1, (len(shape) and shape[0], *(1,) * (len(shape) - 1)))
    pixels = (0.1 + blobs * levels + rng.normal(0, 0.02, shape)).clip(0, 1).astype(np.float32)
    return 1 - pixels if dark else pixels


def bank(count=3, channels=3):
    return tuple(Reference.of_unit(picture(i, (channels, 40, 50), dark=i % 2 == 1)) for i in range(count))


@pytest.mark.parametrize("shape", [(1, 40, 50), (3, 40, 50), (2, 40, 50), (1, 9, 20, 22)])
@pytest.mark.parametrize("channels", [1, 3])
def test_shape_type_and_range_stay(shape, channels):
    pixels = picture(9, shape)
    styled = StyleAugment(bank=bank(channels=channels), p=1)(pixels, np.random.default_rng(0))
    assert styled.shape == pixels.shape
    assert styled.dtype == np.float32
    assert np.isfinite(styled).all()
    assert -0.1 <= styled.min() <= styled.max() <= 1.1
    assert not np.array_equal(styled, pixels)


def test_the_same_seed_gives_the_same_pixels_and_another_gives_others():
    augment, pixels = StyleAugment(bank=bank(), p=1), picture(9)
    one, same, other = (augment(pixels, np.random.default_rng(seed)) for seed in (4, 4, 5))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_nothing_changes_without_chance_or_strength():
    pixels = picture(9)
    assert StyleAugment(bank=bank(), p=0)(pixels, np.random.default_rng(0)) is pixels
    still = StyleAugment(bank=bank(), p=1, strength=(0, 0))(pixels, np.random.default_rng(0))
    assert np.array_equal(still, pixels)


def test_a_gray_style_gives_a_gray_picture():
    styled = StyleAugment(bank=bank(channels=1), p=1, strength=(1, 1))(picture(9), np.random.default_rng(0))
    assert np.ptp(styled, axis=0).max() < 1e-6


def test_a_part_is_changed_as_the_whole_is():
    pixels, augment = picture(9), StyleAugment(bank=bank(), p=1)
    content = Reference.of_unit(pixels)
    whole = augment(pixels, np.random.default_rng(3), content)
    part = augment(pixels[:, 5:20, 7:30], np.random.default_rng(3), content)
    assert np.array_equal(part, whole[:, 5:20, 7:30])


@given(st.integers(1, 6), st.integers(0, 10**6))
def test_every_drawn_style_is_one(count, seed):
    augment, rng = StyleAugment(bank=bank(count)), np.random.default_rng(seed)
    drawn = augment.draw(rng)
    assert (np.diff(drawn.quantiles, axis=1) >= 0).all()
    assert (drawn.quantiles >= 0).all()
    assert (drawn.quantiles <= 1).all()
    assert (drawn.std >= 0).all()
    assert abs(drawn.polarity) <= 1


def test_drawn_styles_have_the_mean_and_the_spread_of_the_bank():
    references = tuple(Reference.of_unit(picture(i)) for i in range(4))
    augment, rng = StyleAugment(bank=references), np.random.default_rng(0)
    means = np.stack([augment.draw(rng).mean for _ in range(600)])
    known = np.stack([reference.mean for reference in references])
    assert np.allclose(means.mean(axis=0), known.mean(axis=0), atol=4)  # of 100 in Lab
    assert (means.std(axis=0) > 0.3 * known.std(axis=0)).all()
    assert (means.max(axis=0) > known.max(axis=0)).any()  # beyond the bank, too


@pytest.mark.parametrize("reach", [0.5, 2])
def test_nothing_is_drawn_beyond_the_extremes(reach):
    references = tuple(Reference.of_unit(0.3 + 0.1 * i + 0.1 * picture(i, (1, 40, 50))) for i in range(2))
    augment, rng = StyleAugment(bank=references, reach=reach), np.random.default_rng(0)
    middle, *ends = [style.mean for style in augment.extremes()]
    assert len(ends) == 2
    assert np.allclose(middle, np.mean(ends, axis=0), atol=1e-5)
    drawn = np.stack([augment.draw(rng).mean for _ in range(100)])
    assert (drawn >= np.min(ends, axis=0) - 1e-5).all()
    assert (drawn <= np.max(ends, axis=0) + 1e-5).all()


def test_without_reach_styles_are_as_they_are():
    augment, rng = StyleAugment(bank=bank(4), reach=0), np.random.default_rng(0)
    assert augment.extremes() == []
    assert {id(augment.draw(rng)) for _ in range(40)} == {id(style) for style in augment.bank}


def test_bright_and_dark_styles_are_not_mixed():
    augment, rng = StyleAugment(bank=bank(4)), np.random.default_rng(0)
    assert all(abs(augment.draw(rng).polarity) > 0.1 for _ in range(100))


@pytest.mark.parametrize(
    "options",
    [{"bank": ()}, {"methods": ()}, {"methods": ("nothing",)}, {"p": 2}, {"strength": (0.8, 0.2)}, {"reach": -1}],
)
def test_what_cannot_be_is_refused(options):
    with pytest.raises(OptionError):
        StyleAugment(**({"bank": bank()} | options))


def textured(seed=0, channels=3, **kind):
    look = picture(seed, (channels, 40, 50), **kind)
    return with_texture(Reference.of_unit(look, f"look {seed}"), look)


def in_any(style, pixels, seed=0):
    augment = StyleAugment(bank=(style,), methods=("any",), p=1, strength=(1, 1))
    return augment(pixels, np.random.default_rng(seed))


def automatic(style, pixels):
    augment = StyleAugment(bank=(style,), methods=("automatic",), p=1, strength=(1, 1))
    return augment(pixels, np.random.default_rng(0))


def test_texture_is_what_stylize_makes_in_one_pass():
    stored = [(255 * picture(seed)).round().astype(np.uint8) for seed in (1, 9)]
    look, pixels = (each.astype(np.float32) / 255 for each in stored)
    made = in_any(with_texture(Reference.of_unit(look), look), pixels)
    same = stylize(*(as_image(each, axes="CYX") for each in reversed(stored)), "any").image.array
    assert np.abs(255 * made.clip(0, 1) - same).max() <= 1
    assert np.abs(made - automatic(textured(1), pixels)).max() > 0.02


@pytest.mark.parametrize(("shape", "channels"), [((1, 40, 50), 1), ((3, 40, 50), 1), ((3, 40, 50), 3)])
def test_texture_keeps_shape_and_stays_gray_where_the_style_is(shape, channels):
    pixels = picture(9, shape)
    made = in_any(textured(1, channels), pixels)
    assert made.shape == shape
    assert made.dtype == np.float32
    assert channels == 3 or np.ptp(made, axis=0).max() < 1e-6
    assert np.array_equal(made, in_any(textured(1, channels), pixels))


@pytest.mark.parametrize("shape", [(2, 40, 50), (1, 9, 20, 22)])
def test_what_can_have_no_texture_takes_the_colors_alone(shape):
    style, pixels = textured(1, 1), picture(9, shape)
    assert np.array_equal(in_any(style, pixels), automatic(style, pixels))
    plain = bank(1)[0]
    assert np.array_equal(in_any(plain, picture(9)), automatic(plain, picture(9)))


def test_a_mixture_has_the_mean_texture_and_none_if_one_has_none():
    one, other = textured(0), textured(2)
    mixed = Reference.mixed([one, other], [0.25, 0.75])
    assert np.allclose(mixed.texture, 0.25 * one.texture + 0.75 * other.texture, atol=1e-5)
    assert Reference.mixed([one, bank(1)[0]]).texture is None
    assert one.gray().texture is None


def test_texture_is_stated_and_read_exactly():
    style = textured(3)
    again = Reference.of_stated(json.loads(json.dumps(style.stated())))
    assert np.array_equal(again.texture, style.texture)
    assert again.texture.dtype == np.float32
    assert "texture" not in bank(1)[0].stated()


def test_a_texture_has_no_place_among_the_statistics_of_a_kept_style():
    with pytest.raises(ValueError, match="a texture among the statistics"):
        KeptStyle(name="one", statistics=textured(3).stated())


def test_a_gray_picture_in_colors_is_a_gray_style():
    look = np.repeat(picture(1, (1, 40, 50)), 3, axis=0)
    assert with_texture(Reference.of_unit(look), look).channels == 1
