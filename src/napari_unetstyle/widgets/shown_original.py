"""*Show original*: the untouched result in the place of the labels that are corrected."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from napari_unetstyle.widgets.label_layers import helper_metadata
from napari_unetstyle.widgets.placement import Placement

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer


class ShownOriginal:
    """A second layer, there only while it is shown.

    Parameters
    ----------
    viewer, layer, placement
        Where the labels are.
    original
        Gives the labels before the first stroke, in the order T Z Y X.
    """

    def __init__(
        self,
        viewer: napari.viewer.ViewerModel,
        layer: napari.layers.Labels,
        placement: Placement,
        original: Callable[[], NDArray[Any]],
    ) -> None:
        self._viewer, self._layer, self._placement, self._original = viewer, layer, placement, original
        self._twin: napari.layers.Labels | None = None

    @property
    def is_on(self) -> bool:
        """Whether it is shown."""
        return self._twin is not None

    def show(self, is_on: bool) -> None:
        """Show the untouched result in the layer's place, or the layer again."""
        if is_on == self.is_on:
            return  # napari puts the brush down where a layer that is visible is to be
        if is_on:
            self._twin = self._viewer.add_labels(
                self._placement.to_layer(self._original()),
                name=f"{self._layer.name} (original)",
                colormap=self._layer.colormap,
                opacity=self._layer.opacity,
                metadata=helper_metadata(),
                **self._placement.arguments,
            )
            self._twin.contour, self._twin.editable = self._layer.contour, False
            self._viewer.layers.selection.active = self._layer
        elif self._twin is not None:
            if self._twin in self._viewer.layers:
                self._viewer.layers.remove(self._twin)
            self._twin = None
        if self._layer in self._viewer.layers:
            self._layer.visible = not is_on
