"""Labels by hand belong to the picture that they were drawn on, whatever is opened and closed later."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels, _layer_actions

from napari_unetstyle.core import read_image
from napari_unetstyle.core.errors import OutputError
from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.widgets.layers import PLACE
from napari_unetstyle.widgets.opening import layer_data
from napari_unetstyle.widgets.placement import Placement
from napari_unetstyle.widgets.same_patient import watch
from napari_unetstyle.widgets.writers import write_volume
from tests.core.test_medical import PLACE as TILTED
from tests.core.test_medical import check_worlds, corners_marked

GRID = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
TWIN = Geometry(  # stored the other way, and shown in the same box of the canvas
    spacing=TILTED.spacing,
    unit="mm",
    origin=tuple(np.array(TILTED.direction) @ np.diag([1, 1, -1]) @ np.array(TILTED.direction).T @ TILTED.origin),
    direction=np.array(TILTED.direction) @ np.diag([1, 1, -1]),
    is_anatomical=True,
)

STRAIGHT = Geometry(  # turned against the first, and shown in the same box
    spacing=TILTED.spacing,
    unit="mm",
    origin=tuple(np.array(TILTED.direction).T @ TILTED.origin),
    direction=np.eye(3),
    is_anatomical=True,
)


@pytest.fixture
def viewer(monkeypatch: pytest.MonkeyPatch) -> ViewerModel:
    model = ViewerModel()
    watch(model)
    monkeypatch.setattr("napari.current_viewer", lambda: model)
    return model


def scan(viewer: Any, place: Geometry = TILTED, name: str = "scan") -> Any:
    pixels = np.random.default_rng(0).integers(0, 255, corners_marked()[0].shape, np.uint8)
    data, arguments, _ = layer_data(Image(array=pixels, axes="ZYX", geometry=place, name=name))
    return viewer.add_image(data, **arguments)


def drawn(viewer: Any) -> Any:
    """What napari's button makes on the layer that is selected, painted."""
    viewer._new_labels()
    viewer.layers[-1].data[...] = corners_marked()[0]
    return viewer.layers[-1]


def check(labels: Any, folder: Path, place: Geometry = TILTED) -> None:
    path = folder / "x.nii.gz"
    write_volume(str(path), *labels.as_layer_data_tuple()[:2])
    check_worlds(path, place, corners_marked()[1])


@pytest.mark.parametrize("is_copied", [False, True])
def test_they_stay_where_they_were_drawn_when_the_scan_is_closed(
    is_copied: bool, viewer: ViewerModel, tmp_path: Path
) -> None:
    picture = scan(viewer)
    labels = drawn(viewer)
    assert not labels.contour  # a person paints areas
    if is_copied:
        data, arguments, _ = labels.as_layer_data_tuple()
        labels = viewer.add_labels(data.copy(), **copy.deepcopy(arguments))
    check(labels, tmp_path)
    viewer.layers.remove(picture)
    check(labels, tmp_path)


def test_another_scan_in_the_same_box_does_not_take_them_over(viewer: ViewerModel, tmp_path: Path) -> None:
    picture = scan(viewer)
    labels = drawn(viewer)
    viewer.layers.remove(picture)
    other = scan(viewer, TWIN)
    other.affine = np.eye(4)  # which had laid it on the labels
    np.testing.assert_allclose(other.data_to_world((1, 2, 3)), labels.data_to_world((1, 2, 3)))
    check(labels, tmp_path)


def test_they_go_with_a_copy_of_their_picture(viewer: ViewerModel, tmp_path: Path) -> None:
    picture = scan(viewer)
    labels = drawn(viewer)
    data, arguments, _ = picture.as_layer_data_tuple()
    twin = viewer.add_image(data, **copy.deepcopy(arguments))
    viewer.layers.remove(picture)
    for layer in (twin, labels):
        layer.affine = np.diag([1, -1, -1, 1])
    check(labels, tmp_path)


@pytest.mark.parametrize("make", [_layer_actions._project, _layer_actions._split_stack], ids=["projection", "slices"])
def test_what_napari_makes_of_their_picture_does_not_stand_in_their_way(
    make: Any, viewer: ViewerModel, tmp_path: Path
) -> None:
    """It keeps the metadata of the volume, and is none."""
    picture = scan(viewer)
    labels = drawn(viewer)
    viewer.layers.selection.active = picture
    make(viewer.layers, 0)
    check(labels, tmp_path)


