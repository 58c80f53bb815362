"""Where a picture lies: pixel size and its unit, the place of its first pixel, and how its axes are turned."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_unetstyle.core.errors import ImageError

UNITS = {"px": "pixel", "um": "micrometer", "mm": "millimeter"}
UNKNOWN_UNIT = "The pixel size is stored in an unknown unit and was not taken."  # free text, so it is not quoted
_ALIASES = {
    "": "px", "pixel": "px", "pixels": "px", "px": "px",
    "um": "um", "µm": "um", "μm": "um", "micron": "um", "microns": "um", "micrometer": "um", "micrometre": "um",
    "mm": "mm", "millimeter": "mm", "millimetre": "mm",
}  # fmt: skip
_TO_UM = {"angstrom": 1e-4, "nm": 1e-3, "nanometer": 1e-3, "cm": 1e4, "centimeter": 1e4, "m": 1e6, "meter": 1e6}
_MICROMETERS = {"um": 1.0, "mm": 1e3}
_ORTHONORMAL = 1e-3  # more than headers round, far less than any shear that matters
SAME_PLACE = 0.1  # of a pixel, by which corners may be apart, as headers round
_SLANTED = 0.5  # of a direction's length; with less it does not go that way, too
_TOWARD = (("S", "I"), ("P", "A"), ("L", "R"))
_WORDS = {"S": "the head", "I": "the feet", "P": "the back", "A": "the front", "L": "the left", "R": "the right"}

Direction = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """A regular grid in the world: index ``i`` lies at ``origin + direction @ (spacing * i)``, all in the order (Z)YX.

    Attributes
    ----------
    spacing
        Distance between neighbors, ``(Z)YX``, in `unit`; all finite and positive.
    unit
        ``"px"`` (size unknown), ``"um"`` or ``"mm"``.
    origin
        World position of the center of the first pixel, ``(Z)YX``, in `unit`; zero if not given.
    direction
        Orthonormal matrix, one row per world axis and one column per array axis, both ``(Z)YX``; column ``a`` is
        where array axis ``a`` goes. Mirrored axes are allowed. The identity if not given.
    is_anatomical
        Whether the world is a patient: Z grows toward the head (S), Y toward the back (P), X toward the patient's
        left (L), as in DICOM.
    """

    spacing: tuple[float, ...]
    unit: str = "px"
    origin: tuple[float, ...] = ()
    direction: Direction = ()
    is_anatomical: bool = False

    def __post_init__(self) -> None:
        dims = len(self.spacing)
        if not self.spacing or not all(math.isfinite(s) and s > 0 for s in self.spacing):
            raise ImageError(
                f"Pixel size {self.spacing} is not allowed: give positive finite numbers, one per axis (Z)YX."
            )
        if self.unit not in UNITS:
            raise ImageError(f"Unit {self.unit!r} is not allowed: use one of {', '.join(UNITS)}.")
        object.__setattr__(self, "origin", tuple(map(float, self.origin)) or (0.0,) * dims)
        object.__setattr__(self, "direction", _as_rows(self.direction) or _as_rows(np.eye(dims)))
        _check_place(self.origin, self.direction, dims)

    @classmethod
    def from_affine(cls, affine: ArrayLike, unit: str, *, is_anatomical: bool = False) -> Geometry:
        """The grid of a homogeneous matrix ``(n + 1, n + 1)`` that maps an index ``(Z)YX`` to the world ``(Z)YX``.

        Raises
        ------
        ImageError
            If the matrix is singular, sheared or not finite.
        """
        matrix = np.asarray(affine, float)
        columns = matrix[:-1, :-1]
        with np.errstate(all="ignore"):
            spacing = np.linalg.norm(columns, axis=0)
        if not np.isfinite([*matrix.ravel(), *spacing]).all() or not spacing.all():
            raise ImageError(f"The affine matrix {matrix.tolist()} is not finite or singular; it places nothing.")
        return cls(
            spacing=tuple(spacing.tolist()),
            unit=unit,
            origin=tuple(matrix[:-1, -1].tolist()),
            direction=_as_rows(columns / spacing),
            is_anatomical=is_anatomical,
        )

    @classmethod
    def facing(cls, orientation: str) -> Geometry:
        """A grid in a patient whose axes Z, Y and X go where three letters say, as in ``"SPL"``."""
        direction = np.zeros((3, 3))
        for axis, letter in enumerate(orientation):
            world = next(i for i, ends in enumerate(_TOWARD) if letter in ends)
            direction[world, axis] = 1 - 2 * _TOWARD[world].index(letter)
        return cls(spacing=(1.0, 1.0, 1.0), unit="mm", direction=_as_rows(direction), is_anatomical=True)

    @property
    def is_physical(self) -> bool:
        """Whether the pixel size is known."""
        return self.unit != "px"

    @property
    def is_placed(self) -> bool:
        """Whether more than the pixel size is known of the place."""
        is_plain = not any(self.origin) and np.array_equal(self.direction, np.eye(len(self.spacing)))
        return self.is_physical and (self.is_anatomical or not is_plain)

    @property
    def pixel_size(self) -> float:
        """Area of a pixel (2D) or volume of a voxel (3D), in `unit` to the power of the dimensions."""
        return math.prod(self.spacing)

    @property
    def axes(self) -> str:
        """The spatial axes that the numbers belong to, ``"YX"`` or ``"ZYX"``."""
        return "ZYX"[-len(self.spacing) :]

    @property
    def is_oblique(self) -> bool:
        """Whether an array axis does not run along a world axis."""
        return bool(np.abs(np.array(self.direction)).max(axis=0).min() < 1 - 1e-6)

    @property
    def orientation(self) -> str:
        """Where the axes Z, Y and X go in the patient, nearest letter of S I P A L R, as in ``"SPL"``; else empty."""
        if not self.is_anatomical or len(self.spacing) != 3:
            return ""
        columns = np.array(self.direction).T
        nearest = np.abs(columns).argmax(axis=1)
        return "".join(_TOWARD[world][int(column[world] < 0)] for world, column in zip(nearest, columns, strict=True))

    @property
    def affine(self) -> NDArray[np.float64]:
        """The map from an index ``(Z)YX`` to the world as a homogeneous matrix, ``(n + 1, n + 1)``."""
        matrix = np.eye(len(self.spacing) + 1)
        matrix[:-1, :-1] = np.array(self.direction) * np.array(self.spacing)
        matrix[:-1, -1] = self.origin
        return matrix

    def to_world(self, index: ArrayLike) -> NDArray[np.float64]:
        """World positions ``(..., (Z)YX)`` in `unit` of indices ``(..., (Z)YX)``, which may lie between pixels."""
        matrix = self.affine
        world: NDArray[np.float64] = np.asarray(index, float) @ matrix[:-1, :-1].T + matrix[:-1, -1]
        return world

    def in_unit(self, unit: str) -> Geometry:
        """The same place, told in ``"um"`` or ``"mm"``.

        Raises
        ------
        ImageError
            If either unit is no length.
        """
        if unit == self.unit:
            return self
        if unit not in _MICROMETERS or not self.is_physical:
            raise ImageError(f"A pixel size in {self.unit} cannot be told in {unit!r}: state it in um or mm.")
        factor = _MICROMETERS[self.unit] / _MICROMETERS[unit]
        spacing, origin = (tuple(factor * v for v in values) for values in (self.spacing, self.origin))
        return replace(self, unit=unit, spacing=spacing, origin=origin)

    def with_spacing(self, spacing: tuple[float, ...], unit: str) -> Geometry:
        """Another pixel size in the same place; a place in pixels is kept as numbers."""
        placed = self.in_unit(unit) if self.is_physical and unit != "px" else self
        return replace(placed, spacing=tuple(map(float, spacing)), unit=unit)

    def turns_onto(self, other: Geometry) -> tuple[tuple[int, ...], tuple[bool, ...]]:
        """Which own axis runs along each of `other`, and whether the other way; of oblique ones the nearest."""
        from scipy.optimize import linear_sum_assignment

        along = np.array(other.direction).T @ np.array(self.direction)
        order = linear_sum_assignment(np.abs(along), maximize=True)[1]
        return tuple(order.tolist()), tuple((along[range(len(order)), order] < 0).tolist())

    def turned(self, shape: tuple[int, ...], order: tuple[int, ...], is_mirrored: tuple[bool, ...]) -> Geometry:
        """The place of the same pixels after their axes were put in `order`, and then some of these mirrored."""
        first = np.zeros(len(order))
        for axis, is_back in zip(order, is_mirrored, strict=True):
            first[axis] = shape[axis] - 1 if is_back else 0
        columns = np.array(self.direction)[:, order] * np.where(is_mirrored, -1, 1)
        return replace(
            self,
            spacing=tuple(self.spacing[axis] for axis in order),
            origin=tuple(self.to_world(first).tolist()),
            direction=_as_rows(columns),
        )

    def sizes(self, dims: int) -> Geometry:
        """Pixel size of the last `dims` axes alone; a plane out of a volume has no place of its own."""
        return Geometry(spacing=self.spacing[-dims:], unit=self.unit)


def in_words(orientation: str) -> str:
    """Where axes go, as in ``"Z to the head, Y to the back and X to the left"`` for ``"SPL"``."""
    z, y, x = (f"{axis} to {_WORDS[letter]}" for axis, letter in zip("ZYX", orientation, strict=True))
    return f"{z}, {y} and {x}"


def toward(direction: ArrayLike) -> str:
    """Where a direction ``ZYX`` goes in a patient: nearest letter of S I P A L R, and the next one if between two."""
    vector = np.asarray(direction, float)
    part = np.abs(vector) / np.linalg.norm(vector)
    order = [axis for axis in np.argsort(-part, kind="stable") if part[axis] >= _SLANTED][:2]
    return "".join(_TOWARD[axis][int(vector[axis] < 0)] for axis in order)


def apart(one: Geometry, other: Geometry, shape: Iterable[int]) -> float:
    """The most by which corners of two grids of the same shape ``(Z)YX`` are apart, in the unit of `other`.

    Raises
    ------
    ImageError
        If one has a unit of length and the other has none.
    """
    corners = np.array(list(product(*((0, n - 1) for n in shape))))
    return float(np.linalg.norm(one.in_unit(other.unit).to_world(corners) - other.to_world(corners), axis=1).max())


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


def _as_rows(matrix: Iterable[Iterable[float]]) -> Direction:
    return tuple(tuple(map(float, row)) for row in matrix)


def _check_place(origin: tuple[float, ...], direction: Direction, dims: int) -> None:
    if len(origin) != dims or not all(map(math.isfinite, origin)):
        raise ImageError(f"Origin {origin} is not allowed: give {dims} finite numbers, in the order {'ZYX'[-dims:]}.")
    if len(direction) != dims or any(len(row) != dims for row in direction):
        raise ImageError(f"Direction {direction} is not allowed: give {dims} rows of {dims} numbers.")
    matrix = np.array(direction)
    if not np.abs(matrix.T @ matrix - np.eye(dims)).max() <= _ORTHONORMAL:  # false for NaN, too
        raise ImageError(
            f"Direction {direction} is not allowed: its columns have to be of length 1 and at right angles. "
            "A sheared picture has to be resampled onto a straight grid first."
        )
