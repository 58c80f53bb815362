"""What is kept of a picture whose style is wanted: numbers, no pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.errors import OptionError
from napari_unetstyle.core.style import polarity
from napari_unetstyle.core.style.pixels import MOST, Pixels, sampled, scale_of, thinned, to_unit
from napari_unetstyle.core.style.stains import Amounts, Stains, mean_stains, measure_stains

LEVELS = 257
_COLORS = 3
_SAME = 1e-6
_NO_COLOR = 1e-3
_NO_HUE = 0.5  # of CIE Lab, in which nobody sees a difference below about 1
_ARRAYS = ("quantiles", "mean", "std")
_DYES = ("stains", "amounts")
_SOME = (*_DYES, "texture")  # which not every style has


@dataclass(frozen=True, kw_only=True, eq=False)
class Reference:
    """The style of a picture, or of several mixed.

    Attributes
    ----------
    quantiles
        float32 ``(C, 257)``: intensities in 0..1 at evenly spaced ranks, of each channel.
    mean, std
        float32 ``(C,)``: of CIE Lab for three channels (red, green, blue), of the channel itself otherwise.
    polarity
        -1..1: objects darker (below 0) or brighter than what is around them, and how surely; see `polarity.measure`.
    name
        What a person calls it.
    stains, amounts
        float32 ``(2, 3)`` and ``(2,)``: the dyes of a colored bright-field picture, see `stains.measure_stains`; None
        of any other.
    texture
        float32 ``(n,)``: how the picture looks to the network of any style, see `any_style.with_texture`; None where
        it was not shown to it. Of a mixture the mean, where all have one.
    """

    quantiles: NDArray[np.float32]
    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    polarity: float
    name: str = ""
    stains: Stains | None = None
    amounts: Amounts | None = None
    texture: NDArray[np.float32] | None = None

    @property
    def dyes(self) -> tuple[Stains, Amounts] | None:
        """What the picture is stained with, if it is known."""
        return None if self.stains is None or self.amounts is None else (self.stains, self.amounts)

    @property
    def channels(self) -> int:
        """Number of channels, 1 or 3 of pictures as people see them."""
        return len(self.quantiles)

    @property
    def is_constant(self) -> bool:
        """Whether every pixel has the same value."""
        return bool(np.ptp(self.quantiles, axis=1).max() <= _SAME)

    @property
    def is_gray(self) -> bool:
        """Whether there is no color in it: one channel, or three that are alike in every pixel."""
        if self.channels != _COLORS:
            return self.channels == 1
        is_alike = np.ptp(self.quantiles, axis=0).max() < _NO_COLOR  # as those of confetti are, too
        return bool(is_alike and max(np.abs(self.mean[1:]).max(), self.std[1:].max()) < _NO_HUE)

    @classmethod
    def of(cls, pixels: NDArray[Any], name: str = "") -> Reference:
        """Of pixels ``(C, *spatial)`` of any real type; non-finite ones do not count."""
        return _Looked(pixels, scale_of(pixels), name)

    @classmethod
    def of_unit(cls, pixels: Pixels, name: str = "") -> Reference:
        """Of pixels ``(C, *spatial)`` that are in 0..1 already."""
        return _Looked(pixels, (0.0, 1.0), name)

    @classmethod
    def mixed(cls, references: Sequence[Reference], weights: Sequence[float] | None = None) -> Reference:
        """The weighted mean of several styles; gray and colored ones together are mixed as gray ones.

        A weight below 0 leads away from a style, as far as that gives intensities.

        Raises
        ------
        OptionError
            If there is none, or they have different numbers of channels.
        """
        if len(references) == 1:
            return references[0]
        counts = sorted({reference.channels for reference in references})
        if counts == [1, _COLORS]:
            return cls.mixed([reference.gray() for reference in references], weights)
        if len(counts) != 1:
            got = "none" if not counts else " and ".join(map(str, counts)) + " channels"
            raise OptionError(f"Styles can be mixed if each has as many channels as the others; got {got}.")
        shares = np.asarray(weights or [1.0] * len(references), np.float32)
        shares = shares / shares.sum()

        def mean(name: str) -> NDArray[np.float32]:
            return np.tensordot(shares, np.stack([getattr(r, name) for r in references]), 1).astype(np.float32)

        stained = [(share, r.dyes) for share, r in zip(shares, references, strict=True) if r.dyes]
        dyes = mean_stains([dyes for _, dyes in stained], np.array([share for share, _ in stained], np.float32))
        return cls(
            quantiles=np.maximum.accumulate(mean("quantiles").clip(0, 1), axis=1),
            mean=mean("mean"),
            std=mean("std").clip(0),
            polarity=float(np.clip(np.dot(shares, [reference.polarity for reference in references]), -1, 1)),
            name=", ".join(r.name for r in references if r.name),
            texture=mean("texture") if all(r.texture is not None for r in references) else None,
            **_named(dyes),
        )

    def stated(self) -> dict[str, Any]:
        """All of it as numbers and text that JSON can hold."""
        names = (*_ARRAYS, *(name for name in _SOME if getattr(self, name) is not None))
        arrays = {name: getattr(self, name).tolist() for name in names}
        return {**arrays, "polarity": self.polarity, "name": self.name}

    @classmethod
    def of_stated(cls, stated: Mapping[str, Any]) -> Reference:
        """The inverse of :meth:`stated`."""
        names = (*_ARRAYS, *(name for name in _SOME if stated.get(name) is not None))
        with np.errstate(over="ignore"):  # what float32 cannot hold is infinite, and refused as such
            numbers = {name: np.asarray(stated[name], np.float32) for name in names}
        return cls(**{**stated, **numbers})

    def inverted(self) -> Reference:
        """The style of the same picture with bright and dark exchanged."""
        return _Inverted(self)

    def without_texture(self) -> Reference:
        """The same style, for where no texture can or may be made."""
        return self if self.texture is None else Reference.of_stated({**self.stated(), "texture": None})

    def gray(self) -> Reference:
        """The same style for one channel: the mean of the channels' intensities."""
        if self.channels == 1:
            return self
        quantiles = self.quantiles.mean(axis=0, keepdims=True)
        inner = (quantiles[:, 1:] + quantiles[:, :-1]) / 2
        return Reference(
            quantiles=quantiles,
            mean=inner.mean(axis=1),
            std=inner.std(axis=1),
            polarity=self.polarity,
            name=self.name,
        )


