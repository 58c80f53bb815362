"""The classic UNet, 2D and 3D from one definition, with image-level instance normalization."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from napari_unetstyle.core.networks.spec import NetworkSpec

_CONV: dict[int, Any] = {2: nn.Conv2d, 3: nn.Conv3d}
_TRANSPOSED: dict[int, Any] = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
_POOL: dict[int, Any] = {2: nn.MaxPool2d, 3: nn.MaxPool3d}


class ImageNorm(nn.Module):
    """Instance normalization whose variances have a floor learned from the training pictures.

    In training each sample is normalized by its own mean and variance (Ulyanov et al. 2016). For
    inference the engine takes mean and variance once per picture and folds them into the convolution
    before (see ``inference/statistics.py``); there, and in ``eval`` mode, a variance below
    `variance_floor` is replaced by it, so that an empty picture does not have its noise multiplied.

    Parameters
    ----------
    channels
        Number of feature channels.
    eps
        Added to every variance, in training too: a soft floor the weights grow up with.
    """

    variance_floor: Tensor

    def __init__(self, channels: int, eps: float = 1e-3) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("variance_floor", torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalize ``(N, C, *spatial)`` per sample and channel."""
        if self.training:  # one group a channel is instance normalization, and stays channels_last
            return nn.functional.group_norm(x, x.shape[1], self.weight, self.bias, self.eps)
        axes = tuple(range(2, x.ndim))
        variance, mean = torch.var_mean(x, dim=axes, unbiased=False, keepdim=True)
        scale, shift = self.scale_and_shift(mean.flatten(1), variance.flatten(1))
        shape = (*scale.shape, *(1,) * len(axes))
        return x * scale.view(shape) + shift.view(shape)

    def scale_and_shift(self, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """The affine map that normalization is, for given statistics of shape ``(..., C)``."""
        scale = self.weight * torch.rsqrt(torch.maximum(variance, self.variance_floor) + self.eps)
        return scale, self.bias - mean * scale


class ConvBlock(nn.Module):
    """Convolution (no bias) with a kernel of 1 or 3 along each axis, image-level normalization, ReLU."""

    def __init__(self, channels_in: int, channels_out: int, kernel: tuple[int, ...]) -> None:
        super().__init__()
        padding = tuple(side // 2 for side in kernel)
        convolution = _CONV[len(kernel)]
        self.conv: nn.Conv2d | nn.Conv3d = convolution(channels_in, channels_out, kernel, padding=padding, bias=False)
        self.norm = ImageNorm(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, channels_in, *spatial)`` to ``(N, channels_out, *spatial)``."""
        return nn.functional.relu(self.norm(self.conv(x)), inplace=True)


class DoubleConv(nn.Sequential):
    """Two convolution blocks in a row, as at every level of the UNet."""

    def __init__(self, channels_in: int, channels_out: int, kernel: tuple[int, ...]) -> None:
        super().__init__(ConvBlock(channels_in, channels_out, kernel), ConvBlock(channels_out, channels_out, kernel))


class UNet(nn.Module):
    """UNet (Ronneberger et al. 2015): double 3x3 convolutions, max-pool down, transposed convolution up.

    Any picture size is allowed: pooling rounds up (a last odd row is pooled alone) and what comes up is
    cut to the size of its skip connection. Strides and kernels may differ between axes and levels, for volumes
    with thick slices.

    Parameters
    ----------
    spec
        Dimensions, input channels, widths (one per level, top first), strides and kernels.
    out_channels
        Channels of the logits.
    """

    def __init__(self, spec: NetworkSpec, out_channels: int) -> None:
        super().__init__()
        dims, widths = spec.spatial_dims, spec.widths
        self.strides, self.kernels = spec.level_strides, spec.level_kernels
        levels = zip((spec.in_channels, *widths), widths, self.kernels, strict=False)
        self.encoder = nn.ModuleList(DoubleConv(below, width, kernel) for below, width, kernel in levels)
        self.pool = nn.ModuleList(_POOL[dims](stride, ceil_mode=True) for stride in self.strides)
        steps = zip(itertools.pairwise(widths), self.strides, strict=True)
        self.up = nn.ModuleList(
            _TRANSPOSED[dims](deep, width, stride, stride=stride) for (width, deep), stride in steps
        )
        raised = zip(widths[:-1], self.kernels, strict=False)
        self.decoder = nn.ModuleList(DoubleConv(2 * width, width, kernel) for width, kernel in raised)
        self.head: nn.Conv2d | nn.Conv3d = _CONV[dims](widths[0], out_channels, 1)

    @property
    def depth(self) -> int:
        """Number of pooling steps."""
        return len(self.up)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(N, out_channels, *spatial)`` of normalized pictures ``(N, in_channels, *spatial)``."""
        return self.head(self._level(x, 0))  # type: ignore[no-any-return]

    def _level(self, x: Tensor, level: int) -> Tensor:
        skip: Tensor = self.encoder[level](x if level == 0 else self.pool[level - 1](x))
        if level == self.depth:
            return skip
        raised = self.up[level](self._level(skip, level + 1))
        for axis in range(2, skip.ndim):
            raised = raised.narrow(axis, 0, skip.shape[axis])
        return self.decoder[level](torch.cat([skip, raised], 1))  # type: ignore[no-any-return]
