"""From the intensities of a style to what a network sees, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.style.pixels import Pixels, luminance
from napari_unetstyle.core.style.reference import LEVELS, Reference

_ENDS = (1.0, 99.0)  # percentiles of the style that no pixel leaves


@dataclass(frozen=True, eq=False)
class Span:
    """The intensities that a style has, darkest and brightest of each channel ``(C, 1, 1)``.

    A network sees the darkest of all as 0 and the brightest as 1, so that a dim style is seen as well as a bright
    one.
    """

    low: NDArray[np.float32]
    high: NDArray[np.float32]

    @classmethod
    def of(cls, wanted: Reference, channels: int) -> Span:
        """Of a style, in 1 or 3 channels."""
        quantiles = (wanted.gray() if channels == 1 else wanted).quantiles
        ranks = np.linspace(0, 100, LEVELS)
        return cls._between(np.stack([np.interp(_ENDS, ranks, channel) for channel in quantiles], axis=1))

    @classmethod
    def of_looks(cls, looks: Sequence[Pixels], channels: int) -> Span:
        """Of all that pictures ``(C, Y, X)`` in 0..1 show together, of 1 or 3 channels."""
        shown = (luminance(look)[np.newaxis] if channels == 1 else look for look in looks)
        flat = [np.broadcast_to(s, (channels, *s.shape[1:])).reshape(channels, -1) for s in shown]
        return cls._between(np.percentile(np.concatenate(flat, axis=1), _ENDS, axis=1))

    @classmethod
    def _between(cls, ends: NDArray[np.floating[Any]]) -> Span:
        low, high = ends.astype(np.float32)[..., np.newaxis, np.newaxis]
        return cls(low, np.maximum(high, low + np.float32(1e-3)))

    @property
    def _range(self) -> tuple[np.float32, np.float32]:
        darkest = self.low.min()
        return darkest, self.high.max() - darkest

    def into(self, pixels: Pixels) -> Pixels:
        """Pixels ``(C, Y, X)`` as a network sees them, of one channel if the style has one."""
        darkest, range_ = self._range
        shown = luminance(pixels)[np.newaxis] if len(self.low) == 1 else pixels
        seen: Pixels = ((shown - darkest) / range_).astype(np.float32)
        return seen

    def back(self, seen: Pixels, channels: int) -> Pixels:
        """The inverse, cut to what the style has."""
        darkest, range_ = self._range
        finite = np.nan_to_num(seen, nan=0.0, posinf=2.0, neginf=-1.0).clip(-1, 2)  # weights can be anything
        kept: Pixels = np.clip(finite * range_ + darkest, self.low, self.high).astype(np.float32)
        return np.repeat(kept, channels, axis=0) if len(kept) < channels else kept
