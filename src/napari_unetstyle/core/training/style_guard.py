"""How much of a teaching is styled: as much as a person's own pictures do not pay for."""

from __future__ import annotations

from napari_unetstyle.core.training.scores import TOLERATED, Scores

_SHARE, _OWN = "styled", "own"
_LEAST = 0.25


class StyleGuard:
    """Decides after each measurement how many of the patches that can take a style do.

    All of them at first. Half as many, down to a quarter, while the held-out places as they are lie more than 0.01
    Dice under the best that was seen; twice as many again when they no longer do.

    Parameters
    ----------
    notes
        Where it keeps what it knows, so that a teaching that goes on later does so as if it had never stopped.
    own
        Dice on the held-out places before the teaching.
    """

    def __init__(self, notes: dict[str, float], own: float | None = None) -> None:
        self._notes = notes
        if own is not None:
            notes.setdefault(_OWN, own)

    @property
    def share(self) -> float:
        """Of the patches that can take a style, how many do."""
        return self._notes.get(_SHARE, 1.0)

    def heed(self, scores: Scores) -> None:
        """Take a measurement into account."""
        own = scores.on_places
        if own is None or not scores.looks:
            return
        best = self._notes.get(_OWN, own)
        self._notes[_OWN] = max(best, own)
        self._notes[_SHARE] = max(_LEAST, self.share / 2) if own < best - TOLERATED else min(1.0, 2 * self.share)
