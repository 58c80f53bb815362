"""The button *Teach*: from fixes to a model that is in use, or not, by clicks."""

from __future__ import annotations

import dataclasses
import threading
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.layers import Image
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QFileDialog

from napari_unetstyle.core.annotation.project import Project
from napari_unetstyle.core.errors import OptionError, OutputError
from napari_unetstyle.core.imaging.image import as_image
from napari_unetstyle.core.models.spec import ClassSpec
from napari_unetstyle.core.progress import Progress, Steps, share
from napari_unetstyle.core.progress import run as drained
from napari_unetstyle.core.segmentation.options import SegmentOptions
from napari_unetstyle.core.style.bank import StyleBank
from napari_unetstyle.core.style.reference import Reference
from napari_unetstyle.core.training import contradictions
from napari_unetstyle.core.training.candidate import Checked
from napari_unetstyle.core.training.contradictions import iter_contradictions
from napari_unetstyle.core.training.refused import iter_written
from napari_unetstyle.core.training.scores import Comparison, Counts, Scores
from napari_unetstyle.core.training.style_trial import Difference, StyleTrial
from napari_unetstyle.core.training.train_progress import TrainProgress
from napari_unetstyle.widgets import lesson_run, live_preview, old_and_new
from napari_unetstyle.widgets.changed_objects import GONE
from napari_unetstyle.widgets.core_calls import CoreCalls
from napari_unetstyle.widgets.learns_from import REST_MS
from napari_unetstyle.widgets.live_preview import Sight, iter_watched
from napari_unetstyle.widgets.main_dock import MainDock
from napari_unetstyle.widgets.opening import add_picture
from napari_unetstyle.widgets.overlay import outline_mask
from napari_unetstyle.widgets.part_in_sight import PartInSight
from napari_unetstyle.widgets.run_request import RunRequest, run_like
from napari_unetstyle.widgets.scope import WHOLE
from tests.widgets.fake_core import WAIT, FakeCore, FakeStore, blobs, spec

BETTER = Comparison(
    Scores(((Counts(100, 100, 70),),) * 3, ((0.93,),)), Scores(((Counts(100, 100, 86),),) * 3, ((0.93,),))
)
FORGETS = Comparison(BETTER.parent, Scores(BETTER.child.places, ((0.80,),)))
LOSES_A_CLASS = Comparison(
    Scores(((Counts(100, 100, 10), Counts(100, 100, 80)),) * 3, ()),
    Scores(((Counts(100, 100, 90), Counts(100, 100, 50)),) * 3, ()),
)
UNCHECKED = Comparison(Scores((), ((0.93,),)), Scores((), ((0.93,),)))


@dataclass
class Teacher:
    """In place of the core's teaching; a test may hold it."""

    comparison: Comparison = BETTER
    steps: int = 5
    error: Exception | None = None
    store: FakeStore = field(default_factory=FakeStore)
    gate: threading.Event = field(default_factory=threading.Event)
    corrections: list[Any] = field(default_factory=list)
    forgotten: int = 0
    done: int = 0
    notes: tuple[str, ...] = ()
    shows: bool = False
    doubt: float = 0.1
    """How far down the interval of what styles changed goes."""
    full: int = 0
    """How many writes the disk refuses, during the teaching and when the model gets its name."""
    keeps_full: bool = False
    """Whether it is only the name that there is no room for."""
    doubtful: bool = False
    """Whether fixes are looked at; the picture's own brightness is what its model thinks."""

    def __post_init__(self) -> None:
        self.gate.set()

    def iter_teach(self, corrections: Any, parent: str, options: Any, store: Any, should_stop: Any) -> Steps[Any]:
        self.corrections, self.options, self.parent = list(corrections), options, parent
        for i in range(self.steps):
            assert self.gate.wait(WAIT)
            if self.error is not None:
                raise self.error
            self.done += 1
            so_far = partial(str, f"after {i} steps") if self.shows else None
            left = 60 * options.minutes * (1 - (i + 1) / self.steps)
            yield TrainProgress(
                i, self.steps, "Teaching", loss=1.0, score=0.7 + 0.03 * i, seconds_left=left, so_far=so_far
            )
            if should_stop():
                break
        if not self.keeps_full:
            yield from iter_written(self.write)
        return self

    def write(self) -> None:
        if self.full:
            self.full -= 1
            raise OutputError("Could not write 4096 bytes to /models/.partial-1/weights: No space left on device.")

    def iter_contradictions(
        self, corrections: Any, _model: str, options: Any, _store: Any, known: Any, added: Any
    ) -> Steps[Any]:
        if not self.doubtful:
            return []
        assert all(values is not None for values in known)  # nothing is segmented again
        return (yield from iter_contradictions(corrections, SimpleNamespace(spec=spec()), options, known, added))

    def candidate(self) -> Any:
        parts = {n: getattr(self, n) for n in ("model", "comparison", "places", "notes", "keep", "forget")}
        return SimpleNamespace(**parts, parent=self.parent_model)

    # The candidate
    @property
    def model(self) -> Any:
        recipe = {"recipe": "taught, 5 steps in 1 s, learning rate 0.001"}
        return SimpleNamespace(spec=spec("nuclei-mine").model_copy(update={"provenance": recipe}))

    @property
    def places(self) -> Any:
        boxes = ((slice(0, 20), slice(30 * i, 30 * i + 20)) for i in range(len(self.comparison.child.places)))
        return tuple(Checked(0, (), box) for box in boxes)

    @property
    def parent_model(self) -> Any:
        return SimpleNamespace(spec=spec())

    def keep(self, _store: Any) -> Any:
        self.write()
        kept = spec("nuclei-mine")
        self.store.specs = [*self.store.specs, kept]
        return SimpleNamespace(spec=kept)

    def forget(self, _store: Any) -> None:
        self.forgotten += 1


