"""What a volume file says about its voxels, in the order of the file: X first."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.errors import ImageFileError

LONGEST_TEXT = 2**20  # bytes of a header that is text
_ROUNDED = 1e-6  # of a number in float32
_SAID_BY_HEADERS = ("axes", "unit", "world")
Affine = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class VolumeHeader:
    """The header of a volume, checked.

    Attributes
    ----------
    path
        File of the voxels.
    sizes
        Length of each axis, fastest first.
    letters
        What each of these axes is: X, Y, Z, T, C, or ``?`` where the file does not say. X, Y and Z are those of
        `affine`, in this order.
    dtype
        Of the voxels as stored, with their byte order.
    offset, encoding, skip
        As in :class:`~napari_unetstyle.core.imaging.payload.Payload`.
    affine
        Maps an index XYZ (or XY) to the world XYZ, homogeneous; world axes go left, back and to the head (LPS)
        if `is_anatomical`.
    unit
        ``"px"``, ``"um"`` or ``"mm"``.
    is_anatomical
        Whether the world is a patient.
    slope, intercept
        Value = slope * stored + intercept.
    window
        Lowest and highest value to show, if the file states them.
    notes
        Sentences a person should see.
    info
        What this program wrote into the file besides, or what the format says about its labels.
    """

    path: Path
    sizes: tuple[int, ...]
    letters: str
    dtype: np.dtype[Any]
    offset: int
    encoding: str
    skip: int = 0
    affine: Affine
    unit: str
    is_anatomical: bool
    slope: float = 1.0
    intercept: float = 0.0
    window: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()
    info: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class NewVolume:
    """What the header of a file to be written has to say, in the order of the file.

    Attributes
    ----------
    sizes, letters, dtype, affine, unit, is_anatomical
        As in :class:`VolumeHeader`.
    info
        To be kept, as JSON, where the format can.
    is_labels
        Whether the values are names of things, and not amounts.
    """

    sizes: tuple[int, ...]
    letters: str
    dtype: np.dtype[Any]
    affine: Affine
    unit: str
    is_anatomical: bool
    info: dict[str, Any]
    is_labels: bool = True


def check_sizes(path: Path, sizes: tuple[int, ...]) -> None:
    """Refuse a volume without voxels, or with an absurd number of axes or voxels.

    Raises
    ------
    ImageFileError
        If a length is below 1, or no computer could address the voxels.
    """
    voxels = 1
    for size in sizes:
        voxels *= size
    if not 2 <= len(sizes) <= 7 or min(sizes) < 1 or voxels > 2**56:
        said = " x ".join(map(str, sizes)) or "of nothing"
        raise ImageFileError(
            f"{path} is truncated or damaged: its header says that it has the size {said}. Copy or export it again."
        )


def own_info(text: bytes | str) -> dict[str, Any]:
    """What this program once kept as JSON; empty for what others wrote."""
    try:
        info = json.loads(text)
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError, too
        return {}
    is_own = isinstance(info, dict) and str(info.get("program", "")).startswith("napari-unetstyle")
    return info if is_own else {}


def kept_text(new: NewVolume, sizes: tuple[int, ...]) -> str:
    """What is kept of a volume as JSON, with the sizes and the place that the header says beside it."""
    return json.dumps({**new.info, "sizes": list(sizes), "affine": _in_space(new.affine).tolist()})


def believed(info: dict[str, Any], sizes: tuple[int, ...], affine: Affine) -> dict[str, Any]:
    """What this program kept; without axes, unit and world if another one has changed sizes or place since.

    Other programs keep what they do not know of a header, whatever they write beside it.
    """
    found = _in_space(affine)
    try:
        least = _ROUNDED * float(np.abs(found[:3, :3]).max(axis=0).min())
        is_same_place = np.allclose(np.array(info["affine"], float), found, rtol=_ROUNDED, atol=least)
        is_same = is_same_place and info["sizes"] == list(sizes)
    except (LookupError, TypeError, ValueError, OverflowError):
        is_same = False
    return info if is_same else {name: value for name, value in info.items() if name not in _SAID_BY_HEADERS}


def _in_space(affine: Affine) -> Affine:
    """The affine of a plane as that of a volume of one slice."""
    whole = np.eye(4)
    dims = len(affine) - 1
    whole[:dims, :dims], whole[:dims, 3] = affine[:-1, :-1], affine[:-1, -1]
    return whole


def check_nothing_before(header: Path, voxels: Path, offset: int, size: int) -> None:
    """Take "the last bytes of the file" only where nothing else is there: else one that was cut off could not be told.

    Raises
    ------
    ImageFileError
        If more than `size` bytes come after `offset`.
    """
    stored = voxels.stat().st_size - offset if voxels.is_file() else size
    if stored > size:
        raise ImageFileError(
            f"{header} does not say how many bytes come before its voxels (-1); {stored - size} do, if none of them "
            f"are missing. Write {stored - size} in place of -1 if that is right, or save it as one file."
        )


def beside(header: Path, name: str) -> Path:
    """The file of voxels that a header names: in its own folder or below.

    Raises
    ------
    ImageFileError
        If it names several files, or one elsewhere.
    """
    is_one = name.isprintable() and name and not re.match(r"LIST\b", name, re.IGNORECASE) and "%" not in name
    if not is_one or Path(name).is_absolute() or ".." in Path(name).parts:
        raise ImageFileError(
            f"{header} has its voxels in {name!r}; one file in the same folder can be read. Save it as one file."
        )
    return header.parent / name
