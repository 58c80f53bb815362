"""Labels out of DICOM-SEG: on the grid that its own frames make, with the names and colors of its segments.

Nothing about the patient is read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.errors import ImageError, ImageFileError
from napari_unetstyle.core.imaging import geometry as geo
from napari_unetstyle.core.imaging.dicom_file import guarded, is_dicom
from napari_unetstyle.core.imaging.dicom_header import LabelFrames, Plane, is_labels, read_label_frames
from napari_unetstyle.core.imaging.dicom_pixels import iter_stored
from napari_unetstyle.core.imaging.dicom_seg import Segment, tracked
from napari_unetstyle.core.imaging.dicom_stack import is_placed, scattered
from napari_unetstyle.core.imaging.dicom_values import Header
from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.imaging.turn import Turn

LARGEST, LARGEST_EXPANSION = 2**30, 1000  # voxels, or voxels for a stored byte
_ALIKE = 1e-4
_UNNAMED = ("#e41a1c", "#377eb8", "#4daf4a", "#984ea3", "#ff7f00", "#a65628", "#f781bf", "#999999")
_START = 132  # bytes that tell DICOM


@dataclass(frozen=True, kw_only=True)
class _Numbered:
    """A segment with the number that the frames of its file call it by."""

    number: int
    segment: Segment


def is_segmentation(path: Path) -> bool:
    """Whether a file is DICOM-SEG, whatever its name; False for folders and what is not there.

    Raises
    ------
    ImageFileError
        If it is DICOM, and truncated or damaged.
    """
    try:
        with path.open("rb") as file:
            start = file.read(_START)
    except OSError:
        return False
    return is_dicom(start) and is_labels(path)


def read_segmentation(path: Path, axes: str | None = None) -> Image:
    """Read a segmentation as labels ``ZYX`` in the patient (mm), in the smallest unsigned type that holds them.

    The grid is that of the file's own frames, from the first to the last slice that has one. Empty slices, which files
    leave out, are 0 in between; at the ends they are not known of, so that the labels may have fewer slices than their
    picture. They lie where they belong all the same, and :func:`on_grid` brings them onto the picture's grid.

    Labels have the values that :func:`~napari_unetstyle.core.write_labels` was given; those of other programs are the
    numbers of the segments.

    Parameters
    ----------
    path
        The file.
    axes
        ``"ZYX"``, or None.

    Raises
    ------
    ImageFileError
        If the file is truncated or damaged.
    ImageError
        If segments overlap, or are probabilities; if its frames do not say where they lie, make no regular grid, or are
        those of a slide.
    MissingExtraError
        If the frames are compressed in a way that needs further packages.
    """
    frames = read_label_frames(path)
    _check_kind(path, frames)
    _check_alike(path, frames.planes)
    stack, index = scattered(frames.planes, frames.between)
    segments = _segments(path, frames)
    stored = frames.planes[0].stored
    shape = (int(index.max()) + 1, stored.rows, stored.columns)
    _check_size(path, shape)
    values = {one.number: one.segment.value for one in segments}
    labels = np.zeros(shape, np.min_scalar_type(max(values.values(), default=0)))
    if frames.kind == "LABELMAP":
        _fill_numbers(path, labels, frames, index, values)
    else:
        _fill_masks(path, labels, frames, index, values)
    number = "" if stored.series_number is None else f" {stored.series_number}"
    return Image(
        array=labels, axes=axes or "ZYX", geometry=stack.geometry, name=f"{stored.modality}{number}", notes=stack.notes
    )


def segmentation_info(path: Path) -> dict[str, Any]:
    """Whether a segmentation holds objects or areas, and of areas the classes: value, name and color of each segment.

    Raises
    ------
    ImageFileError
        If the file is truncated or damaged.
    """
    segments = [one.segment for one in _segments(path, read_label_frames(path))]
    is_objects = bool(segments) and all(segment.is_object for segment in segments)
    rows = [{"value": s.value, "name": s.name, "color": s.color} for s in segments]
    return {"output": "objects" if is_objects else "areas", "classes": [] if is_objects else rows}


# What the file says ----------------------------------------------------------------------------------------------


def _check_kind(path: Path, frames: LabelFrames) -> None:
    if frames.kind == "FRACTIONAL":
        raise ImageError(
            f"{path} holds probabilities (a fractional DICOM-SEG), and labels are whole numbers. Export it as binary."
        )
    if frames.kind not in ("BINARY", "LABELMAP"):
        raise ImageError(f"{path} does not say in a known way what its values mean. Export it as a binary DICOM-SEG.")


def _check_alike(path: Path, planes: Sequence[Plane]) -> None:
    """Whether all frames say where they lie, and are of one direction and pixel size."""
    if not all(map(is_placed, planes)):
        raise ImageError(
            f"{path} holds labels that do not say where they lie in the patient. Export them as .nii.gz or .nrrd."
        )
    first = planes[0]
    for name in ("cosines", "spacing"):
        values = [getattr(plane, name) for plane in planes]
        if None not in values and np.abs(np.array(values) - getattr(first, name)).max() > _ALIKE:
            raise ImageError(
                f"{path} holds labels of several directions or pixel sizes, which make no volume. Export one at a time."
            )


def _check_size(path: Path, shape: tuple[int, ...]) -> None:
    if math.prod(shape) > max(LARGEST, LARGEST_EXPANSION * path.stat().st_size):
        raise ImageError(
            f"{path} says that its slices lie so far apart that {shape[0]} of {shape[1]} x {shape[2]} would be needed. "
            "It is damaged; export it again."
        )


def _segments(path: Path, frames: LabelFrames) -> list[_Numbered]:
    """The segments, with the labels that they had when they were written here; else their numbers are the labels."""
    with guarded(path):
        items = [(item.integer("SegmentNumber") or 0, item) for item in frames.segments]
        items = [(number, item) for number, item in items if number > 0]  # 0 is the background of a label map
        ours = [_tracked(item) for _, item in items]
        kept = [one for one in ours if one is not None]
        is_ours = len(kept) == len(items) and len({value for value, _ in kept} - {0}) == len(items)
        found = kept if is_ours else [(number, False) for number, _ in items]
        if len({number for number, _ in items}) < len(items):
            raise ImageFileError(f"{path} is damaged: two of its segments have one number. Export it again.")
        return [
            _Numbered(
                number=number,
                segment=Segment(value=value, name=_name(item, number), color=_color(item, number), is_object=is_object),
            )
            for (number, item), (value, is_object) in zip(items, found, strict=True)
        ]


def _tracked(item: Header) -> tuple[int, bool] | None:
    codes = item.items("SegmentedPropertyTypeCodeSequence")
    return tracked(codes[0].text("CodingSchemeDesignator"), item.text("TrackingID")) if codes else None


def _name(item: Header, number: int) -> str:
    """The segment's label, in the characters that the file is written in."""
    text = re.sub(r"[\x00-\x1f]", " ", str(item.dataset.get("SegmentLabel", "") or "")).strip()
    return text or f"segment {number}"


