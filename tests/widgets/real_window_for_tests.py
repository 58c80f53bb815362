"""A real napari with the dock, as a process: segments, paints, teaches and uses what comes of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
from qtpy.QtWidgets import QApplication

from napari_unetstyle.widgets.main_dock import MainDock
from napari_unetstyle.widgets.opening import add_picture

STROKES = 20
PATIENCE = 400  # seconds for one step


def stroke(which: int, number: int) -> tuple[tuple[int, int], int]:
    """The pixel and the label of a stroke of the window 0 or 1: each has its own."""
    return (3, 4 * number + 2 * which), 1000 + 2 * number + which


def wait(until: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not until():
        assert time.monotonic() < end, "nothing came of it"
        QApplication.processEvents()
        time.sleep(0.005)


def main(which: int, picture: Path) -> None:
    viewer = napari.Viewer()
    dock = MainDock(viewer)
    viewer.window.add_dock_widget(dock)
    dock.models.refresh()
    add_picture(viewer, picture)
    models, run = dock.segment.model.models, dock.teach.run
    models.setCurrentIndex(models.findData("tiny@1"))
    wait(dock.segment.segment.isEnabled)
    dock.segment.segment.click()
    wait(lambda: not dock.segment.is_running)
    corrected = dock.corrections.layers[-1]
    dock.tabs.setCurrentIndex(1)
    corrected.layer.brush_size = 1
    for number in range(STROKES):
        corrected.layer.paint(*stroke(which, number))
        QApplication.processEvents()
    corrected.accept((), np.ones(corrected.accepted.shape, bool))
    dock.teach.learns.refresh()
    wait(lambda: dock.teach.learns.lessons)
    run.minutes.setValue(0.1)
    wait(run.teach.isEnabled)
    run.teach.click()
    wait(lambda: not run.is_running)
    if not run.doubts.isHidden():
        run.teach.click()
        wait(lambda: not run.is_running)
    assert not run.box.isHidden(), run.message.text
    if not run.box.use.isHidden():
        run.use()
        wait(lambda: not run.is_running)
    assert all(one.recorder is None or one.recorder.flush(PATIENCE) for one in dock.corrections.layers)
    sys.stdout.write(models.currentData())
    viewer.close()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
