"""Marks of the journals that are being written: those that are left after a crash are offered to be restored."""

from __future__ import annotations

import os
from pathlib import Path

from napari_unetstyle.core.annotation.journal_header import is_journal, read_header
from napari_unetstyle.core.annotation.project import Entry, user_folder
from napari_unetstyle.core.errors import JournalError, OutputError
from napari_unetstyle.core.files import atomic_write


def default_marks() -> Path:
    """Where marks lie for this person."""
    return user_folder() / ".open"


def mark_open(marks: Path, folder: Path) -> None:
    """Note that a journal is being written.

    Raises
    ------
    OutputError
        If the note cannot be written.
    """
    atomic_write(_mark(marks, folder), os.fsencode(folder.absolute()))


def mark_closed(marks: Path, folder: Path) -> None:
    """Note that all of a journal is on disk and its window was closed."""
    try:
        _mark(marks, folder).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"Could not remove {_mark(marks, folder)}: {error.strerror or error}.") from error


def left_open(marks: Path) -> list[Entry]:
    """Entries whose program ended without closing them: marked, still there, and held by nobody."""
    found = []
    for mark in sorted(marks.glob("[!.]*.open")):  # not one that a kill left half written
        try:
            folder = Path(os.fsdecode(mark.read_bytes()))
            entry = Entry(folder=folder, header=read_header(folder)) if is_journal(folder) else None
        except (OSError, ValueError, JournalError):  # of a disk that is not there now, say
            continue
        if entry is not None and not entry.is_open:
            found.append(entry)
    return found


def _mark(marks: Path, folder: Path) -> Path:
    import hashlib

    return marks / f"{hashlib.sha256(os.fsencode(folder.absolute())).hexdigest()[:16]}.open"