def _color(item: Header, number: int) -> str:
    """``"#rrggbb"``, as stored in CIELab for the eye (PS3.3, C.10.7.1.1); one of ours if the file has none."""
    from skimage.color import lab2rgb

    stored = item.numbers("RecommendedDisplayCIELabValue")
    if stored is None or len(stored) != 3:
        return _UNNAMED[(number - 1) % len(_UNNAMED)]
    lab = np.array(stored) / 65535 * (100, 255, 255) - (0, 128, 128)
    red, green, blue = np.rint(255 * np.clip(lab2rgb(lab), 0, 1)).astype(int).tolist()
    return f"#{red:02x}{green:02x}{blue:02x}"


# The labels ------------------------------------------------------------------------------------------------------


def _fill_masks(
    path: Path, labels: NDArray[Any], frames: LabelFrames, index: NDArray[np.intp], values: dict[int, int]
) -> None:
    """Each frame is where one segment is."""
    if not set(frames.numbers) <= set(values):
        raise ImageFileError(f"{path} is damaged: it holds frames of segments that it does not describe.")
    _check_once(path, list(zip(frames.numbers, index.tolist(), strict=True)))
    owners = {value: number for number, value in values.items()}
    for frame, number, z in zip(iter_stored(frames.planes[0].stored), frames.numbers, index, strict=True):
        assert number is not None
        inside = frame != 0
        below = labels[z][inside]
        if below.any():
            other = owners[int(below[below != 0][0])]
            raise ImageError(
                f"{path} has segments that overlap ({min(other, number)} and {max(other, number)}), and labels are one "
                "number for each voxel. Export the segments one at a time."
            )
        labels[z][inside] = values[number]