@pytest.fixture
def teacher() -> Any:
    teacher = Teacher()
    yield teacher
    teacher.gate.set()


@pytest.fixture
def dock(make_quick_dock: Any, core: FakeCore, teacher: Teacher, run: Any, tmp_path: Any) -> Any:
    """A picture, segmented."""
    calls = core.calls

    def iter_teach(*given: Any) -> Steps[Any]:
        return (yield from teacher.iter_teach(*given)).candidate()

    replaced = {name: getattr(calls, name) for name in CoreCalls.__dataclass_fields__}

    def iter_try_styles(corrections: Any, parent: str, options: Any, *given: Any) -> Steps[StyleTrial]:
        tried = []
        for number, styles in enumerate((options.styles, ()), 1):
            steps = iter_teach(corrections, parent, dataclasses.replace(options, styles=styles), *given)
            tried.append((yield from share(steps, number / 2 - 0.5, number / 2, (number, 2))))
        own, looks = Difference(0.86, 0.86, -0.01, 0.01, 9), Difference(0.80, 0.52, 0.28 - teacher.doubt, 0.4, 9)
        return StyleTrial(with_styles=tried[0], without=tried[1], own=own, looks=looks)

    own = {"iter_teach": iter_teach, "iter_contradictions": teacher.iter_contradictions}
    own["iter_try_styles"] = iter_try_styles
    calls = CoreCalls(**replaced | own | {"store": lambda _: teacher.store})
    dock = make_quick_dock(calls)
    tifffile.imwrite(tmp_path / "slide7.tif", blobs())
    add_picture(dock.viewer, tmp_path / "slide7.tif")
    run(dock)
    dock.tabs.setCurrentIndex(1)
    yield dock
    for corrected in dock.corrections.layers:
        corrected.close(WAIT)


def in_sight() -> PartInSight:
    """A part of a picture."""
    given = {"placement": None, "model": "nuclei@1", "store": FakeStore(), "scope": "screen"}
    request = RunRequest(image=as_image(blobs()), options=SegmentOptions(), **given)
    return PartInSight(request=request, plane="YX", at=(), sides=((0, 2), (0, 2)), is_slab=False)


def painted(dock: MainDock, qtbot: Any, labels: Any = None) -> Any:
    """Paint over a part of the first object and make a new one."""
    labels = labels if labels is not None else next(x for x in dock.viewer.layers if type(x).__name__ == "Labels")
    labels.selected_label = 77
    labels.mode = "paint"
    labels.paint((50, 50), 77)
    qtbot.waitUntil(lambda: dock.teach.run.teach.isEnabled(), timeout=WAIT * 1000)
    return labels


def taught(dock: MainDock, click: Any, qtbot: Any) -> None:
    """Press TEACH and wait for the end."""
    click(dock.teach.run.teach)
    qtbot.waitUntil(lambda: not dock.teach.run.is_running, timeout=WAIT * 1000)


def labels_of(dock: MainDock) -> list[Any]:
    return [layer for layer in dock.viewer.layers if type(layer).__name__ == "Labels"]


def test_nothing_can_be_taught_before_something_was_corrected(dock, qtbot):
    assert not dock.teach.run.teach.isEnabled()
    painted(dock, qtbot)


def test_a_better_model_is_in_use_and_every_fix_is_kept(dock, teacher, click, qtbot):
    old = painted(dock, qtbot)
    stroke = np.asarray(old.data) == 77
    before = np.asarray(old.data).copy()
    taught(dock, click, qtbot)
    run = dock.teach.run
    assert not run.message.text, run.message.text
    assert teacher.parent == "nuclei@1"
    assert teacher.options.minutes == 2.0
    assert 77 in teacher.corrections[0].touched
    assert run.box.title() == "nuclei-mine 1"
    assert run.box.yours.text() == "your pictures: 0.700 → 0.860, better"
    assert run.box.old.text() == "old pictures: 0.930 → 0.930, same"
    assert "In use for new runs" in run.box.verdict.text()
    assert dock.segment.model.reference == "nuclei-mine@1"
    assert run.model.currentData() == "nuclei-mine@1"
    new = next(layer for layer in labels_of(dock) if layer is not old)
    assert (old.visible, new.visible) == (False, True)
    np.testing.assert_array_equal(np.asarray(old.data), before)  # a result never touches what was painted
    (number,) = set(np.asarray(new.data)[stroke].tolist())
    np.testing.assert_array_equal(np.asarray(new.data) == number, stroke)


def test_from_the_first_fix_to_the_taught_model_in_use_it_takes_the_strokes_and_one_click(dock, click, qtbot):
    painted(dock, qtbot)
    taught(dock, click, qtbot)  # the click
    assert dock.segment.model.reference == "nuclei-mine@1"


def test_the_model_that_made_the_labels_is_improved_until_a_person_says_otherwise(dock, run, qtbot):
    choice = dock.teach.run.model
    dock.segment.model.models.setCurrentIndex(dock.segment.model.models.findData("areas-only@1"))
    run(dock)
    assert choice.currentData() == "areas-only@1"
    first, second = (layer for layer in dock.viewer.layers if type(layer).__name__ == "Labels")
    dock.viewer.layers.selection.active = first
    assert choice.currentData() == "nuclei@1"
    choice.setCurrentIndex(choice.findData("areas-only@1"))
    painted(dock, qtbot, first)
    assert choice.currentData() == "areas-only@1"  # a stroke is no new choice of labels
    dock.viewer.layers.selection.active = second
    dock.viewer.layers.selection.active = first
    assert choice.currentData() == "nuclei@1"


