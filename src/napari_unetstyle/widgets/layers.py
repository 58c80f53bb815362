"""What a layer of napari says about itself, and the core's picture of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.errors import ImageError
from napari_unetstyle.core.imaging import geometry as geo
from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.imaging.levels import LevelGrid

if TYPE_CHECKING:
    import napari.layers

PLACE, OVERVIEW = "unetstyle_place", "unetstyle_overview"
_NAMES = {"time": "T", "channel": "C", "c": "C", "t": "T", "z": "Z", "y": "Y", "x": "X"}
_PLAIN = {2: "YX", 3: "ZYX", 4: "TZYX", 5: "TCZYX"}


@dataclass(frozen=True, kw_only=True)
class Statement:
    """What the axes and pixels of a layer mean.

    Attributes
    ----------
    axes
        One letter per axis of the layer's data, colors included, e.g. ``"TYX"``, ``"YXC"``.
    geometry
        Pixel size along the spatial axes.
    is_assumed
        Whether nobody stated the axes, so that a person should look.
    """

    axes: str
    geometry: Geometry
    is_assumed: bool = False


def axes_of(layer: napari.layers.Layer) -> tuple[str, bool]:
    """Axes of a layer's data, and whether they had to be assumed.

    Axis labels count if they are names that are known (``t``, ``time``, ``c``, ``channel``, ``z``, ``y``,
    ``x``). Otherwise the last two axes are Y and X, a third one is Z.

    Raises
    ------
    ImageError
        If the layer has fewer than two or more than five axes.
    """
    colors = "C" if getattr(layer, "rgb", False) else ""
    letters = "".join(_NAMES.get(str(label).strip().lower(), "?") for label in layer.axis_labels)
    is_named = "?" not in letters and len(set(letters + colors)) == len(letters + colors) and {"Y", "X"} <= set(letters)
    if is_named:
        return letters + colors, False
    plain = _PLAIN.get(layer.ndim)
    if plain is None or (colors and "C" in plain):
        raise ImageError(f"Layer {layer.name!r} has {layer.ndim} axes; pictures of two to five axes can be segmented.")
    return plain + colors, layer.ndim > 2


def geometry_of(layer: napari.layers.Layer, axes: str) -> Geometry:
    """Pixel size and place of the spatial axes; unknown unless every one of them has a unit of length.

    napari's world is that of the picture's own axes; a picture from a volume file keeps in its metadata how these lie
    in the patient. A sheared layer has no place, only a pixel size.
    """
    try:
        return placed_geometry(layer, axes)
    except ImageError:
        spatial = [axes.index(a) for a in "ZYX" if a in axes]
        factors, unit = _length_units(layer, spatial)
        spacing = tuple(abs(float(layer.scale[a])) * f for a, f in zip(spatial, factors, strict=True))
        return Geometry(spacing=spacing, unit=unit)


def placed_geometry(layer: napari.layers.Layer, axes: str) -> Geometry:
    """Like :func:`geometry_of`, but with its place or not at all.

    Raises
    ------
    ImageError
        If the layer is sheared, or turned between space and other axes.
    """
    spatial = [axes.index(a) for a in "ZYX" if a in axes]
    factors, unit = _length_units(layer, spatial)
    if unit == "px":
        return geo.unknown(len(spatial))
    world = world_matrix(layer)
    rest = [i for i in range(layer.ndim) if i not in spatial]
    if world[np.ix_(spatial, rest)].any() or world[np.ix_(rest, spatial)].any():
        raise ImageError(f"Layer {layer.name!r} is turned between space and other axes. Reset its transform.")
    order = [*spatial, layer.ndim]
    matrix = np.diag([*factors, 1.0]) @ world[np.ix_(order, order)]
    turn, is_anatomical = _frame_of(layer, len(spatial))
    try:
        return Geometry.from_affine(turn @ matrix, unit, is_anatomical=is_anatomical)
    except ImageError as error:
        raise ImageError(f"Layer {layer.name!r} is sheared or flat, so it has no place in a file. {error}") from error


def place_of(geometry: Geometry) -> dict[str, Any]:
    """What a layer's metadata keep of a geometry: how napari's world, the picture's own axes, lies in the patient."""
    is_plain = not geometry.is_anatomical and geometry == replace(geometry, direction=())
    return {} if is_plain else {PLACE: {"direction": geometry.direction, "is_anatomical": geometry.is_anatomical}}


