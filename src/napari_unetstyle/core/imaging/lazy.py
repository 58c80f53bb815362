"""Arrays that are decoded where they are sliced."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray


class LazyArray(ABC):
    """Slicing gives numpy arrays; whoever asks for all of it reads all of it.

    Attributes
    ----------
    shape
        Length of each axis.
    dtype
        Type of the values.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @abstractmethod
    def __getitem__(self, key: Any) -> NDArray[Any]: ...

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[(slice(None),) * self.ndim], dtype)


def completed(key: Any, ndim: int) -> tuple[Any, ...]:
    """A key with one slice or integer for each axis; axes that are not named are taken whole.

    Raises
    ------
    IndexError
        If it has anything else in it, or too many.
    """
    given = key if isinstance(key, tuple) else (key,)
    given = (*given, *[slice(None)] * (ndim - len(given)))
    if len(given) > ndim or not all(isinstance(k, (slice, int, np.integer)) for k in given):
        raise IndexError(f"index with integers and slices, one for each of {ndim} axes; got {key!r}")
    return given


def indices(key: slice | int, length: int) -> range:
    """The indices of an axis that a slice or an integer takes."""
    index = range(length)[key]
    return index if isinstance(index, range) else range(index, index + 1)
