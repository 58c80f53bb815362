"""What a layer of napari says about itself, and the core's picture of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.errors import ImageError
from napari_unetstyle.core.imaging import geometry as geo
from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.imaging.levels import LevelGrid
from napari_unetstyle.core.imaging.restyled import restyled_note

if TYPE_CHECKING:
    import napari.layers

PLACE, OVERVIEW = "unetstyle_place", "unetstyle_overview"
PICTURE_ID = "id"
"""Of the place that a picture's metadata keep: labels know their picture by it."""
STATED = "stated"
"""Of the place that a layer keeps, where a person stated it: how the layer was shown when it was opened."""
STYLE = "unetstyle_style"
"""Key of a layer's metadata; a layer that has it shows a restyled picture."""
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

    What came from a file lies where the file says, whatever was done to the view. A sheared layer of which no file is
    known has no place, only a pixel size.
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
        If no file says where the layer lies, and it is sheared, or turned between space and other axes; or if it was
        turned and has other pixels than its file.
    """
    kept = kept_place(layer, axes)
    if kept is not None and is_as_in_file(layer, axes, kept):
        return kept
    view, unit = view_of(layer, axes)
    if unit == "px":
        return geo.unknown(len(view) - 1)
    turn = np.eye(len(view))
    if kept is not None and is_along_own_axes(view):
        turn[:-1, :-1] = kept.direction
    elif kept is not None:
        raise ImageError(
            f"Layer {layer.name!r} was turned and has other pixels than the file that it came from, so where it lies "
            "is not known. Reset its transform, or open the file again."
        )
    try:
        return Geometry.from_affine(turn @ view, unit, is_anatomical=kept is not None and kept.is_anatomical)
    except ImageError as error:
        raise ImageError(f"Layer {layer.name!r} is sheared or flat, so it has no place in a file. {error}") from error


def kept_place(layer: napari.layers.Layer, axes: str) -> Geometry | None:
    """Where the file says that a layer lies; None if there is none, or it has other axes in space."""
    place = layer.metadata.get(PLACE)
    if place is None or len(place["spacing"]) != sum(a in "ZYX" for a in axes):
        return None
    return Geometry(**{field.name: place[field.name] for field in fields(Geometry)})


def is_as_in_file(layer: napari.layers.Layer, axes: str, kept: Geometry) -> bool:
    """Whether the place in its file holds for a layer: not where a part was cut out of it.

    The pixel size of a picture that lies in no patient is a person's to state by the layer's scale and unit, too; what
    was stated in words counts more.
    """
    if shape_in_space(layer, axes) != tuple(layer.metadata[PLACE]["shape"]):
        return False
    is_plain = not kept.is_anatomical and kept == replace(kept, direction=())
    view, unit = view_of(layer, axes)
    return not is_plain or STATED in layer.metadata[PLACE] or unit == "px" or not is_along_own_axes(view)


def shape_in_space(layer: napari.layers.Layer, axes: str, level: int = 0) -> tuple[int, ...]:
    """Pixels along ``(Z)YX`` of a layer, or of one of its levels."""
    data: Any = layer.data[level] if getattr(layer, "multiscale", False) else layer.data
    return tuple(data.shape[axes.index(a)] for a in "ZYX" if a in axes)


def view_of(layer: napari.layers.Layer, axes: str) -> tuple[NDArray[np.float64], str]:
    """How a layer's data ``(Z)YX`` lie in napari's world, homogeneous, and its unit; numbers as they are if ``"px"``.

    Raises
    ------
    ImageError
        If it is turned between space and other axes.
    """
    spatial = [axes.index(a) for a in "ZYX" if a in axes]
    factors, unit = _length_units(layer, spatial)
    world = world_matrix(layer)
    rest = [i for i in range(layer.ndim) if i not in spatial]
    if world[np.ix_(spatial, rest)].any() or world[np.ix_(rest, spatial)].any():
        raise ImageError(f"Layer {layer.name!r} is turned between space and other axes. Reset its transform.")
    order = [*spatial, layer.ndim]
    return np.diag([*factors, 1.0]) @ world[np.ix_(order, order)], unit


def is_along_own_axes(view: NDArray[np.float64]) -> bool:
    """Whether a view shows data along their own axes, neither turned nor mirrored."""
    columns = view[:-1, :-1]
    along = columns.diagonal()
    return bool((along > 0).all() and np.abs(columns - np.diag(along)).max() <= 1e-6 * along.min())


def place_of(image: Image) -> dict[str, Any]:
    """What a layer's metadata keep of a picture's place, and of its size, as that holds for all of its pixels only."""
    place = image.geometry
    if not place.is_physical:
        return {}
    return {PLACE: {**asdict(place), "shape": tuple(map(image.size, place.axes)), PICTURE_ID: uuid4().hex}}


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
        notes=restyled_notes(layer),
        overview=layer.metadata.get(OVERVIEW),
    )


def restyled_notes(layer: napari.layers.Layer) -> tuple[str, ...]:
    """That a layer shows a restyled picture, however it is called by now; it names no picture."""
    made = layer.metadata.get(STYLE)
    return () if made is None else (restyled_note(made),)


def stored(layer: napari.layers.Image | napari.layers.Labels, grid: LevelGrid | None = None) -> Any:
    """The layer's data in full resolution, or the level of `grid`."""
    return layer.data[grid.index if grid is not None else 0] if layer.multiscale else layer.data
