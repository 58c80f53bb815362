"""How far a picture is from a style, seen with VGG16: what optimizing a picture and training a network for one share.

What is shown is compared in features of a high layer, how it looks in the correlations of features (Gram matrices) of
four layers. Each part counts relative to a fixed scale, so that one balance suits any picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.errors import ImageError, OptionError
from napari_unetstyle.core.progress import Progress
from napari_unetstyle.core.style.pixels import Pixels

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from napari_unetstyle.core.networks.features import Features

_COLORS = 3
_STYLE_SIDE = 512  # pixels of the style picture that are looked at, along each axis
_FLOOR = 1e-12
_ALIKE = 0.02  # share of a Gram matrix below which a difference is none to speak of
_USUAL = 1e6  # with the usual weights the content weighs ten times as much as the style did at the start
LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")
"""Of VGG16, in which the style is compared, and one of which holds the content."""
CONTENT = "relu3_3"
"""That the content is compared in, unless another is chosen: high, and not so high that edges move."""


@dataclass(frozen=True, slots=True)
class StyleProgress(Progress):
    """Progress of an optimization.

    Attributes
    ----------
    preview
        The picture as it is now, float32 ``(C, Y, X)`` in 0..1; None between two previews.
    style_loss
        Of the Gram matrices, as a share of what it was at the start.
    """

    preview: NDArray[np.float32] | None = field(default=None, compare=False)
    style_loss: float = 1.0


@dataclass(frozen=True, eq=False)
class Scales:
    """What each part of a loss counts relative to.

    Attributes
    ----------
    style
        Errors of each layer's Gram matrix at the start, or a little where there are none.
    content
        Variance of the content's features.
    rough
        Total variation.
    """

    style: dict[str, Tensor]
    content: Tensor
    rough: Tensor

    @classmethod
    def mean(cls, each: Sequence[Scales]) -> Scales:
        """Of several pictures, or parts of one."""
        import torch

        return cls(
            {name: torch.stack([one.style[name] for one in each]).mean(0) for name in each[0].style},
            torch.stack([one.content for one in each]).mean(),
            torch.stack([one.rough for one in each]).mean(),
        )


@dataclass(frozen=True, eq=False)
class Aim:
    """A style to come near to, and how much else counts.

    Attributes
    ----------
    features
        What pictures are seen with.
    grams
        Of the style, one for each layer.
    balance
        Weight of the content, that of the style being 1.
    smoothness
        Weight of the total variation.
    is_mixed
        Whether features are computed in bfloat16 where that is faster; sums over them never are.
    content_layer
        Of `LAYERS`.
    """

    features: Features
    grams: dict[str, Tensor]
    balance: float
    smoothness: float
    is_mixed: bool = False
    content_layer: str = CONTENT

    @classmethod
    def of(
        cls,
        features: Features,
        styles: Sequence[Tensor],
        *,
        content_weight: float,
        style_weight: float,
        smoothness: float,
        is_mixed: bool = False,
        content_layer: str = CONTENT,
    ) -> Aim:
        """Look at pictures ``(1, C, Y, X)`` of the style once; of several the mean look is taken."""
        import torch

        balance = content_weight / style_weight * _USUAL
        aim = cls(features, {}, balance, smoothness, is_mixed, content_layer)
        with torch.no_grad():
            seen = [{name: gram(found) for name, found in aim.see(style).items()} for style in styles]
            aim.grams.update({name: torch.stack([grams[name] for grams in seen]).mean(0) for name in seen[0]})
        return aim

    def see(self, picture: Tensor) -> dict[str, Tensor]:
        """Features of a picture ``(1, C, Y, X)``."""
        shown = picture.expand(-1, _COLORS, -1, -1) if picture.shape[1] == 1 else picture
        with mixed(picture.device.type, is_wanted=self.is_mixed):
            found = self.features(shown)
        return {name: value.float() for name, value in found.items()}

    def errors(self, found: dict[str, Tensor]) -> dict[str, Tensor]:
        """Of each layer's Gram matrix."""
        return {name: (gram(found[name]) - wanted).square().mean() for name, wanted in self.grams.items()}

    def scales(self, picture: Tensor) -> Scales:
        """What counts as 1 for a picture ``(1, C, Y, X)`` at its start."""
        import torch

        with torch.no_grad():
            return self.scales_of(picture, self.see(picture))

    def scales_of(self, picture: Tensor, found: dict[str, Tensor]) -> Scales:
        """The same, of a picture and its features."""
        import torch

        style = {
            name: torch.maximum(error, _ALIKE * self.grams[name].square().mean())
            for name, error in self.errors(found).items()
        }
        return Scales(style, found[self.content_layer].var().clamp(min=_FLOOR), variation(picture).clamp(min=_FLOOR))


