"""A picture's axes, channels and pixel size: seen and editable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.utils._test_utils import read_only_mouse_event
from napari.utils.interactions import mouse_move_callbacks, mouse_press_callbacks, mouse_release_callbacks

from napari_unetstyle._sample_data import sample_folder
from napari_unetstyle.core.imaging.files import read_image
from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.widgets.label_pair import LabelPair
from napari_unetstyle.widgets.main_dock import NARROWEST
from napari_unetstyle.widgets.opening import layer_data
from napari_unetstyle.widgets.summary import unbroken
from napari_unetstyle.widgets.writers import write_volume
from tests.core.geometry_for_tests import rotation
from tests.widgets.fake_core import WAIT, blobs

MS = WAIT * 1000


@pytest.fixture
def dock(make_windowless_dock: Any) -> Any:
    return make_windowless_dock()


def test_a_stack_without_names_says_that_its_axes_are_assumed(dock: Any, click: Any) -> None:
    form = dock.segment.picture
    dock.viewer.add_image(np.zeros((5, 40, 50), np.uint8), name="stack")
    assert form.info.text() == unbroken("Z 5 · 50×40 · no pixel size · axes assumed")
    click(form.change)
    form.editor.axes.setText("TYX")
    form.editor.unit.setCurrentIndex(form.editor.unit.findData("um"))
    form.editor.pixel_size.setValue(0.25)
    click(form.editor.use)
    assert form.info.text() == unbroken("T 5 · 50×40 · 0.25 µm/px")
    assert not form.editor.isVisibleTo(form)
    assert form.value().image.axes == "TYX"


def test_every_unit_can_be_read_in_a_narrow_dock(dock: Any, click: Any) -> None:
    form = dock.segment.picture
    dock.viewer.add_image(np.zeros((40, 50), np.uint8))
    click(form.change)
    dock.resize(NARROWEST, 700)
    dock.show()
    unit = form.editor.unit
    for i in range(unit.count()):
        unit.setCurrentIndex(i)
        dock.segment.layout().activate()
        form.editor.layout().activate()
        arrow_and_frame = 32
        assert unit.width() >= unit.fontMetrics().horizontalAdvance(unit.currentText()) + arrow_and_frame
        assert form.editor.pixel_size.isVisible() == (unit.currentData() != "px")


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        ("nuclei-he.tif", "RGB · 384×384 · 0.5 µm/px"),
        ("timelapse-two-channels.tif", "T 5 · 2 channels · 160×160 · 0.5 µm/px"),
    ],
)
def test_what_naparis_reader_drops_is_taken_from_the_file(dock: Any, sample: str, words: str) -> None:
    dock.viewer.open(sample_folder() / sample, plugin="napari")
    assert dock.segment.picture.info.text() == unbroken(words)


def test_a_layer_that_is_not_its_file_says_nothing_of_it(dock: Any) -> None:
    (layer,) = dock.viewer.open(sample_folder() / "nuclei-fluorescence.tif", plugin="napari")
    assert unbroken("0.5 µm/px") in dock.segment.picture.info.text()
    cut = dock.viewer.add_image(layer.data[:100], metadata={"path": layer.source.path})
    dock.segment.picture.choose(cut)
    assert unbroken("no pixel size") in dock.segment.picture.info.text()


STATED = (2.5, 0.6, 0.6)
SCANS = {
    "no unit": {},
    "another size": {"scale": (3, 0.5, 0.5), "units": ("um",) * 3},
    "a file": Geometry(spacing=(3, 0.5, 0.5), unit="um"),
    "a patient": Geometry(
        spacing=(3, 0.5, 0.5), unit="mm", origin=(4, -5, 6), direction=rotation((1, 0.4, 0.2), 0.3), is_anatomical=True
    ),
}


def add_scan(viewer: Any, how: Any) -> Any:
    pixels = np.stack([blobs((40, 50), 2)] * 5)
    if isinstance(how, dict):
        return viewer.add_image(pixels, name="scan", **how)
    data, arguments, _ = layer_data(Image(array=pixels, axes="ZYX", geometry=how, name="scan"))
    return viewer.add_image(data, **arguments)


def say_size(form: Any, click: Any, spacing: Any = STATED, unit: str = "mm") -> None:
    click(form.change)
    form.editor.unit.setCurrentIndex(form.editor.unit.findData(unit))
    form.editor.slice_step.setValue(spacing[0])
    form.editor.pixel_size.setValue(spacing[2])
    click(form.editor.use)


def saved_both_ways(dock: Any, layer: Any, folder: Path, qtbot: Any, suffix: str = ".nii.gz") -> list[Image]:
    """Labels as the dock's Save and as File > Save write them."""
    results, roads = dock.segment.results, [folder / f"{road}{suffix}" for road in ("dock", "menu")]
    with qtbot.waitSignal(results._saving.done, timeout=MS):
        results.save("volume", roads[0], results.output)
    write_volume(str(roads[1]), *layer.as_layer_data_tuple()[:2])
    return [read_image(road) for road in roads]