def test_a_model_of_other_things_is_not_taught(dock, teacher, qtbot):
    liver = spec("liver").model_copy(update={"classes": (ClassSpec(value=1, name="liver", color="#4daf4a"),)})
    teacher.store.specs = [*teacher.store.specs, liver]
    dock.models.refresh()
    painted(dock, qtbot)
    run = dock.teach.run
    run.model.setCurrentIndex(run.model.findData("liver@1"))
    assert not run.teach.isEnabled()
    assert "shows nucleus, which liver does not know" in run.hint.text()
    dock.teach.learns.boxes[0].click()
    qtbot.waitUntil(lambda: "Tick a picture" in run.hint.text(), timeout=WAIT * 1000)


def test_the_brush_follows_what_is_shown(dock, click, qtbot):
    old = painted(dock, qtbot)
    taught(dock, click, qtbot)
    new = next(layer for layer in labels_of(dock) if layer is not old)
    selection = dock.viewer.layers.selection
    selection.active = new
    click(dock.teach.run.box.flip)
    assert selection.active is old
    click(dock.teach.run.box.flip)
    assert selection.active is new
    click(dock.teach.run.box.back)
    assert selection.active is old


def test_what_is_painted_or_accepted_while_it_teaches_stays_on_the_new_labels(dock, teacher, click, qtbot):
    labels = painted(dock, qtbot)
    teacher.gate.clear()
    click(dock.teach.run.teach)
    labels.paint((10, 80), 78)
    stroke = np.asarray(labels.data) == 78
    teacher.gate.set()
    qtbot.waitUntil(lambda: not dock.teach.run.is_running, timeout=WAIT * 1000)
    new = next(layer for layer in labels_of(dock) if layer is not labels)
    (number,) = set(np.asarray(new.data)[stroke].tolist())
    np.testing.assert_array_equal(np.asarray(new.data) == number, stroke)


def test_a_picture_that_was_moved_gets_its_new_labels_where_it_is_now(dock, teacher, click, qtbot):
    painted(dock, qtbot)
    teacher.gate.clear()
    click(dock.teach.run.teach)
    picture = dock.viewer.layers["slide7"]
    picture.translate, picture.name = (5, 7), "renamed"
    teacher.gate.set()
    qtbot.waitUntil(lambda: not dock.teach.run.is_running, timeout=WAIT * 1000)
    assert dock.viewer.layers["renamed nuclei-mine"].translate.tolist() == [5, 7]


@pytest.mark.parametrize("gone", ["picture", "labels"])
def test_layers_that_are_gone_are_no_trouble(dock, teacher, click, qtbot, gone):
    labels = painted(dock, qtbot)
    teacher.gate.clear()
    run = dock.teach.run
    click(run.teach)
    dock.viewer.layers.remove(labels if gone == "labels" else dock.viewer.layers["slide7"])
    teacher.gate.set()
    qtbot.waitUntil(lambda: not run.is_running, timeout=WAIT * 1000)
    assert run.box.title() == "nuclei-mine 1"
    assert run.box.flip.isHidden()
    assert ("removed" in run.message.text) == (gone == "picture")
    click(run.box.back)


def test_labels_of_an_earlier_day_come_back_better_too(dock, teacher, click, qtbot, open_entry):
    labels = painted(dock, qtbot)
    (corrected,) = dock.corrections.layers
    entry_folder = corrected.recorder.folder
    dock.viewer.layers.remove(labels)
    assert corrected.close(WAIT)
    (entry,) = (e for e in Project(entry_folder.parent).entries() if e.folder == entry_folder)
    opened = open_entry(dock.corrections, entry)
    qtbot.waitUntil(lambda: dock.teach.run.teach.isEnabled(), timeout=WAIT * 1000)
    assert dock.teach.run.model.currentData() == "nuclei@1"
    taught(dock, click, qtbot)
    new = next(layer for layer in labels_of(dock) if layer is not opened.layer)
    assert new.name == "slide7 nuclei-mine"
    assert (np.asarray(opened.layer.data) == 77).any()


@pytest.mark.parametrize("in_window", [True])
def test_what_came_of_it_is_in_sight_in_a_low_window(dock, click, qtbot):
    window = dock.viewer.window._qt_window
    window.resize(900, 520)
    window.show()
    painted(dock, qtbot)
    taught(dock, click, qtbot)
    box = dock.teach.run.box
    qtbot.waitUntil(lambda: not box.flip.visibleRegion().isEmpty(), timeout=WAIT * 1000)


@pytest.mark.long
@pytest.mark.parametrize("in_window", [True])
def test_the_button_that_flips_stays_under_the_mouse_in_a_low_window(dock, click, qtbot):
    window = dock.viewer.window._qt_window
    window.resize(1200, 640)
    window.show()
    qtbot.waitExposed(window)
    painted(dock, qtbot)
    taught(dock, click, qtbot)
    flip = dock.teach.run.box.flip
    qtbot.waitUntil(lambda: not dock.teach.run._revealing.isActive(), timeout=WAIT * 1000)
    qtbot.wait(2 * REST_MS)  # what was learned from has been counted, and shown
    places = {flip.mapTo(dock, QPoint(0, 0)).y()}
    for _ in range(2):
        click(flip)
        for _ in range(2):  # at once, and when all is counted anew
            places.add(flip.mapTo(dock, QPoint(0, 0)).y())
            qtbot.wait(REST_MS)
            places.add(flip.mapTo(dock, QPoint(0, 0)).y())
    assert len(places) == 1


def test_a_second_lesson_on_the_new_labels_keeps_the_fixes_of_both(dock, teacher, click, qtbot):
    old = painted(dock, qtbot)
    first = np.asarray(old.data) == 77
    taught(dock, click, qtbot)
    new = next(layer for layer in labels_of(dock) if layer is not old)
    new.paint((10, 80), 90)
    second = np.asarray(new.data) == 90
    qtbot.waitUntil(lambda: len(dock.teach.learns.boxes) == 2, timeout=WAIT * 1000)
    taught(dock, click, qtbot)
    assert len(teacher.corrections) == 2
    assert teacher.parent == "nuclei-mine@1"
    (shown,) = (layer for layer in labels_of(dock) if layer.visible)
    assert len(labels_of(dock)) == 3
    for stroke in (first, second):
        (number,) = set(np.asarray(shown.data)[stroke].tolist())
        np.testing.assert_array_equal(np.asarray(shown.data) == number, stroke)
    click(dock.teach.run.box.flip)
    assert [layer for layer in labels_of(dock) if layer.visible] == [new]


