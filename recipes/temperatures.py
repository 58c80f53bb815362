"""State in each bundled model how sure it may be: the temperature of its probabilities; its weights stay as they are.

    python recipes/temperatures.py

Fitted to the validation pictures that the model carries, which it was not trained on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from napari_unetstyle.core import segment
from napari_unetstyle.core.files import atomic_write
from napari_unetstyle.core.models import folder as model_folder
from napari_unetstyle.core.models.store import BUNDLED, ModelStore
from napari_unetstyle.core.training.calibration import Evidence
from napari_unetstyle.core.training.comparison import remembered

NAMES = ("nuclei", "axon-myelin", "hippocampus")


def state(folder: Path) -> float | None:
    """Write the temperature into the ``model.json`` of a model folder."""
    model = ModelStore().load(folder)
    evidence = Evidence()
    for memory in (one for one in model.memory if one.role == "check"):
        found = segment(remembered(memory, model.spec), model, device="cpu").probability_bytes
        true = memory.targets[0]
        evidence.add(found[: 1 + len(model.spec.classes)], true, np.ones(true.shape, bool))
    temperature = evidence.temperature()
    stated = model.spec.model_copy(update={"temperature": temperature})
    atomic_write(folder / model_folder.MANIFEST, model_folder.to_json(model_folder.sealed(stated, model.spec.files)))
    return temperature


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=BUNDLED)
    given = parser.parse_args()
    for name in NAMES:
        print(f"{name}: {state(given.models / name)}")


if __name__ == "__main__":
    main()
