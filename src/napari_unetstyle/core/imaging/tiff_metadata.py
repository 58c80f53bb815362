"""What a TIFF file says of its picture: pixel size (ImageJ, OME, resolution, slide scanners), names, own axes."""

from __future__ import annotations

import json
import math
import re
from typing import Any
from xml.etree.ElementTree import ParseError

from napari_unetstyle.core.errors import ImageError
from napari_unetstyle.core.imaging import geometry as geo
from napari_unetstyle.core.imaging.geometry import Geometry

_PROGRAM = "napari-unetstyle"
_COARSEST = 10.0
_CENTIMETER, _INCH = 3, 2
_MICROMETERS = {_CENTIMETER: 1e4, _INCH: 25400.0}

_Sizes = dict[str, tuple[float, str]]
_Found = tuple[Geometry, tuple[str, ...]]


def geometry_in(tiff: Any, series: Any, spatial: str) -> _Found:
    """Pixel size along `spatial` axes as the file states it, and what a person should know about it."""
    if series.kind == "ome":
        return _physical(_ome_sizes(_ome_pixels(tiff)), spatial)
    if tiff.is_imagej:
        place, notes = _physical(_imagej_sizes(tiff, series), spatial)
        if "Z" in spatial and place.is_physical and "spacing" not in (tiff.imagej_metadata or {}):
            notes = ("The file states no distance between slices, which in ImageJ is 1 of its unit.",)
        return place, notes
    sizes = _aperio_sizes(series.keyframe) or _resolution_sizes(series.keyframe)
    if sizes and max(size for size, _ in sizes.values()) > _COARSEST:
        unit = _resolution_unit(series.keyframe)
        dots = _MICROMETERS.get(unit, _MICROMETERS[_INCH]) / sizes["X"][0]
        per = "centimeter" if unit == _CENTIMETER else "inch"
        note = f"The stored {dots:.0f} dots per {per} are for printing and were not taken as the pixel size."
        return geo.unknown(len(spatial)), (note,)
    return _physical(sizes, spatial)


def _physical(sizes: _Sizes, spatial: str) -> _Found:
    usable = {axis: pair for axis, pair in sizes.items() if math.isfinite(pair[0]) and pair[0] > 0}
    if not {"Y", "X"} <= usable.keys():
        return geo.unknown(len(spatial)), ()
    notes: tuple[str, ...] = ()
    if "Z" in spatial and "Z" not in usable:
        usable["Z"] = usable["Y"]
        notes = ("The file has no distance between slices; it was taken to be the pixel size.",)
    try:
        each = [geo.in_known_unit((usable[axis][0],), usable[axis][1]) for axis in spatial]
    except ImageError:
        return geo.unknown(len(spatial)), (geo.UNKNOWN_UNIT,)
    named = {one.unit for one in each}
    if "px" in named:
        return geo.unknown(len(spatial)), ()
    if len(named) == 1:
        return Geometry(spacing=tuple(one.spacing[0] for one in each), unit=named.pop()), notes
    return Geometry(spacing=tuple(s.spacing[0] * (1e3 if s.unit == "mm" else 1) for s in each), unit="um"), notes


def _ome_pixels(tiff: Any) -> dict[str, Any]:
    import tifffile

    image = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]
    first = image[0] if isinstance(image, (list, tuple)) else image
    return dict(first["Pixels"])


def _ome_sizes(pixels: dict[str, Any]) -> _Sizes:
    return {
        axis: (float(pixels[f"PhysicalSize{axis}"]), str(pixels.get(f"PhysicalSize{axis}Unit", "µm")))
        for axis in "ZYX"
        if f"PhysicalSize{axis}" in pixels
    }


def _imagej_sizes(tiff: Any, series: Any) -> _Sizes:
    """As ImageJ's FileSaver writes them: units of Y and Z, and a distance of slices, only if they are others."""
    metadata = tiff.imagej_metadata or {}
    units = {axis: metadata.get(f"{axis.lower()}unit", metadata.get("unit", "")) for axis in "ZYX"}
    names = {axis: str(unit).replace("\\u00B5", "µ") for axis, unit in units.items()}
    sizes = {axis: (1 / density, names[axis]) for axis, density in _densities(series.keyframe).items()}
    sizes["Z"] = (abs(float(metadata.get("spacing", 1))), names["Z"])
    return sizes


def _aperio_sizes(page: Any) -> _Sizes:
    """Micrometers per pixel, as slide scanners of Aperio write them into the description."""
    stated = re.search(r"\|\s*MPP\s*=\s*([\d.]+)", page.description) if page.is_svs else None
    return dict.fromkeys("YX", (float(stated[1]), "um")) if stated else {}


def _resolution_sizes(page: Any) -> _Sizes:
    micrometers = _MICROMETERS.get(_resolution_unit(page))
    if micrometers is None:
        return {}
    return {axis: (micrometers / density, "um") for axis, density in _densities(page).items()}


def _resolution_unit(page: Any) -> int:
    unit = page.tags.get("ResolutionUnit")
    return int(unit.value) if unit is not None else _INCH


def _densities(page: Any) -> dict[str, float]:
    """Pixels per unit, where both numbers are stored and positive."""
    tags = {axis: page.tags.get(f"{axis}Resolution") for axis in "YX"}
    pairs = {axis: tag.value for axis, tag in tags.items() if tag is not None}
    found = {axis: pair[0] / pair[1] for axis, pair in pairs.items() if pair[0] > 0 and pair[1] > 0}
    return found if len(found) == len(tags) else {}


def channel_names_in(tiff: Any) -> tuple[str, ...]:
    """Names of the channels, or none."""
    if not tiff.is_ome:
        return ()
    channels = _ome_pixels(tiff).get("Channel", [])
    listed = channels if isinstance(channels, (list, tuple)) else [channels]
    names = tuple(str(channel.get("Name", "")) for channel in listed if isinstance(channel, dict))
    return names if all(names) else ()


def kept_info(tiff: Any) -> dict[str, Any]:
    """What this program, or another in its way, kept as JSON beside the pixels; empty if nothing."""
    import tifffile

    try:
        text = (tiff.imagej_metadata or {}).get("Info", "")
        if tiff.ome_metadata:
            text = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"].get("Description", "")
        info = json.loads(text)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, ParseError):
        return {}
    return info if isinstance(info, dict) else {}


def whole_axes(tiff: Any, stored: str, shape: tuple[int, ...]) -> str:
    """The stored axes, with those of length 1 that this program wrote and that are lost in a TIFF file.

    Whoever wrote or changed the file since: axes that do not fit what is stored are not taken.
    """
    info = kept_info(tiff)
    axes, lengths = str(info.get("axes", "")), info.get("shape")
    is_own = str(info.get("program", "")).startswith(_PROGRAM) and re.fullmatch("C?T?Z?YX|T?Z?C?YX", axes)
    found = dict(zip(stored, shape, strict=True))
    is_same = "".join(a for a in axes if a in found) == stored and lengths == [found.get(a, 1) for a in axes]
    return axes if is_own and is_same else stored
