"""Strides and kernels of a UNet from the spacing and the size of what it is trained on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.networks.spec import Kernel, Stride

SMALLEST = 4
"""An axis is halved while at least this many pixels are left."""
_ALONE = 3 * SMALLEST  # an axis is halved alone only from this many pixels on
_ALIKE = 2.0  # spacings within this factor count as equally fine


def plan(
    spacing: tuple[float, ...], shape: tuple[int, ...], *, deepest: int = 5
) -> tuple[tuple[Stride, ...], tuple[Kernel, ...]]:
    """Pooling and convolution that bring an anisotropic picture to even spacing first (Isensee et al. 2021).

    Each step halves the axes that are about as fine as the finest one that can still be halved; a convolution
    looks along an axis as soon as its spacing is about as fine as the finest. So thick slices are treated in
    their plane until the pixels in the plane are as large as the slices are thick. It ends when no axis can be
    halved, or when one would be halved alone that has fewer than three times the smallest size: nnU-Net's rule,
    step for step.

    Parameters
    ----------
    spacing
        Pixel size ``(Z)YX`` in any unit.
    shape
        Of the patches of the training, ``(Z)YX``.
    deepest
        Most pooling steps.

    Returns
    -------
    strides
        For each pooling step, top first; none if nothing is to be halved.
    kernels
        For each level: one more; the lowest level's are 3 along every axis.
    """
    size, pitch = np.array(shape, float), np.array(spacing, float)
    seen = np.zeros(len(shape), bool)
    strides: list[Stride] = []
    kernels: list[Kernel] = []
    while len(strides) < deepest and (halved := _halved(size, pitch)).any():
        seen |= pitch < _ALIKE * pitch.min()
        kernels.append(tuple(3 if along else 1 for along in seen))
        strides.append(tuple(2 if along else 1 for along in halved))
        size, pitch = np.where(halved, np.ceil(size / 2), size), np.where(halved, 2 * pitch, pitch)
    kernels.append(tuple(3 for _ in shape))
    return tuple(strides), tuple(kernels)


def _halved(size: NDArray[np.float64], pitch: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The axes that the next pooling step halves."""
    finest = np.min(pitch, where=size >= 2 * SMALLEST, initial=np.inf)
    halved: NDArray[np.bool_] = (size >= 2 * SMALLEST) & (pitch < _ALIKE * finest)
    return halved if halved.sum() > 1 else halved & (size >= _ALONE)
