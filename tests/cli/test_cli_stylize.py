"""The command ``stylize``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_unetstyle.core import GatysOptions, as_image, read_image, stylize, write_image
from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.style import pixels
from tests.cli.cli_for_tests import Shell
from tests.core.slides_for_tests import shrunk, stained, write_svs


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for name, base in (("a", 60), ("b", 160)):
        pixels = (base + 30 * rng.random((40, 50, 3))).astype(np.uint8)
        tifffile.imwrite(tmp_path / "in" / f"{name}.tif", pixels, photometric="rgb")
    tifffile.imwrite(tmp_path / "style.tif", (255 * rng.random((30, 30, 3)) ** 2).astype(np.uint8), photometric="rgb")
    return tmp_path


def test_pictures_are_as_python_makes_them(shell: Shell, pictures: Path) -> None:
    done = shell("stylize", pictures / "in", "--style", pictures / "style.tif", "-o", pictures / "out")
    assert done.code == 0
    assert done.out.count("_restyled.tif") == 2
    for name in "ab":
        found = read_image(pictures / "out" / f"{name}_restyled.tif")
        wanted = stylize(pictures / "in" / f"{name}.tif", pictures / "style.tif").image
        assert found.axes == wanted.axes == "YXC"
        assert np.array_equal(found.array[:], wanted.array)
    assert sorted(p.name for p in (pictures / "in").iterdir()) == ["a.tif", "b.tif"]


def test_a_slide_is_restyled_on_the_level_that_is_asked_for(shell: Shell, pictures: Path) -> None:
    finest = stained((80, 96))
    path = write_svs(pictures / "slide.svs", [finest, shrunk(finest, 2)])
    words = ["stylize", path, "--style", pictures / "style.tif", "-o", pictures / "out"]
    for level in (0, 1):
        assert shell(*words, "--level", level).code == 0
        found, wanted = read_image(pictures / "out" / "slide_restyled.tif"), read_image(path, level=level)
        assert found.geometry.spacing == wanted.geometry.spacing
        assert np.array_equal(found.array[:], stylize(path, pictures / "style.tif", level=level).image.array)
    assert "has no level 2" in shell(*words, "--level", 2).err


def test_what_does_not_fit_into_memory_is_refused_in_words(
    shell: Shell, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixels, "free_memory", lambda: 5000)
    done = shell("stylize", pictures / "in", "--style", pictures / "style.tif", "-o", pictures / "out")
    assert done.code == 2
    assert "Take a coarser level" in done.err


def test_a_bad_picture_does_not_stop_the_others(shell: Shell, pictures: Path) -> None:
    (pictures / "in" / "a.tif").write_bytes(b"II*\0nothing")
    words = ["stylize", pictures / "in", "--style", pictures / "style.tif", "-o", pictures / "out"]
    done = shell(*words)
    assert done.code == 1
    assert done.out.startswith("a.tif: failed\nb.tif -> ")
    assert "a.tif: " in done.err
    assert [p.name for p in (pictures / "out").iterdir()] == ["b_restyled.tif"]
    (pictures / "in" / "b.tif").unlink()
    assert shell(*words).code == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--style", "style.tif", "--method", "magic"], "magic"),
        (["--style", "style.tif", "--strength", "3"], "0 to 1"),
        (["--style", "style.tif", "--method", "gatys", "--seed", str(10**20)], "seed=1000"),
        (["--style", "style.tif", "--steps", "5"], "gatys and --train-fast"),
        (["--style", "style.tif", "--vgg", "nope"], "gatys and --train-fast"),
        (["--style", "style.tif", "--optimizer", "adam"], "gatys and --train-fast"),
        (["--style", "style.tif", "--previews", "seen"], "--previews are for the methods gatys, any"),
        (["--style", "style.tif", "--method", "gatys", "--content-layer", "relu9"], "Layers: relu1_2"),
        (["--style", "style.tif", "--method", "gatys", "--smoothness", "nan"], "finite"),
        (["--style", "style.tif", "--method", "any", "--seed", "9"], "gatys and --train-fast"),
        (
            ["--style", "style.tif", "--method", "histogram", "--device", "cuda"],
            "--device and --previews are for the methods gatys, any",
        ),
        (["--style", "gone.tif"], "gone.tif"),
        (["--style", "damaged.style.json"], "is no style that this version reads"),
        (["--style", "flat.tif"], "same value everywhere"),
    ],
)
def test_what_is_not_possible_is_said_before_anything_is_written(
    words: list[str], said: str, shell: Shell, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pictures)
    Path("damaged.style.json").write_text("{")
    tifffile.imwrite("flat.tif", np.full((9, 9), 7, np.uint8))
    done = shell("stylize", "in", "-o", "out", *words)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert not (pictures / "out").exists()


def test_a_volume_stays_one_on_its_place(shell: Shell, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    place = Geometry(
        spacing=(3.0, 0.5, 0.5), unit="mm", origin=(-10.0, 20.0, 5.0), direction=((1, 0, 0), (0, 1, 0), (0, 0, 1))
    )
    volume = Image(array=rng.integers(-900, 900, (6, 20, 22)).astype(np.int16), axes="ZYX", geometry=place)
    for name in ("scan.nii.gz", "style.nrrd"):
        write_image(tmp_path / name, volume)
    done = shell("stylize", tmp_path / "scan.nii.gz", "--style", tmp_path / "style.nrrd", "-o", tmp_path / "out")
    assert done.code == 0
    found = read_image(tmp_path / "out" / "scan_restyled.nii.gz")
    assert found.geometry.spacing == pytest.approx(place.spacing)
    assert found.geometry.origin == pytest.approx(place.origin)
    assert found.array[:].dtype == np.int16
    assert np.abs(np.asarray(found.array[:], int) - volume.array).max() < 60  # its own style


def test_one_channel_of_several(shell: Shell, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    for name, top in (("a", 90), ("b", 250)):
        pixels = rng.integers(0, top, (3, 2, 20, 24), dtype=np.uint8)
        pixels[:, 1] //= 4
        write_image(tmp_path / f"{name}.tif", as_image(pixels, axes="TCYX"))
    words = ["stylize", tmp_path / "a.tif", "--style", tmp_path / "b.tif", "-o", tmp_path / "out"]
    assert shell(*words, "--channel", 1).code == 0
    found = read_image(tmp_path / "out" / "a_restyled.tif")
    assert (found.axes, found.array.shape) == ("TYX", (3, 20, 24))
    one, other = (read_image(tmp_path / f"{name}.tif").array[:][:, 1] for name in "ab")
    assert np.array_equal(found.array[:], stylize(one, as_image(other, axes="TYX"), axes="TYX").image.array)
    again = shell(*words[:-1], tmp_path / "more", "--channel", "GFP")
    assert (again.code, (tmp_path / "more").exists()) == (2, False)
    assert "no channel 'GFP'" in again.err


def test_options_of_gatys_are_those_of_python_and_previews_are_kept(shell: Shell, pictures: Path) -> None:
    style, picture = pictures / "style.tif", pictures / "in" / "a.tif"
    words = ["stylize", picture, "--style", style, "--method", "gatys", "--device", "cpu", "-o", pictures / "out"]
    given = ["--steps", 6, "--optimizer", "adam", "--content-weight", 1e3, "--style-weight", 1e9, "--smoothness", 0.1]
    folder = pictures / "seen"
    done = shell(*words, *given, "--content-layer", "relu2_2", "--previews", folder)
    assert done.code == 0
    neural = GatysOptions(
        steps=6,
        optimizer="adam",
        content_weight=1e3,
        style_weight=1e9,
        smoothness=0.1,
        content_layer="relu2_2",
        device="cpu",
    )
    wanted = stylize(picture, style, "gatys", neural=neural).image.array
    assert np.array_equal(read_image(pictures / "out" / "a_restyled.tif").array[:], wanted)
    assert sorted(path.name for path in folder.iterdir()) == ["a.tif-001.png", "a.tif-002.png"]
    assert np.abs(read_image(folder / "a.tif-002.png").array[:].astype(int) - wanted).max() <= 30  # its own span
    again = shell(*words, "--previews", folder)
    assert (again.code, "a new or an empty folder" in again.err) == (2, True)


def test_a_digit_that_is_no_number_is_no_channel(shell: Shell, pictures: Path) -> None:
    words = ["stylize", pictures / "in", "-o", pictures / "out", "--style", pictures / "style.tif"]
    done = shell(*words, "--channel", "²")
    assert done.code == 2
    assert "There is no channel '²'" in done.err


def test_help_says_what_it_is_for(shell: Shell) -> None:
    assert "not a medical device" in shell("stylize", "--help").out


def test_what_others_made_is_not_replaced(shell: Shell, pictures: Path) -> None:
    mine = pictures / "in" / "a_restyled.tif"
    tifffile.imwrite(mine, np.ones((9, 9), np.uint8))
    before, words = mine.read_bytes(), ["--style", pictures / "style.tif", "-o", pictures / "in"]
    done = shell("stylize", pictures / "in" / "a.tif", pictures / "in" / "b.tif", *words)
    assert (done.code, mine.read_bytes()) == (1, before)
    assert "a.tif: Could not write" in done.err
    assert (pictures / "in" / "b_restyled.tif").exists()
    assert shell("stylize", pictures / "in" / "b.tif", *words).code == 0  # it is ours


def test_a_picture_of_the_run_is_not_replaced(shell: Shell, pictures: Path) -> None:
    words = ["--style", pictures / "style.tif", "-o", pictures / "in"]
    assert shell("stylize", pictures / "in" / "a.tif", *words).code == 0
    done = shell("stylize", pictures / "in" / "a.tif", pictures / "in" / "a_restyled.tif", *words)
    assert (done.code, done.out) == (2, "")
    assert "would replace a picture" in done.err
