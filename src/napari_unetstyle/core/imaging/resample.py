"""Linear resampling of any box of a picture, the same pixels whatever the box."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array


class Resampler:
    """Maps a picture of one size onto a grid of another size that covers the same area.

    Each axis is a sparse matrix of triangle-filter weights, widened when the picture shrinks so that
    nothing aliases (as Pillow's bilinear filter does); pixel edges coincide. Because every output row is
    its own weighted sum, a box gives exactly the pixels that the whole picture would give there.

    Parameters
    ----------
    source, target
        Spatial shapes.
    """

    def __init__(self, source: tuple[int, ...], target: tuple[int, ...]) -> None:
        self.source, self.target = source, target
        self._weights = [_weights(n, m) for n, m in zip(source, target, strict=True)]

    def needs(self, box: tuple[slice, ...]) -> tuple[slice, ...]:
        """The source box that the target `box` is computed from."""
        return tuple(_support(w, s) for w, s in zip(self._weights, box, strict=True))

    def apply(self, pixels: NDArray[Any], box: tuple[slice, ...]) -> NDArray[np.float32]:
        """Target pixels ``(C, *box)`` from the source pixels ``(C, *needs(box))``."""
        result = np.asarray(pixels, np.float32)
        for axis, (weights, wanted, given) in enumerate(zip(self._weights, box, self.needs(box), strict=True), 1):
            if weights is None:
                continue
            part = weights[wanted, given]
            moved = np.moveaxis(result, axis, 0)
            flat = part @ np.ascontiguousarray(moved).reshape(moved.shape[0], -1)
            result = np.moveaxis(flat.reshape(part.shape[0], *moved.shape[1:]), 0, axis)
        return np.ascontiguousarray(result)


def scaled_shape(shape: tuple[int, ...], scale: float | tuple[float, ...]) -> tuple[int, ...]:
    """Shape of a picture scaled by `scale` (one factor, or one for each axis), at least one pixel along each axis."""
    factors = scale if isinstance(scale, tuple) else (scale,) * len(shape)
    return tuple(max(1, round(n * factor)) for n, factor in zip(shape, factors, strict=True))


def _support(weights: csr_array | None, wanted: slice) -> slice:
    if weights is None:
        return wanted
    columns = weights[wanted].indices
    return slice(int(columns.min()), int(columns.max()) + 1)


@functools.lru_cache(maxsize=16)
def _weights(source: int, target: int) -> csr_array | None:
    """Weights ``(target, source)``, or None where nothing changes."""
    from scipy.sparse import csr_array

    if source == target:
        return None
    step = source / target
    reach = max(step, 1.0)
    centers = (np.arange(target) + 0.5) * step - 0.5
    first = np.ceil(centers - reach).astype(int)
    columns = first[:, None] + np.arange(int(2 * reach) + 2)
    values = np.maximum(0.0, 1.0 - np.abs(columns - centers[:, None]) / reach)
    columns = np.clip(columns, 0, source - 1)  # the border pixel stands for what lies outside
    values /= values.sum(axis=1, keepdims=True)
    rows = np.repeat(np.arange(target), columns.shape[1])
    matrix = csr_array((values.ravel().astype(np.float32), (rows, columns.ravel())), shape=(target, source))
    matrix.eliminate_zeros()
    matrix.sort_indices()
    return matrix
