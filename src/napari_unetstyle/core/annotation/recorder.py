"""Watches labels that a person works on and keeps their journal, without anybody having to wait for it."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.annotation.changes import Changes
from napari_unetstyle.core.annotation.corrections import Mask
from napari_unetstyle.core.annotation.journal import Journal, publish
from napari_unetstyle.core.annotation.journal_header import Header, Picture, identified
from napari_unetstyle.core.annotation.open_journals import mark_closed, mark_open
from napari_unetstyle.core.annotation.records import Record
from napari_unetstyle.core.errors import JournalError, UnetstyleError

Look = Callable[[], NDArray[Any]]

GATHER = 0.2  # seconds that strokes are gathered before they are written
RETRY = 1.0  # seconds until the next try if the disk refused
REST = 4.0  # looking takes at most one part in so many of the time …
LONGEST = 0.4  # … unless that would be a pause of more seconds than this
_NICE = 4  # on Linux, how far painting goes before keeping where cores are few
_PATIENCE = 2.0  # seconds that closing waits until a picture's file is known by its content
_PIECE = 2**20  # elements that are compared at once


class Recorder:
    """One journal and the thread that writes it.

    A front end says *that* something has changed, at the cost of setting a flag; what has changed is seen by comparing
    the labels with what the journal has, so undo, redo and programs that write to them are kept like any stroke.

    Parameters
    ----------
    begin
        Makes or opens the journal; called in the thread, and again after a while if the disk refuses.
    look
        Gives the labels as they are now, on the picture's grid; called in the thread. None if there is nothing to see,
        and only facts are kept.
    marks
        Folder of marks that tell which journals are open; one that is left there means that a program was killed.

    Attributes
    ----------
    error
        Why nothing can be kept at the moment; None if all is well. Nothing is lost: it is tried again.
    saved
        When all that had happened was on disk, seconds since 1970; 0 for never.
    """

    def __init__(self, begin: Callable[[], Journal], look: Look | None = None, marks: Path | None = None) -> None:
        self._begin, self._look, self._marks = begin, look, marks
        self.error: UnetstyleError | None = None
        self.saved = 0.0
        self.journal: Journal | None = None
        self._wake = threading.Condition()
        self._is_dirty = False
        self._made: list[Callable[[Journal], Record]] = []
        self._pending: list[Record] = []
        self._asked = self._done = 0
        self._is_closing = False
        self._identity: Picture | None = None
        self._identifying: threading.Thread | None = None
        self._thread = threading.Thread(target=self._run, daemon=True, name="unetstyle-journal")
        self._thread.start()
        atexit.register(self.close)

    @classmethod
    def new(
        cls,
        folder: Path | Callable[[], Path],
        header: Header,
        original: NDArray[Any] | Changes | Callable[[], Changes],
        look: Look,
        marks: Path | None = None,
    ) -> Recorder:
        """A recorder that begins a journal in a new folder."""

        def begin() -> Journal:
            changes = original() if callable(original) else original
            return Journal.begin(folder() if callable(folder) else folder, header, changes)

        return cls(begin, look, marks)

    @classmethod
    def of(
        cls, folder: Path, look: Look | None = None, marks: Path | None = None, number: int | None = None
    ) -> Recorder:
        """A recorder that goes on with the journal in a folder, from the record of this number if one is given."""

        def begin() -> Journal:
            journal = Journal(folder)
            if number in (None, journal.state.number):
                return journal
            journal.close()
            raise JournalError(f"{folder} was written to in another window since it was opened here. Open it again.")

        return cls(begin, look, marks)

    # Called by whoever shows the labels ----------------------------------------------------------------------------

    def changed(self) -> None:
        """Labels have changed, somewhere."""
        with self._wake:
            self._is_dirty = True
            self._ask()

    def accept(self, changes: Changes) -> None:
        """New values of the mask of what is right."""
        with self._wake:
            self._made.append(lambda journal: journal.accept(changes))
            self._ask()

    def say(self, **facts: Any) -> None:
        """Facts by name."""
        with self._wake:
            self._made.append(lambda journal: journal.say(facts))
            self._ask()

    def flush(self, seconds: float = 10.0) -> bool:
        """Wait until all that has happened is on disk; whether it is."""
        with self._wake:
            asked = self._asked
            self._wake.notify_all()
            return self._wake.wait_for(lambda: self._done >= asked or not self._thread.is_alive(), seconds) and (
                self._done >= asked
            )

    def close(self, seconds: float = 10.0) -> bool:
        """Write what is left and let others have the journal; whether all was written."""
        with self._wake:
            self._is_closing = True
            self._wake.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join(seconds)
        return not self._thread.is_alive() and self._done >= self._asked

    @property
    def folder(self) -> Path | None:
        """Of the journal, once it is there."""
        return self.journal.folder if self.journal is not None else None

    @property
    def is_closed(self) -> bool:
        """Whether nothing will be written any more."""
        return not self._thread.is_alive()

    @property
    def is_saved(self) -> bool:
        """Whether all that has happened is on disk."""
        return self._done >= self._asked

    def _ask(self) -> None:
        self._asked += 1
        self._wake.notify_all()

    # In the thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while self._waited():
            started = time.thread_time()  # not what others took of it
            self._keep()
            pause = min(max(GATHER, REST * (time.thread_time() - started)), LONGEST)
            with self._wake:
                self._wake.wait_for(lambda: self._is_closing, pause if self.error is None else RETRY)
        if self.journal is not None:
            try:
                self._leave(self.journal)
            finally:
                self.journal.close()
        self._look = None  # the labels may go now, whoever still asks where their journal is
        atexit.unregister(self.close)

    def _leave(self, journal: Journal) -> None:
        """Make the next start faster; nothing depends on it, as the log has everything, too."""
        with contextlib.suppress(Exception):  # of other libraries, too, as Python may be ending
            if self._identifying is not None:
                self._identifying.join(_PATIENCE)
            self._tidy(journal)
            journal.snapshot()
            publish(journal.folder, journal.state)
        if self._marks is not None and self.is_saved:
            with contextlib.suppress(UnetstyleError):
                mark_closed(self._marks, journal.folder)

    def _waited(self) -> bool:
        """Wait for something to do; False if all is done and nobody will ask again."""
        with self._wake:
            self._wake.wait_for(lambda: self._is_closing or self._done < self._asked or self._identity is not None)
            if self._is_closing and (self._done >= self._asked or self.error is not None):
                return False
        return True

    def _keep(self) -> None:
        """Put on disk what has happened until now."""
        with self._wake:
            asked = self._asked
            is_dirty, self._is_dirty = self._is_dirty, False
            made, self._made = self._made, []
        try:
            if self.journal is None:
                self.journal = self._begin()
                _step_back()
                if self._marks is not None:
                    mark_open(self._marks, self.journal.folder)
            self._write(self.journal)  # what the disk refused before
            changes = self._seen(self.journal) if is_dirty else Changes.none()
            self._pending += [self.journal.edit(changes)] if changes.count else []
            self._pending += [make(self.journal) for make in made]
            is_dirty, made = False, []
            self._write(self.journal)
            self._tidy(self.journal)
        except Exception as error:  # noqa: BLE001 (whatever it is, painting must not go on unkept and unsaid)
            with self._wake:
                self._is_dirty |= is_dirty
                self._made = made + self._made
                self.error = error if isinstance(error, UnetstyleError) else _unexpected(error)
                self._wake.notify_all()
            return
        with self._wake:
            self.error, self._done = None, asked
            self._wake.notify_all()

    def _write(self, journal: Journal) -> None:
        journal.write(self._pending)
        self._pending, self.saved = [], time.time()

    def _tidy(self, journal: Journal) -> None:
        """What makes the next start faster and safer, once the strokes are on disk."""
        picture = journal.state.header.picture
        if self._identity is not None:
            journal.identify(self._identity)
            self._identity = None  # only now: what the disk refuses is tried again
        elif picture.path is not None and picture.size is None and self._identifying is None:
            # In a thread of its own: a slide takes minutes, and no stroke may wait for it.
            self._identifying = threading.Thread(target=self._identify, args=[picture], daemon=True)
            self._identifying.start()
        if journal.is_snapshot_due():
            journal.snapshot()

    def _identify(self, picture: Picture) -> None:
        found = identified(picture)
        with self._wake:
            self._identity = found
            self._wake.notify_all()

    def _seen(self, journal: Journal) -> Changes:
        """How the labels differ from what the journal has."""
        if self._look is None:
            return Changes.none()
        return Changes.joined(list(_differences(journal.state.labels, self._look())))


def _step_back() -> None:
    """Let painting go first where cores are few."""
    if sys.platform == "linux":  # there, a priority is one of a thread
        thread = threading.get_native_id()
        with contextlib.suppress(OSError):
            if os.getpriority(os.PRIO_PROCESS, thread) < _NICE:  # nobody may raise it again
                os.setpriority(os.PRIO_PROCESS, thread, _NICE)


def _unexpected(error: Exception) -> JournalError:
    return JournalError(f"there was an unexpected problem ({type(error).__name__}: {error}). Please report it.")


def _differences(known: NDArray[Any], now: NDArray[Any]) -> Iterator[Changes]:
    if known.shape != now.shape:
        raise JournalError(
            f"The labels are of shape {now.shape} now, but {known.shape} was corrected, so they are no longer kept. "
            "Undo that, or segment the picture again."
        )
    size = int(np.prod(known.shape[1:]))
    step = max(1, _PIECE // max(1, size))
    for start in range(0, known.shape[0], step):
        part = slice(start, start + step)
        seen = np.array(now[part], order="C")  # copied, as it may change while it is compared
        if not np.array_equal(seen, known[part]):
            yield Changes.between(known[part], seen, start * size)


def changed_places(mask: Mask, index: tuple[int, ...], region: Mask, value: bool) -> Changes:
    """Setting a region of one frame of a mask, as changes of the whole mask.

    Parameters
    ----------
    mask
        What was accepted until now.
    index
        Of the frame along the leading axes; empty for the whole mask.
    region
        Of that frame's shape.
    value
        What to set.
    """
    frame = mask[index]
    after = np.where(region, value, frame)
    strides = [int(np.prod(mask.shape[i + 1 :])) for i in range(len(index))]
    return Changes.between(frame, after, sum(i * s for i, s in zip(index, strides, strict=True)))
