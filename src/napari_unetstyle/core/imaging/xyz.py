"""Files tell axes and positions in the order X Y Z; here it is Z Y X. Only this module turns the one into the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

_T = TypeVar("_T")


def turned(values: Sequence[_T]) -> tuple[_T, ...]:
    """Lengths, letters or a position, ``XYZ`` to ``ZYX``, and back."""
    return tuple(values[::-1])


def turned_matrix(matrix: NDArray[Any]) -> NDArray[Any]:
    """Directions, one row per world axis and one column per array axis, both ``XYZ`` to ``ZYX``, and back."""
    return matrix[::-1, ::-1]


def turned_affine(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """A homogeneous matrix that maps an index to the world, both ``XYZ`` to ``ZYX``, and back."""
    dims = len(affine) - 1
    order = [*range(dims)[::-1], dims]
    return affine[order][:, order]
