"""Single values out of DICOM headers, decoded here: pydicom's own conversion is slower and quotes what it dislikes."""

from __future__ import annotations

import functools
import math
import struct
from collections.abc import Sequence
from typing import Any

_NUMBERS = {"US": "H", "SS": "h", "UL": "L", "SL": "l", "FL": "f", "FD": "d"}


class Header:
    """A pydicom dataset (a file's or an item's), of which only what is asked for is decoded.

    Parameters
    ----------
    dataset
        As pydicom read it.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __contains__(self, keyword: str) -> bool:
        return _tag(keyword) in self.dataset

    def text(self, keyword: str) -> str:
        """The value as ASCII, without padding; empty if there is none. Several values keep their backslashes."""
        element = self._element(keyword)
        if element is None or element.value is None:
            return ""
        value = element.value
        return value.decode("ascii", "replace").strip(" \0") if isinstance(value, bytes) else str(value)

    def integer(self, keyword: str) -> int | None:
        """A whole number, or None if there is none."""
        numbers = self.numbers(keyword)
        return int(numbers[0]) if numbers and math.isfinite(numbers[0]) else None

    def numbers(self, keyword: str) -> tuple[float, ...] | None:
        """All numbers of an element, or None if there is none.

        Raises
        ------
        ValueError
            If they are no numbers.
        """
        element = self._element(keyword)
        if element is None or not element.value:
            return None
        value = element.value
        if not isinstance(value, bytes):
            return tuple(map(float, value if isinstance(value, Sequence) and not isinstance(value, str) else [value]))
        kind = _NUMBERS.get(_representation(keyword))
        if kind is None:
            return tuple(map(float, value.strip(b" \0").split(b"\\"))) if value.strip(b" \0") else None
        count = len(value) // struct.calcsize(f"<{kind}")
        return struct.unpack_from(f"{'<' if element.is_little_endian else '>'}{count}{kind}", value)

    def tags(self, keyword: str) -> tuple[int, ...]:
        """Values that are tags themselves."""
        element = self._element(keyword)
        if element is None or not isinstance(element.value, bytes):
            return ()
        order, count = "<" if element.is_little_endian else ">", len(element.value) // 4
        halves = struct.unpack_from(f"{order}{2 * count}H", element.value)
        return tuple(a << 16 | b for a, b in zip(halves[::2], halves[1::2], strict=True))

    def items(self, keyword: str) -> list[Header]:
        """The items of a sequence."""
        if keyword not in self:
            return []
        return [Header(item) for item in self.dataset[_tag(keyword)].value or []]

    def _element(self, keyword: str) -> Any:
        tag = _tag(keyword)
        return self.dataset.get_item(tag) if tag in self.dataset else None


@functools.cache
def _tag(keyword: str) -> Any:
    from pydicom.tag import Tag

    return Tag(keyword)


@functools.cache
def _representation(keyword: str) -> str:
    from pydicom.datadict import dictionary_VR

    return dictionary_VR(_tag(keyword))
