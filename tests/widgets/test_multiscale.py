"""Multiscale pictures: labels of any level lie on the picture, and OME-Zarr opens and is saved where it lies."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel
from napari.layers import Image as ImageLayer
from napari.layers import Labels

from napari_unetstyle.core import Geometry, read_image, write_labels
from napari_unetstyle.core.errors import ImageFileError
from napari_unetstyle.core.imaging import tiff
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.imaging.levels import LevelGrid
from napari_unetstyle.core.imaging.ome_zarr import StoredLevel, open_ome_zarr
from napari_unetstyle.core.models.spec import ModelSpec
from napari_unetstyle.core.models.store import ModelStore
from napari_unetstyle.core.progress import run
from napari_unetstyle.core.segmentation.deciding import iter_decide
from napari_unetstyle.core.segmentation.full_resolution import iter_to_finest
from napari_unetstyle.core.segmentation.level_choice import fitting_grid, on_grid
from napari_unetstyle.core.segmentation.options import SegmentOptions
from napari_unetstyle.widgets import choice, scope
from napari_unetstyle.widgets.full_resolution import BRING
from napari_unetstyle.widgets.label_layers import add_labels
from napari_unetstyle.widgets.layers import Statement, image_from_layer, statement_of
from napari_unetstyle.widgets.level_choice import on_fitting_level
from napari_unetstyle.widgets.level_grid import LEVELS, level_grids, seen
from napari_unetstyle.widgets.opening import PATH
from napari_unetstyle.widgets.placement import Placement
from napari_unetstyle.widgets.readers import get_reader, read_zarr
from napari_unetstyle.widgets.run_request import RunRequest
from napari_unetstyle.widgets.saving import FORMATS
from napari_unetstyle.widgets.writers import write_volume
from tests.core.slides_for_tests import shrunk, stained, write_svs
from tests.core.zarr_for_tests import described, halved, two_levels, volume, write_picture
from tests.widgets.fake_core import WAIT, FakeStore, blobs, spec, undecided

signed = st.floats(0.1, 10).flatmap(lambda s: st.sampled_from([s, -s]))
offsets = st.floats(-100, 100)
angles = st.floats(-170, 170)
AFFINE = np.array([[0.9, 0.3, 0.1, 5], [-0.2, 1.4, 0.2, -6], [0.1, 0.4, -1.1, 7], [0, 0, 0, 1]])


def mean_of(array: np.ndarray, factor: int) -> np.ndarray:
    whole = array[tuple(slice(0, n // factor * factor) for n in array.shape)]
    shape = [part for n in whole.shape for part in (n // factor, factor)]
    return whole.reshape(shape).mean(axis=tuple(range(1, 2 * array.ndim, 2)))


def every(array: np.ndarray, factor: int) -> np.ndarray:
    return array[(slice(None, None, factor),) * array.ndim]


def noise(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).random(shape)


# Where levels lie ----------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")
@settings(max_examples=25)
@given(
    dims=st.sampled_from([2, 3]),
    kind=st.sampled_from(["mean", "stride"]),
    level=st.integers(0, 2),
    scale=st.tuples(signed, signed, signed),
    translate=st.tuples(offsets, offsets, offsets),
    rotate=st.tuples(angles, angles, angles),
    shear=st.tuples(*[st.floats(-1, 1)] * 3),
    data=st.data(),
)
def test_labels_of_any_level_lie_on_the_picture(
    dims: int, kind: str, level: int, scale: Any, translate: Any, rotate: Any, shear: Any, data: Any
) -> None:
    """Under scale (negative, too), translate, rotate, shear and affine, in 2D and 3D."""
    shape = (33, 42, 38)[-dims:]
    finest, make = noise(shape), {"mean": mean_of, "stride": every}[kind]
    layer = ImageLayer(
        [finest, make(finest, 2), make(finest, 4)],
        multiscale=True,
        scale=scale[:dims],
        translate=translate[:dims],
        rotate=rotate[0] if dims == 2 else rotate,
        shear=shear[: 1 if dims == 2 else 3],
        affine=AFFINE[3 - dims :, 3 - dims :],
    )
    axes = "ZYX"[-dims:]
    grid = level_grids(layer)[level]
    image = image_from_layer(layer, statement_of(layer), grid)
    viewer = ViewerModel()
    viewer.add_layer(layer)
    labels = _added(viewer, image, Placement.of(layer, axes, grid))
    assert labels.data.shape == layer.data[level].shape
    index = np.array([data.draw(st.integers(0, n - 1)) for n in labels.data.shape])
    factor = 2**level
    under = index * factor + (0 if kind == "stride" else (factor - 1) / 2)
    world = layer.data_to_world(under)
    np.testing.assert_allclose(labels.data_to_world(index), world, rtol=1e-6, atol=1e-6)
    view = seen(Placement.of(layer, axes, grid))
    np.testing.assert_allclose(view.data_to_world(index), world, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(view.world_to_data(world), index, rtol=1e-4, atol=1e-4)
    block = [range(i * factor, i * factor + 1 if kind == "stride" else (i + 1) * factor) for i in index]
    pixels = [finest[place] for place in itertools.product(*block)]
    assert layer.data[level][tuple(index)] == pytest.approx(np.mean(pixels))


def _added(viewer: ViewerModel, image: Image, placement: Placement) -> Labels:
    result = run(iter_decide(undecided(image, SegmentOptions(output="areas"))))
    return add_labels(viewer, result, placement, "labels")


@settings(deadline=None)
@given(size=st.integers(20, 90), other=st.integers(20, 90), factor=st.integers(2, 5), is_strided=st.booleans())
def test_counts_that_do_not_divide_still_have_whole_factors(
    size: int, other: int, factor: int, is_strided: bool
) -> None:
    finest = noise((size, other))
    level = every(finest, factor) if is_strided else mean_of(finest, factor)
    (_, grid) = level_grids(ImageLayer([finest, level], multiscale=True, contrast_limits=(0, 1)))
    found = int(grid.factor[0])
    assert grid.factor == (found, found)
    if is_strided or factor in (2, 4):
        assert found == factor
    assert grid.offset == ((0, 0) if is_strided else ((found - 1) / 2,) * 2)
    counts = [(n // found, -(-n // found)) for n in finest.shape]
    assert all(m in pair for m, pair in zip(level.shape, counts, strict=True))


def test_axes_may_shrink_by_different_factors() -> None:
    finest = noise((24, 40, 44))
    layer = ImageLayer([finest, finest[::2, ::4, ::4]], multiscale=True)
    assert level_grids(layer)[1] == LevelGrid(index=1, factor=(2, 4, 4), offset=(0, 0, 0))
    assert level_grids(ImageLayer([finest, finest[:, ::2, ::2]], multiscale=True))[1].factor == (1, 2, 2)


def test_counts_of_no_whole_factor_have_their_ratio() -> None:
    layer = ImageLayer([noise((40, 30)), noise((25, 30))], multiscale=True)
    assert level_grids(layer)[1].factor == (1.6, 1)
    assert level_grids(layer)[1].offset == (pytest.approx(0.3), 0)


def test_one_value_everywhere_counts_as_means() -> None:
    layer = ImageLayer([np.zeros((40, 40)), np.zeros((20, 20))], multiscale=True, contrast_limits=(0, 1))
    assert level_grids(layer)[1].offset == (0.5, 0.5)


def test_the_geometry_of_a_level_is_where_its_labels_are_written(tmp_path: Path) -> None:
    layer = ImageLayer(
        [noise((40, 60)), mean_of(noise((40, 60)), 2)],
        multiscale=True,
        scale=(0.5, 0.25),
        translate=(3, -4),
        units=("um", "um"),
        axis_labels=("y", "x"),
    )
    grid = level_grids(layer)[1]
    image = image_from_layer(layer, statement_of(layer), grid)
    assert image.geometry == Geometry(spacing=(1.0, 0.5), unit="um", origin=(3.25, -3.875))


@given(
    shape=st.tuples(st.integers(4, 30), st.integers(4, 30)),
    factor=st.integers(1, 4),
    kind=st.sampled_from(["mean", "stride"]),
)
def test_labels_come_to_the_finest_level_by_the_nearest_pixel(shape: Any, factor: int, kind: str) -> None:
    small = tuple(n // factor if kind == "mean" else -(-n // factor) for n in shape)
    labels = np.random.default_rng(0).integers(0, 2**31, small)
    offset = (factor - 1) / 2 if kind == "mean" else 0.0
    grid = LevelGrid(index=1, factor=(factor,) * 2, offset=(offset,) * 2)
    fine = run(iter_to_finest(labels, grid, (0, 1), shape))
    assert fine.shape == shape
    for place in itertools.product(*(range(0, n, 3) for n in shape)):
        centers = [grid.factor[a] * np.arange(small[a]) + offset for a in (0, 1)]
        best = [np.abs(centers[a] - place[a]).min() for a in (0, 1)]
        near = [np.flatnonzero(np.isclose(np.abs(centers[a] - place[a]), best[a])) for a in (0, 1)]
        assert fine[place] in labels[np.ix_(*near)]
    if kind == "stride":
        np.testing.assert_array_equal(every(fine, factor), labels)


def test_volumes_come_to_the_finest_level_on_disk_when_large() -> None:
    labels = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    grid = LevelGrid(index=1, factor=(1.0, 2.0, 2.0), offset=(0.0, 0.5, 0.5))
    fine = run(iter_to_finest(labels, grid, (0, 1, 2), (2, 6, 8), in_memory=0))
    np.testing.assert_array_equal(fine, labels.repeat(2, axis=1).repeat(2, axis=2))


# Which level -------------------------------------------------------------------------------------------------------


def _spec(**inputs: Any) -> ModelSpec:
    spec = ModelStore().load("nuclei").spec
    return spec.model_copy(update={"input": spec.input.model_copy(update=inputs)})


@pytest.mark.parametrize(
    ("spacing", "unit", "level"),
    [((0.5, 0.5), "um", 0), ((1.0, 1.0), "um", 1), ((1.5, 1.5), "um", 1), ((2.0, 2.0), "um", 2), ((9.0, 9.0), "um", 2),
     ((0.002, 0.002), "mm", 2), ((0.1, 0.1), "um", 0), ((2.0, 0.5), "um", 0), (None, None, 0)],
)  # fmt: skip
def test_the_level_fits_the_pixel_size_of_the_model(spacing: Any, unit: Any, level: int) -> None:
    layer = _pyramid()
    image = image_from_layer(layer)
    spec = _spec(spacing=spacing, unit=unit, object_diameter=None, object_diameters=None)
    assert fitting_grid(level_grids(layer), image, spec, SegmentOptions()).index == level


def _pyramid() -> ImageLayer:
    finest = noise((80, 96))
    levels = [finest, mean_of(finest, 2), mean_of(finest, 4)]
    return ImageLayer(levels, multiscale=True, scale=(0.5, 0.5), units=("um", "um"), axis_labels=("y", "x"))


@pytest.mark.parametrize(("diameter", "level"), [(None, 0), (10, 0), (20, 0), (40, 1), (85, 2), (999, 2)])
def test_the_level_fits_the_size_of_the_objects(diameter: Any, level: int) -> None:
    layer = _pyramid()
    spec = _spec(object_diameter=20.0, object_diameters=None)
    options = SegmentOptions(object_diameter=diameter)
    grid = fitting_grid(level_grids(layer), image_from_layer(layer), spec, options)
    assert grid.index == level
    if diameter:
        assert on_grid(options, grid, image_from_layer(layer)).object_diameter == diameter / 2**level


def test_objects_that_the_model_knows_as_they_are_stay_as_they_are() -> None:
    layer = _pyramid()
    spec = _spec(object_diameter=20.0, object_diameters=(10.0, 50.0))
    options = SegmentOptions(object_diameter=45)
    assert fitting_grid(level_grids(layer), image_from_layer(layer), spec, options).index == 0


def test_no_slice_is_left_out_for_a_model_of_pictures() -> None:
    finest = noise((8, 40, 40))
    layer = ImageLayer(
        [finest, mean_of(finest, 2)], multiscale=True, scale=(1, 1, 1), units=("um",) * 3, axis_labels=("z", "y", "x")
    )
    spec = _spec(spacing=(2.0, 2.0), unit="um", object_diameter=None)
    assert fitting_grid(level_grids(layer), image_from_layer(layer), spec, SegmentOptions()).index == 0


def test_a_run_is_asked_for_in_pixels_of_its_level() -> None:
    layer, viewer = _pyramid(), ViewerModel()
    viewer.add_layer(layer)
    options = SegmentOptions(box=((4, 12), (3, 30)))
    request = RunRequest(
        image=image_from_layer(layer),
        placement=Placement.of(layer, "YX"),
        model="nuclei",
        options=options,
        store=ModelStore(),
        scope="screen",
    )
    spec = _spec(spacing=(1.0, 1.0), unit="um", object_diameter=None)
    moved = on_fitting_level(request, spec)
    assert moved.image.array is layer.data[1]
    assert moved.image.geometry.spacing == (1.0, 1.0)
    assert moved.options.box == ((2, 6), (1, 15))
    assert moved.placement.changes(viewer) == []
    assert on_fitting_level(moved, spec) is moved
    polygon = ((4.0, 4.0), (4.0, 20.0), (12.0, 20.0))
    inside = on_grid(SegmentOptions(polygon=polygon), level_grids(layer)[1], request.image).polygon
    assert inside == ((1.75, 1.75), (1.75, 9.75), (5.75, 9.75))
    one = ImageLayer(noise((40, 40)), scale=(0.5, 0.5), units=("um", "um"))
    alone = RunRequest(
        image=image_from_layer(one),
        placement=Placement.of(one, "YX"),
        model="nuclei",
        options=options,
        store=ModelStore(),
        scope="whole",
    )
    assert on_fitting_level(alone, spec) is alone


def test_a_layer_that_lost_its_level_is_changed() -> None:
    layer, viewer = _pyramid(), ViewerModel()
    viewer.add_layer(layer)
    placement = Placement.of(layer, "YX", level_grids(layer)[2])
    layer.data = list(layer.data[:2])
    assert placement.changes(viewer) == ["changed"]


# In the dock -------------------------------------------------------------------------------------------------------


@pytest.fixture
def dock(make_quick_dock: Any, core: Any) -> Any:
    """A picture of which every pixel is there four times; the model's pixels are twice as large."""
    one = spec()
    inputs = one.input.model_copy(update={"spacing": (1.0, 1.0), "unit": "um", "object_diameter": None})
    core.store = lambda _: FakeStore([one.model_copy(update={"input": inputs})])
    dock = make_quick_dock()
    fine = blobs().repeat(2, axis=0).repeat(2, axis=1)
    dock.viewer.add_image(
        [fine, mean_of(fine, 2).astype(np.uint8)],
        multiscale=True,
        name="slide7",
        scale=(0.5, -0.5),
        translate=(3, 4),
        rotate=30,
        units=("um", "um"),
    )
    return dock


