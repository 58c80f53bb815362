"""The tab *Teach*, by clicks: tools on objects, areas that are right, and the list of what is learned from."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import tifffile
from napari.settings import get_settings
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QDockWidget

from napari_unetstyle.core.annotation.corrections import learned
from napari_unetstyle.core.annotation.journal_state import read_journal
from napari_unetstyle.core.annotation.project import Project
from napari_unetstyle.core.errors import OptionError
from napari_unetstyle.core.imaging.files import read_image
from napari_unetstyle.widgets import clicked_fixes, learned_places
from napari_unetstyle.widgets.drag_trace import DragTrace
from napari_unetstyle.widgets.improve import NEW
from napari_unetstyle.widgets.learns_from import REST_MS
from napari_unetstyle.widgets.opening import add_picture
from tests.widgets.fake_core import WAIT, blobs

pytestmark = pytest.mark.screen
FAINT = (40, 70)  # center of an object that the run misses


@pytest.fixture
def file(tmp_path):
    picture = blobs()
    y, x = np.indices(picture.shape)
    picture[np.hypot(y - FAINT[0], x - FAINT[1]) < 6] = 90  # below the threshold
    tifffile.imwrite(tmp_path / "slide7.tif", picture)
    return tmp_path / "slide7.tif"


@pytest.fixture
def in_window():
    """The mouse is, but for a few tests that do without."""
    return True


@pytest.fixture
def dock(make_quick_dock, file, run, in_window):
    dock = make_quick_dock()
    add_picture(dock.viewer, file)
    run(dock)
    dock.tabs.setCurrentIndex(1)
    if in_window:
        dock.viewer.window._qt_window.show()
    yield dock
    for corrected in dock.corrections.layers:
        corrected.close(WAIT)


@pytest.fixture
def corrected(dock):
    (one,) = dock.corrections.layers
    return one


@pytest.fixture
def fix(dock):
    return dock.teach.fix


@pytest.fixture
def mouse(dock, qtbot):
    canvas = dock.viewer.window._qt_viewer.canvas.native

    def at(place):
        camera = dock.viewer.scene.camera
        y, x = (np.array(place) - np.array(camera.center[-2:])) * camera.zoom
        return QPoint(round(canvas.width() / 2 + x), round(canvas.height() / 2 + y))

    def drag(start, end=None):
        """Press, move and release; `place` is a pixel of the picture."""
        end = end or start
        qtbot.mouseMove(canvas, at(start))
        qtbot.mousePress(canvas, Qt.MouseButton.LeftButton, pos=at(start))
        if end != start:
            qtbot.mouseMove(canvas, at(end))
        qtbot.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=at(end))
        qtbot.wait(20)

    qtbot.waitExposed(dock.viewer.window._qt_window)
    qtbot.wait(50)
    return drag


def kept(corrected):
    assert corrected.recorder.flush(WAIT)
    return read_journal(corrected.recorder.folder)


def test_an_object_is_deleted_with_two_clicks_and_comes_back(corrected, fix, mouse, click):
    before = np.array(corrected.labels)
    gone = before[24, 10]
    click(fix.buttons["delete"])
    mouse((24, 10))
    assert np.array_equal(corrected.labels, np.where(before == gone, 0, before))
    assert np.array_equal(kept(corrected).labels, corrected.labels)
    click(fix.undo)
    assert np.array_equal(corrected.labels, before)
    assert np.array_equal(kept(corrected).labels, before)
    click(fix.redo)
    assert gone not in corrected.labels


def by_hand(dock, click, classes):
    """New labels for a model that is not there yet, with the brush in hand."""
    improve = dock.teach.run.improve
    improve.models.setCurrentIndex(improve.models.findData(NEW))
    improve.new_classes.setText(classes)
    click(improve.by_hand)
    return dock.corrections.active


def test_a_painted_patch_is_given_another_class_with_two_clicks_and_gets_it_back(dock, fix, mouse, click):
    dock.viewer.layers.selection.active = dock.viewer.layers["slide7"]
    new = by_hand(dock, click, "vessel, nerve")
    new.layer.brush_size = 6
    mouse((30, 40))
    painted = np.array(new.labels)
    assert set(np.unique(painted)) == {0, 1}
    click(fix.classes.buttons["nerve"])
    click(fix.buttons["class"])
    mouse((30, 40))
    assert np.array_equal(new.labels, 2 * painted)
    assert np.array_equal(kept(new).labels, 2 * painted)
    click(fix.undo)
    assert np.array_equal(new.labels, painted)
    assert np.array_equal(kept(new).labels, painted)
    click(fix.redo)
    assert np.array_equal(new.labels, 2 * painted)


def test_slices_between_two_painted_ones_are_filled_with_a_click_and_emptied_again(dock, fix, mouse, click, tmp_path):
    assert fix.between.isHidden()
    dock.viewer.layers.clear()
    tifffile.imwrite(tmp_path / "volume.tif", np.stack([blobs()] * 5), metadata={"axes": "ZYX"})
    add_picture(dock.viewer, tmp_path / "volume.tif")
    new = by_hand(dock, click, "vessel")
    new.layer.brush_size = 6
    for z in (0, 4):
        dock.viewer.dims.set_current_step(0, z)
        mouse((30, 40))
    before = np.array(new.labels)
    assert [bool(one.any()) for one in before] == [True, False, False, False, True]
    dock.viewer.dims.set_current_step(0, 2)
    click(fix.between)
    assert not fix.message.text
    assert all(np.array_equal(one, before[0]) for one in new.labels)
    assert np.array_equal(kept(new).labels, new.labels)
    click(fix.undo)
    assert np.array_equal(new.labels, before)
    assert np.array_equal(kept(new).labels, before)


def test_classes_and_what_lies_between_are_taken_back_from_any_slice(dock, fix, mouse, click, tmp_path):
    dock.viewer.layers.clear()
    tifffile.imwrite(tmp_path / "volume.tif", np.stack([blobs()] * 5), metadata={"axes": "ZYX"})
    add_picture(dock.viewer, tmp_path / "volume.tif")
    new = by_hand(dock, click, "vessel, nerve")
    new.layer.brush_size = 6
    states = [np.array(new.labels)]

    def do(z, *acts):
        dock.viewer.dims.set_current_step(0, z)
        for act, *given in acts:
            act(*given)
        states.append(np.array(new.labels))
        assert not fix.message.text

    do(0, (mouse, (30, 40)))
    do(4, (mouse, (30, 40)))
    do(2, (click, fix.between))
    do(4, (click, fix.classes.buttons["nerve"]), (click, fix.buttons["class"]), (mouse, (30, 40)))
    do(1, (click, fix.buttons["class"]), (click, fix.classes.buttons["vessel"]), (mouse, (50, 60)))
    assert [np.unique(state).tolist() for state in states] == [[0], [0, 1], [0, 1], [0, 1], [0, 2], [0, 1, 2]]
    dock.viewer.dims.set_current_step(0, 3)
    for button, order in ((fix.undo, range(4, -1, -1)), (fix.redo, range(1, 6))):
        for number in order:
            click(button)
            assert np.array_equal(new.labels, states[number]), number
            assert np.array_equal(kept(new).labels, states[number]), number


def test_a_missed_object_is_added_with_one_click(corrected, fix, mouse, click):
    assert corrected.labels[FAINT] == 0
    click(fix.buttons["add"])
    mouse(FAINT)
    y, x = np.indices(corrected.labels.shape)
    truth, found = np.hypot(y - FAINT[0], x - FAINT[1]) < 6, corrected.labels == corrected.labels[FAINT]
    assert corrected.labels[FAINT] == 6
    assert 2 * (truth & found).sum() / (truth.sum() + found.sum()) > 0.85


def test_two_objects_become_one_and_two_again(corrected, fix, mouse, click):
    first, second = (24, 10), (24, 26)
    click(fix.buttons["merge"])
    mouse(first)
    mouse(second)
    assert corrected.labels[first] == corrected.labels[second]
    assert corrected.facts["touched"] == [corrected.labels[first]]
    click(fix.buttons["split"])
    assert not fix.buttons["merge"].isChecked()
    mouse(first)
    mouse(second)
    assert corrected.labels[first] != corrected.labels[second]
    state = kept(corrected)
    assert np.array_equal(state.labels, corrected.labels)
    assert set(state.said["touched"]) >= {corrected.labels[first], corrected.labels[second]}


@pytest.mark.parametrize(
    ("tool", "clicks"),
    [
        ("merge", [((24, 10),), ((24, 26),)]),
        ("split", [((16, 10), (32, 10))]),
        ("add", [(FAINT,)]),
        ("delete", [((24, 10),)]),
    ],
    ids=["merge", "split", "add", "delete"],
)
def test_what_is_taken_back_teaches_nothing(corrected, fix, mouse, click, tool, clicks):
    before = np.array(corrected.labels)
    click(fix.buttons[tool])
    for places in clicks:
        mouse(*places)
    after, learns = np.array(corrected.labels), learned(corrected.correction())[1]
    assert not np.array_equal(after, before)
    assert learns.any()
    for _ in range(2):
        click(fix.undo)
        assert np.array_equal(corrected.labels, before)
        assert corrected.correction().is_empty or not learned(corrected.correction())[1].any()
        assert kept(corrected).said.get("touched", []) == []
        click(fix.redo)
        assert np.array_equal(corrected.labels, after)
        assert np.array_equal(learned(corrected.correction())[1], learns)


def test_a_line_across_an_object_parts_it(dock, corrected, fix, mouse, click):
    before = np.array(corrected.labels)
    click(fix.buttons["split"])
    mouse((16, 25), (32, 25))
    parts = {before[24, 26], before.max() + 1}
    assert {corrected.labels[24, 23], corrected.labels[24, 28]} == parts
    assert np.array_equal(corrected.labels > 0, before > 0)
    assert not dock.viewer.window._qt_viewer.canvas.native.findChild(DragTrace).isVisible()
    assert np.array_equal(kept(corrected).labels, corrected.labels)
    click(fix.undo)
    assert np.array_equal(corrected.labels, before)
    mouse((5, 5), (5, 30))
    assert "no object on this line" in fix.message.text


def test_the_brush_keeps_to_what_looks_like_the_place_where_a_stroke_began(dock, corrected, fix, mouse, click, tick):
    before, layer = np.array(corrected.labels), corrected.layer
    picture = np.asarray(corrected.image.array)
    layer.mode, layer.selected_label, layer.brush_size = "paint", 77, 30
    tick(fix.brush.box)
    assert fix.brush.range.isVisible()
    mouse((40, 68), (40, 72))  # in an object that the run missed; the brush is larger
    painted = corrected.labels == 77
    assert painted[FAINT]
    assert set(np.unique(picture[painted])) == {90}
    assert np.array_equal(corrected.labels[~painted], before[~painted])
    assert np.array_equal(kept(corrected).labels, corrected.labels)
    click(fix.undo)
    assert np.array_equal(corrected.labels, before)
    click(fix.redo)
    assert np.array_equal(corrected.labels == 77, painted)
    layer.mode = "erase"
    mouse((24, 10))  # in a bright object; what is painted around it stays
    assert not corrected.labels[20:28, 6:14].any()
    assert np.array_equal(corrected.labels == 77, painted)
    tick(fix.brush.box)
    layer.mode = "paint"
    mouse((40, 68), (40, 72))
    assert set(np.unique(picture[corrected.labels == 77])) > {90}


def test_an_area_is_right_after_a_drag_and_the_slice_after_a_click(corrected, fix, mouse, click):
    click(fix.buttons["right"])
    mouse((10, 10), (30, 40))
    accepted = corrected.accepted.copy()
    rows, columns = np.nonzero(accepted)
    assert abs(np.array([rows.min(), rows.max(), columns.min(), columns.max()]) - [10, 30, 10, 40]).max() <= 1
    mouse((50, 50))
    assert corrected.accepted.all()
    click(fix.undo)
    assert np.array_equal(corrected.accepted, accepted)
    assert np.array_equal(kept(corrected).accepted, accepted)


def test_nothing_here_empties_a_box_and_is_taken_back_at_once(corrected, fix, mouse, click):
    before = np.array(corrected.labels)
    click(fix.buttons["nothing"])
    mouse((15, 2), (35, 30))
    assert not corrected.labels[16:34, 4:28].any()
    assert corrected.accepted[16:34, 4:28].all()
    click(fix.undo)
    assert np.array_equal(corrected.labels, before)
    assert not corrected.accepted.any()


def test_a_click_beside_objects_says_what_to_do(corrected, fix, mouse, click):
    click(fix.buttons["delete"])
    mouse((5, 5))
    assert "Click inside one" in fix.message.text
    assert not corrected.is_corrected


def test_a_tool_that_is_put_down_leaves_the_layer_as_it_was(corrected, fix, mouse, click):
    corrected.layer.mode = "paint"
    click(fix.buttons["right"])
    assert not corrected.layer.mouse_pan
    click(fix.buttons["right"])
    assert corrected.layer.mode == "paint"
    assert fix.hint.isHidden()
    click(fix.buttons["delete"])
    fix.stop()
    mouse((24, 10))
    assert corrected.labels[24, 10]


def test_escape_puts_a_tool_down_wherever_the_keyboard_is(dock, fix, mouse, click, qtbot):
    click(fix.buttons["delete"])
    mouse((5, 5))
    canvas = dock.viewer.window._qt_viewer.canvas.native
    canvas.window().activateWindow()
    canvas.setFocus()
    qtbot.waitUntil(canvas.hasFocus, timeout=WAIT * 1000)
    qtbot.keyClick(canvas, Qt.Key.Key_Escape)
    assert not fix.buttons["delete"].isChecked()
    assert not fix.escape.isEnabled()


def test_the_original_is_a_click_away(dock, corrected, fix, mouse, click):
    before = np.array(corrected.labels)
    assert not fix.original.isEnabled()
    click(fix.buttons["delete"])
    mouse((24, 10))
    click(fix.original)
    shown = [layer for layer in dock.viewer.layers if layer.visible and type(layer).__name__ == "Labels"]
    assert [np.array_equal(layer.data, before) for layer in shown] == [True]
    click(fix.original)
    assert corrected.layer.visible
    assert not corrected.labels[24, 10]


# What is learned from --------------------------------------------------------------------------------------------


def test_the_list_counts_asks_and_shows(dock, corrected, fix, mouse, click, qtbot, monkeypatch):
    learns, threads = dock.teach.learns, []
    monkeypatch.setattr(
        learned_places, "learned", lambda correction: threads.append(threading.current_thread()) or learned(correction)
    )
    assert not learns.boxes
    assert learns.show_on_picture.isHidden()
    click(fix.buttons["delete"])
    mouse((24, 10))
    mouse((24, 26))
    qtbot.waitUntil(lambda: len(learns.boxes) == 1 and "2 fixes" in learns.boxes[0].text(), timeout=WAIT * 1000)
    qtbot.waitUntil(lambda: "✓ saved" in learns.saved.text(), timeout=WAIT * 1000)
    assert learns.boxes[0].visibleRegion().boundingRect().height() >= 2 * learns.fontMetrics().height()
    assert not learns.question.isHidden()
    click(learns.show_on_picture)
    qtbot.waitUntil(lambda: "learns from" in dock.viewer.layers, timeout=WAIT * 1000)
    overlay = dock.viewer.layers["learns from"]
    assert overlay.data.sum() == 128  # two squares that were erased
    row = learns.boxes[0]
    qtbot.wait(3 * REST_MS)
    assert learns.boxes[0] is row  # looking is no change
    assert row.isVisible()
    click(learns.yes)
    qtbot.waitUntil(lambda: "all right" in learns.boxes[0].text(), timeout=WAIT * 1000)
    qtbot.waitUntil(lambda: dock.viewer.layers["learns from"].data.all(), timeout=WAIT * 1000)
    assert dock.viewer.layers["learns from"] is overlay
    assert threading.main_thread() not in threads
    click(learns.only)
    assert corrected.facts["rest_is_right"] is False
    click(learns.show_on_picture)
    assert "learns from" not in dock.viewer.layers
    learns.boxes[0].click()
    assert kept(corrected).said["ticked"] is False


def test_nothing_of_what_is_learned_from_is_cut(dock, fix, mouse, click, qtbot):
    """In a dock of any width, and after napari's letters have become larger, too."""
    window, learns = dock.viewer.window._qt_window, dock.teach.learns
    (outer,) = (one for one in window.findChildren(QDockWidget) if one.isAncestorOf(dock))
    click(fix.buttons["delete"])
    mouse((24, 10))
    qtbot.waitUntil(lambda: len(learns.boxes) == 1, timeout=WAIT * 1000)

    def is_whole():
        (box,) = learns.boxes
        row = box.parentWidget()
        seen = box.visibleRegion().boundingRect().height()
        return row.rect().contains(box.geometry()) and seen == box.height() >= box.sizeHint().height()

    for theme, width in (("dark", 300), ("light", 400)):
        dock.viewer.theme = theme
        window.resizeDocks([outer], [width], Qt.Orientation.Horizontal)
        qtbot.waitUntil(lambda width=width: abs(dock.width() - width) < 3 and is_whole(), timeout=WAIT * 1000)
        assert all(part.visibleRegion().boundingRect() == part.rect() for part in (learns, fix, dock.teach.run))
    before = learns.boxes[0].height()
    get_settings().appearance.font_size += 4
    qtbot.waitUntil(lambda: learns.boxes[0].height() > before and is_whole(), timeout=WAIT * 1000)


