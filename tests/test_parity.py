"""The second promise: the same pixels in the dock, in Python and on the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from napari_unetstyle.cli.main import app
from napari_unetstyle.core import segment
from tests.core.networks_for_tests import tiny_model
from tests.widgets.copied import assert_copied


@pytest.fixture
def picture():
    """An uneven RGB picture with some hundred blobs."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(7)
    smooth = gaussian_filter(rng.random((230, 310, 3)), (3, 3, 0))
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    return (220 * smooth + rng.integers(0, 30, smooth.shape)).astype(np.uint8)


def test_dock_python_and_command_line_give_the_same_pixels(make_napari_viewer, qtbot, tmp_path, monkeypatch, picture):
    from qtpy.QtCore import Qt

    from napari_unetstyle.widgets.main_dock import MainDock

    tiny_model(tmp_path / "models")
    monkeypatch.setenv("NAPARI_UNETSTYLE_MODELS", str(tmp_path / "models"))
    path = tmp_path / "picture.tif"
    tifffile.imwrite(path, picture, photometric="rgb", resolution=(4e4, 4e4), resolutionunit="CENTIMETER")

    from_python = segment(path, model="tiny", device="cpu")
    assert from_python.count > 10

    said = CliRunner().invoke(app, ["segment", str(path), "-o", str(tmp_path / "out"), "--model", "tiny", "--json"])
    assert said.exit_code == 0, said.output
    written = json.loads(said.output.splitlines()[0])["labels"]
    np.testing.assert_array_equal(tifffile.imread(written), from_python.labels)

    viewer = make_napari_viewer()
    viewer.open(str(path), plugin="napari")
    dock = MainDock(viewer)
    viewer.window.add_dock_widget(dock, name="UNet", area="right")
    dock.models.refresh()
    choice = dock.segment.model.models
    choice.setCurrentIndex(choice.findData("tiny@1"))
    with qtbot.waitSignal(dock.segment.run_ended, timeout=30_000):
        qtbot.mouseClick(dock.segment.segment, Qt.MouseButton.LeftButton)
    labels = viewer.layers[-1]
    np.testing.assert_array_equal(labels.data, from_python.labels)

    assert_copied(dock.segment.results, from_python.labels, tmp_path / "pasted", "picture.tif", monkeypatch)
