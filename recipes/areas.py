"""What the recipes of models for areas share: normalized batches, their loss, Dice of each class, the export."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import bundle
import numpy as np
import torch
from measure import interval
from numpy.typing import NDArray
from torch import Tensor, nn
from training import say

from napari_unetstyle.core.models.memory import Memory
from napari_unetstyle.core.models.spec import Card, ClassSpec, InputSpec, Measurement, ModelSpec, NetworkSpec
from napari_unetstyle.core.networks.unet import UNet
from napari_unetstyle.core.segmentation.preprocessing import Intensity
from napari_unetstyle.core.training.floors import set_variance_floors
from napari_unetstyle.core.training.losses import class_loss
from napari_unetstyle.core.training.patches import Example

Labels = NDArray[Any]
MakeCard = Callable[[tuple[Measurement, ...], str], Card]
Measure = Callable[[Path], tuple[Measurement, ...]]


def batch(patches: Sequence[Example]) -> tuple[Tensor, Tensor]:
    """Normalized images ``(N, 1, *spatial)`` and classes ``(N, *spatial)``."""
    classes = np.stack([patch.labels[0] for patch in patches]).astype(np.int64)
    return normalized(patches), torch.from_numpy(classes)


def normalized(patches: Sequence[Example]) -> Tensor:
    """Images as the network sees them, each with its own statistics."""
    images = [Intensity.of(p.image.reshape(1, -1)).normalize(p.image) for p in patches]
    return torch.from_numpy(np.stack(images))


def loss(network: nn.Module, drawn: tuple[Tensor, Tensor]) -> Tensor:
    """Cross entropy and Dice of the classes."""
    images, classes = drawn
    return class_loss(network(images), classes)


def dice(labels: Labels, truth: Labels) -> float:
    """Of two masks; 1 if both are empty."""
    total = int(labels.sum()) + int(truth.sum())
    return 2 * int((labels & truth).sum()) / total if total else 1.0


def dice_rows(
    found: Sequence[tuple[Labels, Labels]], classes: Sequence[ClassSpec], data: str
) -> tuple[Measurement, ...]:
    """Mean Dice of each class over pairs of class values (found, true), and how sure it is."""
    rows = []
    for known in classes:
        values = [dice(labels == known.value, truth == known.value) for labels, truth in found]
        low, high = interval(values)
        say(f"{data}, {known.name}: Dice {np.mean(values):.4f} ({low:.4f} to {high:.4f}), lowest {min(values):.3f}")
        row = {"value": float(np.mean(values)), "low": low, "high": high}
        rounded = {key: round(value, 4) for key, value in row.items()}
        rows.append(Measurement(data=f"{data}, {known.name}", metric="Dice", count=len(values), **rounded))
    return tuple(rows)


def export(
    *,
    name: str,
    network: NetworkSpec,
    given: InputSpec,
    classes: tuple[ClassSpec, ...],
    out: Path,
    target: Path,
    plain: Iterable[Tensor],
    amount: str,
    card: MakeCard,
    measured: Measure,
    memory: Sequence[Memory],
) -> None:
    """Write the model folder `target` from the checkpoint in `out`, measure it and put that into its card.

    Parameters
    ----------
    plain
        Images like those of the training, for the variance floors.
    amount
        What one step of the training saw.
    card, measured
        Make the card from a table and a sentence on the training, and the table from the model folder.
    memory
        Pictures for the model to carry.
    """
    state = bundle.averaged(UNet(network, 1 + len(classes)), out)
    set_variance_floors(state.average, plain)
    training = f"{state.step} steps of {amount} in {state.seconds / 60:.0f} minutes on one CPU core."
    recipe = {"recipe": f"recipes/{name.replace('-', '_')}.py", "steps": str(state.step)}
    spec = ModelSpec(
        name=name,
        network=network,
        input=given,
        classes=classes,
        card=card((), training),
        provenance={**recipe, "date": date.today().isoformat()},
    )
    bundle.write_model(spec, state.average, target)
    table = measured(target)
    bundle.write_model(spec.model_copy(update={"card": card(table, training)}), state.average, target, memory)
