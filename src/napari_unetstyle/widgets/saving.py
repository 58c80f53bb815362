"""Saving what the labels layer shows now, paint included."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari_unetstyle.core.segmentation.result import SegmentResult, Table
    from napari_unetstyle.widgets.outputs import Output


@dataclass(frozen=True)
class Format:
    """One entry of the menu *Save*."""

    words: str
    suffix: str
    writer: str  # a function of the core's output module
    needs_series: bool = False  # DICOM-SEG refers to a series, and is for pictures from one only
    into_picture: bool = False  # among the labels of the OME-Zarr picture that was opened

    @property
    def has_place(self) -> bool:
        """Whether the file says where the labels lie."""
        return self.writer == "write_labels" or self.needs_series

    def is_for(self, output: Output) -> bool:
        """Whether labels of the picture can be saved so."""
        if self.needs_series:
            return bool(files_of(output))
        return zarr_of(output) is not None if self.into_picture else True

    def write(
        self,
        path: Path,
        result: SegmentResult,
        files: tuple[str, ...],
        name: str,
        picture: str,
        say: Callable[[str], Any],
    ) -> Path:
        """Write a result; `files` are those of the DICOM series that it was made from.

        `name` is that of its layer, `picture` that of the picture's. `say` is called with what the format cannot hold
        of the place.

        Raises
        ------
        OutputError
            If the file cannot be written; what was there before is whole.
        """
        from napari_unetstyle import core

        write: Callable[..., Path] = getattr(core, self.writer)
        more: dict[str, Any] = {"source": files} if self.needs_series else {}
        if self.writer == "write_labels":
            more["say"] = say
        if self.suffix == ".zarr":
            more["name"] = name_in_picture(path, name, [picture])
        return write(path, result, **more)


TABLE_FORMAT = "table"
FORMATS = {
    "labels": Format("Labels (TIFF)…", ".tif", "write_labels"),
    "volume": Format("Labels (NIfTI)…", ".nii.gz", "write_labels"),
    "zarr": Format("Labels (OME-Zarr)…", ".zarr", "write_labels"),
    "picture": Format("Labels into the picture (OME-Zarr)", ".zarr", "write_labels", into_picture=True),
    "dicom": Format("Labels (DICOM-SEG, names the patient)…", ".dcm", "write_labels", needs_series=True),
    TABLE_FORMAT: Format("Table (CSV)…", ".csv", "write_table"),
    "rois": Format("ImageJ ROIs (zip)…", ".zip", "write_rois"),
    "geojson": Format("QuPath (GeoJSON)…", ".geojson", "write_geojson"),
}


def files_of(output: Output) -> tuple[str, ...]:
    """The files of the DICOM series that the picture was opened from; none if it was not."""
    from napari_unetstyle.widgets.series_chooser import FILES

    return tuple(output.placement.layer.metadata.get(FILES, ()))


def zarr_of(output: Output) -> Path | None:
    """The OME-Zarr picture that the output's picture was opened from; None if it was not."""
    from napari_unetstyle.core.imaging.ome_zarr import SUFFIX, is_zarr
    from napari_unetstyle.widgets.opening import path_of

    path = path_of(output.placement.layer)
    is_one = path is not None and path.lower().endswith(SUFFIX) and is_zarr(Path(path))
    return Path(path) if path is not None and is_one else None


def name_in_picture(path: Path, wanted: str, pictures: Iterable[str]) -> str | None:
    """What labels will be called in the OME-Zarr picture at `path`, beside those that it has; None if there is none.

    It is `wanted` without the names of pictures, which may name a patient: of this one, and of the `pictures` that the
    labels may be called after, whatever stands between their words.
    """
    from napari_unetstyle.core.imaging.ome_zarr import SUFFIX, is_zarr, open_ome_zarr
    from napari_unetstyle.core.imaging.ome_zarr_labels import free_label_name

    if path.suffix.lower() != SUFFIX or not is_zarr(path):
        return None
    picture = open_ome_zarr(path)
    if picture.is_labels:
        return None
    wanted = re.sub(r" \[\d+\]$", "", wanted)  # by which napari tells layers of one name apart
    for name in sorted({*names_of(str(path)), *pictures}, key=len, reverse=True):
        words = r"[\W_]+".join(re.findall(r"[^\W_]+", name))
        wanted = re.sub(rf"(?<![^\W_]){words}(?![^\W_])", " ", wanted, flags=re.IGNORECASE) if words else wanted
    return free_label_name(path, picture, wanted.strip(" _"))


def names_of(path: str | None) -> list[str]:
    """What a layer from a file may be called after it: its name, with none, some or all of its suffixes."""
    name = "" if path is None else Path(path).name
    return [name, *(name[:i] for i, letter in enumerate(name) if letter == ".")]


def as_shown(output: Output, *, has_place: bool = True) -> SegmentResult:
    """The output's result with the labels, measurements and place of its layer, as they are at this moment.

    Where they lie does not matter, and need not be certain, unless `has_place`.

    Raises
    ------
    ImageError
        If its data do not lie on the picture any more, or where they lie is not certain.
    """
    result = output.result
    provenance = {**result.provenance, **({"painted": True} if output.is_touched else {})}
    place = output.geometry if has_place else result.geometry
    return result.changed(
        labels=output.labels.copy(), geometry=place, objects=shown_table(output), provenance=provenance
    )


def shown_table(output: Output) -> Table:
    """The features of the layer as a table, with the class value of each object."""
    frame, objects = output.layer.features, output.result.objects
    table: dict[str, Any] = {"label" if name == "index" else str(name): frame[name].to_numpy() for name in frame}
    if "class" not in table:
        known = dict(zip(objects["label"].tolist(), objects["class"].tolist(), strict=True))
        first = output.result.classes[0].value
        table["class"] = np.array([known.get(label, first) for label in table["label"].tolist()], dtype=np.uint8)
    return table
