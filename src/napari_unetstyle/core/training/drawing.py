"""Batches for teaching: patches of what was said, mixed with the model's old pictures and a few blank ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_unetstyle.core.annotation.known import UNKNOWN
from napari_unetstyle.core.models.spec import ModelSpec
from napari_unetstyle.core.segmentation.preprocessing import Intensity
from napari_unetstyle.core.style.randomized import bezier, by_class, fourier
from napari_unetstyle.core.training.augmentation import LIGHT, STRONG, WIDE, appear
from napari_unetstyle.core.training.blanks import blank
from napari_unetstyle.core.training.losses import class_losses, seed_loss
from napari_unetstyle.core.training.patches import Example, Warp, draw_patch
from napari_unetstyle.core.training.targets import IGNORE, near_contact, seed_target

T = TypeVar("T", bound=np.generic)

WARP = Warp(zoom=(0.85, 1.18), turn=0.5, angle=np.pi / 12, bend=0.15, elastic=(30.0, 5.0), focus=0.8)
"""Rotation within 15 degrees, scale within a sixth, elastic deformation of alpha 30 and sigma 5."""

_SIDES = {2: (192, 4), 3: (40, 3)}  # side of a patch and patches in a batch, by dimensions
_BLANK = 0.04
_RANDOMIZED = 0.5
_SEEDS = 2.0  # weight of the seed map's loss
_CONTACT = 8.0  # added weight between two objects that touch


@dataclass(frozen=True)
class Batch:
    """Normalized images ``(N, C, *spatial)``, classes, seed map and contacts ``(N, [1,] *spatial)``."""

    images: Tensor
    classes: Tensor
    seeds: Tensor | None = None
    contacts: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """On a device."""
        moved = (None if t is None else t.to(device) for t in (self.images, self.classes, self.seeds, self.contacts))
        images, classes, seeds, contacts = moved
        assert images is not None
        assert classes is not None
        return Batch(images, classes, seeds, contacts)


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """Draws batches from a generator.

    Attributes
    ----------
    spec
        The model that is taught.
    lessons
        What is new.
    old
        Pictures of the model's own training, or none.
    replay
        Chance that a patch is from the old ones.
    randomized
        Whether half of the patches take a random look, too; see ``core/style/randomized.py``.
    """

    spec: ModelSpec
    lessons: Sequence[Example]
    old: Sequence[Example] = ()
    replay: float = 0.5
    randomized: bool = False

    def __call__(self, rng: np.random.Generator, styled: float = 1.0, strength: float = 1.0) -> Batch:
        """One batch; `styled` of the patches that can take a style may do so, with this part of its strength."""
        patches = [self.patch(rng, styled, strength) for _ in range(_SIDES[self.spec.network.spatial_dims][1])]
        images = _stack(patches)
        classes = np.stack([_known(p, p.labels[0], UNKNOWN) for p in patches]).astype(np.int64)
        if self.spec.separation is None:
            return Batch(images, torch.from_numpy(classes))
        maps = [_known(p, seed_target(p.labels[1], self.spec.separation), IGNORE) for p in patches]
        contacts = np.stack([near_contact(p.labels[1]) for p in patches])[:, np.newaxis].astype(np.float32)
        seeds = np.stack(maps)[:, np.newaxis].astype(np.float32)
        return Batch(images, torch.from_numpy(classes), torch.from_numpy(seeds), torch.from_numpy(contacts))

    def plain(self, rng: np.random.Generator) -> Tensor:
        """Images of a batch of lessons as they are, not augmented in appearance."""
        drawn = [
            self.lessons[int(rng.integers(len(self.lessons)))] for _ in range(_SIDES[self.spec.network.spatial_dims][1])
        ]
        return _stack([draw_patch(example, self.shape, self.warp, rng) for example in drawn])

    @property
    def warp(self) -> Warp:
        """How patches are cut: mirrored only as the model allows, by right angles where both ways are alike."""
        mirror = self.spec.mirrored
        return replace(WARP, mirror=mirror, exchange=mirror == "YX" and self.spec.network.spatial_dims == 2)

    @property
    def shape(self) -> tuple[int, ...]:
        """Spatial shape of a patch: the usual side, but no longer than the pictures along any axis."""
        side = _SIDES[self.spec.network.spatial_dims][0]
        extents = zip(*(example.image.shape[1:] for example in (*self.lessons, *self.old)), strict=True)
        return tuple(min(side, max(lengths)) for lengths in extents)

    @property
    def epoch(self) -> int:
        """Steps in which as many pixels are drawn as the lessons have."""
        drawn = math.prod(self.shape) * _SIDES[self.spec.network.spatial_dims][1]
        return max(1, round(sum(math.prod(example.image.shape[1:]) for example in self.lessons) / drawn))

    def patch(self, rng: np.random.Generator, styled: float = 1.0, strength: float = 1.0) -> Example:
        """One augmented patch, intensity not yet normalized."""
        kind = rng.random()
        if kind < _BLANK:
            return blank(self.spec.network.in_channels, self.shape, rng)
        is_old = bool(self.old) and rng.random() < self.replay
        pictures = self.old if is_old else self.lessons
        picture = pictures[int(rng.integers(len(pictures)))]
        patch = draw_patch(picture, self.shape, self.warp, rng)
        if picture.style is not None and (styled == 1 or rng.random() < styled):
            patch = replace(patch, image=picture.style(patch.image, rng, picture.look, strength))
        if self.randomized and rng.random() < _RANDOMIZED:
            other = pictures[int(rng.integers(len(pictures)))]
            patch = replace(patch, image=self._random_look(patch, other, rng))
        change = rng.random()
        if change > 0.8:
            return patch
        steps = LIGHT if change < 0.3 else WIDE if not is_old or self.spec.network.spatial_dims == 3 else STRONG
        return replace(patch, image=appear(patch.image, rng, steps))

    def _random_look(self, patch: Example, other: Example, rng: np.random.Generator) -> NDArray[np.float32]:
        """One of three, with equal chance; of another picture the low frequencies."""
        kind = int(rng.integers(3))
        if kind == 0:
            return bezier(patch.image, rng)
        if kind == 1:
            return by_class(patch.image, patch.labels[0], rng)
        return fourier(patch.image, draw_patch(other, self.shape, self.warp, rng).image, rng).clip(0, 1)


def _stack(patches: Sequence[Example]) -> Tensor:
    return torch.from_numpy(np.stack([normalized(patch) for patch in patches]))


def normalized(patch: Example) -> NDArray[np.float32]:
    """The image as the network sees it, with its own statistics."""
    return Intensity.of(patch.image.reshape(len(patch.image), -1)).normalize(patch.image)


def _known(patch: Example, target: NDArray[T], unknown: float) -> NDArray[T]:
    """A target where the patch is learned from, and what says "unknown" elsewhere."""
    return target if patch.valid is None else np.where(patch.valid, target, unknown).astype(target.dtype)


def losses(network: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """Cross entropy and Dice of the classes, and the seed map's cross entropy where there is one; they are summed."""
    on = batch.to(next(network.parameters()).device)
    logits = network(on.images)
    if on.seeds is None:
        entropy, dice = class_losses(logits, on.classes)
        return {"entropy": entropy, "dice": dice}
    entropy, dice = class_losses(logits[:, :-1], on.classes)
    seeds = seed_loss(logits[:, -1:], on.seeds, None if on.contacts is None else _CONTACT * on.contacts)
    return {"entropy": entropy, "dice": dice, "seeds": _SEEDS * seeds}
