"""The headers of NRRD files (teem.sourceforge.net/nrrd/format.html), in the order of the file."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from napari_unetstyle.core.colors import rgb
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

_MAGIC = b"NRRD000"
_TYPES = {
    "i1": "int8, int8_t, signed char",
    "u1": "uint8, uint8_t, uchar, unsigned char",
    "i2": "int16, int16_t, short, short int, signed short, signed short int",
    "u2": "uint16, uint16_t, ushort, unsigned short, unsigned short int",
    "i4": "int32, int32_t, int, signed int",
    "u4": "uint32, uint32_t, uint, unsigned int",
    "i8": "int64, int64_t, longlong, long long, long long int, signed long long, signed long long int",
    "u8": "uint64, uint64_t, ulonglong, unsigned long long, unsigned long long int",
    "f4": "float",
    "f8": "double",
}
_NAMES = {name: code for code, names in _TYPES.items() for name in names.split(", ")}
_WORLDS = {  # signs that turn the world to left, back, head
    "left-posterior-superior": (1, 1, 1),
    "lps": (1, 1, 1),
    "right-anterior-superior": (-1, -1, 1),
    "ras": (-1, -1, 1),
    "left-anterior-superior": (1, -1, 1),
    "las": (1, -1, 1),
}
_NO_PATIENT = ("scanner-xyz", "3d-right-handed", "3d-left-handed", "right-up", "right-down")
_UNITS = {"mm": (1.0, "mm"), "millimeter": (1.0, "mm"), "cm": (10.0, "mm"), "m": (1e3, "mm"), "um": (1.0, "um"),
          "µm": (1.0, "um"), "micron": (1.0, "um"), "microns": (1.0, "um"), "nm": (1e-3, "um")}  # fmt: skip
_SPATIAL, _TIME = ("domain", "space"), ("time",)
_CHANNELS = ("vector", "covariant-vector", "rgb-color", "rgba-color", "2-vector", "3-vector", "4-vector", "3-color",
             "4-color", "scalar", "3-gradient", "point")  # fmt: skip
_ENCODINGS = {"raw": "raw", "gzip": "gzip", "gz": "gzip"}
_DIGITS = 20  # no number of voxels and no label has as many
_SEGMENT = re.compile(r"Segment(\d+)_(Name|LabelValue|Color)")

Fields = dict[str, str]


def is_nrrd(start: bytes) -> bool:
    """Whether bytes are the start of an NRRD file."""
    return start.startswith(_MAGIC)


def read_nrrd_header(path: Path) -> VolumeHeader:
    """Read and check the header of a ``.nrrd`` file, or of an ``.nhdr`` file with its voxels beside it.

    Raises
    ------
    ImageFileError
        If the header is damaged, or its voxels are stored in a way that cannot be read.
    ImageError
        If the pixel size is none, or the voxels are no real numbers.
    """
    fields, pairs, offset = _parsed(path)
    sizes = _whole_numbers(path, fields, "sizes")
    check_sizes(path, sizes)
    if fields.get("dimension") != str(len(sizes)):
        raise _damaged(path, f"it says {fields.get('dimension')} dimensions and {len(sizes)} sizes")
    space, has_time = _space(path, fields)
    vectors = _vectors(path, fields, len(sizes))
    kinds = fields.get("kinds", "").lower().split() or ["???"] * len(sizes)
    if has_time:
        vectors, kinds = _without_time(path, vectors, kinds)
    letters = _letters(path, fields, sizes, vectors, kinds)
    affine, unit, is_anatomical, notes = _place(path, fields, letters, vectors, space, has_time=has_time)
    info = believed(own_info(pairs.get("napari-unetstyle", "")), sizes, affine) or _segments(pairs)
    if info.get("unit") == "px" and "space units" not in fields:
        unit, notes = "px", ()
    data = fields.get("data file", fields.get("datafile"))
    voxels, start = (path, offset) if data is None else (beside(path, data), 0)
    dtype, encoding, skip = _dtype(path, fields), _encoding(path, fields), _skip(path, fields)
    if skip == -1 and encoding == "raw":
        check_nothing_before(path, voxels, start, math.prod(sizes) * dtype.itemsize)
    elif skip == -1 or (skip and encoding != "raw"):
        raise ImageFileError(f"{path} skips bytes of compressed voxels, which is not supported. Save it plainly.")
    return VolumeHeader(
        path=voxels,
        sizes=sizes,
        letters=letters,
        dtype=dtype,
        offset=start + max(skip, 0),
        encoding=encoding,
        affine=affine,
        unit=unit,
        is_anatomical=is_anatomical,
        notes=notes,
        info=info,
    )


def nrrd_header(new: NewVolume, data: str | None = None) -> bytes:
    """The header of gzip-compressed voxels, behind it or in the file `data`; the classes are 3D Slicer's segments."""
    dims = len(new.affine) - 1
    spatial = iter(range(dims))
    columns = [next(spatial) if a in "XYZ" else None for a in new.letters]
    lines = [  # a list of volumes, as ITK refuses time
        "NRRD0005",
        f"type: {_TYPES[new.dtype.str[1:]].split(', ')[0]}",
        f"dimension: {len(new.sizes)}",
        "space: left-posterior-superior" if new.is_anatomical else f"space dimension: {dims}",
        f"sizes: {' '.join(map(str, new.sizes))}",
        f"space directions: {' '.join('none' if c is None else _vector(new.affine[:-1, c]) for c in columns)}",
        f"kinds: {' '.join('list' if c is None else 'domain' for c in columns)}",
        *(["endian: little"] if new.dtype.itemsize > 1 else []),
        "encoding: gzip",
        *([] if data is None else [f"data file: {data}"]),
        *([f"space units: {' '.join([json.dumps(new.unit)] * dims)}"] if new.unit != "px" else []),
        f"space origin: {_vector(new.affine[:-1, -1])}",
        f"napari-unetstyle:={kept_text(new, new.sizes)}",
        *_segment_lines(new),
    ]
    return ("\n".join(lines) + "\n\n").encode()


