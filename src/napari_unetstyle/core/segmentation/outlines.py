"""Outlines of labels as closed polygons along the borders of pixels, holes included."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ring = NDArray[np.int64]
"""Corners ``(n, 2)`` as ``(x, y)``, not repeated at the end; pixel (0, 0) covers (0, 0) to (1, 1)."""

Edges = tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[Any]]
"""Sides of pixels with the label on their right hand: start corner (flat), direction, label."""

_BAND = 256
_AT_ONCE = 2**20  # edges that are followed together; a label's edges always are
_RIGHT, _DOWN, _LEFT, _UP = range(4)


@dataclass(frozen=True, eq=False)
class Outline:
    """One connected part of a label: its outer ring and the rings of its holes; no ring touches itself."""

    outer: Ring
    holes: tuple[Ring, ...]


def outlines(labels: NDArray[Any]) -> Iterator[tuple[int, list[Outline]]]:
    """Outlines of each label of a picture ``(Y, X)``, by rising label; 0 is background.

    The polygons cover exactly the label's pixels. Parts that touch at a corner only are separate, so every
    polygon is valid by the rules of simple features (OGC 06-103r4).
    """
    stride = labels.shape[1] + 1
    starts, directions, owners = _edges(labels)
    order = np.argsort(owners, kind="stable")
    starts, directions, owners = starts[order], directions[order], owners[order]
    for part in _label_groups(owners):
        yield from _group_outlines(starts[part], directions[part], owners[part], stride)


def _label_groups(owners: NDArray[Any]) -> Iterator[slice]:
    """Slices of sorted owners that hold whole labels and not many more edges than are handled at once."""
    firsts = np.flatnonzero(np.append(True, owners[1:] != owners[:-1]))
    start = 0
    while start < len(owners):
        later = firsts[firsts >= start + _AT_ONCE]
        stop = int(later[0]) if len(later) else len(owners)
        yield slice(start, stop)
        start = stop


def _group_outlines(
    starts: NDArray[np.int64], directions: NDArray[np.uint8], owners: NDArray[Any], stride: int
) -> Iterator[tuple[int, list[Outline]]]:
    starts, after, owners = _turns(starts, directions, owners, stride)
    corners, following, visited = starts.tolist(), after.tolist(), [False] * len(starts)
    values, first = np.unique(owners, return_index=True)
    path: list[int] = []
    ends: list[int] = []
    rings_of: list[int] = []
    for begin, end in zip(first.tolist(), [*first[1:].tolist(), len(owners)], strict=True):
        count = len(ends)
        for edge in range(begin, end):
            if not visited[edge]:
                for ring in _simple_rings(_walk(edge, following, visited), corners):
                    path += ring
                    ends.append(len(path))
        rings_of.append(len(ends) - count)
    y, x = np.divmod(np.array(path, np.int64), stride)
    rings = iter(np.split(np.stack([x, y], axis=1), ends[:-1]))
    for value, count in zip(values.tolist(), rings_of, strict=True):
        yield value, _grouped([next(rings) for _ in range(count)])


def _turns(
    starts: NDArray[np.int64], directions: NDArray[np.uint8], owners: NDArray[Any], stride: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any]]:
    """Only those edges that begin with a turn: start corner, the next such edge, and label."""
    stops = starts + np.array([1, stride, -1, -stride])[directions]
    after = _following(starts, stops, owners)
    is_turn = np.empty(len(starts), bool)
    is_turn[after] = directions[after] != directions
    while not is_turn[after].all():  # each round doubles how far straight edges are seen through
        after = np.where(is_turn[after], after, after[after])
    number = np.cumsum(is_turn) - 1
    return starts[is_turn], number[after[is_turn]], owners[is_turn]


def _edges(labels: NDArray[Any]) -> Edges:
    height, width = labels.shape
    parts: list[Edges] = []
    for top in range(0, height, _BAND):
        bottom = min(top + _BAND, height)
        band = np.asarray(labels[max(top - 1, 0) : bottom + 1])
        padded = np.pad(band, ((int(top == 0), int(bottom == height)), (1, 1)))
        parts += _band_edges(padded, top, width + 1)
    starts, directions, owners = (np.concatenate(column) for column in zip(*parts, strict=True))
    return starts, directions, owners


def _band_edges(padded: NDArray[Any], top: int, stride: int) -> Iterator[Edges]:
    """Edges of the middle rows: rightward above a pixel, down at its right, leftward below, up at its left."""
    middle = padded[1:-1, 1:-1]
    neighbors = {
        _RIGHT: padded[:-2, 1:-1],
        _DOWN: padded[1:-1, 2:],
        _LEFT: padded[2:, 1:-1],
        _UP: padded[1:-1, :-2],
    }
    start = {_RIGHT: 0, _DOWN: 1, _LEFT: stride + 1, _UP: stride}
    for direction, neighbor in neighbors.items():
        y, x = np.nonzero((middle != 0) & (middle != neighbor))
        corners = (y + top) * stride + x + start[direction]
        yield corners, np.full(len(y), direction, np.uint8), middle[y, x]


def _following(starts: NDArray[np.int64], stops: NDArray[np.int64], owners: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each edge one that starts where it stops and has the same label; each is used once."""
    leaving = np.lexsort((owners, starts))
    arriving = np.lexsort((owners, stops))
    following = np.empty(len(starts), np.int64)
    following[arriving] = leaving  # a corner has as many edges of a label that arrive as that leave
    return following


