"""Slides as scanners write them, made of small arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from scipy.ndimage import gaussian_filter

DESCRIPTION = "Aperio Image Library v11.2.1 |AppMag = 20|MPP = {mpp}|User = Jane Doe"


def stained(shape: tuple[int, int] = (600, 700), seed: int = 0) -> np.ndarray:
    """Dark blobs on bright glass, in color."""
    smooth = gaussian_filter(np.random.default_rng(seed).random(shape), 4)
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    return np.stack([250 - 180 * smooth**2, 245 - 220 * smooth**2, 250 - 120 * smooth**2], axis=-1).astype(np.uint8)


def shrunk(array: np.ndarray, factor: int) -> np.ndarray:
    """The mean of every `factor` x `factor` pixels; what is left at the borders is lost."""
    height, width = (n // factor for n in array.shape[:2])
    blocks = array[: height * factor, : width * factor].reshape(height, factor, width, factor, -1)
    return blocks.mean(axis=(1, 3)).round().astype(array.dtype)


def write_svs(
    path: Path, levels: list[np.ndarray], *, mpp: float | None = 0.5, compression: Any = "zlib", tile: int = 64
) -> Path:
    """A file as scanners of Aperio write it: levels, a thumbnail, a photo of the label and one of the glass."""
    said = DESCRIPTION.format(mpp=mpp) if mpp is not None else "Aperio Image Library v11.2.1 |AppMag = 20"
    options: dict[str, Any] = {"photometric": "rgb", "metadata": None, "software": False}
    small = levels[-1][:32, :32]
    with tifffile.TiffWriter(path) as writer:
        writer.write(levels[0], tile=(tile, tile), description=said, compression=compression, **options)
        writer.write(small, description="Aperio thumbnail", rowsperstrip=16, **options)
        for level in levels[1:]:
            writer.write(level, tile=(tile, tile), description="Aperio level", compression=compression, **options)
        writer.write(small, description="Aperio label", rowsperstrip=16, subfiletype=1, **options)
        writer.write(small, description="Aperio macro", rowsperstrip=16, subfiletype=9, **options)
    return path


def write_huge_ndpi(path: Path, array: np.ndarray, at: int) -> Path:
    """A file as scanners of Hamamatsu write it, its pixels `at` a position beyond four bytes."""
    height, width = array.shape
    values = [
        (256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, at), (277, 3, 1),
        (278, 4, height), (279, 4, array.size), (65420, 4, 1), (65421, 11, int(np.float32(20).view(np.uint32))),
    ]  # fmt: skip
    entries = b"".join(np.array([tag, kind], "<u2").tobytes() + np.array([1, v % 2**32], "<u4").tobytes()
                       for tag, kind, v in values)  # fmt: skip
    upper = np.array([v >> 32 for _, _, v in values], "<u4").tobytes()
    directory = np.array([len(values)], "<u2").tobytes() + entries + np.array([0], "<u8").tobytes() + upper
    with path.open("wb") as file:
        file.write(b"II*\0" + np.array([at + array.size], "<u8").tobytes())
        file.seek(at)
        file.write(array.tobytes() + directory)
    return path
