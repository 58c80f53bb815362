"""What is known of a layer's axes and pixels: what a person said, else the layer itself, else its file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from napari_unetstyle.widgets.anatomy import keep_stated
from napari_unetstyle.widgets.label_layers import METADATA
from napari_unetstyle.widgets.layers import Statement, axes_of, completed, image_from_layer, place_of, statement_of
from napari_unetstyle.widgets.opening import mark_restyled, statement_in_file

if TYPE_CHECKING:
    import napari.layers

    from napari_unetstyle.core.imaging.image import Image

_STATED: WeakKeyDictionary[Any, Statement] = WeakKeyDictionary()
_IN_FILES: WeakKeyDictionary[Any, Statement | None] = WeakKeyDictionary()


def state(layer: napari.layers.Image, statement: Statement, layers: Iterable[napari.layers.Layer]) -> None:
    """Note what a person said about a layer among those that are open; it holds in every dock, and for its labels.

    Raises
    ------
    ImageError
        If the layer is turned between space and other axes.
    """
    drawn = [one for one in layers if type(one).__name__ == "Labels" and METADATA not in one.metadata]
    keep_stated(layer, statement.axes, statement.geometry, drawn)
    _STATED[layer] = replace(statement, is_assumed=False)
    _name_axes(layer, statement.axes)


def _name_axes(layer: napari.layers.Image, axes: str) -> None:
    if axes_of(layer) != (axes, False):
        layer.axis_labels = tuple(axes.lower()[: layer.ndim])


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
        mark_restyled(layer)
        known = completed(own, _IN_FILES[layer])
        if known != own and not known.is_assumed:  # its labels take it from the layer
            layer.metadata.update(place_of(image_from_layer(layer, known)))
            _name_axes(layer, known.axes)
    return completed(own, _IN_FILES[layer])


def picture_of(layer: napari.layers.Image) -> Image:
    """The picture of a layer as it is known.

    Raises
    ------
    ImageError
        If its axes or pixels are not allowed.
    """
    return image_from_layer(layer, known_statement(layer))
