"""Styles as augmentation: each picture looks now like one microscope, now like another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.errors import OptionError
from napari_unetstyle.core.style.change import ANY, StyleOptions, change_of, is_to_invert
from napari_unetstyle.core.style.fast import FastStyle
from napari_unetstyle.core.style.photometric import METHODS
from napari_unetstyle.core.style.pixels import Pixels
from napari_unetstyle.core.style.polarity import differ
from napari_unetstyle.core.style.reference import Reference

_COLORS = 3


@dataclass(frozen=True, kw_only=True)
class StyleAugment:
    """Gives a picture a style drawn from a bank, with a chance; its labels stay true.

    Half of the drawn styles are mixtures of two of the bank; the others are drawn from the Gaussian that the bank's
    styles span (Jackson et al. 2019), so that what lies between and a little beyond them is met, too. What lies
    farthest is known beforehand, so that it can be judged; see :meth:`extremes`.

    A patch is changed as it is drawn. Even texture is one pass of a small network, 5 % of a step of the nuclei model:
    a cache that is filled beside the training would gain less than it costs in memory and disk.

    Attributes
    ----------
    bank
        The styles, at least one; those of one channel count as gray for all.
    methods
        One is drawn each time; see :class:`StyleOptions`. ``"any"`` is ``"automatic"`` where the style, or the picture,
        has no texture: 2D pictures of one channel or three have, and styles that :func:`with_texture` gave one.
    p
        Chance that a picture is changed at all.
    strength
        Lowest and highest strength; it is drawn between them.
    reach
        How many standard deviations the Gaussian goes at most; at 0 styles are neither mixed nor drawn from it.
    """

    bank: tuple[Reference, ...]
    methods: tuple[str, ...] = ("histogram", "moments", "automatic")
    p: float = 0.6
    strength: tuple[float, float] = (0.6, 1.0)
    reach: float = 2.0

    def __post_init__(self) -> None:
        if not self.bank or not self.methods:
            raise OptionError("A style augmentation needs at least one style and one method; got none.")
        for method in self.methods:
            if method not in (*METHODS, ANY):
                raise OptionError(
                    f"Method {method!r} is not allowed while training. Methods: {', '.join((*METHODS, ANY))}."
                )
        low, high = self.strength
        if not 0 <= low <= high <= 1 or not 0 <= self.p <= 1:
            raise OptionError(
                f"Chance p={self.p} and strength={self.strength} are not allowed: give numbers from 0 to 1, the lower "
                "strength first."
            )
        if not 0 <= self.reach < np.inf:
            raise OptionError(f"Option reach={self.reach} is not allowed: give a number from 0.")

    def __call__(
        self, pixels: Pixels, rng: np.random.Generator, content: Reference | None = None, strength: float = 1.0
    ) -> Pixels:
        """Pixels ``(C, *spatial)`` in 0..1, of the same shape in the new style.

        `content` is the style of the whole picture that `pixels` are a part of; without it, that of the part. Of the
        strength that is drawn `strength` is used.
        """
        if rng.random() >= self.p:
            return pixels
        wanted = self.draw(rng)
        options = StyleOptions(
            method=self.methods[int(rng.integers(len(self.methods)))],
            strength=strength * float(rng.uniform(*self.strength)),
        )
        if wanted.channels not in (1, len(pixels)):
            wanted = wanted.gray()
        return in_style(pixels, content or Reference.of_unit(pixels), wanted, options)

    def draw(self, rng: np.random.Generator) -> Reference:
        """A style: a mixture of two, or from the Gaussian over all; of one polarity, as a mean of two has none."""
        first = self.bank[int(rng.integers(len(self.bank)))]
        if self.reach == 0:
            return first
        kin = self._kin(first)
        if len(kin) == 1 or rng.random() < 0.5:
            share = float(rng.random())
            return Reference.mixed([first, kin[int(rng.integers(len(kin)))]], [share, 1 - share])
        return _displaced(kin, rng.standard_normal(len(kin)).clip(-self.reach, self.reach))

    def extremes(self) -> list[Reference]:
        """Of what is drawn of several styles the mean, and the farthest toward the first and the last of them."""
        related = [style for style in self.bank if len(self._kin(style)) > 1]
        if not related or not self.reach:
            return []
        found = [Reference.mixed(self._kin(related[0]))]
        for style in (related[0], related[-1]):
            kin = self._kin(style)
            found.append(_displaced(kin, np.array([self.reach if one is style else -self.reach for one in kin])))
        return found

    def _kin(self, style: Reference) -> list[Reference]:
        """Those of one polarity with a style, itself among them."""
        return [one for one in self.bank if not differ(style.polarity, one.polarity)]


def _displaced(kin: Sequence[Reference], deviations: NDArray[np.float64]) -> Reference:
    """From the mean of styles so many standard deviations along each."""
    weights = 1 / len(kin) + (deviations - deviations.mean()) / np.sqrt(len(kin) - 1)  # has the styles' covariance
    return Reference.mixed(kin, weights.tolist())


def in_style(pixels: Pixels, content: Reference, wanted: Reference, options: StyleOptions) -> Pixels:
    """A part ``(C, *spatial)`` in 0..1 of a picture of style `content`, in the style `wanted`.

    Texture is made of the part alone, in one pass, where the method is ``"any"`` and it can be had.
    """
    is_textured = options.method == ANY and can_texture(pixels, wanted)
    if options.method == ANY and not is_textured:
        options = replace(options, method="automatic")
    changed = change_of(content, wanted, options)(pixels)
    if not is_textured or options.strength == 0:
        return changed
    upright = 1 - pixels if is_to_invert(content, wanted, options) else pixels
    share, made = np.float32(options.strength), FastStyle.of_texture(wanted)(changed.clip(0, 1))
    return (1 - share) * upright + share * made


def can_texture(pixels: Pixels, wanted: Reference) -> bool:
    """Whether a picture ``(C, *spatial)`` can take the texture of a style."""
    return wanted.texture is not None and pixels.ndim == 3 and len(pixels) in (1, _COLORS)
