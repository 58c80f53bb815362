"""The headers of NIfTI-1 and NIfTI-2 files (nifti.nimh.nih.gov), in the order of the file."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np

from napari_unetstyle.core.errors import ImageError, ImageFileError
from napari_unetstyle.core.imaging.payload import GZIP, first_bytes
from napari_unetstyle.core.imaging.volume_header import (
    Affine,
    NewVolume,
    VolumeHeader,
    believed,
    check_sizes,
    kept_text,
    own_info,
)


def _layout(size: int, **fields: tuple[str, int]) -> np.dtype[Any]:
    formats, offsets = zip(*fields.values(), strict=True)
    return np.dtype({"names": [*fields], "formats": [*formats], "offsets": [*offsets], "itemsize": size})


_ONE = _layout(
    348,
    sizeof_hdr=("i4", 0),
    dim=("8i2", 40),
    intent_code=("i2", 68),
    datatype=("i2", 70),
    bitpix=("i2", 72),
    pixdim=("8f4", 76),
    vox_offset=("f4", 108),
    slope=("f4", 112),
    inter=("f4", 116),
    units=("u1", 123),
    highest=("f4", 124),
    lowest=("f4", 128),
    qcode=("i2", 252),
    scode=("i2", 254),
    quaternion=("3f4", 256),
    offset=("3f4", 268),
    srow=("(3,4)f4", 280),
    magic=("S4", 344),
)
_TWO = _layout(
    540,
    sizeof_hdr=("i4", 0),
    magic=("S8", 4),
    datatype=("i2", 12),
    bitpix=("i2", 14),
    dim=("8i8", 16),
    pixdim=("8f8", 104),
    vox_offset=("i8", 168),
    slope=("f8", 176),
    inter=("f8", 184),
    highest=("f8", 192),
    lowest=("f8", 200),
    qcode=("i4", 344),
    scode=("i4", 348),
    quaternion=("3f8", 352),
    offset=("3f8", 376),
    srow=("(3,4)f8", 400),
    units=("i4", 500),
    intent_code=("i4", 504),
)
_TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
_COLORS = {128: 3, 2304: 4}
_OTHER = {1: "single bits", 32: "complex", 1536: "float128", 1792: "complex", 2048: "complex"}
_SPACE = {0: (1.0, "mm"), 1: (1e3, "mm"), 2: (1.0, "mm"), 3: (1.0, "um")}
_MILLIMETER, _SECONDS = 2, (8, 16, 24)
_VECTORS = (1005, 1006, 1007, 1009)  # symmetric matrix, displacement, vector, point set
_LABEL = 1002
_COMMENT = 6
_EXTENSIONS = 2**24
_SCANNER, _ALIGNED = 1, 2
_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # NIfTI's world goes right, front and up
_APART = 0.01  # of a voxel
_EXACT = 1e-5  # mm; a quaternion in float32 can be off by much more
_HALF_TURN = 1e-7  # as nifti1_io.c has it
_LONGEST = 32767
_MAGIC = {348: b"n+1", 540: b"n+2\0\r\n\x1a\n"}


def is_nifti(start: bytes) -> bool:
    """Whether (decompressed) bytes are the start of a NIfTI or ANALYZE file."""
    return int.from_bytes(start[:4], "little") in (348, 540) or int.from_bytes(start[:4], "big") in (348, 540)


def read_nifti_header(path: Path) -> VolumeHeader:
    """Read and check the header of a ``.nii`` or ``.nii.gz`` file.

    Of two positions the sform is taken; that they disagree is said in `notes`. A fourth axis is time only where
    that is certain: many programs write seconds as its unit whatever it is.

    Raises
    ------
    ImageFileError
        If the header is damaged, or that of a volume in two files.
    ImageError
        If the voxels are no real numbers or the pixel size is none.
    """
    header = _parsed(path, first_bytes(path, _TWO.itemsize))
    sizes, letters = _axes(path, header)
    offset = _voxel_offset(path, header)
    affine, unit, is_anatomical, notes = _place(path, header, sizes)
    info = believed(_info(path, header.dtype.itemsize, offset), sizes, affine)
    if int(header["intent_code"]) == _LABEL and _dtype(path, header).kind in "iu":  # by whatever program
        info.setdefault("classes", [])
    if info.get("unit") == "px" and not int(header["units"]) & 7:
        unit, notes = "px", ()
    if len(sizes) == 2 and not _is_flat(affine):  # a slice somewhere in space
        sizes, letters = (*sizes, 1), "XYZ"
    if len(sizes) == 2:
        affine = affine[[0, 1, 3]][:, [0, 1, 3]]
    colors = _COLORS.get(int(header["datatype"]))
    is_gzip = _is_gzip(path)
    slope, intercept = _rescale(header)
    return VolumeHeader(
        path=path,
        sizes=sizes if colors is None else (colors, *sizes),
        letters=letters if colors is None else f"C{letters}",
        dtype=_dtype(path, header),
        offset=0 if is_gzip else offset,
        encoding="gzip" if is_gzip else "raw",
        skip=offset if is_gzip else 0,
        affine=affine,
        unit=unit,
        is_anatomical=is_anatomical and (info.get("world") != "none" or _is_plain(affine)),  # which has no position
        slope=slope,
        intercept=intercept,
        window=_window(header),
        notes=notes,
        info=info,
    )


def nifti_header(new: NewVolume) -> bytes:
    """Header and extension of a ``.nii`` file: NIfTI-1, or NIfTI-2 if an axis is longer than 32767.

    The position is the sform; as qform it is stored too, where that is exact enough.
    """
    layout = (_TWO if max(new.sizes) > _LONGEST else _ONE).newbyteorder("<")
    header = np.zeros((), layout)
    sizes = new.sizes if "Z" in new.letters or len(new.sizes) == 2 else (*new.sizes[:2], 1, *new.sizes[2:])
    extension = _extension(new, sizes)
    offset = layout.itemsize + 4 + len(extension)
    spacing = np.linalg.norm(new.affine[:-1, :-1], axis=0)
    header["sizeof_hdr"] = layout.itemsize
    header["magic"] = _MAGIC[layout.itemsize]
    header["dim"] = [len(sizes), *sizes, *[1] * (7 - len(sizes))]
    header["pixdim"] = [1.0, *spacing, *[1.0] * (7 - len(spacing))]
    header["datatype"] = next(code for code, name in _TYPES.items() if np.dtype(name) == new.dtype.newbyteorder("="))
    header["bitpix"] = 8 * new.dtype.itemsize
    header["vox_offset"] = offset
    header["units"] = _MILLIMETER if new.unit == "mm" else 0
    header["intent_code"] = _LABEL if new.is_labels else 0
    if new.is_anatomical or not _is_plain(new.affine):
        _set_place(header, new)
    return header.tobytes() + bytes([bool(extension), 0, 0, 0]) + extension


# Reading ---------------------------------------------------------------------------------------------------------


def _parsed(path: Path, start: bytes) -> Any:
    """The fields of the header, whatever its version and byte order."""
    layouts = (_ONE.newbyteorder("<"), _ONE.newbyteorder(">"), _TWO.newbyteorder("<"), _TWO.newbyteorder(">"))
    for layout in layouts:
        if len(start) < layout.itemsize:
            continue
        header = np.frombuffer(start, layout, 1)[0]
        if header["sizeof_hdr"] != layout.itemsize:
            continue
        if not header["magic"].startswith(b"n+"):
            raise ImageFileError(
                f"{path} is a header whose voxels are in another file (.hdr and .img). Convert the pair into one "
                ".nii file."
            )
        return header
    raise ImageFileError(f"{path} is truncated or damaged: it is shorter than its header. Copy or export it again.")


def _axes(path: Path, header: Any) -> tuple[tuple[int, ...], str]:
    count = int(header["dim"][0])
    sizes = tuple(int(n) for n in header["dim"][1 : 1 + max(0, count)])
    check_sizes(path, sizes if len(sizes) == count else ())
    letters = ["X", "Y", "Z", "?", "?", "?", "?"][:count]
    step = float(header["pixdim"][4])
    if count > 3 and sizes[3] > 1 and int(header["units"]) & 0x38 in _SECONDS and step > 0 and step != 1:
        letters[3] = "T"
    if count > 4 and sizes[4] > 1 and int(header["intent_code"]) in _VECTORS:
        letters[4] = "C"
    return sizes, "".join(letters)


def _dtype(path: Path, header: Any) -> np.dtype[Any]:
    code, bits = int(header["datatype"]), int(header["bitpix"])
    if code in _OTHER:
        raise ImageError(f"{path} holds {_OTHER[code]}, which cannot be segmented. Save it as real numbers.")
    name = "u1" if code in _COLORS else _TYPES.get(code)
    if name is None or bits != 8 * np.dtype(name).itemsize * _COLORS.get(code, 1):
        raise ImageFileError(
            f"{path} is damaged: its header says data type {code} with {bits} bits. Copy or export it again."
        )
    return np.dtype(f"{header['dim'].dtype.byteorder}{name}")


def _voxel_offset(path: Path, header: Any) -> int:
    offset, least = float(header["vox_offset"]), header.dtype.itemsize + 4
    if not least <= offset <= _EXTENSIONS or offset != int(offset):
        raise ImageFileError(
            f"{path} is damaged: its header says that voxels start at byte {offset:g}, but they cannot before {least}. "
            "Copy or export it again."
        )
    return int(offset)


def _rescale(header: Any) -> tuple[float, float]:
    slope, intercept = float(header["slope"]), float(header["inter"])
    if slope == 0 or not math.isfinite(slope):
        return 1.0, 0.0
    return slope, intercept if math.isfinite(intercept) else 0.0


def _window(header: Any) -> tuple[float, float] | None:
    """Of cal_min and cal_max, which count for scaled values; both are 0 where nobody chose them."""
    low, high = float(header["lowest"]), float(header["highest"])
    return (low, high) if math.isfinite(low) and math.isfinite(high) and low < high else None


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == GZIP


def _info(path: Path, header: int, offset: int) -> dict[str, Any]:
    """What this program wrote as an extension of the header; nothing of what others did."""
    data = first_bytes(path, offset) if offset > header + 4 else b""
    position = header + 4
    while position + 8 <= len(data):
        length, code = (int.from_bytes(data[position + i : position + i + 4], "little") for i in (0, 4))
        if length < 8:
            break
        if code == _COMMENT:
            return own_info(data[position + 8 : position + length].rstrip(b"\0"))
        position += length
    return {}


def _place(path: Path, header: Any, sizes: tuple[int, ...]) -> tuple[Affine, str, bool, tuple[str, ...]]:
    """Affine to LPS in mm or um, its unit, whether it is a patient's, and what a person should know."""
    factor, unit = _SPACE.get(int(header["units"]) & 7, (1.0, "mm"))
    scaled = np.array([factor, factor, factor, 1.0])[:, None]
    has_s, has_q = int(header["scode"]) > 0, int(header["qcode"]) > 0
    if not has_s and not has_q:
        spacing = _spacing(path, header, sizes)
        is_unknown = not int(header["units"]) & 7 and (spacing == 1).all()
        note = (
            "The file does not say where it lies in the patient (neither sform nor qform): left and right are unknown."
        )
        return np.diag([*spacing * (1 if is_unknown else factor), 1.0]), "px" if is_unknown else unit, False, (note,)
    qform = _qform(path, header, sizes) if has_q else None
    if not has_s and qform is not None:
        return _LPS @ qform * scaled, unit, True, ()
    sform = np.vstack([np.asarray(header["srow"], float), [0, 0, 0, 1]])
    if not np.isfinite(sform).all():
        raise ImageError(f"{path} says that it lies at {sform.tolist()} (sform), which is nowhere. Export it again.")
    notes = () if qform is None else _disagreement(sform, qform, sizes)
    return _LPS @ sform * scaled, unit, True, notes


