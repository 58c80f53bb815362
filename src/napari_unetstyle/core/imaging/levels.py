"""Where the pixels of each level of a picture in several resolutions lie on those of the finest one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from napari_unetstyle.core.imaging.geometry import Geometry

_OVERVIEW = 2**18


@dataclass(frozen=True, kw_only=True)
class LevelGrid:
    """One level: its index ``i`` lies at ``factor * i + offset`` of the finest level.

    Attributes
    ----------
    index
        Number of the level; 0 is the finest.
    factor, offset
        One number for each axis of the array (of a layer's data, colors left out), in pixels of the finest level.
    """

    index: int
    factor: tuple[float, ...]
    offset: tuple[float, ...]

    def geometry(self, finest: Geometry, axes: str) -> Geometry:
        """Where the level lies if the finest lies at `finest`; `axes` of the array, colors included."""
        where = [axes.index(a) for a in finest.axes]
        matrix = np.diag([*(self.factor[i] for i in where), 1.0])
        matrix[:-1, -1] = [self.offset[i] for i in where]
        return Geometry.from_affine(finest.affine @ matrix, finest.unit, is_anatomical=finest.is_anatomical)

    def finest(self, level: Geometry, axes: str) -> Geometry:
        """Where the finest level lies if this one lies at `level`; `axes` of the array, colors included."""
        offset = tuple(-o / f for o, f in zip(self.offset, self.factor, strict=True))
        return LevelGrid(index=0, factor=tuple(1 / f for f in self.factor), offset=offset).geometry(level, axes)

    def from_finest(self, axis: int, position: Any) -> Any:
        """Positions along one axis of the finest level as those of this level."""
        return (position - self.offset[axis]) / self.factor[axis]


def overview_level(shapes: Sequence[tuple[int, ...]]) -> int:
    """The coarsest of some levels ``(Y, X, …)``, finest first, that still has a few hundred thousand pixels."""
    enough = [i for i, shape in enumerate(shapes) if math.prod(shape[:2]) >= _OVERVIEW]
    return enough[-1] if enough else 0


def likely_factors(counts: tuple[int, ...], fewer: tuple[int, ...]) -> list[tuple[float, ...]]:
    """Pixels per pixel of a coarser level, likely ones first: one whole number along all axes that have fewer pixels.

    Where no whole number gives the counts, rounded down or up, it is their ratio.
    """
    shrunk = [(n, m) for n, m in zip(counts, fewer, strict=True) if n != m]
    if not shrunk:
        return [(1.0,) * len(counts)]
    common = set.intersection(*({*_whole(n, m)} for n, m in shrunk))
    if not common:
        return [tuple(map(_ratio, counts, fewer))]
    likely = sorted(common, key=lambda f: max(_doubt(n, m, f) for n, m in shrunk))
    return [tuple(float(f) if n != m else 1.0 for n, m in zip(counts, fewer, strict=True)) for f in likely]


def _whole(count: int, fewer: int) -> list[int]:
    """The whole factors that make `fewer` pixels of `count`, the rest left out or filled up."""
    near = range(max(1, count // (fewer + 1)), -(-count // max(1, fewer - 1)) + 1)
    return [f for f in near if fewer in (count // f, -(-count // f))]


def _ratio(count: int, fewer: int) -> float:
    return float(min(_whole(count, fewer), key=partial(_doubt, count, fewer), default=count / fewer))


def _doubt(count: int, fewer: int, factor: int) -> tuple[bool, bool, bool, int]:
    """Powers of two are most likely, then what leaves no rest, then what leaves it out."""
    is_power = factor & (factor - 1) == 0
    return not is_power, fewer * factor != count, fewer != count // factor, factor
