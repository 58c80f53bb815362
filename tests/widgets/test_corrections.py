"""Painting on a result is correcting it: kept from the first stroke, undone with Ctrl+Z, restored after a crash."""

from __future__ import annotations

import contextlib
import itertools
import threading

import numpy as np
import pytest
import tifffile

from napari_unetstyle.core.annotation.corrections import learned
from napari_unetstyle.core.annotation.journal import Journal
from napari_unetstyle.core.annotation.journal_state import read_journal
from napari_unetstyle.core.annotation.open_journals import default_marks, left_open, mark_open
from napari_unetstyle.core.annotation.project import FOLDER, TOUCHED, Project, user_folder
from napari_unetstyle.core.imaging.image import Image, as_image
from napari_unetstyle.widgets import left_layers
from napari_unetstyle.widgets.corrections import Corrections
from napari_unetstyle.widgets.opening import add_picture
from tests.widgets.fake_core import WAIT, blobs


@pytest.fixture
def file(tmp_path):
    tifffile.imwrite(tmp_path / "slide7.tif", blobs())
    return tmp_path / "slide7.tif"


@pytest.fixture
def dock(make_windowless_dock, file, run):
    dock = make_windowless_dock()
    add_picture(dock.viewer, file)
    run(dock)
    yield dock
    for corrected in dock.corrections.layers:
        corrected.close(WAIT)


@pytest.fixture
def corrected(dock):
    (one,) = dock.corrections.layers
    return one


def paint(corrected, value=77, at=(slice(40, 45), slice(50, 60))):
    places = np.zeros(corrected.layer.data.shape, bool)
    places[at] = True
    corrected.layer.data_setitem(np.nonzero(places), value)


def next_dock(dock, qtbot):
    """What goes on with the labels that a closed dock left."""
    again = Corrections(dock.viewer)
    qtbot.addWidget(again)
    again.left.go_on()
    qtbot.waitUntil(lambda: not again.left.are_waiting, timeout=WAIT * 1000)
    return again


def kept(corrected):
    assert corrected.recorder.flush(WAIT)
    return read_journal(corrected.recorder.folder)


def test_nothing_is_written_before_the_first_stroke(corrected, file):
    assert not corrected.is_corrected
    assert corrected.saved == ""
    assert not (file.parent / FOLDER).exists()


def test_the_first_stroke_begins_the_journal_beside_the_picture(corrected, file, qtbot):
    before = np.array(corrected.labels)
    with qtbot.waitSignal(corrected.begun):
        corrected.layer.paint((42, 52), 77)
    state = kept(corrected)
    assert corrected.recorder.folder.parent == file.parent / FOLDER
    assert np.array_equal(state.labels, corrected.labels)
    assert np.array_equal(state.original, before)
    assert np.array_equal(corrected.original(), before)
    assert state.header.picture.path == str(file)
    qtbot.waitUntil(lambda: corrected.saved.startswith("saved "))


def test_undo_and_redo_are_kept_too(corrected):
    before = np.array(corrected.labels)
    paint(corrected)
    painted = np.array(corrected.labels)
    corrected.layer.undo()  # as napari's own button would
    assert np.array_equal(kept(corrected).labels, before)
    corrected.layer.redo()
    assert np.array_equal(kept(corrected).labels, painted)


def test_ctrl_z_takes_back_strokes_and_what_was_called_right_in_their_order(corrected):
    region = np.zeros((64, 96), bool)
    region[5:9, 5:9] = True
    paint(corrected)
    corrected.accept((), region)
    paint(corrected, 78, (slice(50, 52), slice(3, 9)))
    undo = next(slot for key, slot in corrected.layer.keymap.items() if str(key) in ("Ctrl+Z", "Meta+Z"))
    undo(corrected.layer)
    assert not (corrected.labels == 78).any()
    assert corrected.accepted.sum() == 16
    undo(corrected.layer)
    assert not corrected.accepted.any()
    assert (corrected.labels == 77).any()
    undo(corrected.layer)
    undo(corrected.layer)
    assert not (corrected.labels == 77).any()
    for _ in range(3):
        corrected.history.redo()
    assert (corrected.labels == 78).any()
    state = kept(corrected)
    assert np.array_equal(state.accepted, region)
    assert np.array_equal(state.labels, corrected.labels)


