"""What is learned from, in green over the picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject

from napari_unetstyle.core.annotation.corrections import learned
from napari_unetstyle.widgets.jobs import Finished, JobSlot, Outcome, as_steps
from napari_unetstyle.widgets.label_layers import helper_metadata

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

    from napari_unetstyle.widgets.corrected_layer import CorrectedLayer

NAME, COLOR, OPACITY = "learns from", "#35c46a", 0.35


class LearnedPlaces(QObject):
    """A layer that shows what is learned from one result; found off the GUI thread, as labels can be large.

    Parameters
    ----------
    viewer
        Where the layer goes.
    parent
        When it goes, nothing is looked for any more.
    """

    def __init__(self, viewer: napari.viewer.ViewerModel, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layer: napari.layers.Labels | None = None
        self._of: CorrectedLayer | None = None  # whose places the layer shows
        self._wanted: CorrectedLayer | None = None
        self.is_drawing = False  # then layers come and go without anything being corrected
        self._slot = JobSlot(self)
        self._slot.done.connect(self._on_found)

    def show(self, corrected: CorrectedLayer | None) -> None:
        """Show what is learned from a result as it is now; None shows nothing."""
        self._wanted = corrected if corrected is not None and corrected.is_corrected else None
        if self._wanted is not self._of:
            self._remove()
        if (wanted := self._wanted) is None:
            self._slot.cancel()
        else:
            self._slot.replace(lambda: as_steps(lambda: _places(wanted)))

    def _on_found(self, outcome: Outcome) -> None:
        wanted = self._wanted
        if not isinstance(outcome, Finished) or wanted is None or wanted.layer not in self._viewer.layers:
            return
        self.is_drawing = True
        try:
            self._draw(wanted, outcome.value)
        finally:
            self.is_drawing = False

    def _draw(self, wanted: CorrectedLayer, places: NDArray[np.uint8]) -> None:
        if self._layer is not None and self._layer in self._viewer.layers:
            self._layer.data = places
            return
        from napari.utils.colormaps import DirectLabelColormap

        chosen = self._viewer.layers.selection.active
        colors: dict[Any, str] = {None: "transparent", 0: "transparent", 1: COLOR}
        self._layer = self._viewer.add_labels(
            places,
            name=NAME,
            opacity=OPACITY,
            colormap=DirectLabelColormap(color_dict=colors),
            metadata=helper_metadata(),
            **wanted.placement.arguments,
        )
        self._layer.editable = False
        self._of = wanted
        self._viewer.layers.selection.active = chosen

    def _remove(self) -> None:
        layer, self._layer, self._of = self._layer, None, None
        if layer is not None and layer in self._viewer.layers:
            self.is_drawing = True
            try:
                self._viewer.layers.remove(layer)
            finally:
                self.is_drawing = False


def _places(corrected: CorrectedLayer) -> NDArray[np.uint8]:
    valid = learned(corrected.correction())[1]
    return corrected.placement.to_layer(valid.view(np.uint8))
