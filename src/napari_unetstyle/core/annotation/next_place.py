"""Where to look next: the place that a model is least sure of and nobody has judged."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.annotation.corrections import Mask

Box = tuple[slice, ...]
_STEPS = 2  # places begin at every half of their side
_CERTAIN = 0.02  # nats a pixel; a place below is not worth a look


def uncertainty(probability_bytes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Entropy of the classes at each pixel, in nats.

    Parameters
    ----------
    probability_bytes
        uint8 ``(classes, *spatial)``, ``round(255 p)``, background first; without the seed map.

    Returns
    -------
    numpy.ndarray
        float32 ``(*spatial,)``, from 0 to ``log(classes)``.
    """
    total = np.zeros(probability_bytes.shape[1:], np.float32)
    values = np.arange(256, dtype=np.float32) / 255
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(values > 0, -values * np.log(values), 0).astype(np.float32)
    for channel in probability_bytes:
        total += terms[channel]
    return total


def next_place(unsure: NDArray[np.float32], judged: Mask, side: int) -> Box | None:
    """The box with the most uncertainty among pixels that nobody has judged.

    Parameters
    ----------
    unsure
        From :func:`uncertainty`, ``(*spatial,)``.
    judged
        bool of the same shape: what a person has corrected, called right or been shown.
    side
        Of the box, in pixels; smaller at the border of a small picture.

    Returns
    -------
    tuple of slice, or None
        None where nothing unsure is left.
    """
    open_places = np.where(judged, 0, unsure)
    sides = tuple(min(side, n) for n in unsure.shape)
    sums = _box_sums(open_places, sides)
    steps = tuple(slice(None, None, max(1, s // _STEPS)) for s in sides)
    coarse = sums[steps]
    best = np.unravel_index(int(np.argmax(coarse)), coarse.shape)
    if coarse[best] < _CERTAIN * np.prod(sides):
        return None
    starts = [int(i) * (step.step or 1) for i, step in zip(best, steps, strict=True)]
    return tuple(slice(start, start + s) for start, s in zip(starts, sides, strict=True))


def _box_sums(values: NDArray[Any], sides: tuple[int, ...]) -> NDArray[np.float64]:
    """Sum of every box of these sides that lies inside, by cumulative sums along each axis."""
    sums: NDArray[np.float64] = values.astype(np.float64)
    for axis, side in enumerate(sides):
        padded = np.concatenate([np.zeros_like(sums.take([0], axis)), np.cumsum(sums, axis)], axis)
        n = padded.shape[axis]
        sums = padded.take(range(side, n), axis) - padded.take(range(n - side), axis)
    return sums
