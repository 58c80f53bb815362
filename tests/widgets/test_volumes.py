"""Volumes in napari: at their place, with their unit, and back in a file where they came from."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel
from napari.layers import Image as ImageLayer
from napari.layers import Labels

from napari_unetstyle.core import read_image, write_labels
from napari_unetstyle.core.errors import ImageError, ImageFileError, OutputError
from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.segmentation.output import label_info
from napari_unetstyle.widgets import writers
from napari_unetstyle.widgets.axes_editor import AxesEditor
from napari_unetstyle.widgets.label_layers import add_labels
from napari_unetstyle.widgets.layers import (
    PLACE,
    Statement,
    geometry_of,
    image_from_layer,
    placed_geometry,
    statement_of,
    world_matrix,
)
from napari_unetstyle.widgets.level_grid import level_grids
from napari_unetstyle.widgets.opening import add_labels_file, layer_data
from napari_unetstyle.widgets.placement import Placement
from napari_unetstyle.widgets.readers import get_reader
from napari_unetstyle.widgets.writers import write_volume
from tests.core import dicom_for_tests as made
from tests.core.geometry_for_tests import AXIS_ORIENTATIONS, geometries
from tests.core.test_medical import CLASSES, check_worlds, corners_marked
from tests.core.test_medical import PLACE as TILTED
from tests.core.test_output import result_of

ONE_FOLDER = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # layers are slow, and shrinking makes many
)


def volume(place: Geometry = TILTED, axes: str = "ZYX") -> ImageLayer:
    """A layer as our reader makes it."""
    array = np.random.default_rng(0).integers(0, 255, (9, 14, 23), np.uint8)
    array = array if axes == "ZYX" else np.stack([array] * 2)
    data, arguments, _ = layer_data(Image(array=array, axes=axes, geometry=place, name="brain"))
    return ImageLayer(data, **arguments)


@pytest.fixture
def viewer(monkeypatch: pytest.MonkeyPatch) -> ViewerModel:
    model = ViewerModel()
    monkeypatch.setattr("napari.current_viewer", lambda: model)
    return model


def opened(path: Path) -> Any:
    reader = get_reader(str(path))
    assert reader is not None
    ((data, arguments, kind),) = reader(str(path))
    return {"image": ImageLayer, "labels": Labels}[kind](data, **arguments)


# Reading -----------------------------------------------------------------------------------------------------------


@given(place=geometries())
def test_a_layer_shows_the_volume_along_its_own_axes_and_knows_its_place(place: Geometry) -> None:
    layer = volume(place)
    assert [str(unit) for unit in layer.units] == ["millimeter"] * 3
    assert layer.axis_labels == ("z", "y", "x")
    np.testing.assert_allclose(layer.scale, place.spacing)
    np.testing.assert_array_equal(layer.rotate, np.eye(3))
    np.testing.assert_allclose(geometry_of(layer, "ZYX").affine, place.affine, atol=1e-9)
    image = image_from_layer(layer)
    assert (image.geometry.is_anatomical, image.geometry.orientation) == (True, place.orientation)


@given(first=geometries(), offset=st.tuples(*[st.floats(-50, 50)] * 3), point=st.tuples(*[st.integers(0, 8)] * 3))
def test_volumes_of_one_direction_lie_to_each_other_as_in_the_patient(first: Any, offset: Any, point: Any) -> None:
    second = Geometry(
        spacing=(2.0, 1.0, 0.5),
        unit="mm",
        origin=tuple(np.add(first.origin, offset)),
        direction=first.direction,
        is_anatomical=True,
    )
    apart = np.subtract(volume(first).data_to_world(point), volume(second).data_to_world(point))
    expected = np.linalg.norm(first.to_world(point) - second.to_world(point))
    assert np.linalg.norm(apart) == pytest.approx(expected, abs=1e-6)


def test_the_pixel_size_of_a_picture_of_no_patient_is_a_persons_to_state_and_its_turn_is_the_files() -> None:
    place = Geometry(spacing=(0.5, 0.25), unit="um")
    data, arguments, _ = layer_data(Image(array=np.zeros((4, 5)), axes="YX", geometry=place))
    assert arguments["translate"] == [0, 0]
    layer = ImageLayer(data, **arguments)
    layer.scale = (2, 2)
    assert geometry_of(layer, "YX") == Geometry(spacing=(2, 2), unit="um")
    layer.scale, layer.rotate = (0.5, 0.25), 90
    assert geometry_of(layer, "YX") == place
    _, arguments, _ = layer_data(Image(array=np.zeros((4, 5)), axes="YX", geometry=Geometry(spacing=(1, 1))))
    assert arguments["metadata"] == {}


def test_the_reader_takes_volumes_only(tmp_path: Path) -> None:
    for name in ("x.tif", "x.png", "x.gz", "x.txt"):
        (tmp_path / name).write_bytes(b"x")
        assert get_reader(str(tmp_path / name)) is None
    assert get_reader(str(tmp_path)) is None
    for name in ("x.nii", "x.nii.gz", "x.NRRD", "x.mha", "x.mhd"):
        assert get_reader(str(tmp_path / name)) is not None


def test_what_is_not_whole_is_refused_before_it_is_shown(tmp_path: Path) -> None:
    path = write_labels(tmp_path / "x.nii.gz", corners_marked()[0], axes="ZYX", geometry=TILTED)
    path.write_bytes(path.read_bytes()[:-20])
    reader = get_reader(str(path))
    assert reader is not None
    with pytest.raises(ImageFileError, match="truncated"):
        reader(str(path))


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_label_files_open_as_labels_with_the_colors_of_their_classes(suffix: str, tmp_path: Path) -> None:
    labels, _ = corners_marked()
    path = write_labels(
        tmp_path / f"x{suffix}", labels % 3, axes="ZYX", geometry=TILTED, classes=CLASSES, output="areas"
    )
    layer = opened(path)
    assert isinstance(layer, Labels)
    np.testing.assert_allclose(layer.colormap.map(1), [1, 0x80 / 255, 0, 1], atol=0.01)
    np.testing.assert_allclose(placed_geometry(layer, "ZYX").affine, TILTED.affine, atol=1e-4)
    (again,) = write_volume(str(tmp_path / f"y{suffix}"), *layer.as_layer_data_tuple()[:2])
    assert label_info(again)["classes"] == label_info(path)["classes"]
    assert label_info(again)["output"] == "areas"


def test_volumes_of_others_open_as_images(tmp_path: Path) -> None:
    nibabel.Nifti1Image(np.zeros((5, 6, 7), np.uint8), np.eye(4)).to_filename(tmp_path / "x.nii.gz")
    layer = opened(tmp_path / "x.nii.gz")
    assert isinstance(layer, ImageLayer)
    assert layer.name == "x"


@pytest.mark.parametrize(("dtype", "kind"), [(np.int16, Labels), (np.float32, ImageLayer)])
def test_nifti_that_another_program_calls_labels_opens_as_labels(dtype: Any, kind: Any, tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.ones((5, 6, 7), dtype), np.eye(4))
    image.header.set_intent("label")
    image.to_filename(tmp_path / "x.nii.gz")
    assert isinstance(opened(tmp_path / "x.nii.gz"), kind)


def test_a_dicom_folder_opens_at_its_place(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 900, (5, 12, 14)).astype(np.int16)
    made.write_volume(
        tmp_path / "case" / "series", pixels, Geometry(spacing=(2.5, 0.75, 0.5), unit="mm", origin=(7, 8, 9))
    )
    (tmp_path / "x.zarr").mkdir()
    assert get_reader(str(tmp_path / "x.zarr")) is None
    layer = opened(tmp_path / "case")
    np.testing.assert_array_equal(layer.data, pixels)
    place = placed_geometry(layer, "ZYX")
    assert (place.spacing, place.origin, place.orientation) == ((2.5, 0.75, 0.5), (7, 8, 9), "SPL")


# Labels on it ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(0, 48, 5))
@settings(ONE_FOLDER, max_examples=2)
@given(data=st.data())
def test_labels_of_an_open_volume_are_saved_where_it_lies(orientation: int, data: Any, tmp_path: Path) -> None:
    place = data.draw(geometries(orientation=AXIS_ORIENTATIONS[orientation]))
    layer = volume(place)
    model = ViewerModel()
    model.add_layer(layer)
    marked, where = corners_marked()
    result = result_of(marked, axes="ZYX", geometry=place)
    labels = add_labels(model, result, Placement.of(layer, "ZYX"), "labels")
    np.testing.assert_allclose(labels.data_to_world((3, 4, 5)), layer.data_to_world((3, 4, 5)))
    for name in ("x.nii.gz", "x.nrrd", "x.mha", "x.mhd"):
        write_volume(str(tmp_path / name), *labels.as_layer_data_tuple()[:2])
        check_worlds(tmp_path / name, place, where)


@settings(ONE_FOLDER, max_examples=10)
@given(
    scale=st.tuples(*[st.floats(0.2, 5).flatmap(lambda s: st.sampled_from([s, -s]))] * 3),
    translate=st.tuples(*[st.floats(-100, 100)] * 3),
    angles=st.tuples(*[st.floats(-90, 90)] * 3),
    shear=st.tuples(*[st.floats(-1, 1)] * 3),
    affine=st.tuples(*[st.floats(-0.2, 0.2)] * 12),
    is_multiscale=st.booleans(),
)
def test_labels_lie_on_a_volume_whatever_napari_did_to_it(
    scale: Any, translate: Any, angles: Any, shear: Any, affine: Any, is_multiscale: bool
) -> None:
    matrix = np.eye(4)
    matrix[:3] += np.array(affine).reshape(3, 4)
    pixels = np.zeros((9, 14, 23), np.uint8)
    layer = ImageLayer(
        [pixels, pixels[::2, ::2, ::2]] if is_multiscale else pixels,
        multiscale=is_multiscale,
        scale=scale,
        translate=translate,
        rotate=angles,
        shear=shear,
        affine=matrix,
    )
    result = result_of(corners_marked()[0], axes="ZYX")
    labels = add_labels(ViewerModel(), result, Placement.of(layer, "ZYX"), "labels")
    for point in ((0, 0, 0), (8, 13, 22), (3.5, 1, 20)):
        np.testing.assert_allclose(labels.data_to_world(point), layer.data_to_world(point), rtol=1e-6, atol=1e-5)


TURNS: dict[str, dict[str, Any]] = {
    "affine": {"affine": [[1, 0, 0, 3], [0, -1, 0, 20], [0, 0, -1, 9], [0, 0, 0, 1]]},
    "rotate": {"rotate": (90, 0, 0)},
    "oblique": {"rotate": (20, -30, 50)},
    "mirrored": {"scale": (2, 1, -1)},
    "sheared": {"shear": (0.5, 0, 0)},
    "moved": {"translate": (10, 0, -5)},
}


def change(layer: Any, how: dict[str, Any]) -> None:
    for name, value in how.items():
        setattr(layer, name, value)


@pytest.mark.parametrize("how", TURNS.values(), ids=TURNS)
def test_a_picture_lies_where_its_file_says_whatever_is_done_to_the_view(how: dict[str, Any]) -> None:
    layer = volume()
    change(layer, how)
    assert placed_geometry(layer, "ZYX") == image_from_layer(layer).geometry == TILTED


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("is_closed", [False, True])
@pytest.mark.parametrize("how", TURNS.values(), ids=TURNS)
def test_labels_of_a_turned_picture_are_saved_as_it_lies_in_its_file(
    how: dict[str, Any], when: str, is_closed: bool, viewer: ViewerModel, tmp_path: Path
) -> None:
    layer = viewer.add_layer(volume())
    marked, where = corners_marked()
    if when == "before":
        change(layer, how)
    labels = add_labels(viewer, result_of(marked, axes="ZYX"), Placement.of(layer, "ZYX"), "labels")
    by_hand = viewer.add_labels(marked, **Placement.of(layer, "ZYX").arguments)
    if when == "after":
        for one in (layer, labels, by_hand):
            change(one, how)
    write_volume(str(tmp_path / "hand.nii.gz"), *by_hand.as_layer_data_tuple()[:2])
    check_worlds(tmp_path / "hand.nii.gz", TILTED, where)
    if is_closed:
        viewer.layers.remove(layer)
    if is_closed and when == "after":
        with pytest.raises(OutputError, match="not open, so where it lies is not known"):
            write_volume(str(tmp_path / "x.nii.gz"), *labels.as_layer_data_tuple()[:2])
        viewer.add_layer(volume())
        change(viewer.layers[-1], how)
    write_volume(str(tmp_path / "x.nii.gz"), *labels.as_layer_data_tuple()[:2])
    check_worlds(tmp_path / "x.nii.gz", TILTED, where)


@pytest.mark.parametrize("turn", TURNS.values(), ids=TURNS)
def test_labels_that_alone_were_moved_are_saved_where_they_are_seen_on_the_anatomy(
    turn: dict[str, Any], viewer: ViewerModel, tmp_path: Path
) -> None:
    layer = viewer.add_layer(volume())
    change(layer, turn)
    marked, where = corners_marked()
    path = write_labels(tmp_path / "a.nii.gz", marked, axes="ZYX", geometry=TILTED)
    opened_labels, made = opened(path), add_labels(viewer, result_of(marked), Placement.of(layer, "ZYX"), "made")
    change(opened_labels, Placement.of(layer, "ZYX").arguments)
    by_two = np.eye(4)
    by_two[:3, 3] = world_matrix(layer)[:3, :3] @ (0, 0, 2)
    shift = np.array(TILTED.direction) @ (0, 0, 2 * TILTED.spacing[2])
    expected = dataclasses.replace(TILTED, origin=tuple(np.add(TILTED.origin, shift)))
    for number, labels in enumerate((made, viewer.add_layer(opened_labels))):
        labels.affine = by_two @ np.array(labels.affine.affine_matrix)
        write_volume(str(tmp_path / f"{number}.nii.gz"), *labels.as_layer_data_tuple()[:2])
        check_worlds(tmp_path / f"{number}.nii.gz", expected, where)
    made.shear = np.add(layer.shear, (0.5, 0, 0))
    with pytest.raises(OutputError, match="sheared against 'brain'"):
        write_volume(str(tmp_path / "y.nii.gz"), *made.as_layer_data_tuple()[:2])
    assert not (tmp_path / "y.nii.gz").exists()


def test_labels_of_a_level_lie_on_the_anatomy_of_a_turned_picture(viewer: ViewerModel, tmp_path: Path) -> None:
    pixels = np.zeros((8, 16, 24), np.uint8)
    place = Geometry(spacing=(3, 0.5, 0.5), unit="mm", origin=(1, 2, 3), is_anatomical=True)
    data, arguments, _ = layer_data(Image(array=pixels, axes="ZYX", geometry=place, name="brain"))
    picture = viewer.add_image([data, data[:, ::2, ::2]], multiscale=True, **arguments)
    picture.rotate = (0, 0, 180)
    grid = level_grids(picture)[1]
    result = result_of(np.ones((8, 8, 12), int), axes="ZYX")
    labels = add_labels(viewer, result, Placement.of(picture, "ZYX", grid), "labels")
    for one in (picture, labels):
        one.affine = np.diag([1, -1, 1, 1])
    write_volume(str(tmp_path / "x.nii.gz"), *labels.as_layer_data_tuple()[:2])
    written = read_image(tmp_path / "x.nii.gz").geometry
    np.testing.assert_allclose(written.affine, grid.geometry(place, "ZYX").affine, atol=1e-4)


def test_a_part_cut_out_of_a_picture_lies_where_it_was_cut_out(viewer: ViewerModel) -> None:
    whole = volume()
    part = ImageLayer(
        whole.data[2:, 1:], **{k: getattr(whole, k) for k in ("scale", "units", "axis_labels", "metadata")}
    )
    part.translate = whole.data_to_world((2, 1, 0))
    np.testing.assert_allclose(placed_geometry(part, "ZYX").to_world((0, 0, 0)), TILTED.to_world((2, 1, 0)))
    part.scale = (2, 1, -1)
    with pytest.raises(ImageError, match="turned and has other pixels"):
        placed_geometry(part, "ZYX")


def twins(viewer: ViewerModel) -> tuple[Any, Any, Any, Geometry]:
    """Two scans in one box of the canvas, one stored LPS, one RAS; labels by hand on the second; where that lies."""
    first = Geometry(spacing=(3, 1, 1), unit="mm", origin=(-6, -10, -10), is_anatomical=True)
    array = np.zeros((5, 21, 21), np.uint8)
    array[:, 3:8, 2:7] = 1
    second = first.turned(array.shape, (0, 1, 2), (False, True, True))
    layers = []
    for name, pixels, place in (("one", array, first), ("two", array[:, ::-1, ::-1], second)):
        data, arguments, _ = layer_data(Image(array=pixels, axes="ZYX", geometry=place, name=name))
        layers.append(viewer.add_image(data, **arguments))
    keys = ("scale", "translate", "rotate", "affine", "units", "axis_labels")
    by_hand = viewer.add_labels((layers[1].data > 0).astype(int), **{k: getattr(layers[1], k) for k in keys})
    return *layers, by_hand, second


def middle(path: Path) -> Any:
    image = nibabel.load(path)
    return nibabel.affines.apply_affine(image.affine, np.argwhere(np.asarray(image.dataobj) > 0).mean(0))


def test_a_mask_drawn_by_hand_is_not_mirrored_by_another_scan_in_its_place(viewer: ViewerModel, tmp_path: Path) -> None:
    one, two, by_hand, place = twins(viewer)
    if not np.allclose(one.data_to_world((0, 0, 0)), two.data_to_world((0, 0, 0))):
        pytest.skip("they are not shown in one place")
    with pytest.raises(OutputError, match=r"by 'one' and 'two', which .* Show only the one"):
        write_volume(str(tmp_path / "x.nii.gz"), *by_hand.as_layer_data_tuple()[:2])
    assert list(tmp_path.iterdir()) == []
    one.visible = False
    write_volume(str(tmp_path / "x.nii.gz"), *by_hand.as_layer_data_tuple()[:2])
    np.testing.assert_allclose(middle(tmp_path / "x.nii.gz"), (6, 5, 0), atol=1e-4)
    np.testing.assert_allclose(read_image(tmp_path / "x.nii.gz").geometry.affine, place.affine, atol=1e-4)
    two.visible, one.visible = False, True
    write_volume(str(tmp_path / "y.nii.gz"), *by_hand.as_layer_data_tuple()[:2])
    np.testing.assert_allclose(middle(tmp_path / "y.nii.gz"), (-6, -5, 0), atol=1e-4)  # as it is seen
    one.visible = False
    with pytest.raises(OutputError, match="different places"):
        write_volume(str(tmp_path / "z.nii.gz"), *by_hand.as_layer_data_tuple()[:2])


def test_labels_that_know_their_picture_ask_no_other_scan(viewer: ViewerModel, tmp_path: Path) -> None:
    _, two, _, place = twins(viewer)
    marked = result_of(np.asarray(two.data).astype(int), axes="ZYX")
    labels = add_labels(viewer, marked, Placement.of(two, "ZYX"), "labels")
    two.visible = False
    for one in (two, labels):
        one.affine = np.diag([1, -1, -1, 1])
    write_volume(str(tmp_path / "x.nii.gz"), *labels.as_layer_data_tuple()[:2])
    np.testing.assert_allclose(middle(tmp_path / "x.nii.gz"), (6, 5, 0), atol=1e-4)
    np.testing.assert_allclose(read_image(tmp_path / "x.nii.gz").geometry.affine, place.affine, atol=1e-4)


def test_labels_added_by_hand_lie_on_the_picture_with_their_grid(viewer: ViewerModel, tmp_path: Path) -> None:
    layer = volume()
    viewer.add_layer(layer)
    viewer._new_labels()  # what napari's button does
    by_hand = viewer.layers[-1]
    assert PLACE not in by_hand.metadata
    marked, where = corners_marked()
    by_hand.data = marked
    write_volume(str(tmp_path / "x.nii.gz"), *by_hand.as_layer_data_tuple()[:2])
    check_worlds(tmp_path / "x.nii.gz", TILTED, where)


@pytest.mark.parametrize(
    "change", [{"translate": (1, 2, 3)}, {"scale": (9, 9, 9)}, {"data": np.zeros((9, 14, 22), int)}]
)
def test_labels_of_which_nobody_knows_where_they_lie_are_refused(
    change: dict[str, Any], viewer: ViewerModel, tmp_path: Path
) -> None:
    viewer.add_layer(volume())
    viewer._new_labels()
    by_hand = viewer.layers[-1]
    for name, value in change.items():
        setattr(by_hand, name, value)
    with pytest.raises(OutputError, match=r"not known, as it does not have the grid of 'brain'"):
        write_volume(str(tmp_path / "x.nii.gz"), *by_hand.as_layer_data_tuple()[:2])
    assert list(tmp_path.iterdir()) == []


def test_stating_a_pixel_size_leaves_a_volume_where_it_lies(qtbot: Any) -> None:
    editor = AxesEditor()
    qtbot.addWidget(editor)
    editor.set_value(statement_of(volume()))
    editor.slice_step.setValue(2.5)
    place = editor.value().geometry
    assert place.spacing[0] == 2.5
    np.testing.assert_allclose(place.direction, TILTED.direction)
    np.testing.assert_allclose(place.origin, TILTED.origin)
    editor.axes.setText("TYX")
    assert not editor.value().geometry.is_anatomical


@pytest.mark.parametrize("spacing", [(3.0, 0.9, 2.5), (3.00004, 0.48828125, 0.48828125), (0.00031, 0.00027, 0.00027)])
def test_stating_one_size_leaves_the_others_as_they_are(qtbot: Any, spacing: tuple[float, float, float]) -> None:
    editor = AxesEditor()
    qtbot.addWidget(editor)
    editor.set_value(Statement(axes="ZYX", geometry=dataclasses.replace(TILTED, spacing=spacing)))
    assert editor.value().geometry.spacing == spacing
    assert editor.row_step.isVisibleTo(editor) == (spacing[1] != spacing[2])
    editor.slice_step.setValue(2)
    assert editor.value().geometry.spacing == (2, *spacing[1:])
    editor.pixel_size.setValue(1.5)
    assert editor.value().geometry.spacing == (2, spacing[1] if spacing[1] != spacing[2] else 1.5, 1.5)


def test_a_sheared_layer_has_a_size_but_no_place(viewer: ViewerModel, tmp_path: Path) -> None:
    layer = Labels(np.ones((3, 4, 5), int), scale=(2, 1, 1), shear=(0.5, 0, 0), units="mm")
    assert geometry_of(layer, "ZYX") == Geometry(spacing=(2, 1, 1), unit="mm")
    with pytest.raises(OutputError, match="sheared"):
        write_volume(str(tmp_path / "x.nii.gz"), *layer.as_layer_data_tuple()[:2])


def test_a_time_series_keeps_its_axes(viewer: ViewerModel, tmp_path: Path) -> None:
    layer = volume(axes="TZYX")
    viewer.add_layer(layer)
    assert statement_of(layer).axes == "TZYX"
    labels = Labels(np.ones((2, 9, 14, 23), int), scale=layer.scale, translate=layer.translate)
    write_volume(str(tmp_path / "x.nii.gz"), *labels.as_layer_data_tuple()[:2])
    again = read_image(tmp_path / "x.nii.gz")
    assert again.axes == "TZYX"
    np.testing.assert_allclose(again.geometry.affine, TILTED.affine, atol=1e-4)
    viewer.layers.clear()
    with pytest.raises(OutputError, match="Name them"):
        write_volume(str(tmp_path / "y.nii.gz"), *labels.as_layer_data_tuple()[:2])


def test_ids_of_a_layer_survive(viewer: ViewerModel, tmp_path: Path) -> None:
    labels = Labels(np.array([[[0, 2**32 + 1, 2**31]]]))
    write_volume(str(tmp_path / "x.nrrd"), *labels.as_layer_data_tuple()[:2])
    assert opened(tmp_path / "x.nrrd").data.tolist() == [[[0, 2**32 + 1, 2**31]]]
    labels.data = np.array([[[2**53 + 1]]])
    with pytest.raises(OutputError, match="label ids"):
        write_volume(str(tmp_path / "x.nrrd"), *labels.as_layer_data_tuple()[:2])


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha", ".zarr"])
@pytest.mark.parametrize("is_run_again", [True, False])
def test_ids_survive_being_opened_painted_and_saved(
    suffix: str, is_run_again: bool, viewer: ViewerModel, tmp_path: Path
) -> None:
    large = 2**32 + 1
    stored = np.zeros((9, 14, 23), np.int64)
    stored[4, 5, 6], stored[4, 5, 7] = large, 7
    path = write_labels(tmp_path / f"x{suffix}", stored, axes="ZYX", geometry=TILTED)
    picture = volume()
    viewer.add_layer(picture)
    layer = add_labels_file(viewer, path, picture) if is_run_again else viewer.add_layer(opened(path))
    layer.selected_label, layer.brush_size = large + 1, 1
    layer.paint((4, 9, 9), large + 1)
    write_volume(str(tmp_path / f"y{suffix}"), *layer.as_layer_data_tuple()[:2])
    stored[4, 9, 9] = large + 1
    assert np.array_equal(np.asarray(read_image(tmp_path / f"y{suffix}").array), stored)


def test_an_id_that_a_small_file_does_not_have_can_be_painted(viewer: ViewerModel, tmp_path: Path) -> None:
    path = write_labels(tmp_path / "x.nii.gz", np.full((9, 14, 23), 255), axes="ZYX", geometry=TILTED)
    layer = add_labels_file(viewer, path, viewer.add_layer(volume()))
    layer.paint((4, 9, 9), 256)
    assert np.unique(layer.data).tolist() == [255, 256]


def test_napari_itself_reads_and_saves(viewer: ViewerModel, tmp_path: Path) -> None:
    from npe2 import PluginManager, PluginManifest

    manifest = PluginManifest.from_file(Path(writers.__file__).parents[3] / "napari.yaml")
    manager = PluginManager.instance()
    if manifest.name not in manager:
        manager.register(manifest)
    path = write_labels(tmp_path / "x.nii.gz", corners_marked()[0], axes="ZYX", geometry=TILTED)
    viewer.open(path, plugin="napari-unetstyle")
    (layer,) = viewer.layers
    assert isinstance(layer, Labels)
    assert layer.save(str(tmp_path / "y.nii.gz")) == [str(tmp_path / "y.nii.gz")]
    np.testing.assert_allclose(read_image(tmp_path / "y.nii.gz").geometry.affine, TILTED.affine, atol=1e-4)
    check_worlds(tmp_path / "y.nii.gz", TILTED, corners_marked()[1])
