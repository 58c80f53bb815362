"""Where to look next: the place that a model is least sure of and nobody has judged or looked at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core import scratch
from napari_unetstyle.core.annotation.corrections import Mask
from napari_unetstyle.core.progress import Progress, Steps
from napari_unetstyle.core.segmentation.result import SegmentResult

Box = tuple[slice, ...]
Index = tuple[int, ...]
NEAR = 2  # slices of a volume above and below one that was looked at, which are nearly alike
_STEPS = 2  # places begin at every half of their side
_CERTAIN = 0.02  # nats a pixel; a place below is not worth a look


@dataclass(frozen=True)
class Looked:
    """A place in a slice.

    Attributes
    ----------
    index
        The slice, along all leading label axes.
    box
        Rows and columns.
    """

    index: Index
    box: Box


def uncertainty(probability_bytes: NDArray[np.uint8], temperature: float = 1.0) -> NDArray[np.float32]:
    """Entropy of all classes at each pixel, in nats, of probabilities that a temperature has made honest.

    They are ``q_k = p_k ** (1 / T) / sum_j p_j ** (1 / T)``: the softmax of logits over T, as logits are ``log p`` but
    for a constant. What the bytes call certain stays certain: how much less than 1/510 the rest is, they do not say.

    Parameters
    ----------
    probability_bytes
        uint8 ``(classes, *spatial)``, ``round(255 p)``, background first; without the seed map.
    temperature
        Above 1 for a model that is too sure of itself.

    Returns
    -------
    numpy.ndarray
        float32 ``(*spatial,)``, from 0 to ``log(classes)``.
    """
    # With two classes no temperature changes which of two pixels is less sure, and never a label. It does change what
    # many pixels add up to, so which of two places comes first: a broad band at 0.9 or a thin one at 0.5. With more
    # classes it changes the order of pixels, too.
    values = np.arange(256) / 255
    weights = (values ** (1 / temperature)).astype(np.float32)
    terms = (weights * np.log(np.maximum(values, 1 / 255)) / temperature).astype(np.float32)
    total, sums = (np.zeros(probability_bytes.shape[1:], np.float32) for _ in range(2))
    for channel in probability_bytes:
        total += weights[channel]
        sums += terms[channel]
    np.maximum(total, weights[1], out=total)  # where no class has anything, nothing is known to be unsure
    entropy: NDArray[np.float32] = np.maximum(np.log(total) - sums / total, 0)
    return entropy


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
    best = _best(unsure, judged, side)
    return None if best is None else best[1]


def iter_uncertainty(result: SegmentResult) -> Steps[NDArray[np.float32]]:
    """The uncertainty of a whole result, as a job: float32 of the shape of its labels, 0 where nothing was segmented.

    Raises
    ------
    OutputError
        If it is large, and the temporary folder has no room.
    """
    found = scratch.zeros(result.probability_bytes.shape[1:], np.float32)
    slices = _slices(result)
    for i, index in enumerate(slices):
        yield Progress(i, len(slices))
        found[index] = _uncertainty(result, index)
        scratch.release(found)
    return found


def iter_next_place(
    result: SegmentResult, judged: Mask | None, looked: Sequence[Looked], side: int
) -> Steps[Looked | None]:
    """The least sure place of a whole result, of all classes and in any slice or frame, as a job.

    Parameters
    ----------
    result
        The run.
    judged
        bool of the shape of its labels: what a person has corrected or called right; None if that is nothing.
    looked
        What a person has been shown. In a volume the same place in the two slices above and below counts, too; in a
        time series each frame is looked at by itself.
    side
        Of a place, in pixels.

    Returns
    -------
    Looked, or None
        None where nothing unsure is left.
    """
    found: Looked | None = None
    most = 0.0
    slices = _slices(result)
    for i, index in enumerate(slices):
        yield Progress(i, len(slices))
        unsure = _uncertainty(result, index)
        done = np.zeros(unsure.shape, bool) if judged is None else judged[index].copy()
        for one in looked:
            if _is_near(one.index, index, result.label_axes):
                done[one.box] = True
        best = _best(unsure, done, side, most)
        if best is not None:
            most, found = best[0], Looked(index, best[1])
    return found


def _slices(result: SegmentResult) -> list[Index]:
    """All that were segmented, along the leading axes of the labels; a frame of a result may be a volume."""
    shape = result.probability_bytes.shape[1:]
    return [(*frame, *rest) for frame in result.frames for rest in np.ndindex(shape[len(frame) : -2])]


def _uncertainty(result: SegmentResult, index: Index) -> NDArray[np.float32]:
    """Of one slice."""
    key: Any = (slice(1 + len(result.classes)), *index)
    return uncertainty(result.probability_bytes[key], result.temperature or 1.0)


def _is_near(one: Index, other: Index, axes: str) -> bool:
    apart = zip(one, other, axes, strict=False)
    return all(abs(a - b) <= (NEAR if axis == "Z" else 0) for a, b, axis in apart)


def _best(unsure: NDArray[np.float32], judged: Mask, side: int, least: float = 0.0) -> tuple[float, Box] | None:
    """How unsure the least sure box is, in nats a pixel, and where; None if no more than `least`."""
    open_places = np.where(judged, 0, unsure)
    sides = tuple(min(side, n) for n in unsure.shape)
    size = math.prod(sides)
    if open_places.sum(dtype=np.float64) <= least * size:  # no box has more than all of it
        return None
    sums = _box_sums(open_places, sides)
    steps = tuple(slice(None, None, max(1, s // _STEPS)) for s in sides)
    coarse = sums[steps]
    best = np.unravel_index(int(np.argmax(coarse)), coarse.shape)
    found = float(coarse[best]) / size
    if found < _CERTAIN or found <= least:
        return None
    starts = [int(i) * (step.step or 1) for i, step in zip(best, steps, strict=True)]
    return found, tuple(slice(start, start + s) for start, s in zip(starts, sides, strict=True))


def _box_sums(values: NDArray[Any], sides: tuple[int, ...]) -> NDArray[np.float64]:
    """Sum of every box of these sides that lies inside, by cumulative sums along each axis."""
    sums: NDArray[np.float64] = values.astype(np.float64)
    for axis, side in enumerate(sides):
        padded = np.concatenate([np.zeros_like(sums.take([0], axis)), np.cumsum(sums, axis)], axis)
        n = padded.shape[axis]
        sums = padded.take(range(side, n), axis) - padded.take(range(n - side), axis)
    return sums
