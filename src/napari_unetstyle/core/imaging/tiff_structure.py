"""What a TIFF file promises about itself, checked against its size before a pixel is read.

Decoders tend to fill what is missing with zeros. Here every image directory is walked, and each block of
pixels that it promises has to lie inside the file and to be as large as its dimensions say.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.errors import ImageFileError

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_INTEGERS = {1: "u1", 3: "u2", 4: "u4", 13: "u4", 16: "u8", 18: "u8"}
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _DESCRIPTION, _SAMPLES = 256, 257, 258, 259, 270, 277
_OFFSETS, _COUNTS = (273, 324), (279, 325)
_ROWS, _PLANAR, _TILE_WIDTH, _TILE_HEIGHT = 278, 284, 322, 323
_NEEDED = {
    *(_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _DESCRIPTION, _SAMPLES, _ROWS, _PLANAR, _TILE_WIDTH, _TILE_HEIGHT),
    *_OFFSETS,
    *_COUNTS,
}
_BASIC = {_WIDTH: 0, _HEIGHT: 0, _BITS: 1, _SAMPLES: 1}  # and their values where they are not stated
_UNCOMPRESSED, _SEPARATE = 1, 2
_WIDE, _LONG = ".ndpi", 4
# none, CCITT, LZW, JPEG, deflate, PackBits, JPEG 2000, LERC, LZMA, WebP, zstd; a flipped bit can name a stranger one
_COMPRESSIONS = {1, 2, 3, 4, 5, 7, 8, 32773, 32946, 33003, 33005, 34712, 34887, 34925, 34926, 34927, 50000, 50001}
_HIGHEST_RATIO = 2**16  # a constant block in zstd has 2**15
_MOST_DIRECTORIES = 2**22
_CLASSIC_LIMIT = 2**32

Tags = dict[int, NDArray[np.unsignedinteger]]


@dataclass(frozen=True)
class _Layout:
    """How numbers are stored: byte order, and the widths that classic and BigTIFF differ in."""

    order: str
    count_format: str
    entry_format: str
    offset_format: str
    is_wide: bool = False  # Hamamatsu's: classic, but positions of eight bytes, the upper four behind each directory

    @property
    def inline(self) -> int:
        """Bytes of a value that is stored in the entry itself."""
        return 4 if self.is_wide else struct.calcsize(self.offset_format)


def check_structure(path: Path) -> int:
    """Walk all image directories of a TIFF file and return their number.

    Raises
    ------
    ImageFileError
        If a directory, or pixels that it promises, lie beyond the end of the file or do not add up.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        layout, offset = _header(file, path)
        classic_and_huge = layout.offset_format == "I" and size > _CLASSIC_LIMIT  # its offsets wrap around
        try:
            return sum(1 for tags in _directories(file, layout, offset, size) if classic_and_huge or _whole(tags, size))
        except (struct.error, EOFError, OverflowError) as error:
            raise ImageFileError(
                f"{path} is truncated or damaged: {error or 'it ends too early'}. Copy or export it again."
            ) from error


def _header(file: BinaryIO, path: Path) -> tuple[_Layout, int]:
    start = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(start[:2], "")
    if start[:4] == b"II*\0" and len(start) >= 12 and path.suffix.lower() == _WIDE:
        return _Layout("<", "H", "HHI", "Q", is_wide=True), struct.unpack("<Q", start[4:12])[0]
    if order and len(start) >= 8 and struct.unpack(f"{order}H", start[2:4])[0] == 42:
        return _Layout(order, "H", "HHI", "I"), struct.unpack(f"{order}I", start[4:8])[0]
    if order and len(start) == 16 and struct.unpack(f"{order}HHH", start[2:8]) == (43, 8, 0):
        return _Layout(order, "Q", "HHQ", "Q"), struct.unpack(f"{order}Q", start[8:16])[0]
    raise ImageFileError(f"{path} is truncated or damaged: it has no complete TIFF header. Copy or export it again.")


