"""What can be done with a finished run."""

from __future__ import annotations

import dataclasses
import json
import threading
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_unetstyle.core.errors import ModelNotFoundError
from napari_unetstyle.core.progress import run as run_steps
from napari_unetstyle.core.style.distance import Distance
from napari_unetstyle.widgets import after_run, draft, measurements, outputs
from napari_unetstyle.widgets.main_dock import NARROWEST
from napari_unetstyle.widgets.outputs import checksum
from napari_unetstyle.widgets.overlay import outline_mask
from napari_unetstyle.widgets.saving import FORMATS
from tests.widgets.fake_core import WAIT, FakeStore, blobs, with_options

MS = WAIT * 1000


def labels_of(viewer: Any) -> list[Any]:
    return [layer for layer in viewer.layers if type(layer).__name__ == "Labels"]


@pytest.fixture
def dock(make_windowless_dock: Any, run: Any) -> Any:
    dock = make_windowless_dock()
    dock.viewer.add_image(blobs(), name="slide7", scale=(0.5, 0.5), units=("um", "um"))
    run(dock)
    return dock


def test_fewer_decides_anew_in_the_same_layer(dock: Any, box: Any, layer: Any, core: Any, qtbot: Any) -> None:
    assert layer.data.max() == 5
    box.fewer.setValue(box.fewer.value() - 23)  # a threshold of 0.73: the two dimmest go
    qtbot.waitUntil(lambda: layer.data.max() == 2, timeout=MS)
    assert core.runs == 1
    assert labels_of(dock.viewer) == [layer]
    assert box.summary.text().startswith("2 nuclei")


def test_smallest_is_in_physical_units(box: Any, layer: Any, qtbot: Any) -> None:
    assert box.smallest.suffix() == " µm²"
    box.smallest.setValue(17)  # squares of 8 x 8 pixels are 16 µm²
    qtbot.waitUntil(lambda: layer.data.max() == 0, timeout=MS)
    box.smallest.setValue(16)
    qtbot.waitUntil(lambda: layer.data.max() == 5, timeout=MS)


def test_one_control_leaves_what_the_other_stands_for(
    make_windowless_dock: Any, core: Any, run: Any, qtbot: Any
) -> None:
    def exact(*given: Any) -> Any:
        result = yield from type(core).iter_segment(core, *given)
        return result.changed(options=result.options.changed(threshold=0.455, min_pixels=14))

    sizes: list[dict[str, float]] = []
    dock = make_windowless_dock(with_options(core.calls, iter_segment=exact))
    dock.viewer.add_image(blobs(), name="slide7", scale=(1 / 3, 1 / 3), units=("um", "um"))
    run(dock)
    box = dock.segment.results.box
    box.refine_wanted.connect(sizes.append)
    box.fewer.setValue(box.fewer.value() - 20)
    qtbot.waitUntil(lambda: len(sizes) == 1, timeout=MS)
    assert sizes[-1]["min_pixels"] == 14
    box.fewer.setValue(box.fewer.value() + 20)
    qtbot.waitUntil(lambda: len(sizes) == 2, timeout=MS)
    assert sizes[-1] == {"threshold": 0.455, "min_pixels": 14, "fill_holes": False}
    box.smallest.setValue(box.smallest.value() + 20)
    qtbot.waitUntil(lambda: len(sizes) == 3, timeout=MS)
    assert sizes[-1]["threshold"] == 0.455
    assert sizes[-1]["min_pixels"] > 14


def test_refining_what_was_painted_makes_a_new_layer(dock: Any, box: Any, layer: Any, qtbot: Any) -> None:
    layer.data_setitem((np.array([50]), np.array([60])), 7)
    painted = layer.data.copy()
    box.fewer.setValue(box.fewer.value() - 23)
    qtbot.waitUntil(lambda: len(labels_of(dock.viewer)) == 2, timeout=MS)
    np.testing.assert_array_equal(layer.data, painted)
    assert "was painted" in box.said.text()
    assert "new layer" in box.said.text()
    newest = labels_of(dock.viewer)[-1]
    assert newest.data.max() == 2
    box.fewer.setValue(box.fewer.value() + 23)  # goes on in the new layer
    qtbot.waitUntil(lambda: newest.data.max() == 5, timeout=MS)
    assert len(labels_of(dock.viewer)) == 2


