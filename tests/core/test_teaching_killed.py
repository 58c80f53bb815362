"""A teaching, or a person who keeps models, killed at any moment: what there was is whole, and it can go on."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import time

import numpy as np
import pytest
import torch
from safetensors import safe_open

from napari_unetstyle.core import ModelStore
from napari_unetstyle.core.errors import ModelFileError, TeachingError
from napari_unetstyle.core.models.aside import forget, save_aside, take_in, write_to
from napari_unetstyle.core.training.apart import iter_taught_apart
from napari_unetstyle.core.training.finetune import fine_tune, iter_fine_tune
from napari_unetstyle.core.training.fit import Fit
from napari_unetstyle.core.training.options import FineTuneOptions
from napari_unetstyle.core.training.train_progress import TrainProgress
from tests.core.networks_for_tests import random_unet
from tests.core.teaching_for_tests import (
    QUICK,
    checkpoints_at_every_step,
    contents,
    fresh_store,
    keep_many,
    process,
    small_memory,
    small_picture,
    teach,
)

needs_kill = pytest.mark.skipif(os.name == "nt", reason="no SIGKILL there")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What an uninterrupted teaching comes to, and how long that takes."""
    store = fresh_store(tmp_path_factory.mktemp("whole"))
    started = time.monotonic()
    candidate = fine_tune([small_picture()], "tiny", store=store, **QUICK)
    _ = candidate.model.network
    return candidate, time.monotonic() - started


def assert_same(one, other):
    for a, b in zip(one.model.network.parameters(), other.model.network.parameters(), strict=True):
        assert torch.equal(a, b)
    assert one.comparison == other.comparison


def interrupted(store, folder, count):
    """Teach until `count` times progress was told, which is after each step and while it is measured, then close."""
    options = FineTuneOptions(folder=folder, **QUICK)
    steps = iter_fine_tune([small_picture()], "tiny", options, store=store)
    seen = (progress for progress in steps if isinstance(progress, TrainProgress))
    for _ in itertools.islice(seen, count):
        pass
    steps.close()


def test_interrupted_and_resumed_equals_uninterrupted_bit_for_bit(tmp_path, whole):
    """Wherever it is: between two steps, and while it is being measured."""
    store = fresh_store(tmp_path / "models")
    for count in (1, 3, 30):
        interrupted(store, tmp_path / "work", count)
        assert not list(store.root.glob(".partial-*"))
    assert (tmp_path / "work" / "training.safetensors").exists()
    resumed = fine_tune([small_picture()], "tiny", store=store, folder=tmp_path / "work", **QUICK)
    assert_same(resumed, whole[0])
    finished = fine_tune([small_picture()], "tiny", store=store, folder=tmp_path / "work", **QUICK)
    assert_same(finished, whole[0])


def test_the_best_so_far_is_resumed_with_its_score(tmp_path, monkeypatch):
    """As if the first step had been the best, which is known only from before the interruption."""
    measured = Fit.measured
    monkeypatch.setattr(Fit, "measured", lambda state, _: measured(state, 1 - state.step / 10))
    store, folder = fresh_store(tmp_path / "models"), tmp_path / "work"
    best = fine_tune([small_picture()], "tiny", store=store, **QUICK)
    interrupted(store, folder, 60)
    state = json.loads(safe_open(folder / "training.safetensors", "pt").metadata()["state"])
    assert state["highest"] == 0.9
    assert state["step"] > 2
    resumed = fine_tune([small_picture()], "tiny", store=store, folder=folder, **QUICK)
    assert_same(resumed, best)


@pytest.mark.parametrize("other", [{"seed": 1}, {"learning_rate": 1e-3}, {"replay": 0.1}, {"steps": 7}])
def test_a_folder_of_another_teaching_is_refused(tmp_path, other):
    store, folder = fresh_store(tmp_path / "models"), tmp_path / "work"
    interrupted(store, folder, 1)
    before = contents(folder)
    with pytest.raises(ModelFileError, match="not a checkpoint of this training: the pictures, the model or the opt"):
        fine_tune([small_picture()], "tiny", store=store, folder=folder, **QUICK | other)
    with pytest.raises(ModelFileError, match="Choose another folder"):
        fine_tune([small_picture(1)], "tiny", store=store, folder=folder, **QUICK)
    assert contents(folder) == before


