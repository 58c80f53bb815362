"""How fast and how large volumes are: beside the limit of the machine, beside peers, and never whole in memory.

    python benchmarks/volumes_speed.py [--side 1300] [--threads 2] [--only bare,monai,...] [--json FILE]

bare     whole call on a volume beside one pass of the folded network over the whole of it
monai    MONAI sliding_window_inference, 64 cubed, overlap 0.5, Gaussian, InstanceNorm as PyTorch has it, / whole call
dicom    reading a series of 300 slices of 512 x 512 int16 / SimpleITK's ImageSeriesReader
nifti    writing labels of 300 x 512 x 512 as .nii.gz / SimpleITK
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
from timing import interleaved

from napari_unetstyle.core import Geometry, Image, ModelStore, SegmentOptions, read_image, run, segment, write_labels
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


def row(what: str, ours: float, other: float, ratio: float, goal: str) -> dict[str, Any]:
    """Print a row, and keep it."""
    print(f"{what:<66} {ours:8.2f} s {other:8.2f} s {ratio:7.2f}   goal {goal}", flush=True)
    return {"what": what, "ours_s": ours, "other_s": other, "ratio": ratio, "goal": goal}


def cube(options: argparse.Namespace) -> tuple[Image, Model, torch.Tensor]:
    """A volume of millimeter voxels, the model of volumes that is bundled, and the volume as its network sees it."""
    pixels = np.tile(noise(), (2, 2, 2))[tuple([slice(0, options.cube)] * 3)].astype(np.int16)
    geometry = Geometry(spacing=(1.0, 1.0, 1.0), unit="mm")
    x = torch.from_numpy(pixels).float()[None, None]
    model = ModelStore().load(options.model)
    return Image(array=pixels, axes="ZYX", geometry=geometry), model, (x - x.mean()) / x.std()


def bare(options: argparse.Namespace) -> dict[str, Any]:
    """The whole call beside one fused pass over everything at once."""
    from napari_unetstyle.core.inference.probability import Engine
    from napari_unetstyle.core.inference.statistics import fold

    image, model, x = cube(options)
    folded = fold(model.network, x[..., :48, :48, :48])
    network = Engine(device=torch.device("cpu"), dims=3).network(folded)

    def peer() -> None:
        with torch.inference_mode():
            network(x)

    times = interleaved({"ours": lambda: segment(image, model, device="cpu"), "bare": peer}, options.repeats)
    what = f"{options.cube} cubed: whole call / bare fused pass of everything at once"
    return row(what, times["ours"], times["bare"], times["ours"] / times["bare"], "<= 1.3")


def monai(options: argparse.Namespace) -> dict[str, Any]:
    """The peer's usual way to run a 3D network."""
    from monai.inferers import sliding_window_inference

    image, model, x = cube(options)
    network = model.network.train().requires_grad_(False)  # each window its own statistics, by PyTorch's fast kernel

    def peer() -> None:
        with torch.inference_mode():
            sliding_window_inference(x, (64, 64, 64), 1, network, overlap=0.5, mode="gaussian").argmax(1)

    ours = ModelStore().load(options.model)
    times = interleaved({"ours": lambda: segment(image, ours, device="cpu"), "peer": peer}, options.repeats)
    what = f"{options.cube} cubed: MONAI sliding window 64, overlap 0.5 / whole call"
    return row(what, times["ours"], times["peer"], times["peer"] / times["ours"], ">= 5")


def dicom(options: argparse.Namespace) -> dict[str, Any]:
    """Reading a series."""
    import SimpleITK as sitk

    with tempfile.TemporaryDirectory() as folder:
        write_series(Path(folder))

        def ours() -> None:
            np.asarray(read_image(folder).array[...])

        def peer() -> None:
            reader = sitk.ImageSeriesReader()
            reader.SetFileNames(reader.GetGDCMSeriesFileNames(folder))
            sitk.GetArrayFromImage(reader.Execute())

        times = interleaved({"ours": ours, "peer": peer}, options.repeats, warm_up=1)
    what = "DICOM series, 300 x 512 x 512 int16: ours / SimpleITK's series reader"
    return row(what, times["ours"], times["peer"], times["ours"] / times["peer"], "<= 1")


def write_series(folder: Path, slices: int = 300, side: int = 512) -> None:
    """A CT of noise, one file a slice."""
    import SimpleITK as sitk

    rng = np.random.default_rng(0)
    series, study = (f"1.2.826.0.1.3680043.8.498.{n}" for n in (1, 2))
    tags = {
        "0008|0016": "1.2.840.10008.5.1.4.1.1.2",
        "0008|0060": "CT",
        "0020|000d": study,
        "0020|000e": series,
        "0020|0052": f"{study}.1",
        "0020|0037": "1\\0\\0\\0\\1\\0",
        "0028|1052": "-1024",
        "0028|1053": "1",
    }
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for index in range(slices):
        pixels = sitk.GetImageFromArray(rng.integers(-1000, 1500, (1, side, side), dtype=np.int16))
        pixels.SetSpacing((0.7, 0.7, 1.0))
        place = {"0020|0032": f"0\\0\\{index}", "0020|0013": str(index + 1), "0008|0018": f"{series}.{index + 1}"}
        for tag, value in (tags | place).items():
            pixels.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{index:04}.dcm"))
        writer.Execute(pixels)


def nifti(options: argparse.Namespace) -> dict[str, Any]:
    """Writing labels."""
    import SimpleITK as sitk

    smooth = np.tile(noise(), (3, 4, 4))[:300, :512, :512]
    labels = (smooth > 130).astype(np.uint8) + (smooth > 150)
    place = Geometry(spacing=(1.0, 0.7, 0.7), unit="mm")
    with tempfile.TemporaryDirectory() as folder:
        image = sitk.GetImageFromArray(labels)

        def peer() -> None:
            sitk.WriteImage(image, f"{folder}/theirs.nii.gz", useCompression=True)

        jobs = {"ours": lambda: write_labels(f"{folder}/ours.nii.gz", labels, geometry=place), "peer": peer}
        times = interleaved(jobs, options.repeats, warm_up=1)
        sizes = [Path(folder, f"{name}.nii.gz").stat().st_size / 2**20 for name in ("ours", "theirs")]
    what = f"labels 300 x 512 x 512 to .nii.gz ({sizes[0]:.1f} / {sizes[1]:.1f} MB): ours / SimpleITK"
    return row(what, times["ours"], times["peer"], times["ours"] / times["peer"], "<= 1")


def main() -> None:
    """Print the table."""
    parts = {"bare": bare, "monai": monai, "dicom": dicom, "nifti": nifti, "memory": memory}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=1300)
    parser.add_argument("--cube", type=int, default=256, help="side of the volume beside the peers")
    parser.add_argument("--model", default="hippocampus")
    parser.add_argument("--repeats", type=int, default=3)
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
