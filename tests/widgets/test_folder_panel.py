"""A folder in the dock is the command line's run, with a list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import tifffile
from qtpy.QtCore import Qt

from napari_unetstyle.core import read_image
from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.models.store import ModelStore
from napari_unetstyle.widgets import folder_panel, scope
from napari_unetstyle.widgets.axes_chooser import AxesChooser
from napari_unetstyle.widgets.core_calls import CoreCalls
from napari_unetstyle.widgets.main_dock import MainDock
from napari_unetstyle.widgets.series_chooser import SeriesChooser
from tests.core import dicom_for_tests as made
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
def dock(make_quick_dock: Any, tmp_path: Path) -> MainDock:
    """On the real core with a tiny model."""
    tiny_model(tmp_path / "models")
    store = ModelStore(tmp_path / "models", bundled=tmp_path / "none")
    dock: MainDock = make_quick_dock(CoreCalls(store=lambda _: store))
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


def test_the_channel_of_a_picture_of_the_folder_counts_for_all(
    dock: Any, tmp_path: Path, click: Any, qtbot: Any
) -> None:
    folder = tmp_path / "channels"
    folder.mkdir()
    for name, count in (("a", 3), ("b", 4)):
        pixels = np.stack([np.zeros_like(blobs()), blobs(count=count)])
        tifffile.imwrite(folder / f"{name}.tif", pixels, photometric="minisblack", metadata={"axes": "CYX"})
    segment = dock.segment
    segment.where.setCurrentIndex(segment.where.findData(scope.FOLDER))
    segment.folder.set_folder(folder)
    segment_folder(dock, click, qtbot)
    assert all(line.startswith("!") for line in lines(dock))
    assert "open one of its pictures" in segment.folder.pictures.item(0).toolTip()
    other = dock.viewer.add_image(np.stack([blobs(), blobs()]), axis_labels=("c", "y", "x"))
    assert not segment.picture.channel.isVisibleTo(segment)  # it is not of the folder
    dock.viewer.layers.remove(other)
    segment.folder._on_open(segment.folder.pictures.item(0))
    assert segment.picture.channel.isVisibleTo(segment)
    assert segment.folder.example.isVisibleTo(segment)
    segment.picture.channel.setCurrentIndex(1)
    segment_folder(dock, click, qtbot)
    assert all(line.startswith("✓") for line in lines(dock))


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


# What a run asks ---------------------------------------------------------------------------------------------------


PLACE = Geometry(spacing=(2.5, 0.75, 0.5), unit="mm", is_anatomical=True)


@pytest.fixture
def patients(tmp_path: Path) -> Path:
    """Two with two series each, in another order, and one with one."""
    volume = np.stack([blobs()] * 4).astype(np.int16)
    kinds = {"axial": volume, "thin": volume[:3]}
    for name, order in {"one": ("axial", "thin"), "two": ("thin", "axial"), "three": ("axial",)}.items():
        for number, kind in enumerate(order, 1):
            about = {"SeriesNumber": number, "SeriesInstanceUID": f"1.2.{number}", "SeriesDescription": kind}
            made.write(tmp_path / "patients" / name / kind, made.slices(kinds[kind], PLACE, **about))
        (tmp_path / "patients" / name / "notes.txt").touch()
        for file in sorted((tmp_path / "patients" / name).glob("*/*.dcm")):
            file.rename(tmp_path / "patients" / name / f"{file.parent.name}-{file.name}")
    return tmp_path / "patients"


def choose(dock: MainDock, folder: Path) -> Any:
    dock.segment.folder.set_folder(folder)
    dock.segment.empty.folder.click()
    return dock.segment.folder


def double_click(panel: Any, row: int, qtbot: Any) -> None:
    place = panel.pictures.visualItemRect(panel.pictures.item(row)).center()
    viewport = panel.pictures.viewport()
    qtbot.mouseClick(viewport, Qt.MouseButton.LeftButton, pos=place)
    qtbot.mouseDClick(viewport, Qt.MouseButton.LeftButton, pos=place)


def words_of(dock: MainDock) -> str:
    panel = dock.segment.folder
    tips = [panel.pictures.item(i).toolTip() for i in range(panel.pictures.count())]
    return " ".join([*lines(dock), *tips, panel.words.text(), panel.message.text])


def chooser_in(dock: Any, kind: type) -> Any:
    (found,) = (widget for widget in dock.viewer.window.dock_widgets.values() if isinstance(widget, kind))
    return found


@pytest.mark.parametrize("in_window", [True])
def test_several_series_are_asked_for_before_anything_is_computed(
    dock: Any, patients: Path, click: Any, qtbot: Any
) -> None:
    panel = choose(dock, patients)
    segment_folder(dock, click, qtbot)
    asked = "! {}: 2 series. Double-click to choose."
    assert lines(dock) == [asked.format("one"), asked.format("two")]
    assert "2 pictures hold several series" in panel.words.text()
    assert "--" not in words_of(dock)
    out = patients.with_name("patients-labels")
    assert not out.exists()

    double_click(panel, 0, qtbot)
    chooser = chooser_in(dock, SeriesChooser)
    chooser.list.setCurrentRow(1)
    click(chooser.open)
    qtbot.waitUntil(lambda: bool(panel.message.text), timeout=MS)
    (layer,) = dock.viewer.layers
    assert layer.data.shape[0] == 3
    assert lines(dock)[0] == "… one: its series is chosen. SEGMENT does it."
    assert panel.message.text == "1 more picture has a series of the same description. The same answer for all?"
    click(panel.message.buttons()["For all"])
    assert lines(dock)[1].startswith("… two")

    segment_folder(dock, click, qtbot)
    assert panel.words.text().startswith("3 done.")
    slices = {name: read_image(out / f"{name}.nii.gz", "ZYX").array.shape[0] for name in ("one", "two", "three")}
    assert slices == {"one": 3, "two": 3, "three": 4}
    segment_folder(dock, click, qtbot)
    assert panel.words.text().startswith("3 finished before.")
    dock.viewer.layers.clear()
    double_click(panel, 0, qtbot)
    image, labels = dock.viewer.layers
    assert image.data.shape == labels.data.shape == layer.data.shape


@pytest.mark.parametrize("in_window", [True])
def test_what_is_left_open_fails_and_the_rest_is_done(dock: Any, patients: Path, click: Any, qtbot: Any) -> None:
    panel = choose(dock, patients)
    segment_folder(dock, click, qtbot)
    double_click(panel, 1, qtbot)
    chooser = chooser_in(dock, SeriesChooser)
    chooser.list.selectAll()
    click(chooser.open)
    qtbot.waitUntil(lambda: bool(panel.message.text), timeout=MS)
    assert panel.message.text == "two gets one file of labels: choose one series of it, not 2."
    segment_folder(dock, click, qtbot)
    assert panel.words.text().startswith("1 done, 2 failed.")
    assert sum("Double-click to choose." in line for line in lines(dock)) == 2
    assert "--" not in words_of(dock)


@pytest.mark.parametrize("in_window", [True])
def test_an_answer_counts_for_the_folder_that_asked(dock: Any, patients: Path, click: Any, qtbot: Any) -> None:
    panel = choose(dock, patients)
    with qtbot.waitSignal(panel._slot.done, timeout=MS):
        click(dock.segment.segment)
        assert not panel.choose.isEnabled()
    double_click(panel, 0, qtbot)
    panel.set_folder(patients / "three")
    assert not lines(dock)
    assert panel.words.isHidden()
    click(chooser_in(dock, SeriesChooser).open)
    qtbot.waitUntil(lambda: len(dock.viewer.layers) == 1, timeout=MS)
    assert not lines(dock)
    assert not panel.message.text
    dock.segment.where.setCurrentIndex(dock.segment.where.findData(scope.FOLDER))
    segment_folder(dock, click, qtbot)
    assert panel.words.text().startswith("1 done.")


@pytest.mark.parametrize("in_window", [True])
def test_a_question_outlives_the_dock(dock: Any, patients: Path, click: Any, qtbot: Any) -> None:
    panel, viewer = choose(dock, patients), dock.viewer
    segment_folder(dock, click, qtbot)
    double_click(panel, 0, qtbot)
    chooser = chooser_in(dock, SeriesChooser)
    with qtbot.waitSignal(dock.destroyed, timeout=MS):
        viewer.window.remove_dock_widget(dock)
    click(chooser.open)
    qtbot.waitUntil(lambda: len(viewer.layers) == 1, timeout=MS)


@pytest.mark.parametrize("in_window", [True])
def test_axes_are_stated_with_a_click(dock: Any, tmp_path: Path, click: Any, qtbot: Any) -> None:
    (tmp_path / "scans").mkdir()
    for name in "ab":
        array = np.stack([np.stack([blobs()] * 2)] * 3).astype(np.int16)
        nibabel.save(nibabel.Nifti1Image(array.T, np.eye(4)), tmp_path / "scans" / f"{name}.nii.gz")
    panel = choose(dock, tmp_path / "scans")
    segment_folder(dock, click, qtbot)
    shape = " x ".join(map(str, (3, 2, *blobs().shape)))
    assert lines(dock)[0] == f"! a.nii.gz does not say what its axes are ({shape}). Double-click it, and say it."
    assert panel.words.text() == "2 failed."
    assert "axes=" not in words_of(dock)
    assert "--" not in words_of(dock)

    double_click(panel, 0, qtbot)
    click(chooser_in(dock, AxesChooser).choices["TZYX"])
    qtbot.waitUntil(lambda: bool(panel.message.text), timeout=MS)
    assert lines(dock)[0] == "… a.nii.gz: its axes are stated. SEGMENT does it."
    click(panel.message.buttons()["For all"])
    segment_folder(dock, click, qtbot)
    assert panel.words.text().startswith("2 done.")


def test_what_somebody_changed_is_named_without_an_option(dock: Any, folder: Path, click: Any, qtbot: Any) -> None:
    panel, out = choose(dock, folder), folder.with_name("slides-labels")
    segment_folder(dock, click, qtbot)
    tifffile.imwrite(out / "a.tif", blobs())
    segment_folder(dock, click, qtbot)
    assert "Move it away or choose another output folder." in lines(dock)[0]
    assert "force" not in words_of(dock)
    (out / "objects.csv").write_text("mine")
    segment_folder(dock, click, qtbot)
    assert "objects.csv" in panel.message.text
    assert "force" not in words_of(dock)


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
