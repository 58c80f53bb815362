"""Sample pictures for napari's File > Open Sample; made by ``sample_data/make.py``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_unetstyle.widgets.opening import LayerData


def sample_folder() -> Path:
    """Where the sample pictures lie: in the package, or in the repository of an editable installation."""
    here = Path(__file__).parent
    return next(folder for folder in (here / "sample_data", here.parents[1] / "sample_data") if folder.is_dir())


def nuclei_fluorescence() -> list[LayerData]:
    """Gray nuclei, some touching."""
    return _open("nuclei-fluorescence.tif")


def nuclei_he() -> list[LayerData]:
    """Tissue stained with hematoxylin and eosin."""
    return _open("nuclei-he.tif")


def axons_sem() -> list[LayerData]:
    """Myelinated axons as in a scanning electron microscope."""
    return _open("axons-sem.tif")


def timelapse_two_channels() -> list[LayerData]:
    """Five time points in two channels."""
    return _open("timelapse-two-channels.tif")


def _open(name: str) -> list[LayerData]:
    from napari_unetstyle.core.imaging.files import read_image
    from napari_unetstyle.widgets.opening import layer_data

    path = sample_folder() / name
    return [layer_data(read_image(path), path)]
