"""Outlines of labels as closed polygons along the borders of pixels, holes included."""

from __future__ import annotations

import itertools
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
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    after = _following(starts, directions, owners, stride)
    steps = csr_array((np.ones(len(after), bool), (np.arange(len(after)), after)))
    loops = connected_components(steps)[1]
    outer_loops = _outer_loops(starts, directions, owners, loops, stride)
    is_turn, later = _turns(directions, after)
    corners, following, visited = starts[is_turn].tolist(), later.tolist(), [False] * len(later)
    firsts = np.unique(loops[is_turn], return_index=True)[1]
    path: list[int] = []
    ends: list[int] = []
    rings_of: dict[tuple[int, int], list[int]] = {}  # of each part, named by its label and outer loop
    columns = (firsts, owners[is_turn][firsts], outer_loops)
    for edge, *part in zip(*(column.tolist() for column in columns), strict=True):
        for ring in _simple_rings(_walk(edge, following, visited), corners):
            path += ring
            rings_of.setdefault((part[0], part[1]), []).append(len(ends))
            ends.append(len(path))
    y, x = np.divmod(np.array(path, np.int64), stride)
    points = np.stack([x, y], axis=1)
    rings = [points[start:stop] for start, stop in zip([0, *ends], ends, strict=False)]
    for value, parts in itertools.groupby(sorted(rings_of), key=lambda part: part[0]):
        yield value, [_outline([rings[i] for i in rings_of[part]]) for part in parts]


def _outline(rings: list[Ring]) -> Outline:
    if len(rings) == 1:
        return Outline(rings[0], ())
    (outer,) = (ring for ring in rings if signed_area(ring) > 0)
    return Outline(outer, tuple(ring for ring in rings if ring is not outer))


def _outer_loops(
    starts: NDArray[np.int64], directions: NDArray[np.uint8], owners: NDArray[Any], loops: NDArray[Any], stride: int
) -> NDArray[np.int64]:
    """For each loop the one around the same part from outside: itself, or the one whose hole it is.

    The pixel above a hole's top belongs to the part; so does the next border to its left in the same row. That
    border is the outside's, or a higher hole's.
    """
    x = starts % stride
    area = np.bincount(loops, x * (directions == _DOWN)) - np.bincount(loops, x * (directions == _UP))
    order = np.lexsort((starts, owners))
    lefts = order[directions[order] == _UP]
    number = np.unique(owners, return_inverse=True)[1] * (starts.max() + 2)
    tops = order[directions[order] == _LEFT][::-1]
    top = np.empty(len(area), np.int64)
    top[loops[tops]] = tops  # the last one written is the topmost
    border = np.searchsorted((number + starts)[lefts], (number + starts)[top] - 1, side="right") - 1
    parent = np.where(area > 0, np.arange(len(area)), loops[lefts[border]])
    while (area[parent] < 0).any():
        parent = parent[parent]
    return parent


def _turns(directions: NDArray[np.uint8], after: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which edges begin with a turn; and for each of these the next, counted among them."""
    is_turn = np.empty(len(after), bool)
    is_turn[after] = directions[after] != directions
    while not is_turn[after].all():  # each round doubles how far straight edges are seen through
        after = np.where(is_turn[after], after, after[after])
    return is_turn, (np.cumsum(is_turn) - 1)[after[is_turn]]


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


def _following(
    starts: NDArray[np.int64], directions: NDArray[np.uint8], owners: NDArray[Any], stride: int
) -> NDArray[np.int64]:
    """For each edge the next one around the same label; where two parts touch at a corner, the one to the right."""
    stops = starts + np.array([1, stride, -1, -stride])[directions]
    leaving = np.lexsort((directions, owners, starts))
    arriving = np.lexsort(((directions + 1) % 4, owners, stops))
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
