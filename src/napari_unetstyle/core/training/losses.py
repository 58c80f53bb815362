"""Losses that leave out what nobody has judged."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from napari_unetstyle.core.annotation.known import UNKNOWN


def class_loss(logits: Tensor, classes: Tensor, *, smooth: float = 10.0) -> Tensor:
    """The sum of :func:`class_losses`."""
    entropy, dice = class_losses(logits, classes, smooth=smooth)
    return entropy + dice


def class_losses(logits: Tensor, classes: Tensor, *, smooth: float = 10.0) -> tuple[Tensor, Tensor]:
    """Cross entropy and soft Dice over known pixels.

    Background that was given when there were fewer classes (``annotation/known.py``) is background or one of the later
    classes: their probabilities count together, and Dice of the later ones leaves it out.

    Dice is taken per sample and class and averaged; on a sample without the class it is
    ``p / (p + smooth)`` with ``p`` the predicted pixels, so false positives on empty patches cost.

    Parameters
    ----------
    logits
        ``(N, C, *spatial)``, background first.
    classes
        int64 ``(N, *spatial)``; ``UNKNOWN`` pixels give neither loss nor gradient.
    smooth
        Pixels added to both sides of the fraction.
    """
    if not (classes != UNKNOWN).any():
        return logits.sum() * 0, logits.sum() * 0
    values = torch.arange(1, logits.shape[1], device=classes.device).view(1, -1, *(1,) * (classes.ndim - 1))
    weight = ((classes.unsqueeze(1) >= 0) | (classes.unsqueeze(1) < -values)).float()
    axes = tuple(range(2, logits.ndim))
    probability = logits.softmax(1)[:, 1:] * weight
    truth = functional.one_hot(classes.clamp(min=0), logits.shape[1]).movedim(-1, 1)[:, 1:] * weight
    overlap = (probability * truth).sum(axes)
    dice = 1 - (2 * overlap + smooth) / (probability.sum(axes) + truth.sum(axes) + smooth)
    return _entropy(logits, classes), dice.mean()


def _entropy(logits: Tensor, classes: Tensor) -> Tensor:
    """Cross entropy over known pixels; of several classes that a pixel may be the probabilities count together."""
    if not (classes < UNKNOWN).any():
        return functional.cross_entropy(logits, classes, ignore_index=UNKNOWN)
    values = torch.arange(logits.shape[1], device=classes.device).view(1, -1, *(1,) * (classes.ndim - 1))
    given = classes.unsqueeze(1)
    possible = (values == given) | ((given < 0) & ((values == 0) | (values > -1 - given)))
    likely = logits.log_softmax(1).masked_fill(~possible, -torch.inf).logsumexp(1)
    return -likely[classes != UNKNOWN].mean()


def seed_loss(logits: Tensor, target: Tensor, emphasis: Tensor | None = None, *, foreground: float = 2.0) -> Tensor:
    """Cross entropy of seed maps over known pixels, object pixels weighing more.

    Parameters
    ----------
    logits
        ``(N, K, *spatial)``.
    target
        float32 of the same shape in 0..1; NaN pixels give neither loss nor gradient.
    emphasis
        Added weight of each pixel, of a shape that broadcasts to that of `target`.
    foreground
        Added weight where the target is above 0.
    """
    known = ~target.isnan()
    if not known.any():
        return logits.sum() * 0
    filled = torch.where(known, target, 0.0)
    weight = known.float() * (1 + foreground * (filled > 0) + (0 if emphasis is None else emphasis))
    entropy = functional.binary_cross_entropy_with_logits(logits, filled, weight, reduction="sum")
    return entropy / weight.sum()
