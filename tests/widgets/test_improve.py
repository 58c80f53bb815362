"""*Improve*, by clicks: the model, the model plus a class, or a new model."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from napari.utils.interactions import mouse_press_callbacks, mouse_release_callbacks
from qtpy.QtWidgets import QFileDialog

from napari_unetstyle.core.annotation.project import Project
from napari_unetstyle.core.models.classes import class_specs
from napari_unetstyle.core.progress import Steps
from napari_unetstyle.core.training.candidate import Checked
from napari_unetstyle.core.training.scores import Comparison, Counts, Scores
from napari_unetstyle.widgets.core_calls import CoreCalls
from napari_unetstyle.widgets.improve import NEW, PLUS_CLASS
from napari_unetstyle.widgets.jobs import as_steps
from napari_unetstyle.widgets.main_dock import MainDock
from napari_unetstyle.widgets.message_row import MessageRow
from napari_unetstyle.widgets.opening import add_picture
from tests.widgets.fake_core import WAIT, FakeCore, FakeStore, blobs, spec, with_options

PLUS_VESSEL = Comparison(
    Scores(((Counts(100, 100, 70),),) * 3, ((0.93,),)),
    Scores(((Counts(100, 100, 70), Counts(100, 100, 62)),) * 3, ((0.93,),), added=("vessel",)),
)
NEW_MODEL = Comparison(None, Scores(((Counts(100, 100, 86),),) * 3, ()))


class Teacher:
    """In place of the core's two ways to teach."""

    def __init__(self) -> None:
        self.store, self.given = FakeStore(), SimpleNamespace()
        self.asked: tuple[Any, ...] = ()

    def iter_teach(self, corrections: Any, parent: str, options: Any, *_: Any) -> Steps[Any]:
        self.given = SimpleNamespace(corrections=corrections, parent=parent, options=options)
        yield from ()
        before = self.store.spec(parent)
        classes = class_specs(options.add_classes, before.classes)
        kept = before.model_copy(update={"name": f"{before.name}-mine", "classes": classes})
        return self._candidate(kept, PLUS_VESSEL, SimpleNamespace(spec=before))

    def iter_contradictions(self, *asked: Any) -> Steps[Any]:
        self.asked = asked
        return as_steps(list)

    def iter_teach_new(self, corrections: Any, classes: Any, options: Any, *_: Any) -> Steps[Any]:
        self.given = SimpleNamespace(corrections=corrections, classes=classes, options=options)
        yield from ()
        return self._candidate(spec(options.name, None), NEW_MODEL, None)

    def _candidate(self, made: Any, comparison: Comparison, parent: Any) -> Any:
        kept = SimpleNamespace(spec=made)

        def keep(_store: Any) -> Any:
            self.store.specs = [*self.store.specs, kept.spec]
            return kept

        places = (Checked(0, (), (slice(0, 8), slice(0, 8))),) * 3
        return SimpleNamespace(model=kept, parent=parent, comparison=comparison, places=places, notes=(), keep=keep)


@pytest.fixture
def teacher() -> Teacher:
    return Teacher()


@pytest.fixture
def output() -> str:
    """What the models find."""
    return "areas"


@pytest.fixture
def dock(core: FakeCore, teacher: Teacher, qtbot: Any, output: str) -> Any:
    def iter_segment(image: Any, model: str, options: Any, store: Any) -> Steps[Any]:
        result = yield from core.iter_segment(image, model, options.changed(output=output), store)
        return result.changed(classes=teacher.store.spec(model).classes)

    calls: CoreCalls = with_options(
        core.calls,
        iter_segment=iter_segment,
        iter_teach=teacher.iter_teach,
        iter_teach_new=teacher.iter_teach_new,
        iter_contradictions=teacher.iter_contradictions,
        store=lambda _: teacher.store,
    )
    viewer = ViewerModel()
    dock = MainDock(viewer, calls)
    qtbot.addWidget(dock)
    dock.viewer = viewer
    dock.models.refresh()
    dock.tabs.setCurrentIndex(1)
    yield dock
    for corrected in dock.corrections.layers:
        corrected.close(WAIT)


@pytest.fixture
def areas(dock: MainDock, run: Any, tmp_path: Any) -> Any:
    """Labels of the model of areas."""
    tifffile.imwrite(tmp_path / "slide7.tif", blobs())
    add_picture(dock.viewer, tmp_path / "slide7.tif")
    dock.segment.model.models.setCurrentIndex(dock.segment.model.models.findData("areas-only@1"))
    run(dock)
    return dock.viewer.layers[-1]


