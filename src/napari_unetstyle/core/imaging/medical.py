"""Volumes of the clinic: NIfTI, NRRD and MetaImage."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core import scratch
from napari_unetstyle.core.errors import AxesUnknownError, ImageError, OutputError, UnetstyleError
from napari_unetstyle.core.files import atomic_path, plain_name
from napari_unetstyle.core.imaging import geometry as geo
from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.imaging.image import AXES, ArrayLike, Image, axes_examples, possible_axes
from napari_unetstyle.core.imaging.metaimage import is_metaimage, metaimage_header, read_metaimage_header
from napari_unetstyle.core.imaging.nifti import is_nifti, nifti_header, read_nifti_header
from napari_unetstyle.core.imaging.nrrd import is_nrrd, nrrd_header, read_nrrd_header
from napari_unetstyle.core.imaging.payload import Payload, damage_in_words, encoded, first_bytes
from napari_unetstyle.core.imaging.volume_header import LONGEST_TEXT, NewVolume, VolumeHeader
from napari_unetstyle.core.imaging.xyz import turned, turned_affine

SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
_APART = {".nhdr": (".raw.gz", "gzip"), ".mhd": (".zraw", "zlib")}  # voxels in a file of their own
_OWN_VOXELS = re.compile(r"[a-z0-9_-]+-[0-9a-f]{16}(\.zraw|\.raw\.gz)")
SNIFFED = 600  # bytes that tell the kind
OWN_AXES = ("YX", "ZYX", "TYX", "TZYX")


def header_reader(start: bytes) -> Callable[[Path], VolumeHeader] | None:
    """What reads the header of a file that starts (decompressed) with these bytes; None if it is no such volume."""
    known = ((is_nifti, read_nifti_header), (is_nrrd, read_nrrd_header), (is_metaimage, read_metaimage_header))
    return next((reader for is_kind, reader in known if is_kind(start)), None)


def medical_suffix(path: str | os.PathLike[str]) -> str:
    """The suffix of a volume, ``".nii.gz"`` included; empty for other files."""
    name = Path(path).name.lower()
    return max((suffix for suffix in SUFFIXES if name.endswith(suffix)), key=len, default="")


def volume_info(path: Path) -> dict[str, Any]:
    """What :func:`write_medical` kept in a file, or the classes of a segmentation of 3D Slicer; else empty.

    Raises
    ------
    ImageFileError
        If the header is damaged.
    """
    reader = header_reader(first_bytes(path, SNIFFED))
    return reader(path).info if reader is not None else {}


def image_of(path: Path, header: VolumeHeader, axes: str | None = None) -> Image:
    """The volume that a checked header describes: axes Z Y X, geometry in mm, lazy if it is large and uncompressed.

    Parameters
    ----------
    path
        The file, for names and messages.
    header
        As read from it.
    axes
        One letter per array axis, slowest first, where the file does not say, or says wrong.

    Raises
    ------
    ImageFileError
        If the voxels are not all there, or damaged.
    ImageError
        If an axis is not known, or the position is sheared, singular or not finite.
    """
    shape, letters = _shape_and_letters(path, header, axes)
    geometry, notes = _geometry(path, header, letters)
    payload = Payload(
        path=header.path,
        offset=header.offset,
        encoding=header.encoding,
        skip=header.skip,
        dtype=header.dtype,
        shape=shape,
    )
    with damage_in_words(path):
        array = rescaled(payload.read(), header.slope, header.intercept)
    name = path.name[: -len(medical_suffix(path))] if medical_suffix(path) else path.stem
    return Image(
        array=array,
        axes=letters,
        geometry=geometry,
        name=name,
        notes=(*header.notes, *notes),
        window=header.window,
    )


def write_medical(
    path: Path,
    pieces: Iterable[NDArray[Any]],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    axes: str,
    geometry: Geometry,
    info: dict[str, Any],
    *,
    is_labels: bool = True,
) -> Path:
    """Write a volume piece by piece, compressed (but for ``.nii``), in the format that the suffix names.

    Parameters
    ----------
    path
        ``.nii``, ``.nii.gz``, ``.nrrd`` or ``.mha``; ``.nhdr`` or ``.mhd`` with the voxels beside it
    pieces
        The array in C order, cut anywhere, of any type that `dtype` can hold exactly.
    shape, dtype, axes
        Of the array; the axes are T Z Y X or fewer, in this order.
    geometry
        Its place; written in mm.
    info
        Kept as JSON.
    is_labels
        Whether the values are names of things, and not amounts.

    Raises
    ------
    OutputError
        If the suffix is another, or the file cannot be written; what was there before is whole.
    """
    suffix = medical_suffix(path)
    if not suffix:
        raise OutputError(f"Could not write {path}: give a name that ends in one of {', '.join(SUFFIXES)}.")
    if len(shape) != len(axes) or len(geometry.spacing) != sum(a in "ZYX" for a in axes):
        raise OutputError(
            f"Could not write {path}: axes {axes} do not fit labels of shape {shape} and a pixel size "
            f"{geometry.spacing}. Nothing was written."
        )
    stored = dtype.newbyteorder("<")
    placed = geometry.in_unit("mm") if geometry.is_physical else geometry
    new = NewVolume(
        sizes=turned(shape),
        letters="".join(turned(axes)),
        dtype=stored,
        affine=turned_affine(placed.affine),
        unit=placed.unit,
        is_anatomical=geometry.is_anatomical,
        is_labels=is_labels,
        info={**info, "axes": axes, "unit": placed.unit, "world": "patient" if geometry.is_anatomical else "none"},
    )
    voxels = (np.ascontiguousarray(piece, stored).tobytes() for piece in pieces)
    size = math.prod(shape) * stored.itemsize
    if suffix in _APART:
        return _write_apart(path, size, suffix, new, voxels)
    with atomic_path(path, size) as temporary, temporary.open("wb") as file:
        _write(file, suffix, new, voxels)
    return path


def _write(file: BinaryIO, suffix: str, new: NewVolume, voxels: Iterable[bytes]) -> None:
    if suffix == ".nii":
        file.writelines(chain([nifti_header(new)], voxels))
    elif suffix == ".nii.gz":
        file.writelines(encoded(chain([nifti_header(new)], voxels), "gzip"))
    elif suffix == ".nrrd":
        file.writelines(chain([nrrd_header(new)], encoded(voxels, "gzip")))
    else:
        start = file.write(metaimage_header(new))
        file.writelines(encoded(voxels, "zlib"))
        stored = file.tell() - start
        file.seek(0)
        file.write(metaimage_header(new, stored))


def _write_apart(path: Path, size: int, suffix: str, new: NewVolume, voxels: Iterable[bytes]) -> Path:
    """Write voxels beside a header.

    Two files cannot be replaced in one step, so voxels are named by their content: the old header and its own voxels
    are whole until the new header is in its place.
    """
    ending, encoding = _APART[suffix]
    digest, apart = hashlib.sha256(), [_own_voxels(path)]
    try:
        with atomic_path(path, size) as header:
            apart.append(temporary := header.with_suffix(ending))
            with temporary.open("wb") as file:
                for piece in encoded(voxels, encoding):
                    digest.update(piece)
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
                stored = file.tell()
            name = f"{plain_name(path.stem, 'voxels')}-{digest.hexdigest()[:16]}{ending}"
            header.write_bytes(nrrd_header(new, name) if suffix == ".nhdr" else metaimage_header(new, stored, name))
            apart.append(temporary.replace(path.with_name(name)))
    finally:
        _remove_unnamed(apart, suffix)
    return path


def voxels_apart(path: Path) -> Path | None:
    """The file of voxels that the header at `path` names; None if they follow it, or it is no header."""
    try:
        reader = header_reader(first_bytes(path, SNIFFED))
        voxels = path if reader is None else reader(path).path
    except (OSError, UnetstyleError):
        return None
    return None if voxels == path else voxels


def _own_voxels(path: Path) -> Path | None:
    """The file of voxels that the header at `path` names, if both were written here."""
    voxels = voxels_apart(path)
    is_own = voxels is not None and voxels.parent == path.parent and _OWN_VOXELS.fullmatch(voxels.name)
    return voxels if is_own else None


def _remove_unnamed(voxels: Iterable[Path | None], suffix: str) -> None:
    """Remove the files of voxels that no header beside them names."""
    for file in filter(None, voxels):
        with contextlib.suppress(OSError):  # it is only in nobody's use
            headers = (other for other in file.parent.iterdir() if other.name.lower().endswith(suffix))
            if not any(_names(header, file.name) for header in headers):
                file.unlink()


def _names(header: Path, voxels: str) -> bool:
    with header.open("rb") as file:
        return voxels.encode() in file.read(LONGEST_TEXT)


def rescaled(array: NDArray[Any], slope: float, intercept: float) -> ArrayLike:
    """Values = slope * stored + intercept: integers where they stay integers, else float32 or float64.

    What lies in a file is rescaled when it is read.
    """
    if (slope, intercept) == (1, 0):
        return array
    lazy = Rescaled(array, slope, intercept)
    return lazy if isinstance(array, (np.memmap, scratch.ScratchArray)) else lazy[...]


@dataclass(frozen=True, eq=False)
class Rescaled:
    """An array whose values are rescaled when they are read."""

    array: NDArray[Any]
    slope: float
    intercept: float

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return self.array.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.array.ndim

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest type that holds every value."""
        stored = self.array.dtype
        if stored.kind in "ui" and self.slope.is_integer() and self.intercept.is_integer():
            ends = [int(self.slope) * end + int(self.intercept) for end in _range(stored)]
            for candidate in (np.int16, np.int32):
                if np.iinfo(candidate).min <= min(ends) and max(ends) <= np.iinfo(candidate).max:
                    return np.dtype(candidate)
        return np.dtype(np.float32 if stored.itemsize <= 2 or stored == np.float32 else np.float64)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        if self.dtype.kind == "f":
            return np.asarray(np.asarray(self.array[key], np.float64) * self.slope + self.intercept, self.dtype)
        return np.asarray(np.asarray(self.array[key], np.int64) * int(self.slope) + int(self.intercept), self.dtype)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[...], dtype)


