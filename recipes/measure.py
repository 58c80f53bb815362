"""Quality of labels against truth, and how sure a mean over pictures is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Score:
    """One picture.

    Attributes
    ----------
    dice
        Of foreground pixels; 1 if both are empty.
    precision
        AP at IoU 0.5: true positives over all objects found or missed (Caicedo et al. 2019).
    found, there
        Number of objects in the prediction and in the truth.
    """

    dice: float
    precision: float
    found: int
    there: int


def score(labels: NDArray[np.integer], truth: NDArray[np.integer]) -> Score:
    """Compare object ids; at IoU above 0.5 a match is unique, so no assignment is needed."""
    inside, wanted = labels > 0, truth > 0
    total = int(inside.sum()) + int(wanted.sum())
    dice = 2 * int((inside & wanted).sum()) / total if total else 1.0
    matched, found, there = _matches(labels.ravel(), truth.ravel())
    every = found + there - matched
    return Score(dice, matched / every if every else 1.0, found, there)


def _matches(labels: NDArray[np.integer], truth: NDArray[np.integer]) -> tuple[int, int, int]:
    area, area_there = np.bincount(labels), np.bincount(truth)
    both = (labels > 0) & (truth > 0)
    pairs, shared = np.unique(np.stack([labels[both], truth[both]]), axis=1, return_counts=True)
    union = area[pairs[0]] + area_there[pairs[1]] - shared
    return int((shared > 0.5 * union).sum()), int((area[1:] > 0).sum()), int((area_there[1:] > 0).sum())


def interval(values: Sequence[float], seed: int = 0, draws: int = 2000) -> tuple[float, float]:
    """95 % interval of the mean: percentiles of bootstrap means over pictures."""
    numbers = np.asarray(values, float)
    picks = np.random.default_rng(seed).integers(len(numbers), size=(draws, len(numbers)))
    means = np.sort(numbers[picks].mean(axis=1))  # not mixed, as distances may be infinite
    low, high = means[[int(0.025 * draws), int(0.975 * draws)]]
    return float(low), float(high)
