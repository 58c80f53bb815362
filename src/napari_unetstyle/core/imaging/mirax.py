"""What the index of a MIRAX slide promises, checked against the size of its data files before a pixel is read.

OpenSlide looks for a photo when its pixels are asked for, which may be hours into a run.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.errors import ImageFileError

_VERSION = "01.02"
_POINTER, _PAGE = struct.Struct("<i"), struct.Struct("<ii")


def check_promised(path: Path, said: Mapping[str, str], levels: int) -> None:
    """Have a slide refused of which photos are missing that its index lists.

    Parameters
    ----------
    path
        Of the slide, which OpenSlide has opened and whose index it has read to the end.
    said
        Its properties.
    levels
        How many it has.

    Raises
    ------
    ImageFileError
        If a data file is missing or cut off.
    """
    folder = path.with_suffix("")
    index = (folder / said["mirax.HIERARCHICAL.INDEXFILE"]).read_bytes()
    needed = np.zeros(int(said["mirax.DATAFILE.FILE_COUNT"]), np.int64)
    for photos in _pages(index, len((_VERSION + said["mirax.GENERAL.SLIDE_ID"]).encode()), levels):
        _, offsets, lengths, numbers = photos.T.astype(np.int64)
        np.maximum.at(needed, numbers, offsets + lengths)
    for number in np.flatnonzero(needed):
        file = folder / said[f"mirax.DATAFILE.FILE_{number}"]
        there = file.stat().st_size if file.is_file() else 0
        if there < needed[number]:
            raise ImageFileError(
                f"{path} is incomplete: of its {file.name}, {there} of {needed[number]} bytes are in the folder of the "
                "same name. Copy both again."
            )


def _pages(index: bytes, start: int, levels: int) -> Iterator[NDArray[np.int32]]:
    """Of each page of the index a row for each photo: its place in the slide, offset, length, number of the file."""
    (root,) = _POINTER.unpack_from(index, start)
    for level in range(levels):
        (first,) = _POINTER.unpack_from(index, root + _POINTER.size * level)
        _, at = _PAGE.unpack_from(index, first)  # this page is always empty
        following = at
        while following:
            count, following = _PAGE.unpack_from(index, at)
            photos = np.frombuffer(index, "<i4", 4 * max(count, 0), at + _PAGE.size).reshape(-1, 4)
            yield photos
            at += _PAGE.size + photos.nbytes  # where OpenSlide reads on, too
