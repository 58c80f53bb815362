"""Two Labels layers as label pictures that the core compares."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from napari_unetstyle.core.errors import ImageError
from napari_unetstyle.core.imaging.geometry import SAME_PLACE, Geometry
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.segmentation.compare import along, common_geometry
from napari_unetstyle.widgets.anatomy import LAID, names, turned
from napari_unetstyle.widgets.label_layers import METADATA, class_colors, helper_metadata, is_helper
from napari_unetstyle.widgets.layers import PLACE, Statement, image_from_layer, statement_of

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

    from napari_unetstyle.core.metrics import Differences
    from napari_unetstyle.core.models.spec import ClassSpec

DIFFERENCES = "differences"
PLACING = ("scale", "translate", "rotate", "shear", "affine")


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelPair:
    """Prediction and truth, and what both say about their pixels.

    Attributes
    ----------
    prediction, truth
        Label pictures on the layers' own arrays.
    geometry
        The pixel size of both; of unit ``"px"`` if neither layer has a unit, with their scale as numbers.
    is_assumed
        Whether nobody stated the axes.
    """

    prediction: Image
    truth: Image
    geometry: Geometry
    is_assumed: bool

    @classmethod
    def of(cls, prediction: napari.layers.Labels, truth: napari.layers.Labels) -> LabelPair:
        """The pair of two layers.

        Raises
        ------
        ImageError
            If they differ in shape, axes, pixel size or place.
        """
        if prediction is truth:
            raise ImageError("Prediction and truth are the same layer. Choose two different ones.")
        first, second = _statement(prediction), _statement(truth)
        if first.is_assumed != second.is_assumed and len(first.axes) == len(second.axes):
            stated = second if first.is_assumed else first
            first, second = replace(first, axes=stated.axes), replace(second, axes=stated.axes)
            first, second = _sized(first, prediction), _sized(second, truth)
        judge = image_from_layer(truth, second)
        pair = along(image_from_layer(prediction, first), judge), judge
        is_known = all(image.geometry.is_anatomical for image in pair)
        try:
            geometry = common_geometry(*pair)
            if not is_known or turned(prediction, first.axes) or turned(truth, second.axes):
                _check_same_place(prediction, truth, pair)
        except ImageError as error:
            raise ImageError(" ".join([str(error), *_moved(prediction, truth)])) from error
        return cls(prediction=pair[0], truth=pair[1], geometry=geometry, is_assumed=first.is_assumed)

    def snapshot(self) -> LabelPair:
        """The labels as they are now, whatever is painted later; lazy ones are not copied."""
        prediction, truth = (
            replace(image, array=image.array.copy()) if isinstance(image.array, np.ndarray) else image
            for image in (self.prediction, self.truth)
        )
        return replace(self, prediction=prediction, truth=truth)


def label_layers(viewer: napari.viewer.ViewerModel) -> list[napari.layers.Labels]:
    """Layers of labels, newest first; what only shows something about labels is none."""
    layers = reversed(viewer.layers)
    return [layer for layer in layers if type(layer).__name__ == "Labels" and not is_helper(layer)]


def proposal(
    layers: list[napari.layers.Labels],
) -> tuple[napari.layers.Labels | None, napari.layers.Labels | None]:
    """Which layer probably is judged, and by which: a result of this plugin by one that is none."""
    results = [layer for layer in layers if METADATA in layer.metadata]
    prediction = next(iter([*results, *layers]), None)
    others = [layer for layer in layers if layer is not prediction]
    return prediction, next((layer for layer in others if layer not in results), next(iter(others), None))


def holds_objects(layer: napari.layers.Labels) -> bool:
    """Whether objects are numbered in this layer, as its run or its file says."""
    return bool(layer.metadata.get(METADATA, {}).get("output") == "objects")


def class_names(*layers: napari.layers.Labels) -> dict[int, str]:
    """Names of label values, as the layers' files and features tell; those of earlier layers count."""
    names: dict[int, str] = {}
    for layer in reversed(layers):
        names |= {int(row["value"]): str(row["name"]) for row in layer.metadata.get(METADATA, {}).get("classes", ())}
        table = layer.features
        column = next((name for name in ("class_name", "name") if name in table), None)
        if "index" in table and column is not None:
            names |= {int(i): str(n) for i, n in zip(table["index"], table[column], strict=True) if str(n)}
    return names


