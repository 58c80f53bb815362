"""Outlines of labels as closed polygons along the borders of pixels, holes included."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ring = NDArray[np.int64]
"""Corners ``(n, 2)`` as ``(x, y)``, not repeated at the end; pixel (0, 0) covers (0, 0) to (1, 1)."""

_BAND = 2048


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
    starts, stops, owners = _edges(labels)
    following = _following(starts, stops, owners)
    order = np.argsort(owners, kind="stable")
    values, first = np.unique(owners[order], return_index=True)
    bounds = [*first.tolist(), len(order)]
    seen = np.zeros(len(order), bool)
    width = labels.shape[1] + 1
    corners, after, visited = starts.tolist(), following.tolist(), seen.tolist()
    for value, begin, end in zip(values.tolist(), bounds, bounds[1:], strict=False):
        rings = [
            ring
            for edge in order[begin:end].tolist()
            if not visited[edge]
            for ring in _simple_rings(_walk(edge, after, visited), corners)
        ]
        yield value, _grouped([_corners_only(ring, width) for ring in rings])


def _edges(labels: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Directed borders of pixels, the label on the right hand: start and stop corner (flat), and label."""
    height, width = labels.shape
    parts: list[tuple[NDArray[np.int64], ...]] = []
    for top in range(0, height, _BAND):
        band = np.asarray(labels[max(top - 1, 0) : top + _BAND + 1])
        above = np.zeros((1, width), band.dtype) if top == 0 else band[:1]
        own = band[:_BAND] if top == 0 else band[1 : _BAND + 1]
        below = band[len(own) + (top > 0) :][:1]
        below = below if len(below) else np.zeros((1, width), band.dtype)
        parts += _band_edges(np.concatenate([above, own, below]), top, width + 1)
    starts, stops, owners = (np.concatenate(column) for column in zip(*parts, strict=True))
    return starts, stops, owners


def _band_edges(padded: NDArray[Any], top: int, stride: int) -> list[tuple[NDArray[np.int64], ...]]:
    """Edges of the middle rows; rightward along the top, down at the right, leftward below, up at the left."""
    own = np.pad(padded, ((0, 0), (1, 1)))
    middle = own[1:-1, 1:-1]
    found: list[tuple[NDArray[np.int64], ...]] = []
    sides = (
        (own[:-2, 1:-1], (0, 0), (0, 1)),
        (own[1:-1, 2:], (0, 1), (1, 1)),
        (own[2:, 1:-1], (1, 1), (1, 0)),
        (own[1:-1, :-2], (1, 0), (0, 0)),
    )
    for neighbor, start, stop in sides:
        y, x = np.nonzero((middle != 0) & (middle != neighbor))
        corner = (y + top) * stride + x
        found.append(
            (corner + start[0] * stride + start[1], corner + stop[0] * stride + stop[1], middle[y, x].astype(np.int64))
        )
    return found


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


def _corners_only(ring: list[int], width: int) -> Ring:
    """Without the points where a ring goes straight on, as ``(x, y)``."""
    y, x = np.divmod(np.array(ring, np.int64), width)
    points = np.stack([x, y], axis=1)
    ahead, behind = np.roll(points, -1, axis=0) - points, points - np.roll(points, 1, axis=0)
    turns = ahead[:, 0] * behind[:, 1] != ahead[:, 1] * behind[:, 0]
    kept: Ring = points[turns]
    return kept


def signed_area(ring: Ring) -> float:
    """Area by the shoelace formula; positive for an outer ring (clockwise on screen, y pointing down)."""
    x, y = ring.T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum()) / 2


def _grouped(rings: list[Ring]) -> list[Outline]:
    """Each hole with the smallest outer ring around it."""
    areas = [signed_area(ring) for ring in rings]
    outer = sorted((i for i, area in enumerate(areas) if area > 0), key=lambda i: areas[i])
    holes: dict[int, list[Ring]] = {i: [] for i in outer}
    for ring, area in zip(rings, areas, strict=True):
        if area < 0:
            owner = (
                outer[0] if len(outer) == 1 else next(i for i in outer if -area < areas[i] and _holds(rings[i], ring))
            )
            holes[owner].append(ring)
    return [Outline(rings[i], tuple(holes[i])) for i in sorted(outer)]


def _holds(outer: Ring, hole: Ring) -> bool:
    """Whether the first pixel inside the hole lies inside the outer ring (even-odd rule along a row)."""
    corner = hole[np.lexsort((hole[:, 0], hole[:, 1]))[0]]
    px, py = corner + 0.5
    x0, y0 = outer.T
    x1, y1 = np.roll(outer, -1, axis=0).T
    crossed = (x0 == x1) & (x0 < px) & (np.minimum(y0, y1) < py) & (np.maximum(y0, y1) > py)
    return bool(crossed.sum() % 2)
