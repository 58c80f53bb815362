"""How fast are styles: beside the usual way to write them, in one run.

    python benchmarks/style_speed.py [--side 192] [--steps 40] [--repeats 5] [--threads 2] [--only PART] [--json FILE]

gatys       ours against a loop as in PyTorch's examples (same network and weights, relu2_2 for the content, Gram
            matrices of four layers for the style, weights 1e5 and 1e10, L-BFGS, starting from the picture), on the same
            picture and style: time of an evaluation, and how many until the style loss of that loop is reached
fast        our network of a style against the usual one (Johnson et al. 2016, as in PyTorch's examples: 32, 64 and 128
            channels, 5 residual blocks, 9 x 9 at both ends) at 640 x 480, and the style loss of both on a part of a
            picture that neither saw, after as many steps (--lessons) with the same crops; the usual one, too, gives
            what is added to the picture and starts at zero, or it would be far behind after so few
any         the bundled network that looks at the style: time, and style loss on a style and a picture that it has
            not seen, beside optimizing the picture from the same start
histogram   ours against ``skimage.exposure.match_histograms``, 1024 x 1024 in color; and with what that does not do,
            telling bright on dark from dark on bright in both pictures
memory      resident set over 1,000 pictures of 256 x 256
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from skimage import data
from skimage.exposure import match_histograms
from timing import interleaved
from torch import Tensor, nn

from napari_unetstyle._sample_data import sample_folder
from napari_unetstyle.core import (
    FastStyleOptions,
    GatysOptions,
    KeptStyle,
    Reference,
    StyleOptions,
    as_image,
    read_image,
    stylize,
)
from napari_unetstyle.core.networks.features import Features, random_features
from napari_unetstyle.core.networks.spec import StyleNetSpec
from napari_unetstyle.core.networks.style_net import StyleNet
from napari_unetstyle.core.style.change import change_of
from napari_unetstyle.core.style.fast import FastStyle
from napari_unetstyle.core.style.gatys import iter_gatys
from napari_unetstyle.core.style.perceptual import Aim, reduced
from napari_unetstyle.core.style.span import Span
from napari_unetstyle.core.training.fast_style import Crops, iter_fit

USUAL_RATE = 1e-3  # of the usual network, as in PyTorch's examples; it diverges with ours
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


class Reflected(nn.Sequential):
    """A convolution as the usual network has it."""

    def __init__(self, below: int, above: int, side: int, stride: int = 1, up: int = 1) -> None:
        raised = [nn.Upsample(scale_factor=up)] if up > 1 else []
        super().__init__(*raised, nn.ReflectionPad2d(side // 2), nn.Conv2d(below, above, side, stride))


class Residual(nn.Module):
    """A residual block of the usual network."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.one, self.two = (
            nn.Sequential(Reflected(width, width, 3), nn.InstanceNorm2d(width, affine=True)) for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.two(self.one(x).relu())


class Usual(nn.Module):
    """The usual network; what it gives is added to the picture."""

    def __init__(self) -> None:
        super().__init__()

        def step(*given: int) -> list[nn.Module]:
            return [Reflected(*given), nn.InstanceNorm2d(given[1], affine=True), nn.ReLU()]

        self.layers = nn.Sequential(
            *step(3, 32, 9),
            *step(32, 64, 3, 2),
            *step(64, 128, 3, 2),
            *(Residual(128) for _ in range(5)),
            *step(128, 64, 3, 1, 2),
            *step(64, 32, 3, 1, 2),
            Reflected(32, 3, 9),
        )
        last = self.layers[-1][-1]
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


def fast(lessons: int, repeats: int) -> dict[str, float]:
    """Speed and style loss of both networks; of the times the least counts, for others may use the machine."""
    torch.manual_seed(0)
    networks = {"ours": StyleNet(StyleNetSpec()).to(memory_format=torch.channels_last), "usual": Usual()}
    inputs = {"ours": torch.rand(1, 3, 480, 640).to(memory_format=torch.channels_last)}
    inputs["usual"] = inputs["ours"].contiguous()
    seconds: dict[str, list[float]] = {name: [] for name in networks}
    with torch.inference_mode():
        for number in range(repeats + 1):
            for name, network in networks.items():
                began = time.perf_counter()
                network(inputs[name])
                seconds[name] += [time.perf_counter() - began] if number else []
    best = {name: min(found) for name, found in seconds.items()}
    rows = {
        "fast: seconds of the usual network at 640 x 480": best["usual"],
        "fast: seconds of ours": best["ours"],
        "fast: times faster than the usual network": best["usual"] / best["ours"],
    }
    gray = np.asarray(read_image(sample_folder() / "nuclei-fluorescence.tif").array)
    look = data.immunohistochemistry()
    style = KeptStyle.of("style", [as_image(look)])
    span = Span.of(style.reference, 3)
    looks = [np.moveaxis(look, -1, 0).astype(np.float32) / 255]
    seen, held_out = (Crops.of([as_image(part)], style, span, 96) for part in (gray[:352], gray[352:]))
    options = FastStyleOptions(minutes=None, steps=lessons, crop=96, batch=1, device="cpu", preview_every=10**6)
    aim = Aim.of(
        random_features(0, "average"),
        [torch.from_numpy(span.into(reduced(looks[0])))[None]],
        content_weight=0,
        style_weight=1,
        smoothness=0,
    )
    crops = [torch.from_numpy(held_out.drawn(np.random.default_rng(i)).copy())[None] for i in range(8)]
    losses = {}
    for name, network in {**networks, "start": nn.Identity()}.items():
        if name in networks:
            rate = USUAL_RATE if name == "usual" else options.learning_rate
            for _ in iter_fit(network, seen, looks, dataclasses.replace(options, learning_rate=rate)):
                pass
        with torch.no_grad():
            errors = [aim.errors(aim.see(network(crop))) for crop in crops]
        losses[name] = {layer: sum(float(error[layer]) for error in errors) for layer in errors[0]}
    for name in networks:  # each layer as a share of what it is before anything is trained
        shares = [losses[name][layer] / losses["start"][layer] for layer in losses[name]]
        rows[f"fast: style loss on what it has not seen, {name} (start 1)"] = float(np.mean(shares))
    return rows


