"""Places that are held out of teaching: where it is checked whether the model got better."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.training.lessons import Said, extent
from napari_unetstyle.core.training.scores import ENOUGH

Mask = NDArray[np.bool_]
Box = tuple[slice, ...]
_SHARE = 0.25  # of all places
_LEAST = 2 * ENOUGH  # places in all, below which none is held out: what little there is, is learned from
_SIDES = {2: (32, 192), 3: (12, 48)}  # smallest and largest side of a place, by dimensions
_PLACES = 12  # that are aimed at in a picture
_FULL = 0.1  # of its box that a place has to be judged in


@dataclass(frozen=True, eq=False)
class Place:
    """A box of one picture that is not learned from, nor is it in the other frames of its stack.

    Attributes
    ----------
    said
        Index of the picture in the list that was split.
    box
        In pixels of the picture.
    """

    said: int
    box: Box


def hold_out(said: Sequence[Said], rng: np.random.Generator) -> tuple[list[Said], list[Place]]:
    """Split what was said: what is learned from, and the places that are not.

    Places are boxes, never single pixels, and an object that reaches into one is not learned from. A quarter of the
    places is held out, at least three, with and without objects as they come; none if there are fewer than six, or if
    one object reaches everywhere, because then everything is needed for learning. A picture that several corrections
    are of has its places once.

    Neighboring slices and frames are nearly alike, so a box that is held out of one is held out of its whole stack: the
    places in it are chosen together, if these are not much more than the quarter.

    Parameters
    ----------
    said
        What was said about each picture.
    rng
        Decides where.
    """
    columns = _columns(said)
    total = sum(map(len, columns))
    if total < _LEAST:
        return list(said), []
    order = _spread(columns, said, rng.permutation(len(columns)))
    chosen = _first(columns, order, max(ENOUGH, round(_SHARE * total)), total // 2)
    places = [place for i in sorted(chosen) for place in columns[i]]
    kept = [one.without(held_out(i, said, places)) for i, one in enumerate(said)]
    learned = [one for one in kept if one.valid.any()]
    return (learned, places) if learned and len(places) >= ENOUGH else (list(said), [])


def _columns(said: Sequence[Said]) -> list[list[Place]]:
    """The places that can be held out; those in the same box of a stack belong together, so its frames have one grid.

    Each is in the correction that says most about its picture there, the last of several.
    """
    columns = []
    for frames in _grouped(range(len(said)), lambda i: said[i].stack):
        pictures = _grouped(frames, lambda i: said[i].picture)
        for box in _boxes(np.logical_or.reduce([said[i].valid for i in frames])):
            best = [max((float(said[i].valid[box].mean()), i) for i in same) for same in pictures]
            columns.append([Place(index, box) for share, index in best if share >= _FULL])
    return [column for column in columns if column]


def _grouped(indices: Iterable[int], key: Callable[[int], Hashable]) -> list[list[int]]:
    """Those with the same key together, in the order in which they come."""
    groups: dict[Hashable, list[int]] = {}
    for i in indices:
        groups.setdefault(key(i), []).append(i)
    return list(groups.values())


def _spread(columns: Sequence[Sequence[Place]], said: Sequence[Said], order: NDArray[np.intp]) -> list[int]:
    """Columns in the order in which they are held out: those of each kind in turn.

    Of what kind one is, the last class in it tells; the only one of a kind is needed for learning.
    """
    kinds = [max(_kind(place, said[place.said]) for place in column) for column in columns]
    groups = [[int(i) for i in order if kinds[i] == kind] for kind in sorted({*kinds}, reverse=True)]
    turns = sorted(
        (rank / len(group) if len(group) > 1 else 1.0, number, i)
        for number, group in enumerate(groups)
        for rank, i in enumerate(group)
    )
    return [i for _, _, i in turns]


def _kind(place: Place, said: Said) -> int:
    return int(said.targets[0][place.box][said.valid[place.box]].max(initial=0))


def _first(columns: Sequence[Sequence[Place]], order: Sequence[int], count: int, most: int) -> list[int]:
    """The first columns in `order` that hold about `count` places, and never more than `most`."""
    chosen: list[int] = []
    held = 0
    for i in order:
        size = len(columns[i])
        if held + size / 2 <= count and held + size <= most:
            chosen.append(i)
            held += size
    return chosen


def _boxes(valid: Mask) -> list[Box]:
    """A grid of boxes over what is valid, as far as they are full enough."""
    low, high = _SIDES[valid.ndim]
    side = int(np.clip((valid.sum() / _PLACES) ** (1 / valid.ndim), low, high))
    edges = []
    for along in extent(valid):
        parts = max(1, round((along.stop - along.start) / side))
        cuts = np.linspace(along.start, along.stop, parts + 1).round().astype(int)
        edges.append([slice(int(a), int(b)) for a, b in itertools.pairwise(cuts)])
    grid = np.stack(np.meshgrid(*(range(len(e)) for e in edges), indexing="ij"), -1).reshape(-1, valid.ndim)
    boxes = [tuple(e[i] for e, i in zip(edges, index, strict=True)) for index in grid]
    return [box for box in boxes if valid[box].mean() >= _FULL]


def held_out(index: int, said: Sequence[Said], places: Sequence[Place]) -> Mask:
    """What is held out of a picture, in whichever of its corrections and in whichever frame of its stack it was chosen.

    Parameters
    ----------
    index
        Which of `said`.
    said, places
        As for, and from, :func:`hold_out`.
    """
    one = said[index]
    mask = np.zeros(one.valid.shape, bool)
    for place in places:
        other = said[place.said]
        if one.stack == other.stack or one.picture == other.picture:
            mask[place.box] = True
    return mask
