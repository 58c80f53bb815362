from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unetstyle.core.errors import ImageError
from napari_unetstyle.core.imaging.geometry import Geometry, in_known_unit
from napari_unetstyle.core.imaging.image import AXES, Image, as_image, axes_examples, possible_axes


@given(axes=st.permutations("TCZYX").flatmap(lambda p: st.integers(0, 3).map(lambda n: "".join(p)[n:])))
def test_a_frame_is_channel_first_whatever_the_order_of_the_axes(axes):
    axes = axes + "".join(a for a in "YX" if a not in axes)
    lengths = {"T": 2, "C": 3, "Z": 4, "Y": 5, "X": 6}
    array = np.random.default_rng(0).random([lengths[a] for a in axes])
    image = as_image(array, axes=axes, spacing=(1.0,) * sum(a in "ZYX" for a in axes))
    assert image.label_axes == "".join(a for a in "TZYX" if a in axes)
    index = tuple(lengths[a] - 1 for a in image.label_axes[:-2])
    frame = image.frame(index, 2)
    assert (frame.channels, frame.shape) == (lengths["C"] if "C" in axes else 1, (5, 6))
    expected = np.einsum(f"{axes}->{image.label_axes[:-2]}{'C' * ('C' in axes)}YX", array)[index]
    np.testing.assert_array_equal(frame.read(), expected.reshape(-1, 5, 6))
    np.testing.assert_array_equal(frame.read(slice(1, 3), slice(2, 4)), expected.reshape(-1, 5, 6)[:, 1:3, 2:4])


def test_a_volume_is_read_whole():
    array = np.random.default_rng(0).random((2, 4, 5, 6))
    frame = as_image(array, axes="TZYX").frame((1,), 3)
    np.testing.assert_array_equal(frame.read(slice(1, 3)), array[1:2, 1:3])


def test_axes_are_stated_or_asked_for():
    assert as_image(np.zeros((4, 5))).axes == "YX"
    colored = as_image(np.zeros((4, 5, 3)))
    assert colored.axes == "YXC"
    assert "YXC" in colored.notes[0]
    with pytest.raises(ImageError, match="State its axes"):
        as_image(np.zeros((3, 4, 5)))


def test_a_picture_that_is_restated_keeps_its_place_and_names():
    place = Geometry(spacing=(2, 1, 1), unit="mm", origin=(5, 6, 7))
    image = Image(array=np.zeros((2, 3, 4, 5)), axes="CZYX", geometry=place, channel_names=("a", "b"))
    assert image.restated().channel_names == ("a", "b")
    assert image.restated(spacing=(10, 20, 20)).geometry.origin == (5000, 6000, 7000)
    turned = image.restated(axes="zcyx")
    assert (turned.axes, turned.geometry, turned.channel_names) == ("ZCYX", place, ())
    assert image.restated(axes="CTYX").geometry.unit == "px"


@pytest.mark.parametrize("axes", ["YY", "Y", "CYXX", "ABC", "YXQ"])
def test_bad_axes_are_refused(axes):
    with pytest.raises(ImageError):
        as_image(np.zeros((2,) * len(axes)), axes=axes)


@pytest.mark.parametrize("spacing", [(0.0, 1.0), (1.0, -1.0), (np.nan, 1.0), (np.inf, 1.0), (1.0,), (1.0, 1.0, 1.0)])
def test_bad_pixel_sizes_are_refused(spacing):
    with pytest.raises(ImageError):
        as_image(np.zeros((4, 5)), spacing=spacing)


def test_units_are_understood_and_unknown_ones_refused():
    for name, factor in {"µm": 1, "micron": 1, "nm": 1e-3, "cm": 1e4}.items():
        place = in_known_unit((2.0, 3.0), name)
        assert place.unit == "um"
        assert place.spacing == pytest.approx((2 * factor, 3 * factor))
    assert in_known_unit((1.0, 1.0), "pixel").unit == "px"
    with pytest.raises(ImageError, match="furlong"):
        in_known_unit((1.0, 1.0), "furlong")


def test_pixel_area():
    assert Geometry(spacing=(0.5, 0.25), unit="um").pixel_size == 0.125


def test_lazy_arrays_are_not_read_before_they_must():
    class Lazy:
        shape, dtype, reads = (1000, 1000), np.dtype(np.uint8), 0

        def __getitem__(self, key):
            type(self).reads += 1
            return np.zeros(self.shape, np.uint8)[key]

    frame = as_image(Lazy()).frame((), 2)
    assert Lazy.reads == 0
    assert frame.read(slice(0, 2)).shape == (1, 2, 1000)
    assert Lazy.reads == 1


def test_every_frame_is_listed_in_order():
    image = as_image(np.zeros((2, 3, 4, 5)), axes="TZYX")
    assert image.frames(2) == list(itertools.product(range(2), range(3)))
    assert image.frames(3) == [(0,), (1,)]


@pytest.mark.parametrize("letters", ["?YX", "??YX", "???YX", "?YXC", "?ZYX", "C?ZYX", "C??YX", "????YX", "C??ZYX"])
def test_examples_of_axes_can_be_given(letters: str) -> None:
    said = re.findall("axes='([A-Z]+)'", axes_examples(possible_axes(letters)))
    assert all(len({*axes}) == len(letters) and {*axes} <= {*AXES} for axes in said)
    assert len(said) == min(2, len(possible_axes(letters)))


def test_an_example_says_what_its_letter_means() -> None:
    assert axes_examples(possible_axes("?YX")) == ", for example axes='ZYX' for slices or axes='TYX' for times"
