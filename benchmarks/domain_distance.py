"""Does the distance of a picture tell how much Dice a model loses on it, and does it cry wolf at home?

    python benchmarks/domain_distance.py --data FOLDER --work FOLDER [--seeds 1] [--json FILE]

A network for each domain of ``nuclei/`` is trained on it alone (as the method ``none`` of ``style.py``, whose networks
in ``--work`` are used again) and tested on the test pictures of all five. Its model states what it has seen: the
training pictures. Printed: the rank correlation (Spearman) of mean distance with mean Dice lost over all pairs of
different domains, the same over all their pictures, how often a held-out picture of the own domain is called
foreign, and how many of the pictures that lose more than 0.1 are; then the false warnings of the bundled models on
pictures that they were not trained with.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr

sys.path.insert(0, str(Path(__file__).parent.parent / "recipes"))
import nuclei
import splits
import style

from napari_unetstyle.core import ModelStore, as_image, domain_distance
from napari_unetstyle.core.models.model import Model
from napari_unetstyle.core.models.spec import Card, ClassSpec, ModelSpec
from napari_unetstyle.core.style.distance import FOREIGN, kind_of, look_of_picture

LOST = 0.1


@dataclass(frozen=True)
class Row:
    """One picture."""

    source: str
    target: str
    seed: int
    distance: float
    dice: float


def model_of(source: str, seed: int, given: argparse.Namespace) -> Model:
    """The network that was trained on one domain, with what it has seen."""
    looks = [look_of_picture(example.image) for example in nuclei.examples(given.data, source, "train").values()]
    spec = ModelSpec(
        name=source.replace("_", "-"),
        network=nuclei.NETWORK,
        input=nuclei.INPUT,
        classes=(ClassSpec(value=1, name="nucleus", color="#ffb000"),),
        card=Card(purpose="benchmark", summary="", training_data=source, license=""),
        seen=(kind_of(looks, source),),
    )
    return Model.in_memory(spec, style.trained("none", source, source, seed, given))


def distance(pixels: np.ndarray, model: Model) -> float:
    """Of a stored picture."""
    found = domain_distance(as_image(pixels), model)
    assert found is not None
    return found.value


def rows_of(source: str, seed: int, given: argparse.Namespace) -> list[Row]:
    """Every test picture of every domain, and the validation pictures of the own one."""
    model, rows = model_of(source, seed, given), []
    for target in splits.NUCLEI:
        pictures = list(nuclei.pictures(given.data, target, "test")[: given.most])
        pictures += nuclei.pictures(given.data, target, "val") if target == source else []
        for picture in pictures:
            score = style.dice(model.network, [picture])
            rows.append(Row(source, target, seed, distance(picture[0], model), score))
    return rows


def report(rows: Sequence[Row]) -> dict[str, float]:
    """The numbers of the table."""
    own = {s: np.mean([r.dice for r in rows if r.source == r.target == s]) for s in splits.NUCLEI}
    away = [row for row in rows if row.source != row.target]
    home = [row.distance for row in rows if row.source == row.target]
    pairs = sorted({(row.source, row.target) for row in away})
    means = [
        (np.mean([r.distance for r in found]), np.mean([own[s] - r.dice for r in found]))
        for s, t in pairs
        if (found := [r for r in away if (r.source, r.target) == (s, t)])
    ]
    for (s, t), (far, lost) in zip(pairs, means, strict=True):
        print(f"{s:>12} -> {t:<12} distance {far:5.2f}   Dice lost {lost:6.3f}")
    losing = [row.distance for row in away if own[row.source] - row.dice > LOST]
    fine = [row.distance for row in away if own[row.source] - row.dice <= LOST]
    return {
        "rank correlation, pairs": float(spearmanr(*zip(*means, strict=True))[0]),
        "rank correlation, pictures": float(
            spearmanr([r.distance for r in away], [own[r.source] - r.dice for r in away])[0]
        ),
        "warned, held-out pictures of the own domain": float(np.mean(np.array(home) >= FOREIGN)),
        f"warned, pictures that lose more than {LOST}": float(np.mean(np.array(losing) >= FOREIGN)),
        "warned, other domains' pictures that lose no more (harm)": float(np.mean(np.array(fine) >= FOREIGN)),
    }


def bundled(data: Path) -> dict[str, float]:
    """False warnings of the bundled models on their kinds of pictures, of those they were not trained with."""
    store = ModelStore()
    held = {
        "nuclei": [
            data / "nuclei" / domain / "images" / f"{stem}.png"
            for domain in splits.NUCLEI
            for stem, part in splits.nuclei(data, domain).items()
            if part != "train"
        ],
        "axon-myelin": [
            data / "axon_sem" / "images" / f"{s}.png" for s, part in splits.axons(data).items() if part != "train"
        ],
        "hippocampus": [
            data / "hippocampus" / "images" / f"{s}.nii.gz"
            for s, part in splits.hippocampus(data).items()
            if part != "train"
        ],
    }
    found = {}
    for name, paths in held.items():
        values = [d.value for path in paths if (d := domain_distance(path, store.load(name))) is not None]
        found[f"warned, {len(values)} held-out pictures of {name}"] = float(np.mean(np.array(values) >= FOREIGN))
    return found


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder for networks")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--most", type=int, default=40, help="test pictures of a domain")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    given.work.mkdir(parents=True, exist_ok=True)
    rows = [row for seed in range(given.seeds) for source in splits.NUCLEI for row in rows_of(source, seed, given)]
    numbers = {**report(rows), **bundled(given.data)}
    for name, value in numbers.items():
        print(f"{name:<64}{value:8.3f}")
    if given.json:
        given.json.write_text(json.dumps({"numbers": numbers, "rows": [asdict(row) for row in rows]}, indent=1))


if __name__ == "__main__":
    main()
