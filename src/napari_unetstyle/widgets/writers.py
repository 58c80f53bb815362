"""Labels layers saved from napari's menu, on the place (in TIFF: with the pixel size) of the picture under them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unetstyle.core.errors import ImageError, OutputError
from napari_unetstyle.widgets.label_layers import METADATA
from napari_unetstyle.widgets.layers import PLACE, axes_of, placed_geometry
from napari_unetstyle.widgets.placement import Placement
from napari_unetstyle.widgets.saving import name_in_picture

if TYPE_CHECKING:
    import napari.layers


def write_volume(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a Labels layer as ``.nii.gz``, ``.nii``, ``.nrrd``, ``.mha``, ``.zarr``, ``.tif`` or, on DICOM, ``.dcm``.

    In an OME-Zarr picture that is there it becomes one of the labels, called as the layer is.

    A layer that does not say where it lies (one that was added by hand, say) lies where the open picture does that has
    the same grid.

    Raises
    ------
    OutputError
        If its place is not certain, an id cannot be stored, or the file cannot be written; nothing is written then.
    """
    from napari.layers import Layer
    from napari.utils.notifications import show_warning

    from napari_unetstyle.core.segmentation.output import write_labels

    layer = Layer.create(data, meta, "labels")
    axes, geometry, layer_to_labels = _place(layer, path)
    labels = layer_to_labels(np.asanyarray(layer.data[0] if layer.multiscale else layer.data))
    more = {"name": name_in_picture(Path(path), layer.name), **_meaning(layer), **_source(layer, path)}
    return [str(write_labels(path, labels, axes=axes, geometry=geometry, say=show_warning, **more))]


def _source(layer: napari.layers.Labels, path: str) -> dict[str, Any]:
    """For DICOM-SEG, the files of the series on whose grid the layer lies."""
    from napari import current_viewer

    from napari_unetstyle.core.imaging.dicom_seg import SUFFIX
    from napari_unetstyle.widgets.series_chooser import FILES

    if not path.lower().endswith(SUFFIX):
        return {}
    viewer = current_viewer()
    for other in viewer.layers if viewer is not None else ():
        if FILES in other.metadata and _has_grid_of(layer, other):
            return {"source": other.metadata[FILES]}
    raise OutputError(
        f"Could not write {path}: DICOM-SEG refers to the series that was segmented, and none is open on the grid of "
        f"layer {layer.name!r}. Open it, or choose another format, such as .nii.gz. Nothing was written."
    )


def _place(layer: napari.layers.Labels, path: str) -> Any:
    """Axes, geometry, and what brings the layer's data into the order of these axes."""
    like = layer if PLACE in layer.metadata else _picture_below(layer, path)
    try:
        axes, is_assumed = axes_of(like)
        geometry = placed_geometry(like, axes)
    except ImageError as error:
        raise OutputError(f"Could not write {path}: {error} Nothing was written.") from error
    if is_assumed and like.ndim > 3:
        raise OutputError(
            f"Could not write {path}: layer {layer.name!r} does not say what its {like.ndim} axes are. Name them "
            "(t, z, y, x) in its axis labels. Nothing was written."
        )
    placement = Placement.of(like, axes)
    return "".join(a for a in "TZYX" if a in axes), geometry, placement.to_labels


def _picture_below(layer: napari.layers.Labels, path: str) -> napari.layers.Layer:
    """The open layer with a place in a patient on whose grid this one lies; itself if there is none with a place."""
    from napari import current_viewer

    viewer = current_viewer()
    placed = [other for other in viewer.layers if PLACE in other.metadata] if viewer is not None else []
    for other in placed:
        if _has_grid_of(layer, other):
            return other
    if not placed:
        return layer
    names = ", ".join(repr(other.name) for other in placed)
    raise OutputError(
        f"Could not write {path}: where layer {layer.name!r} lies in the patient is not known, as it does not have the "
        f"grid of {names}. Make labels of the same size at the same place. Nothing was written."
    )


def _has_grid_of(layer: napari.layers.Labels, other: napari.layers.Layer) -> bool:
    shape = tuple((other.data[0] if getattr(other, "multiscale", False) else other.data).shape)
    if getattr(other, "rgb", False):
        shape = shape[:-1]
    if tuple(layer.data.shape) != shape:
        return False
    ends = [np.zeros(layer.ndim), np.array(shape) - 1.0, *np.eye(layer.ndim)]
    step = float(np.abs(other.scale).min())
    return all(
        np.allclose(layer.data_to_world(end), other.data_to_world(end), rtol=0, atol=step * 1e-3) for end in ends
    )


def _meaning(layer: napari.layers.Labels) -> dict[str, Any]:
    """Classes, and whether the labels are objects or areas, where the layer's own run or file knew."""
    from napari_unetstyle.core.models.spec import ClassSpec

    known = layer.metadata.get(METADATA, {})
    return {"classes": tuple(ClassSpec(**row) for row in known.get("classes", ())), "output": known.get("output")}
