"""Records one after another in a file, each with a checksum: what was written whole is found whatever follows it."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum

_MAGIC = b"\xa5uj\x01"
_HEAD = struct.Struct("<4sBxxxQdQ")  # magic, kind, number, time, length of the payload
_SUM = struct.Struct("<I")  # crc32 of head and payload
OVERHEAD = _HEAD.size + _SUM.size


class Kind(IntEnum):
    """What a record tells."""

    LABELS = 1
    """Changes of labels."""
    ACCEPTED = 2
    """Changes of the mask of what was called right."""
    SAID = 3
    """Facts by name, as JSON."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """One thing that happened.

    Attributes
    ----------
    kind
        What `payload` is.
    number
        Rises from record to record.
    time
        Seconds since 1970.
    payload
        Compressed changes, or JSON.
    """

    kind: Kind
    number: int
    time: float
    payload: bytes

    def to_bytes(self) -> bytes:
        """As it stands in a file."""
        body = _HEAD.pack(_MAGIC, self.kind, self.number, self.time, len(self.payload)) + self.payload
        return body + _SUM.pack(zlib.crc32(body))


@dataclass(frozen=True, kw_only=True)
class Scan:
    """What was found in a file of records.

    Attributes
    ----------
    records
        Those that are whole.
    end
        Where the last of them ends.
    damaged
        Bytes before `end` that belong to no record: something was overwritten or lost inside the file.
    torn
        Bytes after `end`: the record that was being written when the machine stopped.
    """

    records: tuple[Record, ...]
    end: int
    damaged: int
    torn: int


def scan(data: bytes, start: int = 0) -> Scan:
    """Every whole record from `start` on; damaged ones are left out and those after them are found again."""
    found, at, end, damaged = [], start, start, 0
    while (at := data.find(_MAGIC, at)) >= 0:
        record, stop = _record_at(data, at)
        if record is None:
            at += 1
            continue
        damaged += at - end
        found.append(record)
        at = end = stop
    return Scan(records=tuple(found), end=end, damaged=damaged, torn=len(data) - end)


def _record_at(data: bytes, at: int) -> tuple[Record | None, int]:
    if at + OVERHEAD > len(data):
        return None, at
    _, kind, number, time, length = _HEAD.unpack_from(data, at)
    body = at + _HEAD.size + length
    if body + _SUM.size > len(data) or zlib.crc32(data[at:body]) != _SUM.unpack_from(data, body)[0]:
        return None, at
    if kind not in set(Kind):  # of a later version
        return None, at
    return Record(kind=Kind(kind), number=number, time=time, payload=data[at + _HEAD.size : body]), body + _SUM.size
