"""What ``dev.py`` makes of its arguments; what it starts is not started here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import dev

SCRIPT = dev.ROOT / "docs" / "examples" / "segment_samples.py"
Started = list[tuple[tuple[Any, ...], Path]]


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Started:
    """Commands that were called, each with its folder; the caller is in a folder with one picture."""
    commands: Started = []
    monkeypatch.setattr(dev, "install", lambda *_: None)
    monkeypatch.setattr(dev, "call", lambda *command, folder=dev.ROOT: commands.append((command, folder)) or 0)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.tif").touch()
    return commands


@pytest.mark.parametrize("has_display", [True, False])
def test_run_takes_pictures_from_where_the_caller_is_then_from_the_project(
    has_display: bool, started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dev, "has_display", lambda: has_display)
    sample = "sample_data/nuclei-he.tif"
    assert dev.run(["good.tif", sample, "none.tif"]) == 0
    given = ("good.tif", str(dev.ROOT / sample), "none.tif")
    command = (dev.BIN / "napari", *given, "-w", "napari-unetstyle") if has_display else (dev.PYTHON, SCRIPT, *given)
    assert started == [(command, Path.cwd())]


@pytest.mark.parametrize("has_display", [True, False])
def test_run_takes_the_samples_where_no_picture_is_given(
    has_display: bool, started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dev, "has_display", lambda: has_display)
    assert dev.run([]) == 0
    ((program, script), folder) = started[0]
    assert (program, folder / script) == (
        dev.PYTHON,
        folder / "docs/examples/open_sample.py" if has_display else SCRIPT,
    )
    assert (folder / script).is_file()


def test_where_results_go_is_from_where_the_caller_is(started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dev, "has_display", lambda: False)
    dev.run(["-o", "docs"])  # which the project has, too
    assert started == [((dev.PYTHON, SCRIPT, "-o", "docs"), Path.cwd())]
