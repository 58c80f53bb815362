"""The brush that changes only what looks alike, on pictures of all kinds; and areas that become another class."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from napari.utils.interactions import mouse_move_callbacks, mouse_press_callbacks, mouse_release_callbacks

from napari_unetstyle.core.models.spec import ClassSpec
from tests.widgets.fake_core import WAIT, blobs, with_options

CLASSES = tuple(ClassSpec(value=i, name=n, color=c) for i, n, c in ((1, "axon", "#4daf4a"), (2, "myelin", "#e41a1c")))


def colors():
    """Bright squares; the left half of the rest is red, and no darker than the right half."""
    gray = blobs()
    red = np.where((np.indices(gray.shape)[1] < 48) & (gray < 20), 200, gray)
    return np.stack([red, gray, gray], axis=-1).astype(np.uint8)


def drag(layer, *places):
    """A stroke with the left button through places of the layer's data."""
    event = SimpleNamespace(
        button=1, view_direction=None, dims_displayed=[0, 1], dims_point=[0, 0], modifiers=(), pos=(0, 0)
    )
    kinds = ["mouse_press", *["mouse_move"] * (len(places) - 2), "mouse_release"]
    callbacks = [mouse_press_callbacks, *[mouse_move_callbacks] * (len(places) - 2), mouse_release_callbacks]
    for kind, call, place in zip(kinds, callbacks, places, strict=True):
        event.type, event.position, event.is_dragging = kind, place, kind == "mouse_move"
        call(layer, event)


def opened(make_windowless_dock, run, qtbot, tick, **arguments):
    dock = make_windowless_dock()
    dock.viewer.add_image(**arguments)
    run(dock)
    dock.tabs.setCurrentIndex(1)
    tick(dock.teach.fix.brush.box)
    (corrected,) = dock.corrections.layers
    corrected.layer.mode, corrected.layer.selected_label, corrected.layer.brush_size = "paint", 77, 24
    return dock, corrected


PICTURES = {
    "color": ({"data": colors(), "rgb": True}, ()),
    "channels first": ({"data": np.moveaxis(colors(), -1, 0), "axis_labels": ("c", "y", "x")}, ()),
    "channels inside": (
        {"data": np.repeat(np.moveaxis(colors(), -1, 0)[None], 2, axis=0), "axis_labels": ("t", "c", "y", "x")},
        (1, 0),
    ),
}


@pytest.mark.parametrize(("arguments", "leading"), PICTURES.values(), ids=PICTURES.keys())
def test_all_channels_have_to_look_alike(make_windowless_dock, run, qtbot, tick, arguments, leading):
    dock, corrected = opened(make_windowless_dock, run, qtbot, tick, **arguments)
    dock.viewer.dims.set_current_step(0, 1)
    layer = corrected.layer
    more = (0,) * (dock.viewer.dims.ndim - layer.ndim)
    drag(layer, *((*more, *leading, 45, x) for x in (40, 46, 52, 52)))
    painted = np.asarray(layer.data[leading]) == 77
    assert painted.any()
    assert not painted[:, 48:].any()  # as bright in two of three channels
    layer.undo()
    dock.teach.fix.close_down()
    drag(layer, *((*more, *leading, 45, x) for x in (40, 46, 52, 52)))
    assert (np.asarray(layer.data[leading])[:, 48:] == 77).any()
    assert corrected.close(WAIT)


@pytest.mark.parametrize("start", [(-2, 10), (30, -3), (66, 10), (30, 97)])
def test_a_stroke_that_begins_beside_the_picture_goes_by_what_is_nearest(make_windowless_dock, run, qtbot, tick, start):
    picture = np.full((64, 96), 40, np.uint8)
    picture[4:60, 4:92] = 200  # inside a dark frame
    _, corrected = opened(make_windowless_dock, run, qtbot, tick, data=picture)
    layer = corrected.layer
    drag(layer, start, start, start)
    painted = np.asarray(layer.data) == 77
    assert painted.any()
    assert not painted[4:60, 4:92].any()
    assert corrected.close(WAIT)


