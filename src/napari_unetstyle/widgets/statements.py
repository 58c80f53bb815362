"""What is known of a layer's axes and pixels: what a person said, else the layer itself, else its file."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from napari_unetstyle.widgets.layers import Statement, completed, image_from_layer, statement_of
from napari_unetstyle.widgets.opening import statement_in_file

if TYPE_CHECKING:
    import napari.layers

    from napari_unetstyle.core.imaging.image import Image

_STATED: WeakKeyDictionary[Any, Statement] = WeakKeyDictionary()
_IN_FILES: WeakKeyDictionary[Any, Statement | None] = WeakKeyDictionary()


def state(layer: napari.layers.Image, statement: Statement) -> None:
    """Note what a person said about a layer; it holds in every dock."""
    _STATED[layer] = replace(statement, is_assumed=False)


def known_statement(layer: napari.layers.Image) -> Statement:
    """What is known about a layer.

    Raises
    ------
    ImageError
        If nobody can tell its axes.
    """
    stated = _STATED.get(layer)
    if stated is not None and len(stated.axes) == layer.ndim + bool(layer.rgb):
        return stated
    own = statement_of(layer)
    if own.geometry.is_physical and not own.is_assumed:
        return own
    if layer not in _IN_FILES:
        _IN_FILES[layer] = statement_in_file(layer)
    return completed(own, _IN_FILES[layer])


def picture_of(layer: napari.layers.Image) -> Image:
    """The picture of a layer as it is known.

    Raises
    ------
    ImageError
        If its axes or pixels are not allowed.
    """
    return image_from_layer(layer, known_statement(layer))
