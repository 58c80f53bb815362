"""What stands in a journal: the labels from before the first stroke, a snapshot, and every record after it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from napari_unetstyle.core import scratch
from napari_unetstyle.core.annotation.changes import Changes
from napari_unetstyle.core.annotation.corrections import Mask
from napari_unetstyle.core.annotation.journal_header import Header, read_header
from napari_unetstyle.core.annotation.records import Kind, Record, Scan, scan
from napari_unetstyle.core.errors import JournalError

ORIGINAL, LOG, SNAPSHOT = "original.runs", "edits.log", "snapshot.runs"


@dataclass(kw_only=True, eq=False)
class State:
    """What stands in a journal.

    Attributes
    ----------
    header
        Whose it is.
    original, labels
        Before the first stroke and after the last one.
    accepted
        What was called right.
    said
        Facts by name, e.g. ``{"rest_is_right": True}``.
    number
        Of the last record.
    changed
        When it was written, seconds since 1970.
    end
        Length of the part of the log that is whole.
    notes
        Sentences that a person should read: what was damaged.
    """

    header: Header
    original: NDArray[Any]
    labels: NDArray[Any]
    accepted: Mask
    said: dict[str, Any] = field(default_factory=dict)
    number: int = 0
    changed: float = 0.0
    end: int = 0
    notes: tuple[str, ...] = ()

    def take(self, record: Record) -> None:
        """Go on by one record."""
        if record.kind == Kind.LABELS:
            Changes.from_bytes(record.payload, self.header.size).apply(self.labels)
        elif record.kind == Kind.ACCEPTED:
            Changes.from_bytes(record.payload, self.header.size).apply(self.accepted)
        else:
            self.said.update(json.loads(record.payload))
        self.number, self.changed = record.number, record.time


def read_journal(folder: Path) -> State:
    """What stands in a journal, however the program ended that wrote it.

    Raises
    ------
    JournalError
        If there is none, or the labels from before the first stroke are damaged.
    """
    header = read_header(folder)
    state = _beginning(header, folder)
    log = _scan(folder / LOG)
    notes = []
    if log.damaged:
        notes.append(f"{log.damaged} bytes of {folder / LOG} are damaged; the strokes in them are missing.")
    start = _take_snapshot(state, folder / SNAPSHOT)
    for record in log.records:
        if record.number > start:
            try:
                state.take(record)
            except (JournalError, ValueError) as error:
                notes.append(f"Record {record.number} of {folder / LOG} is left out: {error}")
    state.end, state.notes = log.end, tuple(notes)
    return state


def _beginning(header: Header, folder: Path) -> State:
    found = _scan(folder / ORIGINAL)
    if len(found.records) != 1 or found.damaged or found.torn:
        raise JournalError(
            f"{folder / ORIGINAL} is missing or damaged: what the corrections were made to is not known. "
            "Take the file from a backup."
        )
    original, labels = scratch.zeros(header.shape, header.dtype), scratch.zeros(header.shape, header.dtype)
    Changes.from_bytes(found.records[0].payload, header.size).apply(original)
    labels[...] = original
    return State(header=header, original=original, labels=labels, accepted=scratch.zeros(header.shape, bool))


def _take_snapshot(state: State, path: Path) -> int:
    """Take a snapshot's state if there is one and it is whole; the number of its last record, else 0."""
    found = _scan(path)
    if [r.kind for r in found.records] != [Kind.SAID, Kind.LABELS, Kind.ACCEPTED] or found.damaged or found.torn:
        return 0
    said, labels, accepted = found.records
    size = state.header.size
    state.labels[...] = 0
    Changes.from_bytes(labels.payload, size).apply(state.labels)
    Changes.from_bytes(accepted.payload, size).apply(state.accepted)
    state.said = json.loads(said.payload)
    state.number, state.changed = said.number, said.time
    return said.number


def _scan(path: Path) -> Scan:
    try:
        return scan(path.read_bytes())
    except FileNotFoundError:
        return Scan(records=(), end=0, damaged=0, torn=0)
    except OSError as error:
        raise JournalError(f"{path} cannot be read: {error.strerror or error}.") from error
