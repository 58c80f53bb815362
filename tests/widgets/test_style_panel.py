"""The tab *Style*, with real clicks and the core's own styles."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from qtpy.QtGui import QImage
from qtpy.QtWidgets import QApplication
from typer.testing import CliRunner

from napari_unetstyle.cli.main import app
from napari_unetstyle.core import (
    FastStyleOptions,
    StyleOptions,
    as_image,
    iter_train_fast,
    read_image,
    run,
    stylize,
)
from napari_unetstyle.core.style import polarity
from napari_unetstyle.core.style.bank import StyleBank
from napari_unetstyle.core.style.change import TEXTURED
from napari_unetstyle.core.style.content_check import check_content
from napari_unetstyle.core.style.gatys import GatysOptions
from napari_unetstyle.core.style.kept_style import read_style
from napari_unetstyle.core.style.photometric import METHODS
from napari_unetstyle.core.style.stylize import iter_stylize
from napari_unetstyle.widgets.copy_as import style_as_command_line, style_as_python
from napari_unetstyle.widgets.layers import STYLE
from napari_unetstyle.widgets.opening import PATH
from napari_unetstyle.widgets.picture_list import PictureList
from napari_unetstyle.widgets.style_method import WORDS
from napari_unetstyle.widgets.style_preview import COLOR, MADE, Labeled, Step, StyleRequest
from napari_unetstyle.widgets.style_request import STARTS, WITH_APPLY
from napari_unetstyle.widgets.style_shelf import WHAT_IS_KEPT
from napari_unetstyle.widgets.style_sight import iter_judged, iter_preview
from tests.widgets.fake_core import WAIT, blobs

MS = WAIT * 1000
TAB = 2


def stain(seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    return (255 - 120 * (blobs() > blobs().mean())[..., None] * rng.uniform(0.3, 1, 3) - 20 * rng.random(3)).astype(
        np.uint8
    )


@pytest.fixture
def dock(make_windowless_dock: Any) -> Any:
    dock = make_windowless_dock()
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


def pixels_of(label: Any) -> Any:
    """What a label shows, ``(Y, X, 3)``."""
    image = label.pixmap().toImage().convertToFormat(QImage.Format.Format_RGBX8888)
    rows = np.frombuffer(image.constBits().asarray(image.sizeInBytes()), np.uint8)
    return rows.reshape(image.height(), image.width(), 4)[..., :3].copy()  # the bytes go with the image


def finish(panel: Any, qtbot: Any, click: Any, timeout: int = MS) -> None:
    with qtbot.waitSignal(panel.run_ended, timeout=timeout):
        click(panel.apply)


def test_the_tab_says_what_it_needs(dock: Any, click: Any, tmp_path: Path) -> None:
    panel = dock.style_panel
    assert dock.tabs.tabText(TAB) == "Style"
    assert panel.nothing.isVisibleTo(panel)
    assert not panel.form.isVisibleTo(panel)
    assert panel.nothing.folder.isHidden()
    panel.nothing.add(tmp_path / "gone.tif")
    assert "gone.tif" in panel.unopened.text
    click(panel.nothing.sample)
    assert panel.form.isVisibleTo(panel)
    assert panel.unopened.isHidden()
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


def is_part(shown: Any, whole: Any) -> bool:
    """Whether what is shown ``(C, Y, X)`` is somewhere in ``(Y, X, C)``."""
    whole = np.moveaxis(whole, -1, 0)
    height, width = shown.shape[1:]
    places = np.ndindex(whole.shape[1] - height + 1, whole.shape[2] - width + 1)
    return any(np.array_equal(shown, whole[:, y : y + height, x : x + width]) for y, x in places)


def test_the_preview_shows_the_pixels_of_apply(two: Any, qtbot: Any, click: Any, tick: Any) -> None:
    panel = two.style_panel
    tick(panel.styles.box_of(two.viewer.layers["slide9"]))
    qtbot.waitUntil(lambda: panel.preview.shown is not None, timeout=MS)
    shown = panel.preview.shown
    assert panel.preview.isVisibleTo(panel)
    assert not panel.preview.after.pixmap().isNull()
    finish(panel, qtbot, click)
    assert is_part(shown.after, two.viewer.layers[-1].data)


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
    assert not panel.how.method.isVisibleTo(panel)
    tick(panel.advanced)
    assert panel.how.method.isVisibleTo(panel)
    panel.how.choose("moments")
    panel.strength.setValue(40)
    tick(panel.how.align)
    finish(panel, qtbot, click)
    wanted = stylize(viewer.layers["slide7"].data, viewer.layers["slide9"].data, "moments", strength=0.4, align=False)
    np.testing.assert_array_equal(viewer.layers[-1].data, wanted.image.array)


def test_a_method_that_holds_is_seen_while_advanced_is_closed(two: Any, tick: Any) -> None:
    panel = two.style_panel
    assert not panel.closed.isVisibleTo(panel)
    tick(panel.advanced)
    panel.how.choose("any")
    tick(panel.how.align)
    assert not panel.closed.isVisibleTo(panel)  # the form above says it
    tick(panel.advanced)
    assert panel.closed.isVisibleTo(panel)
    assert panel.closed.text() == "Method: texture in one pass. Bright and dark are not exchanged."


@pytest.mark.parametrize("method", ["gatys", "any", "fast"])
def test_a_kept_style_that_a_method_cannot_take_is_named_at_once(method: str, two: Any, click: Any, tick: Any) -> None:
    panel = two.style_panel
    panel.styles.tick([StyleBank().load("he-light")])
    assert panel.apply.isEnabled()
    panel.how.choose(method)
    assert "'he-light'" in panel.hint.text
    assert panel.hint.isVisibleTo(panel)
    assert not panel.apply.isEnabled()
    assert panel.apply.toolTip() == panel.hint.text
    click(panel.hint.buttons()["Use automatic"])
    assert panel.apply.isEnabled()
    assert panel.hint.text == ""


def test_the_weights_of_gatys_are_a_file_and_a_wrong_one_is_said(
    two: Any, qtbot: Any, click: Any, tick: Any, tmp_path: Path
) -> None:
    panel = two.style_panel
    tick(panel.styles.box_of(two.viewer.layers["slide9"]))
    tick(panel.advanced)
    assert not panel.how.weights_row.isVisibleTo(panel)
    panel.how.choose("gatys")
    assert panel.how.weights_row.isVisibleTo(panel)
    assert panel.options.neural.weights is None
    (tmp_path / "wrong.pth").write_bytes(b"no weights")
    for file, words in (("none.pth", "There is no file"), ("wrong.pth", "cannot be read as weights")):
        panel.how.weights.setText(str(tmp_path / file))
        assert panel.options.neural.weights == tmp_path / file
        finish(panel, qtbot, click, 4 * MS)
        assert words in panel.message.text
        assert "Choose torchvision's VGG16 file, or none." in panel.message.text
    assert len(two.viewer.layers) == 2
    assert "--vgg" in style_as_command_line(as_image(blobs()), "a.tif", ["ct"], panel.options)
    text = style_as_python(as_image(blobs()), "a.tif", ["ct"], panel.options)
    assert "import GatysOptions" in text
    assert f"neural=GatysOptions(weights={str(tmp_path / 'wrong.pth')!r})" in text
    panel.how.choose("any")
    assert panel.options.neural.weights is None  # of no use there


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


def test_what_was_said_of_one_picture_is_not_said_of_another(two: Any, qtbot: Any, click: Any, tick: Any) -> None:
    panel, viewer = two.style_panel, two.viewer
    style = panel.styles.box_of(viewer.layers["slide9"])
    tick(style)
    finish(panel, qtbot, click)
    viewer.layers["slide9"].name = "slide 9"  # the same picture
    assert "Made the layer" in panel.message.text
    viewer.add_image(blobs(), name="slide8")
    panel.layers.setCurrentText("slide8")
    assert panel.message.text == ""


def test_a_style_that_is_ticked_for_a_person_is_seen(qtbot: Any) -> None:
    styles = PictureList(ViewerModel(), "")
    qtbot.addWidget(styles)
    styles.set_kept(StyleBank().list())
    styles.show()
    last = styles._kept[-1]
    assert styles.box_of(last).visibleRegion().isEmpty()
    styles.tick([last])
    qtbot.waitUntil(lambda: not styles.box_of(last).visibleRegion().isEmpty(), timeout=MS)


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

    calls = panel._calls

    def soon(image: Any, styles: Any, options: StyleOptions, labels: Any) -> Any:
        return calls.iter_stylize(image, styles, dataclasses.replace(options, neural=few), labels)

    panel._calls = dataclasses.replace(calls, iter_stylize=soon)
    viewer.add_labels((blobs() > blobs().mean()).astype(np.int32), name="nuclei")
    panel.layers.setCurrentText("slide7")
    tick(panel.styles.box_of(viewer.layers["slide9"]))
    panel.how.choose("gatys")
    preview = panel.preview
    qtbot.waitUntil(lambda: preview.caption.text() == STARTS and preview.shown is not None, timeout=MS)
    assert "fit" not in preview.shown.words  # the texture is not there yet
    assert preview.words.text() == WITH_APPLY
    begun = pixels_of(preview.after)
    finish(panel, qtbot, click, 4 * MS)  # torch's optimizers take seconds to be imported
    # APPLY has said the words; they and the caption come one after the other, in either order
    qtbot.waitUntil(lambda: (preview.words.text(), preview.caption.text()) == ("", MADE), timeout=MS)
    assert not np.array_equal(pixels_of(preview.after), begun)
    marked = (pixels_of(preview.after) == COLOR[:3]).all(axis=-1)
    assert marked.any()
    np.testing.assert_array_equal(marked, (pixels_of(preview.before) == COLOR[:3]).all(axis=-1))
    panel.strength.setValue(90)
    qtbot.waitUntil(lambda: preview.caption.text() == STARTS, timeout=MS)
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
    assert shelf.name.text() == ""
    click(shelf.confirm)
    assert "Give the style a name" in shelf.message.text
    assert shelf.form.isVisibleTo(panel)
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


def test_nothing_of_a_picture_s_name_is_kept_or_shared(
    dock: Any, qtbot: Any, click: Any, tick: Any, tmp_path: Path
) -> None:
    viewer, panel, shelf = dock.viewer, dock.style_panel, dock.style_panel.shelf
    patient = viewer.add_image(
        stain(), name="Meier_Hans_19610203_T1", metadata={PATH: "/data/Meier_Hans_19610203_T1.tif"}
    )
    viewer.add_image(blobs(), name="slide7")
    panel.layers.setCurrentText("slide7")
    tick(panel.styles.box_of(patient))
    click(shelf.keep)
    assert {field.text() for field in (shelf.name, shelf.about, shelf.license)} == {""}
    assert "go along when the style is shared" in WHAT_IS_KEPT
    qtbot.keyClicks(shelf.name, "scanner-2")
    qtbot.keyClicks(shelf.about, "Siemens, T1")
    qtbot.keyClicks(shelf.license, "CC BY 4.0")
    shelf.thumbnail.setChecked(True)
    with qtbot.waitSignal(panel.kept_changed, timeout=MS):
        click(shelf.confirm)
    kept = StyleBank().load("scanner-2")
    assert (kept.about, kept.license) == ("Siemens, T1", "CC BY 4.0")
    for thumbnail in (False, True):
        shelf.share_to(tmp_path / str(thumbnail) / kept.file_name, kept, thumbnail=thumbnail)
    files = [path for folder in (tmp_path, shelf.bank.root) for path in folder.rglob("*") if path.is_file()]
    assert len([path for path in files if "scanner-2" in path.name]) == 3
    for word in (b"meier", b"hans", b"19610203"):
        assert not any(word in bytes(path).lower() or word in path.read_bytes().lower() for path in files)
    StyleBank().remove("scanner-2")


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


@pytest.mark.long
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
    tick(panel.how.align)
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
    panel.how.choose("fast")
    qtbot.waitUntil(lambda: panel.preview.shown is not None, timeout=MS)
    shown = panel.preview.shown.after
    finish(panel, qtbot, click, 4 * MS)
    wanted = stylize(viewer.layers["slide7"].data, "in-one-pass", "fast").image.array
    np.testing.assert_array_equal(viewer.layers[-1].data, wanted)
    assert is_part(shown, wanted)
    panel.styles.tick([trained, viewer.layers["slide9"]])
    assert "'slide9' has no network" in panel.hint.text  # a picture has none
    assert not panel.apply.isEnabled()
    click(panel.hint.buttons()["Use automatic"])
    assert panel.apply.isEnabled()
    panel.styles.tick([trained])
    assert "'in-one-pass' has a network of its own" in panel.hint.text
    click(panel.hint.buttons()["Use it"])
    assert panel.how.method.currentData() == "fast"
    assert panel.hint.text == ""
    StyleBank().remove("in-one-pass")


def test_labels_in_several_resolutions_are_judged_too(two: Any, qtbot: Any, tick: Any) -> None:
    panel, viewer = two.style_panel, two.viewer
    labels = (blobs() > blobs().mean()).astype(np.int32)
    viewer.add_labels([labels, labels[::2, ::2]], name="nuclei", multiscale=True)
    panel.layers.setCurrentText("slide7")
    tick(panel.styles.box_of(viewer.layers["slide9"]))
    qtbot.waitUntil(lambda: "still fit" in panel.preview.words.text(), timeout=MS)


def requested(method: str, strength: float = 1.0, *, image: Any = None, **more: Any) -> StyleRequest:
    at = (slice(10, 50), slice(20, 80))
    picture = as_image(blobs(), name="a") if image is None else image
    options = StyleOptions(method=method, strength=strength)
    return StyleRequest(image=picture, styles=(as_image(stain()),), options=options, at=at, labels=None, **more)


def test_the_preview_of_texture_in_one_pass_is_what_apply_makes_and_that_is_judged() -> None:
    labels = (blobs() > blobs().mean()).astype(np.int32)
    request = requested("any")
    request = dataclasses.replace(request, judged=Labeled(at=request.at, labels=labels[request.at]))
    shown = run(iter_preview(request, {}))
    made = np.moveaxis(stylize(blobs(), stain(), "any").image.array, -1, 0)
    np.testing.assert_array_equal(shown.after, made[:, *request.at])
    assert not np.array_equal(shown.after, run(iter_preview(requested("automatic"), {})).after)
    assert shown.words == check_content(blobs()[np.newaxis, *request.at], shown.after, request.judged.labels).words


@pytest.mark.parametrize("strength", [0.0, 0.3])
def test_so_it_is_at_any_strength(strength: float) -> None:
    kept: dict[Any, Any] = {}
    run(iter_preview(requested("any"), kept))
    image = next(iter(kept.values()))._request.image
    shown = run(iter_preview(requested("any", strength, image=image), kept))
    made = stylize(blobs(), stain(), "any", strength=strength).image.array
    assert is_part(shown.after, made if made.ndim == 3 else made[..., np.newaxis].repeat(3, -1))


def test_of_a_larger_picture_the_part_is_near_to_what_apply_makes() -> None:
    image = as_image(np.tile(blobs(), (9, 6)))
    at = (slice(30, 542), slice(30, 542))
    shown = run(iter_preview(dataclasses.replace(requested("any", image=image), at=at), {}))
    made = np.moveaxis(stylize(image, stain(), "any").image.array, -1, 0)[:, *at]
    started = run(iter_preview(dataclasses.replace(requested("automatic", image=image), at=at), {})).after
    off, changed = (np.abs(one.astype(float) - made).mean() for one in (shown.after, started))
    assert off < changed / 3


def test_another_strength_or_method_reads_the_picture_no_second_time(monkeypatch: Any) -> None:
    read, measured = [], []
    measure = polarity.measure
    monkeypatch.setattr(polarity, "measure", lambda pixels: (measured.append(1), measure(pixels))[1])

    class Counted(np.ndarray[Any, Any]):
        def __getitem__(self, index: Any) -> Any:
            read.append(index)
            return np.asarray(self)[index]

    image, style = as_image(blobs()), as_image(stain())
    image = dataclasses.replace(image, array=blobs().view(Counted))
    kept: dict[Any, Any] = {}
    first = dataclasses.replace(requested("automatic", image=image), styles=(style,))
    run(iter_preview(first, kept))
    before = len(read), len(measured)
    assert min(before) > 0
    for method, strength in (("automatic", 0.5), ("moments", 0.4), ("histogram", 1.0)):
        run(iter_preview(dataclasses.replace(first, options=StyleOptions(method=method, strength=strength)), kept))
    assert (len(read), len(measured)) == before


def test_apply_says_whether_labels_still_fit_of_each_method(two: Any, qtbot: Any, click: Any, tick: Any) -> None:
    panel, viewer = two.style_panel, two.viewer
    labels = (blobs() > blobs().mean()).astype(np.int32)
    viewer.add_labels(labels, name="nuclei")
    panel.layers.setCurrentText("slide7")
    tick(panel.styles.box_of(viewer.layers["slide9"]))
    for method in ("automatic", "any"):
        panel.how.choose(method)
        finish(panel, qtbot, click, 4 * MS)
        made = np.moveaxis(viewer.layers[-1].data, -1, 0)
        words = check_content(blobs()[np.newaxis], made, labels).words
        assert f"With 'nuclei' on it: {words}" in panel.message.text
        assert panel.message.text.count("Bright and dark") == 1
    viewer.layers["nuclei"].visible = False
    finish(panel, qtbot, click, 4 * MS)
    assert "on it" not in panel.message.text


def test_a_result_of_many_slices_is_judged_in_some() -> None:
    volume = as_image(np.stack([blobs()] * 8), axes="ZYX")
    labels = np.stack([(blobs() > blobs().mean()).astype(np.int32)] * 8)
    labels[0] = 0
    steps = iter_stylize(volume, [volume], StyleOptions())
    assert run(iter_judged(steps, volume, labels)).words == "In 5 of 5 slices: The labels still fit."
    labels[7] = np.roll(labels[7], 6, axis=1)
    words = run(
        iter_judged(iter_stylize(volume, [as_image(np.roll(blobs(), 6, 1))], StyleOptions()), volume, labels)
    ).words
    assert words.startswith("In ")
    assert run(iter_judged(iter_stylize(volume, [volume], StyleOptions()), volume, None)).words == ""


def test_the_worst_slice_is_said() -> None:
    before = np.stack([blobs()] * 8)
    after, labels = before.copy(), (before > blobs().mean()).astype(np.int32)
    after[7] = np.roll(after[7], 6, axis=1)
    volume = as_image(before, axes="ZYX")

    def moved() -> Any:
        styled = yield from iter_stylize(volume, [volume], StyleOptions())
        return dataclasses.replace(styled, image=as_image(after, axes="ZYX"))

    words = run(iter_judged(moved(), volume, labels)).words
    assert words.startswith("In 1 of 5 slices: The labels no longer fit")


def test_a_result_that_cannot_be_judged_is_made_all_the_same() -> None:
    pixels = blobs().astype(np.float32)
    pixels[3, 3] = np.nan
    picture, labels = as_image(pixels), (blobs() > blobs().mean()).astype(np.int32)
    judged = run(iter_judged(iter_stylize(picture, [as_image(stain())], StyleOptions()), picture, labels))
    assert "not checked" in judged.words
    assert judged.styled.image.array.shape == (*pixels.shape, 3)


def test_a_step_is_shown_of_the_part_in_sight_and_says_its_slice() -> None:
    pixels = np.random.default_rng(0).random((1, 64, 96), np.float32)
    request = requested("gatys", 0.5)
    step = Step(pixels=pixels, frame=(3,), run=request)
    np.testing.assert_array_equal(step.part(request), pixels[:, 10:50, 20:80])
    assert step.caption(request) == "so far, slice 3, at full strength"
    assert dataclasses.replace(step, is_last=True).caption(request).startswith(f"{MADE}, slice 3")
    assert request.is_same_run(dataclasses.replace(request, at=(slice(0, 5), slice(0, 5))))
    assert not request.is_same_run(dataclasses.replace(request, options=StyleOptions()))
