"""Two programs on one project at the same time: nothing is torn or lost. On one model store: test_teaching_killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from napari_unetstyle.core.annotation.open_journals import left_open
from napari_unetstyle.core.annotation.project import Project
from tests.core.painting_for_tests import states

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
