"""The command ``style-bank``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_unetstyle.core import read_image, stylize
from tests.cli.cli_for_tests import Shell


@pytest.fixture
def picture(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NAPARI_UNETSTYLE_MODELS", str(tmp_path / "models"))
    path = tmp_path / "slide.tif"
    pixels = np.random.default_rng(0).integers(0, 200, (40, 50, 3), np.uint8)
    tifffile.imwrite(path, pixels, photometric="rgb")
    return path


def names(shell: Shell) -> list[str]:
    return [row["name"] for row in json.loads(shell("style-bank", "list", "--json").out)["styles"]]


def test_keep_use_hand_on_take_in_and_forget(shell: Shell, picture: Path, tmp_path: Path) -> None:
    assert shell("style-bank", "add", "ours", picture, "--about", "Scanner 2").code == 0
    assert "ours" in names(shell)
    (line,) = [line for line in shell("style-bank", "list").out.splitlines() if line.startswith("ours")]
    assert "Scanner 2" in line
    other = tmp_path / "other.tif"
    tifffile.imwrite(other, np.random.default_rng(1).integers(90, 255, (40, 50, 3), np.uint8), photometric="rgb")
    assert shell("stylize", other, "--style", "ours", "-o", tmp_path / "out").code == 0
    made = read_image(tmp_path / "out" / "other_restyled.tif")
    assert np.array_equal(made.array[:], stylize(other, picture).image.array)
    words = ["stylize", other, "--method", "any", "-o", tmp_path / "any", "--style"]
    assert shell(*words, "ours").code == 0
    made = read_image(tmp_path / "any" / "other_restyled.tif")
    assert np.array_equal(made.array[:], stylize(other, picture, "any").image.array)
    assert shell("style-bank", "add", "plain", picture, "--no-texture").code == 0
    refused = shell(*words, "plain")
    assert refused.code == 2
    assert "'plain' holds statistics only" in refused.err
    handed = shell("style-bank", "export", "ours", tmp_path / "handed.style.json")
    assert "no picture" in handed.out
    assert shell("style-bank", "remove", "ours").code == 0
    assert "ours" not in names(shell)
    assert shell("style-bank", "import", tmp_path / "handed.style.json", "--name", "theirs").code == 0
    assert "theirs" in names(shell)


def test_what_is_not_possible_is_said(shell: Shell, picture: Path, tmp_path: Path) -> None:
    for words in (
        ["style-bank", "export", "nothing", tmp_path],
        ["style-bank", "remove", "he-light"],
        ["style-bank", "import", picture],
        ["style-bank", "add", "he-light", picture],
        ["stylize", picture, "--style", "he-lihgt", "-o", tmp_path / "out"],
    ):
        done = shell(*words)
        assert done.code == 2
        assert done.err.startswith("Error: ")
    assert "Did you mean 'he-light'" in done.err
    assert not (tmp_path / "out").exists()
