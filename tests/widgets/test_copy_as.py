"""What is copied makes the same labels again."""

from __future__ import annotations

import itertools
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from napari_unetstyle.cli import values
from napari_unetstyle.core import segment
from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.segmentation.options import SegmentOptions
from napari_unetstyle.core.style.change import StyleOptions
from napari_unetstyle.widgets import copy_as, scope
from napari_unetstyle.widgets.copy_as import as_command_line, as_python, deciding, style_as_command_line
from napari_unetstyle.widgets.core_calls import CoreCalls
from napari_unetstyle.widgets.readers import read_slides
from napari_unetstyle.widgets.result_panel import vars_of
from tests.core.networks_for_tests import tiny_model
from tests.core.slides_for_tests import shrunk, stained, two_pieces, write_svs
from tests.widgets.copied import assert_copied
from tests.widgets.fake_core import WAIT

SAMPLE = Path(__file__).parents[2] / "sample_data" / "nuclei-he.tif"


def picture(unit: str = "um") -> Image:
    return Image(
        array=np.zeros((5, 6), np.uint8), axes="YX", geometry=Geometry(spacing=(0.5, 0.25), unit=unit), name="it's"
    )


def words(options: SegmentOptions) -> list[str]:
    return shlex.split(as_command_line(picture(), "nuclei@2", deciding(vars_of(options)), "my slide.tif"))


def test_options_come_back_from_the_command_line_as_they_were() -> None:
    options = SegmentOptions(
        output="objects",
        threshold=0.1 + 0.2,
        min_pixels=12,
        channel=0,
        box=((1, 20), (3, 40)),
        polygon=((0.1, 2.0), (3.5, 4.25), (5.0, 1 / 3)),
        frames=((0, 2), (1, 2)),
        object_diameter=17.5,
        amp=False,
        flip=True,
    )
    line = words(options)
    given = dict(itertools.pairwise(line))
    assert line[:3] == ["napari-unetstyle", "segment", "my slide.tif"]
    assert float(given["--threshold"]) == options.threshold
    assert values.parse_box(given["--box"]) == options.box
    assert values.parse_polygon(given["--polygon"]) == options.polygon
    assert values.parse_frames(given["--frames"]) == options.frames
    assert values.parse_channel(given["--channel"]) == 0
    assert values.parse_spacing(given["--spacing"]) == (0.5, 0.25)
    assert {"--objects", "--flip", "--no-amp"} <= set(line)
    assert given["--min-pixels"] == "12"
    assert float(given["--object-diameter"]) == 17.5


def test_what_never_changes_a_label_is_not_said() -> None:
    line = words(SegmentOptions(memory=10**9, tile=128))
    assert not {"--memory", "--tile", "--backend", "--device", "--statistics"} & set(line)


def test_python_without_a_file_says_what_the_picture_is() -> None:
    text = as_python(picture("px"), "nuclei@1", {}, None)
    compile(text, "copied", "exec")
    assert "uint8 array of shape (5, 6), axes YX" in text
    assert "spacing" not in text  # nobody knows it
    assert ".data[1]" in as_python(picture("px"), "nuclei@1", {}, None, 1)
    assert "save level 1 of the picture" in as_command_line(picture(), "nuclei@1", {}, None, 1)


@pytest.fixture
def on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy_as, "os", SimpleNamespace(name="nt"))


@pytest.mark.usefixtures("on_windows")
def test_on_windows_the_command_line_is_quoted_as_its_shells_read_it() -> None:
    line = as_command_line(picture(), "nuclei@2", {"box": ((1, 20), (3, 40))}, r"C:\my slides\it's & more.tif")
    assert line == (
        r"""napari-unetstyle segment "C:\my slides\it's & more.tif" -o out --model nuclei@2 --axes YX"""
        ' --spacing "0.5,0.25" --box "1,20;3,40"'
    )
    styled = style_as_command_line(picture(), "a.tif", ["D:\\my styles\\", '12" b'], StyleOptions())
    assert r'--style "D:\my styles\\" --style "12\" b"' in styled
    assert " a.tif " in styled


@pytest.mark.usefixtures("on_windows")
def test_on_windows_what_is_to_be_saved_first_is_a_comment() -> None:
    first, line = as_command_line(picture(), "nuclei@1", {}, None).splitlines()
    assert first == "rem save the picture as it's.tif first"
    assert line.startswith('napari-unetstyle segment "it\'s.tif" -o')
    first, second, line = style_as_command_line(picture(), None, [picture()], StyleOptions()).splitlines()
    assert first == second == "rem save the picture as it's.tif first"
    assert line.startswith("napari-unetstyle stylize")