def any_style(repeats: int) -> dict[str, float]:
    """One pass by the network that looks at the style: time, and style loss, beside optimizing the picture."""
    gray = np.asarray(read_image(sample_folder() / "nuclei-fluorescence.tif").array)[:256, :256]
    look = data.immunohistochemistry()[:256, :256]
    content = np.repeat(gray[np.newaxis], 3, 0).astype(np.float32) / 255
    style = np.moveaxis(look, -1, 0).astype(np.float32) / 255
    wanted = Reference.of_unit(style)
    start = change_of(Reference.of_unit(content), wanted, StyleOptions())(content).clip(0, 1)
    large = np.tile(start, (1, 2, 3))[:, :480, :640]
    apply = FastStyle.of_looks([style], wanted, "cpu")
    jobs: dict[str, Callable[[], object]] = {
        "look": lambda: FastStyle.of_looks([style], wanted, "cpu"),
        "apply": lambda: apply(large),
    }
    seconds = interleaved(jobs, repeats, warm_up=1)
    made = [start, apply(start)]
    made += [step.preview for step in iter_gatys(start, [style], GatysOptions(device="cpu", preview_every=1))]
    span = Span.of(wanted, 3)
    aim = Aim.of(
        random_features(0, "average"),
        [torch.from_numpy(span.into(style))[None]],
        content_weight=0,
        style_weight=1,
        smoothness=0,
    )
    with torch.no_grad():
        errors = [aim.errors(aim.see(torch.from_numpy(span.into(pixels))[None])) for pixels in made]
    first, passed, *steps = (float(np.mean([float(e[n] / errors[0][n]) for n in e])) for e in errors)
    as_near = next((i for i, loss in enumerate(steps, 1) if loss <= passed), -1)
    return {
        "any: seconds to look at a style": seconds["look"],
        "any: seconds at 640 x 480": seconds["apply"],
        "any: style loss on what it has not seen (start 1)": passed / first,
        "any: style loss of 30 steps of Gatys": steps[-1] / first,
        "any: steps of Gatys that come as near (-1: more than 30)": float(as_near),
    }


def photometric(repeats: int) -> dict[str, float]:
    """Histogram matching."""
    rng = np.random.default_rng(0)
    picture = (255 * rng.random((1024, 1024, 3)) ** 2).astype(np.uint8)
    style = data.immunohistochemistry()
    jobs: dict[str, Callable[[], object]] = {
        "ours": lambda: stylize(picture, style, "histogram", align=False),
        "aligned": lambda: stylize(picture, style, "histogram"),
        "skimage": lambda: match_histograms(picture, style, channel_axis=-1),
    }
    seconds = interleaved(jobs, repeats, warm_up=1)
    return {
        "histogram: time, ours / scikit-image": seconds["ours"] / seconds["skimage"],
        "histogram: the same with bright and dark told apart": seconds["aligned"] / seconds["skimage"],
    }


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
    parser.add_argument("--lessons", type=int, default=150)
    parser.add_argument("--only", choices=["neural", "fast", "any", "photometric", "memory"])
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    parts: dict[str, Callable[[], dict[str, float]]] = {
        "neural": lambda: neural(given.side, given.steps, given.repeats),
        "fast": lambda: fast(given.lessons, given.repeats),
        "any": lambda: any_style(given.repeats),
        "photometric": lambda: photometric(given.repeats),
        "memory": lambda: memory(given.count),
    }
    chosen = [given.only] if given.only else list(parts)
    rows = {name: value for part in chosen for name, value in parts[part]().items()}
    for name, value in rows.items():
        print(f"{name:<68}{value:>12.3f}")
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