# Reading ---------------------------------------------------------------------------------------------------------


def _damaged(path: Path, what: str) -> ImageFileError:
    return ImageFileError(f"{path} is truncated or damaged: {what}. Copy or export it again.")


def _parsed(path: Path) -> tuple[Fields, Fields, int]:
    """Fields, key/value pairs, and where the header ends."""
    with path.open("rb") as file:
        text = file.read(LONGEST_TEXT)
    end = min((m.end() for m in [re.search(rb"\r?\n\r?\n", text)] if m), default=len(text))
    fields: Fields = {}
    pairs: Fields = {}
    for line in text[:end].decode("utf-8", "replace").splitlines()[1:]:
        if (pair := re.match(r"([^:#]+):=(.*)", line)) is not None:
            pairs[pair[1]] = pair[2]
        elif (stated := re.match(r"([^:#]+): *(.*)", line)) is not None:
            fields[stated[1].strip().lower()] = stated[2].strip()
    if end == len(text) and not {"data file", "datafile"} & fields.keys():
        raise _damaged(path, "its header does not end")
    return fields, pairs, end


def _numbers(path: Path, text: str, what: str) -> list[float]:
    try:
        return [float(word) for word in text.replace(",", " ").strip("() ").split()]
    except ValueError as error:
        raise _damaged(path, f"{what} is {text!r}") from error


def _whole_numbers(path: Path, fields: Fields, name: str) -> tuple[int, ...]:
    words = fields.get(name, "").split()
    if not words or not all(word.isascii() and word.isdigit() and len(word) < _DIGITS for word in words):
        raise _damaged(path, f"{name} is {fields.get(name)!r}")
    return tuple(map(int, words))