def joined(references: Sequence[Reference]) -> Reference:
    """The mean of styles that somebody gave together.

    Raises
    ------
    OptionError
        If they cannot be mixed, see :meth:`Reference.mixed`, or are of opposite polarities: the mean of bright on dark
        and dark on bright is a gray without contrast.
    """
    dark, bright = (
        [
            f"{one.name or f'style {i}'} ({one.polarity:+.2f})"
            for i, one in enumerate(references, 1)
            if sign * one.polarity >= polarity.SURE
        ]
        for sign in (-1, 1)
    )
    if dark and bright:
        raise OptionError(
            f"Styles of opposite polarity have no mean: things are darker than what is around them in "
            f"{', '.join(dark)}, brighter in {', '.join(bright)}. Give styles of one polarity."
        )
    return Reference.mixed(references)


class _Looked(Reference):
    """The style of pixels at hand; each number is taken when it is first asked for, as no method needs them all.

    Of the fields, `name` is given and `texture` is None; the others are below. As they are no arguments,
    ``dataclasses.replace`` cannot be used on it.
    """

    _stored: NDArray[Any]
    _few: NDArray[Any]
    _scale: tuple[float, float]

    def __init__(self, pixels: NDArray[Any], scale: tuple[float, float], name: str) -> None:
        stored, few = (thinned(pixels, most).copy() for most in (MOST, polarity.MOST))
        # as nothing can be assigned to what is frozen:
        vars(self).update(name=name, _stored=stored, _few=few, _scale=scale)

    @cached_property
    def quantiles(self) -> NDArray[np.float32]:
        if self._stored.dtype == np.uint8:
            return _quantiles_of_bytes(self._stored)
        return np.quantile(self._some, np.linspace(0, 1, LEVELS), axis=1).T.astype(np.float32)

    @cached_property
    def mean(self) -> NDArray[np.float32]:
        mean: NDArray[np.float32] = self._perceived.mean(axis=1)
        return mean

    @cached_property
    def std(self) -> NDArray[np.float32]:
        std: NDArray[np.float32] = self._perceived.std(axis=1)
        return std

    @cached_property
    def polarity(self) -> float:
        return polarity.measure(to_unit(self._few, self._scale)[0])

    @cached_property
    def stains(self) -> Stains | None:
        return self._measured[0]

    @cached_property
    def amounts(self) -> Amounts | None:
        return self._measured[1]

    @cached_property
    def _some(self) -> NDArray[np.float32]:
        return sampled(to_unit(self._stored, self._scale)[0])

    @cached_property
    def _perceived(self) -> NDArray[np.float32]:
        return to_perceived(self._some)

    @cached_property
    def _measured(self) -> tuple[Stains | None, Amounts | None]:
        return measure_stains(self._some) or (None, None)


