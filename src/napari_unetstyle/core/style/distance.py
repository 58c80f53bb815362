"""How unlike the pictures of its training a picture is to a model.

A look is what a network that normalizes each picture can still see of it: how its intensities are spread, whether
bright or dark stands out at each size, and how much color there is. A model carries the mean and spread of the looks
that it was taught; the distance of a picture is how many spreads it lies away from the nearest. Against models taught
one kind of nuclei each and tested on the others it goes along with the Dice that is lost
(``benchmarks/domain_distance.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.models.spec import Kind, ModelSpec
from napari_unetstyle.core.style.pixels import luminance, thinned
from napari_unetstyle.core.style.polarity import skewness

Look = NDArray[np.float32]
"""``(17,)``, see :func:`look_of`."""

FOREIGN = 2.5
"""From here on a picture is unlike what the model has seen."""

_RANKS = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
_MOST = 2**15  # pixels of a piece that are counted
_OCTAVES = 6  # bands of size, each of things twice as large as in the one before
_NO_COLOR = 0.01  # of the contrast
_PARTS = {"spread": slice(0, 9), "polarity by size": slice(9, 15), "polarity": slice(15, 16), "color": slice(16, 17)}
_WORDS = {
    "spread": "its brightness is spread differently",
    "polarity by size": "other things stand out",
    "polarity": "bright and dark are the other way round",
    "color": "its colors are others",
}
_USUAL = np.array(
    [0.19, 0.14, 0.21, 0.24, 0.12, 0.19, 0.23, 0.30, 0.14, 0.21, 0.21, 0.18, 0.14, 0.16, 0.24, 0.15, 0.13]
)  # spread of looks within one kind of pictures: the five of ``nuclei/``, see benchmarks/domain_distance.py
_AS_MANY = 8  # pictures that the usual spread counts as
_FAR = 8.0  # spreads beyond which it makes no difference
_SLICES = 8  # of a volume that are looked at


@dataclass(frozen=True, kw_only=True)
class Distance:
    """How unlike what a model has seen a picture is.

    Attributes
    ----------
    value
        0 to 8 spreads of the looks of its training; above 2.5 it is unlike.
    reasons
        What tells it from the nearest kind of pictures, in words, the strongest first; of a foreign picture only.
    model
        Name of the model.
    """

    value: float
    reasons: tuple[str, ...]
    model: str

    @property
    def is_foreign(self) -> bool:
        """Whether a person should know."""
        return self.value >= FOREIGN

    @property
    def words(self) -> str:
        """A sentence; empty where the picture is like others."""
        if not self.is_foreign:
            return ""
        return f"Unlike what {self.model} has seen: {' and '.join(self.reasons[:2])}."

    @classmethod
    def of(cls, look: Look, spec: ModelSpec) -> Distance | None:
        """Of a look; None where the model does not say what it has seen."""
        if not spec.seen:
            return None
        nearest = min((_apart(look, kind) for kind in spec.seen), key=lambda apart: sum(apart.values()))
        value = float(np.sqrt(np.mean(list(nearest.values()))))
        order = sorted(nearest, key=lambda part: -nearest[part])
        told = [part for i, part in enumerate(order) if i == 0 or nearest[part] >= FOREIGN**2]
        reasons = tuple(_WORDS[part] for part in told) if value >= FOREIGN else ()
        return cls(value=round(value, 2), reasons=reasons, model=spec.name)


def look_of(pieces: Sequence[NDArray[Any]]) -> Look:
    """The look of a picture, from pieces ``(C, *spatial)`` of it, of any real type; pixels that are not finite are 0.

    Nine quantiles of the luminance (mean 0, spread 1; inverse hyperbolic sine), the skewness (squashed) of six
    octaves of it and of itself, and the logarithm of the share of color.
    """
    planes = [plane for piece in pieces for plane in _planes(np.nan_to_num(piece.astype(np.float32)))]
    lights = [luminance(plane) for plane in planes]
    every = np.concatenate([thinned(light[np.newaxis], _MOST).ravel() for light in lights])
    mean, spread = float(every.mean(dtype=np.float64)), float(every.std(dtype=np.float64))
    spread = spread if spread > 1e-6 * max(1.0, abs(mean)) else 1.0
    few = [thinned(plane, _MOST) for plane in planes]
    color = np.sqrt(np.mean([np.square(plane - plane.mean(axis=0)).mean() for plane in few])) / spread
    every = (every - np.float32(mean)) / np.float32(spread)
    bands = np.mean([_polarities((light - np.float32(mean)) / np.float32(spread)) for light in lights], axis=0)
    quantiles = np.arcsinh(np.quantile(every, _RANKS))
    return np.asarray([*quantiles, *bands, skewness(every), np.log(color + _NO_COLOR)], np.float32)


def look_of_picture(pixels: NDArray[Any], side: int = 256) -> Look:
    """The look of a picture ``(C, *spatial)`` in memory, from the regions that its statistics are taken from."""
    from napari_unetstyle.core.inference.statistics import choose_regions

    held = Held(pixels)
    return look_of([held.read(*region.slices) for region in choose_regions([held], side)])


class Held:
    """A picture in memory, as regions are chosen from it."""

    def __init__(self, pixels: NDArray[Any]) -> None:
        self._pixels, self.shape = pixels, pixels.shape[1:]

    def read(self, *slices: slice) -> NDArray[Any]:
        """Pixels ``(C, *spatial)``."""
        piece: NDArray[Any] = self._pixels[(slice(None), *slices)]
        return piece


def kind_of(looks: Sequence[Look], name: str = "") -> Kind:
    """Mean and spread of the looks of pictures of one kind; few pictures have about the usual spread."""
    table = np.stack(looks).astype(np.float64)
    variance = (len(table) * table.var(axis=0) + _AS_MANY * _USUAL**2) / (len(table) + _AS_MANY)
    mean, spread = table.mean(axis=0), np.sqrt(variance)
    return Kind(name=name, count=len(table), mean=tuple(mean.round(4).tolist()), spread=tuple(spread.round(4).tolist()))


def _apart(look: Look, kind: Kind) -> dict[str, float]:
    """Mean square of the spreads that lie between, of each part of a look."""
    spreads = np.clip((look - np.asarray(kind.mean)) / np.asarray(kind.spread), -_FAR, _FAR)
    return {name: float(np.mean(spreads[part] ** 2)) for name, part in _PARTS.items()}


def _planes(piece: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """The piece itself, or slices ``(C, Y, X)`` of a volume."""
    if piece.ndim == 3:
        return [piece]
    some = np.unique(np.linspace(0, piece.shape[1] - 1, _SLICES + 2).round().astype(int)[1:-1])
    return [piece[:, i] for i in some]


def _polarities(light: NDArray[np.float32]) -> list[float]:
    """Skewness of the bands of a Laplacian pyramid (Burt and Adelson 1983), fine to coarse."""
    from scipy.ndimage import gaussian_filter

    found, level = [], light
    for _ in range(_OCTAVES):
        soft = gaussian_filter(level, 1.0, truncate=3)
        found.append(skewness(thinned((level - soft)[np.newaxis], _MOST)))
        level = soft[::2, ::2]
    return found
