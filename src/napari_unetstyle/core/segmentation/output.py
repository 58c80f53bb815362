"""Results as files: labels, CSV table, ImageJ ROIs, QuPath GeoJSON. Each replaces an old one in one step."""

from __future__ import annotations

import csv
import json
import os
import re
import uuid
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle import __version__
from napari_unetstyle.core import scratch
from napari_unetstyle.core.errors import OutputError
from napari_unetstyle.core.files import atomic_path
from napari_unetstyle.core.imaging import dicom_seg
from napari_unetstyle.core.imaging import geometry as geo
from napari_unetstyle.core.imaging.dicom import Series, Source
from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.imaging.image import ArrayLike
from napari_unetstyle.core.imaging.medical import medical_suffix, volume_info, write_medical
from napari_unetstyle.core.imaging.ome_zarr import SUFFIX as ZARR
from napari_unetstyle.core.imaging.ome_zarr import is_zarr, ome_zarr_info
from napari_unetstyle.core.imaging.ome_zarr_labels import label_pieces, write_ome_zarr_labels
from napari_unetstyle.core.models.spec import DISCLAIMER, ClassSpec
from napari_unetstyle.core.segmentation.outlines import Outline, Ring, outlines
from napari_unetstyle.core.segmentation.result import SegmentResult, Table

_ROWS = 64
_RELEASED = 32  # bands, after which memory of labels on disk is given back
_IMAGEJ_LIMIT = 2**32 - 2**25  # tifffile's own for ImageJ's kind of TIFF
_TYPES = (np.uint8, np.uint16, np.uint32)
_VOLUME_TYPES = (*_TYPES, np.int64)
_ZARR_TYPES = (*_TYPES, np.uint64)
_EXACT = 2**53  # other programs take numbers through float64
_KEPT_IN_VOLUMES = ("output", "program", "intended_use", "model", "classes")
_PLAIN_COLOR = "#e41a1c"
_OME_UNITS = {"um": "µm", "mm": "mm"}
_FIXED_TIME = (1980, 1, 1, 0, 0, 0)  # the same result gives the same bytes


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
) -> Path:
    """Write labels compressed, in the smallest type that holds them, piece by piece; the suffix chooses the format.

    ``.nii.gz``, ``.nii``, ``.nrrd`` and ``.mha`` keep the place in the patient (spacing, origin and direction, in
    millimeters) and the names and colors of the classes; in ``.nrrd`` these are segments of 3D Slicer. Their ids go up
    to 2**53.

    ``.zarr`` is OME-Zarr 0.5, a folder, with coarser levels of every second pixel and ids up to 2**63 - 1. If it is
    there already and holds a picture, the labels become one of its labels, called `name`, on the grid of one of its
    levels. No folder is ever replaced.

    ``.dcm`` is DICOM-SEG: it refers to the series that was segmented (`source`) and carries its patient and frame of
    reference, which no other format does.

    Everything else becomes TIFF, which keeps no place. Up to 65535 ids it is an ImageJ hyperstack, above an OME-TIFF
    (uint32), as ImageJ has no larger integers. Both keep the pixel size, and as JSON (``Image > Show Info`` in ImageJ,
    the image description in OME) the names and colors of the classes and how the labels were made.

    Parameters
    ----------
    path
        ``.tif``, ``.nii.gz``, ``.nii``, ``.nrrd``, ``.mha``, ``.zarr`` or ``.dcm``
    labels
        A result, or ids of any integer type with `axes`, `geometry` and `classes`; for ``.zarr`` they may be lazy.
    axes
        Axes of an array out of ``T Z Y X``; only needed where it has more than two.
    geometry
        Pixel size and place of an array; unknown if None.
    classes
        Names and colors for an array.
    output
        Whether the values of an array are those of objects or of classes, if that is known.
    name
        Of the labels in an OME-Zarr picture.
    source, series
        For DICOM-SEG the DICOM folder or files that were segmented, and which series of them.

    Raises
    ------
    OutputError
        If an id cannot be stored or the file cannot be written; what was there before is whole.
    MissingExtraError
        If DICOM-SEG is asked for and highdicom is not installed.
    """
    info: dict[str, Any] = {"program": f"napari-unetstyle {__version__}", "intended_use": DISCLAIMER}
    if isinstance(labels, SegmentResult):
        axes, geometry, classes = labels.label_axes, labels.geometry, labels.classes
        made = {name: value for name, value in labels.provenance.items() if name not in ("seconds", "device")}
        info = {"output": labels.output, **info, **made}
        array: Any = labels.labels
    else:
        is_lazy = Path(path).suffix.lower() == ZARR and isinstance(labels, ArrayLike)
        array = labels if is_lazy else np.asanyarray(labels)
        axes = axes or "TZYX"[-len(array.shape) :]
        geometry = geometry or geo.unknown(sum(a in "ZYX" for a in axes))
        info = {"output": output, **info} if output else info
    info["classes"] = [{"value": c.value, "name": c.name, "color": c.color} for c in classes]
    if Path(path).suffix.lower() == dicom_seg.SUFFIX:
        if source is None:
            raise OutputError(f"Could not write {path}: DICOM-SEG refers to its series. State it: source=FOLDER.")
        segments = _segments(labels, array, () if info.get("output") == "objects" else classes)
        made_by = (
            {"algorithm": info["model"]["name"], "version": str(info["model"]["version"])} if "model" in info else {}
        )
        return dicom_seg.write_segmentation(Path(path), array, geometry, segments, source, series=series, **made_by)
    if Path(path).suffix.lower() == ZARR:
        areas = info["classes"] if info.get("output") == "areas" else ()
        dtype = _smallest_type(array, Path(path), _ZARR_TYPES, 2**63 - 1, "an OME-Zarr")
        kept = {name: info[name] for name in _KEPT_IN_VOLUMES if name in info}
        return write_ome_zarr_labels(Path(path), array, dtype, axes, geometry, kept, areas=areas, name=name)
    if name is not None:
        raise OutputError(f"Could not write {path}: only labels in an OME-Zarr picture have a name. Leave it out.")
    if medical_suffix(path):
        dtype = _smallest_type(array, Path(path), _VOLUME_TYPES, _EXACT, "a volume")
        kept = {name: info[name] for name in _KEPT_IN_VOLUMES if name in info}
        return write_medical(Path(path), _bands(array), array.shape, dtype, axes, geometry, kept)
    dtype = _smallest_type(array, Path(path))
    colored = classes if info.get("output") == "areas" else ()
    is_narrow_stack = array.ndim > 2 and array.shape[-1] == 1  # tifffile would make one plane of it
    if dtype.itemsize > 2 or array.size * dtype.itemsize > _IMAGEJ_LIMIT or is_narrow_stack:
        return _write_tiff(path, array, dtype, {"ome": True}, {"metadata": _ome_metadata(axes, geometry, info)})
    return _write_tiff(path, array, dtype, {"imagej": True}, _imagej_options(axes, geometry, info, colored))


