"""Whatever a person painted is in the journal a second later, and stays there."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unetstyle.core import files
from napari_unetstyle.core.annotation import journal as module
from napari_unetstyle.core.annotation import recorder as recorder_module
from napari_unetstyle.core.annotation.changes import Changes
from napari_unetstyle.core.annotation.journal import Journal
from napari_unetstyle.core.annotation.journal_header import HEADER, identified, is_journal, read_header
from napari_unetstyle.core.annotation.journal_state import LOG, ORIGINAL, SNAPSHOT, read_journal
from napari_unetstyle.core.annotation.open_journals import left_open, mark_closed, mark_open
from napari_unetstyle.core.annotation.project import Project
from napari_unetstyle.core.annotation.recorder import Recorder, changed_places
from napari_unetstyle.core.annotation.records import scan
from napari_unetstyle.core.errors import JournalError, OutputError
from napari_unetstyle.core.files import sha256_of
from tests.core.annotation_for_tests import blobs, header, stroke
from tests.core.painting_for_tests import PACE, states

ROOT = Path(__file__).parents[2]


@pytest.fixture
def labels():
    return np.stack([blobs(i) for i in range(5)])


@pytest.fixture
def recorder(labels, tmp_path):
    made = Recorder.new(tmp_path / "journal", header(labels), Changes.of(labels), lambda: labels)
    yield made
    assert made.close()


def test_every_stroke_is_kept(recorder, labels):
    original, rng = labels.copy(), np.random.default_rng(0)
    for _ in range(20):
        stroke(labels, rng)
        recorder.changed()
    assert recorder.flush()
    state = read_journal(recorder.folder)
    assert np.array_equal(state.labels, labels)
    assert np.array_equal(state.original, original)
    assert state.notes == ()
    assert recorder.is_saved
    assert abs(recorder.saved - time.time()) < 5


def test_a_stroke_is_on_disk_within_a_second(recorder, labels):
    for value in (30, 31):
        labels[2, 5:9, 5:9] = value
        recorder.changed()
        time.sleep(1)
        assert (read_journal(recorder.folder).labels[2, 5:9, 5:9] == value).all()


def test_what_is_right_and_what_was_said_is_kept(recorder, labels):
    accepted = np.zeros(labels.shape, bool)
    changes = changed_places(accepted, (3,), labels[3] > 0, True)
    recorder.accept(changes)
    recorder.say(rest_is_right=False, touched=[3])
    recorder.say(rest_is_right=True)
    assert recorder.flush()
    state = read_journal(recorder.folder)
    assert state.said == {"rest_is_right": True, "touched": [3]}
    changes.apply(accepted)
    assert np.array_equal(state.accepted, accepted)
    assert np.array_equal(accepted[3], labels[3] > 0)
    assert accepted.sum() == (labels[3] > 0).sum()


def test_it_goes_on_where_it_ended(labels, tmp_path):
    first = Recorder.new(tmp_path / "journal", header(labels), Changes.of(labels), lambda: labels)
    labels[0, :5] = 7
    first.changed()
    assert first.close()
    second = Recorder.of(tmp_path / "journal", lambda: labels)
    labels[1, :5] = 8
    second.changed()
    assert second.close()
    state = read_journal(tmp_path / "journal")
    assert np.array_equal(state.labels, labels)
    assert state.number == 2


def test_a_second_window_cannot_write_and_a_new_journal_gets_its_own_folder(recorder, labels, tmp_path):
    labels[0, 0, 0] = 9
    recorder.changed()
    assert recorder.flush()
    with pytest.raises(JournalError, match="another window"):
        Journal(tmp_path / "journal")
    other = Journal.begin(tmp_path / "journal", header(labels), labels)
    assert other.folder == tmp_path / "journal-2"
    other.close()


def test_a_window_that_only_asks_who_has_a_journal_keeps_nobody_from_it(labels, tmp_path):
    Journal.begin(tmp_path / "journal", header(labels), labels).close()
    asked = module.lock(tmp_path / "journal")
    threading.Timer(module.PATIENCE / 6, asked.release).start()
    Journal(tmp_path / "journal").close()


def test_an_original_may_come_late_and_be_made_in_the_thread(labels, tmp_path):
    original = Changes.of(labels)
    labels[0, 0, 0] = 9
    made = Recorder.new(tmp_path / "journal", header(labels), lambda: original, lambda: labels)
    made.changed()
    assert made.close()
    assert np.array_equal(read_journal(tmp_path / "journal").labels, labels)


def test_nobody_waits_for_it(tmp_path):
    labels, gate, looks = np.zeros((8, 64, 64), np.int32), threading.Event(), []

    def look():
        looks.append(threading.current_thread())
        assert gate.wait(60)
        return labels

    made = Recorder.new(tmp_path / "j", header(labels), Changes.of(labels), look)
    for i in range(120):
        labels[i % 8, i % 60 : i % 60 + 4] = i
        made.changed()
    assert not gate.is_set()
    gate.set()
    assert made.close()
    assert threading.current_thread() not in looks
    assert len(looks) < 120  # strokes are gathered
    assert np.array_equal(read_journal(tmp_path / "j").labels, labels)


# Damage --------------------------------------------------------------------------------------------------------


def written(folder, count=8, snapshot=True):
    """A journal with some strokes; the states it went through."""
    labels, rng = blobs(1), np.random.default_rng(2)
    journal = Journal.begin(folder, header(labels), labels)
    seen = [labels.copy()]
    for _ in range(count):
        before = labels.copy()
        while np.array_equal(before, labels):
            stroke(labels, rng)
        journal.write([journal.edit(Changes.between(before, labels))])
        seen.append(labels.copy())
        if snapshot and len(seen) == count // 2:
            journal.snapshot()
    journal.close()
    return seen


@given(st.data())
def test_a_torn_log_loses_its_last_strokes_only(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("torn") / "journal"
    seen = written(folder, snapshot=data.draw(st.booleans()))
    whole = (folder / LOG).read_bytes()
    (folder / LOG).write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    state = read_journal(folder)
    assert np.array_equal(state.labels, seen[state.number])
    journal = Journal(folder)  # and it goes on
    after = np.where(state.labels == 0, 5, 0).astype(np.int32)
    journal.write([journal.edit(Changes.between(state.labels, after))])
    journal.close()
    assert np.array_equal(read_journal(folder).labels, after)


@given(st.data())
def test_a_damaged_snapshot_is_not_needed(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("snap") / "journal"
    seen = written(folder)
    junk = bytearray((folder / SNAPSHOT).read_bytes())
    at = data.draw(st.integers(0, len(junk) - 1))
    junk[at] ^= data.draw(st.integers(1, 255))
    (folder / SNAPSHOT).write_bytes(junk)
    assert np.array_equal(read_journal(folder).labels, seen[-1])


def test_a_damaged_record_is_told_and_those_after_it_count(tmp_path):
    seen = written(tmp_path / "j", count=4, snapshot=False)
    log = bytearray((tmp_path / "j" / LOG).read_bytes())
    log[40] ^= 1  # in the first record
    (tmp_path / "j" / LOG).write_bytes(log)
    state = read_journal(tmp_path / "j")
    assert state.number == 4
    assert len(state.notes) == 1
    later = seen[4] != seen[1]
    assert np.array_equal(state.labels[later], seen[4][later])


def test_the_snapshot_alone_suffices(tmp_path):
    written(tmp_path / "j")
    journal = Journal(tmp_path / "j")
    journal.snapshot()
    labels = journal.state.labels.copy()
    journal.close()
    (tmp_path / "j" / LOG).unlink()
    assert np.array_equal(read_journal(tmp_path / "j").labels, labels)


@pytest.mark.parametrize("name", [HEADER, ORIGINAL])
def test_without_its_beginning_it_is_refused_in_words(tmp_path, name):
    written(tmp_path / "j")
    (tmp_path / "j" / name).write_bytes(b"{")
    with pytest.raises(JournalError, match=name):
        read_journal(tmp_path / "j")
    (tmp_path / "j" / name).unlink()
    with pytest.raises(JournalError, match=name):
        read_journal(tmp_path / "j")
    assert is_journal(tmp_path / "j") == (name != HEADER)


def test_the_picture_is_known_by_its_content(labels, tmp_path):
    file = tmp_path / "slide7.tif"
    file.write_bytes(b"pixels")
    made = Recorder.new(tmp_path / "j", header(labels, file), Changes.of(labels), lambda: labels)
    labels[0, 0, 0] = 9
    made.changed()
    assert made.close()
    picture = read_header(tmp_path / "j").picture
    assert picture.sha256 == files.sha256_of(file)
    assert picture.size == 6


# A disk that refuses -------------------------------------------------------------------------------------------


class Refusing:
    """Lets the first few calls that write pass, then refuses until it is told to work again."""

    def __init__(self, monkeypatch, error):
        self.left, self.error = 10**9, OSError(error, os.strerror(error))
        for place, name in [
            (os, "open"), (os, "write"), (os, "fsync"), (os, "replace"), (os, "mkdir"), (os, "ftruncate"),
            (Path, "write_bytes"), (Path, "mkdir"), (Path, "replace"),
        ]:  # fmt: skip
            monkeypatch.setattr(place, name, self.guarded(getattr(place, name)))

    def guarded(self, call):
        def wrapper(*args, **kwargs):
            is_read = call.__name__ == "open" and not args[1] & (os.O_WRONLY | os.O_RDWR)
            self.left -= not is_read
            if self.left < 0 and not is_read:
                raise self.error
            return call(*args, **kwargs)

        return wrapper


REFUSED = [(error, calls) for error in (errno.ENOSPC, errno.EROFS, errno.EIO) for calls in range(0, 30, 2)]


@pytest.mark.parametrize(
    ("error", "calls"),
    [
        pytest.param(*pair, marks=() if pair[0] == errno.ENOSPC or pair[1] in (0, 8, 20) else pytest.mark.long)
        for pair in REFUSED
    ],
)
def test_a_disk_that_refuses_loses_nothing(tmp_path, monkeypatch, calls, error):
    monkeypatch.setattr(module, "SNAPSHOT_RECORDS", 2)
    monkeypatch.setattr("napari_unetstyle.core.annotation.recorder.RETRY", 0.01)
    monkeypatch.setattr("napari_unetstyle.core.annotation.recorder.GATHER", 0.0)
    labels, rng = blobs(4), np.random.default_rng(1)
    original = labels.copy()
    disk = Refusing(monkeypatch, error)
    made = Recorder.new(tmp_path / "j", header(labels), Changes.of(labels), lambda: labels)
    disk.left = calls
    for _ in range(6):
        stroke(labels, rng)
        made.changed()
        made.flush(0.02)
        if made.folder is not None:
            assert np.array_equal(read_journal(made.folder).original, original)  # at any moment
    if made.error is not None:
        assert str(tmp_path) in str(made.error)
        assert os.strerror(error) in str(made.error)
    disk.left = 10**9
    made.changed()
    assert made.flush()
    assert made.error is None
    assert made.close()
    state = read_journal(made.folder)
    assert np.array_equal(state.labels, labels)
    assert np.array_equal(state.original, original)
    assert not state.notes


def test_what_nobody_foresaw_is_said_and_tried_again(labels, tmp_path, monkeypatch):
    def broken(*_):
        raise RuntimeError("a bug")

    monkeypatch.setattr(Journal, "write", broken)
    made = Recorder.new(tmp_path / "j", header(labels), Changes.of(labels), lambda: labels)
    labels[1, 2:4, 2:4] = 77
    made.changed()
    assert not made.flush(3)
    assert "a bug" in str(made.error)
    monkeypatch.undo()
    assert made.flush()
    assert made.error is None
    assert made.close()
    assert (read_journal(tmp_path / "j").labels[1, 2:4, 2:4] == 77).all()


def test_labels_that_do_not_fit_are_said_and_what_fits_again_is_kept(tmp_path):
    shown = [np.zeros((3, 8, 8), np.uint8)]
    made = Recorder.new(tmp_path / "j", header(shown[0]), Changes.of(shown[0]), lambda: shown[0])
    shown[0] = np.full((3, 8, 8), 300, np.int32)  # as another plugin may do
    made.changed()
    assert not made.flush(3)
    assert "values 300 to 300" in str(made.error)
    size = (tmp_path / "j" / LOG).stat().st_size
    shown[0] = np.zeros((3, 8, 8), np.uint8)
    shown[0][1, 1, 1] = 9
    made.changed()
    assert made.flush()
    assert made.close()
    state = read_journal(tmp_path / "j")
    assert state.labels[1, 1, 1] == 9
    assert state.notes == ()
    assert size == 0  # what does not fit was never written


def test_a_large_picture_is_looked_through_beside_and_no_stroke_waits(labels, tmp_path, monkeypatch):
    file, go_on = tmp_path / "slide.tif", threading.Event()
    file.write_bytes(b"pixels")
    monkeypatch.setattr(recorder_module, "identified", lambda picture: (go_on.wait(30), identified(picture))[1])
    made = Recorder.new(tmp_path / "j", header(labels, file), Changes.of(labels), lambda: labels)
    for value in (50, 51):
        labels[0, :3, :3] = value
        made.changed()
        assert made.flush(5)
    assert read_header(tmp_path / "j").picture.sha256 is None
    go_on.set()
    assert made.close()
    assert read_header(tmp_path / "j").picture.sha256 == sha256_of(file)


def test_a_picture_whose_drive_is_away_keeps_its_path(labels, tmp_path):
    file = tmp_path / "away" / "a.tif"
    for _ in range(2):
        made = Recorder.new(tmp_path / "j", header(labels, file), Changes.of(labels), lambda: labels)
        labels[0, 0, 0] += 1
        made.changed()
        assert made.close()
        assert read_header(made.folder).picture.path == str(file)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every name of a file is text")
def test_a_picture_whose_name_is_no_text_is_corrected_like_one_without_a_file(labels, tmp_path):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/M\xfcller"))
    folder.mkdir()
    marks = tmp_path / "marks"
    made = Recorder.new(folder / "j", header(labels, folder / "a.tif"), Changes.of(labels), lambda: labels, marks)
    labels[0, 0, 0] = 40
    made.changed()
    assert made.flush()
    assert len(list(marks.glob("*.open"))) == 1
    assert made.close()
    assert not list(marks.glob("*.open"))
    assert read_journal(folder / "j").labels[0, 0, 0] == 40
    assert read_header(folder / "j").picture.path is None


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a priority is not one of a thread")
def test_who_may_not_raise_a_priority_still_keeps(labels, tmp_path, monkeypatch):
    def refused(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "setpriority", refused)
    made = Recorder.new(tmp_path / "j", header(labels), Changes.of(labels), lambda: labels)
    labels[0, 0, 0] = 40
    made.changed()
    assert made.flush()
    assert made.close()


def test_the_message_names_the_file_and_the_bytes_needed(tmp_path, monkeypatch):
    labels = blobs(4)
    journal = Journal.begin(tmp_path / "j", header(labels), labels)
    Refusing(monkeypatch, errno.ENOSPC).left = 0
    with pytest.raises(OutputError, match=rf"\d+ bytes.*{LOG}.*No space left"):
        journal.write([journal.edit(Changes.between(labels, labels + 1))])


def test_a_mark_that_a_kill_left_half_written_offers_nothing(tmp_path):
    labels = blobs(4)
    Journal.begin(tmp_path / "j", header(labels), labels).close()
    marks = tmp_path / "marks"
    mark_open(marks, tmp_path / "j")
    (mark,) = marks.iterdir()
    (marks / f".partial-x{mark.suffix}").write_bytes(mark.read_bytes())
    assert [entry.folder for entry in left_open(marks)] == [tmp_path / "j"]
    mark_closed(marks, tmp_path / "j")
    assert left_open(marks) == []


# A kill at any moment ------------------------------------------------------------------------------------------


needs_kill = pytest.mark.skipif(os.name == "nt", reason="no SIGKILL there")


def killed_while(act, folder, seed, count, seconds):
    """Let the scripted person work for so long after the first stroke; when that was, and when each stroke was."""
    folder.mkdir()
    command = [sys.executable, "-m", "tests.core.painting_for_tests", act, str(folder), str(seed), str(count)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        first = child.stdout.readline()
        time.sleep(seconds)
        child.kill()
        killed = time.time()
        lines = [first, *child.stdout.readlines()]
    return killed, [float(line.split()[1]) for line in lines if line.endswith("\n")]


@needs_kill
def test_a_kill_loses_at_most_the_last_second(tmp_path, repeats):
    """At any moment, and each second time at one before which something is older than a second."""
    count, rng = 500, np.random.default_rng()
    for trial in range(repeats(4)):
        seed, folder = int(rng.integers(1000)), tmp_path / str(trial)
        # before it has painted all and closes the journal itself:
        wait = rng.uniform(1.1 if trial % 2 else 0, 0.9 * count * PACE)
        killed, done = killed_while("paint", folder, seed, count, wait)
        safe = sum(at < killed - 1 for at in done)
        assert safe or wait < 1.1
        _check(
            folder / "journal",
            states(seed, min(count, len(done) + 1)),
            safe,
            killed,
            f"seed {seed}, {len(done)} strokes",
        )


@needs_kill
def test_a_kill_during_a_snapshot_loses_nothing(tmp_path, repeats):
    """What was written is there, the snapshot is whole, and the journal goes on."""
    count, rng = 500, np.random.default_rng()
    for trial in range(repeats(2)):
        seed, folder = int(rng.integers(1000)), tmp_path / str(trial)
        _, done = killed_while("snapshots", folder, seed, count, rng.uniform(0, 0.5))
        place, about = folder / "journal", f"seed {seed}, {len(done)} strokes"
        state = read_journal(place)
        later = states(seed, min(count, len(done) + 1))[len(done) :]
        assert any(np.array_equal(state.labels, labels) for labels in later), about  # the last one may be written
        assert not state.notes, about
        snapshot = scan((place / SNAPSHOT).read_bytes())
        assert len(snapshot.records) == 3, about
        assert snapshot.records[0].number in (state.number - 1, state.number), about
        (place / LOG).unlink()
        assert read_journal(place).number == snapshot.records[0].number, about
        journal = Journal(place)  # nobody holds it any more
        journal.write([journal.say({"restored": True})])
        journal.snapshot()
        journal.close()
        assert read_journal(place).said == {"restored": True}, about


def _check(folder, seen, safe, killed, about):
    if not is_journal(folder):
        assert safe == 0, about
        return
    state = read_journal(folder)
    assert np.array_equal(state.original, seen[0]), about
    log = (folder / LOG).read_bytes() if (folder / LOG).exists() else b""
    kept_at = [record.time for record in scan(log).records]
    about += f", {safe} of them a second before the kill at {killed}, kept at {kept_at}"
    later = np.stack(seen[safe:])
    assert (state.labels == later).any(axis=0).all(), about  # each pixel as it was since the last safe moment
    assert not state.notes, about
    if safe or state.number:
        assert state.number, about
        assert [entry.folder for entry in left_open(folder.parent / "marks")] == [folder], about  # offered
    again = Recorder.of(folder, marks=folder.parent / "marks")  # nobody holds it any more
    again.say(restored=True)
    assert again.close(), about
    assert left_open(folder.parent / "marks") == [], about


@pytest.mark.parametrize("shape", [[-6, 7], [0, 7], [10**12, 10**9], [10**400, 7], [6], [6, 7, 8]])
def test_a_shape_that_labels_cannot_have_is_refused_in_words(tmp_path, shape):
    labels = blobs(1)
    journal = Journal.begin(tmp_path / "project" / "j", header(labels), labels)
    journal.close()
    about = json.loads((journal.folder / HEADER).read_text())
    (journal.folder / HEADER).write_text(json.dumps({**about, "shape": shape}))
    with pytest.raises(JournalError, match="shape"):
        read_journal(journal.folder)
    assert len(Project(tmp_path / "project").problems()) == 1
