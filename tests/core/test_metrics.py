"""Scores against slow, independent implementations, and where they are known by reason."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from skimage.segmentation import relabel_sequential

from napari_unetstyle.core import evaluate
from napari_unetstyle.core.errors import ImageError
from napari_unetstyle.core.metrics import pair as pieces

shapes = hnp.array_shapes(min_dims=1, max_dims=3, max_side=8)
labels = hnp.arrays(np.int32, st.shared(shapes, key="shape"), elements=st.integers(0, 4))


def slow_iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    union = np.logical_or(a, b).sum()
    return 1.0 if union == 0 else np.logical_and(a, b).sum() / union


def slow_dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    total = a.sum() + b.sum()
    return 1.0 if total == 0 else 2 * np.logical_and(a, b).sum() / total


def slow_objects(prediction: NDArray[Any], truth: NDArray[Any], threshold: float) -> tuple[float, float, int]:
    """Average precision, panoptic quality and matches by masks and the Hungarian method."""
    predicted, true = [[labels == v for v in np.unique(labels) if v] for labels in (prediction, truth)]
    if not predicted and not true:
        return 1.0, 1.0, 0
    ious = np.array([[slow_iou(p, t) for t in true] for p in predicted]).reshape(len(predicted), len(true))
    rows, columns = linear_sum_assignment(-np.where(ious > threshold, 1 + ious, 0))
    matched = [ious[i, j] for i, j in zip(rows, columns, strict=True) if ious[i, j] > threshold]
    missed = len(predicted) + len(true) - 2 * len(matched)
    return len(matched) / (len(matched) + missed), sum(matched) / (len(matched) + missed / 2), len(matched)


@given(prediction=labels, truth=labels)
def test_objects_agree_with_a_slow_implementation(prediction: NDArray[Any], truth: NDArray[Any]) -> None:
    scores = evaluate(prediction, truth)
    assert scores["dice"] == pytest.approx(slow_dice(prediction > 0, truth > 0))
    assert scores["iou"] == pytest.approx(slow_iou(prediction > 0, truth > 0))
    for threshold in (0.5, 0.6, 0.7, 0.8, 0.9):
        precision, quality, matched = slow_objects(prediction, truth, threshold)
        assert scores["average_precision"][threshold] == pytest.approx(precision)
        if threshold == 0.5:
            assert scores["panoptic_quality"] == pytest.approx(quality)
            assert scores["objects_matched"] == matched
    assert scores["panoptic_quality"] == pytest.approx(scores["segmentation_quality"] * scores["recognition_quality"])


@given(prediction=labels, truth=labels.filter(lambda labels: labels.ndim > 1))
def test_panoptic_quality_agrees_with_monai(prediction: NDArray[Any], truth: NDArray[Any]) -> None:
    metrics = pytest.importorskip("monai.metrics")
    import torch

    scores = evaluate(prediction, truth)
    pair = [torch.from_numpy(labels) for labels in (prediction, truth)]
    if prediction.any() or truth.any():
        hits, wrong, missed = metrics.compute_panoptic_quality(*pair, output_confusion_matrix=True).tolist()[:3]
        assert scores["average_precision"][0.5] == pytest.approx(hits / (hits + wrong + missed))
    if not prediction.any() and not truth.any():  # MONAI: 0; here they agree
        assert scores["panoptic_quality"] == scores["segmentation_quality"] == scores["recognition_quality"] == 1
        assert metrics.compute_panoptic_quality(*pair) == 0
        return
    for name, theirs in (("panoptic", "pq"), ("segmentation", "sq"), ("recognition", "rq")):
        value = metrics.compute_panoptic_quality(
            *pair, metric_name=theirs, smooth_numerator=0 if theirs != "sq" else 1e-9
        )
        assert scores[f"{name}_quality"] == pytest.approx(float(value), rel=1e-6), name


def test_panoptic_quality_of_many_objects_agrees_with_monai() -> None:
    metrics = pytest.importorskip("monai.metrics")
    import torch

    rng = np.random.default_rng(0)
    truth = np.kron(rng.permutation(37)[:36].reshape(6, 6), np.ones((8, 8), np.int32)).astype(np.int32)
    prediction = np.roll(truth, 2, axis=1)
    prediction[rng.random(truth.shape) < 0.1] = 0
    theirs = metrics.compute_panoptic_quality(torch.from_numpy(prediction), torch.from_numpy(truth))
    assert evaluate(prediction, truth)["panoptic_quality"] == pytest.approx(float(theirs), rel=1e-5)
    assert 0.1 < float(theirs) < 0.9


@given(prediction=labels, truth=labels)
def test_areas_agree_with_a_slow_implementation(prediction: NDArray[Any], truth: NDArray[Any]) -> None:
    scores = evaluate(prediction, truth, output="areas")
    present = sorted((set(np.unique(prediction)) | set(np.unique(truth))) - {0})
    assert list(scores["classes"]) == present
    for value, score in scores["classes"].items():
        assert score["dice"] == pytest.approx(slow_dice(prediction == value, truth == value))
        assert score["iou"] == pytest.approx(slow_iou(prediction == value, truth == value))
    if present:
        assert scores["dice"] == pytest.approx(np.mean([s["dice"] for s in scores["classes"].values()]))


@given(prediction=labels, truth=labels, output=st.sampled_from(["objects", "areas"]), piece=st.integers(1, 50))
def test_pieces_never_change_a_score(prediction: NDArray[Any], truth: NDArray[Any], output: Any, piece: int) -> None:
    whole = evaluate(prediction, truth, output=output)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "PIECE", piece)
        assert evaluate(prediction, truth, output=output) == whole


@given(prediction=labels, truth=labels, ignored=st.integers(1, 4))
def test_ignored_pixels_do_not_count(prediction: NDArray[Any], truth: NDArray[Any], ignored: int) -> None:
    kept = truth != ignored
    for output in ("objects", "areas"):
        expected = evaluate(prediction[kept], truth[kept], output=output)
        assert evaluate(prediction, truth, output=output, ignore=ignored) == expected


@given(truth=labels, order=st.permutations([1, 2, 3, 4]))
def test_numbering_of_objects_does_not_matter(truth: NDArray[Any], order: list[int]) -> None:
    scores = evaluate(np.array([0, *order])[truth] * 1000, truth)
    assert scores["dice"] == scores["panoptic_quality"] == 1.0
    assert set(scores["average_precision"].values()) == {1.0}


@pytest.mark.parametrize("output", ["objects", "areas"])
def test_nothing_at_all_agrees_and_nothing_against_something_does_not(output: Any) -> None:
    nothing, something = np.zeros((4, 4), int), np.eye(4, dtype=int)
    scores = evaluate(nothing, nothing, output=output)
    assert scores["dice"] == scores["iou"] == 1.0
    for pair in ((nothing, something), (something, nothing)):
        scores = evaluate(*pair, output=output)
        assert scores["dice"] == scores["iou"] == 0.0
    if output == "objects":
        assert set(scores["average_precision"].values()) == {0.0}
        assert scores["panoptic_quality"] == 0.0
        assert set(evaluate(nothing, nothing)["average_precision"].values()) == {1.0}
        assert evaluate(nothing, nothing)["panoptic_quality"] == 1.0


def test_merged_objects_do_not_hide_behind_dice() -> None:
    truth = np.repeat([1, 2], 50)[np.newaxis]
    scores = evaluate(np.ones_like(truth), truth)
    assert scores["dice"] == 1.0
    assert scores["average_precision"][0.5] == 0.0


def test_types_may_differ() -> None:
    truth = np.eye(4, dtype=np.uint8)
    assert evaluate(truth.astype(np.uint64) * 2**40, truth.astype(bool))["dice"] == 1.0


@pytest.mark.parametrize(
    ("prediction", "truth", "sentence"),
    [
        (np.zeros((3, 3), int), np.zeros((3, 4), int), "same shape"),
        (np.zeros((3, 3)), np.zeros((3, 3), int), "prediction has values of type float64"),
        (np.zeros((3, 3), int), np.zeros((3, 3), complex), "truth has values of type complex128"),
        (np.full((3, 3), 2**63, np.uint64), np.zeros((3, 3), int), "above"),
    ],
)
def test_what_cannot_be_compared(prediction: NDArray[Any], truth: NDArray[Any], sentence: str) -> None:
    with pytest.raises(ImageError, match=sentence):
        evaluate(prediction, truth)


def test_thousands_of_objects() -> None:
    grid = np.kron(np.arange(1, 10001).reshape(100, 100), np.ones((20, 20), int))
    shifted = relabel_sequential(np.roll(grid, 2, axis=1))[0]
    scores = evaluate(shifted, grid)
    assert scores["objects_matched"] == 10000
    assert scores["average_precision"][0.9] == 0.0
