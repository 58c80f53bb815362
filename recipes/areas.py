"""What the recipes of models for areas share: normalized batches, their loss, Dice of each class, the export."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Protocol

import bundle
import numpy as np
import torch
from measure import interval
from numpy.typing import NDArray
from torch import Tensor, nn
from training import logits, say

from napari_unetstyle.core.models.memory import Memory
from napari_unetstyle.core.models.spec import (
    Card,
    ClassSpec,
    InputSpec,
    Measurement,
    ModelSpec,
    NetworkSpec,
    Postprocessing,
)
from napari_unetstyle.core.networks.unet import UNet
from napari_unetstyle.core.segmentation.preprocessing import Intensity
from napari_unetstyle.core.training.augmentation import Augmentation, appear
from napari_unetstyle.core.training.blanks import background, blank
from napari_unetstyle.core.training.floors import set_variance_floors
from napari_unetstyle.core.training.losses import class_loss
from napari_unetstyle.core.training.patches import Example, Warp, draw_patch

Labels = NDArray[Any]
MakeCard = Callable[[tuple[Measurement, ...], str], Card]
Measure = Callable[[Path], tuple[Measurement, ...]]
NEAR = (0.95, 1.05)  # zoom of patches of nearly their own size
_FLOORS = 40  # batches that the variance floors are taken from


class Drawn(Protocol):
    """What a recipe trains with."""

    def plain(self, rng: np.random.Generator) -> Tensor:
        """Images of a few patches, not augmented in appearance."""


@dataclass(frozen=True, kw_only=True)
class Batches:
    """Draws batches of normalized pictures ``(N, 1, Y, X)`` and classes ``(N, Y, X)``.

    Attributes
    ----------
    groups
        Pictures of one kind each; every kind is drawn as often.
    sizes
        Patches in a batch, and their side; one of these is drawn each time.
    warp, appearance
        How patches are changed.
    blank, empty
        Share of patches with nothing in them, and of those from a part of a picture that has nothing.
    side
        Of patches that are not augmented in appearance.
    as_is
        Share of patches of nearly their own size.
    clouds
        Share of soft clouds in those with nothing in them.
    """

    groups: tuple[tuple[Example, ...], ...]
    sizes: tuple[tuple[int, int], ...]
    warp: Warp
    appearance: tuple[tuple[float, Augmentation], ...]
    blank: float
    empty: float
    side: int
    as_is: float = 0.0
    clouds: float = 0.0

    def __call__(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """One batch from a generator."""
        count, side = self.sizes[rng.integers(len(self.sizes))]
        return batch([self.patch((side, side), rng) for _ in range(count)])

    def patch(self, shape: tuple[int, int], rng: np.random.Generator) -> Example:
        """One augmented patch, intensity not yet normalized."""
        kind = rng.random()
        if kind < self.blank:
            return blank(1, shape, rng, self.clouds)
        example = self._example(rng)
        patch = background(example, shape, rng) if kind < self.blank + self.empty else None
        if patch is None:
            is_near = self.as_is > 0 and rng.random() < self.as_is
            patch = draw_patch(example, shape, replace(self.warp, zoom=NEAR) if is_near else self.warp, rng)
        return replace(patch, image=appear(patch.image, rng, self.appearance))

    def plain(self, rng: np.random.Generator) -> Tensor:
        """Images of four patches, not augmented in appearance."""
        return normalized([draw_patch(self._example(rng), (self.side,) * 2, self.warp, rng) for _ in range(4)])

    def _example(self, rng: np.random.Generator) -> Example:
        group = self.groups[rng.integers(len(self.groups))]
        return group[rng.integers(len(group))]


def batch(patches: Sequence[Example]) -> tuple[Tensor, Tensor]:
    """Normalized images ``(N, 1, *spatial)`` and classes ``(N, *spatial)``."""
    classes = np.stack([patch.labels[0] for patch in patches]).astype(np.int64)
    return normalized(patches), torch.from_numpy(classes)


def normalized(patches: Sequence[Example]) -> Tensor:
    """Images as the network sees them, each with its own statistics."""
    images = [Intensity.of(p.image.reshape(1, -1)).normalize(p.image) for p in patches]
    return torch.from_numpy(np.stack(images))


def loss(network: nn.Module, drawn: tuple[Tensor, Tensor], amp: bool = False) -> Tensor:
    """Cross entropy and Dice of the classes."""
    images, classes = drawn
    return class_loss(logits(network, images, amp=amp), classes)


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
    batches: Drawn,
    amount: str,
    card: MakeCard,
    measured: Measure,
    memory: Sequence[Memory],
    postprocessing: Postprocessing | None = None,
    start: Path | None = None,
) -> None:
    """Write the model folder `target` from the checkpoint in `out`, measure it and put that into its card.

    Parameters
    ----------
    batches
        What it was trained with, for the variance floors.
    amount
        What one step of the training saw.
    card, measured
        Make the card from a table and a sentence on the training, and the table from the model folder.
    memory
        Pictures for the model to carry.
    postprocessing
        What is done to its areas unasked.
    start
        The model that the training began with.
    """
    state = bundle.averaged(UNet(network, 1 + len(classes)), out)
    set_variance_floors(state.average, (batches.plain(np.random.default_rng((7, i))) for i in range(_FLOORS)))
    training, provenance = bundle.history(state, start, amount)
    provenance |= {"recipe": f"recipes/{name.replace('-', '_')}.py", "date": date.today().isoformat()}
    spec = ModelSpec(
        name=name,
        network=network,
        input=given,
        classes=classes,
        postprocessing=postprocessing or Postprocessing(),
        card=card((), training),
        provenance=provenance,
    )
    bundle.write_model(spec, state.average, target)
    table = measured(target)
    bundle.write_model(spec.model_copy(update={"card": card(table, training)}), state.average, target, memory)
