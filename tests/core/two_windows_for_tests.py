"""A window without napari: does in a random order what people do to one model store and one project, and says what."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_unetstyle.core import ModelStore
from napari_unetstyle.core.annotation.changes import Changes
from napari_unetstyle.core.annotation.open_journals import left_open
from napari_unetstyle.core.annotation.project import TICKED, Project
from napari_unetstyle.core.annotation.recorder import Recorder
from napari_unetstyle.core.errors import JournalError, ModelFileError, ModelNotFoundError, OutputError
from napari_unetstyle.core.models.aside import save_aside, take_in
from tests.core.annotation_for_tests import header, picture
from tests.core.networks_for_tests import random_unet
from tests.core.teaching_for_tests import small_memory

SHAPE = (40, 50)
NAME = "shared-mine"
HELD = "open in another window"


@dataclass
class Said:
    """What a window did: numbers of its models by reference, those it removed, and its strokes by journal."""

    saved: dict[str, str] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    strokes: dict[Path, list[int]] = field(default_factory=dict)
    added: dict[Path, int] = field(default_factory=dict)
    shared: list[Path] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)


class Window:
    """One of two; each paints on places of its own with numbers of its own, so that what is lost is seen."""

    def __init__(self, root: Path, which: int, seed: int) -> None:
        self.store, self.project = ModelStore(root / "models"), Project(root / "fixes")
        self.marks, self.which, self.root = root / "marks", which, root
        self.rng = np.random.default_rng([seed, which])
        self.said, self.count = Said(), 0

    def act(self) -> None:
        acts = {
            self.save: 3,
            self.use: 3,
            self.remove: 1,
            self.hand_on: 1,
            self.begin: 2,
            self.go_on: 4,
            self.add_masks: 1,
            self.tick: 2,
            self.collect: 3,
            self.look: 3,
        }
        weights = np.array(list(acts.values())) / sum(acts.values())
        act = list(acts)[int(self.rng.choice(len(acts), p=weights))]
        act()
        self.said.done[act.__name__] += 1

    def any_of(self, things: Any) -> Any:
        things = list(things)
        return things[int(self.rng.integers(len(things)))] if things else None

    @property
    def versions(self) -> list[str]:
        return [f"{spec.name}@{spec.version}" for spec in self.store.list() if spec.name == NAME]

    # Models ----------------------------------------------------------------------------------------------------------

    def save(self) -> None:
        self.count += 1
        by = f"{self.which}-{self.count}"
        spec = self.store.spec("tiny").model_copy(update={"name": NAME, "parent": "tiny@1", "provenance": {"by": by}})
        aside = save_aside(self.store, spec, network_of(by), memory=[small_memory(), small_memory(picture="own")])
        kept = take_in(self.store, aside, spec)
        self.said.saved[f"{kept.spec.name}@{kept.spec.version}"] = by

    def use(self) -> None:
        """Load one; it may go meanwhile, and is never half of one and half of another."""
        if (name := self.any_of(self.versions)) is None:
            return
        try:
            check_whole(self.store.load(name))
        except (ModelNotFoundError, ModelFileError):
            assert name not in self.versions

    def remove(self) -> None:
        if len(self.versions) < 4:
            return
        name = self.any_of(self.versions[-3:])  # both the same, perhaps
        try:
            self.store.remove(name)
        except ModelNotFoundError:
            self.said.refused["removed there"] += 1
        else:
            self.said.removed.append(name)

    def hand_on(self) -> None:
        """Both import the same file at the same time, perhaps."""
        target = self.root / "shared.unetmodel.zip"
        with contextlib.suppress(OutputError):  # the other was first
            self.store.share("tiny", target)
        spec = self.store.import_(target, name="from-a-colleague")
        assert check_whole(self.store.load(spec.name)) == ""

    # Fixes -----------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        labels = np.zeros(SHAPE, np.int32)
        recorder = Recorder.new(
            self.project.folder / "journal", header(labels), Changes.of(labels), lambda: labels, self.marks
        )
        self.paint(recorder, labels)

    def go_on(self) -> None:
        if (entry := self.any_of(self.project.entries())) is None or entry.is_open:
            return
        state = entry.state()
        labels = state.labels.copy()
        self.paint(Recorder.of(entry.folder, lambda: labels, self.marks, state.number), labels)

    def paint(self, recorder: Recorder, labels: np.ndarray) -> None:
        places = []
        for _ in range(int(self.rng.integers(1, 5))):
            self.count += 1
            place = 2 * self.count + self.which - 1
            labels.reshape(-1)[place] = place
            places.append(place)
            recorder.changed()
        while not recorder.flush(0.02) and recorder.error is None:
            pass
        if recorder.error is None:
            assert recorder.close()
            self.said.strokes.setdefault(recorder.folder, []).extend(places)
        else:  # the other window was faster, and whoever paints is told so
            recorder.close()
            assert isinstance(recorder.error, JournalError)
            self.said.refused[HELD] += 1

    def add_masks(self) -> None:
        self.count += 1
        labels = np.full(SHAPE, 2 * self.count + self.which - 1, np.int32)
        entry = self.project.add(picture(SHAPE), labels, layer="masks")
        self.said.added[entry.folder] = int(labels[0, 0])

    def tick(self) -> None:
        if (entry := self.any_of(self.project.entries())) is None:
            return
        with contextlib.suppress(JournalError):  # the other window is painting there
            entry.say(**{TICKED: True, f"by {self.which}": self.count})

    def collect(self) -> None:
        problems: list[str] = []
        self.project.corrections(problems)
        assert not [problem for problem in problems if "has no file" not in problem], problems

    def look(self) -> None:
        assert self.store.problems() == {}
        assert self.project.problems() == []
        for entry in self.project.entries():
            assert not entry.state().notes
        left_open(self.marks)


def network_of(by: str) -> Any:
    """The network that a window teaches, as no other does."""
    network = random_unet(channels=3, out=3)
    with torch.no_grad():
        network.head.bias.fill_(_number(by))
    return network


def check_whole(model: Any) -> str:
    """Whether a model is of one piece; who made it."""
    by = str(model.spec.provenance.get("by", ""))
    if by:
        assert set(model.network.head.bias.tolist()) == {_number(by)}
        assert [bool(memory.picture) for memory in model.memory] in ([False, True], [])
    return by


def _number(by: str) -> float:
    which, count = map(int, by.split("-"))
    return which * 500 + count  # below 2048, that half precision holds


def work(root: Path, which: int, seed: int, steps: int, ready: Any) -> None:
    window = Window(root, which, seed)
    ready.send("ready")
    ready.recv()
    for _ in range(steps):
        window.act()
    ready.send(window.said)
