"""Closing napari during a run: at once, and without a crash."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """
import sys, time
import napari, numpy as np
from qtpy.QtCore import QTimer
from napari_unetstyle.core.progress import Progress
from napari_unetstyle.widgets.core_calls import CoreCalls
from napari_unetstyle.widgets.main_dock import MainDock
from tests.widgets.fake_core import FakeStore

def busy(*_):
    matrix = np.ones((1500, 1500))
    for step in range(10**6):
        yield Progress(step, 10**6)
        for _ in range(int(sys.argv[1])):
            matrix @ matrix

viewer = napari.Viewer()
dock = MainDock(viewer, CoreCalls(iter_segment=busy, store=lambda _: FakeStore()))
viewer.window.add_dock_widget(dock)
viewer.add_image(np.zeros((50, 50)))

def close():
    assert dock.segment.is_running == (sys.argv[1] != "0")
    print("closing", time.time(), flush=True)
    viewer.close()

if sys.argv[1] != "0":
    QTimer.singleShot(500, dock.segment.segment.click)
QTimer.singleShot(1500, close)
napari.run()
"""


def seconds_to_close(products: int) -> float:
    """From the wish to close to the end of the process; `products` is how long a step is, 0 for no run at all."""
    code = f"import subprocess, time\ndone = subprocess.run({[sys.executable, '-c', SCRIPT, str(products)]!r})\n"
    code += "print('ended', time.time(), done.returncode)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    words = dict(line.split(maxsplit=1) for line in done.stdout.splitlines() if line.startswith(("closing", "ended")))
    ended, code = words["ended"].split()
    assert code == "0", done.stderr
    return float(ended) - float(words["closing"])


@pytest.fixture(scope="module")
def idle() -> float:
    """What napari itself takes on this machine."""
    return seconds_to_close(0)


@pytest.mark.screen
@pytest.mark.parametrize("products", [pytest.param(1, marks=pytest.mark.long), 10**6])
def test_closing_waits_for_a_run_at_most_a_moment(idle: float, products: int) -> None:
    """With short steps, and with one that would go on for hours."""
    assert seconds_to_close(products) - idle < 2
