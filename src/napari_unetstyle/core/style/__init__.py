"""Image to image: what another scanner, stain or microscope would have made of it; the labels stay as they are."""

from __future__ import annotations

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    """``domain_distance``, which needs a model, and so lies above this room."""
    if name != "domain_distance":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module("napari_unetstyle.core").domain_distance
