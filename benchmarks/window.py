"""A napari window with the dock, for benchmarks of what a person feels; napari is imported when it is asked for."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
