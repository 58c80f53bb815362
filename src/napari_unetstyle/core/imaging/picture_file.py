"""Writing pictures: TIFF for what is seen on a screen, volume formats for what has a place in a patient."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_unetstyle import __version__
from napari_unetstyle.core.errors import OutputError
from napari_unetstyle.core.files import atomic_path
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.imaging.medical import medical_suffix, write_medical

_COLORS = 3
_OME_UNITS = {"um": "µm", "mm": "mm"}


def write_image(path: str | os.PathLike[str], image: Image, about: Mapping[str, Any] | None = None) -> Path:
    """Write a picture with its axes, its pixel size and, in volume formats, its place; compressed without loss.

    Parameters
    ----------
    path
        ``.tif`` (OME-TIFF), ``.nii.gz``, ``.nii``, ``.nrrd`` or ``.mha``.
    image
        The picture; a lazy one is read.
    about
        How it was made, kept in the file as JSON. Nothing else of the picture (its name, its notes) is written.

    Raises
    ------
    OutputError
        If the format cannot hold it or the file cannot be written; what was there before is whole.
    """
    target, info = Path(path), {"program": f"napari-unetstyle {__version__}", **(about or {})}
    array = np.asarray(image.array[...])
    if medical_suffix(target):
        return _write_volume(target, array, image, info)
    if target.suffix.lower() not in (".tif", ".tiff"):
        raise OutputError(f"Could not write {target}: give a name that ends in .tif, .nii.gz, .nii, .nrrd or .mha.")
    return _write_tiff(target, array, image, info)


def _write_volume(path: Path, array: Any, image: Image, info: dict[str, Any]) -> Path:
    axes = image.label_axes
    if "C" in image.axes:
        raise OutputError(f"Could not write {path}: a volume file has no channels. Give a name that ends in .tif.")
    ordered = np.transpose(array, [image.axes.index(axis) for axis in axes])
    stored = ordered.astype(np.uint8) if ordered.dtype == np.bool_ else ordered
    pieces = (np.ascontiguousarray(piece) for piece in stored)
    return write_medical(path, pieces, stored.shape, stored.dtype, axes, image.geometry, info, is_labels=False)


def _write_tiff(path: Path, array: Any, image: Image, info: dict[str, Any]) -> Path:
    import tifffile

    is_color = image.axes.endswith("YXC") and array.shape[-1] == _COLORS and array.dtype == np.uint8
    axes = f"{image.axes[:-1]}S" if is_color else _in_ome_order(image.axes)
    ordered = array if is_color else np.transpose(array, [image.axes.index(axis) for axis in axes])
    metadata: dict[str, Any] = {"axes": axes, "Description": json.dumps(info)}
    metadata["UUID"] = str(uuid.uuid5(uuid.NAMESPACE_OID, metadata["Description"]))
    if image.channel_names and not is_color:
        metadata["Channel"] = {"Name": list(image.channel_names)}
    if image.geometry.is_physical:
        for axis, size in zip("XYZ", image.geometry.spacing[::-1], strict=False):
            metadata |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": _OME_UNITS[image.geometry.unit]}
    with atomic_path(path) as temporary:
        tifffile.imwrite(
            temporary,
            np.ascontiguousarray(ordered),
            ome=True,
            photometric="rgb" if is_color else "minisblack",
            compression="zlib",
            metadata=metadata,
        )
    return path


def _in_ome_order(axes: str) -> str:
    return "".join(axis for axis in "TZCYX" if axis in axes)
