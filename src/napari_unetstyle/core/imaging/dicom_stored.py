"""How a DICOM file stores its pixels, checked against its bytes before anything is allocated for them."""

from __future__ import annotations

import math
import mmap
import re
import struct
from dataclasses import dataclass, field
from pathlib import Path

from napari_unetstyle.core.errors import ImageFileError
from napari_unetstyle.core.imaging.dicom_codestream import stated_size
from napari_unetstyle.core.imaging.dicom_values import Header

LARGEST_EXPANSION, FREE_EXPANSION = 1000, 2**26  # pixels for a stored byte, from so many bytes on
_PIXELS = {0x7FE00008: "float", 0x7FE00009: "double", 0x7FE00010: "integer"}
_ITEM, _END_OF_ITEMS, _UNDEFINED = 0xFFFEE000, 0xFFFEE0DD, 0xFFFFFFFF
_TIMES = (0x00181063, 0x00181065)  # Frame Time, Frame Time Vector


@dataclass(frozen=True, kw_only=True, eq=False)
class Stored:
    """How a file stores its pixels, and to which series it belongs.

    Attributes
    ----------
    path
        The file.
    series_uid, frame_of_reference
        As the file has them; they can lead to a person and go nowhere.
    modality, series_number
        ``"CT"``, ``"MR"``, …, or ``"DICOM"`` where the file has no such code; and the number of its series.
    frames, rows, columns, samples
        Shape of the pixels.
    kind
        ``"integer"``, ``"float"`` or ``"double"``.
    allocated, stored, high, is_signed
        Bits of a sample in the file, those that count, the highest of these, and whether one is the sign.
    photometric, planar
        What the samples mean, and whether colors are stored one plane after the other.
    syntax
        UID of the transfer syntax.
    offset, length
        Where the pixels lie in the file.
    is_compressed, is_little
        How they lie there.
    has_lookup
        Whether a table gives the values (modality LUT).
    """

    path: Path = field(repr=False)
    series_uid: str = field(repr=False)
    modality: str
    series_number: int | None
    instance: int
    expected: int
    frame_of_reference: str = field(repr=False)
    frames: int
    rows: int
    columns: int
    samples: int
    kind: str
    allocated: int
    stored: int
    high: int
    is_signed: bool
    photometric: str
    planar: int
    syntax: str
    offset: int
    length: int
    is_compressed: bool
    is_little: bool
    is_lossy: bool
    has_lookup: bool
    is_time: bool

    @property
    def frame_bytes(self) -> int:
        """Size of a frame when decoded."""
        return self.rows * self.columns * self.samples * max(1, self.allocated // 8)


def syntax_of(header: Header) -> str:
    """UID of the transfer syntax; empty if the file does not say."""
    return str(header.dataset.file_meta.get("TransferSyntaxUID", ""))


def pixel_element(file: mmap.mmap, header: Header) -> tuple[str, int, int, bool] | None:
    """Kind, place and length of the pixels, and whether they come in little endian; the file is just before them."""
    implicit, little = header.dataset.original_encoding
    order = "<" if little else ">"
    start = file.tell()
    head = file[start : start + 12]
    if len(head) < 12 - 4 * implicit:
        return None
    group, element = struct.unpack_from(f"{order}HH", head)
    kind = _PIXELS.get(group << 16 | element)
    if kind is None:
        return None
    (length,) = struct.unpack_from(f"{order}L", head, 4 if implicit else 8)
    return kind, start + (8 if implicit else 12), length, bool(little)


def read_stored(path: Path, header: Header, kind: str, offset: int, length: int, is_little: bool) -> Stored:
    """What the header and :func:`pixel_element` say of a file's pixels.

    Raises
    ------
    ImageFileError
        If that is not possible.
    """
    bits = {"float": 32, "double": 64}.get(kind) or _integer(path, header, "BitsAllocated")
    stored = _integer(path, header, "BitsStored", bits) if kind == "integer" else bits
    code = header.text("Modality")
    found = Stored(
        path=path,
        series_uid=header.text("SeriesInstanceUID"),
        modality=code if re.fullmatch("[A-Z]{2}|RTDOSE|RTIMAGE", code) else "DICOM",
        series_number=header.integer("SeriesNumber"),
        instance=header.integer("InstanceNumber") or 0,
        expected=header.integer("ImagesInAcquisition") or 0,
        frame_of_reference=header.text("FrameOfReferenceUID"),
        frames=_integer(path, header, "NumberOfFrames", 1),
        rows=_integer(path, header, "Rows"),
        columns=_integer(path, header, "Columns"),
        samples=_integer(path, header, "SamplesPerPixel", 1),
        kind=kind,
        allocated=bits,
        stored=stored,
        high=_integer(path, header, "HighBit", stored - 1) if kind == "integer" else bits - 1,
        is_signed=header.integer("PixelRepresentation") == 1,
        photometric=header.text("PhotometricInterpretation") or "MONOCHROME2",
        planar=header.integer("PlanarConfiguration") or 0,
        syntax=syntax_of(header),
        offset=offset,
        length=length,
        is_compressed=length == _UNDEFINED,
        is_little=is_little,
        is_lossy=header.text("LossyImageCompression") == "01",
        has_lookup="ModalityLUTSequence" in header,
        is_time=any(tag in _TIMES for tag in header.tags("FrameIncrementPointer")),
    )
    _check_format(found)
    return found


def _check_format(stored: Stored) -> None:
    shape = (stored.frames, stored.rows, stored.columns)
    problem = None
    if min(shape) < 1:
        problem = f"its shape is {shape}"
    elif stored.samples not in (1, 3, 4) or stored.allocated not in (1, 8, 16, 32, 64):
        problem = f"its pixels have {stored.samples} samples of {stored.allocated} bits"
    elif not 1 <= stored.stored <= stored.allocated or not stored.stored - 1 <= stored.high < stored.allocated:
        problem = f"bits 0 to {stored.high} with {stored.stored} stored do not fit into {stored.allocated}"
    if problem is not None:
        raise ImageFileError(f"{stored.path} is damaged or of an unknown kind: {problem}. Export it again.")


def check_length(file: mmap.mmap, stored: Stored) -> None:
    """As many bytes have to be there as the shape in the header needs, before anything is allocated for it.

    Raises
    ------
    ImageFileError
        If they are not, or are far more.
    """
    pixels = stored.rows * stored.columns * stored.samples
    needed = math.ceil(stored.frames * pixels * stored.allocated / 8)
    if stored.photometric == "YBR_FULL_422" and not stored.is_compressed:
        needed = needed * 2 // 3
    there = len(file) - stored.offset
    if stored.is_compressed:
        held, count = _walk_items(file, stored)
        if needed > max(FREE_EXPANSION, held * LARGEST_EXPANSION):
            raise ImageFileError(
                f"{stored.path} says that its {held} bytes of pixels are {needed} when they are not compressed. "
                "It is damaged, or made to fill the memory."
            )
        if count < stored.frames:
            raise ImageFileError(
                f"{stored.path} is truncated or damaged: it has {count} of {stored.frames} frames. Export it again."
            )
        return
    if stored.length > there or stored.length < needed:
        raise ImageFileError(
            f"{stored.path} is truncated or damaged: {needed} bytes of pixels are promised, "
            f"but {min(stored.length, there)} are there. Copy or export it again."
        )
    if stored.length >= needed + max(2, needed // stored.frames):
        raise ImageFileError(
            f"{stored.path} holds {stored.length} bytes of pixels, but its shape needs {needed}. It is damaged; "
            "export it again."
        )


def _walk_items(file: mmap.mmap, stored: Stored) -> tuple[int, int]:
    """Bytes and number of the pieces of compressed pixels; each has to be whole, and the end marked."""
    at, held, count = stored.offset, 0, -1  # the first is the table of offsets
    while at + 8 <= len(file):
        group, element, length = struct.unpack_from("<HHL", file, at)
        at += 8
        if group << 16 | element == _END_OF_ITEMS:
            return held, count
        if group << 16 | element != _ITEM or at + length > len(file):
            break
        _check_codestream(file[at : at + length], stored)
        at, held, count = at + length, held + length, count + 1
    raise ImageFileError(f"{stored.path} is truncated or damaged: its compressed pixels have no end. Copy it again.")


def _check_codestream(data: bytes, stored: Stored) -> None:
    """A decoder believes the size that the codestream states, so it has to be the file's."""
    try:
        size = stated_size(data)
    except ValueError:
        size = (0, 0, 0)
    if size not in (None, (stored.rows, stored.columns, stored.samples)):
        raise ImageFileError(
            f"{stored.path} is damaged: its compressed pixels are not of the size that its header states. "
            "Copy or export it again."
        )


def _integer(path: Path, header: Header, keyword: str, default: int | None = None) -> int:
    value = header.integer(keyword)
    if value is None and default is None:
        raise ImageFileError(f"{path} is damaged: it has no {keyword}. Copy or export it again.")
    return value if value is not None else int(default or 0)
