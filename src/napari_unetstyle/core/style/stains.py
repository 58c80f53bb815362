"""What two dyes of a bright-field picture absorb, and how much of each there is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.style.pixels import Pixels, luminance

Stains = NDArray[np.float32]
"""``(2, 3)``: unit vectors of optical density in red, green and blue, the dye of what is darkest (nuclei) first."""
Amounts = NDArray[np.float32]
"""``(2,)``: the 99th percentile of each dye's concentration."""

_COLORS = 3
_MOST = 2**15  # pixels that are looked at
_DARKEST = np.float32(1 / 255)
_LEAST_DENSITY = 0.15 * np.log(10)  # beta of Macenko et al., who count in tens
_TAIL = 1.0  # percent of the angles that are outliers, on either side: their alpha
_MOST_OF = 99.0  # percentile of a concentration that stands for all of it
_LEAST_PIXELS, _LEAST_SHARE = 64, 0.01  # that are stained
_LEAST_ANGLE = np.radians(10)  # between two dyes; less is one dye and noise
_LEAST_AMOUNT = 0.05
_LEAST_RED = 0.5  # hematoxylin is blue, so it absorbs red; without it, two pinks would pass for two dyes
_DARKEST_SHARE = 5.0  # percent of the stained pixels, by density, in which the first dye prevails
_LEAST_COLOR = 0.03  # mean difference between the channels of what has a color
_BLACK = 0.06  # of all channels: a border, a fold or a pen, through which no dye is seen
_LEAST_HUE = np.radians(8)  # between a dye and gray, which absorbs all colors alike
_DARK = 0.3  # median luminance of fluorescence


def measure_stains(pixels: Pixels) -> tuple[Stains, Amounts] | None:
    """The two dyes of pixels ``(C, N)`` in 0..1 (Macenko et al. 2009).

    They are the outermost directions in the plane that the stained pixels' optical densities span. Which is which is
    told by the darkest pixels and not by hue: the same nuclei are blue in one scanner and violet in the next, and
    changed hues must not exchange them with what is around them. None where the picture is gray or dark, as no dye
    absorbs there, or where too little is stained to tell two dyes.
    """
    pixels = pixels[:, :: -(-pixels.shape[1] // _MOST)]
    if len(pixels) != _COLORS or np.ptp(pixels, axis=0).mean() < _LEAST_COLOR or np.median(luminance(pixels)) < _DARK:
        return None
    density = to_density(pixels[:, pixels.max(axis=0) > _BLACK])
    stained = density[:, np.linalg.norm(density, axis=0) >= _LEAST_DENSITY].astype(np.float64)
    if stained.shape[1] < max(_LEAST_PIXELS, _LEAST_SHARE * pixels.shape[1]):
        return None
    plane = np.linalg.eigh(stained @ stained.T)[1][:, :0:-1]
    plane = plane * np.where(plane.sum(axis=0) < 0, -1, 1)
    along, across = plane.T @ stained
    angles = np.percentile(np.arctan2(across, along), (_TAIL, 100 - _TAIL))
    found = _positive((plane @ np.stack([np.cos(angles), np.sin(angles)])).T)
    if not tells_two(found):
        return None
    each = np.linalg.pinv(found.T) @ stained
    amounts = np.percentile(each, _MOST_OF, axis=1)
    if amounts.min() < _LEAST_AMOUNT:
        return None
    total = np.linalg.norm(stained, axis=0)
    order = np.argsort(-each[:, total >= np.percentile(total, 100 - _DARKEST_SHARE)].mean(axis=1))
    return found[order].astype(np.float32), amounts[order].astype(np.float32)


def mean_stains(dyes: Sequence[tuple[Stains, Amounts]], shares: NDArray[np.float32]) -> tuple[Stains, Amounts] | None:
    """The weighted mean; None where there is nothing to mix, or the mean is no pair of dyes."""
    whole = float(shares.sum())
    if not dyes or whole <= 0:
        return None
    stains = np.tensordot(shares, np.stack([stain for stain, _ in dyes]), 1).clip(0)
    amounts = np.tensordot(shares / whole, np.stack([amount for _, amount in dyes]), 1)
    lengths = np.linalg.norm(stains, axis=1, keepdims=True)
    if lengths.min() <= 0 or not tells_two(stains / lengths) or amounts.min() < _LEAST_AMOUNT:
        return None
    return (stains / lengths).astype(np.float32), amounts.astype(np.float32)


def tells_two(stains: NDArray[np.floating[Any]]) -> bool:
    """Whether unit vectors ``(2, 3)`` are two dyes, one of them blue and none of them gray."""
    apart = np.arccos(np.clip(np.dot(stains[0], stains[1]), -1, 1))
    from_gray = np.arccos(np.clip(stains.sum(axis=1) / np.sqrt(3), -1, 1)).min()
    return bool(apart >= _LEAST_ANGLE and from_gray >= _LEAST_HUE and stains[:, 0].max() >= _LEAST_RED)


def basis(stains: Stains) -> NDArray[np.float64]:
    """``(3, 3)``: the two dyes, and what neither absorbs, as columns."""
    first, second = stains.astype(np.float64)
    rest = np.cross(first, second)
    rest *= np.copysign(1 / np.linalg.norm(rest), rest[2])  # in one direction, whichever dye comes first
    return np.stack([first, second, rest], axis=1)


def to_density(pixels: Pixels) -> Pixels:
    """Optical density (natural) of light in 0..1."""
    density: Pixels = -np.log(np.clip(pixels, _DARKEST, 1))
    return density


def to_light(density: Pixels) -> Pixels:
    """The inverse of :func:`to_density`."""
    light: Pixels = np.exp(-density).clip(0, 1)
    return light


def _positive(stains: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unit vectors without what no dye has: light of its own."""
    absorbing = stains.clip(0)
    units: NDArray[np.float64] = absorbing / np.maximum(np.linalg.norm(absorbing, axis=1, keepdims=True), 1e-9)
    return units
