"""Fixes that go against what the model was sure of: shown before they are learned, for they teach most or are slips."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal

from napari_unetstyle.core.errors import UnetstyleError
from napari_unetstyle.core.progress import Steps
from napari_unetstyle.widgets.core_calls import CoreCalls
from napari_unetstyle.widgets.message_row import MessageRow

if TYPE_CHECKING:
    from napari_unetstyle.core.annotation.corrections import Correction
    from napari_unetstyle.core.models.store import ModelStore
    from napari_unetstyle.core.training.options import FineTuneOptions
    from napari_unetstyle.widgets.goal import Goal
    from napari_unetstyle.widgets.lesson_run import Material

TEACH, SHOW, NEXT = "Teach all the same", "Show", "Show next"
_MOST = 2**22  # pixels that are segmented in order to look at fixes: seconds, where teaching takes minutes


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """One such place.

    Attributes
    ----------
    name
        Of the labels.
    frame, sides
        Where: along the leading label axes, and first and last + 1 pixel along the others.
    said, sure_of
        Class values of the person and of the model; 0 is background.
    material
        The fixes that it is among.
    """

    name: str
    frame: tuple[int, ...]
    sides: tuple[tuple[int, int], ...]
    said: int
    sure_of: int
    material: Material = field(compare=False, repr=False)

    @property
    def box(self) -> tuple[slice, ...]:
        """Where in the frame."""
        return tuple(slice(*side) for side in self.sides)


@dataclass(frozen=True)
class Doubts:
    """What a person should look at before anything is taught, the largest place first."""

    found: tuple[Doubt, ...]


def iter_doubts(
    calls: CoreCalls,
    material: Sequence[Material],
    corrections: Sequence[Correction],
    model: str,
    options: FineTuneOptions,
    store: ModelStore,
) -> Steps[list[Doubt]]:
    """Look for fixes by hand that go against what a model was sure of.

    Masks that were made elsewhere are not looked at, as nobody's hand slipped there; nor are pictures of earlier days
    that it would take long to segment. That nobody can tell is no reason not to teach.
    """
    room, asked = _MOST, []
    for one, correction in zip(material, corrections, strict=True):
        if correction.painted is None or not correction.painted.any():
            continue
        room -= 0 if one.probabilities is not None else math.prod(correction.image.label_shape)
        if one.probabilities is not None or room >= 0:
            asked.append((one, correction))
    if not asked:
        return []
    lessons, known = [one for _, one in asked], [one.probabilities for one, _ in asked]
    try:
        steps = calls.iter_contradictions(lessons, model, options.segment, store, known, options.add_classes)
        found = yield from steps
    except UnetstyleError:
        return []
    return [
        Doubt(
            name=asked[one.picture][0].name,
            frame=one.frame,
            sides=tuple((side.start, side.stop) for side in one.box),
            said=one.said,
            sure_of=one.sure_of,
            material=asked[one.picture][0],
        )
        for one in found
    ]


class DoubtsRow(MessageRow):
    """Says how many there are, goes to one after the other, and never asks about the same place twice."""

    teach_wanted = Signal()
    place_wanted = Signal(object)  # Doubt

    def __init__(self) -> None:
        super().__init__()
        self.settled: frozenset[Doubt] = frozenset()
        self._found: tuple[Doubt, ...] = ()
        self._model = ""
        self._names: dict[int, str] = {}
        self._next = 0

    def show_doubts(self, doubts: Doubts, goal: Goal) -> None:
        """Show the row."""
        self._found, self._next = doubts.found, 0
        self._model, self._names = goal.title, {c.value: c.name for c in goal.classes}
        count = len(self._found)
        fixes = "One of your fixes goes" if count == 1 else f"{count} of your fixes go"
        self._ask(f"{fixes} against what {self._model} was sure of.", SHOW)

    def settle(self) -> None:
        """A person has seen what is listed, and wants it to be learned."""
        self.settled |= frozenset(self._found)

    def _ask(self, words: str, show: str) -> None:
        self.ask(words, (show, self._show_next), (TEACH, self._on_teach))

    def _on_teach(self) -> None:
        self.settle()
        self.teach_wanted.emit()

    def _show_next(self) -> None:
        number, count = self._next, len(self._found)
        doubt = self._found[number]
        self._next = (number + 1) % count
        which = f"{doubt.name}, {number + 1} of {count}" if count > 1 else doubt.name
        said, sure_of = (self._names.get(value, "nothing there") for value in (doubt.said, doubt.sure_of))
        self._ask(f"{which}: you say {said}; {self._model} was sure: {sure_of}.", NEXT if count > 1 else SHOW)
        self.place_wanted.emit(doubt)
