"""How the learning rate goes: with the time that is over, with passes over the pictures, or with what was measured."""

from __future__ import annotations

import math
from typing import Literal, get_args

Schedule = Literal["cosine", "step", "plateau"]
"""``cosine``: falls all the time, to a hundredth at the end, whenever that comes. ``step``: a tenth every 50 epochs.
``plateau``: a tenth whenever three measurements in a row were no better than the best one before."""

SCHEDULES: tuple[str, ...] = get_args(Schedule)

TENTH = 0.1
EPOCHS = 50
MEASUREMENTS = 3


def share_of_rate(schedule: Schedule, *, warmup: float, done: float, epochs: float, cuts: int) -> float:
    """Learning rate as a share of the highest.

    Parameters
    ----------
    schedule
        See :data:`Schedule`.
    warmup
        Share of the training in which it rises.
    done
        Share of the training that is over, 0..1.
    epochs
        Times that as many pixels were drawn as the pictures have.
    cuts
        Times that the measurements asked for a tenth.
    """
    if done < warmup:
        return max(done / warmup, 0.02)
    if schedule == "step":
        return TENTH ** int(epochs / EPOCHS)
    if schedule == "plateau":
        return TENTH**cuts
    falling = (done - warmup) / (1 - warmup)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * falling))
