"""Outlines of what is on screen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_unetstyle.widgets.overlay import outline_mask
from tests.widgets.fake_core import WAIT, blobs

MS = WAIT * 1000


@pytest.fixture
def dock(make_dock: Any) -> Any:
    dock = make_dock()
    dock.viewer.add_image(blobs(), name="slide7", scale=(0.5, 0.5))
    return dock


def drawn(dock: Any) -> Any:
    return dock.segment.preview.drawing.outlines


def test_preview_shows_the_pixels_of_the_run_and_no_layer(dock: Any, run: Any, qtbot: Any) -> None:
    preview = dock.segment.preview
    assert not preview.box.isChecked()
    preview.box.click()
    qtbot.waitUntil(lambda: drawn(dock) is not None, timeout=MS)
    assert len(dock.viewer.layers) == 1
    outlines = drawn(dock)
    run(dock)
    labels = dock.viewer.layers["slide7 nuclei"].data
    (y, x), (height, width) = outlines.origin, outlines.mask.shape
    np.testing.assert_array_equal(outlines.mask, outline_mask(labels)[y : y + height, x : x + width])
    preview.box.click()
    assert drawn(dock) is None


def test_preview_follows_the_camera(dock: Any, core: Any, qtbot: Any) -> None:
    dock.segment.preview.box.click()
    qtbot.waitUntil(lambda: len(core.previews) == 1, timeout=MS)
    dock.viewer.scene.camera.zoom *= 20
    qtbot.waitUntil(lambda: len(core.previews) == 2, timeout=MS)
    (y0, y1), (x0, x1) = core.previews[-1].box
    assert 0 < y0 < y1 < 64
    assert 0 < x0 < x1 < 96


def test_preview_follows_the_size_of_the_window(make_shown_dock: Any, core: Any, qtbot: Any) -> None:
    dock = make_shown_dock(core.calls)
    dock.viewer.add_image(blobs(), name="slide7")
    dock.viewer.scene.camera.zoom *= 6
    dock.segment.preview.box.click()
    qtbot.waitUntil(lambda: len(core.previews) > 0, timeout=MS)
    qtbot.waitUntil(lambda: drawn(dock) is not None, timeout=MS)
    seen = np.ptp(core.previews[-1].box, axis=1)
    dock.viewer.window._qt_window.resize(1600, 1000)
    qtbot.waitUntil(lambda: bool((np.ptp(core.previews[-1].box, axis=1) > seen).any()), timeout=MS)


def test_far_out_it_says_zoom_in(make_dock: Any, core: Any, qtbot: Any) -> None:
    dock = make_dock()
    dock.viewer.add_image(np.zeros((1100, 1000), np.uint8))
    dock.segment.preview.box.click()
    qtbot.waitUntil(lambda: dock.segment.preview.words.text() == "zoom in", timeout=MS)
    assert core.previews == []


def test_a_closed_dock_hears_nothing_more(dock: Any, qtbot: Any) -> None:
    dock.segment.preview.box.click()
    qtbot.waitUntil(lambda: drawn(dock) is not None, timeout=MS)
    viewer, drawing = dock.viewer, dock.segment.preview.drawing
    with qtbot.waitSignal(dock.destroyed, timeout=MS):
        viewer.window.remove_dock_widget(dock)
    assert drawing.outlines is None
    viewer.scene.camera.zoom *= 2
    viewer.layers[0].name = "another"
    viewer.layers.clear()


def test_outline_mask_is_the_inner_edge() -> None:
    labels = np.zeros((7, 8), int)
    labels[1:6, 1:4], labels[1:6, 4:7] = 1, 2
    mask = outline_mask(labels)
    assert not mask[labels == 0].any()
    assert not mask[2:5, 2].any()
    assert mask[2:5, 3].all()
    assert mask[2:5, 4].all()


def test_outlines_of_another_slice_or_of_a_picture_that_is_gone_are_not_drawn(make_dock: Any, qtbot: Any) -> None:
    dock = make_dock()
    dock.viewer.add_image(np.zeros((64, 96), np.uint8), name="flat")
    dock.viewer.add_image(np.stack([blobs()] * 3), name="stack", axis_labels=["z", "y", "x"])
    dock.segment.preview.box.click()
    qtbot.waitUntil(lambda: drawn(dock) is not None, timeout=MS)
    overlay = dock.segment.preview.drawing._overlay
    dock.viewer.dims.set_current_step(0, 2)
    assert drawn(dock) is None
    qtbot.waitUntil(lambda: drawn(dock) is not None, timeout=MS)
    dock.viewer.layers.remove("stack")
    assert drawn(dock) is None
    overlay.repaint()
    dock.viewer.layers.remove("flat")
    overlay.repaint()
