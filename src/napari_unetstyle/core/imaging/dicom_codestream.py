"""What the compressed pixels of a DICOM file say of their own size, read before a decoder believes it."""

from __future__ import annotations

import struct

_JPEG, _JPEG_2000 = b"\xff\xd8", b"\xff\x4f\xff\x51"
_BOXES = 4096  # a JPEG 2000 file may have boxes before its codestream
_FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}  # start of a frame; F7 is JPEG-LS
_STANDALONE = {0x01, *range(0xD0, 0xD9)}
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_MOST_TILES = 65535  # as the standard of JPEG 2000 allows


def stated_size(data: bytes) -> tuple[int, int, int] | None:
    """Rows, columns and samples of a pixel in a JPEG, JPEG-LS or JPEG 2000 codestream.

    None for other bytes, and for the first piece of a codestream that ends before it says so.

    Raises
    ------
    ValueError
        If it is damaged before it says so.
    """
    try:
        if data.startswith(_JPEG):
            return _jpeg_size(data)
        start = data.find(_JPEG_2000, 0, _BOXES)
        return _jpeg_2000_size(data[start : start + 64]) if start >= 0 else None
    except struct.error:
        return None


def _jpeg_size(data: bytes) -> tuple[int, int, int]:
    position = 2
    while True:
        mark, kind = struct.unpack_from(">BB", data, position)
        if mark != 0xFF or kind in (_START_OF_SCAN, _END_OF_IMAGE):
            raise ValueError("its codestream does not say how large it is")
        if kind == 0xFF:  # padding
            position += 1
        elif kind in _STANDALONE:
            position += 2
        elif kind in _FRAMES:
            _, rows, columns, samples = struct.unpack_from(">BHHB", data, position + 4)
            return rows, columns, samples
        else:
            (length,) = struct.unpack_from(">H", data, position + 2)
            position += 2 + length


def _jpeg_2000_size(data: bytes) -> tuple[int, int, int]:
    right, bottom, left, top, width, height, across, down, samples = struct.unpack_from(">8LH", data, 8)
    if (
        not width
        or not height
        or -(-right // width) * -(-bottom // height) > _MOST_TILES
        or across > left
        or down > top
    ):
        raise ValueError("its tiles are damaged")
    return bottom - top, right - left, samples
