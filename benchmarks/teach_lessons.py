"""Can a bad lesson make a model worse, and does a good one make it better: 50 of the one, 20 of the other.

    python benchmarks/teach_lessons.py --data FOLDER --work FOLDER [--kinds bad,good] [--lesson-minutes 0.5]

Each lesson is taught as the dock does it, and the comparison decides whether the taught model takes over. Where it
does, the loss is measured on what the comparison has not seen: the test pictures (``recipes/splits.py``) of the domains
that the parent knows. Parents are the bundled ``nuclei``, which knows five domains, and a model trained here on
``fluo256`` alone (``--parent-minutes``, kept in ``--work``).

Bad lessons, each with both parents on two training pictures of each of the five domains:

swapped    nuclei are called background, and what lies between them nuclei of 32 pixels
empty      everything is called background
repeated   one picture, which is right, five hundred times
rate       right pictures, the learning rate times 100
wrong      the labels of the two are exchanged

Good lessons are the three of ten training pictures where the parent is worst, corrected as a whole (``dense``) or with
strokes on 3 % of the pixels (``scribbles``), see ``teach.py``: sixteen teach the parent of one domain another one, four
the bundled model more of what it knows.

Teaching time is that of the processor, so that a machine that also does other things teaches no less. A line is written
for each lesson as soon as it is measured; started again with the same ``--work``, it goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "recipes"))
from cells import Cells, Row, busy, options
from nuclei import Picture, pictures
from splits import NUCLEI
from teach import dense, parent_of, quality, scribbles, worst

from napari_unetstyle.core import ModelStore, run
from napari_unetstyle.core.annotation.corrections import Correction
from napari_unetstyle.core.errors import UnetstyleError
from napari_unetstyle.core.models.model import Model
from napari_unetstyle.core.training.finetune import iter_fine_tune
from napari_unetstyle.core.training.options import FineTuneOptions

BUNDLED, ALONE = "nuclei", "fluo256"
PICTURES, REPEATED, SQUARE, USUAL_RATE = {"bad": 2, "good": 3}, 500, 32, 1e-3
TOLERATED = 0.02


@dataclass(frozen=True)
class Lesson:
    """What is taught to whom."""

    kind: str
    lesson: str
    parent: str
    domain: str
    seed: int

    @property
    def old(self) -> tuple[str, ...]:
        """Domains that the parent knows."""
        return NUCLEI if self.parent == BUNDLED else (self.parent,)


def swapped(picture: Picture) -> Picture:
    """Nuclei and background exchanged."""
    ids = np.asarray(picture[1])
    y, x = np.indices(ids.shape) // SQUARE
    return picture[0], np.where(ids == 0, 1 + y * (x.max() + 1) + x, 0)


def empty(picture: Picture) -> Picture:
    """Nothing is there."""
    return picture[0], np.zeros_like(picture[1])


def mistaken(picture: Picture, other: Picture) -> Picture:
    """The labels of another picture, which are repeated where they are too small."""
    ids = np.asarray(other[1])
    missing = [(0, max(0, n - m)) for n, m in zip(picture[1].shape, ids.shape, strict=True)]
    return picture[0], np.pad(ids, missing, mode="wrap")[tuple(slice(0, n) for n in picture[1].shape)]


def corrections(lesson: Lesson, parent: Model, training: Sequence[Picture]) -> list[Correction]:
    """What the person says."""
    rng = np.random.default_rng(lesson.seed)
    if lesson.kind == "good":
        correct = {"dense": dense, "scribbles": scribbles}[lesson.lesson]
        return [correct(picture, parent, rng) for picture in worst(training, parent, rng, PICTURES["good"])]
    chosen = [training[int(i)] for i in rng.permutation(len(training))[: PICTURES["bad"]]]
    match lesson.lesson:
        case "swapped":
            chosen = [swapped(picture) for picture in chosen]
        case "empty":
            chosen = [empty(picture) for picture in chosen]
        case "wrong":
            chosen = [mistaken(one, other) for one, other in zip(chosen, reversed(chosen), strict=True)]
        case "repeated":
            return [dense(chosen[0], parent, rng)] * REPEATED
    return [dense(picture, parent, rng) for picture in chosen]


def lessons() -> dict[str, list[Lesson]]:
    """All of them, by kind; no two have the same seed."""
    names = ("swapped", "empty", "repeated", "rate", "wrong")
    bad = itertools.product(NUCLEI, (BUNDLED, ALONE), names)
    others = [domain for domain in NUCLEI if domain != ALONE]
    good = [
        *((ALONE, domain, name) for _ in range(2) for domain in others for name in ("dense", "scribbles")),
        *((BUNDLED, domain, name) for domain in ("fluo360", "hist_purple") for name in ("dense", "scribbles")),
    ]
    return {
        "bad": [Lesson("bad", name, parent, domain, seed) for seed, (domain, parent, name) in enumerate(bad)],
        "good": [Lesson("good", name, parent, domain, 100 + i) for i, (parent, domain, name) in enumerate(good)],
    }


def digest(folder: Path) -> str:
    """Sha256 of all that lies in a model's folder."""
    found = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        found.update(f"{path.relative_to(folder)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return found.hexdigest()


def measured(lesson: Lesson, parent: Model, before: Callable[[str], float], given: argparse.Namespace) -> Row:
    """One lesson: what the comparison says, and, if the taught model takes over, what is true."""
    store = ModelStore(given.work / "candidates", bundled=given.work / "candidates")
    said = corrections(lesson, parent, pictures(given.data, lesson.domain, "train"))
    rate = 100 * USUAL_RATE if lesson.lesson == "rate" else None
    options = FineTuneOptions(minutes=given.lesson_minutes, learning_rate=rate, seed=lesson.seed)
    sha, started = digest(parent.folder), time.monotonic()
    row: Row = {"minutes": given.lesson_minutes, "threads": given.threads, "sha256": sha}
    try:
        steps = iter_fine_tune(said, parent, options, store=store, clock=busy(given.threads))
        candidate = run(steps)
    except UnetstyleError as error:
        return row | {"verdict": "refused", "says": str(error), "unchanged": digest(parent.folder) == sha}
    row |= {
        "seconds": round(time.monotonic() - started, 1),
        "unchanged": digest(parent.folder) == sha,
        "verdict": candidate.comparison.verdict,
        "says": candidate.comparison.sentence(),
        "notes": candidate.notes,
        "comparison": candidate.comparison.to_json(),
        "recipe": candidate.model.spec.provenance["recipe"],
    }
    if candidate.comparison.takes_over:
        lost = {domain: before(domain) - quality(candidate.model, given.data, domain)[0] for domain in lesson.old}
        new = lesson.domain
        after = before(new) - lost[new] if new in lost else quality(candidate.model, given.data, new)[0]
        row |= {"lost": lost, "loss": float(np.mean(list(lost.values()))), "new": [before(new), after]}
    candidate.forget(store)
    return row


def main() -> None:
    """Read the command line, measure what is missing, print the table."""
    parser = options(__doc__, parent_minutes=10)
    parser.add_argument("--kinds", default="bad,good", help="with commas")
    parser.add_argument("--only", help="one lesson of these, such as 'swapped'")
    parser.add_argument("--parents", default=f"{BUNDLED},{ALONE}", help="with commas")
    parser.add_argument("--lesson-minutes", type=float, default=0.5)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    cells = Cells(given.work / f"lessons-{given.threads}-threads-{given.lesson_minutes:g}-minutes.jsonl")
    parents = {
        BUNDLED: ModelStore().load(BUNDLED),
        ALONE: parent_of((ALONE,), given.data, given.work, given.parent_minutes),
    }

    def before(parent: str, domain: str) -> float:
        names = {"kind": "parent", "parent": parent, "domain": domain}
        return float(cells.row(names, lambda: {"dice": quality(parents[parent], given.data, domain)[0]})["dice"])

    for kind in given.kinds.split(","):
        for lesson in lessons()[kind]:
            if given.only in (None, lesson.lesson) and lesson.parent in given.parents.split(","):
                known = partial(before, lesson.parent)
                cells.row(asdict(lesson), partial(measured, lesson, parents[lesson.parent], known, given))
    table(cells.rows)
    if given.json:
        given.json.write_text(json.dumps(cells.rows, indent=1))


COLUMNS = ("taught", "took over", "lost, mean", "one domain", "new")


def table(rows: Sequence[Row]) -> None:
    """For each lesson and parent: how many took over, the highest loss of those (mean, one domain), the mean gain."""
    print(f"\n{'':<6}{'lesson':<11}{'parent':<9}" + "".join(f"{name:>12}" for name in COLUMNS) + "  verdicts")
    taught = [row for row in rows if row["kind"] in ("bad", "good")]
    for kind, name, parent in dict.fromkeys((row["kind"], row["lesson"], row["parent"]) for row in taught):
        found = [row for row in taught if (row["kind"], row["lesson"], row["parent"]) == (kind, name, parent)]
        print(f"{kind:<6}{name:<11}{parent:<9}{_numbers(found)}")
    for kind in dict.fromkeys(row["kind"] for row in taught):
        print(f"{kind:<6}{'all':<20}{_numbers([row for row in taught if row['kind'] == kind])}")
    over = [row for row in taught if row["kind"] == "bad" and row.get("loss", 0) > TOLERATED]
    print(f"bad lessons that took over with a true loss above {TOLERATED}: {len(over)}")
    print(f"parents changed: {sum(not row['unchanged'] for row in taught)} of {len(taught)}")


def _numbers(rows: Sequence[Row]) -> str:
    over = [row for row in rows if "loss" in row]
    mean = max((row["loss"] for row in over), default=np.nan)
    one = max((max(row["lost"].values()) for row in over), default=np.nan)
    gain = np.mean([row["new"][1] - row["new"][0] for row in over]) if over else np.nan
    told = ", ".join(f"{count} {verdict}" for verdict, count in Counter(row["verdict"] for row in rows).items())
    return f"{len(rows):>12}{len(over):>12}{mean:>12.3f}{one:>12.3f}{gain:>12.3f}  {told}"


if __name__ == "__main__":
    main()
