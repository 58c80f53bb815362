"""napari's layers and the core's pictures: the only place where one becomes the other."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.errors import ImageError
from napari_unetstyle.core.imaging import geometry as geo
from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.imaging.levels import LevelGrid
from napari_unetstyle.widgets.level_grid import placed

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer
    import pandas as pd

    from napari_unetstyle.core.models.spec import ClassSpec
    from napari_unetstyle.core.segmentation.result import SegmentResult

METADATA = "unetstyle"
PLACE = "unetstyle_place"
OUTLINE = 2  # pixels
_SMALL = 256  # pixels
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
    world = _world_matrix(layer)
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


def _world_matrix(layer: napari.layers.Layer) -> NDArray[np.float64]:
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
        array=_stored(layer, grid),
        axes=stated.axes,
        geometry=stated.geometry if grid is None else grid.geometry(stated.geometry, stated.axes),
        channel_names=tuple(map(str, layer.metadata.get("channel_names", ()))),
        name=layer.name,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Placement:
    """Where a layer lay at one moment, and how labels of its picture lie on it.

    Labels have the layer's axes in the layer's order. A leading channel axis is dropped; one further inside
    becomes an axis of length 1 that covers all channels, so that the others stay where they are.
    """

    layer: napari.layers.Image | napari.layers.Labels
    name: str
    array: Any
    axes: str
    arguments: dict[str, Any]
    transform: NDArray[np.float64]
    metadata: dict[str, Any]
    grid: LevelGrid | None = None

    @classmethod
    def of(
        cls, layer: napari.layers.Image | napari.layers.Labels, axes: str, grid: LevelGrid | None = None
    ) -> Placement:
        """The placement of `layer` now, or of one level of it; `axes` as stated for its data."""
        own = axes[:-1] if getattr(layer, "rgb", False) else axes
        return cls(
            layer=layer,
            name=layer.name,
            array=_stored(layer, grid),
            axes=own,
            arguments=_arguments(layer, own, grid),
            transform=_transform(layer),
            grid=grid,
            metadata={PLACE: layer.metadata[PLACE]} if PLACE in layer.metadata else {},
        )

    def changes(self, viewer: napari.viewer.ViewerModel) -> list[str]:
        """What happened to the layer since, in words."""
        if self.layer not in viewer.layers:
            return ["removed"]
        if self.grid is not None and not _has_level(self.layer, self.grid):
            return ["changed"]
        now = _stored(self.layer, self.grid)
        shape = tuple(now.shape)
        happened = {
            "renamed": self.layer.name != self.name,
            "moved": not np.array_equal(_transform(self.layer), self.transform),
            "reshaped": shape != tuple(self.array.shape),
            "changed": shape == tuple(self.array.shape) and now is not self.array,
        }
        return [word for word, is_so in happened.items() if is_so]

    def to_layer(self, labels: NDArray[Any]) -> NDArray[Any]:
        """Labels in the order T Z Y X as the layer's data (a view)."""
        stored = [a for a in "TZYX" if a in self.axes]
        kept = [a for a in self.axes if a != "C"]
        view = labels.transpose([stored.index(a) for a in kept])
        return np.expand_dims(view, self.axes.index("C")) if self._has_inner_channel else view

    def to_labels(self, data: NDArray[Any]) -> NDArray[Any]:
        """The layer's data as labels in the order T Z Y X (a view)."""
        if self._has_inner_channel:
            data = np.take(data, 0, axis=self.axes.index("C"))
        kept = [a for a in self.axes if a != "C"]
        return data.transpose([kept.index(a) for a in "TZYX" if a in self.axes])

    @property
    def level(self) -> int | None:
        """Number of the level of a multiscale layer that the labels are on; None of a layer that has one."""
        return (self.grid.index if self.grid is not None else 0) if self.layer.multiscale else None

    @property
    def _has_inner_channel(self) -> bool:
        return self.axes.find("C") > 0


def outline_width(shape: tuple[int, ...]) -> int:
    """Pixels of an outline on labels; on the small slices of a volume two would hide what they surround."""
    return 1 if len(shape) > 2 and max(shape[-2:]) < _SMALL else OUTLINE


def outline_on_scan(layer: napari.layers.Layer) -> None:
    """Show labels from a file that lie in a patient as outlines, so that the anatomy below is seen."""
    is_placed = layer.metadata.get(PLACE, {}).get("is_anatomical", False)
    if type(layer).__name__ == "Labels" and is_placed and METADATA in layer.metadata and not layer.contour:
        layer.contour = outline_width(layer.data.shape)
        layer.opacity = 1.0


def _stored(layer: napari.layers.Image | napari.layers.Labels, grid: LevelGrid | None = None) -> Any:
    return layer.data[grid.index if grid is not None else 0] if layer.multiscale else layer.data


