"""The headers of MetaImage files, MHA and MHD (itk.org/Wiki/MetaIO/Documentation), in the order of the file."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from napari_unetstyle.core.errors import ImageError, ImageFileError
from napari_unetstyle.core.imaging.volume_header import (
    LONGEST_TEXT,
    Affine,
    NewVolume,
    VolumeHeader,
    believed,
    beside,
    check_nothing_before,
    check_sizes,
    kept_text,
    own_info,
)

_FIRST = re.compile(rb"\s*(ObjectType|ObjectSubType|NDims|Comment|Name|BinaryData|TransformType)[ \t]*=")
_TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip
_UNITS = {"": (1.0, "mm"), "mm": (1.0, "mm"), "cm": (10.0, "mm"), "um": (1.0, "um"), "m": (1e3, "mm")}
_OWN = "napari-unetstyle"
_SIZES = ("ElementSpacing", "ElementSize")

Fields = dict[str, str]


def is_metaimage(start: bytes) -> bool:
    """Whether bytes are the start of a MetaImage file."""
    return _FIRST.match(start) is not None


def read_metaimage_header(path: Path) -> VolumeHeader:
    """Read and check the header of an ``.mha`` file, or of an ``.mhd`` file with its voxels beside it.

    As in ITK, the world goes to the left, the back and the head, in millimeters if nothing else is said.

    Raises
    ------
    ImageFileError
        If the header is damaged, or its voxels are stored in a way that cannot be read.
    """
    fields, offset = _parsed(path)
    sizes = tuple(int(n) for n in _numbers(path, fields, "DimSize") if n.is_integer() and 0 < n < 2**53)
    dims = len(sizes)
    if fields.get("NDims") != str(dims):
        raise _damaged(path, f"it says NDims = {fields.get('NDims')} and DimSize = {fields.get('DimSize')}")
    check_sizes(path, sizes)
    channels = _channels(path, fields)
    letters = "XYZ????"[:dims]
    affine, unit = _place(path, fields, dims)
    info = believed(own_info(fields.get(_OWN, "")), sizes, affine)
    if info.get("unit") == "px" and "DistanceUnits" not in fields:
        unit = "px"
    notes: tuple[str, ...] = ()
    if _first(fields, *_SIZES) is None:
        notes = (f"The file does not say how large its voxels are (ElementSpacing); 1 {unit} was taken.",)
    data = fields["ElementDataFile"]
    is_local = data.upper() == "LOCAL"
    dtype = _dtype(path, fields)
    is_compressed = _is_true(fields.get("CompressedData", "False"))
    slope, intercept = (
        _number(path, fields, f"ElementToIntensityFunction{n}", d) for n, d in (("Slope", 1.0), ("Offset", 0.0))
    )
    voxels, start = path if is_local else beside(path, data), offset if is_local else 0
    size = math.prod(sizes) * channels * dtype.itemsize
    if _number(path, fields, "HeaderSize", 0.0) == -1 and not is_compressed:
        check_nothing_before(path, voxels, start, size)
    else:
        start = _offset(path, fields, start, is_local=is_local)
    return VolumeHeader(
        path=voxels,
        sizes=sizes if channels == 1 else (channels, *sizes),
        letters=letters if channels == 1 else f"C{letters}",
        dtype=dtype,
        offset=start,
        encoding="zlib" if is_compressed else "raw",
        affine=affine,
        unit=unit,
        is_anatomical=dims >= 3 and info.get("world") != "none",
        slope=slope,
        intercept=intercept,
        notes=notes,
        info=info,
    )


def metaimage_header(new: NewVolume, stored: int = 0, data: str = "LOCAL") -> bytes:
    """The header of voxels that take `stored` bytes after compression, behind it or in the file `data`.

    It is of one length for any number of bytes.
    """
    dims = len(new.sizes)
    kept = [i for i, a in enumerate(new.letters) if a in "XYZ"]
    affine = np.eye(dims + 1)
    affine[np.ix_([*kept, dims], [*kept, dims])] = new.affine
    spacing = np.linalg.norm(affine[:-1, :-1], axis=0)
    fields = {
        "ObjectType": "Image",
        "NDims": dims,
        "BinaryData": True,
        "BinaryDataByteOrderMSB": False,
        "CompressedData": True,
        "CompressedDataSize": f"{stored:<20d}",
        "TransformMatrix": _words((affine[:-1, :-1] / spacing).T.ravel()),
        "Offset": _words(affine[:-1, -1]),
        "ElementSpacing": _words(spacing),
        "DimSize": " ".join(map(str, new.sizes)),
        _OWN: kept_text(new, new.sizes),
        "ElementType": next(name for name, code in _TYPES.items() if code == new.dtype.str[1:]),
        "ElementDataFile": data,
    }
    return "".join(f"{name} = {value}\n" for name, value in fields.items()).encode()


def _words(values: Affine) -> str:
    return " ".join(repr(float(value)) for value in values)


def _damaged(path: Path, what: str) -> ImageFileError:
    return ImageFileError(f"{path} is truncated or damaged: {what}. Copy or export it again.")


def _parsed(path: Path) -> tuple[Fields, int]:
    """Fields, and where the header ends: after ElementDataFile."""
    with path.open("rb") as file:
        text = file.read(LONGEST_TEXT)
    last = re.search(rb"^ElementDataFile[ \t]*=[^\n]*(\n|$)", text, re.MULTILINE)
    if last is None:
        raise _damaged(path, "its header does not end with ElementDataFile")
    lines = text[: last.end()].decode("utf-8", "replace").splitlines()
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}, last.end()


def _numbers(path: Path, fields: Fields, name: str) -> list[float]:
    try:
        return [float(word) for word in fields[name].split()]
    except (KeyError, ValueError) as error:
        raise _damaged(path, f"{name} is {fields.get(name)!r}") from error


def _number(path: Path, fields: Fields, name: str, default: float) -> float:
    numbers = _numbers(path, fields, name) if name in fields else [default]
    if len(numbers) != 1 or not math.isfinite(numbers[0]):
        raise _damaged(path, f"{name} is {fields[name]!r}")
    return numbers[0]


def _first(fields: Fields, *names: str) -> str | None:
    return next((name for name in names if name in fields), None)


def _is_true(text: str) -> bool:
    return text[:1].upper() in ("T", "Y", "1")


def _channels(path: Path, fields: Fields) -> int:
    count = _number(path, fields, "ElementNumberOfChannels", 1.0)
    if not count.is_integer() or not 1 <= count <= 2**16:
        raise _damaged(path, f"ElementNumberOfChannels is {count:g}")
    return int(count)


def _place(path: Path, fields: Fields, dims: int) -> tuple[Affine, str]:
    """Affine of the spatial axes XYZ, or XY, and its unit."""
    named = {
        "spacing": _first(fields, *_SIZES),
        "origin": _first(fields, "Offset", "Position", "Origin"),
        "matrix": _first(fields, "TransformMatrix", "Rotation", "Orientation"),
    }
    default = {"spacing": [1.0] * dims, "origin": [0.0] * dims, "matrix": np.eye(dims).ravel().tolist()}
    found = {what: default[what] if name is None else _numbers(path, fields, name) for what, name in named.items()}
    for what, values in found.items():
        if len(values) != len(default[what]) or not all(map(math.isfinite, values)):
            raise _damaged(path, f"{named[what]} is {fields[str(named[what])]!r}")
    if min(found["spacing"]) <= 0:
        raise ImageError(f"{path} says that its pixel size is {found['spacing']}, which is none. Export it again.")
    factor, unit = _UNITS.get(fields.get("DistanceUnits", "").strip('"').lower(), (0.0, ""))
    if not unit:
        raise ImageError(f"{path} has its pixel size in {fields['DistanceUnits']}. Export it in millimeters.")
    matrix = np.array(found["matrix"]).reshape(dims, dims).T * found["spacing"]
    space = min(dims, 3)
    affine = np.eye(space + 1)
    affine[:-1, :-1], affine[:-1, -1] = matrix[:space, :space], found["origin"][:space]
    if np.any(matrix[space:, :space]) or np.any(matrix[:space, space:]):
        raise ImageError(f"{path} mixes space with its other axes (TransformMatrix), which cannot be shown.")
    affine[:-1] *= factor
    return affine, unit


def _dtype(path: Path, fields: Fields) -> np.dtype[Any]:
    code = _TYPES.get(fields.get("ElementType", "").removesuffix("_ARRAY"))
    if code is None:
        raise _damaged(path, f"ElementType is {fields.get('ElementType')!r}")
    if not _is_true(fields.get("BinaryData", "True")):
        raise ImageFileError(f"{path} stores its voxels as text. Save it as binary.")
    is_big = _is_true(fields.get("BinaryDataByteOrderMSB", fields.get("ElementByteOrderMSB", "False")))
    return np.dtype(code).newbyteorder(">" if is_big else "<")


def _offset(path: Path, fields: Fields, offset: int, *, is_local: bool) -> int:
    stated = _number(path, fields, "HeaderSize", 0.0)
    if stated == 0:
        return offset
    if is_local or not stated.is_integer() or not 0 < stated < 2**40:
        raise ImageFileError(f"{path} has HeaderSize = {stated:g}, which is not supported. Save it as one .mha file.")
    return int(stated)
