"""Several series in a folder: a person sees them, chooses, and gets layers; nothing is modal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari._qt.qt_resources import get_current_stylesheet
from napari.components import ViewerModel

from napari_unetstyle.core.errors import ImageFileError, SeveralSeriesError
from napari_unetstyle.core.imaging.dicom import find_series
from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.widgets.ct_window import is_ct
from napari_unetstyle.widgets.main_dock import NARROWEST
from napari_unetstyle.widgets.series_chooser import TITLE, SeriesChooser, read_dicom
from tests.core import dicom_for_tests as made

FRAME = 18  # pixels of napari's dock around a widget
PLACE = Geometry(spacing=(2.5, 0.75, 0.5), unit="mm", origin=(-40.0, 12.0, 7.0), is_anatomical=True)


@pytest.fixture
def volume() -> Any:
    return np.random.default_rng(3).integers(0, 3000, (6, 5, 7)).astype(np.int16)


@pytest.fixture
def folder(tmp_path: Path, volume: Any) -> Path:
    made.write(tmp_path / "a", made.slices(volume, PLACE, SeriesDescription="head, axial"))
    other = {"SeriesInstanceUID": "1.2.3.5", "SeriesNumber": 5, "Modality": "MR", "SeriesDescription": "with a gap"}
    made.write(tmp_path / "b", [ds for i, ds in enumerate(made.slices(volume, PLACE, **other)) if i != 2])
    third = {"SeriesInstanceUID": "1.2.3.6", "SeriesNumber": 6, "SeriesDescription": "thin", "SpacingBetweenSlices": 3}
    made.write(tmp_path / "c", made.slices(volume[:4] + 7, PLACE, **third))
    return tmp_path


@pytest.fixture
def chooser(folder: Path, qtbot: Any) -> SeriesChooser:
    widget = SeriesChooser(ViewerModel(), find_series(folder), folder)
    qtbot.addWidget(widget)
    widget.show()
    return widget


def opened(chooser: SeriesChooser, qtbot: Any, click: Any) -> list[Any]:
    with qtbot.waitSignal(chooser.opened, timeout=10000) as caught:
        click(chooser.open)
    return list(caught.args[0])


def test_its_question_is_one_line_in_a_narrow_dock(chooser: SeriesChooser) -> None:
    """A second one pushes the button onto the list, as Qt leaves a dock as high as it is."""
    chooser.setStyleSheet(get_current_stylesheet())
    chooser.resize(NARROWEST - FRAME, chooser.height())
    assert chooser.words.minimumHeight() < 2 * chooser.words.fontMetrics().lineSpacing()


def test_it_shows_description_count_and_size(chooser: SeriesChooser) -> None:
    rows = [chooser.list.item(i).text() for i in range(chooser.list.count())]
    assert rows == [
        "head, axial\nCT (series 3), 6 slices of 5 x 7",
        "with a gap\nMR (series 5), 5 slices of 5 x 7",
        "thin\nCT (series 6), 4 slices of 5 x 7",
    ]
    assert chooser.chosen()[0].description == "head, axial"


@pytest.mark.parametrize("change", [made.unscaled, lambda ds, i: None])
def test_only_a_ct_in_hounsfield_units_has_their_windows(change: Any, volume: Any, tmp_path: Path) -> None:
    made.write(tmp_path, made.slices(volume, PLACE, change))
    ((data, arguments, _),) = read_dicom(tmp_path)
    layer = ViewerModel().add_image(data, **arguments)
    assert is_ct(layer, Image(array=data, axes="ZYX", geometry=PLACE)) == (change is not made.unscaled)


def test_the_chosen_series_becomes_a_layer(chooser: SeriesChooser, volume: Any, qtbot: Any, click: Any) -> None:
    chooser.list.setCurrentRow(2)
    with qtbot.waitSignal(chooser.finished, timeout=10000):
        (layer,) = opened(chooser, qtbot, click)
    assert np.array_equal(layer.data, volume[:4] + 7)
    assert tuple(layer.scale) == PLACE.spacing
    assert {str(unit) for unit in layer.units} == {"millimeter"}
    assert layer.name == "CT 6"
    assert layer.metadata["series"] == 3


def test_a_layer_shows_the_window_of_the_file(volume: Any, tmp_path: Path) -> None:
    made.write(tmp_path, made.slices(volume, PLACE, WindowCenter=[40, 300], WindowWidth=[400, 1500]))
    ((_, arguments, _),) = read_dicom(tmp_path)
    assert arguments["contrast_limits"] == (-160, 239)


def test_several_can_be_opened_at_once(chooser: SeriesChooser, qtbot: Any, click: Any) -> None:
    chooser.list.selectAll()
    assert [layer.name for layer in opened(chooser, qtbot, click)] == ["CT 3", "CT 6"]


def test_a_series_that_makes_no_volume_says_why(chooser: SeriesChooser) -> None:
    chooser.list.setCurrentRow(1)
    assert "1 of 6 slices are missing" in chooser.problem.text()
    assert chooser.problem.isVisible()
    assert not chooser.open.isEnabled()
    chooser.list.setCurrentRow(0)
    assert not chooser.problem.isVisible()
    assert chooser.open.isEnabled()


def test_damage_is_said_and_leaves_the_list(chooser: SeriesChooser, folder: Path, qtbot: Any, click: Any) -> None:
    for file in (folder / "a").iterdir():
        file.unlink()
    click(chooser.open)
    qtbot.waitUntil(lambda: chooser.message.isVisible(), timeout=10000)
    assert "cannot be read" in chooser.message.text
    assert chooser.open.isEnabled()


def test_what_was_assumed_is_said(volume: Any, tmp_path: Path, qtbot: Any, click: Any) -> None:
    made.write(tmp_path, made.slices(volume, PLACE, ImagesInAcquisition=9))
    widget = SeriesChooser(ViewerModel(), find_series(tmp_path), tmp_path)
    qtbot.addWidget(widget)
    widget.show()
    opened(widget, qtbot, click)
    assert "9 slices, of which this series holds 6" in widget.message.text


def test_closing_while_it_reads_adds_nothing(folder: Path, qtbot: Any, click: Any) -> None:
    viewer = ViewerModel()
    widget = SeriesChooser(viewer, find_series(folder), folder)
    widget.show()
    click(widget.open)
    with qtbot.waitSignal(widget.destroyed, timeout=5000):
        widget.close_down()
    qtbot.wait(200)
    assert not viewer.layers


def test_the_reader_opens_a_single_series_and_asks_where_there_are_more(
    folder: Path, volume: Any, make_napari_viewer: Any, qtbot: Any, click: Any
) -> None:
    viewer = make_napari_viewer()
    ((data, arguments, kind),) = read_dicom(folder / "a")
    assert np.array_equal(data, volume)
    assert (kind, arguments["name"]) == ("image", "CT 3")
    for _ in range(2):  # the second list takes the place of the first
        assert read_dicom(folder) == [(None,)]
    titles = [title for title in viewer.window.dock_widgets if title.startswith(TITLE)]
    assert titles == [TITLE]
    widget = viewer.window.dock_widgets[TITLE]
    opened(widget, qtbot, click)
    qtbot.waitUntil(lambda: TITLE not in viewer.window.dock_widgets, timeout=5000)
    assert [layer.name for layer in viewer.layers] == ["CT 3"]


def test_dropped_files_of_a_series_open_it_whole_and_once(folder: Path, volume: Any, make_napari_viewer: Any) -> None:
    viewer = make_napari_viewer()
    files = sorted((folder / "a").iterdir())
    for file in files:  # as napari does
        for data, *arguments in (layer for layer in read_dicom(str(file)) if len(layer) > 1):
            viewer.add_image(data, **arguments[0])
    (layer,) = viewer.layers
    np.testing.assert_array_equal(layer.data, volume)
    assert read_dicom(str(files[0])) == [(None,)]


def test_without_a_viewer_the_series_are_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari.current_viewer", lambda: None)
    with pytest.raises(SeveralSeriesError, match="holds 3 series"):
        read_dicom(folder)
    (folder / "a" / "broken.dcm").write_bytes(b"\0" * 128 + b"DICM")
    with pytest.raises(ImageFileError):
        read_dicom(folder)
