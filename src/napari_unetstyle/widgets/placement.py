"""Where a layer lies, and how labels of its picture lie on it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.errors import ImageError
from napari_unetstyle.core.imaging.geometry import SAME_PLACE
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.imaging.levels import LevelGrid
from napari_unetstyle.widgets.anatomy import place_on
from napari_unetstyle.widgets.layers import stored, world_matrix
from napari_unetstyle.widgets.level_grid import placed

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer


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
            array=stored(layer, grid),
            axes=own,
            arguments=_arguments(layer, own, grid),
            transform=transform_of(layer),
            grid=grid,
            metadata=place_on(layer, axes, grid),
        )

    def changes(self, viewer: napari.viewer.ViewerModel) -> list[str]:
        """What happened to the layer since, in words."""
        if self.layer not in viewer.layers:
            return ["removed"]
        if self.grid is not None and not _has_level(self.layer, self.grid):
            return ["changed"]
        now = stored(self.layer, self.grid)
        shape = tuple(now.shape)
        happened = {
            "renamed": self.layer.name != self.name,
            "moved": not np.array_equal(transform_of(self.layer), self.transform),
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
        """The layer's data as labels in the order T Z Y X (a view, unless they reach over several channels).

        Raises
        ------
        ImageError
            If they differ between channels.
        """
        if "C" in self.axes and data.ndim == len(self.axes):
            data = _over_channels(np.moveaxis(data, self.axes.index("C"), 0))
        kept = [a for a in self.axes if a != "C"]
        return data.transpose([kept.index(a) for a in "TZYX" if a in self.axes])

    def shape_of(self, image: Image) -> tuple[int, ...]:
        """Of the data of a layer with labels of the picture."""
        return self.to_layer(np.broadcast_to(np.uint8(0), image.label_shape)).shape

    def is_below(self, labels: napari.layers.Labels) -> bool:
        """Whether labels of this picture's shape lie on it, to a tenth of a pixel."""
        from napari.utils.transforms import Affine

        place = self.arguments
        own = Affine(**{name: place[name] for name in ("scale", "translate", "rotate", "shear")})
        expected = np.array(place["affine"].affine_matrix) @ own.affine_matrix
        corners = np.array([(*corner, 1) for corner in product(*((0, n - 1) for n in labels.data.shape))])
        apart = np.abs((expected - world_matrix(labels)) @ corners.T)[:-1]
        return bool((apart <= SAME_PLACE * np.abs(np.array(labels.scale))[:, np.newaxis]).all())

    @property
    def level(self) -> int | None:
        """Number of the level of a multiscale layer that the labels are on; None of a layer that has one."""
        return (self.grid.index if self.grid is not None else 0) if self.layer.multiscale else None

    @property
    def _has_inner_channel(self) -> bool:
        return self.axes.find("C") > 0


def one_step(count: int, scale: float, translate: float) -> tuple[float, float]:
    """Scale and translate of one step along an axis that reaches across all `count` of a layer there."""
    return scale * count, translate + scale * (count - 1) / 2


def _over_channels(labels: NDArray[Any]) -> NDArray[Any]:
    """Labels of all channels, the first axis, as one: what was painted counts in whichever channel it was."""
    merged = labels[0]
    for more in labels[1:]:
        merged = np.where(merged == 0, more, merged)
        if ((more != 0) & (more != merged)).any():
            raise ImageError(
                "The labels differ between channels, and a pixel has one label. Draw in one channel, or in a layer "
                "for each of them."
            )
    return merged


def _has_level(layer: napari.layers.Image | napari.layers.Labels, grid: LevelGrid) -> bool:
    return bool(layer.multiscale) and grid.index < len(layer.data)


def transform_of(layer: napari.layers.Layer) -> NDArray[np.float64]:
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
        count, first = stored(layer, grid).shape[channel], place["translate"][channel]
        place["scale"][channel], place["translate"][channel] = one_step(count, place["scale"][channel], first)
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
