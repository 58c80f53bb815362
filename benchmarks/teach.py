"""Does teaching work: how good on a new domain after minutes, and how much of the old one is lost.

    python benchmarks/teach.py --data FOLDER --work FOLDER [--cells dense,scribbles] [--seeds 3] [--json FILE]

Parents are trained here on some domains of ``nuclei/`` and know nothing of the others (``--parent-minutes`` each, kept
in ``--work``). A simulated person corrects a few training pictures of a new domain with a fixed effort; the model is
taught for a fixed time; Dice and AP at IoU 0.5 are those of the new domain's test pictures, through
``napari_unetstyle.core.segment``, and of the old domains' test pictures before and after. The split is that of
``recipes/splits.py``.

The person looks at ten training pictures, drawn by the seed, and corrects those where the parent is worst; in the last
two cases just those that come first, as what a model is worst at may not be like the rest.

dense      three pictures of H&E, corrected as a whole, 2 minutes
scribbles  the same pictures, but only whole nuclei and strokes of background 7 pixels wide at places where the
           parent is wrong, until 3 % of the pixels are judged, 2 minutes
one        one picture of another fluorescence, as a whole, 1 minute
three-any  as dense, of any three pictures
one-any    as one, of any picture

ours       ``fine_tune``
step       the same with the classic rate: 1e-4, a tenth every 50 epochs
plateau    the same with 1e-4, a tenth whenever the held-out places are no better
plain      the same network and corrections, all layers, Adam 1e-4, Dice (MONAI) and cross entropy, MONAI's
           augmentation, no replay
nnunet     nnU-Net's network, loss and augmentation: trained on the old domains as long as the parent, then taught as
           its ``-pretrained_weights`` does it (a new last layer, rate 1e-2 falling to zero), for as long; what nobody
           judged is its ignore label
scratch    ``teach_new`` on the same corrections, for as long
full       the parent taught on all training pictures of the new domain, five times as long: the gap to be closed

Times of teaching are the process's own, per thread, so that other programs take no steps away.

A line is written for each cell as soon as it is measured; started again with the same ``--work``, finished cells are
read, not measured. MONAI and nnU-Net: `pip install --group bench`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "recipes"))
import memories
import nuclei
from cells import Cells, Row, busy, options
from measure import score
from nuclei import Picture, pictures
from numpy.typing import NDArray
from quality_peers import IGNORED, PEERS, Judged, three_classes

from napari_unetstyle.core import ModelStore, SegmentOptions, as_image, run, segment
from napari_unetstyle.core.annotation.corrections import Correction, learned
from napari_unetstyle.core.models.model import Model
from napari_unetstyle.core.networks.unet import UNet
from napari_unetstyle.core.training.drawing import Drawing
from napari_unetstyle.core.training.finetune import iter_fine_tune, iter_teach_new
from napari_unetstyle.core.training.fit import fit
from napari_unetstyle.core.training.floors import set_variance_floors
from napari_unetstyle.core.training.lessons import iter_clear, lesson, sayings
from napari_unetstyle.core.training.options import FineTuneOptions, FitOptions

Segmenter = Callable[[NDArray[Any]], NDArray[np.int32]]
STROKE, BUDGET, LOOKED_AT = 7, 0.03, 10


@dataclass(frozen=True)
class Case:
    """A new domain, and what is done with it."""

    name: str
    old: tuple[str, ...]
    new: str
    count: int
    minutes: float
    correct: Callable[..., Correction]
    pick: Callable[..., list[Picture]]


def dense(picture: Picture, _parent: Model, _rng: np.random.Generator) -> Correction:
    """All of a picture, as its masks say."""
    pixels, ids = picture
    return Correction(image=as_image(pixels), labels=np.asarray(ids).astype(np.int32), rest_is_right=True)


def scribbles(picture: Picture, parent: Model, rng: np.random.Generator) -> Correction:
    """At random places where the parent is wrong: the nucleus that lies there, or a stroke of background."""
    from scipy import ndimage
    from skimage.draw import disk, line

    pixels, ids = picture
    truth = np.asarray(ids).astype(np.int32)
    found = segment(pixels, parent).labels
    wrong, count = ndimage.label((found > 0) != (truth > 0))
    sizes = np.bincount(wrong.ravel())[1:]
    order = rng.choice(count, count, replace=False, p=sizes / sizes.sum()) if count else np.zeros(0, int)
    painted, touched = np.zeros(truth.shape, bool), set()
    for index in order:
        judged = np.isin(truth, list(touched)) | painted
        if judged.mean() >= BUDGET:
            break
        places = np.argwhere(wrong == index + 1)
        here = tuple(places[rng.integers(len(places))])
        if truth[here]:
            touched.add(int(truth[here]))
            continue
        angle = rng.uniform(0, np.pi)
        end = np.clip(np.array(here) + 20 * np.array([np.sin(angle), np.cos(angle)]), 0, np.array(truth.shape) - 1)
        for y, x in zip(*line(*map(int, here), *end.astype(int)), strict=True):
            rows, columns = disk((y, x), STROKE / 2, shape=truth.shape)
            painted[rows, columns] |= truth[rows, columns] == 0
    return Correction(image=as_image(pixels), labels=truth, painted=painted, touched=frozenset(touched))


def worst(training: Sequence[Picture], parent: Model, rng: np.random.Generator, count: int) -> list[Picture]:
    """Of ten pictures those where a model is worst."""
    looked_at = any_of(training, parent, rng, LOOKED_AT)
    return sorted(looked_at, key=lambda pair: score(segment(pair[0], parent).labels, pair[1]).dice)[:count]


def any_of(training: Sequence[Picture], _parent: Model, rng: np.random.Generator, count: int) -> list[Picture]:
    """The first that come."""
    return [training[int(i)] for i in rng.permutation(len(training))[:count]]


FLUORESCENCE, BESIDE = ("fluo256", "fluo360"), ("fluo360", "hist_white")
CASES = {
    case.name: case
    for case in (
        Case("dense", FLUORESCENCE, "hist_purple", 3, 2.0, dense, worst),
        Case("scribbles", FLUORESCENCE, "hist_purple", 3, 2.0, scribbles, worst),
        Case("one", BESIDE, "fluo256", 1, 1.0, dense, worst),
        Case("three-any", FLUORESCENCE, "hist_purple", 3, 2.0, dense, any_of),
        Case("one-any", BESIDE, "fluo256", 1, 1.0, dense, any_of),
    )
}


def parent_of(domains: Sequence[str], data: Path, work: Path, minutes: float) -> Model:
    """A model of these domains, trained as the bundled one is; trained once."""
    store = ModelStore(work / "models", bundled=work / "models")
    name = "-".join(domains).replace("_", "-")
    if name in [spec.name for spec in store.list()]:
        return store.load(name)
    sources = [[nuclei.sources(e) for e in nuclei.examples(data, d, "train").values()] for d in domains]
    batches = nuclei.Batches(sources, [1 / len(domains)] * len(domains))
    options = FitOptions(minutes=minutes, averaging=0.998, folder=work / name)
    torch.manual_seed(0)
    network = UNet(nuclei.NETWORK, 2 + len(nuclei.SEPARATIONS))
    state = run(fit(network, batches, nuclei.loss, options, clock=busy(torch.get_num_threads())))
    set_variance_floors(state.average, (batches.plain(np.random.default_rng((7, i))) for i in range(30)))
    spec, thin = nuclei.draft(state.average)
    model = Model.in_memory(spec, cast("UNet", thin.eval()))
    store.save(spec.model_copy(update={"name": name}), thin, memory=memories.nuclei(data, model, domains))
    print(f"parent {name}: {state.step} steps in {state.seconds / 60:.1f} minutes", flush=True)
    return store.load(name)


def quality(model: Model | Segmenter, data: Path, domain: str) -> tuple[float, float]:
    """Mean Dice and AP at IoU 0.5 over a domain's test pictures."""
    objects = (lambda picture: segment(picture, model).labels) if isinstance(model, Model) else model
    found = [score(objects(picture), truth) for picture, truth in pictures(data, domain, "test")]
    return float(np.mean([s.dice for s in found])), float(np.mean([s.precision for s in found]))


