"""What people type for places and sizes, as the options have it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from napari_unetstyle.core.errors import OptionError
from napari_unetstyle.core.imaging.channels import INDEX


def parse_channel(text: str | None) -> int | str | None:
    """A number from 0, or a name."""
    return int(text) if text is not None and INDEX.fullmatch(text) else text


def parse_spacing(text: str | None) -> tuple[float, ...] | None:
    """``0.5``, ``0.5,0.5`` or ``2,0.5,0.5`` (ZYX), in micrometers."""
    if text is None:
        return None
    allowed = "pixel sizes in micrometers such as 0.25,0.25 (Y,X) or 2,0.25,0.25 (Z,Y,X)"
    row, *more = _rows(text, float, "spacing", allowed)
    if more:
        raise _not_allowed("spacing", text, allowed)
    return row * 2 if len(row) == 1 else row


def parse_box(text: str | None) -> tuple[tuple[int, int], ...] | None:
    """``y0,y1;x0,x1``."""
    if text is None:
        return None
    allowed = "rows and columns in pixels such as '0,512;100,612' (y0,y1;x0,x1)"
    rows = _rows(text, int, "box", allowed)
    if any(len(row) != 2 for row in rows):
        raise _not_allowed("box", text, allowed)
    return tuple((row[0], row[1]) for row in rows)


def parse_polygon(text: str | None) -> tuple[tuple[float, float], ...] | None:
    """``y,x;y,x;y,x`` or a GeoJSON file with one polygon."""
    if text is None:
        return None
    if text.lower().endswith((".geojson", ".json")):
        return _polygon_of(Path(text))
    allowed = "at least three corners in pixels such as '0,0;0,90;80,45' (y,x), or a .geojson file"
    rows = _rows(text, float, "polygon", allowed)
    if any(len(row) != 2 for row in rows):
        raise _not_allowed("polygon", text, allowed)
    return tuple((row[0], row[1]) for row in rows)


def parse_frames(text: str | None) -> tuple[tuple[int, ...], ...] | None:
    """``0;4;7``, or ``t,z;t,z``."""
    if text is None or not text.strip():
        return None
    return _rows(text, int, "frames", "numbers from 0 such as '0;4;7', or 't,z;t,z'")


def _rows(text: str, number: type[Any], name: str, allowed: str) -> tuple[tuple[Any, ...], ...]:
    try:
        return tuple(tuple(number(value) for value in row.split(",")) for row in text.strip("; ").split(";"))
    except ValueError as error:
        raise _not_allowed(name, text, allowed) from error


def _not_allowed(name: str, text: str, allowed: str) -> OptionError:
    return OptionError(f"Option --{name} {text!r} is not allowed: give {allowed}.")


def _polygon_of(file: Path) -> tuple[tuple[float, float], ...]:
    """The outer ring of the only polygon in a GeoJSON file; there x comes first, and corners of pixels are whole."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        shapes = _geometries(content)
        if [shape["type"] for shape in shapes] != ["Polygon"]:
            kinds = ", ".join(str(shape["type"]) for shape in shapes) or "nothing"
            raise OptionError(f"{file} must hold exactly one polygon, but it holds: {kinds}. Export one shape only.")
        ring = [(float(y) - 0.5, float(x) - 0.5) for x, y, *_ in shapes[0]["coordinates"][0]]
    except OSError as error:
        raise OptionError(f"The polygon file {file} cannot be read: {error.strerror or error}.") from error
    except OptionError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise OptionError(f"{file} is no GeoJSON with a polygon. Export the shape from QuPath as GeoJSON.") from error
    return tuple(ring[:-1] if len(ring) > 1 and ring[0] == ring[-1] else ring)


def _geometries(content: Any) -> list[dict[str, Any]]:
    """Shapes of a FeatureCollection, a Feature, a list of features, or a bare geometry."""
    if isinstance(content, list):
        return [shape for part in content for shape in _geometries(part)]
    if content["type"] == "FeatureCollection":
        return _geometries(content["features"])
    return [content["geometry"] if content["type"] == "Feature" else content]