def test_what_changed_is_outlined_unasked_until_a_click_hides_it(dock, click, qtbot):
    painted(dock, qtbot)
    box, layers = dock.teach.run.box, dock.viewer.layers
    taught(dock, click, qtbot)
    assert not box.changes.isEnabled()  # every fix was kept, and the rest is as it was
    dock.viewer.layers["slide7"].data[20:28, 6:14] = 10  # the next model will not find this one
    taught(dock, click, qtbot)
    gone = np.zeros((64, 96), int)
    gone[20:28, 6:14] = GONE
    marks, (new,) = layers["what changed"], (one for one in labels_of(dock) if one.visible and one.editable)
    np.testing.assert_array_equal(marks.data, gone)
    assert marks.contour > new.contour  # else it is lost among the outlines of all objects
    assert layers.selection.active is new
    click(box.changes)
    assert "what changed" not in layers
    click(box.changes)
    np.testing.assert_array_equal(layers["what changed"].data, gone)
    click(box.back)
    assert "what changed" not in layers


def test_what_changed_in_a_picture_too_large_to_outline_is_filled(dock, click, qtbot, monkeypatch):
    monkeypatch.setattr(old_and_new, "OUTLINE_LIMIT", 64 * 96 - 1)
    painted(dock, qtbot)
    dock.viewer.layers["slide7"].data[20:28, 6:14] = 10
    taught(dock, click, qtbot)
    marks = dock.viewer.layers["what changed"]
    assert (marks.contour, marks.opacity) == (0, old_and_new.FILLED)


def test_a_picture_that_nobody_corrected_is_segmented_again_too(dock, teacher, click, qtbot, tmp_path, run):
    tifffile.imwrite(tmp_path / "slide8.tif", blobs(peak=150))
    add_picture(dock.viewer, tmp_path / "slide8.tif")
    run(dock)
    before = dock.viewer.layers["slide8 nuclei"]
    painted(dock, qtbot, dock.viewer.layers["slide7 nuclei"])
    taught(dock, click, qtbot)
    assert [one.image.name for one in teacher.corrections] == ["slide7"]
    new = dock.viewer.layers["slide8 nuclei-mine"]
    assert (before.visible, new.visible) == (False, True)
    np.testing.assert_array_equal(np.asarray(new.data) > 0, blobs(peak=150) > 128)
    click(dock.teach.run.box.flip)
    assert (before.visible, new.visible) == (True, False)


@pytest.mark.long
def test_so_is_one_that_was_never_segmented_but_none_of_another_kind(dock, teacher, click, qtbot):
    dock.viewer.add_image(np.zeros((64, 96, 3), np.uint8), name="photo", rgb=True)
    dock.viewer.add_image(blobs(peak=150), name="slide8")
    dock.viewer.add_image(np.zeros((1000, 1000), np.uint8), name="large")
    painted(dock, qtbot)
    taught(dock, click, qtbot)
    made = [layer.name for layer in labels_of(dock)]
    assert made == ["slide7 nuclei", "slide7 nuclei-mine", "slide8 nuclei-mine"]


def test_another_picture_is_segmented_whole_where_a_shape_in_the_first_one_was():
    inside = {"frames": ((0,),), "polygon": ((1.0, 1.0), (1.0, 9.0), (9.0, 9.0))}
    request = dataclasses.replace(in_sight().request, options=SegmentOptions(**inside), scope="shape")
    other = run_like(request, Image(blobs(peak=150)))
    assert (other.options, other.scope) == (SegmentOptions(), WHOLE)


def test_old_and_new_are_flipped_and_going_back_moves_only_the_choice(dock, teacher, click, qtbot):
    old = painted(dock, qtbot)
    taught(dock, click, qtbot)
    new = next(layer for layer in labels_of(dock) if layer is not old)
    click(dock.teach.run.box.flip)
    assert (old.visible, new.visible) == (True, False)
    click(dock.teach.run.box.flip)
    assert (old.visible, new.visible) == (False, True)
    click(dock.teach.run.box.back)
    assert dock.segment.model.reference == "nuclei@1"
    assert (old.visible, new.visible) == (True, False)
    assert "nuclei-mine" in [s.name for s in teacher.store.list()]
    assert "stays among your models" in dock.teach.run.box.verdict.text()


@pytest.mark.parametrize("in_window", [True])
def test_one_key_flips_old_and_new_in_a_window_with_two_docks(dock, core, click, qtbot):
    old = painted(dock, qtbot)
    taught(dock, click, qtbot)
    new = next(layer for layer in labels_of(dock) if layer is not old)
    window = dock.viewer.window
    window.add_dock_widget(MainDock(dock.viewer, core.calls), name="UNet 2", area="left")
    main = window._qt_window
    with qtbot.waitActive(main, timeout=WAIT * 1000):
        main.show()
        main.activateWindow()
    for shown in ((True, False), (False, True)):
        qtbot.keyClick(main, Qt.Key.Key_F8)
        assert (old.visible, new.visible) == shown


