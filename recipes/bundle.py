"""From a finished training to a model folder: variance floors, the chosen seed map, weights and card."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from napari_unetstyle.core.files import atomic_write, sha256_of
from napari_unetstyle.core.models import folder as model_folder
from napari_unetstyle.core.models.memory import Memory, write_memory
from napari_unetstyle.core.models.spec import ModelSpec
from napari_unetstyle.core.models.weights import load_weights, save_weights
from napari_unetstyle.core.networks.unet import UNet
from napari_unetstyle.core.training.fit import Fit
from napari_unetstyle.core.training.options import FitOptions


def averaged(network: nn.Module, folder: Path) -> Fit:
    """The training whose checkpoint is in `folder`."""
    state = Fit.of(network, FitOptions(steps=1))
    if not state.load(folder):
        raise SystemExit(f"There is no checkpoint in {folder}; train first.")
    return state


def with_logits(network: nn.Module, channels: Sequence[int]) -> nn.Module:
    """A copy whose head gives only these channels, in this order."""
    chosen = copy.deepcopy(network)
    head = chosen.head
    thin = type(head)(head.in_channels, len(channels), head.kernel_size)
    thin.weight = nn.Parameter(head.weight[list(channels)].detach().clone())
    thin.bias = nn.Parameter(head.bias[list(channels)].detach().clone())
    chosen.head = thin
    return chosen


def begin_with(network: nn.Module, folder: Path) -> None:
    """Give `network` the weights of the model in `folder`, or of the training whose checkpoint is there.

    A head that the model has fewer logits of begins with zeros for the others.
    """
    if not (folder / model_folder.MANIFEST).is_file() or not isinstance(network, UNet):
        network.load_state_dict(averaged(network, folder).average.state_dict())
        return
    spec = model_folder.read_spec(folder)
    known = UNet(spec.network, spec.out_channels)
    load_weights(known, folder / model_folder.WEIGHTS)
    body = {name: tensor for name, tensor in known.state_dict().items() if not name.startswith("head.")}
    network.load_state_dict(body, strict=False)
    for part, own in zip(network.head.parameters(), known.head.parameters(), strict=True):
        nn.init.zeros_(part)
        part.data[: len(own)] = own.data


def blend(network: nn.Module, other: nn.Module, share: float) -> None:
    """Move the weights of `network` by `share` of the way to those of `other` (Wortsman et al. 2022).

    Between weights and what was trained from them lie such as know what is new and are no worse on what was known.
    """
    with torch.no_grad():
        for part, end in zip(network.parameters(), other.parameters(), strict=True):
            part.lerp_(end, share)


def history(state: Fit, start: Path | None, amount: str) -> tuple[str, dict[str, str]]:
    """How long a training was, for a card and for the provenance, with that of the model `start` that it began with.

    `amount` is what one step saw. Minutes are those of all of it, or are left out where a model does not state its own.
    """
    steps, minutes = state.step, state.seconds / 60
    said = f"{steps} steps of {amount} in {minutes:.0f} minutes on one or two CPU cores."
    if start is None or not (start / model_folder.MANIFEST).is_file():
        return said, {"steps": str(steps), "minutes": f"{minutes:.0f}"}
    before = model_folder.read_spec(start).provenance
    steps += int(before["steps"])
    if "minutes" not in before:
        return f"{steps} steps, the last {said}", {"steps": str(steps)}
    minutes += float(before["minutes"])
    return f"{steps} steps in {minutes:.0f} minutes, the last {said}", {
        "steps": str(steps),
        "minutes": f"{minutes:.0f}",
    }


def write_model(spec: ModelSpec, network: nn.Module, folder: Path, memory: Sequence[Memory] = ()) -> ModelSpec:
    """Write ``weights.safetensors`` (float16) and the pictures to carry, then the ``model.json`` that seals them.

    A ``LICENSE.txt`` that is in the folder is sealed, too.
    """
    weights = folder / model_folder.WEIGHTS
    save_weights(network, weights)
    files = {model_folder.WEIGHTS: sha256_of(weights)}
    if (folder / model_folder.LICENSE).is_file():
        files[model_folder.LICENSE] = sha256_of(folder / model_folder.LICENSE)
    files |= write_memory(memory, folder)
    written = model_folder.sealed(spec, files)
    atomic_write(folder / model_folder.MANIFEST, model_folder.to_json(written))
    return written


def blank_pictures(count: int = 200, side: int = 256) -> list[NDArray[np.uint8]]:
    """Empty gray pictures of five kinds: constant, camera noise, photon noise, uneven light, soft clouds."""
    from scipy import ndimage

    kinds = {
        0: lambda rng: np.full((side, side), rng.uniform(0, 255)),
        1: lambda rng: rng.normal(rng.uniform(10, 245), rng.uniform(1, 20), (side, side)),
        2: lambda rng: rng.poisson(rng.uniform(0.5, 30), (side, side)).astype(float),
        3: lambda rng: (
            np.add.outer(np.linspace(0, rng.uniform(-90, 90), side), np.linspace(90, 150, side))
            + rng.normal(0, 2, (side, side))
        ),
        4: lambda rng: 128 + 300 * ndimage.gaussian_filter(rng.standard_normal((side, side)), rng.uniform(1, 8)),
    }
    pictures = [kinds[i % len(kinds)](np.random.default_rng(i)) for i in range(count)]
    return [np.clip(np.rint(picture), 0, 255).astype(np.uint8) for picture in pictures]
