"""What the recipes for volumes share: a scan with its truth, read from the data folder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import areas
import numpy as np

from napari_unetstyle.core import read_image
from napari_unetstyle.core.imaging.image import Image


@dataclass(frozen=True)
class Case:
    """A volume with its true class values ``(Z, Y, X)``."""

    image: Image
    truth: areas.Labels


def cases(folder: Path, stems: Iterable[str]) -> dict[str, Case]:
    """Volumes of `folder`, which has ``images/`` and ``masks/``, by stem."""
    return {stem: _case(folder, stem) for stem in sorted(stems)}


def _case(folder: Path, stem: str) -> Case:
    truth = read_image(folder / "masks" / f"{stem}.nii.gz")
    return Case(read_image(folder / "images" / f"{stem}.nii.gz"), np.asarray(truth.array))
