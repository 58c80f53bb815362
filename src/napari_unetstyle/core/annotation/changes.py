"""Changes of a label array as stretches of equal value, small enough to be kept for every stroke."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.errors import JournalError

_FAST = 1  # zlib's level: these numbers are small and alike
_NUMBERS = 3  # to a stretch
_PIECE = 2**22  # elements that are compared at once


@dataclass(frozen=True, kw_only=True, eq=False)
class Changes:
    """New values of stretches of an array, by flat (C order) position.

    Attributes
    ----------
    start, length
        int64; stretches do not overlap and are sorted by `start`.
    value
        int64; of each stretch.
    """

    start: NDArray[np.int64]
    length: NDArray[np.int64]
    value: NDArray[np.int64]

    @classmethod
    def none(cls) -> Changes:
        """Nothing changes."""
        empty = np.zeros(0, np.int64)
        return cls(start=empty, length=empty, value=empty)

    @classmethod
    def between(cls, before: NDArray[Any], after: NDArray[Any], offset: int = 0) -> Changes:
        """What makes `after` of `before`; both begin at flat position `offset` of the whole array."""
        old, new = before.reshape(-1), after.reshape(-1)
        at = np.flatnonzero(old != new)
        values = new[at].astype(np.int64)
        begins = np.ones(len(at), bool)
        begins[1:] = (at[1:] != at[:-1] + 1) | (values[1:] != values[:-1])
        first = np.flatnonzero(begins)
        length = np.diff(first, append=len(at))
        return cls(start=at[first] + offset, length=length.astype(np.int64), value=values[first])

    @classmethod
    def of(cls, array: NDArray[Any]) -> Changes:
        """What makes `array` of zeros, piece by piece, so that nothing large is made."""
        return cls.joined([cls.between(np.zeros_like(part), part, at) for at, part in pieces(array)])

    @classmethod
    def joined(cls, parts: Sequence[Changes]) -> Changes:
        """Changes of parts of one array that do not overlap, in order."""
        if not parts:
            return cls.none()
        names = ("start", "length", "value")
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})

    @property
    def count(self) -> int:
        """Number of elements that change."""
        return int(self.length.sum())

    def positions(self) -> NDArray[np.int64]:
        """Flat positions of all elements that change."""
        ends = np.cumsum(self.length)
        within = np.arange(self.count) - np.repeat(ends - self.length, self.length)
        return np.repeat(self.start, self.length) + within

    def apply(self, array: NDArray[Any]) -> None:
        """Write the new values into a C-contiguous array.

        Raises
        ------
        JournalError
            If they do not fit into it.
        """
        if not len(self.start):
            return
        self.check(array)
        flat, ends = array.reshape(-1), np.cumsum(self.length)
        cuts = np.searchsorted(
            ends, np.arange(0, self.count, _PIECE), side="right"
        )  # a piece at a time, to save memory
        for first, stop in zip(cuts, [*cuts[1:], len(ends)], strict=True):
            part = Changes(start=self.start[first:stop], length=self.length[first:stop], value=self.value[first:stop])
            flat[part.positions()] = np.repeat(part.value, part.length).astype(array.dtype)

    def check(self, array: NDArray[Any]) -> None:
        """Raise a JournalError if they do not fit into an array."""
        if not len(self.start):
            return
        limits = np.iinfo(array.dtype) if array.dtype.kind in "iu" else np.iinfo(np.uint8)
        is_inside = self.start.min() >= 0 and (self.start + self.length).max() <= array.size
        if not is_inside or self.value.min() < limits.min or self.value.max() > limits.max:
            raise JournalError(
                f"Changes of {self.count} elements, values {self.value.min()} to {self.value.max()}, do not fit into "
                f"labels of shape {array.shape} and type {array.dtype}: they belong to other labels."
            )

    def to_bytes(self) -> bytes:
        """Compressed, little-endian on every machine."""
        gaps = np.diff(self.start, prepend=0)
        return zlib.compress(np.concatenate([gaps, self.length, self.value]).astype("<i8").tobytes(), _FAST)

    @classmethod
    def from_bytes(cls, data: bytes, size: int) -> Changes:
        """The inverse of :meth:`to_bytes`, for an array of `size` elements.

        Raises
        ------
        JournalError
            If `data` are none.
        """
        most = size * _NUMBERS * 8  # every element a stretch of its own
        try:
            decompressor = zlib.decompressobj()
            plain = decompressor.decompress(data, most + 1)
        except zlib.error as error:
            raise JournalError(f"Changes cannot be unpacked: {error}.") from error
        if not decompressor.eof or len(plain) % (8 * _NUMBERS):
            raise JournalError(f"Changes of {len(plain)} bytes are none of an array of {size} elements.")
        gaps, length, value = np.frombuffer(plain, "<i8").astype(np.int64).reshape(_NUMBERS, -1)
        start = np.cumsum(gaps)
        is_sorted = not len(start) or (start[0] >= 0 and bool(np.all(start[1:] >= start[:-1] + length[:-1])))
        if not is_sorted or np.any(length < 1) or (len(start) and start[-1] + length[-1] > size):
            raise JournalError(f"Changes do not lie within an array of {size} elements.")
        return cls(start=start, length=length, value=value)


def pieces(array: NDArray[Any]) -> Iterator[tuple[int, NDArray[Any]]]:
    """The array in parts along its first axis, each with the flat position it begins at."""
    step = max(1, _PIECE // max(1, math.prod(array.shape[1:])))
    plane = math.prod(array.shape[1:])
    for i in range(0, array.shape[0], step):
        yield i * plane, np.ascontiguousarray(array[i : i + step])
