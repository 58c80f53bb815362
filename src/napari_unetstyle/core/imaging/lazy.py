"""Arrays that are decoded where they are sliced."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
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

    def __getitem__(self, key: Any) -> NDArray[Any]:
        given = completed(key, self.ndim)
        ranges = [indices(k, n) for k, n in zip(given, self.shape, strict=True)]
        rising = [wanted if wanted.step > 0 else wanted[::-1] for wanted in ranges]
        read = self._read(rising) if all(map(len, ranges)) else np.empty([*map(len, ranges)], self.dtype)
        turned = read[tuple(slice(None, None, 1 if wanted.step > 0 else -1) for wanted in ranges)]
        return turned[tuple(slice(None) if isinstance(k, slice) else 0 for k in given)]

    @abstractmethod
    def _read(self, ranges: Sequence[range]) -> NDArray[Any]:
        """The values at rising indices, a range for each axis; none is empty."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[...], dtype)


class _Reversed(LazyArray):
    """An array with some axes the other way round."""

    def __init__(self, array: Any, axes: Sequence[int]) -> None:
        self._array, self._axes = array, frozenset(axes)
        self.shape, self.dtype = tuple(array.shape), np.dtype(array.dtype)

    def _read(self, ranges: Sequence[range]) -> NDArray[Any]:
        key = tuple(
            slice(n - 1 - wanted[-1], n - wanted[0], wanted.step) if axis in self._axes else as_slice(wanted)
            for axis, (wanted, n) in enumerate(zip(ranges, self.shape, strict=True))
        )
        return np.flip(np.asarray(self._array[key]), tuple(self._axes))


def reversed_along(array: Any, axes: Sequence[int]) -> Any:
    """An array ``(...)`` with some of its axes the other way round; nothing of it is read."""
    if not axes:
        return array
    return np.flip(array, tuple(axes)) if isinstance(array, np.ndarray) else _Reversed(array, axes)


def completed(key: Any, ndim: int) -> tuple[Any, ...]:
    """A key with one slice or integer for each axis; axes that are not named, or by ``...``, are taken whole.

    Raises
    ------
    IndexError
        If it has anything else in it, or too many.
    """
    given = list(key) if isinstance(key, tuple) else [key]
    rest = [i for i, k in enumerate(given) if k is Ellipsis] or [len(given)]
    given[rest[0] : rest[0] + 1] = [slice(None)] * (ndim - len(given) + (rest[0] < len(given)))
    are_plain = all(isinstance(k, (slice, int, np.integer)) and not isinstance(k, bool) for k in given)
    if len(given) != ndim or len(rest) > 1 or not are_plain:
        raise IndexError(f"index with integers, slices and one ..., at most one for each of {ndim} axes; got {key!r}")
    return tuple(given)


def indices(key: slice | int, length: int) -> range:
    """The indices of an axis that a slice or an integer takes."""
    index = range(length)[key]
    return index if isinstance(index, range) else range(index, index + 1)


def as_slice(wanted: range) -> slice:
    """The slice that takes rising indices."""
    return slice(wanted.start, wanted.stop, wanted.step)
