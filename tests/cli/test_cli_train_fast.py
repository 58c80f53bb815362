"""``stylize --train-fast``, and the method ``fast``."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
import tifffile

from napari_unetstyle.core import StyleBank, read_image, stylize
from napari_unetstyle.core.training import fast_style
from tests.cli.cli_for_tests import Shell


@pytest.fixture
def pictures(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NAPARI_UNETSTYLE_MODELS", str(tmp_path / "models"))
    monkeypatch.chdir(tmp_path)
    dice = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for name in "ab":
        tifffile.imwrite(tmp_path / "in" / f"{name}.tif", dice.integers(0, 200, (40, 44), np.uint8))
    tifffile.imwrite(tmp_path / "he.tif", (255 * dice.random((40, 50, 3)) ** 2).astype(np.uint8), photometric="rgb")
    return tmp_path


TRAIN = ["stylize", "--train-fast", "ours", "in", "--style", "he.tif", "--steps", "2", "--device", "cpu"]


def test_train_use_hand_on_and_take_in(shell: Shell, pictures: Path) -> None:
    done = shell(*TRAIN, "--previews", "seen")
    assert (done.code, done.out.count("\n")) == (0, 1)
    assert [path.name for path in (pictures / "seen").iterdir()] == ["ours-001.png"]
    assert "--style ours --method fast" in done.out
    assert sorted(path.name for path in (pictures / "in").iterdir()) == ["a.tif", "b.tif"]
    assert [path.name for path in StyleBank().root.glob("[!.]*")] == ["ours.style.safetensors"]
    done = shell("stylize", "in", "--style", "ours", "--method", "fast", "--device", "cpu", "-o", "out")
    assert done.code == 0
    for name in "ab":
        made = read_image(pictures / "out" / f"{name}_restyled.tif")
        assert np.array_equal(made.array[:], stylize(pictures / "in" / f"{name}.tif", "ours", "fast").image.array)
    assert shell("stylize", "in", "--style", "ours", "-o", "plain").code == 0
    assert shell("style-bank", "export", "ours", pictures).code == 0
    assert shell("style-bank", "import", "ours.style.safetensors", "--name", "theirs").code == 0
    assert shell("stylize", "in/a.tif", "--style", "theirs", "--method", "fast", "-o", "again").code == 0
    assert shell(*TRAIN).code == 2  # a name never changes its meaning


def test_stopped_it_leaves_nothing(shell: Shell, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(fast_style._Teacher, "preview", stop)
    done = shell(*TRAIN)
    assert done.code == 130
    assert "Nothing was kept" in done.err
    assert not StyleBank().root.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([*TRAIN, "-o", "out"], "leave --out out"),
        ([*TRAIN, "--minutes", "1"], "either minutes or steps"),
        ([*TRAIN, "--style", "he-light"], "kept without its picture"),
        ([*TRAIN, "--seed", "-1"], "seed=-1 is not allowed"),
        ([*TRAIN, "--vgg", "gone.pth"], "no file gone.pth"),
        ([*TRAIN, "--optimizer", "adam"], "--optimizer are for using a style"),
        ([*TRAIN, "--content-layer", "relu9"], "Layers: relu1_2"),
        ([*TRAIN, "--previews", "in"], "a new or an empty folder"),
        (["stylize", "--train-fast", "Ours!", "in", "--style", "he.tif"], "small letters"),
        (["stylize", "--train-fast", "he-light", "in", "--style", "he.tif"], "already"),
        (["stylize", "--train-fast", "ours", "gone", "--style", "he.tif"], "gone"),
        (["stylize", "in", "--style", "he.tif"], "--out"),
        (["stylize", "in", "--style", "he.tif", "-o", "out", "--minutes", "2"], "--train-fast only"),
        (["stylize", "in", "--style", "he.tif", "-o", "out", "--method", "fast"], "no network"),
        (["stylize", "in", "--style", "he-light", "-o", "out", "--method", "fast"], "no network"),
    ],
)
def test_what_is_not_possible_is_said_and_nothing_written(
    words: list[str], said: str, shell: Shell, pictures: Path
) -> None:
    done = shell(*words)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert not (pictures / "out").exists()
    assert not StyleBank().root.exists()
