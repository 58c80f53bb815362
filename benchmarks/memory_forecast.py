"""What a run takes of main memory beside what was foretold, in processes of their own whose peak is read.

    python benchmarks/memory_forecast.py [--threads 1] [--only picture,volume,...] [--json FILE]

The forecast has to be within a fifth. What is taken is the highest memory of the process during the run, without what
it had before: the program, its libraries, the picture and the model.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from large_volumes import held

COLORS, BLOB = 3, 8
OBJECTS = "hippocampus, objects"
SIZED = {"object_diameter": 24.0}  # found out from the picture it could be any
CASES: dict[str, tuple[str, str, tuple[int, ...], dict[str, Any]]] = {
    "tiny picture": ("nuclei", "YXC", (128, 128, 3), SIZED),
    "small picture": ("nuclei", "YXC", (256, 256, 3), SIZED),
    "usual picture": ("nuclei", "YXC", (512, 512, 3), SIZED),
    "small areas": ("axon-myelin", "YX", (256, 256), {}),
    "usual areas": ("axon-myelin", "YX", (512, 512), {}),
    "areas along all planes": ("axon-myelin", "ZYX", (60, 200, 200), {"plane": "all"}),
    "crop": ("hippocampus", "ZYX", (35, 51, 35), {}),
    "small volume": ("hippocampus", "ZYX", (64, 64, 64), {}),
    "picture": ("nuclei", "YXC", (1024, 1024, 3), {}),
    "large picture": ("nuclei", "YXC", (2048, 2048, 3), {}),
    "areas": ("axon-myelin", "YX", (1500, 1500), {}),
    "flipped": ("axon-myelin", "YX", (1024, 1024), {"flip": True}),
    "slices": ("nuclei", "ZYX", (40, 256, 256), SIZED),
    "linked": ("nuclei", "ZYX", (40, 256, 256), SIZED | {"link": True}),
    "along ZX": ("nuclei", "ZYX", (40, 256, 256), SIZED | {"plane": "ZX"}),
    "all planes": ("nuclei", "ZYX", (40, 256, 256), SIZED | {"plane": "all"}),
    "volume": ("hippocampus", "ZYX", (96, 128, 128), {}),
    "wide volume": ("hippocampus", "ZYX", (32, 384, 384), {}),
    "flipped volume": ("hippocampus", "ZYX", (32, 80, 80), {"flip": True}),
    "objects of a volume": (OBJECTS, "ZYX", (96, 128, 128), {}),
}


def blobs(shape: tuple[int, ...]) -> np.ndarray:
    """Smooth noise, uint8; the last axis may be colors."""
    from scipy.ndimage import zoom

    steps = [1 if n <= COLORS else BLOB for n in shape]
    coarse = np.random.default_rng(0).integers(0, 256, [-(-n // step) for n, step in zip(shape, steps, strict=True)])
    return zoom(coarse.astype(np.uint8), steps, order=1)[tuple(slice(0, n) for n in shape)]


def load(name: str) -> Any:
    """A model by its name; of volumes no model tells objects apart, so one takes its classes for their depth."""
    import torch

    from napari_unetstyle.core import ModelStore
    from napari_unetstyle.core.networks.unet import UNet

    model = ModelStore().load(name.split(",")[0])
    if name != OBJECTS:
        return model
    spec, weights = model.spec.model_copy(update={"name": "objects", "separation": "depth"}), model.network.state_dict()
    for key in ("head.weight", "head.bias"):
        values = weights[key]
        weights[key] = torch.cat([values, (values[1:2] - values[:1]) / 4])
    network = UNet(spec.network, spec.out_channels)
    network.load_state_dict(weights)
    with tempfile.TemporaryDirectory() as folder:
        store = ModelStore(folder)
        store.save(spec, network)
        other = store.load(spec.name)
        _ = other.network  # read, before the folder goes
    return other


def go(case: str, threads: int) -> dict[str, float]:
    """Run a case in this process."""
    import torch
    from scipy import sparse  # noqa: F401 (libraries that come with the first run are not of this one)

    from napari_unetstyle.core import SegmentOptions, as_image, segment
    from napari_unetstyle.core.segmentation.memory import predict_memory

    torch.set_num_threads(threads)
    name, axes, shape, more = CASES[case]
    spacing, unit = ((1.0,) * 3, "mm") if "Z" in axes else ((0.5, 0.5), "um")
    image, model = as_image(blobs(shape), axes=axes, spacing=spacing, unit=unit), load(name)
    options: dict[str, Any] = {"device": "cpu", "amp": False} | more
    foretold, before = predict_memory(image, model, SegmentOptions(**options)) / 2**30, held("VmRSS")
    segment(image, model, **options)
    return {"foretold_gb": foretold, "taken_gb": held("VmHWM") - before}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", default=",".join(CASES), help="comma-separated cases")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone is not None:
        print(json.dumps(go(options.alone, options.threads)))
        return
    rows = []
    for case in options.only.split(","):
        command = [sys.executable, __file__, "--alone", case, "--threads", str(options.threads)]
        took = json.loads(subprocess.check_output(command, text=True).splitlines()[-1])
        name, _, shape, _ = CASES[case]
        ratio = took["foretold_gb"] / took["taken_gb"]
        what = f"{case}: {name} on {' x '.join(map(str, shape))}"
        print(
            f"{what:<52} foretold {took['foretold_gb']:5.2f} GB, taken {took['taken_gb']:5.2f} GB, ratio {ratio:4.2f}",
            flush=True,
        )
        rows.append({"case": case, **took, "ratio": ratio})
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