@pytest.mark.parametrize("how", SCANS)
def test_a_stated_size_is_in_every_file(
    how: str, dock: Any, click: Any, run: Any, qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari.current_viewer", lambda: dock.viewer)
    scan = add_scan(dock.viewer, SCANS[how])
    grid = {name: getattr(scan, name) for name in ("scale", "translate", "units", "axis_labels")}
    drawn = dock.viewer.add_labels(np.ones((5, 40, 50), np.uint8), name="drawn", **grid)
    dock.segment.picture.choose(scan)
    say_size(dock.segment.picture, click)
    run(dock)
    layer = dock.segment.results.output.layer
    by_dock, by_menu = saved_both_ways(dock, layer, tmp_path, qtbot)
    np.testing.assert_allclose(by_dock.geometry.in_unit("mm").spacing, STATED, rtol=1e-6)
    np.testing.assert_allclose(by_menu.geometry.affine, by_dock.geometry.affine, atol=1e-6)
    assert dock.segment.results.output.note == ""  # nobody moved it
    if how != "a patient":  # such labels have asked for their place when they were drawn
        assert LabelPair.of(drawn, layer).geometry.spacing == LabelPair.of(layer, drawn).geometry.spacing == STATED
    write_volume(str(tmp_path / "drawn.nii.gz"), *drawn.as_layer_data_tuple()[:2])
    np.testing.assert_allclose(
        read_image(tmp_path / "drawn.nii.gz").geometry.affine, by_dock.geometry.affine, atol=1e-6
    )
    dock.viewer.layers.remove(scan)
    write_volume(str(tmp_path / "alone.nii.gz"), *layer.as_layer_data_tuple()[:2])
    np.testing.assert_allclose(
        read_image(tmp_path / "alone.nii.gz").geometry.affine, by_dock.geometry.affine, atol=1e-6
    )


def test_a_size_that_is_stated_after_the_run_is_for_the_next_run(
    dock: Any, click: Any, run: Any, qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table has the sizes of the run, and so have the files."""
    monkeypatch.setattr("napari.current_viewer", lambda: dock.viewer)
    add_scan(dock.viewer, {})
    say_size(dock.segment.picture, click)
    run(dock)
    results = dock.segment.results
    first = results.output
    say_size(dock.segment.picture, click, (9.0, 2.0, 2.0))
    for image in saved_both_ways(dock, first.layer, tmp_path, qtbot):
        np.testing.assert_allclose(image.geometry.in_unit("mm").spacing, STATED, rtol=1e-6)
    run(dock)
    for image in saved_both_ways(dock, results.output.layer, tmp_path, qtbot):
        np.testing.assert_allclose(image.geometry.in_unit("mm").spacing, (9.0, 2.0, 2.0), rtol=1e-6)


def test_stated_axes_are_in_every_file(
    dock: Any, click: Any, run: Any, qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari.current_viewer", lambda: dock.viewer)
    add_scan(dock.viewer, {})
    form = dock.segment.picture
    click(form.change)
    form.editor.axes.setText("TYX")
    form.editor.unit.setCurrentIndex(form.editor.unit.findData("um"))
    form.editor.pixel_size.setValue(0.25)
    click(form.editor.use)
    run(dock)
    for image in saved_both_ways(dock, dock.segment.results.output.layer, tmp_path, qtbot, ".tif"):
        assert (image.axes, image.geometry.spacing, image.geometry.unit) == ("TYX", (0.25, 0.25), "um")


@pytest.mark.parametrize("sample", ["nuclei-he.tif", "timelapse-two-channels.tif"])
def test_what_the_file_says_is_in_every_file(
    sample: str, dock: Any, run: Any, qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari.current_viewer", lambda: dock.viewer)
    dock.viewer.open(sample_folder() / sample, plugin="napari")
    run(dock)
    by_dock, by_menu = saved_both_ways(dock, dock.segment.results.output.layer, tmp_path, qtbot, ".tif")
    assert by_dock.geometry.spacing == (0.5, 0.5)
    assert (by_menu.axes, by_menu.geometry) == (by_dock.axes, by_dock.geometry)


def test_an_unknown_size_is_in_every_file(
    dock: Any, click: Any, run: Any, qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari.current_viewer", lambda: dock.viewer)
    add_scan(dock.viewer, SCANS["a file"])
    say_size(dock.segment.picture, click, unit="px")
    run(dock)
    for image in saved_both_ways(dock, dock.segment.results.output.layer, tmp_path, qtbot, ".tif"):
        assert not image.geometry.is_physical


def test_axes_that_cannot_be_are_refused_in_words(dock: Any, click: Any) -> None:
    form = dock.segment.picture
    dock.viewer.add_image(np.zeros((5, 40, 50), np.uint8))
    click(form.change)
    form.editor.axes.setText("YX")
    click(form.editor.use)
    assert "name 2 axes" in form.editor.problem.text()
    assert form.editor.isVisibleTo(form)


def test_a_channel_is_chosen_by_name(dock: Any, core: Any, run: Any) -> None:
    form = dock.segment.picture
    names = ("DAPI", "membrane")
    pixels = np.stack([blobs(), blobs(count=2)])
    dock.viewer.add_image(pixels, axis_labels=("c", "y", "x"), metadata={"channel_names": names})
    assert [form.channel.itemText(i) for i in range(form.channel.count())] == [*names, "all channels"]
    form.channel.setCurrentIndex(1)
    run(dock)
    assert core.options[-1].channel == 1


def test_a_stain_is_chosen_of_a_picture_in_colors(dock: Any, core: Any, run: Any) -> None:
    form = dock.segment.picture
    dock.viewer.add_image(np.stack([blobs()] * 3, axis=-1).astype(np.uint8), rgb=True, name="slide")
    assert form.channel.isVisibleTo(dock)
    words = [form.channel.itemText(i) for i in range(form.channel.count())]
    assert words == ["all colors", "hematoxylin only", "eosin only", "DAB only"]
    assert form.channel.currentData() is None
    form.channel.setCurrentIndex(1)
    run(dock)
    assert core.options[-1].channel == "hematoxylin"
    dock.viewer.add_image(np.stack([blobs()] * 3, axis=-1).astype(np.uint8), rgb=True, name="other")
    form.choose(dock.viewer.layers["other"])
    assert form.channel.currentData() is None
    form.choose(dock.viewer.layers["slide"])
    assert form.channel.currentData() == "hematoxylin"


def test_one_channel_shows_no_choice(dock: Any) -> None:
    dock.viewer.add_image(blobs())
    assert not dock.segment.picture.channel.isVisibleTo(dock)


def test_measuring_one_object_sets_the_scale(dock: Any, core: Any, click: Any, run: Any, qtbot: Any) -> None:
    form = dock.segment.picture
    layer = dock.viewer.add_image(blobs(), scale=(2, 2), translate=(7, 7))
    assert form.ruler.isVisibleTo(dock)
    click(form.ruler.button)
    (line,) = [shapes for shapes in dock.viewer.layers if type(shapes).__name__ == "Shapes"]
    line.add(np.array([(20, 20), (23, 24)]), shape_type="line")
    qtbot.waitUntil(lambda: line not in dock.viewer.layers, timeout=MS)
    assert form.value().object_diameter == 5
    assert form.ruler.words.text() == "One object: 5 px"
    assert dock.viewer.layers.selection.active is layer
    run(dock)
    assert core.options[-1].object_diameter == 5
    click(form.ruler.button)  # forget
    assert form.value().object_diameter is None


def test_a_line_drawn_with_the_mouse_is_read_when_it_is_finished(dock: Any, click: Any, qtbot: Any) -> None:
    form = dock.segment.picture
    dock.viewer.add_image(blobs())
    click(form.ruler.button)
    line = dock.viewer.layers[-1]

    def event(kind: str, position: tuple[float, float]) -> Any:
        return read_only_mouse_event(type=kind, is_dragging=True, position=position, modifiers=[], pos=position)

    mouse_press_callbacks(line, event("mouse_press", (10, 10)))
    qtbot.wait(20)  # Qt has time to do something too early
    for step in range(1, 13):
        mouse_move_callbacks(line, event("mouse_move", (10, 10 + step)))
    assert form.value().object_diameter is None
    mouse_release_callbacks(line, event("mouse_release", (10, 22)))
    qtbot.waitUntil(lambda: form.value().object_diameter is not None, timeout=MS)
    assert form.value().object_diameter == pytest.approx(12, abs=0.5)  # napari starts a line a little off


def test_selecting_a_layer_chooses_its_picture(dock: Any) -> None:
    form = dock.segment.picture
    first, second = dock.viewer.add_image(blobs(), name="a"), dock.viewer.add_image(blobs(), name="b")
    assert form.layer is second
    dock.viewer.layers.selection = {first}
    assert form.layer is first
    dock.viewer.add_labels(blobs())
    assert form.layer is first


def test_deleting_the_line_ends_measuring(dock: Any, click: Any) -> None:
    form = dock.segment.picture
    dock.viewer.add_image(blobs())
    click(form.ruler.button)
    dock.viewer.layers.pop()
    assert form.ruler.words.text() == "No pixel size?"
    assert form.ruler.button.text().startswith("measure one object")


def test_a_picture_with_a_pixel_size_shows_no_ruler(dock: Any) -> None:
    dock.viewer.add_image(blobs(), scale=(0.5, 0.5), units=("um", "um"))
    assert not dock.segment.picture.ruler.isVisibleTo(dock)


def test_a_picture_that_cannot_be_segmented_says_why(dock: Any) -> None:
    dock.viewer.add_image(np.zeros((1, 2, 1, 1, 8, 8), np.uint8), name="strange")
    assert "6 axes" in dock.segment.picture.info.text()
    assert not dock.segment.segment.isEnabled()


def test_the_choice_follows_names_and_deletions(dock: Any) -> None:
    form = dock.segment.picture
    first, second = dock.viewer.add_image(blobs(), name="a"), dock.viewer.add_image(blobs(), name="b")
    form.choose(first)
    first.name = "renamed"
    assert form.layers.currentText() == "renamed"
    dock.viewer.layers.remove(first)
    assert form.layer is second


def test_no_word_widens_the_dock(dock: Any, run: Any) -> None:
    dock.viewer.add_image(blobs(), name="a name that is much too long for a dock of three hundred pixels " * 3)
    run(dock)
    dock.segment.picture.change.click()
    dock.segment.message.say("A sentence that goes on and on. " * 20)
    dock.segment.progress.begin("a name that is much too long for a bar: starting…")
    dock.segment.folder.show()
    assert dock.segment.minimumSizeHint().width() <= NARROWEST
    assert dock.models.minimumSizeHint().width() <= NARROWEST


def test_a_closed_dock_takes_its_line_away(dock: Any, click: Any) -> None:
    dock.viewer.add_image(blobs())
    click(dock.segment.picture.ruler.button)
    assert len(dock.viewer.layers) == 2
    dock.close_down()
    assert len(dock.viewer.layers) == 1
