"""Small networks with weights that are not trivial."""

from __future__ import annotations

import torch

from napari_unetstyle.core.models.spec import NetworkSpec
from napari_unetstyle.core.networks.unet import ConvBlock, UNet


def random_unet(
    *, dims: int = 2, channels: int = 2, widths: tuple[int, ...] = (4, 6, 8), out: int = 3, seed: int = 0
) -> UNet:
    """A network in eval mode whose every parameter differs from its neutral value."""
    torch.manual_seed(seed)
    network = UNet(NetworkSpec(spatial_dims=dims, in_channels=channels, widths=widths), out)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, ConvBlock):
                module.norm.weight.uniform_(0.5, 1.5)
                module.norm.bias.uniform_(-0.5, 0.5)
    return network.eval()
