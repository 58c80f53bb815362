"""Training pictures in other styles, as far as their labels stay true."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from napari_unetstyle.core.annotation.known import UNKNOWN, as_given
from napari_unetstyle.core.progress import Progress, Steps
from napari_unetstyle.core.style.augment import StyleAugment, can_texture, in_style
from napari_unetstyle.core.style.change import ANY, StyleOptions
from napari_unetstyle.core.style.content_check import check_content
from napari_unetstyle.core.style.reference import Reference
from napari_unetstyle.core.training.patches import Example

METHODS = ("moments", "automatic")  # ranks alone erase objects where they take more room than in the style
_JUDGED_BY = "automatic"  # the one of them that changes more
_SIDE = {2: 256, 3: 64}  # of the part that is judged, by dimensions


@dataclass(frozen=True, eq=False)
class StyledExamples:
    """Pictures with the styles that each can take.

    Attributes
    ----------
    examples
        As they were, with styles.
    tried, dropped
        How many pairs of picture and style there were, and how many were left out as the labels would no longer fit.
    textured, plain
        How many of the others could take the texture of the style, too, and of how many of these the labels would not
        fit with it, so that they do without.
    """

    examples: list[Example]
    tried: int = 0
    dropped: int = 0
    textured: int = 0
    plain: int = 0

    @property
    def note(self) -> str:
        """What was left out, in words; empty if nothing was."""
        words = []
        if self.dropped:
            words.append(
                f"{self.dropped} of {self.tried} pairs of picture and style were left out: the labels would no longer "
                "fit the picture."
            )
        if self.plain:
            words.append(f"{self.plain} of {self.textured} do without the texture of the style, for the same reason.")
        return " ".join(words)


def iter_styled(examples: Sequence[Example], styles: Sequence[Reference]) -> Steps[StyledExamples]:
    """Give each picture those styles that its labels survive; see :func:`check_content`."""
    found: list[Example] = []
    if not styles:
        return StyledExamples(list(examples))
    kept = textured = plain = 0
    for number, example in enumerate(examples, 1):
        bank = []
        for style in styles:
            wanted = style if style.channels in (1, len(example.image)) else style.gray()
            if not _survives(example, wanted, _JUDGED_BY):
                continue
            if can_texture(example.image, wanted):
                textured += 1
                if not _survives(example, wanted, ANY):
                    wanted, plain = wanted.without_texture(), plain + 1
            else:
                wanted = wanted.without_texture()
            bank.append(wanted)
        kept += len(bank)
        found.append(replace(example, style=_augmentation(bank)))
        yield Progress(number, len(examples), "Trying the styles on your pictures")
    tried = len(examples) * len(styles)
    return StyledExamples(found, tried, tried - kept, textured, plain)


def _augmentation(bank: Sequence[Reference]) -> StyleAugment | None:
    if not bank:
        return None
    has_texture = any(style.texture is not None for style in bank)
    return StyleAugment(bank=tuple(bank), methods=(*METHODS, ANY) if has_texture else METHODS)


def _survives(example: Example, wanted: Reference, method: str) -> bool:
    part = _middle(example)
    classes, objects = example.labels
    labels = objects if (objects > 0).any() else as_given(classes)
    known = labels if example.valid is None else np.where(example.valid, labels, UNKNOWN)
    pixels = example.image[(slice(None), *part)]
    changed = in_style(pixels, example.look, wanted, StyleOptions(method=method))
    return check_content(pixels, changed, known[part]).holds


def _middle(example: Example) -> tuple[Any, ...]:
    """A part around the middle of what is labeled."""
    spatial = example.image.shape[1:]
    marked = np.argwhere(example.labels.max(axis=0) > 0)
    middle = np.median(marked, axis=0) if len(marked) else np.array(spatial) / 2
    side = _SIDE[len(spatial)]
    starts = [int(np.clip(m - side / 2, 0, max(0, n - side))) for m, n in zip(middle, spatial, strict=True)]
    return tuple(slice(start, start + side) for start in starts)
