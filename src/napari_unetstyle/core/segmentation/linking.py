"""Objects of slices to objects of a volume."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.progress import Progress, Steps, run, share
from napari_unetstyle.core.segmentation.planes import seen
from napari_unetstyle.core.segmentation.postprocessing import bands, listed_rows
from napari_unetstyle.core.segmentation.runs import Runs

LEAST_OVERLAP = 0.25  # IoU

_Ids = NDArray[np.int64]


def iter_linked(
    values: NDArray[np.uint8],
    out: NDArray[np.int32],
    *,
    find: Callable[..., Steps[NDArray[np.uint8]]],
    plane: str = "YX",
    min_pixels: int = 0,
    first_id: int = 1,
) -> Steps[NDArray[np.uint8]]:
    """Find objects in each slice and give those of neighboring slices that overlap one id.

    Two objects of neighboring slices are one if each is the other's best partner and their intersection over union
    is at least 0.25 (stitching, Stringer et al. 2021).

    Parameters
    ----------
    values
        Probability bytes ``(C, Z, Y, X)``: background, classes, and the seed map last.
    out
        ``(Z, Y, X)``, filled with ids from `first_id` in raster order of each object's first voxel.
    find
        Finds the objects of one slice: :func:`~napari_unetstyle.core.segmentation.objects.iter_objects` with its
        thresholds.
    plane
        That the slices lie in.
    min_pixels
        Objects with fewer voxels become background.

    Returns
    -------
    NDArray[np.uint8]
        Class of each object: that of most of its voxels.
    """
    slices, labels = seen(values, plane), seen(out, plane)
    chain, sizes, owners = _Chain(), [], []
    count, total, before = 0, len(labels), None
    for i in range(total):
        kinds = run(find(slices[:, i], labels[i], first_id=count + 1))
        here = np.asarray(labels[i])
        chain.add(before, here, len(kinds))
        before = here
        sizes.append(np.bincount(np.maximum(here - count, 0).ravel(), minlength=1 + len(kinds))[1:])
        owners.append(kinds)
        count += len(kinds)
        yield Progress(i + 1, 2 * total, "Linking slices", (i + 1, total))
    size, kind = np.concatenate([[0], *sizes]), np.concatenate([np.zeros(1, np.uint8), *owners])
    group = np.array(chain.groups, np.int64)
    whole = np.bincount(group, size)
    group[whole[group] < max(min_pixels, 1)] = 0
    return (yield from share(_iter_renumber(out, group, size, kind, first_id), 0.5, 1.0))


class _Chain:
    """The group that each slice's objects belong to, slice after slice; index 0 is the background."""

    def __init__(self) -> None:
        self.groups: list[int] = [0]
        self._last = 0

    def add(self, before: NDArray[np.int32] | None, labels: NDArray[np.int32], count: int) -> None:
        """The next slice with `count` new ids; `before` is the slice before it."""
        first = len(self.groups)
        mates = {} if before is None else _mates(before, labels)
        for label in range(first, first + count):
            self._last += label not in mates
            self.groups.append(self.groups[mates[label]] if label in mates else self._last)


def _mates(before: NDArray[np.int32], labels: NDArray[np.int32]) -> dict[int, int]:
    """For the objects of a slice that have one, their partner in the slice before."""
    both = (before > 0) & (labels > 0)
    if not both.any():
        return {}
    pairs, shared = np.unique(np.stack([before[both], labels[both]]), axis=1, return_counts=True)
    sizes = [np.bincount(one.ravel())[ids] for one, ids in zip((before, labels), pairs, strict=True)]
    overlap = shared / (sizes[0] + sizes[1] - shared)
    best = [np.zeros(int(ids.max()) + 1) for ids in pairs]
    for most, ids in zip(best, pairs, strict=True):
        np.maximum.at(most, ids, overlap)
    mutual = (overlap >= LEAST_OVERLAP) & (overlap == best[0][pairs[0]]) & (overlap == best[1][pairs[1]])
    mates: dict[int, int] = {}
    taken: set[int] = set()
    for old, new in pairs[:, mutual].T.tolist():
        if new not in mates and old not in taken:  # a tie goes to the first
            mates[new] = old
            taken.add(old)
    return mates


def _iter_renumber(
    out: NDArray[np.int32], group: _Ids, size: NDArray[Any], kind: NDArray[np.uint8], first_id: int
) -> Steps[NDArray[np.uint8]]:
    """Write groups as ids in raster order; returns the class of each."""
    number = np.zeros(int(group.max(initial=0)) + 1, np.int32)
    last = first_id - 1
    for part, progress in bands(out.shape, listed_rows(out.shape), "Writing labels"):
        block = out[part]
        found = group[Runs.of(block).value]
        ids, position = np.unique(found, return_index=True)
        for one in ids[np.argsort(position)].tolist():
            if one and not number[one]:
                last += 1
                number[one] = last
        out[part] = number[group][block]
        yield progress
    votes = np.zeros((last - first_id + 1, int(kind.max(initial=0)) + 1), np.int64)
    kept = group > 0
    np.add.at(votes, (number[group[kept]] - first_id, kind[kept]), size[kept])
    owners: NDArray[np.uint8] = votes.argmax(axis=1).astype(np.uint8)
    return owners
