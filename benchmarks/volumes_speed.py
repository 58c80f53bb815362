"""How fast and how large volumes are: beside the limit of the machine, beside peers, and never whole in memory.

    python benchmarks/volumes_speed.py [--side 1300] [--threads 2] [--only bare,monai,...] [--json FILE]

bare     whole call on a volume beside one pass of the folded network over the whole of it
bands    the same where the network may take three quarters of the memory that slabs of the whole width need: the volume
         is streamed in columns with halos; how much more that is to compute is said
monai    MONAI sliding_window_inference, 64 cubed, overlap 0.5, Gaussian, InstanceNorm as PyTorch has it, / whole call
dicom    reading a series of 300 slices of 512 x 512 int16 / dcm2niix to a .nii that nibabel reads, and / SimpleITK's
         ImageSeriesReader. dcm2niix is taken from the PATH, else from the package of that name (`pip install --group
         bench`); without it that row says so
nifti    writing labels of 300 x 512 x 512 as .nii.gz / SimpleITK
memory   side x side x side voxels of a lazy OME-Zarr through a 3D network of hardly any channels, labels to OME-Zarr:
         peak memory of the process and CPU time per voxel. Labels at both ends of the volume, at bright cubes and in
         the middle have to be those of the same places segmented alone, in the result and in the file; the table has
         to count every voxel.
ct       a scan of 512 x 512 x 600 int16, uncompressed on disk, through the bundled model to a file of labels: peak
         memory of the process, and what was foretold for the run
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from large_volumes import apart, noise
from timing import interleaved

from napari_unetstyle.core import Geometry, Image, ModelStore, read_image, segment, write_labels
from napari_unetstyle.core.models.model import Model
from napari_unetstyle.core.networks.unet import UNet


def memory(options: argparse.Namespace) -> dict[str, Any]:
    """The large volume beside a small one."""
    small, large = (apart("memory", side, options.threads) for side in (min(260, options.side), options.side))
    each = [1e9 * took["cpu_seconds"] / took["voxels"] for took in (small, large)]
    print(
        f"{options.side} cubed, {large['voxels']:.3g} voxels ({math.log2(large['voxels']):.1f} bits), lazy, exact: "
        f"peak memory {large['peak_gb']:.2f} GB (goal < 1.5) / {small['peak_gb']:.2f} at 260 cubed, "
        f"{each[1]:.0f} ns of CPU per voxel / {each[0]:.0f}, {large['seconds']:.0f} s on this machine as it was; "
        f"the run took {large['run_gb']:.2f} GB, foretold were {large['forecast_gb']:.2f}",
        flush=True,
    )
    return {"what": "memory", **large, "cpu_ns_per_voxel": each[1], "cpu_ns_per_voxel_small": each[0]}


def ct(options: argparse.Namespace) -> dict[str, Any]:
    """A long scan, from file to file."""
    took = apart("ct", options.slices, options.threads)
    print(
        f"512 x 512 x {options.slices} int16, .nii to .nii.gz: peak memory {took['peak_gb']:.2f} GB (goal < 3), "
        f"{took['seconds']:.0f} s ({took['cpu_seconds']:.0f} s of CPU); the run took {took['run_gb']:.2f} GB, "
        f"foretold were {took['forecast_gb']:.2f}",
        flush=True,
    )
    return {"what": "ct", **took}


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
    image, model, peer, _ = beside_bare(options)
    times = interleaved({"ours": lambda: segment(image, model, device="cpu"), "bare": peer}, options.repeats)
    what = f"{options.cube} cubed: whole call / bare fused pass of everything at once"
    return row(what, times["ours"], times["bare"], times["ours"] / times["bare"], "<= 1.3")


def beside_bare(options: argparse.Namespace) -> tuple[Image, Model, Callable[[], None], UNet]:
    """The volume, its model, a pass of the folded network over everything at once, and that network."""
    from napari_unetstyle.core.inference.probability import Engine
    from napari_unetstyle.core.inference.statistics import fold

    image, model, x = cube(options)
    network = Engine(device=torch.device("cpu"), dims=3).network(fold(model.network, x[..., :48, :48, :48]))

    def peer() -> None:
        with torch.inference_mode():
            network(x)

    return image, model, peer, network


def bands(options: argparse.Namespace) -> dict[str, Any]:
    """The whole call where slabs of the whole width do not fit into the memory that the network may take."""
    from unittest.mock import patch

    from napari_unetstyle.core.inference.probability import Cut, Engine, columns_of
    from napari_unetstyle.core.inference.streaming import stream_bytes
    from napari_unetstyle.core.segmentation import fitting

    image, model, peer, network = beside_bare(options)
    shape, usual = image.label_shape, fitting.engine_for
    box = tuple(slice(0, n) for n in shape)
    engine = Engine(device=torch.device("cpu"), dims=3)
    cut = Cut.of(network, box, shape, engine.strip_pixels)
    budget = stream_bytes(network, cut.rows, cut.bands[0].width, cut.plane, 4, engine.at_once) * 3 // 4
    columns = columns_of(network, box, shape, replace(engine, memory=budget))
    cuts = [Cut.of(network, (box[0], *column), shape, engine.strip_pixels) for column in columns]
    more = sum(math.prod(c.plane) for c in cuts) / math.prod(cut.plane)

    def narrow(*given: Any) -> Engine:
        return replace(usual(*given), memory=budget)

    with patch.object(fitting, "engine_for", narrow):
        times = interleaved({"ours": lambda: segment(image, model, device="cpu"), "bare": peer}, options.repeats)
    what = f"{options.cube} cubed in {len(columns)} columns, {more:.2f} times the work: whole call / bare fused pass"
    return row(what, times["ours"], times["bare"], times["ours"] / times["bare"], "said")


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


def dicom(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Reading a series."""
    import nibabel
    import SimpleITK as sitk

    program = converter()
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as made:
        write_series(Path(folder))

        def ours() -> None:
            np.asarray(read_image(folder).array[...])

        def itk() -> None:
            reader = sitk.ImageSeriesReader()
            reader.SetFileNames(reader.GetGDCMSeriesFileNames(folder))
            sitk.GetArrayFromImage(reader.Execute())

        def converted() -> None:
            command = [str(program), "-z", "n", "-b", "n", "-w", "1", "-f", "scan", "-o", made, folder]
            subprocess.run(command, check=True, capture_output=True)
            (path,) = Path(made).glob("*.nii")  # one series is one file, or the two read different things
            pixels = np.asarray(nibabel.load(path).dataobj)
            if pixels.shape != (512, 512, 300):
                raise SystemExit(f"{program} made {pixels.shape} of 300 slices of 512 x 512.")

        jobs: dict[str, Callable[[], object]] = {"ours": ours, "SimpleITK's series reader": itk}
        if program is not None:
            jobs["dcm2niix + nibabel"] = converted
        times = interleaved(jobs, options.repeats, warm_up=1)
    mine = times.pop("ours")
    what = "DICOM series, 300 x 512 x 512 int16: ours"
    if program is None:
        print(f"{what} / dcm2niix + nibabel: not measured, as dcm2niix is not installed", flush=True)
    return [row(f"{what} / {name}", mine, taken, mine / taken, "<= 1") for name, taken in times.items()]


