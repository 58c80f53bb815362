"""A volume in the dock: from slices to milliliters, by clicks, with a real (if random) network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtWidgets import QApplication
from scipy.ndimage import gaussian_filter

from napari_unetstyle.core import segment
from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.widgets import scope
from napari_unetstyle.widgets.core_calls import CoreCalls
from napari_unetstyle.widgets.main_dock import MainDock
from napari_unetstyle.widgets.opening import layer_data
from napari_unetstyle.widgets.overlay import outline_mask
from napari_unetstyle.widgets.saving import FORMATS
from napari_unetstyle.widgets.scope import current_frame
from tests.core.geometry_for_tests import rotation
from tests.core.networks_for_tests import tiny_volume_model
from tests.widgets.fake_core import WAIT

MS = WAIT * 1000
SPACING = (3.0, 0.8, 0.8)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return tiny_volume_model(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def scan() -> Image:
    smooth = gaussian_filter(np.random.default_rng(3).random((16, 48, 56)), (1, 3, 3))
    array = (1000 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.int16)
    place = Geometry(
        spacing=SPACING, unit="mm", origin=(5, -7, 11), direction=rotation((1.0, 0.5, 0.2), 0.3), is_anatomical=True
    )
    return Image(array=array, axes="ZYX", geometry=place, name="scan")


@pytest.fixture
def dock(make_quick_dock: Any, models: Any, scan: Image, monkeypatch: pytest.MonkeyPatch) -> MainDock:
    """The dock with a scan as the reader opens it."""
    monkeypatch.setenv("NAPARI_UNETSTYLE_MODELS", str(models.folder.parent))
    dock = make_quick_dock(CoreCalls())
    data, arguments, _ = layer_data(scan)
    dock.viewer.add_image(data, **arguments)
    choice = dock.segment.model.models
    choice.setCurrentIndex(choice.findData("tiny3d@1"))
    dock.viewer.dims.set_current_step(0, 6)
    return dock


def choose_where(dock: MainDock, key: str) -> None:
    dock.segment.where.setCurrentIndex(dock.segment.where.findData(key))


def labels_layer(dock: MainDock) -> Any:
    (layer,) = (layer for layer in dock.viewer.layers if type(layer).__name__ == "Labels")
    return layer


def test_a_range_of_slices(dock: MainDock, run: Any, click: Any, models: Any, scan: Image) -> None:
    panel = dock.segment
    assert panel.range_row.isHidden()
    choose_where(dock, scope.RANGE)
    assert not panel.range_row.isHidden()
    assert panel.range.value == (0, 16)
    dock.viewer.dims.set_current_step(0, 4)
    click(panel.range.from_here)
    dock.viewer.dims.set_current_step(0, 9)
    click(panel.range.to_here)
    assert panel.range.value == (4, 10)
    run(dock)
    expected = segment(scan, models, box=((4, 10), (0, 48), (0, 56))).labels
    assert expected[4:10].any()
    np.testing.assert_array_equal(labels_layer(dock).data, expected)
    dock.viewer.dims.set_current_step(0, 2)
    click(panel.range.to_here)  # the first follows
    assert panel.range.value == (2, 3)


def test_this_slice_of_a_volume_is_seen_with_what_lies_around_it(
    dock: MainDock, run: Any, models: Any, scan: Any
) -> None:
    choose_where(dock, scope.SLICE)
    run(dock)
    labels = labels_layer(dock).data
    whole = segment(scan, models).labels
    assert whole[6].any()
    np.testing.assert_array_equal(labels[6], whole[6])
    assert not np.delete(labels, 6, axis=0).any()


@pytest.mark.parametrize("in_window", [True])
def test_preview_works_on_the_slice_in_sight(dock: MainDock, tick: Any, models: Any, scan: Any, qtbot: Any) -> None:
    preview = dock.segment.preview
    whole = segment(scan, models).labels
    tick(preview.box)
    for at in (6, 11):
        dock.viewer.dims.set_current_step(0, at)
        expected = outline_mask(whole[at])
        qtbot.waitUntil(
            lambda expected=expected: (
                preview.drawing.outlines is not None and np.array_equal(preview.drawing.outlines.mask, expected)
            ),
            timeout=MS,
        )
        assert preview.drawing.outlines.origin == (0, 0)
    assert len(dock.viewer.layers) == 1


@pytest.mark.parametrize("in_window", [True])
def test_volumes_and_surfaces_of_each_class(dock: MainDock, run: Any, click: Any, qtbot: Any) -> None:
    run(dock)
    box, layer = dock.segment.results.box, labels_layer(dock)
    volumes = [np.count_nonzero(layer.data == c) * np.prod(SPACING) / 1000 for c in (1, 2)]
    assert f"one {volumes[0]:#.3g} ml" in box.summary.text()
    click(box.table)
    surfaces = np.array(layer.features["surface_mm2"])  # which the run counted itself
    qtbot.waitUntil(lambda: "mean" in layer.features, timeout=MS)
    np.testing.assert_allclose(layer.features["volume_ml"], volumes)
    np.testing.assert_allclose(layer.features["surface_mm2"], surfaces)
    assert list(layer.features["class_name"]) == ["one", "two"]
    click(dock.segment.results._table.copy)
    head, first, second = (line.split("\t") for line in QApplication.clipboard().text().splitlines())
    assert {"class", "volume ml", "surface mm²"} <= set(head)
    assert [row[head.index("class")] for row in (first, second)] == ["one", "two"]
    assert float(first[head.index("volume ml")]) == pytest.approx(volumes[0])


@pytest.mark.parametrize("in_window", [True])
def test_a_row_leads_to_the_slice_with_most_of_the_class(dock: MainDock, run: Any, click: Any, qtbot: Any) -> None:
    run(dock)
    layer = labels_layer(dock)
    click(dock.segment.results.box.table)
    table = dock.segment.results._table
    qtbot.waitUntil(lambda: "surface_mm2" in layer.features, timeout=MS)
    table.view.selectRow(1)
    most = int(np.argmax((layer.data == 2).sum(axis=(1, 2))))
    (picture,) = (one for one in dock.viewer.layers if one.name == "scan")
    assert current_frame(picture, dock.segment.results.output.image, dock.viewer) == (most,)


@pytest.mark.parametrize("in_window", [True])
@pytest.mark.parametrize("plane", ["ZX", "XZ", "ZY", "XY"])
def test_a_row_is_outlined_in_the_slices_that_are_on_screen(
    dock: MainDock, run: Any, click: Any, qtbot: Any, plane: str
) -> None:
    run(dock)
    layer, dims = labels_layer(dock), dock.viewer.dims
    click(dock.segment.results.box.table)
    table = dock.segment.results._table
    qtbot.waitUntil(lambda: "surface_mm2" in layer.features, timeout=MS)
    through, rows, columns = ("ZYX".index(axis) for axis in ({*"ZYX"} - {*plane}).pop() + plane)
    dims.order = (through, rows, columns)
    table.view.selectRow(1)
    drawn = table.drawing.outlines
    most = int(np.argmax((layer.data == 2).sum(axis=(rows, columns))))
    (picture,) = (one for one in dock.viewer.layers if one.name == "scan")
    assert round(picture.world_to_data(dims.point)[through]) == most
    matrix, offset = drawn.canvas_map()
    assert abs(np.linalg.det(matrix)) > 1e-9
    canvas = [matrix @ (np.array(drawn.origin) + place) + offset for place in np.argwhere(drawn.mask)]
    center, zoom = np.array(dock.viewer.scene.camera.center[-2:]), dock.viewer.scene.camera.zoom
    where = [(place - np.array(dock.viewer.canvas.size) / 2) / zoom + center for place in canvas]
    point = np.array(dims.point)
    found = np.zeros((layer.data.shape[rows], layer.data.shape[columns]), bool)
    for place in where:
        point[[rows, columns]] = place
        found[tuple(np.rint(picture.world_to_data(point)[[rows, columns]]).astype(int))] = True
    slice_ = layer.data.transpose(through, rows, columns)[most]
    np.testing.assert_array_equal(found, outline_mask((slice_ == 2).astype(np.uint8)))
    dims.order = (0, 1, 2)
    assert table.drawing.outlines is None


def test_smallest_is_in_cubic_millimeters(dock: MainDock, run: Any, qtbot: Any) -> None:
    run(dock)
    box, layer = dock.segment.results.box, labels_layer(dock)
    assert box.smallest.suffix() == " mm³"
    sizes = np.bincount(layer.data.ravel())[1:] * np.prod(SPACING)
    box.smallest.setValue(float(sizes.max()) + 100)
    qtbot.waitUntil(lambda: not layer.data.any(), timeout=MS)


def test_what_the_format_cannot_hold_of_the_place_is_said(dock: MainDock, run: Any, qtbot: Any, tmp_path: Path) -> None:
    run(dock)
    results = dock.segment.results
    for key, said in (("labels", "TIFF cannot hold where the volume lies"), ("volume", "")):
        with qtbot.waitSignal(results._saving.done, timeout=MS):
            results.save(key, tmp_path / f"x{FORMATS[key].suffix}", results.output)
        assert said in results.box.said.text()
        assert ("cannot hold" in results.box.said.text()) == bool(said)


def test_3d_and_back(dock: MainDock, run: Any, click: Any) -> None:
    run(dock)
    box, dims = dock.segment.results.box, dock.viewer.dims
    assert not box.volume.isHidden()
    click(box.volume)
    assert dims.ndisplay == 3
    assert labels_layer(dock).rendering == "iso_categorical"
    click(box.volume)
    assert (dims.ndisplay, dims.point[0]) == (2, pytest.approx(dims.range[0].start + 6 * SPACING[0]))
    dims.ndisplay = 3  # by napari's own button
    assert box.volume.isChecked()


def test_a_step_down_for_want_of_memory_is_said(
    dock: MainDock, run: Any, models: Any, scan: Image, monkeypatch: Any
) -> None:
    from napari_unetstyle.core.inference import probability

    class Tight(probability.Stream):
        def push(self, rows: Any, turn: Any, *, last: bool) -> Any:
            if rows.shape[2] > 4:
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")
            return super().push(rows, turn, last=last)

    whole = segment(scan, models).labels
    monkeypatch.setattr(probability, "Stream", Tight)
    run(dock)
    np.testing.assert_array_equal(labels_layer(dock).data, whole)
    assert probability.SHORT in dock.segment.results.box.notes.text()
