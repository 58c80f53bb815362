"""Holes in areas: background that one class encloses."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.progress import Steps, run, share
from napari_unetstyle.core.segmentation.postprocessing import bands
from napari_unetstyle.core.segmentation.runs import Runs, components


def fill_holes(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Class values ``(Z)YX``, uint8, with background that one class encloses given to that class.

    A hole of a class is everything that is connected by faces (4 neighbors in 2D, 6 in 3D), is not of the class, and
    does not reach the edge of the picture; an axis of length 1 has no edges. Only background is filled, so no voxel of
    another class is lost. Where the holes of several classes lie in one another the smallest decides, then the lower
    class value.
    """
    filled = labels.copy()
    run(iter_fill_holes(filled))
    return filled


def iter_fill_holes(out: NDArray[np.uint8], band: int | None = None) -> Steps[None]:
    """Like :func:`fill_holes`, as a job that fills `out`, which may lie on disk, in bands of `band` rows."""
    values: set[int] = set()
    for part, progress in bands(out.shape, band, "Looking for holes"):
        values |= {*np.unique(out[part]).tolist()} - {0}
        yield progress
    holes: dict[int, Runs] = {}
    for i, value in enumerate(sorted(values)):
        holes[value] = yield from share(_iter_holes(out, value, band), i / len(values), (i + 1) / len(values))
    if not any(len(runs) for runs in holes.values()):
        return
    for part, progress in bands(out.shape, band, "Filling holes"):
        block = out[part]
        filling = _filling(holes, part.start, block.shape)
        out[part] = np.where(block == 0, filling, block)
        yield progress


def _iter_holes(out: NDArray[np.uint8], value: int, band: int | None) -> Steps[Runs]:
    """The holes of one class; the value of each run is the size of its hole in pixels."""
    found: list[Runs] = []
    for part, progress in bands(out.shape, band, "Looking for holes"):
        found.append(Runs.of(out[part] != value, part.start))
        yield progress
    around = Runs.joined(found)
    component = components(around, out.shape)
    size = np.bincount(component, around.length).astype(np.int64)
    size[component[_at_edge(around, out.shape)]] = 0
    return around.valued(size[component])


def _at_edge(runs: Runs, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    first, last = (np.unravel_index(place, shape) for place in (runs.start, runs.stop - 1))
    sides = [(a == 0) | (b == n - 1) for a, b, n in zip(first, last, shape, strict=True) if n > 1]
    edge: NDArray[np.bool_] = np.any([np.zeros(len(runs), bool), *sides], axis=0)
    return edge


def _filling(holes: dict[int, Runs], first_row: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The class of the smallest hole that each pixel lies in, 0 outside of holes."""
    filling: NDArray[np.uint8] = np.zeros(shape, np.uint8)
    smallest = np.full(shape, np.iinfo(np.int64).max)
    for value, runs in holes.items():
        size: NDArray[Any] = runs.paint(first_row, shape, np.int64)
        is_inner = (size > 0) & (size < smallest)
        filling[is_inner] = value
        smallest[is_inner] = size[is_inner]
    return filling
