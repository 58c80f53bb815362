"""OME-Zarr pictures (0.4 and 0.5), of which only the chunks that are sliced are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_unetstyle.core.errors import AxesUnknownError, ImageError, ImageFileError, OptionError
from napari_unetstyle.core.imaging import geometry as geo
from napari_unetstyle.core.imaging.image import AXES, Image, possible_axes
from napari_unetstyle.core.imaging.levels import LevelGrid
from napari_unetstyle.core.imaging.ome_zarr_metadata import OWN, Multiscale, parsed
from napari_unetstyle.core.imaging.zarr_level import MARKS, StoredLevel, damage_in_words

SUFFIX = ".zarr"
LABELS = "labels"
_SPREAD = 2.0  # pixels of a level by which its ends may differ from those of the finest one


def is_zarr(path: Path) -> bool:
    """Whether a folder is a Zarr group or array, OME-Zarr or not."""
    return any((path / mark).is_file() for mark in MARKS)


def zarr_stem(path: Path) -> str:
    """Name of a picture: that of its folder without ``.zarr``, ``.ome.zarr``; of labels that of their group."""
    name = path.name
    return name[: -len(SUFFIX)].removesuffix(".ome") if name.lower().endswith(SUFFIX) else name


@dataclass(frozen=True, kw_only=True, eq=False)
class OmeZarr:
    """A picture in several resolutions; nothing of its pixels has been read.

    Attributes
    ----------
    where
        What messages call it.
    name
        Of its folder.
    multiscale
        Axes, units and the place of each level.
    arrays
        The levels, finest first, of the same axes.
    channel_names
        Names of the channels, or empty.
    label_names
        Its labels, by which :func:`open_ome_zarr` opens them in ``labels/``.
    is_labels
        Whether it says that its values are labels.
    info
        What this program kept when it wrote it (classes, model); else empty.
    notes
        Sentences a person should see.
    """

    where: str
    name: str
    multiscale: Multiscale
    arrays: tuple[StoredLevel, ...]
    channel_names: tuple[str, ...] = ()
    label_names: tuple[str, ...] = ()
    is_labels: bool = False
    info: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    def axes(self, stated: str | None = None) -> str:
        """One letter for each stored axis, as the file or a person says.

        Raises
        ------
        ImageError
            If the file does not say, and nobody does.
        """
        letters = stated.upper() if stated else self.multiscale.axes
        if "?" not in letters and len(set(letters)) == len(letters) == len(self.multiscale.axes):
            return letters
        if stated:
            raise ImageError(f"Axes {stated!r} do not fit {self.where}, which has {len(self.multiscale.axes)} axes.")
        names = ", ".join(map(repr, self.multiscale.names))
        raise AxesUnknownError(
            f"{self.where} has the axes {names}, of which it is not known what each one is. State all axes, one letter "
            f"each out of {AXES}, for example axes={AXES[-len(letters) :]!r}.",
            tuple(self.arrays[0].shape),
            possible_axes(letters),
        )

    @property
    def grids(self) -> tuple[LevelGrid, ...]:
        """Where the levels lie on the finest one."""
        finest = self.multiscale.levels[0]
        over = (level.over(finest) for level in self.multiscale.levels[: len(self.arrays)])
        return tuple(
            LevelGrid(index=i, factor=tuple(map(float, factor)), offset=tuple(map(float, offset)))
            for i, (factor, offset) in enumerate(over)
        )

    def image(self, level: int = 0, axes: str | None = None) -> Image:
        """One level as a picture, lazy, at its own place.

        Raises
        ------
        OptionError
            If there is no such level.
        ImageError
            If it is not known what its axes are, or the pixels cannot be used.
        """
        if not 0 <= level < len(self.arrays):
            raise OptionError(
                f"{self.where} has no level {level}: it has {len(self.arrays)}, and 0 is the finest. Give one of them."
            )
        letters = self.axes(axes)
        if not {"Y", "X"} <= set(letters):
            raise ImageError(f"{self.where} has the axes {letters}; a picture has Y and X.")
        geometry, notes = self.multiscale.geometry(level, letters)
        channels = dict(zip(letters, self.arrays[level].shape, strict=True)).get("C", 0)
        return Image(
            array=self.arrays[level],
            axes=letters,
            geometry=geometry,
            channel_names=self.channel_names if len(self.channel_names) == channels else (),
            name=self.name,
            notes=(*self.notes, *notes, *self._missing(level)),
        )

    def _missing(self, level: int) -> tuple[str, ...]:
        """What to say of chunks that are not stored; nothing of labels, most of which is empty."""
        count = 0 if self.is_labels else self.arrays[level].missing()
        if not count:
            return ()
        return (
            f"{count} of {self.arrays[level].chunk_count} chunks of level {level} are not stored. They are shown as "
            "empty, which they are if the program that wrote the picture leaves out empty ones; else they are lost.",
        )


def open_ome_zarr(source: Any, name: str = "") -> OmeZarr:
    """The picture in a Zarr group, without its pixels.

    Parameters
    ----------
    source
        The folder of the group, or a zarr store.
    name
        What a store is called.

    Raises
    ------
    ImageFileError
        If it is missing, damaged, of another version, or holds several pictures (they are named).
    """
    where = str(source) if isinstance(source, Path) else name or "The store"
    with damage_in_words(where):
        group = _only_picture(_group(source, where), where)
        attributes = dict(group.attrs)
        multiscale = parsed(attributes, group.metadata.zarr_format)
        arrays = [_level(group, level.path, len(multiscale.axes), where) for level in multiscale.levels]
        if len({array.dtype for array in arrays}) > 1:
            raise ValueError("its levels are of several types")
        agreeing = _agreeing(multiscale, arrays)
        stated = attributes.get("ome", attributes)
        return OmeZarr(
            where=where,
            name=name or (zarr_stem(source) if isinstance(source, Path) else ""),
            multiscale=multiscale,
            arrays=tuple(arrays[:agreeing]),
            channel_names=_channel_names(stated),
            label_names=_label_names(group),
            is_labels="image-label" in stated,
            info=_mapping(attributes.get(OWN)),
            notes=_notes(stated, agreeing, len(arrays)),
        )


def read_ome_zarr(path: Path, axes: str | None = None, level: int = 0) -> Image:
    """One level of an OME-Zarr picture or of one of its ``labels/…``, lazy; or a bare Zarr array with stated axes.

    Raises
    ------
    ImageFileError
        If it is damaged, of another version, or holds several pictures.
    ImageError, OptionError
        If the axes are not known, or there is no such level.
    """
    array = _bare_array(path)
    if array is None:
        return open_ome_zarr(path).image(level, axes)
    if level:
        raise OptionError(f"{path} has no level {level}: it is one array. Leave the level out.")
    if axes is None:
        raise AxesUnknownError(
            f"{path} is a Zarr array of shape {array.shape} and does not say what its axes are. State them, one letter "
            f"each out of {AXES}, for example axes={AXES[-array.ndim :]!r}; or give the OME-Zarr group that it is in.",
            tuple(array.shape),
            possible_axes("?" * array.ndim),
        )
    letters = axes.upper()
    return Image(
        array=array, axes=letters, geometry=geo.unknown(sum(a in "ZYX" for a in letters)), name=zarr_stem(path)
    )


def opened_picture(path: Path) -> OmeZarr | None:
    """The picture in a folder, without its pixels; None for a bare array.

    Raises
    ------
    ImageFileError
        If it is damaged, of another version, or holds several pictures.
    """
    return open_ome_zarr(path) if _bare_array(path) is None else None


def ome_zarr_info(path: Path) -> dict[str, Any]:
    """What this program kept in an OME-Zarr group when it wrote it; empty for others.

    Raises
    ------
    ImageFileError
        If the group is damaged.
    """
    with damage_in_words(str(path)):
        return dict(_mapping(dict(_group(path, str(path)).attrs).get(OWN)))


def _group(source: Any, where: str) -> Any:
    import zarr

    if isinstance(source, Path) and not source.exists():
        raise ImageFileError(f"There is no folder {where}. Check the name and the folder.")
    return zarr.open_group(source, mode="r", use_consolidated=False)  # copies of the metadata may be out of date


def _bare_array(path: Path) -> StoredLevel | None:
    import zarr

    if (path / "zarr.json").is_file():
        with damage_in_words(str(path)):
            node = zarr.open(path, mode="r", use_consolidated=False)
            return StoredLevel(node, str(path)) if isinstance(node, zarr.Array) else None
    if not (path / ".zarray").is_file() or (path / ".zgroup").is_file():
        return None
    with damage_in_words(str(path)):
        return StoredLevel(zarr.open_array(path, mode="r"), str(path))


def _only_picture(group: Any, where: str) -> Any:
    """The group itself, or the only picture below it."""
    stated = _mapping(dict(group.attrs).get("ome", dict(group.attrs)))
    if "multiscales" in stated:
        return group
    found = sorted((name for name in group.group_keys() if name.isdigit()), key=int)
    if "bioformats2raw.layout" in stated and found == ["0"]:
        return group["0"]
    if "bioformats2raw.layout" in stated and found:
        raise ImageFileError(f"{where} holds {len(found)} pictures. Give one of them, for example {where}/{found[0]}.")
    if isinstance(stated.get("plate"), dict):
        wells = [str(well["path"]) for well in stated["plate"].get("wells", ())]
        raise ImageFileError(
            f"{where} is a plate of {len(wells)} wells. Give one picture of it, for example "
            f"{where}/{wells[0] if wells else 'A/1'}/0."
        )
    if isinstance(stated.get("well"), dict):
        raise ImageFileError(f"{where} is a well. Give one picture of it, for example {where}/0.")
    if isinstance(stated.get(LABELS), list):
        names = ", ".join(map(str, stated[LABELS]))
        raise ImageFileError(f"{where} is a list of labels ({names or 'empty'}). Give one of them: {where}/NAME.")
    return group


def _level(group: Any, path: str, dims: int, where: str) -> StoredLevel:
    import zarr

    try:
        array = group[path]
    except KeyError:
        raise ValueError(f"its level {path!r} is missing") from None
    if not isinstance(array, zarr.Array):
        raise ValueError(f"its level {path!r} is no array")
    if array.ndim != dims:
        raise ValueError(f"its level {path!r} has {array.ndim} axes where {dims} are stated")
    return StoredLevel(array, f"{where} (level {path})")


def _agreeing(multiscale: Multiscale, arrays: list[StoredLevel]) -> int:
    """How many levels, from the finest on, lie where the finest does."""
    finest = np.array(arrays[0].shape)
    for i, (level, array) in enumerate(zip(multiscale.levels, arrays, strict=True)):
        factor, offset = level.over(multiscale.levels[0])
        first, last = offset - (factor - 1) / 2, (factor * array.shape + offset - (factor - 1) / 2) - finest
        if (factor <= 0).any() or (np.abs([first, last]) > _SPREAD * np.maximum(factor, 1)).any():
            return i
    return len(arrays)


def _notes(stated: Mapping[str, Any], agreeing: int, levels: int) -> tuple[str, ...]:
    notes = []
    if len(stated["multiscales"]) > 1:
        notes.append(f"The file holds {len(stated['multiscales'])} pictures; the first was taken.")
    if agreeing < levels:
        notes.append(f"Level {agreeing} does not lie where level 0 does; levels from there on were left out.")
    return tuple(notes)


def _channel_names(stated: Mapping[str, Any]) -> tuple[str, ...]:
    channels = _mapping(stated.get("omero")).get("channels")
    listed = channels if isinstance(channels, list) else []
    names = tuple(str(_mapping(channel).get("label", "")) for channel in listed)
    return names if all(names) else ()


def _label_names(group: Any) -> tuple[str, ...]:
    import zarr

    labels = group.get(LABELS)
    if not isinstance(labels, zarr.Group):
        return ()
    attributes = dict(labels.attrs)
    listed = _mapping(attributes.get("ome", attributes)).get(LABELS)
    return tuple(map(str, listed)) if isinstance(listed, list) else ()


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
