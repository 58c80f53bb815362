"""What holds for each method of style, whatever it does."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_unetstyle.core import GatysOptions, KeptStyle, Reference, as_image, stylize
from napari_unetstyle.core.errors import ImageError
from napari_unetstyle.core.networks.spec import StyleNetSpec
from napari_unetstyle.core.networks.style_net import StyleNet
from napari_unetstyle.core.style.change import TEXTURED, StyleOptions
from napari_unetstyle.core.style.network import StyleNetwork
from napari_unetstyle.core.style.photometric import METHODS

EVERY = (*METHODS, *TEXTURED)
SHAPE = (20, 24)
methods = pytest.mark.parametrize("method", EVERY)


def picture(seed: int, *more: int, dtype: str = "u1") -> np.ndarray:
    pixels = 255 * np.random.default_rng(seed).random((*SHAPE, *more)) ** (1 + seed % 3)
    return pixels.astype(dtype)


@cache
def look(method: str, channels: int) -> Any:
    """A style, gray or of three colors; for the method that needs one, with a network that does something."""
    pixels = picture(7) if channels == 1 else picture(7, channels)
    if method != "fast":
        return pixels
    spec = StyleNetSpec(in_channels=channels, width=4, blocks=1)
    network = StyleNet(spec).eval()
    torch.nn.init.normal_(network.last.weight, std=0.05, generator=torch.Generator().manual_seed(1))
    return KeptStyle.of("ours", [as_image(pixels)]).model_copy(update={"network": StyleNetwork.of(spec, network)})


def made(pixels: np.ndarray, method: str, channels: int = 3, **given: Any) -> np.ndarray:
    neural = GatysOptions(steps=2, seed=3)
    return np.asarray(stylize(pixels, look(method, channels), method, neural=neural, **given).image.array)


def test_these_are_all_methods() -> None:
    for method in EVERY:
        StyleOptions(method=method)


@given(st.sampled_from(EVERY), st.integers(0, 99), st.sampled_from(["u1", "u2", "i2", "f4"]), st.booleans())
@settings(max_examples=14, deadline=None)
def test_no_strength_is_the_identity(method: str, seed: int, dtype: str, is_gray: bool) -> None:
    pixels = picture(seed, dtype=dtype) if is_gray else picture(seed, 3, dtype=dtype)
    same = made(pixels, method, 1 if is_gray else 3, strength=0)
    assert same.dtype == pixels.dtype
    np.testing.assert_allclose(same, pixels, atol=0 if dtype != "f4" else 1e-3)


@methods
def test_a_gray_style_gives_a_gray_picture(method: str) -> None:
    shown = made(picture(1, 3), method, 1)
    assert shown.shape == (*SHAPE, 3)
    assert np.ptp(shown.astype(int), axis=-1).max() == 0


@pytest.mark.parametrize("method", [method for method in EVERY if method != "fast"])  # whose network is for colors here
def test_so_does_one_that_is_stored_in_three_channels(method: str) -> None:
    style = np.repeat(picture(7)[..., np.newaxis], 3, axis=-1)
    for dtype in ("u1", "u2"):
        shown = stylize(picture(1, 3, dtype=dtype), style, method, neural=GatysOptions(steps=1)).image.array
        assert np.ptp(np.asarray(shown, int), axis=-1).max() == 0
        assert np.asarray(shown).std() > 5


def test_colors_that_are_as_bright_as_each_other_are_colors() -> None:
    one = picture(7)
    confetti = np.stack([one, one[::-1], one[:, ::-1]], axis=-1)
    assert not Reference.of(np.moveaxis(confetti, -1, 0)).is_gray
    assert np.ptp(np.asarray(stylize(picture(1, 3), confetti, "histogram").image.array, int), axis=-1).max() > 50


@methods
def test_the_same_seed_gives_the_same_pixels_and_the_picture_stays_as_it_was(method: str) -> None:
    pixels = picture(1, 3)
    np.testing.assert_array_equal(made(pixels, method), made(pixels, method))
    np.testing.assert_array_equal(pixels, picture(1, 3))


@methods
def test_slices_that_are_alike_look_alike_and_as_one_picture_does(method: str) -> None:
    volume = np.stack([picture(1)] * 3)
    shown = made(volume, method, 1, axes="ZYX", align=False)
    for one in shown:
        np.testing.assert_array_equal(one, shown[0])
    alone = made(picture(1), method, 1, align=False)
    assert np.abs(shown[0].astype(int) - alone).max() <= 2  # ranks fall between other pixels


@pytest.mark.parametrize("method", [method for method in EVERY if method != "gatys"])  # whose sums are of whole slices
def test_slices_that_differ_in_one_place_stay_alike_far_from_it(method: str) -> None:
    one = ndimage.gaussian_filter(np.random.default_rng(5).random((96, 96)), 1.5)
    one = (255 * (one - one.min()) / np.ptp(one)).astype(np.uint8)
    other = one.copy()
    other[4:24, 4:24] = 255
    shown = made(np.stack([one, other, one, one]), method, 1, axes="ZYX")
    for frame in (0, 2):
        np.testing.assert_array_equal(shown[frame][64:, 64:], shown[1][64:, 64:])
    assert shown[0].std() > 5


@methods
def test_what_is_no_number_stays_none_and_one_without_any_is_refused(method: str) -> None:
    pixels = picture(1, dtype="f4")
    pixels[3, 4], pixels[5, 6] = np.nan, np.inf
    shown = made(pixels, method)
    assert np.argwhere(~np.isfinite(shown[..., 0])).tolist() == [[3, 4], [5, 6]]
    with pytest.raises(ImageError, match="no finite pixel"):
        made(np.full_like(pixels, np.nan), method)


@pytest.mark.parametrize("method", TEXTURED)
def test_texture_has_no_channels_but_gray_and_colors(method: str) -> None:
    with pytest.raises(ImageError, match="2 channels"):
        made(picture(1, 2), method, 1, axes="YXC")
