"""Labels as DICOM-SEG: the only output that carries the patient, because that is what a PACS accepts.

It refers to the pictures of the source series, and has its study, patient and frame of reference.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle import __version__
from napari_unetstyle.core.colors import rgb
from napari_unetstyle.core.errors import ImageFileError, MissingExtraError, OutputError
from napari_unetstyle.core.files import atomic_path
from napari_unetstyle.core.imaging import geometry as geo
from napari_unetstyle.core.imaging.dicom import Series, Source, series_of
from napari_unetstyle.core.imaging.dicom_file import guarded, opened
from napari_unetstyle.core.imaging.dicom_stack import Stack, is_placed, stacked
from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.imaging.unheard import unheard

SUFFIX = ".dcm"
MOST_SEGMENTS = 1000
_SCHEME = "99UNETSTYLE"
_TRACKED = re.compile(r"(?P<kind>object|class) (?P<value>[0-9]{1,18}):")
_SERIES_NUMBER = 1000  # far from those of scanners
_AWAY = 1e-3  # mm

# what a source has to state, if only as unknown, for its segmentation to be whole
_OFTEN_MISSING = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
    "StudyTime", "ReferringPhysicianName", "PositionReferenceIndicator",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Segment:
    """One label of a segmentation.

    Attributes
    ----------
    value
        Label in the array, from 1.
    name
        What it is.
    color
        ``"#rrggbb"``
    is_object
        Whether it is a single object, and not all of a class.
    """

    value: int
    name: str
    color: str
    is_object: bool = False


def write_segmentation(
    path: Path,
    labels: NDArray[Any],
    geometry: Geometry,
    segments: Sequence[Segment],
    source: Source | Series,
    *,
    series: int | str | None = None,
    algorithm: str = "UNet",
    version: str = __version__,
) -> Path:
    """Write labels of a DICOM series as DICOM-SEG (binary, one segment for each label).

    Parameters
    ----------
    path
        ``.dcm``
    labels
        Labels ``ZYX`` on the grid of the series as :func:`~napari_unetstyle.core.imaging.dicom.read_series` gives it.
    geometry
        Place of the labels; has to be that of the series.
    segments
        Names and colors of the labels; every label in the array has to be among them.
    source
        The series that was segmented: its folder or files, or what `find_series` found.
    series
        Which one, if the folder holds several.
    algorithm, version
        Of the model.

    Raises
    ------
    MissingExtraError
        If highdicom is not installed.
    OutputError
        If the labels do not lie on the series, or cannot be stored; what was at `path` is whole.
    ImageError, ImageFileError
        If the series cannot be read.
    """
    stack, headers, frames = _checked(path, tuple(labels.shape), geometry, source, series)
    _check_segments(path, labels, segments)
    masks = _on_frames(labels, stack, frames)
    with unheard("pydicom"):
        segmentation = _segmentation(path, masks, headers, segments, algorithm, version)
        _state_distance(segmentation, stack)
        _refer_to(segmentation, frames)
        with atomic_path(path, masks.nbytes) as temporary:
            segmentation.save_as(temporary)
    return path


def check_source(
    path: Path, shape: tuple[int, ...], geometry: Geometry, source: Source, series: int | str | None = None
) -> None:
    """What :func:`write_segmentation` needs of a series and of the grid of its labels, before there are any.

    Parameters
    ----------
    path
        Where the labels will be.
    shape, geometry
        Of the labels, ``ZYX``.
    source, series
        As for :func:`write_segmentation`.

    Raises
    ------
    MissingExtraError, OutputError, ImageError, ImageFileError
        As :func:`write_segmentation`.
    """
    _checked(path, shape, geometry, source, series)


def _checked(
    path: Path, shape: tuple[int, ...], geometry: Geometry, source: Source | Series, series: int | str | None
) -> tuple[Stack, list[Any], list[int]]:
    """The slices of a source on whose grid labels lie, their headers, and which frames of a file they are."""
    check_highdicom()
    stack = stacked((source if isinstance(source, Series) else series_of(source, series)).planes)
    _check_fit(path, shape, geometry, stack)
    return stack, *_headers(stack)


def check_highdicom() -> None:
    """Whether the extra ``[dicom]`` is installed.

    Raises
    ------
    MissingExtraError
        If it is not.
    """
    try:
        import highdicom  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            'DICOM-SEG needs the package highdicom: pip install "napari-unetstyle[dicom]". Other formats do without.'
        ) from error


def _check_fit(path: Path, given: tuple[int, ...], geometry: Geometry, stack: Stack) -> None:
    problem = None
    shape = (len(stack.planes), stack.planes[0].stored.rows, stack.planes[0].stored.columns)
    if not all(map(is_placed, stack.planes)) or not stack.geometry.is_physical:
        problem = "its source does not say where it lies in the patient. Choose another format, such as .nii.gz"
    elif not all(plane.stored.frame_of_reference for plane in stack.planes):
        problem = "its source has no frame of reference. Choose another format, such as .nii.gz"
    elif given != shape:
        problem = f"labels of shape {given} do not fit the series of shape {shape}. Give the series that "
        problem += "was segmented (series=…)"
    elif _distance(geometry, stack.geometry, shape) > _AWAY:
        problem = f"the labels lie {_distance(geometry, stack.geometry, shape):.3g} mm beside the series. Give the "
        problem += "series that was segmented (series=…)"
    if problem is not None:
        raise OutputError(f"Could not write {path}: {problem}. Nothing was written.")


def _distance(one: Geometry, other: Geometry, shape: tuple[int, ...]) -> float:
    """The most by which two grids differ at their corners, in mm."""
    if one.unit not in ("um", "mm") or len(one.spacing) != 3:
        return float("inf")
    return geo.apart(one, other, shape)


def _check_segments(path: Path, labels: NDArray[Any], segments: Sequence[Segment]) -> None:
    known = {segment.value for segment in segments}
    unknown = sorted({int(value) for plane in labels for value in np.unique(plane)} - known - {0})
    if unknown:
        raise OutputError(
            f"Could not write {path}: label {unknown[0]} has no name ({len(unknown)} in all). Name every label."
        )
    if not segments or len(segments) > MOST_SEGMENTS:
        raise OutputError(
            f"Could not write {path}: DICOM-SEG was asked to hold {len(segments)} segments; 1 to {MOST_SEGMENTS} are "
            "allowed. Write areas, or choose another format, such as .nii.gz."
        )


# The source ------------------------------------------------------------------------------------------------------


def _headers(stack: Stack) -> tuple[list[Any], list[int]]:
    """Whole headers of the source files, in the order of the slices; and which frames of a multi-frame file are used.

    As highdicom takes all frames of a file, its header is that of a file with those alone: others are of another time.
    """
    import pydicom

    headers = []
    for stored in dict.fromkeys(plane.stored for plane in stack.planes):
        with guarded(stored.path), opened(stored.path) as file:
            header = pydicom.dcmread(file, stop_before_pixels=True, force=True)  # type: ignore[arg-type]
        if "StudyInstanceUID" not in header or "SOPInstanceUID" not in header:
            raise ImageFileError(f"{stored.path} names no study, so that nothing can refer to it. Export it again.")
        for keyword in _OFTEN_MISSING:
            if keyword not in header:
                setattr(header, keyword, "")
        if stored.frames == 1 and "SliceThickness" not in header:
            header.SliceThickness = None  # not known, as the standard allows
        headers.append(header)
    if len(headers) > 1 and any(plane.stored.frames > 1 for plane in stack.planes):
        raise OutputError("The series lies in several files of several frames, which DICOM-SEG cannot refer to here.")
    if stack.planes[0].stored.frames == 1:
        return headers, []
    frames, (header,) = sorted(plane.frame for plane in stack.planes), headers
    header.NumberOfFrames = len(frames)
    header.PerFrameFunctionalGroupsSequence = [header.PerFrameFunctionalGroupsSequence[frame] for frame in frames]
    return headers, frames


def _on_frames(labels: NDArray[Any], stack: Stack, frames: list[int]) -> NDArray[Any]:
    """Labels in the order of the source's frames, which those of a multi-frame file may be in whatever way."""
    if not frames:
        return labels
    return labels[np.argsort([plane.frame for plane in stack.planes])]


