"""Whether LZW data can be decoded at all, found out before a decoder sees them.

A damaged stream can name table entries that do not exist yet, and decoders written in C have been seen to crash
on that, taking the whole program with them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_CLEAR, _END, _FIRST = 256, 257, 258
_CODES = 3839  # as many fit between two clear codes, before the table of 4096 is full


def is_valid_lzw(data: bytes) -> bool:
    """Whether each code of a TIFF LZW stream is in the table when it comes (TIFF 6.0, section 13).

    Between two clear codes the width of the n-th code, and the largest value it may have, depend on n alone;
    so a thousand codes are looked at together.
    """
    padded = np.frombuffer(data + bytes(4), np.uint8).astype(np.uint32)
    position, end = 0, 8 * len(data)
    codes = _read(padded, np.array([0]), np.array([9]))
    if end < 9 or codes[0] != _CLEAR:
        return False
    position = 9
    while position + 9 <= end:
        count = int(np.searchsorted(_STOPS, end - position, side="right"))
        codes = _read(padded, position + _STARTS[:count], _WIDTHS[:count])
        special = np.flatnonzero((codes == _CLEAR) | (codes == _END))
        used = int(special[0]) if special.size else count
        if (codes[:used] >= _LIMITS[:used]).any():
            return False
        if not special.size:
            return count < _CODES  # it ends without an end code, which is common
        if codes[used] == _END:
            return True
        position += int(_STOPS[used])
    return True


def _read(padded: NDArray[np.uint32], starts: NDArray[np.int64], widths: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Numbers of the given widths (up to 16 bits) at the given bits, highest bit first."""
    byte, bit = starts >> 3, starts & 7
    window = padded[byte] << 16 | padded[byte + 1] << 8 | padded[byte + 2]
    codes: NDArray[np.uint32] = window >> (24 - bit - widths).astype(np.uint32) & ((1 << widths) - 1).astype(np.uint32)
    return codes


def _widths() -> NDArray[np.int64]:
    """Width of the n-th code after a clear code; it grows one code early, as TIFF has it."""
    entries = _FIRST + np.maximum(np.arange(_CODES) - 1, 0)
    return 9 + (entries > 510).astype(np.int64) + (entries > 1022) + (entries > 2046)


_WIDTHS = _widths()
_STOPS = np.cumsum(_WIDTHS)
_STARTS = _STOPS - _WIDTHS
_LIMITS = np.append(_CLEAR, _FIRST + np.arange(1, _CODES))  # the first is a literal; then one entry more each time