@pytest.mark.parametrize(
    ("comparison", "words"),
    [
        (FORGETS, "would forget"),
        (LOSES_A_CLASS, "one class worse (0.800 → 0.500)"),
    ],
)
def test_one_that_is_no_better_is_not_used_unless_a_person_says_so(dock, teacher, click, qtbot, comparison, words):
    teacher.comparison = comparison
    painted(dock, qtbot)
    taught(dock, click, qtbot)
    run = dock.teach.run
    assert words in run.box.verdict.text()
    assert dock.segment.model.reference == "nuclei@1"
    assert len(labels_of(dock)) == 1
    assert run.box.back.isHidden()
    click(run.box.use)
    qtbot.waitUntil(lambda: not run.is_running, timeout=WAIT * 1000)
    assert dock.segment.model.reference == "nuclei-mine@1"
    assert len(labels_of(dock)) == 2
    assert teacher.forgotten == 0


def test_one_that_nobody_can_check_is_looked_at_before_it_is_used(dock, teacher, click, qtbot):
    teacher.comparison = UNCHECKED
    old = painted(dock, qtbot)
    before = np.array(old.data)
    taught(dock, click, qtbot)
    run = dock.teach.run
    assert "3 more areas called right" in run.box.verdict.text()
    assert dock.segment.model.reference == "nuclei@1"
    (new,) = (layer for layer in labels_of(dock) if layer is not old)
    assert (old.visible, new.visible, new.editable) == (True, False, False)
    assert dock.viewer.layers.selection.active is old
    assert not run.box.use.isEnabled()
    click(run.box.flip)
    assert (old.visible, new.visible) == (False, True)
    click(run.box.use)
    qtbot.waitUntil(lambda: not run.is_running, timeout=WAIT * 1000)
    assert dock.segment.model.reference == "nuclei-mine@1"
    assert new not in dock.viewer.layers
    assert len(labels_of(dock)) == 2
    assert np.array_equal(old.data, before)
    assert teacher.forgotten == 0


@pytest.mark.long
def test_labels_that_were_only_looked_at_go_with_the_next_teaching(dock, teacher, click, qtbot):
    teacher.comparison = UNCHECKED
    old = painted(dock, qtbot)
    taught(dock, click, qtbot)
    click(dock.teach.run.box.flip)
    teacher.comparison = FORGETS
    taught(dock, click, qtbot)
    assert labels_of(dock) == [old]
    assert old.visible
    assert teacher.forgotten == 1


def test_stop_while_a_taken_model_segments_again_gives_up_at_once(dock, teacher, core, click, qtbot):
    teacher.comparison = FORGETS
    painted(dock, qtbot)
    taught(dock, click, qtbot)
    core.hold()
    core.started.clear()
    run = dock.teach.run
    click(run.box.use)
    qtbot.waitUntil(core.started.is_set, timeout=WAIT * 1000)
    click(run.progress.stop)
    core.release()
    qtbot.waitUntil(lambda: not run.is_running, timeout=WAIT * 1000)
    assert "your fixes are kept" in run.message.text
    assert dock.segment.model.reference == "nuclei@1"
    assert len(labels_of(dock)) == 1


def test_what_nobody_took_is_removed_with_the_next_teaching(dock, teacher, click, qtbot):
    teacher.comparison = FORGETS
    painted(dock, qtbot)
    taught(dock, click, qtbot)
    taught(dock, click, qtbot)
    assert teacher.forgotten == 1


def test_painting_while_it_teaches_works_and_is_no_part_of_it(dock, teacher, click, qtbot):
    labels = painted(dock, qtbot)
    teacher.gate.clear()
    click(dock.teach.run.teach)
    labels.paint((10, 80), 78)
    teacher.gate.set()
    qtbot.waitUntil(lambda: not dock.teach.run.is_running, timeout=WAIT * 1000)
    assert 78 not in teacher.corrections[0].labels
    assert (np.asarray(labels.data) == 78).any()


def test_stop_compares_what_there_is(dock, teacher, click, qtbot):
    teacher.steps = 10**6
    painted(dock, qtbot)
    click(dock.teach.run.teach)
    qtbot.waitUntil(lambda: teacher.done > 3, timeout=WAIT * 1000)
    click(dock.teach.run.progress.stop)
    qtbot.waitUntil(lambda: not dock.teach.run.is_running, timeout=WAIT * 1000)
    assert not dock.teach.run.box.isHidden()


def test_what_is_done_is_said_and_time_left_only_where_it_is_known(dock, teacher, click, qtbot):
    teacher.steps = 10**6
    painted(dock, qtbot)
    run, bar = dock.teach.run, dock.teach.run.progress.bar
    click(run.teach)
    assert "left" not in bar.text()
    qtbot.waitUntil(lambda: run.doing.text() == "Teaching" and "min left" in bar.text(), timeout=WAIT * 1000)
    assert run.doing.isVisibleTo(run)
    click(run.progress.stop)
    qtbot.waitUntil(lambda: not run.is_running, timeout=WAIT * 1000)
    assert run.doing.isHidden()


def test_a_pause_does_nothing_until_it_ends(dock, teacher, click, qtbot):
    teacher.steps = 10**6
    painted(dock, qtbot)
    run = dock.teach.run
    click(run.teach)
    qtbot.waitUntil(lambda: teacher.done > 3, timeout=WAIT * 1000)
    click(run.pause)
    qtbot.wait(50)
    at = teacher.done
    qtbot.wait(100)
    assert teacher.done <= at + 1
    assert run.pause.text() == "Go on"
    click(run.pause)
    qtbot.waitUntil(lambda: teacher.done > at + 3, timeout=WAIT * 1000)
    click(run.progress.stop)
    qtbot.waitUntil(lambda: not run.is_running, timeout=WAIT * 1000)


def waiting(dock, qtbot):
    run = dock.teach.run
    qtbot.waitUntil(lambda: "4096 bytes to /models" in run.message.text, timeout=WAIT * 1000)
    assert run.is_running
    assert run.pause.text() == "Go on"
    return run


