"""Labels as layers of napari: added where their picture lies, with their table and their colors."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.widgets.layers import PLACE
from napari_unetstyle.widgets.placement import Placement

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer
    import pandas as pd

    from napari_unetstyle.core.models.spec import ClassSpec
    from napari_unetstyle.core.segmentation.result import SegmentResult

METADATA = "unetstyle"
HELPER = "helper"
OUTLINED = "unetstyle_outlined"  # in a layer's metadata: that it was shown as outlines, once
OUTLINE = 2  # pixels
OUTLINE_LIMIT = 20 * 10**6  # pixels in a slice; above, napari takes seconds to outline them
_SMALL = 256  # pixels


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


def helper_metadata() -> dict[str, Any]:
    """Of a layer that only shows something about labels, and is not to be taken for labels itself."""
    return {METADATA: {HELPER: True}}


def is_helper(layer: napari.layers.Layer) -> bool:
    """Whether a layer only shows something about labels."""
    return HELPER in layer.metadata.get(METADATA, {})


def pictures_among(layers: Iterable[napari.layers.Layer]) -> list[napari.layers.Image]:
    """Those that hold pictures, in their order; what this dock made is none."""
    return [layer for layer in layers if type(layer).__name__ == "Image" and METADATA not in layer.metadata]


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


def outline_width(shape: tuple[int, ...]) -> int:
    """Pixels of an outline on labels; on the small slices of a volume two would hide what they surround."""
    return 1 if len(shape) > 2 and max(shape[-2:]) < _SMALL else OUTLINE


def outline_on_scan(layer: napari.layers.Layer) -> None:
    """Show labels that lie in a patient as outlines, so that the anatomy below is seen; a person may fill them then."""
    is_placed = layer.metadata.get(PLACE, {}).get("is_anatomical", False)
    if type(layer).__name__ != "Labels" or not is_placed or layer.metadata.get(OUTLINED):
        return
    layer.metadata[OUTLINED] = True
    if not layer.contour:
        layer.contour, layer.opacity = outline_width(layer.data.shape), 1.0


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
