"""How long something will still take, in words."""

from __future__ import annotations

import time
from collections.abc import Callable

from napari_unetstyle.core.progress import Progress
from napari_unetstyle.core.training.train_progress import TrainProgress

_LONG = 90  # seconds from which on minutes are said
_STEP = 5  # seconds of a teaching's time; fewer would flicker


def time_left(fraction: float, seconds: float) -> str:
    """Time to the end of a job, in words, if that can be said."""
    if fraction < 0.03 or seconds < 1:
        return ""
    return in_words(seconds * (1 - fraction) / fraction)


def in_words(seconds: float) -> str:
    """``48 s left`` or ``2 min left``."""
    return f"{seconds:.0f} s left" if seconds < _LONG else f"{seconds / 60:.0f} min left"


class TeachingTime:
    """The time that a teaching by minutes still takes, where that can be told: its training has a known end.

    Before, nobody can tell how long looking at the pictures takes. What comes after the training is taken to need as
    long as what came before it, as both look at the same pictures.

    Parameters
    ----------
    minutes
        Of training.
    times
        How often that long; each but the first begins with training.
    clock
        Seconds, growing.
    """

    def __init__(self, minutes: float, times: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        self._each, self._times, self._clock = 60 * minutes, times, clock
        self._began = clock()
        self._around: float | None = None
        self._end = 0.0

    def words(self, progress: Progress) -> str:
        """What is left at this step; empty before it trains, and where it takes longer than was foreseen."""
        now = self._clock()
        training = progress.seconds_left if isinstance(progress, TrainProgress) else None
        if training is not None:
            if self._around is None:
                self._around = now - self._began
            number = progress.counted[0] if progress.counted else self._times
            self._end = now + training + self._each * (self._times - number) + self._around
        left = _STEP * round((self._end - now) / _STEP)
        return in_words(left) if self._around is not None and left > 0 else ""