def converter() -> str | None:
    """Where dcm2niix is: on the PATH, else in its package."""
    if found := shutil.which("dcm2niix"):
        return found
    try:
        import dcm2niix
    except ImportError:
        return None
    return str(dcm2niix.bin)


def write_series(folder: Path, slices: int = 300, side: int = 512) -> None:
    """A CT of noise, one file a slice."""
    import SimpleITK as sitk

    rng = np.random.default_rng(0)
    series, study = (f"1.2.826.0.1.3680043.8.498.{n}" for n in (1, 2))
    moment = {f"0008|{name}": "20200101" for name in ("0020", "0021", "0022", "0023")}
    moment |= {f"0008|{name}": "120000" for name in ("0030", "0031", "0032", "0033")}  # else ITK writes those of now
    tags = {
        **moment,
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
    parts = {"bare": bare, "bands": bands, "monai": monai, "dicom": dicom, "nifti": nifti, "memory": memory, "ct": ct}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=1300)
    parser.add_argument("--slices", type=int, default=600, help="of the scan")
    parser.add_argument("--cube", type=int, default=256, help="side of the volume beside the peers")
    parser.add_argument("--model", default="hippocampus")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", default=",".join(parts), help="comma-separated rows")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = []
    for part in options.only.split(","):
        found = parts[part](options)
        rows += found if isinstance(found, list) else [found]
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
