"""Arrays in mirrors and turned by right angles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray


@dataclass(frozen=True)
class RightTurn:
    """The last axes in another order, then some of them mirrored: `order` and `mirrored` count them from 0."""

    order: tuple[int, ...]
    mirrored: tuple[int, ...]

    def __call__(self, array: NDArray[Any]) -> NDArray[Any]:
        lead = array.ndim - len(self.order)
        turned = array.transpose(*range(lead), *(lead + axis for axis in self.order))
        return np.flip(turned, [lead + axis for axis in self.mirrored])


def right_turns(dims: int) -> st.SearchStrategy[RightTurn]:
    """Every way to mirror and turn so many dimensions onto themselves: 8 of two, 48 of three."""
    axes = st.sets(st.integers(0, dims - 1))
    return st.builds(RightTurn, st.permutations(range(dims)).map(tuple), axes.map(sorted).map(tuple))


def number_pairs(one: NDArray[Any], other: NDArray[Any]) -> set[tuple[int, int]]:
    """Pairs of numbers that lie on each other."""
    return set(zip(one.ravel().tolist(), other.ravel().tolist(), strict=True))