def _range(dtype: np.dtype[Any]) -> tuple[int, int]:
    limits = np.iinfo(dtype)
    return int(limits.min), int(limits.max)


def _shape_and_letters(path: Path, header: VolumeHeader, axes: str | None) -> tuple[tuple[int, ...], str]:
    """Shape and axes of the array, slowest first; axes of length 1 that nobody named are left out, Z before others."""
    shape, letters = turned(header.sizes), "".join(turned(header.letters))
    stated = (axes or _own_axes(header)).upper()
    idle = [i for i, (n, a) in enumerate(zip(shape, letters, strict=True)) if n == 1 and a not in (stated or AXES)]
    surplus = max(0, len(shape) - len(stated))
    dropped = sorted(idle, key=lambda i: letters[i] != "Z")[:surplus]
    shape = tuple(n for i, n in enumerate(shape) if i not in dropped)
    letters = "".join(a for i, a in enumerate(letters) if i not in dropped)
    if stated:
        return shape, stated
    if {*letters} == {"?"} and len(letters) < len(AXES):
        raise AxesUnknownError(
            f"{path} has {len(shape)} axes of lengths {shape} and does not say what they are. State all axes, for "
            f"example axes={'TZYX'[-len(letters) :]!r}.",
            shape,
            possible_axes(letters),
        )
    if "?" in letters:
        possible = possible_axes(letters)
        raise AxesUnknownError(
            f"{path} has {len(shape)} axes of lengths {shape} and does not say what the one of length "
            f"{shape[letters.index('?')]} is. State all axes{axes_examples(possible)}.",
            shape,
            possible,
        )
    return shape, letters


