"""How sure a model may be is found from held-out places."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from napari_unetstyle.core import ModelStore, segment
from napari_unetstyle.core.training.calibration import BOUNDS, Evidence, fitted_temperature
from tests.core.networks_for_tests import tiny_model


def said_by_a_model(temperature, classes=2, count=40_000, seed=0):
    """Bytes of a model whose logits are true once they are divided by a temperature, and what is true."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2.5, (classes, count))
    true = np.argmax(logits / temperature + rng.gumbel(size=logits.shape), axis=0)  # drawn from their softmax
    given = np.exp(logits - logits.max(axis=0))
    return np.rint(255 * given / given.sum(axis=0)).astype(np.uint8), true.astype(np.int32)


def found(probability_bytes, true):
    evidence = Evidence()
    evidence.add(probability_bytes, true, np.ones(true.shape, bool))
    return evidence.temperature()


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("temperature", [0.7, 1.0, 1.5, 2.5])
def test_a_known_temperature_is_found_again(temperature, classes):
    assert found(*said_by_a_model(temperature, classes)) == pytest.approx(temperature, rel=0.06)


def test_who_is_surer_than_right_gets_more_than_one_and_who_is_always_right_no_less_than_half():
    rng = np.random.default_rng(1)
    p = np.where(rng.random(5000) < 0.5, 250, 5).astype(np.uint8)
    right = (p > 128).astype(np.int32)
    wrong = np.where(rng.random(5000) < 0.2, 1 - right, right)
    assert found(np.stack([255 - p, p]), wrong) > 2
    assert found(np.stack([255 - p, p]), right) == pytest.approx(BOUNDS[0], abs=0.01)


def test_certain_pixels_places_with_unknown_classes_and_too_few_pixels_say_nothing():
    given, true = said_by_a_model(1.5)
    certain = np.tile(np.array([[255], [0]], np.uint8), (1, 9000))
    with_certain = np.concatenate([given, certain], axis=1)
    assert found(with_certain, np.append(true, np.ones(9000, np.int32))) == found(given, true)
    assert found(given, np.where(np.arange(true.size) == 7, -2, true).astype(np.int32)) is None
    assert found(given[:, :80], true[:80]) is None
    assert fitted_temperature(given[:, :80], true[:80]) is None
    assert Evidence().temperature() is None


def test_a_class_that_the_model_does_not_have_says_nothing():
    said, true = said_by_a_model(1.5)
    added = np.where(np.arange(true.size) % 3, true, 2)
    assert found(said, added) == found(said[:, added < 2], true[added < 2])


def test_labels_and_probabilities_do_not_depend_on_it(tmp_path):
    tiny_model(tmp_path)
    model, results = ModelStore(tmp_path).load("tiny"), []
    picture = np.random.default_rng(0).integers(0, 255, (40, 50, 3)).astype(np.uint8)
    for value in (None, 4.0):
        known = dataclasses.replace(model, spec=model.spec.model_copy(update={"temperature": value}))
        results.append(segment(picture, known, device="cpu"))
    assert [result.temperature for result in results] == [None, 4.0]
    np.testing.assert_array_equal(results[0].labels, results[1].labels)
    np.testing.assert_array_equal(results[0].probability_bytes, results[1].probability_bytes)
