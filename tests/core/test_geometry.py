from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unetstyle.core.errors import ImageError
from napari_unetstyle.core.imaging.geometry import Geometry, apart
from napari_unetstyle.core.imaging.image import as_image
from tests.core.geometry_for_tests import AXIS_ORIENTATIONS, geometries, rotation

MM = {"spacing": (3.0, 0.8, 0.7), "unit": "mm"}


def test_without_a_place_the_first_pixel_is_the_origin_and_axes_are_the_worlds():
    plain = Geometry(spacing=(2.0, 0.5), unit="um")
    assert (plain.origin, plain.direction) == ((0.0, 0.0), ((1.0, 0.0), (0.0, 1.0)))
    assert (plain.axes, plain.is_oblique, plain.orientation) == ("YX", False, "")
    assert plain == Geometry(spacing=(2.0, 0.5), unit="um", origin=(0, 0), direction=np.eye(2))
    assert hash(plain) == hash(Geometry(spacing=(2.0, 0.5), unit="um"))


@given(geometries())
def test_the_affine_is_what_the_words_say(place):
    index = np.array([[0, 0, 0], [1, 2, 3], [-4.5, 0.25, 7]])
    expected = [np.array(place.origin) + np.array(place.direction) @ (np.array(place.spacing) * i) for i in index]
    np.testing.assert_allclose(place.to_world(index), expected, atol=1e-9)
    np.testing.assert_allclose((place.affine @ [*index[1], 1])[:3], expected[1], atol=1e-9)


def test_the_48_orientations_are_told_apart():
    seen = {Geometry(**MM, direction=direction, is_anatomical=True).orientation for direction in AXIS_ORIENTATIONS}
    expected = {"".join(letters) for axes in itertools.permutations(("SI", "PA", "LR")) for letters in
                itertools.product(*axes)}  # fmt: skip
    assert seen == expected
    assert len(seen) == 48
    assert Geometry(**MM, is_anatomical=True).orientation == "SPL"


def test_oblique_is_what_runs_along_no_axis():
    tilted = Geometry(**MM, direction=rotation((1.0, 0.0, 0.0), 0.2), is_anatomical=True)
    assert tilted.is_oblique
    assert tilted.orientation == "SPL"
    assert not any(Geometry(**MM, direction=direction).is_oblique for direction in AXIS_ORIENTATIONS)


@given(geometries(), st.sampled_from(AXIS_ORIENTATIONS))
def test_turned_pixels_stay_where_they_are_and_can_be_turned_back(place, turn):
    shape, order, is_mirrored = (3, 4, 5), tuple(np.abs(turn).argmax(axis=1).tolist()), tuple(turn.sum(axis=1) < 0)
    turned = place.turned(shape, order, is_mirrored)
    there = np.array([0, 1, 2])
    index = [
        shape[axis] - 1 - there[axis] if back else there[axis] for axis, back in zip(order, is_mirrored, strict=True)
    ]
    np.testing.assert_allclose(turned.to_world(index), place.to_world(there), atol=1e-9)
    back = turned.turned(tuple(shape[axis] for axis in order), *turned.turns_onto(place))
    assert apart(back, place.in_unit("um"), shape) < 1e-6
    assert apart(place.in_unit("um"), replace(place, origin=np.add(place.origin, (0, 3, 4))), shape) == pytest.approx(5)


def test_axes_halfway_between_those_of_another_place_are_not_turned():
    between = Geometry(**MM, direction=rotation((1.0, 1.0, 1.0), np.pi / 3), is_anatomical=True)
    order, is_mirrored = between.turns_onto(Geometry(**MM, is_anatomical=True))
    assert sorted(order) == [0, 1, 2]
    assert len(is_mirrored) == 3


@pytest.mark.parametrize(
    ("change", "expected"),
    [({}, False), ({"origin": (0, 0, 1)}, True), ({"is_anatomical": True}, True),
     ({"direction": np.diag([1, 1, -1])}, True), ({"origin": (0, 0, 1), "unit": "px"}, False)],
)  # fmt: skip
def test_a_size_alone_is_no_place(change, expected):
    assert Geometry(**{**MM, **change}).is_placed is expected


@given(geometries())
def test_a_unit_changes_numbers_and_no_place(place):
    other = place.in_unit("um")
    np.testing.assert_allclose(other.to_world([1, 2, 3]), 1000 * place.to_world([1, 2, 3]), rtol=1e-9, atol=1e-6)
    assert (other.direction, other.is_anatomical) == (place.direction, place.is_anatomical)
    assert place.in_unit("mm") is place
    stated = place.with_spacing((2000, 2000, 1000), "um")
    np.testing.assert_allclose(stated.in_unit("mm").origin, place.origin, rtol=1e-9, atol=1e-9)
    assert stated.in_unit("mm").spacing == pytest.approx((2, 2, 1))


def test_pixels_are_no_length():
    with pytest.raises(ImageError, match="in px cannot"):
        Geometry(spacing=(1.0, 1.0)).in_unit("mm")
    assert Geometry(spacing=(1.0, 1.0)).with_spacing((0.5, 0.25), "um") == Geometry(spacing=(0.5, 0.25), unit="um")


def test_a_plane_keeps_its_size_only():
    place = Geometry(**MM, origin=(1, 2, 3), direction=rotation((0.0, 1.0, 1.0), 0.3))
    assert place.sizes(2) == Geometry(spacing=(0.8, 0.7), unit="mm")


@given(geometries())
def test_an_affine_says_it_all(place):
    again = Geometry.from_affine(place.affine, "mm", is_anatomical=True)
    np.testing.assert_allclose(again.affine, place.affine, atol=1e-9)
    assert again.is_anatomical


@pytest.mark.parametrize("wrong", [np.zeros((4, 4)), np.diag([1, 0, 1, 1]), np.full((4, 4), np.inf)])
def test_an_affine_that_places_nothing_is_refused(wrong):
    with pytest.raises(ImageError, match="places nothing"):
        Geometry.from_affine(wrong, "mm")


@pytest.mark.parametrize(
    "wrong",
    [
        {"origin": (0.0, 0.0)},
        {"origin": (0.0, np.nan, 0.0)},
        {"origin": (0.0, np.inf, 0.0)},
        {"direction": np.eye(2)},
        {"direction": np.zeros((3, 3))},
        {"direction": 2 * np.eye(3)},
        {"direction": [[1, 0.1, 0], [0, 1, 0], [0, 0, 1]]},
        {"direction": np.full((3, 3), np.nan)},
    ],
)
def test_a_place_that_is_none_is_refused(wrong):
    with pytest.raises(ImageError, match="is not allowed"):
        Geometry(**MM, **wrong)


@given(st.floats(-1e-4, 1e-4))
def test_a_rounded_direction_is_taken(error):
    assert Geometry(**MM, direction=np.eye(3) + error / 3).origin == (0, 0, 0)


def test_a_picture_and_its_geometry_have_the_same_axes():
    with pytest.raises(ImageError, match="one number for each of ZYX"):
        as_image(np.zeros((2, 3, 4)), axes="ZYX", spacing=(1.0, 1.0))
