"""How good the bundled models are, on pictures their training never saw, beside what else there is.

    python benchmarks/segment_quality.py --data FOLDER [--minutes 60] [--amp] [--only monai-basicunet] [--json FILE]

For each domain of the nuclei: mean Dice of nucleus pixels, mean AP at IoU 0.5 of objects, both with a 95 %
interval by bootstrap over pictures, and the error of the count per picture, median and worst. The split is that
of ``recipes/splits.py`` (by picture, look-alikes together; by animal for the axons).

ours                  the bundled model, through ``napari_unetstyle.core.segment``, as a person would call it
otsu                  smoothing, Otsu, distance watershed with h-maxima (scikit-image)
ours-as-long          our network, taught from nothing as its recipe does it, for as many minutes as
monai-basicunet       MONAI's BasicUNet, and
nnunet-plainconvunet  nnU-Net's own network with nnU-Net's augmentation, loss and optimizer: both with three classes
                      (inside, boundary), on the same split, each ``--minutes`` of as many threads

What is trained is kept in ``--work`` and not trained again; a training that was interrupted goes on there. Its minutes
are those of the processor, so that other programs take no steps away. Peers: `pip install --group bench`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.io import imread

sys.path.insert(0, str(Path(__file__).parent.parent / "recipes"))
import nuclei
import splits
from areas import dice
from cells import busy
from measure import Score, interval, score
from quality_peers import PEERS, otsu_watershed

from napari_unetstyle.core import ModelStore, segment
from napari_unetstyle.core.models.model import Model
from napari_unetstyle.core.networks.unet import UNet
from napari_unetstyle.core.progress import run
from napari_unetstyle.core.training.fit import fit
from napari_unetstyle.core.training.options import FitOptions

Pair = tuple[NDArray[Any], NDArray[Any]]
Method = Callable[[NDArray[Any]], NDArray[Any]]


@dataclass(frozen=True)
class Row:
    """One method on one domain."""

    domain: str
    method: str
    pictures: int
    dice: float
    dice_interval: tuple[float, float]
    precision: float
    precision_interval: tuple[float, float]
    count_error_median: float
    count_error_worst: int

    @classmethod
    def of(cls, domain: str, method: str, scores: Sequence[Score]) -> Row:
        """Means over pictures."""
        dice, precision = [s.dice for s in scores], [s.precision for s in scores]
        errors = [abs(s.found - s.there) for s in scores]
        return cls(
            domain,
            method,
            len(scores),
            float(np.mean(dice)),
            interval(dice),
            float(np.mean(precision)),
            interval(precision),
            float(np.median(errors)),
            max(errors),
        )

    def __str__(self) -> str:
        def span(value: float, ends: tuple[float, float]) -> str:
            return f"{value:.3f} ({ends[0]:.3f} to {ends[1]:.3f})"

        return (
            f"{self.domain:<12} {self.method:<22} {self.pictures:>3}  {span(self.dice, self.dice_interval)}  "
            f"{span(self.precision, self.precision_interval)}  "
            f"{self.count_error_median:>5g} {self.count_error_worst:>5}"
        )


def nuclei_pictures(data: Path, domain: str, part: splits.Part) -> list[Pair]:
    """Stored pixels and object ids of one part of a domain."""
    folder = data / "nuclei" / domain
    stems = sorted(stem for stem, place in splits.nuclei(data, domain).items() if place == part)
    return [(imread(folder / "images" / f"{s}.png"), imread(folder / "instances" / f"{s}.png")) for s in stems]


def methods(options: argparse.Namespace) -> Iterator[tuple[str, Method]]:
    """Those that are asked for; what has to be trained is trained when its turn comes."""
    wanted = options.only.split(",")
    if "ours" in wanted:
        yield "ours", ours(ModelStore().load("nuclei"))
    if "otsu" in wanted:
        yield "otsu", otsu_watershed
    if "ours-as-long" in wanted:
        yield "ours-as-long", ours(taught_from_nothing(options))
    training = [nuclei_pictures(options.data, domain, "train") for domain in splits.NUCLEI]
    for peer in (peer for peer in PEERS if peer.name in wanted):
        network = peer.trained(training, options.minutes, options.work, clock=busy(options.threads), amp=options.amp)
        yield peer.name, partial(peer.objects, network)


def ours(model: Model) -> Method:
    """One of our models, as a person would call it."""
    return lambda picture: segment(picture, model=model).labels


def taught_from_nothing(options: argparse.Namespace) -> Model:
    """A model that the recipe makes in the given time."""
    torch.manual_seed(0)
    network = UNet(nuclei.NETWORK, 2 + len(nuclei.SEPARATIONS))
    batches = nuclei.training_batches(options.data)
    folder = options.work / f"ours-{options.minutes:g}-minutes"
    how = FitOptions(minutes=options.minutes, averaging=0.998, learning_rate=2e-3, folder=folder)
    state = run(fit(network, batches, partial(nuclei.loss, amp=options.amp), how, clock=busy(options.threads)))
    print(f"ours: {state.step} steps of about 0.14 Mpx", flush=True)
    spec, thin = nuclei.finished(state.average, batches, options.data)
    return Model.in_memory(spec, cast("UNet", thin.eval()))


def nuclei_rows(options: argparse.Namespace) -> list[Row]:
    """Print and return the table of the nuclei."""
    print(f"{'':<12} {'':<22} {'n':>3}  {'Dice':<22}  {'AP@0.5':<22}  count error: median, worst")
    rows = []
    tests = {domain: nuclei_pictures(options.data, domain, "test") for domain in splits.NUCLEI}
    for name, method in methods(options):
        for domain, known in tests.items():
            rows.append(Row.of(domain, name, [score(method(picture), truth) for picture, truth in known]))
            print(rows[-1], flush=True)
    return rows


def axon_rows(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Print and return Dice of myelin and axon on animals that were not trained on."""
    folder, model = options.data / "axon_sem", ModelStore().load("axon-myelin")
    stems = sorted(stem for stem, place in splits.axons(options.data).items() if place == "test")
    rows = []
    for stem in stems:
        labels = segment(imread(folder / "images" / f"{stem}.png"), model=model).labels
        truth = imread(folder / "masks" / f"{stem}.png")
        by_class = {c.name: dice(labels == c.value, truth == c.value) for c in model.spec.classes}
        rows.append({"picture": stem, **by_class})
        print(f"axon_sem     {stem:<26} " + ", ".join(f"{name} Dice {value:.3f}" for name, value in by_class.items()))
    return rows


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds nuclei/ and axon_sem/")
    parser.add_argument("--minutes", type=float, default=60.0, help="training time of each (default %(default)s)")
    parser.add_argument("--amp", action="store_true", help="train all of them in bfloat16")
    names = ("ours", "otsu", "ours-as-long", *(peer.name for peer in PEERS))
    parser.add_argument("--only", default=",".join(names), help="methods (default %(default)s)")
    parser.add_argument("--work", type=Path, default=Path("quality-work"), help="folder that keeps trained peers")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    nuclei, axons = nuclei_rows(options), axon_rows(options)
    if options.json:
        options.json.write_text(json.dumps({"nuclei": [asdict(row) for row in nuclei], "axon_sem": axons}, indent=2))


if __name__ == "__main__":
    main()