@pytest.mark.parametrize("in_window", [False])
def test_fixes_of_other_days_are_listed_and_opened(dock, corrected, qtbot, click, file):
    other = file.with_name("slide9.tif")
    tifffile.imwrite(other, blobs(peak=150))
    labels = (blobs(peak=150) > 50).astype(np.int32)
    Project.for_picture(file).add(read_image(other), labels, other, layer="slide9 nuclei")
    learns = dock.teach.learns
    learns.refresh()
    qtbot.waitUntil(lambda: len(learns.boxes) == 1, timeout=WAIT * 1000)
    assert learns.boxes[0].text() == "slide9 nuclei\nall right, not open"
    learns.boxes[0].click()
    (entry,) = Project.for_picture(file).entries()
    assert entry.state().said["ticked"] is False
    button = next(b for b in learns.findChildren(type(learns.yes)) if b.text() == "Open")
    click(button)
    qtbot.waitUntil(lambda: not dock.corrections.is_opening, timeout=WAIT * 1000)
    opened = dock.corrections.active
    assert opened.layer.name == "slide9 nuclei"
    assert np.array_equal(opened.labels, labels)
    assert np.array_equal(opened.image.array, blobs(peak=150))
    assert opened.facts["rest_is_right"] is True
    assert opened.close(WAIT)