def plain(lessons: Sequence[Correction], parent: Model, minutes: float, seed: int, clock: Callable[[], float]) -> Model:
    """What many do: all layers, Adam 1e-4, MONAI's loss and augmentation, nothing of the old."""
    import copy

    from monai.losses import MaskedDiceLoss
    from monai.transforms import Compose, RandAdjustContrast, RandGaussianNoise, RandScaleIntensity, RandShiftIntensity

    spec = parent.spec
    said, options = sayings(lessons, spec), SegmentOptions()
    clear = run(iter_clear(said, parent, options))
    examples = [lesson(one, spec, options, clear) for one in said]
    drawing = Drawing(spec=spec, lessons=examples, replay=0.0)
    appear = Compose(
        [
            RandScaleIntensity(0.25, prob=0.5),
            RandShiftIntensity(0.25, prob=0.5),
            RandAdjustContrast(prob=0.3),
            RandGaussianNoise(prob=0.2),
        ]
    )
    network = copy.deepcopy(parent.network).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    dice = MaskedDiceLoss(to_onehot_y=True, softmax=True)
    start, step = clock(), 0
    while clock() - start < 60 * minutes:
        batch = drawing(np.random.default_rng((seed, step)))
        images = torch.stack([torch.as_tensor(np.asarray(appear(image))) for image in batch.images])
        logits, known = network(images), (batch.classes >= 0).unsqueeze(1)
        value = dice(logits[:, :2], batch.classes.clamp(min=0).unsqueeze(1), mask=known)
        value = value + torch.nn.functional.cross_entropy(logits[:, :2], batch.classes, ignore_index=-1)
        assert batch.seeds is not None
        seeds = torch.nn.functional.binary_cross_entropy_with_logits(
            logits[:, 2:], batch.seeds.nan_to_num(), (~batch.seeds.isnan()).float()
        )
        optimizer.zero_grad()
        (value + seeds).backward()
        optimizer.step()
        step += 1
    return Model.in_memory(spec, network.eval())