def _refer_to(segmentation: Any, frames: list[int]) -> None:
    """Refer to frames by their numbers in the source's file, in place of those among the ones that are used."""
    if not frames:
        return
    groups = segmentation.get("PerFrameFunctionalGroupsSequence", ())
    derivations = [derivation for group in groups for derivation in group.get("DerivationImageSequence", ())]
    images = {id(image): image for derivation in derivations for image in derivation.SourceImageSequence}
    for image in images.values():  # which frames of several segments share
        image.ReferencedFrameNumber = 1 + frames[image.ReferencedFrameNumber - 1]


# The segmentation ------------------------------------------------------------------------------------------------


def _segmentation(
    path: Path,
    masks: NDArray[Any],
    headers: Sequence[Any],
    segments: Sequence[Segment],
    algorithm: str,
    version: str,
) -> Any:
    import highdicom

    try:
        return highdicom.seg.Segmentation(
            source_images=headers,
            pixel_array=_numbered(masks, [segment.value for segment in segments]),
            segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=[_description(i, s, algorithm, version) for i, s in enumerate(segments, 1)],
            series_instance_uid=highdicom.UID(),
            series_number=_SERIES_NUMBER,
            sop_instance_uid=highdicom.UID(),
            instance_number=1,
            manufacturer="napari-unetstyle",
            manufacturer_model_name=_short(algorithm, 64),
            software_versions=__version__,
            device_serial_number="none",
            content_label="SEGMENTATION",
            content_description="Research use only, not a medical device",
            series_description="Segmentation, research use only",
            omit_empty_frames=bool(masks.any()),  # else it logs that there would be none
        )
    except (AttributeError, LookupError, ValueError) as error:
        raise OutputError(
            f"Could not write {path}: the source series lacks something that DICOM-SEG needs ({type(error).__name__}). "
            "Choose another format, such as .nii.gz. Nothing was written."
        ) from None  # its message may quote what the source says of the patient