def choose(dock: MainDock, what: str) -> None:
    models = dock.teach.run.improve.models
    models.setCurrentIndex(models.findData(what))


def press(layer: Any, at: tuple[int, int]) -> None:
    """The left button at a place of the layer's data."""
    event = SimpleNamespace(
        type="mouse_press", button=1, position=at, pos=at, view_direction=None, dims_displayed=[0, 1], modifiers=()
    )
    mouse_press_callbacks(layer, event)
    event.type = "mouse_release"
    mouse_release_callbacks(layer, event)


def taught(dock: MainDock, click: Any, qtbot: Any) -> None:
    qtbot.waitUntil(dock.teach.run.teach.isEnabled, timeout=WAIT * 1000)
    click(dock.teach.run.teach)
    qtbot.waitUntil(lambda: not dock.teach.run.is_running, timeout=WAIT * 1000)


def test_a_class_is_named_painted_and_taught(dock, areas, teacher, click, qtbot):
    run = dock.teach.run
    improve = run.improve
    assert improve.plus.isHidden()
    choose(dock, PLUS_CLASS)
    assert improve.models.currentText() == "areas-only + a class…"
    assert not improve.plus.isHidden()
    assert run.hint.text() == "What is the new class called?"
    assert not improve.paint.isEnabled()
    qtbot.keyClicks(improve.class_name, "nucleus")
    assert "not there already (nucleus)" in run.hint.text()
    improve.class_name.clear()
    qtbot.keyClicks(improve.class_name, "vessel")
    click(improve.paint)
    assert (areas.selected_label, areas.mode) == (2, "paint")
    assert list(dock.teach.fix.classes.buttons) == ["nucleus", "vessel"]
    color = areas.colormap.map(np.array([2]))[0]
    assert color[3] == 1
    assert not np.allclose(color, areas.colormap.map(np.array([1]))[0])
    areas.paint((50, 50), 2)
    click(dock.teach.fix.classes.buttons["nucleus"])
    assert areas.selected_label == 1
    taught(dock, click, qtbot)
    given = teacher.given
    assert (given.parent, given.options.add_classes) == ("areas-only@1", ("vessel",))
    (correction,) = given.corrections
    assert (correction.known, correction.labels[50, 50]) == (2, 2)
    assert teacher.asked[1] == "areas-only@1"  # what it was sure of is said, of the classes that it has
    assert teacher.asked[-1] == ("vessel",)
    assert not run.message.text, run.message.text
    assert run.box.added.text() == "vessel: 0.620, found"
    assert run.box.yours.text() == "your pictures: 0.700 → 0.700, same"
    assert improve.models.currentData() == "areas-only-mine@1"
    assert improve.plus.isHidden()


def reopened(dock, layer, other, open_entry):
    """Fixes whose layer was closed, opened again while another model is chosen."""
    (corrected,) = dock.corrections.layers
    dock.viewer.layers.remove(layer)
    assert corrected.close(WAIT)
    (entry,) = Project(corrected.recorder.folder.parent).entries()
    choose(dock, other)
    dock.teach.run.improve.class_name.clear()
    return open_entry(dock.corrections, entry)


def test_fixes_with_an_added_class_come_back_with_it(dock, areas, click, qtbot, open_entry):
    choose(dock, PLUS_CLASS)
    qtbot.keyClicks(dock.teach.run.improve.class_name, "vessel")
    click(dock.teach.run.improve.paint)
    areas.paint((50, 50), 2)
    opened = reopened(dock, areas, "nuclei@1", open_entry)
    assert [one.name for one in opened.classes] == ["nucleus", "vessel"]
    improve = dock.teach.run.improve
    assert (improve.models.currentData(), improve.class_name.text()) == (PLUS_CLASS, "vessel")
    assert improve.goal.added == opened.classes[1:]  # its color, too
    assert opened.layer.colormap.map(np.array([2]))[0][3] == 1
    assert list(dock.teach.fix.classes.buttons) == ["nucleus", "vessel"]


@pytest.fixture
def objects(dock: MainDock, run: Any, tmp_path: Any) -> Any:
    """Five objects of the model of nuclei."""
    tifffile.imwrite(tmp_path / "slide7.tif", blobs())
    add_picture(dock.viewer, tmp_path / "slide7.tif")
    run(dock)
    return dock.viewer.layers[-1]


