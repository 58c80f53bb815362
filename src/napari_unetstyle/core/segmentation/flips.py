"""A picture in its mirrors, over which the answer can be averaged."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.segmentation.preprocessing import Prepared

Index = tuple[int, ...]
Box = tuple[slice, ...]


def flips_of(dims: int) -> list[Index]:
    """Which axes are mirrored, for each of the mirrors of so many dimensions; the first is none."""
    return list(np.ndindex(*(2,) * dims))


def mirrored(pixels: NDArray[Any], flip: Index) -> NDArray[Any]:
    """Pixels ``(C, *spatial)`` mirrored along some axes (a view)."""
    key: Any = (slice(None), *(slice(None, None, -1) if f else slice(None) for f in flip))
    seen: NDArray[Any] = pixels[key]
    return seen


class Mirrored:
    """A picture seen in a mirror along some axes."""

    def __init__(self, picture: Prepared, flip: Index) -> None:
        self._picture, self._flip, self.shape = picture, flip, picture.shape

    def box(self, box: Box) -> Box:
        """Where a box of the picture lies in the mirror, and the other way round."""
        return tuple(
            slice(n - s.stop, n - s.start) if f else s for s, n, f in zip(box, self.shape, self._flip, strict=True)
        )

    def read(self, *slices: slice) -> NDArray[Any]:
        """Pixels ``(C, *spatial)`` of a box of the mirror."""
        given = [*slices, *[slice(None)] * (len(self.shape) - len(slices))]
        box = tuple(slice(*s.indices(n)) for s, n in zip(given, self.shape, strict=True))
        return mirrored(self._picture.read(*self.box(box)), self._flip)
