"""The person's choices on napari's preferences page, declared in the manifest."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

PLUGIN = "napari-unetstyle"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What holds for every run.

    Attributes
    ----------
    device
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    model_folder
        Where models are kept; None for the usual place.
    fixes_folder
        Where corrections collect; None for a folder beside each picture.
    memory
        Bytes that results may take before they are put on disk; None for the core's default.
    vgg
        torchvision's VGG16 file, for texture; None for random weights.
    """

    device: str = "auto"
    model_folder: Path | None = None
    fixes_folder: Path | None = None
    memory: int | None = None
    vgg: Path | None = None


def read_settings() -> Settings:
    """The settings as they are now; defaults where napari does not know this plugin's page."""
    from napari.settings import get_plugin_settings

    try:
        page = get_plugin_settings(PLUGIN).segmentation
    except (AttributeError, KeyError):  # the widget was made without the manifest, as some tests and scripts do
        return Settings()
    return Settings(
        device=str(getattr(page.device, "value", page.device)),
        model_folder=_path(str(page.model_folder)),
        fixes_folder=_path(str(page.fixes_folder)),
        memory=int(page.memory) * 2**20,
        vgg=_path(str(page.vgg)),
    )


def remember_vgg(file: str) -> None:
    """Keep the path of a VGG16 file, as it was typed, for the next time; empty for none."""
    from napari.settings import get_plugin_settings

    with contextlib.suppress(AttributeError, KeyError, ValueError):  # without this manifest, see read_settings
        get_plugin_settings(PLUGIN).segmentation.vgg = file.strip()


def _path(text: str) -> Path | None:
    """A path as a person typed it; None if it is empty, or in the home of somebody who is not known here."""
    try:
        return Path(text.strip()).expanduser() if text.strip() else None
    except RuntimeError:
        return None
