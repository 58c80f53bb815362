"""Results as files: labels, CSV table, ImageJ ROIs, QuPath GeoJSON. Each replaces an old one in one step."""

from __future__ import annotations

import csv
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import ValidationError

from napari_unetstyle import __version__
from napari_unetstyle.core.errors import ImageError, OptionError, OutputError
from napari_unetstyle.core.files import atomic_path
from napari_unetstyle.core.imaging import dicom_seg
from napari_unetstyle.core.imaging import geometry as geo
from napari_unetstyle.core.imaging.dicom import Series, Source
from napari_unetstyle.core.imaging.dicom_labels import is_segmentation, segmentation_info
from napari_unetstyle.core.imaging.files import is_dicom_picture
from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.imaging.image import ArrayLike
from napari_unetstyle.core.imaging.medical import medical_suffix, volume_info, write_medical
from napari_unetstyle.core.imaging.ome_zarr import SUFFIX as ZARR
from napari_unetstyle.core.imaging.ome_zarr import is_zarr, ome_zarr_info
from napari_unetstyle.core.imaging.ome_zarr_labels import write_ome_zarr_labels
from napari_unetstyle.core.imaging.restyled import made_of
from napari_unetstyle.core.imaging.tiff_metadata import kept_info
from napari_unetstyle.core.imaging.unheard import unheard
from napari_unetstyle.core.models.spec import DISCLAIMER, ClassSpec
from napari_unetstyle.core.segmentation.label_bands import bands, planes, smallest_type
from napari_unetstyle.core.segmentation.output_tiff import IMAGEJ_LIMIT, imagej_options, ome_metadata, write_tiff
from napari_unetstyle.core.segmentation.result import SegmentResult, Table

TIFF = (".tif", ".tiff")
_TYPES = (np.uint8, np.uint16, np.uint32)
_VOLUME_TYPES = (*_TYPES, np.int64)
_ZARR_TYPES = (*_TYPES, np.uint64)
_AXES = "TZYX"
_EXACT = 2**53  # other programs take numbers through float64
_KEPT_IN_VOLUMES = ("output", "program", "intended_use", "model", "classes")
_PLAIN_COLOR = "#e41a1c"


def write_labels(
    path: str | os.PathLike[str],
    labels: SegmentResult | ArrayLike,
    *,
    axes: str | None = None,
    geometry: Geometry | None = None,
    classes: Sequence[ClassSpec] = (),
    output: Literal["objects", "areas"] | None = None,
    name: str | None = None,
    source: Source | Series | None = None,
    series: int | str | None = None,
    say: Callable[[str], object] | None = None,
) -> Path:
    """Write labels compressed, in the smallest type that holds them, piece by piece; the suffix chooses the format.

    ``.nii.gz``, ``.nii``, ``.nrrd``, ``.nhdr``, ``.mha`` and ``.mhd`` keep the place in the patient (spacing, origin
    and direction, in millimeters) and the names and colors of the classes; in NRRD they are 3D Slicer's segments. Their
    ids go up to 2**53. ``.nhdr`` and ``.mhd`` have their voxels in a second file beside them, named by its content.

    ``.zarr`` is OME-Zarr 0.5, a folder, with coarser levels of every second pixel and ids up to 2**63 - 1. If it is
    there already and holds a picture, the labels become one of its labels, called `name`, on the grid of one of its
    levels. No folder is ever replaced.

    ``.dcm`` is DICOM-SEG: it refers to the series that was segmented (`source`) and carries its patient and frame of
    reference, which no other format does.

    ``.tif`` (or ``.tiff``) is TIFF, which keeps no place. Up to 65535 ids it is an ImageJ hyperstack, above an OME-TIFF
    (uint32), as ImageJ has no larger integers; ``.ome.tif`` is always an OME-TIFF. Both keep the pixel size, and as
    JSON (``Image > Show Info`` in ImageJ, the image description in OME) the names and colors of the classes, how the
    labels were made, and their axes, so that :func:`~napari_unetstyle.core.read_image` gives back those of length 1,
    too.

    Parameters
    ----------
    path
        ``.tif``, ``.nii.gz``, ``.nii``, ``.nrrd``, ``.nhdr``, ``.mha``, ``.mhd``, ``.zarr`` or ``.dcm``
    labels
        A result, or ids of any integer type with `axes`, `geometry` and `classes`; for ``.zarr`` they may be lazy.
    axes
        Axes of an array out of ``T Z Y X``; only needed where it has more than two. It is written in this order.
    geometry
        Pixel size and place of an array, ``(Z)YX`` in any order of its axes; unknown if None.
    classes
        Names and colors for an array.
    output
        Whether the values of an array are those of objects or of classes, if that is known.
    name
        Of the labels in an OME-Zarr picture.
    source, series
        For DICOM-SEG the DICOM folder or files that were segmented, and which series of them.
    say
        What is called with :func:`place_note`, where there is one; a Python warning if None.

    Raises
    ------
    OutputError
        If the suffix is none of these, an id cannot be stored, axes, shape and pixel size do not fit each other, or the
        file cannot be written; what was there before is whole.
    MissingExtraError
        If DICOM-SEG is asked for and highdicom is not installed.
    """
    file = Path(path)
    suffix = file.suffix.lower()
    if suffix not in (ZARR, dicom_seg.SUFFIX) and not medical_suffix(file):
        _check_suffix(file, ".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd", ZARR, dicom_seg.SUFFIX)
    written = _Written.of(file, labels, axes, geometry, classes, output, is_lazy=suffix == ZARR)
    if suffix == dicom_seg.SUFFIX:
        return _write_segmentation(file, written, source, series)
    if suffix == ZARR:
        done = _write_zarr(file, written, name)
    elif name is not None:
        raise OutputError(f"Could not write {path}: only labels in an OME-Zarr picture have a name. Leave it out.")
    else:
        done = _write_volume(file, written) if medical_suffix(file) else _write_tiff(file, written)
    for note in place_note(file, written.geometry) if name is None else ():  # in a picture they lie as it does
        if say is None:
            warnings.warn(note, stacklevel=2)
        else:
            say(note)
    return done