@pytest.mark.parametrize("output", ["objects"])
def test_objects_of_a_class_are_named_painted_and_taught(dock, objects, teacher, click, qtbot):
    run, fix = dock.teach.run, dock.teach.fix
    choose(dock, PLUS_CLASS)
    assert run.improve.models.currentText() == "nuclei + a class…"
    assert run.hint.text() == "What is the new class called?"
    assert fix.classes.isHidden()  # as long as there is but one
    qtbot.keyClicks(run.improve.class_name, "vessel")
    click(run.improve.paint)
    assert list(fix.classes.buttons) == ["nucleus", "vessel"]
    assert fix.classes.buttons["vessel"].isChecked()
    assert (objects.selected_label, objects.mode) == (6, "paint")  # a new object
    objects.paint((50, 50), 6)
    click(fix.buttons["class"])
    press(objects, (24, 26))  # the second object, which is one of those, too
    click(fix.buttons["class"])
    assert not fix.message.text
    qtbot.waitUntil(lambda: len({*map(tuple, objects.colormap.map(np.array([6, 7])))}) == 1, timeout=WAIT * 1000)
    colors = objects.colormap.map(np.array([1, 3, 6]))
    assert np.array_equal(colors[0], colors[1])
    assert not np.allclose(colors[0], colors[2])
    taught(dock, click, qtbot)
    given = teacher.given
    assert (given.parent, given.options.add_classes) == ("nuclei@1", ("vessel",))
    (correction,) = given.corrections
    assert (correction.output, correction.known) == ("objects", 2)
    places = ((24, 10), (24, 26), (50, 50))
    assert [correction.classes.get(int(correction.labels[at]), 1) for at in places] == [1, 2, 2]
    assert run.box.added.text() == "vessel: 0.620, found"
    again = dock.corrections.active  # segmented by the new model, with every fix kept
    assert again.layer is not objects
    assert [one.name for one in again.classes] == ["nucleus", "vessel"]
    assert [again.object_classes.of(int(again.labels[at])) for at in places] == [1, 2, 2]


@pytest.mark.parametrize("output", ["objects"])
def test_fixes_of_objects_with_an_added_class_come_back_with_it(dock, objects, click, qtbot, open_entry):
    choose(dock, PLUS_CLASS)
    qtbot.keyClicks(dock.teach.run.improve.class_name, "vessel")
    click(dock.teach.run.improve.paint)
    objects.paint((50, 50), 6)
    opened = reopened(dock, objects, "areas-only@1", open_entry)
    assert opened.object_classes.of(int(opened.labels[50, 50])) == 2
    improve = dock.teach.run.improve
    assert (improve.models.currentText(), improve.class_name.text()) == ("nuclei + a class…", "vessel")
    assert list(dock.teach.fix.classes.buttons) == ["nucleus", "vessel"]


def test_why_a_class_cannot_be_painted_is_said(dock, objects, core, run, click, qtbot):
    """Labels that the model of objects made as areas have no objects to be of a class."""
    run_, improve = dock.teach.run, dock.teach.run.improve
    choose(dock, PLUS_CLASS)
    qtbot.keyClicks(improve.class_name, "vessel")
    assert not improve.paint.isEnabled()
    assert run_.hint.text() == (
        "These labels are areas, and nuclei finds objects. To paint vessel, segment the picture again for objects."
    )
    dock.viewer.layers.selection.active = dock.viewer.layers[0]
    dock.viewer.layers.remove(objects)
    qtbot.waitUntil(lambda: run_.hint.text().startswith("To paint vessel, select labels"), timeout=WAIT * 1000)
    assert not improve.paint.isEnabled()


