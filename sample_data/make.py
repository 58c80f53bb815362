"""Make the sample pictures (own work, MIT as the rest): ``python sample_data/make.py [FOLDER]``.

Drawn from a fixed seed, so the files are the same each time. They are for trying things out: no model was
trained on them, and quality is never reported on them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage as ndi
from skimage.draw import polygon

Labels = NDArray[np.uint16]
Field = NDArray[np.float64]

HEMATOXYLIN = np.array([0.65, 0.70, 0.29])  # optical densities of red, green, blue (Ruifrok and Johnston 2001)
EOSIN = np.array([0.07, 0.99, 0.11])


def main(folder: Path) -> None:
    """Write every sample into `folder`, and the labels they were drawn from into ``truth`` under it."""
    (folder / "truth").mkdir(parents=True, exist_ok=True)
    truth, picture = fluorescence(np.random.default_rng(1), 512)
    _save(folder / "nuclei-fluorescence.tif", picture, "YX", um=0.5)
    _save(folder / "truth" / "nuclei-fluorescence.tif", truth, "YX", um=0.5)
    truth, picture = hematoxylin_eosin(np.random.default_rng(2), 384)
    _save(folder / "nuclei-he.tif", picture, "YXS", um=0.5)
    _save(folder / "truth" / "nuclei-he.tif", truth, "YX", um=0.5)
    _save(folder / "timelapse-two-channels.tif", timelapse(np.random.default_rng(3), 160, 5), "TCYX", um=0.5)
    truth, picture = axons(np.random.default_rng(4), 448)
    _save(folder / "axons-sem.tif", picture, "YX", um=0.1)
    _save(folder / "truth" / "axons-sem.tif", truth, "YX", um=0.1)


def fluorescence(rng: np.random.Generator, size: int) -> tuple[Labels, NDArray[np.uint8]]:
    """Gray nuclei, some in touching groups, on an uneven background: labels and picture, both ``(Y, X)``."""
    labels = _nuclei(rng, size, groups=size // 12, diameter=24)
    light = _stain(rng, labels, spread=0.35) * 150 + 18 + 30 * _uneven(rng, size)
    return labels, _camera(rng, ndi.gaussian_filter(light, 1.2))


def hematoxylin_eosin(rng: np.random.Generator, size: int) -> tuple[Labels, NDArray[np.uint8]]:
    """Tissue in two stains: labels ``(Y, X)`` and an RGB picture ``(Y, X, 3)``."""
    labels = _nuclei(rng, size, groups=size // 6, diameter=17)
    bend = (_uneven(rng, size) * 60).astype(int)
    rows, columns = np.indices((size, size))
    fibers = _standard(ndi.gaussian_filter(rng.standard_normal((size, size)), (1.6, 8), mode="wrap"))
    fibers = fibers[(rows + bend) % size, columns]
    tissue = np.clip(0.42 + 0.10 * fibers + 0.30 * (_uneven(rng, size) - 0.5), 0.02, 1)
    blue = _stain(rng, labels, spread=0.25) + 0.10 * tissue
    density = ndi.gaussian_filter(blue, 0.9)[..., np.newaxis] * HEMATOXYLIN
    density += (0.55 * tissue)[..., np.newaxis] * EOSIN
    grain = ndi.gaussian_filter(rng.standard_normal((size, size, 3)), (0.7, 0.7, 0)) * 4
    return labels, np.clip(243 * np.exp(-density) + grain, 0, 255).astype(np.uint8)


def timelapse(rng: np.random.Generator, size: int, frames: int) -> NDArray[np.uint8]:
    """Drifting nuclei with their cells in a second channel: ``(T, C, Y, X)``."""
    labels = _nuclei(rng, size + 40, groups=size // 8, diameter=24)
    nuclei = ndi.gaussian_filter(_stain(rng, labels, spread=0.3) * 140 + 15, 1.2)
    cells = ndi.gaussian_filter((labels > 0) * 160.0, 7) + 12
    views = [np.s_[3 * t : 3 * t + size, 2 * t : 2 * t + size] for t in range(frames)]
    return np.stack([[_camera(rng, nuclei[view]), _camera(rng, cells[view])] for view in views])


def axons(rng: np.random.Generator, size: int) -> tuple[Labels, NDArray[np.uint8]]:
    """Nerve fibers cut across, as in scanning EM: classes (1 myelin, 2 axon) and picture, both ``(Y, X)``."""
    fibers = np.zeros((size, size), np.uint16)
    for diameter in np.sort(np.clip(rng.lognormal(3.1, 0.4, 900), 10, 60))[::-1]:  # small ones fill the gaps
        _draw_blob(rng, fibers, rng.uniform(0, size, 2), diameter)
    depth = ndi.distance_transform_edt(_inside(fibers))
    radius = np.append(1, ndi.maximum(depth, fibers, np.arange(1, int(fibers.max()) + 1)))[fibers]
    classes = np.where(fibers == 0, 0, np.where(depth < 0.45 * radius, 1, 2)).astype(np.uint16)
    bright = np.append(0, rng.uniform(85, 135, int(fibers.max())))[fibers]
    light = np.choose(classes, [16 + 10 * _uneven(rng, size), bright, 24 + 0 * bright])
    return classes, _camera(rng, ndi.gaussian_filter(light, 1.0) * (0.75 + 0.4 * _uneven(rng, size)))


def _nuclei(rng: np.random.Generator, size: int, *, groups: int, diameter: float) -> Labels:
    """Smooth blobs of about one size; those of a group touch, none overlap."""
    labels = np.zeros((size, size), np.uint16)
    for _ in range(groups):
        center = rng.uniform(0, size, 2)
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            _draw_blob(rng, labels, center, diameter * rng.uniform(0.8, 1.2))
            angle = rng.uniform(0, 2 * np.pi)
            center = center + diameter * 0.95 * np.array([np.sin(angle), np.cos(angle)])
    return labels


def _draw_blob(rng: np.random.Generator, labels: Labels, center: Field, diameter: float) -> None:
    """Draw the next label where it is free, unless it would lie on others."""
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    radius = diameter / 2 * (1 + 0.16 * np.cos(2 * angles + rng.uniform(0, 6)))
    radius *= 1 + sum(rng.normal(0, 0.03) * np.cos(k * angles + rng.uniform(0, 6)) for k in (3, 4, 5))
    rows, columns = polygon(center[0] + radius * np.sin(angles), center[1] + radius * np.cos(angles), labels.shape)
    free = labels[rows, columns] == 0
    if free.size and free.mean() > 0.85:
        labels[rows[free], columns[free]] = labels.max() + 1


def _inside(labels: Labels) -> NDArray[np.bool_]:
    """Labeled pixels that are not on the rim of their label."""
    steps = [np.diff(labels.astype(int), axis=axis, append=0) != 0 for axis in (0, 1)]
    return (labels > 0) & ~steps[0] & ~steps[1]


def _stain(rng: np.random.Generator, labels: Labels, *, spread: float) -> Field:
    """Amount of stain: another for each nucleus, mottled inside, thinner toward the rim."""
    amounts = np.append(0, np.clip(rng.normal(0.8, spread, int(labels.max())), 0.35, 1.5))
    mottled = 1 + 0.12 * _standard(ndi.gaussian_filter(rng.standard_normal(labels.shape), 2))
    depth = np.minimum(ndi.distance_transform_edt(_inside(labels)), 4) / 4
    return amounts[labels] * mottled * (0.55 + 0.45 * depth)


def _uneven(rng: np.random.Generator, size: int) -> Field:
    """Make a smooth field from 0 to 1."""
    coarse = ndi.zoom(rng.uniform(0, 1, (4, 4)), size / 4, order=3)
    return (coarse - coarse.min()) / np.ptp(coarse)


def _camera(rng: np.random.Generator, light: Field) -> NDArray[np.uint8]:
    """Photon and read noise, eight bits."""
    return np.clip(rng.poisson(light) + rng.normal(0, 2, light.shape), 0, 255).astype(np.uint8)


def _standard(field: Field) -> Field:
    return (field - field.mean()) / field.std()


def _save(path: Path, array: NDArray[np.generic], axes: str, *, um: float) -> None:
    tifffile.imwrite(
        path, array, ome=False, compression="zlib", predictor=array.dtype == np.uint8, software=False,
        photometric="rgb" if axes.endswith("S") else "minisblack",
        resolution=(1e4 / um, 1e4 / um), resolutionunit="CENTIMETER",
        metadata={"axes": axes, "unit": "um"},
    )  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