def test_those_that_were_there_first_belong_to_the_picture_that_is_opened_on_them(
    viewer: ViewerModel, tmp_path: Path
) -> None:
    like = Placement.of(scan(ViewerModel()), "ZYX").arguments
    labels = viewer.add_labels(corners_marked()[0], scale=like["scale"], translate=like["translate"])
    viewer.layers.remove(scan(viewer))
    scan(viewer, TWIN)
    check(labels, tmp_path)


def test_they_are_asked_for_in_the_viewer_that_they_are_in(
    viewer: ViewerModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody watched this one."""
    other = ViewerModel()
    monkeypatch.setattr("napari.viewer.Viewer._instances", {other, viewer})
    scan(other)
    labels = drawn(other)
    scan(viewer, TWIN)
    check(labels, tmp_path)


@pytest.mark.parametrize("is_open", [True, False])
def test_labels_across_two_scans_have_no_place(is_open: bool, viewer: ViewerModel, tmp_path: Path) -> None:
    pictures = [scan(viewer), scan(viewer)]
    pictures[1].translate = np.add(pictures[1].translate, (30, 0, 0))
    viewer.layers.selection = set(pictures)
    viewer._new_labels()
    labels = viewer.layers[-1]
    if not is_open:
        for picture in pictures:
            viewer.layers.remove(picture)
    with pytest.raises(OutputError, match=r"not known, as it does not have the grid of 'scan' and 'scan \[1\]'"):
        write_volume(str(tmp_path / "x.nii.gz"), *labels.as_layer_data_tuple()[:2])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".tif", ".nii.gz"])
def test_labels_of_a_picture_without_a_unit_are_not_asked_for_a_scan(
    suffix: str, viewer: ViewerModel, tmp_path: Path
) -> None:
    viewer.add_image(np.zeros((40, 50), np.uint8))
    viewer._new_labels()
    labels = viewer.layers[-1]
    scan(viewer)
    after = viewer.add_labels(labels.data + 1)
    for one in (labels, after):
        write_volume(str(tmp_path / f"x{suffix}"), *one.as_layer_data_tuple()[:2])
        assert not read_image(tmp_path / f"x{suffix}").geometry.is_anatomical
    bare = viewer.add_labels(corners_marked()[0])  # of the scan's size, and nobody said where
    with pytest.raises(OutputError, match="not known"):
        write_volume(str(tmp_path / "y.nii.gz"), *bare.as_layer_data_tuple()[:2])


def test_other_data_in_the_layer_lie_where_they_are_seen(viewer: ViewerModel, tmp_path: Path) -> None:
    picture = scan(viewer)
    labels = drawn(viewer)
    labels.data = corners_marked()[0][2:, 1:]
    labels.translate = picture.data_to_world((2, 1, 0))
    write_volume(str(tmp_path / "x.nii.gz"), *labels.as_layer_data_tuple()[:2])
    place = read_image(tmp_path / "x.nii.gz").geometry
    np.testing.assert_allclose(place.to_world((0, 0, 0)), TILTED.to_world((2, 1, 0)), atol=1e-4)
    viewer.layers.remove(picture)
    with pytest.raises(OutputError, match="moved on the screen since it was made"):
        write_volume(str(tmp_path / "y.nii.gz"), *labels.as_layer_data_tuple()[:2])


def test_labels_of_time_take_the_axes_of_their_picture(viewer: ViewerModel, tmp_path: Path) -> None:
    film = Image(array=np.zeros((2, 3, 4, 5), np.uint8), axes="TZYX", geometry=TILTED, name="film")
    data, arguments, _ = layer_data(film)
    picture = viewer.add_image(data, **arguments)
    labels = viewer.add_labels(np.ones((2, 3, 4, 5), int), scale=picture.scale, translate=picture.translate)
    viewer.layers.remove(picture)
    write_volume(str(tmp_path / "x.nii.gz"), *labels.as_layer_data_tuple()[:2])
    again = read_image(tmp_path / "x.nii.gz")
    assert again.axes == "TZYX"
    np.testing.assert_allclose(again.geometry.affine, TILTED.affine, atol=1e-4)


@pytest.mark.parametrize("axes", ["CZYX", "TCZYX"])
def test_new_labels_on_channels_count_in_whichever_channel_they_were_drawn(
    viewer: ViewerModel, tmp_path: Path, axes: str
) -> None:
    drawn = corners_marked()[0]
    shape = {"T": 2, "C": 3} | dict(zip("ZYX", drawn.shape, strict=True))
    channels = Image(array=np.zeros([shape[a] for a in axes], np.uint8), axes=axes, geometry=TILTED, name="channels")
    data, arguments, _ = layer_data(channels)
    viewer.add_image(data, **arguments)
    viewer._new_labels()
    labels = viewer.layers[-1]
    labels.data[..., 1, :, :, :] = drawn
    labels.data[..., 2, :, :, :] = np.where(drawn == drawn.max(), drawn, 0)
    path = tmp_path / "x.nii.gz"
    write_volume(str(path), *labels.as_layer_data_tuple()[:2])
    again = read_image(path)
    assert again.axes == axes.replace("C", "")
    np.testing.assert_array_equal(again.array, np.broadcast_to(drawn, again.array.shape))
    np.testing.assert_allclose(again.geometry.affine, TILTED.affine, atol=1e-4)
    before = path.read_bytes()
    labels.data[..., 0, 0, 0, 0] = drawn[0, 0, 0] + 1
    with pytest.raises(OutputError, match="differ between channels"):
        write_volume(str(path), *labels.as_layer_data_tuple()[:2])
    assert path.read_bytes() == before


def test_labels_on_two_scans_in_one_box_do_not_go_to_the_one_that_was_left_open(
    viewer: ViewerModel, tmp_path: Path
) -> None:
    own, twin = scan(viewer), scan(viewer, STRAIGHT, "twin")
    labels = viewer.add_labels(corners_marked()[0], **{name: getattr(own, name) for name in GRID})
    viewer.layers.remove(own)
    with pytest.raises(OutputError, match="one of them was closed"):
        check(labels, tmp_path)
    scan(viewer)
    with pytest.raises(OutputError, match="Show only the one"):
        check(labels, tmp_path)
    assert not list(tmp_path.iterdir())
    twin.visible = False
    check(labels, tmp_path)


def test_labels_of_a_part_that_was_turned_do_not_take_the_place_of_another_scan(
    viewer: ViewerModel, tmp_path: Path
) -> None:
    part, moved = scan(viewer, name="part"), np.diag([1.0, 1, -1, 1])
    part.data, part.affine = part.data[:-1], moved
    own = Placement.of(part, "ZYX")
    pixels = corners_marked()[0][:-1]
    labels = viewer.add_labels(pixels, metadata={**own.metadata}, **own.arguments)  # as a run makes them
    viewer.layers.remove(part)
    other = scan(viewer, STRAIGHT, name="other")
    other.data, other.affine = other.data[:-1], moved
    np.testing.assert_allclose(other.data_to_world((1, 2, 3)), labels.data_to_world((1, 2, 3)))
    other.metadata[PLACE]["shape"] = other.data.shape  # a whole scan that fills the box
    with pytest.raises(OutputError, match="'part' was turned"):
        write_volume(str(tmp_path / "x.nii.gz"), *labels.as_layer_data_tuple()[:2])
    viewer.layers.remove(other)
    part.affine = labels.affine = np.eye(4)
    viewer.layers.append(part)
    write_volume(str(tmp_path / "x.nii.gz"), *labels.as_layer_data_tuple()[:2])
    np.testing.assert_allclose(read_image(tmp_path / "x.nii.gz").geometry.affine, TILTED.affine, atol=1e-5)


def test_labels_without_a_scan_are_as_they_were(viewer: ViewerModel, tmp_path: Path) -> None:
    labels = viewer.add_layer(Labels(np.ones((3, 4, 5), int), scale=(3, 1, 1), units="mm"))
    write_volume(str(tmp_path / "x.nrrd"), *labels.as_layer_data_tuple()[:2])
    assert read_image(tmp_path / "x.nrrd").geometry.spacing == (3, 1, 1)
