"""What a taught model remembers of the pictures that it was taught with: small crops, for its next teaching."""

from __future__ import annotations

import itertools
from collections.abc import Container, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.annotation.known import UNKNOWN
from napari_unetstyle.core.models.memory import Memory, Role
from napari_unetstyle.core.models.spec import ModelSpec
from napari_unetstyle.core.segmentation.options import SegmentOptions
from napari_unetstyle.core.training.lessons import Said, lesson, sized
from napari_unetstyle.core.training.patches import Example
from napari_unetstyle.core.training.places import Place, held_out

SIDES = {2: 384, 3: 96}
"""Longest side of a crop in pixels of the model, by dimensions."""

_TO_LEARN = 3  # crops of a picture
_LEAST = 64  # pixels that a crop says something about


def own_memories(
    said: Sequence[Said],
    learned: Sequence[Said],
    lessons: Sequence[Example],
    places: Sequence[Place],
    spec: ModelSpec,
    options: SegmentOptions,
    clear: Container[str] = frozenset(),
) -> list[Memory]:
    """Crops of what was learned from, and of the places that were held out, to check with.

    Parameters
    ----------
    said, places
        As they were split by ``hold_out``: everything, and the places in it that were not learned from.
    learned, lessons
        What was learned from, and the same as the model sees it.
    spec
        The model.
    options
        How the pictures are segmented.
    clear
        Names of the pictures that are clear to the model.

    Returns
    -------
    list of Memory
        At most three crops to learn from and one to check with for each picture. What a person said nothing about
        is unknown in them.
    """
    found: list[Memory] = []
    for one, example in zip(learned, lessons, strict=True):
        found += _crops(example, one.picture, "learn", _TO_LEARN)
    for index in sorted({place.said for place in places}):
        only = replace(said[index], valid=held_out(index, said, places) & said[index].valid)
        if only.valid.any():
            whole = sized(options, said[index], spec)  # the box of a place cuts through objects
            found += _crops(lesson(only, spec, whole, clear), only.picture, "check", 1)
    return found


def _crops(example: Example, picture: str, role: Role, count: int) -> list[Memory]:
    """The tiles of a picture that most is said about."""
    shape = example.image.shape[1:]
    valid = np.ones(shape, bool) if example.valid is None else example.valid
    side = SIDES[len(shape)]
    edges = (np.linspace(0, n, -(-n // side) + 1).round().astype(int) for n in shape)
    tiles = list(itertools.product(*([slice(int(a), int(b)) for a, b in itertools.pairwise(e)] for e in edges)))
    tiles.sort(key=lambda tile: -int(valid[tile].sum()))
    return [_crop(example, valid, tile, picture, role) for tile in tiles[:count] if valid[tile].sum() >= _LEAST]


def _crop(example: Example, valid: NDArray[np.bool_], tile: tuple[slice, ...], picture: str, role: Role) -> Memory:
    key: Any = (slice(None), *tile)
    targets = np.where(valid[tile], example.labels[key], UNKNOWN).astype(np.int32)
    return Memory(_as_integers(example.image[key]), targets, role, picture)


def _as_integers(image: NDArray[np.float32]) -> NDArray[Any]:
    """As 8 bit if that loses nothing, else 16."""
    in_bytes = np.rint(image * 255)
    if np.allclose(in_bytes, image * 255, atol=1e-3):
        return in_bytes.astype(np.uint8)
    return np.rint(np.clip(image, 0, 1) * 65535).astype(np.uint16)
