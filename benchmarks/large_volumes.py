"""Volumes that are large for a computer's memory, each segmented in a process of its own, whose peak is read.

``volumes_speed.py`` calls it for its rows ``memory`` and ``ct``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_unetstyle.core import ModelStore, SegmentOptions, read_image, run, segment, write_labels
from napari_unetstyle.core.models.model import Model
from napari_unetstyle.core.models.spec import Card, ClassSpec, InputSpec, ModelSpec, NetworkSpec
from napari_unetstyle.core.networks.unet import UNet

CHUNK = 130
CUBE = 24  # side of what is bright
CHECKED = 40  # side of what is compared


def noise(side: int = CHUNK, seed: int = 0) -> np.ndarray:
    """Blobs without an edge where chunks meet, uint8."""
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(np.random.default_rng(seed).random((side,) * 3), 4, mode="wrap")
    return (60 + 120 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)


def write_volume(folder: Path, side: int) -> None:
    """An OME-Zarr whose chunks are one file under many names, but for three with a bright cube."""
    import zarr

    path = folder / "volume.zarr"
    scale = {"coordinateTransformations": [{"type": "scale", "scale": [1.0] * 3}], "path": "0"}
    axes = [{"name": a, "type": "space", "unit": "micrometer"} for a in "zyx"]
    stated = {"ome": {"version": "0.5", "multiscales": [{"axes": axes, "datasets": [scale]}]}}
    group = zarr.create_group(path, attributes=stated)
    array = group.create_array("0", shape=(side,) * 3, chunks=(CHUNK,) * 3, dtype="u1")
    tile = noise()
    first = tuple(slice(0, min(side, CHUNK)) for _ in range(3))
    array[first] = tile[first]
    stored = path / "0" / "c" / "0" / "0" / "0"
    for index in np.ndindex((-(-side // CHUNK),) * 3):
        name = path.joinpath("0", "c", *map(str, index))
        name.parent.mkdir(parents=True, exist_ok=True)
        if name != stored:
            os.link(stored, name)
    for box in cubes(side):
        array[box] = 255


def cubes(side: int) -> list[tuple[slice, ...]]:
    """Where the bright cubes are: near the first voxel, in the middle, and near the last."""
    starts = (8, side // 2, side - CUBE - 8)
    return [tuple(slice(start, start + CUBE) for _ in range(3)) for start in starts]


def places(side: int) -> list[tuple[slice, ...]]:
    """What is compared: around the cubes, and the corner after 2**31 voxels of a large volume."""
    around = [tuple(slice(max(0, s.start - 8), min(side, s.start - 8 + CHECKED)) for s in box) for box in cubes(side)]
    return [*around, (slice(side - CHECKED, side), slice(0, CHECKED), slice(side // 2, side // 2 + CHECKED))]


def stub_model(root: Path) -> Model:
    """A 3D network of two levels and hardly any channels, with weights that are not trivial."""
    torch.manual_seed(2)
    spec = ModelSpec(
        name="stub",
        network=NetworkSpec(spatial_dims=3, in_channels=1, widths=(2, 2), kernels=((3, 1, 1), (3, 3, 3))),
        input=InputSpec(channels="gray", region=64),
        classes=tuple(ClassSpec(value=i, name=name, color="#e41a1c") for i, name in enumerate(("one", "two"), 1)),
        card=Card(purpose="timing", summary="no model", training_data="none", license="MIT"),
    )
    store = ModelStore(root)
    store.save(spec, UNet(spec.network, spec.out_channels).eval())
    return store.load("stub")


def cubes_road(folder: Path) -> dict[str, Any]:
    """Segment the OME-Zarr, write and compare, and say what it took."""
    from napari_unetstyle.core.segmentation.fitting import iter_fit
    from napari_unetstyle.core.segmentation.memory import predict_memory
    from napari_unetstyle.core.segmentation.segment import iter_preview

    image, model = read_image(folder / "volume.zarr"), stub_model(folder / "models")
    options = SegmentOptions(device="cpu", output="areas")
    with measured() as took:
        forecast, before = predict_memory(image, model, options), held("VmRSS")
        result = segment(image, model, device="cpu", output="areas")
        of_run = held("VmHWM") - before
        write_labels(folder / "labels.zarr", result)
    side, written = len(result.labels), read_image(folder / "labels.zarr").array
    fitted = run(iter_fit(image, model, options))
    for box in places(side):
        alone = run(iter_preview(fitted, (), box))
        same = np.array_equal(alone, result.labels[box]) and np.array_equal(alone, written[box])
        if not same or len(np.unique(alone)) < 2:
            raise SystemExit(f"labels differ at {box}, or say nothing there")
    counts = sum(np.bincount(np.ravel(result.labels[i : i + 8]), minlength=3) for i in range(0, side, 8))
    if counts[1:].tolist() != [int(n) for n in result.objects["area"]]:
        raise SystemExit(f"the table counts {result.objects['area']}, but there are {counts[1:]}")
    return {**took, "voxels": side**3, "forecast_gb": forecast / 2**30, "run_gb": of_run}


def write_scan(folder: Path, slices: int) -> None:
    """A scan of 512 x 512 x `slices` voxels of a millimeter as int16, uncompressed, so that it can be read in parts.

    A body of blobs between fat and bone lies in air that is not quite even.
    """
    import SimpleITK as sitk

    tile, rng = noise(128), np.random.default_rng(1)
    y, x = np.ogrid[-1:1:512j, -1:1:512j]
    is_body = (y / 0.6) ** 2 + (x / 0.85) ** 2 < 1
    pixels = np.empty((slices, 512, 512), np.int16)
    for i, plane in enumerate(pixels):
        body = np.int16(5) * np.tile(tile[i % len(tile)], (4, 4)) - np.int16(400)
        plane[...] = np.where(is_body, body, rng.integers(-1010, -990, body.shape, np.int16))
    sitk.WriteImage(sitk.GetImageFromArray(pixels), str(folder / "scan.nii"))


def scan_road(folder: Path) -> dict[str, Any]:
    """From the file of a scan to one of its labels, with the bundled model of volumes."""
    from napari_unetstyle.core.segmentation.memory import predict_memory

    options = SegmentOptions(device="cpu")
    with measured() as took:
        image, model = read_image(folder / "scan.nii"), ModelStore().load("hippocampus")
        forecast, before = predict_memory(image, model, options), held("VmRSS")
        result = segment(image, model, device="cpu")
        of_run = held("VmHWM") - before
        write_labels(folder / "labels.nii.gz", result)
    return {**took, "voxels": result.labels.size, "forecast_gb": forecast / 2**30, "run_gb": of_run}


ROADS = {"memory": (write_volume, cubes_road), "ct": (write_scan, scan_road)}


def apart(road: str, size: int, threads: int) -> dict[str, Any]:
    """What a road of `ROADS` takes in a process of its own.

    Parameters
    ----------
    road
        Its name.
    size
        Side of the cube, or slices of the scan.
    threads
        Of the network.
    """
    write, _ = ROADS[road]
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), size)
        command = [sys.executable, __file__, road, folder, str(threads)]
        return dict(json.loads(subprocess.check_output(command, text=True).splitlines()[-1]))


@contextmanager
def measured() -> Iterator[dict[str, float]]:
    """What the block takes: wall and processor seconds, and the peak memory of the process so far."""
    took: dict[str, float] = {}
    started, busy = time.perf_counter(), time.process_time()
    yield took
    took["seconds"] = time.perf_counter() - started
    took["cpu_seconds"] = time.process_time() - busy
    took["peak_gb"] = held("VmHWM")


def held(what: str) -> float:
    """Gigabytes (2**30) of main memory: ``VmRSS`` now, ``VmHWM`` at most (`getrusage` would count who called)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what)) / 2**20


def main() -> None:
    """Go a road, and print what it took."""
    road, folder, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    _, go = ROADS[road]
    print(json.dumps(go(Path(folder))))


if __name__ == "__main__":
    main()
