"""TIFF pictures, read lazily when they are large, with the axes and the pixel size that the file states."""

from __future__ import annotations

import functools
import itertools
import math
import os
import struct
import types
import weakref
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar
from xml.etree.ElementTree import ParseError

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.errors import AxesUnknownError, ImageError, ImageFileError, OptionError, UnetstyleError
from napari_unetstyle.core.imaging.apart import result
from napari_unetstyle.core.imaging.codec import Decoders
from napari_unetstyle.core.imaging.dicom_file import is_marked
from napari_unetstyle.core.imaging.image import AXES, ArrayLike, Image, axes_examples, possible_axes
from napari_unetstyle.core.imaging.lazy import LazyArray
from napari_unetstyle.core.imaging.levels import LevelGrid, likely_factors, overview_level
from napari_unetstyle.core.imaging.lzw import is_valid_lzw
from napari_unetstyle.core.imaging.tiff_metadata import channel_names_in, geometry_in, whole_axes
from napari_unetstyle.core.imaging.tiff_structure import check_structure
from napari_unetstyle.core.imaging.unheard import unheard

LARGE = 2**27
LARGEST_BLOCK = 2**31
_CACHE = 2**26
_WORKERS = min(8, os.cpu_count() or 1)
_LZW, _APERIO_YCBCR = 5, 33003
_IN_PLACE = (1, _LZW, 8, 32773, 32946, 34926, 50000)  # none, LZW, deflate, PackBits, zstd: small, or checked before
_YCBCR_TO_RGB = np.array([[1, 1, 1], [0, -0.344136, 1.772], [1.402, -0.714136, 0]], np.float32)
_SLIDES = ("svs", "ndpi", "scn", "bif", "philips")
_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_WHITE_IS_ZERO, _PALETTE, _SEPARATED = 0, 3, 5

# what tifffile and the decoders raise on damaged files, besides tifffile's own
_DAMAGED = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    OSError,
    ParseError,
    RuntimeError,
    StopIteration,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
_R = TypeVar("_R")


def is_tiff(start: bytes) -> bool:
    """Whether the first 132 bytes (or more) of a file are those of TIFF, and not of DICOM with a TIFF before it."""
    return start.startswith(_STARTS) and not is_marked(start)


def read_tiff(path: Path, axes: str | None = None, level: int = 0) -> Image:
    """Read the first picture of a TIFF file, or of a slide scanner's file (``.svs``, ``.ndpi``).

    Up to 128 MB are read at once; of larger files only what is sliced is read (memory-mapped if it is
    stored plainly, else decoded block by block).

    Parameters
    ----------
    path
        The file.
    axes
        One letter per axis of the stored array, where the file does not say, or says wrong.
    level
        Which resolution of a picture that is stored in several; 0 is the finest.

    Raises
    ------
    ImageFileError
        If the file is truncated or damaged.
    ImageError
        If the meaning of an axis is not known.
    OptionError
        If there is no such level.
    """
    directories = check_structure(path)
    return _guarded(path, lambda: _read(path, axes, directories, level))


def tiff_levels(path: Path) -> tuple[LevelGrid, ...]:
    """Where the levels of the first picture of a TIFF file lie, finest first: each covers the same place.

    Raises
    ------
    ImageFileError
        If the file is truncated or damaged.
    """
    import tifffile

    def read() -> tuple[LevelGrid, ...]:
        with tifffile.TiffFile(path) as tiff:
            return _grids(_levels(_own_series(tiff)[0]))

    check_structure(path)
    return _guarded(path, read)


def tiff_files(path: Path) -> list[Path]:
    """The files that the first picture of a TIFF file lies in, by name: those of OME-TIFF may be several.

    Raises
    ------
    ImageFileError
        If the file is damaged.
    """
    import tifffile

    def read() -> list[Path]:
        with tifffile.TiffFile(path) as tiff:
            series = _own_series(tiff)[0]
        names = {path.name} | (_names(series) if series.kind == "ome" else set())
        return [path.with_name(name) for name in sorted(names)]

    return _guarded(path, read)


def _own_series(tiff: Any) -> list[Any]:
    """The pictures that lie in a file, at least in part: OME-XML may tell of those of other files, too."""
    return [s for s in tiff.series if s.kind != "ome" or tiff.filename in _names(s)] or list(tiff.series)


