"""Random looks of a patch, for training: what no single picture's style can tell.

They join the changes of ``core.training.augmentation``: of float32 ``(C, *spatial)``, full range 0..1, from a
generator. Two of them need more than the patch: its labels, or another picture. No bundled model is trained with
them; ``teach --randomized`` draws them, and ``benchmarks/style.py`` compares them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.style.pixels import Pixels

_STEPS = 256  # of a curve
_INVERTED = 0.5  # of the curves fall
_SCALE, _SHIFT = 0.1, 0.5  # standard deviations (SLAug)
_SHOWN = 20.0  # percent of a class that no shift may push out of the range, on either side (SLAug)
_SOFT = 1.0  # pixels over which one class goes over into the next


def bezier(image: Pixels, rng: np.random.Generator, inverted: float = _INVERTED) -> Pixels:
    """All intensities along one random Bezier curve that rises, or with a chance of `inverted` falls.

    The range stays what it was (Zhou et al. 2019, Models Genesis).
    """
    low, high = float(image.min()), float(image.max())
    return _bent(image, low, high, rng, inverted)


def by_class(image: Pixels, classes: NDArray[np.integer], rng: np.random.Generator) -> Pixels:
    """The pixels of each class along a random curve of their own, then scaled and shifted (SLAug, Su et al. 2023).

    That of the background falls, of the others every second one. `classes` ``(*spatial,)`` goes over softly, so that
    no outline is drawn around it; what is unknown counts as one more class. Left out of SLAug are its mixture by
    saliency and its threshold under which air stays black. Two classes may come to look alike.
    """
    from scipy.ndimage import gaussian_filter

    low, high = float(image.min()), float(image.max())
    made = np.zeros_like(image)
    for value in np.unique(classes):
        inside = classes == value
        own = image[:, inside]
        bent = _bent(image, float(own.min()), float(own.max()), rng, 1.0 if value == 0 else _INVERTED)
        scale = np.float32(np.clip(rng.normal(1, _SCALE), 1 - _SCALE, 1 + _SCALE))
        first, last = np.percentile(bent[:, inside], (_SHOWN, 100 - _SHOWN))
        shift = np.float32(np.clip(rng.normal(0, _SHIFT), low - first, max(high - last, low - first)))
        made += gaussian_filter(inside.astype(np.float32), _SOFT) * np.clip(bent * scale + shift, low, high)
    return made


def fourier(image: Pixels, style: Pixels, rng: np.random.Generator, beta: tuple[float, float] = (0.01, 0.09)) -> Pixels:
    """The amplitudes of the lowest frequencies become those of `style` (FDA, Yang and Soatto 2020).

    Of a whole patch and a patch of another picture: what it does to a pixel depends on where it lies, so it is no
    method of :class:`StyleOptions`, which must change each part as it changes the whole.

    Parameters
    ----------
    image, style
        Of one shape.
    beta
        Lowest and highest share of the shortest side that counts as low frequencies; it is drawn between them.
    """
    from scipy import fft

    if image.shape != style.shape:
        raise ValueError(f"image and style must have one shape, got {image.shape} and {style.shape}")
    shape = image.shape[1:]
    axes = tuple(range(1, image.ndim))
    reach = int(min(shape) * rng.uniform(*beta))
    waves = [np.abs(fft.fftfreq(n, 1 / n)) for n in shape[:-1]] + [fft.rfftfreq(shape[-1], 1 / shape[-1])]
    low = np.max(np.meshgrid(*waves, indexing="ij"), axis=0) <= reach + 0.5
    spectrum, other = (np.asarray(fft.rfftn(pixels, axes=axes)) for pixels in (image, style))
    spectrum[:, low] = np.abs(other[:, low]) * np.exp(1j * np.angle(spectrum[:, low]))
    made: Pixels = fft.irfftn(spectrum, s=shape, axes=axes).astype(np.float32)
    return made


def _bent(image: Pixels, low: float, high: float, rng: np.random.Generator, inverted: float) -> Pixels:
    """Along a curve from `low` to `high`, or back; what lies beyond takes its ends."""
    inner = rng.random((2, 2))
    falls = rng.random() < inverted
    if high <= low:
        return image
    points = np.stack([np.zeros(2), *inner, np.ones(2)], axis=1)
    along = np.linspace(0, 1, _STEPS)
    weights = np.stack([(1 - along) ** 3, 3 * along * (1 - along) ** 2, 3 * along**2 * (1 - along), along**3])
    at, values = np.sort(points @ weights, axis=1)
    if falls:
        values = values[::-1]
    made: Pixels = (low + (high - low) * np.interp((image - low) / (high - low), at, values)).astype(np.float32)
    return made
