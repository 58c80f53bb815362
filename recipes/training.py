"""What the recipes share: the command line and the loop around ``core.training.fit``."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bundle
import numpy as np
import torch
from torch import Tensor, nn

from napari_unetstyle.core.training.fit import fit
from napari_unetstyle.core.training.options import FitOptions

Draw = Callable[[np.random.Generator], Any]
Loss = Callable[[nn.Module, Any], Tensor]


def arguments(doc: str | None, minutes: float, rate: float = 2e-3) -> argparse.Namespace:
    """The options every recipe has, as they were given."""
    return parsed(options(doc, minutes, rate))


def options(doc: str | None, minutes: float, rate: float = 2e-3) -> argparse.ArgumentParser:
    """The options every recipe has; a recipe may add its own."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the annotated pictures")
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoint and the TensorBoard log")
    parser.add_argument("--minutes", type=float, default=minutes, help="training time in all (default %(default)s)")
    parser.add_argument("--steps", type=int, help="optimizer steps instead: the same weights each time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--amp", action="store_true", help="bfloat16, for processors that compute it faster")
    parser.add_argument("--compile", action="store_true", help="a faster network, after minutes of compiling")
    parser.add_argument("--start", type=Path, metavar="FOLDER", help="begin with the weights of this model or training")
    parser.add_argument("--rate", type=float, default=rate, help="highest learning rate (default %(default)s)")
    parser.add_argument("--export", type=Path, metavar="MODEL", help="write this model folder; do not train")
    return parser


def parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """What was given; threads and seed are set."""
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(given.seed)
    return given


def train(network: nn.Module, draw: Draw, loss: Loss, given: argparse.Namespace, averaging: float = 0.998) -> None:
    """Train as was asked for, or go on training from the checkpoint in ``--out``."""
    if given.start is not None:
        bundle.begin_with(network, given.start)
    if given.compile:
        network.compile(dynamic=False)
    length = {"minutes": given.minutes} if given.steps is None else {"steps": given.steps}
    options = FitOptions(**length, averaging=averaging, learning_rate=given.rate, seed=given.seed, folder=given.out)
    for count, progress in enumerate(fit(network, draw, loss, options)):
        if count % 20 == 0:
            say(f"{progress.fraction:.1%} {progress.message}")


def logits(network: nn.Module, images: Tensor, *, amp: bool) -> Tensor:
    """What the network gives, in float32; computed in bfloat16 if `amp`, which its weights never are."""
    with torch.autocast("cpu", torch.bfloat16, enabled=amp):
        given: Tensor = network(images)
    return given.float()


def say(text: str) -> None:
    """Tell the person at the terminal, at once."""
    print(text, flush=True)
