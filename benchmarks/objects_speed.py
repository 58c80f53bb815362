"""From probability bytes to objects, beside scikit-image's label + watershed on the whole array.

    python benchmarks/objects_speed.py [--repeats 5] [--only objects,dense,small,tables,huge] [--json FILE]

Nuclei that touch are drawn by this script: probability bytes as a network gives them. Rows are medians of runs in
turn; the objects must match one to one at IoU 0.99, whatever the band.

objects  4096 x 4096 with 10,000 nuclei
dense    2048 x 2048 at foreground threshold 0.05: one component with 2,500 seeds
small    1024 x 1024, what a slider in the dock asks for: objects and areas
tables   a row of measurements for each of 2,500 nuclei, beside scikit-image's regionprops_table
huge     16384 x 16384 with 160,000 nuclei, arrays on disk: time per pixel and peak memory
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import ndimage
from skimage.measure import label, regionprops_table
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import watershed
from timing import interleaved

from napari_unetstyle.core import scratch
from napari_unetstyle.core.imaging.image import as_image
from napari_unetstyle.core.progress import run
from napari_unetstyle.core.segmentation.measure import measure
from napari_unetstyle.core.segmentation.objects import iter_objects, objects
from napari_unetstyle.core.segmentation.postprocessing import areas
from napari_unetstyle.core.segmentation.relief import LEVELS, relief

RISE = 4  # levels of the relief
PITCH = 40.96  # pixels between nuclei: 10,000 of them at 4096


def nuclei(side: int, seed: int = 0) -> np.ndarray:
    """Bytes (3, side, side) of ellipses on a shaken lattice, most of them touching: background, nucleus, seeds."""
    rng = np.random.default_rng(seed)
    nucleus, seeds = np.zeros((2, side, side), np.float32)
    per_side = round(side / PITCH)
    for row, column in np.ndindex(per_side, per_side):
        y, x = (np.array([row, column]) + 0.5) * side / per_side + rng.uniform(-5, 5, 2)
        radius, stretch, angle = rng.uniform(13, 21), rng.uniform(0.75, 1), rng.uniform(0, np.pi)
        top, left = (max(0, int(c - 2 * radius)) for c in (y, x))
        box = slice(top, int(y + 2 * radius)), slice(left, int(x + 2 * radius))
        yy, xx = np.ogrid[top : top + nucleus[box].shape[0], left : left + nucleus[box].shape[1]]
        u = (yy - y) * np.cos(angle) + (xx - x) * np.sin(angle)
        v = (xx - x) * np.cos(angle) - (yy - y) * np.sin(angle)
        distance = np.hypot(u * stretch, v / stretch) / radius
        new = 1 / (1 + np.exp(12 * (distance - 1)))
        overlap = np.minimum(nucleus[box], new)
        seeds[box] = np.maximum(seeds[box], np.clip(1.3 - distance, 0, 1)) * (1 - overlap)
        nucleus[box] = np.maximum(nucleus[box], new)
    foreground = np.rint(255 * nucleus).astype(np.uint8)
    noise = rng.integers(-6, 7, seeds.shape)
    seed_bytes = np.clip(np.rint(255 * seeds) + noise, 0, 255).astype(np.uint8)
    return np.stack([255 - foreground, foreground, seed_bytes])


def whole_array(values: np.ndarray, threshold: int = 128) -> np.ndarray:
    """The same with scikit-image on the whole picture: tops of the relief (h-maxima), labeled, and flooded."""
    inside = 255 - values[0] >= threshold
    depth = relief(inside, values[2]).astype(np.int16)
    height = np.where(inside, np.maximum(depth - LEVELS, 0), 0)
    faces = ndimage.generate_binary_structure(2, 1)
    tops = local_maxima(reconstruction(np.maximum(height - RISE, 0), height, footprint=faces), connectivity=1)
    seeds = label(tops & inside, connectivity=1)
    ranks = np.linspace(0, 1, seeds.size + 2)[1:-1].reshape(seeds.shape)  # equal seeds begin in raster order
    return watershed(np.where(seeds > 0, -1 - depth + ranks, -depth), seeds, mask=inside)


def matched(ours: np.ndarray, theirs: np.ndarray, iou: float = 0.99) -> int:
    """Number of objects that correspond one to one at `iou` or more."""
    pairs, common = np.unique(np.stack([ours.ravel(), theirs.ravel()]), axis=1, return_counts=True)
    one, other = np.bincount(ours.ravel()), np.bincount(theirs.ravel())
    both = (pairs > 0).all(axis=0)
    union = one[pairs[0]] + other[pairs[1]] - common
    return int((common[both] >= iou * union[both]).sum())


def row(what: str, ours: float, theirs: float | None, more: str) -> dict[str, object]:
    """Print a line of the table and return it."""
    beside = f"{1e3 * theirs:9.0f} ms {theirs / ours:7.1f} x" if theirs else f"{'':>21}"
    print(f"{what:<34} {1e3 * ours:9.0f} ms {beside}   {more}", flush=True)
    return {"what": what, "ours": ours, "theirs": theirs, "more": more}


def compare_objects(repeats: int) -> list[dict[str, object]]:
    """The main comparison."""
    values = nuclei(4096)
    times = interleaved({"ours": lambda: objects(values), "theirs": lambda: whole_array(values)}, repeats, warm_up=1)
    labels, theirs = objects(values)[0], whole_array(values)
    count = len(np.unique(theirs)) - 1
    same = f"{matched(labels, theirs)} of {count} the same (ours: {labels.max()}); goal: no slower, all the same"
    rows = [row("objects, 4096 x 4096", times["ours"], times["theirs"], same)]
    for band in (32, 333, 4096):
        out = np.empty_like(labels)
        start = time.perf_counter()
        run(iter_objects(values, out, foreground_threshold=0.5, band=band))
        equal = "identical" if np.array_equal(out, labels) else "DIFFERENT"
        rows.append(row(f"   in bands of {band} rows", time.perf_counter() - start, None, equal))
    return rows


def compare_dense(repeats: int) -> list[dict[str, object]]:
    """Everything hangs together, so everything is flooded."""
    values, out = nuclei(2048), np.empty((2048, 2048), np.int32)

    def ours() -> object:
        return run(iter_objects(values, out, foreground_threshold=0.05, band=128))

    times = interleaved({"ours": ours, "theirs": lambda: whole_array(values, 13)}, repeats, warm_up=1)
    theirs = whole_array(values, 13)
    same = f"{matched(out, theirs)} of {len(np.unique(theirs)) - 1} the same, in bands of 128 rows"
    return [row("objects, 2048 x 2048, dense", times["ours"], times["theirs"], same)]


def compare_small(repeats: int) -> list[dict[str, object]]:
    """What follows a slider."""
    values = nuclei(1024)
    jobs: dict[str, Callable[[], object]] = {
        "objects": lambda: objects(values, min_pixels=50),
        "theirs": lambda: whole_array(values),
        "areas": lambda: areas(values[:2], min_pixels=50),
    }
    times = interleaved(jobs, repeats, warm_up=1)
    return [
        row("objects, 1024 x 1024", times["objects"], times["theirs"], "goal: 300 ms"),
        row("areas, 1024 x 1024", times["areas"], None, "goal: 100 ms"),
    ]


def compare_tables(repeats: int) -> list[dict[str, object]]:
    """Measurements of all objects, and of three that a person painted."""
    values = nuclei(2048)
    labels, _ = objects(values)
    image = as_image(np.moveaxis(values, 0, -1), axes="YXC", spacing=(0.5, 0.5))
    properties = "area bbox centroid perimeter equivalent_diameter_area eccentricity orientation solidity "
    properties += "axis_major_length axis_minor_length intensity_mean intensity_std intensity_min intensity_max"
    jobs: dict[str, Callable[[], object]] = {
        "ours": lambda: measure(labels, image),
        "theirs": lambda: regionprops_table(labels, image.array, properties=properties.split()),
        "only": lambda: measure(labels, image, only=[10, 20, 30]),
    }
    times = interleaved(jobs, repeats, warm_up=1)
    return [
        row(f"table of {labels.max()}, 2048 x 2048", times["ours"], times["theirs"], "goal: 1000 ms"),
        row("   of three of them", times["only"], None, ""),
    ]


def compare_huge(repeats: int) -> list[dict[str, object]]:
    """Larger than memory, in a process of its own."""
    program = [sys.executable, __file__, "--only", "huge-inside"]
    seconds, small, memory, count = map(float, subprocess.check_output(program, text=True).split()[-4:])
    more = f"{int(count)} objects, {seconds / 16 / small:.2f} of the time per pixel at 4096; peak {memory:.2f} GB"
    return [row("objects, 16384 x 16384 on disk", seconds, None, more)]


def huge_inside(_: int) -> list[dict[str, object]]:
    """Print seconds at 16384 and 4096, the peak of the process's own memory in GB beyond the start, objects."""
    tile = nuclei(4096)
    values = scratch.zeros((3, 16384, 16384), np.uint8)
    for y, x in np.ndindex(4, 4):
        values[:, y * 4096 : (y + 1) * 4096, x * 4096 : (x + 1) * 4096] = tile
    labels = scratch.zeros((16384, 16384), np.int32)
    small = interleaved({"small": lambda: objects(tile)}, 3, warm_up=1)["small"]
    scratch.release(values)
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    start = time.perf_counter()
    steps = iter_objects(values, labels, foreground_threshold=0.5)
    count = len(run(scratch.releasing(steps, values, labels)))
    print(time.perf_counter() - start, small, resident("VmHWM") - before, count)
    return []


def resident(kind: str) -> float:
    """GB of memory of this process (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(kind)).split()[1]) / 2**20


COMPARISONS = {
    "objects": compare_objects,
    "dense": compare_dense,
    "small": compare_small,
    "tables": compare_tables,
    "huge": compare_huge,
}


def main() -> None:
    """Run what is asked for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", default=",".join(COMPARISONS))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.only == "huge-inside":
        huge_inside(1)
        return
    print(f"{'what':<34} {'ours':>12} {'scikit-image':>12} {'faster':>9}   (medians of {options.repeats})")
    rows = [line for name in options.only.split(",") for line in COMPARISONS[name](options.repeats)]
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
