"""A Labels layer that the dock made, written to again only while nobody has touched it."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.errors import ImageError
from napari_unetstyle.widgets.layers import METADATA, Placement, add_labels, features

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer
    import pandas as pd

    from napari_unetstyle.core.imaging.image import Image
    from napari_unetstyle.core.progress import Steps
    from napari_unetstyle.core.segmentation.result import SegmentResult


@dataclass(frozen=True)
class Fresh:
    """A result as it came out of its job, with what would take the GUI thread long: checksum and features."""

    result: SegmentResult
    sum: int
    features: pd.DataFrame


def iter_fresh(steps: Steps[SegmentResult]) -> Steps[Fresh]:
    """The job of a result, made ready for a layer."""
    result = yield from steps
    return Fresh(result, checksum(result.labels), features(result.objects))


class Output:
    """One run's labels in the viewer.

    Parameters
    ----------
    viewer
        Where the layer is.
    image
        The picture, as it was given to the run.
    fresh
        What the run gave.
    placement
        Where the picture lay.
    name
        Name of the layer to add.
    """

    def __init__(
        self,
        viewer: napari.viewer.ViewerModel,
        image: Image,
        fresh: Fresh,
        placement: Placement,
        name: str,
    ) -> None:
        self.image, self.result, self.placement = image, fresh.result, placement
        self._viewer = viewer
        self._is_writing = self._is_painted = self._is_suspect = False
        self.layer: napari.layers.Labels = add_labels(viewer, fresh.result, placement, name, fresh.features)
        self._sum = fresh.sum
        events = self.layer.events
        events.paint.connect(self._on_paint)
        events.labels_update.connect(self._on_paint)  # in the middle of a stroke
        events.set_data.connect(self._on_refresh)  # undo, direct writing, but also a mere look at another slice

    @property
    def is_open(self) -> bool:
        """Whether the layer is still in the viewer."""
        return self.layer in self._viewer.layers

    @property
    def is_reshaped(self) -> bool:
        """Whether the layer's data no longer lie on the picture's grid."""
        return tuple(self.layer.data.shape) != tuple(self.placement.to_layer(self.result.labels).shape)

    @property
    def is_touched(self) -> bool:
        """Whether anybody painted in the layer or replaced its data since this dock wrote them."""
        if self._is_suspect and not self._is_painted:
            self._is_painted = self.is_reshaped or self._sum != checksum(self.labels)
            self._is_suspect = False
        return self._is_painted

    @property
    def is_maybe_touched(self) -> bool:
        """Whether something happened to the layer that may have been paint; costs nothing to ask."""
        return self._is_painted or self._is_suspect

    @property
    def is_free(self) -> bool:
        """Whether the layer may be written to: it is open, and nobody has touched it."""
        return self.is_open and not self.is_touched

    @property
    def labels(self) -> NDArray[Any]:
        """What the layer shows now, paint included, in the order T Z Y X.

        Raises
        ------
        ImageError
            If its data were replaced by others that do not lie on the picture.
        """
        if self.is_reshaped:
            raise ImageError(
                f"Layer {self.layer.name!r} has other data now, of shape {tuple(self.layer.data.shape)}, which do not "
                f"lie on {self.placement.name!r}. Segment the picture again."
            )
        return self.placement.to_labels(self.layer.data)

    def can_take(self, result: SegmentResult, placement: Placement) -> bool:
        """Whether another run's result may replace the data: same picture, same place, and the layer is free."""
        return (
            placement.layer is self.placement.layer
            and placement.changes(self._viewer) == []
            and self.placement.changes(self._viewer) == []
            and result.labels.shape == self.result.labels.shape
            and result.output == self.result.output
            and self.is_free
        )

    def write(self, fresh: Fresh) -> None:
        """Replace the layer's data; its undo history goes, as it would write old patches into new labels."""
        layer, result = self.layer, fresh.result
        self.result = result
        with self._writing():
            layer.data = self.placement.to_layer(result.labels)
            mode = layer.mode
            layer.editable = False  # the public way to reset the history
            layer.editable = True
            layer.mode = mode
            layer.features = fresh.features
            layer.metadata[METADATA] = {"provenance": result.provenance, "notes": list(result.notes)}
        self._sum, self._is_painted, self._is_suspect = fresh.sum, False, False

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        self._is_writing = True
        try:
            yield
        finally:
            self._is_writing = False

    def _on_paint(self) -> None:
        if not self._is_writing:
            self._is_painted = True

    def _on_refresh(self) -> None:
        if not self._is_writing:
            self._is_suspect = True


def checksum(array: NDArray[Any]) -> int:
    """A number that changes when a value changes; reads plane by plane, so nothing large is copied."""
    total = zlib.crc32(repr((array.shape, array.dtype.str)).encode())
    for plane in np.atleast_3d(array) if array.ndim < 3 else array.reshape(-1, *array.shape[-2:]):
        total = zlib.crc32(np.ascontiguousarray(plane), total)
    return total
