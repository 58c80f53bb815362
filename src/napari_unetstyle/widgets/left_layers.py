"""Labels that a closed dock was watching: the next dock of their window goes on with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from qtpy.QtCore import QObject, QTimer

from napari_unetstyle.core.annotation.journal_state import read_journal
from napari_unetstyle.core.errors import UnetstyleError
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.widgets.corrected_layer import CorrectedLayer, Start
from napari_unetstyle.widgets.layers import Placement

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

    from napari_unetstyle.core.annotation.recorder import Recorder

_AGAIN = 100  # milliseconds until the next look whether a journal is written to its end

Take = Callable[["napari.layers.Labels", Placement, Image, Start], CorrectedLayer]


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
        self._timer = QTimer(self)
        self._timer.setInterval(_AGAIN)
        self._timer.timeout.connect(self.go_on)

    @property
    def are_waiting(self) -> bool:
        """Whether there are any."""
        return any(layer in _LEFT for layer in self._viewer.layers)

    def go_on(self) -> None:
        """Go on with those that nobody writes to any more; look again later if there are others."""
        for layer in [layer for layer in self._viewer.layers if layer in _LEFT]:
            left = _LEFT[layer]
            if left.recorder is None or left.recorder.is_closed:
                del _LEFT[layer]
                self._go_on_with(layer, left)
        if self.are_waiting:
            self._timer.start()
        else:
            self._timer.stop()

    def close_down(self) -> None:
        """Leave the rest to the next dock."""
        self._timer.stop()

    def _go_on_with(self, layer: napari.layers.Labels, left: _Left) -> None:
        folder = None if left.recorder is None else left.recorder.folder
        if folder is not None:
            try:
                state = read_journal(folder)
            except UnetstyleError:  # what is painted from here on begins another one
                folder = None
        if folder is None:
            corrected = self._take(layer, left.placement, left.image, left.start)
            if _is_changed(corrected):
                corrected.keep_painted()
            return
        start = Start.going_on(folder, state)
        self._take(layer, left.placement, left.image, start)  # which writes down what was painted meanwhile


def _is_changed(corrected: CorrectedLayer) -> bool:
    """Whether labels that have no journal are not as they were first."""
    first = np.zeros(corrected.image.label_shape, corrected.header.dtype)
    corrected.first.apply(first)
    return not np.array_equal(first, corrected.labels)
