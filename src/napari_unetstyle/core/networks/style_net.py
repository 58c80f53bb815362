"""A small network that gives pictures one style in one pass (Johnson et al. 2016)."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from napari_unetstyle.core.networks.spec import StyleNetSpec


class StyleNet(nn.Module):
    """What has to be added to a picture for it to have a style.

    Two steps down, residual blocks, two steps up (nearest neighbor and a convolution, which leaves no checkerboard);
    most convolutions are separable (Howard et al. 2017). Normalization takes its statistics from the whole picture
    (Ulyanov et al. 2016). The last layer starts at zero, so a new network changes nothing, and what it learns is
    texture: things stay where they are.

    Parameters
    ----------
    spec
        Channels, width and blocks.
    seed
        Of the weights: same seed, same weights on every machine.
    """

    def __init__(self, spec: StyleNetSpec, seed: int = 0) -> None:
        super().__init__()
        self.margin = 8  # pixels added around a picture and cut off again, so that its borders look like the rest
        self.stride = 4
        channels, width = spec.in_channels, spec.width
        self.first = Step(nn.Conv2d(channels, width, 3, 2, padding=1, bias=False), width)
        self.down = Step(nn.Conv2d(width, 2 * width, 3, 2, padding=1, bias=False), 2 * width)
        self.blocks = nn.Sequential(*(Block(2 * width) for _ in range(spec.blocks)))
        self.narrow = nn.Conv2d(2 * width, width, 1)
        self.up = Step(_separable(width), width)
        self.thin = nn.Conv2d(width, width // 2, 1)
        self.seen = nn.Conv2d(channels, width // 2, 1)
        self.fine = Step(_by_channel(width // 2), width // 2)
        self.last = nn.Conv2d(width // 2, channels, 1)
        self._draw(seed)

    def forward(self, x: Tensor) -> Tensor:
        """Pictures ``(N, C, H, W)`` in 0..1 of any size, changed; what comes out may leave 0..1 a little."""
        height, width = x.shape[2], x.shape[3]
        margin = self.margin
        below, right = margin + -height % self.stride, margin + -width % self.stride
        wide = nn.functional.pad(x, (margin, right, margin, below), mode="replicate")
        half = self.first(wide)
        deep = self.blocks(self.down(half))
        raised = self.up(_doubled(self.narrow(deep)) + half)
        change = self.last(self.fine(_doubled(self.thin(raised)) + self.seen(wide)))
        changed: Tensor = x + change[:, :, margin : margin + height, margin : margin + width]
        return changed

    def frozen(self, pictures: Tensor) -> StyleNet:
        """A copy whose normalizations keep what they find in pictures ``(N, C, H, W)``, all together.

        So what it makes of a place follows from its surroundings alone.
        """
        made = copy.deepcopy(self).eval().requires_grad_(False)
        hooks = [_fixed(part).register_forward_pre_hook(_measure) for part in made.modules() if _is_normed(part)]
        with torch.no_grad():
            made(pictures)
        for hook in hooks:
            hook.remove()
        return made

    def _draw(self, seed: int) -> None:
        dice = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for layer in self.modules():
                if isinstance(layer, nn.Conv2d):
                    fan_in = layer.weight[0].numel()
                    layer.weight.copy_(torch.randn(layer.weight.shape, generator=dice) * (2 / fan_in) ** 0.5)
                    if layer.bias is not None:
                        nn.init.zeros_(layer.bias)
            self.last.weight.zero_()


class Step(nn.Module):
    """Convolution (no bias), normalization by picture and channel, ReLU."""

    def __init__(self, conv: nn.Module, channels: int) -> None:
        super().__init__()
        self.conv = conv
        self.norm = nn.GroupNorm(channels, channels)  # one group a channel: instance normalization

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)`` to what the convolution makes of it."""
        return nn.functional.relu(self.norm(self.conv(x)))


class Block(nn.Module):
    """Two separable convolutions whose result is added to what came in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.one = Step(_separable(channels), channels)
        self.two = _separable(channels)
        self.norm = nn.GroupNorm(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, channels, H, W)`` to the same."""
        changed: Tensor = x + self.norm(self.two(self.one(x)))
        return changed


def _is_normed(part: nn.Module) -> bool:
    return isinstance(part, (Step, Block))


def _fixed(part: Any) -> nn.BatchNorm2d:
    """The normalization of a part, from now on by numbers that it holds."""
    norm = part.norm
    part.norm = nn.BatchNorm2d(norm.num_channels, norm.eps)
    part.norm.weight, part.norm.bias = norm.weight, norm.bias
    fixed: nn.BatchNorm2d = part.norm.eval()
    return fixed


def _measure(norm: Any, inputs: tuple[Tensor, ...]) -> None:
    norm.running_var, norm.running_mean = torch.var_mean(inputs[0], (0, 2, 3), correction=0)


def _by_channel(channels: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)


def _separable(channels: int) -> nn.Sequential:
    return nn.Sequential(_by_channel(channels), nn.Conv2d(channels, channels, 1, bias=False))


def _doubled(x: Tensor) -> Tensor:
    return nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")