def test_a_new_model_is_taught_with_masks_alone(dock, teacher, click, qtbot, tmp_path):
    for i, name in enumerate(("a", "b")):
        tifffile.imwrite(tmp_path / f"{name}.tif", blobs(peak=150 + i))
        tifffile.imwrite(tmp_path / f"{name}_mask.tif", (blobs() > 50).astype(np.uint8) * 255)
    choose(dock, NEW)
    run, improve = dock.teach.run, dock.teach.run.improve
    assert "What is to be found?" in run.hint.text()
    qtbot.keyClicks(improve.new_classes, "vessel")
    assert improve.new_name.placeholderText() == "vessel"
    qtbot.keyClicks(improve.new_name, "nuclei")
    assert "There is a model nuclei already" in run.hint.text()
    improve.new_name.clear()
    dock.teach.learns.add_from(tmp_path)  # what the file dialog calls
    qtbot.waitUntil(lambda: len(dock.teach.learns.boxes) == 2, timeout=WAIT * 1000)
    taught(dock, click, qtbot)
    given = teacher.given
    assert (given.classes, given.options.name) == (["vessel"], "vessel")
    assert [(one.output, one.labels.max()) for one in given.corrections] == [("areas", 1)] * 2
    assert run.box.yours.text() == "your pictures: 0.860"
    assert run.box.back.isHidden()
    assert improve.models.currentData() == "vessel@1"
    assert dock.segment.model.reference == "vessel@1"
    choose(dock, NEW)
    qtbot.keyClicks(improve.new_name, "other")
    improve.kind.setCurrentIndex(improve.kind.findData("objects"))
    assert "has areas, and the new model is to find objects" in run.hint.text()


def test_a_person_who_turns_to_other_labels_still_teaches_a_new_model(dock, areas):
    choose(dock, NEW)
    dock.viewer.layers.selection.active = dock.viewer.layers[0]
    dock.viewer.layers.selection.active = areas
    assert dock.teach.run.improve.models.currentData() == NEW


def test_a_new_model_learns_from_what_is_painted_on_an_open_picture(dock, teacher, click, qtbot, tmp_path):
    tifffile.imwrite(tmp_path / "eye.tif", blobs())
    add_picture(dock.viewer, tmp_path / "eye.tif")
    choose(dock, NEW)
    improve = dock.teach.run.improve
    assert not improve.by_hand.isEnabled()
    qtbot.keyClicks(improve.new_classes, "vessel, nerve")
    click(improve.by_hand)
    layer = dock.viewer.layers["eye by hand"]
    assert (layer.selected_label, layer.mode, dock.viewer.layers.selection.active) == (1, "paint", layer)
    assert list(dock.teach.fix.classes.buttons) == ["vessel", "nerve"]
    layer.paint((20, 20), 2)
    taught(dock, click, qtbot)
    (correction,) = teacher.given.corrections
    assert (correction.output, correction.labels[20, 20], correction.labels.max()) == ("areas", 2, 2)
    assert np.array_equal(correction.painted, correction.labels > 0)  # nothing is known of the rest
    assert dock.viewer.layers["eye vessel"].visible  # segmented by the new model
    assert np.asarray(dock.viewer.layers["eye vessel"].data)[20, 20] == 2


def test_labels_that_a_person_painted_before_are_taken(dock, teacher, click, qtbot, tmp_path):
    tifffile.imwrite(tmp_path / "eye.tif", blobs())
    add_picture(dock.viewer, tmp_path / "eye.tif")
    own = dock.viewer.add_labels((blobs() > 50).astype(np.uint8), name="mine")
    choose(dock, NEW)
    improve = dock.teach.run.improve
    qtbot.keyClicks(improve.new_classes, "vessel")
    assert improve.by_hand.text() == "Learn from mine"
    click(improve.by_hand)
    assert dock.corrections.active.layer is own
    taught(dock, click, qtbot)
    (correction,) = teacher.given.corrections
    assert np.array_equal(correction.painted, blobs() > 50)


def test_a_model_that_is_there_learns_from_own_labels_too(dock, teacher, click, qtbot, tmp_path):
    tifffile.imwrite(tmp_path / "eye.tif", blobs())
    add_picture(dock.viewer, tmp_path / "eye.tif")
    choose(dock, "areas-only@1")
    improve = dock.teach.run.improve
    assert improve.by_hand.isHidden()
    mask = (blobs() > 50).astype(np.uint8) * 255  # as a mask from elsewhere is
    own = dock.viewer.add_labels(mask, name="mine")
    assert (improve.by_hand.text(), improve.by_hand.isHidden()) == ("Learn from mine", False)
    click(improve.by_hand)
    assert dock.corrections.active.layer is own
    assert improve.by_hand.isHidden()
    assert improve.models.currentData() == "areas-only@1"
    taught(dock, click, qtbot)
    assert teacher.given.parent == "areas-only@1"
    (correction,) = teacher.given.corrections
    assert np.array_equal(correction.labels, blobs() > 50)
    assert np.array_equal(correction.painted, blobs() > 50)


