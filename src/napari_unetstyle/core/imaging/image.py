"""A picture: pixels that may be lazy, and what their axes mean."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.errors import ImageError
from napari_unetstyle.core.imaging import geometry as geo
from napari_unetstyle.core.imaging.geometry import Geometry

AXES = "TCZYX"
_MEANT = {"T": "times", "C": "channels", "Z": "slices"}


@runtime_checkable
class ArrayLike(Protocol):
    """What numpy, dask, zarr and memory-mapped arrays have in common."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""

    def __getitem__(self, key: Any) -> Any: ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Image:
    """Pixels with stated axes and pixel size; the array is never copied and may be lazy.

    Attributes
    ----------
    array
        numpy, dask, zarr or anything with ``shape``, ``dtype`` and slicing; real numbers.
    axes
        One letter per array axis out of ``T C Z Y X``, Y and X present, any order, e.g. ``"YXC"``.
    geometry
        Pixel size along the spatial axes, ``(Z)YX``.
    channel_names
        Names of the channels, or empty.
    name
        What a person calls it; used for output names and messages only.
    notes
        Sentences a person should see (an assumption made while reading, say). They are kept with the labels, so they
        name no file: its name may be that of a patient.
    overview
        Of a slide, opens its colors ``(Y, X, C)`` on a coarse level, on which tissue is found before a run.
    window
        Lowest and highest value to show on a screen, if the file states them.
    """

    array: ArrayLike
    axes: str
    geometry: Geometry
    channel_names: tuple[str, ...] = ()
    name: str = ""
    notes: tuple[str, ...] = ()
    overview: Callable[[], ArrayLike] | None = None
    window: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        _check_array(self.array)
        _check_axes(self.axes, self.array.shape)
        spatial = sum(a in "ZYX" for a in self.axes)
        if len(self.geometry.spacing) != spatial:
            raise ImageError(
                f"Pixel size {self.geometry.spacing} has {len(self.geometry.spacing)} numbers, but axes "
                f"{self.axes} have {spatial} spatial ones: give one number for each of "
                f"{''.join(a for a in 'ZYX' if a in self.axes)}."
            )

    def restated(self, axes: str | None = None, spacing: tuple[float, ...] | None = None) -> Image:
        """The same pixels with other axes, or another pixel size in micrometers; None: as they are.

        Raises
        ------
        ImageError
            If they do not fit the array.
        """
        axes = self.axes if axes is None else stated_axes(axes)
        place, spatial = self.geometry, [a for a in "ZYX" if a in axes]
        if spatial != [a for a in "ZYX" if a in self.axes]:
            place = geo.unknown(len(spatial))
        if spacing is not None:
            sizes = stated_spacing(spacing)
            fits = len(sizes) == len(spatial)
            place = place.with_spacing(sizes, "um") if fits else Geometry(spacing=sizes)  # which is refused below
        names = self.channel_names if axes == self.axes else ()
        return replace(self, axes=axes, geometry=place, channel_names=names)

    @property
    def is_color(self) -> bool:
        """Whether the last axis holds red, green and blue, and perhaps opacity."""
        return self.axes.endswith("C") and self.size("C") in (3, 4)

    def size(self, axis: str) -> int:
        """Length along an axis letter; 1 if the picture does not have it."""
        return self.array.shape[self.axes.index(axis)] if axis in self.axes else 1

    @property
    def label_axes(self) -> str:
        """Axes of a label array for this picture: its own without C, in the order T Z Y X."""
        return "".join(a for a in "TZYX" if a in self.axes)

    @property
    def label_shape(self) -> tuple[int, ...]:
        """Shape of a label array for this picture."""
        return tuple(self.size(a) for a in self.label_axes)

    def frames(self, dims: int) -> list[tuple[int, ...]]:
        """Indices along the leading label axes: one for each picture of `dims` spatial dimensions."""
        return list(np.ndindex(self.label_shape[:-dims]))

    def check_dims(self, dims: int) -> None:
        """Refuse a picture where a volume is needed.

        Raises
        ------
        ImageError
            If `dims` is 3, and there is no Z.
        """
        if dims == 3 and "Z" not in self.axes:
            raise ImageError(f"A volume is needed, but axes {self.axes} have no Z. Use a 2D model, or state the axes.")

    def frame(self, index: tuple[int, ...], dims: int) -> Frame:
        """The 2D picture or 3D volume at `index` of the leading label axes."""
        self.check_dims(dims)
        return Frame(self, dict(zip(self.label_axes[:-dims], index, strict=True)), dims)


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture ``(C, Y, X)`` or volume ``(C, Z, Y, X)`` inside an :class:`Image`, read piece by piece."""

    image: Image
    fixed: dict[str, int]
    dims: int

    @property
    def axes(self) -> str:
        """Spatial axes, ``"YX"`` or ``"ZYX"``."""
        return "ZYX"[-self.dims :]

    @property
    def shape(self) -> tuple[int, ...]:
        """Spatial shape ``(Z)YX``."""
        return tuple(self.image.size(a) for a in self.axes)

    @property
    def channels(self) -> int:
        """Number of channels (1 without a C axis)."""
        return self.image.size("C")

    @property
    def spacing(self) -> tuple[float, ...]:
        """Pixel size along the spatial axes."""
        return self.image.geometry.spacing[-self.dims :]

    def read(self, *slices: slice) -> NDArray[Any]:
        """Pixels ``(C, *spatial)`` inside the given slices of the leading spatial axes, as they are stored."""
        wanted = dict(zip(self.axes, slices, strict=False))
        key = tuple(self.fixed[a] if a in self.fixed else wanted.get(a, slice(None)) for a in self.image.axes)
        piece = np.asarray(self.image.array[key])
        kept = [a for a in self.image.axes if a not in self.fixed]
        if "C" not in kept:
            piece, kept = piece[np.newaxis], ["C", *kept]
        return piece.transpose([kept.index(a) for a in ("C", *self.axes)])


def as_image(
    array: Any,
    *,
    axes: str | None = None,
    spacing: tuple[float, ...] | None = None,
    unit: str | None = None,
    name: str = "",
) -> Image:
    """Make an :class:`Image` of an array.

    Parameters
    ----------
    array
        numpy, dask, zarr or nested lists of real numbers.
    axes
        Letters as in :class:`Image`. Without it, two axes are ``YX`` and three axes that end in 3 or 4
        channels are ``YXC`` (noted in ``notes``); anything else is an error, never a guess.
    spacing
        Pixel size ``(Z)YX``; without it the size counts as unknown.
    unit
        Unit of `spacing`; ``"um"`` if only `spacing` is given.

    Raises
    ------
    ImageError
        If axes or array are not allowed.
    """
    array = _as_array(array)
    _check_array(array)
    notes: tuple[str, ...] = ()
    if axes is None:
        axes, notes = _plain_axes(array.shape)
    axes = stated_axes(axes)
    dims = sum(a in "ZYX" for a in axes)
    place = geo.in_known_unit(stated_spacing(spacing), unit or "um") if spacing is not None else geo.unknown(dims)
    return Image(array=array, axes=axes, geometry=place, name=name, notes=notes)


def stated_axes(axes: Any) -> str:
    """Axes as a person states them, in capitals.

    Raises
    ------
    ImageError
        If they are no text.
    """
    if not isinstance(axes, str):
        raise ImageError(f"Axes {axes!r} are not allowed: give them as one text of the letters {AXES}, such as 'ZYX'.")
    return axes.upper()


def possible_axes(letters: str) -> tuple[str, ...]:
    """What axes may be of which some are unknown, ``"?"`` in `letters`: Y and X last, slices before others."""
    place = [i for i, letter in enumerate(letters) if letter not in AXES]
    planar = [a for a in "YX" if a not in letters][-len(place) :] if place else []
    free = [a for a in "ZTC" if a not in letters]
    fillings = [f for f in permutations(free, len(place) - len(planar)) if "Z" not in f[:-1]]
    fillings.sort(key=lambda filling: "Z" not in filling)
    named = (dict(zip(place, (*filling, *planar), strict=True)) for filling in fillings)
    found = ("".join(one.get(i, letter) for i, letter in enumerate(letters)) for one in named)
    return tuple(axes for axes in found if len(set(axes)) == len(axes))


def axes_examples(possible: Sequence[str]) -> str:
    """The first two of :func:`possible_axes`, each with what its letter means that the other has not; or nothing."""
    said = []
    for axes, other in zip(possible[:2], possible[1::-1], strict=True):
        own = [_MEANT[a] for a in axes if a in _MEANT and a not in other]
        said.append(f"axes={axes!r}{f' for {own[0]}' if own else ''}")
    return f", for example {' or '.join(said)}" if said else ""


def stated_spacing(spacing: Any) -> tuple[float, ...]:
    """Pixel size as a person states it.

    Raises
    ------
    ImageError
        If it is not one number for each of several axes.
    """
    try:
        return tuple(map(float, spacing))
    except (TypeError, ValueError) as error:
        raise ImageError(
            f"Pixel size {spacing!r} is not allowed: give one number for each axis (Z)YX, such as (0.5, 0.5)."
        ) from error


def _as_array(pixels: Any) -> ArrayLike:
    """An array as it is; lists, and tensors in the memory of the computer, as numpy has them."""
    try:
        if isinstance(pixels, ArrayLike) and np.dtype(pixels.dtype) is not None:
            return pixels
    except TypeError:  # a type of its own
        pass
    try:
        return np.asarray(pixels)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ImageError(
            f"A picture cannot be made of this {type(pixels).__name__}: {error}. Give an array of numbers, such as "
            "numpy's, in which all rows are equally long."
        ) from error


def _plain_axes(shape: tuple[int, ...]) -> tuple[str, tuple[str, ...]]:
    if len(shape) == 2:
        return "YX", ()
    if len(shape) == 3 and shape[-1] in (3, 4):
        return "YXC", (f"Shape {shape} was read as YXC (color last).",)
    raise ImageError(
        f"A picture of shape {shape} can mean several things. State its axes, one letter each out of {AXES}, "
        "for example axes='CYX' for channels first or axes='TYX' for a time series."
    )


def _check_array(array: ArrayLike) -> None:
    try:
        dtype = np.dtype(array.dtype)
    except (AttributeError, TypeError) as error:
        raise ImageError(
            f"A {type(array).__name__} cannot be used as it is: give an array of numpy, dask or zarr, or use as_image."
        ) from error
    if dtype.kind not in "buif":
        raise ImageError(f"Pixels of type {dtype} cannot be used: give real numbers (bool, integer or float).")
    if math.prod(array.shape) == 0:
        raise ImageError(f"The picture is empty (shape {tuple(array.shape)}). Give one with at least one pixel.")
    if isinstance(array, np.ma.MaskedArray) and np.count_nonzero(array.mask):  # which else would be read all the same
        raise ImageError(
            f"The picture is a masked array that hides {np.count_nonzero(array.mask)} of its {array.size} values. Give "
            "array.filled(value) with what is to be seen there, or array.data with what lies below."
        )
    if isinstance(getattr(array, "_meta", None), np.ma.MaskedArray):  # of what it hides nothing is known before
        raise ImageError(
            "The picture is masked arrays in a dask array, which may hide values. Give dask.array.ma.filled(array, "
            "value) with what is to be seen there, or dask.array.ma.getdata(array) with what lies below."
        )


def _check_axes(axes: str, shape: tuple[int, ...]) -> None:
    if len(set(axes)) != len(axes) or not set(axes) <= set(AXES) or not {"Y", "X"} <= set(axes):
        raise ImageError(f"Axes {axes!r} are not allowed: use each letter of {AXES} at most once, with Y and X.")
    if len(axes) != len(shape):
        raise ImageError(f"Axes {axes!r} name {len(axes)} axes, but the array has {len(shape)} (shape {tuple(shape)}).")
