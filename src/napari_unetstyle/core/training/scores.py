"""How well a model does, and what decides whether a taught one takes over."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

ENOUGH = 3
"""Held-out places that a comparison needs."""

TOLERATED = 0.01
"""Dice that old pictures may lose."""

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
    """

    places: tuple[tuple[Counts, ...], ...]
    old: tuple[tuple[float, ...], ...]

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Scores:
        """From plain values."""
        places = tuple(tuple(Counts(**counts) for counts in place) for place in content["places"])
        return cls(places, tuple(tuple(map(float, picture)) for picture in content["old"]))

    @property
    def on_places(self) -> float | None:
        """Dice of all places together, mean over the classes that are there; None without places."""
        if not self.places:
            return None
        classes = [sum(counts, Counts()) for counts in zip(*self.places, strict=True)]
        seen = [c.dice for c in classes if c.found or c.true]
        return float(np.mean(seen)) if seen else 1.0

    @property
    def on_old(self) -> float | None:
        """Mean Dice over old pictures and classes; None without them."""
        return float(np.mean(self.old)) if self.old else None


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

        Then ``"unchecked"``, fewer than three held-out places; then ``"better"`` on these, or ``"not better"``. A
        model that comes from none is ``"new"``.
        """
        if self.parent is None:
            return "new"
        before, after = self.parent.on_old, self.child.on_old
        if before is not None and after is not None and after < before - TOLERATED:
            return "forgets"
        if len(self.child.places) < ENOUGH:
            return "unchecked"
        was, becomes = self.parent.on_places, self.child.on_places
        return "better" if was is not None and becomes is not None and becomes > was else "not better"

    @property
    def takes_over(self) -> bool:
        """Whether the child is used from now on without anybody having looked."""
        return self.verdict in ("better", "new")

    def sentence(self) -> str:
        """The verdict for a person, with its numbers."""
        was = self.parent or Scores((), ())
        old = f"old pictures {_pair(was.on_old, self.child.on_old)}"
        new = f"your pictures {_pair(was.on_places, self.child.on_places)}"
        missing = ENOUGH - len(self.child.places)
        more = f"{missing} more {'area' if missing == 1 else 'areas'} called right would make it checkable"
        return {
            "better": f"Better: {new}, {old}.",
            "not better": f"Not better, so the model you had stays: {new}, {old}.",
            "forgets": f"It would forget, so the model you had stays: {old}, {new}.",
            "unchecked": f"Too little to check the result ({old}): look at old and new, then decide. {more}.",
            "new": f"A new model: {new}." if missing <= 0 else f"A new model, not checked: {more}.",
        }[self.verdict]


def _pair(before: float | None, after: float | None) -> str:
    if after is None:
        return "none"
    return f"{after:.3f} Dice" if before is None else f"{before:.3f} to {after:.3f} Dice"
