"""Slides that are no TIFF (MIRAX), read lazily through OpenSlide; those of Aperio and Hamamatsu are TIFF."""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.errors import ImageError, ImageFileError, MissingExtraError, OptionError
from napari_unetstyle.core.imaging import geometry as geo
from napari_unetstyle.core.imaging.apart import result
from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.imaging.lazy import LazyArray, as_slice
from napari_unetstyle.core.imaging.levels import LevelGrid, overview_level
from napari_unetstyle.core.imaging.mirax import check_promised
from napari_unetstyle.core.imaging.xyz import turned

SUFFIXES = (".mrxs",)
AXES = "YXC"
PIECE = 1024  # sides of what is decoded at once
_SIZES = ("openslide.mpp-y", "openslide.mpp-x")
_BACKGROUND = "openslide.background-color"
_numbers = itertools.count()
_VENDOR, _MIRAX = "openslide.vendor", "mirax"


def is_slide(path: Path) -> bool:
    """Whether a file is one of those that only OpenSlide reads."""
    return path.name.lower().endswith(SUFFIXES)


def read_slide(path: Path, axes: str | None = None, level: int = 0) -> Image:
    """Read one level of a slide, of which only what is sliced is decoded.

    Raises
    ------
    MissingExtraError
        If OpenSlide is not installed.
    ImageFileError
        If the file, or the folder of the same name that belongs to it, is missing or damaged.
    ImageError
        If other axes than ``YXC`` are stated.
    OptionError
        If there is no such level.
    """
    if axes is not None and axes.upper() != AXES:
        raise ImageError(f"Axes {axes!r} do not fit {path}: a slide has the axes {AXES}.")
    slide = _open(path)
    grids = _grids(slide)
    if not 0 <= level < len(grids):
        raise OptionError(
            f"{path} has no level {level}: it has {len(grids)}, and 0 is the finest. Give one of them, or leave it out."
        )
    finest = _geometry(slide)
    return Image(
        array=SlideLevel(slide, level),
        axes=AXES,
        geometry=grids[level].geometry(finest, AXES) if level else finest,
        name=path.stem,
        overview=partial(SlideLevel, slide, overview_level([turned(size) for size in slide.sizes])),
    )


def slide_levels(path: Path) -> tuple[LevelGrid, ...]:
    """Where the levels of a slide lie, finest first.

    Raises
    ------
    MissingExtraError, ImageFileError
        As :func:`read_slide`.
    """
    return _grids(_open(path))


class SlideLevel(LazyArray):
    """The red, green and blue of one level; what was not scanned has the color of the glass.

    Parameters
    ----------
    slide
        What was said of it when it was opened.
    level
        Which level.
    """

    def __init__(self, slide: _Slide, level: int) -> None:
        width, height = slide.sizes[level]
        self._slide, self._level = slide, level
        self._glass = _color(slide.properties.get(_BACKGROUND))
        self.shape: tuple[int, ...] = (height, width, 3)
        self.dtype: np.dtype[Any] = np.dtype(np.uint8)

    def _read(self, ranges: Sequence[range]) -> NDArray[Any]:
        rows, columns, colors = ranges
        out = np.empty((len(rows), len(columns), 3), np.uint8)
        for down, across in itertools.product(_pieces(rows), _pieces(columns)):
            out[down, across] = self._block(rows[down], columns[across])
        return out[..., as_slice(colors)]

    def _block(self, rows: range, columns: range) -> NDArray[np.uint8]:
        """The pixels of two rising ranges; all between the first and the last of them are decoded."""
        top, left = rows[0], columns[0]
        size = columns[-1] - left + 1, rows[-1] - top + 1
        step = self._slide.steps[self._level]
        place = round(left * step), round(top * step)
        with _damage_in_words(self._slide.path):
            read: NDArray[np.uint8] = result(
                _region, str(self._slide.path), self._slide.number, place, self._level, size, size=4 * math.prod(size)
            )
        chosen = read[:: rows.step, :: columns.step]
        colors, alpha = chosen[..., :3].astype(np.uint16), chosen[..., 3:].astype(np.uint16)
        return ((colors * alpha + self._glass * (255 - alpha) + 127) // 255).astype(np.uint8)


def _pieces(chosen: range) -> list[slice]:
    """Parts of a range, none of which reaches over more than a piece."""
    count = max(1, PIECE // chosen.step)
    return [slice(start, start + count) for start in range(0, len(chosen), count)]


@dataclass(frozen=True, kw_only=True)
class _Slide:
    """What OpenSlide says of a slide; `number` tells it from what the file held when it was opened before."""

    path: Path
    number: int
    properties: dict[str, str]
    sizes: list[tuple[int, int]]
    steps: list[float]


def _open(path: Path) -> _Slide:
    if not path.is_file():
        raise ImageFileError(f"There is no file {path}. Check the name and the folder.")
    try:
        import openslide  # noqa: F401
    except (ImportError, OSError) as error:  # the package without its library, too
        raise MissingExtraError(
            f"{path} needs OpenSlide to be read. Install it with: pip install 'napari-unetstyle[slides]'."
        ) from error
    if path.suffix not in SUFFIXES:
        raise ImageFileError(
            f"{path} ends in {path.suffix}, but OpenSlide reads {SUFFIXES[0]} in small letters only. "
            f"Rename it to {path.stem}{SUFFIXES[0]}."
        )
    number = next(_numbers)
    with _damage_in_words(path):
        properties, sizes, steps = result(_said, str(path), number)
    if properties[_VENDOR] == _MIRAX:  # else it is another kind under a wrong name
        check_promised(path, properties, len(sizes))
    return _Slide(path=path, number=number, properties=properties, sizes=sizes, steps=steps)


@functools.lru_cache(maxsize=4)
def _opened(path: str, number: int) -> Any:
    import openslide

    return openslide.OpenSlide(path)


def _said(path: str, number: int) -> tuple[dict[str, str], Any, Any]:
    """What is said of a slide, and the size and the step of each level; it stays open in this process."""
    slide = _opened(path, number)
    return dict(slide.properties), slide.level_dimensions, slide.level_downsamples


def _region(path: str, number: int, place: list[int], level: int, size: list[int]) -> NDArray[np.uint8]:
    """Red, green, blue and opacity, decoded in this process."""
    return np.asarray(_opened(path, number).read_region(tuple(place), level, tuple(size)))


@contextlib.contextmanager
def _damage_in_words(path: Path) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        reason = str(error).rstrip(".")
        raise ImageFileError(
            f"{path} is incomplete, damaged or not a slide: {reason}. A slide .mrxs needs the folder of the same name "
            "beside it. Copy both again."
        ) from error


def _grids(slide: _Slide) -> tuple[LevelGrid, ...]:
    return tuple(
        LevelGrid(index=i, factor=(step, step, 1.0), offset=((step - 1) / 2, (step - 1) / 2, 0.0))
        for i, step in enumerate(slide.steps)
    )


def _geometry(slide: _Slide) -> Geometry:
    try:
        sizes = tuple(float(slide.properties[name]) for name in _SIZES)
    except (KeyError, ValueError):
        return geo.unknown(2)
    is_usable = all(math.isfinite(size) and size > 0 for size in sizes)
    return Geometry(spacing=sizes, unit="um") if is_usable else geo.unknown(2)


def _color(stated: str | None) -> NDArray[np.uint16]:
    try:
        return np.array([int((stated or "")[i : i + 2], 16) for i in (0, 2, 4)], np.uint16)
    except ValueError:
        return np.full(3, 255, np.uint16)
