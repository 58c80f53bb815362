"""Neural style transfer by optimizing the picture (Gatys, Ecker and Bethge 2016).

What is shown stays in features of a high layer of VGG16, how it looks becomes that of the style in the correlations of
features (Gram matrices) of four layers. Published as it was, this does not cross from bright on dark to dark on
bright; here the picture starts from its photometric match, polarity aligned, so that only texture is left to be made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.errors import ImageError, OptionError
from napari_unetstyle.core.free_memory import free_memory
from napari_unetstyle.core.progress import Progress, Steps
from napari_unetstyle.core.style.pixels import Pixels, luminance

if TYPE_CHECKING:
    from torch import Tensor

    from napari_unetstyle.core.networks.features import Features

_COLORS = 3
_STYLE_SIDE = 512  # pixels of the style picture that are looked at, along each axis
_BYTES = 2600  # of memory for each pixel of the picture: features, their gradients, and the optimizer's history
_GAMUT = (1.0, 99.0)  # percentiles of the style that no pixel leaves
_FLOOR = 1e-12
_ALIKE = 0.02  # share of a Gram matrix below which a difference is none to speak of
_USUAL = 1e6  # with the usual weights the content weighs ten times as much as the style did at the start
_HISTORY = 10  # steps that L-BFGS remembers


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
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:N"`` or ``"mps"``.
    """

    steps: int = 30
    content_weight: float = 1e5
    style_weight: float = 1e10
    smoothness: float = 1e-2
    optimizer: Literal["lbfgs", "adam"] = "lbfgs"
    weights: Path | None = None
    seed: int = 0
    preview_every: int = 5
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.steps < 1 or self.preview_every < 1:
            raise OptionError(f"Give 1 step or more, got steps={self.steps}, preview_every={self.preview_every}.")
        if min(self.content_weight, self.style_weight, self.smoothness) < 0 or self.style_weight == 0:
            raise OptionError("The weights of content and smoothness are 0 or more, that of the style is above 0.")
        if self.optimizer not in ("lbfgs", "adam"):
            raise OptionError(f"Option optimizer={self.optimizer!r} is not allowed: give 'lbfgs' or 'adam'.")


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
    chosen = options or GatysOptions()
    _check(start, styles)
    from napari_unetstyle.core import device as devices

    device = devices.resolve(chosen.device)
    features = _features(chosen).to(device)
    is_gray = len(start) == 1 or all(map(_is_gray, styles))
    low, high = _gamut(styles, is_gray=is_gray)
    darkest, range_ = float(low.min()), float(high.max() - low.min())  # a dim style is seen as well as a bright one
    first = _as_tensor(((luminance(start)[np.newaxis] if is_gray else start) - darkest) / range_).to(device)
    looks = [_as_tensor((_reduced(style) - darkest) / range_).to(device) for style in styles]
    loss = _Loss.of(features, first, looks, chosen)

    def shown() -> Pixels:
        pixels = picture.detach()[0].cpu().numpy() * range_ + darkest
        kept: Pixels = np.clip(pixels, low, high).astype(np.float32)
        return np.repeat(kept, len(start), axis=0) if len(kept) < len(start) else kept

    picture = first.clone().requires_grad_(True)
    step_once = _stepper(picture, loss, chosen)
    for step in range(1, chosen.steps + 1):
        share = step_once()
        is_shown = step % chosen.preview_every == 0 or step == chosen.steps
        preview = shown() if is_shown else None
        yield StyleProgress(step, chosen.steps, "style", preview=preview, style_loss=share)
    return shown()


class _Loss:
    """Content, style and smoothness, each relative to a fixed scale, so that one balance suits any picture."""

    def __init__(self, features: Features, content: Tensor, grams: dict[str, Tensor], options: GatysOptions) -> None:
        self._features, self._grams = features, grams
        self._content = content
        self._spread = content.var().clamp(min=_FLOOR)
        self._scales: dict[str, Tensor] = {}
        self._rough: Tensor | None = None
        self._balance = options.content_weight / options.style_weight * _USUAL
        self._smoothness = options.smoothness
        self.style = 1.0

    @classmethod
    def of(cls, features: Features, start: Tensor, styles: list[Tensor], options: GatysOptions) -> _Loss:
        """Look at the start and at the styles once."""
        import torch

        with torch.no_grad():
            seen = [{name: _gram(found) for name, found in features(_seen(style)).items()} for style in styles]
            wanted = {name: torch.stack([grams[name] for grams in seen]).mean(0) for name in seen[0]}
            found = features(_seen(start))
            loss = cls(features, found[_CONTENT], wanted, options)
            errors = loss._errors(found)
            loss._scales = {
                name: torch.maximum(error, _ALIKE * wanted[name].square().mean()) for name, error in errors.items()
            }
            loss._rough = _variation(start).clamp(min=_FLOOR)
        return loss

    def __call__(self, picture: Tensor) -> Tensor:
        """Of a picture ``(1, C, Y, X)``."""
        import torch

        found = self._features(_seen(picture))
        errors = self._errors(found)
        style = torch.stack([error / self._scales[name] for name, error in errors.items()]).mean()
        self.style = float(style.detach())
        content = (found[_CONTENT] - self._content).square().mean() / self._spread
        assert self._rough is not None
        value: Tensor = style + self._balance * content + self._smoothness * _variation(picture) / self._rough
        return value

    def _errors(self, found: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: (_gram(found[name]) - gram).square().mean() for name, gram in self._grams.items()}


