"""How well labels agree with the truth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.errors import ImageError

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
_PIECE = 2**24


def evaluate(
    prediction: NDArray[Any],
    truth: NDArray[Any],
    *,
    output: Literal["objects", "areas"] = "objects",
    ignore: int | None = None,
) -> dict[str, Any]:
    """Compare labels with the truth.

    Parameters
    ----------
    prediction, truth
        Integer labels of the same shape, any number of axes; 0 is background.
    output
        ``"objects"``: values are object ids, which may be numbered differently in the two; ``"areas"``:
        values are classes.
    ignore
        Pixels with this value in `truth` do not count.

    Returns
    -------
    dict
        ``dice`` and ``iou``: for objects of everything that is not background, for areas the mean over
        ``classes``. For areas also ``classes``, value to ``{"dice", "iou"}``, of every class that is in either.
        For objects also ``average_precision``, threshold (0.5, 0.6, … 0.9) to TP / (TP + FP + FN)
        (as in Caicedo et al. 2019), where a pair matches if its IoU is *above* the threshold, so that an
        object matches at most one; ``panoptic_quality``, the sum of the matches' IoU at 0.5 over
        TP + FP/2 + FN/2, and its factors ``segmentation_quality`` and ``recognition_quality`` (Kirillov et
        al. 2019); and the counts ``objects_predicted``, ``objects_true`` and ``objects_matched`` (at 0.5).
        Where neither has anything, all agree: every score is 1.

    Raises
    ------
    ImageError
        If the shapes differ or labels are no integers.
    """
    prediction, truth = np.asanyarray(prediction), np.asanyarray(truth)
    _check(prediction, truth)
    counts = _Contingency(prediction, truth, ignore)
    return _areas(counts) if output == "areas" else _objects(counts)


class _Contingency:
    """Pixels per predicted label, per true label, and per pair of the two; as rows of sorted distinct labels."""

    def __init__(self, prediction: NDArray[Any], truth: NDArray[Any], ignore: int | None) -> None:
        pairs: dict[tuple[int, int], int] = {}
        for predicted, true in _pieces(prediction, truth):
            if ignore is not None:
                kept = true != ignore
                predicted, true = predicted[kept], true[kept]
            for *pair, count in zip(*_counted(predicted, true), strict=True):
                key = (pair[0], pair[1])
                pairs[key] = pairs.get(key, 0) + count
        table = np.array([(p, t, n) for (p, t), n in pairs.items() if p or t], np.int64).reshape(-1, 3)
        self.predicted, self.true, self.pixels = table.T

    def sizes(self, labels: NDArray[np.int64]) -> dict[int, int]:
        """Pixels of each label other than background; `labels` is ``predicted`` or ``true``."""
        values, index = np.unique(labels, return_inverse=True)
        sums = np.bincount(index, self.pixels, minlength=len(values))
        return {int(v): int(n) for v, n in zip(values, sums, strict=True) if v}

    def overlaps(self) -> list[tuple[int, int, int]]:
        """Predicted label, true label and common pixels, background left out."""
        both = (self.predicted != 0) & (self.true != 0)
        rows: list[tuple[int, int, int]] = [
            (int(p), int(t), int(n))
            for p, t, n in zip(self.predicted[both], self.true[both], self.pixels[both], strict=True)
        ]
        return rows


def _pieces(prediction: NDArray[Any], truth: NDArray[Any]) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Both flat, in pieces that keep memory low for labels on disk."""
    first, second = prediction.reshape(-1), truth.reshape(-1)
    for start in range(0, first.size, _PIECE):
        yield np.asarray(first[start : start + _PIECE]), np.asarray(second[start : start + _PIECE])


def _counted(predicted: NDArray[Any], true: NDArray[Any]) -> tuple[list[int], list[int], list[int]]:
    """Distinct pairs and how often each occurs."""
    ends = np.flatnonzero((np.diff(predicted) != 0) | (np.diff(true) != 0))  # runs of the same pair
    starts = np.concatenate([[0], ends + 1]) if predicted.size else np.zeros(0, np.int64)
    lengths = np.diff(np.append(starts, predicted.size))
    pairs = np.stack([predicted[starts].astype(np.int64), true[starts].astype(np.int64)])
    order = np.lexsort(pairs)
    pairs, lengths = pairs[:, order], lengths[order]
    is_new = np.append(True, (np.diff(pairs) != 0).any(axis=0))[: pairs.shape[1]]
    sums = np.add.reduceat(lengths, np.flatnonzero(is_new)) if is_new.size else lengths
    return pairs[0, is_new].tolist(), pairs[1, is_new].tolist(), sums.tolist()


def _areas(counts: _Contingency) -> dict[str, Any]:
    predicted, true = counts.sizes(counts.predicted), counts.sizes(counts.true)
    common = {p: n for p, t, n in counts.overlaps() if p == t}
    classes = {
        value: _agreement(predicted.get(value, 0), true.get(value, 0), common.get(value, 0))
        for value in sorted(predicted.keys() | true.keys())
    }
    means = {name: float(np.mean([c[name] for c in classes.values()])) if classes else 1.0 for name in ("dice", "iou")}
    return {**means, "classes": classes}


def _objects(counts: _Contingency) -> dict[str, Any]:
    predicted, true, overlaps = counts.sizes(counts.predicted), counts.sizes(counts.true), counts.overlaps()
    ious = np.array([n / (predicted[p] + true[t] - n) for p, t, n in overlaps])
    common = sum(n for _, _, n in overlaps)
    total = len(predicted) + len(true)
    matches = {threshold: int((ious > threshold).sum()) for threshold in THRESHOLDS}
    precision = {t: n / (total - n) if total else 1.0 for t, n in matches.items()}
    matched = matches[THRESHOLDS[0]]
    quality = float(ious[ious > THRESHOLDS[0]].mean()) if matched else float(not total)
    recognition = 2 * matched / total if total else 1.0
    return {
        **_agreement(sum(predicted.values()), sum(true.values()), common),
        "average_precision": precision,
        "panoptic_quality": quality * recognition,
        "segmentation_quality": quality,
        "recognition_quality": recognition,
        "objects_predicted": len(predicted),
        "objects_true": len(true),
        "objects_matched": matched,
    }


def _agreement(predicted: int, true: int, common: int) -> dict[str, float]:
    if predicted + true == 0:
        return {"dice": 1.0, "iou": 1.0}
    return {"dice": 2 * common / (predicted + true), "iou": common / (predicted + true - common)}


def _check(prediction: NDArray[Any], truth: NDArray[Any]) -> None:
    for name, labels in (("prediction", prediction), ("truth", truth)):
        if labels.dtype.kind not in "bui":
            raise ImageError(f"The {name} has values of type {labels.dtype}; labels are whole numbers (integers).")
        if labels.dtype == np.uint64 and labels.size and labels.max() > np.iinfo(np.int64).max:
            raise ImageError(f"The {name} has labels above {np.iinfo(np.int64).max}; number them anew.")
    if prediction.shape != truth.shape:
        raise ImageError(
            f"Prediction and truth must have the same shape, but they have {prediction.shape} and {truth.shape}. "
            "Compare labels of the same picture."
        )
