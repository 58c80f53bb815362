"""Where a picture lies: pixel size and its unit."""

from __future__ import annotations

import math
from dataclasses import dataclass

from napari_unetstyle.core.errors import ImageError

UNITS = {"px": "pixel", "um": "micrometer", "mm": "millimeter"}
_ALIASES = {
    "": "px", "pixel": "px", "pixels": "px", "px": "px",
    "um": "um", "µm": "um", "μm": "um", "micron": "um", "microns": "um", "micrometer": "um", "micrometre": "um",
    "mm": "mm", "millimeter": "mm", "millimetre": "mm",
}  # fmt: skip
_TO_UM = {"nm": 1e-3, "nanometer": 1e-3, "cm": 1e4, "centimeter": 1e4, "m": 1e6, "meter": 1e6}


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Spacing of the samples of a picture along its spatial axes.

    Attributes
    ----------
    spacing
        Distance between neighbors, ``(Z)YX``, in `unit`; all finite and positive.
    unit
        ``"px"`` (size unknown), ``"um"`` or ``"mm"``.
    """

    spacing: tuple[float, ...]
    unit: str = "px"

    def __post_init__(self) -> None:
        if not self.spacing or not all(math.isfinite(s) and s > 0 for s in self.spacing):
            raise ImageError(
                f"Pixel size {self.spacing} is not allowed: give positive finite numbers, one per axis (Z)YX."
            )
        if self.unit not in UNITS:
            raise ImageError(f"Unit {self.unit!r} is not allowed: use one of {', '.join(UNITS)}.")

    @property
    def is_physical(self) -> bool:
        """Whether the pixel size is known."""
        return self.unit != "px"

    @property
    def pixel_size(self) -> float:
        """Area of a pixel (2D) or volume of a voxel (3D), in `unit` to the power of the dimensions."""
        return math.prod(self.spacing)


def unknown(dims: int) -> Geometry:
    """The geometry of a picture whose pixel size nobody stated."""
    return Geometry(spacing=(1.0,) * dims, unit="px")


def in_known_unit(spacing: tuple[float, ...], unit: str) -> Geometry:
    """A geometry from a spacing in any common unit name (nm, micron, µm, mm, cm, …).

    Raises
    ------
    ImageError
        If the unit's name is not known.
    """
    name = unit.strip().lower()
    if name in _ALIASES:
        return Geometry(spacing=spacing, unit=_ALIASES[name])
    if name in _TO_UM:
        return Geometry(spacing=tuple(s * _TO_UM[name] for s in spacing), unit="um")
    raise ImageError(f"Unit {unit!r} is not known: use px, nm, um, mm or cm.")
