"""What one DICOM file says of its pictures, read without its pixels and without anything about the patient."""

from __future__ import annotations

import contextlib
import functools
import math
import mmap
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_unetstyle.core.errors import ImageError, ImageFileError, UnetstyleError
from napari_unetstyle.core.imaging.dicom_codestream import stated_size
from napari_unetstyle.core.imaging.dicom_values import Header

PREAMBLE, MARK = 128, b"DICM"
LARGEST_EXPANSION, FREE_EXPANSION = 1000, 2**26  # pixels for a stored byte, from so many bytes on

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
_PIXELS = {0x7FE00008: "float", 0x7FE00009: "double", 0x7FE00010: "integer"}
_ITEM, _END_OF_ITEMS, _UNDEFINED = 0xFFFEE000, 0xFFFEE0DD, 0xFFFFFFFF
_TIMES = (0x00181063, 0x00181065)  # Frame Time, Frame Time Vector
_DEFLATED = "1.2.840.10008.1.2.1.99"

# nothing about the person is even parsed
_KEYWORDS = (
    "SOPClassUID", "Modality", "SeriesInstanceUID", "SeriesNumber",
    "InstanceNumber", "FrameOfReferenceUID", "ImagesInAcquisition",
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "ImagerPixelSpacing",
    "NominalScannedPixelSpacing", "SpacingBetweenSlices", "SliceThickness",
    "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames", "Rows", "Columns",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "RescaleSlope", "RescaleIntercept",
    "LossyImageCompression", "TotalPixelMatrixRows", "SegmentSequence", "FrameIncrementPointer",
    "GridFrameOffsetVector", "DoseGridScaling", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
    "TemporalPositionIdentifier", "EchoTime", "EchoNumbers", "AcquisitionNumber", "ImageType", "TriggerTime",
    "DiffusionBValue", "FrameReferenceTime", "AcquisitionTime", "WindowCenter", "WindowWidth",
    "ModalityLUTSequence",
)  # fmt: skip
_TELLING = {
    "time": "TemporalPositionIdentifier",
    "echo": "EchoTime",
    "echo number": "EchoNumbers",
    "b-value": "DiffusionBValue",
    "trigger time": "TriggerTime",
    "frame time": "FrameReferenceTime",
    "kind": "ImageType",
    "acquisition": "AcquisitionNumber",
    "acquisition time": "AcquisitionTime",
}


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


@dataclass(frozen=True, kw_only=True, eq=False)
class Plane:
    """One frame of a file.

    Attributes
    ----------
    stored
        The file's pixels.
    frame
        Number of the frame in the file, from 0.
    position
        Center of the first pixel in the patient, ``XYZ`` (LPS) in mm, or None if the file does not say.
    cosines
        Direction of growing column, then of growing row, each ``XYZ``; or None.
    spacing
        Pixel size ``YX`` in mm, or None.
    is_at_detector
        Whether `spacing` holds at the detector, as in projections.
    thickness
        Distance to the next slice that the file states, or None.
    slope, intercept
        ``value = slope * stored + intercept``.
    window
        Center and width of gray values to show, or None.
    tells
        What may tell acquisitions at the same place apart, by name.
    """

    stored: Stored
    frame: int
    position: tuple[float, ...] | None
    cosines: tuple[float, ...] | None
    spacing: tuple[float, ...] | None
    is_at_detector: bool
    thickness: float | None
    slope: float
    intercept: float
    window: tuple[float, float] | None
    tells: dict[str, str] = field(repr=False)


def is_dicom(start: bytes) -> bool:
    """Whether the first 132 bytes (or more) of a file are those of DICOM; old files may lack the preamble."""
    if start[PREAMBLE : PREAMBLE + 4] == MARK:
        return True
    group, element = start[:2], start[2:4]
    return (group in (b"\x08\0", b"\x02\0") and element[1:] == b"\0" and element[0] < 0x70) or (
        group == b"\0\x08" and element[:1] == b"\0" and element[1:] < b"\x70"
    )


def read_planes(path: Path) -> tuple[Plane, ...]:
    """The frames of a DICOM file; empty if it is a whole file of a kind that holds no picture (a report, say).

    Raises
    ------
    ImageFileError
        If it is truncated or damaged, or holds fewer pixels than it says.
    ImageError
        If it holds pixels that are no picture (a segmentation, a slide).
    """
    with guarded(path), opened(path) as file:
        header = _header(file)
        if _syntax(header) == _DEFLATED:
            raise ImageFileError(
                f"{path} is compressed as a whole (Deflated Explicit VR Little Endian), which is not read. "
                "Export it without compression."
            )
        where = _pixel_element(file, header)
        if where is None:
            _check_is_no_picture(path, header, file)
            return ()
        _check_is_picture(path, header)
        stored = _stored(path, header, *where)
        _check_length(file, stored)
        return tuple(_planes(stored, header))


