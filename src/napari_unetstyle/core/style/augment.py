"""Styles as augmentation: each picture looks now like one microscope, now like another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_unetstyle.core.errors import OptionError
from napari_unetstyle.core.style.change import StyleOptions, change_of
from napari_unetstyle.core.style.photometric import METHODS
from napari_unetstyle.core.style.pixels import Pixels
from napari_unetstyle.core.style.polarity import differ
from napari_unetstyle.core.style.reference import Reference


@dataclass(frozen=True, kw_only=True)
class StyleAugment:
    """Gives a picture a style drawn from a bank, with a chance; its labels stay true.

    Half of the drawn styles are mixtures of two of the bank; the others are drawn from the Gaussian that the bank's
    styles span (Jackson et al. 2019), so that what lies between and a little beyond them is met, too.

    Attributes
    ----------
    bank
        The styles, at least one; those of one channel count as gray for all.
    methods
        One is drawn each time; see :class:`StyleOptions`.
    p
        Chance that a picture is changed at all.
    strength
        Lowest and highest strength; it is drawn between them.
    """

    bank: tuple[Reference, ...]
    methods: tuple[str, ...] = ("histogram", "moments", "automatic")
    p: float = 0.6
    strength: tuple[float, float] = (0.6, 1.0)

    def __post_init__(self) -> None:
        if not self.bank or not self.methods:
            raise OptionError("A style augmentation needs at least one style and one method; got none.")
        for method in self.methods:
            if method not in METHODS:
                raise OptionError(f"Method {method!r} is not allowed while training. Methods: {', '.join(METHODS)}.")
        low, high = self.strength
        if not 0 <= low <= high <= 1 or not 0 <= self.p <= 1:
            raise OptionError(
                f"Chance p={self.p} and strength={self.strength} are not allowed: give numbers from 0 to 1, the lower "
                "strength first."
            )

    def __call__(self, pixels: Pixels, rng: np.random.Generator, content: Reference | None = None) -> Pixels:
        """Pixels ``(C, *spatial)`` in 0..1, of the same shape in the new style.

        `content` is the style of the whole picture that `pixels` are a part of; without it, that of the part.
        """
        if rng.random() >= self.p:
            return pixels
        wanted = self.draw(rng)
        options = StyleOptions(
            method=self.methods[int(rng.integers(len(self.methods)))], strength=float(rng.uniform(*self.strength))
        )
        if wanted.channels not in (1, len(pixels)):
            wanted = wanted.gray()
        return change_of(content or Reference.of_unit(pixels), wanted, options)(pixels)

    def draw(self, rng: np.random.Generator) -> Reference:
        """A style: a mixture of two, or from the Gaussian over all; of one polarity, as a mean of two has none."""
        first = self.bank[int(rng.integers(len(self.bank)))]
        kin = [style for style in self.bank if not differ(first.polarity, style.polarity)]
        if len(kin) == 1 or rng.random() < 0.5:
            share = float(rng.random())
            return Reference.mixed([first, kin[int(rng.integers(len(kin)))]], [share, 1 - share])
        deviations = rng.standard_normal(len(kin))
        weights = 1 / len(kin) + (deviations - deviations.mean()) / np.sqrt(len(kin) - 1)  # has the styles' covariance
        return Reference.mixed(kin, weights.tolist())
