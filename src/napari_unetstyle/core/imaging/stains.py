"""One stain of a picture in colors, as a channel of its own (Ruifrok and Johnston 2001)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.errors import ImageError
from napari_unetstyle.core.imaging.image import ArrayLike, Image
from napari_unetstyle.core.imaging.lazy import LazyArray, as_slice

STAINS = ("hematoxylin", "eosin", "dab")
"""Those of scikit-image's matrix ``hed_from_rgb``, in its order."""
_NEED = "Stains need colors of 8 or 16 bits, or from 0 to 1; these {}. Convert the picture to 8 bits first."
_LEAST = 1e-6  # of light, which is how dark scikit-image takes black to be


def is_stain(image: Image, channel: int | str | None) -> bool:
    """Whether this names a stain, the picture is in colors, and no channel of its own is called so."""
    return image.is_color and str(channel).lower() in STAINS and channel not in image.channel_names


def in_stain(image: Image, channel: int | str | None) -> Image:
    """The picture itself; if `channel` is a stain of it, that one alone, separated as it is read.

    Returns
    -------
    Image
        Of a stain float32 with one channel, which has the name that was given: how much of it there is, as optical
        density over that of a millionth of the light.

    Raises
    ------
    ImageError
        If the colors are of a type that does not say what white is.
    """
    if not is_stain(image, channel):
        return image
    check_type(np.dtype(image.array.dtype))
    array = StainArray(image.array, STAINS.index(str(channel).lower()))
    return dataclasses.replace(image, array=array, channel_names=(str(channel),))


def check_type(dtype: np.dtype[Any]) -> None:
    """Raise if colors of this type do not say what white is."""
    if not (dtype.kind == "u" and dtype.itemsize <= 2) and dtype.kind != "f":
        raise ImageError(_NEED.format(f"are {dtype}"))


def check_range(colors: NDArray[Any]) -> None:
    """Raise if colors are brighter than white."""
    if colors.dtype.kind == "f" and np.nanmax(colors, initial=0.0) > 1:
        raise ImageError(_NEED.format(f"go up to {np.nanmax(colors):.6g}"))


class StainArray(LazyArray):
    """How much of a stain there is in colors, which are the last axis of `source`.

    Each pixel follows from its own color alone, by sums in a fixed order: any part has the values of the whole.
    """

    def __init__(self, source: ArrayLike, stain: int) -> None:
        self._source, self._stain = source, stain
        self.shape = (*source.shape[:-1], 1)
        self.dtype = np.dtype(np.float32)

    def _read(self, ranges: Sequence[range]) -> NDArray[np.float32]:
        *place, channel = map(as_slice, ranges)
        colors = np.asarray(self._source[(*place, slice(0, 3))])
        amount = sum(self._densities(colors[..., i]) * weight for i, weight in enumerate(self._weights))
        densities: NDArray[np.float32] = np.maximum(amount, 0).astype(np.float32)[..., np.newaxis]
        return densities[..., channel]

    @cached_property
    def _weights(self) -> list[float]:
        from skimage import color

        return [float(weight) for weight in color.hed_from_rgb[:, self._stain]]

    @cached_property
    def _table(self) -> NDArray[np.float64]:
        """Density of each value of 8 or 16 bits."""
        most = np.iinfo(self._source.dtype).max
        return _density(np.arange(most + 1) / most)

    def _densities(self, color: NDArray[Any]) -> NDArray[np.float64]:
        if color.dtype.kind == "u":
            found: NDArray[np.float64] = self._table[color]
            return found
        check_range(color)
        return _density(color.astype(np.float64))


def _density(light: NDArray[np.float64]) -> NDArray[np.float64]:
    density: NDArray[np.float64] = np.log(np.maximum(light, _LEAST)) / np.log(_LEAST)
    return density
