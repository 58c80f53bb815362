"""A journal of what a person does to labels: on disk within a second, whole after any crash.

A journal is a folder:

``journal.json``
    which picture and which result it belongs to (:class:`Header`); a folder without it holds nothing;
``original.runs``
    the labels as they were before the first stroke;
``edits.log``
    one record for each look at the labels that found changes; it is only appended to, and an undo is a change, too;
``snapshot.runs``
    the state at some place of the log, replaced in one step; it saves reading the whole log and is not needed;
``lock``
    held by the window that writes; the system frees it when that program ends, however it ends.

All values in the log are absolute, so replaying a part of it twice does no harm, and one damaged record does not
take those after it along.
"""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from napari_unetstyle.core.annotation.changes import Changes
from napari_unetstyle.core.annotation.journal_header import HEADER, Header, Picture
from napari_unetstyle.core.annotation.journal_state import LOG, ORIGINAL, SNAPSHOT, State, read_journal
from napari_unetstyle.core.annotation.records import Kind, Record
from napari_unetstyle.core.errors import JournalError, OutputError, UnetstyleError
from napari_unetstyle.core.files import AppendFile, atomic_write

LOCK = "lock"
SNAPSHOT_RECORDS = 50
SNAPSHOT_SECONDS = 60.0
PATIENCE = 0.3  # seconds to wait for the lock: another window holds it for a moment when it asks who has it
_VOLUMES = (".nii", ".nii.gz", ".nrrd", ".mha", ".mhd", ".dcm")


class Journal:
    """Writes a journal; what it is given is on disk when a method returns.

    :class:`~napari_unetstyle.core.annotation.recorder.Recorder` does so from a thread of its own.

    Parameters
    ----------
    folder
        Of the journal; there has to be one, and nobody else may be writing to it.
    clock
        Seconds since 1970.

    Raises
    ------
    JournalError
        If the journal cannot be read, or another window writes to it.
    OutputError
        If it cannot be written to.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self.folder, self._clock = folder, clock
        self._lock = lock(folder, PATIENCE)
        with contextlib.ExitStack() as undo:
            undo.callback(self._lock.release)
            self.state = read_journal(folder)
            self._log = AppendFile(folder / LOG, self.state.end)
            undo.pop_all()
        self._since, self._snapshot_at = 0, clock()

    @classmethod
    def begin(
        cls, folder: Path, header: Header, original: NDArray[Any] | Changes, clock: Callable[[], float] = time.time
    ) -> Journal:
        """A new journal in a folder of its own; `folder` with a number behind it where there is one already."""
        changes = original if isinstance(original, Changes) else Changes.of(original)
        first = Record(kind=Kind.LABELS, number=0, time=header.created, payload=changes.to_bytes())
        place = _new_folder(folder, len(first.payload))
        try:
            atomic_write(place / ORIGINAL, first.to_bytes())
            atomic_write(place / HEADER, header.model_dump_json(indent=1))
            return cls(place, clock)
        except UnetstyleError:
            shutil.rmtree(place, ignore_errors=True)  # nothing was painted into it
            raise

    @property
    def strokes(self) -> int:
        """Number of records since the beginning."""
        return self.state.number

    def edit(self, changes: Changes) -> Record:
        """New values of labels, as a record to be given to :meth:`write`; JournalError if they do not fit."""
        changes.check(self.state.labels)  # before anything is in the log
        return self._record(Kind.LABELS, changes.to_bytes())

    def accept(self, changes: Changes) -> Record:
        """New values of the mask of what is right."""
        changes.check(self.state.accepted)
        return self._record(Kind.ACCEPTED, changes.to_bytes())

    def say(self, facts: dict[str, Any]) -> Record:
        """Facts by name; earlier ones of the same name no longer hold."""
        return self._record(Kind.SAID, json.dumps(facts).encode())

    def write(self, records: Iterable[Record]) -> None:
        """Append records in one piece and take them into the state.

        Raises
        ------
        OutputError
            If the disk refuses; nothing is in the journal then, and the same records can be given again.
        """
        numbered = [
            Record(kind=r.kind, number=self.state.number + i, time=r.time, payload=r.payload)
            for i, r in enumerate(records, 1)
        ]
        if not numbered:
            return
        self._log.append(b"".join(record.to_bytes() for record in numbered))
        for record in numbered:
            self.state.take(record)
        self._since += len(numbered)
        self.state.end = self._log.end

    def is_snapshot_due(self) -> bool:
        """Whether enough has happened since the last snapshot."""
        return self._since >= SNAPSHOT_RECORDS or (
            self._since > 0 and self._clock() - self._snapshot_at >= SNAPSHOT_SECONDS
        )

    def snapshot(self) -> None:
        """Replace the snapshot by the state as it is now."""
        state = self.state

        def record(kind: Kind, payload: bytes) -> bytes:
            return Record(kind=kind, number=state.number, time=state.changed, payload=payload).to_bytes()

        said = record(Kind.SAID, json.dumps(state.said).encode())
        labels = record(Kind.LABELS, Changes.of(state.labels).to_bytes())
        accepted = record(Kind.ACCEPTED, Changes.of(state.accepted).to_bytes())
        atomic_write(self.folder / SNAPSHOT, said + labels + accepted)
        self._since, self._snapshot_at = 0, self._clock()

    def identify(self, picture: Picture) -> None:
        """Say more about the picture's file than was known in the beginning."""
        self.state.header = self.state.header.model_copy(update={"picture": picture})
        atomic_write(self.folder / HEADER, self.state.header.model_dump_json(indent=1))

    def close(self) -> None:
        """Let others write to it."""
        self._log.close()
        self._lock.release()

    def _record(self, kind: Kind, payload: bytes) -> Record:
        return Record(kind=kind, number=0, time=self._clock(), payload=payload)


