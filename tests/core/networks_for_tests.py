"""Small networks with weights that are not trivial."""

from __future__ import annotations

import torch

from napari_unetstyle.core.models.spec import Card, ClassSpec, InputSpec, ModelSpec, NetworkSpec
from napari_unetstyle.core.models.store import ModelStore
from napari_unetstyle.core.networks.unet import ConvBlock, UNet


def random_unet(
    *, dims: int = 2, channels: int = 2, widths: tuple[int, ...] = (4, 6, 8), out: int = 3, seed: int = 0, **axes
) -> UNet:
    """A network in eval mode whose every parameter differs from its neutral value."""
    torch.manual_seed(seed)
    network = UNet(NetworkSpec(spatial_dims=dims, in_channels=channels, widths=widths, **axes), out)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, ConvBlock):
                module.norm.weight.uniform_(0.5, 1.5)
                module.norm.bias.uniform_(-0.5, 0.5)
    return network.eval()


def tiny_model(root, *, name: str = "tiny", separation: str | None = "distance", channels: str = "rgb", seed: int = 0):
    """A model in a store at `root` that finds bright blobs, badly."""
    in_channels = {"rgb": 3, "gray": 1}[channels]
    spec = ModelSpec(
        name=name,
        network=NetworkSpec(in_channels=in_channels, widths=(4, 6, 8)),
        input=InputSpec(channels=channels, object_diameter=20, object_diameters=(1, 50), region=64),
        classes=(ClassSpec(value=1, name="nucleus", color="#e41a1c"),),
        separation=separation,
        card=Card(purpose="tests", summary="blobs, badly", training_data="none", license="MIT"),
    )
    network = random_unet(channels=in_channels, out=spec.out_channels, seed=seed)
    _balance(network, in_channels)
    store = ModelStore(root)
    store.save(spec, network)
    return store.load(name)


def _balance(network: UNet, channels: int) -> None:
    """Shift the head so that about a third of a smooth picture is foreground, and half of that is seeds."""
    coarse = torch.randn(1, channels, 32, 32, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(coarse, scale_factor=4, mode="bilinear")
    with torch.no_grad():
        logits = network(smooth)[0]
        network.head.bias[1] -= (logits[1] - logits[0]).quantile(0.65)
        if len(logits) > 2:
            network.head.bias[2] -= logits[2].quantile(0.8)
