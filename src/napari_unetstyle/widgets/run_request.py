"""One run as it was asked for: picture, place, model and options, taken when the button was pressed."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unetstyle.core.errors import ImageError
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.segmentation.options import SegmentOptions
from napari_unetstyle.widgets.placement import Placement
from napari_unetstyle.widgets.scope import WHOLE
from napari_unetstyle.widgets.statements import picture_of

if TYPE_CHECKING:
    import napari.layers

    from napari_unetstyle.core.models.store import ModelStore


@dataclass(frozen=True, kw_only=True, eq=False)
class RunRequest:
    """Everything that a run and its delivery need.

    Attributes
    ----------
    image
        The picture.
    placement
        Where its layer lay when the run began.
    model
        Reference with version, ``nuclei@1``.
    options
        As the form gives them.
    store
        Where the model is.
    scope
        Key of the chosen part, see :mod:`~napari_unetstyle.widgets.scope`.
    """

    image: Image
    placement: Placement
    model: str
    options: SegmentOptions
    store: ModelStore
    scope: str

    @property
    def layer(self) -> napari.layers.Image:
        """The picture's layer."""
        return self.placement.layer

    @property
    def title(self) -> str:
        """``slide7 · nuclei``."""
        return f"{self.placement.name} · {self.model_name}"

    @property
    def layer_name(self) -> str:
        """Name of the labels' layer."""
        return f"{self.placement.name} {self.model_name}"

    @property
    def model_name(self) -> str:
        """The model without its version."""
        return self.model.partition("@")[0]

    def is_rerun_of(self, other: RunRequest) -> bool:
        """Whether both show the same part of the same layer to the same version of a model."""
        ours, theirs = ((one.layer, one.model, one.scope, *one.seen) for one in (self, other))
        return ours == theirs

    @property
    def seen(self) -> tuple[Any, ...]:
        """What of the picture the model is shown, and how: labels of one channel say nothing of another."""
        options = self.options
        return options.frames, options.box, options.polygon, options.channel, options.plane, options.restyle

    def is_same_run(self, other: RunRequest) -> bool:
        """Whether both give the very same labels, in the same place."""
        ours, theirs = self.placement, other.placement
        return (
            self.is_rerun_of(other)
            and self.options == other.options
            and (self.image.axes, self.image.geometry) == (other.image.axes, other.image.geometry)
            and ours.array is theirs.array
            and ours.grid == theirs.grid
            and np.array_equal(ours.transform, theirs.transform)
        )


_LARGER = 4  # times the pixels of the first picture, beyond which nobody wants to wait for a second one


def run_like(request: RunRequest, layer: napari.layers.Image) -> RunRequest | None:
    """The same run on all of another picture; None where that is of another kind, or much larger."""
    try:
        image = picture_of(layer)
    except ImageError:  # its axes are to be stated first
        return None
    room = _LARGER * math.prod(request.image.array.shape)
    if layer.multiscale or image.axes != request.image.axes or math.prod(image.array.shape) > room:
        return None
    placement = Placement.of(layer, image.axes)
    options = request.options.changed(box=None, frames=None, polygon=None)
    return dataclasses.replace(request, image=image, placement=placement, options=options, scope=WHOLE)