@pytest.mark.parametrize("in_window", [False])
def test_pictures_with_masks_are_added_from_two_folders_and_listed(dock, file, click, qtbot, tmp_path):
    learns, folder = dock.teach.learns, tmp_path / "theirs"
    masks = folder / "drawn"
    masks.mkdir(parents=True)
    for i, name in enumerate(("a", "b", "c")):
        tifffile.imwrite(folder / f"{name}.tif", blobs(peak=150 + i))
        tifffile.imwrite(masks / f"{name}_mask.tif", (blobs() > 50).astype(np.uint8) * 255)
    tifffile.imwrite(masks / "c_mask.tif", np.zeros((5, 5), np.uint8))
    learns.add_from(folder)  # what the file dialog calls
    qtbot.waitUntil(lambda: "No masks in" in learns.message.text, timeout=WAIT * 1000)
    assert set(learns.message.buttons()) == {"The masks are elsewhere…", "Not now"}
    learns.add_from(folder, masks)
    qtbot.waitUntil(lambda: len(learns.boxes) == 2, timeout=WAIT * 1000)
    assert sorted(box.text() for box in learns.boxes) == [
        "a masks\nall right, not open",
        "b masks\nall right, not open",
    ]
    assert "2 pictures with masks added. In 2 of them each patch" in learns.message.text
    assert "c_mask.tif" in learns.message.text
    assert dock.teach.run.teach.isEnabled()
    for entry in Project.for_picture(folder / "a.tif").entries():
        assert len(np.unique(entry.state().labels)) == 6  # five squares, each an object
        assert entry.state().header.output == "objects"
    learns.add_from(folder, masks)
    qtbot.waitUntil(lambda: "2 had been added before" in learns.message.text, timeout=WAIT * 1000)
    assert len(Project.for_picture(folder / "a.tif").entries()) == 2


