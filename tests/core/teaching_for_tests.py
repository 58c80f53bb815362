"""A small teaching, and people who keep models, to run in processes that get killed."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import multiprocessing
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from napari_unetstyle.core import ModelStore, as_image
from napari_unetstyle.core.annotation.corrections import Correction
from napari_unetstyle.core.models.aside import save_aside, take_in
from napari_unetstyle.core.models.memory import Memory
from napari_unetstyle.core.training.finetune import fine_tune
from napari_unetstyle.core.training.options import FineTuneOptions
from tests.core.networks_for_tests import random_unet, tiny_model
from tests.core.training_for_tests import discs

QUICK: dict[str, Any] = {"minutes": None, "steps": 6, "learning_rate": 2e-2}


def small_picture(seed=0, **said):
    """A picture of discs that is just large enough to hold places out."""
    example = discs((96, 96), count=8, seed=seed)
    pixels = np.moveaxis((255 * example.image).astype(np.uint8), 0, -1)
    return Correction(image=as_image(pixels, axes="YXC"), labels=example.labels[1], **(said or {"rest_is_right": True}))


def small_memory(role="learn", picture=""):
    """A picture for a model to carry, or a crop of a person's own for it to remember."""
    rng = np.random.default_rng(0)
    return Memory(rng.integers(0, 255, (3, 40, 40)).astype(np.uint8), np.ones((2, 40, 40), np.int32), role, picture)


@contextlib.contextmanager
def checkpoints_at_every_step():
    """As if each step took half a minute."""
    usual = FineTuneOptions.fit
    often = lambda self, rate: dataclasses.replace(usual(self, rate), checkpoint_minutes=0.0)  # noqa: E731
    with patch.object(FineTuneOptions, "fit", often):
        yield


def teach(root: Path, folder: Path, ready) -> None:
    """Teach and keep; to be killed."""
    ready.send("ready")
    with checkpoints_at_every_step():
        fine_tune([small_picture()], "tiny", store=ModelStore(root), folder=folder, **QUICK).keep(ModelStore(root))
    ready.send("done")


def keep_many(root: Path, seed: int, count: int, ready) -> None:
    """Save models aside and take them in, one after the other; to be killed, or to race with another."""
    store = ModelStore(root)
    spec = store.load("tiny").spec.model_copy(update={"name": "many", "parent": "tiny@1"})
    ready.send("ready")
    ready.recv()
    for number in range(count):
        marked = spec.model_copy(update={"provenance": {"by": f"{seed}-{number}"}})
        aside = save_aside(
            store,
            marked,
            random_unet(channels=3, out=3, seed=seed),
            memory=[small_memory(), small_memory(picture="own")],
        )
        take_in(store, aside, marked)
    ready.send("done")


def process(target, *args):
    """A process that has everything imported already, and its end of a pipe."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.core.teaching_for_tests"])
    here, there = context.Pipe()
    child = context.Process(target=target, args=(*args, there), daemon=True)
    child.start()
    there.close()
    assert here.recv() == "ready"
    return child, here


def contents(root: Path) -> dict[Path, str]:
    """What lies in the model folders that a list shows, file by file."""
    shown = (folder for folder in root.iterdir() if folder.name[0] != ".")
    files = (path for folder in shown for path in [folder, *folder.rglob("*")] if path.is_file())
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def fresh_store(root: Path) -> ModelStore:
    """A store with the model that is taught."""
    tiny_model(root)
    return ModelStore(root)
