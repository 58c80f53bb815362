"""Whether two models can be compared on one picture, and in what."""

from __future__ import annotations

from typing import Literal

from napari_unetstyle.core.errors import OptionError
from napari_unetstyle.core.models.model import reference
from napari_unetstyle.core.models.spec import ModelSpec


def common_output(first: ModelSpec, second: ModelSpec) -> Literal["objects", "areas"]:
    """What both can give: objects if both separate them, else areas.

    Raises
    ------
    OptionError
        If they are one and the same, or one is of pictures and the other of volumes.
    """
    if first == second:
        raise OptionError(f"{reference(first)} is one model. Choose two different ones.")
    dims = {spec.network.spatial_dims: spec.name for spec in (first, second)}
    if len(dims) > 1:
        raise OptionError(
            f"{dims[3]} is for volumes and {dims[2]} for pictures of two dimensions, so they cannot be compared. "
            "Choose two of one kind."
        )
    return "areas" if first.separation is None or second.separation is None else "objects"
