"""The plugin as napari sees it: settings, samples, menu."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tifffile
from npe2 import PluginManifest

from napari_unetstyle import _sample_data
from napari_unetstyle.core.annotation.project import Project
from napari_unetstyle.widgets.main_dock import MainDock
from napari_unetstyle.widgets.opening import add_picture
from napari_unetstyle.widgets.settings import PLUGIN, Settings, read_settings
from napari_unetstyle.widgets.style_method import StyleMethod
from tests.widgets.fake_core import WAIT, blobs

ROOT = Path(__file__).parents[2]


@pytest.fixture
def plugin(npe2pm: Any) -> Any:
    npe2pm.register(PluginManifest.from_file(ROOT / "napari.yaml"))
    return npe2pm


def test_settings_of_the_preferences_page(plugin: Any, plugin_settings: Any) -> None:
    from napari.settings import get_plugin_settings

    page = get_plugin_settings(PLUGIN)
    assert read_settings() == Settings(memory=256 * 2**20)
    page.segmentation.device, page.segmentation.memory, page.segmentation.model_folder = "cpu", 100, "~/models"
    assert read_settings() == Settings(device="cpu", memory=100 * 2**20, model_folder=Path("~/models").expanduser())


def test_a_vgg16_file_is_given_once(plugin: Any, plugin_settings: Any, qtbot: Any, tmp_path: Path) -> None:
    first = StyleMethod()
    qtbot.addWidget(first)
    assert first.weights.text() == ""
    first.weights.setText(str(tmp_path / "vgg16.pth"))
    first.weights.editingFinished.emit()
    assert read_settings().vgg == tmp_path / "vgg16.pth"
    second = StyleMethod()
    qtbot.addWidget(second)
    second.choose("gatys")
    assert second.options(1.0).neural.weights == tmp_path / "vgg16.pth"
    second.weights.clear()
    second.weights.editingFinished.emit()
    assert read_settings().vgg is None


def test_fixes_go_to_the_folder_that_was_chosen(
    plugin: Any, plugin_settings: Any, make_windowless_dock: Any, run: Any, tmp_path: Path
) -> None:
    from napari.settings import get_plugin_settings

    chosen = tmp_path / "my fixes"
    get_plugin_settings(PLUGIN).segmentation.fixes_folder = str(chosen)
    tifffile.imwrite(tmp_path / "slide7.tif", blobs())
    dock = make_windowless_dock()
    for with_file in (True, False):
        if with_file:
            add_picture(dock.viewer, tmp_path / "slide7.tif")
        else:
            dock.viewer.add_image(blobs(peak=150), name="no file")
        run(dock)
        corrected = dock.corrections.layers[-1]
        corrected.layer.mode = "paint"
        corrected.layer.paint((50, 50), 77)
        assert corrected.close(WAIT)
        assert corrected.recorder.folder.is_relative_to(chosen)
    assert len(Project(chosen).entries()) == 2
    assert not list(tmp_path.glob("unetstyle-fixes*"))


def test_a_home_of_nobody_is_as_good_as_no_folder(plugin: Any, plugin_settings: Any) -> None:
    from napari.settings import get_plugin_settings

    page = get_plugin_settings(PLUGIN)
    page.segmentation.model_folder = page.segmentation.fixes_folder = "~nobody-of-this-name/models"
    assert (read_settings().model_folder, read_settings().fixes_folder) == (None, None)


def test_without_the_manifest_there_are_defaults(npe2pm: Any, plugin_settings: Any) -> None:
    assert read_settings() == Settings()


@pytest.mark.parametrize(
    ("sample", "axes"),
    [
        (_sample_data.nuclei_fluorescence, ["y", "x"]),
        (_sample_data.nuclei_he, ["y", "x"]),
        (_sample_data.axons_sem, ["y", "x"]),
        (_sample_data.timelapse_two_channels, ["t", "c", "y", "x"]),
    ],
)
def test_samples_have_axes_and_pixel_size(sample: Any, axes: list[str]) -> None:
    ((_, arguments, kind),) = sample()
    assert kind == "image"
    assert arguments["axis_labels"] == axes
    assert arguments["units"][-2:] == ["micrometer", "micrometer"]
    assert arguments["scale"][-1] < 1
    assert arguments["rgb"] == (sample is _sample_data.nuclei_he)


def test_the_dock_opens_from_the_menu_and_only_once(make_napari_viewer: Any, plugin: Any) -> None:
    viewer = make_napari_viewer()
    dock, widget = viewer.window.add_plugin_dock_widget(PLUGIN)
    assert isinstance(widget, MainDock)
    assert viewer.window.add_plugin_dock_widget(PLUGIN)[0] is dock
    assert list(viewer.window.dock_widgets) == [f"UNet ({PLUGIN})"]
