"""Long work off the GUI thread: a core generator, drained by one plain thread.

napari's own ``thread_worker`` is not used: inside a generator it swallows every RuntimeError, and torch's
out-of-memory error is one.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_unetstyle.core.errors import UnetstyleError
from napari_unetstyle.core.free_memory import is_out_of_memory
from napari_unetstyle.core.progress import Progress, Steps

INTERVAL = 0.1  # seconds between two messages to Qt
PATIENCE = 1.0  # seconds that a closed napari waits for a step to end


@dataclass(frozen=True)
class Finished:
    """A job came to its end."""

    value: Any


@dataclass(frozen=True)
class Failed:
    """A job ended with an error.

    Attributes
    ----------
    sentence
        What a person reads.
    details
        The traceback, for a report; it names no picture.
    """

    sentence: str
    details: str


@dataclass(frozen=True)
class Cancelled:
    """A job was stopped; it left nothing behind."""


Outcome = Finished | Failed | Cancelled


def failure(error: BaseException) -> Failed:
    """An error in words; one that was not foreseen says so and keeps its type."""
    details = _details(error)
    if isinstance(error, UnetstyleError):
        return Failed(error.in_window or str(error), details)
    if is_out_of_memory(error):
        return Failed("There was not enough memory. Close other programs, or segment a part of the picture.", details)
    return Failed(
        f"This went wrong and was not foreseen ({type(error).__name__}: {error}). "
        "Nothing was changed; please copy the details into a report.",
        details,
    )


def _details(error: BaseException) -> str:
    """Where it went wrong, the first error first; what names a file is left out, as it may name a patient."""
    parts: list[str] = []
    one: BaseException | None = error
    while one is not None:
        if isinstance(one, OSError):
            says = f" ({one.strerror})"
        else:
            says = "" if isinstance(one, UnetstyleError) else f": {one}"
        places = "".join(traceback.format_tb(one.__traceback__))
        parts.append(f"Traceback (most recent call last):\n{places}{type(one).__name__}{says}\n")
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
    return "\n".join(reversed(parts)).replace(str(Path.home()), "~")


def as_steps(function: Callable[[], Any], message: str = "") -> Steps[Any]:
    """A job of one step."""
    yield Progress(0, 1, message)
    return function()


class Job(QObject):
    """One run of a generator in a thread of its own.

    It never has a Qt parent: the thread's bound method keeps it alive until the last message is posted.
    """

    progressed = Signal(object)  # Progress, at most ten times a second; with a picture to show always
    done = Signal(object)  # Outcome, once

    def __init__(self, steps: Steps[Any]) -> None:
        super().__init__()
        self._steps: Steps[Any] | None = steps
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="unetstyle-job")

    def start(self) -> None:
        """Begin; returns at once."""
        atexit.register(self._end_with_python)
        self._thread.start()

    def cancel(self) -> None:
        """Stop at the next step."""
        self._stop.set()

    @property
    def is_alive(self) -> bool:
        """Whether its thread still runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        steps, self._steps = self._steps, None  # the arrays go when the job is over, not when it is forgotten
        assert steps is not None
        try:
            outcome = self._drain(steps)
        except BaseException as error:  # noqa: BLE001 (delivered as a value; a thread has nobody to raise to)
            outcome = failure(error)
        if self._stop.is_set():
            outcome = Cancelled()
        del steps
        with contextlib.suppress(RuntimeError):  # Qt is gone: napari was closed during the job
            self.done.emit(outcome)
        atexit.unregister(self._end_with_python)

    def _end_with_python(self) -> None:
        """Python would crash if it were taken down around a thread that computes, so the thread ends first.

        A step that takes longer than a person should wait for a closed window ends with the process.
        """
        self._stop.set()
        self._thread.join(PATIENCE)
        if self._thread.is_alive():
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)

    def _drain(self, steps: Steps[Any]) -> Outcome:
        posted = 0.0
        try:
            while not self._stop.is_set():
                try:
                    progress = next(steps)
                except StopIteration as end:
                    return Finished(end.value)
                has_picture = getattr(progress, "preview", None) is not None  # rare, and the last one has to be seen
                if has_picture or time.monotonic() - posted >= INTERVAL:
                    posted = time.monotonic()
                    self.progressed.emit(progress)
            return Cancelled()
        finally:
            steps.close()


class JobSlot(QObject):
    """A place for one job at a time; what a job that was given up still says is not heard.

    Parameters
    ----------
    parent
        When it goes, the job stops.
    """

    progressed = Signal(object)
    done = Signal(object)
    busy_changed = Signal(bool)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._job: Job | None = None
        self._next: Callable[[], Steps[Any]] | None = None
        self._is_given_up = False
        self._parent_gone = parent.destroyed

    @property
    def is_busy(self) -> bool:
        """Whether a job is under way."""
        return self._job is not None

    def start(self, steps: Steps[Any]) -> bool:
        """Start a job, unless one is under way."""
        if self._job is not None:
            return False
        job = self._job = Job(steps)
        self._parent_gone.connect(job.cancel)
        job.progressed.connect(self._on_progress)
        job.done.connect(self._on_done)
        self.busy_changed.emit(True)
        job.start()
        return True

    def replace(self, make_steps: Callable[[], Steps[Any]]) -> None:
        """Start a job; one under way is stopped first and only the latest of those waiting is started."""
        if self._job is None:
            self.start(make_steps())
        else:
            self._give_up()
            self._next = make_steps

    def cancel(self) -> None:
        """Stop the job at its next step, and forget the one that waits."""
        self._next = None
        if self._job is not None:
            self._give_up()

    def _give_up(self) -> None:
        assert self._job is not None
        self._is_given_up = True
        self._job.cancel()

    def _on_progress(self, progress: Progress) -> None:
        if not self._is_given_up:
            self.progressed.emit(progress)

    def _on_done(self, outcome: Outcome) -> None:
        if self._is_given_up:  # it may have ended just before it was stopped
            outcome = Cancelled()
        self._job, self._is_given_up = None, False
        if self._next is not None:
            make_steps, self._next = self._next, None
            self.start(make_steps())
            return
        self.busy_changed.emit(False)
        self.done.emit(outcome)
