"""The table of measurements, in a window: a row and an object select each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.utils._test_utils import read_only_mouse_event
from napari.utils.interactions import mouse_press_callbacks, mouse_release_callbacks
from qtpy.QtCore import QItemSelectionModel, Qt

from napari_unetstyle.widgets import draft, measurements
from napari_unetstyle.widgets.overlay import outline_mask
from napari_unetstyle.widgets.table import MeasurementTable
from tests.widgets.fake_core import WAIT, blobs

MS = WAIT * 1000
HORIZONTAL = Qt.Orientation.Horizontal


@pytest.fixture
def dock(make_dock: Any, run: Any) -> Any:
    dock = make_dock()
    dock.viewer.add_image(blobs(), name="slide7", scale=(0.5, 0.5), units=("um", "um"))
    run(dock)
    return dock


@pytest.fixture
def table(dock: Any, box: Any, layer: Any, click: Any, qtbot: Any) -> Any:
    click(box.table)
    qtbot.waitUntil(lambda: "mean" in layer.features, timeout=MS)
    return dock.segment.results._table


def test_the_table_shows_every_object(table: Any, layer: Any) -> None:
    assert table.model.rowCount() == 5
    assert list(layer.features["class_name"]) == ["nucleus"] * 5
    assert list(layer.features["mean"]) == [200, 190, 180, 170, 160]


def test_headings_are_words(table: Any) -> None:
    headings = [table.model.headerData(i, HORIZONTAL) for i in range(table.model.columnCount())]
    assert headings[:4] == ["label", "class", "area", "area µm²"]
    assert "major axis µm" in headings


def test_a_row_selects_its_object_and_the_other_way_round(table: Any, layer: Any) -> None:
    index = table.model.index(3, 0)
    flags = QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows
    table.view.selectionModel().select(index, flags)
    assert layer.selected_label == 4
    layer.selected_label = 2
    assert table.selected_label == 2


def test_a_click_on_an_object_selects_its_row(table: Any, layer: Any) -> None:
    def event(kind: str, position: tuple[float, float]) -> Any:
        return read_only_mouse_event(type=kind, is_dragging=False, position=position, modifiers=[], pos=position)

    def clicked(row: float, column: float) -> int | None:
        mouse_press_callbacks(layer, event("mouse_press", (row / 2, column / 2)))  # a pixel is half a micrometer
        mouse_release_callbacks(layer, event("mouse_release", (row / 2, column / 2)))
        return table.selected_label

    assert clicked(23, 26) == 2
    assert layer.selected_label == 2
    assert table.drawing.outlines.origin == (18, 20)
    assert clicked(50, 50) == 2  # background selects nothing


def test_a_click_in_3d_selects_what_is_seen_there(make_dock: Any, run: Any, click: Any, qtbot: Any) -> None:
    dock = make_dock()
    dock.viewer.add_image(np.stack([blobs(), 0 * blobs(), blobs()]), name="stack", axis_labels=("z", "y", "x"))
    run(dock)
    layer, results = dock.viewer.layers["stack nuclei"], dock.segment.results
    click(results.box.table)
    dock.viewer.dims.ndisplay = 3
    seen = int(layer.data[2, 23, 26])
    position = (1.0, 23.0, 26.0)  # in the middle of the volume, where nothing is
    view = {"view_direction": np.array([-1.0, 0, 0]), "dims_displayed": [0, 1, 2], "modifiers": [], "pos": (0, 0)}
    for callbacks, kind in ((mouse_press_callbacks, "mouse_press"), (mouse_release_callbacks, "mouse_release")):
        callbacks(layer, read_only_mouse_event(type=kind, is_dragging=False, position=position, **view))
    assert seen
    assert results._table.selected_label == layer.selected_label == seen


def test_a_closed_table_hears_no_click(dock: Any, table: Any, layer: Any, qtbot: Any) -> None:
    with qtbot.waitSignal(table.destroyed, timeout=MS):
        dock.viewer.window.remove_dock_widget(table)
    assert not any("MeasurementTable" in repr(callback) for callback in layer.mouse_drag_callbacks)
    layer.selected_label = 3


def test_a_picture_too_large_to_follow_shows_the_runs_own_table(
    make_windowless_dock: Any, run: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(measurements, "MOST", 100)
    dock = make_windowless_dock()
    dock.viewer.add_image(blobs(), name="huge")
    run(dock)
    table = MeasurementTable(dock.viewer)
    table.show_output(dock.segment.results.output)
    assert table.model.rowCount() == 5
    assert "too large" in table.title.text()


def test_the_table_sorts_by_number(table: Any) -> None:
    column = next(i for i in range(table.model.columnCount()) if table.model.headerData(i, HORIZONTAL) == "mean")
    table.view.sortByColumn(column, Qt.SortOrder.AscendingOrder)
    assert list(table.model.labels()) == [5, 4, 3, 2, 1]
    table.view.selectRow(0)
    assert table.selected_label == 5
    table.view.sortByColumn(column, Qt.SortOrder.DescendingOrder)
    assert table.selected_label == 5
    assert [index.row() for index in table.view.selectionModel().selectedRows()] == [4]


def test_the_table_follows_painting(table: Any, layer: Any, qtbot: Any) -> None:
    layer.data_setitem((np.array([50, 51]), np.array([60, 60])), 9)
    qtbot.waitUntil(lambda: table.model.rowCount() == 6, timeout=1000)
    assert list(layer.features["area"]) == [64] * 5 + [2]
    assert list(layer.features["class_name"])[-1] == ""
    layer.undo()
    qtbot.waitUntil(lambda: table.model.rowCount() == 5, timeout=1000)


def test_only_what_changed_is_measured_again(table: Any, layer: Any, core: Any, qtbot: Any) -> None:
    layer.data[layer.data == 2] = 0  # erased
    layer.data_setitem((np.array([22, 23]), np.array([40, 41])), 1)  # and 1 grew into 3
    qtbot.waitUntil(lambda: table.model.rowCount() == 4, timeout=MS)
    assert core.measured == [None, {1, 2, 3}]
    assert list(layer.features["index"]) == [1, 3, 4, 5]
    assert list(layer.features["area"]) == [66, 62, 64, 64]


def test_closing_the_table_releases_its_button(dock: Any, box: Any, table: Any, click: Any, qtbot: Any) -> None:
    dock.viewer.window.remove_dock_widget(table)
    qtbot.waitUntil(lambda: not box.table.isChecked(), timeout=MS)
    click(box.table)
    assert dock.segment.results._table is not table
    click(box.table)
    qtbot.waitUntil(lambda: dock.segment.results._table is None, timeout=MS)


def test_the_visible_part_is_the_whole_there(dock: Any, qtbot: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(draft, "LARGE", 10)
    results = dock.segment.results
    results._draft.show_part(results.output, {"threshold": 0.73, "min_pixels": 0})
    qtbot.waitUntil(lambda: results._draft.drawing.outlines is not None, timeout=MS)
    assert not results.output.layer.visible
    outlines = results._draft.drawing.outlines
    results.refine({"threshold": 0.73, "min_pixels": 0})
    qtbot.waitUntil(lambda: results.output.layer.data.max() == 2, timeout=MS)
    np.testing.assert_array_equal(outlines.mask, outline_mask(results.output.layer.data))
    assert results.output.layer.visible


def test_a_stack_is_measured_as_it_was_segmented(make_dock: Any, run: Any, click: Any, qtbot: Any) -> None:
    dock = make_dock()
    stack = np.stack([blobs(), blobs()])
    dock.viewer.add_image(stack, name="stack", axis_labels=("z", "y", "x"), scale=(2, 0.5, 0.5), units=("um",) * 3)
    run(dock)
    layer = dock.viewer.layers["stack nuclei"]
    click(dock.segment.results.box.table)
    qtbot.waitUntil(lambda: "mean" in layer.features, timeout=MS)
    assert len(layer.features) == 10
    assert "area_um2" in layer.features
    assert not [column for column in layer.features if column.startswith("volume")]


def test_a_removed_result_leaves_no_rows(dock: Any, table: Any, layer: Any) -> None:
    dock.viewer.layers.remove(layer)
    assert table.title.text() == ""
    assert table.model.rowCount() == 0
