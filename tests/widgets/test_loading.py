"""Loading in the background: everything a run needs, and the window goes on meanwhile."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from napari_unetstyle.widgets.main_dock import QUIET
from tests.widgets.fake_core import WAIT

SCRIPT = """
import gc, json, sys, threading, time
from napari_unetstyle.widgets.core_calls import CoreCalls

needed = ("segmentation.segment", "inference.probability")
ticks, is_over = [], threading.Event()
def tick():
    while not is_over.wait(0.002):
        ticks.append(time.perf_counter())
threading.Thread(target=tick, daemon=True).start()

steps, had_torch, begun = CoreCalls().iter_load(), [], []
for _ in steps:
    had_torch.append("torch" in sys.modules)
    begun.append(time.perf_counter())
is_over.set()
libraries = [t for t in ticks if begun[0] < t < begun[-2]]
print(json.dumps({
    "had_torch": had_torch,
    "seconds": begun[-2] - begun[0],
    "ticks": len(libraries),
    "loaded": all(f"napari_unetstyle.core.{name}" in sys.modules for name in needed),
    "collects": gc.isenabled(),
}))
"""


def test_loads_what_a_run_imports_and_holds_up_nobody() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120, check=True)
    said = json.loads(done.stdout)
    assert said["loaded"]
    assert said["collects"]
    *before, last = said["had_torch"]
    assert not any(before)  # libraries come first, and a step can be stopped before torch
    assert last
    if said["seconds"] > 0.2:  # while they were loaded, another thread ran
        assert said["ticks"] > 20


def test_an_open_dock_loads_once(make_dock: Any, core: Any, qtbot: Any) -> None:
    dock = make_dock()
    dock.viewer.window._qt_window.show()
    qtbot.waitUntil(lambda: core.loads == 1, timeout=WAIT * 1000)
    dock.tabs.hide()
    dock.hide()
    dock.show()
    qtbot.wait(2 * QUIET)
    assert core.loads == 1


def test_a_dock_that_is_not_shown_loads_nothing(make_windowless_dock: Any, core: Any, qtbot: Any) -> None:
    make_windowless_dock()
    qtbot.wait(2 * QUIET)
    assert core.loads == 0
