"""The least variance that each feature is divided by: learned from pictures, so that a blank one stays blank."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

from napari_unetstyle.core.networks.unet import ImageNorm

_SHARE, _PERCENTILE = 0.1, 1.0


def set_variance_floors(network: nn.Module, images: Iterable[Tensor]) -> None:
    """A tenth of the first percentile of each feature's variance over training patches ``(N, C, *spatial)``.

    So nothing that looks like a training picture is changed, and noise on a blank one is not multiplied.
    """
    layers = list(norms(network))
    seen: list[list[Tensor]] = [[] for _ in layers]

    def remember(index: int) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda _, given: seen[index].append(given[0].flatten(2).var(2, unbiased=False))

    hooks = [layer.register_forward_pre_hook(remember(i)) for i, layer in enumerate(layers)]
    with torch.inference_mode():
        for batch in images:
            network.train()(batch)
    for hook, layer, variances in zip(hooks, layers, seen, strict=True):
        hook.remove()
        low = torch.quantile(torch.cat(variances), _PERCENTILE / 100, dim=0)
        layer.variance_floor.copy_(_SHARE * low)
    network.eval()


def norms(network: nn.Module) -> Iterator[ImageNorm]:
    """The image-level normalization layers of a network."""
    return (module for module in network.modules() if isinstance(module, ImageNorm))
