"""Arrays of Zarr, decoded chunk by chunk as they are sliced; what is damaged is said in words."""

from __future__ import annotations

import contextlib
import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.errors import ImageFileError, UnetstyleError
from napari_unetstyle.core.imaging.lazy import LazyArray, as_slice

MARKS = ("zarr.json", ".zgroup", ".zarray", ".zattrs")
"""Files of which one is in the folder of each group and array."""
_LARGEST_CHUNK = 2**31
_COUNTED = 2**12  # chunks; to list more takes seconds
_BLOSC = ("Blosc", "BloscCodec")
_BLOSC_HEADER, _WIDEST = 16, 16  # bytes: at the beginning, and of a pixel, with what a codec before may add

# what zarr and its codecs raise on damaged metadata and chunks, besides their own errors
_DAMAGED: tuple[type[Exception], ...] = (
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
with contextlib.suppress(ImportError):  # not every Python is built with it
    from lzma import LZMAError

    _DAMAGED = (*_DAMAGED, LZMAError)


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
    """The array, in which chunks are known to be whole before the decoder of Blosc sees them: it reads past their end.

    Also those inside a shard, whose index alone has a checksum.
    """
    # not run apart, as decoders of pictures are: a slice may be hundreds of chunks, and past this check none crashed
    # in 300,000 damaged ones (docs/explanation/files.md)
    import zarr

    metadata, most = array.metadata, math.prod(array.chunks) * _WIDEST
    if metadata.zarr_format == 2:
        filters = [_guarded(codec, most) for codec in metadata.filters or ()]
        checked = replace(metadata, compressor=_guarded(metadata.compressor, most), filters=filters or None)
    else:
        checked = replace(metadata, codecs=_with_guards(metadata.codecs, most))
    return zarr.Array(zarr.AsyncArray(metadata=checked, store_path=array.store_path))


def _check_blosc(header: bytes, size: int, most: int) -> None:
    """Compare the size of a Blosc chunk with what its header says."""
    plain, stored = (int.from_bytes(header[i : i + 4], "little") for i in (4, 12))
    if len(header) < _BLOSC_HEADER or stored != size or plain > most:
        raise EOFError(f"a chunk has {size} bytes, which is not what its header says")


def _guarded(codec: Any, most: int) -> Any:
    """A codec of Zarr 2 that checks first, if it is Blosc."""
    import numcodecs

    class WholeBlosc(numcodecs.Blosc):  # type: ignore[misc]
        def decode(self, buf: Any, out: Any = None) -> Any:
            stored = memoryview(buf).cast("B")
            _check_blosc(bytes(stored[:_BLOSC_HEADER]), len(stored), most)
            return super().decode(buf, out)

    if not isinstance(codec, numcodecs.Blosc):
        return codec
    return WholeBlosc.from_config({key: value for key, value in codec.get_config().items() if key != "id"})


def _with_guards(codecs: Sequence[Any], most: int) -> tuple[Any, ...]:
    """Codecs of Zarr 3, in the order of writing, with one behind each Blosc that checks when it is read."""
    from zarr.abc.codec import BytesBytesCodec
    from zarr.codecs import ShardingCodec

    class BloscGuard(BytesBytesCodec):
        is_fixed_size = True

        async def _decode_single(self, chunk_bytes: Any, chunk_spec: Any) -> Any:
            _check_blosc(chunk_bytes[:_BLOSC_HEADER].to_bytes(), len(chunk_bytes), most)
            return chunk_bytes

        async def _encode_single(self, chunk_bytes: Any, chunk_spec: Any) -> Any:
            return chunk_bytes

        def compute_encoded_size(self, input_byte_length: int, chunk_spec: Any) -> int:
            return input_byte_length

    guarded: list[Any] = []
    for codec in codecs:
        is_sharded = isinstance(codec, ShardingCodec)
        guarded.append(replace(codec, codecs=_with_guards(codec.codecs, most)) if is_sharded else codec)
        if type(codec).__name__ in _BLOSC:
            guarded.append(BloscGuard())
    return tuple(guarded)
