"""Each command takes each kind of file, or refuses it in a sentence that says what to give."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from napari_unetstyle.core import read_image, write_image, write_labels
from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.imaging.image import Image
from tests.cli.cli_for_tests import Shell
from tests.core import dicom_for_tests as made
from tests.core.networks_for_tests import tiny_model, tiny_volume_model
from tests.core.slides_for_tests import write_svs
from tests.core.training_for_tests import discs
from tests.core.zarr_for_tests import described, write_picture

PLACE = Geometry(spacing=(2.0, 0.5, 0.5), unit="mm", is_anatomical=True)
EXAMPLE = discs((96, 96), count=8)  # just large enough to hold places out
FLAT = (255 * EXAMPLE.image[:1]).astype(np.uint8)
VOLUME, OBJECTS = (np.repeat(one, 4, axis=0)[:, :64, :64] for one in (FLAT, EXAMPLE.labels[1:].astype(np.uint16)))
Write = Callable[[Path, NDArray[Any]], object]


def as_volume(path: Path, array: NDArray[Any]) -> object:
    return write_image(path, Image(array=array, axes="ZYX", geometry=PLACE))


def as_png(path: Path, array: NDArray[Any]) -> object:
    return path.write_bytes(imagecodecs.png_encode(array[0]))


def as_jpeg(path: Path, array: NDArray[Any]) -> object:
    return path.write_bytes(imagecodecs.jpeg8_encode(array[0]))


def as_tiff(path: Path, array: NDArray[Any]) -> object:
    return tifffile.imwrite(path, array[0])


def as_slide(path: Path, array: NDArray[Any]) -> object:
    return write_svs(path, [np.stack([255 - array[0]] * 3, axis=-1)])


def as_zarr(path: Path, array: NDArray[Any]) -> object:
    return write_picture(path, [array], described("zyx", [([2.0, 0.5, 0.5], [0, 0, 0])], "millimeter"))


def as_slices(path: Path, array: NDArray[Any]) -> object:
    return made.write_volume(path, array.astype(np.int16), PLACE)


def as_frames(path: Path, array: NDArray[Any]) -> object:
    return made.enhanced(array.astype(np.int16), PLACE).save_as(path, enforce_file_format=True)


PICTURES: dict[str, Write] = {
    "x.tif": as_tiff,
    "x.ome.tif": as_tiff,
    "x.svs": as_slide,
    "x.png": as_png,
    "x.jpg": as_jpeg,
    "x.nii": as_volume,
    "x.nii.gz": as_volume,
    "x.nrrd": as_volume,
    "x.nhdr": as_volume,
    "x.mha": as_volume,
    "x.mhd": as_volume,
    "x.zarr": as_zarr,
    "x": as_slices,
    "x.dcm": as_frames,
}


@pytest.mark.parametrize("name", PICTURES)
def test_pictures(name: str, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAPARI_UNETSTYLE_MODELS", str(tmp_path / "models"))
    (tmp_path / "in").mkdir()
    picture = tmp_path / "in" / name
    is_volume = name not in ("x.tif", "x.ome.tif", "x.svs", "x.png", "x.jpg")
    PICTURES[name](picture, VOLUME if is_volume else FLAT)
    assert is_volume == ("Z" in read_image(picture).axes)
    model = tiny_volume_model(tmp_path / "models") if is_volume else tiny_model(tmp_path / "models")
    chosen = ("-m", model.spec.name)

    done = shell("segment", tmp_path / "in", "-o", tmp_path / "out", *chosen)
    assert done.code == 0, done.err
    (labels,) = (path for path in (tmp_path / "out").iterdir() if path.name.startswith("x."))
    assert read_image(labels).label_shape == read_image(picture).label_shape
    assert shell("evaluate", labels, labels).code == 0

    done = shell("stylize", tmp_path / "in", "--style", picture, "-o", tmp_path / "restyled", "--method", "moments")
    assert done.code == 0, done.err

    other = (tiny_volume_model if is_volume else tiny_model)(tmp_path / "others", seed=1)
    for words in (("style-bank", "add", "mine", picture), ("models", "compare", model.folder, other.folder, picture)):
        done = shell(*words)
        assert done.code == 0, done.err

    (tmp_path / "truth").mkdir()
    truth = halves(OBJECTS) if is_volume else EXAMPLE.labels[1].astype(np.uint16)
    where = tmp_path / "truth" / f"x_mask{'.nii.gz' if is_volume else '.tif'}"
    write_labels(where, truth, axes="ZYX"[-truth.ndim :], geometry=read_image(picture).geometry)
    done = shell("teach", "--images", tmp_path / "in", "--labels", tmp_path / "truth", "--steps", 1, *chosen)
    assert done.code in (0, 1), done.err
    assert "etter" in done.out or "check" in done.out


def test_of_a_folder_with_two_series_the_one_that_is_stated_is_read(shell: Shell, tmp_path: Path) -> None:
    """By each command that reads pictures; what it is refused with names an option that there is."""
    for number in (1, 2):
        about = {"SeriesNumber": number, "SeriesInstanceUID": f"1.2.3.{number}"}
        slices = made.slices(VOLUME.astype(np.int16), PLACE, **about)
        made.write(tmp_path / "all" / str(number), slices, seed=number)
    folder, style = tmp_path / "two", tmp_path / "style.tif"
    folder.mkdir()
    for file in sorted((tmp_path / "all").glob("*/*.dcm")):
        file.rename(folder / f"{file.parent.name}-{file.name}")
    as_tiff(style, VOLUME)
    tiny_model(tmp_path / "models")
    model = tmp_path / "models" / "tiny@1"
    for words in (
        ("segment", folder, "-m", model, "-o", tmp_path / "out"),
        ("stylize", folder, "--style", style, "-o", tmp_path / "styled"),
        ("style-bank", "add", "two", folder),
        ("models", "compare", model, "nuclei", folder),
    ):
        asked = shell(*words)
        assert "--series 1" in asked.err, asked.err
        assert "--series 1" not in (done := shell(*words, "--series", 2)).err
        assert done.code == 0, done.err


def halves(objects: NDArray[Any]) -> NDArray[np.uint8]:
    """Two classes, as the model of volumes has them."""
    values = (objects > 0).astype(np.uint8)
    values[:, : values.shape[1] // 2] *= 2
    return values


@pytest.mark.parametrize("name", ["x.tif", "x.nii", "x.nii.gz", "x.nrrd", "x.mha", "x.zarr", "x.dcm"])
def test_labels(name: str, shell: Shell, tmp_path: Path) -> None:
    folder = made.write_volume(tmp_path / "series", VOLUME.astype(np.int16), PLACE)
    geometry = read_image(folder).geometry
    if name == "x.dcm":
        pytest.importorskip("highdicom")
    more = {"source": folder} if name == "x.dcm" else {}
    path = write_labels(tmp_path / name, (OBJECTS > 0).astype(np.uint8), axes="ZYX", geometry=geometry, **more)
    truth = write_labels(tmp_path / "truth.nii.gz", (OBJECTS > 0).astype(np.uint8), axes="ZYX", geometry=geometry)
    done = shell("evaluate", path, truth, "--areas")
    assert done.code == 0, done.err
    assert "1.0000" in done.out
