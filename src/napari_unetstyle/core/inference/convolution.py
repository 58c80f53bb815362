"""Convolution as the engine runs it: on a CPU, oneDNN is asked by name.

``torch.nn.functional.conv3d`` unfolds single small volumes with few channels instead (torch 2.14), which takes 27
times their memory and ten times as long; ``conv_transpose3d`` takes three times as long as oneDNN's, on one core, and
forgets the layout. And oneDNN clips at zero what it has just computed, where ReLU as an operation of its own reads and
writes everything again: a tenth of the time, with the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

_BLOCK = 8  # channels
_CONVOLVE: dict[int, Callable[..., Tensor]] = {4: F.conv2d, 5: F.conv3d}
_TRANSPOSED: dict[int, Callable[..., Tensor]] = {4: F.conv_transpose2d, 5: F.conv_transpose3d}


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, padding: Sequence[int]) -> Tensor:
    """``(N, C, *spatial)`` with stride 1; for inference only."""
    if x.ndim == 5 and _has_onednn(x) and (_fills_blocks(x) or max(weight.shape[2:]) > 1):
        ones = [1] * (x.ndim - 2)
        direct: Tensor = torch.ops.aten.mkldnn_convolution(x, weight, bias, list(padding), ones, ones, 1)
        return direct
    return _CONVOLVE[x.ndim](x, weight, bias, padding=tuple(padding))


def convolve_relu(x: Tensor, weight: Tensor, bias: Tensor | None, padding: Sequence[int]) -> Tensor:
    """The same, with negative results set to 0."""
    if _has_onednn(x) and hasattr(torch.ops.mkldnn, "_convolution_pointwise"):
        ones = [1] * (x.ndim - 2)
        fused = torch.ops.mkldnn._convolution_pointwise
        clipped: Tensor = fused(x, weight, bias, list(padding), ones, ones, 1, "relu", [], "")
        return clipped
    return convolve(x, weight, bias, padding).relu_()


def convolve_transposed(x: Tensor, weight: Tensor, bias: Tensor | None, stride: Sequence[int]) -> Tensor:
    """``(N, C, *spatial)``, raised without padding; for inference only."""
    has_direct = hasattr(torch.ops.mkldnn, "_convolution_transpose_pointwise")
    if x.ndim == 5 and _has_onednn(x) and _fills_blocks(x) and has_direct:
        none, ones = [0] * 3, [1] * 3
        direct = torch.ops.mkldnn._convolution_transpose_pointwise
        raised: Tensor = direct(x, weight, bias, none, none, list(stride), ones, 1, "none", [], "")
        return raised
    return _TRANSPOSED[x.ndim](x, weight, bias, tuple(stride))


def _fills_blocks(x: Tensor) -> bool:
    """Whether oneDNN takes the channels as they are: it pads others to blocks, which takes several times the memory."""
    return x.shape[1] % _BLOCK == 0


def _has_onednn(x: Tensor) -> bool:
    if x.device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    return x.dtype == torch.float32 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
