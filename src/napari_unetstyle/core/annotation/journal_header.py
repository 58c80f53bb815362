"""Whose journal a folder holds: ``journal.json``."""

from __future__ import annotations

import dataclasses
import math
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from napari_unetstyle.core.errors import JournalError, UnetstyleError
from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.models.spec import ClassSpec

HEADER = "journal.json"
_LARGEST = 2**36  # pixels; more than any picture that labels are painted on has


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Picture(_Part):
    """Which picture was corrected.

    Attributes
    ----------
    name
        What a person calls it.
    path
        Its file, or None if it has none, or none whose name is text.
    size, modified, sha256
        Of that file, or of all that its pixels lie in, when the journal began (bytes, nanoseconds, hex), as far as
        known; without a file `sha256` is what
        :func:`~napari_unetstyle.core.annotation.pixels.digest_of_pixels` gives.
    series, level
        Which picture of that file: a DICOM series by its `key`, and the resolution, 0 for the finest.
    axes
        As they were understood, with C where there are channels.
    spacing, unit, origin, direction, is_anatomical
        Its geometry.
    """

    name: str
    path: str | None = None
    size: int | None = None
    modified: int | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    series: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    level: Annotated[int, Field(ge=0)] = 0
    axes: str
    spacing: tuple[float, ...]
    unit: str
    origin: tuple[float, ...] = ()
    direction: tuple[tuple[float, ...], ...] = ()
    is_anatomical: bool = False

    @classmethod
    def of(
        cls,
        image: Image,
        path: str | os.PathLike[str] | None = None,
        pixels: str | None = None,
        series: str | None = None,
        level: int = 0,
    ) -> Picture:
        """What is noted of a picture; its file is looked at later, and without one it is known by its `pixels`."""
        about = {"name": image.name, "axes": image.axes, "level": level, **dataclasses.asdict(image.geometry)}
        if path is None or not _is_text(os.fspath(path)):
            return cls(sha256=pixels, **about)
        return cls(path=os.path.abspath(path), series=series, **about)  # noqa: PTH100 (no link is followed)

    @property
    def geometry(self) -> Geometry:
        """Pixel size and place."""
        names = ("spacing", "unit", "origin", "direction", "is_anatomical")
        return Geometry(**{name: getattr(self, name) for name in names})


class Header(_Part):
    """Whose journal this is.

    Attributes
    ----------
    layer
        Name of the labels.
    shape, dtype
        Of the labels, on the picture's grid, axes T Z Y X.
    output
        Whether they are objects or areas.
    dims
        Along how many of the last axes an object extends.
    model
        What made the labels, for a person; empty if nobody knows.
    classes
        Of the model.
    created
        Seconds since 1970.
    """

    schema_version: Literal[1] = 1
    layer: str
    picture: Picture
    shape: tuple[int, ...]
    dtype: Literal["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"]
    output: Literal["objects", "areas"] = "objects"
    dims: Literal[2, 3] = 2
    model: str = ""
    classes: tuple[ClassSpec, ...] = ()
    created: float

    @classmethod
    def of(
        cls,
        layer: str,
        image: Image,
        dtype: Any,
        path: str | os.PathLike[str] | None = None,
        pixels: str | None = None,
        *,
        series: str | None = None,
        level: int = 0,
        **more: Any,
    ) -> Header:
        """The header for labels of type `dtype` on the grid of a picture; `more` as the fields."""
        more = {"dims": 3 if "Z" in image.axes else 2, "created": time.time(), **more}
        picture = Picture.of(image, path, pixels, series, level)
        return cls(layer=layer, picture=picture, shape=image.label_shape, dtype=np.dtype(dtype).name, **more)

    @model_validator(mode="after")
    def _check_shape(self) -> Header:
        """What labels cannot be is found out here, and not where memory is asked for."""
        if len(self.shape) != len(self.axes) or min(self.shape) < 1 or math.prod(self.shape) > _LARGEST:
            raise ValueError(
                f"shape {list(self.shape)} is none of labels with the axes {self.axes}: give a length of 1 or more for "
                f"each, and not more than {_LARGEST} pixels"
            )
        return self

    @property
    def axes(self) -> str:
        """Of the labels."""
        return "".join(a for a in "TZYX" if a in self.picture.axes)

    @property
    def size(self) -> int:
        """Number of elements of the labels."""
        return int(np.prod(self.shape, dtype=np.int64))


def _is_text(path: str) -> bool:
    """Whether a path can be written down: on Linux it may hold bytes that are no text."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_journal(folder: Path) -> bool:
    """Whether a folder holds a journal that was begun."""
    return (folder / HEADER).is_file()


def read_header(folder: Path) -> Header:
    """Whose journal a folder is; reads nothing else.

    Raises
    ------
    JournalError
        If it is none, damaged or of a later version.
    """
    path = folder / HEADER
    try:
        return Header.model_validate_json(path.read_bytes())
    except OSError as error:
        raise JournalError(
            f"{path} cannot be read: {error.strerror or error}. Choose a folder with a journal."
        ) from error
    except ValidationError as error:
        what = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:3])
        raise JournalError(
            f"{path} is damaged or of a later version ({what}). "
            "Update napari-unetstyle, or take the file from a backup."
        ) from error


def identified(picture: Picture) -> Picture:
    """The picture with what its file is known by; as it was if the file is not there now."""
    from napari_unetstyle.core.imaging.files import digest_of_files, files_with_pixels

    assert picture.path is not None
    path = Path(picture.path)
    try:
        files = files_with_pixels(path, picture.series)
        size, modified = as_on_disk(files)
        content = digest_of_files(path, files)
    except (OSError, UnetstyleError):
        return picture
    return picture.model_copy(update={"size": size, "modified": modified, "sha256": content})


def as_on_disk(files: Iterable[Path]) -> tuple[int, int]:
    """Bytes and time of change (ns) of files, each the sum over all of them.

    Raises
    ------
    OSError
        If one is not there.
    """
    every = [file.stat() for file in files]
    return sum(one.st_size for one in every), sum(one.st_mtime_ns for one in every)
