"""Restyled pictures as layers: on the place of the picture they were made of, and never taken for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard
from uuid import uuid4

import numpy as np

from napari_unetstyle.widgets.label_layers import METADATA
from napari_unetstyle.widgets.layers import PICTURE_ID, PLACE, STYLE
from napari_unetstyle.widgets.placement import Placement
from napari_unetstyle.widgets.statements import picture_of

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

    from napari_unetstyle.core.imaging.image import Image
    from napari_unetstyle.core.style.kept_style import KeptStyle
    from napari_unetstyle.core.style.stylize import Styled

Style: TypeAlias = "napari.layers.Image | KeptStyle"
"""What a person can tick as a style."""

_KEYS = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")


def is_kept(style: Style) -> TypeGuard[KeptStyle]:
    """Whether it is a style from the bank, and no open picture."""
    return hasattr(style, "statistics")


def own_pictures(viewer: napari.viewer.ViewerModel) -> list[napari.layers.Image]:
    """The open pictures as they came: nothing that was made of another here."""
    return [
        layer
        for layer in viewer.layers[::-1]
        if type(layer).__name__ == "Image" and not {METADATA, STYLE} & layer.metadata.keys()
    ]


def given_to_core(style: Style) -> Image | KeptStyle:
    """A ticked style as the core takes it.

    Raises
    ------
    ImageError
        If the axes of a picture are not known.
    """
    return style if is_kept(style) else picture_of(style)


@dataclass(frozen=True, kw_only=True, eq=False)
class StylePlace:
    """Where a picture's layer lay when its style was to be changed, and what its colors were.

    Attributes
    ----------
    placement
        Tells whether the layer is what it was.
    arguments
        Of a picture on the same place.
    """

    placement: Placement
    arguments: dict[str, Any]

    @classmethod
    def of(cls, layer: napari.layers.Image, axes: str) -> StylePlace:
        """Of a layer now."""
        arguments: dict[str, Any] = {key: getattr(layer, key) for key in _KEYS}
        arguments |= {"blending": layer.blending, "interpolation2d": layer.interpolation2d}
        return cls(placement=Placement.of(layer, axes), arguments=arguments)


def add_styled(
    viewer: napari.viewer.ViewerModel, styled: Styled, place: StylePlace, styles: list[str]
) -> napari.layers.Image:
    """Add a restyled picture as a new layer on the picture it was made of; the picture itself is hidden.

    Parameters
    ----------
    viewer
        Gets the layer, selected.
    styled
        The picture in its new style.
    place
        Where the picture lay.
    styles
        Names of what it looks like now.
    """
    source, options = place.placement, styled.options
    about = {
        "picture": source.name,
        "styles": styles,
        "method": options.method,
        "strength": options.strength,
        "is_inverted": styled.is_inverted,
    }
    metadata = {STYLE: about}
    if PLACE in source.layer.metadata:
        metadata[PLACE] = {**source.layer.metadata[PLACE], PICTURE_ID: uuid4().hex}
    array, axes = np.asarray(styled.image.array), styled.image.axes
    is_rgb = axes.endswith("C") and array.shape[-1] in (3, 4) and len(axes) == len(place.arguments["scale"]) + 1
    layer: napari.layers.Image = viewer.add_image(
        array, name=restyled_name(source.name, styles), rgb=is_rgb, metadata=metadata, **place.arguments
    )
    if source.layer in viewer.layers:
        if not is_rgb and not source.layer.rgb:
            layer.colormap = source.layer.colormap
        source.layer.visible = False
    return layer


def restyled_name(picture: str, styles: list[str]) -> str:
    """``slide7 · in the style of slide9``."""
    more = f" and {len(styles) - 1} more" if len(styles) > 1 else ""
    return f"{picture} · in the style of {styles[0]}{more}"