def test_labels_lie_on_the_fitting_level_and_come_to_full_resolution(
    dock: Any, run: Any, click: Any, qtbot: Any
) -> None:
    run(dock)
    picture, labels = dock.viewer.layers
    assert labels.data.shape == blobs().shape
    assert labels.data.max() == 5
    assert "level 1 of 'slide7'" in dock.segment.finer.row.text
    labels.data[0, 0] = 9
    labels.refresh()
    click(dock.segment.finer.row.buttons()[BRING])
    qtbot.waitUntil(lambda: len(dock.viewer.layers) == 3, timeout=WAIT * 1000)
    full = dock.viewer.layers[2]
    np.testing.assert_array_equal(full.data, labels.data.repeat(2, axis=0).repeat(2, axis=1))
    for index in [(0, 0), (7, 30), (100, 150)]:
        np.testing.assert_allclose(full.data_to_world(index), picture.data_to_world(index))
        half = (np.array(index) - 0.5) / 2
        np.testing.assert_allclose(labels.data_to_world(half), picture.data_to_world(index))


@pytest.mark.parametrize("in_window", [True])
def test_a_row_of_the_table_shows_its_object_where_it_is(dock: Any, run: Any, click: Any, qtbot: Any) -> None:
    run(dock)
    _, labels = dock.viewer.layers
    output = dock.segment.results.output
    places = scope.canvas_map(seen(output.placement), output.image, dock.viewer)
    wanted = scope.canvas_map(labels, output.image, dock.viewer)  # the layer's own transform
    for got, expected in zip(places, wanted, strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-9)
    click(dock.segment.results.box.table)
    table = dock.segment.results._table
    table.view.selectRow(2)
    qtbot.waitUntil(lambda: table.drawing.outlines is not None, timeout=WAIT * 1000)
    for got, expected in zip(table.drawing.outlines.canvas_map(), wanted, strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-9)


