"""State in each bundled model what kinds of pictures it has seen; its weights stay as they are.

    python recipes/seen.py --data FOLDER

From the training pictures, as numbers: mean and spread of their looks (``core/style/distance.py``). Fluorescence is
stated in false colors, too, as viewers export it and as the nuclei model was trained with.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import splits

from napari_unetstyle.core.files import atomic_write
from napari_unetstyle.core.models import folder as model_folder
from napari_unetstyle.core.models.spec import Kind
from napari_unetstyle.core.models.store import BUNDLED
from napari_unetstyle.core.style.distance import kind_of, look_of_picture
from napari_unetstyle.core.training.augmentation import tint

NUCLEI = {
    "fluo256": "fluorescence, several labs",
    "fluo360": "fluorescence, large dim nuclei",
    "hist_purple": "H&E, purple on purple",
    "hist_white": "H&E, purple on white",
    "cytobf": "brightfield cytology",
}
COLORED = ("fluo256", "fluo360")


def nuclei(data: Path) -> tuple[Kind, ...]:
    """Of each domain, and of fluorescence in false colors."""
    from nuclei import examples

    images = {domain: [e.image for e in examples(data, domain, "train").values()] for domain in NUCLEI}
    rng = np.random.default_rng(0)
    colored = [tint(image, rng) for domain in COLORED for image in images[domain]]
    kinds = [_kind(images[domain], name) for domain, name in NUCLEI.items()]
    return (*kinds, _kind(colored, "fluorescence in false colors"))


def axons(data: Path) -> tuple[Kind, ...]:
    """Scanning EM."""
    from axon_myelin import memorable

    return (_kind((pixels for pixels, _ in memorable(data, "train")), "scanning EM of spinal cord"),)


def hippocampus(data: Path) -> tuple[Kind, ...]:
    """MR volumes."""
    from hippocampus import memorable

    return (_kind((pixels for pixels, _ in memorable(data, "train")), "T1-weighted MR of one hippocampus"),)


KINDS = {"nuclei": nuclei, "axon-myelin": axons, "hippocampus": hippocampus}


def state(folder: Path, data: Path) -> None:
    """Write into the ``model.json`` of a model folder what the model has seen."""
    spec = model_folder.read_spec(folder)
    stated = spec.model_copy(update={"seen": KINDS[spec.name](data)})
    atomic_write(folder / model_folder.MANIFEST, model_folder.to_json(model_folder.sealed(stated, spec.files)))


def _kind(images: Iterable[np.ndarray], name: str) -> Kind:
    return kind_of([look_of_picture(image) for image in images], name)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", type=Path, default=BUNDLED)
    given = parser.parse_args()
    for name in KINDS:
        state(given.models / name, given.data)
        for kind in model_folder.read_spec(given.models / name).seen:
            print(f"{name}: {kind.name}, {kind.count} pictures")


if __name__ == "__main__":
    assert set(NUCLEI) == set(splits.NUCLEI)
    main()