def write_probabilities(path: str | os.PathLike[str], result: SegmentResult) -> Path:
    """Write the probabilities as OME-TIFF, uint8 (255 is 1), axes ``C`` and the label axes.

    Raises
    ------
    OutputError
        If the file cannot be written; what was there before is whole.
    """
    names = ["background", *[c.name for c in result.classes], "seeds"][: len(result.probability_bytes)]
    info = {"program": f"napari-unetstyle {__version__}", "intended_use": DISCLAIMER, "meaning": "255 is probability 1"}
    metadata = _ome_metadata(f"C{result.label_axes}", result.geometry, info)
    options = {"metadata": {**metadata, "Channel": {"Name": names}}}
    return _write_tiff(path, result.probability_bytes, np.dtype("u1"), {"ome": True}, options)


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
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*(np.asarray(column).tolist() for column in columns.values()), strict=True))
    return Path(path)


def write_rois(path: str | os.PathLike[str], result: SegmentResult) -> Path:
    """Write the outline of every object (or class area) as ImageJ ROIs in a zip file.

    Each has a name (``00012-nucleus``), the color of its class, the class value as group, and its frame.
    Parts and holes are kept: objects that have any become composite ROIs, all others polygons along the borders of
    pixels.
    """
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in _rois(result):
            archive.writestr(zipfile.ZipInfo(name, _FIXED_TIME), data, zipfile.ZIP_DEFLATED)
    return Path(path)


def write_geojson(path: str | os.PathLike[str], result: SegmentResult) -> Path:
    """Write the outlines as GeoJSON for QuPath: objects as detections, class areas as annotations.

    Coordinates are pixels; each feature has its class with color, its holes, and what is known of it as measurements.
    """
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        for i, feature in enumerate(_features(result)):
            file.write(",\n" if i else "\n")
            json.dump(feature, file, ensure_ascii=False)
        file.write("\n]}\n")
    return Path(path)


