"""State in each bundled model how many labels change in mixed precision; its weights stay as they are.

    python recipes/precision.py --data FOLDER

Measured on test pictures, on a processor with instructions for bfloat16. Up to 200 pixels in a million are taken as
harmless, so that mixed precision is used unasked (``core/segmentation/fitting.py``).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import splits
import torch
from numpy.typing import NDArray

from napari_unetstyle.core import segment
from napari_unetstyle.core.device import has_bfloat16
from napari_unetstyle.core.files import atomic_write
from napari_unetstyle.core.models import folder as model_folder
from napari_unetstyle.core.models.store import BUNDLED, ModelStore

Labels = NDArray[np.integer[Any]]


def nuclei(data: Path) -> dict[str, list[Any]]:
    """Test pictures of each domain."""
    from nuclei import pictures

    return {domain: [pixels for pixels, _ in pictures(data, domain, "test")] for domain in splits.NUCLEI}


def axons(data: Path) -> dict[str, list[Any]]:
    """Test pictures."""
    from axon_myelin import pictures

    return {"axon_sem": [pixels for pixels, _ in pictures(data, "test").values()]}


def hippocampus(data: Path) -> dict[str, list[Any]]:
    """Test volumes."""
    from hippocampus import cases

    return {"hippocampus": [case.image for case in cases(data, "test").values()]}


PICTURES: dict[str, Callable[[Path], dict[str, list[Any]]]] = {
    "nuclei": nuclei,
    "axon-myelin": axons,
    "hippocampus": hippocampus,
}


def state(folder: Path, data: Path) -> float:
    """Write into the ``model.json`` of a model folder how many pixels in a million change."""
    model = ModelStore().load(folder)
    kinds = {}
    for kind, pictures in PICTURES[model.spec.name](data).items():
        pairs = [[segment(p, model, device="cpu", amp=amp).labels for amp in (False, True)] for p in pictures]
        kinds[kind] = [changed(full, mixed, model.spec.separation is not None) for full, mixed in pairs]
        print(f"{model.spec.name}: {kind}, {ppm(kinds[kind]):.0f} pixels in a million change", flush=True)
    found = round(ppm(mask for masks in kinds.values() for mask in masks), 1)
    stated = model.spec.model_copy(update={"amp_changed_ppm": found})
    atomic_write(folder / model_folder.MANIFEST, model_folder.to_json(model_folder.sealed(stated, model.spec.files)))
    return found


def ppm(masks: Iterable[NDArray[np.bool_]]) -> float:
    """Share of pixels, in a million."""
    kept = list(masks)
    return 1e6 * sum(int(mask.sum()) for mask in kept) / sum(mask.size for mask in kept)


def changed(one: Labels, other: Labels, separate: bool) -> NDArray[np.bool_]:
    """Where labels differ: in class, or, of separate objects, in being part of objects that are each other's most."""
    if not separate:
        return one != other
    return (_most(one, other)[one] != other) | (_most(other, one)[other] != one)


def _most(ids: Labels, other: Labels) -> Labels:
    """Of each object the object of `other` that holds most of its pixels; 0 of 0."""
    width = int(other.max()) + 1
    shared = np.bincount((ids.astype(np.int64) * width + other).ravel(), minlength=(int(ids.max()) + 1) * width)
    best = shared.reshape(-1, width).argmax(1)
    best[0] = 0
    return best


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", type=Path, default=BUNDLED)
    given = parser.parse_args()
    if not has_bfloat16(torch.device("cpu")):
        raise SystemExit("This processor has no instructions for bfloat16, so nothing can be measured here.")
    for name in PICTURES:
        print(f"{name}: {state(given.models / name, given.data)} in all")


if __name__ == "__main__":
    main()
