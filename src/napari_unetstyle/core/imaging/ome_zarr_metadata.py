"""What the metadata of OME-Zarr 0.4 and 0.5 say of a picture: its axes, and where each of its levels lies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_unetstyle.core.errors import ImageError
from napari_unetstyle.core.imaging import geometry as geo
from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.imaging.image import AXES

VERSIONS = ("0.4", "0.5")
OWN = "napari-unetstyle"  # the attribute that holds what the format has no place for
_TYPES = {"T": "time", "C": "channel", "Z": "space", "Y": "space", "X": "space"}
_LETTERS = {"time": "T", "channel": "C"}
_UNITS = {"um": "micrometer", "mm": "millimeter"}
_STRICT = ConfigDict(strict=True, allow_inf_nan=False)


class _Axis(BaseModel):
    model_config = _STRICT
    name: str
    type: str | None = None
    unit: str | None = None


class _Transformation(BaseModel):
    model_config = _STRICT
    type: Literal["scale", "translation", "identity"]
    scale: list[float] | None = None
    translation: list[float] | None = None


class _Dataset(BaseModel):
    model_config = _STRICT
    path: str = Field(min_length=1)
    transformations: list[_Transformation] = Field(alias="coordinateTransformations", min_length=1)


class _Multiscale(BaseModel):
    model_config = _STRICT
    version: str | None = None
    axes: list[_Axis] = Field(min_length=2, max_length=5)
    datasets: list[_Dataset] = Field(min_length=1)
    transformations: list[_Transformation] = Field(alias="coordinateTransformations", default=[])


@dataclass(frozen=True, kw_only=True)
class Level:
    """One resolution: along each stored axis index ``i`` lies at ``scale * i + translation``.

    Attributes
    ----------
    path
        Of its array, below the picture's group.
    scale, translation
        One number for each stored axis, in its unit; no scale is 0.
    """

    path: str
    scale: tuple[float, ...]
    translation: tuple[float, ...]

    def over(self, other: Level) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Factor and offset, for each axis, that turn an index of this level into one of `other`."""
        scale = np.array(other.scale)
        return np.array(self.scale) / scale, (np.array(self.translation) - other.translation) / scale


@dataclass(frozen=True, kw_only=True)
class Multiscale:
    """The axes and levels of a picture.

    Attributes
    ----------
    version
        ``"0.4"`` or ``"0.5"``
    axes
        One letter for each stored axis; ``?`` where the file's name for it is not known.
    names
        The file's own names of the axes.
    units
        Unit of each axis; empty where the file has none.
    levels
        The finest one first.
    direction, is_anatomical
        How the picture's own axes lie in the world, where this program wrote the file; else nothing.
    """

    version: str
    axes: str
    names: tuple[str, ...]
    units: tuple[str, ...]
    levels: tuple[Level, ...]
    direction: geo.Direction = ()
    is_anatomical: bool = False

    def geometry(self, index: int, letters: str) -> tuple[Geometry, tuple[str, ...]]:
        """Where a level lies, its stored axes being `letters`; and what a person should know about it.

        Without units of length the size is unknown, and told in pixels of the finest level.
        """
        spatial = [letters.index(a) for a in "ZYX" if a in letters]
        level, finest = self.levels[index], self.levels[0]
        factors, unit, notes = self._lengths(spatial)
        if unit == "px":
            scale, offset = level.over(finest)
        else:
            scale, offset = factors * level.scale, factors * level.translation
        turn = np.array(self.direction, float)
        if turn.shape != (len(spatial), len(spatial)) or unit == "px":
            turn = np.eye(len(spatial))
        matrix = np.eye(len(spatial) + 1)
        matrix[:-1, :-1] = turn * scale[spatial]
        matrix[:-1, -1] = turn @ offset[spatial]
        anatomical = self.is_anatomical and unit != "px" and len(spatial) == 3
        return Geometry.from_affine(matrix, unit, is_anatomical=anatomical), notes

    def _lengths(self, spatial: list[int]) -> tuple[NDArray[np.float64], str, tuple[str, ...]]:
        """Factor of each axis to one common unit, and this unit; ``"px"`` if one of them is no length."""
        factors = np.ones(len(self.units))
        try:
            each = [geo.in_known_unit((1.0,), self.units[i]) for i in spatial]
        except ImageError:
            return factors, "px", (geo.UNKNOWN_UNIT,)
        named = {one.unit for one in each}
        if "px" in named:
            has_size = any(self.levels[0].scale[i] != 1 for i in spatial)
            note = "The file has a pixel size without a unit of length, so that it counts as unknown."
            return factors, "px", (note,) if has_size else ()
        unit = named.pop() if len(named) == 1 else "um"
        factors[spatial] = [one.in_unit(unit).spacing[0] for one in each]
        return factors, unit, ()


def parsed(attributes: Mapping[str, Any], zarr_format: int) -> Multiscale:
    """The picture that the attributes of a group describe; of several the first.

    Raises
    ------
    ValueError
        If they contradict the specification, in words.
    """
    stated = attributes.get("ome", attributes)
    if not isinstance(stated, Mapping) or not isinstance(stated.get("multiscales"), list) or not stated["multiscales"]:
        raise ValueError("its metadata have no list 'multiscales'")
    try:
        raw = _Multiscale.model_validate(stated["multiscales"][0])
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"its metadata are wrong at multiscales.0.{place}: {first['msg']}") from None
    version = stated.get("version") or raw.version or VERSIONS[zarr_format - 2]
    if version not in VERSIONS:
        raise ValueError(f"it is OME-Zarr of version {version}, of which {' and '.join(VERSIONS)} can be read")
    names = [axis.name for axis in raw.axes]
    if len(set(names)) < len(names):
        raise ValueError(f"its axes {names} are not all different")
    return Multiscale(
        version=version,
        axes="".join(map(_letter, raw.axes)),
        names=tuple(names),
        units=tuple(axis.unit or "" for axis in raw.axes),
        levels=tuple(_level(dataset, raw) for dataset in raw.datasets),
        **_own_place(attributes),
    )


