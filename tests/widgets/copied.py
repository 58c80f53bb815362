"""What is copied from a result, run."""

from __future__ import annotations

import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from qtpy.QtWidgets import QApplication
from typer.testing import CliRunner

from napari_unetstyle.core import read_image
from napari_unetstyle.widgets import copy_as


def assert_copied(results: Any, labels: Any, folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is copied, run, gives these labels: as Python, and as a command in `folder`, which writes ``out/name``."""
    from napari_unetstyle.cli.main import app

    results.copy("python")
    names: dict[str, Any] = {}
    exec(QApplication.clipboard().text(), names)  # what a person pastes
    np.testing.assert_array_equal(names["labels"], labels)

    monkeypatch.setattr(copy_as, "os", SimpleNamespace(name="posix"))  # whose quotes shlex reads
    results.copy("command")
    folder.mkdir(exist_ok=True)
    monkeypatch.chdir(folder)
    done = CliRunner().invoke(app, shlex.split(QApplication.clipboard().text(), comments=True)[1:])
    assert done.exit_code == 0, done.output
    np.testing.assert_array_equal(read_image(folder / "out" / name).array, labels)
