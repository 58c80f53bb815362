"""How long a person waits for the preview, and for the table to follow a stroke of the brush.

    python benchmarks/dock_speed.py [--repeats 7] [--json FILE]

One napari window with the dock. *Preview what is on screen* of a picture of 4096 x 4096 in color, at parts of four
sizes: from the last move of the camera to the outlines on the canvas, the rest of the camera included; the first look,
which also takes the statistics of the whole picture, is a row of its own. And from a stroke on the labels of
1024 x 1024 to the table that has it.

Needs a display; without one, `xvfb-run -a python …`.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from segment_speed import picture
from window import opened, wait

SIDES = (256, 512, 768, 990)  # of what is in sight; more than a million pixels are not previewed
WHOLE, LABELED = 4096, 1024


def waited(begin: Callable[[], object], is_there: Callable[[], object]) -> float:
    """Seconds from `begin` until something is there."""
    start = time.perf_counter()
    begin()
    wait(is_there)
    return time.perf_counter() - start


def preview(viewer: Any, dock: Any, repeats: int) -> Iterator[dict[str, Any]]:
    """Rows of the preview."""
    shown: list[Any] = []
    drawing = dock.segment.preview.drawing
    draw = drawing.show
    drawing.show = lambda what: (draw(what), shown.append(what) if what is not None else None)
    layer = viewer.add_image(picture(WHOLE), rgb=True)
    wait(dock.segment.segment.isEnabled)

    def look(side: int, corner: tuple[int, int]) -> None:
        camera = viewer.scene.camera
        camera.zoom = math.prod(viewer.window._qt_viewer.canvas.size) ** 0.5 / side
        camera.center = tuple(c + WHOLE / 4 for c in corner)
        shown.clear()

    rng = np.random.default_rng(0)
    look(SIDES[0], (100, 100))
    yield {"what": "preview, the first", "seconds": [waited(dock.segment.preview.box.click, lambda: shown)]}
    for side in SIDES:
        corners = [tuple(rng.integers(0, WHOLE / 2, 2).tolist()) for _ in range(repeats)]
        times = [waited(partial(look, side, corner), lambda: shown) for corner in corners]
        yield {"what": f"preview, {side**2 / 1e6:.2f} Mpx in sight", "seconds": times}
    dock.segment.preview.box.click()
    viewer.layers.remove(layer)


def table(viewer: Any, dock: Any, repeats: int) -> Iterator[dict[str, Any]]:
    """The row of the table."""
    viewer.add_image(picture(LABELED), rgb=True)
    wait(dock.segment.segment.isEnabled)
    dock.segment.segment.click()
    wait(lambda: not dock.segment.is_running)
    labels = dock.segment.results.output.layer
    wait(lambda: len(labels.features))
    count = len(labels.features)
    times = []
    for i in range(repeats):
        fresh = int(labels.data.max()) + 1
        index = tuple(np.indices((8, 8)).reshape(2, -1) + np.array([[10 * i], [4]]))
        stroke = partial(labels.data_setitem, index, fresh)
        times.append(waited(stroke, lambda fresh=fresh: fresh in set(labels.features["index"])))
    yield {"what": f"table of {count} objects after a stroke", "seconds": times}


def main() -> None:
    """Read the command line, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = []
    print(f"{'seconds':<40}{'median':>8}{'worst':>8}")
    with opened() as (viewer, dock):
        for part in (preview, table):
            for row in part(viewer, dock, given.repeats):
                rows.append(row)
                times = row["seconds"]
                print(f"{row['what']:<40}{statistics.median(times):>8.2f}{max(times):>8.2f}", flush=True)
    print("goal: under 1 each, but for the first")
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
