"""Training a network for one style from a person's own pictures (Johnson, Alahi and Fei-Fei 2016)."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unetstyle.core.errors import ImageError, MissingExtraError, OptionError
from napari_unetstyle.core.free_memory import free_memory, gigabytes
from napari_unetstyle.core.networks.spec import StyleNetSpec
from napari_unetstyle.core.progress import Steps
from napari_unetstyle.core.seeds import check_seed
from napari_unetstyle.core.style.change import StyleOptions
from napari_unetstyle.core.style.given import look_of
from napari_unetstyle.core.style.kept_style import KeptStyle
from napari_unetstyle.core.style.network import StyleNetwork
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
    mixed,
    reduced,
)
from napari_unetstyle.core.style.pixels import Pixels
from napari_unetstyle.core.style.span import Span
from napari_unetstyle.core.style.stylize import Styling

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from torch.utils.tensorboard import SummaryWriter

    from napari_unetstyle.core.imaging.image import Image

_WHOLE = 1000
_CLIP = 1.0
_EPOCH = 25  # steps whose mean loss decides on the learning rate
_PATIENCE, _FACTOR, _LOWEST = 3, 0.1, 1e-5
_SCALES = 8  # crops from which it is seen what a loss of 1 is
_PREVIEW = 256  # side in pixels


@dataclass(frozen=True, kw_only=True)
class FastStyleOptions:
    """How a style's network is trained.

    Attributes
    ----------
    minutes, steps
        How long; exactly one of the two. The same steps give the same weights on the same machine.
    crop, batch
        Side of the crops in pixels, and how many are seen in a step.
    learning_rate
        Of Adam; a tenth of it (never below 1e-5) each time that the mean loss of 25 steps was not less than the least
        before four times in a row: ReduceLROnPlateau of patience 3, an epoch being 25 steps.
    content_weight, style_weight, smoothness, content_layer
        As those of :class:`GatysOptions`.
    weights
        torchvision's VGG16 file (``vgg16-397923af.pth``); None takes random weights, which need no file.
    seed
        Of the network's first weights, of the crops, and of random features.
    preview_every
        Steps between previews.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:N"`` or ``"mps"``.
    log
        Folder for a TensorBoard log of losses, rate and previews; needs the extra ``[tensorboard]``.
    """

    minutes: float | None = 3.0
    steps: int | None = None
    crop: int = 128
    batch: int = 2
    learning_rate: float = 5e-3
    content_weight: float = 1e5
    style_weight: float = 1e10
    smoothness: float = 1e-2
    content_layer: str = CONTENT
    weights: Path | None = None
    seed: int = 0
    preview_every: int = 10
    device: str = "auto"
    log: Path | None = None

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.minutes is None):
            raise OptionError(f"Give either minutes or steps, got minutes={self.minutes} and steps={self.steps}.")
        if not 0 < (self.minutes or self.steps or 0) < math.inf:
            raise OptionError(
                f"Give a time or a number of steps above 0, got minutes={self.minutes} and steps={self.steps}."
            )
        if self.crop < 32 or self.batch < 1 or self.preview_every < 1:
            raise OptionError(
                f"Give crops of 32 pixels or more, and 1 or more a step, got crop={self.crop}, batch={self.batch}, "
                f"preview_every={self.preview_every}."
            )
        if not 0 < self.learning_rate < math.inf:
            raise OptionError(f"Option learning_rate={self.learning_rate!r} is not allowed: give a number above 0.")
        check_weights(self.content_weight, self.style_weight, self.smoothness, self.content_layer)
        check_seed(self.seed)


def iter_train_fast(
    name: str,
    pictures: Sequence[Image],
    styles: Sequence[Image],
    options: FastStyleOptions | None = None,
    *,
    about: str = "",
    license_note: str = "",
    thumbnail: bool = False,
) -> Steps[KeptStyle]:
    """Train a network that gives pictures like these the look of others, in one pass each.

    Parameters
    ----------
    name
        What the style is called.
    pictures
        To learn from; of volumes, their slices. No labels are needed.
    styles
        Pictures to look like; gray ones give a network for gray.
    options
        See :class:`FastStyleOptions`.
    about, license_note, thumbnail
        See :meth:`KeptStyle.of`.

    Yields
    ------
    StyleProgress
        After each step.

    Returns
    -------
    KeptStyle
        With its network; nothing is written, :meth:`StyleBank.add` keeps it.

    Raises
    ------
    UnetstyleError
        In words, if pictures, styles, weights or the device are not usable.
    """
    chosen = options or FastStyleOptions()
    style = KeptStyle.of(name, styles, about=about, license_note=license_note, thumbnail=thumbnail)
    looks = [look_of(image) for image in styles]
    for look in looks:
        check_sides("style", look)
    channels = 1 if style.reference.channels == 1 or all(map(is_gray, looks)) else 3
    crops = Crops.of(pictures, style, Span.of(style.reference, channels), chosen.crop)

    from napari_unetstyle.core.networks.style_net import StyleNet

    spec = StyleNetSpec(in_channels=channels)
    network = StyleNet(spec, chosen.seed)
    yield from iter_fit(network, crops, looks, chosen)
    return style.model_copy(update={"network": StyleNetwork.of(spec, network)})


@dataclass(frozen=True, eq=False)
class Crops:
    """Parts of pictures, as a style's network sees them.

    Attributes
    ----------
    pictures
        About to take the style, by statistics of the whole of each.
    span
        Of the style.
    side
        Of the parts; of a smaller picture all of it is one.
    """

    pictures: tuple[Styling, ...]
    span: Span
    side: int

    @classmethod
    def of(cls, pictures: Sequence[Image], style: KeptStyle, span: Span, side: int) -> Crops:
        """Look at the pictures.

        Raises
        ------
        UnetstyleError
            If there is none, or one is not usable.
        """
        if not pictures:
            raise OptionError("Give at least one picture to learn from.")
        _check_memory(pictures)
        found = tuple(Styling.of(image, [style], StyleOptions()) for image in pictures)
        for styling in found:
            check_sides("picture", np.empty((1, *styling.shape[-2:]), np.float32))
            if styling.is_constant:
                raise OptionError(
                    "A picture has the same value everywhere, so there is nothing to learn from. Leave it out."
                )
        return cls(found, span, side)

    def drawn(self, dice: np.random.Generator) -> Pixels:
        """One at random, turned and mirrored at random, ``(C, Y, X)``."""
        styling = self.pictures[dice.integers(len(self.pictures))]
        index = tuple(int(dice.integers(count)) for count in styling.shape[1:-2])
        starts = [int(dice.integers(max(0, length - self.side) + 1)) for length in styling.shape[-2:]]
        part = self._part(styling, index, starts, self.side)
        turned: Pixels = np.rot90(part, int(dice.integers(4)), axes=(1, 2))
        return turned[..., ::-1] if dice.integers(2) else turned

    def shown(self) -> Pixels:
        """The middle of the first picture."""
        styling = self.pictures[0]
        starts = [max(0, length - _PREVIEW) // 2 for length in styling.shape[-2:]]
        return self._part(styling, tuple(n // 2 for n in styling.shape[1:-2]), starts, _PREVIEW)

    def _part(self, styling: Styling, index: tuple[int, ...], starts: Sequence[int], side: int) -> Pixels:
        _, start, _ = styling.started(*index, *(slice(at, at + side) for at in starts))
        return self.span.into(start)


def iter_fit(
    network: nn.Module, crops: Crops, looks: Sequence[Pixels], options: FastStyleOptions
) -> Iterator[StyleProgress]:
    """Train any network of pictures ``(1, C, Y, X)`` in place, as :func:`iter_train_fast` does.

    A step whose loss or gradient is not finite is left out.
    """
    log = None if options.log is None else _opened(options.log)
    try:
        yield from _steps(network, crops, looks, options, log)
    finally:
        if log is not None:
            log.close()


def _steps(
    network: nn.Module, crops: Crops, looks: Sequence[Pixels], options: FastStyleOptions, log: SummaryWriter | None
) -> Iterator[StyleProgress]:
    import torch

    device = _device(options)
    teacher = _Teacher.of(crops, looks, options, device)
    network.to(device).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=options.learning_rate)
    falling = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=_PATIENCE, factor=_FACTOR, min_lr=_LOWEST)
    step, done, begun, losses = 0, 0.0, time.monotonic(), list[float]()
    seen = 1.0  # mean style loss of the last steps, as a share of what it was
    while done < 1:
        loss, style = teacher.lesson(network, optimizer, np.random.default_rng((options.seed, 1, step)))
        step += 1
        losses.append(loss)
        seen += (style - seen) * max(0.1, 1 / step)
        if step % _EPOCH == 0:
            falling.step(float(np.mean(losses)))
            losses.clear()
        if log is not None:
            _note(log, step, loss=loss, style=style, rate=optimizer.param_groups[0]["lr"])
        done = min(1.0, _share_done(step, begun, options))
        preview = teacher.preview(network) if step % options.preview_every == 0 or done == 1 else None
        if log is not None and preview is not None:
            log.add_image("preview", preview, step)
        yield StyleProgress(
            int(done * _WHOLE), _WHOLE, f"step {step}, style {seen:.0%}", preview=preview, style_loss=seen
        )
    network.cpu().eval()


@dataclass(frozen=True, eq=False)
class _Teacher:
    """What a network learns from."""

    crops: Crops
    aim: Aim
    scales: dict[str, Tensor]
    batch: int
    device: torch.device
    is_mixed: bool

    @classmethod
    def of(cls, crops: Crops, looks: Sequence[Pixels], options: FastStyleOptions, device: torch.device) -> _Teacher:
        import torch

        is_mixed = is_faster_mixed(device)
        aim = Aim.of(
            features_of(options.weights, options.seed).to(device),
            [as_tensor(crops.span.into(reduced(look))).to(device) for look in looks],
            content_weight=options.content_weight,
            style_weight=options.style_weight,
            smoothness=options.smoothness,
            is_mixed=is_mixed,
            content_layer=options.content_layer,
        )
        with torch.no_grad():
            dice = np.random.default_rng((options.seed, 0))
            each = [aim.scales(as_tensor(crops.drawn(dice)).to(device)) for _ in range(_SCALES)]
        scales = Scales.mean(each).style
        return cls(crops, aim, scales, options.batch, device, is_mixed)

    def lesson(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, dice: np.random.Generator
    ) -> tuple[float, float]:
        """One step; its loss, and the style's part of it."""
        from torch import nn

        optimizer.zero_grad(set_to_none=True)
        total = style = 0.0
        for _ in range(self.batch):
            start = as_tensor(self.crops.drawn(dice)).to(self.device)
            aim = PerceptualLoss(self.aim, start, style_scales=self.scales)
            value = aim(self._made(network, start)) / self.batch
            value.backward()  # type: ignore[no-untyped-call]
            total, style = total + float(value.detach()), style + aim.style / self.batch
        norm = nn.utils.clip_grad_norm_(network.parameters(), _CLIP)
        if bool(norm.isfinite()):
            optimizer.step()
        return total, style

    def preview(self, network: nn.Module) -> Pixels:
        """The middle of the first picture as it is made now, in 0..1."""
        import torch

        with torch.inference_mode():
            made = self._made(network, as_tensor(self.crops.shown()).to(self.device))
        return self.crops.span.back(made[0].cpu().numpy(), len(made[0]))

    def _made(self, network: nn.Module, start: Tensor) -> Tensor:
        with mixed(self.device.type, is_wanted=self.is_mixed):
            made: Tensor = network(start)
        return made.float()


def _check_memory(pictures: Sequence[Image]) -> None:
    """All pictures are held, for crops are drawn from any of them."""
    needed = sum(math.prod(image.array.shape) * image.array.dtype.itemsize for image in pictures)
    free = free_memory()
    if needed > free:
        raise ImageError(
            f"The {len(pictures)} pictures need {gigabytes(needed)} of memory, and {gigabytes(free)} are free. "
            "Give fewer, or parts of them: a few that are typical are enough."
        )


def _device(options: FastStyleOptions) -> torch.device:
    from napari_unetstyle.core import device as devices

    return devices.resolve(options.device)


def _share_done(step: int, begun: float, options: FastStyleOptions) -> float:
    if options.steps is not None:
        return step / options.steps
    return (time.monotonic() - begun) / (60 * (options.minutes or 1e-9))


def _opened(folder: Path) -> SummaryWriter:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingExtraError(
            'A TensorBoard log needs the package tensorboard: pip install "napari-unetstyle[tensorboard]". Training '
            "does without."
        ) from error
    return SummaryWriter(str(folder))


def _note(log: Any, step: int, **numbers: float) -> None:
    for name, number in numbers.items():
        log.add_scalar(name, number, step)
