"""Words about pictures and results."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unetstyle.core.imaging.geometry import Geometry

if TYPE_CHECKING:
    from napari_unetstyle.core.imaging.image import Image
    from napari_unetstyle.core.models.spec import ClassSpec, ModelSpec
    from napari_unetstyle.core.segmentation.result import SegmentResult

UNIT_SIGNS = {"px": "px", "um": "µm", "mm": "mm"}


def describe_picture(image: Image, *, is_rgb: bool, is_assumed: bool) -> str:
    """``RGB · 2048×1536 · 0.25 µm/px``."""
    parts = ["RGB"] if is_rgb else []
    parts += [f"{axis} {image.size(axis)}" for axis in "TZ" if image.size(axis) > 1]
    if not is_rgb and image.size("C") > 1:
        parts.append(f"{image.size('C')} channels")
    parts.append(f"{image.size('X')}×{image.size('Y')}")
    parts.append(describe_pixel(image.geometry))
    return " · ".join(parts) + (" · axes assumed" if is_assumed else "")


def describe_pixel(geometry: Geometry) -> str:
    """``0.25 µm/px``, or that it is not known."""
    if not geometry.is_physical:
        return "no pixel size"
    *_, y, x = geometry.spacing
    size = f"{x:.4g}" if math.isclose(x, y, rel_tol=1e-3) else f"{y:.4g}×{x:.4g}"
    return f"{size} {UNIT_SIGNS[geometry.unit]}/px"


def unbroken(text: str) -> str:
    """The same words, which only break between the parts of a description."""
    return " · ".join(part.replace(" ", "\u00a0").replace("/", "\u2060/\u2060") for part in text.split(" · "))


def describe_result(result: SegmentResult) -> str:
    """``1,284 nuclei · median 61 µm² · 14 s, CPU``, or ``myelin 735 µm², axon 528 µm² · 7.0 s, CPU``."""
    provenance = result.provenance
    seconds = float(provenance.get("seconds", 0.0))
    cost = f"{duration(seconds)}, {str(provenance.get('device', 'cpu')).upper()}"
    found = [describe_found(result), "" if result.output == "areas" else _median(result)]
    return " · ".join(part for part in (*found, cost) if part)


def describe_found(result: SegmentResult) -> str:
    """``1,284 nuclei``, or ``myelin 735 µm², axon 528 µm²``."""
    return _areas(result) if result.output == "areas" else _counted(result)


def duration(seconds: float) -> str:
    """``0.4 s``, ``14 s`` or ``3 min``."""
    if seconds < 9.5:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def area_column(table: dict[str, Any]) -> tuple[str, str]:
    """Name of the area column and its sign: physical if there is one."""
    for unit in ("um", "mm"):
        for power, sign in (("2", "²"), ("3", "³")):
            for stem in ("area", "volume"):
                if f"{stem}_{unit}{power}" in table:
                    return f"{stem}_{unit}{power}", f"{UNIT_SIGNS[unit]}{sign}"
    return "area", "px"


def _counted(result: SegmentResult) -> str:
    what = plural_of(result.classes)
    return f"{result.count:,} {what}" if result.count != 1 else f"1 {singular_of(result.classes)}"


def _areas(result: SegmentResult) -> str:
    """Of each class; the slices of a volume make up a volume, and time points are averaged."""
    pixels, values = np.asarray(result.objects["area"], float), np.asarray(result.objects["label"])
    size, sign = 1.0, "px"
    if result.geometry.is_physical:
        dims = 3 if "Z" in result.label_axes else 2
        size, sign = math.prod(result.geometry.spacing[-dims:]), f"{UNIT_SIGNS[result.geometry.unit]}{'²³'[dims - 2]}"
    if sign == "mm³":
        size, sign = size / 1000, "ml"
    times = len(np.unique(result.objects.get("frame_t", ()))) or 1
    totals = {spec.name: pixels[values == spec.value].sum() * size / times for spec in result.classes}
    words = ", ".join(f"{name} {amount(total, sign)} {sign}" for name, total in totals.items())
    return words if times == 1 else f"{words} (mean of {times} time points)"


def amount(value: float, sign: str) -> str:
    """``1,520``, and of milliliters ``152``, ``15.2``, ``0.0152``."""
    is_whole = sign != "ml" or value >= 99.95 or value == 0
    return f"{value:,.0f}" if is_whole else f"{value:#.3g}"


def _median(result: SegmentResult) -> str:
    column, sign = area_column(result.objects)
    areas = np.asarray(result.objects.get(column, ()))
    if areas.size == 0:
        return ""
    return f"median {float(np.median(areas)):,.3g} {sign}"


def singular_of(classes: tuple[ClassSpec, ...]) -> str:
    """What one object is called."""
    return classes[0].name if len(classes) == 1 else "object"


def plural_of(classes: tuple[ClassSpec, ...]) -> str:
    """What several objects are called."""
    name = singular_of(classes)
    if name.endswith("us"):
        return f"{name[:-2]}i"
    return name if name.endswith(("s", "i")) else f"{name}s"


def as_score(value: float) -> str:
    """``0.912``; what is not perfect is never rounded to it."""
    return f"{min(value, 0.999) if value < 1 else value:.3f}"


def model_title(spec: ModelSpec) -> str:
    """``nuclei``, or ``nuclei-mine 2`` for a later version."""
    return spec.name if spec.version == 1 else f"{spec.name} {spec.version}"
