"""From one style to another, as a function of pixels."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from napari_unetstyle.core.errors import OptionError
from napari_unetstyle.core.style.gatys import GatysOptions
from napari_unetstyle.core.style.photometric import METHODS, Change
from napari_unetstyle.core.style.pixels import Pixels, luminance
from napari_unetstyle.core.style.polarity import differ
from napari_unetstyle.core.style.reference import Reference

ANY = "any"
NEURAL = ("gatys", ANY)
"""Methods that make texture, too, from a picture to look like."""
TRAINED = ("fast",)
"""Methods that make texture, too, with a network that was trained for the style."""
TEXTURED = (*NEURAL, *TRAINED)
EXCHANGED = "Bright and dark were exchanged."


@dataclass(frozen=True, kw_only=True)
class StyleOptions:
    """How to change a picture's style.

    Attributes
    ----------
    method
        ``"histogram"``: ranks; ``"moments"``: mean and deviation, in CIE Lab for colors; ``"automatic"``: half of each;
        ``"stain"``: color and amount of two dyes, of colored bright-field pictures; ``"landmarks"``: percentiles of
        what is brighter than the mean, of MR;
        ``"gatys"``: ``"automatic"``, and then the texture, slice by slice (minutes instead of a second);
        ``"any"``: the same in one pass, by a network that looks at the style;
        ``"fast"``: the same in one pass, for a style that has a network of its own.
    strength
        0 leaves the picture as it is, 1 gives it the whole style.
    align
        Invert the picture first where it is bright on dark and the style dark on bright, or the other way round, and
        both surely. An inversion is all or nothing, at any strength above 0: half of one would have no contrast.
    neural
        How a neural method goes about it.
    channel
        Take this channel only (index from 0, or name): of the picture, and of styles that have as many channels.
    """

    method: str = "automatic"
    strength: float = 1.0
    align: bool = True
    neural: GatysOptions = field(default_factory=GatysOptions)
    channel: int | str | None = None

    def __post_init__(self) -> None:
        known = (*METHODS, *TEXTURED)
        if self.method not in known:
            raise OptionError(f"There is no style method {self.method!r}. Methods: {', '.join(known)}.")
        if not 0 <= self.strength <= 1:
            raise OptionError(f"Option strength={self.strength!r} is not allowed: give a number from 0 to 1.")


def is_to_invert(content: Reference, wanted: Reference, options: StyleOptions) -> bool:
    """Whether bright and dark are exchanged first; never for dyes, whose pictures are all dark on bright."""
    if options.method == "stain" and not _lacking(content, wanted):
        return False
    return options.align and options.strength > 0 and differ(content.polarity, wanted.polarity)


def is_to_gray(content: Reference, wanted: Reference) -> bool:
    """Whether the style has no color and the picture several channels; those of the result are alike then."""
    return content.channels > 1 and (wanted.channels == 1 or wanted.is_gray)


def notes_of(content: Reference, wanted: Reference, options: StyleOptions) -> tuple[str, ...]:
    """Sentences a person should see."""
    notes = [EXCHANGED] if is_to_invert(content, wanted, options) else []
    if content.is_constant:
        notes.append("The picture has the same value everywhere.")
    if options.method == "stain" and options.strength > 0 and (lacking := _lacking(content, wanted)):
        notes.append(f"Two stains cannot be told apart in {lacking}; the method automatic was used instead of stain.")
    return tuple(notes)


def _lacking(content: Reference, wanted: Reference) -> str:
    found = {"the picture": content.dyes, "the style": wanted.dyes}
    return " and ".join(name for name, dyes in found.items() if dyes is None)


def change_of(content: Reference, wanted: Reference, options: StyleOptions) -> Change:
    """From pixels ``(C, *spatial)`` in 0..1, of a picture of style `content`, to pixels in the style `wanted`.

    For a method that makes texture, what it starts from.
    A gray style gives a gray picture of as many channels.
    """
    is_inverted = is_to_invert(content, wanted, options)
    if options.strength == 0:
        return lambda pixels: pixels
    if is_to_gray(content, wanted):
        inner = change_of(content.gray(), wanted.gray(), options)
        return lambda pixels: np.repeat(inner(luminance(pixels)[np.newaxis]), len(pixels), axis=0)
    start = content.inverted() if is_inverted else content
    is_start = options.method in TEXTURED
    method = METHODS["automatic" if is_start else options.method]
    whole, strength = method(start, wanted), np.float32(1 if is_start else options.strength)

    def change(pixels: Pixels) -> Pixels:
        upright = 1 - pixels if is_inverted else pixels
        return (1 - strength) * upright + strength * whole(upright)

    return change