class _Inverted(Reference):
    """The style of what is inverted, as far as it follows from that of the picture; its dyes and texture are none.

    Taken when it is asked for, as the picture's own numbers may be, too.
    """

    _upright: Reference

    def __init__(self, upright: Reference) -> None:
        vars(self).update(name=upright.name, polarity=-upright.polarity, _upright=upright)

    @cached_property
    def quantiles(self) -> NDArray[np.float32]:
        return 1 - self._upright.quantiles[:, ::-1]

    @cached_property
    def mean(self) -> NDArray[np.float32]:
        if self.channels != _COLORS:
            return 1 - self._upright.mean
        return to_perceived(self.quantiles.mean(axis=1, keepdims=True))[:, 0]

    @cached_property
    def std(self) -> NDArray[np.float32]:
        return self._upright.std


def _quantiles_of_bytes(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """As ``numpy.quantile`` of 8-bit pixels ``(C, *spatial)`` in 0..1, by counting them, which is faster."""
    ranks = np.linspace(0, pixels[0].size - 1, LEVELS)
    below = np.floor(ranks).astype(np.int64)
    found = []
    for channel in pixels:
        ends = np.cumsum(np.bincount(channel.ravel(), minlength=256))
        low, high = (np.searchsorted(ends, at, side="right") for at in (below, np.ceil(ranks).astype(np.int64)))
        found.append((low + (ranks - below) * (high - low)) / 255)
    return np.stack(found).astype(np.float32)


def _named(dyes: tuple[Stains, Amounts] | None) -> dict[str, Any]:
    return {} if dyes is None else dict(zip(_DYES, dyes, strict=True))


def to_perceived(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """CIE Lab of three channels ``(3, *spatial)`` in 0..1; any other number of channels as it is."""
    if len(pixels) != _COLORS:
        return pixels
    from skimage.color import rgb2lab

    lab: NDArray[np.float32] = rgb2lab(np.clip(pixels, 0, 1), channel_axis=0).astype(np.float32)
    return lab


def from_perceived(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """The inverse of :func:`to_perceived`; colors that no screen has are cut to the nearest."""
    if len(pixels) != _COLORS:
        return pixels
    import warnings

    from skimage.color import lab2rgb

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Conversion from CIE-LAB")  # of colors that are cut, as said
        rgb: NDArray[np.float32] = lab2rgb(pixels, channel_axis=0).astype(np.float32)
    return rgb