def test_what_is_learned_is_what_was_painted_and_accepted(corrected):
    paint(corrected)
    corrected.accept((), np.indices((64, 96))[1] < 4)
    _, valid = learned(corrected.correction(), ring=0)
    assert np.array_equal(valid, (corrected.labels == 77) | (np.indices((64, 96))[1] < 4))
    corrected.say(rest_is_right=True)
    assert learned(corrected.correction())[1].all()
    assert kept(corrected).said == {"rest_is_right": True}


def test_the_original_can_be_seen(corrected, dock):
    before = np.array(corrected.labels)
    paint(corrected)
    corrected.shown_original.show(True)
    twin = next(layer for layer in dock.viewer.layers if "original" in layer.name)
    assert np.array_equal(twin.data, before)
    assert not corrected.layer.visible
    corrected.shown_original.show(False)
    assert twin not in dock.viewer.layers
    assert corrected.layer.visible
    assert (corrected.labels == 77).any()


def test_a_closed_dock_leaves_the_brush_where_it_was(corrected, dock):
    corrected.layer.mode = "paint"
    paint(corrected)
    dock.close_down()
    assert corrected.layer.mode == "paint"


def test_a_closed_dock_leaves_hidden_what_was_hidden(corrected, dock):
    paint(corrected)
    corrected.layer.visible = False
    dock.close_down()
    assert not corrected.layer.visible


@pytest.mark.parametrize("is_begun", [True, False])
def test_the_next_dock_goes_on_with_labels_that_a_closed_one_left(corrected, dock, file, qtbot, is_begun):
    first = np.array(corrected.labels)
    if is_begun:
        paint(corrected)
        corrected.say(**{TOUCHED: [77]})
    dock.corrections.close_down()
    paint(corrected, 78, (slice(1, 3), slice(1, 3)))  # when nobody watches
    again = next_dock(dock, qtbot)
    (one,) = again.layers
    assert np.array_equal(kept(one).labels, corrected.layer.data)
    paint(one, 79, (slice(5, 7), slice(1, 3)))
    state = kept(one)
    assert np.array_equal(state.labels, corrected.layer.data)
    assert np.array_equal(state.original, first)
    assert state.said == ({TOUCHED: [77]} if is_begun else {})
    assert len(list((file.parent / FOLDER).iterdir())) == 1
    one.close(WAIT)


def test_the_window_is_alive_while_a_journal_is_read_and_what_is_painted_meanwhile_is_kept(
    corrected, dock, qtbot, monkeypatch
):
    paint(corrected)
    dock.corrections.close_down()
    gate, reads = threading.Event(), []

    def slow(folder):
        assert gate.wait(WAIT)
        reads.append(threading.current_thread() is threading.main_thread())
        return read_journal(folder)

    monkeypatch.setattr(left_layers, "read_journal", slow)
    again = Corrections(dock.viewer)
    qtbot.addWidget(again)
    qtbot.waitUntil(lambda: corrected.recorder.is_closed, timeout=WAIT * 1000)
    again.left.go_on()
    assert again.layers == []
    corrected.layer.data_setitem((np.array([2]), np.array([2])), 78)
    gate.set()
    qtbot.waitUntil(lambda: not again.left.are_waiting, timeout=WAIT * 1000)
    (one,) = again.layers
    assert reads == [False]
    assert (kept(one).labels == 78).any()
    assert one.close(WAIT)


