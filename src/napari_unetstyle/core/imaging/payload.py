"""The voxels of a volume file: known to be whole before anybody sees one of them; written piece by piece."""

from __future__ import annotations

import contextlib
import math
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core import scratch
from napari_unetstyle.core.errors import ImageFileError, UnetstyleError

LARGE = 2**27
IN_MEMORY = 2**29
_RATIO = 1032  # no more comes out of one byte of deflate (zlib's technical details)
_PIECE = 2**22
_SPARE = 2**12  # bytes after the voxels that say nothing against them, if they are no whole slice
_WBITS = {"gzip": 31, "zlib": 15}
_LEVEL = 3  # of labels: less than half the time of level 4, and a smaller file
GZIP = b"\x1f\x8b"


@dataclass(frozen=True, kw_only=True)
class Payload:
    """Where the voxels of a volume are.

    Attributes
    ----------
    path
        The file that holds them.
    offset
        Where they, or what they are compressed to, start in the file.
    encoding
        ``"raw"``, ``"gzip"`` or ``"zlib"``.
    skip
        Bytes before the first voxel after decompression (a header that was compressed, too).
    dtype, shape
        Of the array, last axis fastest; the byte order may be foreign.
    """

    path: Path
    offset: int
    encoding: str
    skip: int = 0
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes of all voxels."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def most(self) -> int:
        """Bytes that may be there: no slice more."""
        return self.size + min(_SPARE, self.size // self.shape[0] - 1)

    def read(self) -> NDArray[Any]:
        """The array; mapped if it is large and stored plainly, on disk if it is large and was compressed.

        Compressed data are read down to their end, so that their checksum is compared.

        Raises
        ------
        EOFError, ValueError, OSError, zlib.error
            If the file is shorter than it has to be (before anything of that size is allocated), holds far more, or
            is damaged; see
            :func:`damage_in_words`.
        """
        return self._plain() if self.encoding == "raw" else self._decoded()

    def _plain(self) -> NDArray[Any]:
        stored = self.path.stat().st_size - self.offset
        if stored < self.size:
            raise EOFError(f"{self.size} bytes of voxels are promised, but {max(stored, 0)} are there")
        if stored > self.most:
            raise ValueError(_more(stored, self.size))
        if self.size > LARGE:
            return np.memmap(self.path, self.dtype, "r", self.offset, self.shape)
        array = np.fromfile(self.path, self.dtype, math.prod(self.shape), offset=self.offset).reshape(self.shape)
        return array.astype(self.dtype.newbyteorder("="), copy=False)

    def _decoded(self) -> NDArray[Any]:
        stored = self.path.stat().st_size - self.offset
        if self.size + self.skip > _RATIO * stored:
            raise EOFError(f"{self.size} bytes of voxels are promised, which {stored} bytes cannot hold")
        array = scratch.zeros(self.shape, self.dtype, IN_MEMORY)
        with self.path.open("rb") as file:
            file.seek(self.offset)
            _fill(array.reshape(-1).view(np.uint8).data, decoded(file, self.encoding), self.skip, self.most)
        if array.dtype.isnative:
            return array
        return array.byteswap(inplace=True).view(array.dtype.newbyteorder("="))


def _fill(target: memoryview, pieces: Iterable[bytes], skip: int, most: int) -> None:
    position = -skip
    for piece in pieces:
        fresh = memoryview(piece)[max(0, -position) :]
        start, room = max(0, position), len(target) - max(0, position)
        target[start : start + len(fresh)] = fresh[: max(0, room)]
        position += len(piece)
        if position > most:
            raise ValueError(_more(position, len(target)))
    if position < len(target):
        raise EOFError(f"{len(target)} bytes of voxels are promised, but {max(position, 0)} are there")


def _more(there: int, promised: int) -> str:
    return f"it holds {there} bytes of voxels or more, but its header says {promised}"


def decoded(file: BinaryIO, encoding: str) -> Iterator[bytes]:
    """Pieces of a compressed stream from the file's position to the stream's end, a few MB at most each.

    Raises
    ------
    EOFError
        If the file ends before the stream.
    zlib.error
        If the stream is damaged, or its checksum or length is not that of what came out.
    """
    data = file.read(_PIECE)
    while data:
        machine = zlib.decompressobj(_WBITS[encoding])
        while not machine.eof:
            piece = machine.decompress(data, _PIECE)
            data = machine.unconsumed_tail or (b"" if machine.eof else file.read(_PIECE))
            if not piece and not data and not machine.eof:
                raise EOFError("it ends before its data do")
            yield piece
        data = (machine.unused_data or file.read(_PIECE)).lstrip(b"\0") if encoding == "gzip" else b""


def encoded(pieces: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """A compressed stream (``"gzip"`` or ``"zlib"``) of pieces; the same content gives the same bytes."""
    machine = zlib.compressobj(_LEVEL, wbits=_WBITS[encoding])
    for piece in pieces:
        yield machine.compress(piece)
    yield machine.flush()


def first_bytes(path: Path, count: int) -> bytes:
    """The first bytes of a file, decompressed if it is gzip.

    Raises
    ------
    ImageFileError
        If a gzip file is damaged there.
    """
    with path.open("rb") as file:
        start = file.read(2**16)
    if not start.startswith(GZIP):
        return start[:count]
    with damage_in_words(path):
        return zlib.decompressobj(_WBITS["gzip"]).decompress(start, count)


@contextlib.contextmanager
def damage_in_words(path: Path) -> Iterator[None]:
    """Turn what is raised on damaged volume files into one kind of error."""
    try:
        yield
    except UnetstyleError:
        raise
    except (ArithmeticError, EOFError, LookupError, MemoryError, OSError, ValueError, zlib.error) as error:
        if isinstance(error, FileNotFoundError):
            reason = f"its voxels should be in {error.filename}, which is not there"
        else:
            reason = str(error) or type(error).__name__
        raise ImageFileError(f"{path} is truncated or damaged: {reason}. Copy or export it again.") from error