def stack(make_windowless_dock, run):
    dock = make_windowless_dock()
    dock.viewer.add_image(np.stack([blobs()] * 6), name="stack", axis_labels=["z", "y", "x"])
    run(dock)
    dock.tabs.setCurrentIndex(1)
    (corrected,) = dock.corrections.layers
    return dock, corrected, np.array(corrected.labels)


@pytest.mark.parametrize("tool", ["right", "nothing", "split"])
def test_what_a_drag_marks_is_in_rows_and_columns_that_are_seen(make_windowless_dock, run, click, tool):
    dock, corrected, before = stack(make_windowless_dock, run)
    dock.viewer.dims.order = (1, 0, 2)
    fix = dock.teach.fix
    click(fix.buttons[tool])
    drag(corrected.layer, (1, 24, 5), (3, 24, 20), (4, 24, 60))
    assert "Roll the axes back" in fix.message.text
    assert np.array_equal(corrected.labels, before)
    assert not corrected.is_corrected
    dock.viewer.dims.order = (0, 2, 1)  # turned, but the same slices
    drag(corrected.layer, (1, 15, 5), (1, 20, 20), (1, 30, 60))
    assert not fix.message.text
    assert corrected.is_corrected
    assert corrected.close(WAIT)


def test_a_click_needs_labels_that_are_seen_in_slices(make_windowless_dock, run, click):
    dock, corrected, before = stack(make_windowless_dock, run)
    fix, place = dock.teach.fix, (2, 24, 10)
    click(fix.buttons["delete"])
    dock.viewer.dims.ndisplay = 3
    drag(corrected.layer, place, place)
    assert "slices (2D)" in fix.message.text
    click(fix.buttons["delete"])
    click(fix.buttons["delete"])
    assert not fix.buttons["delete"].isChecked()
    dock.viewer.dims.ndisplay = 2
    corrected.layer.visible = False
    click(fix.buttons["delete"])
    assert corrected.layer.visible
    corrected.layer.visible = False
    drag(corrected.layer, place, place)
    assert "hidden" in fix.message.text
    assert np.array_equal(corrected.labels, before)
    corrected.layer.visible = True
    drag(corrected.layer, place, place)
    assert not fix.message.text
    assert corrected.labels[place] == 0 != before[place]
    assert corrected.close(WAIT)


def test_the_original_and_a_tool_are_not_on_at_once(make_windowless_dock, run, click):
    dock, corrected, _ = stack(make_windowless_dock, run)
    fix = dock.teach.fix
    click(fix.buttons["delete"])
    drag(corrected.layer, (2, 24, 10), (2, 24, 10))
    click(fix.original)
    assert not fix.buttons["delete"].isChecked()
    click(fix.buttons["right"])
    assert not corrected.shown_original.is_on
    assert corrected.layer.visible
    assert corrected.close(WAIT)


def test_an_area_becomes_the_class_that_the_brush_paints(make_windowless_dock, core, run, click, qtbot):
    def iter_segment(*given):
        result = yield from type(core).iter_segment(core, *given)
        return result.changed(classes=CLASSES)

    dock = make_windowless_dock(with_options(core.calls, iter_segment=iter_segment))
    dock.viewer.add_image(blobs())
    models = dock.segment.model.models
    models.setCurrentIndex(models.findData("areas-only@1"))
    run(dock)
    (corrected,) = dock.corrections.layers
    fix, before = dock.teach.fix, np.array(corrected.labels)
    assert not fix.buttons["class"].isHidden()
    assert fix.buttons["split"].isHidden()
    corrected.layer.selected_label = 2
    click(fix.buttons["class"])
    drag(corrected.layer, (24, 10), (24, 10))
    square = np.zeros(before.shape, bool)
    square[20:28, 6:14] = True
    assert np.array_equal(corrected.labels, np.where(square, 2, before))
    drag(corrected.layer, (24, 10), (24, 10))
    assert "myelin already" in fix.message.text
    corrected.layer.selected_label = 3
    drag(corrected.layer, (24, 26), (24, 26))
    assert "1 axon, 2 myelin" in fix.message.text
    click(fix.undo)
    assert np.array_equal(corrected.labels, before)
    assert corrected.close(WAIT)
