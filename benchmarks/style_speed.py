"""How fast are styles: beside the usual way to write them, in one run.

    python benchmarks/style_speed.py [--side 192] [--steps 40] [--repeats 5] [--threads 2] [--json FILE]

gatys       ours against a loop as in PyTorch's examples (same network and weights, relu2_2 for the content, Gram
            matrices of four layers for the style, weights 1e5 and 1e10, L-BFGS, starting from the picture), on the same
            picture and style: time of an evaluation, and how many until the style loss of that loop is reached
histogram   ours against ``skimage.exposure.match_histograms``, 1024 x 1024 in color
memory      resident set over 1,000 pictures of 256 x 256
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from skimage import data
from skimage.exposure import match_histograms
from timing import interleaved
from torch import Tensor

from napari_unetstyle._sample_data import sample_folder
from napari_unetstyle.core import GatysOptions, Reference, StyleOptions, read_image, stylize
from napari_unetstyle.core.networks.features import Features, random_features
from napari_unetstyle.core.style.change import change_of
from napari_unetstyle.core.style.gatys import iter_gatys

CONTENT_WEIGHT, STYLE_WEIGHT = 1e5, 1e10
Pixels = Any


def pictures(side: int) -> tuple[Pixels, Pixels]:
    """A fluorescence picture and an immunohistochemical one, ``(3, side, side)`` in 0..1."""
    gray = np.asarray(read_image(sample_folder() / "nuclei-fluorescence.tif").array)[:side, :side]
    style = np.moveaxis(data.immunohistochemistry()[:side, :side], -1, 0)
    return np.repeat(gray[np.newaxis], 3, 0).astype(np.float32) / 255, style.astype(np.float32) / 255


def grams(features: dict[str, Tensor]) -> dict[str, Tensor]:
    """As in PyTorch's examples: divided by channels and pixels."""
    found = {}
    for name, value in features.items():
        flat = value.flatten(2)[0]
        found[name] = flat @ flat.T / value[0].numel()
    return found


def style_loss(features: dict[str, Tensor], wanted: dict[str, Tensor]) -> Tensor:
    """Of one picture."""
    have = grams(features)
    return STYLE_WEIGHT * torch.stack([(have[name] - wanted[name]).square().mean() for name in wanted]).sum()


def usual(network: Features, content: Pixels, style: Pixels, steps: int) -> list[float]:
    """The style loss after each evaluation."""
    wanted = grams(network(torch.from_numpy(style)[None]))
    kept = network(torch.from_numpy(content)[None])["relu2_2"]
    picture = torch.from_numpy(content.copy())[None].requires_grad_(True)
    optimizer = torch.optim.LBFGS([picture], max_iter=steps, max_eval=steps)
    losses: list[float] = []

    def closure() -> Tensor:
        optimizer.zero_grad()
        features = network(picture)
        loss = style_loss(features, wanted)
        losses.append(float(loss.detach()))
        seen = CONTENT_WEIGHT * (features["relu2_2"] - kept).square().mean() + loss
        seen.backward()
        return seen

    optimizer.step(closure)
    return losses


def ours(network: Features, content: Pixels, style: Pixels, steps: int) -> list[float]:
    """The style loss, in that loop's terms, of what there is after each evaluation; the first is that of the start."""
    wanted = grams(network(torch.from_numpy(style)[None]))
    start = change_of(Reference.of_unit(content), Reference.of_unit(style), StyleOptions())(content).clip(0, 1)
    shown = [start]
    for step in iter_gatys(start, [style], GatysOptions(steps=steps, preview_every=1, device="cpu")):
        shown.append(step.preview)
    with torch.no_grad():
        return [float(style_loss(network(torch.from_numpy(p)[None]), wanted)) for p in shown]


def bare(content: Pixels, style: Pixels, steps: int) -> None:
    """Ours, without looking at it."""
    for _ in iter_gatys(content, [style], GatysOptions(steps=steps, preview_every=steps, device="cpu")):
        pass


def neural(side: int, steps: int, repeats: int) -> dict[str, float]:
    """Time of an evaluation, and evaluations to the same loss."""
    content, style = pictures(side)
    network = random_features(0, "average")
    jobs: dict[str, Callable[[], object]] = {
        "ours": lambda: bare(content, style, 12),
        "usual": lambda: usual(network, content, style, 12),
    }
    seconds = interleaved(jobs, repeats, warm_up=1)
    there = usual(network, content, style, steps)
    goal = min(there)
    here = ours(network, content, style, steps)
    reached = next((i for i, loss in enumerate(here) if loss <= goal), None)
    return {
        "gatys: time of an evaluation, ours / usual": seconds["ours"] / seconds["usual"],
        "gatys: evaluations of the usual loop": float(there.index(goal) + 1),
        "gatys: style loss it reached": goal,
        "gatys: evaluations of ours to that loss (-1: not within as many)": -1.0 if reached is None else float(reached),
        "gatys: style loss of ours in the end": here[-1],
    }


def photometric(repeats: int) -> dict[str, float]:
    """Histogram matching."""
    rng = np.random.default_rng(0)
    picture = (255 * rng.random((1024, 1024, 3)) ** 2).astype(np.uint8)
    style = data.immunohistochemistry()
    jobs: dict[str, Callable[[], object]] = {
        "ours": lambda: stylize(picture, style, "histogram"),
        "skimage": lambda: match_histograms(picture, style, channel_axis=-1),
    }
    seconds = interleaved(jobs, repeats, warm_up=1)
    return {"histogram: time, ours / scikit-image": seconds["ours"] / seconds["skimage"]}


def memory(count: int) -> dict[str, float]:
    """Growth over many pictures, from the hundredth on."""
    rng = np.random.default_rng(0)
    style = Reference.of(np.moveaxis(data.immunohistochemistry(), -1, 0))
    held = []
    for i in range(count):
        stylize(rng.integers(0, 255, (256, 256, 3)).astype(np.uint8), style)
        if i in (99, count - 1):
            held.append(psutil.Process().memory_info().rss / 2**20)
    return {f"memory: growth from picture 100 to {count}, MB": held[-1] - held[0]}


def main() -> None:
    """Read the command line, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=192)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    rows = neural(given.side, given.steps, given.repeats) | photometric(given.repeats) | memory(given.count)
    for name, value in rows.items():
        print(f"{name:<68}{value:>12.3f}")
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
