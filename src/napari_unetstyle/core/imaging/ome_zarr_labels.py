"""Labels as OME-Zarr: a folder of their own, or among the labels of an OME-Zarr picture."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import mmap
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_unetstyle.core import scratch
from napari_unetstyle.core.colors import rgb
from napari_unetstyle.core.errors import ImageError, OutputError
from napari_unetstyle.core.files import atomic_write
from napari_unetstyle.core.imaging.geometry import Geometry, unknown
from napari_unetstyle.core.imaging.image import ArrayLike
from napari_unetstyle.core.imaging.label_chunks import LabelChunks, blocks
from napari_unetstyle.core.imaging.ome_zarr import LABELS, OmeZarr, is_zarr, open_ome_zarr
from napari_unetstyle.core.imaging.ome_zarr_metadata import Level, Multiscale, attributes_of, multiscale_of, without
from napari_unetstyle.core.imaging.zarr_level import MARKS

NEWEST = "0.5"
_FORMATS: dict[str, Literal[2, 3]] = {"0.4": 2, "0.5": 3}
_CHUNK = {2: (1024, 1024), 3: (64, 128, 128)}
_SMALLEST = 256  # no level is made of one whose rows and columns are fewer
_ALIKE = 1.5  # axes are halved together if their pixel sizes differ by less
_OFF = 1e-3  # of a pixel
_WIDE = "wide"  # where labels lie until their smallest type is known
_MAPPED = 2**26  # bytes of labels on disk that are read before their memory is given back
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._ -]{0,99}")


@dataclass(frozen=True, kw_only=True, eq=False)
class _Grid:
    """One level of the labels, their axes in `order`: every `step`-th pixel from `first` on, as many as `shape`."""

    order: tuple[int, ...]
    step: tuple[int, ...]
    first: tuple[int, ...]
    shape: tuple[int, ...]

    def read(self, labels: ArrayLike, block: Sequence[slice]) -> NDArray[Any]:
        """A block of this level out of the labels."""
        places = zip(self.order, block, self.step, self.first, strict=True)
        key = {axis: slice(f + b.start * s, f + (b.stop - 1) * s + 1, s) for axis, b, s, f in places}
        return np.asarray(labels[tuple(key[axis] for axis in range(len(key)))]).transpose(self.order)


def write_ome_zarr_labels(
    path: Path,
    labels: ArrayLike,
    dtype: np.dtype[Any],
    axes: str,
    geometry: Geometry,
    info: Mapping[str, Any],
    *,
    areas: Sequence[Mapping[str, Any]] = (),
    name: str | None = None,
) -> Path:
    """Write labels chunk by chunk, with coarser levels of every second pixel; nothing that is there is replaced.

    A folder of its own is OME-Zarr 0.5. If `path` is an OME-Zarr picture, the labels become one of its
    ``labels/``, in the picture's version and on the grid of one of its levels.

    Parameters
    ----------
    path
        New folder ``….zarr``, or a picture.
    labels
        Anything that can be sliced; axes T Z Y X or fewer, in this order.
    dtype
        Holds every label exactly.
    axes, geometry
        Of the labels.
    info
        Kept as JSON.
    areas
        Classes (``value``, ``name``, ``color``) whose values the labels are; none for objects.
    name
        Of the labels in a picture.

    Returns
    -------
    Path
        The folder that was written.

    Raises
    ------
    OutputError
        If something is in the way, the labels do not fit the picture, or the disk refuses.
    ImageFileError
        If the picture is damaged.
    """
    if len(labels.shape) != len(axes) or len(geometry.spacing) != sum(a in "ZYX" for a in axes):
        raise _refused(path, f"axes {axes} do not fit labels of shape {labels.shape} and {len(geometry.spacing)} sizes")
    is_begun = isinstance(labels, BegunLabels) and labels.folder == path
    if not is_begun and is_zarr(path):
        picture = open_ome_zarr(path)
        return _write_into(path, picture, labels, dtype, axes, geometry, info, areas, name)
    if not is_begun and path.exists():
        raise _refused(path, "it exists, and folders are not replaced. Give another name")
    if name is not None:
        raise _refused(path, f"labels {name!r} were to go into a picture, but there is none. Check the name")
    finest = multiscale_of(geometry, axes, NEWEST)
    steps = _halvings(labels.shape, axes, finest.levels[0])
    order = tuple(range(len(axes)))
    grids = [_Grid(order=order, step=s, first=(0,) * len(s), shape=_strided(labels.shape, s)) for s in steps]
    size = math.prod(labels.shape) * dtype.itemsize
    with _in_words(path, size) if is_begun else _new_folder(path, size) as folder:
        _write(folder, labels, dtype, finest, grids, info, areas, LABELS, {})
    return path


class BegunLabels(LabelChunks):
    """Labels that are decided in the chunks of a new OME-Zarr folder, which :func:`write_ome_zarr_labels` finishes.

    Until then it is none, and whoever began it removes it on an error.

    Parameters
    ----------
    folder
        Is made.
    axes
        T Z Y X or fewer, in this order.
    shape, dtype
        As of an array: uint8 or int32, of labels that are not negative.

    Raises
    ------
    OutputError
        If the disk refuses, here or while labels are filled in.
    """

    def __init__(self, folder: Path, axes: str, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self.folder, given = folder, np.dtype(dtype)
        finest = multiscale_of(unknown(sum(a in "ZYX" for a in axes)), axes, NEWEST)
        size = math.prod(shape) * given.itemsize
        with _in_words(folder, size):
            folder.parent.mkdir(parents=True, exist_ok=True)
            stored = _created(_group(folder, NEWEST), "0", shape, np.dtype(f"u{given.itemsize}"), finest)
        super().__init__(stored, given, partial(_in_words, folder, size))

    def settle(self, dtype: np.dtype[Any], finest: Multiscale) -> Any:
        """The finest level, of the smallest type that holds every label."""
        import zarr

        stored = self.flushed()
        if stored.dtype == dtype:
            return stored
        (self.folder / "0").rename(self.folder / _WIDE)
        wide = zarr.open_array(self.folder / _WIDE, mode="r")
        target = _created(_group(self.folder, NEWEST), "0", self.shape, dtype, finest)
        for block in blocks(self.shape, self.chunks):
            target[block] = np.asarray(wide[block]).astype(dtype)
        shutil.rmtree(self.folder / _WIDE)
        return target


def free_label_name(path: Path, picture: OmeZarr, wanted: str) -> str:
    """A name like `wanted` that labels of the picture at `path` can have and do not, whether a list names them or not.

    Some disks take ``Nuclei`` and ``nuclei`` for one.
    """
    stem = re.sub(r"[^A-Za-z0-9._]+", "-", wanted)[:90].strip("-.") or LABELS
    lying = (path / LABELS).glob("*")
    taken = {name.lower() for name in (*MARKS, *picture.label_names, *(one.name for one in lying))}
    names = itertools.chain([stem], (f"{stem}-{i}" for i in itertools.count(2)))
    return next(name for name in names if name.lower() not in taken)


def _write_into(
    path: Path,
    picture: OmeZarr,
    labels: ArrayLike,
    dtype: np.dtype[Any],
    axes: str,
    geometry: Geometry,
    info: Mapping[str, Any],
    areas: Sequence[Mapping[str, Any]],
    name: str | None,
) -> Path:
    if picture.is_labels:
        raise _refused(path, "it holds labels, and these are not replaced. Give another name")
    if name is None:
        raise _refused(path, "it is a picture. State the name that the labels will have in it (name=…)")
    if not _NAME.fullmatch(name) or name[-1] in " .":
        raise _refused(path, f"labels cannot be called {name!r}. Use letters, digits, '-' and '_'")
    target = path / LABELS / name
    if name in picture.label_names or target.exists():
        raise _refused(path, f"it has labels {name!r} already, which are not replaced. Give another name")
    index = _level_of(path, picture, labels, axes, geometry)
    letters = picture.axes()
    here = picture.multiscale.levels[index]
    kept = Level(path="0", scale=without(here.scale, letters, "C"), translation=without(here.translation, letters, "C"))
    finest = replace(
        picture.multiscale,
        axes="".join(without(letters, letters, "C")),
        names=without(picture.multiscale.names, letters, "C"),
        units=without(picture.multiscale.units, letters, "C"),
        levels=(kept,),
    )
    grids = _grids_like(picture, index, tuple(map(axes.index, finest.axes)))
    _make_list(path, picture.multiscale.version)
    with _new_folder(target, math.prod(labels.shape) * dtype.itemsize) as folder:
        _write(folder, labels, dtype, finest, grids, info, areas, name, {"source": {"image": "../../"}})
    try:
        _enlist(path, picture.multiscale.version, name)
    except OutputError:
        shutil.rmtree(target, ignore_errors=True)  # what no list names nobody finds
        raise
    return target


def _level_of(path: Path, picture: OmeZarr, labels: ArrayLike, axes: str, geometry: Geometry) -> int:
    """The level on whose grid the labels lie."""
    shapes = []
    for i in range(len(picture.arrays)):
        try:
            image = picture.image(i)
        except ImageError as error:
            raise _refused(path, f"the axes of the picture are not known. {error}") from error
        shapes.append(image.label_shape)
        if image.label_axes == axes and image.label_shape == tuple(labels.shape) and _is_at(geometry, image.geometry):
            return i
    raise _refused(
        path,
        f"labels of shape {tuple(labels.shape)} (axes {axes}) lie on none of the grids of the picture, whose levels "
        f"have the shapes {', '.join(map(str, shapes))}. Give labels of this picture",
    )


def _is_at(geometry: Geometry, other: Geometry) -> bool:
    """Whether two grids lie at one place, to a thousandth of a pixel; what has no unit lies anywhere."""
    if not geometry.is_physical or not other.is_physical:
        return True
    ends = np.concatenate([np.zeros((1, len(other.spacing))), 1e3 * np.eye(len(other.spacing))])
    own = geometry.in_unit(other.unit).to_world(ends)
    return float(np.abs(own - other.to_world(ends)).max()) <= _OFF * min(other.spacing)


# Levels ----------------------------------------------------------------------------------------------------------


def _halvings(shape: tuple[int, ...], axes: str, level: Level) -> list[tuple[int, ...]]:
    """Steps of each level: the axes of space with the finest pixels are halved until the picture is small."""
    spatial = [i for i, a in enumerate(axes) if a in "ZYX"]
    steps = [(1,) * len(shape)]
    while max(_strided(shape, steps[-1])[-2:]) > _SMALLEST:
        sizes = np.abs(level.scale) * steps[-1]
        halved = [i for i in spatial if sizes[i] < _ALIKE * sizes[spatial].min() and _strided(shape, steps[-1])[i] > 1]
        if not halved:
            break
        steps.append(tuple(s * (2 if i in halved else 1) for i, s in enumerate(steps[-1])))
    return steps


def _grids_like(picture: OmeZarr, index: int, order: tuple[int, ...]) -> list[_Grid]:
    """The levels of a picture from one on, as far as their pixels are whole steps apart."""
    letters = picture.axes()
    shape = without(picture.arrays[index].shape, letters, "C")
    grids = [_Grid(order=order, step=(1,) * len(shape), first=(0,) * len(shape), shape=shape)]
    for level, array in zip(picture.multiscale.levels[index + 1 :], picture.arrays[index + 1 :], strict=False):
        factor, offset = (without(v.tolist(), letters, "C") for v in level.over(picture.multiscale.levels[index]))
        step = tuple(round(f) for f in factor)
        first = tuple(min(max(math.ceil(o - 0.5), 0), s - 1) for o, s in zip(offset, step, strict=True))
        counts = zip(without(array.shape, letters, "C"), shape, step, first, strict=True)
        wanted = tuple(min(n, -(-(whole - f) // s)) for n, whole, s, f in counts)
        if min(step) < 1 or min(wanted) < 1 or not np.allclose(step, factor, rtol=_OFF):
            break
        grids.append(_Grid(order=order, step=step, first=first, shape=wanted))
    return grids


def _strided(shape: tuple[int, ...], step: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(-(-n // s) for n, s in zip(shape, step, strict=True))


def _at(grid: _Grid, finest: Level, path: str) -> Level:
    scale, first = np.array(finest.scale), np.array(grid.first)
    return Level(
        path=path,
        scale=tuple((scale * grid.step).tolist()),
        translation=tuple((scale * first + finest.translation).tolist()),
    )


# Files -----------------------------------------------------------------------------------------------------------


def _write(
    folder: Path,
    labels: ArrayLike,
    dtype: np.dtype[Any],
    finest: Multiscale,
    grids: Sequence[_Grid],
    info: Mapping[str, Any],
    areas: Sequence[Mapping[str, Any]],
    name: str,
    source: Mapping[str, Any],
) -> None:
    levels = tuple(_at(grid, finest.levels[0], str(i)) for i, grid in enumerate(grids))
    image_label = {**_colors(areas), **source}
    stated = attributes_of(replace(finest, levels=levels), name, image_label, info)
    group = _group(folder, finest.version)
    whole, first = labels, 0
    if isinstance(labels, BegunLabels) and labels.folder == folder:
        whole, first = labels.settle(dtype, finest), 1
    for level, grid in [*zip(levels, grids, strict=True)][first:]:
        _fill(_created(group, level.path, grid.shape, dtype, finest), whole, grid)
    group.attrs.put(stated)


def _group(folder: Path, version: str) -> Any:
    import zarr

    return zarr.open_group(folder, mode="a", zarr_format=_FORMATS[version])


def label_pieces(labels: ArrayLike) -> Iterator[NDArray[Any]]:
    """Lazy labels piece by piece, each of their chunks read once."""
    dims = min(len(labels.shape), 3)
    stated = getattr(labels, "chunks", None) or (*(1,) * (len(labels.shape) - dims), *_CHUNK[max(dims, 2)][-dims:])
    chunks = [max(c) if isinstance(c, tuple) else int(c) for c in stated]
    for block in blocks(labels.shape, chunks):
        yield np.asarray(labels[block])


def _created(group: Any, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], finest: Multiscale) -> Any:
    dims = sum(a in "ZYX" for a in finest.axes)
    chunks = (*(1,) * (len(shape) - dims), *_CHUNK[dims])
    is_old = finest.version == "0.4"
    return group.create_array(
        name,
        shape=shape,
        dtype=dtype,
        chunks=tuple(min(c, n) for c, n in zip(chunks, shape, strict=True)),
        fill_value=0,
        chunk_key_encoding={"name": "v2" if is_old else "default", "separator": "/"},
        dimension_names=None if is_old else finest.names,
    )


def _fill(target: Any, labels: ArrayLike, grid: _Grid) -> None:
    mapped = 0
    for block in blocks(grid.shape, target.chunks):
        piece = grid.read(labels, block)
        target[block] = piece.astype(target.dtype)
        mapped += math.prod(piece.shape[:-1]) * max(mmap.PAGESIZE, piece.shape[-1] * grid.step[-1] * piece.itemsize)
        if mapped > _MAPPED and isinstance(labels, np.ndarray):
            scratch.release(labels)
            mapped = 0
    if isinstance(labels, np.ndarray):
        scratch.release(labels)


def _colors(areas: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    if not areas:
        return {}
    colors = [(row["value"], [*rgb(row["color"]), 255]) for row in areas]
    return {
        "colors": [{"label-value": value, "rgba": rgba} for value, rgba in colors],
        "properties": [{"label-value": row["value"], "name": row["name"]} for row in areas],
    }


@contextlib.contextmanager
def _new_folder(target: Path, size: int) -> Iterator[Path]:
    """A temporary folder beside `target` for `size` bytes, which becomes it in one step; on any error it goes."""
    folder: Path | None = None
    try:
        with _in_words(target, size):
            target.parent.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix=".partial-", dir=target.parent))
            yield folder
            folder.chmod(target.parent.stat().st_mode & 0o777)
            folder.rename(target)
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _in_words(target: Path, size: int) -> Iterator[Path]:
    """What the disk refuses, as a sentence that names the bytes."""
    try:
        yield target
    except OSError as error:
        raise OutputError(
            f"Could not write {size} bytes to {target}: {error.strerror or error}. Nothing was written; free some "
            "space or choose another folder."
        ) from error


def _make_list(path: Path, version: str) -> None:
    """The group ``labels`` of a picture, if it has none."""
    import zarr

    if is_zarr(path / LABELS):
        return
    if (path / LABELS).exists():
        raise _refused(path, f"its {LABELS} is no Zarr group. Copy or export the picture again")
    stated: dict[str, Any] = {LABELS: []} if version == "0.4" else {"ome": {"version": version, LABELS: []}}
    with _new_folder(path / LABELS, len(json.dumps(stated))) as folder:
        zarr.create_group(folder, zarr_format=_FORMATS[version], attributes=stated)


def _enlist(path: Path, version: str, name: str) -> None:
    """Add a name to the labels of a picture; copies of the metadata at its root are made anew."""
    import zarr

    file = path / LABELS / (".zattrs" if version == "0.4" else "zarr.json")
    known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    place = known if version == "0.4" else known.setdefault("attributes", {}).setdefault("ome", {"version": version})
    place[LABELS] = [*(place.get(LABELS) or []), name]
    atomic_write(file, json.dumps(known, indent=2))
    if (path / ".zmetadata").is_file() or '"consolidated_metadata"' in _text(path / "zarr.json"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it is no part of Zarr 3 yet; but the picture has it
            zarr.consolidate_metadata(path, zarr_format=_FORMATS[version])


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.is_file() else ""


def _refused(path: Path, reason: str) -> OutputError:
    return OutputError(f"Could not write {path}: {reason}. Nothing was written.")
