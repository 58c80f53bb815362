"""Two layers of labels against each other: what is measured, shown, marked, and left alone."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from napari.components import ViewerModel
from napari.layers import Layer
from npe2 import PluginManifest
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_unetstyle.core import Geometry, evaluate, write_labels
from napari_unetstyle.core.errors import ImageError
from napari_unetstyle.core.metrics import differences
from napari_unetstyle.core.progress import Progress
from napari_unetstyle.core.segmentation.compare import read_label_pair
from napari_unetstyle.widgets.compare_panel import ComparePanel, _iter_compare
from napari_unetstyle.widgets.comparison_view import PAINTED
from napari_unetstyle.widgets.label_layers import helper_metadata
from napari_unetstyle.widgets.label_pair import DIFFERENCES, METADATA, LabelPair, class_names
from napari_unetstyle.widgets.readers import read_volumes
from napari_unetstyle.widgets.scores_table import length, percent, signed, volume_sign
from napari_unetstyle.widgets.summary import as_score
from tests.widgets.fake_core import WAIT

MS = WAIT * 1000
MM = {"scale": (3.0, 0.5, 0.5), "units": ("mm",) * 3, "axis_labels": ("z", "y", "x"), "translate": (-40.0, 7.0, 3.0)}
NAMES = pd.DataFrame({"index": [1, 2], "class_name": ["anterior", "posterior"]})


def labels(shift: int = 0) -> Any:
    array = np.zeros((6, 20, 24), np.uint8)
    array[1:5, 4:12, 4 + shift : 12 + shift] = 1
    array[2:4, 13:18, 13:20] = 2
    return array


def with_scan(panel: ComparePanel, viewer: Any) -> ComparePanel:
    """A result and a drawing of a scan."""
    viewer.add_labels(labels(), name="drawing", features=NAMES, **MM)
    viewer.add_labels(labels(2), name="result", features=NAMES, **MM)
    panel.viewer = viewer
    return panel


@pytest.fixture
def docked(make_napari_viewer: Any) -> ComparePanel:
    viewer = make_napari_viewer()
    panel = ComparePanel(viewer)
    viewer.window.add_dock_widget(panel, name="Compare labels", area="right")
    return with_scan(panel, viewer)


@pytest.fixture
def panel(qtbot: Any) -> ComparePanel:
    """On a viewer without a window: the same widgets, seconds sooner."""
    viewer = ViewerModel()
    panel = ComparePanel(viewer)
    qtbot.addWidget(panel)
    return with_scan(panel, viewer)


@pytest.fixture
def measure(qtbot: Any, click: Any) -> Any:
    def press(panel: ComparePanel) -> None:
        with qtbot.waitSignal(panel._slot.done, timeout=MS):
            click(panel.measure)

    return press


@pytest.fixture
def mark(qtbot: Any, click: Any) -> Any:
    def press(panel: ComparePanel) -> None:
        with qtbot.waitSignal(panel.results._marking.done, timeout=MS):
            click(panel.results.show_differences)

    return press


def column(panel: ComparePanel, title: str) -> dict[str, str]:
    table = panel.results.table
    titles = [table.horizontalHeaderItem(i).text() for i in range(table.columnCount())]
    i = titles.index(title)
    return {table.verticalHeaderItem(row).text(): table.item(row, i).text() for row in range(table.rowCount())}


def test_one_click_measures_in_millimeters(docked: ComparePanel, measure: Any) -> None:
    assert docked.unit.currentData() == "mm"
    assert not docked.unit.isEnabled()
    assert docked.tolerance.text() == "1 mm"
    measure(docked)
    expected = evaluate(labels(2), labels(), output="areas", spacing=(3, 0.5, 0.5), tolerance=1)
    assert docked.results.comparison is not None
    assert docked.results.comparison.scores == expected
    shown = column(docked, "anterior")
    assert shown["Dice"] == "0.750"
    assert shown["HD95, mm"] == "1.00"
    assert shown["NSD at 1 mm"] == "1.000"
    assert shown["Volume, ml"] == shown["Truth, ml"] == "0.192"
    assert shown["Off by, %"] == "0"
    assert column(docked, "posterior")["Dice"] == "1.000"
    assert column(docked, "mean")["Dice"] == "0.875"
    assert docked.results.title.text() == "result against drawing"
    assert docked.progress.isHidden()


def test_the_tolerance_that_is_shown_is_the_one_that_counts(panel: ComparePanel, measure: Any) -> None:
    panel.tolerance.setValue(0.4)
    measure(panel)
    expected = evaluate(labels(2), labels(), output="areas", spacing=(3, 0.5, 0.5), tolerance=0.4)
    assert panel.results.comparison is not None
    assert panel.results.comparison.scores == expected
    assert expected["nsd"] < 1
    assert "NSD at 0.4 mm" in column(panel, "anterior")


def test_layers_without_a_unit_keep_their_scale(panel: ComparePanel, measure: Any) -> None:
    panel.viewer.layers.clear()
    for shift in (0, 2):
        panel.viewer.add_labels(labels(shift), name=f"labels {shift}", scale=(3, 0.5, 0.5))
    assert panel.unit.isEnabled()
    assert panel.tolerance.text() == "1 px"  # two pixels of 0.5
    measure(panel)
    assert column(panel, "class 1")["HD95, px"] == "1.00"
    panel.unit.setCurrentIndex(panel.unit.findData("mm"))
    assert panel.tolerance.text() == "1 mm"
    measure(panel)
    assert column(panel, "class 1")["Volume, ml"] == "0.192"


def test_objects_are_scored_as_objects(panel: ComparePanel, measure: Any, mark: Any) -> None:
    panel.viewer.layers.clear()
    truth = np.kron(np.arange(12).reshape(3, 4), np.ones((10, 10), int))
    panel.viewer.add_labels(truth, name="truth")
    kept = {METADATA: {"output": "objects", "classes": []}}  # as a run's layer has it, and one of a file
    panel.viewer.add_labels(np.roll(truth, 2, axis=1), name="nuclei", metadata=kept)
    assert panel.values.currentData() == "objects"
    assert panel.tolerance.isHidden()
    measure(panel)
    assert panel.results.comparison is not None
    assert panel.results.comparison.scores == evaluate(np.roll(truth, 2, axis=1), truth)
    assert column(panel, "") == column(panel, "") | {"Objects": "11", "… in the truth": "11", "AP at IoU 0.9": "0.000"}
    mark(panel)
    assert "another object" in panel.results.legend.text()
    assert panel.values.currentData() == "objects"  # a new layer changes nothing that was chosen


def test_a_choice_outlives_other_layers(panel: ComparePanel) -> None:
    panel.values.setCurrentIndex(1)
    panel.tolerance.setValue(3)
    panel.viewer.add_image(np.zeros((6, 20, 24)), **MM)
    assert panel.values.currentData() == "objects"
    assert panel.tolerance.value() == 3
    panel.truth.setCurrentIndex(0)
    panel.truth.activated.emit(0)
    panel.viewer.add_labels(labels(1), name="newest", **MM)
    assert panel.truth.currentText() == "result"


def test_result_is_judged_and_drawing_judges(panel: ComparePanel) -> None:
    assert (panel.prediction.currentText(), panel.truth.currentText()) == ("result", "drawing")
    panel.viewer.layers["drawing"].metadata[METADATA] = {"provenance": {}}
    panel.refresh()
    assert (panel.prediction.currentText(), panel.truth.currentText()) == ("drawing", "result")
    panel.viewer.layers["result"].name = "mine"
    assert panel.truth.currentText() == "mine"


# Differences -----------------------------------------------------------------------------------------------------


def test_differences_are_a_layer_of_their_own(docked: ComparePanel, measure: Any, mark: Any) -> None:
    viewer = docked.viewer
    before = [layer.data.copy() for layer in viewer.layers]
    measure(docked)
    mark(docked)
    layer = viewer.layers[-1]
    found = differences(labels(2), labels(), output="areas")
    np.testing.assert_array_equal(layer.data, found.labels)
    assert layer.name == DIFFERENCES
    assert layer.features["name"].tolist() == ["false positive: anterior", "false negative: anterior"]
    assert layer.features["pixels"].tolist() == [64, 64]
    assert not np.array_equal(layer.get_color(1), layer.get_color(2))
    for value in (1, 2):
        assert f">■</span> {layer.features['name'][value - 1]}, 64" in docked.results.legend.text()
    truth = viewer.layers["drawing"]
    for corner in ((0, 0, 0), (5, 19, 23)):
        np.testing.assert_allclose(layer.data_to_world(corner), truth.data_to_world(corner))
    assert layer.units == truth.units
    for old, kept in zip(before, viewer.layers, strict=False):
        np.testing.assert_array_equal(kept.data, old)
    assert docked.prediction.findText(DIFFERENCES) == docked.truth.findText(DIFFERENCES) == -1
    mark(docked)
    assert len(viewer.layers) == 4  # again: another new layer, the first one may have been painted on


def test_differences_follow_a_turned_layer(panel: ComparePanel, measure: Any, mark: Any) -> None:
    turn = {"rotate": 30.0, "shear": [0.1], "translate": (3.0, -2.0), "scale": (0.5, 0.25), "units": ("um", "um")}
    panel.viewer.layers.clear()
    for shift in (0, 2):
        panel.viewer.add_labels(labels(shift)[2], name=f"{shift}", **turn)
    measure(panel)
    mark(panel)
    first, last = panel.viewer.layers[0], panel.viewer.layers[-1]
    for corner in ((0, 0), (19, 23), (0, 23)):
        np.testing.assert_allclose(last.data_to_world(corner), first.data_to_world(corner))
    assert column(panel, "class 1")["Area, µm²"] == "8.00"


def test_that_one_was_turned_onto_the_other_is_said_as_by_the_command(
    panel: ComparePanel, measure: Any, tmp_path: Path
) -> None:
    assert "another way round" not in panel.info.text()
    panel.viewer.layers.clear()
    place = replace(Geometry.facing("SPL"), spacing=(3.0, 0.5, 0.5))
    turned = place.turned((6, 20, 24), (1, 2, 0), (False, True, False))
    for name, array, lies in (
        ("truth", labels(), place),
        ("prediction", labels(2).transpose(1, 2, 0)[:, ::-1], turned),
    ):
        path = write_labels(tmp_path / f"{name}.nii.gz", array, axes="ZYX", geometry=lies)
        for data in read_volumes(str(path)):
            panel.viewer.add_layer(Layer.create(*data))
    panel.prediction.setCurrentText("prediction")
    panel.truth.setCurrentText("truth")
    first, _ = read_label_pair(tmp_path / "prediction.nii.gz", tmp_path / "truth.nii.gz")
    assert len(first.notes) == 1
    assert f"! {first.notes[0]}" in panel.info.text().splitlines()
    measure(panel)
    assert column(panel, "class 2")["Dice"] == "1.000"
    assert f"! {first.notes[0]}" in panel.info.text().splitlines()


def test_differences_reach_across_channels_as_the_labels_do(panel: ComparePanel, measure: Any, mark: Any) -> None:
    panel.viewer.layers.clear()
    for shift in (0, 2):
        panel.viewer.add_labels(labels(shift)[:, np.newaxis], name=f"{shift}", axis_labels=("t", "c", "y", "x"))
    measure(panel)
    mark(panel)
    shown = panel.viewer.layers[-1]
    np.testing.assert_array_equal(np.asarray(shown.data)[:, 0] > 0, labels(0) != labels(2))


def test_nothing_differs(panel: ComparePanel, measure: Any, mark: Any) -> None:
    panel.viewer.layers["result"].data = labels()
    measure(panel)
    mark(panel)
    assert "do not differ" in panel.message.text
    assert len(panel.viewer.layers) == 2


def test_differences_need_their_layers(panel: ComparePanel, measure: Any) -> None:
    measure(panel)
    panel.viewer.layers.remove("drawing")
    assert not panel.results.show_differences.isEnabled()
    assert not panel.measure.isEnabled()
    assert not panel.results.isHidden()  # the numbers stay
    panel.results.mark()
    assert len(panel.viewer.layers) == 1


# Taking it along -------------------------------------------------------------------------------------------------


def test_csv(panel: ComparePanel, measure: Any, tmp_path: Path, qtbot: Any) -> None:
    measure(panel)
    with qtbot.waitSignal(panel.results._saving.done, timeout=MS):
        panel.results.save_to(tmp_path / "scores.csv")
    table = pd.read_csv(tmp_path / "scores.csv")
    assert table["class_name"].tolist() == ["anterior", "posterior", "mean"]
    assert table["hd95_mm"][0] == 1
    assert "Saved scores.csv" in panel.message.text


def test_csv_that_cannot_be_written_is_said(panel: ComparePanel, measure: Any, tmp_path: Path, qtbot: Any) -> None:
    measure(panel)
    (tmp_path / "taken").write_text("")
    with qtbot.waitSignal(panel.results._saving.done, timeout=MS):
        panel.results.save_to(tmp_path / "taken" / "scores.csv")
    assert "Could not write" in panel.message.text
    assert "Copy details" in panel.message.buttons()


def test_save_asks_in_a_window_that_blocks_nothing(panel: ComparePanel, measure: Any, click: Any) -> None:
    measure(panel)
    click(panel.results.save)
    (dialog,) = panel.findChildren(QFileDialog)
    assert not dialog.isModal()
    dialog.close()


def test_copy_is_for_a_spreadsheet(panel: ComparePanel, measure: Any, click: Any) -> None:
    measure(panel)
    click(panel.results.copy)
    rows = [line.split("\t") for line in QApplication.clipboard().text().splitlines()]
    assert rows[0][:3] == ["class", "class_name", "dice"]
    assert rows[1][:3] == ["1", "anterior", "0.75"]
    assert {len(row) for row in rows} == {len(rows[0])}


# What goes wrong, and what changes ---------------------------------------------------------------------------------


def test_nothing_to_compare(qtbot: Any) -> None:
    viewer = ViewerModel()
    panel = ComparePanel(viewer)
    qtbot.addWidget(panel)
    assert not panel.measure.isEnabled()
    assert "two layers" in panel.info.text()
    viewer.add_labels(labels())
    assert not panel.measure.isEnabled()
    viewer.add_labels(labels())
    assert panel.measure.isEnabled()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"scale": (2.0, 0.5, 0.5)}, "Pixel sizes differ"),
        ({"translate": (0.0, 0.0, 0.0)}, "different places"),
        ({"data": np.zeros((6, 20, 25), np.uint8)}, "same shape"),
        ({"axis_labels": ("t", "y", "x")}, "axes"),
    ],
)
def test_layers_that_do_not_fit_are_told_before_a_click(panel: ComparePanel, change: Any, sentence: str) -> None:
    for name, value in change.items():
        setattr(panel.viewer.layers["drawing"], name, value)
    assert sentence in panel.info.text()
    assert not panel.measure.isEnabled()
    for name, value in {**MM, "data": labels()}.items():
        setattr(panel.viewer.layers["drawing"], name, value)
    assert panel.measure.isEnabled()


def test_a_mirrored_layer_without_a_unit_does_not_fit(panel: ComparePanel) -> None:
    for layer in panel.viewer.layers:
        layer.units, layer.translate = ("pixel",) * 3, (0.0, 0.0, 0.0)
        layer.scale = (-3.0, 0.5, 0.5) if layer.name == "drawing" else (3.0, 0.5, 0.5)
    assert "different places" in panel.info.text()
    panel.viewer.layers["drawing"].scale = (3.0, 0.5, 0.5)
    assert panel.measure.isEnabled()


def test_a_layer_that_was_moved_by_hand_fits_again_once_it_is_put_back(panel: ComparePanel) -> None:
    drawing = panel.viewer.layers["drawing"]
    for rows, shift in (((1, 0), 4), ((0, 1), 0)):  # with napari's own tool, which changes nothing but this
        matrix = np.eye(4)
        matrix[1:3, 1], matrix[1:3, 2], matrix[1, 3] = rows, rows[::-1], shift
        drawing.affine = matrix
        assert "If you moved 'drawing' by hand, click napari's transform button" in panel.info.text()
        assert not panel.measure.isEnabled()
        drawing.affine = np.eye(4)
        assert panel.measure.isEnabled()
        assert "moved" not in panel.info.text()


@pytest.mark.parametrize("unit", ["mm", "pixel"])
def test_labels_across_channels_fit_those_without(panel: ComparePanel, measure: Any, unit: str) -> None:
    panel.viewer.layers.clear()
    flat = {"translate": (1, 2, 3), "units": (unit,) * 3, "axis_labels": ("z", "y", "x")}
    deep = {"translate": (1, 7, 2, 3), "units": (unit, "pixel", unit, unit), "axis_labels": ("z", "c", "y", "x")}
    panel.viewer.add_labels(labels(), name="drawing", scale=(3, 0.5, 0.5), **flat)
    panel.viewer.add_labels(labels(2)[:, np.newaxis], name="result", scale=(3, 9, 0.5, 0.5), **deep)
    assert panel.measure.isEnabled()
    measure(panel)
    assert column(panel, "class 1")["Dice"] == "0.750"
    panel.viewer.layers["drawing"].translate = (1, 2.5, 3)
    assert "different places" in panel.info.text()


def test_the_same_layer_twice(panel: ComparePanel) -> None:
    panel.truth.setCurrentIndex(panel.prediction.currentIndex())
    assert "the same layer" in panel.info.text()


def test_a_class_that_one_lacks(panel: ComparePanel, measure: Any) -> None:
    panel.viewer.layers["result"].data = np.where(labels() == 2, 0, labels())
    measure(panel)
    assert column(panel, "posterior")["HD95, mm"] == "∞"
    assert column(panel, "posterior")["NSD at 1 mm"] == "0.000"
    assert "only one of the two" in panel.results.notes.text()


def test_nothing_against_nothing(panel: ComparePanel, measure: Any) -> None:
    for layer in panel.viewer.layers:
        layer.data = np.zeros_like(labels())
    measure(panel)
    assert column(panel, "mean")["Dice"] == "1.000"
    assert "Neither has anything" in panel.results.notes.text()


def test_painting_makes_the_numbers_old_ones(panel: ComparePanel, measure: Any) -> None:
    measure(panel)
    panel.viewer.layers["result"].paint((3, 2, 2), 1)
    assert "Measure again" in panel.results.notes.text()
    measure(panel)
    assert "Measure again" not in panel.results.notes.text()


def test_what_happens_to_the_layers_meanwhile_is_seen_in_the_numbers(
    held: ComparePanel, click: Any, qtbot: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(held.core, "error", None)
    click(held.measure)
    qtbot.waitUntil(lambda: bool(held.core.seen), timeout=MS)
    held.viewer.layers["result"].paint((3, 2, 2), 1)
    held.viewer.layers.remove("drawing")
    with qtbot.waitSignal(held._slot.done, timeout=MS):
        held.core.go.set()
    assert held.results.isVisibleTo(held)
    assert held.results.notes.text() == PAINTED
    assert not held.results.show_differences.isEnabled()


class Held:
    """A comparison that waits in the middle."""

    def __init__(self) -> None:
        self.go, self.seen, self.is_closed = threading.Event(), [], False
        self.error: Exception | None = ImageError("No such luck. Try another one.")

    def __call__(self, pair: LabelPair, **options: Any) -> Iterator[Progress]:
        self.seen = [pair.prediction.array, pair.truth.array]
        try:
            for i in range(1000):
                yield Progress(i, 1000)
                if self.go.wait(0.01):
                    break
            if self.error is not None:
                raise self.error
            return (yield from _iter_compare(pair, **options))
        finally:
            self.is_closed = True


@pytest.fixture
def held(qtbot: Any) -> Iterator[ComparePanel]:
    viewer, core = ViewerModel(), Held()
    panel = ComparePanel(viewer, core)
    panel.core = core
    qtbot.addWidget(panel)
    yield with_scan(panel, viewer)
    core.go.set()


def test_stop(held: ComparePanel, click: Any, qtbot: Any) -> None:
    click(held.measure)
    qtbot.waitUntil(lambda: held.progress.bar.value() > 0, timeout=MS)
    assert not held.measure.isEnabled()
    with qtbot.waitSignal(held._slot.done, timeout=MS):
        click(held.progress.stop)
    assert held.core.is_closed
    assert held.message.text == "Stopped. Nothing was changed."
    assert held.measure.isEnabled()
    assert held.progress.isHidden()


def test_an_error_is_said_in_the_panel(held: ComparePanel, click: Any, qtbot: Any) -> None:
    held.core.go.set()
    with qtbot.waitSignal(held._slot.done, timeout=MS):
        click(held.measure)
    assert held.message.text == "No such luck. Try another one."
    assert "Copy details" in held.message.buttons()
    assert held.measure.isEnabled()


def test_painting_during_a_measurement_is_not_measured(held: ComparePanel, click: Any, qtbot: Any) -> None:
    click(held.measure)
    qtbot.waitUntil(lambda: bool(held.core.seen), timeout=MS)
    held.viewer.layers["result"].fill((0, 0, 0), 2)
    np.testing.assert_array_equal(held.core.seen[0], labels(2))


def test_closing_the_dock_stops_it(make_napari_viewer: Any, click: Any, qtbot: Any) -> None:
    viewer, core = make_napari_viewer(), Held()
    panel = ComparePanel(viewer, core)
    viewer.window.add_dock_widget(panel, name="Compare labels")
    click(with_scan(panel, viewer).measure)
    qtbot.waitUntil(lambda: bool(core.seen), timeout=MS)
    viewer.window.remove_dock_widget(panel)
    qtbot.waitUntil(lambda: core.is_closed, timeout=MS)
    qtbot.wait(50)
    viewer.add_labels(labels())  # nobody is called who is gone


# Parts -----------------------------------------------------------------------------------------------------------


def test_lazy_labels_stay_lazy() -> None:
    dask = pytest.importorskip("dask.array")
    viewer = ViewerModel()
    layers = [viewer.add_labels(dask.from_array(labels(shift), chunks=(1, 20, 24)), **MM) for shift in (0, 2)]
    pair = LabelPair.of(*layers).snapshot()
    assert all(isinstance(image.array, dask.Array) for image in (pair.prediction, pair.truth))


def test_axes_that_one_layer_states_hold_for_both(panel: ComparePanel) -> None:
    panel.viewer.layers.clear()
    movie = panel.viewer.add_labels(labels(), axis_labels=("t", "y", "x"))
    bare = panel.viewer.add_labels(labels())
    assert LabelPair.of(movie, bare).prediction.axes == LabelPair.of(bare, movie).prediction.axes == "TYX"


def test_names_of_classes(panel: ComparePanel) -> None:
    first, second = panel.viewer.layers["drawing"], panel.viewer.layers["result"]
    second.features = pd.DataFrame({"index": [1, 3], "class_name": ["head", "tail"]})
    assert class_names(second, first) == {1: "head", 2: "posterior", 3: "tail"}
    second.features = pd.DataFrame()
    second.metadata[METADATA] = {"classes": [{"value": 2, "name": "body", "color": "#ff0000"}]}
    assert class_names(second, first) == {1: "anterior", 2: "body"}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (as_score(1.0), "1.000"),
        (as_score(0.99996), "0.999"),
        (as_score(0.0), "0.000"),
        (length(0.0), "0.00"),
        (length(123.4), "123"),
        (length(1234.5), "1,234"),
        (length(math.inf), "∞"),
        (signed(-0.5), "−0.500"),
        (percent(math.inf), "+∞"),
        (percent(0.0325), "+3.25"),
        (volume_sign("um3"), "µm³"),
        (volume_sign("ml"), "ml"),
        (volume_sign("px2"), "px²"),
    ],
)
def test_numbers(written: str, expected: str) -> None:
    assert written == expected


def test_it_opens_from_the_menu_of_layers(make_napari_viewer: Any, npe2pm: Any) -> None:
    npe2pm.register(PluginManifest.from_file(Path(__file__).parents[2] / "napari.yaml"))
    viewer = make_napari_viewer()
    _, widget = viewer.window.add_plugin_dock_widget("napari-unetstyle", "Compare labels")
    assert isinstance(widget, ComparePanel)
    menu = npe2pm.menus()["napari/layers/measure"] if callable(npe2pm.menus) else npe2pm.menus["napari/layers/measure"]
    assert [item.command for item in menu] == ["napari-unetstyle.compare"]


def test_what_only_shows_something_about_labels_is_not_proposed(panel: ComparePanel) -> None:
    before = panel.prediction.currentText(), panel.truth.currentText()
    panel.viewer.add_labels(labels(1), name="learns from", metadata=helper_metadata(), **MM)
    assert (panel.prediction.currentText(), panel.truth.currentText()) == before
    assert panel.truth.findText("learns from") == -1
