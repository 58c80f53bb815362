"""Where two label arrays differ, and their scores as a table and as JSON."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from napari_unetstyle.core import evaluate, write_table
from napari_unetstyle.core.errors import ImageError
from napari_unetstyle.core.metrics import differences, pair, score_table, strict_json

shapes = hnp.array_shapes(min_dims=1, max_dims=3, max_side=8)
labels = hnp.arrays(np.int32, st.shared(shapes, key="shape"), elements=st.integers(0, 4))


@given(prediction=labels, truth=labels, piece=st.integers(1, 50))
def test_areas_are_marked_where_they_differ(prediction: NDArray[Any], truth: NDArray[Any], piece: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pair, "PIECE", piece)
        found = differences(prediction, truth, output="areas")
    np.testing.assert_array_equal(found.labels > 0, prediction != truth)
    for label, kind in found.kinds.items():
        here = found.labels == label
        assert here.sum() == kind.pixels > 0
        assert set(prediction[here]) == {kind.predicted}
        assert set(truth[here]) == {kind.true}
        expected = "other" if kind.predicted and kind.true else "false positive" if kind.predicted else "false negative"
        assert kind.kind == expected


@given(prediction=labels, truth=labels)
def test_objects_are_marked_where_they_do_not_match(prediction: NDArray[Any], truth: NDArray[Any]) -> None:
    found = differences(prediction, truth)
    scores = evaluate(prediction, truth)
    np.testing.assert_array_equal(found.labels == 1, (prediction > 0) & (truth == 0))
    np.testing.assert_array_equal(found.labels == 2, (prediction == 0) & (truth > 0))
    both = (found.labels == 0) & (truth > 0)
    matched = set(zip(prediction[both].tolist(), truth[both].tolist(), strict=True))
    assert len(matched) == scores["objects_matched"]
    assert [found.kinds[i].pixels for i in (1, 2, 3)] == [(found.labels == i).sum() for i in (1, 2, 3)]


@given(prediction=labels, truth=labels, output=st.sampled_from(["objects", "areas"]))
def test_what_does_not_count_is_not_marked(prediction: NDArray[Any], truth: NDArray[Any], output: Any) -> None:
    before = prediction.copy(), truth.copy()
    found = differences(prediction, truth, output=output, ignore=2)
    assert not found.labels[truth == 2].any()
    expected = differences(np.where(truth == 2, 0, prediction), np.where(truth == 2, 0, truth), output=output)
    np.testing.assert_array_equal(found.labels > 0, expected.labels > 0)
    np.testing.assert_array_equal((prediction, truth), before)  # they are only read


def test_numbering_of_objects_makes_no_difference() -> None:
    truth = np.kron(np.arange(12).reshape(3, 4), np.ones((10, 10), int))
    assert not differences(truth * 1000, truth.astype(np.uint64)).labels.any()
    merged = np.where(truth > 0, 1, 0)
    assert set(np.unique(differences(merged, truth).labels)) == {0, 3}


def test_many_pairs_of_classes_need_more_than_a_byte() -> None:
    prediction, truth = np.divmod(np.arange(900), 30)
    found = differences(prediction, truth, output="areas")
    assert len(found.kinds) == 900 - 30
    assert found.labels.dtype == np.uint16
    assert len(np.unique(found.labels)) == 900 - 30 + 1


def test_so_many_pairs_that_they_must_be_objects_are_refused() -> None:
    first, second = np.divmod(np.arange(300 * 300), 300)
    with pytest.raises(ImageError, match=r"89700 pairs .* 65535 .* look like object ids; compare them as objects"):
        differences(first, second, output="areas")
    assert differences(first, second, output="objects").labels.any()


def test_many_values_that_hardly_differ_take_no_table_of_all_pairs() -> None:
    truth = np.arange(200_000) * 1000
    prediction = truth.copy()
    prediction[[3, 150_000]] = 5000
    found = differences(prediction, truth, output="areas")
    assert np.flatnonzero(found.labels).tolist() == [3, 150_000]
    assert [kind.true for kind in found.kinds.values()] == [3000, 150_000_000]


def test_areas_that_differ_only_where_nothing_counts_have_no_kinds() -> None:
    found = differences(np.array([[1, 2]]), np.array([[1, 9]]), output="areas", ignore=9)
    assert (found.kinds, found.labels.any()) == ({}, False)


# Tables ----------------------------------------------------------------------------------------------------------


def test_areas_have_a_row_each_and_a_mean(tmp_path: Any) -> None:
    prediction, truth = np.zeros((4, 9, 9), int), np.zeros((4, 9, 9), int)
    prediction[1, 2, 2] = truth[1, 2, 4] = 1
    prediction[3, 8, 8] = 2
    scores = evaluate(prediction, truth, output="areas", spacing=(2, 1, 1), tolerance=0.5)
    table = score_table(scores, {1: "anterior"})
    assert list(table) == [
        "class", "class_name", "dice", "iou", "hd95_mm", "assd_mm", "nsd_0.5_mm",
        "volume_predicted_ml", "volume_true_ml", "volume_difference_ml", "volume_difference_relative",
    ]  # fmt: skip
    assert {len(column) for column in table.values()} == {3}
    assert table["class_name"].tolist() == ["anterior", "", "mean"]
    assert table["hd95_mm"].tolist() == [2.0, math.inf, math.inf]
    lines = write_table(tmp_path / "scores.csv", table).read_text().splitlines()
    assert lines[1].startswith("1,anterior,0.0,0.0,2.0,2.0,0.0,0.002,0.002,0.0,0.0")
    assert lines[3].endswith("nan")


def test_nothing_has_a_table_too() -> None:
    nothing = np.zeros((4, 4), int)
    table = score_table(evaluate(nothing, nothing, output="areas", spacing=(1, 1), tolerance=1))
    assert {name: column.tolist() for name, column in table.items()} == {
        "class": [""], "class_name": ["mean"], "dice": [1], "iou": [1], "hd95_mm": [0], "assd_mm": [0], "nsd_1_mm": [1]
    }  # fmt: skip


def test_objects_have_one_row() -> None:
    table = score_table(evaluate(np.eye(4, dtype=int), np.eye(4, dtype=int)))
    assert {len(column) for column in table.values()} == {1}
    assert table["average_precision_0.9"] == [1.0]


def test_infinity_is_no_json() -> None:
    scores = evaluate(np.eye(4, dtype=int), np.zeros((4, 4), int), output="areas", spacing=(1, 1))
    text = json.dumps(strict_json(scores), allow_nan=False)
    assert json.loads(text)["classes"]["1"]["hd95"] is None
    assert json.loads(text)["spacing"] == [1, 1]