def test_millimeters_are_given_in_micrometers() -> None:
    assert "spacing=(500.0, 250.0)" in as_python(picture("mm"), "nuclei@1", {}, "a.tif")


@pytest.mark.slow
@pytest.mark.parametrize("channel", [None, "hematoxylin"])
def test_dock_python_and_command_line_make_the_same_labels(
    make_windowless_dock: Any, qtbot: Any, tmp_path: Path, click: Any, monkeypatch: Any, channel: str | None
) -> None:
    """With the model that comes with the package, on a part of the sample, refined."""
    dock = make_windowless_dock(CoreCalls())
    viewer = dock.viewer
    dock.segment.empty.add(SAMPLE)
    viewer.canvas.size, viewer.scene.camera.zoom, viewer.scene.camera.center = (300, 300), 2.5, (0, 90, 90)
    dock.segment.picture.channel.setCurrentIndex(dock.segment.picture.channel.findData(channel))
    where = dock.segment.where
    where.setCurrentIndex(where.findData(scope.SCREEN))
    with qtbot.waitSignal(dock.segment.run_ended, timeout=WAIT * 3000):
        click(dock.segment.segment)
    results = dock.segment.results
    with qtbot.waitSignal(results._refining.done, timeout=WAIT * 1000):
        results.box.fewer.setValue(results.box.fewer.value() - 10)
        results.box.smallest.setValue(5)
    labels = results.output.layer.data
    assert labels.max() > 5

    assert results.output.result.options.box is not None
    assert_copied(results, labels, tmp_path, "nuclei-he.tif", monkeypatch)


def test_the_level_of_a_run_is_copied(make_windowless_dock: Any, run: Any, tmp_path: Path, monkeypatch: Any) -> None:
    """The model knows objects of up to 50 pixels; those here are said to be 90 wide, so the next level fits."""

    tiny_model(tmp_path / "models")
    monkeypatch.setenv("NAPARI_UNETSTYLE_MODELS", str(tmp_path / "models"))
    finest = stained((120, 140))
    path = write_svs(tmp_path / "slide.svs", [finest, shrunk(finest, 2)])
    dock = make_windowless_dock(CoreCalls())
    data, arguments, _ = read_slides(str(path))[0]
    dock.viewer.add_image(data, **arguments)
    dock.segment.model.choose("tiny@1")
    dock.segment.picture.ruler.measured.emit(90.0)
    run(dock)
    results = dock.segment.results
    labels = results.output.layer.data
    assert labels.shape == data[1].shape[:2]
    assert labels.max() > 0

    assert_copied(results, labels, tmp_path, "slide.tif", monkeypatch)


@pytest.mark.parametrize("is_dropped", [True, False])
def test_dock_python_and_command_line_skip_the_same_glass(
    make_windowless_dock: Any, run: Any, tmp_path: Path, monkeypatch: Any, is_dropped: bool
) -> None:
    """Of a slide that was dropped on napari, with all levels, and of one that was opened in the dock."""
    model = tiny_model(tmp_path / "models", separation=None)  # areas do not hang on the rounding of a single byte
    monkeypatch.setenv("NAPARI_UNETSTYLE_MODELS", str(tmp_path / "models"))
    finest = two_pieces()
    path = write_svs(tmp_path / "slide.svs", [finest, shrunk(finest, 2)])
    dock = make_windowless_dock(CoreCalls())
    if is_dropped:
        data, arguments, _ = read_slides(str(path))[0]
        dock.viewer.add_image(data, **arguments)
    else:
        dock.segment.empty.add(path)
    dock.segment.model.choose("tiny@1")
    dock.segment.picture.ruler.measured.emit(20.0)
    run(dock)
    results = dock.segment.results
    result, labels = results.output.result, results.output.layer.data
    assert 0 < result.provenance["tissue"] < 0.1
    assert any("Tissue is" in note for note in result.notes)
    alone = segment(path, model, object_diameter=20.0)
    np.testing.assert_allclose(result.probability_bytes, alone.probability_bytes.astype(int), atol=1)
    np.testing.assert_array_equal(labels, alone.labels)

    assert_copied(results, labels, tmp_path, "slide.tif", monkeypatch)


def test_glass_that_is_not_skipped_is_said() -> None:
    options = deciding(vars_of(SegmentOptions(skip_glass=False)))
    assert "skip_glass=False" in as_python(picture(), "nuclei@2", options, "a.svs")
    assert "--no-skip-glass" in as_command_line(picture(), "nuclei@2", options, "a.svs")
    assert "glass" not in as_python(picture(), "nuclei@2", deciding(vars_of(SegmentOptions())), "a.svs")