def test_a_dock_that_is_closed_while_it_reads_leaves_the_labels_to_the_next(corrected, dock, qtbot, monkeypatch):
    paint(corrected)
    dock.corrections.close_down()
    gate = threading.Event()
    monkeypatch.setattr(left_layers, "read_journal", lambda folder: gate.wait(WAIT) and read_journal(folder))
    docks = [Corrections(dock.viewer) for _ in range(2)]
    qtbot.waitUntil(lambda: corrected.recorder.is_closed, timeout=WAIT * 1000)
    for again in docks:
        qtbot.addWidget(again)
        again.left.go_on()
    docks[0].close_down()
    gate.set()
    qtbot.waitUntil(lambda: bool(docks[1].layers), timeout=WAIT * 1000)
    assert docks[0].layers == []
    assert docks[1].layers[0].close(WAIT)


def test_labels_that_nobody_painted_on_have_no_journal_after_the_next_dock(corrected, dock, file, qtbot):
    dock.corrections.close_down()
    again = next_dock(dock, qtbot)
    (one,) = again.layers
    assert not one.is_corrected
    assert not (file.parent / FOLDER).exists()
    one.close(WAIT)


def test_a_renamed_layer_is_kept_and_a_removed_one_closed(corrected, dock, qtbot):
    paint(corrected)
    corrected.layer.name = "other"
    paint(corrected, 78, (slice(1, 3), slice(1, 3)))
    state = kept(corrected)
    folder = corrected.recorder.folder
    assert (state.labels == 78).any()
    dock.viewer.layers.remove(corrected.layer)
    qtbot.waitUntil(lambda: not left_open_or_held(folder), timeout=WAIT * 1000)
    assert dock.corrections.layers == []
    assert (tifffile.imread(folder / "labels.tif") == 78).any()


def left_open_or_held(folder):
    with contextlib.suppress(FileNotFoundError):  # removed just now
        return any(mark.read_text() == str(folder) for mark in default_marks().glob("*.open"))
    return True


def test_painting_waits_neither_for_the_disk_nor_for_looking_at_the_labels(corrected, monkeypatch):
    gate, threads, begin, look = threading.Event(), [], Journal.begin, corrected.look

    def held(work):
        def wait(*given):
            threads.append(threading.current_thread())
            assert gate.wait(WAIT)
            return work(*given)

        return wait

    monkeypatch.setattr(Journal, "begin", held(begin))
    monkeypatch.setattr(corrected, "look", held(look))
    paint(corrected)
    paint(corrected, 78)
    assert not gate.is_set()
    gate.set()
    assert (kept(corrected).labels == 78).any()
    assert len(threads) > 1
    assert threading.main_thread() not in threads


# After a crash ---------------------------------------------------------------------------------------------------


@pytest.fixture
def crashed(file, dock, corrected, monkeypatch, tmp_path):
    """Marks as they are after napari was killed: a copy of the journal that nobody closed."""
    paint(corrected)
    corrected.accept((), np.indices((64, 96))[0] > 60)
    kept(corrected)
    folder = corrected.recorder.folder
    assert corrected.close(WAIT)
    mark_open(tmp_path / "marks", folder)
    return tmp_path / "marks"


@pytest.fixture
def after(crashed, make_windowless_dock, qtbot):
    """A new start."""
    from napari.components import ViewerModel

    corrections = Corrections(ViewerModel(), crashed)
    corrections.offer()
    qtbot.waitUntil(lambda: bool(corrections.rows), timeout=WAIT * 1000)
    yield corrections
    for corrected in corrections.layers:
        corrected.close(WAIT)


def test_a_crash_is_followed_by_an_offer_that_restores_everything(after, corrected, click, crashed, qtbot):
    (row,) = after.rows
    assert "1 fix on" in row.text
    assert not after.isHidden()
    click(row.buttons()["Restore"])
    qtbot.waitUntil(lambda: bool(after.layers), timeout=WAIT * 1000)
    (again,) = after.layers
    assert np.array_equal(again.labels, corrected.labels)
    assert np.array_equal(again.accepted, corrected.accepted)
    assert np.array_equal(again.original(), corrected.original())
    assert np.array_equal(again.image.array, blobs())
    assert after.rows == []
    paint(again, 90, (slice(1, 3), slice(1, 3)))  # and it goes on
    assert (kept(again).labels == 90).any()
    assert again.recorder.folder == corrected.recorder.folder
    assert again.close(WAIT)
    assert left_open(crashed) == []


