"""A person paints on a result in a real window, with the mouse and Ctrl+Z."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import QPoint, Qt

from napari_unetstyle.core.annotation.journal_state import read_journal
from napari_unetstyle.widgets.opening import add_picture
from tests.widgets.fake_core import WAIT, blobs


@pytest.mark.screen
def test_a_stroke_with_the_mouse_is_kept_and_taken_back_with_the_keyboard(make_dock, run, qtbot, tmp_path):
    tifffile.imwrite(tmp_path / "slide7.tif", blobs())
    dock = make_dock()
    viewer = dock.viewer
    add_picture(viewer, tmp_path / "slide7.tif")
    run(dock)
    (corrected,) = dock.corrections.layers
    layer = corrected.layer
    layer.mode, layer.selected_label, layer.brush_size = "paint", 77, 6
    canvas = viewer.window._qt_viewer.canvas.native
    viewer.window._qt_window.show()
    qtbot.waitExposed(viewer.window._qt_window)
    middle = QPoint(canvas.width() // 2, canvas.height() // 2)
    before = np.array(corrected.labels)
    qtbot.mousePress(canvas, Qt.MouseButton.LeftButton, pos=middle)
    for i in range(1, 6):
        qtbot.mouseMove(canvas, middle + QPoint(6 * i, 3 * i))
    qtbot.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=middle + QPoint(30, 15))
    qtbot.waitUntil(lambda: corrected.is_corrected)
    assert (corrected.labels == 77).any()
    assert corrected.recorder.flush(WAIT)
    assert np.array_equal(read_journal(corrected.recorder.folder).labels, corrected.labels)
    qtbot.keyClick(canvas, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: np.array_equal(corrected.labels, before))
    assert corrected.recorder.flush(WAIT)
    assert np.array_equal(read_journal(corrected.recorder.folder).labels, before)
    assert corrected.close(WAIT)