def label_info(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What :func:`write_labels` kept in a file: output, classes, model, options; empty for other files."""
    import tifffile

    try:
        if is_zarr(Path(path)):
            return ome_zarr_info(Path(path))
        if medical_suffix(path):
            return volume_info(Path(path))
        with tifffile.TiffFile(path) as tiff:
            text = (tiff.imagej_metadata or {}).get("Info", "")
            if tiff.ome_metadata:
                image = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]
                text = image.get("Description", "")
        info = json.loads(text)
    except (tifffile.TiffFileError, OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}
    return info if isinstance(info, dict) else {}


# DICOM-SEG -------------------------------------------------------------------------------------------------------


def _segments(
    labels: SegmentResult | ArrayLike, array: NDArray[Any], classes: Sequence[ClassSpec]
) -> list[dicom_seg.Segment]:
    """A segment for each class, or for each object with the name of its class."""
    if classes:
        return [dicom_seg.Segment(value=c.value, name=c.name, color=c.color) for c in classes]
    objects = labels.objects if isinstance(labels, SegmentResult) else {}
    owners = dict(zip(objects.get("label", []), objects.get("class", []), strict=True))
    known = {c.value: c for c in labels.classes} if isinstance(labels, SegmentResult) else {}
    ids = sorted({int(i) for plane in _planes(array) for i in np.unique(plane)} - {0})
    owned = [(i, known.get(int(owners.get(i, 0)))) for i in ids]
    return [
        dicom_seg.Segment(value=i, name=f"{c.name} {i}" if c else f"object {i}", color=c.color if c else _PLAIN_COLOR)
        for i, c in owned
    ]


# TIFF ------------------------------------------------------------------------------------------------------------


def _smallest_type(
    array: NDArray[Any],
    path: Path,
    types: Sequence[type[np.integer[Any]]] = _TYPES,
    limit: int = 2**32 - 1,
    what: str = "a TIFF",
) -> np.dtype[Any]:
    if array.dtype.kind not in "bui":
        raise OutputError(f"Could not write {path}: labels must be integers, got {array.dtype}.")
    pieces = _bands(array) if isinstance(array, np.ndarray) else label_pieces(array)
    ranges = [(int(piece.min()), int(piece.max())) for piece in pieces]
    low, high = min((a for a, _ in ranges), default=0), max((b for _, b in ranges), default=0)
    for candidate in types:
        if low >= 0 and high <= min(limit, np.iinfo(candidate).max):
            return np.dtype(candidate)
    raise OutputError(
        f"Could not write {path}: label ids run from {low} to {high}; {what} of labels holds 0 to {limit}. "
        "Number the objects anew. Nothing was written."
    )


def _planes(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    for index in np.ndindex(array.shape[:-2]):
        yield array[index]


def _bands(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    for plane in _planes(array):
        for i, top in enumerate(range(0, plane.shape[0], _ROWS)):
            yield np.asarray(plane[top : top + _ROWS])
            if i % _RELEASED == _RELEASED - 1:
                scratch.release(array)


def _write_tiff(
    path: str | os.PathLike[str],
    array: NDArray[Any],
    dtype: np.dtype[Any],
    kind: dict[str, Any],
    options: dict[str, Any],
) -> Path:
    """Write compressed strips in order, so that labels on disk never have to fit into memory."""
    import tifffile

    is_big = "ome" in kind and array.size * dtype.itemsize > _IMAGEJ_LIMIT
    with (
        atomic_path(path) as temporary,
        tifffile.TiffWriter(temporary, bigtiff=is_big, byteorder="<", **kind) as writer,
    ):
        writer.write(
            _strips(array, dtype),
            shape=array.shape,
            dtype=dtype,
            rowsperstrip=_ROWS,
            compression="zlib",
            photometric="minisblack",
            software=f"napari-unetstyle {__version__}",
            **options,
        )
    return Path(path)


def _imagej_options(
    axes: str, geometry: Geometry, info: dict[str, Any], colored: Sequence[ClassSpec]
) -> dict[str, Any]:
    metadata: dict[str, Any] = {"axes": axes, "Info": json.dumps(info)}
    if colored:
        metadata |= {"LUTs": [_lookup(colored)], "min": 0, "max": 255}
    if not geometry.is_physical:
        return {"metadata": metadata}
    metadata |= {"unit": geometry.unit}
    metadata |= {"spacing": geometry.spacing[0]} if len(geometry.spacing) == 3 else {}
    return {"metadata": metadata, "resolution": tuple(1 / s for s in geometry.spacing[:-3:-1])}


def _ome_metadata(axes: str, geometry: Geometry, info: dict[str, Any]) -> dict[str, Any]:
    text = json.dumps(info)
    metadata: dict[str, Any] = {"axes": axes, "Description": text, "UUID": str(uuid.uuid5(uuid.NAMESPACE_OID, text))}
    if geometry.is_physical:
        for axis, size in zip("XYZ", geometry.spacing[::-1], strict=False):
            metadata |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": _OME_UNITS[geometry.unit]}
    return metadata


def _strips(array: NDArray[Any], dtype: np.dtype[Any]) -> Iterator[bytes]:
    import imagecodecs

    stored = dtype.newbyteorder("<")
    for band in _bands(array):
        yield bytes(imagecodecs.deflate_encode(np.ascontiguousarray(band, stored).tobytes(), level=3))


def _lookup(classes: Sequence[ClassSpec]) -> NDArray[np.uint8]:
    table = np.zeros((3, 256), np.uint8)
    for c in classes:
        table[:, min(c.value, 255)] = _rgb(c.color)
    return table


# Outlines --------------------------------------------------------------------------------------------------------


def _outlined(result: SegmentResult) -> Iterator[tuple[dict[str, int], int, ClassSpec, list[Outline]]]:
    """Frame (by axis letter), label, class and parts of everything that has an outline."""
    owner = dict(zip(result.objects.get("label", []), result.objects.get("class", []), strict=True))
    known = {c.value: c for c in result.classes}
    leading = result.label_axes[:-2]
    for index in np.ndindex(result.labels.shape[:-2]):
        frame = dict(zip(leading, index, strict=True))
        for label, parts in outlines(result.labels[index]):
            value = label if result.output == "areas" else int(owner.get(label, result.classes[0].value))
            yield frame, label, known.get(value, result.classes[0]), parts


def _rois(result: SegmentResult) -> Iterator[tuple[str, bytes]]:
    used: set[str] = set()
    for frame, label, owner, parts in _outlined(result):
        stem = f"{label:05d}-{re.sub(r'[^A-Za-z0-9_-]+', '_', owner.name)}"
        name = stem if stem not in used else "-".join([stem, *[f"{a.lower()}{i + 1}" for a, i in frame.items()]])
        used.add(name)
        yield f"{name}.roi", _roi(name, frame, owner, parts)


def _roi(name: str, frame: Mapping[str, int], owner: ClassSpec, parts: list[Outline]) -> bytes:
    import roifile

    simple = len(parts) == 1 and not parts[0].holes
    roi = roifile.ImagejRoi.frompoints(parts[0].outer if simple else _all_points(parts), name=name)
    if simple:
        roi.roitype = roifile.ROI_TYPE.TRACED
    else:
        roi.roitype, roi.n_coordinates = roifile.ROI_TYPE.RECT, 0
        roi.integer_coordinates = roi.subpixel_coordinates = None
        roi.multi_coordinates = _path(parts)
        roi.shape_roi_size = len(roi.multi_coordinates)
    roi.right, roi.bottom = roi.right - 1, roi.bottom - 1  # corners of pixels, not pixels
    roi.stroke_color = b"\xff" + bytes(_rgb(owner.color))
    roi.group = min(owner.value, 255)
    roi.t_position, roi.z_position = frame.get("T", -1) + 1, frame.get("Z", -1) + 1
    roi.position = roi.t_position or roi.z_position if len(frame) == 1 else 0
    data: bytes = roi.tobytes()
    return data


def _all_points(parts: list[Outline]) -> Ring:
    return np.concatenate([part.outer for part in parts])


def _path(parts: list[Outline]) -> NDArray[np.float32]:
    """ImageJ's shape: 0 x y moves, 1 x y draws a line, 4 closes."""
    steps: list[float] = []
    for ring in (ring for part in parts for ring in (part.outer, *part.holes)):
        for i, (x, y) in enumerate(ring.tolist()):
            steps += [1 if i else 0, x, y]
        steps.append(4)
    return np.array(steps, np.float32)


def _features(result: SegmentResult) -> Iterator[dict[str, Any]]:
    rows = {int(label): i for i, label in enumerate(result.objects.get("label", []))}
    numbers = {name: column for name, column in result.objects.items() if np.asarray(column).dtype.kind in "uif"}
    kind = "detection" if result.output == "objects" else "annotation"
    for frame, label, owner, parts in _outlined(result):
        row = rows.get(label)
        measured = {} if row is None else {name: float(column[row]) for name, column in numbers.items()}
        yield {
            "type": "Feature",
            "id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{label} {frame}")),
            "geometry": {**_polygons(parts), **({"plane": _plane(frame)} if frame else {})},
            "properties": {
                "objectType": kind,
                "name": f"{owner.name} {label}" if kind == "detection" else owner.name,
                "classification": {"name": owner.name, "color": list(_rgb(owner.color))},
                "measurements": measured,
            },
        }


def _plane(frame: Mapping[str, int]) -> dict[str, int]:
    return {"c": -1, "z": frame.get("Z", 0), "t": frame.get("T", 0)}


def _polygons(parts: list[Outline]) -> dict[str, Any]:
    polygons = [[_closed(ring) for ring in (part.outer, *part.holes)] for part in parts]
    if len(polygons) == 1:
        return {"type": "Polygon", "coordinates": polygons[0]}
    return {"type": "MultiPolygon", "coordinates": polygons}


def _closed(ring: Ring) -> list[list[int]]:
    points: list[list[int]] = ring.tolist()
    return [*points, points[0]]


def _rgb(color: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(color.removeprefix("#"))
    return red, green, blue
