"""Labels of a level on the finest one, in Python and from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from napari_unetstyle.cli.main import app
from napari_unetstyle.core import full_resolution, read_image, segment
from napari_unetstyle.core.errors import ImageError
from napari_unetstyle.core.segmentation.full_resolution import NOTE
from tests.core.networks_for_tests import tiny_model
from tests.core.slides_for_tests import shrunk, stained, write_svs
from tests.core.test_segment_volumes import blobs
from tests.core.zarr_for_tests import two_levels


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    finest = stained((128, 160))
    return write_svs(tmp_path_factory.mktemp("slide") / "slide.svs", [finest, shrunk(finest, 2)])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return tiny_model(tmp_path_factory.mktemp("models"))


def doubled(labels: Any) -> Any:
    return np.asarray(labels).repeat(2, axis=0).repeat(2, axis=1)


@pytest.mark.parametrize("output", ["objects", "areas"])
def test_each_pixel_has_the_label_of_the_nearest_one(slide: Path, model: Any, output: str) -> None:
    coarse = segment(slide, model, level=1, output=output)
    fine = full_resolution(coarse, slide)
    assert coarse.labels.any()
    np.testing.assert_array_equal(fine.labels, doubled(coarse.labels))
    finest = read_image(slide)
    assert fine.geometry == finest.geometry
    np.testing.assert_array_equal(fine.objects["label"], coarse.objects["label"])
    np.testing.assert_array_equal(fine.objects["area"], 4 * coarse.objects["area"])
    np.testing.assert_allclose(fine.objects["area_um2"], coarse.objects["area_um2"])
    if output == "objects":
        np.testing.assert_allclose(fine.objects["centroid_y"], 2 * coarse.objects["centroid_y"] + 0.5)
    assert fine.notes[-1] == NOTE
    on_finest = segment(slide, model, level=0, output=output)
    assert full_resolution(on_finest, slide) is on_finest
    with pytest.raises(ImageError, match="No level"):
        full_resolution(segment(stained((50, 60)), model), slide)


def test_it_is_an_option_of_the_command_line(slide: Path, model: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("NAPARI_UNETSTYLE_MODELS", str(model.folder.parent))
    line = ["segment", str(slide), "-o", str(tmp_path), "--model", "tiny", "--level", "1", "--geojson"]
    coarse = tifffile.imread(_run(line, tmp_path))
    np.testing.assert_array_equal(coarse, segment(slide, model, level=1).labels)
    labels = _run([*line, "--full-resolution"], tmp_path)
    np.testing.assert_array_equal(tifffile.imread(labels), doubled(coarse))
    assert read_image(labels).geometry.spacing == read_image(slide).geometry.spacing


def test_a_level_of_fewer_slices(model: Any, tmp_path: Path) -> None:
    path = tmp_path / "volume.zarr"
    two_levels(path, (blobs((8, 48, 52)) * 200).astype(np.uint16))
    given = {"level": 1, "object_diameter": 20, "min_pixels": 0}
    linked = segment(path, model, link=True, **given)
    fine, finest = full_resolution(linked, path), read_image(path)
    np.testing.assert_array_equal(fine.labels, doubled(linked.labels).repeat(2, axis=2))
    np.testing.assert_allclose(fine.geometry.affine, finest.geometry.affine)
    np.testing.assert_array_equal(fine.objects["area"], 8 * linked.objects["area"])
    with pytest.raises(ImageError, match="leaves out slices"):
        full_resolution(segment(path, model, **given), path)


def _run(line: list[str], folder: Path) -> Path:
    """The labels that a command writes."""
    done = CliRunner().invoke(app, line)
    assert done.exit_code == 0, done.output
    (labels,) = folder.glob("*.tif")
    return labels