@pytest.mark.parametrize("in_window", [True])
def test_the_preview_is_that_of_the_level(dock: Any, core: Any, qtbot: Any) -> None:
    dock.segment.preview.box.click()
    qtbot.waitUntil(lambda: dock.segment.preview.drawing.outlines is not None, timeout=WAIT * 1000)
    outlines = dock.segment.preview.drawing.outlines
    assert max(outlines.mask.shape) <= max(blobs().shape)
    matrix, offset = outlines.canvas_map()
    fine, first = scope.canvas_map(dock.viewer.layers[0], image_from_layer(dock.viewer.layers[0]), dock.viewer)
    for index in [(0, 0), (10, 20)]:
        np.testing.assert_allclose(matrix @ index + offset, fine @ (2 * np.array(index) + 0.5) + first)


def test_a_picture_that_was_changed_is_not_guessed(dock: Any, run: Any, click: Any) -> None:
    run(dock)
    picture = dock.viewer.layers[0]
    picture.data = [np.zeros((30, 40), np.uint8), np.zeros((15, 20), np.uint8)]
    click(dock.segment.finer.row.buttons()[BRING])
    assert "was reshaped since" in dock.segment.finer.row.text
    assert len(dock.viewer.layers) == 2


# OME-Zarr ------------------------------------------------------------------------------------------------------------


