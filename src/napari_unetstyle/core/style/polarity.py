"""Bright on dark (fluorescence) or dark on bright (transmitted light)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.style.pixels import luminance

SURE = 0.1
"""Below this a polarity counts as unknown."""


def measure(samples: NDArray[np.float32]) -> float:
    """How much rarer bright pixels are than dark ones, -1..1, from pixels ``(C, N)``.

    The skewness of the luminance between its 1st and 99th percentile, squashed: objects take less room than what is
    around them, so their side of the histogram is the long one. 0 for a constant picture.
    """
    values = luminance(samples)
    low, high = np.percentile(values, (1, 99))
    kept = np.clip(values, low, high).astype(np.float64)
    spread = float(kept.std())
    if spread <= 1e-6:
        return 0.0
    return float(np.tanh(np.mean(((kept - kept.mean()) / spread) ** 3)))


def differ(one: float, other: float) -> bool:
    """Whether two polarities are opposite, and both of them sure."""
    return one * other < 0 and min(abs(one), abs(other)) >= SURE