@pytest.mark.parametrize("how", ["paint", "direct", "replaced", "undone"])
def test_every_way_of_painting_is_noticed(dock: Any, layer: Any, how: str) -> None:
    output = dock.segment.results.output
    assert output.settle(run_steps(output.iter_check()))
    assert not output.is_touched
    match how:
        case "paint":
            layer.paint((40, 40), 3)
        case "direct":
            layer.data[50, 60] = 3
            layer.refresh()
        case "replaced":
            layer.data = np.zeros_like(layer.data)
        case "undone":
            layer.data_setitem((np.array([50]), np.array([60])), 7)
            layer.undo()
    assert output.is_touched
    assert output.settle(run_steps(output.iter_check()))
    assert output.is_touched


def test_looking_is_not_painting(dock: Any, layer: Any) -> None:
    output = dock.segment.results.output
    layer.refresh()
    assert not output.is_free  # it might have been an undo
    assert output.settle(run_steps(output.iter_check()))
    assert output.is_free


def test_paint_that_nobody_announced_is_kept(dock: Any, box: Any, layer: Any, qtbot: Any) -> None:
    output = dock.segment.results.output
    assert output.settle(run_steps(output.iter_check()))
    layer.data[50, 60] = 3  # by a script, without a refresh
    assert not output.is_touched
    box.fewer.setValue(box.fewer.value() - 23)
    qtbot.waitUntil(lambda: len(labels_of(dock.viewer)) == 2, timeout=MS)
    assert layer.data[50, 60] == 3
    assert layer.data.max() == 5


def test_paint_while_the_layer_is_being_checked_is_kept(layer: Any, dock: Any) -> None:
    output = dock.segment.results.output
    steps = output.iter_check()
    next(steps)
    layer.paint((40, 40), 3)
    assert not output.settle(run_steps(steps))
    assert not output.is_free


def test_the_window_does_not_wait_for_the_check(
    dock: Any, box: Any, layer: Any, run: Any, qtbot: Any, monkeypatch: Any
) -> None:
    def recorded(array: Any) -> int:
        threads.append(threading.current_thread())
        return checksum(array)

    threads: list[threading.Thread] = []
    monkeypatch.setattr(outputs, "checksum", recorded)
    layer.refresh()
    output = dock.segment.results.output
    first = output.result
    run(dock)
    qtbot.waitUntil(lambda: output.result is not first, timeout=MS)
    box.fewer.setValue(box.fewer.value() - 23)
    qtbot.waitUntil(lambda: layer.data.max() == 2, timeout=MS)
    assert labels_of(dock.viewer) == [layer]
    assert len(threads) >= 4  # each result, and each check
    assert threading.main_thread() not in threads


def test_a_layer_that_never_rests_is_not_written_to(dock: Any, box: Any, layer: Any, qtbot: Any) -> None:
    output = dock.segment.results.output
    check = output.iter_check

    def unsettled() -> Any:
        found = yield from check()
        return dataclasses.replace(found, changes=-1)

    output.iter_check = unsettled
    before = layer.data.copy()
    box.fewer.setValue(box.fewer.value() - 23)
    qtbot.waitUntil(lambda: len(labels_of(dock.viewer)) == 2, timeout=MS)
    np.testing.assert_array_equal(layer.data, before)


