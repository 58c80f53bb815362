"""How large a volume may be: the whole road of a volume that is never whole in memory.

    python benchmarks/volumes_speed.py [--side 1300] [--threads 2] [--only memory] [--json FILE]

memory   side x side x side voxels of a lazy OME-Zarr through a 3D network of hardly any channels, labels to OME-Zarr:
         peak memory of the process and time per voxel. Labels at both ends of the volume, at bright cubes and in the
         middle have to be those of the same places segmented alone, in the result and in the file; the table has to
         count every voxel.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_unetstyle.core import ModelStore, SegmentOptions, read_image, run, segment, write_labels
from napari_unetstyle.core.models.spec import Card, ClassSpec, InputSpec, ModelSpec, NetworkSpec
from napari_unetstyle.core.models.store import Model
from napari_unetstyle.core.networks.unet import UNet

CHUNK = 130
CUBE = 24  # side of what is bright
CHECKED = 40  # side of what is compared


def noise(side: int = CHUNK, seed: int = 0) -> np.ndarray:
    """Blobs without an edge where chunks meet, uint8."""
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(np.random.default_rng(seed).random((side,) * 3), 4, mode="wrap")
    return (60 + 120 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)


def write_volume(folder: Path, side: int) -> Path:
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
    return path


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


def whole_road(folder: Path, side: int) -> dict[str, Any]:
    """Segment, write and compare, and say what it took; meant for a process of its own."""
    from napari_unetstyle.core.segmentation.fitting import iter_fit
    from napari_unetstyle.core.segmentation.segment import iter_preview

    image, model = read_image(folder / "volume.zarr"), stub_model(folder / "models")
    started = time.perf_counter()
    result = segment(image, model, device="cpu", output="areas")
    segmented = time.perf_counter() - started
    write_labels(folder / "labels.zarr", result)
    took = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    written = read_image(folder / "labels.zarr").array
    fitted = run(iter_fit(image, model, SegmentOptions(device="cpu", output="areas")))
    for box in places(side):
        alone = run(iter_preview(fitted, (), box))
        same = np.array_equal(alone, result.labels[box]) and np.array_equal(alone, written[box])
        if not same or len(np.unique(alone)) < 2:
            raise SystemExit(f"labels differ at {box}, or say nothing there")
    counts = sum(np.bincount(np.ravel(result.labels[i : i + 8]), minlength=3) for i in range(0, side, 8))
    if counts[1:].tolist() != [int(n) for n in result.objects["area"]]:
        raise SystemExit(f"the table counts {result.objects['area']}, but there are {counts[1:]}")
    return {"seconds": took, "network_seconds": segmented, "peak_gb": peak, "voxels": side**3}


def apart(side: int, threads: int) -> dict[str, Any]:
    """The whole road in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        write_volume(Path(folder), side)
        command = [sys.executable, __file__, "--alone", folder, "--side", str(side), "--threads", str(threads)]
        return dict(json.loads(subprocess.check_output(command, text=True).splitlines()[-1]))


def memory(options: argparse.Namespace) -> dict[str, Any]:
    """The large volume beside a small one."""
    small, large = (apart(side, options.threads) for side in (min(260, options.side), options.side))
    each = [1e9 * took["seconds"] / took["voxels"] for took in (small, large)]
    print(
        f"{options.side} cubed, {large['voxels']:.3g} voxels ({math.log2(large['voxels']):.1f} bits), lazy, exact: "
        f"peak memory {large['peak_gb']:.2f} GB (goal < 1.5), {large['seconds']:.0f} s, "
        f"{each[1]:.0f} ns per voxel / {each[0]:.0f} at 260 cubed (peak {small['peak_gb']:.2f} GB)",
        flush=True,
    )
    return {"what": "memory", **large, "ns_per_voxel": each[1], "ns_per_voxel_small": each[0]}


def main() -> None:
    """Print the table."""
    parts = {"memory": memory}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=1300)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", default=",".join(parts), help="comma-separated rows")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--alone", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.alone is not None:
        print(json.dumps(whole_road(options.alone, options.side)))
        return
    rows = [parts[part](options) for part in options.only.split(",")]
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
