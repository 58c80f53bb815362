"""How sure a model may be: one temperature, from held-out places (Guo et al. 2017)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.annotation.corrections import Mask

BOUNDS = (0.5, 5.0)
"""Of a temperature: a model that is right on all of few places is not made surer than twice."""

_LEAST = 100  # unsure pixels, below which nothing is said
_MOST = 20_000  # that it is fitted to
_FLOOR = 0.5 / 255  # what the bytes of a probability cannot tell from 0


class Evidence:
    """What a model gave, and what is true, at held-out pixels.

    Attributes
    ----------
    parts
        Pairs of uint8 ``(classes, n)``, background first, and int ``(n,)``.
    """

    def __init__(self) -> None:
        self.parts: list[tuple[NDArray[np.uint8], NDArray[np.int32]]] = []

    def add(self, probability_bytes: NDArray[np.uint8], classes: NDArray[np.int32], valid: Mask) -> None:
        """Note one place.

        Pixels that the bytes call certain are left out, as no temperature changes them. A place of which it is not
        known everywhere which class is right is left out as a whole: its background would be missing. So are pixels
        of a class that the model does not have, as of a parent to which it is being added.

        Parameters
        ----------
        probability_bytes
            uint8 ``(1 + classes, *spatial)``.
        classes
            Targets ``(*spatial,)``, 0 for background.
        valid
            bool ``(*spatial,)``: where they count.
        """
        if (classes[valid] < 0).any():
            return
        asked = valid & (probability_bytes.max(axis=0) < 255) & (classes < len(probability_bytes))
        self.parts.append((probability_bytes[:, asked], classes[asked]))

    def temperature(self) -> float | None:
        """The one at which what is true is likeliest; None if there are too few unsure pixels."""
        if not self.parts:
            return None
        found, true = (np.concatenate(arrays, axis=-1) for arrays in zip(*self.parts, strict=True))
        return fitted_temperature(found, true)


def fitted_temperature(probability_bytes: NDArray[np.uint8], classes: NDArray[np.int32]) -> float | None:
    """The temperature with the least negative log-likelihood of the true classes.

    Parameters
    ----------
    probability_bytes
        uint8 ``(1 + classes, n)`` of pixels, background first.
    classes
        What is true, int ``(n,)``.

    Returns
    -------
    float or None
        From 0.5 to 5; above 1 for a model that is too sure. None if there are too few pixels to say.
    """
    count = classes.size
    if count < _LEAST:
        return None
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    some = slice(None, None, -(-count // _MOST))
    logits = np.log(np.maximum(probability_bytes[:, some] / 255, _FLOOR))
    right = np.take_along_axis(logits, classes[np.newaxis, some].astype(np.intp), axis=0)[0]

    def loss(log_temperature: float) -> float:
        scale = np.exp(-log_temperature)
        return float(np.mean(logsumexp(scale * logits, axis=0) - scale * right))

    low, high = np.log(BOUNDS)
    found = minimize_scalar(loss, bounds=(low, high), method="bounded")
    return round(float(np.exp(found.x)), 3)
