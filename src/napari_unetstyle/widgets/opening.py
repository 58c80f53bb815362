"""Opening pictures as layers, with their axes and pixel size kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_unetstyle.core.imaging.image import Image

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

    from napari_unetstyle.widgets.layers import Statement

_COMPARED = 256  # pixels along a side in the middle that tell whether a file still holds what a layer shows
PATH = "path"
SERIES_KEY, LEVEL = "series_key", "level"  # in a layer's metadata: which picture of that file it is
_TIFF = (".tif", ".tiff")
_UNITS = {"px": "pixel", "um": "micrometer", "mm": "millimeter"}
LayerData = tuple[Any, dict[str, Any], str]


def layer_data(image: Image, path: Path | None = None) -> LayerData:
    """A picture as napari's layer data: along its own axes; how these lie in the patient is kept in the metadata.

    Of the gray values it shows those that its file asks for.
    """
    from napari_unetstyle.widgets.layers import OVERVIEW, place_of, translate_of

    colors = "C" if image.is_color else ""
    axes = image.axes.removesuffix(colors) if colors else image.axes
    place = image.geometry
    spatial = dict(zip(place.axes, place.spacing, strict=True))
    offset = dict(zip(place.axes, translate_of(place), strict=True))
    unit = _UNITS[place.unit]
    metadata: dict[str, Any] = place_of(image)
    if image.overview is not None:
        metadata[OVERVIEW] = image.overview
    if image.channel_names:
        metadata["channel_names"] = image.channel_names
    if path is not None:
        metadata[PATH] = str(path)
    arguments = {
        "name": image.name or (path.stem if path else "picture"),
        "scale": [spatial.get(a, 1.0) for a in axes],
        "translate": [offset.get(a, 0.0) for a in axes],
        "units": [unit if a in spatial else "pixel" for a in axes],
        "axis_labels": [a.lower() for a in axes],
        "rgb": bool(colors),
        "metadata": metadata,
    }
    if image.window is not None and not colors:
        arguments["contrast_limits"] = image.window
    return image.array, arguments, "image"


def add_picture(viewer: napari.viewer.ViewerModel, path: Path, **stated: Any) -> napari.layers.Image:
    """Open a picture file as a layer; `stated` is what its reader has to be told, its `axes` or `series`.

    Raises
    ------
    UnetstyleError
        If it is no picture that can be read.
    """
    from napari_unetstyle.core.imaging.files import read_image

    data, arguments, _ = layer_data(read_image(path, **stated), path)
    return viewer.add_image(data, **arguments)


def add_labels_file(viewer: napari.viewer.ViewerModel, path: Path, like: napari.layers.Image) -> napari.layers.Labels:
    """Open a label file of this program on the picture it was made from.

    Raises
    ------
    UnetstyleError
        If it cannot be read, or does not fit the picture.
    """
    import numpy as np

    from napari_unetstyle.core.errors import ImageFileError
    from napari_unetstyle.core.imaging.files import read_image
    from napari_unetstyle.core.models.spec import ClassSpec
    from napari_unetstyle.core.segmentation.compare import whole_labels
    from napari_unetstyle.core.segmentation.output import label_info
    from napari_unetstyle.widgets.label_layers import class_colors, object_colors
    from napari_unetstyle.widgets.layers import image_from_layer
    from napari_unetstyle.widgets.placement import Placement

    info = label_info(path)
    classes = tuple(ClassSpec(**row) for row in info.get("classes", ()))
    colors = class_colors(classes) if info.get("output") == "areas" else object_colors()
    labels, image = read_image(path), image_from_layer(like)
    array = np.asarray(whole_labels(labels, f"file {path}"))
    if array.size != math.prod(image.label_shape):
        raise ImageFileError(f"{path} has shape {array.shape}, which does not fit the picture {like.name!r}.")
    placement = Placement.of(like, image.axes)
    if array.dtype.itemsize <= 4:  # ids that are painted may be larger than those that are there
        array = array.astype(np.promote_types(array.dtype, np.int32))
    data = placement.to_layer(array.reshape(image.label_shape))
    return viewer.add_labels(
        data, name=f"{path.stem} labels", colormap=colors, metadata=placement.metadata, **placement.arguments
    )


def statement_in_file(layer: napari.layers.Image) -> Statement | None:
    """What the TIFF file of a layer says about its axes and pixel size, which napari's own reader drops.

    None if there is no such file, or the layer does not hold its pixels as they are stored. That the file is damaged is
    said.
    """
    from napari.utils.notifications import show_warning

    from napari_unetstyle.core.errors import ImageFileError, UnetstyleError
    from napari_unetstyle.core.imaging.files import read_image
    from napari_unetstyle.widgets.layers import Statement

    path = path_of(layer)
    if path is None or layer.multiscale or not path.lower().endswith(_TIFF):
        return None
    try:
        image = read_image(path)
    except ImageFileError as error:
        if Path(path).is_file():  # of a stack that was cut off napari's own reader shows one page, and says nothing
            show_warning(f"{error} Layer {layer.name!r} may show only a part of it.")
        return None
    except UnetstyleError:
        return None
    if tuple(image.array.shape) != tuple(layer.data.shape):
        return None
    return Statement(axes=image.axes, geometry=image.geometry, is_assumed=bool(image.notes))


def mark_restyled(layer: napari.layers.Image) -> None:
    """Keep in a layer that its file holds a restyled picture of ours, whatever the file is called by now."""
    from napari_unetstyle.core.segmentation.output import restyled_in
    from napari_unetstyle.widgets.layers import STYLE

    path = path_of(layer)
    made = None if path is None else restyled_in(path)
    if made is not None:
        layer.metadata.setdefault(STYLE, made)


def file_with(image: Image, layer: napari.layers.Layer, level: int | None = None) -> str | None:
    """The file that holds a picture's pixels, on one of its levels, or None if they only live in napari."""
    from napari_unetstyle.core.errors import UnetstyleError
    from napari_unetstyle.core.imaging.files import read_image

    path = path_of(layer)
    try:
        stored = None if path is None else read_image(path, image.axes, level=level or 0)
    except UnetstyleError:
        return None
    if stored is None or tuple(stored.array.shape) != tuple(image.array.shape):
        return None
    import numpy as np

    sides = {"C": image.size("C"), "Y": _COMPARED, "X": _COMPARED}
    shown = [(n, sides.get(axis, 1)) for axis, n in zip(image.axes, image.array.shape, strict=True)]
    middle = tuple(slice(max(0, (n - side) // 2), (n + side + 1) // 2) for n, side in shown)
    is_same = np.array_equal(np.asarray(stored.array[middle]), np.asarray(image.array[middle]), equal_nan=True)
    return path if is_same else None


def path_of(layer: napari.layers.Layer) -> str | None:
    """The file that a layer came from, if it came from exactly one."""
    path = layer.source.path or layer.metadata.get(PATH)
    return None if path is None else str(path)


def ask_for_path(
    parent: QWidget,
    title: str,
    then: Callable[[Path], Any],
    *,
    name: str = "",
    folder: Path | None = None,
    filters: str = "",
    mode: str = "open",
) -> QFileDialog:
    """Let a person choose a file (``mode`` "open" or "save"), several "files" or a "folder".

    The window blocks nothing; `then` is called with each path.
    """
    dialog = QFileDialog(parent, title)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.setWindowModality(Qt.WindowModality.NonModal)
    if mode == "folder":
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setOption(QFileDialog.Option.ShowDirsOnly)
    else:
        kinds = {"save": QFileDialog.FileMode.AnyFile, "files": QFileDialog.FileMode.ExistingFiles}
        dialog.setFileMode(kinds.get(mode, QFileDialog.FileMode.ExistingFile))
    if folder is not None:
        dialog.setDirectory(str(folder))
    if mode == "save":
        from napari_unetstyle.core.imaging.medical import medical_suffix

        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix((medical_suffix(name) or Path(name).suffix).lstrip("."))
        dialog.selectFile(name)
    if filters:
        dialog.setNameFilter(filters)
    if mode == "files":
        dialog.filesSelected.connect(lambda chosen: [then(Path(path)) for path in chosen])
    else:
        dialog.fileSelected.connect(lambda chosen: then(Path(chosen)))
    dialog.show()
    return dialog
