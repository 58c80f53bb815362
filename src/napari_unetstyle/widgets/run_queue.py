"""Runs one after the other: one picture, or all that are open."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from qtpy.QtCore import QObject, Signal

from napari_unetstyle.core.progress import share
from napari_unetstyle.widgets.core_calls import CoreCalls
from napari_unetstyle.widgets.jobs import JobSlot, Outcome
from napari_unetstyle.widgets.outputs import iter_fresh
from napari_unetstyle.widgets.run_request import RunRequest


class RunQueue(QObject):
    """Runs requests in order; one that fails does not stop the rest."""

    begun = Signal(int)  # which one, from 1
    progressed = Signal(object)  # Progress
    ended = Signal(object, object)  # RunRequest, Outcome
    emptied = Signal()

    def __init__(self, calls: CoreCalls, parent: QObject) -> None:
        super().__init__(parent)
        self._calls = calls
        self._waiting: deque[RunRequest] = deque()
        self._count = 0
        self._running: RunRequest | None = None
        self.slot = JobSlot(self)
        self.slot.progressed.connect(self.progressed)
        self.slot.done.connect(self._on_done)

    @property
    def is_busy(self) -> bool:
        """Whether a run is under way or waits."""
        return self._running is not None

    def start(self, requests: Iterable[RunRequest]) -> None:
        """Begin, unless runs are under way."""
        if not self.is_busy:
            self._waiting = deque(requests)
            self._count = len(self._waiting)
            self._start_next()

    def stop(self) -> None:
        """Stop the run within one step, and forget those that wait."""
        self._waiting.clear()
        self.slot.cancel()

    def _start_next(self) -> None:
        if not self._waiting:
            self.emptied.emit()
            return
        request = self._running = self._waiting.popleft()
        number, count = self._count - len(self._waiting), self._count
        self.begun.emit(number)
        steps = self._calls.iter_segment(request.image, request.model, request.options, request.store)
        counted = (number, count) if count > 1 else None
        self.slot.start(share(iter_fresh(steps), (number - 1) / count, number / count, counted))

    def _on_done(self, outcome: Outcome) -> None:
        request, self._running = self._running, None
        self.ended.emit(request, outcome)
        self._start_next()