def add_differences(
    viewer: napari.viewer.ViewerModel,
    found: Differences,
    classes: tuple[ClassSpec, ...],
    truth: napari.layers.Labels,
    axes: str,
) -> napari.layers.Labels:
    """Add differences as a layer of their own that lies on the truth; hovering tells what a pixel is."""
    import pandas as pd

    counts = [found.kinds[c.value].pixels for c in classes]
    features = pd.DataFrame({"index": [c.value for c in classes], "name": [c.name for c in classes], "pixels": counts})
    stored = [a for a in "TZYX" if a in axes]
    labels = found.labels.transpose([stored.index(a) for a in axes if a != "C"])
    return viewer.add_labels(
        np.expand_dims(labels, axes.index("C")) if "C" in axes else labels,
        name=DIFFERENCES,
        features=features,
        colormap=class_colors(classes),
        opacity=1,
        metadata=helper_metadata(),
        units=tuple(truth.units),
        axis_labels=tuple(truth.axis_labels),
        **{name: getattr(truth, name) for name in PLACING},
    )


def _statement(layer: napari.layers.Labels) -> Statement:
    return _sized(statement_of(layer), layer)


def _sized(stated: Statement, layer: napari.layers.Labels) -> Statement:
    """A scale without a unit is kept as numbers, so that long voxels stay long."""
    from napari_unetstyle.widgets.layers import geometry_of

    geometry = geometry_of(layer, stated.axes)
    if not geometry.is_physical:
        scale = tuple(abs(float(layer.scale[stated.axes.index(a)])) for a in "ZYX" if a in stated.axes)
        geometry = Geometry(spacing=scale)
    return replace(stated, geometry=geometry)


def _check_same_place(prediction: napari.layers.Labels, truth: napari.layers.Labels, pair: tuple[Image, Image]) -> None:
    """Where one layer was never given a scale, only shapes can tell, and whether one is mirrored.

    One step that reaches across all channels has no other place than the labels of a layer without one.
    """
    kept = [[axis for axis, letter in enumerate(image.axes) if letter != "C"] for image in pair]
    first, second = (layer.scale[axes] for layer, axes in zip((prediction, truth), kept, strict=True))
    if not (np.sign(first) != np.sign(second)).any() and not np.allclose(first, second, rtol=1e-4):
        return
    ends = np.array([*product(*((0, n - 1) for n in pair[1].label_shape))])
    corners = []
    for layer, axes in zip((prediction, truth), kept, strict=True):
        points = np.zeros((len(ends), layer.ndim))
        points[:, axes] = ends
        corners.append(np.array([layer.data_to_world(point) for point in points])[:, axes])
    apart = np.abs(corners[0] - corners[1])
    if (apart > SAME_PLACE * np.abs(second)).any():
        raise ImageError(
            f"The two layers lie in different places, up to {apart.max():.4g} apart. Compare labels of the same "
            "picture; bring one onto the grid of the other first."
        )


def _moved(prediction: napari.layers.Labels, truth: napari.layers.Labels) -> list[str]:
    """How what may have been dragged with napari's own tool comes back to where it was."""
    matrices = [layer.affine.affine_matrix for layer in (prediction, truth)]
    moved = [
        layer
        for layer, matrix in zip((prediction, truth), matrices, strict=True)
        if not np.array_equal(matrix, np.eye(len(matrix))) and LAID not in layer.metadata.get(PLACE, {})
    ]
    if not moved or np.array_equal(*matrices):
        return []
    return [f"If you moved {names(moved)} by hand, click napari's transform button with Alt held to put it back."]
