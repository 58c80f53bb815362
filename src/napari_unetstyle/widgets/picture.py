"""A layer together with what is known about it: what a run is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.widgets.layers import Statement

if TYPE_CHECKING:
    import napari.layers


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """A layer, the picture in it, and what a person said about it."""

    layer: napari.layers.Image
    image: Image
    statement: Statement
    object_diameter: float | None = None
