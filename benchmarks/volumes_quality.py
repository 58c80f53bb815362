"""How good the model of volumes is, on cases its training never saw, beside nnU-Net's network trained on the same ones.

    python benchmarks/volumes_quality.py --data FOLDER [--minutes 100] [--threads 1] [--skip-peer] [--json FILE]

For each class of the hippocampus: mean Dice, HD95 (mm) and NSD at 1 mm over the test cases of ``recipes/splits.py``,
each with a 95 % interval by bootstrap over cases.

ours     the bundled model, through ``napari_unetstyle.core.segment``, as a person would call it
nnunet   nnU-Net's own network, augmentation, loss and optimizer as it plans this task (patch 40 x 56 x 40, batch 9,
         four stages), trained here on the same cases for as many minutes of as many cores as the bundled model was,
         predicted with its step of half a patch and Gaussian weights

published  for orientation only: nnU-Net, trained for days on all cases of the task on a GPU, has Dice 0.90 (anterior)
         and 0.89 (posterior) on the task's hidden test set (Isensee et al. 2021); other cases than these

The trained peer is kept in ``--work``, and what it has come to every two minutes: started again with the same
``--work``, its training goes on from there. Peer: `pip install --group bench`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

sys.path.insert(0, str(Path(__file__).parent.parent / "recipes"))
from cells import busy
from hippocampus import CLASSES, cases
from measure import interval
from volumes import Case

from napari_unetstyle.core import evaluate, segment
from napari_unetstyle.core.files import atomic_path

PATCH, BATCH, TOLERANCE = (40, 56, 40), 9, 1.0
KEPT = 120.0  # seconds of training between two writes
METRICS = ("dice", "hd95", "nsd")
PUBLISHED = {"anterior": 0.90, "posterior": 0.89}  # Dice of nnU-Net on the task's hidden test set, Isensee et al. 2021
Method = Callable[[Case], NDArray[Any]]


def normalized(case: Case) -> NDArray[np.float32]:
    """As nnU-Net does with MR: zero mean, unit deviation, ``(1, Z, Y, X)``."""
    pixels = np.asarray(case.image.array, np.float32)
    return ((pixels - pixels.mean()) / max(float(pixels.std()), 1e-8))[np.newaxis]


def network() -> nn.Module:
    """As nnU-Net plans this task."""
    from dynamic_network_architectures.architectures.unet import PlainConvUNet

    return PlainConvUNet(
        input_channels=1,
        n_stages=4,
        features_per_stage=(32, 64, 128, 256),
        conv_op=nn.Conv3d,
        kernel_sizes=3,
        strides=(1, 2, 2, 2),
        n_conv_per_stage=2,
        num_classes=1 + len(CLASSES),
        n_conv_per_stage_decoder=2,
        conv_bias=True,
        norm_op=nn.InstanceNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
    )


def crop(
    image: NDArray[np.float32], truth: NDArray[Any], rng: np.random.Generator, *, focus: bool
) -> tuple[NDArray[np.float32], NDArray[Any]]:
    """A patch, padded with zeros if need be; `focus`: around a labeled voxel (nnU-Net's third)."""
    pads = [(max(0, p - n + 1) // 2, (max(0, p - n) + 1) // 2) for n, p in zip(truth.shape, PATCH, strict=True)]
    image, truth = np.pad(image, [(0, 0), *pads]), np.pad(truth, pads)
    room = np.array(truth.shape) - PATCH
    corner = rng.integers(0, room + 1)
    if focus and (inside := np.argwhere(truth > 0)).size:
        corner = np.clip(inside[rng.integers(len(inside))] - np.array(PATCH) // 2, 0, room)
    box = tuple(slice(int(c), int(c) + p) for c, p in zip(corner, PATCH, strict=True))
    return image[(slice(None), *box)].copy(), truth[box].copy()


def trained(data: Path, minutes: float, work: Path, seed: int = 0) -> nn.Module:
    """The peer after so many minutes; trained once, in one go or in several."""
    from nnunetv2.training.loss.compound_losses import DC_and_CE_loss
    from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
    from safetensors.torch import load_model, save_model

    path = work / f"nnunet-hippocampus-{minutes:g}-minutes-seed-{seed}.safetensors"
    torch.manual_seed(seed)
    peer = network()
    if path.exists():
        load_model(peer, str(path))
        return peer.eval()
    chain = nnUNetTrainer.get_training_transforms(
        patch_size=PATCH,
        rotation_for_DA=(-30 / 180 * np.pi, 30 / 180 * np.pi),
        deep_supervision_scales=None,
        mirror_axes=(0, 1, 2),
        do_dummy_2d_data_aug=False,
        use_mask_for_norm=[False],
    )
    criterion = DC_and_CE_loss(
        {"batch_dice": True, "smooth": 1e-5, "do_bg": False, "ddp": False}, {}, dice_class=MemoryEfficientSoftDiceLoss
    )
    optimizer = torch.optim.SGD(peer.parameters(), 1e-2, momentum=0.99, nesterov=True, weight_decay=3e-5)
    known = [(normalized(case), case.truth) for case in cases(data, "train").values()]
    part = path.with_suffix(".part.safetensors")
    steps, before = resumed(part, peer, optimizer)
    clock = busy(torch.get_num_threads())
    start = kept = clock()
    peer.train()
    while (done := (before + clock() - start) / (60 * minutes)) < 1:
        optimizer.param_groups[0]["lr"] = 1e-2 * (1 - done) ** 0.9
        samples, rng = [], np.random.default_rng((seed, steps))
        for index in range(BATCH):
            image, truth = crop(*known[rng.integers(len(known))], rng, focus=index % 3 == 0)
            labels = torch.from_numpy(truth.astype(np.int16))[None]
            samples.append(chain(image=torch.from_numpy(image), segmentation=labels))
        value = criterion(
            peer(torch.stack([s["image"] for s in samples])), torch.stack([s["segmentation"].long() for s in samples])
        )
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        nn.utils.clip_grad_norm_(peer.parameters(), 12.0)
        optimizer.step()
        steps += 1
        if clock() - kept > KEPT:
            kept = clock()
            keep(part, peer, optimizer, steps, before + kept - start)
    print(f"nnunet: {steps} steps of {BATCH} x {PATCH}, loss {value.item():.3f}", flush=True)
    work.mkdir(parents=True, exist_ok=True)
    save_model(peer, str(path))
    part.unlink(missing_ok=True)
    return peer.eval()


def keep(path: Path, peer: nn.Module, optimizer: torch.optim.SGD, steps: int, seconds: float) -> None:
    """Write how far a training has come."""
    from safetensors.torch import save_file

    tensors = {"at": torch.tensor([steps, seconds], dtype=torch.float64)}
    for i, values in enumerate(peer.parameters()):
        tensors[f"weights.{i}"] = values.detach()
        if "momentum_buffer" in optimizer.state[values]:  # not of the layers for deep supervision, which nothing trains
            tensors[f"momentum.{i}"] = optimizer.state[values]["momentum_buffer"]
    with atomic_path(path) as new:
        save_file(tensors, str(new))


def resumed(path: Path, peer: nn.Module, optimizer: torch.optim.SGD) -> tuple[int, float]:
    """Steps and seconds that a training has behind it, whose weights and momentum are put back."""
    from safetensors.torch import load_file

    if not path.exists():
        return 0, 0.0
    tensors = load_file(str(path))
    with torch.no_grad():
        for i, values in enumerate(peer.parameters()):
            values.copy_(tensors[f"weights.{i}"])
            if f"momentum.{i}" in tensors:
                optimizer.state[values]["momentum_buffer"] = tensors[f"momentum.{i}"]
    steps, seconds = tensors["at"].tolist()
    return int(steps), seconds


def predicted(peer: nn.Module, case: Case) -> NDArray[Any]:
    """Class values by sliding windows."""
    from monai.inferers import sliding_window_inference

    with torch.inference_mode():
        x = torch.from_numpy(normalized(case))[None]
        logits = sliding_window_inference(x, PATCH, 2, peer, overlap=0.5, mode="gaussian")
    return logits[0].argmax(0).numpy().astype(np.uint8)


def rows(name: str, method: Method, known: dict[str, Case]) -> list[dict[str, Any]]:
    """A row for each class."""
    found = [
        evaluate(
            method(case),
            np.asarray(case.truth).astype(np.uint8),
            output="areas",
            spacing=case.image.geometry.spacing,
            tolerance=TOLERANCE,
            classes=[c.value for c in CLASSES],
        )["classes"]
        for case in known.values()
    ]
    table = []
    for known_class in CLASSES:
        row: dict[str, Any] = {"method": name, "class": known_class.name, "cases": len(found)}
        texts = []
        for metric in METRICS:
            values = [float(scores[known_class.value][metric]) for scores in found]
            low, high = interval(values)
            row[metric] = {"mean": float(np.mean(values)), "low": low, "high": high, "worst": _worst(metric, values)}
            texts.append(f"{np.mean(values):.3f} ({low:.3f} to {high:.3f})")
        print(f"{name:<10}{known_class.name:<11}{len(found):>4}  " + "  ".join(f"{t:<24}" for t in texts), flush=True)
        table.append(row)
    return table


def published() -> list[dict[str, Any]]:
    """A row for each class of what is published of nnU-Net, on other cases of the task."""
    table: list[dict[str, Any]] = []
    for name, value in PUBLISHED.items():
        print(
            f"{'published':<10}{name:<11}{'':>4}  {value:.2f} (nnU-Net, hidden test set of the task, for orientation)"
        )
        table.append({"method": "published", "class": name, "dice": {"mean": value}})
    return table


def _worst(metric: str, values: list[float]) -> float:
    return max(values) if metric == "hd95" else min(values)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=100, help="training time of the peer (default %(default)s)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--work", type=Path, default=Path("work"), help="folder for the trained peer")
    parser.add_argument("--skip-peer", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    known = cases(given.data, "test")
    print(f"{'method':<10}{'class':<11}{'n':>4}  {'Dice':<24}  {'HD95 in mm':<24}  NSD at 1 mm")
    table = rows("ours", lambda case: segment(case.image, "hippocampus", device="cpu").labels, known)
    if not given.skip_peer:
        peer = trained(given.data, given.minutes, given.work)
        table += rows("nnunet", lambda case: predicted(peer, case), known)
    table += published()
    if given.json:
        given.json.write_text(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
