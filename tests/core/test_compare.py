"""Two label pictures are only compared where both lie on the same grid in the same place."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from napari_unetstyle.core import Geometry, Image, evaluate, run
from napari_unetstyle.core.errors import ImageError
from napari_unetstyle.core.metrics import differences
from napari_unetstyle.core.segmentation.compare import (
    common_geometry,
    difference_classes,
    iter_compare,
    place_notes,
    whole_labels,
)

PLACE = Geometry(spacing=(2.0, 0.5, 0.5), unit="mm", origin=(10.0, -20.0, 5.0), is_anatomical=True)


def volume(dtype: Any = np.uint8, *, place: Geometry = PLACE, axes: str = "ZYX", shift: int = 0) -> Image:
    array = np.zeros((5, 12, 12), dtype)
    array[1:4, 3 + shift : 8 + shift, 2:9] = 1
    array[1:4, 10:, :3] = 2
    return Image(array=array.transpose(["ZYX".index(a) for a in axes]), axes=axes, geometry=place)


def test_scores_are_those_of_evaluate() -> None:
    prediction, truth = volume(shift=1), volume()
    scores = run(iter_compare(prediction, truth))
    expected = evaluate(prediction.array, truth.array, output="areas", spacing=PLACE.spacing, tolerance=1.0)
    assert scores == expected
    assert scores["classes"][1]["hd95"] == 0.5


@pytest.mark.parametrize("dtype", [np.float32, np.float64, bool, np.int64])
def test_labels_of_other_types_count_if_they_are_whole(dtype: Any) -> None:
    ours = volume(dtype)
    truth = dataclasses.replace(ours, array=np.asarray(ours.array).astype(np.uint16))
    assert run(iter_compare(ours, truth))["dice"] == 1


@pytest.mark.parametrize("value", [0.5, math.nan, math.inf, 2.0**30])
def test_a_probability_map_is_no_labels(value: float) -> None:
    array = np.zeros((5, 12, 12), np.float32)
    array[2, 2, 2] = value
    with pytest.raises(ImageError, match="no whole numbers"):
        run(iter_compare(Image(array=array, axes="ZYX", geometry=PLACE), volume()))


def test_axes_in_another_order_are_brought_into_one() -> None:
    turned = volume(axes="XYZ", shift=1)
    assert run(iter_compare(turned, volume())) == run(iter_compare(volume(shift=1), volume()))
    single = Image(array=np.ones((1, 4, 5), np.uint8), axes="CYX", geometry=PLACE.sizes(2))
    assert whole_labels(single, "truth").shape == (4, 5)


def test_colors_are_no_labels() -> None:
    picture = Image(array=np.zeros((4, 5, 3), np.uint8), axes="YXC", geometry=PLACE.sizes(2))
    with pytest.raises(ImageError, match="3 channels"):
        run(iter_compare(picture, picture))


def test_what_one_does_not_say_the_other_does() -> None:
    unknown = volume(place=Geometry(spacing=(1.0, 1.0, 1.0)))
    assert common_geometry(unknown, volume()) == common_geometry(volume(), unknown) == PLACE
    assert run(iter_compare(unknown, volume()))["unit"] == "mm"
    scores = run(iter_compare(unknown, unknown))
    assert scores["unit"] == "px"
    assert "nsd" not in scores


def test_sizes_without_a_unit_have_to_agree_too() -> None:
    bare = Geometry(spacing=(2.0, 0.5, 0.5))
    assert common_geometry(volume(place=bare), volume()) == common_geometry(volume(), volume(place=bare)) == PLACE
    scores = run(iter_compare(volume(place=bare, shift=1), volume(place=bare)))
    assert (scores["unit"], scores["hd95"]) == ("px", 0.25)  # the mean of 0.5 and 0
    for other in (PLACE, bare):
        with pytest.raises(ImageError, match="Pixel sizes differ"):
            common_geometry(volume(place=Geometry(spacing=(2.0, 0.5, 0.6))), volume(place=other))


def test_units_may_differ_where_sizes_do_not() -> None:
    assert common_geometry(volume(place=PLACE.in_unit("um")), volume()) == PLACE


def test_rounding_of_headers_is_no_other_place() -> None:
    rounded = dataclasses.replace(PLACE, spacing=(2.00001, 0.5, 0.5), origin=(10.0001, -20.0, 5.0))
    assert common_geometry(volume(place=rounded), volume()) == PLACE


@pytest.mark.parametrize(
    "change",
    [
        {"spacing": (2.0, 0.5, 0.51)},
        {"origin": (12.0, -20.0, 5.0)},
        {"direction": ((1, 0, 0), (0, 1, 0), (0, 0, -1)), "origin": (10.0, -20.0, 10.5)},
        {"direction": ((1, 0, 0), (0, 0, 1), (0, 1, 0))},
    ],
)
def test_another_place_is_refused_unless_a_person_states_one(change: dict[str, Any]) -> None:
    other = volume(place=dataclasses.replace(PLACE, **change))
    with pytest.raises(ImageError, match=r"differ|different places"):
        run(iter_compare(other, volume()))
    assert run(iter_compare(other, volume(), geometry=PLACE.sizes(3)))["dice"] == 1


def test_other_axes_and_shapes_are_refused() -> None:
    movie = Image(array=volume().array, axes="TYX", geometry=PLACE.sizes(2))
    with pytest.raises(ImageError, match="TYX"):
        run(iter_compare(movie, volume()))
    with pytest.raises(ImageError, match="same shape"):
        run(iter_compare(dataclasses.replace(volume(), array=np.zeros((5, 12, 11), int)), volume()))


def test_a_time_series_is_compared_frame_by_frame() -> None:
    movie = Image(array=volume(shift=1).array, axes="TYX", geometry=PLACE.sizes(2))
    truth = Image(array=volume().array, axes="TYX", geometry=PLACE.sizes(2))
    scores = run(iter_compare(movie, truth))
    assert (scores["volume_unit"], scores["classes"][1]["hd95"]) == ("mm2", 0.5)


def test_differences_are_named() -> None:
    found = differences(np.array([1, 1, 0, 2, 2]), np.array([0, 1, 1, 1, 2]), output="areas")
    classes = difference_classes(found, {1: "anterior"})
    assert [c.name for c in classes] == [
        "false positive: anterior", "false negative: anterior", "class 2 instead of anterior",
    ]  # fmt: skip
    assert len({c.color for c in classes}) == 3
    objects = difference_classes(differences(np.array([1, 0]), np.array([0, 1])))
    assert [c.name for c in objects] == ["false positive", "false negative", "another object"]


def test_labels_of_which_one_has_no_place_are_compared_with_a_note() -> None:
    bare = volume(place=PLACE.sizes(3))
    assert "Only the truth says where it lies" in place_notes(bare, volume())[0]
    assert "Only the prediction says" in place_notes(volume(), bare, PLACE.sizes(3))[0]
    assert place_notes(volume(), volume()) == place_notes(bare, bare, PLACE.sizes(3)) == ()
