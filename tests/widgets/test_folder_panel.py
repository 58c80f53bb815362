"""A folder in the dock is the command line's run, with a list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_unetstyle.core.models.store import ModelStore
from napari_unetstyle.widgets import folder_panel, scope
from napari_unetstyle.widgets.core_calls import CoreCalls
from napari_unetstyle.widgets.main_dock import MainDock
from tests.core.networks_for_tests import tiny_model
from tests.widgets.fake_core import WAIT, blobs

MS = WAIT * 1000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "slides"
    folder.mkdir()
    tifffile.imwrite(folder / "a.tif", blobs())
    tifffile.imwrite(folder / "b.tif", blobs(peak=150))
    (folder / "c.tif").write_bytes(b"no picture")
    return folder


@pytest.fixture
def dock(make_napari_viewer: Any, tmp_path: Path) -> MainDock:
    """On the real core with a tiny model."""
    tiny_model(tmp_path / "models")
    store = ModelStore(tmp_path / "models", bundled=tmp_path / "none")
    viewer = make_napari_viewer()
    dock = MainDock(viewer, CoreCalls(store=lambda _: store))
    viewer.window.add_dock_widget(dock, name="UNet")
    dock.viewer = viewer
    dock.models.refresh()
    return dock


def lines(dock: MainDock) -> list[str]:
    pictures = dock.segment.folder.pictures
    return [pictures.item(i).text() for i in range(pictures.count())]


def segment_folder(dock: MainDock, click: Any, qtbot: Any) -> None:
    with qtbot.waitSignal(dock.segment.folder._slot.done, timeout=MS):
        click(dock.segment.segment)


def test_a_folder_is_done_listed_resumed_and_opened(dock: Any, folder: Path, click: Any, qtbot: Any) -> None:
    panel = dock.segment.folder
    panel.set_folder(folder)
    dock.segment.empty.folder.click()  # without any picture open
    assert dock.segment.where.currentData() == scope.FOLDER
    segment_folder(dock, click, qtbot)
    assert [line[0] for line in lines(dock)] == ["✓", "✓", "!"]
    assert "2 done, 1 failed" in panel.words.text()
    assert (folder.with_name("slides-labels") / "objects.csv").read_text().startswith("picture,")

    segment_folder(dock, click, qtbot)
    assert "2 finished before, 1 failed" in panel.words.text()

    panel.pictures.itemDoubleClicked.emit(panel.pictures.item(0))
    image, labels = dock.viewer.layers
    np.testing.assert_array_equal(labels.data, tifffile.imread(folder.with_name("slides-labels") / "a.tif"))
    assert labels.data.shape == image.data.shape
    assert labels.name == "a labels"


def test_the_button_waits_for_a_folder(dock: Any, folder: Path) -> None:
    dock.segment.empty.folder_wanted.disconnect()
    where = dock.segment.where
    dock.viewer.add_image(blobs())
    where.setCurrentIndex(where.findData(scope.FOLDER))
    assert not dock.segment.segment.isEnabled()
    dock.segment.folder.set_folder(folder)
    assert dock.segment.segment.isEnabled()


def test_areas_opened_from_a_folder_keep_their_colors(dock: Any, folder: Path, click: Any, qtbot: Any) -> None:
    dock.segment.model.output.setCurrentIndex(1)
    panel = dock.segment.folder
    panel.set_folder(folder)
    dock.segment.empty.folder.click()
    segment_folder(dock, click, qtbot)
    panel.pictures.itemDoubleClicked.emit(panel.pictures.item(0))
    np.testing.assert_allclose(
        dock.viewer.layers[-1].colormap.map(1)[:3], [0xE4 / 255, 0x1A / 255, 0x1C / 255], atol=0.01
    )


def test_no_state_is_lost_between_two_messages() -> None:
    from napari_unetstyle.core.segmentation.folder_report import FolderProgress, PictureStatus

    def status(number: int, state: Any) -> PictureStatus:
        return PictureStatus(path=Path(f"{number}"), name=f"{number}", labels=Path("x"), state=state)

    def steps() -> Any:
        for number in range(3):
            yield FolderProgress(number, 3, "", (number + 1, 3), status(number, "running"))
            yield FolderProgress(number, 3, "", (number + 1, 3), status(number, "done"))
        return "report"

    *_, last = folder_panel.iter_listed(steps())
    assert [picture.state for picture in last.pictures] == ["done"] * 3


def test_a_line_names_its_picture_once() -> None:
    from napari_unetstyle.core.segmentation.folder_report import PictureStatus

    def line(message: str = "", **more: Any) -> str:
        state = "failed" if message else "done"
        return folder_panel._line(
            PictureStatus(path=Path("/a/b.tif"), name="b.tif", labels=Path("x"), state=state, message=message, **more)
        )

    assert line(f"{Path('/a/b.tif')} is damaged. Copy it again.") == "! b.tif is damaged. Copy it again."
    assert line("There was not enough memory.") == "! b.tif: There was not enough memory."
    assert line(count=1284, output="objects") == "✓ b.tif  1,284"
