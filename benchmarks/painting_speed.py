"""What painting costs more where it is kept: strokes on labels that are corrected beside strokes on others.

    python benchmarks/painting_speed.py [--shape 64,512,512] [--strokes 300] [--json FILE]

One napari window with a random volume and two label layers of its shape, filled with blocks: of one the dock keeps a
journal. A stroke is a dab of the brush at a random place of the slice in sight; what the window does afterwards until
it is up to date is measured by itself, as most of it is drawing. The layers take turns, so that whatever else the
machine does slows both alike, and between two strokes the journal has time to be written, which it is beside the
painting.

Needs a display; without one, `xvfb-run -a python …`.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from window import SHARES, opened

BRUSH, PAUSE, WARM_UP = 20, 0.02, 20


def strokes(viewer: Any, dock: Any, shape: tuple[int, ...], count: int) -> dict[str, list[float]]:
    """Seconds of each stroke, and of what the window does afterwards, by layer."""
    from qtpy.QtWidgets import QApplication

    from napari_unetstyle.core import ModelStore
    from napari_unetstyle.widgets.goal import Goal

    rng = np.random.default_rng(0)
    viewer.add_image(rng.integers(0, 255, shape, np.uint8), name="picture", axis_labels=["z", "y", "x"])
    blocks = np.indices(shape, sparse=True)
    blocks = sum(axis // 16 for axis in blocks) % 3
    others = viewer.add_labels(blocks.astype(np.int32), name="others")
    kept = viewer.add_labels(blocks.astype(np.int32), name="kept")
    viewer.layers.selection.active = kept
    corrected = dock.corrections.by_hand(Goal.improved(ModelStore().load("hippocampus").spec))
    took: dict[str, list[float]] = {"napari": [], "kept": [], "window, napari": [], "window, kept": []}
    for number in range(WARM_UP + count):
        viewer.dims.set_point(0, int(rng.integers(shape[0])))
        place = (int(viewer.dims.point[0]), *(int(rng.integers(n)) for n in shape[1:]))
        for name, layer in (("napari", others), ("kept", kept)) if number % 2 else (("kept", kept), ("napari", others)):
            layer.brush_size = BRUSH
            QApplication.processEvents()
            start = time.perf_counter()
            layer.paint(place, 1 + number % 2)
            painted = time.perf_counter()
            QApplication.processEvents()
            took[name].append(painted - start)
            took[f"window, {name}"].append(time.perf_counter() - painted)
            time.sleep(PAUSE)
    assert corrected.recorder is not None
    assert corrected.recorder.flush(60)
    corrected.close(60)
    return {name: seconds[WARM_UP:] for name, seconds in took.items()}


def main() -> None:
    """Read the command line, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="64,512,512", help="Z,Y,X")
    parser.add_argument("--strokes", type=int, default=300)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with opened() as (viewer, dock):
        took = strokes(viewer, dock, tuple(map(int, given.shape.split(","))), given.strokes)
    print(f"{'milliseconds':<16}" + "".join(f"{share:>10}" for share in SHARES))
    rows = {name: [1000 * float(np.quantile(seconds, q)) for q in SHARES.values()] for name, seconds in took.items()}
    rows["added"] = [kept - own for kept, own in zip(rows["kept"], rows["napari"], strict=True)]
    for name, values in rows.items():
        print(f"{name:<16}" + "".join(f"{value:>10.2f}" for value in values))
    print("goal: at most 5 added at p99")
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