@pytest.mark.parametrize("keeps_full", [False, True])
def test_a_full_disk_is_a_pause_until_a_person_says_go_on(dock, teacher, click, qtbot, keeps_full):
    teacher.full, teacher.keeps_full = 2, keeps_full
    painted(dock, qtbot)
    click(dock.teach.run.teach)
    run = waiting(dock, qtbot)
    click(run.message.buttons()["Go on"])
    waiting(dock, qtbot)
    click(run.pause)  # the same
    qtbot.waitUntil(lambda: not run.is_running, timeout=WAIT * 1000)
    assert run.message.isHidden()
    assert "In use" in run.box.verdict.text()


def test_a_model_that_there_is_no_room_for_can_be_used_later(dock, teacher, click, qtbot):
    teacher.full, teacher.keeps_full = 2, True
    painted(dock, qtbot)
    run = dock.teach.run
    for button in (run.teach, run.box.use):
        click(button)
        click(waiting(dock, qtbot).message.buttons()["Stop"])
        qtbot.waitUntil(lambda: not run.is_running, timeout=WAIT * 1000)
        assert "could not be put among your models" in run.box.verdict.text()
        assert "4096 bytes" in run.message.text
        assert teacher.forgotten == 0
    click(run.box.use)
    qtbot.waitUntil(lambda: not run.is_running, timeout=WAIT * 1000)
    assert "In use" in run.box.verdict.text()
    assert run.message.isHidden()


@pytest.mark.parametrize(("end", "in_window"), [("stop", False), ("close", True)])
def test_what_the_disk_refuses_can_be_given_up(dock, teacher, click, qtbot, end):
    teacher.full = 10**6
    painted(dock, qtbot)
    click(dock.teach.run.teach)
    run = waiting(dock, qtbot)
    if end == "stop":
        click(run.progress.stop)
        qtbot.waitUntil(lambda: not run.is_running, timeout=WAIT * 1000)
        assert "4096 bytes" in run.message.text
        assert run.pause.text() == "Pause"
        assert teacher.full == 10**6 - 1
    else:
        job = run._slot._job
        dock.close_down()
        qtbot.waitUntil(lambda: not job.is_alive, timeout=WAIT * 1000)


def test_giving_up_changes_nothing(dock, teacher, click, qtbot):
    labels = painted(dock, qtbot)
    before = np.asarray(labels.data).copy()
    teacher.gate.clear()
    run = dock.teach.run
    click(run.teach)
    click(run.progress.stop)
    click(run.progress.stop)
    teacher.gate.set()
    qtbot.waitUntil(lambda: not run.is_running, timeout=WAIT * 1000)
    assert "your fixes are kept" in run.message.text
    assert dock.segment.model.reference == "nuclei@1"
    np.testing.assert_array_equal(np.asarray(labels.data), before)


def test_an_error_is_a_row_and_teaching_can_be_tried_again(dock, teacher, click, qtbot):
    teacher.error = RuntimeError("boom")
    painted(dock, qtbot)
    taught(dock, click, qtbot)
    assert "boom" in dock.teach.run.message.text
    teacher.error = None
    taught(dock, click, qtbot)
    assert not dock.teach.run.box.isHidden()


@pytest.mark.parametrize("in_window", [True])
def test_closing_the_dock_while_it_teaches_leaves_nothing_running(dock, teacher, click, qtbot):
    painted(dock, qtbot)
    teacher.steps = 10**6
    click(dock.teach.run.teach)
    qtbot.waitUntil(lambda: teacher.done > 3, timeout=WAIT * 1000)
    dock.close_down()
    at = teacher.done
    qtbot.wait(200)
    assert teacher.done <= at + 1


def test_the_score_is_a_curve(dock, teacher, click, qtbot):
    painted(dock, qtbot)
    taught(dock, click, qtbot)
    curve = dock.teach.run.curve
    assert [round(score, 2) for _, score in curve.points][-1] <= 0.82


def test_fixes_whose_picture_is_gone_are_left_out_and_that_is_said(dock, teacher, click, qtbot, tmp_path):
    painted(dock, qtbot)
    (corrected,) = dock.corrections.layers
    other = Project(corrected.recorder.folder.parent)
    gone = other.add(as_image(blobs()), np.ones(blobs().shape, int), tmp_path / "gone.tif", layer="gone nuclei")
    assert gone.folder.exists()
    dock.teach.learns.refresh()
    qtbot.waitUntil(lambda: len(dock.teach.learns.lessons) == 2, timeout=WAIT * 1000)
    taught(dock, click, qtbot)
    assert len(teacher.corrections) == 1
    assert "gone nuclei" in dock.teach.run.message.text
    assert not dock.teach.run.box.isHidden()


def test_looks_of_other_pictures_are_learned_with_the_fixes(dock, teacher, click, tick, qtbot):
    also = dock.teach.run.also
    assert not also.pictures.isVisibleTo(also)
    bright = dock.viewer.add_image((255 - 0.5 * blobs()).astype(np.uint8), name="other scanner")
    painted(dock, qtbot)
    tick(also.box)
    tick(also.pictures.box_of(bright))
    taught(dock, click, qtbot)
    (style,) = teacher.options.styles
    assert style.name == "other scanner"
    assert style.polarity < 0
    tick(also.box)  # a closed row adds nothing
    taught(dock, click, qtbot)
    assert teacher.options.styles == ()
    assert dock.teach.run.box.trial.isHidden()


def test_looks_of_files_that_are_not_open_are_learned_too(dock, teacher, click, tick, qtbot, tmp_path):
    also, run = dock.teach.run.also, dock.teach.run
    path = tmp_path / "other scanner.tif"
    dialog = also.ask_for_files()
    dialog.filesSelected.emit([str(path), str(path)])  # what pressing Open does; the file is not read yet
    dialog.close()
    painted(dock, qtbot)
    tick(also.box)
    assert [(box.text(), box.isChecked()) for box in also.files.values()] == [("other scanner.tif", True)]
    with qtbot.waitSignal(run._slot.done, timeout=WAIT * 1000):
        click(run.teach)
    assert "other scanner.tif" in run.message.text
    tifffile.imwrite(path, (255 - 0.5 * blobs()).astype(np.uint8))
    tick(also.texture)
    taught(dock, click, qtbot)
    (style,) = teacher.options.styles
    assert style.polarity < 0
    assert style.texture is not None
    assert [layer.name for layer in dock.viewer.layers].count("other scanner") == 0
    tick(also.files[path])
    taught(dock, click, qtbot)
    assert teacher.options.styles == ()


