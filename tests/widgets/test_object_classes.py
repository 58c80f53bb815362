"""Corrections of results of two classes: each object keeps its class, new ones get one; areas are their class."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from napari_unetstyle.core.annotation.corrections import learned
from napari_unetstyle.core.annotation.journal_state import read_journal
from napari_unetstyle.core.annotation.project import Project, correction_of
from napari_unetstyle.core.errors import OptionError
from napari_unetstyle.core.models.spec import ClassSpec
from napari_unetstyle.core.progress import run as drained
from napari_unetstyle.widgets import class_looks
from napari_unetstyle.widgets import clicked_fixes as fixes
from napari_unetstyle.widgets.class_looks import colors_by_class
from napari_unetstyle.widgets.jobs import as_steps
from napari_unetstyle.widgets.opening import add_picture
from napari_unetstyle.widgets.outputs import iter_fresh
from tests.widgets.fake_core import WAIT, blobs, with_options

TWO = (ClassSpec(value=1, name="round", color="#ee6677"), ClassSpec(value=2, name="long", color="#4477aa"))
INSIDE = {number: (24, 16 * number - 6) for number in range(1, 6)}  # a pixel of each object


@pytest.fixture
def output():
    return "objects"


@pytest.fixture
def dock(make_windowless_dock, core, run, tmp_path, output):
    """Five objects; those of an even number are of class 2. Or areas."""

    def iter_segment(image, model, options, store):
        result = yield from core.iter_segment(image, model, options.changed(output=output), store)
        if output == "areas":
            return result.changed(classes=TWO)
        classes = np.where(result.objects["label"] % 2 == 0, 2, 1).astype(np.uint8)
        return result.changed(classes=TWO, objects={**result.objects, "class": classes})

    dock = make_windowless_dock(with_options(core.calls, iter_segment=iter_segment))
    tifffile.imwrite(tmp_path / "slide7.tif", blobs())
    add_picture(dock.viewer, tmp_path / "slide7.tif")
    run(dock)
    yield dock
    for corrected in dock.corrections.layers:
        corrected.close(WAIT)


@pytest.fixture
def corrected(dock):
    (one,) = dock.corrections.layers
    return one


@pytest.fixture
def palette(dock):
    return dock.teach.fix.classes.buttons


def stroke(corrected, at=(50, 50)):
    """With the brush that is in the hand."""
    assert corrected.layer.mode == "paint"
    corrected.layer.paint(at, corrected.layer.selected_label)


def classes_of(corrected):
    """What is learned, from what lies on disk."""
    assert corrected.recorder.flush(WAIT)
    state = read_journal(corrected.recorder.folder)
    return learned(correction_of(state, corrected.image))[0][0]


def test_objects_that_nobody_touched_keep_their_class(corrected, palette):
    assert list(palette) == ["round", "long"]
    assert palette["round"].isChecked()
    corrected.layer.mode = "paint"
    corrected.layer.paint((24, 12), 1)  # one object grows
    classes = classes_of(corrected)
    assert [classes[at] for at in INSIDE.values()] == [1, 2, 1, 2, 1]


def test_a_new_object_has_the_class_in_the_hand(corrected, palette, click):
    click(palette["long"])
    assert palette["long"].isChecked()
    assert not palette["round"].isChecked()
    stroke(corrected)
    corrected.history.undo()
    click(palette["round"])  # the number is free again
    stroke(corrected)
    click(palette["long"])
    stroke(corrected, (10, 50))
    classes = classes_of(corrected)
    assert (classes[50, 50], classes[10, 50]) == (1, 2)
    assert [classes[at] for at in INSIDE.values()] == [1, 2, 1, 2, 1]


def test_an_object_is_given_another_class_and_gets_it_back(corrected, palette, click):
    click(palette["long"])
    fixes.change_class(corrected, [INSIDE[1]])
    assert classes_of(corrected)[INSIDE[1]] == 2
    with pytest.raises(OptionError, match="This is long already"):
        fixes.change_class(corrected, [INSIDE[1]])
    corrected.history.undo()
    assert classes_of(corrected)[INSIDE[1]] == 1
    corrected.history.redo()
    assert classes_of(corrected)[INSIDE[1]] == 2


def colors(corrected, numbers):
    """As they are shown."""
    return [tuple(color) for color in np.round(255 * corrected.layer.colormap.map(np.array(numbers))).astype(int)]


ROUND, LONG = (238, 102, 119, 255), (68, 119, 170, 255)


def test_objects_have_the_color_of_their_class_and_their_numbers(dock, corrected, palette, click, qtbot):
    before = np.array(corrected.labels)
    row = dock.segment.results.box.classes
    assert "round" in row.legend.text()
    qtbot.waitUntil(lambda: colors(corrected, range(1, 4)) == [ROUND, LONG, ROUND], timeout=WAIT * 1000)
    np.testing.assert_array_equal(corrected.labels, before)
    assert not corrected.is_corrected
    click(palette["long"])
    new = corrected.layer.selected_label
    qtbot.waitUntil(lambda: colors(corrected, [new]) == [LONG], timeout=WAIT * 1000)  # before it is painted
    before = corrected.layer.colormap
    for _ in range(2):
        stroke(corrected)
        click(palette["long"])
        qtbot.wait(2 * class_looks.REST)
    assert corrected.layer.colormap is before  # napari takes long to show another
    click(palette["round"])
    fixes.change_class(corrected, [INSIDE[2]])
    click(palette["long"])
    fixes.change_class(corrected, [INSIDE[1]])
    changed = corrected.labels[INSIDE[1]]
    other = corrected.labels[INSIDE[2]]
    qtbot.waitUntil(
        lambda: colors(corrected, [new, changed, other, 3]) == [LONG, LONG, ROUND, ROUND], timeout=WAIT * 1000
    )
    dock.teach.fix.classes.look.box.click()
    assert not row.box.isChecked()
    qtbot.waitUntil(lambda: len(set(colors(corrected, range(3, 6)))) == 3, timeout=WAIT * 1000)  # each its own
    row.box.click()
    assert dock.teach.fix.classes.look.box.isChecked()
    qtbot.waitUntil(lambda: colors(corrected, [3, 4]) == [ROUND, LONG], timeout=WAIT * 1000)


def test_objects_that_are_decided_anew_have_the_colors_of_their_classes(dock, corrected, qtbot):
    qtbot.waitUntil(lambda: colors(corrected, [1, 2]) == [ROUND, LONG], timeout=WAIT * 1000)
    result = dock.segment.results.output.result
    turned = result.changed(objects={**result.objects, "class": 3 - result.objects["class"]})
    fresh = drained(iter_fresh(as_steps(lambda: turned)))
    dock.segment.results.output.write(fresh)
    qtbot.waitUntil(lambda: colors(corrected, [1, 2]) == [LONG, ROUND], timeout=WAIT * 1000)


def test_many_objects_are_colored_without_the_window_waiting(monkeypatch):
    owners = {number: 1 + number % 2 for number in range(1, 5001)}
    made = colors_by_class(TWO, owners, np.int32)
    assert len(made.color_dict) == 2502  # those of the first class need none
    monkeypatch.setattr(class_looks, "find_spec", lambda _: None)
    assert colors_by_class(TWO, {2**16 + 1: 2}, np.int32) is None  # which napari could not show


@pytest.mark.parametrize("output", ["areas"])
def test_areas_have_the_colors_of_their_classes_anyway(dock, corrected):
    assert dock.segment.results.box.classes.isHidden()
    assert dock.teach.fix.classes.look.isHidden()
    assert colors(corrected, [1, 2]) == [ROUND, LONG]


def test_a_part_keeps_the_class_of_the_whole(corrected):
    y, x = INSIDE[2]
    fixes.cut(corrected, [(y - 8, x), (y + 8, x)])
    assert len(np.unique(corrected.labels[y, x - 3 : x + 4])) == 2
    assert (classes_of(corrected)[y, x - 3 : x + 4] == 2).all()


def test_a_class_is_chosen_while_objects_are_clicked(dock, corrected, palette, click):
    click(dock.teach.fix.buttons["class"])
    click(palette["long"])
    assert dock.teach.fix.buttons["class"].isChecked()
    assert corrected.layer.mode == "pan_zoom"
    assert corrected.object_classes.hand == 2


def test_classes_are_there_when_fixes_are_opened_again(dock, corrected, palette, click, open_entry):
    click(palette["long"])
    stroke(corrected)
    classes = classes_of(corrected)
    dock.viewer.layers.remove(corrected.layer)
    assert corrected.recorder.close(WAIT)
    again = open_entry(dock.corrections, Project(corrected.recorder.folder.parent).entries()[0])
    assert list(dock.teach.fix.classes.buttons) == ["round", "long"]
    assert np.array_equal(learned(again.correction())[0][0], classes)


@pytest.mark.parametrize("output", ["areas"])
def test_areas_are_painted_and_changed_to_every_class_added_ones_too(corrected, palette, click):
    third = ClassSpec(value=3, name="bent", color="#228833")
    corrected.add_classes([third])
    click(palette["long"])
    stroke(corrected)
    corrected.take_brush(third.value)
    fixes.change_class(corrected, [INSIDE[1]])
    classes = classes_of(corrected)
    assert (classes[50, 50], classes[INSIDE[1]], classes[INSIDE[2]]) == (2, 3, 1)