def _spacing(path: Path, header: Any, sizes: tuple[int, ...]) -> Affine:
    dims = min(3, len(sizes))
    spacing = np.array([*np.asarray(header["pixdim"][1 : 1 + dims], float), *[1.0] * (3 - dims)])
    if not (np.isfinite(spacing).all() and (spacing > 0).all()):
        raise ImageError(
            f"{path} says that its pixel size is {spacing[:dims].tolist()}, which is none. Export it again."
        )
    return spacing


def _qform(path: Path, header: Any, sizes: tuple[int, ...]) -> Affine:
    """The affine of quaternion, offset and pixel size (nifti1.h, method 2)."""
    b, c, d = np.asarray(header["quaternion"], float)
    rest = 1 - (b * b + c * c + d * d)
    if not rest > -1e-3:
        raise ImageError(
            f"{path} says that it is turned by the quaternion {(b, c, d)}, which is none. Export it again."
        )
    a = math.sqrt(rest) if rest > _HALF_TURN else 0.0
    a, b, c, d = np.array([a, b, c, d]) / math.sqrt(a * a + b * b + c * c + d * d)
    turned = [
        [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
        [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
        [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
    ]
    affine = np.eye(4)
    affine[:3, :3] = turned * _spacing(path, header, sizes)
    affine[:3, 2] *= -1 if header["pixdim"][0] == -1 else 1
    affine[:3, 3] = header["offset"]
    return affine


def _disagreement(sform: Affine, qform: Affine, sizes: tuple[int, ...]) -> tuple[str, ...]:
    apart = float(np.linalg.norm(_corners(sizes) @ (sform - qform).T, axis=1).max())
    if not np.isfinite(apart) or apart <= _APART * np.linalg.norm(sform[:3, :3], axis=0).min():
        return ()
    return (f"The file holds two positions that lie up to {apart:.3g} mm apart (sform and qform); sform was taken.",)


def _corners(sizes: tuple[int, ...]) -> Affine:
    ends = [(0, n - 1) for n in (*sizes, 1)[:3]]
    return np.array([(*corner, 1) for corner in itertools.product(*ends)], float)


def _is_flat(affine: Affine) -> bool:
    """Whether a plane lies in the plane of X and Y, through the origin."""
    return bool(np.allclose(affine[2, [0, 1, 3]], 0) and np.allclose(affine[:2, 2], 0))


# Writing ---------------------------------------------------------------------------------------------------------


def _set_place(header: Any, new: NewVolume) -> None:
    place = np.eye(4)
    dims = len(new.affine) - 1
    place[:dims, :dims], place[:dims, 3] = new.affine[:-1, :-1], new.affine[:-1, -1]
    place = _LPS @ place
    code = _SCANNER if new.is_anatomical else _ALIGNED
    header["scode"], header["srow"] = code, place[:3]
    from scipy.spatial.transform import Rotation

    spacing = np.linalg.norm(place[:3, :3], axis=0)
    turn = place[:3, :3] / spacing
    mirror = np.sign(np.linalg.det(turn))
    turn[:, 2] *= mirror
    quaternion = Rotation.from_matrix(turn).as_quat(canonical=True)  # x y z w, w not negative
    before = header.copy()
    header["qcode"], header["pixdim"][0] = code, mirror
    header["quaternion"], header["offset"] = quaternion[:3], place[:3, 3]
    sizes = tuple(int(n) for n in header["dim"][1 : 1 + int(header["dim"][0])])
    apart = _corners(sizes) @ (_qform(Path(), header, sizes) - place).T
    if np.abs(apart).max() > _EXACT:
        header[...] = before


def _is_plain(affine: Affine) -> bool:
    """Whether the place says nothing but the pixel size."""
    return bool(np.array_equal(affine, np.diag(np.diagonal(affine))) and (np.diagonal(affine) > 0).all())


def _extension(new: NewVolume, sizes: tuple[int, ...]) -> bytes:
    if not new.info:
        return b""
    text = kept_text(new, sizes).encode()
    length = 8 + len(text) + -(8 + len(text)) % 16
    return length.to_bytes(4, "little") + _COMMENT.to_bytes(4, "little") + text.ljust(length - 8, b"\0")
