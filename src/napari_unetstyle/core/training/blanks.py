"""Pictures with nothing, or almost nothing, in them: instance normalization must learn that they exist."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.training.augmentation import smooth_field
from napari_unetstyle.core.training.patches import Example

Image = NDArray[np.float32]
Shape = tuple[int, ...]


def blank(channels: int, shape: Shape, rng: np.random.Generator, clouds: float = 0.0) -> Example:
    """An empty picture ``(channels, *shape)`` of a random kind, gray or colored, with empty labels.

    So large a share as `clouds` shows soft clouds, the hardest kind, and the rest any kind.
    """
    draw = _clouds if clouds and rng.random() < clouds else _KINDS[rng.integers(len(_KINDS))]
    count = 1 if channels == 1 or rng.random() < 0.6 else channels
    base = rng.uniform(0, 1, (count, *(1,) * len(shape)))
    image = base + draw((count, *shape), rng)
    if rng.random() < 0.2:
        image = image + rng.uniform(-0.3, 0.3) * smooth_field(shape, rng)
    if rng.random() < 0.7:
        image = np.round(np.clip(image, 0, 1) * 255) / 255
    pixels: Image = np.broadcast_to(image, (channels, *shape)).astype(np.float32)
    return Example(pixels, np.zeros((2, *shape), np.int32))


def _gaussian(shape: Shape, rng: np.random.Generator) -> Image:
    return np.float32(10 ** rng.uniform(-3, -0.7)) * rng.standard_normal(shape, np.float32)


def _photons(shape: Shape, rng: np.random.Generator) -> Image:
    mean = 10 ** rng.uniform(-1, 2.5)
    return (rng.poisson(mean, shape) / max(mean, 1) * rng.uniform(0.02, 0.5)).astype(np.float32)


def _clouds(shape: Shape, rng: np.random.Generator) -> Image:
    from scipy import ndimage

    sigma = float(np.exp(rng.uniform(np.log(0.7), np.log(20))))
    field = np.stack([ndimage.gaussian_filter(c, sigma, truncate=2, mode="wrap") for c in _gaussian(shape, rng)])
    strength = np.float32(10 ** rng.uniform(-2.5, -0.5))
    clouds: Image = strength * field / np.float32(max(float(field.std()), 1e-9)) + 0.2 * strength * _gaussian(
        shape, rng
    )
    return clouds


def _slope(shape: Shape, rng: np.random.Generator) -> Image:
    grain = np.float32(10 ** rng.uniform(-3.5, -1.5)) * rng.standard_normal(shape, np.float32)
    return np.float32(rng.uniform(0.02, 0.6)) * smooth_field(shape[1:], rng) + grain * (rng.random() < 0.7)


def _constant(shape: Shape, rng: np.random.Generator) -> Image:
    """Nothing at all, or a few hot, dead or saturated pixels."""
    image = np.zeros(shape, np.float32)
    for _ in range(rng.integers(0, 20) * rng.integers(0, 2)):
        pixel = np.ravel_multi_index(tuple(rng.integers(n) for n in shape[1:]), shape[1:])
        image.reshape(len(image), -1)[:, pixel] = rng.choice([-1.0, 1.0])
    return image


def _blocks(shape: Shape, rng: np.random.Generator) -> Image:
    """Compression: a level for each 8x8 block and a wave in some of them."""
    coarse = (shape[0], *(-(-n // 8) for n in shape[1:]))
    level = rng.standard_normal(coarse, np.float32)
    for axis in range(1, len(shape)):
        level = np.repeat(level, 8, axis)
    level = level[(slice(None), *(slice(n) for n in shape[1:]))]
    wave = np.cos(np.arange(shape[-1], dtype=np.float32) * np.float32(np.pi / 8 * rng.integers(1, 6)))
    strength = np.float32(10 ** rng.uniform(-2.5, -1))
    blocks: Image = strength * (level + np.float32(rng.uniform(0, 1)) * wave * (level > 0.5))
    return blocks


def _fibers(shape: Shape, rng: np.random.Generator) -> Image:
    """Streaks and grain at several sizes, as of stroma, glass scratches or camera rows."""
    from scipy import ndimage

    image = np.zeros(shape, np.float32)
    for _ in range(2):
        sigma = [0.0, *np.exp(rng.uniform(np.log(0.5), np.log(12), len(shape) - 1))]
        part = ndimage.gaussian_filter(rng.standard_normal(shape, np.float32), sigma, truncate=2, mode="wrap")
        image += part / max(float(part.std()), 1e-9)
    fibers: Image = image * np.float32(10 ** rng.uniform(-2.5, -0.7))
    return fibers


_KINDS: tuple[Callable[[Shape, np.random.Generator], Image], ...] = (
    _gaussian,
    _photons,
    _clouds,
    _slope,
    _constant,
    _blocks,
    _fibers,
)


def background(example: Example, shape: Shape, rng: np.random.Generator, tries: int = 8) -> Example | None:
    """A piece of a real picture without anything labeled, enlarged to `shape`; None if none was found.

    Enlarged at most four times: what lies between the objects is all there is, and its noise must not
    become a smooth field.
    """
    import torch

    size = np.array(example.image.shape[1:])
    for _ in range(tries):
        side = np.minimum(size, np.maximum(16, np.array(shape) // rng.integers(1, 5)))
        corner = rng.integers(0, size - side + 1)
        window = tuple(slice(c, c + s) for c, s in zip(corner, side, strict=True))
        if (example.labels[0][window] == 0).all():
            piece = torch.from_numpy(np.ascontiguousarray(example.image[(slice(None), *window)]))[None]
            mode = "bilinear" if len(shape) == 2 else "trilinear"
            image = torch.nn.functional.interpolate(piece, size=shape, mode=mode, align_corners=False)[0].numpy()
            return Example(image, np.zeros((2, *shape), np.int32))
    return None


def sparse(patch: Example, rng: np.random.Generator, keep: int = 3) -> Example:
    """All but a few objects of a patch taken away: they stand alone on an even, slightly noisy canvas.

    The canvas has the color of the patch's own background (fluorescence: dark; slide: bright) or an
    extreme one, and the objects keep a soft margin of what was around them.
    """
    from scipy import ndimage

    objects = patch.labels[1]
    ids = np.unique(objects[objects > 0])
    if not ids.size or (objects < 0).any():
        return patch
    kept = np.isin(objects, rng.choice(ids, min(len(ids), int(rng.integers(1, keep + 1))), replace=False))
    others = (objects > 0) & ~kept
    near = np.exp(-ndimage.distance_transform_edt(~kept) / rng.uniform(1.5, 6)).astype(np.float32)
    near[others] = 0
    alpha = np.where(kept, 1, near)
    free = patch.image[:, objects == 0]
    level = np.median(free, axis=1) if free.shape[1] else patch.image.reshape(len(patch.image), -1).mean(1)
    grain = float(rng.uniform(0, 0.02)) * rng.standard_normal((1, *objects.shape), np.float32)
    canvas = level.reshape(-1, *(1,) * objects.ndim) + grain
    image = (alpha * patch.image + (1 - alpha) * canvas).astype(np.float32)
    return Example(image, np.where(kept, patch.labels, 0).astype(np.int32))
