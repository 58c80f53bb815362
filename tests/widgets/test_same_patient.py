"""Two volumes of one patient on one canvas: the same points on one another, or a line that says where not."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer

from napari_unetstyle.core.errors import ImageError, OutputError
from napari_unetstyle.core.imaging.files import read_image
from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.models.spec import ClassSpec
from napari_unetstyle.core.segmentation.output import write_labels
from napari_unetstyle.widgets.anatomy import note_on
from napari_unetstyle.widgets.label_layers import add_labels
from napari_unetstyle.widgets.label_pair import LabelPair
from napari_unetstyle.widgets.layers import placed_geometry
from napari_unetstyle.widgets.opening import layer_data
from napari_unetstyle.widgets.placement import Placement
from napari_unetstyle.widgets.readers import read_volumes
from napari_unetstyle.widgets.same_patient import DirectionsLine, different, differing, watch
from napari_unetstyle.widgets.writers import write_volume
from tests.core.geometry_for_tests import rotation
from tests.core.test_output import result_of

SHAPE = (5, 8, 9)
CLASSES = (ClassSpec(value=1, name="one", color="#ff0000"),)
UPRIGHT = Geometry(spacing=(3, 1, 0.7), unit="mm", origin=(-6, -10, 4), is_anatomical=True)
TILTED = Geometry(
    spacing=(3, 1, 0.7), unit="mm", origin=(-6, -10, 4), direction=rotation((1, 2, 3), 0.3), is_anatomical=True
)
CENTERED = Geometry(spacing=(3, 1, 1), unit="mm", origin=(-6, -3.5, -4), is_anatomical=True)
FLIPS = [flip for flip in product((False, True), repeat=3) if any(flip)]
SPOT = (1, 2, 6)  # off the middle along every axis


def scan() -> Any:
    array = np.zeros(SHAPE, np.int16)
    array[SPOT] = 900
    return array


def add(viewer: Any, array: Any, place: Geometry, name: str) -> Any:
    data, arguments, _ = layer_data(Image(array=array, axes="ZYX", geometry=place, name=name))
    return viewer.add_image(data, **arguments)


def other_way(place: Geometry, flip: tuple[bool, ...], order: tuple[int, ...] = (0, 1, 2)) -> tuple[Any, Geometry]:
    """The same scan at the same place, stored in another order."""
    array = np.flip(scan().transpose(order), [axis for axis in range(3) if flip[axis]])
    return array, place.turned(SHAPE, order, flip)


def spot(layer: Any) -> Any:
    """Where on the canvas the marked voxel lies."""
    return np.array(layer.data_to_world(np.argwhere(np.asarray(layer.data) > 0).mean(axis=0)))


@pytest.fixture
def viewer() -> ViewerModel:
    viewer = ViewerModel()
    watch(viewer)
    return viewer


@pytest.mark.parametrize("place", [UPRIGHT, TILTED, CENTERED], ids=["upright", "tilted", "centered"])
@pytest.mark.parametrize("flip", FLIPS, ids=str)
def test_a_volume_stored_the_other_way_lies_on_the_first(
    place: Geometry, flip: tuple[bool, ...], viewer: ViewerModel
) -> None:
    first = add(viewer, scan(), place, "first")
    array, turned = other_way(place, flip)
    second = add(viewer, array, turned, "second")
    np.testing.assert_allclose(spot(second), spot(first), atol=1e-6)
    np.testing.assert_allclose(second.extent.world, first.extent.world, atol=1e-6)
    np.testing.assert_allclose(first.affine.affine_matrix, np.eye(4))
    np.testing.assert_allclose(placed_geometry(second, "ZYX").affine, turned.affine)
    assert differing(viewer.layers) == []
    for z in range(3):  # napari slices it where it says
        viewer.dims.set_point(0, spot(first)[0] + 3 * (z - 1))
        counts = [int((np.asarray(layer._slice.image.raw) > 0).sum()) for layer in (first, second)]
        assert counts == [int(z == 1)] * 2


def test_results_on_a_flipped_volume_lie_on_it_and_are_saved_on_its_own_grid(
    viewer: ViewerModel, tmp_path: Path
) -> None:
    add(viewer, scan(), TILTED, "first")
    array, turned = other_way(TILTED, (False, True, True))
    second = add(viewer, array, turned, "second")
    result = result_of((array > 0).astype(np.int32), axes="ZYX")
    labels = add_labels(viewer, result, Placement.of(second, "ZYX"), "labels")
    np.testing.assert_allclose(spot(labels), spot(second))
    write_volume(str(tmp_path / "x.nii.gz"), *labels.as_layer_data_tuple()[:2])
    written = read_image(tmp_path / "x.nii.gz")
    np.testing.assert_array_equal(np.asarray(written.array) > 0, array > 0)
    np.testing.assert_allclose(written.geometry.affine, turned.affine, atol=1e-4)


def test_results_on_pixels_that_somebody_made_of_a_scan_are_not_put_where_that_lies(
    viewer: ViewerModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They fill its box, and may be mirrored."""
    monkeypatch.setattr("napari.current_viewer", lambda: viewer)
    first = add(viewer, scan(), UPRIGHT, "first")
    grid = {name: getattr(first, name) for name in ("scale", "translate", "units", "axis_labels")}
    made = viewer.add_image(np.flip(first.data, 2), **grid)
    result = result_of((np.asarray(made.data) > 0).astype(np.uint8), axes="ZYX")
    layer = add_labels(viewer, result, Placement.of(made, "ZYX"), "found")
    write_volume(str(tmp_path / "x.nii.gz"), *layer.as_layer_data_tuple()[:2])
    assert not read_image(tmp_path / "x.nii.gz").geometry.is_anatomical
    first.metadata["series_files"] = ("1.dcm",)
    with pytest.raises(OutputError, match="none is open on the grid"):
        write_volume(str(tmp_path / "x.dcm"), *layer.as_layer_data_tuple()[:2])


