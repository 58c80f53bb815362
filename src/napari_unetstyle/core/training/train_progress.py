"""How far a teaching is."""

from __future__ import annotations

from dataclasses import dataclass

from napari_unetstyle.core.progress import Progress


@dataclass(frozen=True, slots=True)
class TrainProgress(Progress):
    """Progress of teaching.

    Attributes
    ----------
    loss
        Moving average.
    score
        Dice on the held-out places when last measured, or None.
    """

    loss: float = float("nan")
    score: float | None = None
