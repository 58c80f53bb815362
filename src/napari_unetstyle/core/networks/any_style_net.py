"""One network for any style, which it is shown beside the picture (Huang and Belongie 2017)."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.func import functional_call

from napari_unetstyle.core.networks.style_net import StyleNet

if TYPE_CHECKING:
    from napari_unetstyle.core.networks.spec import AnyStyleSpec

_FLOOR = 1e-4  # of a variance
_LAST = "fine"  # the body's last normalization


class AnyStyleNet(nn.Module):
    """A :class:`StyleNet` whose normalizations are set by the style.

    Mean and deviation of a few layers' features say how a picture looks (Huang and Belongie 2017); scale and shift of
    every normalization are all that sets one style's network apart from another's (Dumoulin et al. 2017, Ghiasi et al.
    2017). Here these follow from how the style and the picture differ, so what looks alike already is left as it is.

    Parameters
    ----------
    spec
        Of both parts.
    seed
        Of the weights: same seed, same weights on every machine.
    """

    def __init__(self, spec: AnyStyleSpec, seed: int = 0) -> None:
        super().__init__()
        self.spec = spec
        self.body = StyleNet(spec.body, seed)
        self.layers = nn.ModuleList()
        below: int = spec.body.in_channels
        for width in spec.look_widths:
            self.layers.append(nn.Conv2d(below, width, 3, 2, padding=1))
            below = width
        self.names = [name for name, _ in self.body.named_parameters() if name.split(".")[-2] == "norm"]
        self.sizes = [len(self.body.get_parameter(name)) for name in self.names]
        self.gather = nn.Linear(2 * sum(spec.look_widths), spec.code, bias=False)
        self.steer = nn.Linear(spec.code, sum(self.sizes), bias=False)
        self._draw(seed)

    def look(self, picture: Tensor) -> Tensor:
        """How pictures ``(N, C, H, W)`` in 0..1 look together, as numbers; a mean of these is a mixed style."""
        found = []
        x = 2 * picture - 1
        for layer in self.layers:
            x = nn.functional.leaky_relu(layer(x), 0.1)
            mean = x.mean((0, 2, 3))
            found += [mean, ((x - mean[:, None, None]).square().mean((0, 2, 3)) + _FLOOR).log() / 2]
        return torch.cat(found)

    def forward(self, x: Tensor, wanted: Tensor) -> Tensor:
        """A picture ``(1, C, H, W)`` in 0..1 in the style whose :meth:`look` is wanted."""
        made: Tensor = functional_call(self.body, self._norms(x, wanted), (x,))
        return made

    def frozen(self, pictures: Tensor, wanted: Tensor) -> StyleNet:
        """What takes all of a volume to a style, by how pictures ``(N, C, H, W)`` of it look together."""
        body = copy.deepcopy(self.body)
        with torch.no_grad():
            for name, value in self._norms(pictures, wanted).items():
                body.get_parameter(name).copy_(value)
        return body.frozen(pictures)

    def _norms(self, x: Tensor, wanted: Tensor) -> dict[str, Tensor]:
        """Scale and shift of each normalization, by its name."""
        code = self.gather(wanted - self.look(x)).relu()
        moved = self.steer(code).split(self.sizes)
        return {name: self._usual(name) + by for name, by in zip(self.names, moved, strict=True)}

    def _usual(self, name: str) -> Tensor | float:
        """Of a normalization; the last has none, so that nothing comes of no difference."""
        return 0.0 if name.startswith(_LAST) else self.body.get_parameter(name)

    def _draw(self, seed: int) -> None:
        dice = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for layer in (*self.layers, self.gather, self.steer):
                fan_in = layer.weight[0].numel()
                layer.weight.copy_(torch.randn(layer.weight.shape, generator=dice) * (2 / fan_in) ** 0.5)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)


class TowardStyle(nn.Module):
    """An :class:`AnyStyleNet` that has seen its style.

    Parameters
    ----------
    network
        What changes pictures.
    wanted
        The look of the style.
    """

    wanted: Tensor

    def __init__(self, network: AnyStyleNet, wanted: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("wanted", wanted)

    def forward(self, x: Tensor) -> Tensor:
        """A picture ``(1, C, H, W)`` in 0..1 in the style."""
        made: Tensor = self.network(x, self.wanted)
        return made

    def frozen(self, pictures: Tensor) -> StyleNet:
        """See :meth:`AnyStyleNet.frozen`."""
        return self.network.frozen(pictures, self.wanted)
