"""Two models on the open picture, by clicks in the tab *Models*."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_unetstyle.core.models.spec import InputSpec, NetworkSpec
from napari_unetstyle.core.progress import Steps
from napari_unetstyle.core.segmentation.result import SegmentResult
from napari_unetstyle.widgets.changed_objects import GONE
from napari_unetstyle.widgets.comparison_run import sides_of
from napari_unetstyle.widgets.core_calls import CoreCalls
from napari_unetstyle.widgets.flip_key import FlipKey
from napari_unetstyle.widgets.main_dock import MainDock
from napari_unetstyle.widgets.model_comparison import NO_PICTURE, ModelComparison
from napari_unetstyle.widgets.old_and_new import OldAndNew
from napari_unetstyle.widgets.placement import Placement
from tests.widgets.fake_core import WAIT, FakeCore, FakeStore, blobs, spec, with_options

MS = WAIT * 1000
MINE = spec("nuclei-mine").model_copy(update={"parent": "nuclei@1"})
NEXT = MINE.model_copy(update={"parent": "nuclei-mine@1", "version": 2})
VOLUMES = spec("liver").model_copy(update={"network": NetworkSpec(spatial_dims=3, in_channels=1, widths=(4, 6))})


@pytest.fixture
def calls(core: FakeCore) -> CoreCalls:
    """*nuclei-mine* overlooks the two dimmest of five objects."""
    store = FakeStore([spec(), MINE, NEXT, VOLUMES, spec("areas-only", None)])

    def iter_segment(image: Any, model: str, options: Any, store: Any) -> Steps[SegmentResult]:
        chosen = options.changed(threshold=0.67) if model.startswith("nuclei-mine") else options
        return (yield from core.iter_segment(image, model, chosen, store))

    return with_options(core.calls, iter_segment=iter_segment, store=lambda _: store)


@pytest.fixture
def dock(calls: CoreCalls, qtbot: Any) -> MainDock:
    viewer = ViewerModel()
    dock = MainDock(viewer, calls)
    qtbot.addWidget(dock)
    dock.viewer = viewer
    dock.models.refresh(choose="nuclei-mine@1")
    dock.tabs.setCurrentIndex(3)
    return dock


@pytest.fixture
def comparison(dock: MainDock) -> ModelComparison:
    return dock.models.comparison


def compare(comparison: ModelComparison, click: Any, qtbot: Any) -> None:
    with qtbot.waitSignal(comparison._slot.done, timeout=MS):
        click(comparison.compare)


def labels_of(dock: MainDock) -> dict[str, Any]:
    return {layer.name: layer for layer in dock.viewer.layers if type(layer).__name__ == "Labels"}


def test_it_says_what_is_missing(dock: MainDock, comparison: ModelComparison) -> None:
    assert comparison.hint.text() == NO_PICTURE
    assert not comparison.compare.isEnabled()
    dock.viewer.add_image(blobs(), name="slide7")
    assert comparison.hint.isHidden()
    assert comparison.compare.isEnabled()
    comparison.other.setCurrentIndex(comparison.other.findData("liver@1"))
    assert "liver is for volumes and nuclei-mine for pictures" in comparison.hint.text()
    assert not comparison.compare.isEnabled()


def test_it_proposes_the_model_that_the_chosen_one_came_from(dock: MainDock, comparison: ModelComparison) -> None:
    assert comparison.other.currentData() == "nuclei@1"
    for chosen, proposed in (
        ("nuclei-mine@2", "nuclei-mine@1"),
        ("nuclei@1", "nuclei-mine@1"),
        ("areas-only@1", "nuclei@1"),
    ):
        dock.models.refresh(choose=chosen)
        assert comparison.other.currentData() == proposed
    comparison.other.setCurrentIndex(comparison.other.findData("nuclei-mine@2"))
    dock.models.refresh()
    assert comparison.other.currentData() == "nuclei-mine@2"  # a person's choice stays


def test_two_are_compared_and_one_key_flips_them(
    dock: MainDock, comparison: ModelComparison, click: Any, qtbot: Any
) -> None:
    dock.viewer.add_image(blobs(), name="slide7", scale=(2, 3), translate=(5, 7))
    compare(comparison, click, qtbot)
    assert comparison.words.text().splitlines() == [
        "nuclei-mine: 3 nuclei, 0 by it alone",
        "nuclei: 5 nuclei, 2 by it alone",
        "found by both: 3",
        "overlap: 0.750 (Dice; 1 is the same)",
    ]
    labels = labels_of(dock)
    old, new = labels["slide7 nuclei"], labels["slide7 nuclei-mine"]
    for layer in (old, new):
        assert (layer.scale.tolist(), layer.translate.tolist()) == ([2, 3], [5, 7])
    assert (old.visible, new.visible) == (False, True)
    dock.findChild(FlipKey).activated.emit()
    assert (old.visible, new.visible) == (True, False)
    click(comparison.flip)
    assert (old.visible, new.visible) == (False, True)
    click(comparison.changes)
    marks = labels_of(dock)["what changed"]
    np.testing.assert_array_equal(marks.data == GONE, np.isin(old.data, (4, 5)))


def test_models_of_other_classes_are_compared_as_areas(
    dock: MainDock, comparison: ModelComparison, core: FakeCore, click: Any, qtbot: Any
) -> None:
    dock.viewer.add_image(blobs(), name="slide7")
    comparison.other.setCurrentIndex(comparison.other.findData("areas-only@1"))
    compare(comparison, click, qtbot)
    assert {options.output for options in core.options} == {"areas"}
    assert comparison.words.text().splitlines() == [
        "nuclei-mine: nucleus 192 px",
        "areas-only: nucleus 320 px",
        "overlap: 0.750 (Dice; 1 is the same)",
        "  nucleus: 0.750",
    ]


def test_of_several_resolutions_both_are_run_on_the_finer_one(dock: MainDock) -> None:
    """Each model alone would take the one that fits it, and their labels would lie on different pixels."""
    dock.viewer.add_image([blobs(), blobs()[::2, ::2], blobs()[::4, ::4]], multiscale=True, units="um")
    fine, coarse = (
        spec(name).model_copy(update={"input": InputSpec(channels="gray", spacing=(size, size), unit="um")})
        for name, size in (("fine", 2.0), ("coarse", 4.0))
    )
    for pair in ((fine, coarse), (coarse, fine)):
        sides = sides_of(dock.segment.picture, *pair, dock.segment._calls, [])
        assert sides is not None
        assert [side.request.model for side in sides] == [f"{one.name}@1" for one in pair]
        assert [side.request.image.array.shape for side in sides] == [(32, 48)] * 2


def test_a_run_that_is_still_open_is_not_done_again(
    dock: MainDock, comparison: ModelComparison, core: FakeCore, run: Any, click: Any, qtbot: Any
) -> None:
    dock.viewer.add_image(blobs(), name="slide7")
    dock.tabs.setCurrentIndex(0)
    run(dock)
    dock.tabs.setCurrentIndex(3)
    compare(comparison, click, qtbot)
    assert core.runs == 2
    assert sorted(labels_of(dock)) == ["slide7 nuclei", "slide7 nuclei-mine"]
    dock.models.refresh(choose="nuclei-mine@2")
    compare(comparison, click, qtbot)
    assert core.runs == 3
    assert comparison.words.text().splitlines()[-1] == "overlap: 1.000 (Dice; 1 is the same)"
    assert not comparison.changes.isEnabled()
    shown = [name for name, layer in labels_of(dock).items() if layer.visible]
    assert shown == ["slide7 nuclei-mine 2"]


def test_a_run_by_one_version_leaves_the_labels_of_another_alone(
    dock: MainDock, comparison: ModelComparison, run: Any, click: Any, qtbot: Any
) -> None:
    dock.viewer.add_image(blobs(), name="slide7")
    dock.models.refresh(choose="nuclei-mine@2")
    compare(comparison, click, qtbot)
    dock.segment.model.choose("nuclei-mine@1")
    dock.tabs.setCurrentIndex(0)
    run(dock)
    made_by = {output.layer.name: request.model for request, output in dock.segment.results.runs}
    assert made_by == {"slide7 nuclei-mine": "nuclei-mine@1", "slide7 nuclei-mine 2": "nuclei-mine@2"}


def test_what_was_painted_or_decided_otherwise_is_run_anew_and_stays(
    dock: MainDock, comparison: ModelComparison, core: FakeCore, run: Any, click: Any, qtbot: Any
) -> None:
    dock.viewer.add_image(blobs(), name="slide7")
    dock.tabs.setCurrentIndex(0)
    run(dock)
    painted = labels_of(dock)["slide7 nuclei"]
    painted.data[50:60, 50:60] = 9  # as a script does, of which no event tells
    before = np.array(painted.data)
    dock.tabs.setCurrentIndex(3)
    compare(comparison, click, qtbot)
    assert core.runs == 3
    assert "nuclei: 5 nuclei" in comparison.words.text()
    np.testing.assert_array_equal(painted.data, before)
    assert "slide7 nuclei [1]" in labels_of(dock)
    for output in dict(dock.segment.results.runs).values():
        output.is_refined = True
    compare(comparison, click, qtbot)
    assert core.runs == 5


def test_stop_and_an_error_change_nothing(
    dock: MainDock, comparison: ModelComparison, core: FakeCore, click: Any, qtbot: Any
) -> None:
    dock.viewer.add_image(blobs(), name="slide7")
    core.hold()
    click(comparison.compare)
    assert core.started.wait(WAIT)
    assert not comparison.progress.isHidden()
    with qtbot.waitSignal(comparison._slot.done, timeout=MS):
        click(comparison.progress.stop)
        core.release()
    assert comparison.message.text == "Stopped. Nothing was changed."
    core.error = ValueError("broken")
    compare(comparison, click, qtbot)
    assert "broken" in comparison.message.text
    assert labels_of(dock) == {}
    assert comparison.box.isHidden()


def test_a_picture_that_was_moved_meanwhile_is_compared_once_more(
    dock: MainDock, comparison: ModelComparison, core: FakeCore, click: Any, qtbot: Any
) -> None:
    layer = dock.viewer.add_image(blobs(), name="slide7")
    core.hold()
    click(comparison.compare)
    layer.translate = (5, 7)
    with qtbot.waitSignal(comparison._slot.done, timeout=MS):
        core.release()
    assert comparison.message.text == "slide7 was moved meanwhile. Compare once more."
    assert labels_of(dock) == {}
    compare(comparison, click, qtbot)
    assert [layer.translate.tolist() for layer in labels_of(dock).values()] == [[5, 7], [5, 7]]


def test_the_dock_that_is_closed_stops_it(
    make_napari_viewer: Any, calls: CoreCalls, core: FakeCore, click: Any, qtbot: Any
) -> None:
    viewer = make_napari_viewer()
    dock = MainDock(viewer, calls)
    viewer.window.add_dock_widget(dock, name="UNet", area="right")
    viewer.add_image(blobs(), name="slide7")
    dock.models.refresh()
    core.hold()
    click(dock.models.comparison.compare)
    assert core.started.wait(WAIT)
    with qtbot.waitSignal(dock.undocked, timeout=MS):
        viewer.window.remove_dock_widget(dock)
    core.release()
    qtbot.waitUntil(lambda: core.closed == 1, timeout=MS)
    assert core.runs == 1


def test_the_key_flips_what_was_flipped_last(
    dock: MainDock, comparison: ModelComparison, click: Any, qtbot: Any
) -> None:
    """After a comparison the labels of a teaching are still there, with a button of their own."""
    picture = dock.viewer.add_image(blobs(), name="slide7")
    old, new = (dock.viewer.add_labels(np.zeros((64, 96), np.int32), visible=i == 1) for i in (0, 1))
    placement = Placement.of(picture, "YX")
    taught = OldAndNew(old=old, new=new, placement=placement, changes=np.zeros((64, 96), np.uint8))
    dock.teach.run.pairs.replace([taught])
    compare(comparison, click, qtbot)
    key, shown = dock.findChild(FlipKey), labels_of(dock)["slide7 nuclei-mine"]
    key.activated.emit()
    assert (new.visible, shown.visible) == (True, False)
    dock.teach.run.box.flip.click()
    assert (new.visible, shown.visible) == (False, False)
    key.activated.emit()
    assert (new.visible, shown.visible) == (True, False)
