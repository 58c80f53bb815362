"""A napari window with the dock, for benchmarks of what a person feels; napari is imported when it is asked for."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PATIENCE = 1800.0
SHARES = {"median": 0.5, "p95": 0.95, "p99": 0.99}


@contextlib.contextmanager
def opened() -> Iterator[tuple[Any, Any]]:
    """A viewer and its dock, with folders for settings, models and fixes that are never the person's own."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.environ["NAPARI_CONFIG"] = str(Path(folder) / "settings.yaml")
        for name in ("models", "fixes"):
            os.environ[f"NAPARI_UNETSTYLE_{name.upper()}"] = str(Path(folder) / name)
        import napari

        from napari_unetstyle.widgets.main_dock import MainDock

        viewer = napari.Viewer()
        dock = MainDock(viewer)
        viewer.window.add_dock_widget(dock, name="UNet", area="right")
        yield viewer, dock
        viewer.close()


def wait(until: Callable[[], object]) -> None:
    """Let Qt work until something holds."""
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + PATIENCE
    while not until():
        assert time.monotonic() < end, "it took too long"
        QApplication.processEvents()
        time.sleep(0.0005)
