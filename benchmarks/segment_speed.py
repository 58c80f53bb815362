"""How fast and how large: the whole call of `segment` beside the limit of the machine and beside its peers.

    python benchmarks/segment_speed.py [--repeats 3] [--threads 2] [--only bare,monai,...] [--json FILE]

Every row is a ratio measured in this run: ours and the other in turn, medians. All use the same weights, the
same picture and the same number of threads. Peers: `pip install --group bench`. Where the processor has instructions
for bfloat16, ours is timed in mixed precision, too; peers compute as they do unless told otherwise, in float32.

bare     one pass of the folded fp32 network over 512-pixel tiles without halo: the limit of this machine
monai    MONAI sliding_window_inference, 256, overlap 0.25, Gaussian, InstanceNorm as PyTorch has it
nnunet   nnU-Net's predictor, step 0.5, Gaussian, no mirroring
gemm     the bare pass beside one matrix product of the same number of operations
memory   16384 x 16384 RGB from a tiled file, labels and objects to disk: peak memory and time per pixel
imports  importing the dock's module beside creating a napari Viewer, in one process
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from timing import interleaved

from napari_unetstyle.core import ModelStore, segment
from napari_unetstyle.core.device import has_bfloat16
from napari_unetstyle.core.inference.probability import Engine
from napari_unetstyle.core.inference.statistics import fold

CHANNELS_LAST = torch.channels_last


def picture(side: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Blobs of about nucleus size on an uneven, noisy background, uint8 ``(side, side, channels)``."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    tile = 512
    noise = gaussian_filter(rng.random((tile, tile)), 6, mode="wrap")
    blobs = np.clip((noise - noise.mean()) / noise.std() - 0.7, 0, 1)
    plane = np.tile(blobs, (-(-side // tile),) * 2)[:side, :side].astype(np.float32)
    plane *= np.linspace(90, 160, side, dtype=np.float32)
    plane += 30
    out = np.empty((side, side, channels), np.uint8)
    for channel in range(channels):
        out[..., channel] = plane * (1 - 0.1 * channel) + rng.integers(0, 12, (side, side), dtype=np.uint8)
    return out


def normalized(array: np.ndarray) -> torch.Tensor:
    """The picture as a batch of one, zero mean and unit deviation."""
    x = torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1))).float()[None]
    return (x - x.mean((2, 3), keepdim=True)) / x.std((2, 3), keepdim=True)


class Bench:
    """Model, pictures and the table."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.model = ModelStore().load("nuclei")
        self.rows: list[dict[str, object]] = []

    def row(self, what: str, ours: float, other: float, ratio: float, goal: str) -> None:
        self.rows.append({"what": what, "ours_s": ours, "other_s": other, "ratio": ratio, "goal": goal})
        print(f"{what:<76} {ours:9.2f} s {other:9.2f} s {ratio:8.2f}   goal {goal}", flush=True)

    def ours(self, array: np.ndarray, amp: bool = False) -> Callable[[], object]:
        return lambda: segment(array, self.model, axes="YXC", device="cpu", amp=amp)

    def folded(self) -> torch.nn.Module:
        network = fold(self.model.network, torch.randn(1, 3, 256, 256))
        return Engine(device=torch.device("cpu")).network(network)

    def eager(self) -> torch.nn.Module:
        """The network with its InstanceNorm computed for each tile, by PyTorch's fast kernel."""
        import copy

        return copy.deepcopy(self.model.network).train().requires_grad_(False).to(memory_format=CHANNELS_LAST)

    def bare(self) -> None:
        network = self.folded()
        for side, goal in ((1024, "<= 1.7"), (4096, "<= 1.2")):
            array = picture(side)
            x = normalized(array).contiguous(memory_format=CHANNELS_LAST)
            jobs = {"ours": self.ours(array), "bare": lambda x=x: bare_pass(network, x)}
            times = interleaved(jobs, self.options.repeats * (4 if side == 1024 else 1))
            name = f"{side} x {side}: whole call / bare fused pass"
            self.row(name, times["ours"], times["bare"], times["ours"] / times["bare"], goal)

    def monai(self) -> None:
        from monai.inferers import sliding_window_inference

        array, network = picture(self.options.side), self.eager()
        x = normalized(array).contiguous(memory_format=CHANNELS_LAST)

        def peer() -> None:
            with torch.inference_mode():
                sliding_window_inference(x, (256, 256), 4, network, overlap=0.25, mode="gaussian").argmax(1)

        self._peer("MONAI sliding window 256, overlap 0.25", array, peer, ">= 2.5", ">= 5")

    def nnunet(self) -> None:
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

        array, network = picture(self.options.side), self.eager()
        predictor = nnUNetPredictor(
            tile_step_size=0.5, use_gaussian=True, use_mirroring=False, device=torch.device("cpu"), allow_tqdm=False
        )
        predictor.network = network
        predictor.configuration_manager = type("Configuration", (), {"patch_size": (256, 256)})()
        heads = self.model.spec.out_channels
        predictor.label_manager = type("Labels", (), {"num_segmentation_heads": heads})()
        x = normalized(array)[0][:, None]

        def peer() -> None:
            predictor.predict_sliding_window_return_logits(x).argmax(0)

        self._peer("nnU-Net predictor, step 0.5, Gaussian", array, peer, ">= 4", ">= 8")

    def _peer(self, name: str, array: np.ndarray, peer: Callable[[], object], *goals: str) -> None:
        jobs = {"whole call": self.ours(array), "whole call in bfloat16": self.ours(array, amp=True), "peer": peer}
        if not has_bfloat16(torch.device("cpu")):
            del jobs["whole call in bfloat16"]
        times = interleaved(jobs, self.options.repeats)
        taken = times.pop("peer")
        for (how, ours), goal in zip(times.items(), goals, strict=False):
            self.row(f"{len(array)} x {len(array)}: {name} / {how}", ours, taken, taken / ours, goal)

    def gemm(self) -> None:
        network, x = self.folded(), normalized(picture(1024)).contiguous(memory_format=CHANNELS_LAST)
        operations = operation_count(network, 1024 * 1024)
        n = 2048
        a, b = torch.rand(n, n), torch.rand(n, n)
        times = interleaved({"bare": lambda: bare_pass(network, x), "gemm": lambda: a @ b}, 4 * self.options.repeats)
        product = times["gemm"] * operations / (2 * n**3)
        self.row(
            "1024 x 1024: bare pass / sgemm of as many operations",
            times["bare"],
            product,
            times["bare"] / product,
            "say it",
        )

    def memory(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            small, large = (whole_file(Path(folder), side) for side in (4096, self.options.huge))
        pixels = (self.options.huge / 4096) ** 2
        self.row(
            f"{self.options.huge} from a tiled file: time per pixel / at 4096",
            large["seconds"],
            small["seconds"] * pixels,
            large["seconds"] / (small["seconds"] * pixels),
            "<= 1.1",
        )
        self.rows[-1]["peak_gb"] = large["peak_gb"]
        print(f"{'':<76} peak memory {large['peak_gb']:.2f} GB, {large['objects']} objects   goal < 2 GB")

    def imports(self) -> None:
        opening = (
            "import time, napari; a = time.perf_counter()\n"
            "napari.Viewer(show=False); b = time.perf_counter()\n"
            "import napari_unetstyle.widgets.main_dock\n"
            "print(b - a, time.perf_counter() - b, flush=True)\n"
            "import os; os._exit(0)"  # there is no event loop that would end it
        )
        viewer, dock = run_python(opening)
        self.row("importing the dock's module / creating a napari Viewer", dock, viewer, dock / viewer, "<= 0.05")


def bare_pass(network: torch.nn.Module, x: torch.Tensor, tile: int = 512) -> None:
    """One pass of the network over tiles that do not overlap."""
    with torch.inference_mode():
        for top in range(0, x.shape[2], tile):
            for left in range(0, x.shape[3], tile):
                network(x[:, :, top : top + tile, left : left + tile])


def operation_count(network: torch.nn.Module, pixels: int) -> float:
    """Floating point operations of one pass: twice the multiplications of all convolutions."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.zeros(1, 3, 256, 256))
    return counter.get_total_flops() * pixels / 256**2


def whole_file(folder: Path, side: int) -> dict[str, float]:
    """Segment a tiled file in a process of its own, by the command line, and say what it took."""
    import tifffile

    path, out = folder / f"{side}.tif", folder / f"out-{side}"
    strip = picture(512)
    wide = np.tile(strip, (1, side // 512, 1))
    tiles = (wide[:, x : x + 512] for _ in range(0, side, 512) for x in range(0, side, 512))
    tifffile.imwrite(
        path,
        tiles,
        shape=(side, side, 3),
        dtype=np.uint8,
        tile=(512, 512),
        photometric="rgb",
        compression="zlib",
        bigtiff=True,
    )
    command = [
        sys.executable,
        "-m",
        "napari_unetstyle.cli.main",
        "segment",
        str(path),
        "-o",
        str(out),
        "--csv",
        "--json",
        "--device",
        "cpu",
    ]
    start = time.perf_counter()
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    objects = next(json.loads(line)["count"] for line in said.splitlines() if "count" in json.loads(line))
    return {"seconds": seconds, "peak_gb": peak, "objects": objects}


def run_python(code: str) -> list[float]:
    """The medians of the numbers that a short program prints, each time in a fresh process."""
    command = [sys.executable, "-c", code]
    printed = [subprocess.check_output(command, text=True).split() for _ in range(5)]
    return [statistics.median(map(float, numbers)) for numbers in zip(*printed, strict=True)]


def main() -> None:
    """Print the table."""
    parts = ("bare", "monai", "nnunet", "gemm", "memory", "imports")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--side", type=int, default=4096, help="side of the picture that peers are timed on")
    parser.add_argument("--huge", type=int, default=16384, help="side of the picture in the memory row")
    parser.add_argument("--only", default=",".join(parts), help="comma-separated rows")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    bench = Bench(options)
    print(f"{'what':<76} {'ours':>11} {'other':>11} {'ratio':>8}   ({options.threads} threads, medians)")
    for part in options.only.split(","):
        getattr(bench, part)()
    if options.json:
        options.json.write_text(json.dumps(bench.rows, indent=1))


if __name__ == "__main__":
    main()