def _names(series: Any) -> set[str]:
    return {page.parent.filename for page in series if page is not None}


def _levels(series: Any) -> list[Any]:
    """The levels of a picture, finest first; those that are not smaller copies of it are left out."""
    found = [series]
    for level in series.levels[1:]:
        pairs = list(zip(level.shape, found[-1].shape, strict=False))
        is_smaller = all(n <= m for n, m in pairs) and any(n < m for n, m in pairs)
        is_smaller &= all(n == m or a in "ZYX" for a, (n, m) in zip(series.axes, pairs, strict=False))
        if level.axes != series.axes or level.dtype != series.dtype or not is_smaller:
            break
        found.append(level)
    return found


def _grids(levels: Sequence[Any]) -> tuple[LevelGrid, ...]:
    finest = tuple(levels[0].shape)
    factors = [likely_factors(finest, tuple(level.shape))[0] for level in levels]
    return tuple(
        LevelGrid(index=i, factor=factor, offset=tuple((f - 1) / 2 for f in factor)) for i, factor in enumerate(factors)
    )


def _read(path: Path, axes: str | None, directories: int, level: int) -> Image:
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        own = _own_series(tiff)
        series = own[0]
        _check_series(tiff, series, directories, path)
        is_stated = axes is not None and len(axes) == len(series.axes)  # of what is stored, without those of length 1
        is_plain = is_stated or len(series.levels) > 1
        whole = series.axes if is_plain else whole_axes(tiff, series.axes, tuple(series.shape))
        lost = tuple(i for i, axis in enumerate(whole) if axis not in series.axes)
        letters = _axes(whole, tuple(series.shape), axes, path)
        names = channel_names_in(tiff)
        place, notes = geometry_in(tiff, series, "".join(a for a in "ZYX" if a in letters))
        levels = _levels(series)
        grids = _grids(levels)
        if not 0 <= level < len(grids):
            only = "only one" if len(grids) == 1 else f"{len(grids)}, and 0 is the finest"
            raise OptionError(f"{path} has no level {level}: it has {only}. Give one of them, or leave it out.")
        if level:
            place = grids[level].geometry(place, letters)
        if len(own) > 1 and series.kind not in _SLIDES:  # whose others are the label and a photo of the glass
            notes = (*notes, f"The file holds {len(own)} pictures; the first was taken.")
        notes = (*notes, *_color_notes(series.keyframe.photometric, path, is_imagej=tiff.is_imagej))
        overview = None
        if series.kind in _SLIDES and len(levels) > 1 and letters == "YXC" and series.dtype == np.uint8:
            overview = functools.partial(_opened, path, overview_level([one.shape for one in levels]))
        array = _array(path, levels[level], level, lost)
    channels = dict(zip(letters, array.shape, strict=False)).get("C", 0)
    return Image(
        array=array,
        axes=letters,
        geometry=place,
        channel_names=names if len(names) == channels else (),
        name=path.stem.removesuffix(".ome"),
        notes=notes,
        overview=overview,
    )


