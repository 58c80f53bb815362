"""The button, end to end, with real clicks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qtpy.QtWidgets import QApplication

from napari_unetstyle.core.errors import ImageError
from napari_unetstyle.widgets import scope
from napari_unetstyle.widgets.summary import unbroken
from tests.widgets.fake_core import WAIT, blobs

MS = WAIT * 1000


def labels_of(viewer: Any) -> list[Any]:
    return [layer for layer in viewer.layers if type(layer).__name__ == "Labels"]


@pytest.fixture
def dock(make_quick_dock: Any) -> Any:
    dock = make_quick_dock()
    dock.viewer.add_image(blobs(), name="slide7", scale=(0.5, 0.5), units=("um", "um"))
    return dock


def start_held(dock: Any, core: Any, click: Any, qtbot: Any) -> None:
    core.hold()
    click(dock.segment.segment)
    qtbot.waitUntil(core.started.is_set, timeout=MS)


def offer_of(dock: Any) -> Any:
    """The row that offers a result."""
    return dock.segment.offers.itemAt(dock.segment.offers.count() - 1).widget()


def finish(dock: Any, core: Any, qtbot: Any) -> None:
    with qtbot.waitSignal(dock.segment.run_ended, timeout=MS):
        core.release()


@pytest.mark.parametrize("in_window", [True])
def test_one_click_from_picture_to_labels(dock: Any, run: Any) -> None:
    run(dock)
    (layer,) = labels_of(dock.viewer)
    assert layer.name == "slide7 nuclei"
    assert layer.data.max() == 5
    assert layer.contour > 0
    assert dock.segment.results.box.summary.text() == "5 nuclei · median 16 µm² · 1.5 s, CPU"


def test_one_click_from_sample_to_labels(make_windowless_dock: Any, click: Any, run: Any) -> None:
    dock = make_windowless_dock()
    assert dock.segment.empty.isVisibleTo(dock)
    assert not dock.segment.form.isVisibleTo(dock)
    click(dock.segment.empty.sample)
    assert dock.segment.picture.info.text() == unbroken("512×512 · 0.5 µm/px")
    run(dock)
    assert labels_of(dock.viewer)[0].data.max() > 0


def test_a_range_takes_the_slice_that_is_shown_where_one_is(make_windowless_dock: Any, click: Any) -> None:
    dock = make_windowless_dock()
    panel, dims = dock.segment, dock.viewer.dims
    dock.viewer.add_image(np.zeros((9, 40, 50), np.uint8), axis_labels=("z", "y", "x"))
    panel.where.setCurrentIndex(panel.where.findData(scope.RANGE))
    dims.set_current_step(0, 4)
    click(panel.range.from_here)
    assert panel.range.value == (4, 9)
    for name, other, back in (("order", (1, 0, 2), (0, 1, 2)), ("ndisplay", 3, 2)):
        setattr(dims, name, other)
        dims.set_current_step(0, 6)
        click(panel.range.from_here)
        click(panel.range.to_here)
        assert panel.range.value == (4, 9)
        assert "not shown" in panel.range.from_here.toolTip()
        setattr(dims, name, back)
    dims.set_current_step(0, 6)
    click(panel.range.to_here)
    assert panel.range.value == (4, 7)


def test_a_hundred_clicks_are_one_run(dock: Any, core: Any, click: Any, qtbot: Any) -> None:
    start_held(dock, core, click, qtbot)
    for _ in range(100):
        click(dock.segment.segment)
        dock.segment.start()
    finish(dock, core, qtbot)
    assert core.runs == 1
    assert len(labels_of(dock.viewer)) == 1


def test_stop_leaves_nothing_and_closes_the_generator(dock: Any, core: Any, click: Any, qtbot: Any) -> None:
    start_held(dock, core, click, qtbot)
    assert dock.segment.progress.isVisibleTo(dock)
    click(dock.segment.progress.stop)
    finish(dock, core, qtbot)
    assert core.closed == 1
    assert labels_of(dock.viewer) == []
    assert dock.segment.segment.isEnabled()
    assert "Stopped" in dock.segment.message.text


def test_an_error_is_said_in_words(dock: Any, core: Any, run: Any, click: Any) -> None:
    core.error = ImageError("The picture has 7 channels. Choose one.")
    run(dock)
    assert dock.segment.message.text == "The picture has 7 channels. Choose one."
    click(dock.segment.message.buttons()["Copy details"])
    assert "Traceback" in QApplication.clipboard().text()
    core.error = None
    run(dock)
    assert len(labels_of(dock.viewer)) == 1
    assert not dock.segment.message.isVisibleTo(dock)


def test_an_error_nobody_foresaw_names_itself(dock: Any, core: Any, run: Any) -> None:
    core.error = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    run(dock)
    assert "RuntimeError" in dock.segment.message.text
    assert dock.segment.segment.isEnabled()


@pytest.mark.parametrize("change", ["removed", "renamed", "moved", "reshaped", "changed"])
def test_a_picture_that_changed_meanwhile_gets_an_offer(
    dock: Any, core: Any, click: Any, qtbot: Any, change: str
) -> None:
    layer = dock.viewer.layers["slide7"]
    start_held(dock, core, click, qtbot)
    match change:
        case "removed":
            dock.viewer.layers.remove(layer)
        case "renamed":
            layer.name = "another"
        case "moved":
            layer.translate = (5, 5)
        case "reshaped":
            layer.data = blobs((40, 200))
        case "changed":
            layer.data = blobs(peak=120)
    finish(dock, core, qtbot)
    assert labels_of(dock.viewer) == []
    assert change in offer_of(dock).text
    click(offer_of(dock).buttons()["Add the labels"])
    (labels,) = labels_of(dock.viewer)
    assert labels.data.shape == (64, 96)
    assert labels.data.max() == 5


def test_an_offer_that_is_not_wanted_changes_nothing(dock: Any, core: Any, click: Any, qtbot: Any) -> None:
    start_held(dock, core, click, qtbot)
    dock.viewer.layers.clear()
    finish(dock, core, qtbot)
    row = offer_of(dock)
    dock.segment.message.say("Something else.")  # does not take the offer away
    assert row.isVisibleTo(dock.segment)
    click(row.buttons()["Not now"])
    assert not row.isVisibleTo(dock.segment)
    assert len(dock.viewer.layers) == 0


def test_paint_during_a_run_is_kept(dock: Any, core: Any, click: Any, run: Any, qtbot: Any) -> None:
    run(dock)
    (first,) = labels_of(dock.viewer)
    start_held(dock, core, click, qtbot)
    first.data_setitem((np.array([50, 51]), np.array([60, 61])), 9)
    painted = first.data.copy()
    finish(dock, core, qtbot)
    np.testing.assert_array_equal(first.data, painted)
    assert len(labels_of(dock.viewer)) == 2


def test_a_run_again_goes_into_its_own_untouched_layer(dock: Any, run: Any) -> None:
    run(dock)
    (layer,) = labels_of(dock.viewer)
    layer.contour = 1  # looking is not painting
    layer.visible = False
    layer.visible = True
    run(dock)
    assert labels_of(dock.viewer) == [layer]


@pytest.mark.parametrize("how", ["renamed", "moved"])
def test_labels_that_somebody_renamed_or_moved_are_left_as_they_are(dock: Any, run: Any, how: str, qtbot: Any) -> None:
    run(dock)
    (layer,) = labels_of(dock.viewer)
    if how == "renamed":
        layer.name = "for the report"
    else:
        layer.translate = (7, 7)
    run(dock)
    qtbot.waitUntil(lambda: len(labels_of(dock.viewer)) == 2, timeout=MS)
    first, second = labels_of(dock.viewer)
    assert first is layer
    assert tuple(second.translate) == (0, 0)
    assert "renamed or moved" in dock.segment.results.box.said.text()


def test_labels_of_another_channel_take_no_place_of_those_of_the_first(
    make_windowless_dock: Any, run: Any, qtbot: Any
) -> None:
    dock = make_windowless_dock()
    dock.viewer.add_image(np.stack([blobs(count=5), blobs(count=3)]), name="two", axis_labels=("c", "y", "x"))
    for number in (0, 1):
        dock.segment.picture.channel.setCurrentIndex(number)
        run(dock)
    qtbot.waitUntil(lambda: len(labels_of(dock.viewer)) == 2, timeout=MS)


def test_two_pictures_are_done_one_after_the_other(dock: Any, qtbot: Any, click: Any) -> None:
    dock.viewer.add_image(blobs(count=3), name="slide9")
    where = dock.segment.where
    where.setCurrentIndex(where.findText("all open pictures"))
    click(dock.segment.segment)
    qtbot.waitUntil(lambda: len(labels_of(dock.viewer)) == 2, timeout=MS)
    assert {layer.name: layer.data.max() for layer in labels_of(dock.viewer)} == {
        "slide7 nuclei": 5,
        "slide9 nuclei": 3,
    }


def test_progress_counts_the_pictures(dock: Any, core: Any, qtbot: Any, click: Any) -> None:
    dock.viewer.add_image(blobs(count=3), name="slide9")
    where = dock.segment.where
    where.setCurrentIndex(where.findText("all open pictures"))
    said = []
    dock.segment._queue.progressed.connect(lambda _: said.append(dock.segment.progress.bar.format()))
    click(dock.segment.segment)
    qtbot.waitUntil(lambda: len(labels_of(dock.viewer)) == 2, timeout=MS)
    assert [words.partition(" ")[0] for words in dict.fromkeys(said)] == ["1/2", "2/2"]


def test_one_bad_picture_does_not_stop_the_others(dock: Any, qtbot: Any, click: Any) -> None:
    dock.viewer.add_image(np.zeros((1, 2, 1, 1, 8, 8), np.uint8), name="strange")
    dock.viewer.add_image(blobs(count=3), name="slide9")
    where = dock.segment.where
    where.setCurrentIndex(where.findText("all open pictures"))
    click(dock.segment.segment)
    qtbot.waitUntil(lambda: not dock.segment.is_running, timeout=MS)
    assert [layer.name for layer in labels_of(dock.viewer)] == ["slide7 nuclei", "slide9 nuclei"]
    assert dock.segment.message.text.startswith("strange: ")


def test_a_painted_output_of_the_same_run_is_left_alone(dock: Any, run: Any) -> None:
    run(dock)
    (first,) = labels_of(dock.viewer)
    first.paint((40, 40), 9)
    painted = first.data.copy()
    run(dock)
    np.testing.assert_array_equal(first.data, painted)
    assert len(labels_of(dock.viewer)) == 2
    assert "was painted" in dock.segment.results.box.said.text()


@pytest.mark.parametrize("in_window", [True])
def test_the_dock_closes_during_a_run(dock: Any, core: Any, click: Any, qtbot: Any) -> None:
    start_held(dock, core, click, qtbot)
    job = dock.segment._queue.slot._job
    dock.viewer.window.remove_dock_widget(dock)
    dock.deleteLater()
    qtbot.waitUntil(job._stop.is_set, timeout=MS)
    core.release()
    qtbot.waitUntil(lambda: not job.is_alive, timeout=MS)
    assert core.closed == 1
