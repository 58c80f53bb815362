"""Fixes that napari did not get to close, as after a crash."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_unetstyle.core.annotation.open_journals import left_open
from napari_unetstyle.core.annotation.project import Entry, count
from napari_unetstyle.core.errors import UnetstyleError
from napari_unetstyle.core.progress import Progress, Steps
from napari_unetstyle.widgets.jobs import Failed, failure


@dataclass(frozen=True)
class Unclosed:
    """An entry, and how much was fixed in it."""

    entry: Entry
    fixes: int

    @property
    def words(self) -> str:
        """What a person reads."""
        header, fixes = self.entry.header, f"{self.fixes} fix{'' if self.fixes == 1 else 'es'}"
        return f"{header.picture.name}: {fixes} on {header.layer!r} that napari did not get to close."


def iter_unclosed(marks: Path) -> Steps[list[Unclosed | Failed]]:
    """Those with something in them, and why others cannot be read, as a job."""
    found: list[Unclosed | Failed] = []
    for entry in left_open(marks):
        yield Progress(0, 1)
        try:
            state = entry.state()
        except UnetstyleError as error:
            found.append(failure(error))
            continue
        if state.number:  # something was painted
            found.append(Unclosed(entry, count(state).fixes))
    return found
