"""Places that are held out of teaching: where it is checked whether the model got better."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
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
    """A box of one picture that is not learned from.

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

    Parameters
    ----------
    said
        What was said about each picture.
    rng
        Decides where.
    """
    candidates = _candidates(said)
    if len(candidates) < _LEAST:
        return list(said), []
    count = max(ENOUGH, round(_SHARE * len(candidates)))
    order = rng.permutation(len(candidates))
    places = [candidates[i] for i in sorted(_spread(candidates, said, order)[:count])]
    kept = [one.without(held_out(i, said, places)) for i, one in enumerate(said)]
    learned = [one for one in kept if one.valid.any()]
    return (learned, places) if learned else (list(said), [])


def _candidates(said: Sequence[Said]) -> list[Place]:
    """The places of each picture, each in the correction that says most about it, the last of several."""
    found = []
    pictures = [one.picture for one in said]
    for picture in dict.fromkeys(pictures):
        same = [i for i, name in enumerate(pictures) if name == picture]
        for box in _boxes(np.logical_or.reduce([said[i].valid for i in same])):
            share, index = max((float(said[i].valid[box].mean()), i) for i in same)
            if share >= _FULL:
                found.append(Place(index, box))
    return found


def _spread(candidates: Sequence[Place], said: Sequence[Said], order: NDArray[np.intp]) -> list[int]:
    """Candidates in the order in which they are held out: places of each kind in turn.

    Of what kind one is, the last class in it tells; the only place of a kind is needed for learning.
    """
    judged = (said[c.said].targets[0][c.box][said[c.said].valid[c.box]] for c in candidates)
    kinds = [int(classes.max(initial=0)) for classes in judged]
    groups = [[int(i) for i in order if kinds[i] == kind] for kind in sorted({*kinds}, reverse=True)]
    turns = sorted(
        (rank / len(group) if len(group) > 1 else 1.0, number, i)
        for number, group in enumerate(groups)
        for rank, i in enumerate(group)
    )
    return [i for _, _, i in turns]


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
    """What is held out of a picture, in whichever of its corrections it was chosen.

    Parameters
    ----------
    index
        Which of `said`.
    said, places
        As for, and from, :func:`hold_out`.
    """
    mask = np.zeros(said[index].valid.shape, bool)
    for place in places:
        if said[place.said].picture == said[index].picture:
            mask[place.box] = True
    return mask
