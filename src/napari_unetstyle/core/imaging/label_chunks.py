"""Labels that lie in the chunks of a zarr array while they are made, band by band: on disk there is no raw copy."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core import scratch

_HELD = 2**25  # bytes of one row of chunks in memory; more of it lie in a temporary file

Box = tuple[slice, ...]
Guard = Callable[[], AbstractContextManager[object]]


def blocks(shape: Sequence[int], chunks: Sequence[int]) -> Iterator[Box]:
    """The chunks of an array, in order."""
    starts = [range(0, n, c) for n, c in zip(shape, chunks, strict=True)]
    for corner in itertools.product(*starts):
        yield tuple(slice(a, min(a + c, n)) for a, c, n in zip(corner, chunks, shape, strict=True))


class LabelChunks:
    """What the deciding of labels needs of an array: frames, and boxes that are read and written.

    One row of chunks is held (those of the same frame that begin in the same rows), and packed when another is asked
    for; so it is fast in bands of rows, in order.

    Parameters
    ----------
    stored
        A zarr array of unsigned integers.
    dtype
        Of the values that are given and taken, which are not negative; of as many bytes as those that are stored.
    guard
        Around what is written.
    """

    def __init__(self, stored: Any, dtype: np.dtype[Any], guard: Guard = nullcontext) -> None:
        self._held = _HeldRow(stored, dtype, guard)
        self._see(())

    def _see(self, index: tuple[int, ...]) -> None:
        self._index: tuple[int, ...] = index
        stored, self.dtype = self._held.stored, self._held.row.dtype
        self.shape, self.chunks = tuple(stored.shape[len(index) :]), tuple(stored.chunks[len(index) :])
        self.ndim, self.size = len(self.shape), math.prod(self.shape)

    @property
    def _map(self) -> Any:
        """For :func:`scratch.release`."""
        return getattr(self._held.row, "_map", None)

    def __len__(self) -> int:
        return int(self.shape[0])

    def __array__(self, dtype: Any = None, **_: Any) -> NDArray[Any]:
        return np.asarray(self[:], dtype)

    def __getitem__(self, key: Any) -> Any:
        """A frame where only whole numbers are given, else a copy of a box."""
        given = key if isinstance(key, tuple) else (key,)
        if all(isinstance(i, (int, np.integer)) for i in given):
            frame = copy(self)
            frame._see((*self._index, *map(int, given)))
            return frame
        box = self._box(given)
        out = np.empty([s.stop - s.start for s in box], self.dtype)
        for held, part in self._held.parts(box):
            out[part] = held
        return out.reshape(out.shape[len(self._index) :])

    def __setitem__(self, key: Any, value: Any) -> None:
        box = self._box(key if isinstance(key, tuple) else (key,))
        values = np.broadcast_to(value, [s.stop - s.start for s in box])
        for held, part in self._held.parts(box):
            held[...] = values[part]
            self._held.is_changed = True

    def flushed(self) -> Any:
        """The zarr array, with everything that was written."""
        self._held.flush()
        return self._held.stored

    def _box(self, key: tuple[Any, ...]) -> Box:
        """Slices (of step 1) of the leading axes, as slices of all axes of the whole."""
        slices = (*key, *(slice(None),) * (self.ndim - len(key)))
        inside = (slice(*s.indices(n)[:2]) for s, n in zip(slices, self.shape, strict=True))
        return (*(slice(i, i + 1) for i in self._index), *inside)


class _HeldRow:
    """The row of chunks that is held."""

    def __init__(self, stored: Any, dtype: np.dtype[Any], guard: Guard) -> None:
        self._guard = guard
        self.stored, self.shape, self.chunks = stored, tuple(stored.shape), tuple(stored.chunks)
        self._axis = next((i for i, c in enumerate(self.chunks) if c > 1), len(self.shape) - 1)
        rows = (*(1,) * self._axis, self.chunks[self._axis], *self.shape[self._axis + 1 :])
        self.row = scratch.zeros(rows, dtype, _HELD)
        self.is_changed = False
        self._place: tuple[int, ...] | None = None

    def flush(self) -> None:
        """Pack what is held."""
        if self.is_changed and self._place is not None:
            with self._guard():
                for inner, outer in self._chunks(self._place):
                    self.stored[outer] = np.asarray(self.row[inner]).view(self.stored.dtype)
        self.is_changed = False

    def parts(self, box: Box) -> Iterator[tuple[NDArray[Any], Box]]:
        """The parts of a box in each row of chunks, and where in the box they lie."""
        rows, height = box[self._axis], self.chunks[self._axis]
        leading = [range(s.start, s.stop) for s in box[: self._axis]]
        for *index, row in itertools.product(*leading, range(rows.start // height, math.ceil(rows.stop / height))):
            self._hold((*index, row))
            start, stop = max(rows.start, row * height), min(rows.stop, (row + 1) * height)
            held = (*(slice(0, 1),) * self._axis, slice(start - row * height, stop - row * height))
            first = [i - s.start for i, s in zip(index, box, strict=False)]
            part = (*(slice(i, i + 1) for i in first), slice(start - rows.start, stop - rows.start))
            yield self.row[(*held, *box[self._axis + 1 :])], part

    def _hold(self, place: tuple[int, ...]) -> None:
        if place == self._place:
            return
        self.flush()
        self._place = None  # until all of it is there
        for inner, outer in self._chunks(place):
            self.row[inner] = self.stored[outer]
        self._place = place
        scratch.release(self.row)

    def _chunks(self, place: tuple[int, ...]) -> Iterator[tuple[Box, Box]]:
        """The chunks of a row of them: where they lie in it, and in the whole."""
        *index, row = place
        height = self.chunks[self._axis]
        start, stop = row * height, min((row + 1) * height, self.shape[self._axis])
        leading = tuple(slice(i, i + 1) for i in index)
        for block in blocks((stop - start, *self.shape[self._axis + 1 :]), self.chunks[self._axis :]):
            inner = (*(slice(0, 1),) * self._axis, *block)
            yield inner, (*leading, slice(start + block[0].start, start + block[0].stop), *block[1:])