@contextlib.contextmanager
def guarded(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file raises into one kind of error, without the values that it may quote."""
    try:
        yield
    except UnetstyleError:
        raise
    except DAMAGED as error:
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


def _header(file: mmap.mmap) -> Header:
    import pydicom

    return Header(pydicom.dcmread(file, stop_before_pixels=True, force=True, specific_tags=_tags()))  # type: ignore[arg-type]


@functools.cache
def _tags() -> list[Any]:
    from pydicom.tag import Tag

    return [Tag(keyword) for keyword in _KEYWORDS]


def _syntax(header: Header) -> str:
    return str(header.dataset.file_meta.get("TransferSyntaxUID", ""))


def _pixel_element(file: mmap.mmap, header: Header) -> tuple[str, int, int, bool] | None:
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


# Kinds of files --------------------------------------------------------------------------------------------------


def _class_name(header: Header) -> str:
    """The kind of a file as the standard names it; empty for private ones."""
    from pydicom.uid import UID

    uid = header.text("SOPClassUID") or str(header.dataset.file_meta.get("MediaStorageSOPClassUID", ""))
    name = UID(uid).name
    return "" if name == uid else name


def _check_is_no_picture(path: Path, header: Header, file: mmap.mmap) -> None:
    name = _class_name(header)
    if "Image Storage" in name or "Rows" in header:
        raise ImageFileError(f"{path} is truncated: it has no pixels ({name or 'a picture'}). Copy or export it again.")
    if not name and "SOPClassUID" not in header and "MediaStorageSOPClassUID" not in header.dataset.file_meta:
        raise ImageFileError(f"{path} is truncated or no DICOM file. Copy or export it again.")
    if file.tell() != len(file):
        raise ImageFileError(f"{path} is truncated or damaged ({name or 'no picture'}). Copy or export it again.")


def _check_is_picture(path: Path, header: Header) -> None:
    if "SegmentSequence" in header or "Segmentation Storage" in _class_name(header):
        raise ImageError(f"{path} holds labels (DICOM-SEG), no picture. Give the pictures that they were made from.")
    if "TotalPixelMatrixRows" in header:
        raise ImageError(f"{path} is a slide in tiles (DICOM whole slide). Export it as TIFF or as the scanner's file.")


# Pixels ----------------------------------------------------------------------------------------------------------


def _stored(path: Path, header: Header, kind: str, offset: int, length: int, is_little: bool) -> Stored:
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
        syntax=_syntax(header),
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


def _check_length(file: mmap.mmap, stored: Stored) -> None:
    """As many bytes have to be there as the shape in the header needs, before anything is allocated for it."""
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


# Frames ----------------------------------------------------------------------------------------------------------


def _planes(stored: Stored, header: Header) -> Iterator[Plane]:
    shared = header.items("SharedFunctionalGroupsSequence")[:1]
    each = header.items("PerFrameFunctionalGroupsSequence")
    if each and len(each) != stored.frames:
        raise ImageFileError(f"{stored.path} is damaged: it describes {len(each)} of {stored.frames} frames.")
    is_grid = stored.frames > 1 and "GridFrameOffsetVector" in header
    offsets = _numbers(stored.path, header, "GridFrameOffsetVector", stored.frames) if is_grid else None
    for frame in range(stored.frames):
        yield _plane(stored, frame, header, [*each[frame : frame + 1], *shared], offsets)


def _plane(
    stored: Stored, frame: int, header: Header, groups: Sequence[Header], offsets: tuple[float, ...] | None
) -> Plane:
    path = stored.path
    measures = [*_nested(groups, "PixelMeasuresSequence"), header]
    values = [*_nested(groups, "PixelValueTransformationSequence"), header]
    position = _found(path, [*_nested(groups, "PlanePositionSequence"), header], "ImagePositionPatient", 3)
    cosines = _found(path, [*_nested(groups, "PlaneOrientationSequence"), header], "ImageOrientationPatient", 6)
    if stored.frames > 1 and not groups:
        position = _shifted(position, cosines, offsets, frame)
    spacing = _found(path, measures, "PixelSpacing", 2)
    at_detector = None if spacing else _found(path, measures, "ImagerPixelSpacing", 2)
    spacing = spacing or at_detector or _found(path, measures, "NominalScannedPixelSpacing", 2)
    thickness = _found(path, measures, "SpacingBetweenSlices", 1) or _found(path, measures, "SliceThickness", 1)
    slope = _found(path, values, "RescaleSlope", 1) or _found(path, [header], "DoseGridScaling", 1) or (1.0,)
    intercept = _found(path, values, "RescaleIntercept", 1) or (0.0,)
    return Plane(
        stored=stored,
        frame=frame,
        position=position,
        cosines=cosines,
        spacing=spacing if spacing and min(spacing) > 0 else None,
        is_at_detector=at_detector is not None,
        thickness=abs(thickness[0]) if thickness and thickness[0] else None,
        slope=slope[0],
        intercept=intercept[0],
        window=_window([*_nested(groups, "FrameVOILUTSequence"), header]),
        tells=_tells(header, groups),
    )


def _shifted(
    position: tuple[float, ...] | None,
    cosines: tuple[float, ...] | None,
    offsets: tuple[float, ...] | None,
    frame: int,
) -> tuple[float, ...] | None:
    """A dose grid states where its first frame lies, and how far along the normal the others are."""
    if position is None or cosines is None or offsets is None:
        return None
    (a, b, c), (d, e, f) = cosines[:3], cosines[3:]
    normal = (b * f - c * e, c * d - a * f, a * e - b * d)
    step = offsets[frame] - offsets[0]
    return tuple(p + step * n for p, n in zip(position, normal, strict=True))


def _tells(header: Header, groups: Sequence[Header]) -> dict[str, str]:
    found = {name: header.text(keyword) for name, keyword in _TELLING.items() if keyword in header}
    contents, echoes = _nested(groups, "FrameContentSequence"), _nested(groups, "MREchoSequence")
    for name, items, keyword in (
        ("stack", contents, "StackID"),
        ("time", contents, "TemporalPositionIndex"),
        ("echo", echoes, "EffectiveEchoTime"),
        ("b-value", _nested(groups, "MRDiffusionSequence"), "DiffusionBValue"),
    ):
        if items and keyword in items[0]:
            found[name] = items[0].text(keyword) if keyword == "StackID" else str(items[0].numbers(keyword))
    for item in contents[:1]:
        for i, value in enumerate(item.numbers("DimensionIndexValues") or ()):
            found[f"dimension {i + 1}"] = str(value)
    return found


def _window(items: Sequence[Header]) -> tuple[float, float] | None:
    for item in items:
        with contextlib.suppress(ValueError):  # a window is a hint
            center, width = item.numbers("WindowCenter"), item.numbers("WindowWidth")
            if center and width and math.isfinite(center[0]) and math.isfinite(width[0]) and width[0] > 0:
                return center[0], width[0]
    return None


def _nested(groups: Sequence[Header], keyword: str) -> list[Header]:
    return [item for group in groups for item in group.items(keyword)[:1]]


def _found(path: Path, items: Sequence[Header], keyword: str, count: int) -> tuple[float, ...] | None:
    """The first of `items` that has the numbers."""
    return next((found for item in items if (found := _numbers(path, item, keyword, count)) is not None), None)


def _numbers(path: Path, item: Header, keyword: str, count: int) -> tuple[float, ...] | None:
    try:
        numbers = item.numbers(keyword)
    except ValueError:
        numbers = ()
    if numbers is not None and (len(numbers) != count or not all(map(math.isfinite, numbers))):
        raise ImageFileError(f"{path} is damaged: its {keyword} is not {count} finite numbers. Export it again.")
    return numbers


def _integer(path: Path, header: Header, keyword: str, default: int | None = None) -> int:
    value = header.integer(keyword)
    if value is None and default is None:
        raise ImageFileError(f"{path} is damaged: it has no {keyword}. Copy or export it again.")
    return value if value is not None else int(default or 0)


def description_of(path: Path) -> str:
    """What the scanner calls the series of a file, which can name the patient; empty if it does not say."""
    import pydicom

    with guarded(path), opened(path) as file:
        header = pydicom.dcmread(file, stop_before_pixels=True, force=True, specific_tags=["SeriesDescription"])  # type: ignore[arg-type]
        return str(header.get("SeriesDescription", "") or "")
