"""Train the bundled network that gives pictures any style in one pass.

    python recipes/any_style.py --data FOLDER --out WORK [--minutes 90] [--seed 0]
    python recipes/any_style.py --data FOLDER --out WORK --export src/napari_unetstyle/core/style/bundled

Each step takes two styles and a part of another picture for each; the part is matched to the style in polarity and
color first, as `stylize` does, so that texture is what is left to learn. Styles are parts of pictures of the training
share (see splits.py), enlarged or reduced, blurred, sharpened or with noise, so that there are more textures than
kinds of pictures. No label is used. The loss is that of ``core.style.perceptual`` with random features (He, Wang and
Hopcroft 2016): no weights of others are needed, and no license of theirs holds.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import splits
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn
from training import arguments, say, train

from napari_unetstyle.core import Reference, StyleOptions, read_image
from napari_unetstyle.core.networks.any_style_net import AnyStyleNet
from napari_unetstyle.core.networks.features import random_features
from napari_unetstyle.core.networks.spec import AnyStyleSpec
from napari_unetstyle.core.style.any_style import FILE, write
from napari_unetstyle.core.style.change import change_of
from napari_unetstyle.core.style.perceptual import Aim, PerceptualLoss
from napari_unetstyle.core.style.pixels import Pixels, channels_first, to_unit
from napari_unetstyle.core.style.span import Span
from napari_unetstyle.core.training.fit import Fit
from napari_unetstyle.core.training.options import FitOptions

SIDE, STYLE_SIDE = 96, 128  # pixels of what is learned from
STYLES, PARTS = 2, 1  # in a step
THIN = 40  # pixels along the shorter side of a slice
EMPTY = 0.02  # deviation of a part that shows nothing
SCANS = ("spinalcord/images/*.nii.gz", "totalseg_examples/images/*.nii.gz")
LICENSE = (
    "Trained with pictures of BBBC038v1 (CC0; Caicedo et al., Nature Methods 2019), AxonDeepSeg (MIT; Zaimi et al., "
    "Scientific Reports 2018), the Spinal Cord Toolbox's test data (MIT; De Leener et al., NeuroImage 2017) and "
    "TotalSegmentator's example data (Apache-2.0; Wasserthal et al., Radiology: AI 2023)."
)


@dataclass(frozen=True, eq=False)
class Kind:
    """Pictures of one kind, ``(3, *spatial)`` in 0..1."""

    name: str
    pictures: list[Pixels]

    def part(self, dice: np.random.Generator, side: int) -> Pixels:
        """Of a slice of one of them, ``(3, side, side)`` at most, with something in it if that can be found."""
        for _ in range(8):
            plane = self._plane(dice)
            y, x = (int(dice.integers(max(0, n - side) + 1)) for n in plane.shape[1:])
            found = plane[:, y : y + side, x : x + side]
            if found.std() > EMPTY:
                break
        turned = np.rot90(found, int(dice.integers(4)), axes=(1, 2))
        return np.ascontiguousarray(turned[..., ::-1] if dice.integers(2) else turned)

    def _plane(self, dice: np.random.Generator) -> Pixels:
        """A picture, or a slice of a volume along an axis across which it is not thin."""
        picture = self.pictures[dice.integers(len(self.pictures))]
        if picture.ndim == 3:
            return picture
        sides = [[picture.shape[other] for other in {1, 2, 3} - {axis}] for axis in (1, 2, 3)]
        across = [axis for axis, pair in enumerate(sides, 1) if min(pair) >= THIN]
        axis = int(dice.choice(across))
        return picture.take(int(dice.integers(picture.shape[axis])), axis=axis)


def pictures(data: Path) -> list[Kind]:
    """The training share of each kind."""
    files = {}
    for domain in splits.NUCLEI:
        part = splits.nuclei(data, domain)
        folder = data / "nuclei" / domain / "images"
        files[domain] = [p for p in sorted(folder.glob("*.png")) if part[p.stem] == "train"]
    part = splits.axons(data)
    files["axon_sem"] = [p for p in sorted((data / "axon_sem" / "images").glob("*.png")) if part[p.stem] == "train"]
    for pattern in SCANS:
        files[pattern.split("/")[0]] = sorted(data.glob(pattern))
    return [Kind(name, [_read(path) for path in paths]) for name, paths in files.items()]


def _read(path: Path) -> Pixels:
    unit = to_unit(channels_first(read_image(path)))[0].clip(0, 1)
    return np.repeat(unit, 3, axis=0) if len(unit) == 1 else unit[:3]


def varied(style: Pixels, dice: np.random.Generator) -> Pixels:
    """A style of the same kind: larger or smaller, softer or sharper, noisier."""
    zoom = float(np.exp(dice.uniform(np.log(0.6), np.log(1.8))))
    sides = [max(64, round(n * zoom)) for n in style.shape[1:]]
    made = ndimage.zoom(style, (1, *(s / n for s, n in zip(sides, style.shape[1:], strict=True))), order=1)
    if dice.random() < 0.3:
        made = ndimage.gaussian_filter(made, (0, *[dice.uniform(0.3, 1.5)] * 2))
    elif dice.random() < 0.3:
        made = made + dice.uniform(0.3, 1.0) * (made - ndimage.gaussian_filter(made, (0, 1, 1)))
    if dice.random() < 0.4:
        grain = dice.normal(0, dice.uniform(0.01, 0.1), made.shape).astype(np.float32)
        is_gray = np.ptp(made, axis=0).max() < 1e-3
        made = made + (grain[:1] if is_gray else grain)
    return made.clip(0, 1).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Lesson:
    """A style and parts of pictures that are matched to it, ``(1, 3, Y, X)`` as the network sees them."""

    style: Tensor
    starts: list[Tensor]


def lesson(kinds: list[Kind], dice: np.random.Generator) -> Lesson:
    """One style, and parts of pictures of other kinds (one time in four of the same)."""
    chosen = int(dice.integers(len(kinds)))
    style = varied(kinds[chosen].part(dice, STYLE_SIDE), dice)
    wanted = Reference.of_unit(style)
    span = Span.of(wanted, 3)
    starts = []
    for _ in range(PARTS):
        other = chosen if dice.random() < 0.25 else int(dice.integers(len(kinds)))
        part = kinds[other].part(dice, SIDE)
        start = change_of(Reference.of_unit(part), wanted, StyleOptions())(part).clip(0, 1)
        starts.append(_tensor(span.into(start)))
    return Lesson(_tensor(span.into(style)), starts)


def _tensor(pixels: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels, np.float32))[None]


def main() -> None:
    """Read the command line, train, or export."""
    given: argparse.Namespace = arguments(__doc__, minutes=90, rate=3e-3)
    network = AnyStyleNet(AnyStyleSpec(), given.seed)
    if given.export:
        state = Fit.of(network, FitOptions(steps=1))
        if not state.load(given.out):
            raise SystemExit(f"There is no checkpoint in {given.out}; train first.")
        about = {"license": LICENSE, "recipe": f"any_style.py, {state.step} steps, seed {given.seed}"}
        write(state.average, given.export / FILE, about)
        say(f"wrote {given.export / FILE}, {state.step} steps, loss {state.loss:.3f}")
        return
    kinds = pictures(given.data)
    say(", ".join(f"{kind.name} {len(kind.pictures)}" for kind in kinds))
    features = random_features(0, "average")

    def draw(dice: np.random.Generator) -> list[Lesson]:
        return [lesson(kinds, dice) for _ in range(STYLES)]

    def loss(network: nn.Module, batch: list[Lesson]) -> Tensor:
        values = []
        for one in batch:
            aim = Aim.of(features, [one.style], content_weight=1e5, style_weight=1e10, smoothness=1e-2)
            wanted = network.look(one.style)
            values += [PerceptualLoss(aim, start)(network(start, wanted)) for start in one.starts]
        return torch.stack(values).mean()

    train(network, draw, loss, given, averaging=0.99)


if __name__ == "__main__":
    main()