def _letter(axis: _Axis) -> str:
    letter = axis.name.upper()
    if letter in AXES and len(letter) == 1 and axis.type in (None, _TYPES[letter]):
        return letter
    return _LETTERS.get(axis.type or "", "?")


def _level(dataset: _Dataset, raw: _Multiscale) -> Level:
    path = PurePosixPath(dataset.path)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"its level {dataset.path!r} lies outside the picture")
    scale, translation = np.ones(len(raw.axes)), np.zeros(len(raw.axes))
    for one in (*dataset.transformations, *raw.transformations):
        factors, offsets = _numbers(one, "scale", raw), _numbers(one, "translation", raw)
        scale, translation = scale * factors, translation * factors + offsets
    if "scale" not in [one.type for one in dataset.transformations]:
        raise ValueError(f"its level {dataset.path!r} has no scale")
    if not scale.all() or not np.isfinite([scale, translation]).all():
        raise ValueError(
            f"its level {dataset.path!r} has the scale {scale.tolist()}, but no number may be 0 or infinite"
        )
    return Level(path=dataset.path, scale=tuple(scale.tolist()), translation=tuple(translation.tolist()))


def _numbers(one: _Transformation, kind: Literal["scale", "translation"], raw: _Multiscale) -> NDArray[np.float64]:
    """What a transformation multiplies by, or adds; 1 or 0 if it is of another kind."""
    if one.type != kind:
        return np.full(len(raw.axes), 1.0 if kind == "scale" else 0.0)
    numbers = getattr(one, kind)
    if numbers is None or len(numbers) != len(raw.axes):
        raise ValueError(f"a {kind} in its metadata has to have {len(raw.axes)} numbers, one for each axis")
    return np.array(numbers)


def _own_place(attributes: Mapping[str, Any]) -> dict[str, Any]:
    own = attributes.get(OWN)
    if not isinstance(own, Mapping) or not own.get("direction"):
        return {}
    try:
        direction = tuple(tuple(map(float, row)) for row in own["direction"])
    except (TypeError, ValueError):
        raise ValueError(f"its direction {own['direction']!r} is no matrix") from None
    return {"direction": direction, "is_anatomical": own.get("is_anatomical") is True}


# Writing ---------------------------------------------------------------------------------------------------------


def multiscale_of(geometry: Geometry, axes: str, version: str) -> Multiscale:
    """One level on the grid of `geometry`, along its own axes; how these lie in the world is kept beside them."""
    offset = np.array(geometry.direction).T @ np.array(geometry.origin) if geometry.is_physical else None
    spacing = dict(zip(geometry.axes, geometry.spacing, strict=True))
    origin = dict(zip(geometry.axes, (0.0,) * len(spacing) if offset is None else offset.tolist(), strict=True))
    is_plain = not geometry.is_anatomical and np.array_equal(geometry.direction, np.eye(len(spacing)))
    level = Level(
        path="0",
        scale=tuple(spacing.get(a, 1.0) for a in axes),
        translation=tuple(origin.get(a, 0.0) for a in axes),
    )
    return Multiscale(
        version=version,
        axes=axes,
        names=tuple(axes.lower()),
        units=tuple(_UNITS.get(geometry.unit, "") if a in spacing else "" for a in axes),
        levels=(level,),
        direction=() if is_plain else geometry.direction,
        is_anatomical=geometry.is_anatomical,
    )


def attributes_of(multiscale: Multiscale, name: str, image_label: Mapping[str, Any], own: Mapping[str, Any]) -> Any:
    """The attributes of a group of labels."""
    place = {"direction": multiscale.direction, "is_anatomical": multiscale.is_anatomical}
    kept = {**own, **(place if multiscale.direction else {})}
    described = {
        "name": name,
        "axes": [_described(*axis) for axis in zip(multiscale.axes, multiscale.names, multiscale.units, strict=True)],
        "datasets": [_dataset(level) for level in multiscale.levels],
    }
    if multiscale.version == "0.4":
        described, image_label = {"version": "0.4", **described}, {"version": "0.4", **image_label}
        return {"multiscales": [described], "image-label": image_label, OWN: kept}
    return {"ome": {"version": multiscale.version, "multiscales": [described], "image-label": image_label}, OWN: kept}


def _described(letter: str, name: str, unit: str) -> dict[str, str]:
    return {"name": name, "type": _TYPES[letter], **({"unit": unit} if unit else {})}


def _dataset(level: Level) -> dict[str, Any]:
    transformations: list[dict[str, Any]] = [{"type": "scale", "scale": list(level.scale)}]
    if any(level.translation):
        transformations.append({"type": "translation", "translation": list(level.translation)})
    return {"path": level.path, "coordinateTransformations": transformations}


def without(values: Iterable[Any], letters: str, letter: str) -> tuple[Any, ...]:
    """Values of the stored axes but for one of them."""
    return tuple(value for value, a in zip(values, letters, strict=True) if a != letter)
