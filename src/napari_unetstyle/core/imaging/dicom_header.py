"""What one DICOM file says of its pictures, read without its pixels and without anything about the patient."""

from __future__ import annotations

import contextlib
import functools
import math
import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from napari_unetstyle.core.errors import ImageError, ImageFileError
from napari_unetstyle.core.imaging.dicom_file import guarded, opened
from napari_unetstyle.core.imaging.dicom_stored import Stored, check_length, pixel_element, read_stored, syntax_of
from napari_unetstyle.core.imaging.dicom_values import Header

_DEFLATED = "1.2.840.10008.1.2.1.99"

# nothing about the person is even parsed
_KEYWORDS = (
    "SOPClassUID", "Modality", "SeriesInstanceUID", "SeriesNumber",
    "InstanceNumber", "FrameOfReferenceUID", "ImagesInAcquisition",
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "ImagerPixelSpacing",
    "NominalScannedPixelSpacing", "SpacingBetweenSlices", "SliceThickness",
    "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames", "Rows", "Columns",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "RescaleSlope", "RescaleIntercept",
    "LossyImageCompression", "TotalPixelMatrixRows", "SegmentSequence", "SegmentationType", "FrameIncrementPointer",
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
    thickness, apart
        Of the slice, and its distance to the next one, in mm as the file states them; or None.
    slope, intercept
        ``value = slope * stored + intercept``.
    is_rescaled
        Whether the file states them, or has a table for them.
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
    apart: float | None
    slope: float
    intercept: float
    is_rescaled: bool
    window: tuple[float, float] | None
    tells: dict[str, str] = field(repr=False)

    @property
    def depth(self) -> float | None:
        """From the middle of a slice to that of the next one, in mm as the file states it; or None."""
        return self.apart or self.thickness


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelFrames:
    """What a segmentation (DICOM-SEG) says of its frames.

    Attributes
    ----------
    planes
        The frames, in the order of the file.
    numbers
        Number of the segment of each frame; None where the file does not say.
    kind
        ``"BINARY"``, ``"FRACTIONAL"``, ``"LABELMAP"``, …
    between
        Distance between the centers of slices in mm, or None if the file does not say.
    segments
        The items that describe the segments.
    """

    planes: tuple[Plane, ...]
    numbers: tuple[int | None, ...]
    kind: str
    between: float | None
    segments: tuple[Header, ...] = field(repr=False)


def is_labels(path: Path) -> bool:
    """Whether a DICOM file is a segmentation.

    Raises
    ------
    ImageFileError
        If it is truncated or damaged.
    """
    with guarded(path), opened(path) as file:
        return _is_labels(_header(file))


def read_label_frames(path: Path) -> LabelFrames:
    """What a segmentation says of its frames and segments.

    Raises
    ------
    ImageFileError
        If it is truncated or damaged, or holds fewer pixels than it says.
    ImageError
        If it is that of a slide.
    """
    with guarded(path), opened(path) as file:
        header = _header(file)
        where = _pixels(path, file, header)
        if where is None:
            raise ImageFileError(f"{path} is truncated: it has no pixels (labels). Copy or export it again.")
        _check_is_no_slide(path, header)
        # colors of a palette are for the eye: what counts are the numbers
        stored = replace(read_stored(path, header, *where), photometric="MONOCHROME2")
        check_length(file, stored)
        shared = header.items("SharedFunctionalGroupsSequence")[:1]
        each = header.items("PerFrameFunctionalGroupsSequence")
        between = _found(path, _nested([*each[:1], *shared], "PixelMeasuresSequence"), "SpacingBetweenSlices", 1)
        return LabelFrames(
            planes=tuple(_planes(stored, header)),
            numbers=tuple(_segment_of([*each[frame : frame + 1], *shared]) for frame in range(stored.frames)),
            kind=header.text("SegmentationType"),
            between=abs(between[0]) if between and between[0] else None,
            segments=tuple(header.items("SegmentSequence")),
        )


def _segment_of(groups: Sequence[Header]) -> int | None:
    items = _nested(groups, "SegmentIdentificationSequence")
    return items[0].integer("ReferencedSegmentNumber") if items else None


def read_planes(path: Path, *, is_named: bool = True) -> tuple[Plane, ...]:
    """The frames of a DICOM file; empty if it is a whole file of a kind that holds no picture (a report, say).

    Parameters
    ----------
    path
        The file.
    is_named
        Whether it was asked for; labels that only lie in the same folder are left out.

    Raises
    ------
    ImageFileError
        If it is truncated or damaged, or holds fewer pixels than it says.
    ImageError
        If it holds pixels that are no picture (a segmentation, a slide).
    """
    with guarded(path), opened(path) as file:
        header = _header(file)
        where = _pixels(path, file, header)
        if where is None:
            _check_is_no_picture(path, header, file)
            return ()
        if not is_named and _is_labels(header):
            return ()
        _check_is_picture(path, header)
        stored = read_stored(path, header, *where)
        check_length(file, stored)
        return tuple(_planes(stored, header))


def _pixels(path: Path, file: mmap.mmap, header: Header) -> tuple[str, int, int, bool] | None:
    if syntax_of(header) == _DEFLATED:
        raise ImageFileError(
            f"{path} is compressed as a whole (Deflated Explicit VR Little Endian), which is not read. "
            "Export it without compression."
        )
    return pixel_element(file, header)


def _header(file: mmap.mmap) -> Header:
    import pydicom

    return Header(pydicom.dcmread(file, stop_before_pixels=True, force=True, specific_tags=_tags()))  # type: ignore[arg-type]


@functools.cache
def _tags() -> list[Any]:
    from pydicom.tag import Tag

    return [Tag(keyword) for keyword in _KEYWORDS]


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


def _is_labels(header: Header) -> bool:
    return "SegmentSequence" in header or "Segmentation Storage" in _class_name(header)


def _check_is_picture(path: Path, header: Header) -> None:
    if _is_labels(header):
        raise ImageError(
            f"{path} holds labels (DICOM-SEG), and a picture is needed. Give the series that they were made from."
        )
    _check_is_no_slide(path, header)


def _check_is_no_slide(path: Path, header: Header) -> None:
    if "TotalPixelMatrixRows" in header:
        raise ImageError(f"{path} is a slide in tiles (DICOM whole slide). Export it as TIFF or as the scanner's file.")


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
    thickness = _found(path, measures, "SliceThickness", 1) or (0.0,)
    apart = _found(path, measures, "SpacingBetweenSlices", 1) or (0.0,)
    slope = _found(path, values, "RescaleSlope", 1) or _found(path, [header], "DoseGridScaling", 1)
    intercept = _found(path, values, "RescaleIntercept", 1)
    if slope is not None and slope[0] == 0:
        raise ImageFileError(f"{path} is damaged: its values are scaled by 0. Export it again.")
    return Plane(
        stored=stored,
        frame=frame,
        position=position,
        cosines=cosines,
        spacing=spacing if spacing and min(spacing) > 0 else None,
        is_at_detector=at_detector is not None,
        thickness=abs(thickness[0]) or None,
        apart=abs(apart[0]) or None,
        slope=1.0 if slope is None else slope[0],
        intercept=0.0 if intercept is None else intercept[0],
        is_rescaled=stored.has_lookup or not (slope is None and intercept is None),
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


def description_of(path: Path) -> str:
    """What the scanner calls the series of a file, which can name the patient; empty if it does not say."""
    import pydicom

    with guarded(path), opened(path) as file:
        header = pydicom.dcmread(file, stop_before_pixels=True, force=True, specific_tags=["SeriesDescription"])  # type: ignore[arg-type]
        return str(header.get("SeriesDescription", "") or "")