def opened(path: Path) -> list[Any]:
    reader = get_reader(str(path))
    assert reader is not None
    return [
        {"image": ImageLayer, "labels": Labels}[kind](data, **arguments) for data, arguments, kind in reader(str(path))
    ]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_picture_opens_lazily_in_all_levels_with_its_labels_on_it(tmp_path: Path, version: str) -> None:
    path, array = tmp_path / "x.zarr", volume()
    two_levels(path, array, version)
    for level in (0, 1):
        image = read_image(path, level=level)
        write_labels(path, (image.array[...] > 3e4).astype(int), axes="ZYX", geometry=image.geometry, name=f"n{level}")
    layer, *labels = opened(path)
    assert layer.multiscale
    assert isinstance(layer.data[0], StoredLevel)
    assert [str(unit) for unit in layer.units] == ["micrometer"] * 3
    assert layer.axis_labels == ("z", "y", "x")
    np.testing.assert_allclose(layer.scale, (2.0, 0.5, 0.25))
    np.testing.assert_allclose(layer.translate, (10, -3, 7))
    assert [one.name for one in labels] == ["n0", "n1"]
    for level, one in enumerate(labels):
        grid = level_grids(layer)[level]
        for index in [(0, 0, 0), (4, 18, 22)]:
            under = np.array(grid.factor) * index + grid.offset
            np.testing.assert_allclose(one.data_to_world(index), layer.data_to_world(under))
        np.testing.assert_array_equal(one.data, layer.data[level][...] > 3e4)
    viewer = ViewerModel()
    for one in (layer, *labels):
        viewer.add_layer(one)
    labels[0].paint((3, 4, 5), 9)
    assert labels[0].data[3, 4, 5] == 9


