"""Slices of a volume along any axis: the same array, seen with other names for its axes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.imaging.image import Image

PLANES = ("YX", "ZX", "ZY")
_OWN = {"YX": "ZYX", "ZX": "YZX", "ZY": "XZY"}  # the volume's axes that are called Z, Y, X where slices lie in a plane


def through(plane: str) -> str:
    """The axis along which slices of a plane follow each other."""
    return _OWN[plane][0]


def turned(image: Image, plane: str) -> Image:
    """The volume with its axes renamed, so that its slices ``YX`` lie in `plane`; the array is not touched."""
    if plane == "YX":
        return image
    names = dict(zip(_OWN[plane], "ZYX", strict=True))
    spacing = tuple(image.geometry.spacing["ZYX".index(axis)] for axis in _OWN[plane])
    return replace(
        image,
        axes="".join(names.get(axis, axis) for axis in image.axes),
        geometry=Geometry(spacing=spacing, unit=image.geometry.unit),
    )


def seen(array: NDArray[Any], plane: str) -> NDArray[Any]:
    """An array ``(..., Z, Y, X)`` as that of a turned volume; shares the memory."""
    if plane == "YX":
        return array
    leading = array.ndim - 3
    order = (*range(leading), *(leading + "ZYX".index(axis) for axis in _OWN[plane]))
    return array.transpose(order)
