"""Teaching again and again: three new domains one after the other, and *Next place* against random places.

    python benchmarks/teach_series.py --data FOLDER --work FOLDER [--cells sequence,next] [--seeds 3] [--json FILE]

Parents, people and test pictures are those of ``teach.py``.

sequence   a model of ``fluo256`` is taught H&E on purple, large dim fluorescence, then H&E on white: of each the three
           of ten training pictures where it is worst, as a whole, 2 minutes. A taught model is only taught further if
           the comparison lets it take over. Dice on the test pictures of every domain after each lesson, and what each
           domain that was taught earlier has lost at the end.
next       the same model is taught H&E on purple by strokes: each judges a place of 64 pixels a side, of three training
           pictures in turn. The places are those of ``next_place``, or random ones. The model is taught anew from all
           strokes after 6, 12 and 24 of them, 1 minute each time; ``next_place`` looks at what it says then.

Teaching time is that of the processor, so that a machine that also does other things teaches no less. A line is written
for each cell as soon as it is measured; started again with the same ``--work``, finished cells are read, not measured.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "recipes"))
from cells import Cells, Row, busy, options
from nuclei import Picture, pictures
from numpy.typing import NDArray
from teach import dense, parent_of, quality, worst

from napari_unetstyle.core import ModelStore, as_image, run, segment
from napari_unetstyle.core.annotation.corrections import Correction
from napari_unetstyle.core.annotation.next_place import Box, next_place, uncertainty
from napari_unetstyle.core.models.model import Model
from napari_unetstyle.core.training.candidate import Candidate
from napari_unetstyle.core.training.finetune import iter_fine_tune
from napari_unetstyle.core.training.options import FineTuneOptions

FIRST, LATER = "fluo256", ("hist_purple", "fluo360", "hist_white")
STROKES, SIDE, PICTURES = (6, 12, 24), 64, 3
MINUTES = {"sequence": 2.0, "next": 1.0}


def taught(
    lessons: Sequence[Correction], parent: Model, minutes: float, name: str, seed: int, given: argparse.Namespace
) -> Candidate:
    """What comes of a lesson."""
    store = ModelStore(given.work / "candidates", bundled=given.work / "candidates")
    options = FineTuneOptions(minutes=minutes * given.scale, seed=seed, name=name)
    return run(iter_fine_tune(lessons, parent, options, store=store, clock=busy(given.threads)))


def sequence(seed: int, given: argparse.Namespace) -> Row:
    """Dice of every domain after each of three lessons."""
    model = parent_of((FIRST,), given.data, given.work, given.parent_minutes)
    store = ModelStore(given.work / "candidates", bundled=given.work / "candidates")
    rng = np.random.default_rng(seed)

    def dice(known: Model) -> dict[str, float]:
        return {domain: quality(known, given.data, domain)[0] for domain in (FIRST, *LATER)}

    after, verdicts = [dice(model)], []
    for domain in LATER:
        chosen = worst(pictures(given.data, domain, "train"), model, rng, PICTURES)
        lessons = [dense(picture, model, rng) for picture in chosen]
        candidate = taught(lessons, model, MINUTES["sequence"], f"sequence-{seed}", seed, given)
        verdicts.append(candidate.comparison.verdict)
        if candidate.comparison.takes_over:
            model = candidate.keep(store)
            after.append(dice(model))
        else:
            candidate.forget(store)
            after.append(after[-1])
    lost = {domain: after[i][domain] - after[-1][domain] for i, domain in enumerate((FIRST, *LATER[:-1]))}
    return {"after": after, "verdicts": verdicts, "lost": lost}


def places(method: str, seed: int, given: argparse.Namespace) -> Row:
    """Dice on test pictures after each so many strokes."""
    parent = model = parent_of((FIRST,), given.data, given.work, given.parent_minutes)
    store = ModelStore(given.work / "candidates", bundled=given.work / "candidates")
    rng = np.random.default_rng(seed)
    training = pictures(given.data, LATER[0], "train")
    chosen = [training[int(i)] for i in rng.permutation(len(training))[:PICTURES]]
    judged = [np.zeros(ids.shape, bool) for _, ids in chosen]
    found = {"0": quality(parent, given.data, LATER[0])[0]}
    candidates: list[Candidate] = []
    for count in range(1, STROKES[-1] + 1):
        index = count % PICTURES
        temperature = candidates[-1].comparison.child.temperature if candidates else parent.spec.temperature
        known = chosen[index], judged[index]
        box = _least_sure(*known, model, temperature) if method == "next" else _any(judged[index], rng)
        if box is not None:
            judged[index][box] = True
        if count in STROKES:
            lessons = [_judged(picture, mask) for picture, mask in zip(chosen, judged, strict=True)]
            candidates.append(taught(lessons, parent, MINUTES["next"], f"next-{seed}", seed, given))
            model = candidates[-1].model
            found[str(count)] = quality(model, given.data, LATER[0])[0]
    for candidate in candidates:
        candidate.forget(store)
    return {"dice": found, "judged": float(np.mean([mask.mean() for mask in judged]))}


def _least_sure(picture: Picture, judged: NDArray[np.bool_], model: Model, temperature: float | None) -> Box | None:
    unsure = uncertainty(segment(picture[0], model).probability_bytes[:2], temperature or 1.0)
    return next_place(unsure, judged, SIDE)


def _any(judged: NDArray[np.bool_], rng: np.random.Generator) -> Box:
    """A random place of the grid that ``next_place`` chooses from, of those that are judged least."""
    starts = [np.arange(0, max(1, n - SIDE + 1), SIDE // 2) for n in judged.shape]
    boxes = [(slice(int(y), int(y) + SIDE), slice(int(x), int(x) + SIDE)) for y in starts[0] for x in starts[1]]
    share = np.array([judged[box].mean() for box in boxes])
    return boxes[int(rng.choice(np.flatnonzero(share == share.min())))]


def _judged(picture: Picture, mask: NDArray[np.bool_]) -> Correction:
    return Correction(image=as_image(picture[0]), labels=np.asarray(picture[1]).astype(np.int32), accepted=mask)


METHODS = {"sequence": ("sequence",), "next": ("next", "random")}


def main() -> None:
    """Read the command line, measure what is missing, print the table."""
    parser = options(__doc__, parent_minutes=20)
    parser.add_argument("--cells", default="sequence,next", help="with commas")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="factor on all teaching times, to try the script")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    cells = Cells(given.work / f"series-{given.threads}-threads-{given.scale:g}.jsonl")
    for name in given.cells.split(","):
        for seed in range(given.seeds):
            for method in METHODS[name]:
                measure = partial(sequence, seed, given) if name == "sequence" else partial(places, method, seed, given)
                cells.row({"case": name, "method": method, "seed": seed}, measure)
    table(cells.rows)
    if given.json:
        given.json.write_text(json.dumps(cells.rows, indent=1))


def table(rows: Sequence[Row]) -> None:
    """What was lost of each domain, and Dice after so many strokes; lowest and highest in brackets."""
    series = [row for row in rows if row["case"] == "sequence"]
    for domain in series[0]["lost"] if series else ():
        print(f"sequence  {domain:<12} lost {_spread([row['lost'][domain] for row in series])}")
    for method in METHODS["next"]:
        found = [row["dice"] for row in rows if row["method"] == method and row["case"] == "next"]
        for count in found[0] if found else ():
            print(f"{method:<9} after {count:>2} strokes  Dice {_spread([dice[count] for dice in found])}")


def _spread(values: Sequence[float]) -> str:
    return f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f}, {len(values)} seeds)"


if __name__ == "__main__":
    main()