def test_large_labels_stay_lazy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff, "LARGE", 1000)
    labels = np.random.default_rng(0).integers(0, 2**32 + 2, (600, 700))
    write_labels(tmp_path / "l.zarr", labels)
    (layer,) = opened(tmp_path / "l.zarr")
    assert layer.multiscale
    assert isinstance(layer.data[0], StoredLevel)
    ViewerModel().add_layer(layer)
    assert int(layer.data[0][17, 33]) == labels[17, 33]


def test_channels_and_times_of_labels_meet_those_of_the_picture(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 99, (2, 3, 4, 10, 12), np.uint8)
    write_picture(tmp_path / "x.zarr", [array], described("tczyx", [([1.0] * 5, [0.0] * 5)]))
    image = read_image(tmp_path / "x.zarr")
    frames = (array[:, 0] > 50).astype(int)
    write_labels(tmp_path / "x.zarr", frames, axes="TZYX", geometry=image.geometry, name="n")
    picture, labels = opened(tmp_path / "x.zarr")
    assert picture.ndim == labels.ndim == 5
    assert labels.axis_labels == ("t", "c", "z", "y", "x")
    np.testing.assert_array_equal(labels.data[:, 0], frames)
    viewer = ViewerModel()
    for layer in (picture, labels):
        viewer.add_layer(layer)
    for channel in range(3):
        viewer.dims.set_current_step((0, 1, 2), (1, channel, 2))
        np.testing.assert_array_equal(labels._slice.image.raw, frames[1, 2])


