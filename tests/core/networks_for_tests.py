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


def tiny_model(
    root,
    *,
    name: str = "tiny",
    separation: str | None = "depth",
    channels: str = "rgb",
    seed: int = 0,
    classes: tuple[str, ...] = ("nucleus",),
):
    """A model in a store at `root` that finds bright blobs, badly."""
    in_channels = {"rgb": 3, "gray": 1}[channels]
    spec = ModelSpec(
        name=name,
        network=NetworkSpec(in_channels=in_channels, widths=(4, 6, 8)),
        input=InputSpec(channels=channels, object_diameter=20, object_diameters=(1, 50), region=64),
        classes=tuple(ClassSpec(value=i, name=name, color="#e41a1c") for i, name in enumerate(classes, 1)),
        separation=separation,
        card=Card(purpose="tests", summary="blobs, badly", training_data="none", license="MIT"),
    )
    return _stored(root, spec, seed)


def tiny_volume_model(
    root,
    *,
    separation: str | None = None,
    seed: int = 0,
    region: int = 48,
    widths: tuple[int, ...] = (4, 6, 8),
    **given,
):
    """A 3D model of two classes, with thick slices in its upper level unless `strides` and `kernels` are given."""
    axes = {"strides": ((1, 2, 2), (2, 2, 2)), "kernels": ((1, 3, 3), (3, 3, 3), (3, 3, 3))}
    axes |= {key: given.pop(key) for key in axes if key in given}
    spec = ModelSpec(
        name="tiny3d",
        network=NetworkSpec(spatial_dims=3, in_channels=1, widths=widths, **axes),
        input=InputSpec(channels="gray", region=region, **given),
        classes=tuple(ClassSpec(value=i, name=name, color="#e41a1c") for i, name in enumerate(("one", "two"), 1)),
        separation=separation,
        card=Card(purpose="tests", summary="blobs, badly", training_data="none", license="MIT"),
    )
    return _stored(root, spec, seed)


def _stored(root, spec: ModelSpec, seed: int):
    network = spec.network
    axes = {"widths": network.widths, "strides": network.strides, "kernels": network.kernels}
    random = random_unet(
        dims=network.spatial_dims, channels=network.in_channels, out=spec.out_channels, seed=seed, **axes
    )
    _balance(random, network, has_seeds=spec.separation is not None)
    store = ModelStore(root)
    store.save(spec, random)
    return store.load(spec.name)


def _balance(network: UNet, spec: NetworkSpec, *, has_seeds: bool) -> None:
    """Shift the head so that about a third of a smooth picture is foreground, and half of that is seeds."""
    side = {2: 32, 3: 8}[spec.spatial_dims]
    coarse = torch.randn(1, spec.in_channels, *(side,) * spec.spatial_dims, generator=torch.Generator().manual_seed(0))
    mode = {2: "bilinear", 3: "trilinear"}[spec.spatial_dims]
    smooth = torch.nn.functional.interpolate(coarse, scale_factor=4, mode=mode)
    with torch.no_grad():
        logits = network(smooth)[0]
        for index in range(1, len(logits) - has_seeds):
            network.head.bias[index] -= (logits[index] - logits[0]).quantile(0.65)
        if has_seeds:
            network.head.bias[-1] -= logits[-1].quantile(0.8)