def test_whoever_takes_the_brush_puts_the_tool_down(corrected, fix, mouse, click):
    layer, before = corrected.layer, np.array(corrected.labels)
    click(fix.buttons["nothing"])
    layer.mode, layer.selected_label, layer.brush_size = "paint", 77, 3
    assert not fix.buttons["nothing"].isChecked()
    assert layer.mode == "paint"
    mouse((24, 4), (24, 20))
    assert (corrected.labels == 77).any()
    assert np.array_equal(corrected.labels[corrected.labels != 77], before[corrected.labels != 77])
    assert not corrected.accepted.any()


@pytest.mark.parametrize("in_window", [False])
def test_another_layer_puts_the_tool_down(dock, corrected, fix, click):
    click(fix.buttons["delete"])
    dock.viewer.layers.selection.active = corrected.placement.layer
    assert not fix.buttons["delete"].isChecked()


@pytest.mark.parametrize("where", [-3, 8])
@pytest.mark.parametrize("tool", [clicked_fixes.empty, clicked_fixes.accept])
def test_a_slice_that_the_picture_does_not_have_is_left_alone(make_windowless_dock, run, where, tool):
    dock = make_windowless_dock()
    dock.viewer.add_image(np.stack([blobs()] * 6), name="stack", axis_labels=["z", "y", "x"])
    run(dock)
    (corrected,) = dock.corrections.layers
    before = np.array(corrected.labels)
    with pytest.raises(OptionError, match="outside the picture"):
        tool(corrected, [(where, 10, 10), (where, 40, 40)])
    assert np.array_equal(corrected.labels, before)
    assert not corrected.is_corrected