def test_not_now_deletes_nothing_and_is_asked_again(after, click, crashed):
    click(after.rows[0].buttons()["Not now"])
    assert after.rows == []
    assert after.isHidden()
    assert len(left_open(crashed)) == 1


def test_a_picture_that_changed_is_told(crashed, file, qtbot, open_entry):
    from napari.components import ViewerModel

    tifffile.imwrite(file, blobs(peak=180))
    corrections = Corrections(ViewerModel(), crashed)
    (entry,) = left_open(crashed)
    again = open_entry(corrections, entry)
    assert "changed since" in corrections.rows[0].text
    assert again.close(WAIT)


def test_a_picture_that_is_gone_is_told_and_nothing_is_lost(crashed, file, qtbot, open_entry):
    from napari.components import ViewerModel

    file.unlink()
    corrections = Corrections(ViewerModel(), crashed)
    (entry,) = left_open(crashed)
    assert open_entry(corrections, entry) is None
    assert str(file) in corrections.rows[0].text
    assert (entry.state().labels == 77).any()


def test_an_entry_in_another_window_is_refused_in_words(crashed, qtbot, open_entry):
    from napari.components import ViewerModel

    (entry,) = left_open(crashed)
    journal = Journal(entry.folder)
    assert left_open(crashed) == []  # not offered
    corrections = Corrections(ViewerModel(), crashed)
    assert open_entry(corrections, entry) is None
    assert "another window" in corrections.rows[0].text
    journal.close()
    again = open_entry(corrections, entry)
    assert again.recorder.flush(WAIT)
    assert again.close(WAIT)


@pytest.fixture
def stack(make_windowless_dock, run):
    """A dock and the labels of a stack of three slices."""
    dock = make_windowless_dock()
    dock.viewer.add_image(np.stack([blobs(peak=p) for p in (200, 180, 160)]), name="stack", axis_labels=["z", "y", "x"])
    run(dock)
    (corrected,) = dock.corrections.layers
    yield dock, corrected
    assert corrected.close(WAIT)


def test_volumes_and_their_slices(stack):
    _, corrected = stack
    corrected.edit((np.array([0, 1, 2]), np.array([3, 3, 3]), np.array([4, 4, 4])), 99, frozenset({1}))
    assert (kept(corrected).labels == 99).sum() == 3
    assert read_journal(corrected.recorder.folder).said == {"touched": [1]}
    corrected.history.undo()
    assert not (kept(corrected).labels == 99).any()
    assert corrected.correction().is_empty
    assert isinstance(corrected.image, Image)
    assert corrected.recorder.folder.parent.parent == user_folder()
    assert corrected.recorder.folder.parent.name.startswith("stack-")


def test_strokes_of_several_slices_are_taken_back_from_any_slice(stack):
    dock, corrected = stack
    layer, states = corrected.layer, [np.array(corrected.labels)]
    for z in (0, 2, 1):
        dock.viewer.dims.set_point(0, z)
        layer.paint((z, 40, 8), 50 + z)
        states.append(np.array(corrected.labels))
    dock.viewer.dims.set_point(0, 0)
    for state in reversed(states[:-1]):
        corrected.history.undo()
        assert np.array_equal(corrected.labels, state)
        assert np.array_equal(kept(corrected).labels, state)
    for state in states[1:]:
        corrected.history.redo()
        assert np.array_equal(kept(corrected).labels, state)


def test_what_napari_can_no_longer_take_back_stays_with_what_was_said_of_it(corrected):
    corrected.edit((np.array([3]), np.array([4])), 99, frozenset({1}))
    for column in range(corrected.layer._history_limit):
        corrected.layer.data_setitem((np.array([60]), np.array([column % 90])), 200 + column)
    strokes = np.array(corrected.labels)
    for _ in range(corrected.layer._history_limit + 3):
        corrected.history.undo()
    assert corrected.labels[3, 4] == 99
    assert not (np.array(corrected.labels) >= 200).any()
    assert kept(corrected).said == {"touched": [1]}
    for _ in range(corrected.layer._history_limit):
        corrected.history.redo()
    assert np.array_equal(kept(corrected).labels, strokes)


