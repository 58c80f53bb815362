"""Where labels and the truth differ, as labels that can be looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core import scratch
from napari_unetstyle.core.errors import ImageError
from napari_unetstyle.core.metrics.overlap import Overlap
from napari_unetstyle.core.metrics.pair import Pair, Piece, ranks
from napari_unetstyle.core.metrics.scores import THRESHOLDS, Output
from napari_unetstyle.core.progress import Progress, Steps, run

Kind = Literal["false positive", "false negative", "other"]

_MOST_PAIRS = 2**16 - 1  # labels are uint16 at most


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One way in which the two differ.

    Attributes
    ----------
    kind
        ``"false positive"``: predicted where the truth has background; ``"false negative"``: the other way
        round; ``"other"``: both have something, but not the same.
    predicted, true
        Class values; None for objects, and background is 0.
    pixels
        How many.
    """

    kind: Kind
    predicted: int | None
    true: int | None
    pixels: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Differences:
    """Where and how prediction and truth differ.

    Attributes
    ----------
    labels
        uint8 or uint16 of the same shape: 0 where they agree (or do not count), otherwise a key of `kinds`.
        Lies on disk when large.
    kinds
        What each label means.
    """

    labels: NDArray[Any]
    kinds: dict[int, Difference]


def differences(prediction: Any, truth: Any, *, output: Output = "objects", ignore: int | None = None) -> Differences:
    """Mark where labels and the truth differ.

    Parameters
    ----------
    prediction, truth, output, ignore
        As in :func:`~napari_unetstyle.core.metrics.evaluate`. For areas there is a label for each pair of
        classes that are taken for each other somewhere; for objects there are three: something where the
        truth has nothing, nothing where the truth has something, and two objects that do not match (their
        IoU is not above 0.5: merged, split or shifted).

    Raises
    ------
    ImageError
        If the shapes differ, labels are no integers, or areas differ in more than 65535 pairs of values.
    """
    return run(iter_differences(prediction, truth, output=output, ignore=ignore))


def iter_differences(
    prediction: Any, truth: Any, *, output: Output = "objects", ignore: int | None = None
) -> Steps[Differences]:
    """Like :func:`differences`, as a job."""
    prediction, truth = (a if hasattr(a, "dtype") else np.asarray(a) for a in (prediction, truth))
    pair = Pair(prediction=prediction, truth=truth, dims=len(truth.shape), ignore=ignore)
    boxes, overlap = pair.boxes(), Overlap()
    for i, box in enumerate(boxes):
        yield Progress(i, 2 * len(boxes), "counting")
        overlap.add(pair.piece((), box))
    key = _ObjectKey(overlap) if output == "objects" else _AreaKey(overlap)
    labels = scratch.zeros(pair.shape, np.uint8 if len(key.kinds) < 256 else np.uint16)
    for i, box in enumerate(boxes):
        yield Progress(len(boxes) + i, 2 * len(boxes), "marking")
        piece = pair.piece((), box)
        labels[box] = key(piece)
        if piece.ignored is not None:
            labels[box][piece.ignored] = 0
        scratch.release(labels)
    return Differences(labels=labels, kinds=key.kinds)


class _AreaKey:
    """Labels of the pairs of classes that differ."""

    def __init__(self, overlap: Overlap) -> None:
        pairs = sorted(((p, t, n) for p, t, n in overlap.pairs() if p != t), key=_order)
        if len(pairs) > _MOST_PAIRS:
            raise ImageError(
                f"As areas, the labels differ in {len(pairs)} pairs of values, and at most {_MOST_PAIRS} can be "
                "marked: the values look like object ids; compare them as objects."
            )
        self.kinds = {
            label: Difference(kind=_kind(p, t), predicted=p, true=t, pixels=n)
            for label, (p, t, n) in enumerate(pairs, 1)
        }
        both = np.array([(p, t) for p, t, _ in pairs], np.int64).reshape(-1, 2)
        self._values = np.unique(np.append(both, 0))
        codes = np.append(-1, self._codes(*both.T))  # no pair has -1, so that there is always one to find
        order = codes.argsort()
        self._sorted, self._labels = codes[order], order.astype(np.uint16)

    def __call__(self, piece: Piece) -> NDArray[Any]:
        differ = piece.prediction != piece.truth
        codes = self._codes(piece.prediction[differ], piece.truth[differ])
        labels = np.zeros(differ.shape, np.uint16)
        labels[differ] = self._labels[ranks(self._sorted, codes)]
        return labels

    def _codes(self, predicted: NDArray[Any], true: NDArray[Any]) -> NDArray[np.int64]:
        """A number for each pair; a table of all pairs would not fit into memory where there are many values."""
        return ranks(self._values, predicted).astype(np.int64) * len(self._values) + ranks(self._values, true)


class _ObjectKey:
    """One label each for too much, too little and objects that do not match."""

    def __init__(self, overlap: Overlap) -> None:
        matches = overlap.matches(THRESHOLDS[0])
        self._values = np.unique([0, *overlap.predicted()])
        self._partners = np.array([matches.get(value, 0) for value in self._values.tolist()], np.int64)
        pixels: dict[Kind, int] = {"false positive": 0, "false negative": 0, "other": 0}
        for p, t, n in overlap.pairs():
            if not (p and t and matches.get(p) == t):
                pixels[_kind(p, t)] += n
        self.kinds = {
            label: Difference(kind=kind, predicted=None, true=None, pixels=n)
            for label, (kind, n) in enumerate(pixels.items(), 1)
        }

    def __call__(self, piece: Piece) -> NDArray[Any]:
        partner = self._partners[ranks(self._values, piece.prediction)]
        is_predicted, is_true = piece.prediction != 0, piece.truth != 0
        other = is_predicted & is_true & (partner != piece.truth)
        return np.select([is_predicted & ~is_true, is_true & ~is_predicted, other], [1, 2, 3], 0).astype(np.uint8)


def _kind(predicted: int, true: int) -> Kind:
    return "other" if predicted and true else "false positive" if predicted else "false negative"


def _order(pair: tuple[int, int, int]) -> tuple[bool, int, int]:
    """Too much and too little of each class side by side, mistaken classes last."""
    predicted, true, _ = pair
    return bool(predicted and true), predicted or true, true
