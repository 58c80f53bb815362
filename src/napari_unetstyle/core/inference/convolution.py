"""Convolution as the engine runs it: for volumes on a CPU, oneDNN is asked by name.

``torch.nn.functional.conv3d`` unfolds single small volumes with few channels instead (torch 2.14), which takes 27
times their memory and ten times as long.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

_CONVOLVE: dict[int, Callable[..., Tensor]] = {4: F.conv2d, 5: F.conv3d}


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, padding: Sequence[int]) -> Tensor:
    """``(N, C, *spatial)`` with stride 1; for inference only."""
    if x.ndim == 5 and x.device.type == "cpu" and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        ones = [1] * (x.ndim - 2)
        direct: Tensor = torch.ops.aten.mkldnn_convolution(x, weight, bias, list(padding), ones, ones, 1)
        return direct
    return _CONVOLVE[x.ndim](x, weight, bias, padding=tuple(padding))