def test_a_mask_of_one_value_is_taken_apart_for_a_model_of_objects(dock, click, tmp_path):
    tifffile.imwrite(tmp_path / "eye.tif", blobs())
    add_picture(dock.viewer, tmp_path / "eye.tif")
    choose(dock, "nuclei@1")
    dock.viewer.add_labels((blobs() > 50).astype(np.uint8), name="mine")
    click(dock.teach.run.improve.by_hand)
    assert len(np.unique(dock.corrections.active.labels)) == 6  # five squares, each an object


def test_own_labels_with_values_of_no_class_are_not_taken(dock, click, tmp_path):
    tifffile.imwrite(tmp_path / "eye.tif", blobs())
    add_picture(dock.viewer, tmp_path / "eye.tif")
    choose(dock, "areas-only@1")
    strange = (blobs() > 50).astype(np.uint8)
    strange[:4, :4] = 3
    dock.viewer.add_labels(strange, name="mine")
    click(dock.teach.run.improve.by_hand)
    assert dock.corrections.layers == []
    assert any("mine has the value 3; known are 1 (nucleus)." in one.text for one in dock.findChildren(MessageRow))


def test_geojson_of_qupath_is_added_to_what_is_learned_from(dock, teacher, click, qtbot, tmp_path):
    tifffile.imwrite(tmp_path / "eye.tif", blobs())
    ring = [[10, 20], [30, 20], [30, 40], [10, 40], [10, 20]]  # x, y
    feature = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"objectType": "annotation", "classification": {"name": "nucleus", "color": [255, 0, 0]}},
    }
    (tmp_path / "eye.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    choose(dock, "areas-only@1")
    learns = dock.teach.learns
    click(learns.add)
    (dialog,) = learns.findChildren(QFileDialog)
    dialog.fileSelected.emit(str(tmp_path))  # what pressing Choose does
    dialog.reject()
    qtbot.waitUntil(lambda: len(learns.boxes) == 1, timeout=WAIT * 1000)
    assert learns.boxes[0].text() == "eye masks\nall right, not open"
    taught(dock, click, qtbot)
    (correction,) = teacher.given.corrections
    expected = np.zeros((64, 96), int)
    expected[20:40, 10:30] = 1
    assert np.array_equal(correction.labels, expected)


def test_own_labels_are_of_the_picture_that_they_lie_on(dock, teacher, click, qtbot, tmp_path):
    for name, left in (("a", 0), ("b", 500)):
        tifffile.imwrite(tmp_path / f"{name}.tif", blobs())
        add_picture(dock.viewer, tmp_path / f"{name}.tif")
        dock.viewer.layers[name].translate = (0, left)
    own = dock.viewer.add_labels((blobs() > 50).astype(np.uint8), name="mine")
    choose(dock, NEW)
    improve = dock.teach.run.improve
    qtbot.keyClicks(improve.new_classes, "vessel")
    click(improve.by_hand)
    assert dock.corrections.active.layer is own
    assert dock.corrections.active.placement.layer is dock.viewer.layers["a"]


def test_own_labels_that_lie_on_no_picture_are_not_taken(dock, teacher, click, qtbot, tmp_path):
    tifffile.imwrite(tmp_path / "eye.tif", blobs())
    add_picture(dock.viewer, tmp_path / "eye.tif")
    dock.viewer.add_labels((blobs() > 50).astype(np.uint8), name="mine", translate=(3, 0))
    choose(dock, NEW)
    improve = dock.teach.run.improve
    qtbot.keyClicks(improve.new_classes, "vessel")
    click(improve.by_hand)
    assert dock.corrections.layers == []
    assert any("lies where mine lies" in one.text for one in dock.findChildren(MessageRow))


def test_what_the_file_says_of_channels_holds_for_labels_by_hand(dock, teacher, click, qtbot, tmp_path):
    tifffile.imwrite(tmp_path / "two.ome.tif", np.stack([blobs()] * 2), ome=True, metadata={"axes": "CYX"})
    dock.viewer.open(tmp_path / "two.ome.tif", plugin="napari")
    choose(dock, NEW)
    improve = dock.teach.run.improve
    qtbot.keyClicks(improve.new_classes, "vessel")
    click(improve.by_hand)
    (corrected,) = dock.corrections.layers
    assert corrected.image.axes == "CYX"
    assert corrected.layer.data.shape == (64, 96)
