"""The models that come with the package."""

from __future__ import annotations

import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pytest
from skimage.transform import resize

from napari_unetstyle._sample_data import sample_folder
from napari_unetstyle.core import ModelStore, as_image, read_image, segment
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
    assert 1 < spec.temperature < 2  # each is a little surer than it is right


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


@pytest.mark.parametrize("times", [0.5, 3])
def test_nuclei_are_found_however_large_they_are(times):
    """A size that nobody stated is looked for again and again, until it is seen at the scale that follows from it."""
    pixels = np.asarray(read_image(sample_folder() / "nuclei-fluorescence.tif").array)[:256, :256]
    shape = tuple(round(n * times) for n in pixels.shape)
    large = np.rint(resize(pixels.astype(float), shape, anti_aliasing=True)).astype(np.uint8)
    plain, found = (segment(one, "nuclei", device="cpu") for one in (pixels, large))
    assert found.options.object_diameter == pytest.approx(times * plain.options.object_diameter, rel=0.2)
    assert found.count == pytest.approx(plain.count, rel=0.15)


def test_a_large_picture_of_nothing_has_no_size_that_is_believed():
    noise = np.random.default_rng(0).normal(60, 9, (700, 700)).clip(0, 255).astype(np.uint8)
    result = segment(noise, "nuclei", device="cpu")
    assert result.count == 0
    assert result.provenance["scale"] == 1


@pytest.mark.parametrize(("name", "words"), [("axon-myelin", "Permission is hereby"), ("hippocampus", "CC BY-SA 4.0")])
def test_licenses_that_have_to_go_along_lie_beside_the_weights(name, words):
    assert words in (BUNDLED / name / "LICENSE.txt").read_text("utf-8")


def test_the_package_names_the_license_of_every_model_and_takes_their_texts_along():
    root = Path(__file__).parents[2]
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    assert {"MIT", *(spec.card.license for spec in MODELS)} <= set(project["license"].split(" AND "))
    listed = {path for pattern in project["license-files"] for path in root.glob(pattern)}
    assert listed == {root / "LICENSE", *root.glob("src/**/LICENSE.txt")}
    assert all(spec.card.license == "CC0-1.0" or "LICENSE.txt" in spec.files for spec in MODELS)


def test_a_model_that_is_handed_on_keeps_the_text_of_its_license(tmp_path):
    ours = ModelStore(tmp_path / "ours")
    text = (BUNDLED / "hippocampus" / "LICENSE.txt").read_text("utf-8")
    file = ours.share("hippocampus", tmp_path)
    with zipfile.ZipFile(file) as archive:
        assert archive.read("hippocampus@1/LICENSE.txt").decode() == text
    theirs = ModelStore(tmp_path / "theirs", bundled=tmp_path / "none")
    theirs.import_(file)
    assert (theirs.folder("hippocampus") / "LICENSE.txt").read_text("utf-8") == text
    assert theirs.load("hippocampus").license_text == text


def test_what_is_made_of_a_model_keeps_the_text_of_its_license(tmp_path):
    parent, store = ModelStore().load("hippocampus"), ModelStore(tmp_path)
    spec = parent.spec.model_copy(update={"name": "of-our-lab", "files": {}})
    store.save(spec, parent.network, license_text=parent.license_text)
    assert store.load("of-our-lab").license_text == parent.license_text != ""
    store.save(spec.model_copy(update={"version": 2}), parent.network)
    assert store.load("of-our-lab@2").license_text == ""