def place_note(path: str | os.PathLike[str], geometry: Geometry) -> tuple[str, ...]:
    """What the format of `path` cannot hold of where labels lie, as a sentence; none if it holds all that matters.

    OME-Zarr has no direction, so labels of a tilted or mirrored volume lie elsewhere in other programs; TIFF has no
    place at all.
    """
    file = Path(path)
    is_turned = not np.allclose(geometry.direction, np.eye(len(geometry.spacing)), rtol=0, atol=1e-6)
    if medical_suffix(file) or file.suffix.lower() == dicom_seg.SUFFIX or not geometry.is_physical:
        return ()
    how = "tilted" if geometry.is_oblique else "turned or mirrored"
    if file.suffix.lower() == ZARR:
        held = f"OME-Zarr cannot hold that the volume is {how}, so other programs show the labels elsewhere"
        return (f"{held}. Where that matters, write .nii.gz, .nrrd or DICOM-SEG.",) if is_turned else ()
    if not (is_turned or geometry.is_anatomical):
        return ()
    more = f", nor that it is {how}" if is_turned else ""
    return (f"TIFF cannot hold where the volume lies{more}. Where that matters, write .nii.gz, .nrrd or DICOM-SEG.",)


def _check_suffix(file: Path, *others: str) -> None:
    """Whether the name is that of a TIFF, so that none is called something else; `others` may be given, too."""
    if file.suffix.lower() not in TIFF:
        *names, last = (".tif", *others)
        allowed = f"{', '.join(names)} or {last}" if names else last
        raise OutputError(f"Could not write {file}: give a name that ends in {allowed}. Nothing was written.")