def test_one_undo_too_many_does_not_part_a_stroke_from_what_was_said_of_it(corrected):
    corrected.edit((np.array([3]), np.array([4])), 99, frozenset({1}))
    corrected.history.undo()
    corrected.history.undo()
    corrected.history.redo()
    assert corrected.labels[3, 4] == 99
    assert kept(corrected).said == {"touched": [1]}


def test_what_is_taken_back_while_the_labels_are_hidden_is_kept_at_once(corrected, qtbot):
    before = np.array(corrected.labels)
    paint(corrected)
    assert not np.array_equal(kept(corrected).labels, before)
    corrected.layer.visible = False
    corrected.history.undo()
    assert np.array_equal(corrected.labels, before)
    folder = corrected.recorder.folder
    qtbot.waitUntil(lambda: np.array_equal(read_journal(folder).labels, before), timeout=WAIT * 1000)


def test_fill_polygon_and_eraser_are_strokes_like_those_of_the_brush(stack):
    dock, corrected = stack
    layer, states = corrected.layer, [np.array(corrected.labels)]
    inside = tuple(np.argwhere(states[0][1])[0])
    square = np.array([(2, 40, 2), (2, 40, 9), (2, 47, 9), (2, 47, 2)])

    def fill_all_slices():
        layer.n_edit_dimensions, layer.contiguous = 3, False
        layer.fill((1, *inside), 78)

    acts = (
        lambda: layer.fill((1, *inside), 77),
        lambda: layer.paint_polygon(square, 90),
        lambda: layer.paint((2, 43, 5), 0),
        lambda: corrected.accept((0,), np.ones(layer.data.shape[1:], bool)),
        fill_all_slices,
    )
    right = [corrected.accepted.copy()]
    for act in acts:
        act()
        states.append(np.array(corrected.labels))
        right.append(corrected.accepted.copy())
    assert [np.array_equal(a, b) for a, b in itertools.pairwise(states)] == [False, False, False, True, False]
    assert np.array_equal(kept(corrected).labels, states[-1])
    dock.viewer.dims.set_point(0, 1)
    for move, order in ((corrected.history.undo, range(4, -1, -1)), (corrected.history.redo, range(1, 6))):
        for number in order:
            move()
            assert np.array_equal(corrected.labels, states[number]), number
            assert np.array_equal(kept(corrected).labels, states[number]), number
            assert np.array_equal(corrected.accepted, right[number]), number


@pytest.fixture
def arrays(make_windowless_dock, run):
    """Two pictures that have no file and, but for napari's number, one name."""
    dock = make_windowless_dock()
    for peak in (200, 150):
        dock.viewer.add_image(blobs(peak=peak), name="Image", axis_labels=["y", "x"])
        run(dock)
    yield dock
    for corrected in dock.corrections.layers:
        corrected.close(WAIT)


def listed(dock, qtbot, count):
    """What stands in the list of the tab Teach, once there are so many."""
    learns = dock.teach.learns
    learns.refresh()
    qtbot.waitUntil(lambda: len(learns.lessons) == count, timeout=WAIT * 1000)
    return [lesson.words for lesson in learns.lessons]


def test_pictures_without_a_file_are_kept_apart(arrays, make_windowless_dock, qtbot, monkeypatch, tmp_path, open_entry):
    monkeypatch.setenv("NAPARI_UNETSTYLE_FIXES", str(tmp_path))
    for one in arrays.corrections.layers:
        paint(one)
        assert kept(one).number == 1
        assert one.close(WAIT)
    assert len([folder for folder in tmp_path.iterdir() if folder.name.startswith("Image")]) == 2
    other = make_windowless_dock()
    other.viewer.add_image(blobs(peak=150), name="again", axis_labels=["y", "x"])
    assert listed(other, qtbot, 1) == ["Image [1] nuclei\n1 fix, not open"]
    opened = open_entry(other.corrections, other.teach.learns.lessons[0].entry)
    assert opened.placement.name == "again"
    assert opened.close(WAIT)
    other.viewer.layers.clear()
    other.viewer.add_image(blobs(peak=190), name="Image", axis_labels=["y", "x"])
    listed(other, qtbot, 0)
    (entry,) = Project(next(f for f in tmp_path.glob("Image-*") if "Image-1" not in f.name)).entries()
    assert open_entry(other.corrections, entry) is None  # another picture of that name and size
    assert "has no file" in other.corrections.rows[0].text


