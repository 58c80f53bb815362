"""Neural style transfer by optimizing the picture (Gatys, Ecker and Bethge 2016).

What is shown stays in features of a high layer of VGG16, how it looks becomes that of the style in the correlations of
features (Gram matrices) of four layers. Published as it was, this does not cross from bright on dark to dark on
bright; here the picture starts from its photometric match, polarity aligned, so that only texture is left to be made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from napari_unetstyle.core.errors import ImageError, OptionError
from napari_unetstyle.core.free_memory import free_memory, gigabytes
from napari_unetstyle.core.progress import Steps
from napari_unetstyle.core.seeds import check_seed
from napari_unetstyle.core.style.optimizers import LBFGS, Adam, Optimizer
from napari_unetstyle.core.style.perceptual import (
    CONTENT,
    Aim,
    PerceptualLoss,
    Scales,
    StyleProgress,
    as_tensor,
    check_sides,
    check_weights,
    features_of,
    is_faster_mixed,
    is_gray,
    reduced,
)
from napari_unetstyle.core.style.pixels import Pixels
from napari_unetstyle.core.style.span import Span

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_BYTES = 2600  # of memory for each pixel of the picture: features, their gradients, and the optimizer's history
_HISTORY = 10  # steps that L-BFGS remembers
_RATE = 0.02  # of Adam
_SCALE = 1e3  # of the loss, so that products of small changes are numbers


@dataclass(frozen=True, kw_only=True)
class GatysOptions:
    """How the picture is optimized.

    Attributes
    ----------
    steps
        Evaluations of the loss and its gradient.
    content_weight, style_weight
        As in common implementations; each loss counts relative to what it was at the start, so the same numbers suit
        any picture, and their ratio is relative to the usual one.
    smoothness
        Weight of the total variation, relative to that of the start.
    content_layer
        Of VGG16, in which what is shown is compared: ``"relu1_2"``, ``"relu2_2"``, ``"relu3_3"`` or ``"relu4_3"``; the
        higher, the freer is the texture.
    optimizer
        ``"lbfgs"``, or ``"adam"``.
    weights
        torchvision's VGG16 file (``vgg16-397923af.pth``); None takes random weights, scaled layer by layer (He, Wang
        and Hopcroft 2016), which need no file.
    seed
        Of the random weights.
    preview_every
        Steps between previews.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:N"`` or ``"mps"``; on CUDA features are computed in bfloat16.
    """

    steps: int = 30
    content_weight: float = 1e5
    style_weight: float = 1e10
    smoothness: float = 1e-2
    content_layer: str = CONTENT
    optimizer: Literal["lbfgs", "adam"] = "lbfgs"
    weights: Path | None = None
    seed: int = 0
    preview_every: int = 5
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.steps < 1 or self.preview_every < 1:
            raise OptionError(f"Give 1 step or more, got steps={self.steps}, preview_every={self.preview_every}.")
        check_weights(self.content_weight, self.style_weight, self.smoothness, self.content_layer)
        if self.optimizer not in ("lbfgs", "adam"):
            raise OptionError(f"Option optimizer={self.optimizer!r} is not allowed: give 'lbfgs' or 'adam'.")
        check_seed(self.seed)


def iter_gatys(start: Pixels, styles: Sequence[Pixels], options: GatysOptions | None = None) -> Steps[Pixels]:
    """Give one picture the texture of another; nothing moves.

    Parameters
    ----------
    start
        ``(C, Y, X)`` in 0..1, with the colors and the polarity of the style already, as :func:`stylize` makes them:
        what has to stay recognizable.
    styles
        ``(C, Y, X)`` in 0..1, of any size, of which the mean look is taken; gray ones (all channels alike, or one)
        give a gray picture.
    options
        See :class:`GatysOptions`.

    Yields
    ------
    StyleProgress
        After each step.

    Returns
    -------
    Pixels
        ``(C, Y, X)`` as `start`, in 0..1 and within the style's gamut.

    Raises
    ------
    ImageError
        If a picture is smaller than 16 pixels along an axis, or too large for the memory that is free.
    """
    return Gatys.of(styles, len(start), options).steps(start)


@dataclass(frozen=True, eq=False)
class Gatys:
    """A style that pictures are optimized for.

    Attributes
    ----------
    aim
        What is to come of them.
    span
        See :class:`Span`.
    options
        See :class:`GatysOptions`.
    device
        Where it is computed.
    scales
        What each part of the loss counts relative to; None: what is found in each picture.
    """

    aim: Aim
    span: Span
    options: GatysOptions
    device: torch.device
    scales: Scales | None = None

    @classmethod
    def of(cls, styles: Sequence[Pixels], channels: int, options: GatysOptions | None = None) -> Gatys:
        """Look at the styles, for pictures of so many channels; see :func:`iter_gatys`."""
        chosen = options or GatysOptions()
        for style in styles:
            check_sides("style", style)
        from napari_unetstyle.core import device as devices

        device = devices.resolve(chosen.device)
        span = Span.of_looks(styles, 1 if channels == 1 or all(map(is_gray, styles)) else 3)
        aim = Aim.of(
            features_of(chosen.weights, chosen.seed).to(device),
            [as_tensor(span.into(reduced(style))).to(device) for style in styles],
            content_weight=chosen.content_weight,
            style_weight=chosen.style_weight,
            smoothness=chosen.smoothness,
            is_mixed=is_faster_mixed(device),
            content_layer=chosen.content_layer,
        )
        return cls(aim, span, chosen, device)

    def measured(self, parts: Sequence[Pixels]) -> Gatys:
        """The same for all slices of a volume, so that a part of the loss counts as much in each.

        Parameters
        ----------
        parts
            Of the volume, ``(C, Y, X)`` in 0..1, as :meth:`steps` takes them.
        """
        for part in parts:
            check_sides("picture", part)
        return replace(self, scales=Scales.mean([self.aim.scales(self._seen(part)) for part in parts]))

    def steps(self, start: Pixels) -> Steps[Pixels]:
        """See :func:`iter_gatys`."""
        _check(start)
        first = self._seen(start)
        loss = PerceptualLoss(self.aim, first, self.scales)
        picture = first.clone().requires_grad_(True)
        step_once, count = _stepper(picture, loss, self.options), self.options.steps
        for step in range(1, count + 1):
            share = step_once()
            is_shown = step % self.options.preview_every == 0 or step == count
            preview = _shown(picture, self.span, len(start)) if is_shown else None
            yield StyleProgress(step, count, "style", preview=preview, style_loss=share)
        return _shown(picture, self.span, len(start))

    def _seen(self, start: Pixels) -> Tensor:
        return as_tensor(self.span.into(start)).to(self.device)


def _shown(picture: Tensor, span: Span, channels: int) -> Pixels:
    """What has come of the picture so far."""
    return span.back(picture.detach()[0].cpu().numpy(), channels)


def _stepper(picture: Tensor, loss: PerceptualLoss, options: GatysOptions) -> Callable[[], float]:
    """A function that does one evaluation and gives the style's loss."""
    import torch

    optimizer: Optimizer = Adam(_RATE) if options.optimizer == "adam" else LBFGS(_HISTORY)

    def step() -> float:
        (gradient,) = torch.autograd.grad(_SCALE * loss(picture), picture)
        with torch.no_grad():
            picture.add_(optimizer.change(gradient))
        return loss.style

    return step


def _check(start: Pixels) -> None:
    check_sides("picture", start)
    needed, free = _BYTES * start.shape[1] * start.shape[2], free_memory()
    if needed > free:
        raise ImageError(
            f"A neural style of {start.shape[1]} x {start.shape[2]} pixels needs about {gigabytes(needed)} of "
            f"memory, and {gigabytes(free)} are free. Crop the picture, or choose the method automatic."
        )