@dataclass(frozen=True, kw_only=True, eq=False)
class _Written:
    """Labels and what is written with them.

    Attributes
    ----------
    array
        The labels; lazy only where the format takes them so.
    axes, geometry, classes
        As for :func:`write_labels`.
    info
        What else is known: output, model, options.
    owners
        Class of each object, by id, if that is known.
    """

    array: Any
    axes: str
    geometry: Geometry
    classes: Sequence[ClassSpec]
    info: dict[str, Any]
    owners: Mapping[int, int]

    @classmethod
    def of(
        cls,
        file: Path,
        labels: SegmentResult | ArrayLike,
        axes: str | None,
        geometry: Geometry | None,
        classes: Sequence[ClassSpec],
        output: str | None,
        *,
        is_lazy: bool,
    ) -> _Written:
        info: dict[str, Any] = {"program": f"napari-unetstyle {__version__}", "intended_use": DISCLAIMER}
        owners: dict[int, int] = {}
        array: Any
        if isinstance(labels, SegmentResult):
            array, axes, geometry, classes = labels.labels, labels.label_axes, labels.geometry, labels.classes
            made = {name: value for name, value in labels.provenance.items() if name not in ("seconds", "device")}
            info = {"output": labels.output, **info, **made}
            owners = dict(zip(labels.objects.get("label", []), labels.objects.get("class", []), strict=True))
        else:
            array = labels if is_lazy and isinstance(labels, ArrayLike) else np.asanyarray(labels)
            axes = axes.upper() if axes else _AXES[-len(array.shape) :]
            geometry = geometry or geo.unknown(sum(a in "ZYX" for a in axes))
            info = {"output": output, **info} if output else info
        _check_fit(file, tuple(array.shape), axes, geometry)
        order = [axes.index(axis) for axis in _AXES if axis in axes]
        if order != [*range(len(axes))]:
            array, axes = np.transpose(array, order), "".join(axes[i] for i in order)
        info["classes"] = [{"value": c.value, "name": c.name, "color": c.color} for c in classes]
        return cls(array=array, axes=axes, geometry=geometry, classes=classes, info=info, owners=owners)

    @property
    def output(self) -> str | None:
        """Whether the values are those of objects or of classes, if that is known."""
        return self.info.get("output")

    @property
    def kept_in_volumes(self) -> dict[str, Any]:
        """The part of what is known that volumes keep."""
        kept = {name: self.info[name] for name in _KEPT_IN_VOLUMES if name in self.info}
        return {**kept, **({"notes": self.info["notes"]} if self.info.get("notes") else {})}

    def segments(self) -> list[dicom_seg.Segment]:
        """A segment for each class, or for each object with the name of its class."""
        is_objects = self.output == "objects" or not self.classes
        ids = sorted({int(i) for plane in planes(self.array) for i in np.unique(plane)} - {0}) if is_objects else []
        if self.classes and not ids:  # of objects none was found, and there has to be a segment
            return [dicom_seg.Segment(value=c.value, name=c.name, color=c.color) for c in self.classes]
        known = {c.value: c for c in self.classes} if self.owners else {}
        owned = [(i, known.get(int(self.owners.get(i, 0)))) for i in ids]
        return [
            dicom_seg.Segment(
                value=i,
                name=f"{c.name} {i}" if c else f"object {i}",
                color=c.color if c else _PLAIN_COLOR,
                is_object=True,
            )
            for i, c in owned
        ]


def _check_fit(file: Path, shape: tuple[int, ...], axes: str, geometry: Geometry) -> None:
    """Whether labels have pixels, known axes, and a size along each axis in space."""
    dims = sum(a in "ZYX" for a in axes)
    if not {*"YX"} <= {*axes} <= {*_AXES} or len({*axes}) != len(axes) or len(axes) != len(shape):
        problem = f"axes {axes} do not fit labels of shape {shape}: give one letter each out of {_AXES}, with Y and X"
    elif len(geometry.spacing) != dims:
        problem = f"a pixel size {geometry.spacing} and axes {axes} do not fit: give {dims} numbers, (Z)YX"
    elif 0 in shape:
        problem = f"labels of shape {shape} have no pixel"
    else:
        return
    raise OutputError(f"Could not write {file}: {problem}. Nothing was written.")


def _write_segmentation(
    file: Path, written: _Written, source: Source | Series | None, series: int | str | None
) -> Path:
    if source is None:
        raise OutputError(f"Could not write {file}: DICOM-SEG refers to its series. State it: source=FOLDER.")
    model = written.info.get("model")
    made_by = {} if model is None else {"algorithm": model["name"], "version": str(model["version"])}
    segments = written.segments()
    return dicom_seg.write_segmentation(
        file, written.array, written.geometry, segments, source, series=series, **made_by
    )


def _write_zarr(file: Path, written: _Written, name: str | None) -> Path:
    areas = written.info["classes"] if written.output == "areas" else ()
    dtype = smallest_type(written.array, file, _ZARR_TYPES, 2**63 - 1, "an OME-Zarr")
    kept = written.kept_in_volumes
    return write_ome_zarr_labels(
        file, written.array, dtype, written.axes, written.geometry, kept, areas=areas, name=name
    )


def _write_volume(file: Path, written: _Written) -> Path:
    array = written.array
    dtype = smallest_type(array, file, _VOLUME_TYPES, _EXACT, "a volume")
    pieces, kept = bands(array), written.kept_in_volumes
    return write_medical(file, pieces, array.shape, dtype, written.axes, written.geometry, kept)


