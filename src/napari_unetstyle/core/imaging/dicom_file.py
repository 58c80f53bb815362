"""A DICOM file as bytes: told from others, opened, and its damage put into words."""

from __future__ import annotations

import contextlib
import mmap
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from napari_unetstyle.core.errors import ImageFileError, UnetstyleError
from napari_unetstyle.core.imaging.unheard import unheard

PREAMBLE, MARK = 128, b"DICM"

# what pydicom and the decoders that it calls raise on damaged files
DAMAGED = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


def is_marked(start: bytes) -> bool:
    """Whether the mark of DICOM is there; before it may stand anything, such as the header of a TIFF (PS3.10, 7.1)."""
    return start[PREAMBLE : PREAMBLE + len(MARK)] == MARK


def is_dicom(start: bytes) -> bool:
    """Whether the first 132 bytes (or more) of a file are those of DICOM; old files may lack the preamble."""
    if is_marked(start):
        return True
    group, element = start[:2], start[2:4]
    return (group in (b"\x08\0", b"\x02\0") and element[1:] == b"\0" and element[0] < 0x70) or (
        group == b"\0\x08" and element[:1] == b"\0" and element[1:] < b"\x70"
    )


@contextlib.contextmanager
def guarded(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file raises into one kind of error, without the values that it may quote.

    What pydicom logs and warns of quotes them, too, and is not heard.
    """
    from pydicom.errors import BytesLengthException, InvalidDicomError

    try:
        with unheard("pydicom"):
            yield
    except UnetstyleError:
        raise
    except (*DAMAGED, BytesLengthException, InvalidDicomError) as error:
        raise ImageFileError(
            f"{path} is truncated, damaged or of an unknown kind ({type(error).__name__}). Copy or export it again."
        ) from None  # pydicom's messages quote what the file says of the patient


@contextlib.contextmanager
def opened(path: Path) -> Iterator[mmap.mmap]:
    """The file's bytes; a length in the file that lies reads no further than its end, and allocates nothing."""
    try:
        handle = path.open("rb")
    except OSError as error:
        raise ImageFileError(f"{path} cannot be read: {error.strerror or error}.") from error
    with handle:
        if path.stat().st_size == 0:
            raise ImageFileError(f"{path} is empty. Copy or export it again.")
        with mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            yield mapped