def _state_distance(segmentation: Any, stack: Stack) -> None:
    """How far apart slices are, which highdicom leaves out if they are so unevenly by the least bit.

    Slices without labels are left out, too, so nobody else could tell two that follow each other from two that do not.
    """
    from pydicom.valuerep import DSfloat

    for shared in segmentation.get("SharedFunctionalGroupsSequence", ()):
        for measures in shared.get("PixelMeasuresSequence", ()):
            if len(stack.planes) > 1 and "SpacingBetweenSlices" not in measures:
                measures.SpacingBetweenSlices = DSfloat(stack.geometry.spacing[0], auto_format=True)


def _numbered(masks: NDArray[Any], values: Sequence[int]) -> NDArray[np.uint16]:
    """The number of the segment, from 1, in the place of each label."""
    order = np.argsort(values)
    ordered, numbers = np.array(values)[order], (order + 1).astype(np.uint16)
    out = np.zeros(masks.shape, np.uint16)
    for target, plane in zip(out, masks, strict=True):
        inside = plane > 0
        target[inside] = numbers[np.searchsorted(ordered, plane[inside])]
    return out


def _description(number: int, segment: Segment, algorithm: str, version: str) -> Any:
    """A label as a segment; its name is a code of our own, as the model's classes are words."""
    import highdicom
    from pydicom.sr.codedict import codes

    meaning = _short(segment.name, 64)
    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=meaning,
        segmented_property_category=codes.SCT.AnatomicalStructure,
        segmented_property_type=highdicom.sr.CodedConcept(_code(segment.name), _SCHEME, meaning),
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name=_short(algorithm, 64), family=codes.DCM.ArtificialIntelligence, version=_short(version, 64)
        ),
        tracking_uid=highdicom.UID(),
        tracking_id=_short(f"{'object' if segment.is_object else 'class'} {segment.value}: {segment.name}", 64),
        display_color=highdicom.color.CIELabColor.from_rgb(*rgb(segment.color)),
    )


def tracked(scheme: str, tracking_id: str) -> tuple[int, bool] | None:
    """Label in the array of a segment that was written here, and whether it is an object; None of others."""
    found = _TRACKED.match(tracking_id) if scheme == _SCHEME else None
    return None if found is None else (int(found["value"]), found["kind"] == "object")


def _code(name: str) -> str:
    return re.sub("[^A-Z0-9]+", "_", name.upper()).strip("_")[:16] or "SEGMENT"


def _short(text: str, length: int) -> str:
    """Text as the standard allows it: without backslashes and control characters, and not too long."""
    return re.sub(r"[\\\x00-\x1f]", " ", text)[:length].strip() or "unnamed"