def test_labels_without_units_lie_on_the_picture(tmp_path: Path) -> None:
    array = volume()
    levels = [([3.0, 2.0, 2.0], [1.0, 2.0, 3.0]), ([6.0, 4.0, 4.0], [2.5, 3.0, 4.0])]
    write_picture(tmp_path / "x.zarr", [array, halved(array)], described("zyx", levels, unit=""))
    image = read_image(tmp_path / "x.zarr", level=1)
    write_labels(tmp_path / "x.zarr", image.array[...] > 9, axes="ZYX", geometry=image.geometry, name="n")
    picture, labels = opened(tmp_path / "x.zarr")
    for index in [(0, 0, 0), (3, 4, 5)]:
        under = np.array(level_grids(picture)[1].factor) * index + level_grids(picture)[1].offset
        np.testing.assert_allclose(labels.data_to_world(index), picture.data_to_world(under))


def test_a_labels_layer_is_saved_into_the_picture_it_was_painted_on(tmp_path: Path) -> None:
    path = tmp_path / "x.zarr"
    two_levels(path, volume())
    (layer,) = opened(path)
    viewer = ViewerModel()
    viewer.add_layer(layer)
    for level in (0, 1):
        grid = level_grids(layer)[level]
        image = image_from_layer(layer, statement_of(layer), grid)
        labels = _added(viewer, image, Placement.of(layer, "ZYX", grid))
        labels.name = "nuclei: mine/first"
        (written,) = write_volume(str(path), *labels.as_layer_data_tuple()[:2])
        np.testing.assert_array_equal(read_image(written).array[...], labels.data)
        np.testing.assert_allclose(read_image(written).geometry.affine, image.geometry.affine)
        write_volume(str(path), *labels.as_layer_data_tuple()[:2])
    name = "nuclei-mine-first"
    assert open_ome_zarr(path).label_names == (name, *(f"{name}-{i}" for i in (2, 3, 4)))


