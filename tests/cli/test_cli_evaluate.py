"""The command ``evaluate``."""

from __future__ import annotations

import json
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from napari_unetstyle.core import evaluate, write_labels
from tests.cli.cli_for_tests import Shell


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    truth = np.kron(np.arange(12).reshape(3, 4), np.ones((10, 10), int))
    write_labels(tmp_path / "prediction.tif", np.roll(truth, 2, axis=1))
    (tmp_path / "truth.png").write_bytes(imagecodecs.png_encode(truth.astype(np.uint16)))
    return tmp_path / "prediction.tif", tmp_path / "truth.png"


def test_objects(shell: Shell, pair: tuple[Path, Path]) -> None:
    truth = np.kron(np.arange(12).reshape(3, 4), np.ones((10, 10), int))
    expected = evaluate(np.roll(truth, 2, axis=1), truth)
    done = shell("evaluate", *pair)
    assert done.code == 0
    assert f"AP at IoU 0.5         {expected['average_precision'][0.5]:.4f}" in done.out
    assert f"Dice                  {expected['dice']:.4f}" in done.out
    scores = json.loads(shell("evaluate", *pair, "--json").out)
    assert scores["panoptic_quality"] == expected["panoptic_quality"]
    assert set(scores["average_precision"]) == {"0.5", "0.6", "0.7", "0.8", "0.9"}


def test_areas(shell: Shell, pair: tuple[Path, Path]) -> None:
    assert "class 11" in shell("evaluate", *pair, "--areas").out
    assert "11" in json.loads(shell("evaluate", *pair, "--areas", "--json").out)["classes"]


def test_areas_are_known_from_the_file(shell: Shell, slides: Path, tmp_path: Path) -> None:
    shell("segment", slides / "a.tif", "-o", tmp_path / "out", "-m", "tiny", "--areas")
    done = shell("evaluate", tmp_path / "out" / "a.tif", tmp_path / "out" / "a.tif")
    assert "nucleus" in done.out
    assert "Dice 1.0000, IoU 1.0000" in done.out
    assert "AP at" in shell("evaluate", *[tmp_path / "out" / "a.tif"] * 2, "--objects").out


def test_what_cannot_be_compared(shell: Shell, pair: tuple[Path, Path], tmp_path: Path) -> None:
    write_labels(tmp_path / "small.tif", np.ones((3, 3), int))
    done = shell("evaluate", tmp_path / "small.tif", pair[1])
    assert (done.code, done.out) == (2, "")
    assert "same shape" in done.err
    assert shell("evaluate", pair[0], tmp_path / "gone.tif").code == 2
    assert shell("evaluate", *pair, "--objects", "--areas").code == 2
