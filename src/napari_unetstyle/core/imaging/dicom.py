"""DICOM pictures: which series a folder holds, and one of them as a volume.

Nothing about the patient is read into an :class:`Image`; what a series is called by its scanner is only kept for a
person who chooses.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.errors import AxesUnknownError, ImageError, ImageFileError, SeveralSeriesError
from napari_unetstyle.core.imaging.dicom_file import MARK, PREAMBLE, is_dicom
from napari_unetstyle.core.imaging.dicom_header import Plane, description_of, is_labels, read_planes
from napari_unetstyle.core.imaging.dicom_pixels import is_turned_over, read_pixels
from napari_unetstyle.core.imaging.dicom_stack import Stack, is_placed, number_notes, split, stacked
from napari_unetstyle.core.imaging.dicom_stored import Stored
from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.imaging.image import Image

SUFFIXES = (".dcm", ".dicom", ".ima")
_SAME_DIRECTION, _SAME_SIZE = 2e-3, 1e-3
_LISTED = 12

Source = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Series:
    """Slices that belong together.

    Attributes
    ----------
    number
        Place in the list of :func:`find_series`, from 1.
    modality
        ``"CT"``, ``"MR"``, …
    series_number
        The scanner's own number of the series, or None.
    part
        Which of several acquisitions at the same place, e.g. ``"echo 2 of 3"``; else empty.
    planes
        The slices, in no order.
    most
        How many slices the acquisition at the same place that has most of them holds; 0 if there is no other.
    """

    number: int
    part: str
    most: int = 0
    planes: tuple[Plane, ...] = field(repr=False)

    @property
    def _stored(self) -> Stored:
        return self.planes[0].stored

    @property
    def uid(self) -> str:
        """Series Instance UID, which can lead to the patient: not for logs."""
        return self._stored.series_uid

    @property
    def key(self) -> str:
        """What the series is known by, whatever else is in its folder; a sha256, as its UID can lead to the patient."""
        first = min(self.planes, key=lambda plane: (plane.stored.instance, plane.frame))
        about = (self.uid, self._stored.frame_of_reference, self.part, self.size, first.cosines)
        return hashlib.sha256(repr(about).encode()).hexdigest()

    @property
    def description(self) -> str:
        """What the scanner calls the series, which can name the patient: read only for a person who chooses."""
        return description_of(self._stored.path)

    @property
    def modality(self) -> str:
        """``"CT"``, ``"MR"``, …; ``"DICOM"`` where the file has no such code."""
        return self._stored.modality

    @property
    def series_number(self) -> int | None:
        """The scanner's own number of the series."""
        return self._stored.series_number

    @property
    def count(self) -> int:
        """Number of slices or frames."""
        return len(self.planes)

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return self._stored.rows, self._stored.columns

    @property
    def files(self) -> tuple[Path, ...]:
        """The files, each once."""
        return tuple(dict.fromkeys(plane.stored.path for plane in self.planes))

    @property
    def is_rescaled(self) -> bool:
        """Whether the files say how their values become those of a quantity (Hounsfield units, say)."""
        return self.planes[0].is_rescaled

    @property
    def name(self) -> str:
        """A name without anything about the patient, such as ``"CT 3"``."""
        return " ".join(str(part) for part in (self.modality, self.series_number, self.part) if part not in (None, ""))

    @property
    def summary(self) -> str:
        """Kind, count and size in words, without anything about the patient."""
        number = "" if self.series_number is None else f" (series {self.series_number})"
        part = f", {self.part}" if self.part else ""
        what = "slice" if is_placed(self.planes[0]) else "frame"
        many = "" if self.count == 1 else "s"
        return f"{self.modality}{number}{part}, {self.count} {what}{many} of {self.size[0]} x {self.size[1]}"

    @property
    def window(self) -> tuple[float, float] | None:
        """Lowest and highest value to show, as the middle slice states them; or None.

        Center and width are turned into limits as the standard does (PS3.3, C.11.2.1.2.1).
        """
        stated = self.planes[len(self.planes) // 2].window
        if stated is None or self._stored.photometric != "MONOCHROME2":
            return None
        (center, width) = stated
        return (center - 0.5 - (width - 1) / 2, center - 0.5 + (width - 1) / 2) if width > 1 else None

    def problem(self) -> str:
        """Why the slices make no volume, in words; empty if they do."""
        try:
            stacked(self.planes)
        except ImageError as error:
            return str(error)
        return ""


def find_series(folder: Source) -> list[Series]:
    """The series of pictures among DICOM files, without their pixels.

    Files that hold no pictures (reports, plans, directories, labels) and other files are left out. Slices belong
    together if they have the same series, frame of reference, size and direction; acquisitions at the same place
    (echoes, times, b-values) become series of their own.

    Parameters
    ----------
    folder
        A folder, searched in depth; a file; or files.

    Returns
    -------
    list of Series
        In the order of the scanner's numbers; empty if there are none.

    Raises
    ------
    ImageFileError
        If a DICOM file is truncated or damaged: without it a volume might look whole.
    """
    groups: list[list[Plane]] = []
    is_searched = isinstance(folder, (str, os.PathLike)) and Path(folder).is_dir()
    for path in _files(folder):
        for plane in _planes(path, is_named=not is_searched):
            group = next((group for group in reversed(groups) if _belong_together(group[0], plane)), None)
            if group is None:
                groups.append([plane])
            else:
                group.append(plane)
    groups.sort(key=lambda group: _order(group[0].stored))
    found: list[Series] = []
    for group in groups:
        parts = split(group)
        most = max(len(planes) for _, planes in parts) if len(parts) > 1 else 0
        for part, planes in parts:
            found.append(Series(number=len(found) + 1, part=part, most=most, planes=planes))
    return found


def read_series(path: Source, series: int | str | None = None, axes: str | None = None) -> Image:
    """Read one series as a volume ``ZYX`` in the patient (mm), its slices in the order in which they lie.

    Pictures that say nothing of a place in the patient (X-ray, photographs) become ``YX``, frames that follow one
    another in time ``TYX``; colors are the last axis. Values are those that the files state (Hounsfield units, say).

    Parameters
    ----------
    path
        A folder, a file, or files.
    series
        Which series, if there are several: its number in the list of :func:`find_series`, from 1, or its Series
        Instance UID, or its `Series.key`.
    axes
        One letter per axis, where the file does not say what its frames are, or says wrong.

    Raises
    ------
    ImageError
        If there are several series and `series` does not say which one (they are listed), or the slices make no
        regular grid: a tilted gantry, missing slices, two at one place, uneven distances; or some do not say how
        their values are scaled.
    ImageFileError
        If a file is truncated or damaged, or there is no picture.
    MissingExtraError
        If the pixels are compressed in a way that needs further packages.
    """
    return image_of(series_of(path, series), axes)


def series_of(path: Source, series: int | str | None = None) -> Series:
    """The only series, or the one that is asked for; see :func:`read_series`."""
    found = find_series(path)
    if not found:
        raise ImageFileError(
            f"{_named(path)} holds no DICOM pictures. Give a DICOM file, or a folder of them; for labels (DICOM-SEG) "
            "the file itself."
        )
    return _chosen(found, series, path)


def image_of(series: Series, axes: str | None = None) -> Image:
    """The volume (or picture) of one series; see :func:`read_series`."""
    stack = stacked(series.planes)
    colors = (
        "C" if series.planes[0].stored.samples > 1 or series.planes[0].stored.photometric == "PALETTE COLOR" else ""
    )
    letters = (axes or "").upper() or _stated(stack, series, colors)
    array = read_pixels(stack.planes)
    if "Z" not in letters and "T" not in letters and array.shape[0] == 1 and len(letters) == array.ndim - 1:
        array = array[0]
    return Image(
        array=array,
        axes=letters,
        geometry=_geometry(stack, letters),
        name=series.name,
        notes=(*stack.notes, *_notes(series, stack, array)),
        window=series.window,
    )


def _geometry(stack: Stack, letters: str) -> Geometry:
    spatial = "".join(a for a in "ZYX" if a in letters)
    if len(spatial) == len(stack.geometry.spacing):
        return stack.geometry
    if len(spatial) < len(stack.geometry.spacing):
        return stack.geometry.sizes(len(spatial))
    size = stack.planes[0].depth or stack.geometry.spacing[0]
    return Geometry(spacing=(size, *stack.geometry.spacing), unit=stack.geometry.unit)


def _stated(stack: Stack, series: Series, colors: str) -> str:
    if "?" not in stack.axes:
        return stack.axes + colors
    lengths = (series.count, *series.size, *((3,) if colors else ()))
    problem = f"The {series.count} frames of {series.modality} pictures do not say whether they are slices or times."
    raise AxesUnknownError(
        f"{problem} State the axes: 'ZYX' for slices, 'TYX' for times, with a C at the end for colors (axes= in "
        "Python, --axes on the command line).",
        lengths,
        (f"ZYX{colors}", f"TYX{colors}"),
    ).for_windows(f"{problem} Open them from a folder without other series, and say it.")


def _notes(series: Series, stack: Stack, array: NDArray[Any]) -> tuple[str, ...]:
    stored = series.planes[0].stored
    notes = []
    if series.modality == "CT" and "Z" in stack.axes and stored.samples == 1 and not series.is_rescaled:
        notes.append("Nothing says how the values become Hounsfield units (no RescaleSlope); they are as stored.")
    if is_turned_over(stored, series.planes):
        notes.append("White is stored as 0 (MONOCHROME1); the values were turned over, so that bright is high.")
    elif stored.photometric == "MONOCHROME1":
        notes.append("White is the lowest value (MONOCHROME1); the values are those that the file states.")
    if stored.is_lossy:
        notes.append("The pixels were once compressed with loss.")
    if stored.expected > series.count and not series.part and stored.frames == 1:
        notes.append(f"The acquisition had {stored.expected} slices, of which this series holds {series.count}.")
    elif series.count < series.most:
        notes.append(
            f"Another acquisition at the same place holds {series.most} slices, and this one {series.count}: some may "
            "be missing."
        )
    elif not series.part and "Z" in stack.axes:
        notes += number_notes(stack.planes)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        notes.append("Some values are no finite numbers.")
    return tuple(notes)


def volume_folders(files: Iterable[Path]) -> set[Path]:
    """The folders among those of `files` that hold a slice of a volume, whatever else lies in them.

    A folder inside of another one counts as part of it. Pictures without a place in the patient make no volume.
    """
    is_volume: dict[Path, bool] = {}
    for file in files:
        if is_volume.get(file.parent) or file.name.startswith(".") or not _is_meant(file):
            continue
        is_slice = _is_slice(file, unread=is_volume.get(file.parent, True))
        if is_slice is not None:
            is_volume[file.parent] = is_slice
    folders = {folder for folder, is_one in is_volume.items() if is_one}
    return {folder for folder in folders if not folders & set(folder.parents)}


def _is_slice(file: Path, *, unread: bool) -> bool | None:
    """Whether a file is part of a volume, which `unread` says of one that cannot be read.

    Labels (DICOM-SEG) and reports tell nothing: they may lie beside the slices, or alone.
    """
    try:
        if is_labels(file):
            return None
        planes = _planes(file)
    except (ImageError, ImageFileError):
        return unread
    return any(plane.stored.frames == 1 and is_placed(plane) for plane in planes) if planes else None


# Files -----------------------------------------------------------------------------------------------------------


def _files(source: Source) -> Iterable[Path]:
    if not isinstance(source, (str, os.PathLike)):
        return [Path(path) for path in source]
    path = Path(source)
    if not path.is_dir():
        return [path]
    return _meant([file for file in sorted(path.rglob("*")) if file.is_file() and not file.name.startswith(".")])


def _meant(files: Sequence[Path]) -> list[Path]:
    """The files of a folder that are DICOM, or ought to be: without one of them a volume might look whole."""
    starts = {file: _start(file) for file in files if file.suffix.lower() not in SUFFIXES}
    preambles: dict[tuple[Path, str], set[bytes]] = {}
    for file, start in starts.items():
        if is_dicom(start):
            preambles.setdefault(_kind(file), set()).add(start[:PREAMBLE])
    return [
        file
        for file in files
        if file not in starts or is_dicom(starts[file]) or _is_cut(starts[file], preambles.get(_kind(file), set()))
    ]


def _kind(file: Path) -> tuple[Path, str]:
    """What files that lie and are called alike have in common: their folder and suffix, which may be a number."""
    return file.parent, ".0" if file.suffix[1:].isdigit() else file.suffix.lower()


def _is_cut(start: bytes, preambles: Collection[bytes]) -> bool:
    """Whether a file beside slices is one that lost its mark: empty, zeros, or beginning as one of them does."""
    is_begun = any(preamble.startswith(start[:PREAMBLE]) for preamble in preambles)
    return is_begun or (bool(preambles) and not start.strip(b"\0"))


def _is_meant(file: Path) -> bool:
    """Whether a file in a folder is DICOM by its suffix or its first bytes."""
    return file.suffix.lower() in SUFFIXES or is_dicom(_start(file))


def _start(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(PREAMBLE + len(MARK))
    except FileNotFoundError as error:
        raise ImageFileError(f"There is no file {file}. Check the name and the folder.") from error
    except OSError as error:
        raise ImageFileError(f"{file} cannot be read: {error.strerror or error}.") from error


def _planes(path: Path, *, is_named: bool = True) -> tuple[Plane, ...]:
    start = _start(path)
    if not is_dicom(start):
        what = "is no DICOM file, or damaged at its start" if start else "is empty"
        raise ImageFileError(f"{path} {what}. Copy or export it again, or take it out of the folder.")
    return read_planes(path, is_named=is_named)


# Series ----------------------------------------------------------------------------------------------------------


def _belong_together(one: Plane, other: Plane) -> bool:
    a, b = one.stored, other.stored
    if a is b and one.position is None and other.position is None:
        return True
    return (
        is_placed(one)
        and is_placed(other)
        and a.series_uid == b.series_uid
        and a.frame_of_reference == b.frame_of_reference
        and (a.rows, a.columns, a.samples, a.photometric, a.kind, a.allocated, a.is_signed, a.has_lookup)
        == (b.rows, b.columns, b.samples, b.photometric, b.kind, b.allocated, b.is_signed, b.has_lookup)
        and _are_close(one.cosines, other.cosines, _SAME_DIRECTION)
        and _are_close(one.spacing, other.spacing, _SAME_SIZE * min(one.spacing or (1.0,)))
    )


def _are_close(one: tuple[float, ...] | None, other: tuple[float, ...] | None, within: float) -> bool:
    if one is None or other is None:
        return one is other
    return all(abs(a - b) <= within for a, b in zip(one, other, strict=True))


def _order(stored: Stored) -> tuple[float, str, int]:
    number = stored.series_number
    return (float("inf") if number is None else number, stored.series_uid, stored.instance)


def _chosen(found: Sequence[Series], series: int | str | None, path: Source) -> Series:
    if series is None and len(found) == 1:
        return found[0]
    text = str(series)
    fitting = [one for one in found if text in (str(one.number), one.uid, one.key)]
    if series is not None and len(fitting) == 1:
        return fitting[0]
    listed = "; ".join(f"{one.number}: {one.summary}" for one in found[:_LISTED])
    more = f"; and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    said = (
        "" if series is None else f", and {text if isinstance(series, int) else 'what was asked for'} is none of them"
    )
    raise SeveralSeriesError(
        f"{_named(path)} holds {len(found)} series{said}. State one by its number, series=1 in Python or --series 1 on "
        f"the command line: {listed}{more}.",
        tuple(found),
    ).for_windows(f"{_named(path)} holds {len(found)} series. Open it in napari, and choose one.")


def _named(path: Source) -> str:
    return str(path) if isinstance(path, (str, os.PathLike)) else f"The choice of {len(path)} files"
