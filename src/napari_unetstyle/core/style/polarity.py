"""Bright on dark (fluorescence) or dark on bright (transmitted light)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.style.pixels import luminance, thinned

SURE = 0.1
"""Below this a polarity counts as unknown."""

MOST = 2**16
"""Pixels that are looked at."""
_SCALES = (2.0, 4.0, 8.0)  # of objects, standard deviation in pixels
_WIDER = 2.5  # times as wide is what is around an object
_FIELD = 1 / 8  # of the picture's longest side is its background
_COLORED = 0.03  # mean difference between the channels of what has a color
_DAYLIGHT, _DARK = 0.5, 0.3  # median luminance of transmitted light, of fluorescence


def measure(pixels: NDArray[np.float32]) -> float:
    """How much rarer bright than dark is among what stands out, -1..1, from pixels ``(C, *spatial)`` in 0..1.

    Objects take less room than what is around them, so their side of a histogram is the long one. The histograms are
    those of the luminance less a wide blur (so that uneven light does not count), and of differences of Gaussians at
    the scales of objects; their skewness is squashed and averaged. Where that is undecided (objects and background
    take as much room), a colored picture is dark on bright if it is bright on the whole, as stains absorb, and bright
    on dark if it is dark. 0 for a constant picture. Measured by ``benchmarks/style_polarity.py``.
    """
    few = thinned(pixels, MOST)
    light = np.nan_to_num(luminance(few))
    found = (skewness(_field(light)) + float(np.mean([skewness(band) for band in _bands(light)]))) / 2
    return found if abs(found) >= SURE else _by_light(few, light, found)


def _field(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """What is brighter or darker than a wide blur, at every second pixel."""
    half = _halved(light)
    return half - _blurred(half, 0, _FIELD * max(light.shape), 2)


def _bands(light: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """Differences of Gaussians, each from the one before: a wide blur needs fewer pixels than a narrow one."""
    blurred, width, step = light, 0.0, 1
    for scale in _SCALES:
        blurred, width, step = _halved(_blurred(blurred, width, scale, step)), scale, 2 * step
        yield blurred - _blurred(blurred, width, _WIDER * width, step)


def _blurred(light: NDArray[np.float32], width: float, wanted: float, step: int) -> NDArray[np.float32]:
    """What is blurred by a Gaussian of `width`, by `wanted`; both in pixels of which every `step`-th is left."""
    from scipy.ndimage import gaussian_filter

    made: NDArray[np.float32] = gaussian_filter(light, np.sqrt(wanted**2 - width**2) / step)
    return made


def _halved(light: NDArray[np.float32]) -> NDArray[np.float32]:
    return light[(slice(None, None, 2),) * light.ndim]


def differ(one: float, other: float) -> bool:
    """Whether two polarities are opposite, and both of them sure."""
    return one * other < 0 and min(abs(one), abs(other)) >= SURE


def skewness(values: NDArray[np.float32]) -> float:
    """Of values between the 1st and 99th percentile, squashed to -1..1: below 0 where low ones are rarer."""
    low, high = np.percentile(values, (1, 99))
    kept = np.clip(values, low, high).astype(np.float64)
    spread = float(kept.std())
    if spread <= 1e-6:
        return 0.0
    kept = (kept - kept.mean()) / spread
    return float(np.tanh(np.mean(kept * kept * kept)))


def _by_light(few: NDArray[np.float32], light: NDArray[np.float32], found: float) -> float:
    if len(few) != 3 or float(np.nan_to_num(np.ptp(few, axis=0)).mean()) < _COLORED:
        return found
    median = float(np.median(light))
    return -SURE if median > _DAYLIGHT else SURE if median < _DARK else found
