"""Volumes dragged into napari, or opened from its menu: at their place, with their unit, or refused in a sentence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

_LOOKED_AT = 500  # files; napari asks about every folder that is dropped

LayerData = tuple[Any, dict[str, Any], str]
Paths = str | Sequence[str]


def get_reader(path: Paths) -> Callable[[Paths], list[Any]] | None:
    """What napari reads a path with: NIfTI, NRRD, MetaImage, or DICOM (a file, files or a folder); None for others."""
    from napari_unetstyle.core.imaging.medical import medical_suffix

    paths = [path] if isinstance(path, str) else list(path)
    if all(medical_suffix(one) for one in paths):
        return read_volumes
    return read_dicom if paths and _holds_dicom(Path(paths[0])) else None


def read_volumes(path: Paths) -> list[LayerData]:
    """Layer data of volumes: Labels where the file says that they are, else Images.

    Raises
    ------
    UnetstyleError
        If one of them is truncated, damaged or does not say what its axes are.
    """
    return [_layer_data(Path(one)) for one in ([path] if isinstance(path, str) else path)]


def read_dicom(path: Paths) -> list[Any]:
    """Layer data of DICOM files; a person chooses among several series."""
    from napari_unetstyle.widgets import series_chooser

    return series_chooser.read_dicom(path)


def _layer_data(path: Path) -> LayerData:
    from napari.utils.notifications import show_info

    from napari_unetstyle.core.imaging.files import read_image
    from napari_unetstyle.core.segmentation.output import label_info
    from napari_unetstyle.widgets.layers import METADATA
    from napari_unetstyle.widgets.opening import layer_data

    image = read_image(path)
    if image.notes:
        show_info(" ".join(image.notes))
    data, arguments, kind = layer_data(image, path)
    info = label_info(path)
    if "classes" not in info:
        return data, arguments, kind
    del arguments["rgb"]
    kept = {name: info[name] for name in ("output", "classes") if name in info}
    arguments["metadata"][METADATA] = kept
    return data, {**arguments, "colormap": _colormap(info)}, "labels"


def _colormap(info: dict[str, Any]) -> Any:
    """The colors of the classes if the labels are areas, else strong ones."""
    from pydantic import ValidationError

    from napari_unetstyle.core.models.spec import ClassSpec
    from napari_unetstyle.widgets.layers import class_colors, object_colors

    try:
        classes = tuple(ClassSpec(**row) for row in info["classes"])
    except (ValidationError, TypeError):
        return object_colors()
    return class_colors(classes) if info.get("output") == "areas" and classes else object_colors()


def _holds_dicom(path: Path) -> bool:
    """Whether a file is DICOM, or one of the first files in or below a folder is."""
    from napari_unetstyle.core.imaging.dicom_header import is_dicom

    if path.suffix.lower() == ".zarr":
        return False
    inside = path.rglob("*") if path.is_dir() else [path]
    return any(file.is_file() and is_dicom(_start(file)) for file in islice(inside, _LOOKED_AT))


def _start(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(132)
    except OSError:
        return b""
