"""Texture in one pass (Johnson, Alahi and Fei-Fei 2016), by a network that was trained, or is shown, the style."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.errors import ImageError, OptionError
from napari_unetstyle.core.free_memory import free_memory, gigabytes, is_out_of_memory
from napari_unetstyle.core.progress import Steps
from napari_unetstyle.core.style.any_style import seen, toward
from napari_unetstyle.core.style.perceptual import StyleProgress, as_tensor, is_gray
from napari_unetstyle.core.style.pixels import Pixels, luminance
from napari_unetstyle.core.style.reference import Reference
from napari_unetstyle.core.style.span import Span

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from napari_unetstyle.core.networks.any_style_net import TowardStyle
    from napari_unetstyle.core.networks.spec import StyleNetSpec
    from napari_unetstyle.core.networks.style_net import StyleNet
    from napari_unetstyle.core.style.kept_style import KeptStyle

_BYTES = 20  # of memory for each pixel and each channel of the width: twice what was measured


@dataclass(frozen=True, eq=False)
class FastStyle:
    """A style's network at work.

    Attributes
    ----------
    network, device
        What computes, and where.
    span
        See :class:`Span`.
    channels, width
        Of the network.
    """

    network: StyleNet | TowardStyle
    device: torch.device
    span: Span
    channels: int
    width: int

    @classmethod
    def of(cls, styles: Sequence[KeptStyle], device: str = "auto") -> FastStyle:
        """Make one ready.

        Raises
        ------
        UnetstyleError
            If it is not exactly one style that has a network, or the device is not there.
        """
        if len(styles) != 1 or styles[0].network is None:
            raise OptionError(
                f"The method fast takes one style that has a network, got {len(styles)} styles. Give one, or choose "
                "another method to mix several."
            )
        kept = styles[0].network
        return cls._ready(kept.built(), kept.spec, Span.of(styles[0].reference, kept.spec.in_channels), device)

    @classmethod
    def of_looks(cls, looks: Sequence[Pixels | Reference], wanted: Reference, device: str = "auto") -> FastStyle:
        """Show the bundled network what to look like, of which the mean is taken.

        Parameters
        ----------
        looks
            Pictures ``(C, Y, X)`` in 0..1, or styles with their texture.
        wanted
            Their statistics.
        device
            Where it is computed.

        Raises
        ------
        UnetstyleError
            If the device is not there, or the package's network cannot be read.
        """
        span = Span.of(wanted, 1 if all(map(_is_gray, looks)) else 3)
        return cls._toward(np.mean([_texture(look, span) for look in looks], axis=0), span, device)

    @classmethod
    def of_texture(cls, wanted: Reference) -> FastStyle:
        """The bundled network on its way to a style with a texture, on the processor.

        Raises
        ------
        UnetstyleError
            If the style has none, or the package's network cannot be read.
        """
        span = Span.of(wanted, wanted.channels)
        return cls._toward(_texture(wanted, span), span, "cpu")

    @classmethod
    def _toward(cls, texture: NDArray[np.float32], span: Span, device: str) -> FastStyle:
        network = toward(texture)
        return cls._ready(network, network.network.spec.body, span, device)

    @classmethod
    def _ready(cls, network: StyleNet | TowardStyle, spec: StyleNetSpec, span: Span, device: str) -> FastStyle:
        import torch

        from napari_unetstyle.core import device as devices

        where = devices.resolve(device)
        network = network.to(where).to(memory_format=torch.channels_last)  # faster on processors, too
        return cls(network, where, span, spec.in_channels, spec.width)

    def measured(self, parts: Sequence[Pixels]) -> FastStyle:
        """The same for all slices of a volume, whose statistics are those of these parts of it.

        Parameters
        ----------
        parts
            ``(C, Y, X)`` in 0..1, as :meth:`steps` takes them, of equal size.
        """
        import torch

        return replace(self, network=self.network.frozen(torch.cat([self._wide(self._seen(part)) for part in parts])))

    def steps(self, start: Pixels) -> Steps[Pixels]:
        """Change one slice ``(C, Y, X)`` in 0..1 that has the colors and the polarity of the style already.

        Raises
        ------
        ImageError
            If it is too large for the memory that is free, as it is done at once: statistics are of the whole slice,
            unless they were :meth:`measured`.
        """
        made = self(start)
        yield StyleProgress(1, 1, "style", preview=made)
        return made

    def __call__(self, start: Pixels) -> Pixels:
        """As :meth:`steps`, at once."""
        import torch

        self._check(start)
        seen = self._seen(start)
        try:
            with torch.inference_mode():
                made = self.network(self._wide(seen))[0].cpu().numpy()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise ImageError(
                f"A style in one pass needs more memory than {self.device} has for {start.shape[1]} x {start.shape[2]} "
                "pixels. Choose the device cpu, or crop the picture."
            ) from error
        return self.span.back(made if len(made) == seen.shape[1] else luminance(made)[np.newaxis], len(start))

    def _seen(self, start: Pixels) -> Tensor:
        return as_tensor(self.span.into(start)).to(self.device)

    def _wide(self, seen: Tensor) -> Tensor:
        """With as many channels as the network takes."""
        import torch

        return seen.expand(-1, self.channels, -1, -1).contiguous(memory_format=torch.channels_last)

    def _check(self, start: Pixels) -> None:
        if self.device.type != "cpu":
            return
        needed, free = _BYTES * self.width * start.shape[1] * start.shape[2], free_memory()
        if needed > free:
            raise ImageError(
                f"A style in one pass needs about {gigabytes(needed)} of memory for {start.shape[1]} x "
                f"{start.shape[2]} pixels, and {gigabytes(free)} are free. Crop the picture, or choose the "
                "method automatic."
            )


def _is_gray(look: Pixels | Reference) -> bool:
    return look.is_gray if isinstance(look, Reference) else is_gray(look)


def _texture(look: Pixels | Reference, span: Span) -> NDArray[np.float32]:
    if not isinstance(look, Reference):
        return seen([look], span)
    if look.texture is None:
        raise OptionError(f"The style {look.name or 'picture'} is kept without its texture. Give the picture.")
    return look.texture
