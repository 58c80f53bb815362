"""Train the hippocampus model: T1-weighted MR, anterior and posterior part, in volumes.

    python recipes/hippocampus.py --data FOLDER --out FOLDER --minutes 90
    python recipes/hippocampus.py --data FOLDER --out FOLDER --export FOLDER/hippocampus

Split by case (see ``splits.py``). The files differ in intensity by a factor of 1000 and are stored in one
orientation; training normalizes each patch for itself and mirrors it along every axis, so that neither matters.
The weights stand under the license of the data, CC BY-SA 4.0.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import areas
import memories
import numpy as np
import seen
import splits
import volumes
from areas import Labels
from measure import interval
from torch import Tensor
from training import arguments, train
from volumes import Case

from napari_unetstyle.core import evaluate, segment
from napari_unetstyle.core.files import atomic_write
from napari_unetstyle.core.models.folder import LICENSE
from napari_unetstyle.core.models.spec import Card, ClassSpec, InputSpec, Measurement, NetworkSpec
from napari_unetstyle.core.models.store import BUNDLED
from napari_unetstyle.core.networks.plan import plan
from napari_unetstyle.core.networks.unet import UNet
from napari_unetstyle.core.training.augmentation import (
    Augmentation,
    appear,
    blur,
    contrast,
    gamma,
    low_resolution,
    noise,
    random_convolution,
    saturate,
    shading,
    sharpen,
)
from napari_unetstyle.core.training.blanks import blank
from napari_unetstyle.core.training.patches import Example, Warp, draw_patch

CLASSES = (
    ClassSpec(value=1, name="anterior", color="#4477aa"),
    ClassSpec(value=2, name="posterior", color="#ee6677"),
)
SPACING = (1.0, 1.0, 1.0)
TOLERANCE = 1.0
SIDES = (32, 48, 32)
STRIDES, KERNELS = plan(SPACING, SIDES)
INPUT = InputSpec(channels="gray", spacing=SPACING, unit="mm", region=48, orientation="SAR")
NETWORK = NetworkSpec(spatial_dims=3, in_channels=1, widths=(16, 32, 64, 128), strides=STRIDES, kernels=KERNELS)
WARP = Warp(zoom=(0.8, 1.25), turn=0.6, angle=0.5, tilt=0.3, bend=0.3, amplitude=3.0, focus=0.5, exchange=False)
BATCHES = ((3, SIDES), (4, (32, 40, 24)), (2, (40, 56, 40)))
BLANK = 0.03
APPEARANCE: tuple[tuple[float, Augmentation], ...] = (
    (0.4, gamma),
    (0.3, contrast),
    (0.1, saturate),
    (0.05, random_convolution),
    (0.3, shading),
    (0.15, low_resolution),
    (0.15, blur),
    (0.1, sharpen),
    (0.3, noise),
)


def cases(data: Path, part: splits.Part) -> dict[str, Case]:
    """The volumes of one part, by stem."""
    wanted = [stem for stem, place in splits.hippocampus(data).items() if place == part]
    return volumes.cases(data / "hippocampus", wanted)


@dataclass(frozen=True)
class Batches:
    """Draws batches of normalized images ``(N, 1, Z, Y, X)`` and classes ``(N, Z, Y, X)``."""

    examples: tuple[Example, ...]

    @classmethod
    def of(cls, data: Path) -> Batches:
        """From the training part."""
        known = cases(data, "train").values()
        return cls(tuple(Example.of_areas(np.asarray(case.image.array)[np.newaxis], case.truth) for case in known))

    def __call__(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """One batch from a generator."""
        count, sides = BATCHES[rng.integers(len(BATCHES))]
        return areas.batch([self.patch(sides, rng) for _ in range(count)])

    def patch(self, sides: tuple[int, ...], rng: np.random.Generator) -> Example:
        """One augmented patch, intensity not yet normalized."""
        if rng.random() < BLANK:
            return blank(1, sides, rng)
        warp = replace(WARP, zoom=(0.95, 1.05)) if rng.random() < 0.3 else WARP
        patch = draw_patch(self._example(rng), sides, warp, rng)
        return replace(patch, image=appear(patch.image, rng, APPEARANCE))

    def plain(self, rng: np.random.Generator) -> Tensor:
        """Images of four patches, not augmented in appearance."""
        return areas.normalized([draw_patch(self._example(rng), SIDES, WARP, rng) for _ in range(4)])

    def _example(self, rng: np.random.Generator) -> Example:
        return self.examples[rng.integers(len(self.examples))]


def memorable(data: Path, part: splits.Part) -> list[memories.Picture]:
    """Volumes of one part as the model may carry them."""
    known = cases(data, part).values()
    return [(np.asarray(case.image.array)[np.newaxis], memories.area_targets(case.truth)) for case in known]


def measured(model: Path, data: Path) -> tuple[Measurement, ...]:
    """Dice of each class, and of the test cases distances, through the whole program."""

    def of(part: splits.Part) -> list[tuple[Labels, Labels]]:
        return [(segment(case.image, model=model).labels, case.truth) for case in cases(data, part).values()]

    val, test = of("val"), of("test")
    rows = (
        areas.dice_rows(found, CLASSES, f"hippocampus, {part} cases") for part, found in (("val", val), ("test", test))
    )
    return (*itertools.chain(*rows), *distance_rows(test, "hippocampus, test cases"))


def distance_rows(found: Sequence[tuple[Labels, Labels]], data: str) -> tuple[Measurement, ...]:
    """Mean HD95 and NSD of each class over pairs of class values (found, true), and how sure they are."""
    classes = [c.value for c in CLASSES]
    scores = [
        evaluate(labels, np.asarray(truth), SPACING, tolerance=TOLERANCE, classes=classes)["classes"]
        for labels, truth in found
    ]
    rows = []
    for known in CLASSES:
        for name, metric in (("hd95", "HD95 in mm"), ("nsd", f"NSD at {TOLERANCE:g} mm")):
            values = [score[known.value][name] for score in scores]
            low, high = interval(values)
            row = {"value": float(np.mean(values)), "low": low, "high": high}
            rounded = {key: round(value, 4) for key, value in row.items()}
            rows.append(Measurement(data=f"{data}, {known.name}", metric=metric, count=len(values), **rounded))
    return tuple(rows)


def card(table: tuple[Measurement, ...], training: str) -> Card:
    """What a person must know."""
    return Card(
        purpose="Anterior and posterior hippocampus, as areas of two classes, in T1-weighted MR volumes.",
        summary="hippocampus, anterior and posterior: MR volumes",
        training_data=(
            "Volumes of Task04 Hippocampus, Medical Segmentation Decathlon (CC BY-SA 4.0): crops of about "
            f"35 x 50 x 35 mm around one hippocampus, 1 mm voxels. {training}"
        ),
        license="CC-BY-SA-4.0",
        attribution=(
            "Antonelli et al., The Medical Segmentation Decathlon, Nature Communications 13, 4128 (2022); data of "
            "Vanderbilt University Medical Center, CC BY-SA 4.0. The weights were made from them and stand under the "
            "same license."
        ),
        limits=(
            "Crops around one hippocampus only: in a whole head it will mark other tissue; choose the part first. "
            "Healthy adults and adults with psychotic disorder, one center, T1-weighted MPRAGE; other contrasts, "
            "children and lesions were not trained. Look at the outlines."
        ),
        measured=table,
    )


def export(data: Path, out: Path, target: Path) -> None:
    """Write the model folder `target` from the checkpoint in `out`, with the text of the license."""
    atomic_write(target / LICENSE, (BUNDLED / "hippocampus" / LICENSE).read_bytes())
    areas.export(
        name="hippocampus",
        network=NETWORK,
        given=INPUT,
        classes=CLASSES,
        out=out,
        target=target,
        batches=Batches.of(data),
        amount="about 0.15 megavoxels",
        card=card,
        measured=lambda model: measured(model, data),
        memory=memories.memories({part: memorable(data, part) for part in ("train", "val")}),
    )
    seen.state(target, data)


def main() -> None:
    """Read the command line."""
    given = arguments(__doc__, minutes=90)
    if given.export:
        export(given.data, given.out, given.export)
    else:
        train(UNet(NETWORK, 1 + len(CLASSES)), Batches.of(given.data), partial(areas.loss, amp=given.amp), given)


if __name__ == "__main__":
    main()
