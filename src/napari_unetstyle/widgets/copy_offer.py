"""Asks once whether a picture without a file is to be kept with its fixes, so that they can be opened again."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from napari_unetstyle.core.annotation.project import Entry, keep_copy
from napari_unetstyle.widgets.jobs import Failed, Finished, JobSlot, Outcome, as_steps
from napari_unetstyle.widgets.message_row import MessageRow

if TYPE_CHECKING:
    from napari_unetstyle.widgets.corrected_layer import CorrectedLayer
    from napari_unetstyle.widgets.corrections import Corrections

ASKED = "asked_for_copy"
_KEEP = "Keep a copy"


class CopyOffer(MessageRow):
    """Follows the labels that are corrected; hidden while there is nothing to ask.

    Parameters
    ----------
    corrections
        What is corrected.
    """

    def __init__(self, corrections: Corrections) -> None:
        super().__init__()
        self._corrections = corrections
        self._target: CorrectedLayer | None = None
        self._slot = JobSlot(self)
        self._slot.done.connect(self._on_done)
        self.answered.connect(self._on_answered)
        corrections.changed.connect(self.refresh)
        corrections.reported.connect(self.refresh)

    def refresh(self) -> None:
        """Ask about the labels that a person turned to, if nobody has answered yet."""
        active = self._corrections.active
        target = active if active is not None and _is_open_question(active) else None
        if target is self._target or self._slot.is_busy:
            return
        self._target = target
        self.clear()
        if target is not None:
            name, size = target.placement.name, _size(target)
            question = f"{name} has no file. Keep a copy ({size}), to open it with its fixes another day?"
            self.ask(question, (_KEEP, self._keep))

    def close_down(self) -> None:
        """Ask no more."""
        self._slot.cancel()

    def _keep(self) -> None:
        target = self._target
        if target is not None and target.recorder is not None and target.recorder.folder is not None:
            entry = Entry(folder=target.recorder.folder, header=target.header)
            self._slot.start(as_steps(partial(keep_copy, entry, target.image)))

    def _on_answered(self) -> None:
        if not self._slot.is_busy and self._target is not None:
            self._target.say(**{ASKED: True})

    def _on_done(self, outcome: Outcome) -> None:
        match outcome:
            case Finished() if self._target is not None:
                self._target.say(**{ASKED: True})
            case Failed():
                self.fail(outcome)


def _is_open_question(corrected: CorrectedLayer) -> bool:
    has_begun = corrected.recorder is not None and corrected.recorder.folder is not None
    return has_begun and corrected.header.picture.path is None and ASKED not in corrected.facts


def _size(corrected: CorrectedLayer) -> str:
    array = corrected.image.array
    megabytes = math.prod(array.shape) * np.dtype(array.dtype).itemsize / 1e6
    return f"{math.ceil(megabytes)} MB" if megabytes < 1e3 else f"{megabytes / 1e3:.1f} GB"