def test_texture_is_that_of_kept_styles_too_and_where_none_has_one_it_is_refused_in_words():
    assert lesson_run._styles([StyleBank().load("he-light")], True)[0].texture is not None
    kept = Reference.of_unit(blobs()[np.newaxis].astype(np.float32) / 255)
    with pytest.raises(OptionError, match="Texture needs a picture"):
        lesson_run._styles([kept], True)


def test_whether_other_looks_help_is_found_out_by_teaching_without_them_too(dock, teacher, click, tick, qtbot):
    also, run = dock.teach.run.also, dock.teach.run
    bright = dock.viewer.add_image((255 - 0.5 * blobs()).astype(np.uint8), name="other scanner")
    painted(dock, qtbot)
    tick(also.box)
    tick(also.trial)
    tick(also.pictures.box_of(bright))
    taught(dock, click, qtbot)
    assert (teacher.done, teacher.forgotten) == (2 * teacher.steps, 1)
    assert run.box.trial.text().splitlines() == [
        "The other looks help, so this is the model that saw them. Without → with:",
        "other looks: 0.520 → 0.800 (+0.180 to +0.400)",
        "your pictures: 0.860 → 0.860 (-0.010 to +0.010)",
    ]
    assert dock.segment.model.reference == "nuclei-mine@1"
    teacher.doubt = 0.3
    taught(dock, click, qtbot)
    assert "do not surely help, so this is one without" in run.box.trial.text()


def test_use_in_teach_brings_the_pictures_there(dock, click, tick, qtbot):
    other = dock.viewer.add_image((255 - 0.5 * blobs()).astype(np.uint8), name="other scanner")
    dock.tabs.setCurrentIndex(2)
    panel = dock.style_panel
    panel.layers.setCurrentText("slide7")
    tick(panel.styles.box_of(other))
    click(panel.teach)
    assert dock.tabs.tabText(dock.tabs.currentIndex()) == "Teach"
    assert dock.teach.run.also.pictures.ticked == [other]


@pytest.mark.parametrize("in_window", [True])
def test_fixes_against_what_the_model_was_sure_of_are_shown_before_they_are_learned(
    dock, teacher, click, qtbot, monkeypatch
):
    monkeypatch.setattr(contradictions, "SURE", 0.9)  # as sure as the fake is of its background
    teacher.doubtful = True
    run, row = dock.teach.run, dock.teach.run.doubts
    labels = painted(dock, qtbot)
    labels.paint((50, 20), 78)
    click(run.teach)
    qtbot.waitUntil(lambda: not row.isHidden(), timeout=WAIT * 1000)
    assert row.text == "2 of your fixes go against what nuclei was sure of."
    assert teacher.done == 0
    assert run.message.isHidden()
    for number, x in ((1, 20), (2, 50), (1, 20)):
        click(next(button for words, button in row.buttons().items() if words.startswith("Show")))
        assert row.text == f"slide7 nuclei, {number} of 2: you say nucleus; nuclei was sure: nothing there."
        np.testing.assert_allclose(dock.viewer.scene.camera.center[-2:], (50, x), atol=1.5)
        y0, x0 = run.spot.drawing.outlines.origin
        assert y0 < 45 < y0 + run.spot.drawing.outlines.mask.shape[0]
        assert x0 < x < x0 + run.spot.drawing.outlines.mask.shape[1]
    click(row.buttons()["Not now"])
    assert row.isHidden()
    assert run.spot.drawing.outlines is None
    labels.undo()  # one was a slip
    click(run.teach)
    qtbot.waitUntil(lambda: not row.isHidden(), timeout=WAIT * 1000)
    assert row.text == "One of your fixes goes against what nuclei was sure of."
    assert not run.is_running
    click(row.buttons()["Teach all the same"])
    qtbot.waitUntil(lambda: not run.is_running, timeout=WAIT * 1000)
    assert not run.box.isHidden()
    run.choose("nuclei")
    taught(dock, click, qtbot)  # the same place is not asked about twice
    assert row.isHidden()
    assert teacher.done == 10


def test_pressing_teach_again_teaches(dock, teacher, click, qtbot, monkeypatch):
    monkeypatch.setattr(contradictions, "SURE", 0.9)
    teacher.doubtful = True
    painted(dock, qtbot)
    click(dock.teach.run.teach)
    qtbot.waitUntil(lambda: not dock.teach.run.doubts.isHidden(), timeout=WAIT * 1000)
    taught(dock, click, qtbot)
    assert not dock.teach.run.box.isHidden()
    assert dock.teach.run.doubts.isHidden()