def test_putting_a_transform_back_leaves_a_scan_laid_on_the_first(
    viewer: ViewerModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alt and a click on napari's transform button, after it was dragged."""
    monkeypatch.setattr("napari.current_viewer", lambda: viewer)
    first = add(viewer, scan(), TILTED, "first")
    array, turned = other_way(TILTED, (False, True, True))
    second = add(viewer, array, turned, "second")
    result = result_of((array > 0).astype(np.int32), axes="ZYX")
    labels = add_labels(viewer, result, Placement.of(second, "ZYX"), "labels")
    for layer in (second, labels):
        layer.affine = [[1, 0, 0, 5], [0, 1, 0, 7], [0, 0, 1, 0], [0, 0, 0, 1]]
        layer._reset_affine()
        np.testing.assert_allclose(spot(layer), spot(first), atol=1e-6)
    assert differing(viewer.layers) == []
    assert note_on(labels, viewer.layers) == ""
    write_volume(str(tmp_path / "x.nii.gz"), *labels.as_layer_data_tuple()[:2])
    np.testing.assert_allclose(read_image(tmp_path / "x.nii.gz").geometry.affine, turned.affine, atol=1e-4)


def test_nobody_turned_what_was_laid_on_the_first(viewer: ViewerModel) -> None:
    add(viewer, scan(), TILTED, "first")
    second = add(viewer, *other_way(TILTED, (False, True, True)), "second")
    labels = add_labels(viewer, result_of(scan().astype(int), axes="ZYX"), Placement.of(second, "ZYX"), "labels")
    assert note_on(labels, viewer.layers) == note_on(labels, [labels]) == ""
    second.scale = np.array(second.scale) * (1, 1, -1)
    assert "turned" in note_on(labels, viewer.layers)


@pytest.mark.parametrize("is_watched", [True, False])
@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2)])
def test_one_mask_stored_in_two_ways_is_measured_as_one(order: Any, is_watched: bool, viewer: ViewerModel) -> None:
    where = viewer if is_watched else ViewerModel()
    layers = []
    for array, place in ((scan(), TILTED), other_way(TILTED, (False, True, True), order)):
        data, arguments, _ = layer_data(Image(array=(array > 0).astype(np.uint8), axes="ZYX", geometry=place))
        del arguments["rgb"]
        layers.append(where.add_labels(data, **arguments))
    for truth, prediction in (layers, layers[::-1]):
        pair = LabelPair.of(prediction, truth)
        np.testing.assert_array_equal(pair.prediction.array, pair.truth.array)
    if order != (0, 1, 2):
        return
    layers[0].translate = np.add(layers[0].translate, (30, 0, 0))  # moved by a person
    with pytest.raises(ImageError, match="different places"):
        LabelPair.of(*layers)