def _has_level(layer: napari.layers.Image | napari.layers.Labels, grid: LevelGrid) -> bool:
    return bool(layer.multiscale) and grid.index < len(layer.data)


def _transform(layer: napari.layers.Layer) -> NDArray[np.float64]:
    """The layer's map from data to world, as one array to compare."""
    parts = (layer.scale, layer.translate, layer.rotate, layer.shear, layer.affine.affine_matrix)
    return np.concatenate([np.ravel(part).astype(float) for part in parts])


def _arguments(layer: napari.layers.Image | napari.layers.Labels, axes: str, grid: LevelGrid | None) -> dict[str, Any]:
    """The layer's place as arguments of a Labels layer on it, or on one level of it."""
    place: dict[str, Any] = {
        "scale": np.array(layer.scale),
        "translate": np.array(layer.translate),
        "rotate": np.array(layer.rotate),
        "shear": np.array(layer.shear),
        "affine": layer.affine,
        "units": tuple(layer.units),
        "axis_labels": tuple(layer.axis_labels),
    }
    if grid is not None:
        place |= placed(grid, place)
    channel = axes.find("C")
    if channel == 0:
        return _without_first_axis(place)
    if channel > 0:
        count = _stored(layer, grid).shape[channel]
        step = place["scale"][channel]
        place["translate"][channel] += step * (count - 1) / 2
        place["scale"][channel] = step * count
    return place


def _without_first_axis(place: dict[str, Any]) -> dict[str, Any]:
    from napari.utils.transforms import Affine

    keys = ("scale", "translate", "rotate", "shear")
    kept = list(range(1, len(place["scale"])))
    inner = Affine(**{key: place[key] for key in keys}).set_slice(kept)
    return {
        **{key: getattr(inner, key) for key in ("scale", "translate", "rotate")},
        "shear": inner.shear if np.any(inner.shear) else None,  # napari's zeros are of another length
        "affine": place["affine"].set_slice(kept),
        "units": place["units"][1:],
        "axis_labels": place["axis_labels"][1:],
    }


def add_labels(
    viewer: napari.viewer.ViewerModel,
    result: SegmentResult,
    like: Placement,
    name: str,
    table: pd.DataFrame | None = None,
) -> napari.layers.Labels:
    """Add a result as a new Labels layer that lies exactly on the picture it came from.

    Parameters
    ----------
    viewer
        Gets the layer, selected.
    result
        A finished run.
    like
        Where the picture lies.
    name
        Of the layer; napari makes it unique.
    table
        Features; those of the result if not given.
    """
    layer = viewer.add_labels(
        like.to_layer(result.labels),
        name=name,
        features=features(result.objects) if table is None else table,
        metadata={**like.metadata, METADATA: own_metadata(result)},
        **like.arguments,
    )
    layer.colormap = colors_of(result)
    return layer


def own_metadata(result: SegmentResult) -> dict[str, Any]:
    """What a layer with labels of a result keeps of it."""
    return {
        "provenance": result.provenance,
        "notes": list(result.notes),
        "output": result.output,
        "classes": [{"value": c.value, "name": c.name, "color": c.color} for c in result.classes],
    }


def features(table: dict[str, NDArray[Any]]) -> pd.DataFrame:
    """A table of objects as the features of a Labels layer: ``index`` is the object's label."""
    import pandas as pd

    columns = {"index" if name == "label" else name: values for name, values in table.items()}
    return pd.DataFrame(columns)


def colors_of(result: SegmentResult) -> Any:
    """Colors for the labels of a result."""
    return label_colors(result.output, result.classes)


def label_colors(output: str, classes: tuple[ClassSpec, ...]) -> Any:
    """Colors for labels of objects, or of areas of some classes."""
    return class_colors(classes) if output == "areas" and classes else object_colors()


def object_colors(count: int = 48) -> Any:
    """Strong colors for object ids, neighbors in number far apart in hue; none is gray, as the pictures are."""
    from napari.utils.colormaps import CyclicLabelColormap

    golden = (5**0.5 - 1) / 2
    hues = (i * golden % 1 for i in range(count))
    colors = [(*colorsys.hls_to_rgb(hue, (0.55, 0.7)[i % 2], 1.0), 1.0) for i, hue in enumerate(hues)]
    return CyclicLabelColormap(
        colors=np.rint(np.array(colors) * 255).astype(np.float32) / 255,  # what a graphics card can tell apart
        controls=np.linspace(0, 1, count + 1),
        interpolation="zero",
        display_name="objects",
    )


def class_colors(classes: tuple[ClassSpec, ...]) -> Any:
    """The classes' own colors, for a Labels layer."""
    from napari.utils.colormaps import DirectLabelColormap

    colors = {spec.value: spec.color for spec in classes}
    return DirectLabelColormap(color_dict={None: "transparent", 0: "transparent", **colors})
