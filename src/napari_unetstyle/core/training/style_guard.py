"""How much of a teaching is styled, and how strongly: as much as helps, and a person's own pictures do not pay for."""

from __future__ import annotations

from napari_unetstyle.core.training.scores import TOLERATED, Scores

_LEVEL, _OWN, _LOOKS = "styled", "own", "looks"
_LEAST = 0.25


class StyleGuard:
    """Decides after each measurement how many of the patches that can take a style do, and how strongly.

    Parameters
    ----------
    notes
        Where it keeps what it knows, so that a teaching that goes on later does so as if it had never stopped.
    before
        Scores before the teaching, if there was a model.
    """

    def __init__(self, notes: dict[str, float], before: Scores | None = None) -> None:
        self._notes = notes
        known = {} if before is None else {_OWN: before.on_places, _LOOKS: before.on_looks}
        for name, score in known.items():
            if score is not None:
                notes.setdefault(name, score)

    @property
    def share(self) -> float:
        """Of the patches that can take a style, how many do, 0..1."""
        return self._notes.get(_LEVEL, 1.0)

    @property
    def strength(self) -> float:
        """What part of its usual strength a style has, from 0.5 on, as fewer patches are styled."""
        return (1 + self.share) / 2

    def heed(self, scores: Scores) -> None:
        """Take a measurement into account."""
        own, looks = scores.on_places, scores.on_looks
        if own is None or looks is None:
            return
        best_own, best_looks = self._notes.get(_OWN, own), self._notes.get(_LOOKS, looks)
        self._notes |= {_OWN: max(best_own, own), _LOOKS: max(best_looks, looks)}
        # The own pictures say when it is too much, the other looks whether more would be of use. Own ones more than
        # 0.01 Dice under their best: half as much, and none below a quarter. Else twice as much, from a quarter on, if
        # the other looks are read better than ever, or miss more than 0.01 of what they had. Else it stays.
        level = self.share
        if own < best_own - TOLERATED:
            level = level / 2 if level > _LEAST else 0.0
        elif looks > best_looks or looks < best_looks - TOLERATED:
            level = min(1.0, max(_LEAST, 2 * level))
        self._notes[_LEVEL] = level