def test_a_picture_without_a_file_is_kept_if_asked_and_opened_with_its_fixes(
    arrays, make_windowless_dock, click, qtbot, monkeypatch, tmp_path, open_entry
):
    monkeypatch.setenv("NAPARI_UNETSTYLE_FIXES", str(tmp_path))
    first, second = arrays.corrections.layers
    row = arrays.teach.learns.copy
    assert row.isHidden()
    for one, answer in ((first, "Keep a copy"), (second, "Not now")):
        arrays.viewer.layers.selection.active = one.layer
        paint(one)
        assert kept(one).number
        qtbot.waitUntil(lambda name=one.placement.name: row.text.startswith(f"{name} has no file"), timeout=WAIT * 1000)
        click(row.buttons()[answer])
        qtbot.waitUntil(lambda facts=one.facts: "asked_for_copy" in facts, timeout=WAIT * 1000)
        assert row.isHidden()
        assert one.close(WAIT)
    other = make_windowless_dock()
    opened = open_entry(other.corrections, Project(first.recorder.folder.parent).entries()[0])
    assert np.array_equal(np.asarray(opened.image.array), np.asarray(first.image.array))
    assert np.array_equal(opened.labels, first.labels)
    assert len(other.viewer.layers) == 2
    assert open_entry(other.corrections, Project(second.recorder.folder.parent).entries()[0]) is None
    assert len(listed(other, qtbot, 1)) == 1
    assert opened.close(WAIT)


def test_fixes_from_before_they_were_kept_apart_are_still_there(
    make_windowless_dock, qtbot, monkeypatch, tmp_path, open_entry
):
    monkeypatch.setenv("NAPARI_UNETSTYLE_FIXES", str(tmp_path))
    image = as_image(blobs(), axes="YX", name="Image")
    labels = np.zeros(image.label_shape, np.int32)
    labels[3:9, 3:9] = 1
    Project(tmp_path).add(image, labels, layer="Image nuclei")
    Project(tmp_path).add(as_image(blobs(), axes="YX", name="other"), labels, layer="other nuclei")
    dock = make_windowless_dock()
    dock.viewer.add_image(blobs(), name="Image", axis_labels=["y", "x"])
    assert listed(dock, qtbot, 1) == ["Image nuclei\nall right, not open"]
    opened = open_entry(dock.corrections, dock.teach.learns.lessons[0].entry)
    assert np.array_equal(opened.labels, labels)
    assert opened.close(WAIT)


def test_what_was_called_right_is_not_written_over(corrected, dock, run, qtbot):
    before = np.array(corrected.labels)
    corrected.accept((), np.indices((64, 96))[1] < 50)
    dock.segment.results.box.fewer.setValue(dock.segment.results.box.fewer.value() - 23)
    qtbot.waitUntil(lambda: len(dock.corrections.layers) == 2, timeout=WAIT * 1000)
    run(dock)
    assert np.array_equal(corrected.labels, before)
    assert not corrected.correction().painted.any()
    assert np.array_equal(kept(corrected).labels, before)
    for other in dock.corrections.layers[1:]:
        other.close(WAIT)


def test_ctrl_z_reaches_strokes_from_before_this_dock(corrected, dock, qtbot):
    before = np.array(corrected.labels)
    paint(corrected)
    dock.corrections.close_down()
    again = next_dock(dock, qtbot)
    (one,) = again.layers
    one.history.undo()
    assert np.array_equal(kept(one).labels, before)
    assert one.close(WAIT)
