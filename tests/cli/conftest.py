"""A shell with a store that holds one tiny model, and a few pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter

from napari_unetstyle.core.models.model import Model
from tests.cli.cli_for_tests import Shell
from tests.core.networks_for_tests import tiny_model


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny_model(tmp_path_factory.mktemp("models"))


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tiny: Model) -> Shell:
    monkeypatch.setenv("NAPARI_UNETSTYLE_MODELS", str(tiny.folder.parent))
    monkeypatch.setenv("COLUMNS", "200")
    return Shell(monkeypatch, capsys)


@pytest.fixture
def slides(tmp_path: Path) -> Path:
    (tmp_path / "slides").mkdir()
    for i, name in enumerate("ab"):
        smooth = gaussian_filter(np.random.default_rng(i).random((60, 70)), 4)
        light = (250 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)
        tifffile.imwrite(tmp_path / "slides" / f"{name}.tif", light)
    return tmp_path / "slides"
