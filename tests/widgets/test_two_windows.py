"""Two windows on one picture, one project and one model store: nothing is torn or lost, and each sees the other's."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_unetstyle.core import ModelStore
from napari_unetstyle.core.annotation.journal_state import read_journal
from napari_unetstyle.core.annotation.open_journals import left_open
from napari_unetstyle.core.annotation.project import FOLDER, Entry, Project
from napari_unetstyle.widgets.opening import add_picture
from tests.core.networks_for_tests import tiny_model
from tests.core.training_for_tests import discs
from tests.widgets.fake_core import WAIT, blobs
from tests.widgets.real_window_for_tests import STROKES, stroke
from tests.widgets.test_teach_run import Teacher

ROOT = Path(__file__).parents[2]


@pytest.fixture
def teacher():
    return Teacher()


@pytest.fixture
def windows(make_windowless_dock, core, teacher, run, tmp_path):
    """The same picture, segmented in both."""
    tifffile.imwrite(tmp_path / "slide7.tif", blobs())

    def iter_teach(*given):
        return (yield from teacher.iter_teach(*given)).candidate()

    own = {"iter_teach": iter_teach, "iter_contradictions": teacher.iter_contradictions}
    calls = dataclasses.replace(core.calls, **own, store=lambda _: teacher.store)
    both = [make_windowless_dock(calls) for _ in range(2)]
    for dock in both:
        add_picture(dock.viewer, tmp_path / "slide7.tif")
        run(dock)
    yield both
    for dock in both:
        for corrected in dock.corrections.layers:
            corrected.close(WAIT)


def paint(dock, at, value):
    (corrected,) = dock.corrections.layers
    corrected.layer.paint(at, value)
    assert corrected.recorder.flush(WAIT)
    return corrected


def listed(dock, qtbot, count):
    learns = dock.teach.learns
    learns.refresh()
    qtbot.waitUntil(lambda: len(learns.lessons) == count, timeout=WAIT * 1000)
    return learns.lessons


def test_each_window_keeps_its_own_strokes_and_learns_from_those_of_both(windows, teacher, click, qtbot):
    first, second = windows
    ours, theirs = paint(first, (50, 50), 70), paint(second, (10, 50), 80)
    assert ours.recorder.folder != theirs.recorder.folder
    assert ours.recorder.folder.parent == theirs.recorder.folder.parent
    for dock in windows:
        assert [lesson.entry is None for lesson in listed(dock, qtbot, 2)] == [True, False]
    qtbot.waitUntil(second.teach.run.teach.isEnabled, timeout=WAIT * 1000)
    click(second.teach.run.teach)
    qtbot.waitUntil(lambda: not second.teach.run.is_running, timeout=WAIT * 1000)
    assert [bool((c.labels == v).any()) for c in teacher.corrections for v in (70, 80)] == [False, True, True, False]
    first.tabs.setCurrentIndex(3)  # where what the other has made is seen
    assert "nuclei-mine" in [spec.name for spec in first.segment.model._specs.values()]
    paint_again = ours.layer.paint
    paint_again((52, 60), 71)
    assert ours.recorder.flush(WAIT)
    assert (read_journal(ours.recorder.folder).labels == 71).any()
    assert not (read_journal(theirs.recorder.folder).labels == 71).any()


def test_what_the_other_window_has_open_is_refused_in_words_until_it_is_closed_there(windows, click, qtbot, open_entry):
    first, second = windows
    ours = paint(first, (50, 50), 70)
    (lesson,) = listed(second, qtbot, 1)
    second.teach.learns.boxes[0].click()
    assert "open in another window" in second.teach.learns.message.text
    assert open_entry(second.corrections, lesson.entry) is None
    assert "is still being written" in second.corrections.rows[0].text
    paint(first, (52, 60), 71)
    first.viewer.layers.remove(ours.layer)
    assert ours.close(WAIT)
    opened = open_entry(second.corrections, lesson.entry)
    opened.layer.paint((10, 10), 90)
    assert opened.recorder.flush(WAIT)
    state = read_journal(ours.recorder.folder)
    assert all((state.labels == value).any() for value in (70, 71, 90))
    assert len(Project(ours.recorder.folder.parent).entries()) == 1


def test_what_another_window_wrote_meanwhile_is_never_overwritten(windows, monkeypatch, qtbot, open_entry):
    """As if the two had opened it at the same moment."""
    first, second = windows
    ours = paint(first, (50, 50), 70)
    (lesson,) = listed(second, qtbot, 1)
    monkeypatch.setattr(Entry, "is_open", False)
    opened = open_entry(second.corrections, lesson.entry)
    opened.layer.paint((10, 10), 90)
    paint(first, (52, 60), 71)
    first.viewer.layers.remove(ours.layer)
    assert ours.close(WAIT)
    qtbot.waitUntil(lambda: "Open it again" in opened.saved, timeout=WAIT * 1000)
    assert (read_journal(ours.recorder.folder).labels == 71).any()


@pytest.mark.long
@pytest.mark.screen
def test_two_real_windows_paint_and_teach_at_once(tmp_path):
    """Two napari on one picture, one project and one model store, with nothing in place of the core."""
    tifffile.imwrite(tmp_path / "slide7.tif", (255 * discs((128, 160), count=12).image[0]).astype(np.uint8))
    tiny_model(tmp_path / "models", channels="gray")
    given = {"NAPARI_UNETSTYLE_MODELS": tmp_path / "models", "NAPARI_UNETSTYLE_FIXES": tmp_path / "own"}
    command = [sys.executable, "-m", "tests.widgets.real_window_for_tests"]
    both = [
        subprocess.Popen(
            [*command, str(which), str(tmp_path / "slide7.tif")],
            cwd=ROOT,
            env=os.environ | {name: str(path) for name, path in given.items()},
            stdout=subprocess.PIPE,
            text=True,
        )
        for which in (0, 1)
    ]
    in_use = [child.communicate(timeout=1200)[0].split() for child in both]
    assert [child.returncode for child in both] == [0, 0]
    store, project = ModelStore(tmp_path / "models"), Project(tmp_path / FOLDER)
    assert sorted(in_use) == [["tiny-mine@1"], ["tiny-mine@2"]]
    assert store.problems() == {}
    assert all(store.load(name).network is not None for (name,) in in_use)
    assert project.problems() == []
    assert left_open(tmp_path / "own" / ".open") == []
    states = [entry.state() for entry in project.entries()]
    for which in (0, 1):
        strokes = [stroke(which, number) for number in range(STROKES)]
        assert any(all(state.labels[place] == value for place, value in strokes) for state in states)
