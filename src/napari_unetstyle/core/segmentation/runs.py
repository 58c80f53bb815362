"""Regions as runs: stretches of equal value along the last axis.

A picture of 16384 x 16384 pixels with 100,000 nuclei is some three million runs, so connected components, sizes
and ids of a picture that does not fit into memory are found as if it did. Positions are flat (C order) indices
into the whole array; runs lie in raster order and never cross the end of a line.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Runs:
    """Stretches ``start <= position < stop`` of one value each, sorted by `start`; background is left out.

    Attributes
    ----------
    start, stop
        Flat positions, int64.
    value
        Label of each run, not 0.
    """

    start: Positions
    stop: Positions
    value: NDArray[Any]

    @classmethod
    def of(cls, block: NDArray[Any], first_row: int = 0) -> Runs:
        """The runs of `block`, rows `first_row` and following of the whole array."""
        lines = np.ascontiguousarray(block).reshape(-1, block.shape[-1])
        begins = np.ones(lines.shape, bool)
        np.not_equal(lines[:, 1:], lines[:, :-1], out=begins[:, 1:])
        start = np.flatnonzero(begins)
        value = lines.reshape(-1)[start]
        stop = np.append(start[1:], lines.size)
        kept = np.flatnonzero(value)
        offset = first_row * math.prod(block.shape[1:])
        return cls(start=start[kept] + offset, stop=stop[kept] + offset, value=value[kept])

    @classmethod
    def joined(cls, parts: list[Runs]) -> Runs:
        """Parts of one array put together again."""
        start = np.concatenate([part.start for part in parts])
        stop = np.concatenate([part.stop for part in parts])
        value = np.concatenate([part.value for part in parts])
        if len(start) and np.any(start[1:] < start[:-1]):
            order = np.argsort(start, kind="stable")
            start, stop, value = start[order], stop[order], value[order]
        return cls(start=start, stop=stop, value=value)

    def __len__(self) -> int:
        return len(self.start)

    @property
    def length(self) -> Positions:
        """Pixels of each run."""
        return self.stop - self.start

    def __getitem__(self, chosen: NDArray[Any] | slice) -> Runs:
        return Runs(start=self.start[chosen], stop=self.stop[chosen], value=self.value[chosen])

    def valued(self, value: NDArray[Any]) -> Runs:
        """The same stretches with other values; those that are 0 are left out."""
        return Runs(start=self.start, stop=self.stop, value=value)[np.flatnonzero(value)]

    def merged(self, line: int) -> Runs:
        """Runs that follow each other without a gap on a line (of `line` pixels) as one, with the first's value."""
        joins = (self.start[1:] == self.stop[:-1]) & (self.start[1:] % line != 0)
        first = np.flatnonzero(np.append(True, ~joins)[: len(self)])
        last = np.append(first[1:], len(self))[: len(first)] - 1
        return Runs(start=self.start[first], stop=self.stop[last], value=self.value[first])

    def within(self, start: int, stop: int) -> slice:
        """The runs that begin in a range of positions."""
        return slice(*np.searchsorted(self.start, (start, stop)))

    def positions(self) -> Positions:
        """Flat position of every pixel."""
        return spread(self.start, self.length)

    def paint(self, first_row: int, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """Rows `first_row` and following as a dense array of `shape`; 0 where there is no run."""
        plane = math.prod(shape[1:])
        offset, size = first_row * plane, shape[0] * plane
        here = self[self.within(offset, offset + size)]
        lengths = np.diff(np.stack([here.start, here.stop], axis=1).reshape(-1), prepend=offset, append=offset + size)
        values = np.zeros(len(lengths), dtype)
        values[1::2] = here.value
        return np.repeat(values, lengths).reshape(shape)


def spread(start: Positions, length: Positions) -> Positions:
    """``start[0], start[0] + 1, …`` (`length[0]` numbers), then the same for the next, all in one array."""
    ends = np.cumsum(length)
    total = int(ends[-1]) if len(ends) else 0
    pixels: Positions = np.arange(total)
    pixels += np.repeat(start - (ends - length), length)
    return pixels


def components(runs: Runs, shape: tuple[int, ...]) -> NDArray[np.int32]:
    """Number each run's connected component, from 0.

    Pixels are connected if they have the same value and share a face (4 neighbors in 2D, 6 in 3D); this is how
    the watershed floods, too.

    Parameters
    ----------
    runs
        Of an array of `shape`.
    shape
        Of the whole array, any number of axes.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    pairs, stride = [np.zeros((2, 0), np.int64)], shape[-1]
    for size in shape[-2::-1]:
        pairs.append(_touching(runs, stride, size))
        stride *= size
    one, other = np.concatenate(pairs, axis=1)
    graph = coo_array((np.ones(len(one), np.int8), (one, other)), shape=(len(runs), len(runs)))
    if not len(runs):
        return np.zeros(0, np.int32)
    component: NDArray[np.int32] = connected_components(graph, directed=False)[1]
    return component


def _touching(runs: Runs, stride: int, size: int) -> Positions:
    """Pairs ``(2, n)`` of runs of equal value that lie side by side along an axis of `stride` and `size`."""
    one = np.flatnonzero(runs.start // stride % size < size - 1)
    first = np.searchsorted(runs.stop, runs.start[one] + stride, side="right")
    last = np.searchsorted(runs.start, runs.stop[one] + stride, side="left")
    count = np.maximum(last - first, 0)
    pairs = np.stack([np.repeat(one, count), spread(first, count)])
    alike: Positions = pairs[:, runs.value[pairs[0]] == runs.value[pairs[1]]]
    return alike
