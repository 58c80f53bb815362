"""How late napari's window is while a model is taught: a timer that is due every ten milliseconds.

    python benchmarks/window_while_teaching.py [--minutes 1] [--json FILE]

One napari window with the dock and a sample picture: it is segmented, painted on once, called right, and the bundled
model is taught with it by the button of the tab *Teach*. From then until the comparison is there, a timer notes how
much later it comes than it was due, beside the same timer in the window at rest.

Needs a display; without one, `xvfb-run -a python …`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from window import SHARES, opened, wait

DUE, REST = 0.010, 20.0
UP_TO_WORST = SHARES | {"worst": 1.0}


def lateness(dock: Any, minutes: float) -> dict[str, list[float]]:
    """Seconds that the timer was late, at rest and while teaching."""
    from qtpy.QtCore import Qt, QTimer

    from napari_unetstyle._sample_data import sample_folder

    def late(until: Callable[[], object]) -> list[float]:
        ticks: list[float] = []
        timer = QTimer()
        timer.setTimerType(Qt.TimerType.PreciseTimer)
        timer.timeout.connect(lambda: ticks.append(time.perf_counter()))
        timer.start(round(1000 * DUE))
        wait(until)
        timer.stop()
        return np.maximum(0, np.diff(ticks) - DUE).tolist()

    dock.segment.empty.add(sample_folder() / "nuclei-fluorescence.tif")
    wait(lambda: dock.segment.segment.isEnabled())
    dock.segment.segment.click()
    wait(lambda: not dock.segment.is_running)
    dock.tabs.setCurrentWidget(dock.teach)
    corrected = dock.corrections.active
    assert corrected is not None
    corrected.layer.data_setitem((np.array([3, 3]), np.array([4, 5])), 1)
    dock.teach.learns.yes.click()
    start = time.monotonic()
    found = {"at rest": late(lambda: time.monotonic() - start > REST)}
    run = dock.teach.run
    run.minutes.setValue(minutes)
    run.teach.click()
    found["teaching"] = late(lambda: not run.is_running)
    return found


def main() -> None:
    """Read the command line, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with opened() as (_, dock):
        found = lateness(dock, given.minutes)
    rows = {
        name: {key: 1000 * float(np.quantile(late, q)) for key, q in UP_TO_WORST.items()}
        for name, late in found.items()
    }
    print(f"{'ms late':<12}{'ticks':>8}" + "".join(f"{key:>10}" for key in UP_TO_WORST))
    for name, row in rows.items():
        print(f"{name:<12}{len(found[name]):>8}" + "".join(f"{value:>10.1f}" for value in row.values()))
    print("goal: under 100 at p99")
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
