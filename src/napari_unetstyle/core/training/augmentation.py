"""Changes of appearance a microscope, a stain or a camera could make; the labels stay as they are.

Each takes an image float32 ``(C, *spatial)`` with its full range at 0..1 and a generator, and returns a
new image. Geometry is drawn together with the patch (``patches.draw_patch``).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]
Augmentation = Callable[[Image, np.random.Generator], Image]

_HED_FROM_RGB = np.array([[1.88, -1.02, -0.55], [-0.07, 1.13, -0.13], [-0.60, -0.48, 1.57]], np.float32)
_RGB_FROM_HED = np.linalg.inv(_HED_FROM_RGB).astype(np.float32)
_DARKEST = np.float32(1 / 255)


def appear(image: Image, rng: np.random.Generator, steps: Sequence[tuple[float, Augmentation]]) -> Image:
    """Apply each of `steps` with its chance, in order."""
    for chance, change in steps:
        if rng.random() < chance:
            image = change(image, rng)
    return np.ascontiguousarray(image, np.float32)


def invert(image: Image, rng: np.random.Generator) -> Image:
    """Dark on bright becomes bright on dark: the shift between fluorescence and transmitted light."""
    return 1 - image


def gamma(image: Image, rng: np.random.Generator) -> Image:
    """Exponent 0.5 to 2."""
    low, high = float(image.min()), float(image.max())
    if high <= low:
        return image
    bent: Image = low + (high - low) * ((image - low) / (high - low)) ** np.float32(np.exp(rng.uniform(-0.7, 0.7)))
    return bent


def contrast(image: Image, rng: np.random.Generator) -> Image:
    """Contrast 0.5 to 1.6 about the mean, brightness shifted by up to 0.15."""
    mean = image.mean()
    factor, shift = np.exp(rng.uniform(-0.7, 0.5)), rng.uniform(-0.15, 0.15)
    changed: Image = (image - mean) * np.float32(factor) + mean + np.float32(shift)
    return changed


def saturate(image: Image, rng: np.random.Generator) -> Image:
    """The brightest pixels (up to 10 %) or the darkest (up to 30 %) cut off: an over- or underexposed picture.

    By rank and not by level, so that a dim picture is never wiped out.
    """
    if rng.random() < 0.5:
        return np.minimum(image, np.float32(np.percentile(image, rng.uniform(90, 99.5))))
    return np.maximum(image, np.float32(np.percentile(image, rng.uniform(0.5, 30))))


def gain(image: Image, rng: np.random.Generator) -> Image:
    """Gain and offset of each channel for itself."""
    shape = (len(image), *(1,) * (image.ndim - 1))
    return image * rng.uniform(0.6, 1.4, shape).astype(np.float32) + rng.uniform(-0.1, 0.1, shape).astype(np.float32)


def stain(image: Image, rng: np.random.Generator) -> Image:
    """Hematoxylin, eosin and DAB of an RGB image made stronger or weaker (Tellez et al. 2018)."""
    if len(image) != 3:
        return image
    density = -np.log(np.clip(image, _DARKEST, 1))
    amounts = np.tensordot(_HED_FROM_RGB.T, density, 1)
    shape = (3, *(1,) * (image.ndim - 1))
    amounts = amounts * rng.uniform(0.6, 1.5, shape).astype(np.float32) + rng.uniform(-0.08, 0.08, shape)
    return np.exp(-np.tensordot(_RGB_FROM_HED.T, amounts.astype(np.float32), 1)).clip(0, 1)


def gray(image: Image, rng: np.random.Generator) -> Image:
    """One random mix of the channels, repeated."""
    weights = rng.dirichlet(np.ones(len(image))).astype(np.float32)
    return np.repeat(np.tensordot(weights, image, 1)[np.newaxis], len(image), 0)


def shuffle(image: Image, rng: np.random.Generator) -> Image:
    """Channels in another order."""
    return image[rng.permutation(len(image))]


def tint(image: Image, rng: np.random.Generator) -> Image:
    """A false color, as viewers export fluorescence: some channels weak or empty."""
    weights = rng.uniform(0, 1, len(image)) * (rng.random(len(image)) < 0.6)
    weights[rng.integers(len(image))] = 1
    return image * weights.astype(np.float32).reshape(-1, *(1,) * (image.ndim - 1))


def blur(image: Image, rng: np.random.Generator) -> Image:
    """Out of focus, Gaussian sigma 0.4 to 2 pixels."""
    from scipy import ndimage

    sigma = float(rng.uniform(0.4, 2))
    return np.stack([ndimage.gaussian_filter(c, sigma, truncate=3) for c in image])


def sharpen(image: Image, rng: np.random.Generator) -> Image:
    """Unsharp mask, as cameras and viewers apply."""
    soft = blur(image, rng)
    return image + np.float32(rng.uniform(0.3, 1.2)) * (image - soft)


def noise(image: Image, rng: np.random.Generator) -> Image:
    """Gaussian camera noise, of one pattern in all channels (a gray picture) or one for each."""
    sigma = np.float32(rng.uniform(0.005, 0.1) * max(float(image.std()) * 3, 0.05))
    shape = image.shape if rng.random() < 0.5 else (1, *image.shape[1:])
    return image + sigma * rng.standard_normal(shape, np.float32)


def shot_noise(image: Image, rng: np.random.Generator) -> Image:
    """Photon noise of 20 to 500 photons in the brightest pixel."""
    photons = float(np.exp(rng.uniform(np.log(20), np.log(500)))) / max(float(image.max()), 1e-3)
    one = bool((image == image[:1]).all())  # a gray picture stays gray
    drawn = rng.poisson(np.clip(image[:1] if one else image, 0, None) * photons) / photons
    return np.broadcast_to(drawn.astype(np.float32), image.shape)


def shading(image: Image, rng: np.random.Generator) -> Image:
    """Uneven light or background: a smooth field that adds or multiplies."""
    field = smooth_field(image.shape[1:], rng)
    if rng.random() < 0.5:
        return image * (1 + np.float32(rng.uniform(0.1, 0.6)) * (field - 1))
    return image + np.float32(rng.uniform(-3, 3) * float(image.std())) * field  # in proportion: never drowns it


def low_resolution(image: Image, rng: np.random.Generator) -> Image:
    """Fewer pixels, then as many again."""
    import torch

    factor = float(rng.uniform(0.35, 0.9))
    small = [max(4, round(n * factor)) for n in image.shape[1:]]
    mode = "bilinear" if image.ndim == 3 else "trilinear"
    stack = torch.from_numpy(np.ascontiguousarray(image))[None]
    down = torch.nn.functional.interpolate(stack, size=small, mode=mode, align_corners=False)
    up = torch.nn.functional.interpolate(down, size=image.shape[1:], mode=mode, align_corners=False)
    return up[0].numpy()


def random_convolution(image: Image, rng: np.random.Generator) -> Image:
    """A shallow random network blended with the image, its energy kept (GIN, Ouyang et al. 2022)."""
    import torch

    layers = [len(image), 2, 2, len(image)]
    convolve = torch.nn.functional.conv2d if image.ndim == 3 else torch.nn.functional.conv3d
    x: Any = torch.from_numpy(np.ascontiguousarray(image - image.mean()))[None]
    for index, (below, above) in enumerate(itertools.pairwise(layers)):
        side = int(rng.choice([1, 3]))
        kernel = rng.standard_normal((above, below, *(side,) * (image.ndim - 1)), np.float32)
        x = convolve(x, torch.from_numpy(kernel), padding=side // 2)
        if index < len(layers) - 2:
            x = torch.nn.functional.leaky_relu(x, 0.1)
    mixed: Image = x[0].numpy()
    mixed = (mixed - mixed.mean()) * (image.std() / max(float(mixed.std()), 1e-6)) + image.mean()
    alpha = np.float32(rng.uniform(0, 0.8))
    return alpha * mixed + (1 - alpha) * image


def smooth_field(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """A smooth random field in 0..1: a slope, a vignette or gentle hills."""
    grid = np.meshgrid(*[np.linspace(-1, 1, n, dtype=np.float32) for n in shape], indexing="ij", sparse=True)
    kind = rng.integers(3)
    if kind == 0:
        field = sum(w * g for w, g in zip(rng.standard_normal(len(shape)), grid, strict=True))
    elif kind == 1:
        middle = rng.uniform(-0.7, 0.7, len(shape))
        field = -sum((g - m) ** 2 for g, m in zip(grid, middle, strict=True))
    else:
        field = sum(np.cos(rng.uniform(0.5, 3) * g + rng.uniform(0, 6.3)) * rng.uniform(0.3, 1) for g in (*grid, *grid))
    field = np.broadcast_to(field, shape)
    low, high = float(field.min()), float(field.max())
    unit: NDArray[np.float32] = ((field - low) / max(high - low, 1e-6)).astype(np.float32)
    return unit


LIGHT: tuple[tuple[float, Augmentation], ...] = (
    (0.3, gamma),
    (0.3, contrast),
    (0.2, gain),
    (0.2, blur),
    (0.25, noise),
)
"""Small changes, for teaching a model from a few pictures of one microscope."""

WIDE: tuple[tuple[float, Augmentation], ...] = (
    (0.3, stain),
    (0.3, gamma),
    (0.3, contrast),
    (0.1, saturate),
    (0.25, gain),
    (0.05, random_convolution),
    (0.2, shading),
    (0.1, low_resolution),
    (0.2, blur),
    (0.05, sharpen),
    (0.25, noise),
    (0.1, shot_noise),
)
"""What another day, stain or lens could do, so that a few pictures stand for many; bright stays bright."""

STRONG: tuple[tuple[float, Augmentation], ...] = (
    (0.35, stain),
    (0.15, gray),
    (0.4, invert),
    (0.08, shuffle),
    (0.07, tint),
    (0.35, gamma),
    (0.3, contrast),
    (0.12, saturate),
    (0.25, gain),
    (0.07, random_convolution),
    (0.25, shading),
    (0.15, low_resolution),
    (0.2, blur),
    (0.08, sharpen),
    (0.3, noise),
    (0.15, shot_noise),
)
"""Everything, for a model that must work on an unknown microscope."""
