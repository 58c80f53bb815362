"""Where the pixels of each level of a multiscale layer lie on those of the finest one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.imaging.levels import LevelGrid, likely_factors

if TYPE_CHECKING:
    import napari.layers

    from napari_unetstyle.widgets.placement import Placement

LEVELS = "unetstyle_levels"
_KNOWN: WeakKeyDictionary[Any, tuple[tuple[Any, ...], tuple[LevelGrid, ...]]] = WeakKeyDictionary()
_SAMPLE = 12  # pixels along each axis that tell how a level was made


@dataclass(frozen=True, kw_only=True, eq=False)
class LevelView:
    """A layer as if the pixels of one of its levels were its own."""

    layer: napari.layers.Image | napari.layers.Labels
    grid: LevelGrid

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return int(self.layer.ndim)

    def data_to_world(self, position: Any) -> NDArray[np.float64]:
        """Where a position on the level lies."""
        return np.asarray(self.layer.data_to_world(np.array(position) * self.grid.factor + self.grid.offset))

    def world_to_data(self, position: Any) -> NDArray[np.float64]:
        """Where a place is on the level."""
        return (np.asarray(self.layer.world_to_data(position)) - self.grid.offset) / self.grid.factor


def seen(placement: Placement) -> Any:
    """What turns pixels of a placement into places and back: its layer, or a level of it."""
    return placement.layer if placement.grid is None else LevelView(layer=placement.layer, grid=placement.grid)


def placed(grid: LevelGrid, place: dict[str, Any]) -> dict[str, Any]:
    """Scale and translate of a layer on a level; `place` is that of the finest, which keeps the others."""
    from napari.utils.transforms import Affine

    own = Affine(**{key: place[key] for key in ("scale", "translate", "rotate", "shear")})
    first = own.affine_matrix @ [*grid.offset, 1.0]
    return {"scale": np.array(place["scale"]) * grid.factor, "translate": first[:-1]}


def level_grids(layer: napari.layers.Image | napari.layers.Labels) -> tuple[LevelGrid, ...]:
    """The levels of a layer, finest first, as its file states them; else as its pixels tell.

    A level whose pixels are those of every second (third, …) one begins with the same pixel as the finest; all others
    are taken to cover the same place as it, as means do.
    """
    if not layer.multiscale:
        return (LevelGrid(index=0, factor=(1.0,) * layer.ndim, offset=(0.0,) * layer.ndim),)
    stated = layer.metadata.get(LEVELS, ())
    if len(stated) == len(layer.data):
        return tuple(
            LevelGrid(index=i, factor=tuple(factor), offset=tuple(offset)) for i, (factor, offset) in enumerate(stated)
        )
    arrays, known = _KNOWN.get(layer, ((), ()))
    if len(arrays) != len(layer.data) or any(a is not b for a, b in zip(arrays, layer.data, strict=True)):
        known = tuple(_seen(layer.data[0], level, i, layer.ndim) for i, level in enumerate(layer.data))
        _KNOWN[layer] = (tuple(layer.data), known)
    return known


def _seen(finest: Any, level: Any, index: int, ndim: int) -> LevelGrid:
    candidates = likely_factors(finest.shape[:ndim], level.shape[:ndim])
    strided = next((factor for factor in candidates if _is_strided(finest, level, factor)), None)
    factor = strided or candidates[0]
    offset = tuple((f - 1) / 2 for f in factor)
    return LevelGrid(index=index, factor=factor, offset=offset if strided is None else (0.0,) * ndim)


def _is_strided(finest: Any, level: Any, factor: Sequence[float]) -> bool:
    """Whether a level holds the first pixels of the finest one's blocks, where these differ from the last ones."""
    steps = [int(f) for f in factor]
    if not all(float(f).is_integer() for f in factor) or max(steps) == 1:
        return False
    counts = [min(m, n // s) for m, n, s in zip(level.shape, finest.shape, steps, strict=False)]
    is_told = False
    for share in (0.5, 0.25, 0.75):
        starts = [max(0, int(n * share) - _SAMPLE // 2) for n in counts]
        sides = [(a, min(a + _SAMPLE, n)) for a, n in zip(starts, counts, strict=True)]
        coarse = np.asarray(level[tuple(slice(a, b) for a, b in sides)])
        fine = np.asarray(finest[tuple(slice(a * s, b * s) for (a, b), s in zip(sides, steps, strict=True))])
        if not np.array_equal(coarse, fine[tuple(slice(None, None, s) for s in steps)]):
            return False
        is_told |= not np.array_equal(coarse, fine[tuple(slice(s - 1, None, s) for s in steps)])
    return is_told