def test_a_large_picture_shows_its_visible_part_first(
    dock: Any, box: Any, layer: Any, qtbot: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(draft, "LARGE", 10)
    results = dock.segment.results
    drawn = []
    monkeypatch.setattr(results._draft.drawing, "show", drawn.append)
    box.fewer.setValue(box.fewer.value() - 23)
    qtbot.waitUntil(lambda: layer.data.max() == 2, timeout=MS)
    assert drawn[-1] is None  # the layer has the whole now
    assert layer.visible
    for outlines in filter(None, drawn):
        np.testing.assert_array_equal(outlines.mask, outline_mask(layer.data))


def test_of_a_part_too_large_to_follow_at_once_it_is_said(
    dock: Any, box: Any, layer: Any, qtbot: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(draft, "LARGE", 10)
    monkeypatch.setattr(draft, "AT_ONCE", 10)
    said = []
    monkeypatch.setattr(box, "say", said.append)
    box.fewer.setValue(box.fewer.value() - 23)
    qtbot.waitUntil(lambda: layer.data.max() == 2, timeout=MS)
    assert "Zoom in" in said[0]
    assert said[-1] == ""


def test_data_of_another_shape_are_touched_and_not_saved(dock: Any, box: Any, layer: Any, qtbot: Any) -> None:
    results = dock.segment.results
    layer.data = np.zeros((3, 4, 5), int)
    assert results.output.is_touched
    results.save("labels", Path("never.tif"), results.output)
    qtbot.waitUntil(lambda: "shape (3, 4, 5)" in results.message.text, timeout=MS)
    box.fewer.setValue(box.fewer.value() - 23)
    qtbot.waitUntil(lambda: len(labels_of(dock.viewer)) == 2, timeout=MS)
    assert layer.data.shape == (3, 4, 5)


def test_refining_goes_on_without_the_picture(dock: Any, box: Any, layer: Any, qtbot: Any) -> None:
    dock.viewer.layers.remove("slide7")
    box.fewer.setValue(box.fewer.value() - 23)
    qtbot.waitUntil(lambda: layer.data.max() == 2, timeout=MS)
    assert labels_of(dock.viewer) == [layer]


def test_undo_after_refining_does_not_bring_old_patches_back(box: Any, layer: Any, qtbot: Any) -> None:
    box.fewer.setValue(box.fewer.value() - 23)
    qtbot.waitUntil(lambda: layer.data.max() == 2, timeout=MS)
    before = layer.data.copy()
    layer.undo()
    np.testing.assert_array_equal(layer.data, before)


def test_outline_and_fill(box: Any, layer: Any, click: Any) -> None:
    assert layer.contour > 0
    box.fill.click()
    assert layer.contour == 0
    box.outline.click()
    assert layer.contour > 0
    click(box.original)
    assert not layer.visible
    click(box.original)
    assert layer.visible


def test_a_slice_that_napari_outlines_slowly_is_filled_and_that_is_said(
    dock: Any, box: Any, layer: Any, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "filled" not in box.notes.text()
    monkeypatch.setattr(after_run, "OUTLINE_LIMIT", layer.data.size - 1)
    dock.viewer.add_image(blobs(), name="large")
    run(dock)
    large = labels_of(dock.viewer)[-1]
    assert large.contour == 0
    assert "! The labels are filled: outlining" in box.notes.text()
    box.outline.click()
    assert large.contour > 0
    assert "filled" not in box.notes.text()
    run(dock)  # which does not undo what a person chose
    assert large.contour > 0


def test_a_small_slice_after_a_large_one_is_outlined_again(
    dock: Any, box: Any, layer: Any, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as lowered:
        lowered.setattr(after_run, "OUTLINE_LIMIT", layer.data.size - 1)
        dock.viewer.add_image(blobs(), name="large")
        run(dock)
        assert labels_of(dock.viewer)[-1].contour == 0
    dock.viewer.add_image(blobs(), name="small")
    run(dock)
    assert labels_of(dock.viewer)[-1].contour > 0
    box.fill.click()
    dock.viewer.add_image(blobs(), name="third")
    run(dock)
    assert labels_of(dock.viewer)[-1].contour == 0


def test_deleting_the_labels_takes_their_controls_away(dock: Any, box: Any, layer: Any) -> None:
    assert box.isVisibleTo(dock.segment)
    dock.viewer.layers.remove(layer)
    assert not box.isVisibleTo(dock.segment)


def test_the_controls_follow_the_selected_layer(dock: Any, box: Any, layer: Any, run: Any) -> None:
    dock.viewer.add_image(blobs(count=2), name="slide9")
    dock.segment.picture.choose(dock.viewer.layers["slide9"])
    run(dock)
    assert box.title() == "slide9 · nuclei"
    dock.viewer.layers.selection = {layer}
    assert box.title() == "slide7 · nuclei"


def test_probabilities_become_layers(dock: Any, box: Any) -> None:
    box.probabilities_wanted.emit()
    layer = dock.viewer.layers["slide7 nuclei nucleus probability"]
    assert layer.data.shape == (64, 96)
    np.testing.assert_array_equal(layer.scale, (0.5, 0.5))


def test_copy_as_python(dock: Any, box: Any) -> None:
    box.copy_wanted.emit("python")
    text = QApplication.clipboard().text()
    compile(text, "copied", "exec")
    assert "segment(" in text
    assert "spacing=(0.5, 0.5)" in text
    assert "slide7" in text  # no file: it says what `image` is


# Save ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["labels", "table", "rois", "geojson"])
def test_save_writes_what_is_shown(dock: Any, layer: Any, qtbot: Any, tmp_path: Any, key: str) -> None:
    layer.data_setitem((np.array([50, 51]), np.array([60, 60])), 9)
    qtbot.waitUntil(lambda: len(layer.features) == 6, timeout=MS)
    results = dock.segment.results
    results.ask_where_to_save(key)
    (dialog,) = results.findChildren(QFileDialog)
    assert not dialog.isModal()
    dialog.close()
    path = tmp_path / f"saved{FORMATS[key].suffix}"
    with qtbot.waitSignal(results._saving.done, timeout=MS):
        results.save(key, path, results.output)
    assert path.name in results.box.said.text()
    if key == "labels":
        np.testing.assert_array_equal(tifffile.imread(path), layer.data)
    elif key == "table":
        assert len(path.read_text().splitlines()) == 7
    elif key == "geojson":
        assert len(json.loads(path.read_text())["features"]) == 6
    else:
        assert len(zipfile.ZipFile(path).namelist()) == 6


def test_a_table_that_is_saved_after_a_stroke_has_what_was_painted(
    dock: Any, layer: Any, qtbot: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    results = dock.segment.results
    qtbot.waitUntil(lambda: "mean" in layer.features, timeout=MS)
    layer.data_setitem((np.array([50, 50]), np.array([60, 61])), 7)
    with qtbot.waitSignal(results._saving.done, timeout=MS):
        results.save("table", tmp_path / "objects.csv", results.output)
    rows = (tmp_path / "objects.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == ["1", "2", "3", "4", "5", "7"]
    assert "before you painted" not in results.box.said.text()
    monkeypatch.setattr(measurements, "MOST", 100)  # this picture is too large to follow
    layer.data_setitem((np.array([50, 50]), np.array([70, 71])), 8)
    with qtbot.waitSignal(results._saving.done, timeout=MS):
        results.save("table", tmp_path / "objects.csv", results.output)
    assert "before you painted" in results.box.said.text()


def test_a_file_that_cannot_be_written_is_said(dock: Any, qtbot: Any, tmp_path: Any) -> None:
    results = dock.segment.results
    (tmp_path / "file").write_text("")
    with qtbot.waitSignal(results._saving.done, timeout=MS):
        results.save("labels", tmp_path / "file" / "labels.tif", results.output)
    assert "Could not write" in results.message.text
    with qtbot.waitSignal(results._saving.done, timeout=MS):
        results.save("labels", tmp_path / "labels.tif", results.output)
    assert not results.message.text
    assert "Saved labels.tif" in results.box.said.text()


def test_results_of_a_model_that_was_deleted_since_can_be_looked_at(
    make_windowless_dock: Any, core: Any, run: Any
) -> None:
    store = FakeStore()
    dock = make_windowless_dock(with_options(core.calls, store=lambda _: store))
    for name in ("slide7", "slide8"):
        dock.viewer.add_image(blobs(), name=name)
        dock.segment.picture.choose(dock.viewer.layers[name])
        run(dock)

    def gone(_: str) -> Any:
        raise ModelNotFoundError("There is no such model.")

    store.spec = gone  # type: ignore[method-assign]
    first, second = labels_of(dock.viewer)
    dock.viewer.layers.selection.active = first
    assert dock.segment.results.output.layer is first
    dock.viewer.layers.remove(first)
    assert dock.segment.results.output.layer is second


@pytest.fixture
def areas(make_windowless_dock: Any, run: Any) -> Any:
    """The dock after a run for areas, with a ring among the blobs; the window is shown, so that buttons are."""
    dock = make_windowless_dock()
    picture = blobs()
    picture[40:60, 40:60] = 220
    picture[46:54, 46:54] = 10
    dock.viewer.add_image(picture, name="slide7", scale=(0.5, 0.5), units=("um", "um"))
    dock.segment.model.models.setCurrentIndex(dock.segment.model.models.findData("areas-only@1"))
    dock.show()
    run(dock)
    return dock


def test_details_keep_the_largest_piece_and_fill_holes(
    areas: Any, click: Any, tick: Any, qtbot: Any, core: Any
) -> None:
    box = areas.segment.results.box
    layer = labels_of(areas.viewer)[0]
    assert not box.largest.isVisible()
    click(box.details)
    assert box.largest.isVisible()
    assert not box.largest.isChecked()
    before = layer.data.copy()
    tick(box.largest)
    qtbot.waitUntil(lambda: layer.data.sum() == 20 * 20 - 8 * 8, timeout=MS)
    tick(box.holes)
    qtbot.waitUntil(lambda: layer.data.sum() == 20 * 20, timeout=MS)
    assert (layer.data[40:60, 40:60] == 1).all()
    areas.segment.results.copy("command")
    text = QApplication.clipboard().text()
    assert "--keep-largest" in text
    assert "--fill-holes" in text
    tick(box.largest)
    tick(box.holes)
    qtbot.waitUntil(lambda: np.array_equal(layer.data, before), timeout=MS)
    assert core.runs == 1


def test_of_objects_only_small_holes_are_a_detail(
    dock: Any, box: Any, click: Any, tick: Any, core: Any, qtbot: Any
) -> None:
    dock.show()
    assert not box.cleaning.isVisible()
    click(box.details)
    assert box.holes.isVisible()
    assert not box.largest.isVisible()
    tick(box.holes)
    qtbot.waitUntil(lambda: bool(box.output.result.options.fill_holes), timeout=MS)
    dock.segment.results.copy("command")
    assert "--fill-holes" in QApplication.clipboard().text()
    tick(box.holes)
    qtbot.waitUntil(lambda: not box.output.result.options.fill_holes, timeout=MS)
    assert core.runs == 1


def test_a_foreign_picture_is_said_and_can_be_restyled(dock: Any, core: Any, run: Any, qtbot: Any) -> None:
    core.distance = Distance(value=3.6, reasons=("its colors are others",), model="nuclei")
    run(dock)
    box = dock.segment.results.box
    qtbot.waitUntil(lambda: box.foreign.isVisibleTo(box), timeout=MS)
    assert box.foreign.text.startswith("Unlike what nuclei has seen: its colors are others.")
    assert not box.distance.isVisibleTo(box)
    box.details.click()
    assert box.distance.isVisibleTo(box)
    assert box.distance.text().startswith("3.6 away")
    assert "Unlike" not in box.notes.text()
    runs = core.runs
    with qtbot.waitSignal(dock.segment.run_ended, timeout=MS):
        box.foreign.buttons()["Restyle"].click()
    assert core.runs == runs + 1
    assert core.options[-1].restyle == "model"
    qtbot.waitUntil(lambda: not box.foreign.isVisibleTo(box), timeout=MS)  # it is no longer foreign
    qtbot.waitUntil(lambda: box.output.result.options.restyle == "model", timeout=MS)
    dock.segment.results.copy("python")
    qtbot.waitUntil(lambda: "restyle='model'" in QApplication.clipboard().text(), timeout=MS)


def test_a_foreign_picture_in_colors_can_be_seen_in_its_nuclear_stain(
    make_windowless_dock: Any, core: Any, run: Any, qtbot: Any
) -> None:
    core.distance = Distance(value=3.6, reasons=("its colors are others",), model="nuclei")
    dock = make_windowless_dock()
    dock.viewer.add_image(np.stack([blobs()] * 3, axis=-1).astype(np.uint8), rgb=True, name="slide")
    run(dock)
    row = dock.segment.results.box.foreign
    qtbot.waitUntil(lambda: bool(row.text), timeout=MS)
    with qtbot.waitSignal(dock.segment.run_ended, timeout=MS):
        row.buttons()["Hematoxylin only"].click()
    assert core.options[-1].channel == "hematoxylin"
    assert dock.segment.picture.channel.currentText() == "hematoxylin only"  # for what follows, too
    dock.viewer.add_image(blobs(), name="gray")
    dock.segment.picture.choose(dock.viewer.layers["gray"])
    run(dock)
    qtbot.waitUntil(lambda: bool(row.text), timeout=MS)
    assert "Hematoxylin only" not in row.buttons()


def test_a_foreign_picture_is_taught_with_as_a_style(
    make_windowless_dock: Any, core: Any, run: Any, qtbot: Any
) -> None:
    core.distance = Distance(value=3.6, reasons=("its colors are others",), model="nuclei")
    dock = make_windowless_dock()
    colors = np.stack([blobs()] * 3, axis=-1).astype(np.uint8)
    layer = dock.viewer.add_image(colors, rgb=True, name="slide")
    run(dock)
    row = dock.segment.results.box.foreign
    qtbot.waitUntil(lambda: bool(row.text), timeout=MS)
    assert row.minimumSizeHint().width() <= NARROWEST
    row.buttons()["Use in Teach"].click()
    assert dock.tabs.currentWidget() is dock.teach_tab
    also = dock.teach.run.also
    assert also.box.isChecked()
    assert also.pictures.ticked == [layer]


def test_a_picture_like_others_is_not_remarked_on(dock: Any, core: Any, run: Any) -> None:
    core.distance = Distance(value=1.2, reasons=(), model="nuclei")
    run(dock)
    assert not dock.segment.results.box.foreign.isVisibleTo(dock.segment.results.box)


def test_a_model_without_pictures_of_its_own_offers_no_restyling(dock: Any, core: Any, run: Any, qtbot: Any) -> None:
    core.distance = Distance(value=3.6, reasons=("its colors are others",), model="areas-only")
    dock.segment.model.choose("areas-only@1")
    run(dock)
    row = dock.segment.results.box.foreign
    qtbot.waitUntil(lambda: bool(row.text), timeout=MS)
    assert "Restyle" not in row.buttons()