class PerceptualLoss:
    """Content, style and smoothness of what is made of one picture.

    Parameters
    ----------
    aim
        The style.
    start
        The picture ``(1, C, Y, X)``: what has to stay recognizable.
    scales
        None: of this picture.
    style_scales
        Of the style's part, instead of those.

    Attributes
    ----------
    style
        The style's part of the last loss, as a share of what it was at the start (by `scales`).
    """

    def __init__(
        self, aim: Aim, start: Tensor, scales: Scales | None = None, style_scales: dict[str, Tensor] | None = None
    ) -> None:
        import torch

        self._aim = aim
        with torch.no_grad():
            found = aim.see(start)
            own = aim.scales_of(start, found)
        self._content = found[aim.content_layer]
        chosen = scales or own
        self._scales = chosen if style_scales is None else replace(chosen, style=style_scales)
        self.style = 1.0

    def __call__(self, picture: Tensor) -> Tensor:
        """Of a picture ``(1, C, Y, X)``."""
        import torch

        found = self._aim.see(picture)
        errors = self._aim.errors(found)
        style = torch.stack([error / self._scales.style[name] for name, error in errors.items()]).mean()
        self.style = float(style.detach())
        content = (found[self._aim.content_layer] - self._content).square().mean() / self._scales.content
        rough = self._aim.smoothness * variation(picture) / self._scales.rough
        value: Tensor = style + self._aim.balance * content + rough
        return value


def mixed(device: str, *, is_wanted: bool = True) -> AbstractContextManager[object]:
    """Where tensors may be computed in half the precision."""
    import torch

    return torch.autocast(device, torch.bfloat16) if is_wanted else nullcontext()


def is_faster_mixed(device: torch.device) -> bool:
    """Whether features are computed in bfloat16 there; on a processor never, so its results stay the same bits."""
    from napari_unetstyle.core.device import has_bfloat16

    return device.type == "cuda" and has_bfloat16(device)


def gram(features: Tensor) -> Tensor:
    """``(1, C, H, W)`` to ``(C, C)``: how channels go together, per pixel."""
    flat = features.flatten(2)[0]
    return flat @ flat.T / flat.shape[1]


def variation(picture: Tensor) -> Tensor:
    """How much neighbors differ."""
    down, right = picture[..., 1:, :] - picture[..., :-1, :], picture[..., 1:] - picture[..., :-1]
    return down.square().mean() + right.square().mean()


def features_of(weights: Path | None, seed: int) -> Features:
    """VGG16 with torchvision's weights from a file, or with random ones, which need none."""
    from napari_unetstyle.core.networks.features import pretrained

    return _random(seed) if weights is None else pretrained(weights, "average")


@lru_cache(maxsize=1)
def _random(seed: int) -> Features:
    from napari_unetstyle.core.networks.features import random_features

    return random_features(seed, "average")


def as_tensor(pixels: Pixels) -> Tensor:
    """``(C, Y, X)`` to ``(1, C, Y, X)``."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(pixels, np.float32))[None]


def is_gray(pixels: Pixels) -> bool:
    """Whether there is no color in a picture ``(C, Y, X)``."""
    return len(pixels) == 1 or float(np.ptp(pixels, axis=0).max()) < 1e-3


def reduced(style: Pixels) -> Pixels:
    """The middle of a large style picture, at its own scale: texture has a size."""
    starts = [max(0, (n - _STYLE_SIDE) // 2) for n in style.shape[1:]]
    return style[:, starts[0] : starts[0] + _STYLE_SIDE, starts[1] : starts[1] + _STYLE_SIDE]


def check_weights(content: float, style: float, smoothness: float, layer: str) -> None:
    """Whether parts of a loss can weigh as much, and there is such a layer.

    Raises
    ------
    OptionError
        If not, in words.
    """
    if min(content, style, smoothness) < 0 or style == 0:
        raise OptionError("The weights of content and smoothness are 0 or more, that of the style is above 0.")
    if not np.isfinite([content, style, smoothness]).all():
        raise OptionError(f"Weights {content}, {style}, {smoothness} are not allowed: give finite numbers.")
    if layer not in LAYERS:
        raise OptionError(f"There is no content layer {layer!r}. Layers: {', '.join(LAYERS)}.")


def check_sides(name: str, pixels: Pixels) -> None:
    """Whether VGG16 can look at a picture ``(C, Y, X)``.

    Raises
    ------
    ImageError
        If not, in words.
    """
    from napari_unetstyle.core.networks.features import SMALLEST

    if len(pixels) not in (1, _COLORS):
        raise ImageError(f"The {name} has {len(pixels)} channels. Neural styles take gray or color: choose 1 or 3.")
    if min(pixels.shape[1:]) < SMALLEST:
        raise ImageError(
            f"The {name} is of {' x '.join(map(str, pixels.shape[1:]))} pixels. Give one of at least {SMALLEST} "
            "along each axis."
        )
