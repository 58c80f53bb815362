"""Labels and probabilities as TIFF: ImageJ's kind, and OME's where they are too large for that."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle import __version__
from napari_unetstyle.core.colors import rgb
from napari_unetstyle.core.files import atomic_path
from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.models.spec import ClassSpec
from napari_unetstyle.core.segmentation.label_bands import ROWS, bands

IMAGEJ_LIMIT = 2**32 - 2**25  # tifffile's own for ImageJ's kind of TIFF
_OME_UNITS = {"um": "µm", "mm": "mm"}


def write_tiff(
    path: str | os.PathLike[str],
    array: NDArray[Any],
    dtype: np.dtype[Any],
    kind: dict[str, Any],
    options: dict[str, Any],
) -> Path:
    """Write compressed strips in order, so that labels on disk never have to fit into memory."""
    import tifffile

    is_big = "ome" in kind and array.size * dtype.itemsize > IMAGEJ_LIMIT
    with (
        atomic_path(path, array.size * dtype.itemsize) as temporary,
        tifffile.TiffWriter(temporary, bigtiff=is_big, byteorder="<", **kind) as writer,
    ):
        writer.write(
            _strips(array, dtype),
            shape=array.shape,
            dtype=dtype,
            rowsperstrip=ROWS,
            compression="zlib",
            photometric="minisblack",
            software=f"napari-unetstyle {__version__}",
            **options,
        )
    return Path(path)


def imagej_options(axes: str, geometry: Geometry, info: dict[str, Any], colored: Sequence[ClassSpec]) -> dict[str, Any]:
    """How ImageJ is told axes, pixel size, what is known of the labels, and the colors of the classes."""
    metadata: dict[str, Any] = {"axes": axes, "Info": json.dumps(info)}
    if colored:
        metadata |= {"LUTs": [_lookup(colored)], "min": 0, "max": 255}
    if not geometry.is_physical:
        return {"metadata": metadata}
    metadata |= {"unit": geometry.unit}
    metadata |= {"spacing": geometry.spacing[0]} if len(geometry.spacing) == 3 else {}
    return {"metadata": metadata, "resolution": tuple(1 / s for s in geometry.spacing[:-3:-1])}


def ome_metadata(axes: str, geometry: Geometry, info: dict[str, Any]) -> dict[str, Any]:
    """The same for OME, which has no colors of labels."""
    text = json.dumps(info)
    metadata: dict[str, Any] = {"axes": axes, "Description": text, "UUID": str(uuid.uuid5(uuid.NAMESPACE_OID, text))}
    if geometry.is_physical:
        for axis, size in zip(geometry.axes, geometry.spacing, strict=True):
            metadata |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": _OME_UNITS[geometry.unit]}
    return metadata


def _strips(array: NDArray[Any], dtype: np.dtype[Any]) -> Iterator[bytes]:
    import imagecodecs

    stored = dtype.newbyteorder("<")
    for band in bands(array):
        yield bytes(imagecodecs.deflate_encode(np.ascontiguousarray(band, stored).tobytes(), level=3))


def _lookup(classes: Sequence[ClassSpec]) -> NDArray[np.uint8]:
    table = np.zeros((3, 256), np.uint8)
    for c in classes:
        table[:, min(c.value, 255)] = rgb(c.color)
    return table
