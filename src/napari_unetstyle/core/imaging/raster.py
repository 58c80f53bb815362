"""PNG and JPEG pictures: checked to be whole, then decoded."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.errors import ImageError, ImageFileError
from napari_unetstyle.core.imaging import geometry as geo
from napari_unetstyle.core.imaging.codec import decode
from napari_unetstyle.core.imaging.image import Image

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_DEFLATE_RATIO = 1032  # no more than this comes out of one byte (zlib's technical details)
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_LARGEST_PIXEL = 8  # bytes: four colors of 16 bits
_STANDALONE = {0x01, *range(0xD0, 0xD9)}
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}


def read_raster(path: Path, axes: str | None = None) -> Image:
    """Read a PNG or JPEG picture, 8 or 16 bits, gray or color; a PNG with a table of colors becomes RGB.

    Raises
    ------
    ImageFileError
        If the file is truncated or damaged.
    ImageError
        If its colors are those of printing (CMYK).
    """
    data = path.read_bytes()
    try:
        if data.startswith(PNG):
            array: NDArray[Any] = decode("png_decode", data, size=_LARGEST_PIXEL * _check_png(data))
        else:
            array = decode("jpeg8_decode", data, size=_LARGEST_PIXEL * _check_jpeg(data))
    except (ValueError, EOFError, MemoryError) as error:
        raise ImageFileError(f"{path} is truncated or damaged: {error}. Copy or export it again.") from error
    if not data.startswith(PNG) and array.ndim == 3 and array.shape[2] == 4:
        raise ImageError(f"{path} has printing colors (CMYK). Save it in gray or RGB.")
    letters = axes.upper() if axes is not None else "YX" if array.ndim == 2 else "YXC"
    dims = max(2, sum(a in "ZYX" for a in letters))
    return Image(array=np.asarray(array), axes=letters, geometry=geo.unknown(dims), name=path.stem)


def _check_png(data: bytes) -> int:
    """Number of pixels; every chunk is there with its checksum, and no more pixels than its bytes can hold."""
    position, kind, pixels = len(PNG), b"", 0
    while kind != b"IEND":
        length = int.from_bytes(data[position : position + 4], "big")
        kind, stop = data[position + 4 : position + 8], position + 8 + length
        if stop + 4 > len(data):
            raise EOFError("it ends before the picture does")
        if zlib.crc32(data[position + 4 : stop]) != int.from_bytes(data[stop : stop + 4], "big"):
            raise ValueError(f"a checksum is wrong (chunk {kind!r})")
        if kind == b"IHDR":
            width, height = (int.from_bytes(data[position + i : position + i + 4], "big") for i in (8, 12))
            pixels = width * height
            if pixels > 8 * _DEFLATE_RATIO * len(data):
                raise ValueError(f"{width} x {height} pixels are promised, but {len(data)} bytes are stored")
        position = stop + 4
    return pixels


def _check_jpeg(data: bytes) -> int:
    """Number of pixels; every segment is there down to the end marker, as decoders fill what is missing with gray."""
    frames, pixels = 0, 0
    for marker, start, stop in _segments(data):
        if marker in _FRAMES:
            height, width = (int.from_bytes(data[start + i : start + i + 2], "big") for i in (3, 5))
            frames, pixels = frames + 1, width * height
            if pixels > 2**16 * len(data):
                raise ValueError(f"{width} x {height} pixels are promised, but {len(data)} bytes are stored")
        if stop > len(data):
            break
        if marker == _END_OF_IMAGE and frames:
            return pixels
    raise EOFError("it ends before the picture does")


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start (of its length) and stop of each JPEG segment; compressed pixels are skipped."""
    position = 2
    while position + 2 <= len(data):
        if data[position] != 0xFF:
            raise ValueError("a segment does not begin where it should")
        marker, start = data[position + 1], position + 2
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        alone = marker in _STANDALONE or marker == _END_OF_IMAGE
        stop = start if alone else start + max(2, int.from_bytes(data[start : start + 2], "big"))
        yield marker, start, stop
        position = _end_of_scan(data, stop) if marker == _START_OF_SCAN else stop


def _end_of_scan(data: bytes, position: int) -> int:
    """Where compressed pixels end: at the first marker that is neither a stuffed byte nor a restart."""
    while (position := data.find(b"\xff", position)) >= 0 and position + 1 < len(data):
        if data[position + 1] != 0 and not 0xD0 <= data[position + 1] <= 0xD7:
            return position
        position += 2
    return len(data)