def _vectors(path: Path, fields: Fields, count: int) -> list[list[float] | None]:
    """Step in the world along each axis; None for axes that have none."""
    text = fields.get("space directions", "")
    words = re.findall(r"\([^)]*\)|none", text)
    if not text:
        return [None] * count
    vectors = [None if word == "none" else _numbers(path, word, "space directions") for word in words]
    dims = {len(vector) for vector in vectors if vector is not None}
    stated = sum(v is not None for v in vectors)
    if len(vectors) == count and len(dims) == 1 and min(dims) > stated:
        raise ImageError(
            f"{path} has {stated} axes in a space of {min(dims)} dimensions, which is not supported. Save it as a "
            "volume, of one slice if it is a plane."
        )
    if len(vectors) != count or dims != {stated}:
        raise _damaged(path, f"space directions is {text!r}")
    return [None if v is None or all(map(math.isnan, v)) else v for v in vectors]  # NaN means none in old files


def _space(path: Path, fields: Fields) -> tuple[str, bool]:
    """The world without its time, in small letters; and whether time is its last axis."""
    stated = fields.get("space", "").lower().replace(" ", "-")
    for space in (*_WORLDS, *_NO_PATIENT):
        if stated in (space, f"{space}t" if len(space) == 3 else f"{space}-time"):
            return space, stated != space
    if stated:
        raise ImageError(
            f"{path} lies in the space {fields['space']!r}, which NRRD does not know, so its left and right may be "
            f"anywhere. Correct the field, to one of {', '.join(s for s in _WORLDS if len(s) > 3)}, or take it out."
        )
    return "", False


def _without_time(
    path: Path, vectors: list[list[float] | None], kinds: list[str]
) -> tuple[list[list[float] | None], list[str]]:
    """Steps in space alone, and the kind of the axis that goes through time."""
    is_time = [vector is not None and vector[-1] != 0 for vector in vectors]
    through = [vector for vector, is_one in zip(vectors, is_time, strict=True) if vector is not None and is_one]
    if any(vector is not None and len(vector) != 4 for vector in vectors):
        raise _damaged(path, "its space has four axes, and its space directions have not")
    if len(through) > 1 or any(any(vector[:-1]) for vector in through):
        raise ImageError(f"{path} mixes space with its other axes (space directions), which cannot be shown.")
    return (
        [None if v is None or is_one else v[:-1] for v, is_one in zip(vectors, is_time, strict=True)],
        ["time" if is_one else kind for kind, is_one in zip(kinds, is_time, strict=True)],
    )


def _letters(
    path: Path, fields: Fields, sizes: tuple[int, ...], vectors: list[list[float] | None], kinds: list[str]
) -> str:
    spacings = _numbers(path, fields["spacings"], "spacings") if "spacings" in fields else [math.nan] * len(sizes)
    if len(kinds) != len(sizes) or len(spacings) != len(sizes):
        raise _damaged(path, f"it has {len(sizes)} axes, {len(kinds)} kinds and {len(spacings)} spacings")
    has_vectors = any(v is not None for v in vectors)
    spatial = [
        vector is not None if has_vectors else kind in _SPATIAL or (kind == "???" and not math.isnan(spacing))
        for kind, vector, spacing in zip(kinds, vectors, spacings, strict=True)
    ]
    if len(sizes) == 2 and not has_vectors and set(kinds) == {"???"}:
        spatial = [True, True]
    space = iter("XYZ")
    return "".join(
        next(space, "?") if is_spatial else "T" if kind in _TIME else "C" if kind in _CHANNELS else "?"
        for kind, is_spatial in zip(kinds, spatial, strict=True)
    )