def nnunet(
    case: Case, lessons: Sequence[Correction], seed: int, given: argparse.Namespace, clock: Callable[[], float]
) -> Segmenter:
    """nnU-Net's network, taught by its own recipe: from a picture to objects."""
    peer = next(peer for peer in PEERS if peer.name.startswith("nnunet"))
    known = [pictures(given.data, domain, "train") for domain in case.old]
    parent = peer.trained(known, given.parent_minutes, given.work / "-".join(case.old), clock=clock)
    judged: list[Judged] = []
    for said in lessons:
        valid = learned(said)[1]
        classes = np.where(valid, three_classes(np.asarray(said.labels)), IGNORED)
        judged.append((np.asarray(said.image.array), classes.astype(np.uint8)))
    return partial(peer.objects, peer.tuned(parent, judged, case.minutes * given.scale, seed, clock))


def measured(case: Case, method: str, seed: int, given: argparse.Namespace) -> Row:
    """One cell."""
    parent = parent_of(case.old, given.data, given.work, given.parent_minutes)
    rng = np.random.default_rng(seed)
    training = pictures(given.data, case.new, "train")
    chosen = case.pick(training, parent, rng, case.count)
    store = ModelStore(given.work / "candidates", bundled=given.work / "candidates")
    if method == "full":
        lessons = [dense(picture, parent, rng) for picture in training]
    else:
        lessons = [case.correct(picture, parent, rng) for picture in chosen]
    row: Row = {}
    model: Model | Segmenter
    started = time.monotonic()
    minutes, clock = case.minutes * given.scale, busy(given.threads)
    match method:
        case "parent":
            model = parent
        case "ours" | "full" | "step" | "plateau":
            longer = 5 if method == "full" else 1
            how = FineTuneOptions(minutes=minutes * longer, learning_rate=given.rate, replay=given.replay, seed=seed)
            if method in ("step", "plateau"):
                how = replace(how, schedule=method, learning_rate=1e-4)
            candidate = run(iter_fine_tune(lessons, parent, how, store=store, clock=clock))
            model = candidate.model
            row |= {
                "verdict": candidate.comparison.verdict,
                "places": len(candidate.places),
                "says": candidate.comparison.sentence(),
                "recipe": candidate.model.spec.provenance["recipe"],
            }
        case "nnunet":
            model = nnunet(case, lessons, seed, given, clock)
        case "scratch":
            how = FineTuneOptions(minutes=minutes, name="scratch", seed=seed)
            model = run(iter_teach_new(lessons, ["nucleus"], how, store=store, clock=clock)).model
        case _:
            model = plain(lessons, parent, minutes, seed, clock)
    row["seconds"] = round(time.monotonic() - started, 1)
    row["new"], row["new_ap"] = quality(model, given.data, case.new)
    olds = [quality(model, given.data, domain) for domain in case.old] if method != "scratch" else []
    row["old"] = float(np.mean([dice for dice, _ in olds])) if olds else None
    return row


METHODS = ("parent", "ours", "step", "plateau", "plain", "nnunet", "scratch", "full")


def main() -> None:
    """Read the command line, measure what is missing, print the table."""
    parser = options(__doc__, parent_minutes=20)
    parser.add_argument("--cells", default=",".join(CASES), help="cases, with commas")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rate", type=float, help="learning rate of ours, in the place of the usual one")
    parser.add_argument("--replay", type=float, default=0.5)
    parser.add_argument("--scale", type=float, default=1.0, help="factor on all teaching times, to try the script")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    cells = Cells(given.work / f"cells-{given.threads}-threads-{given.scale:g}.jsonl")
    for name in given.cells.split(","):
        for seed in range(given.seeds):
            for method in given.methods.split(","):
                if seed == 0 or method not in ("parent", "full"):
                    names = {"case": name, "method": method, "seed": seed}
                    cells.row(names, partial(measured, CASES[name], method, seed, given))
    table(cells.rows, given.cells.split(","))
    if given.json:
        given.json.write_text(json.dumps(cells.rows, indent=1))


def table(rows: Sequence[Row], names: Sequence[str]) -> None:
    """Means over seeds, lowest and highest in brackets."""
    print(f"\n{'case':<12}{'method':<10}{'seeds':>6}  {'new Dice':<24}{'new AP@0.5':<24}{'old Dice':<24}verdicts")
    spread = partial(np.array, dtype=float)
    for name in names:
        for method in METHODS:
            found = [row for row in rows if (row["case"], row["method"]) == (name, method)]
            if not found:
                continue
            texts = []
            for key in ("new", "new_ap", "old"):
                values = spread([np.nan if row[key] is None else row[key] for row in found])
                texts.append(f"{values.mean():.3f} ({values.min():.3f} to {values.max():.3f})")
            verdicts = ", ".join(str(row.get("verdict", "")) for row in found)
            print(f"{name:<12}{method:<10}{len(found):>6}  {texts[0]:<24}{texts[1]:<24}{texts[2]:<24}{verdicts}")


if __name__ == "__main__":
    main()
