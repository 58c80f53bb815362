"""Volumes, TIFF, slides and OME-Zarr in napari: at their place, with their unit, or refused in words; shared models."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unetstyle.core.errors import AxesUnknownError, ImageError, UnetstyleError

if TYPE_CHECKING:
    from napari_unetstyle.core.imaging.ome_zarr import OmeZarr

_LOOKED_AT = 500  # files; napari asks about every folder that is dropped

LayerData = tuple[Any, dict[str, Any], str]
Paths = str | Sequence[str]


def get_reader(path: Paths) -> Callable[[Paths], list[Any]] | None:
    """What napari reads a path with: a volume, TIFF, a slide, OME-Zarr, DICOM (files, a folder), a model; else None.

    Several TIFF files are a stack, which napari's own reader makes.

    Raises
    ------
    ImageFileError
        If it is a TIFF file that is truncated or damaged.
    """
    from napari_unetstyle.core.imaging.files import SLIDES, TIFFS
    from napari_unetstyle.core.imaging.medical import medical_suffix
    from napari_unetstyle.core.imaging.ome_zarr import is_zarr
    from napari_unetstyle.core.models.archive import SHARED
    from napari_unetstyle.widgets.choice import open_viewers
    from napari_unetstyle.widgets.same_patient import watch

    for viewer in open_viewers():  # which one it is for nobody says
        watch(viewer)
    paths = [path] if isinstance(path, str) else list(path)
    if paths and all(one.lower().endswith(SHARED) for one in paths):
        return read_models
    if paths and all(is_zarr(Path(one)) for one in paths):
        return read_zarr
    if all(medical_suffix(one) for one in paths):
        return read_volumes
    if paths and all(one.lower().endswith(SLIDES) for one in paths):
        return read_slides
    if len(paths) == 1 and paths[0].lower().endswith(TIFFS):
        return _tiff_reader(Path(paths[0]))
    if paths and _holds_dicom(Path(paths[0])):
        return read_dicom
    if paths and Path(paths[0]).is_dir():
        _tell([f"Folder {Path(paths[0]).name} holds neither DICOM nor OME-Zarr. Open the files in it instead."])
    return None


def read_volumes(path: Paths) -> list[LayerData]:
    """Layer data of volumes: Labels where the file says that they are, else Images.

    Raises
    ------
    UnetstyleError
        If one of them is truncated, damaged or does not say what its axes are.
    """
    return _all_or_asked(path, lambda one: [layer_of_file(one)])


def _all_or_asked(path: Paths, read: Callable[[Path], list[LayerData]]) -> list[Any]:
    """Layer data of all files; a person is asked about those that do not say what their axes are."""
    from napari_unetstyle.widgets.axes_chooser import ask_for_axes

    layers: list[Any] = []
    for one in map(Path, [path] if isinstance(path, str) else path):
        try:
            layers += read(one)
        except AxesUnknownError as unknown:
            if not ask_for_axes(one, unknown):
                raise
    return layers or [(None,)]  # napari's way to say that there is nothing to add yet


def read_slides(path: Paths) -> list[LayerData]:
    """Layer data of slides, in all their levels, of which only what is in sight is decoded.

    Raises
    ------
    UnetstyleError
        If one of them is damaged, or the package that reads it is not installed.
    """
    return [_slide(Path(one)) for one in ([path] if isinstance(path, str) else path)]


def _tiff_reader(path: Path) -> Callable[[Paths], list[LayerData]] | None:
    """What gives the layer data of a TIFF file; None if it does not say what its axes are, or is of another kind."""
    from napari_unetstyle.core.imaging.files import read_levels
    from napari_unetstyle.core.imaging.tiff import is_tiff

    if not is_tiff(_start(path)):
        return None
    try:
        layer = _slide(path) if read_levels(path) else layer_of_file(path)
    except ImageError:  # napari's own reader numbers the axes, and the dock asks for them
        return None
    return lambda _: [layer]


def read_models(path: Paths) -> list[Any]:
    """Install models that somebody shared; no layer comes of it. See :mod:`~napari_unetstyle.widgets.shared_models`."""
    from napari_unetstyle.widgets.shared_models import install

    for one in [path] if isinstance(path, str) else path:
        install(Path(one))
    return [(None,)]  # napari's way to say so


def read_dicom(path: Paths) -> list[Any]:
    """Layer data of DICOM files: Labels of DICOM-SEG, else Images.

    A person chooses among several series, and is asked about frames that do not say whether they are slices or times.

    Raises
    ------
    UnetstyleError
        If one cannot be read.
    """
    from napari_unetstyle.core.imaging.dicom_labels import is_segmentation
    from napari_unetstyle.widgets import series_chooser

    paths = [path] if isinstance(path, str) else list(path)
    labels = [one for one in paths if is_segmentation(Path(one))]
    if not labels and len(paths) == 1:
        return _all_or_asked(path, lambda one: list(series_chooser.read_dicom(one)))
    if not labels:
        return series_chooser.read_dicom(path)
    others = [one for one in paths if one not in labels]
    pictures = series_chooser.read_dicom(others) if others else []
    return [*(layer for layer in pictures if len(layer) > 1), *map(layer_of_file, map(Path, labels))]


def read_zarr(path: Paths) -> list[LayerData]:
    """Layer data of OME-Zarr: the picture in all its levels, lazy, and its labels on it.

    Labels of up to 128 MB are read, so that they can be painted; napari cannot paint on several levels.

    Raises
    ------
    UnetstyleError
        If it is damaged, of another version, or does not say what its axes are.
    """
    return _all_or_asked(path, _zarr_layers)


def _zarr_layers(path: Path) -> list[LayerData]:
    from napari_unetstyle.core.imaging.ome_zarr import LABELS, open_ome_zarr, opened_picture

    if opened_picture(path) is None:  # a bare array
        return [layer_of_file(path)]
    picture = open_ome_zarr(path)
    if picture.is_labels:
        return [_zarr_labels(picture, path)]
    notes = [*picture.image().notes]
    layers = [_zarr_picture(picture, path)]
    channels = _all_channels(layers[0]) if picture.axes().startswith("TC") else None
    for name in picture.label_names:
        try:
            labels = open_ome_zarr(path / LABELS / name)
            layers.append(_zarr_labels(labels, path / LABELS / name, channels))
        except UnetstyleError as error:  # the picture and the others can be seen without them
            notes.append(str(error))
    _tell(notes)
    return layers


def _tell(notes: Sequence[str]) -> None:
    from napari.utils.notifications import show_info

    if notes:
        show_info(" ".join(notes))


def _slide(path: Path) -> LayerData:
    from napari_unetstyle.core.imaging.files import read_image, read_levels
    from napari_unetstyle.widgets.opening import layer_data

    grids = read_levels(path)
    finest, *coarser = [read_image(path, level=grid.index) for grid in grids] or [read_image(path)]
    _tell(finest.notes)
    data, arguments, kind = layer_data(finest, path)
    if not coarser:
        return data, arguments, kind
    return _in_levels([data, *(image.array for image in coarser)], arguments, [(g.factor, g.offset) for g in grids])


def _in_levels(arrays: list[Any], arguments: dict[str, Any], lie: Iterable[tuple[Any, Any]]) -> LayerData:
    """Layer data of several levels, with where they lie on the finest one."""
    from napari_unetstyle.widgets.level_grid import LEVELS

    count = len(arguments["scale"])
    kept = [(list(map(float, factor[:count])), list(map(float, offset[:count]))) for factor, offset in lie]
    metadata = {**arguments["metadata"], LEVELS: kept}
    return arrays, {**arguments, "multiscale": True, "metadata": metadata}, "image"


def _zarr_picture(picture: OmeZarr, path: Path) -> LayerData:
    from napari_unetstyle.widgets.opening import layer_data

    data, arguments, kind = layer_data(picture.image(), path)
    axes = picture.axes()
    colors = bool(arguments["rgb"])
    count, finest = len(axes) - colors, picture.multiscale.levels[0]
    if arguments["units"][axes.index("Y")] == "pixel":  # so that labels on another grid lie on the picture
        arguments["scale"], arguments["translate"] = list(finest.scale[:count]), list(finest.translation[:count])
    if len(picture.arrays) == 1:
        return data, arguments, kind
    return _in_levels(list(picture.arrays), arguments, [(grid.factor, grid.offset) for grid in picture.grids])


def _all_channels(picture: LayerData) -> tuple[float, float]:
    """Scale and translate of one step that reaches across all channels of a picture ``TC…``."""
    from napari_unetstyle.widgets.placement import one_step

    data, arguments, _ = picture
    count = (data[0] if isinstance(data, list) else data).shape[1]
    return one_step(count, arguments["scale"][1], arguments["translate"][1])


def _zarr_labels(labels: OmeZarr, path: Path, channels: tuple[float, float] | None = None) -> LayerData:
    """Labels; `channels` are those of a picture ``TC…`` that they have to reach across."""
    from napari_unetstyle.core.imaging.tiff import LARGE
    from napari_unetstyle.widgets.label_layers import METADATA

    (data, arguments, _) = _zarr_picture(labels, path)
    finest = labels.arrays[0]
    if math.prod(finest.shape) * finest.dtype.itemsize <= LARGE:
        data, arguments["multiscale"] = finest[...], False
    del arguments["rgb"]
    arguments["metadata"][METADATA] = {name: labels.info[name] for name in ("output", "classes") if name in labels.info}
    arguments["colormap"] = _colormap({"classes": (), **labels.info})
    axes = labels.axes()
    if "C" in axes or "T" not in axes or channels is None:
        return data, arguments, "labels"
    return _across_channels(data, axes.index("T") + 1, arguments, channels), arguments, "labels"


def _across_channels(data: Any, place: int, arguments: dict[str, Any], channels: tuple[float, float]) -> Any:
    """Data with one step for all channels, as the picture has that axis: napari lines axes up from the last one."""
    import dask.array as da
    import numpy as np

    from napari_unetstyle.widgets.level_grid import LEVELS

    for key, value in zip(("scale", "translate", "units", "axis_labels"), (*channels, "pixel", "c"), strict=True):
        arguments[key].insert(place, value)
    for factor, offset in arguments["metadata"].get(LEVELS, ()):
        factor.insert(place, 1.0)
        offset.insert(place, 0.0)
    if isinstance(data, np.ndarray):
        return np.expand_dims(data, place)
    levels = data if isinstance(data, list) else [data]
    widened = [da.expand_dims(da.from_array(level, chunks=level.chunks, fancy=False), place) for level in levels]
    return widened if isinstance(data, list) else widened[0]


def layer_of_file(path: Path, axes: str | None = None) -> LayerData:
    """Layer data of one file in one resolution: Labels where it says that they are, else an Image.

    Raises
    ------
    UnetstyleError
        If it is truncated, damaged or does not say what its axes are, and nobody does.
    """
    from napari_unetstyle.core.imaging.files import read_image
    from napari_unetstyle.core.imaging.restyled import made_of
    from napari_unetstyle.core.segmentation.output import label_info
    from napari_unetstyle.widgets.label_layers import METADATA
    from napari_unetstyle.widgets.layers import STYLE
    from napari_unetstyle.widgets.opening import layer_data

    image = read_image(path, axes)
    _tell(image.notes)
    data, arguments, kind = layer_data(image, path)
    info = label_info(path)
    made = made_of(info)
    if made is not None:
        arguments["metadata"][STYLE] = made
    if "classes" not in info:
        return data, arguments, kind
    for of_pictures in ("rgb", "contrast_limits"):
        arguments.pop(of_pictures, None)
    kept = {name: info[name] for name in ("output", "classes") if name in info}
    arguments["metadata"][METADATA] = kept
    return data, {**arguments, "colormap": _colormap(info)}, "labels"


def _colormap(info: dict[str, Any]) -> Any:
    """The colors of the classes if the labels are areas, else strong ones."""
    from pydantic import ValidationError

    from napari_unetstyle.core.models.spec import ClassSpec
    from napari_unetstyle.widgets.label_layers import class_colors, object_colors

    try:
        classes = tuple(ClassSpec(**row) for row in info["classes"])
    except (ValidationError, TypeError):
        return object_colors()
    return class_colors(classes) if info.get("output") == "areas" and classes else object_colors()


def _holds_dicom(path: Path) -> bool:
    """Whether a file is DICOM, or one of the first files in or below a folder is."""
    from napari_unetstyle.core.imaging.dicom_file import is_dicom
    from napari_unetstyle.core.imaging.ome_zarr import SUFFIX

    if path.suffix.lower() == SUFFIX:
        return False
    inside = path.rglob("*") if path.is_dir() else [path]
    return any(file.is_file() and is_dicom(_start(file)) for file in islice(inside, _LOOKED_AT))


def _start(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(132)
    except OSError:
        return b""
