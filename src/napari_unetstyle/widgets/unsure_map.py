"""The button *Show where unsure*: how sure the model is, as a layer over the picture while it is pressed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton

from napari_unetstyle.core.annotation.next_place import iter_uncertainty
from napari_unetstyle.widgets.jobs import Failed, Finished, JobSlot, Outcome
from napari_unetstyle.widgets.label_layers import helper_metadata
from napari_unetstyle.widgets.parts import follow
from napari_unetstyle.widgets.spot import COLOR

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

    from napari_unetstyle.core.segmentation.result import SegmentResult
    from napari_unetstyle.widgets.corrected_layer import CorrectedLayer
    from napari_unetstyle.widgets.corrections import Corrections

WORDS, NAME, OPACITY = "Show where unsure", "unsure", 0.8
HINT = "Color the picture where the model is unsure of its result; painting changes nothing of that"
UNCALIBRATED = "Nobody measured how sure this model may be, so its probabilities are taken as they are."


class ShowUnsure(QPushButton):
    """A layer with the uncertainty of the active result; computed off the GUI thread, gone with the button.

    It is of the probabilities, so no stroke changes it. When other labels become active or the result is another, the
    old map goes at once and the new one comes when it is there.

    Parameters
    ----------
    viewer
        Where the layer goes.
    corrections
        What can be corrected.
    """

    failed = Signal(object)  # Failed

    def __init__(self, viewer: napari.viewer.ViewerModel, corrections: Corrections) -> None:
        super().__init__(WORDS)
        self.setCheckable(True)
        self._viewer, self._corrections = viewer, corrections
        self._layer: napari.layers.Image | None = None
        self._of: CorrectedLayer | None = None
        self._bytes: NDArray[np.uint8] | None = None  # what the map is made of, or being made of
        self._slot = JobSlot(self)
        self._slot.done.connect(self._on_made)
        self.toggled.connect(self.refresh)
        corrections.changed.connect(self.refresh)
        follow(self, viewer.layers.events.removed, self._on_removed)
        self.refresh()

    def refresh(self) -> None:
        """Show the map of the active result as it is now, or none."""
        active = self._corrections.active
        result = active.result() if active is not None and active.result is not None else None
        self.setVisible(result is not None)
        if result is not None:
            self.setToolTip(HINT if result.temperature is not None else f"{HINT}. {UNCALIBRATED}")
        self._show(*((active, result) if self.isChecked() else (None, None)))

    def close_down(self) -> None:
        """Take the layer away; this dock was closed."""
        self._show(None, None)

    def _show(self, corrected: CorrectedLayer | None, result: SegmentResult | None) -> None:
        wanted = None if result is None else result.probability_bytes
        if wanted is self._bytes and corrected is self._of:
            return
        if self._of is not None:
            self._of.layer.events.data.disconnect(self._on_data)
        self._of, self._bytes = (None, None) if result is None else (corrected, wanted)
        self._remove()
        if result is None or self._of is None:
            self._slot.cancel()
            return
        self._of.layer.events.data.connect(self._on_data)
        self._slot.replace(lambda: iter_uncertainty(result))

    def _on_data(self) -> None:
        """Another run may have written into the labels."""
        self.refresh()

    def _on_made(self, outcome: Outcome) -> None:
        if isinstance(outcome, Failed):
            self.setChecked(False)
            self.failed.emit(outcome)
        of = self._of
        if not isinstance(outcome, Finished) or of is None or of.result is None or of.layer not in self._viewer.layers:
            return
        from napari.utils.colormaps import Colormap

        result, chosen = of.result(), self._viewer.layers.selection.active
        clear: Any = Colormap([f"{COLOR}00", f"{COLOR}ff"], name=NAME)
        self._layer = self._viewer.add_image(
            of.placement.to_layer(outcome.value),
            name=NAME,
            contrast_limits=(0, math.log(1 + len(result.classes))),  # from sure to no idea
            colormap=clear,
            opacity=OPACITY,
            blending="translucent",
            metadata=helper_metadata() | {"temperature": result.temperature},
            **of.placement.arguments,
        )
        self._viewer.layers.selection.active = chosen  # a brush goes on

    def _on_removed(self) -> None:
        if self._layer is not None and self._layer not in self._viewer.layers:  # a person took it away
            self.setChecked(False)

    def _remove(self) -> None:
        layer, self._layer = self._layer, None
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)