def translate_of(geometry: Geometry) -> tuple[float, ...]:
    """Where the first pixel lies along the picture's own axes, as a layer's translate."""
    turned = np.array(geometry.direction).T @ np.array(geometry.origin)
    return tuple(turned.tolist()) if geometry.is_physical else (0.0,) * len(geometry.spacing)


def _length_units(layer: napari.layers.Layer, spatial: list[int]) -> tuple[list[float], str]:
    """Factor of each spatial axis to a common unit; ``"px"`` if one has no unit of length."""
    each = []
    for axis in spatial:
        try:
            each.append(geo.in_known_unit((1.0,), str(layer.units[axis])))
        except ImageError:  # seconds on a spatial axis, say
            return [1.0] * len(spatial), "px"
    units = {one.unit for one in each}
    if "px" in units or not units:
        return [1.0] * len(spatial), "px"
    unit = units.pop() if len(units) == 1 else "um"
    return [one.in_unit(unit).spacing[0] for one in each], unit


def world_matrix(layer: napari.layers.Layer) -> NDArray[np.float64]:
    """The layer's map from data to napari's world, homogeneous."""
    from napari.utils.transforms import Affine

    own = Affine(scale=layer.scale, translate=layer.translate, rotate=layer.rotate, shear=layer.shear)
    return np.array(layer.affine.affine_matrix) @ own.affine_matrix


def _frame_of(layer: napari.layers.Layer, dims: int) -> tuple[NDArray[np.float64], bool]:
    """How napari's world lies in the patient, homogeneous, and whether there is one."""
    place = layer.metadata.get(PLACE, {})
    turn = np.eye(dims + 1)
    direction = np.array(place.get("direction", np.eye(dims)), float)
    if direction.shape != (dims, dims):
        return turn, False
    turn[:-1, :-1] = direction
    return turn, bool(place.get("is_anatomical", False))


def statement_of(layer: napari.layers.Layer) -> Statement:
    """What a layer says about itself."""
    axes, is_assumed = axes_of(layer)
    return Statement(axes=axes, geometry=geometry_of(layer, axes), is_assumed=is_assumed)


def completed(own: Statement, other: Statement | None) -> Statement:
    """What a layer says about itself, and where it says nothing what another source does."""
    if other is None or len(other.axes) != len(own.axes):
        return own
    if own.is_assumed and not other.is_assumed:
        own = replace(own, axes=other.axes, is_assumed=False, geometry=geo.unknown(len(other.geometry.spacing)))
    if not own.geometry.is_physical and own.axes == other.axes:
        own = replace(own, geometry=other.geometry)
    return own


def image_from_layer(
    layer: napari.layers.Image, statement: Statement | None = None, grid: LevelGrid | None = None
) -> Image:
    """The picture of a layer: not copied, lazy if the layer's data are; full resolution, or the level of `grid`.

    Raises
    ------
    ImageError
        If axes or pixels are not allowed.
    """
    stated = statement or statement_of(layer)
    return Image(
        array=stored(layer, grid),
        axes=stated.axes,
        geometry=stated.geometry if grid is None else grid.geometry(stated.geometry, stated.axes),
        channel_names=tuple(map(str, layer.metadata.get("channel_names", ()))),
        name=layer.name,
        overview=layer.metadata.get(OVERVIEW),
    )


def stored(layer: napari.layers.Image | napari.layers.Labels, grid: LevelGrid | None = None) -> Any:
    """The layer's data in full resolution, or the level of `grid`."""
    return layer.data[grid.index if grid is not None else 0] if layer.multiscale else layer.data
