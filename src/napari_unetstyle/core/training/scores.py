"""How well a model does, and what decides whether a taught one takes over."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

ENOUGH = 3
"""Held-out places that a comparison needs."""

TOLERATED = 0.01
"""Dice that old pictures may lose."""

TOLERATED_OF_ONE = 0.03
"""Dice that any one of them may lose: they are few, and what one gains does not bring back what another kind lost.

Nor does what is gained on one class bring back another, so that this is what any class of the places may lose, too."""

FOUND = 0.1
"""Dice on held-out places from which anything is found at all: below, nothing was learned that is of use."""

Verdict = Literal["better", "not better", "forgets", "unchecked", "new"]


@dataclass(frozen=True)
class Counts:
    """Pixels of one class found, true, and both; what Dice is made of."""

    found: int = 0
    true: int = 0
    both: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.found + other.found, self.true + other.true, self.both + other.both)

    @property
    def dice(self) -> float:
        """Dice; 1 where the class is neither found nor there."""
        total = self.found + self.true
        return 2 * self.both / total if total else 1.0


@dataclass(frozen=True)
class Scores:
    """How well one model does.

    Attributes
    ----------
    places
        For each held-out place its counts, class by class.
    old
        For each old picture its Dice, class by class.
    looks
        For each held-out place in each of the other looks its counts, class by class.
    added
        Names of the last classes, if the model that was taught does not know them: they are told by themselves.
    temperature
        Fitted to the held-out places, see :mod:`~napari_unetstyle.core.training.calibration`; None if there is too
        little.
    """

    places: tuple[tuple[Counts, ...], ...]
    old: tuple[tuple[float, ...], ...]
    looks: tuple[tuple[Counts, ...], ...] = ()
    added: tuple[str, ...] = ()
    temperature: float | None = None

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Scores:
        """From plain values."""

        def counted(which: str) -> tuple[tuple[Counts, ...], ...]:
            return tuple(tuple(Counts(**counts) for counts in place) for place in content[which])

        old = tuple(tuple(map(float, picture)) for picture in content["old"])
        return cls(counted("places"), old, counted("looks"), tuple(content["added"]), content["temperature"])

    @property
    def on_places(self) -> float | None:
        """Dice of all places together, mean over the classes that are there, less added ones; None without places."""
        return together(self._without_added(self.places))

    @property
    def on_looks(self) -> float | None:
        """The same of the places in the other looks."""
        return together(self._without_added(self.looks))

    def on_place(self, index: int) -> float:
        """The same of one place."""
        return together(self._without_added(self.places[index : index + 1])) or 0.0

    def _without_added(self, places: Sequence[tuple[Counts, ...]]) -> list[tuple[Counts, ...]]:
        return [counts[: len(counts) - len(self.added)] for counts in places]

    @property
    def of_classes(self) -> tuple[list[float], list[float]]:
        """Dice of each class that is there, less added ones: of all places, and of all in the other looks."""
        on_places, on_looks = (_of_classes(self._without_added(places)) for places in (self.places, self.looks))
        return on_places, on_looks

    @property
    def on_added(self) -> dict[str, float | None]:
        """Dice of each added class over all places; None if it is in none of them."""
        totals = {
            name: sum((counts[i - len(self.added)] for counts in self.places), Counts())
            for i, name in enumerate(self.added)
        }
        return {name: total.dice if total.true else None for name, total in totals.items()}

    @property
    def on_both(self) -> float | None:
        """Mean of places and looks, as far as they are there, over all classes: what a teaching is to make better."""
        found = [value for value in (together(self.places), together(self.looks)) if value is not None]
        return float(np.mean(found)) if found else None

    @property
    def on_old(self) -> float | None:
        """Mean Dice over old pictures and the classes that were known when they were labeled; None without them."""
        return float(np.mean([*itertools.chain(*self.old)])) if self.old else None


def together(places: Sequence[tuple[Counts, ...]]) -> float | None:
    """Dice of all places together, mean over the classes that are there; None without places.

    What is there does not depend on who is measured, so that any two models are averaged over the same classes.
    What one finds of other classes counts as wrongly found of those that are there, shared out by their size.
    """
    if not places:
        return None
    classes = _over_all(places)
    found, true = sum(c.found for c in classes), sum(c.true for c in classes)
    if not true:
        return 0.0 if found else 1.0
    stray = sum(c.found for c in classes if not c.true) / true
    return float(np.mean([2 * c.both / (c.found + c.true * (1 + stray)) for c in classes if c.true]))


def _over_all(places: Sequence[tuple[Counts, ...]]) -> list[Counts]:
    """Class by class the counts of all places."""
    return [sum(counts, Counts()) for counts in zip(*places, strict=True)]


def _of_classes(places: Sequence[tuple[Counts, ...]]) -> list[float]:
    """Dice of each class that is there."""
    return [total.dice for total in _over_all(places) if total.true]


@dataclass(frozen=True)
class Comparison:
    """What decides whether a taught model takes over.

    Attributes
    ----------
    parent, child
        Scores of the model that was taught (None: taught from nothing) and of what it became.
    """

    parent: Scores | None
    child: Scores

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Comparison:
        """From plain values."""
        parent = content["parent"]
        return cls(None if parent is None else Scores.from_json(parent), Scores.from_json(content["child"]))

    @property
    def verdict(self) -> Verdict:
        """``"forgets"`` counts before everything else: more than 0.01 Dice lost on old pictures.

        Then ``"unchecked"``, fewer than three held-out places; then ``"better"`` on these, or ``"not better"``. With
        other looks, better is who gains on the mean of the places as they are and in those looks, and loses no more
        than 0.01 on either. Who loses more than 0.03 Dice on one class is not better, whatever is gained on others, nor
        is who finds next to nothing (Dice of at most 0.1 on the places) better than who finds less. A model that comes
        from none is ``"new"``.

        With added classes, better is who finds each of them (Dice above 0.1) and loses no more than 0.01 on the others;
        an added class that is in no held-out place is ``"unchecked"``.
        """
        if self.parent is None:
            return "new"
        if self._forgets:
            return "forgets"
        if len(self.child.places) < ENOUGH or None in self.child.on_added.values():
            return "unchecked"
        return "better" if (self._keeps_and_finds if self.child.added else self._gains) else "not better"

    @property
    def _forgets(self) -> bool:
        if self.parent is None or self.parent.on_old is None or self.child.on_old is None:
            return False
        was, now = self._worst_old
        return self.child.on_old < self.parent.on_old - TOLERATED or now < was - TOLERATED_OF_ONE

    @property
    def _worst_old(self) -> tuple[float, float]:
        """Dice before and after of the old picture that lost most."""
        before = itertools.chain(*self.parent.old) if self.parent else ()
        pairs = zip(before, itertools.chain(*self.child.old), strict=True)
        return max(pairs, key=_lost)

    @property
    def lost_class(self) -> tuple[float, float] | None:
        """Dice before and after of the class that lost most, on the places or in the other looks, if that is too much.

        None else, and where there is a single class: of that the mean tells.
        """
        if self.parent is None:
            return None
        kinds = zip(self.parent.of_classes, self.child.of_classes, strict=True)
        pairs = [pair for was, now in kinds if len(now) > 1 for pair in zip(was, now, strict=False)]
        worst = max(pairs, key=_lost, default=(0.0, 0.0))
        return worst if _lost(worst) > TOLERATED_OF_ONE else None

    @property
    def _keeps_and_finds(self) -> bool:
        is_found = all((dice or 0.0) > FOUND for dice in self.child.on_added.values())
        return is_found and self.lost_class is None and min(self._changes, default=0.0) >= -TOLERATED

    @property
    def _gains(self) -> bool:
        changes = self._changes
        loses = len(changes) > 1 and min(changes) < -TOLERATED
        return bool(changes) and sum(changes) > 0 and not loses and self.lost_class is None and self._finds

    @property
    def _finds(self) -> bool:
        return (self.child.on_places or 0.0) > FOUND

    @property
    def _changes(self) -> list[float]:
        """On places and looks, as far as both were measured there."""
        was, now = self.parent or Scores((), ()), self.child
        pairs = [(was.on_places, now.on_places), (was.on_looks, now.on_looks)]
        return [after - before for before, after in pairs if before is not None and after is not None]

    @property
    def takes_over(self) -> bool:
        """Whether the child is used from now on without anybody having looked."""
        return self.verdict in ("better", "new")

    def sentence(self, *, is_kept: bool = False) -> str:
        """The verdict for a person, with its numbers; of a model that is no better and yet kept, too."""
        was = self.parent or Scores((), ())
        old = f"old pictures {_pair(was.on_old, self.child.on_old)}"
        if self._forgets:
            old += f" (one of them {_pair(*self._worst_old)})"
        new = f"your pictures {_pair(was.on_places, self.child.on_places)}"
        if self.child.looks:
            new += f", in the other looks {_pair(was.on_looks, self.child.on_looks)}"
        if self.lost_class is not None:
            new += f" (one class {_pair(*self.lost_class)})"
        little = "" if self._finds else ", which is next to nothing"
        for name, dice in self.child.on_added.items():
            new = f"{name} {_pair(None, dice)}, {new}"
        missing = ENOUGH - len(self.child.places)
        more = f"{missing} more {'area' if missing == 1 else 'areas'} called right would make it checkable"
        if missing <= 0:
            more = f"More of {' and '.join(self.child.added)} in other places would make it checkable"
        so = "" if is_kept else ", so the model you had stays"
        return {
            "better": f"Better: {new}, {old}.",
            "not better": f"Not better{so}: {new}{little}, {old}.",
            "forgets": f"It would forget{so}: {old}, {new}.",
            "unchecked": f"Too little to check the result ({old}): look at old and new, then decide. {more}.",
            "new": f"A new model: {new}." if missing <= 0 else f"A new model, not checked: {more}.",
        }[self.verdict]


def _lost(pair: tuple[float, float]) -> float:
    """How much less the second is."""
    return pair[0] - pair[1]


def _pair(before: float | None, after: float | None) -> str:
    if after is None:
        return "none"
    return f"{after:.3f} Dice" if before is None else f"{before:.3f} to {after:.3f} Dice"
