"""Writing pictures: TIFF for what is seen on a screen, volume formats for what has a place in a patient."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle import __version__
from napari_unetstyle.core.errors import OutputError
from napari_unetstyle.core.files import atomic_path
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.imaging.medical import SUFFIXES, medical_suffix, write_medical

_COLORS = (3, 4)  # red, green, blue, and opacity
_OME_UNITS = {"um": "µm", "mm": "mm"}
_TIFF_TYPES = ("?", "u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8")
_VOLUME_TYPES = (*_TIFF_TYPES[1:-2], "u8", "i8", "f4", "f8")


def write_image(path: str | os.PathLike[str], image: Image, about: Mapping[str, Any] | None = None) -> Path:
    """Write a picture with its axes, its pixel size and, in volume formats, its place; compressed without loss.

    Parameters
    ----------
    path
        ``.tif`` (OME-TIFF), ``.nii.gz``, ``.nii``, ``.nrrd``, ``.nhdr``, ``.mha`` or ``.mhd``.
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
        raise OutputError(f"Could not write {target}: give a name that ends in .tif or one of {', '.join(SUFFIXES)}.")
    return _write_tiff(target, array, image, info)


def _write_volume(path: Path, array: Any, image: Image, info: dict[str, Any]) -> Path:
    axes = image.label_axes
    if "C" in image.axes:
        raise OutputError(f"Could not write {path}: a volume file has no channels. Give a name that ends in .tif.")
    ordered = np.transpose(array, [image.axes.index(axis) for axis in axes])
    stored = _in_a_type_of(_VOLUME_TYPES, path, ordered)
    pieces = (np.ascontiguousarray(piece) for piece in stored)
    return write_medical(path, pieces, stored.shape, stored.dtype, axes, image.geometry, info, is_labels=False)


def in_a_type_of_tiff(path: Path, array: NDArray[Any]) -> NDArray[Any]:
    """An array in a type that OME-TIFF has: its own, or the smallest that holds each of its values exactly.

    Raises
    ------
    OutputError
        If there is none.
    """
    return _in_a_type_of(_TIFF_TYPES, path, array)


def _in_a_type_of(types: tuple[str, ...], path: Path, array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.newbyteorder("=") in map(np.dtype, types):
        return array
    is_float = array.dtype.kind == "f"
    for dtype in map(np.dtype, types):
        if (dtype.kind == "f") == is_float and _holds(dtype, array):
            return array.astype(dtype)
    raise OutputError(
        f"Could not write {path}: no type of this format holds {array.dtype} from {array.min()} to {array.max()} "
        "exactly. Give the picture as float32, for example. Nothing was written."
    )


def _holds(dtype: np.dtype[Any], array: NDArray[Any]) -> bool:
    if dtype.kind not in "ui":
        with np.errstate(over="ignore"):
            return np.array_equal(array.astype(dtype), array, equal_nan=True)
    limits = np.iinfo(dtype)
    return bool(limits.min <= array.min() and array.max() <= limits.max)


def _write_tiff(path: Path, array: Any, image: Image, info: dict[str, Any]) -> Path:
    import tifffile

    array = in_a_type_of_tiff(path, array)
    is_color = image.axes.endswith("YXC") and array.shape[-1] in _COLORS and array.dtype == np.uint8
    axes = f"{image.axes[:-1]}S" if is_color else _in_ome_order(image.axes)
    ordered = array if is_color else np.transpose(array, [image.axes.index(axis) for axis in axes])
    kept = info if is_color else {**info, "axes": axes, "shape": list(ordered.shape)}  # TIFF drops axes of length 1
    metadata: dict[str, Any] = {"axes": axes, "Description": json.dumps(kept)}
    metadata["UUID"] = str(uuid.uuid5(uuid.NAMESPACE_OID, metadata["Description"]))
    if image.channel_names and not is_color:
        metadata["Channel"] = {"Name": list(image.channel_names)}
    if image.geometry.is_physical:
        for axis, size in zip(image.geometry.axes, image.geometry.spacing, strict=True):
            metadata |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": _OME_UNITS[image.geometry.unit]}
    with atomic_path(path, ordered.nbytes) as temporary:
        tifffile.imwrite(
            temporary,
            np.ascontiguousarray(ordered),
            ome=True,
            photometric="rgb" if is_color else "minisblack",
            extrasamples=["unassalpha"] if is_color and array.shape[-1] == _COLORS[1] else None,
            compression="zlib",
            metadata=metadata,
        )
    return path


def _in_ome_order(axes: str) -> str:
    return "".join(axis for axis in "TZCYX" if axis in axes)
