"""From stored pixels to what the network sees: channels and intensity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.errors import ImageError
from napari_unetstyle.core.models.spec import InputSpec

_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_TAILS = (0.1, 99.9)
_LIMIT = 10.0


@dataclass(frozen=True, eq=False)
class Intensity:
    """Mean and standard deviation of each channel of a picture, float32 ``(C,)``.

    Taken once per picture; robust to NaN, Inf and to the outermost 0.1 % on either side (saturated and
    dead pixels). A constant channel has a deviation of 1, so it becomes zero and nothing is multiplied.
    """

    mean: NDArray[np.float32]
    std: NDArray[np.float32]

    @classmethod
    def of(cls, samples: NDArray[Any]) -> Intensity:
        """Statistics of pixels ``(C, N)``; non-finite ones do not count."""
        pairs = [_moments(channel) for channel in np.asarray(samples, np.float32)]
        mean, std = np.array(pairs, np.float32).T
        return cls(mean, std)

    def normalize(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """``(C, *spatial)`` to zero mean, unit deviation, within +-10; non-finite pixels become 0."""
        shape = (-1, *(1,) * (pixels.ndim - 1))
        scaled = (pixels.astype(np.float32) - self.mean.reshape(shape)) / self.std.reshape(shape)
        np.clip(scaled, -_LIMIT, _LIMIT, out=scaled)
        return np.nan_to_num(scaled, copy=False, nan=0.0)


def _moments(channel: NDArray[np.float32]) -> tuple[float, float]:
    finite = channel[np.isfinite(channel)]
    if finite.size == 0:
        return 0.0, 1.0
    low, high = np.percentile(finite, _TAILS)
    kept = np.clip(finite, low, high).astype(np.float64)
    mean, std = float(kept.mean()), float(kept.std())
    resolution = 1e-6 * max(abs(mean), 1e-30)  # what float32 could not tell from a constant
    return mean, std if std > resolution else 1.0


def select_channels(pixels: NDArray[Any], spec: InputSpec, in_channels: int) -> NDArray[Any]:
    """Pixels ``(C, *spatial)`` as the channels that the network takes, in their stored type if possible.

    Raises
    ------
    ImageError
        If the channels of the picture cannot be turned into those of the model.
    """
    got = pixels.shape[0]
    if got == 4 and spec.channels != "exact":  # RGBA: opacity is no intensity
        pixels, got = pixels[:3], 3
    if spec.channels == "rgb" and got == 1:
        return np.repeat(pixels, 3, axis=0)
    if spec.channels == "gray" and got == 3:
        return np.tensordot(_LUMINANCE, pixels.astype(np.float32), 1)[np.newaxis]
    if got == in_channels:
        return pixels
    allowed = {"rgb": "1 (gray) or 3 (color)", "gray": "1 (gray) or 3 (color)"}.get(spec.channels, str(in_channels))
    raise ImageError(
        f"The picture has {got} channels, but this model takes {allowed}. Choose one channel (option 'channel')."
    )
