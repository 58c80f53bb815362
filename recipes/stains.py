"""Pictures of nuclei as other microscopes would show them, with a second stain that is not of nuclei.

In the annotated pictures the nuclei are what is darkest, or brightest. In immunohistochemistry and in fluorescence
of several channels something else often is: membranes, cytoplasm, stroma. So the nuclei are drawn anew in another
color, pale or strong, beside a stain that leaves them out, more or less.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unetstyle.core.training.augmentation import smooth_field
from napari_unetstyle.core.training.patches import Example

Image = NDArray[np.float32]

HEMATOXYLIN = ((0.55, 0.40, 0.10), (0.85, 0.72, 0.45))  # optical density of red, green, blue: lowest and highest
DAB = ((0.20, 0.45, 0.65), (0.40, 0.65, 0.90))
EOSIN = ((0.05, 0.50, 0.15), (0.35, 0.95, 0.55))
ANY = ((0.05, 0.05, 0.05), (1.0, 1.0, 1.0))


def counterstained(patch: Example, rng: np.random.Generator) -> Example:
    """The patch ``(3, Y, X)`` with its nuclei in another stain and a second stain outside them; labels stay."""
    inside = patch.labels[0] > 0
    if not inside.any() or inside.all():
        return patch
    gray = patch.image.mean(0)
    bright = gray[inside].mean() > gray[~inside].mean()
    amount = _unit(gray if bright else -gray)
    other = second_stain(np.where(inside, patch.labels[1], 0), rng)
    if bright and rng.random() < 0.4:
        colors = rng.uniform(0.05, 1, (2, 3))
        emitted = _layer(amount, colors[0], (0.2, 0.9), rng), _layer(other, colors[1], (0.2, 1.2), rng)
        return replace(patch, image=(emitted[0] + emitted[1]).clip(0, 1).astype(np.float32))
    white = rng.uniform(0.85, 1.0, (3, 1, 1))
    nuclear = _color(rng, (0.75, HEMATOXYLIN), (0.85, DAB), (1.0, ANY))
    own = not bright and rng.random() < 0.4  # the colors that it has
    density = -np.log(patch.image.clip(1 / 255, 1)) if own else _layer(amount, nuclear, (0.25, 1.0), rng)
    density = density + _layer(other, _color(rng, (0.5, DAB), (0.8, EOSIN), (1.0, ANY)), (0.3, 2.5), rng)
    return replace(patch, image=(white * np.exp(-density)).astype(np.float32))


def second_stain(nuclei: NDArray[np.int32], rng: np.random.Generator) -> Image:
    """How much of it there is, 0 to 1: regions, seams round nuclei, membranes halfway between them; finely grained."""
    inside = nuclei > 0
    distance, nearest = ndimage.distance_transform_edt(~inside, return_indices=True)
    amount = np.zeros(inside.shape, np.float32)
    if rng.random() < 0.7:
        region = smooth_field(inside.shape, rng) + 0.3 * _texture(inside.shape, rng.uniform(6, 25), rng)
        edge = np.quantile(region, rng.uniform(0.1, 0.9))
        amount += rng.uniform(0.5, 1) / (1 + np.exp(-(region - edge) / rng.uniform(0.01, 0.1)))
    if rng.random() < 0.6:
        radius, width = rng.uniform(0, 6), rng.uniform(0.7, 3)
        wave = rng.uniform(0, 6) * (_texture(inside.shape, 5, rng) - 0.5)
        amount += rng.uniform(0.5, 1) * np.exp(-(((distance - radius + wave) / width) ** 2))
    if rng.random() < 0.4:
        cells = nuclei[tuple(nearest)]
        membrane = ndimage.grey_dilation(cells, 2) != ndimage.grey_erosion(cells, 2)
        soft = ndimage.gaussian_filter(membrane.astype(np.float32), rng.uniform(0.5, 2))
        amount += rng.uniform(0.5, 1) * soft / max(float(soft.max()), 1e-6)
    grain = 0.5 + 0.5 * _texture(inside.shape, float(np.exp(rng.uniform(np.log(0.7), np.log(6)))), rng)
    amount *= 1 - rng.uniform(0, 0.9) * grain
    within = ndimage.gaussian_filter(inside.astype(np.float32), rng.uniform(0.5, 1.5))
    return (amount * (1 - rng.uniform(0.4, 1) * within)).clip(0, 1).astype(np.float32)


def _layer(
    amount: Image, color: NDArray[np.float64], strength: tuple[float, float], rng: np.random.Generator
) -> NDArray[np.float64]:
    return np.multiply.outer(color / color.max() * rng.uniform(*strength), amount)


def _color(rng: np.random.Generator, *kinds: tuple[float, tuple[tuple[float, ...], ...]]) -> NDArray[np.float64]:
    drawn = rng.random()
    return rng.uniform(*next(bounds for share, bounds in kinds if drawn < share))


def _texture(shape: tuple[int, ...], sigma: float, rng: np.random.Generator) -> Image:
    return _unit(ndimage.gaussian_filter(rng.standard_normal(shape, np.float32), sigma, truncate=2, mode="wrap"))


def _unit(image: Image) -> Image:
    low, high = np.percentile(image, (1, 99.5))
    return ((image - low) / max(high - low, 1e-6)).clip(0, 1).astype(np.float32)
