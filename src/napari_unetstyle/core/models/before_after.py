"""The rows of a card that say how a taught model does, beside the one it came from: written and read in one place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from napari_unetstyle.core.models.spec import Measurement

What = Literal["places", "looks", "old"]
_DATA: dict[What, str] = {
    "places": "held-out places of the corrected pictures",
    "looks": "the same places in the other looks",
    "old": "pictures of the earlier training that were kept to check",
}
_BEFORE, _AFTER = "parent", "this model"


@dataclass(frozen=True, kw_only=True)
class BeforeAfter:
    """One score of a taught model.

    Attributes
    ----------
    what
        ``"places"`` of a person's pictures that it did not learn from, the same in other ``"looks"``, or ``"old"``
        pictures.
    before, after
        Dice of the model it came from (None: from none) and of itself.
    count
        Of the places or pictures.
    """

    what: What
    before: float | None
    after: float
    count: int


def measurements(scores: Sequence[BeforeAfter]) -> tuple[Measurement, ...]:
    """Scores as rows of a card."""
    rows = [(_BEFORE, one, one.before) for one in scores] + [(_AFTER, one, one.after) for one in scores]
    return tuple(
        Measurement(data=f"{_DATA[one.what]}, {who}", metric="Dice", value=round(value, 4), count=one.count)
        for who, one, value in rows
        if value is not None
    )


def before_and_after(rows: Sequence[Measurement]) -> list[BeforeAfter]:
    """The scores among the rows of a card."""
    values = {row.data: row for row in rows}
    scores = []
    for what, data in _DATA.items():
        before, after = values.get(f"{data}, {_BEFORE}"), values.get(f"{data}, {_AFTER}")
        if after is not None:
            was = None if before is None else before.value
            scores.append(BeforeAfter(what=what, before=was, after=after.value, count=after.count or 0))
    return scores


def others(rows: Sequence[Measurement]) -> list[Measurement]:
    """The rows of a card that are no such scores."""
    ours = {f"{data}, {who}" for data in _DATA.values() for who in (_BEFORE, _AFTER)}
    return [row for row in rows if row.data not in ours]
