"""Labels layers saved from napari's menu, on the place (in TIFF: with the pixel size) of the picture under them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unetstyle.core.errors import ImageError, OutputError
from napari_unetstyle.core.imaging.dicom_seg import SUFFIX as DICOM
from napari_unetstyle.core.imaging.geometry import SAME_PLACE, Geometry, apart
from napari_unetstyle.widgets.anatomy import UNPLACED, bind, names, note_on, place_among
from napari_unetstyle.widgets.label_layers import METADATA
from napari_unetstyle.widgets.layers import PLACE, axes_of, shape_in_space
from napari_unetstyle.widgets.opening import path_of
from napari_unetstyle.widgets.placement import Placement
from napari_unetstyle.widgets.saving import name_in_picture, names_of

if TYPE_CHECKING:
    import napari.layers


def write_volume(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a Labels layer as a volume file, ``.zarr``, ``.tif`` or, on DICOM, ``.dcm``.

    In an OME-Zarr picture that is there it becomes one of the labels, called as the layer is, without the names of
    pictures.

    See :func:`~napari_unetstyle.widgets.anatomy.bind` for a layer that does not say where it lies.

    Raises
    ------
    OutputError
        If its place is not certain, an id cannot be stored, or the file cannot be written; nothing is written then.
    """
    from napari.layers import Layer
    from napari.utils.notifications import show_info, show_warning

    from napari_unetstyle.core.segmentation.output import write_labels

    layer = Layer.create(data, meta, "labels")
    layers = _layers_with(meta)
    try:
        axes, geometry = _place(layer, layers)
        source = _source(layer, geometry, layers) if path.lower().endswith(DICOM) else {}
        labels = Placement.of(layer, axes).to_labels(np.asanyarray(layer.data[0] if layer.multiscale else layer.data))
    except ImageError as error:
        raise OutputError(f"Could not write {path}: {error} Nothing was written.") from error
    images = [one for one in layers if type(one).__name__ == "Image"]
    named = [*names_of(path_of(layer)), *(name for one in images for name in (one.name, *names_of(path_of(one))))]
    more = {"name": name_in_picture(Path(path), layer.name, named), **_meaning(layer), **source}
    axes = "".join(a for a in "TZYX" if a in axes)
    written = [str(write_labels(path, labels, axes=axes, geometry=geometry, say=show_warning, **more))]
    note = note_on(layer, layers)
    if note:
        show_info(note)
    return written


def _layers_with(meta: dict[str, Any]) -> list[Any]:
    """All layers of the viewer that a layer to be written is in; of the one in front if it is in none."""
    from napari_unetstyle.widgets.choice import open_viewers

    viewers = open_viewers()
    own = [viewer for viewer in viewers if any(one.metadata is meta.get("metadata") for one in viewer.layers)]
    return [layer for viewer in (own or viewers)[:1] for layer in viewer.layers]


def _place(layer: napari.layers.Labels, layers: list[Any]) -> tuple[str, Geometry]:
    """The axes of a layer's data, and where they lie."""
    bind(layer, layers)
    if PLACE not in layer.metadata and UNPLACED in layer.metadata:
        raise ImageError(layer.metadata[UNPLACED])
    axes, is_assumed = axes_of(layer)
    if is_assumed and layer.ndim > 3:
        raise ImageError(
            f"Layer {layer.name!r} does not say what its {layer.ndim} axes are. Name them (t, z, y, x) in its axis "
            "labels."
        )
    return axes, place_among(layer, axes, layers)


def _source(layer: napari.layers.Labels, place: Geometry, layers: list[Any]) -> dict[str, Any]:
    """For DICOM-SEG, the files of the layer's own series, or of the one on whose grid it lies."""
    from napari_unetstyle.widgets.series_chooser import FILES

    if FILES in layer.metadata:
        return {"source": layer.metadata[FILES]}
    fitting = [other for other in layers if FILES in other.metadata and _lies_on(layer, place, other, layers)]
    for some in (fitting, [other for other in fitting if other.visible]):
        if len({other.metadata[FILES] for other in some}) == 1:
            return {"source": some[0].metadata[FILES]}
    if fitting:
        raise ImageError(
            f"DICOM-SEG refers to the series that was segmented, and {names(fitting)} lie on the grid of layer "
            f"{layer.name!r}. Show only the one that it was painted on, and hide the others."
        )
    raise ImageError(
        f"DICOM-SEG refers to the series that was segmented, and none is open on the grid of layer {layer.name!r}. "
        "Open it, or choose another format, such as .nii.gz."
    )


def _lies_on(layer: napari.layers.Labels, place: Geometry, other: Any, layers: list[Any]) -> bool:
    """Whether labels at a place in the patient are on the grid of another layer."""
    axes = axes_of(other)[0]
    shape = shape_in_space(other, axes)
    if tuple(layer.data.shape)[-len(shape) :] != shape or not place.is_anatomical:
        return False
    return apart(place, place_among(other, axes, layers), shape) <= SAME_PLACE * min(place.spacing)


def _meaning(layer: napari.layers.Labels) -> dict[str, Any]:
    """Classes, and whether the labels are objects or areas, where the layer's own run or file knew."""
    from napari_unetstyle.core.models.spec import ClassSpec

    known = layer.metadata.get(METADATA, {})
    return {"classes": tuple(ClassSpec(**row) for row in known.get("classes", ())), "output": known.get("output")}