@needs_kill
def test_a_teaching_killed_at_any_moment_leaves_the_models_whole_and_goes_on(tmp_path, whole, repeats):
    rng = np.random.default_rng()
    for trial in range(repeats(2)):
        root, folder = tmp_path / f"{trial}", tmp_path / f"work-{trial}"
        before = contents(fresh_store(root).root)
        child, _ = process(teach, root, folder)
        wait = rng.uniform(0, 1.2 * whole[1])
        time.sleep(wait)
        child.kill()
        child.join()
        _check(root, before, f"killed after {wait:.2f} s of {whole[1]:.2f}")
        with checkpoints_at_every_step():
            resumed = fine_tune([small_picture()], "tiny", store=ModelStore(root), folder=folder, **QUICK)
        assert_same(resumed, whole[0])
        shutil.rmtree(root)


@needs_kill
def test_a_save_killed_at_any_moment_is_not_there_or_whole(tmp_path, repeats):
    rng = np.random.default_rng()
    for trial in range(repeats(12)):
        root = tmp_path / f"{trial // 10}"
        if trial % 10 == 0:  # else it is full of models in the end
            fresh_store(root)
        before = contents(root)
        child, pipe = process(keep_many, root, trial, 1000)
        pipe.send("go")
        wait = rng.uniform(0, 0.4)
        time.sleep(wait)
        child.kill()
        child.join()
        _check(root, before, f"killed after {wait:.3f} s")


def _check(root, before, about):
    """Nothing unreadable, earlier versions as they were, leftovers in no list and gone a day later."""
    store = ModelStore(root)
    assert store.problems() == {}, about
    after = contents(root)
    assert before.items() <= after.items(), about
    for folder in {path.parent for path in after.keys() - before.keys() if path.name == "model.json"}:
        model = store.load(folder)
        assert model.network is not None, about
        carried, remembered = ([m for m in model.memory if bool(m.picture) is own] for own in (False, True))
        assert len(carried) == sum(name.endswith("-labels.tif") for name in model.spec.files), about
        assert len(remembered) == len(list(folder.glob("own/*-labels.tif"))) > 0, about
    for left in root.glob(".*"):
        assert left.name.startswith(".partial-"), about
        os.utime(left, (0, 0))
    forget(store, save_aside(store, store.load("tiny").spec, random_unet(channels=3, out=3)))
    assert not list(root.glob(".*")), about


def test_two_that_keep_versions_at_the_same_time_keep_all_of_them(tmp_path, repeats):
    count = min(20, repeats(5))
    fresh_store(tmp_path)
    both = [process(keep_many, tmp_path, seed, count) for seed in (1, 2)]
    for _, pipe in both:
        pipe.send("go")
    for child, pipe in both:
        assert pipe.recv() == "done"
        child.join()
    store = ModelStore(tmp_path)
    assert store.problems() == {}
    models = [store.load(f"many@{version}") for version in range(1, 2 * count + 1)]
    assert sorted(m.spec.provenance["by"] for m in models) == sorted(f"{s}-{n}" for s in (1, 2) for n in range(count))
    for model in models:  # none has the description of one and the numbers of the other
        seed = int(model.spec.provenance["by"][0])
        expected = random_unet(channels=3, out=3, seed=seed).head.weight.half().float()
        assert torch.equal(model.network.head.weight, expected)
        assert [m.picture for m in model.memory] == ["", "own"]
    assert not list(tmp_path.glob(".*"))


def test_a_taught_model_that_was_forgotten_is_not_kept_as_an_empty_folder(tmp_path):
    store = fresh_store(tmp_path)
    spec = store.load("tiny").spec.model_copy(update={"name": "new"})
    aside = save_aside(store, spec, random_unet(channels=3, out=3), memory=[small_memory()])
    forget(store, aside)
    with pytest.raises(ModelFileError, match="no longer there"):
        take_in(store, aside, spec)
    with pytest.raises(ModelFileError, match="no longer there"):
        write_to(store, aside, spec, tmp_path / "elsewhere")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["tiny@1"]


@needs_kill
def test_when_the_window_is_killed_the_other_process_ends_and_cleans_up(tmp_path, monkeypatch):
    """Its end of the pipe is closed, as the system does it for a killed process, and nobody waits for it."""
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    store = fresh_store(tmp_path / "models")
    steps = iter_taught_apart([small_picture()], store.load("tiny"), FineTuneOptions(minutes=5), store=store)
    while not isinstance(next(steps), TrainProgress):
        pass
    child = steps.gi_frame.f_locals["child"]
    child.stdin.close()
    child.wait(30)
    assert not list((tmp_path / "scratch").glob("unetstyle-*"))
    assert sorted(p.name for p in store.root.iterdir()) == ["tiny@1"]
    with pytest.raises((TeachingError, ValueError)):
        next(steps)