def _fill_numbers(
    path: Path, labels: NDArray[Any], frames: LabelFrames, index: NDArray[np.intp], values: dict[int, int]
) -> None:
    """Each frame has the number of a segment in each pixel."""
    _check_once(path, index.tolist())
    table = np.zeros(max(values, default=0) + 1, labels.dtype)
    table[list(values)] = list(values.values())
    for frame, z in zip(iter_stored(frames.planes[0].stored), index, strict=True):
        if set(np.unique(frame).tolist()) - {0} - set(values):
            raise ImageFileError(f"{path} is damaged: it holds numbers of segments that it does not describe.")
        labels[z] = table[frame]


def _check_once(path: Path, places: Sequence[Any]) -> None:
    if len(set(places)) < len(places):
        raise ImageError(
            f"{path} holds several frames of one segment at one place, as of several times, which are not told apart. "
            "Export them one at a time."
        )


# Other grids -----------------------------------------------------------------------------------------------------


def on_grid(labels: Image, geometry: Geometry, shape: tuple[int, ...]) -> Image:
    """A segmentation on a larger grid on whose voxels its own lie, its axes turned if need be; what is new is 0.

    Parameters
    ----------
    labels
        As :func:`read_segmentation` gives them.
    geometry, shape
        The grid ``ZYX``.

    Returns
    -------
    Image
        With a note, if slices were added; `labels` as they are if they do not lie on voxels of the grid.
    """
    place = labels.geometry
    is_comparable = place.is_anatomical == geometry.is_anatomical and geometry.is_physical and place.is_physical
    if not is_comparable or len(shape) != 3 or labels.axes != "ZYX":
        return labels
    turn = Turn.onto(place, geometry)
    turned = turn.seen(np.asarray(labels.array))
    own = turn.place(place, labels.array.shape).in_unit(geometry.unit)
    start = np.rint(np.linalg.solve(geometry.affine, [*own.origin, 1])[:3]).astype(int)
    end = start + turned.shape
    there = replace(geometry, origin=tuple(geometry.to_world(start).tolist()))
    if (start < 0).any() or (end > shape).any() or geo.apart(own, there, turned.shape) > _near(geometry):
        return labels
    whole = np.zeros(shape, turned.dtype)
    whole[tuple(map(slice, start, end))] = turned
    added = math.prod(shape) > turned.size
    note = "Slices that the labels (DICOM-SEG) leave out at their ends were taken as empty."
    return replace(labels, array=whole, geometry=geometry, notes=(*labels.notes, *([note] if added else [])))


def on_one_grid(one: Image, other: Image) -> tuple[Image, Image]:
    """Two segmentations on the smallest grid that holds both; as they are if their voxels do not lie on one grid."""
    first, second = one.geometry, other.geometry
    turned = Turn.onto(second, first).image(other)
    own = turned.geometry
    start = np.rint(np.linalg.solve(first.affine, [*own.origin, 1])[:3]).astype(int)
    lowest = np.minimum(start, 0)
    end = np.maximum(start + turned.label_shape[-3:], one.array.shape)
    shape = tuple((end - lowest).tolist())
    if math.prod(shape) > LARGEST:
        return one, other
    grid = replace(first, origin=tuple(first.to_world(lowest).tolist()))
    both = on_grid(one, grid, shape), on_grid(other, grid, shape)
    return both if both[0].geometry == both[1].geometry else (one, other)


def _near(geometry: Geometry) -> float:
    return geo.SAME_PLACE * min(geometry.spacing)
