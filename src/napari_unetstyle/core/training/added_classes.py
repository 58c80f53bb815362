"""A model plus classes: what it is then, its network with more channels, and what its old pictures still say.

The new channels start below the background, so that they never win, and first learn alone: a network that is taught
for channels that know nothing yet forgets more than it learns (Kumar et al. 2022, Fine-Tuning can Distort Pretrained
Features). Then everything learns, as in any teaching.

The old classes are guarded by the old pictures, which are replayed and checked as always. Nobody looked for a new class
in these, so their background is *none of the classes known then* (``annotation/known.py``): calling a pixel of it the
new class costs nothing, calling it an old class does. Taking it as plain background would teach that whatever looks
like the new class there is none; leaving it out would let the old classes spread into it (Cermelli et al. 2020,
Modeling the Background for Incremental Learning in Semantic Segmentation). On drawn pictures, of which the old ones
held the new class unlabeled, it was found with 0.86 Dice on held-out places instead of 0.68, and the old class as ever.
Nor does anybody know of objects there, so that the seed map of a model that tells objects apart is left free, too.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from napari_unetstyle.core.annotation.known import as_of
from napari_unetstyle.core.models.classes import class_specs
from napari_unetstyle.core.models.memory import Memory
from napari_unetstyle.core.models.spec import ModelSpec, Postprocessing
from napari_unetstyle.core.networks.unet import UNet
from napari_unetstyle.core.progress import Progress, Steps, share
from napari_unetstyle.core.training.drawing import Drawing
from napari_unetstyle.core.training.losses import class_loss

WORDS = "Learning the new class"
_BATCHES, _PIXELS, _STEPS = 8, 2**15, 200  # that new channels learn from alone
_BELOW = 5.0  # the background's logit, that a new class starts at: less than 1 % of the background's probability


def with_classes(spec: ModelSpec, names: Sequence[str]) -> ModelSpec:
    """What a model is when classes of these names are added to it; their values are the next ones.

    Raises
    ------
    OptionError
        See :func:`~napari_unetstyle.core.models.classes.class_specs`.
    """
    if not names:
        return spec
    classes = class_specs(names, spec.classes)
    more = ", ".join(names)
    card = spec.card.model_copy(
        update={
            "summary": f"{spec.card.summary}, {more}",
            "purpose": f"{spec.card.purpose} And {more}, added with the pictures of one person.",
        }
    )
    # of the new class nobody knows that only its largest piece counts; objects are found before they have a class
    usual = Postprocessing(fill_small_holes=spec.postprocessing.fill_small_holes)
    return spec.model_copy(update={"classes": classes, "card": card, "postprocessing": usual})


def widened(network: UNet, spec: ModelSpec, count: int) -> UNet:
    """A copy of the network of a model with channels for `count` more classes; all else is bit for bit the same.

    The new channels come after those of the classes, before the seed map if there is one. They follow the background
    everywhere, at a hundredth of its probability: they never win, so that the labels stay as they are, and a class is
    learned from the background that it is part of.
    """
    wide = copy.deepcopy(network)
    wide.head = _more_channels(network.head, 1 + len(spec.classes), count)
    return wide


def _more_channels(head: nn.Conv2d | nn.Conv3d, place: int, count: int) -> nn.Conv2d | nn.Conv3d:
    wide = copy.deepcopy(head)
    assert head.bias is not None

    def with_more(there: Tensor, background: Tensor) -> nn.Parameter:
        return nn.Parameter(torch.cat([there[:place], *[background] * count, there[place:]]))

    with torch.no_grad():
        wide.weight = with_more(head.weight, head.weight[:1])
        wide.bias = with_more(head.bias, head.bias[:1] - _BELOW)
    wide.out_channels += count
    return wide


def iter_taught_alone(network: UNet, count: int, drawing: Drawing, seed: int) -> Steps[None]:
    """Teach the channels of the last `count` classes, in place, on what the network sees as it is; no other changes.

    Parameters
    ----------
    network
        From :func:`widened`.
    count
        Of the new classes.
    drawing
        What is learned from; its model has the new classes.
    seed
        The same draws the same.
    """
    features, classes = yield from share(_iter_seen(network, drawing, seed), 0.0, 0.8)
    head = network.head
    assert head.bias is not None
    weights, biases = head.weight.detach().flatten(1), head.bias.detach()
    stop = 1 + len(drawing.spec.classes)  # behind it is the seed map, if there is one
    new = slice(stop - count, stop)
    before = weights[: new.start] @ features + biases[: new.start, None]
    weight, bias = (part[new].clone().requires_grad_() for part in (weights, biases))
    optimizer = torch.optim.Adam([weight, bias], lr=0.1)
    for step in range(_STEPS):
        optimizer.zero_grad(set_to_none=True)
        logits = torch.cat([before, weight @ features + bias[:, None]])
        class_loss(logits[None], classes[None]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        yield Progress(8 * _STEPS + 2 * step, 10 * _STEPS, WORDS)
    with torch.no_grad():
        head.weight[new] = weight.view_as(head.weight[new])
        head.bias[new] = bias


def _iter_seen(network: UNet, drawing: Drawing, seed: int) -> Steps[tuple[Tensor, Tensor]]:
    """What the last layer is given of some pixels, ``(features, pixels)``, and their classes."""
    seen: list[Tensor] = []
    hook = network.head.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    found = []
    network.train()
    try:
        for i in range(_BATCHES):
            rng = np.random.default_rng((seed, i))
            batch = drawing(rng)
            with torch.no_grad():
                network(batch.images)
            features, classes = seen.pop().movedim(1, 0).flatten(1), batch.classes.flatten()
            chosen = torch.from_numpy(rng.integers(len(classes), size=_PIXELS // _BATCHES))
            found.append((features[:, chosen], classes[chosen]))
            yield Progress(i + 1, _BATCHES, WORDS)
    finally:
        hook.remove()
    features_of, classes_of = zip(*found, strict=True)
    return torch.cat(features_of, 1), torch.cat(classes_of)


def before_added(memory: Memory, count: int) -> Memory:
    """An old picture, from a time when there were only the first `count` classes."""
    return replace(memory, targets=as_of(memory.targets, count))
