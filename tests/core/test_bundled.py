"""The models that come with the package."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unetstyle.core import ModelStore, as_image, segment
from napari_unetstyle.core.models.store import BUNDLED

MODELS = ModelStore(BUNDLED / "nobody-s-own").list()


def test_they_are_there():
    assert [spec.name for spec in MODELS] == ["axon-myelin", "hippocampus", "nuclei"]


@pytest.mark.parametrize("spec", MODELS, ids=lambda spec: spec.name)
def test_each_says_what_it_is_and_carries_pictures_to_replay_and_to_check_with(spec):
    model = ModelStore().load(spec.name)
    card = model.card
    assert all((card.purpose, card.summary, card.training_data, card.license, card.attribution, card.limits))
    assert any("test" in row.data or row.metric == "AP@0.5" for row in card.measured) or spec.name == "axon-myelin"
    assert "not a medical device" in card.intended_use
    roles = [memory.role for memory in model.memory]
    assert roles.count("learn") >= 3
    assert roles.count("check") >= 1
    assert all(len(memory.pixels) in (1, 3) for memory in model.memory)


@pytest.mark.parametrize("spec", MODELS, ids=lambda spec: spec.name)
def test_each_finds_something_in_the_pictures_that_it_carries(spec):
    from napari_unetstyle.core.training.comparison import remembered

    model = ModelStore().load(spec.name)
    memory = next(m for m in model.memory if m.role == "check")
    labels = segment(remembered(memory, spec), model, device="cpu").labels
    inside, true = labels > 0, memory.targets[0] > 0
    assert 2 * (inside & true).sum() > 0.6 * (inside.sum() + true.sum())


def test_hippocampus_does_not_care_for_a_factor_of_a_thousand():
    model = ModelStore().load("hippocampus")
    pixels = next(m for m in model.memory if m.role == "check").pixels[0].astype(np.float32)
    one, other = (
        segment(as_image(pixels * factor, axes="ZYX", spacing=(1, 1, 1), unit="mm"), model, device="cpu").labels
        for factor in (1.0, 1000.0)
    )
    assert (one > 0).any()
    assert (one != other).mean() < 1e-4


def test_licenses_that_differ_from_the_program_s_lie_beside_the_weights():
    assert "CC BY-SA 4.0" in (BUNDLED / "hippocampus" / "LICENSE.txt").read_text("utf-8")
