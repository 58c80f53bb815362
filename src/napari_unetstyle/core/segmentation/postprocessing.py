"""Probability bytes to areas: the rule by which a pixel is decided.

Everything here works on probability bytes, uint8 ``(C, *spatial)`` with value ``round(255 p)`` and the background
first, so a label depends neither on strips nor on the device nor on where the arrays lie.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.imaging.image import ArrayLike
from napari_unetstyle.core.progress import Progress, Steps, run, share
from napari_unetstyle.core.segmentation.runs import Runs, components
from napari_unetstyle.core.side_by_side import workers

BAND_PIXELS = 2**21  # looked at at once
_LISTED = 2**19  # at once where each run of pixels takes a hundred bytes
_LOWEST = 256  # rows of a band that is lower than usual: what is looked at beside it is work, too


def areas(
    values: ArrayLike, *, threshold: float = 0.5, min_pixels: int = 0, keep_largest: bool = False
) -> NDArray[np.uint8]:
    """Class of each pixel.

    A pixel is foreground if its foreground probability ``1 - background`` is at least `threshold`; then it
    has the most probable of the other classes, the first of them if several tie. For one class and threshold
    0.5 this is the argmax over background and class (an exact tie is background in both).

    For several classes it is not the argmax over all: where background is the most probable alone, but less
    probable than the classes together, the pixel gets the best class. So whether a pixel is any structure does not
    depend on how many classes share it, while an argmax cuts a notch where two meet at the edge; and a lower
    threshold only adds foreground and changes no pixel's class. Thresholds and cards were measured with it.

    Parameters
    ----------
    values
        Probability bytes ``(C, *spatial)``: background, then the classes (no seed map).
    threshold
        Foreground probability in [0, 1].
    min_pixels
        Connected areas of one class with fewer pixels become background. Pixels are connected by a face: 4
        neighbors in 2D, 6 in 3D.
    keep_largest
        Of each class only the largest connected area stays, the first in raster order if several are.

    Returns
    -------
    NDArray[np.uint8]
        0 for background, else the class value.
    """
    out = np.zeros(values.shape[1:], np.uint8)
    run(iter_areas(values, out, threshold=threshold, min_pixels=min_pixels, keep_largest=keep_largest))
    return out


def iter_areas(
    values: ArrayLike,
    out: NDArray[np.uint8],
    *,
    threshold: float,
    min_pixels: int,
    keep_largest: bool = False,
    band: int | None = None,
) -> Steps[None]:
    """Like :func:`areas`, as a job that reads `values` and fills `out` in bands of `band` rows.

    Both may lie on disk; the labels do not depend on `band`.
    """
    if min_pixels <= 1 and not keep_largest:
        yield from _iter_decide(values, out, threshold, band, None)
        return
    found: list[Runs] = []
    yield from share(_iter_decide(values, out, threshold, band, found), 0.0, 0.7)
    runs = Runs.joined(found)
    component = components(runs, out.shape)
    size = np.bincount(component, runs.length)
    stays = size >= min_pixels
    if keep_largest:
        stays &= _is_largest(runs, component, size)
    yield from share(iter_paint(runs[stays[component]], out, band, "Removing small areas"), 0.7, 1.0)


def _is_largest(runs: Runs, component: NDArray[np.int32], size: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether each component is the largest of its value, the first in raster order if several are."""
    _, first = np.unique(component, return_index=True)
    value = runs.value[first]
    order = np.lexsort((first, -size, value))
    _, leaders = np.unique(value[order], return_index=True)
    largest = np.zeros(len(size), bool)
    largest[order[leaders]] = True
    return largest


def iter_paint(runs: Runs, out: NDArray[Any], band: int | None, message: str) -> Steps[None]:
    """Fill `out` with runs, in bands of rows."""
    for part, progress in bands(out.shape, band, message):
        out[part] = runs.paint(part.start, (part.stop - part.start, *out.shape[1:]), out.dtype)
        yield progress


def _iter_decide(
    values: ArrayLike, out: NDArray[np.uint8], threshold: float, band: int | None, found: list[Runs] | None
) -> Steps[None]:
    for part, progress in bands(out.shape, band, "Deciding"):
        label = decide(np.asarray(values[:, part]), threshold)
        out[part] = label
        if found is not None:
            found.append(Runs.of(label, part.start))
        yield progress


def decide(values: NDArray[np.uint8], threshold: float) -> NDArray[np.uint8]:
    """Class of each pixel of a block of probability bytes; see :func:`areas`."""
    inside = foreground(values[0], threshold)
    if len(values) == 2:
        return inside.view(np.uint8)
    best, label = values[1].copy(), np.ones(inside.shape, np.uint8)
    for value in range(2, len(values)):
        np.copyto(label, np.uint8(value), where=values[value] > best)
        np.maximum(best, values[value], out=best)
    label *= inside
    return label


def foreground(background: NDArray[np.uint8], threshold: float) -> NDArray[np.bool_]:
    """Where the probability of not being background is at least `threshold` (never where it is 0)."""
    inside: NDArray[np.bool_] = background <= 255 - max(1, math.ceil(threshold * 255 - 1e-6))
    return inside


def bands(shape: tuple[int, ...], rows: int | None = None, message: str = "") -> Iterator[tuple[slice, Progress]]:
    """Ranges of rows (of the first axis) that cover `shape`, `rows` high or of a good height, with the progress."""
    step = rows or max(1, BAND_PIXELS // max(1, math.prod(shape[1:])))
    total = math.ceil(shape[0] / step)
    for i in range(total):
        yield slice(i * step, min((i + 1) * step, shape[0])), Progress(i + 1, total, message)


def listed_rows(shape: tuple[int, ...]) -> int:
    """Height of bands whose objects are listed, however many runs of pixels they are."""
    return max(1, _LISTED // max(1, math.prod(shape[1:])))


def shared_rows(shape: tuple[int, ...]) -> int:
    """Height of bands that are worked on side by side: as usual, or lower so that each core has one."""
    usual = BAND_PIXELS // max(1, math.prod(shape[1:]))
    return max(1, min(usual, max(_LOWEST, math.ceil(shape[0] / workers()))))