def _place(
    path: Path, fields: Fields, letters: str, vectors: list[list[float] | None], space: str, *, has_time: bool
) -> tuple[Affine, str, bool, tuple[str, ...]]:
    dims = sum(a in "XYZ" for a in letters)
    unknown = (f"The file does not say where it lies in the patient (space {space}): left and right are unknown.",)
    said = unknown if space in _NO_PATIENT and dims == 3 else ()
    if not any(v is not None for v in vectors):
        affine, unit, _, notes = _plain_place(path, fields, letters)
        return affine, unit, False, (*notes, *said)
    columns = np.array([v for v in vectors if v is not None]).T
    stated = len(columns) + has_time
    origin = _numbers(path, fields["space origin"], "space origin") if "space origin" in fields else [0.0] * stated
    if len(origin) != stated:
        raise _damaged(path, f"space origin is {fields['space origin']!r}")
    if np.any(columns[dims:, :dims]) or np.any(columns[:dims, dims:]):
        raise ImageError(f"{path} mixes space with its other axes (space directions), which cannot be shown.")
    affine = np.eye(dims + 1)
    affine[:-1, :-1], affine[:-1, -1] = columns[:dims, :dims], origin[:dims]
    signs = _WORLDS.get(space) if dims == 3 else None
    if signs is not None:
        affine = np.diag([*signs, 1.0]) @ affine
    names = _unit_names(fields.get("space units", ""), stated)[:dims]
    factors, unit, notes = _unit(names, is_anatomical=signs is not None)
    affine[:-1] *= np.array(factors)[:, None]
    return affine, unit, signs is not None, (*notes, *said)


def _plain_place(path: Path, fields: Fields, letters: str) -> tuple[Affine, str, bool, tuple[str, ...]]:
    """Pixel size alone, from the older fields."""
    dims = sum(a in "XYZ" for a in letters)
    if "spacings" not in fields:
        return np.eye(dims + 1), "px", False, ()
    every = _numbers(path, fields["spacings"], "spacings")
    spacing = [abs(size) for size, a in zip(every, letters, strict=True) if a in "XYZ"]
    if not all(map(math.isfinite, spacing)) or not all(spacing):
        raise ImageError(f"{path} says that its pixel size is {spacing}, which is none. Export it again.")
    names = _unit_names(fields.get("units", ""), len(letters))
    names = [name for name, a in zip(names, letters, strict=True) if a in "XYZ"]
    factors, unit, notes = _unit(names, is_anatomical=False)
    affine = np.diag([*[factor * s for factor, s in zip(factors, spacing, strict=True)], 1.0])
    if "axis mins" in fields or "axismins" in fields:
        first = _first_centers(path, fields, letters, every)
        if first is None:
            notes = (*notes, "The file says where its axes begin (axis mins) in a way that was not taken.")
        else:
            affine[:-1, -1] = [factor * value for factor, value in zip(factors, first, strict=True)]
    return affine, unit, False, notes


def _first_centers(path: Path, fields: Fields, letters: str, spacings: list[float]) -> list[float] | None:
    """Where the first voxel lies: half a voxel behind the least value of an axis, unless its nodes are meant.

    None if a value is missing, or an axis runs backward.
    """
    mins = _numbers(path, fields.get("axis mins", fields.get("axismins", "")), "axis mins")
    kinds = fields.get("centerings", fields.get("centers", "")).lower().split() or ["cell"] * len(letters)
    if not len(mins) == len(kinds) == len(letters):
        raise _damaged(path, f"it has {len(letters)} axes, {len(mins)} axis mins and {len(kinds)} centerings")
    spatial = [(m, s, kind) for m, s, kind, a in zip(mins, spacings, kinds, letters, strict=True) if a in "XYZ"]
    if not all(math.isfinite(m) and s > 0 for m, s, _ in spatial):
        return None
    return [m if kind == "node" else m + s / 2 for m, s, kind in spatial]


def _unit_names(text: str, count: int) -> list[str]:
    """The unit of each of `count` axes; of all of them together where there are not as many."""
    names = [name.strip().lower() for name in re.findall(r'"([^"]*)"', text)]
    return names if len(names) == count else [" and ".join(sorted({*names} - {""}))] * count