def _directories(file: BinaryIO, layout: _Layout, offset: int, size: int) -> Iterator[Tags]:
    seen: set[int] = set()
    while offset:
        if offset in seen or len(seen) > _MOST_DIRECTORIES:
            raise EOFError("its image directories run in a circle")
        seen.add(offset)
        if offset >= size:
            raise EOFError(f"an image directory lies beyond its end ({size} bytes)")
        file.seek(offset)
        (count,) = _read(file, layout.order + layout.count_format)
        entry = struct.Struct(f"{layout.order}{layout.entry_format}{layout.inline}s")
        table = _exactly(file, min(count, 2**16) * entry.size)
        (offset,) = _read(file, layout.order + layout.offset_format)
        entries = list(entry.iter_unpack(table))
        if layout.is_wide:
            upper = _exactly(file, 4 * len(entries))
            entries = [(*rest, data + upper[4 * i : 4 * i + 4]) for i, (*rest, data) in enumerate(entries)]
        yield {
            code: value
            for code, kind, length, data in entries
            if code in _NEEDED and (value := _value(file, layout, kind, length, data, size)) is not None
        }


def _value(
    file: BinaryIO, layout: _Layout, kind: int, length: int, data: bytes, size: int
) -> NDArray[np.unsignedinteger] | None:
    """An integer value, or None for text; either has to lie inside the file."""
    if kind not in _SIZES:
        raise EOFError(f"a value has the unknown type {kind}")
    total = _SIZES[kind] * length
    if total > layout.inline:
        (offset,) = struct.unpack(layout.order + layout.offset_format, data)
        if offset + total > size:
            raise EOFError(f"a value lies beyond its end ({offset + total} of {size} bytes)")
        if kind in _INTEGERS:
            file.seek(offset)
            data = _exactly(file, total)
    elif layout.is_wide and length == 1 and kind == _LONG:
        return np.frombuffer(data, "<u8")  # a position or a length beyond four bytes
    return np.frombuffer(data[:total], layout.order + _INTEGERS[kind]) if kind in _INTEGERS else None


def _whole(tags: Tags, size: int) -> bool:
    offsets = next((tags[code] for code in _OFFSETS if code in tags), None)
    counts = next((tags[code] for code in _COUNTS if code in tags), None)
    if offsets is None or counts is None or len(offsets) != len(counts):
        raise EOFError("an image directory does not say where its pixels are")
    ends = offsets.astype(np.float64) + counts  # float: a sum of damaged numbers may exceed 64 bits
    if (ends[counts > 0] > size).any():
        raise EOFError(f"pixels are promised up to byte {ends.max():.0f}, but it has {size}")
    stored = counts.astype(np.float64)
    blocks, block = _blocks(tags)
    if len(counts) < blocks:
        raise EOFError(f"{blocks} blocks of pixels are promised, but {len(counts)} are listed")
    compression = _number(tags, _COMPRESSION, _UNCOMPRESSED)
    if compression not in _COMPRESSIONS:
        raise EOFError(f"its compression ({compression}) is not known")
    if compression == _UNCOMPRESSED:
        bits = math.prod(_number(tags, code, default) for code, default in _BASIC.items())
        if 8 * stored.sum() < bits:
            raise EOFError(f"{bits // 8} bytes of pixels are promised, but {stored.sum():.0f} are stored")
    elif block > _HIGHEST_RATIO * stored.max():
        raise EOFError(f"a block of {block} bytes cannot come out of {stored.max():.0f}")
    return True


def _blocks(tags: Tags) -> tuple[int, int]:
    """How many tiles or strips the dimensions ask for, and the bytes of each."""
    width, height, bits, samples = (_number(tags, code, default) for code, default in _BASIC.items())
    across, down = _number(tags, _TILE_WIDTH, width), _number(tags, _TILE_HEIGHT, _number(tags, _ROWS, height))
    if min(width, height, across, down) < 1:
        raise EOFError("an image directory has no dimensions")
    planes, mixed = (samples, 1) if _number(tags, _PLANAR, 1) == _SEPARATE else (1, samples)
    count = planes * math.ceil(width / across) * math.ceil(height / down)
    return count, across * min(down, height) * mixed * bits // 8


def _number(tags: Tags, code: int, default: int) -> int:
    value = tags.get(code)
    return int(value[0]) if value is not None and len(value) else default


def _read(file: BinaryIO, layout: str) -> tuple[int, ...]:
    return struct.unpack(layout, _exactly(file, struct.calcsize(layout)))


def _exactly(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise EOFError("it ends too early")
    return data
