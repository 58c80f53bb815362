"""Arrays of Zarr, decoded chunk by chunk as they are sliced; what is damaged is said in words."""

from __future__ import annotations

import contextlib
import math
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.errors import ImageFileError, UnetstyleError
from napari_unetstyle.core.imaging.lazy import LazyArray, as_slice

MARKS = ("zarr.json", ".zgroup", ".zarray", ".zattrs")
"""Files of which one is in the folder of each group and array."""
_METADATA = (*MARKS, ".zmetadata")
_LARGEST_CHUNK = 2**31
_COUNTED = 2**12  # chunks; to list more takes seconds
_BLOSC = ("Blosc", "BloscCodec")
_BLOSC_HEADER, _WIDEST = 16, 8

# what zarr and its codecs raise on damaged metadata and chunks, besides their own errors
_DAMAGED = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    zlib.error,
)


class StoredLevel(LazyArray):
    """One level of a picture, whose chunks are decoded when they are sliced.

    A chunk that is not stored holds the fill value, as the specification of Zarr has it.

    Parameters
    ----------
    array
        A zarr array.
    where
        What messages call it.
    """

    def __init__(self, array: Any, where: str) -> None:
        self._array, self._where = _checked(array), where
        self.shape: tuple[int, ...] = tuple(array.shape)
        self.dtype: np.dtype[Any] = np.dtype(array.dtype)
        self.chunks: tuple[int, ...] = tuple(array.chunks)
        self.chunk_count = int(array.nchunks)
        size = math.prod(self.chunks) * self.dtype.itemsize
        if size > _LARGEST_CHUNK:
            raise ImageFileError(
                f"{where} has chunks of {size / 2**30:.1f} GB, which cannot be read piece by piece. "
                "Save it with smaller chunks."
            )

    def missing(self) -> int:
        """How many chunks are not stored; 0 for an array of so many that they are not counted."""
        if self.chunk_count > _COUNTED:
            return 0
        with damage_in_words(self._where):
            return int(self.chunk_count - self._array.nchunks_initialized)

    def _read(self, ranges: Sequence[range]) -> NDArray[Any]:
        with damage_in_words(self._where):
            return np.asarray(self._array[tuple(map(as_slice, ranges))])


@contextlib.contextmanager
def damage_in_words(where: str) -> Iterator[None]:
    """Turn what zarr raises on damaged pictures into one kind of error."""
    try:
        yield
    except (UnetstyleError, IndexError):  # an index outside the array is the caller's
        raise
    except _DAMAGED as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ImageFileError(
            f"{where} is incomplete, damaged or not OME-Zarr as it can be read: {reason}. Copy or export it again."
        ) from error


def _checked(array: Any) -> Any:
    """The array, whose chunks are known to be whole before the decoder of Blosc sees them: it reads past their end."""
    # not run apart, as decoders of pictures are: small C code that its makers fuzz, bounded by the size of a chunk
    import zarr

    last = type(array.compressors[-1]).__name__ if array.compressors else ""
    if last not in _BLOSC or array.shards is not None:  # the index of shards has a checksum
        return array
    return zarr.open_array(_whole_chunks(array.store, math.prod(array.chunks)), path=array.path, mode="r")


def _whole_chunks(store: Any, pixels: int) -> Any:
    """The store, which compares the length of each Blosc chunk with what its header says."""
    from zarr.storage import WrapperStore

    class WholeChunks(WrapperStore[Any]):
        async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
            got = await super().get(key, prototype, byte_range)
            if got is not None and key.rpartition("/")[2] not in _METADATA:
                header = got[:_BLOSC_HEADER].to_bytes()
                plain, stored = (int.from_bytes(header[i : i + 4], "little") for i in (4, 12))
                if len(header) < _BLOSC_HEADER or stored != len(got) or plain > pixels * _WIDEST:
                    raise EOFError(f"chunk {key!r} has {len(got)} bytes, which is not what its header says")
            return got

        def _with_store(self, other: Any) -> Any:
            return _whole_chunks(other, pixels)

    return WholeChunks(store)
