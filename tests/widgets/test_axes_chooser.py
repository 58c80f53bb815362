"""A file that does not say what its axes are: a person says it with a click, and it opens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import tifffile
import zarr

from napari_unetstyle.core.errors import AxesUnknownError
from napari_unetstyle.core.imaging.files import read_image
from napari_unetstyle.core.imaging.image import possible_axes
from napari_unetstyle.widgets.axes_chooser import AxesChooser
from napari_unetstyle.widgets.readers import get_reader, read_volumes
from napari_unetstyle.widgets.series_chooser import SeriesChooser
from tests.core import dicom_for_tests as made

SHAPE = (3, 12, 28, 30)


@pytest.fixture
def fmri(tmp_path: Path) -> Path:
    """Three volumes, of which the file does not say what they are."""
    array = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    path = tmp_path / "fmri.nii.gz"
    nibabel.save(nibabel.Nifti1Image(array.T, np.diag([2.0, 2, 3, 1])), path)
    return path


@pytest.fixture
def viewer(make_napari_viewer: Any) -> Any:
    """With a window."""
    return make_napari_viewer()


def chooser_in(viewer: Any) -> AxesChooser:
    (found,) = (widget for widget in viewer.window.dock_widgets.values() if isinstance(widget, AxesChooser))
    return found


@pytest.mark.parametrize(
    ("letters", "choices"),
    [
        ("?ZYX", ("TZYX", "CZYX")),
        ("ZYX?", ("ZYXT", "ZYXC")),
        ("?YX", ("ZYX", "TYX", "CYX")),
        ("???", ("ZYX", "TYX", "CYX")),
        ("????", ("TZYX", "CZYX", "TCYX", "CTYX")),
        ("??ZYX", ("TCZYX", "CTZYX")),
        ("??????", ()),
    ],
)
def test_what_axes_may_be(letters: str, choices: tuple[str, ...]) -> None:
    assert possible_axes(letters) == choices


def test_the_error_says_what_may_be_stated(fmri: Path) -> None:
    with pytest.raises(AxesUnknownError, match="State all axes") as caught:
        read_image(fmri)
    assert (caught.value.shape, caught.value.choices) == (SHAPE, ("TZYX", "CZYX"))
    for axes in caught.value.choices:
        assert read_image(fmri, axes=axes).axes == axes


def test_a_dropped_file_asks_and_opens_with_a_click(fmri: Path, viewer: Any, qtbot: Any, click: Any) -> None:
    for _ in range(2):  # the second takes the place of the first
        viewer.open(str(fmri), plugin="napari-unetstyle")
    assert not viewer.layers
    chooser = chooser_in(viewer)
    assert chooser.words.text() == "fmri.nii.gz\n3 x 12 x 28 x 30\nThe file does not say what the 3 are."
    buttons = {button.text(): button for button in chooser.choices.values()}
    assert list(buttons) == ["Times", "Channels"]
    whole = fmri.read_bytes()
    fmri.write_bytes(whole[:-20])
    click(buttons["Times"])
    qtbot.waitUntil(lambda: bool(chooser.message.text), timeout=10_000)
    assert "truncated" in chooser.message.text
    fmri.write_bytes(whole)
    click(buttons["Times"])
    qtbot.waitUntil(lambda: len(viewer.layers) == 1, timeout=10_000)
    (layer,) = viewer.layers
    assert (layer.name, layer.axis_labels, layer.data.shape) == ("fmri", tuple("tzyx"), SHAPE)
    np.testing.assert_allclose(layer.scale, (1, 3, 2, 2))
    qtbot.waitUntil(lambda: not viewer.window.dock_widgets, timeout=5_000)


def test_files_that_say_it_open_meanwhile(fmri: Path, tmp_path: Path, viewer: Any, qtbot: Any, click: Any) -> None:
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 6), np.int16), np.eye(4)), tmp_path / "b.nii.gz")
    viewer.open([str(fmri), str(tmp_path / "b.nii.gz")], plugin="napari-unetstyle")
    assert [layer.name for layer in viewer.layers] == ["b"]
    click(chooser_in(viewer).choices["CZYX"])
    qtbot.waitUntil(lambda: len(viewer.layers) == 2, timeout=10_000)
    assert viewer.layers[1].axis_labels == tuple("czyx")
    zarr.save_array(tmp_path / "bare.zarr", np.zeros((5, 20, 30), np.uint8))
    viewer.open(str(tmp_path / "bare.zarr"), plugin="napari-unetstyle")
    click(chooser_in(viewer).cancel)
    assert not viewer.window.dock_widgets


def test_the_button_of_the_dock_asks_too_and_an_error_goes_with_the_next_picture(
    make_dock: Any, tmp_path: Path, qtbot: Any, click: Any
) -> None:
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, np.zeros((5, 20, 30), np.uint8), metadata=None)
    assert get_reader(str(path)) is None  # napari's own numbers the axes, and the form asks
    dock = make_dock()
    (tmp_path / "broken.png").write_bytes(b"nothing")
    dock.segment.empty.add(tmp_path / "broken.png")
    assert "broken.png" in dock.segment.message.text
    dock.segment.empty.add(path)
    buttons = {button.text(): button for button in chooser_in(dock.viewer).choices.values()}
    assert list(buttons) == ["Slices", "Times", "Channels"]
    click(buttons["Slices"])
    qtbot.waitUntil(lambda: len(dock.viewer.layers) == 1, timeout=10_000)
    assert dock.viewer.layers[0].axis_labels == ("z", "y", "x")
    assert dock.segment.message.text == ""
    assert dock.segment.message.isHidden()


def test_without_a_window_the_error_stays(fmri: Path, make_windowless_dock: Any) -> None:
    with pytest.raises(AxesUnknownError):
        read_volumes(str(fmri))
    dock = make_windowless_dock()
    dock.segment.empty.add(fmri)
    assert "State all axes" in dock.segment.message.text
    dock.viewer.add_image(np.zeros((20, 30)))
    assert dock.segment.message.text == ""


def test_frames_of_dicom_are_asked_about_too(tmp_path: Path, viewer: Any, qtbot: Any, click: Any) -> None:
    frames = np.arange(3 * 8 * 10, dtype=np.uint8).reshape(3, 8, 10)
    for folder, kinds in {"one": "1", "two": "12"}.items():
        for kind in kinds:
            ultrasound = made.header(modality="US", SeriesInstanceUID=f"1.{kind}", SeriesNumber=int(kind))
            made.set_pixels(ultrasound, frames, frames=3)
            made.write(tmp_path / folder, [ultrasound], seed=int(kind))
            next((tmp_path / folder).glob("IM*")).rename(tmp_path / folder / f"{kind}.dcm")
    for path in (tmp_path / "one", tmp_path / "one" / "1.dcm"):
        viewer.open(str(path), plugin="napari-unetstyle")
        click(chooser_in(viewer).choices["TYX"])
        qtbot.waitUntil(lambda: len(viewer.layers) == 1, timeout=10_000)
        np.testing.assert_array_equal(viewer.layers[0].data, frames)
        assert viewer.layers[0].axis_labels == ("t", "y", "x")
        viewer.layers.clear()
    viewer.open(str(tmp_path / "two"), plugin="napari-unetstyle")
    (series,) = (widget for widget in viewer.window.dock_widgets.values() if isinstance(widget, SeriesChooser))
    click(series.open)
    qtbot.waitUntil(lambda: bool(series.message.text), timeout=10_000)
    assert "Open them from a folder without other series" in series.message.text
    assert "axes=" not in series.message.text