@pytest.mark.parametrize("in_window", [True])
def test_what_it_has_come_to_is_seen_while_it_learns(dock, teacher, core, click, tick, qtbot, monkeypatch):
    monkeypatch.setattr(live_preview, "EVERY", 0.0)
    monkeypatch.setattr(live_preview, "SHARE", 1.0)
    monkeypatch.setattr(live_preview, "LOOK", 20)
    teacher.shows, teacher.steps = True, 10**6
    whole = outline_mask(np.asarray(dock.viewer.layers["slide7 nuclei"].data))  # the fake finds the same each time
    painted(dock, qtbot)
    run, layers = dock.teach.run, list(dock.viewer.layers)
    assert run.live.isHidden()
    click(run.teach)
    qtbot.waitUntil(lambda: run.live.drawing.outlines is not None, timeout=WAIT * 1000)
    outlines = run.live.drawing.outlines
    (y, x), (height, width) = outlines.origin, outlines.mask.shape
    np.testing.assert_array_equal(outlines.mask, whole[y : y + height, x : x + width])
    assert list(dock.viewer.layers) == layers
    tick(run.live.box)
    assert run.live.drawing.outlines is None
    qtbot.waitUntil(lambda: run.live.sight.outlines is not None, timeout=WAIT * 1000)
    before = len(core.previews)
    qtbot.wait(50)
    assert len(core.previews) <= before + 1  # nobody looks
    tick(run.live.box)
    qtbot.waitUntil(lambda: run.live.drawing.outlines is not None, timeout=WAIT * 1000)
    click(run.progress.stop)
    assert run.live.drawing.outlines is None
    qtbot.waitUntil(lambda: not run.is_running, timeout=WAIT * 1000)
    assert run.live.isHidden()
    assert not run.box.isHidden()


def test_a_look_that_fails_or_is_dear_does_not_hold_up_the_teaching():
    time, looks, sight = [0.0], [], Sight(wanted=in_sight())

    def iter_preview(_image, model, *_):
        looks.append((time[0], model))
        yield Progress(0, 1)
        time[0] += 2.0  # seconds
        if len(looks) == 3:
            raise RuntimeError("out of memory")
        return np.zeros((2, 2), int)

    def steps():
        for i in range(200):
            time[0] += 1.0
            yield TrainProgress(i, 200, "Teaching", score=i / 200, so_far=lambda: i)  # noqa: B023
        return "taught"

    calls = SimpleNamespace(iter_preview=iter_preview)
    assert drained(iter_watched(steps(), sight, calls, lambda: time[0])) == "taught"
    assert [(round(when), model) for when, model in looks] == [(3, 2), (40, 37), (60, 55)]
    assert sight.problem


@pytest.mark.parametrize("in_window", [True])
def test_details_say_how_it_was_taught_and_go_to_the_places_where_the_two_differ(dock, teacher, click, qtbot):
    was, now = ([(Counts(100, 100, both),) for both in dice] for dice in ((70, 70, 70), (71, 95, 60)))
    teacher.comparison = Comparison(Scores(tuple(was), ((0.93,),)), Scores(tuple(now), ((0.93,),)))
    teacher.notes = ("2 of 5 steps were left out.",)
    painted(dock, qtbot)
    taught(dock, click, qtbot)
    run, details = dock.teach.run, dock.teach.run.box.details
    assert details.table.isHidden()
    click(details.toggle)
    assert details.how.text() == "It learned for 2 minutes from 1 picture of yours, and again from old ones."
    assert details.notes.text() == run.message.text == "2 of 5 steps were left out."
    rows = [[details.table.item(row, column).text() for column in range(3)] for row in range(3)]
    assert rows == [
        ["2 · slide7", "0.700", "0.950"],
        ["3 · slide7", "0.700", "0.600"],
        ["1 · slide7", "0.700", "0.710"],
    ]
    for row, x in ((0, 39.5), (1, 69.5)):
        place = details.table.visualItemRect(details.table.item(row, 0)).center()
        qtbot.mouseClick(details.table.viewport(), Qt.MouseButton.LeftButton, pos=place)
        np.testing.assert_allclose(dock.viewer.scene.camera.center[-2:], (9.5, x))
        assert run.spot.drawing.outlines.mask.shape == (26, 26)
    click(details.toggle)
    assert details.table.isHidden()
    assert run.spot.drawing.outlines is None


@pytest.mark.parametrize("in_window", [True])
def test_all_places_that_were_held_out_are_framed_while_the_box_is_seen(dock, click, qtbot):
    window = dock.viewer.window._qt_window
    window.show()
    qtbot.waitExposed(window)
    painted(dock, qtbot)
    taught(dock, click, qtbot)
    run, (drawing,) = dock.teach.run, dock.teach.run.places.drawings
    boxes = [(place.box[-2], place.box[-1]) for place in run._result.taught.candidate.places]
    assert len(boxes) == 3
    assert list(drawing.frames.boxes) == boxes
    click(run.box.details.toggle)
    click(run.box.details.toggle)
    assert drawing.frames is not None
    dock.tabs.setCurrentIndex(0)
    assert drawing.frames is None
    dock.tabs.setCurrentIndex(1)
    assert list(drawing.frames.boxes) == boxes
    dock.viewer.layers.remove("slide7")
    assert drawing.frames is None


@pytest.mark.screen
@pytest.mark.parametrize("in_window", [True])
def test_the_frames_of_places_are_seen_on_the_canvas(dock, click, qtbot):
    window = dock.viewer.window._qt_window
    window.show()
    qtbot.waitExposed(window)
    painted(dock, qtbot)
    taught(dock, click, qtbot)
    dock.viewer.layers.selection.active.visible = False

    def orange() -> int:
        pixels = dock.viewer.screenshot(canvas_only=False, flash=False)[..., :3].astype(int)
        return int((np.abs(pixels - (0xFF, 0x9F, 0x1C)).max(axis=-1) < 40).sum())

    assert orange() > 200
    dock.tabs.setCurrentIndex(0)
    assert orange() < 50


def test_a_taught_model_is_shared_once_it_is_in_use(dock, teacher, click, qtbot):
    teacher.comparison = FORGETS
    painted(dock, qtbot)
    taught(dock, click, qtbot)
    run = dock.teach.run
    assert run.box.share.isHidden()
    click(run.box.use)
    qtbot.waitUntil(lambda: not run.is_running, timeout=WAIT * 1000)
    click(run.box.share)
    (dialog,) = run.box.share.findChildren(QFileDialog)
    assert dialog.selectedFiles()[0].endswith("nuclei-mine-1.unetmodel.zip")
    dialog.reject()