@pytest.mark.parametrize("is_closed", [False, True])
def test_a_mask_file_is_saved_as_it_came(
    is_closed: bool, viewer: ViewerModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the scan that it was laid on is closed, and one in another direction is open."""
    monkeypatch.setattr("napari.current_viewer", lambda: viewer)
    first = add(viewer, scan(), TILTED, "first")
    array, turned = other_way(TILTED, (True, False, True))
    path = write_labels(tmp_path / "m.nii.gz", (array > 0).astype(np.uint8), axes="ZYX", geometry=turned)
    mask = viewer.add_layer(Layer.create(*read_volumes(str(path))[0]))
    assert not np.allclose(mask.affine.affine_matrix, np.eye(4))
    if is_closed:
        viewer.layers.remove(first)
        add(viewer, *other_way(TILTED, (False,) * 3, (2, 0, 1)), "sagittal")
    write_volume(str(tmp_path / "again.nii.gz"), *mask.as_layer_data_tuple()[:2])
    written = read_image(tmp_path / "again.nii.gz")
    np.testing.assert_array_equal(np.asarray(written.array) > 0, array > 0)
    np.testing.assert_allclose(written.geometry.affine, turned.affine, atol=1e-4)


def test_a_volume_goes_with_a_first_one_that_was_turned_over_by_hand(viewer: ViewerModel) -> None:
    first = add(viewer, scan(), UPRIGHT, "first")
    first.scale = np.array(first.scale) * (1, 1, -1)
    second = add(viewer, *other_way(UPRIGHT, (False, True, False)), "second")
    np.testing.assert_allclose(spot(second), spot(first), atol=1e-6)
    second.affine = np.eye(4)
    assert differing(viewer.layers) == [first, second]
    watch(viewer)
    np.testing.assert_allclose(second.affine.affine_matrix, np.eye(4))  # a person's own turn holds


def test_times_of_a_series_are_left_alone(viewer: ViewerModel) -> None:
    first = add(viewer, scan(), UPRIGHT, "first")
    array, turned = other_way(UPRIGHT, (False, True, True))
    data, arguments, _ = layer_data(Image(array=np.stack([array] * 2), axes="TZYX", geometry=turned, name="film"))
    film = viewer.add_image(data, **arguments)
    np.testing.assert_allclose(spot(film)[1:], spot(first))
    assert spot(film)[0] == 0.5


@pytest.mark.parametrize("make", ["permuted", "oblique"])
def test_what_cannot_be_put_on_one_another_is_said_as_long_as_it_is_so(
    make: str, viewer: ViewerModel, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr("napari_unetstyle.widgets.same_patient.show_warning", said.append)
    line = DirectionsLine(viewer)
    qtbot.addWidget(line)
    first = add(viewer, scan(), UPRIGHT, "first")
    assert line.isHidden()
    second = add(
        viewer, *(other_way(UPRIGHT, (False,) * 3, (2, 0, 1)) if make == "permuted" else (scan(), TILTED)), "second"
    )
    assert said == [different([first, second])]
    assert line.text() == said[0]
    assert line.text().startswith("'first' and 'second' lie in the patient in different directions")
    assert not line.isHidden()
    for hide in (lambda: setattr(second, "visible", False), lambda: viewer.layers.remove(first)):
        hide()
        assert line.isHidden()
        second.visible = True
    assert line.isHidden()


def test_a_third_volume_goes_to_the_one_that_it_fits(viewer: ViewerModel) -> None:
    add(viewer, scan(), UPRIGHT, "axial")
    array, place = other_way(UPRIGHT, (False,) * 3, (2, 0, 1))
    sagittal = add(viewer, array, place, "sagittal")
    twin = add(viewer, array[:, ::-1], place.turned(array.shape, (0, 1, 2), (False, True, False)), "twin")
    np.testing.assert_allclose(spot(twin), spot(sagittal), atol=1e-6)


def test_pictures_that_lie_in_no_patient_are_left_alone(viewer: ViewerModel) -> None:
    add(viewer, scan(), UPRIGHT, "first")
    layer = viewer.add_image(scan())
    world = add(viewer, scan(), Geometry(spacing=(1, 1, 1), unit="mm", direction=np.diag([1, 1, -1])), "stack")
    for one in (layer, world):
        np.testing.assert_allclose(one.affine.affine_matrix, np.eye(4))
    assert differing(viewer.layers) == []


def test_masks_are_outlines_with_and_without_the_dock_until_a_person_fills_them(
    make_napari_viewer: Any, core: Any, tmp_path: Path, qtbot: Any
) -> None:
    from napari_unetstyle.widgets.main_dock import MainDock

    array, place = other_way(UPRIGHT, (False, True, True))
    ours = write_labels(
        tmp_path / "ours.nii.gz", (array > 0).astype(np.uint8), axes="ZYX", geometry=place, classes=CLASSES
    )
    viewer = make_napari_viewer()
    viewer.open(str(ours), plugin="napari-unetstyle")
    viewer.open(str(ours), plugin="napari-unetstyle")
    add(viewer, scan(), UPRIGHT, "scan")
    np.testing.assert_allclose(spot(viewer.layers[2]), spot(viewer.layers[0]), atol=1e-4)  # watched by the reader
    data, arguments, _ = layer_data(Image(array=np.asarray(read_image(ours).array), axes="ZYX", geometry=place))
    del arguments["rgb"]
    viewer.add_labels(data, **arguments)  # of another program
    assert [layer.contour for layer in viewer.layers if type(layer).__name__ == "Labels"] == [1, 1, 1]
    viewer.layers[0].contour = 0
    viewer.add_labels(np.zeros(SHAPE, np.uint8))
    dock = MainDock(viewer, core.calls)
    qtbot.addWidget(dock)
    assert [layer.contour for layer in viewer.layers if type(layer).__name__ == "Labels"] == [0, 1, 1, 0]
    assert dock.different.isHidden()
    array, turned = other_way(UPRIGHT, (False,) * 3, (1, 2, 0))
    add(viewer, array, turned, "coronal")
    assert not dock.different.isHidden()
    assert "'coronal'" in dock.different.text()


def test_the_dock_takes_what_is_there_already(make_windowless_dock: Any, core: Any, qtbot: Any) -> None:
    from napari_unetstyle.widgets.main_dock import MainDock

    viewer = ViewerModel()
    first = add(viewer, scan(), UPRIGHT, "first")
    array, turned = other_way(UPRIGHT, (True, True, False))
    data, arguments, _ = layer_data(Image(array=(array > 0).astype(np.uint8), axes="ZYX", geometry=turned))
    del arguments["rgb"]
    mask = viewer.add_labels(data, **arguments)
    dock = MainDock(viewer, core.calls)
    qtbot.addWidget(dock)
    assert mask.contour == 1
    np.testing.assert_allclose(spot(mask), spot(first), atol=1e-6)
