"""A picture in another style: nothing moves, and what is asked for is what comes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_unetstyle.core import KeptStyle, Reference, as_image, stylize
from napari_unetstyle.core.errors import ImageError, OptionError, UnetstyleError

METHODS = ("automatic", "histogram", "moments")


def blobs(shape, seed=0, low=20, high=200):
    """Few bright spots on dark."""
    field = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 3)
    bright = 1 / (1 + np.exp(-12 * (field / field.std() - 1.2)))
    return (low + (high - low) * bright).astype(np.uint8)


def stained(seed=1):
    """Dark purple spots on pink, RGB."""
    amount = blobs((64, 64), seed, 0, 255)[..., np.newaxis] / 255
    return ((1 - amount) * (235, 200, 220) + amount * (90, 50, 130)).astype(np.uint8)


@given(seed=st.integers(0, 99), method=st.sampled_from(METHODS), dtype=st.sampled_from(["u1", "u2", "i2", "f4"]))
@settings(max_examples=20, deadline=None)
def test_size_place_and_type_stay(seed, method, dtype):
    picture = as_image(blobs((40, 50), seed).astype(dtype), spacing=(0.5, 0.25))
    styled = stylize(picture, stained(), method)
    assert styled.image.geometry == picture.geometry
    assert styled.image.array.shape == (40, 50, 3)
    assert styled.image.array.dtype == np.dtype(dtype)
    assert np.isfinite(styled.image.array).all()


@given(
    seed=st.integers(0, 99),
    method=st.sampled_from((*METHODS, "gatys", "any")),
    dtype=st.sampled_from(["?", "u1", "i1", "u2", "i2", ">u2", "u4", "i4", "f2", "f4", "f8"]),
    axes=st.sampled_from(["YX", "ZYX", "YXC", "CYX"]),
    colors=st.sampled_from([3, 4]),
    is_gray=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_no_strength_is_the_picture_itself_to_the_last_bit(seed, method, dtype, axes, colors, is_gray):
    shape = [colors if axis == "C" else 20 for axis in axes]
    pixels = np.frombuffer(np.random.default_rng(seed).bytes(8 * np.prod(shape)), "u8").reshape(shape)
    pixels = (pixels % 2**33 / 2**18).astype(dtype) if "f" in dtype else pixels.astype(dtype)
    if "f" in dtype:
        pixels.flat[:3] = (np.nan, np.inf, 6e4)
    picture = as_image(pixels, axes=axes, spacing=(0.5,) * (len(axes) - ("C" in axes)))
    before = pixels.copy()
    style = blobs((30, 30), 5) if is_gray else stained()
    same = stylize(picture, style, method, strength=0)
    assert (same.image.axes, same.image.geometry, same.image.array.dtype) == (axes, picture.geometry, pixels.dtype)
    np.testing.assert_array_equal(same.image.array, before)
    same.image.array[:] = 0  # nor is it the caller's own array
    np.testing.assert_array_equal(pixels, before)
    assert not same.is_inverted


@pytest.mark.parametrize("strength", [0, 1])
def test_what_cannot_be_styled_is_refused_at_any_strength(strength):
    two = as_image(np.zeros((2, 20, 20), np.uint8), axes="CYX")
    for picture, style in ((two, stained()), (stained(), []), (np.full((20, 20), np.nan, np.float32), stained())):
        with pytest.raises(UnetstyleError):
            stylize(picture, style, strength=strength)


@pytest.mark.parametrize("method", METHODS)
def test_fluorescence_takes_the_colors_of_a_stain_with_its_polarity(method):
    content, style = blobs((64, 64), 3), stained()
    styled = stylize(content, style, method)
    assert styled.is_inverted
    out = np.asarray(styled.image.array, float)
    assert np.corrcoef(out.mean(axis=-1).ravel(), content.ravel())[0, 1] < -0.8
    assert np.abs(out.mean(axis=(0, 1)) - style.mean(axis=(0, 1))).max() < 30
    assert not stylize(content, style, method, align=False).is_inverted


def test_a_volume_has_one_style_for_all_its_slices():
    volume = blobs((6, 32, 32), 4).astype(np.float32)
    volume[3:] += 40
    whole = np.asarray(stylize(as_image(volume, axes="ZYX"), blobs((50, 50), 7)).image.array)
    pairs = np.unique(np.stack([volume.ravel(), whole.ravel()]), axis=1)
    assert len(np.unique(pairs[0])) == pairs.shape[1]


@pytest.mark.parametrize("constant", [0, 7, 255])
def test_constant_pictures_are_no_trouble_but_no_style(constant):
    flat = np.full((20, 20), constant, np.uint8)
    assert np.isfinite(np.asarray(stylize(flat, stained()).image.array, float)).all()
    for picture in (stained(), flat):
        with pytest.raises(OptionError, match="same value everywhere"):
            stylize(picture, flat)


def test_what_is_not_possible_is_said():
    two = as_image(np.zeros((2, 20, 20), np.uint8), axes="CYX")
    for call in (
        lambda: stylize(two, stained()),
        lambda: stylize(stained(), []),
        lambda: stylize(stained(), stained(), "magic"),
        lambda: stylize(stained(), stained(), strength=2),
    ):
        with pytest.raises(UnetstyleError):
            call()


def test_styles_are_mixed():
    dark, light = Reference.of(np.full((1, 9, 9), 50, np.uint8)), Reference.of(np.full((1, 9, 9), 150, np.uint8))
    assert Reference.mixed([dark, light], [1, 3]).mean[0] == pytest.approx(125 / 255, abs=1e-4)


def test_bright_on_dark_and_dark_on_bright_are_not_averaged():
    bright, dark = blobs((64, 64), 1), 255 - blobs((64, 64), 2)
    for method in ("automatic", "histogram", "any", "gatys"):
        for styles in ([bright, dark], [dark, bright], [bright, bright, dark], ["he-light", "fluorescence"]):
            with pytest.raises(OptionError, match="Styles of opposite polarity have no mean"):
                stylize(blobs((64, 64), 3), styles, method)
    with pytest.raises(OptionError, match=r"he-light \(-0\.\d\d\), brighter in fluorescence \(\+0"):
        stylize(dark, ["fluorescence", "he-light"])
    with pytest.raises(OptionError, match=r"in style 2 .* brighter in style 1"):
        KeptStyle.of("gray-mush", [as_image(bright), as_image(dark)])
    even = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)  # of no sure polarity
    for styles in ([bright, blobs((64, 64), 5)], [dark, even], [bright, even]):
        assert stylize(blobs((64, 64), 3), styles).image.array.std() > 15


@given(seed=st.integers(0, 99), shape=st.sampled_from([(1, 9, 11), (3, 40, 50), (1, 6, 30, 20), (3, 500, 400)]))
@settings(max_examples=20, deadline=None)
def test_ranks_of_bytes_are_those_of_the_same_numbers(seed, shape):
    levels = np.random.default_rng(seed).choice(256, 9)
    pixels = np.random.default_rng(seed + 1).choice(levels, shape).astype(np.uint8)
    counted, sorted_ = Reference.of(pixels), Reference.of_unit(pixels.astype(np.float32) / 255)
    assert np.allclose(counted.quantiles, sorted_.quantiles, atol=1e-6)
    for name in ("mean", "std", "polarity"):
        assert np.allclose(getattr(counted, name), getattr(sorted_, name), atol=1e-5)


def test_a_style_is_that_of_the_picture_as_it_was():
    pixels = stained().transpose(2, 0, 1).copy()
    wanted = Reference.of(pixels.copy()).stated()
    style = Reference.of(pixels)
    pixels[:] = 7
    assert style.stated() == wanted


def test_inverted_twice_is_the_style_itself():
    style = Reference.of(stained().transpose(2, 0, 1))
    again = style.inverted().inverted()
    assert np.allclose(again.quantiles, style.quantiles)
    assert again.polarity == style.polarity == -style.inverted().polarity


def test_without_texture_a_style_is_otherwise_the_same():
    style = Reference.of(stained().transpose(2, 0, 1))
    textured = Reference.of_stated({**style.stated(), "texture": [1.0, 2.0]})
    for one in (style, style.inverted(), textured):
        plain = one.without_texture()
        assert plain.texture is None
        assert plain.stated() == {name: value for name, value in one.stated().items() if name != "texture"}
    assert list(textured.texture) == [1, 2]


def test_a_picture_of_yes_and_no_has_no_look() -> None:
    mask = np.zeros((20, 24), bool)
    with pytest.raises(ImageError, match="yes and no"):
        stylize(mask, np.arange(480, dtype=np.uint8).reshape(20, 24))