def _unit(names: list[str], *, is_anatomical: bool) -> tuple[list[float], str, tuple[str, ...]]:
    """Factor of each axis to a known unit, the unit, and a note where it was not said."""
    stated = sorted({*names} - {""})
    if len(stated) == 1:
        names = stated * len(names)
    known = [_UNITS[name] for name in names if name in _UNITS]
    if len(known) == len(names):
        unit = "mm" if all(unit == "mm" for _, unit in known) else "um"
        return [factor * (1e3 if unit == "um" != one else 1) for factor, one in known], unit, ()
    if is_anatomical and not stated:
        return [1.0] * len(names), "mm", ()
    lacks = "has a unit that is not known" if stated else "has no unit"
    return [1.0] * len(names), "mm", (f"The file's pixel size {lacks}; it was taken to be millimeters.",)


def _dtype(path: Path, fields: Fields) -> np.dtype[Any]:
    name = " ".join(fields.get("type", "").lower().split())
    if name not in _NAMES:
        raise _damaged(path, f"type is {fields.get('type')!r}")
    order = {"little": "<", "big": ">"}.get(fields.get("endian", "").lower())
    if order is None and np.dtype(_NAMES[name]).itemsize > 1:
        raise _damaged(path, f"endian is {fields.get('endian')!r}")
    return np.dtype(f"{order or '<'}{_NAMES[name]}")


def _encoding(path: Path, fields: Fields) -> str:
    encoding = fields.get("encoding", "").lower()
    if encoding not in _ENCODINGS:
        raise ImageFileError(
            f"{path} stores its voxels as {encoding or 'nothing known'}; raw and gzip can be read. Save it as one of "
            "these."
        )
    return _ENCODINGS[encoding]


def _skip(path: Path, fields: Fields) -> int:
    """Bytes before the voxels; -1 if they are the last ones of the file."""
    line, byte = (fields.get(name, fields.get(name.replace(" ", ""), "0")) for name in ("line skip", "byte skip"))
    if line != "0" or not (byte == "-1" or (byte.isascii() and byte.isdecimal() and len(byte) < _DIGITS)):
        raise ImageFileError(
            f"{path} skips lines, or no number of bytes, before its voxels, which is not supported. Save it plainly."
        )
    return int(byte)


def _segments(pairs: Fields) -> dict[str, Any]:
    """Classes of a segmentation of 3D Slicer, as :func:`write_labels` would keep them."""
    rows: dict[str, Fields] = {}
    for key, value in pairs.items():
        if (part := _SEGMENT.fullmatch(key)) is not None:
            rows.setdefault(part[1], {})[part[2]] = value
    classes = [
        {"value": int(row["LabelValue"]), "name": row.get("Name", ""), "color": _hex(row.get("Color", ""))}
        for row in rows.values()
        if row.get("LabelValue", "").isdecimal() and len(row["LabelValue"]) < _DIGITS
    ]
    return {"output": "areas", "classes": classes} if classes else {}


def _hex(color: str) -> str:
    try:
        red, green, blue = (min(255, max(0, round(255 * float(part)))) for part in color.split())
    except (ValueError, OverflowError):
        return "#ffffff"
    return f"#{red:02x}{green:02x}{blue:02x}"


# Writing ---------------------------------------------------------------------------------------------------------


def _vector(values: Affine) -> str:
    return f"({','.join(repr(float(v)) for v in values)})"


def _segment_lines(new: NewVolume) -> list[str]:
    if new.info.get("output") != "areas":
        return []
    extent = " ".join(f"0 {n - 1}" for n, a in zip(new.sizes, new.letters, strict=True) if a in "XYZ")
    lines = ["Segmentation_MasterRepresentation:=Binary labelmap"]
    for i, row in enumerate(new.info["classes"]):
        red, green, blue = (value / 255 for value in rgb(row["color"]))
        name = " ".join(row["name"].split())
        lines += [
            f"Segment{i}_ID:=Segment_{row['value']}",
            f"Segment{i}_Name:={name}",
            f"Segment{i}_Color:={red:.6f} {green:.6f} {blue:.6f}",
            f"Segment{i}_LabelValue:={row['value']}",
            f"Segment{i}_Layer:=0",
            f"Segment{i}_Extent:={extent}",
        ]
    return lines