def _own_axes(header: VolumeHeader) -> str:
    axes = str(header.info.get("axes", ""))
    return axes if axes in OWN_AXES else ""


def _geometry(path: Path, header: VolumeHeader, letters: str) -> tuple[Geometry, tuple[str, ...]]:
    """The place of the volume; of axes that a person stated otherwise than the file only the sizes."""
    affine = turned_affine(header.affine)
    spatial = "".join(a for a in letters if a in "ZYX")
    known = "".join(a for a in turned(header.letters) if a in "ZYX")
    if len(known) < 2:
        return geo.unknown(len(spatial)), ()
    try:
        whole = Geometry.from_affine(affine, header.unit, is_anatomical=header.is_anatomical)
    except ImageError as error:
        raise ImageError(f"{path} says where it lies in a way that cannot be used. {error}") from error
    if spatial == known:
        return whole, ()
    if spatial == "YX" and not affine[0, 1:3].any() and not affine[1:3, 0].any():  # a plane that lies in its world
        return Geometry.from_affine(affine[1:, 1:], header.unit), ()
    sizes = dict(zip(known, whole.spacing, strict=True))
    spacing = tuple(sizes.get(a, 1.0) for a in "ZYX" if a in spatial)
    note = f"The file has the axes {known} in space, but {spatial} were stated: its place was left out."
    return Geometry(spacing=spacing, unit=whole.unit), (note,)