def publish(folder: Path, state: State) -> Path:
    """Write the labels of a journal in a format that other programs read; the journal stays what counts."""
    from napari_unetstyle.core.segmentation.output import write_labels

    header = state.header
    is_volume = (header.picture.path or "").lower().endswith(_VOLUMES)
    return write_labels(
        folder / ("labels.nii.gz" if is_volume else "labels.tif"),
        state.labels,
        axes=header.axes,
        geometry=header.picture.geometry,
        classes=header.classes,
        output=header.output,
        say=lambda _: None,  # the journal keeps the place
    )


def _new_folder(wanted: Path, size: int) -> Path:
    """Make a folder for `size` bytes that was not there, so that two windows never begin in the same one."""
    place, number = wanted, 1
    try:
        wanted.parent.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                place.mkdir()
                return place
            except FileExistsError:
                number += 1
                place = wanted.with_name(f"{wanted.name}-{number}")
    except OSError as error:
        raise OutputError(
            f"Could not write {size} bytes to the new folder {place}: {error.strerror or error}. Free some space, or "
            "choose a folder that you may write to."
        ) from error


def _names_no_journal(record: logging.LogRecord) -> bool:
    """Whether filelock logs something else than a lock like ours, whose path may name a patient."""
    return not (record.args and Path(str([*record.args][-1])).name == LOCK)


def lock(folder: Path, seconds: float = 0.0) -> Any:
    """The lock of a journal, taken within so many seconds: a ``filelock.FileLock``.

    Raises
    ------
    JournalError
        If another window has it.
    """
    from filelock import FileLock, Timeout

    logging.getLogger("filelock").addFilter(_names_no_journal)  # once: it is not added again
    taken = FileLock(folder / LOCK, thread_local=False)
    try:
        taken.acquire(timeout=seconds, poll_interval=0.01)
    except Timeout as error:
        raise JournalError(f"{folder} is open in another window. Close it there first.") from error
    except OSError as error:
        raise JournalError(
            f"{folder / LOCK} cannot be made: {error.strerror or error}. Choose a folder that you may write to."
        ) from error
    return taken
