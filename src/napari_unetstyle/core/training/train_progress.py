"""How far a teaching is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_unetstyle.core.progress import Progress

if TYPE_CHECKING:
    from napari_unetstyle.core.models.model import Model


@dataclass(frozen=True, slots=True)
class TrainProgress(Progress):
    """Progress of teaching.

    Attributes
    ----------
    loss
        Moving average.
    score
        Dice on the held-out places when last measured, or None.
    seconds_left
        Of training; None outside it, and where steps are counted.
    so_far
        Gives the best model so far, to look at; to be called before the next step is asked for. It takes no training
        time and changes no weight. None where there is none yet.
    """

    loss: float = float("nan")
    score: float | None = None
    seconds_left: float | None = None
    so_far: Callable[[], Model] | None = field(default=None, compare=False, repr=False)
