"""Train the bundled axon and myelin model: scanning electron microscopy, areas of two classes.

    python recipes/axon_myelin.py --data FOLDER --out FOLDER --minutes 164
    python recipes/axon_myelin.py --data FOLDER --out FOLDER --export FOLDER/axon-myelin

Split by animal (see ``splits.py``). The pixel sizes of these pictures differ and are not in the files, so the
training scales them from 0.6 to 2.5. A fifth of the patches are empty: with a twentieth, 1844 steps left a
fifth of an empty picture as axons and sheaths. The bundled weights had 4000 steps: 1844 with that twentieth, 524 with a
fifth to the end of a schedule, and 1632 from the middle of one of 4000; and then 1221 steps of

    python recipes/axon_myelin.py --data FOLDER --out FOLDER --start MODEL --minutes 26 --rate 1e-3 --clouds 0.5 --amp

As the learning rate followed the clock, and bfloat16 needs a processor that has it, nobody gets the same bits again.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import areas
import memories
import numpy as np
import seen
import splits
from skimage.io import imread
from training import options, parsed, train

from napari_unetstyle.core import segment
from napari_unetstyle.core.files import atomic_write
from napari_unetstyle.core.models.folder import LICENSE
from napari_unetstyle.core.models.spec import Card, ClassSpec, InputSpec, Measurement, NetworkSpec, Postprocessing
from napari_unetstyle.core.models.store import BUNDLED
from napari_unetstyle.core.networks.unet import UNet
from napari_unetstyle.core.segmentation.preprocessing import select_channels
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
    shot_noise,
)
from napari_unetstyle.core.training.patches import Example, Warp

CLASSES = (
    ClassSpec(value=1, name="myelin", color="#4477aa"),
    ClassSpec(value=2, name="axon", color="#ee6677"),
)
INPUT = InputSpec(channels="gray")
NETWORK = NetworkSpec(in_channels=1, widths=(16, 32, 64, 128, 256))
WARP = Warp(zoom=(0.6, 2.5), turn=0.5, bend=0.2, focus=0.0)
SIZES = ((8, 160), (6, 192), (3, 256))
BLANK, EMPTY_PIECE = 0.2, 0.03
SMALLEST = Postprocessing(min_size="20 px2")  # no Dice changes by 0.0005; blanks with specks: 2, not 27, of 200
APPEARANCE: tuple[tuple[float, Augmentation], ...] = (
    (0.15, invert),
    (0.4, gamma),
    (0.4, contrast),
    (0.15, saturate),
    (0.07, random_convolution),
    (0.3, shading),
    (0.2, low_resolution),
    (0.25, blur),
    (0.1, sharpen),
    (0.3, noise),
    (0.15, shot_noise),
)


def pictures(data: Path, part: splits.Part) -> dict[str, tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
    """Stored pixels and class values of one part, by stem."""
    folder = data / "axon_sem"
    stems = [stem for stem, place in splits.axons(data).items() if place == part]
    return {s: (imread(folder / "images" / f"{s}.png"), imread(folder / "masks" / f"{s}.png")) for s in sorted(stems)}


def memorable(data: Path, part: splits.Part) -> list[memories.Picture]:
    """Pictures of one part as the model may carry them."""
    known = pictures(data, part).values()
    return [(np.moveaxis(np.atleast_3d(pixels), -1, 0), memories.area_targets(truth)) for pixels, truth in known]


def batches(data: Path, clouds: float = 0.0) -> areas.Batches:
    """What the training part gives; animals evenly."""
    animals: dict[str, list[Example]] = {}
    for stem, (pixels, classes) in pictures(data, "train").items():
        image = select_channels(np.moveaxis(np.atleast_3d(pixels), -1, 0), INPUT, 1)
        animals.setdefault(stem.split("_")[0], []).append(Example.of_areas(image, classes))
    return areas.Batches(
        groups=tuple(map(tuple, animals.values())),
        sizes=SIZES,
        warp=WARP,
        appearance=APPEARANCE,
        blank=BLANK,
        empty=EMPTY_PIECE,
        side=256,
        as_is=0.3,
        clouds=clouds,
    )


def measured(model: Path, data: Path) -> tuple[Measurement, ...]:
    """Dice of each class, through the whole program."""

    def of(part: splits.Part) -> tuple[Measurement, ...]:
        found = [(segment(pixels, model=model).labels, truth) for pixels, truth in pictures(data, part).values()]
        return areas.dice_rows(found, CLASSES, "axon_sem, other animals")

    of("val")
    return of("test")


def card(table: tuple[Measurement, ...], training: str) -> Card:
    """What a person must know."""
    return Card(
        purpose="Axons and their myelin sheaths, as areas of two classes, in scanning electron microscopy.",
        summary="axon and myelin: scanning EM",
        training_data=f"Four pictures of two rats' spinal cord, data_axondeepseg_sem (MIT). {training}",
        license="MIT",
        attribution="Zaimi et al., AxonDeepSeg, Scientific Reports 8, 3816 (2018); data doi:10.5281/zenodo.5498378",
        limits=(
            "Myelin brighter than axon and ground, axons of about 8 to 80 pixels across; transmission EM and light "
            "microscopy were not trained. Touching sheaths are one area. Areas of less than 20 pixels are left out, "
            "because that was measured to help: of 200 pictures with nothing in them 198 instead of 173 stay empty, "
            "and no Dice on the validation picture and both test pictures changes by 0.0005. Of pictures with nothing "
            "in them a few soft clouds get areas, of up to 0.3 % of the picture. Few animals were "
            "measured, so the interval says little about other laboratories; look at the outlines."
        ),
        measured=table,
    )


def export(data: Path, out: Path, target: Path, start: Path | None = None) -> None:
    """Write the model folder `target` from the checkpoint in `out`, with the text of the license."""
    atomic_write(target / LICENSE, (BUNDLED / "axon-myelin" / LICENSE).read_bytes())
    areas.export(
        name="axon-myelin",
        network=NETWORK,
        given=INPUT,
        classes=CLASSES,
        out=out,
        target=target,
        batches=batches(data),
        amount="about 0.2 Mpx",
        card=card,
        measured=lambda model: measured(model, data),
        memory=memories.memories({part: memorable(data, part) for part in ("train", "val")}),
        postprocessing=SMALLEST,
        start=start,
    )
    seen.state(target, data)


def main() -> None:
    """Read the command line."""
    parser = options(__doc__, minutes=164)
    parser.add_argument("--clouds", type=float, default=0.0, help="share of soft clouds in patches of nothing")
    given = parsed(parser)
    if given.export:
        export(given.data, given.out, given.export, given.start)
    else:
        train(
            UNet(NETWORK, 1 + len(CLASSES)),
            batches(given.data, given.clouds),
            partial(areas.loss, amp=given.amp),
            given,
        )


if __name__ == "__main__":
    main()