def _walk(edge: int, after: list[int], visited: list[bool]) -> list[int]:
    loop = []
    while not visited[edge]:
        visited[edge] = True
        loop.append(edge)
        edge = after[edge]
    return loop


def _simple_rings(loop: list[int], corners: list[int]) -> Iterator[list[int]]:
    """A closed walk as rings that pass no corner twice."""
    path: list[int] = []
    places: dict[int, int] = {}
    for edge in loop:
        corner = corners[edge]
        if corner in places:
            start = places[corner]
            yield path[start:]
            for left in path[start:]:
                del places[left]
            del path[start:]
        places[corner] = len(path)
        path.append(corner)
    yield path


def signed_area(ring: Ring) -> float:
    """Area by the shoelace formula; positive for an outer ring (clockwise on screen, y pointing down)."""
    x, y = ring.T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum()) / 2


def _grouped(rings: list[Ring]) -> list[Outline]:
    """Each hole with the smallest outer ring around it."""
    if len(rings) == 1:
        return [Outline(rings[0], ())]
    areas = np.array([signed_area(ring) for ring in rings])
    outer = np.flatnonzero(areas > 0)
    outer = outer[np.argsort(areas[outer], kind="stable")]
    low, high = (np.array([limit(rings[i], axis=0) for i in outer]) for limit in (np.min, np.max))
    holes: dict[int, list[Ring]] = {i: [] for i in outer.tolist()}
    for hole in (rings[i] for i in np.flatnonzero(areas < 0)):
        around = outer[(low <= hole.min(axis=0)).all(axis=1) & (high >= hole.max(axis=0)).all(axis=1)].tolist()
        owner = around[0] if len(around) == 1 else next(i for i in around if _holds(rings[i], hole))
        holes[owner].append(hole)
    return [Outline(rings[i], tuple(holes[i])) for i in sorted(holes)]


def _holds(outer: Ring, hole: Ring) -> bool:
    """Whether the first pixel inside the hole lies inside the outer ring (even-odd rule along a row)."""
    corner = hole[np.lexsort((hole[:, 0], hole[:, 1]))[0]]
    px, py = corner + 0.5
    x0, y0 = outer.T
    x1, y1 = np.roll(outer, -1, axis=0).T
    crossed = (x0 == x1) & (x0 < px) & (np.minimum(y0, y1) < py) & (np.maximum(y0, y1) > py)
    return bool(crossed.sum() % 2)
