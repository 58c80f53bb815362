"""Training pictures in other styles, as far as their labels stay true."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.annotation.known import UNKNOWN, as_given
from napari_unetstyle.core.progress import Progress, Steps
from napari_unetstyle.core.style.augment import StyleAugment, can_texture, in_style
from napari_unetstyle.core.style.change import ANY, StyleOptions
from napari_unetstyle.core.style.content_check import Content
from napari_unetstyle.core.style.reference import Reference
from napari_unetstyle.core.training.patches import Example

METHODS = ("moments", "automatic")  # ranks alone erase objects where they take more room than in the style
_SIDE = {2: 192, 3: 64}  # of a part that is judged, by dimensions
_PARTS = 3  # of a picture, those with most labels
_REACHES = (2.0, 1.0, 0.5, 0.0)  # how far mixtures may go, the farthest first
_NAMED = 3  # pairs in a note


@dataclass(frozen=True, eq=False)
class StyledExamples:
    """Pictures with the styles that each can take.

    Attributes
    ----------
    examples
        As they were, with styles.
    tried, dropped
        How many pairs of picture and style there were, and which were left out as the labels would no longer fit.
    textured, plain
        How many of the others could take the texture of the style, too, and with which of these the labels would not
        fit with it, so that they do without.
    unmixed
        Pictures whose labels fit each of their styles, and no mixture of them.
    """

    examples: list[Example]
    tried: int = 0
    dropped: tuple[str, ...] = ()
    textured: int = 0
    plain: tuple[str, ...] = ()
    unmixed: tuple[str, ...] = ()

    @property
    def note(self) -> str:
        """What was left out, in words; empty if nothing was."""
        words = []
        if self.dropped:
            words.append(
                f"{len(self.dropped)} of {self.tried} pairs of picture and style were left out, as the labels would no "
                f"longer fit the picture: {_listed(self.dropped)}."
            )
        if self.plain:
            words.append(
                f"{len(self.plain)} of {self.textured} do without the texture of the style, with which the labels "
                f"would not fit: {_listed(self.plain)}."
            )
        if self.unmixed:
            words.append(f"Styles are not mixed where the labels would not fit that: {_listed(self.unmixed)}.")
        return " ".join(words)


def iter_styled(examples: Sequence[Example], styles: Sequence[Reference]) -> Steps[StyledExamples]:
    """Give each picture those styles that its labels survive by every method that is used; see :class:`Content`.

    Judged at full strength: each style alone, in up to three parts that hold labels; then the farthest that may be
    drawn of them, in the one with most, and where that fails, less far.
    """
    found: list[Example] = []
    if not styles:
        return StyledExamples(list(examples))
    dropped, plain, unmixed, textured = [], [], [], 0
    is_alike = len({style.channels for style in styles}) == 1
    for number, example in enumerate(examples, 1):
        trial, bank = _Trial.of(example), []
        channels = len(example.image)
        colors = channels if channels == 3 or is_alike else 1  # others cannot be mixed with gray ones
        for index, style in enumerate(styles, 1):
            pair = f"{example.name or f'picture {number}'} like {style.name or f'style {index}'}"
            wanted = style if style.channels in (1, colors) else style.gray()
            if not trial.survives([wanted], METHODS):
                dropped.append(pair)
                continue
            if can_texture(example.image, wanted):
                textured += 1
                if not trial.survives([wanted], (ANY,)):
                    wanted = wanted.without_texture()
                    plain.append(pair)
            else:
                wanted = wanted.without_texture()
            bank.append(wanted)
        style_of = _augmentation(bank, trial)
        if style_of is not None and style_of.reach == 0:
            unmixed.append(example.name or f"picture {number}")
        found.append(replace(example, style=style_of))
        yield Progress(number, len(examples), "Trying the styles on your pictures")
    tried = len(examples) * len(styles)
    return StyledExamples(found, tried, tuple(dropped), textured, tuple(plain), tuple(unmixed))


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _augmentation(bank: Sequence[Reference], trial: _Trial) -> StyleAugment | None:
    """All of the styles, mixed as far as the labels survive."""
    if not bank:
        return None
    methods = (*METHODS, ANY) if any(style.texture is not None for style in bank) else METHODS
    tried = (StyleAugment(bank=tuple(bank), methods=methods, reach=reach) for reach in _REACHES)
    return next(one for one in tried if trial.first.survives(one.extremes(), methods))


@dataclass(frozen=True, eq=False)
class _Trial:
    """A picture's parts with labels, in which styles are tried on it."""

    look: Reference
    parts: tuple[Content, ...]

    @classmethod
    def of(cls, example: Example) -> _Trial:
        classes, objects = example.labels
        labels = objects if (objects > 0).any() else as_given(classes)
        known = labels if example.valid is None else np.where(example.valid, labels, UNKNOWN)
        boxes = _boxes(known > 0)
        return cls(example.look, tuple(Content(example.image[(slice(None), *box)], known[box]) for box in boxes))

    @property
    def first(self) -> _Trial:
        """The part with most labels alone, so that judging takes little of the time."""
        return replace(self, parts=self.parts[:1])

    def survives(self, styles: Sequence[Reference], methods: Sequence[str]) -> bool:
        """Whether the labels describe every part in every style by every method."""
        tried = itertools.product(styles, methods, self.parts)
        return all(self._fits(part, style, method) for style, method, part in tried)

    def _fits(self, part: Content, style: Reference, method: str) -> bool:
        return part.judge(in_style(part.pixels, self.look, style, StyleOptions(method=method))).holds


def _boxes(marked: NDArray[np.bool_]) -> list[tuple[Any, ...]]:
    """Up to three parts, those with most that is labeled; of a picture without labels its first."""
    side = _SIDE[marked.ndim]
    lines = []
    for length in marked.shape:
        count = max(1, round(length / side))
        room = max(0, length - side)
        starts = [room * i // (count - 1) for i in range(count)] if count > 1 else [room // 2]
        lines.append([slice(start, start + side) for start in starts])
    boxes = list(itertools.product(*lines))
    best = sorted(boxes, key=lambda box: -np.count_nonzero(marked[box]))[:_PARTS]
    return [box for box in best if marked[box].any()] or best[:1]