class TiffBlocks(LazyArray):
    """A compressed or tiled TIFF picture that decodes only the blocks that are asked for.

    Reading rows in order decodes each block once: the latest ones are kept.

    Parameters
    ----------
    path
        The file, which stays open.
    level
        Which resolution of a picture that is stored in several.
    lost
        Positions of axes of length 1 that are not stored.
    """

    def __init__(self, path: Path, level: int = 0, lost: tuple[int, ...] = ()) -> None:
        import tifffile
        import zarr

        self._path = path
        opened = tifffile.TiffFile(path)
        weakref.finalize(self, opened.close)
        series = _own_series(opened)[0]
        for page in filter(_may_crash, _pages(series.levels[level])):
            _set_apart(page)
        _guard_decoder(series.levels[level])
        self._array: Any = zarr.open_array(series.aszarr(level=level), mode="r")
        self._lost = lost
        self.shape: tuple[int, ...] = self._whole(self._array.shape)
        self.dtype: np.dtype[Any] = np.dtype(self._array.dtype)
        self._chunks: tuple[int, ...] = self._whole(self._array.chunks)
        block = math.prod(self._chunks) * self.dtype.itemsize
        if block > LARGEST_BLOCK:
            raise ImageFileError(
                f"{path} is one compressed block of {block / 2**30:.1f} GB, which cannot be read piece by piece. "
                "Save it with tiles, or without compression."
            )
        self._block = functools.lru_cache(maxsize=max(4, _CACHE // block))(self._decode)

    def _read(self, ranges: Sequence[range]) -> NDArray[Any]:
        out = np.empty([len(r) for r in ranges], self.dtype)
        touched = [_touched(r, c) for r, c in zip(ranges, self._chunks, strict=True)]
        for numbers in itertools.product(*touched):
            self._copy(numbers, ranges, out)
        return out

    def _copy(self, numbers: tuple[int, ...], ranges: Sequence[range], out: NDArray[Any]) -> None:
        source, target = [], []
        for number, wanted, chunk in zip(numbers, ranges, self._chunks, strict=True):
            first = max(0, -(-(number * chunk - wanted.start) // wanted.step))
            stop = min(len(wanted), -(-((number + 1) * chunk - wanted.start) // wanted.step))
            start = wanted.start + first * wanted.step - number * chunk
            target.append(slice(first, stop))
            source.append(slice(start, start + (stop - first - 1) * wanted.step + 1, wanted.step))
        out[tuple(target)] = self._block(numbers)[tuple(source)]

    def _decode(self, numbers: tuple[int, ...]) -> NDArray[Any]:
        whole = [slice(i * c, (i + 1) * c) for i, c in zip(numbers, self._chunks, strict=True)]
        key = tuple(part for axis, part in enumerate(whole) if axis not in self._lost)
        return _guarded(self._path, lambda: np.expand_dims(np.asarray(self._array[key]), self._lost))

    def _whole(self, stored: Sequence[int]) -> tuple[int, ...]:
        """Lengths with those of the axes that are not stored."""
        lengths = list(stored)
        for axis in self._lost:
            lengths.insert(axis, 1)
        return tuple(lengths)


def _opened(path: Path, level: int) -> TiffBlocks:
    return _guarded(path, lambda: TiffBlocks(path, level))


def _touched(wanted: range, chunk: int) -> list[int]:
    """Numbers of the blocks that hold some of the indices."""
    if wanted.step >= chunk:
        return sorted({i // chunk for i in wanted})
    return list(range(wanted[0] // chunk, wanted[-1] // chunk + 1))


def _guarded(path: Path, work: Callable[[], _R]) -> _R:
    """The result of `work`, with whatever a decoder raises turned into one kind of error."""
    import tifffile

    try:
        with unheard("tifffile"):
            return work()
    except UnetstyleError:
        raise
    except (*_DAMAGED, tifffile.TiffFileError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ImageFileError(
            f"{path} is truncated, damaged or of an unknown kind: {reason}. Copy or export it again."
        ) from error


def _check_series(tiff: Any, series: Any, directories: int, path: Path) -> None:
    """What the file says of its pictures has to agree with what it holds."""
    problem = None
    held = math.prod(series.keyframe.shape)
    images = (tiff.imagej_metadata or {}).get("images", 1) if tiff.is_imagej else 1
    if len(tiff.pages) != directories:
        problem = f"only {len(tiff.pages)} of {directories} pages can be read"
    elif series.dataoffset is None and any(page is None for page in series):
        problem = "some of its planes lie in other files that are missing, or nowhere"
    elif series.dataoffset is not None and series.dataoffset + series.nbytes > path.stat().st_size:
        problem = f"{series.nbytes} bytes of pixels are promised, but it has {path.stat().st_size} in all"
    elif images * held > math.prod(series.shape):
        problem = f"{images} pages are promised, but {math.prod(series.shape) // held} are there"
    if problem is not None:
        raise ImageFileError(f"{path} is truncated or incomplete: {problem}. Copy or export it again.")


def _color_notes(photometric: int, path: Path, *, is_imagej: bool) -> tuple[str, ...]:
    if photometric == _SEPARATED:
        raise ImageError(f"{path} has printing colors (CMYK). Save it in gray or RGB.")
    if photometric == _PALETTE and not is_imagej:  # ImageJ keeps intensities under its color tables
        return ("The file stores indices into a table of colors; they were taken as intensities.",)
    if photometric == _WHITE_IS_ZERO:
        return ("The file stores white as 0; its values were taken as they are.",)
    return ()


def _pages(series: Any) -> list[Any]:
    """The pages whose decoders are those of all."""
    return list({id(page.keyframe): page.keyframe for page in series if page is not None}.values())


def _may_crash(page: Any) -> bool:
    return int(page.compression) not in _IN_PLACE


def _guard_decoder(series: Any) -> None:
    """Have damaged LZW data refused before the decoder sees them, which might crash.

    Luminance and chroma become red, green and blue where Aperio's JPEG 2000 does not say that it holds them.
    """
    wrap = {_LZW: _checking_lzw, _APERIO_YCBCR: _in_rgb}
    for page in _pages(series):
        if int(page.compression) in wrap:
            page.decode = wrap[int(page.compression)](page.decode)


def _set_apart(page: Any) -> None:
    """Have tifffile decode a page with decoders that run apart.

    It takes none from others, so its own function is given other names than those of its module.
    """
    from tifffile import tifffile

    decoders = Decoders(math.prod(page.chunks) * page.dtype.itemsize)
    table = types.SimpleNamespace(
        DECOMPRESSORS={page.compression: getattr(decoders, tifffile.TIFF.DECOMPRESSORS[page.compression].__name__)},
        UNPREDICTORS=tifffile.TIFF.UNPREDICTORS,
        IMAGE_COMPRESSIONS=tifffile.TIFF.IMAGE_COMPRESSIONS,
    )
    names = {**vars(tifffile), "imagecodecs": decoders, "TIFF": table}
    page.decode = types.FunctionType(type(page).decode.func.__code__, names)(page)


def _checking_lzw(decode: Callable[..., Any]) -> Callable[..., Any]:
    def checked(data: bytes | None, *args: Any, **options: Any) -> Any:
        if data is not None and not is_valid_lzw(bytes(data)):
            raise ValueError("its LZW data are damaged")
        return decode(data, *args, **options)

    return checked


def _in_rgb(decode: Callable[..., Any]) -> Callable[..., Any]:
    def converted(*args: Any, **options: Any) -> Any:
        values, *rest = decode(*args, **options)
        if values is None:
            return values, *rest
        colors = (values.astype(np.float32) - (0, 128, 128)) @ _YCBCR_TO_RGB
        return np.clip(np.rint(colors), 0, 255).astype(values.dtype), *rest

    return converted


def _array(path: Path, series: Any, level: int, lost: tuple[int, ...]) -> ArrayLike:
    if series.nbytes <= LARGE:
        is_apart = any(map(_may_crash, _pages(series)))
        whole = result(_whole, str(path), level, size=series.nbytes) if is_apart else _decoded(series)
        return np.expand_dims(whole, lost)
    if series.dataoffset is not None and getattr(series, "transform", None) is None:
        dtype = np.dtype(series.dtype).newbyteorder(series.keyframe.parent.byteorder)
        return np.expand_dims(np.memmap(path, dtype, "r", series.dataoffset, tuple(series.shape)), lost)
    return TiffBlocks(path, level, lost)


def _whole(path: str, level: int) -> NDArray[Any]:
    """All pixels of one level, decoded in this process."""
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        return _decoded(_own_series(tiff)[0].levels[level])


def _decoded(series: Any) -> NDArray[Any]:
    _guard_decoder(series)
    return np.asarray(series.asarray(maxworkers=_WORKERS))


def _axes(stored: str, shape: tuple[int, ...], given: str | None, path: Path) -> str:
    if given is not None:
        return given.upper()
    letters = stored if "C" in stored else stored.replace("S", "C")
    strange = [a for a in letters if a not in AXES]
    if not strange:
        return letters
    if strange == ["S"]:
        raise ImageError(f"{path} has both channels and colors (axes {stored}). Export its channels without colors.")
    numbers = [str(i + 1) for i, a in enumerate(letters) if a in strange]
    which = f"number {numbers[0]} is" if len(numbers) == 1 else f"numbers {' and '.join(numbers)} are"
    possible = possible_axes(letters.replace("S", "C"))
    raise AxesUnknownError(
        f"{path} has {len(shape)} axes of lengths {shape} and does not say what {which}. "
        f"State all axes, one letter each out of {AXES}{axes_examples(possible)}.",
        shape,
        possible,
    )
