"""A few small pictures that a model carries: some to replay while it is taught, some to check that nothing is lost.

Each is a pair of files in the model folder, ``memory-learn-01.tif`` (pixels) and ``memory-learn-01-labels.tif``
(class values and object ids), or ``memory-check-…``; at the pixel size of the model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.errors import ImageFileError, ModelFileError
from napari_unetstyle.core.files import atomic_path, sha256_of
from napari_unetstyle.core.models.spec import ModelSpec

Role = Literal["learn", "check"]
_NAME = re.compile(r"memory-(?P<role>learn|check)-(?P<number>\d\d)\.tif")
_FILE = re.compile(r"memory-(learn|check)-\d\d(-labels)?\.tif")
MOST = 20  # of each role: a model has up to 100 files


@dataclass(frozen=True, eq=False)
class Memory:
    """A picture that a model remembers.

    Attributes
    ----------
    pixels
        ``(C, *spatial)`` as stored.
    targets
        int32 ``(2, *spatial)``: class values and object ids, -1 where nobody knows; of a time with only ``k`` classes,
        ``-1 - k`` where it is none of these.
    role
        ``"learn"`` or ``"check"``.
    picture
        Names the person's own picture that it is a crop of; empty for a picture that is part of the model and travels
        with it.
    """

    pixels: NDArray[Any]
    targets: NDArray[np.int32]
    role: Role
    picture: str = ""


def is_picture(name: str) -> bool:
    """Whether a file of a model is of such a picture, its pixels or its labels."""
    return _FILE.fullmatch(name) is not None


def read_memory(spec: ModelSpec, folder: Path) -> tuple[Memory, ...]:
    """The pictures that the model in `folder` carries, in order; none if it carries none.

    Raises
    ------
    ModelFileError
        If a file is missing or does not fit the model.
    """
    found = [match for name in sorted(spec.files) if (match := _NAME.fullmatch(name))]
    return tuple(_read(spec, folder, match) for match in found)


def _read(spec: ModelSpec, folder: Path, match: re.Match[str]) -> Memory:
    return read_pair(folder / match[0], spec, "learn" if match["role"] == "learn" else "check")


def read_pair(path: Path, spec: ModelSpec, role: Role, picture: str = "") -> Memory:
    """One picture from its two files.

    Raises
    ------
    ModelFileError
        If a file is missing or does not fit the model.
    """
    dims = spec.network.spatial_dims
    try:
        pixels, targets = (_array(p, dims) for p in (path, _labels_path(path)))
    except ImageFileError as error:
        raise ModelFileError(f"{path.name} of the model {spec.name!r} cannot be read: {error}") from error
    if pixels.ndim != 1 + dims or targets.shape != (2, *pixels.shape[1:]) or targets.dtype.kind != "i":
        raise ModelFileError(
            f"{path.name} of the model {spec.name!r} has pixels {pixels.shape} and labels {targets.shape} "
            f"{targets.dtype}; needed are (C, *spatial) and (2, *spatial), whole numbers. Import the model again."
        )
    return Memory(pixels, targets.astype(np.int32), role, picture)


def _array(path: Path, dims: int) -> NDArray[Any]:
    from napari_unetstyle.core.imaging.files import read_image

    return np.asarray(read_image(path, axes="C" + "ZYX"[-dims:]).array)


def write_memory(memories: Sequence[Memory], folder: Path) -> Mapping[str, str]:
    """Write the pictures that travel with a model into its folder and return the sha256 of each file by name."""
    digests: dict[str, str] = {}
    for role in ("learn", "check"):
        for number, one in enumerate([m for m in memories if m.role == role and not m.picture][:MOST], 1):
            digests.update(write_pair(one, folder / f"memory-{role}-{number:02}.tif"))
    return digests


def write_pair(one: Memory, path: Path) -> Mapping[str, str]:
    """Write a picture as two files and return the sha256 of each by name."""
    from tifffile import imwrite

    digests: dict[str, str] = {}
    for target, array in ((path, one.pixels), (_labels_path(path), one.targets)):
        axes = "C" + "ZYX"[-(array.ndim - 1) :]
        with atomic_path(target, array.nbytes) as temporary:
            imwrite(temporary, array, photometric="minisblack", compression="zlib", metadata={"axes": axes})
        digests[target.name] = sha256_of(target)
    return digests


def _labels_path(path: Path) -> Path:
    return path.with_name(f"{path.stem}-labels.tif")
