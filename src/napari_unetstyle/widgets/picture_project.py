"""Where the fixes of an open picture collect."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from napari_unetstyle._sample_data import sample_folder
from napari_unetstyle.core.annotation.pixels import digest_of_pixels
from napari_unetstyle.core.annotation.project import Project
from napari_unetstyle.widgets.opening import LEVEL, SERIES_KEY, path_of
from napari_unetstyle.widgets.settings import read_settings

if TYPE_CHECKING:
    import napari.layers

    from napari_unetstyle.core.imaging.levels import LevelGrid

_KNOWN: WeakKeyDictionary[Any, tuple[Any, str]] = WeakKeyDictionary()  # layers: their data, and the digest of it


def project_of(layer: napari.layers.Image) -> Project:
    """Beside the picture's file; for one without, or a sample, a project of its own. Or where the settings say."""
    path = path_of(layer)
    if path is not None and not Path(path).is_relative_to(sample_folder()):
        return project_beside(path)
    folder = read_settings().fixes_folder
    return Project.for_pixels(layer.name, pixels_of(layer), path) if folder is None else Project(folder)


def project_beside(path: str) -> Project:
    """Where the fixes of a picture file collect."""
    folder = read_settings().fixes_folder
    return Project.for_picture(path) if folder is None else Project(folder)


def identity_of(layer: napari.layers.Image) -> tuple[str | None, str | None]:
    """The file of a picture, or else what its pixels are known by."""
    path = path_of(layer)
    return path, pixels_of(layer) if path is None else None


def part_of(layer: napari.layers.Image, grid: LevelGrid | None = None) -> dict[str, Any]:
    """Which picture of its file a layer is, or one of its levels; as `Header.of` takes it."""
    level = grid.index if grid is not None else layer.metadata.get(LEVEL, 0)
    return {"series": layer.metadata.get(SERIES_KEY), "level": level}


def pixels_of(layer: napari.layers.Image) -> str:
    """What a picture is known by that has no file."""
    data = layer.data[0] if layer.multiscale else layer.data
    known = _KNOWN.get(layer)
    if known is None or known[0] is not data:
        known = _KNOWN[layer] = data, digest_of_pixels(data)
    return known[1]


def know_as(layer: napari.layers.Image, pixels: str) -> None:
    """A layer is the copy of a picture, the axes of which may have had another order."""
    _KNOWN[layer] = layer.data, pixels