def _write_tiff(file: Path, written: _Written) -> Path:
    array, axes, geometry = written.array, written.axes, written.geometry
    info = _with_axes(written.info, axes, array.shape)
    dtype = smallest_type(array, file, _TYPES, 2**32 - 1, "a TIFF")
    colored = written.classes if written.output == "areas" else ()
    is_narrow_stack = array.ndim > 2 and array.shape[-1] == 1  # tifffile would make one plane of it
    is_ome = file.name.lower().endswith((".ome.tif", ".ome.tiff"))
    if is_ome or dtype.itemsize > 2 or array.size * dtype.itemsize > IMAGEJ_LIMIT or is_narrow_stack:
        return write_tiff(file, array, dtype, {"ome": True}, {"metadata": ome_metadata(axes, geometry, info)})
    return write_tiff(file, array, dtype, {"imagej": True}, imagej_options(axes, geometry, info, colored))


def _with_axes(info: dict[str, Any], axes: str, shape: Sequence[int]) -> dict[str, Any]:
    """What is known of labels, with their axes: TIFF itself forgets those of length 1."""
    return {**info, "axes": axes, "shape": list(shape)}


def write_probabilities(path: str | os.PathLike[str], result: SegmentResult) -> Path:
    """Write the probabilities as OME-TIFF, uint8 (255 is 1), axes ``C`` and the label axes.

    Raises
    ------
    OutputError
        If its name does not end in ``.tif``, or it cannot be written; what was there before is whole.
    """
    _check_suffix(Path(path))
    names = ["background", *[c.name for c in result.classes], "seeds"][: len(result.probability_bytes)]
    info = {"program": f"napari-unetstyle {__version__}", "intended_use": DISCLAIMER, "meaning": "255 is probability 1"}
    axes = f"C{result.label_axes}"
    metadata = ome_metadata(axes, result.geometry, _with_axes(info, axes, result.probability_bytes.shape))
    options = {"metadata": {**metadata, "Channel": {"Name": names}}}
    return write_tiff(path, result.probability_bytes, np.dtype("u1"), {"ome": True}, options)


def write_table(path: str | os.PathLike[str], table: SegmentResult | Table) -> Path:
    """Write a table as CSV (UTF-8, comma, a header line).

    Parameters
    ----------
    path
        ``.csv``
    table
        A result (its objects), or columns of equal length.
    """
    columns = table.objects if isinstance(table, SegmentResult) else table
    with (
        atomic_path(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*(np.asarray(column).tolist() for column in columns.values()), strict=True))
    return Path(path)


def picture_info(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What the file of a picture keeps, as :func:`label_info`; one that says that it holds labels is refused.

    Raises
    ------
    ImageError
        If :func:`write_labels` wrote it for a run, or it is DICOM-SEG.
    """
    info = label_info(path)
    if info.get("output"):
        raise ImageError(f"{path} holds labels, and a picture is needed. Give the picture that they were made from.")
    return info


def restyled_in(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """How the restyled picture in a file was made, whatever the file is called by now; None if it is none of ours."""
    return made_of(label_info(path))


def check_is_dicom(path: Path) -> None:
    """Refuse a picture that DICOM-SEG cannot refer to, as it is no DICOM.

    Raises
    ------
    OptionError
        If it is none.
    ImageFileError
        If it cannot be read.
    """
    if not is_dicom_picture(path):
        raise OptionError(
            f"DICOM-SEG refers to the DICOM series that was segmented, and {path} is no DICOM. Give DICOM, or leave "
            "DICOM-SEG out."
        )


def label_info(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What :func:`write_labels` kept in a file: output, classes, model, options; empty for other files.

    Of DICOM-SEG, whoever wrote it, output and classes: the names and colors of its segments.

    Whoever wrote the file: what stands among the classes and is none is left out.
    """
    info = _kept_info(Path(path))
    if "classes" not in info:
        return info
    rows = info["classes"] if isinstance(info["classes"], list) else []
    return {**info, "classes": [row for row in rows if _is_class(row)]}


def _is_class(row: Any) -> bool:
    try:
        ClassSpec.model_validate(row, strict=True)
    except ValidationError:
        return False
    return True


def _kept_info(path: Path) -> dict[str, Any]:
    import tifffile

    try:
        if is_zarr(path):
            return ome_zarr_info(path)
        if is_segmentation(path):
            return segmentation_info(path)
        if medical_suffix(path):
            return volume_info(path)
        with unheard("tifffile"), tifffile.TiffFile(path) as tiff:
            return kept_info(tiff)
    except (tifffile.TiffFileError, OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}
