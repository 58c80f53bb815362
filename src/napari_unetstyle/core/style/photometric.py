"""Styles that change each pixel by its own value alone, so nothing moves and no seam can show.

Each is made from the styles of a whole picture or volume (its statistics are never taken of a slice or a part) and
then applied to any part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from napari_unetstyle.core.style.pixels import Pixels
from napari_unetstyle.core.style.reference import Reference, from_perceived, to_perceived
from napari_unetstyle.core.style.stains import basis, to_density, to_light

Change = Callable[[Pixels], Pixels]
_FLAT = 1e-5
_PERCENTILES = (1, *range(10, 100, 10), 99)
_MOST_GAIN = 8.0  # of contrast: noise of a nearly constant picture must not become structure


def histogram(content: Reference, wanted: Reference) -> Change:
    """Each channel's intensities take the ranks' values of `wanted` (histogram matching).

    Where the shares of objects and background differ between the two pictures it can erase objects;
    `moments` erases only what it pushes past the range.
    """
    return _along([_curve(*pair) for pair in zip(content.quantiles, wanted.quantiles, strict=True)])


def _along(curves: Sequence[tuple[Pixels, Pixels]]) -> Change:
    """Each channel along its curve, level beyond the ends."""

    def change(pixels: Pixels) -> Pixels:
        mapped = [np.interp(c, values, target) for c, (values, target) in zip(pixels, curves, strict=True)]
        return np.stack(mapped).astype(np.float32)

    return change


def _curve(source: Pixels, target: Pixels) -> tuple[Pixels, Pixels]:
    """Distinct source values, and of each the mean target of the ranks it takes."""
    values, inverse = np.unique(source, return_inverse=True)
    sums = np.bincount(inverse, weights=target)
    return values, (sums / np.bincount(inverse)).astype(np.float32)


def moments(content: Reference, wanted: Reference) -> Change:
    """Mean and deviation of each channel become those of `wanted`, in CIE Lab for colors (Reinhard et al. 2001)."""
    gain = np.where(content.std > _FLAT, wanted.std / np.maximum(content.std, _FLAT), 1).clip(0, _MOST_GAIN)

    def change(pixels: Pixels) -> Pixels:
        shape = (-1, *(1,) * (pixels.ndim - 1))
        centered = to_perceived(pixels) - content.mean.reshape(shape)
        moved = centered * gain.reshape(shape).astype(np.float32) + wanted.mean.reshape(shape)
        return from_perceived(moved).clip(0, 1).astype(np.float32)

    return change


def automatic(content: Reference, wanted: Reference) -> Change:
    """Half histogram matching, half moments: the colors of the one, and the other keeps it from erasing objects."""
    ranks, spread = histogram(content, wanted), moments(content, wanted)
    return lambda pixels: ((ranks(pixels) + spread(pixels)) / 2).astype(np.float32)


def stain(content: Reference, wanted: Reference) -> Change:
    """Each of two dyes takes color and amount of those of `wanted` (Macenko et al. 2009); what is neither is kept.

    `automatic` where either has none.
    """
    if content.dyes is None or wanted.dyes is None:
        return automatic(content, wanted)
    (own, amounts), (others, aims) = content.dyes, wanted.dyes
    gain = (aims / amounts).clip(1 / _MOST_GAIN, _MOST_GAIN)
    mixing = (basis(others) * [*gain, 1] @ np.linalg.inv(basis(own))).astype(np.float32)
    return lambda pixels: to_light(np.tensordot(mixing, to_density(pixels), 1))


def landmarks(content: Reference, wanted: Reference) -> Change:
    """Percentiles of what is brighter than the mean take the values of those of `wanted`, with lines between them.

    The landmarks that bring MR, which has no unit, to one scale (Nyul and Udupa 1999): dark air, however much of it
    there is, hardly counts.
    """
    curves = [_curve(_landmarks(c), _landmarks(w)) for c, w in zip(content.quantiles, wanted.quantiles, strict=True)]
    return _along(curves)


def _landmarks(quantiles: Pixels) -> Pixels:
    """Lowest value, the percentiles of the foreground, and highest value."""
    ranks = np.linspace(0, 1, len(quantiles), dtype=np.float32)
    mean = (quantiles[1:] + quantiles[:-1]).mean() / 2
    background = np.interp(mean, *_curve(quantiles, ranks)) if np.ptp(quantiles) > _FLAT else 0
    inner = background + (1 - background) * np.array(_PERCENTILES) / 100
    found: Pixels = np.interp([0, *inner, 1], ranks, quantiles).astype(np.float32)
    return found


BY_CHANNEL = ("histogram", "landmarks")
"""Methods in which a channel's new value follows from its old one alone."""

METHODS: dict[str, Callable[[Reference, Reference], Change]] = {
    "automatic": automatic,
    "histogram": histogram,
    "moments": moments,
    "stain": stain,
    "landmarks": landmarks,
}
