"""Train a spinal cord model: MR of several contrasts, slices across the cord, one class.

    python recipes/spinal_cord.py --data FOLDER --out FOLDER --teacher sct --minutes 15
    python recipes/spinal_cord.py --data FOLDER --out FOLDER --teacher sct --export FOLDER/spinal-cord

No such model comes with the package: the eight volumes are of two people (``splits.py``), and what one teaches does not
hold for the other in every contrast (``docs/explanation/measured.md``). ``--teacher`` trains on one person, and the
export measures on the other.

Slices are 1 to 17 mm thick and their pixels 0.5 to 1 mm wide. By the rule of ``core/networks/plan.py`` a convolution
looks through slices as soon as they are about as thick as its pixels are wide, which for the thick ones is at the
bottom of the network. To take all of them it is a network of pictures, and goes through a volume slice by slice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import areas
import numpy as np
import splits
import volumes
from numpy.typing import NDArray
from training import options, parsed, say, train
from volumes import Case

from napari_unetstyle.core import evaluate, segment
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.imaging.resample import Resampler, scaled_shape
from napari_unetstyle.core.models.spec import Card, ClassSpec, InputSpec, Measurement, NetworkSpec
from napari_unetstyle.core.networks.unet import UNet
from napari_unetstyle.core.segmentation.planes import PLANES, seen, turned
from napari_unetstyle.core.training.augmentation import (
    Augmentation,
    blur,
    contrast,
    gamma,
    invert,
    low_resolution,
    noise,
    random_convolution,
    saturate,
    shading,
    sharpen,
)
from napari_unetstyle.core.training.patches import Example, Warp

CLASSES = (ClassSpec(value=1, name="spinal cord", color="#4477aa"),)
PEOPLE = ("sct", "unf01")
CONTRASTS: Mapping[str, str] = {"mt0": "MT", "mt1": "MT", "t1w": "T1", "t2star": "T2*", "t2w": "T2"}
SPACING = (0.5, 0.5)
INPUT = InputSpec(channels="gray", spacing=SPACING, unit="mm", region=96)
NETWORK = NetworkSpec(in_channels=1, widths=(16, 32, 64, 128, 256))
WARP = Warp(zoom=(0.7, 1.4), turn=0.6, bend=0.3, focus=0.6)
SIZES = ((12, 48), (10, 64), (6, 96), (3, 160))
BLANK, EMPTY_PIECE = 0.04, 0.06
APPEARANCE: tuple[tuple[float, Augmentation], ...] = (
    (0.3, invert),
    (0.5, gamma),
    (0.4, contrast),
    (0.15, saturate),
    (0.35, random_convolution),
    (0.3, shading),
    (0.25, low_resolution),
    (0.25, blur),
    (0.1, sharpen),
    (0.3, noise),
)


def contrast_of(stem: str) -> str:
    """``"T1"``, ``"T2"``, ``"T2*"`` or ``"MT"``."""
    return CONTRASTS[stem.removeprefix("unf01_").lower()]


def cases(data: Path, person: str) -> dict[str, Case]:
    """The volumes of one person, by stem."""
    wanted = [stem for stem, who in splits.spinal_cords(data).items() if who == person]
    return volumes.cases(data / "spinalcord", wanted)


def plane_across(image: Image) -> str:
    """The plane of slices across the body: volumes are stored in any orientation."""
    along = next(i for i, letter in enumerate(image.geometry.orientation) if letter in "SI")
    return PLANES[along]


def slices(case: Case) -> Iterator[Example]:
    """Slices across the body that show the cord, at the model's pixel size."""
    plane = plane_across(case.image)
    spacing = turned(case.image, plane).geometry.spacing[1:]
    pixels, truth = seen(np.asarray(case.image.array), plane), seen(case.truth, plane)
    shape = pixels.shape[1:]
    target = scaled_shape(shape, tuple(have / want for have, want in zip(spacing, SPACING, strict=True)))
    resampler, whole = Resampler(shape, target), tuple(slice(0, n) for n in target)

    def resampled(values: NDArray[np.generic]) -> NDArray[np.float32]:
        return resampler.apply(np.asarray(values, np.float32)[np.newaxis], whole)

    for image, mask in zip(pixels, truth, strict=True):
        if mask.any():
            yield Example.of_areas(resampled(image), resampled(mask > 0)[0] > 0.5)


def batches(known: Mapping[str, Case]) -> areas.Batches:
    """What some volumes give; contrasts evenly."""
    contrasts: dict[str, list[Example]] = {}
    for stem, case in known.items():
        contrasts.setdefault(contrast_of(stem), []).extend(slices(case))
    return areas.Batches(
        groups=tuple(map(tuple, contrasts.values())),
        sizes=SIZES,
        warp=WARP,
        appearance=APPEARANCE,
        blank=BLANK,
        empty=EMPTY_PIECE,
        side=96,
    )


def measured(model: Path, known: Mapping[str, Case]) -> tuple[Measurement, ...]:
    """Dice and HD95 of each volume, through the whole program; there are too few for an interval."""
    rows = []
    for stem, case in known.items():
        labels = segment(case.image, model=model, plane=plane_across(case.image), device="cpu").labels
        truth = np.asarray(case.truth > 0, np.uint8)
        scores = evaluate(labels, truth, output="areas", spacing=case.image.geometry.spacing, classes=[1])["classes"]
        say(f"{stem}, {contrast_of(stem)}: Dice {scores[1]['dice']:.3f}, HD95 {scores[1]['hd95']:.2f} mm")
        for metric, key in (("Dice", "dice"), ("HD95 in mm", "hd95")):
            value = round(float(scores[1][key]), 4)
            rows.append(Measurement(data=f"{stem}, of another person", metric=metric, value=value, count=1))
    return tuple(rows)


def card(table: tuple[Measurement, ...], training: str) -> Card:
    """What a person must know."""
    return Card(
        purpose="The spinal cord of the neck, as an area, in slices across it in MR of several contrasts.",
        summary="spinal cord: MR, slices across it",
        training_data=f"Volumes of one person, sct_testing_data of the Spinal Cord Toolbox (MIT). {training}",
        license="MIT",
        attribution="De Leener et al., SCT: Spinal Cord Toolbox, NeuroImage 145, 24 (2017)",
        limits=(
            "Taught by one person and tested on one other, both healthy necks: this is no evidence that it works on "
            "a third. Give it slices across the cord (choose the plane). Look at the outlines."
        ),
        measured=table,
    )


def export(data: Path, known: Mapping[str, Case], others: Mapping[str, Case], out: Path, target: Path) -> None:
    """Write the model folder `target` from the checkpoint in `out`; it carries no pictures."""
    areas.export(
        name="spinal-cord",
        network=NETWORK,
        given=INPUT,
        classes=CLASSES,
        out=out,
        target=target,
        batches=batches(known),
        amount="about 0.05 Mpx",
        card=card,
        measured=lambda model: measured(model, others),
        memory=(),
    )


def main() -> None:
    """Read the command line."""
    parser = options(__doc__, minutes=15)
    parser.add_argument("--teacher", choices=PEOPLE, required=True, help="train on this person, measure on the other")
    given = parsed(parser)
    known = cases(given.data, given.teacher)
    if given.export:
        other = PEOPLE[1 - PEOPLE.index(given.teacher)]
        export(given.data, known, cases(given.data, other), given.out, given.export)
    else:
        train(UNet(NETWORK, 1 + len(CLASSES)), batches(known), partial(areas.loss, amp=given.amp), given)


if __name__ == "__main__":
    main()
