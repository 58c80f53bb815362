"""Train the bundled nuclei model: fluorescence, H&E and brightfield, gray or RGB.

    python recipes/nuclei.py --data FOLDER --out FOLDER --minutes 70

The training can be stopped at any time and goes on when started again with the same folder; ``--export NAME``
writes a model folder from the latest checkpoint instead of training. All three seed maps (distance, boundary,
center) are trained on one trunk; the export keeps the one that separates best on validation pictures.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from skimage.io import imread
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent))
import splits

from napari_unetstyle.core.models.spec import InputSpec, NetworkSpec
from napari_unetstyle.core.networks.unet import UNet
from napari_unetstyle.core.segmentation.preprocessing import Intensity, select_channels
from napari_unetstyle.core.training.augmentation import STRONG, appear
from napari_unetstyle.core.training.blanks import background, blank, sparse
from napari_unetstyle.core.training.fit import FitOptions, fit
from napari_unetstyle.core.training.losses import class_loss, seed_loss
from napari_unetstyle.core.training.patches import Example, Warp, draw_patch
from napari_unetstyle.core.training.targets import seed_target

SEPARATIONS = ("distance", "boundary", "center")
INPUT = InputSpec(channels="rgb")
NETWORK = NetworkSpec(in_channels=3, widths=(16, 32, 64, 128, 256))
BATCHES = ((8, 160), (6, 192), (3, 256))
DIAMETERS = (8.0, 75.0)
BLANK, EMPTY_PIECE, SPARSE = 0.06, 0.03, 0.10


@dataclass(frozen=True)
class Source:
    """A training picture and the warp that keeps its objects' size within what the model is to handle."""

    example: Example
    warp: Warp


@dataclass(frozen=True)
class Batch:
    """Normalized images ``(N, 3, Y, X)``, classes ``(N, Y, X)`` and seed maps ``(N, 3, Y, X)``."""

    images: Tensor
    classes: Tensor
    seeds: Tensor


def examples(data: Path, domain: str, part: splits.Part) -> dict[str, Example]:
    """Pictures of one part of a domain, by stem, as three channels."""
    folder = data / "nuclei" / domain
    return {stem: read_example(folder, stem) for stem, place in splits.nuclei(data, domain).items() if place == part}


def read_example(folder: Path, stem: str) -> Example:
    """One picture with its objects."""
    pixels = np.atleast_3d(imread(folder / "images" / f"{stem}.png"))
    image = select_channels(np.moveaxis(pixels, -1, 0), INPUT, 3)
    return Example.of(image, imread(folder / "instances" / f"{stem}.png"))


def source(example: Example) -> Source:
    """Scale factors 0.5 to 2, as far as the picture's nuclei stay between 8 and 75 pixels."""
    areas = np.bincount(example.labels[1].ravel())[1:]
    diameter = float(np.median(2 * np.sqrt(areas[areas > 0] / np.pi))) if areas.any() else 20.0
    low, high = np.clip(np.array(DIAMETERS) / diameter, 0.5, 2.0)
    crowded = (example.labels[0] > 0).mean() > 0.05
    return Source(example, Warp(zoom=(float(min(low, 1)), float(max(high, 1))), focus=0.25 if crowded else 0.7))


@dataclass(frozen=True)
class Batches:
    """Draws batches: domains evenly, patch sizes in turn at random, some blank and some sparse."""

    domains: Sequence[Sequence[Source]]

    def __call__(self, rng: np.random.Generator) -> Batch:
        """One batch from a generator."""
        count, side = BATCHES[rng.integers(len(BATCHES))]
        patches = [self.patch((side, side), rng) for _ in range(count)]
        images = [Intensity.of(p.image.reshape(3, -1)).normalize(p.image) for p in patches]
        seeds = [np.stack([seed_target(p.labels[1], name) for name in SEPARATIONS]) for p in patches]
        classes = np.stack([p.labels[0] for p in patches]).astype(np.int64)
        return Batch(torch.from_numpy(np.stack(images)), torch.from_numpy(classes), torch.from_numpy(np.stack(seeds)))

    def patch(self, shape: tuple[int, int], rng: np.random.Generator) -> Example:
        """One augmented patch, intensity not yet normalized."""
        kind = rng.random()
        if kind < BLANK:
            return blank(3, shape, rng)
        pictures = self.domains[rng.integers(len(self.domains))]
        chosen = pictures[rng.integers(len(pictures))]
        patch = background(chosen.example, shape, rng) if kind < BLANK + EMPTY_PIECE else None
        if patch is None:
            patch = draw_patch(chosen.example, shape, self._warp(chosen.warp, rng), rng)
            if kind > 1 - SPARSE:
                patch = sparse(patch, rng)
        return replace(patch, image=appear(patch.image, rng, STRONG))

    @staticmethod
    def _warp(warp: Warp, rng: np.random.Generator) -> Warp:
        return replace(warp, zoom=(0.95, 1.05)) if rng.random() < 0.35 else warp


def loss(network: nn.Module, batch: Batch) -> Tensor:
    """Class loss plus the seed maps' mean loss."""
    logits = network(batch.images)
    return class_loss(logits[:, :2], batch.classes) + 1.5 * seed_loss(logits[:, 2:], batch.seeds)


def train(data: Path, out: Path, minutes: float, seed: int, say: Callable[[str], None]) -> None:
    """Train or go on training; the checkpoint is in `out`."""
    torch.manual_seed(seed)
    domains = [[source(e) for e in examples(data, d, "train").values()] for d in splits.NUCLEI]
    network = UNet(NETWORK, 2 + len(SEPARATIONS))
    options = FitOptions(minutes=minutes, seed=seed, folder=out)
    for count, progress in enumerate(fit(network, Batches(domains), loss, options)):
        if count % 20 == 0:
            say(f"{progress.fraction:.1%} {progress.message}")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds nuclei/")
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoint and log")
    parser.add_argument("--minutes", type=float, default=70, help="training time")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    train(given.data, given.out, given.minutes, given.seed, lambda text: print(text, flush=True))


if __name__ == "__main__":
    main()
