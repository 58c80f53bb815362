"""The mean of several answers to one question, never held in memory where it is large."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core import scratch
from napari_unetstyle.core.segmentation.postprocessing import bands


class Average:
    """Adds up probability bytes, and gives their mean.

    Parameters
    ----------
    shape
        Of the bytes, ``(C, *spatial)``.
    memory
        Bytes from which the sums (uint16) lie on disk; None: as usual.
    """

    def __init__(self, shape: tuple[int, ...], memory: int | None) -> None:
        self._total, self._count = scratch.zeros(shape, np.uint16, memory), 0

    def add(self, values: NDArray[np.uint8]) -> None:
        """One answer more, of at most 256."""
        self._count += 1
        for part, _ in bands(values.shape[1:]):
            self._total[:, part] += values[:, part]
            scratch.release(self._total)
            scratch.release(values)

    def write(self, out: NDArray[np.uint8]) -> None:
        """Fill `out` with the mean, rounded, halves up."""
        for part, _ in bands(out.shape[1:]):
            out[:, part] = (self._total[:, part] + self._count // 2) // self._count
            scratch.release(self._total)
            scratch.release(out)
