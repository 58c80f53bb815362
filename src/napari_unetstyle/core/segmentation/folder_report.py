"""What a folder run is asked to write, and what it says of every picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from napari_unetstyle.core.errors import UnetstyleError
from napari_unetstyle.core.progress import Progress

State = Literal["running", "done", "skipped", "failed"]


@dataclass(frozen=True, kw_only=True)
class FolderFiles:
    """What is written besides the labels of each picture.

    Attributes
    ----------
    table
        One CSV of all objects (or areas) with a ``picture`` column, named after `SegmentResult.output`.
    measure
        The table has shape and intensity of objects, too; that of areas has none, and a note says so.
    stains
        The table has these stains, too (``"hed"`` or ``"hdx"``); needs `measure`.
    rois, geojson, probabilities
        Files beside the labels: ``_rois.zip``, ``.geojson``, ``_probabilities.tif``.
    zarr
        The labels are OME-Zarr, in the place of TIFF and volumes; where nothing else needs them as a whole they are
        decided in its chunks, and no raw copy lies on disk.
    dicom_seg
        The labels are DICOM-SEG, in the place of volumes; of DICOM only.
    full_resolution
        Labels, ROIs and GeoJSON of pictures in several resolutions are on the finest level, by the nearest pixel.
    """

    table: bool = False
    measure: bool = False
    stains: str | None = None
    rois: bool = False
    geojson: bool = False
    probabilities: bool = False
    zarr: bool = False
    dicom_seg: bool = False
    full_resolution: bool = False


@dataclass(frozen=True, kw_only=True)
class PictureStatus:
    """How one picture fared.

    Attributes
    ----------
    path, name
        The picture, and its path below the inputs' common folder.
    labels
        Where its labels are, or will be.
    state
        ``"running"``, ``"done"``, ``"skipped"`` (finished earlier and unchanged) or ``"failed"``.
    count
        Number of objects; for areas of rows in the table, one for each class and frame.
    output
        ``"objects"`` or ``"areas"``.
    seconds
        Time it took.
    message
        Why it failed.
    error
        The same for a program, if it was foreseen.
    notes
        Sentences that a person should read.
    memory
        Bytes of main memory that it will take, said once before it begins; 0 otherwise.
    """

    path: Path
    name: str
    labels: Path
    state: State
    count: int = 0
    output: str = ""
    seconds: float = 0.0
    message: str = ""
    error: UnetstyleError | None = None
    notes: tuple[str, ...] = ()
    memory: int = 0


@dataclass(frozen=True, slots=True)
class FolderProgress(Progress):
    """A step of a folder run; `picture` is the one it is about, and `counted` says which of several it is."""

    picture: PictureStatus | None = None


@dataclass(frozen=True, kw_only=True)
class FolderReport:
    """What became of every picture, and where their table is (None if none was asked for)."""

    pictures: tuple[PictureStatus, ...]
    table: Path | None = None

    def having(self, state: State) -> tuple[PictureStatus, ...]:
        """The pictures that ended in a state."""
        return tuple(picture for picture in self.pictures if picture.state == state)
