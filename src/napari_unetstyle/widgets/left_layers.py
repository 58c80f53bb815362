"""Labels that a closed dock was watching: the next dock of their window goes on with them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from qtpy.QtCore import QObject, QTimer

from napari_unetstyle.core.annotation.journal_state import read_journal
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.widgets.corrected_layer import CorrectedLayer, Start, Take
from napari_unetstyle.widgets.jobs import Cancelled, Finished, JobSlot, Outcome, as_steps
from napari_unetstyle.widgets.placement import Placement

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

    from napari_unetstyle.core.annotation.recorder import Recorder

_AGAIN = 100  # milliseconds until the next look whether a journal is written to its end


@dataclass(frozen=True, eq=False)
class _Left:
    """What is to be known of labels to go on; it holds the layer itself nowhere, so that this can be forgotten."""

    placement: Placement
    image: Image
    start: Start
    recorder: Recorder | None


_LEFT: WeakKeyDictionary[Any, _Left] = WeakKeyDictionary()


def leave(corrected: CorrectedLayer) -> None:
    """Close what a dock was watching, for the next dock to go on with."""
    original, owners = corrected.first, corrected.owners
    start = replace(corrected.start, original=lambda: original, owners=lambda: owners, state=None, journal=None)
    _LEFT[corrected.layer] = _Left(corrected.placement, corrected.image, start, corrected.recorder)
    corrected.close()


class LeftLayers(QObject):
    """Goes on with the labels of a viewer that an earlier dock left, as soon as their journals are closed.

    A journal is read in a thread; what is painted until then is in it as soon as the labels are watched again.

    Parameters
    ----------
    viewer
        Whose layers are looked at, once.
    take
        Watches labels.
    """

    def __init__(self, viewer: napari.viewer.ViewerModel, take: Take, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._take = viewer, take
        self._reading, self._comparing = JobSlot(self), JobSlot(self)
        self._layer: napari.layers.Labels | None = None  # whose journal is read
        self._compared: list[CorrectedLayer] = []
        self._reading.done.connect(self._on_read)
        self._comparing.done.connect(self._on_compared)
        self._timer = QTimer(self)
        self._timer.setInterval(_AGAIN)
        self._timer.timeout.connect(self.go_on)

    @property
    def are_waiting(self) -> bool:
        """Whether there are any, or what was painted on them is not kept yet."""
        return any(layer in _LEFT for layer in self._viewer.layers) or bool(self._compared)

    def go_on(self) -> None:
        """Go on with those that nobody writes to any more; look again later if there are others."""
        for layer in [layer for layer in self._viewer.layers if layer in _LEFT and layer is not self._layer]:
            recorder = _LEFT[layer].recorder
            if recorder is None or (recorder.is_closed and recorder.folder is None):
                self._take_anew(layer)
            elif recorder.is_closed and recorder.folder is not None and self._layer is None:
                self._layer = layer
                self._reading.start(as_steps(partial(_read, recorder.folder)))
        if self.are_waiting:
            self._timer.start()
        else:
            self._timer.stop()

    def close_down(self) -> None:
        """Leave the rest to the next dock."""
        self._timer.stop()
        self._reading.cancel()
        self._comparing.cancel()

    def _on_read(self, outcome: Outcome) -> None:
        layer, self._layer = self._layer, None
        if layer is None or isinstance(outcome, Cancelled):
            return
        if layer in self._viewer.layers and layer in _LEFT:
            self._go_on_with(layer, outcome)
        self.go_on()

    def _go_on_with(self, layer: napari.layers.Labels, outcome: Outcome) -> None:
        match outcome:
            case Finished(value=start):
                left = _LEFT.pop(layer)
                self._take(layer, left.placement, left.image, start)  # which writes down what was painted meanwhile
            case _:  # what is painted from here on begins another one
                self._take_anew(layer)

    def _take_anew(self, layer: napari.layers.Labels) -> None:
        left = _LEFT.pop(layer)
        self._compared.append(self._take(layer, left.placement, left.image, left.start))
        self._compare_next()

    def _compare_next(self) -> None:
        if self._compared and not self._comparing.is_busy:
            self._comparing.start(as_steps(partial(_is_changed, self._compared[0])))

    def _on_compared(self, outcome: Outcome) -> None:
        corrected = self._compared.pop(0)
        if isinstance(outcome, Cancelled):
            self._compared.clear()
            return
        is_same = isinstance(outcome, Finished) and not outcome.value
        if not is_same and corrected.layer in self._viewer.layers and not corrected.is_corrected:
            corrected.keep_painted()
        self._compare_next()


def _read(folder: Path) -> Start:
    return Start.going_on(folder, read_journal(folder))


def _is_changed(corrected: CorrectedLayer) -> bool:
    """Whether labels that have no journal are not as they were first."""
    first = np.zeros(corrected.image.label_shape, corrected.header.dtype)
    corrected.first.apply(first)
    return not np.array_equal(first, corrected.labels)