@pytest.mark.parametrize(
    ("name", "called"),
    [
        ("Canary Nominata nuclei", "nuclei"),
        ("canary_tumor", "tumor"),
        ("Canary-nominata_edema", "edema"),
        ("edema (photo of 4711.b)", "edema-photo-of"),
        ("canary nominata", "labels"),
        ("canaries", "canaries"),
        ("zarr.json", "zarr.json-2"),
    ],
)
def test_no_name_of_a_picture_is_in_that_of_its_labels(
    name: str, called: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "canary nominata.ome.zarr"
    two_levels(path, volume())
    (layer,) = opened(path)
    viewer = ViewerModel()
    monkeypatch.setattr(choice, "open_viewers", lambda: [viewer])
    viewer.add_layer(layer)
    viewer.add_image(np.zeros((3, 4)), name="canary")
    viewer.add_image(np.zeros((3, 4)), metadata={PATH: "/a/4711.b.tif"})
    labels = _added(viewer, image_from_layer(layer, statement_of(layer)), Placement.of(layer, "ZYX"))
    labels.name = name
    write_volume(str(path), *labels.as_layer_data_tuple()[:2])
    assert open_ome_zarr(path).label_names == (called,)


def test_a_labels_layer_is_saved_on_its_own(tmp_path: Path) -> None:
    layer = Labels(
        np.arange(20).reshape(4, 5), scale=(0.5, 0.25), translate=(3, 4), units=("um", "um"), axis_labels=("y", "x")
    )
    (written,) = write_volume(str(tmp_path / "y.zarr"), *layer.as_layer_data_tuple()[:2])
    (again,) = opened(Path(written))
    np.testing.assert_array_equal(again.data, layer.data)
    np.testing.assert_allclose(again.data_to_world((3, 4)), layer.data_to_world((3, 4)))


def test_damage_is_said_and_the_rest_opens(tmp_path: Path) -> None:
    path = tmp_path / "x.zarr"
    two_levels(path, volume())
    image = read_image(path)
    write_labels(path, image.array[...] > 9, axes="ZYX", geometry=image.geometry, name="n")
    (path / "labels" / "n" / "zarr.json").write_text("{")
    assert [type(layer) for layer in opened(path)] == [ImageLayer]
    (path / "zarr.json").write_text("{")
    reader = get_reader(str(path))
    assert reader is not None
    with pytest.raises(ImageFileError, match="damaged"):
        reader(str(path))


def test_a_slide_opens_in_all_its_levels(tmp_path: Path) -> None:
    finest = stained((130, 170))
    path = write_svs(tmp_path / "slide.svs", [finest, shrunk(finest, 4)])
    (layer,) = opened(path)
    assert layer.multiscale
    assert layer.rgb
    for array, level in zip((finest, shrunk(finest, 4)), layer.data, strict=True):
        np.testing.assert_array_equal(level, array)
    np.testing.assert_allclose(layer.scale, (0.5, 0.5))
    assert [str(unit) for unit in layer.units] == ["micrometer", "micrometer"]
    assert level_grids(layer)[1] == LevelGrid(index=1, factor=(4, 4), offset=(1.5, 1.5))
    (flat,) = opened(write_svs(tmp_path / "flat.svs", [finest]))
    assert not flat.multiscale


def test_levels_stated_by_a_file_count_more_than_what_is_seen() -> None:
    layer = ImageLayer(
        [noise((40, 40)), mean_of(noise((40, 40)), 2)],
        multiscale=True,
        metadata={LEVELS: [([1.0, 1.0], [0.0, 0.0]), ([2.0, 2.0], [0.25, 0.0])]},
    )
    assert level_grids(layer)[1].offset == (0.25, 0.0)
    assert Statement(axes="YX", geometry=Geometry(spacing=(1.0, 1.0))).is_assumed is False


def test_the_dock_saves_labels_into_the_picture_and_beside_it(
    make_windowless_dock: Any, core: Any, run: Any, qtbot: Any, tmp_path: Path
) -> None:
    """Nothing that is in the picture is replaced: the second labels have a name of their own."""
    path = tmp_path / "cells.zarr"
    fine = blobs()
    write_picture(path, [fine], described("yx", [([0.5, 0.25], [3.0, 4.0])]))
    dock = make_windowless_dock()
    (data, arguments, _) = read_zarr(str(path))[0]
    dock.viewer.add_image(data, **arguments)
    run(dock)
    results = dock.segment.results
    labels = results.output.layer.data
    shown = {action.text(): action for action in results.box.save.menu().actions() if action.isVisible()}
    for name in ("nuclei", "nuclei-3"):
        with qtbot.waitSignal(results._saving.done, timeout=WAIT * 1000):
            shown[FORMATS["picture"].words].trigger()
        assert name in results.box.said.text()
        (path / "labels" / "Nuclei-2").mkdir(exist_ok=True)  # of another program, in no list
        written = read_image(path / "labels" / name)
        np.testing.assert_array_equal(written.array[...], labels)
        np.testing.assert_allclose(written.geometry.affine, read_image(path).geometry.affine)
    np.testing.assert_array_equal(read_image(path).array[...], fine)
    for target in (tmp_path / "own.zarr", path):
        with qtbot.waitSignal(results._saving.done, timeout=WAIT * 1000):
            results.save("zarr", target, results.output)
    np.testing.assert_array_equal(read_image(tmp_path / "own.zarr").array[...], labels)
    assert open_ome_zarr(path).label_names == ("nuclei", "nuclei-3", "nuclei-4")
    with qtbot.waitSignal(results._saving.done, timeout=WAIT * 1000):
        results.save("zarr", tmp_path / "own.zarr", results.output)
    assert "not replaced" in results.message.text


def test_there_is_no_picture_to_save_into_where_it_is_none(dock: Any, run: Any) -> None:
    run(dock)
    shown = [action.text() for action in dock.segment.results.box.save.menu().actions() if action.isVisible()]
    assert FORMATS["zarr"].words in shown
    assert FORMATS["picture"].words not in shown
