"""Old and new labels of the pictures after a teaching: one of the two is shown, and what changed is marked."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from napari_unetstyle.widgets.changed_objects import CHANGED, GONE
from napari_unetstyle.widgets.label_layers import OUTLINE_LIMIT, helper_metadata, is_helper, outline_width
from napari_unetstyle.widgets.placement import Placement

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

NAME, FILLED = "what changed", 0.55
THICKER = 2  # pixels more than the outlines of all objects have, among which these are to be seen
COLORS: dict[Any, str] = {None: "transparent", 0: "transparent", CHANGED: "#ffd33d", GONE: "#ff4d4d"}


@dataclass(frozen=True, kw_only=True, eq=False)
class OldAndNew:
    """Two layers of labels of one picture.

    Attributes
    ----------
    old, new
        The layers.
    placement
        Where the new ones lie.
    changes
        Of :func:`~napari_unetstyle.widgets.changed_objects.changed_objects`, in the order T Z Y X.
    """

    old: napari.layers.Labels
    new: napari.layers.Labels
    placement: Placement
    changes: NDArray[np.uint8]


class Pairs(QObject):
    """All of them; layers that a person has removed do not count.

    Parameters
    ----------
    viewer
        Where the layers are.
    """

    flipped = Signal()

    def __init__(self, viewer: napari.viewer.ViewerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._all: list[OldAndNew] = []
        self._marks: list[napari.layers.Labels] = []
        self.since = 0.0
        """When they were made, or flipped the last time."""

    def replace(self, pairs: list[OldAndNew]) -> None:
        """Forget those before, whose labels go where they were only to be looked at."""
        self.mark(False)
        for pair in self.open:
            if is_helper(pair.new):
                self._show(pair, is_new=False)
                self._viewer.layers.remove(pair.new)
        self._all, self.since = pairs, time.monotonic()

    @property
    def open(self) -> list[OldAndNew]:
        """Those of which both layers are there."""
        return [pair for pair in self._all if pair.old in self._viewer.layers and pair.new in self._viewer.layers]

    @property
    def is_changed(self) -> bool:
        """Whether anything is different in any of them."""
        return any(bool(pair.changes.any()) for pair in self.open)

    def flip(self) -> None:
        """Show the old labels in the place of the new ones, or the other way round."""
        self.since = time.monotonic()
        for pair in self.open:
            self._show(pair, is_new=not pair.new.visible)
        self.flipped.emit()

    def show_old(self) -> None:
        """Show the labels as they were before."""
        for pair in self.open:
            self._show(pair, is_new=False)

    def _show(self, pair: OldAndNew, *, is_new: bool) -> None:
        """One of two layers; a brush must not go on in the hidden one."""
        shown, hidden = (pair.new, pair.old) if is_new else (pair.old, pair.new)
        if hidden.visible or not shown.visible:  # else the brush would be put down
            shown.visible, hidden.visible = True, False
        if self._viewer.layers.selection.active is hidden:
            self._viewer.layers.selection.active = shown

    def mark(self, is_wanted: bool) -> None:
        """Outline what changed: yellow is new or has another outline, red is gone.

        In pictures that napari takes too long to outline, these are areas.
        """
        chosen = self._viewer.layers.selection.active
        for layer in self._marks:
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
        self._marks = [self._marked(pair) for pair in self.open] if is_wanted else []
        if chosen in self._viewer.layers:
            self._viewer.layers.selection.active = chosen

    def _marked(self, pair: OldAndNew) -> napari.layers.Labels:
        from napari.utils.colormaps import DirectLabelColormap

        layer = self._viewer.add_labels(
            pair.placement.to_layer(pair.changes),
            name=NAME,
            opacity=FILLED,
            colormap=DirectLabelColormap(color_dict=COLORS),
            metadata=helper_metadata(),
            **pair.placement.arguments,
        )
        layer.editable = False
        if math.prod(pair.changes.shape[-2:]) <= OUTLINE_LIMIT:
            layer.contour, layer.opacity = outline_width(layer.data.shape) + THICKER, 1.0
        return layer
