"""Two programs on one project and one model store at the same time: nothing is torn or lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_unetstyle.core.annotation.open_journals import left_open
from napari_unetstyle.core.annotation.project import Project
from napari_unetstyle.core.models.store import ModelStore
from tests.core.painting_for_tests import states
from tests.core.teaching_for_tests import fresh_store, process
from tests.core.two_windows_for_tests import NAME, check_whole, work

ROOT = Path(__file__).parents[2]


def test_two_that_paint_in_one_project_keep_all_and_a_third_reads_along(tmp_path, repeats):
    count, project, looks = 4 * repeats(30), Project(tmp_path), 0
    expected = {seed: states(seed, count) for seed in (1, 2)}
    command = [sys.executable, "-m", "tests.core.painting_for_tests", "paint", str(tmp_path)]
    both = [
        subprocess.Popen([*command, str(seed), str(count)], cwd=ROOT, stdout=subprocess.DEVNULL) for seed in expected
    ]
    while any(child.poll() is None for child in both):
        for entry in project.entries():
            state = entry.state()
            assert not state.notes
            assert any(np.array_equal(state.original, seen[0]) for seen in expected.values())
            looks += 1
    assert [child.wait() for child in both] == [0, 0]
    assert looks
    assert sorted(entry.folder.name for entry in project.entries()) == ["journal", "journal-2"]
    found = [entry.state() for entry in project.entries()]
    for seen in expected.values():
        (own,) = (state for state in found if np.array_equal(state.original, seen[0]))
        assert np.array_equal(own.labels, seen[-1])
        assert own.said == {"strokes": count - count % 25}
    assert project.problems() == []
    assert left_open(tmp_path / "marks") == []


def both(root, seed, steps):
    """What each of two programs did that did everything at once."""
    fresh_store(root / "models")
    children = [process(work, root, which, seed, steps) for which in (1, 2)]
    for _, pipe in children:
        pipe.send("go")
    said = [pipe.recv() for _, pipe in children]
    for child, _ in children:
        child.join()
    return said


def assert_all_is_there(root, said):
    store, project = ModelStore(root / "models"), Project(root / "fixes")
    assert store.problems() == {}
    removed = {name for one in said for name in one.removed}
    saved = {name: by for one in said for name, by in one.saved.items()}
    assert len(saved) == sum(len(one.saved) for one in said), "two models of one name"
    left = {f"{spec.name}@{spec.version}" for spec in store.list() if spec.name == NAME}
    assert left == saved.keys() - removed
    assert all(check_whole(store.load(name)) == saved[name] for name in left)
    assert {path.name for path in store.root.glob(".*")} <= {".removed"}
    assert project.problems() == []
    assert left_open(root / "marks") == []
    states = {entry.folder: entry.state() for entry in project.entries()}
    strokes = [(folder, place) for one in said for folder, places in one.strokes.items() for place in places]
    assert strokes
    for folder, place in strokes:
        assert states[folder].labels.reshape(-1)[place] == place
    for folder, value in {folder: value for one in said for folder, value in one.added.items()}.items():
        assert (states[folder].original == value).all()
        assert (folder / "labels.tif").exists()


def test_two_that_do_everything_at_once_lose_and_tear_nothing(tmp_path):
    assert_all_is_there(tmp_path, both(tmp_path, 0, 10))


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1, 5))
def test_two_that_do_everything_at_once_for_many_rounds_lose_and_tear_nothing(tmp_path, seed):
    said = both(tmp_path, seed, 150)
    assert_all_is_there(tmp_path, said)
    assert all(len(one.done) == 10 for one in said)
