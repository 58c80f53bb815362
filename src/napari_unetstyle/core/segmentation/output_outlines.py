"""Outlines of results as files: ImageJ ROIs, and GeoJSON for QuPath."""

from __future__ import annotations

import json
import os
import re
import uuid
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.colors import rgb
from napari_unetstyle.core.files import atomic_path
from napari_unetstyle.core.models.spec import ClassSpec
from napari_unetstyle.core.segmentation.outlines import Outline, Ring, outlines
from napari_unetstyle.core.segmentation.result import SegmentResult

_FIXED_TIME = (1980, 1, 1, 0, 0, 0)  # the same result gives the same bytes


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
    roi.stroke_color = b"\xff" + bytes(rgb(owner.color))
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
    letters = [axis for axis in result.label_axes if f"frame_{axis.lower()}" in result.objects]
    columns = ["label", *(f"frame_{axis.lower()}" for axis in letters)]
    keys = zip(*(result.objects.get(name, np.zeros(0, int)).tolist() for name in columns), strict=True)
    rows = {key: i for i, key in enumerate(keys)}  # an area has one for each frame
    numbers = {name: column for name, column in result.objects.items() if np.asarray(column).dtype.kind in "uif"}
    kind = "detection" if result.output == "objects" else "annotation"
    for frame, label, owner, parts in _outlined(result):
        row = rows.get((label, *(frame[axis] for axis in letters)))
        measured = {} if row is None else {name: float(column[row]) for name, column in numbers.items()}
        yield {
            "type": "Feature",
            "id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{label} {frame}")),
            "geometry": {**_polygons(parts), **({"plane": _plane(frame)} if frame else {})},
            "properties": {
                "objectType": kind,
                "name": f"{owner.name} {label}" if kind == "detection" else owner.name,
                "classification": {"name": owner.name, "color": list(rgb(owner.color))},
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
