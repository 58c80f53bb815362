"""Finding out whether a person has touched a layer, without the window waiting for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject

from napari_unetstyle.widgets.jobs import Finished, JobSlot, Outcome
from napari_unetstyle.widgets.outputs import Output

_TRIES = 10  # while a person scrolls, each slice that is shown might have been an undo


class Checker(QObject):
    """Checks outputs one after the other, then goes on with what depends on it."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._waiting: deque[tuple[Output, Callable[[], Any]]] = deque()
        self._slot = JobSlot(self)
        self._slot.done.connect(self._on_done)
        self._tries = 0

    def check(self, output: Output, then: Callable[[], Any]) -> None:
        """Call `then` as soon as it is known whether `output` is touched; not at all where the dock goes first.

        Where that cannot be known, as the layer never rests, it counts as touched.
        """
        if output.is_painted:
            then()
            return
        self._waiting.append((output, then))
        if not self._slot.is_busy:
            self._slot.start(output.iter_check())

    def _on_done(self, outcome: Outcome) -> None:
        output, then = self._waiting[0]
        self._tries += 1
        is_settled = isinstance(outcome, Finished) and output.settle(outcome.value)
        if not is_settled and self._tries < _TRIES:
            self._slot.start(output.iter_check())
            return
        if not is_settled:
            output.distrust()
        self._waiting.popleft()
        self._tries = 0
        then()
        if self._waiting and not self._slot.is_busy:
            self._slot.start(self._waiting[0][0].iter_check())
