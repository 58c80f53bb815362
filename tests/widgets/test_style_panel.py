"""The tab *Style*, with real clicks and the core's own styles."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from qtpy.QtWidgets import QApplication
from typer.testing import CliRunner

from napari_unetstyle.cli.main import app
from napari_unetstyle.core import FastStyleOptions, StyleOptions, as_image, iter_train_fast, read_image, run, stylize
from napari_unetstyle.core.style.bank import StyleBank
from napari_unetstyle.core.style.change import TEXTURED
from napari_unetstyle.core.style.gatys import GatysOptions
from napari_unetstyle.core.style.kept_style import read_style
from napari_unetstyle.core.style.photometric import METHODS
from napari_unetstyle.core.style.stylize import iter_stylize
from napari_unetstyle.widgets.copy_as import style_as_command_line, style_as_python
from napari_unetstyle.widgets.opening import PATH
from napari_unetstyle.widgets.style_layers import STYLE
from napari_unetstyle.widgets.style_panel import WORDS
from tests.widgets.fake_core import WAIT, blobs

MS = WAIT * 1000
TAB = 2


def stain(seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    return (255 - 120 * (blobs() > blobs().mean())[..., None] * rng.uniform(0.3, 1, 3) - 20 * rng.random(3)).astype(
        np.uint8
    )


@pytest.fixture
def dock(make_dock: Any) -> Any:
    dock = make_dock()
    dock.tabs.setCurrentIndex(TAB)
    return dock


@pytest.fixture
def two(dock: Any) -> Any:
    """A gray picture, and a colored one to look like."""
    dock.viewer.add_image(stain(), name="slide9")
    dock.viewer.add_image(
        blobs(), name="slide7", scale=(0.5, 0.25), translate=(3, 4), rotate=20, shear=(0.1,), units=("um", "um")
    )
    panel = dock.style_panel
    panel.layers.setCurrentText("slide7")
    return dock


def finish(panel: Any, qtbot: Any, click: Any, timeout: int = MS) -> None:
    with qtbot.waitSignal(panel.run_ended, timeout=timeout):
        click(panel.apply)


def test_the_tab_says_what_it_needs(dock: Any) -> None:
    panel = dock.style_panel
    assert dock.tabs.tabText(TAB) == "Style"
    assert panel.nothing.isVisibleTo(panel)
    assert not panel.form.isVisibleTo(panel)
    dock.viewer.add_image(blobs(), name="slide7")
    assert panel.form.isVisibleTo(panel)
    assert "Open another picture" in panel.styles.nothing.text()
    assert panel.styles.nothing.isVisibleTo(panel)
    assert not panel.apply.isEnabled()
    assert not panel.teach.isEnabled()


def test_apply_makes_a_layer_with_the_pixels_of_python(two: Any, qtbot: Any, click: Any, tick: Any) -> None:
    panel, viewer = two.style_panel, two.viewer
    source, style = viewer.layers["slide7"], viewer.layers["slide9"]
    before = source.data.copy()
    tick(panel.styles.box_of(style))
    finish(panel, qtbot, click)
    made = viewer.layers[-1]
    assert made.name == "slide7 · in the style of slide9"
    assert made.rgb
    np.testing.assert_array_equal(made.data, stylize(before, style.data).image.array)
    for key in ("scale", "translate", "rotate", "shear"):
        np.testing.assert_array_equal(getattr(made, key), getattr(source, key))
    assert made.units == source.units
    assert np.array_equal(source.data, before)
    assert made.metadata[STYLE]["styles"] == ["slide9"]
    assert not source.visible
    assert "Made the layer" in panel.message.text


def test_a_restyled_picture_is_neither_picture_nor_style_here_but_can_be_segmented(
    two: Any, qtbot: Any, click: Any, tick: Any
) -> None:
    panel = two.style_panel
    tick(panel.styles.box_of(two.viewer.layers["slide9"]))
    finish(panel, qtbot, click)
    made = two.viewer.layers[-1]
    assert panel.layers.findData(made) < 0
    assert made in two.segment.picture.pictures()
    two.segment.picture.choose(made)
    assert "restyled" in two.segment.picture.info.text()


def test_the_preview_shows_the_pixels_of_apply(two: Any, qtbot: Any, click: Any, tick: Any) -> None:
    panel = two.style_panel
    tick(panel.styles.box_of(two.viewer.layers["slide9"]))
    qtbot.waitUntil(lambda: panel.preview.shown is not None, timeout=MS)
    shown = panel.preview.shown
    assert panel.preview.isVisibleTo(panel)
    assert not panel.preview.after.pixmap().isNull()
    finish(panel, qtbot, click)
    whole = np.moveaxis(two.viewer.layers[-1].data, -1, 0)
    height, width = shown.after.shape[1:]
    found = [
        np.array_equal(shown.after, whole[:, y : y + height, x : x + width])
        for y in range(whole.shape[1] - height + 1)
        for x in range(whole.shape[2] - width + 1)
    ]
    assert any(found)


def test_the_preview_tells_whether_labels_still_fit(two: Any, qtbot: Any, tick: Any) -> None:
    panel, viewer = two.style_panel, two.viewer
    labels = viewer.add_labels((blobs() > blobs().mean()).astype(np.int32), name="nuclei")
    panel.layers.setCurrentText("slide7")
    tick(panel.styles.box_of(viewer.layers["slide9"]))
    qtbot.waitUntil(lambda: "still fit" in panel.preview.words.text(), timeout=MS)
    labels.visible = False
    panel.strength.setValue(50)
    qtbot.waitUntil(lambda: panel.preview.words.text() == "", timeout=MS)


def test_strength_and_method_are_followed(two: Any, qtbot: Any, click: Any, tick: Any) -> None:
    panel, viewer = two.style_panel, two.viewer
    tick(panel.styles.box_of(viewer.layers["slide9"]))
    assert not panel.method.isVisibleTo(panel)
    tick(panel.advanced)
    assert panel.method.isVisibleTo(panel)
    panel.method.setCurrentIndex(panel.method.findData("moments"))
    panel.strength.setValue(40)
    tick(panel.align)
    finish(panel, qtbot, click)
    wanted = stylize(viewer.layers["slide7"].data, viewer.layers["slide9"].data, "moments", strength=0.4, align=False)
    np.testing.assert_array_equal(viewer.layers[-1].data, wanted.image.array)


def test_every_method_has_words() -> None:
    assert set(WORDS) == {*METHODS, *TEXTURED}


def test_a_picture_that_went_meanwhile_is_offered(two: Any, core: Any, qtbot: Any, click: Any, tick: Any) -> None:
    panel, viewer = two.style_panel, two.viewer
    tick(panel.styles.box_of(viewer.layers["slide9"]))
    with qtbot.waitSignal(panel.run_ended, timeout=MS):
        click(panel.apply)
        viewer.layers.remove("slide7")
    assert "removed meanwhile" in panel.message.text
    assert len(viewer.layers) == 1
    click(panel.message.buttons()["Add it"])
    assert viewer.layers[-1].name == "slide7 · in the style of slide9"


def test_a_style_that_cannot_be_is_said_and_changes_nothing(two: Any, qtbot: Any, click: Any, tick: Any) -> None:
    panel, viewer = two.style_panel, two.viewer
    flat = viewer.add_image(np.full((20, 20), 7, np.uint8), name="flat")
    panel.layers.setCurrentText("slide7")
    tick(panel.styles.box_of(flat))
    finish(panel, qtbot, click)
    assert "same value everywhere" in panel.message.text
    assert len(viewer.layers) == 3


def test_stop_changes_nothing(two: Any, qtbot: Any, click: Any, tick: Any) -> None:
    panel = two.style_panel
    tick(panel.styles.box_of(two.viewer.layers["slide9"]))
    with qtbot.waitSignal(panel.run_ended, timeout=MS):
        click(panel.apply)
        panel.stop()
    assert "Nothing was changed" in panel.message.text
    assert len(two.viewer.layers) == 2


def test_a_slice_of_a_volume_is_previewed_and_the_whole_is_made(dock: Any, qtbot: Any, click: Any, tick: Any) -> None:
    rng = np.random.default_rng(0)
    viewer, panel = dock.viewer, dock.style_panel
    viewer.add_image(rng.integers(0, 4000, (5, 40, 50)).astype(np.uint16), name="other")
    viewer.add_image(rng.integers(-900, 900, (6, 40, 50)).astype(np.int16), name="scan")
    panel.layers.setCurrentText("scan")
    tick(panel.styles.box_of(viewer.layers["other"]))
    qtbot.waitUntil(lambda: panel.preview.shown is not None, timeout=MS)
    assert panel.preview.shown.after.ndim == 3
    finish(panel, qtbot, click)
    scan, other = (as_image(viewer.layers[name].data, axes="ZYX") for name in ("scan", "other"))
    wanted = stylize(scan, other)
    np.testing.assert_array_equal(viewer.layers[-1].data, wanted.image.array)


def test_a_neural_style_shows_itself_getting_there(two: Any, qtbot: Any, click: Any, tick: Any) -> None:
    panel, viewer = two.style_panel, two.viewer
    few = GatysOptions(steps=6, preview_every=2)

    def soon(image: Any, styles: Any, options: StyleOptions) -> Any:
        return iter_stylize(image, styles, dataclasses.replace(options, neural=few))

    panel._calls = dataclasses.replace(panel._calls, iter_stylize=soon)
    tick(panel.styles.box_of(viewer.layers["slide9"]))
    panel.method.setCurrentIndex(panel.method.findData("gatys"))
    shown = []
    show = panel.preview.show_step
    panel.preview.show_step = lambda pixels: (shown.append(pixels), show(pixels))
    finish(panel, qtbot, click, 4 * MS)  # torch's optimizers take seconds to be imported
    assert any(pixels is not None and pixels.shape == (3, 64, 96) for pixels in shown)
    wanted = stylize(viewer.layers["slide7"].data, viewer.layers["slide9"].data, "gatys", neural=few)
    np.testing.assert_array_equal(viewer.layers[-1].data, wanted.image.array)


def test_a_kept_style_can_be_ticked_like_a_picture(two: Any, qtbot: Any, click: Any, tick: Any) -> None:
    panel, viewer = two.style_panel, two.viewer
    kept = StyleBank().load("he-light")
    box = panel.styles.box_of(kept)
    assert box.isVisibleTo(panel)
    assert not box.icon().isNull()
    assert kept.about in box.toolTip()
    panel.styles.list.ensureWidgetVisible(box)
    tick(box)
    qtbot.waitUntil(lambda: panel.preview.shown is not None, timeout=MS)
    finish(panel, qtbot, click)
    assert viewer.layers[-1].name == "slide7 · in the style of he-light"
    np.testing.assert_array_equal(viewer.layers[-1].data, stylize(viewer.layers["slide7"].data, kept).image.array)


def test_a_style_is_kept_used_and_removed(two: Any, qtbot: Any, click: Any, tick: Any) -> None:
    panel, viewer = two.style_panel, two.viewer
    shelf, slide9 = panel.shelf, viewer.layers["slide9"]
    assert not shelf.keep.isEnabled()
    tick(panel.styles.box_of(slide9))
    click(shelf.keep)
    assert shelf.form.isVisibleTo(panel)
    assert shelf.name.text() == "slide9"
    shelf.name.clear()
    qtbot.keyClicks(shelf.name, "Zeiss, room 3")
    with qtbot.waitSignal(panel.kept_changed, timeout=MS):
        click(shelf.confirm)
    assert not shelf.form.isVisibleTo(panel)
    assert "'zeiss-room-3' is kept" in shelf.message.text
    kept = StyleBank().load("zeiss-room-3")
    assert kept.picture is None  # no part of the picture, unless it is wanted
    assert two.teach.run.also.pictures.box_of(kept) is not None
    tick(panel.styles.box_of(slide9))
    tick(panel.styles.box_of(kept))
    finish(panel, qtbot, click)
    wanted = stylize(viewer.layers["slide7"].data, slide9.data)
    np.testing.assert_array_equal(viewer.layers[-1].data, wanted.image.array)
    click(shelf.remove)
    click(shelf.message.buttons()["Remove"])
    assert "zeiss-room-3" not in StyleBank()
    assert kept.name not in [style.name for style in panel.styles.ticked]


def test_a_name_that_is_taken_is_said_and_the_form_stays(two: Any, qtbot: Any, click: Any, tick: Any) -> None:
    panel = two.style_panel
    shelf = panel.shelf
    tick(panel.styles.box_of(two.viewer.layers["slide9"]))
    click(shelf.keep)
    shelf.name.setText("ct")
    with qtbot.waitSignal(shelf._slot.done, timeout=MS):
        click(shelf.confirm)
    assert "ct-2" in shelf.message.text
    assert shelf.form.isVisibleTo(panel)


def test_a_style_is_shared_without_its_picture_unless_that_is_wanted(
    two: Any, click: Any, tick: Any, tmp_path: Path
) -> None:
    panel = two.style_panel
    shelf, kept = panel.shelf, StyleBank().load("he-light")
    tick(panel.styles.box_of(kept))
    click(shelf.share)
    assert set(shelf.message.buttons()) == {"Numbers only", "With the picture", "Not now"}
    shelf.share_to(tmp_path / "a.style.json", kept, thumbnail=False)
    assert read_style(tmp_path / "a.style.json").thumbnail is None
    shelf.share_to(tmp_path / "a.style.json", kept, thumbnail=True)
    assert "exists already" in shelf.message.text
    shelf.import_from(tmp_path / "a.style.json")
    assert "Keep this one under another name" in shelf.message.text
    assert not shelf.remove.isEnabled()  # it came with the package


def test_labels_on_a_large_picture_are_judged_in_the_middle(dock: Any, qtbot: Any, tick: Any) -> None:
    viewer, panel = dock.viewer, dock.style_panel
    large = np.tile(blobs(), (20, 14))
    viewer.add_image(255 - large, name="other")
    viewer.add_image(large, name="large")
    labels = viewer.add_labels((large > large.mean()).astype(np.int32))
    viewer.reset_view()
    panel.layers.setCurrentText("large")
    tick(panel.styles.box_of(viewer.layers["other"]))
    qtbot.waitUntil(lambda: panel.preview.words.text().startswith("In the middle"), timeout=MS)
    request = panel.preview._request
    assert max(request.judged.labels.shape) <= 512
    np.testing.assert_array_equal(request.judged.labels, labels.data[request.judged.at])
    assert max(request.labels.shape) <= 1000


def test_a_renamed_picture_is_listed_under_its_new_name(two: Any) -> None:
    panel, layer = two.style_panel, two.viewer.layers["slide9"]
    layer.name = "scanner B"
    assert panel.styles.box_of(layer).text() == "scanner B"
    panel.layers.setCurrentText("scanner B")
    assert panel.layer is layer


@pytest.mark.parametrize("way", ["Copy as Python", "as command line"])
def test_the_copied_text_makes_the_same_pixels(
    way: str, dock: Any, qtbot: Any, click: Any, tick: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    viewer, panel = dock.viewer, dock.style_panel
    for name, pixels in (("slide9", stain()), ("slide 7", blobs())):
        tifffile.imwrite(tmp_path / f"{name}.tif", pixels)
        viewer.add_image(pixels, name=name, metadata={PATH: str(tmp_path / f"{name}.tif")})
    panel.layers.setCurrentText("slide 7")
    kept = StyleBank().load("he-dark")
    panel.styles.tick([viewer.layers["slide9"], kept])
    panel.strength.setValue(70)
    tick(panel.advanced)
    tick(panel.align)
    finish(panel, qtbot, click)
    made = viewer.layers[-1].data
    click(panel.message.buttons()[way])
    text = QApplication.clipboard().text()
    monkeypatch.chdir(tmp_path)
    if way == "Copy as Python":
        known: dict[str, Any] = {}
        exec(text, known)
        again = known["picture"]
    else:
        assert CliRunner().invoke(app, shlex.split(text)[1:]).exit_code == 0
        again = read_image(next((tmp_path / "restyled").iterdir())).array
    np.testing.assert_array_equal(again, made)


def test_a_picture_that_is_no_longer_what_its_file_holds_is_not_copied_as_that_file(
    two: Any, qtbot: Any, click: Any, tick: Any, tmp_path: Path
) -> None:
    panel, viewer = two.style_panel, two.viewer
    tifffile.imwrite(tmp_path / "a.tif", 255 - blobs())
    viewer.layers["slide7"].metadata[PATH] = str(tmp_path / "a.tif")
    tick(panel.styles.box_of(viewer.layers["slide9"]))
    finish(panel, qtbot, click)
    click(panel.message.buttons()["Copy as Python"])
    assert "a.tif" not in QApplication.clipboard().text()
    assert "the pixels of 'slide7'" in QApplication.clipboard().text()


def test_text_for_pictures_without_a_file_says_what_they_are() -> None:
    picture, volume = as_image(blobs(), name="a"), as_image(np.zeros((3, 4, 5)), axes="ZYX", name="b")
    text = style_as_python(picture, None, [volume, "he-dark"], StyleOptions())
    known = {"image": picture.array, "style_1": np.random.default_rng(0).random((3, 4, 5))}
    assert "as_image(style_1, axes='ZYX'), 'he-dark'" in text
    compile(text, "copied", "exec")
    exec(style_as_python(picture, None, [volume], StyleOptions()), known)
    assert known["picture"].shape == picture.array.shape
    line = style_as_command_line(picture, None, [volume], StyleOptions())
    assert line.splitlines()[:2] == ["# save the picture as b.tif first", "# save the picture as a.tif first"]


def test_a_style_with_a_network_is_applied_in_one_pass(two: Any, qtbot: Any, click: Any, tick: Any) -> None:
    panel, viewer = two.style_panel, two.viewer
    few = FastStyleOptions(minutes=None, steps=1, crop=32, batch=1)
    trained = run(iter_train_fast("in-one-pass", [as_image(blobs())], [as_image(stain())], few))
    StyleBank().add(trained)
    panel.kept_changed.emit()
    panel.styles.tick([trained])
    panel.method.setCurrentIndex(panel.method.findData("fast"))
    qtbot.waitUntil(lambda: panel.preview.shown is not None, timeout=MS)
    finish(panel, qtbot, click, 4 * MS)
    wanted = stylize(viewer.layers["slide7"].data, "in-one-pass", "fast").image.array
    np.testing.assert_array_equal(viewer.layers[-1].data, wanted)
    panel.styles.tick([viewer.layers["slide9"]])
    finish(panel, qtbot, click)
    assert "network" in panel.message.text  # a picture has none
    StyleBank().remove("in-one-pass")


def test_labels_in_several_resolutions_are_judged_too(two: Any, qtbot: Any, tick: Any) -> None:
    panel, viewer = two.style_panel, two.viewer
    labels = (blobs() > blobs().mean()).astype(np.int32)
    viewer.add_labels([labels, labels[::2, ::2]], name="nuclei", multiscale=True)
    panel.layers.setCurrentText("slide7")
    tick(panel.styles.box_of(viewer.layers["slide9"]))
    qtbot.waitUntil(lambda: "still fit" in panel.preview.words.text(), timeout=MS)
