"""A disk that refuses what a teaching writes: it waits, and whoever asks for its steps decides how it goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event
from typing import TypeVar

from napari_unetstyle.core.errors import OutputError
from napari_unetstyle.core.progress import Progress, Steps

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Refused(Progress):
    """A write that failed, and that nothing is lost by.

    Attributes
    ----------
    error
        Says what could not be written where, and why; raised by the next step unless it is to be tried again.
    again
        To be set before the next step is asked for, by whoever has waited for space: the same is written again.
    """

    error: OutputError = field(kw_only=True)
    again: Event = field(default_factory=Event, kw_only=True, compare=False, repr=False)


def iter_written(write: Callable[[], T], step: int = 0, total: int = 1) -> Steps[T]:
    """Write something, as often as whoever asks for the steps wants it.

    Parameters
    ----------
    write
        Leaves things as they were where the disk refuses.
    step, total
        How far the job is, for :class:`Refused`, which is yielded then.

    Raises
    ------
    OutputError
        If it was refused, and nobody said that it is to be tried again.
    """
    while True:
        try:
            return write()
        except OutputError as error:
            refused = Refused(step, total, "Waiting for the disk", error=error)
            yield refused
            if not refused.again.is_set():
                raise