_CONTENT = "relu3_3"


def _stepper(picture: Tensor, loss: _Loss, options: GatysOptions) -> Callable[[], float]:
    """A function that does one evaluation and gives the style's loss."""
    import torch

    scale = 1e3  # L-BFGS of torch ends where a change is below 1e-10

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = scale * loss(picture)
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer: torch.optim.Optimizer
    if options.optimizer == "adam":
        optimizer = torch.optim.Adam([picture], lr=0.02)
    else:
        optimizer = torch.optim.LBFGS(
            [picture], lr=1.0, max_iter=1, max_eval=1, history_size=_HISTORY, tolerance_grad=0, tolerance_change=0
        )

    def step() -> float:
        optimizer.step(closure)  # type: ignore[no-untyped-call]
        return loss.style

    return step


def _gram(features: Tensor) -> Tensor:
    """``(N, C, H, W)`` to ``(C, C)``: how channels go together, per pixel."""
    flat = features.flatten(2)[0]
    return flat @ flat.T / flat.shape[1]


def _variation(picture: Tensor) -> Tensor:
    down, right = picture[..., 1:, :] - picture[..., :-1, :], picture[..., 1:] - picture[..., :-1]
    return down.square().mean() + right.square().mean()


def _seen(picture: Tensor) -> Tensor:
    """Three channels, as VGG16 takes them."""
    return picture.expand(-1, _COLORS, -1, -1) if picture.shape[1] == 1 else picture


def _features(options: GatysOptions) -> Features:
    from napari_unetstyle.core.networks.features import pretrained

    if options.weights is not None:
        return pretrained(options.weights, "average")
    return _random(options.seed)


@lru_cache(maxsize=1)
def _random(seed: int) -> Features:
    from napari_unetstyle.core.networks.features import random_features

    return random_features(seed, "average")


def _as_tensor(pixels: Pixels) -> Tensor:
    import torch

    return torch.from_numpy(np.ascontiguousarray(pixels, np.float32))[None]


def _is_gray(pixels: Pixels) -> bool:
    return len(pixels) == 1 or float(np.ptp(pixels, axis=0).max()) < 1e-3


def _gamut(styles: Sequence[Pixels], *, is_gray: bool) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Darkest and brightest of each channel, ``(C, 1, 1)``."""
    channels = 1 if is_gray else _COLORS
    shown = (luminance(style)[np.newaxis] if is_gray else style for style in styles)
    flat = np.concatenate([np.broadcast_to(s, (channels, *s.shape[1:])).reshape(channels, -1) for s in shown], axis=1)
    low, high = np.percentile(flat, _GAMUT, axis=1).astype(np.float32)[..., None, None]
    return low, np.maximum(high, low + 1e-3)


def _reduced(style: Pixels) -> Pixels:
    """The middle of a large style picture, at its own scale: texture has a size."""
    starts = [max(0, (n - _STYLE_SIDE) // 2) for n in style.shape[1:]]
    return style[:, starts[0] : starts[0] + _STYLE_SIDE, starts[1] : starts[1] + _STYLE_SIDE]


def _check(start: Pixels, styles: Sequence[Pixels]) -> None:
    from napari_unetstyle.core.networks.features import SMALLEST

    for name, pixels in (("picture", start), *(("style", style) for style in styles)):
        if len(pixels) not in (1, _COLORS):
            raise ImageError(f"The {name} has {len(pixels)} channels. Neural styles take gray or color: choose 1 or 3.")
        if min(pixels.shape[1:]) < SMALLEST:
            raise ImageError(
                f"The {name} is of {' x '.join(map(str, pixels.shape[1:]))} pixels. Give one of at least {SMALLEST} "
                "along each axis."
            )
    needed, free = _BYTES * start.shape[1] * start.shape[2], free_memory()
    if needed > free:
        raise ImageError(
            f"A neural style of {start.shape[1]} x {start.shape[2]} pixels needs about {needed / 1e9:.1f} GB of "
            f"memory, and {free / 1e9:.1f} GB are free. Crop the picture, or choose the method automatic."
        )
