"""How many pixels each predicted and each true label have, and have in common."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.metrics.pair import Piece


class Overlap:
    """Pixels per predicted label, per true label, and per pair of the two; added up from pieces."""

    def __init__(self) -> None:
        self._pairs: dict[tuple[int, int], int] = {}

    def add(self, piece: Piece) -> None:
        """Count the pixels of a piece."""
        for predicted, true, count in zip(*_counted(*piece.counting()), strict=True):
            self._pairs[predicted, true] = self._pairs.get((predicted, true), 0) + count

    def pairs(self) -> list[tuple[int, int, int]]:
        """Predicted label, true label and common pixels; background against background left out."""
        return sorted((p, t, n) for (p, t), n in self._pairs.items() if p or t)

    def overlaps(self) -> list[tuple[int, int, int]]:
        """Predicted label, true label and common pixels, background left out."""
        return [(p, t, n) for p, t, n in self.pairs() if p and t]

    def predicted(self) -> dict[int, int]:
        """Pixels of each predicted label other than background."""
        return self._sizes(0)

    def true(self) -> dict[int, int]:
        """Pixels of each true label other than background."""
        return self._sizes(1)

    def matches(self, threshold: float) -> dict[int, int]:
        """True label of each predicted one that has an IoU above `threshold` (of at least 0.5) with it."""
        predicted, true = self.predicted(), self.true()
        return {p: t for p, t, n in self.overlaps() if n / (predicted[p] + true[t] - n) > threshold}

    def _sizes(self, which: int) -> dict[int, int]:
        sizes: dict[int, int] = {}
        for pair, count in self._pairs.items():
            if pair[which]:
                sizes[pair[which]] = sizes.get(pair[which], 0) + count
        return sizes


def _counted(predicted: NDArray[np.int64], true: NDArray[np.int64]) -> tuple[list[int], list[int], list[int]]:
    """Distinct pairs and how often each occurs."""
    ends = np.flatnonzero((predicted[1:] != predicted[:-1]) | (true[1:] != true[:-1]))  # runs of the same pair
    starts = np.concatenate([[0], ends + 1]) if predicted.size else np.zeros(0, np.int64)
    lengths = np.diff(np.append(starts, predicted.size))
    pairs = np.stack([predicted[starts].astype(np.int64), true[starts].astype(np.int64)])
    order = np.lexsort(pairs)
    pairs, lengths = pairs[:, order], lengths[order]
    is_new = np.append(True, (np.diff(pairs) != 0).any(axis=0))[: pairs.shape[1]]
    sums = np.add.reduceat(lengths, np.flatnonzero(is_new)) if is_new.size else lengths
    return pairs[0, is_new].tolist(), pairs[1, is_new].tolist(), sums.tolist()
