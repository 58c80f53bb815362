"""What a label says of classes that nobody knew when it was given.

In targets 0 is background: none of all classes. A background that was given when there were only the first ``k``
classes says less, none of those ``k``, perhaps one that came later, and is written as ``-1 - k``. So -1, none of no
classes, is a pixel that nobody has judged. Where there may be a later class there may be an object of it, too, so that
the object there is one that nobody has judged.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

UNKNOWN = -1
"""A class or an object that nobody has judged."""


def as_of(targets: NDArray[Any], count: int) -> NDArray[np.int32]:
    """Classes and objects ``(2, *spatial)`` that were given when there were only the first `count` classes."""
    classes = np.where(targets[0] == 0, UNKNOWN - count, targets[0])
    return np.stack([classes, np.where(classes < UNKNOWN, UNKNOWN, targets[1])]).astype(np.int32)


def is_known(classes: NDArray[Any], value: int | NDArray[Any]) -> NDArray[np.bool_]:
    """Where it is known whether this is the class `value` (from 1), one for all or one for each place."""
    known: NDArray[np.bool_] = (classes >= 0) | (classes < -value)
    return known


def as_given(classes: NDArray[Any]) -> NDArray[Any]:
    """Targets as whoever gave them meant them: background is 0 again."""
    given: NDArray[Any] = np.where(classes < UNKNOWN, 0, classes)
    return given


def classes_known(classes: NDArray[Any], count: int) -> int:
    """How many of `count` classes, the first ones, every pixel that was judged knows of."""
    judged = classes[classes < UNKNOWN]
    return min(count, -1 - int(judged.max())) if judged.size else count
