"""Train the bundled nuclei model: fluorescence, H&E and brightfield, gray or RGB.

    python recipes/nuclei.py --data FOLDER --out FOLDER --minutes 84
    python recipes/nuclei.py --data FOLDER --out FOLDER --export FOLDER/nuclei

The training can be stopped at any time and goes on when started again with the same folder; ``--export``
writes a model folder from the latest checkpoint, also while the training goes on. With ``--steps`` in place of
``--minutes`` it is the same training each time. ``--counterstained 0.3`` draws some of the nuclei beside a second
stain, for immunohistochemistry and fluorescence of several channels, and ``--start`` begins with the weights of a model
or another training, of which ``--blend`` exports what lies between them and what was trained. ``--style`` shows the
pictures in the look of another, too; the bundled weights have seen no such look (`docs/explanation/measured.md`).

The bundled weights are those of three trainings, one after the other. ``--steps 7600``, except that the first 2200
steps followed the learning rate of a training of 9000 (then 7800) steps; then 12896 and 19783 steps of

    python recipes/nuclei.py --data FOLDER --out FOLDER --start MODEL --minutes 56 --threads 2 --amp --compile
        --strong 0.5 --counterstained 0.1

with 56 and 78 minutes. Only in the third were pictures drawn at the size that a run scales them to, all but
``--own-size 0.3``; before, all were of their own size.

As the learning rate followed the clock, and bfloat16 needs a processor that has it, nobody gets the same bits again.

The network is taught three seed maps at once, because what tells touching nuclei apart in one tells them apart in
the others; the model keeps the first (``"depth"``), which together with the distance to the foreground's edge is
the relief that objects are found on. On validation pictures that relief was as good as or better than each map
alone, smoothed or not, and than the distance alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, cast

import bundle
import memories
import numpy as np
import seen
import splits
import torch
from measure import Score, interval, score
from numpy.typing import NDArray
from skimage.io import imread
from stains import counterstained
from torch import Tensor, nn
from training import logits, options, parsed, say, train

from napari_unetstyle.core import Reference, SegmentResult, reference_of, run, segment
from napari_unetstyle.core.imaging.resample import Resampler, scaled_shape
from napari_unetstyle.core.models.model import Model
from napari_unetstyle.core.models.spec import (
    Card,
    ClassSpec,
    InputSpec,
    Measurement,
    ModelSpec,
    NetworkSpec,
    Postprocessing,
)
from napari_unetstyle.core.networks.unet import UNet
from napari_unetstyle.core.segmentation.objects import objects
from napari_unetstyle.core.segmentation.preprocessing import Intensity, select_channels
from napari_unetstyle.core.segmentation.scale import typical_diameter
from napari_unetstyle.core.training.augmentation import LIGHT, STRONG, appear
from napari_unetstyle.core.training.blanks import background, blank, sparse
from napari_unetstyle.core.training.floors import norms, set_variance_floors
from napari_unetstyle.core.training.losses import class_loss, seed_loss
from napari_unetstyle.core.training.patches import Example, Warp, draw_patch
from napari_unetstyle.core.training.styling import iter_styled
from napari_unetstyle.core.training.targets import near_contact, seed_target

SEPARATIONS = ("depth", "distance", "boundary")
INPUT = InputSpec(channels="rgb")
NETWORK = NetworkSpec(in_channels=3, widths=(16, 32, 64, 128, 256))
FOREGROUND, RISE = (0.4, 0.5, 0.6), (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2)  # to choose from
BATCHES = ((5, 160), (4, 192), (2, 256))
TYPICAL = 20.0
DIAMETERS = (13.0, 24.0)  # typical ones, to which others are scaled: what validation took of 20 to 75 at most
CLEAR = 75.0  # bright ones that the network has no doubts about: small ones beside large ones are then seen, too
TAUGHT_DIAMETERS = (13.0, 32.0)  # what is taught reaches further, as sizes are estimated
OWN_DIAMETERS = (8.0, 75.0)  # median ones of pictures that nobody has scaled: their size has to be seen first
SHARES = (0.2, 0.15, 0.25, 0.25, 0.15)  # of the domains: nuclei that touch in many ways need more
FILLED = Postprocessing(fill_small_holes=True)  # AP@0.5 of validation -0.005, 0, +0.008, -0.003 and 0 by domain
TIE = 0.005  # of merit, far below what another choice of pictures would change
BLANK, EMPTY_PIECE, SPARSE = 0.12, 0.04, 0.10


@dataclass(frozen=True)
class Source:
    """A training picture and the warp that keeps its objects' size within what the model is to handle."""

    example: Example
    warp: Warp


@dataclass(frozen=True)
class Sources:
    """A training picture at the size that a run brings it to, and at its own, by which a run sees its size."""

    scaled: Source
    own: Source


@dataclass(frozen=True)
class Batch:
    """Normalized images and seed maps ``(N, 3, Y, X)``, classes ``(N, Y, X)``, contacts ``(N, 1, Y, X)``."""

    images: Tensor
    classes: Tensor
    seeds: Tensor
    contacts: Tensor


def examples(data: Path, domain: str, part: splits.Part) -> dict[str, Example]:
    """Pictures of one part of a domain, by stem, as three channels."""
    folder = data / "nuclei" / domain
    return {stem: read_example(folder, stem) for stem, place in splits.nuclei(data, domain).items() if place == part}


def read_example(folder: Path, stem: str) -> Example:
    """One picture with its objects."""
    pixels = np.atleast_3d(imread(folder / "images" / f"{stem}.png"))
    image = select_channels(np.moveaxis(pixels, -1, 0), INPUT, 3)
    return Example.of(image, imread(folder / "instances" / f"{stem}.png"))


def sources(example: Example) -> Sources:
    """What is drawn from a picture."""
    return Sources(scaled(example), own(example))


def scaled(example: Example) -> Source:
    """A picture at the size that a run brings it to, by the size of its typical object."""
    areas = _areas(example)
    diameter = typical_diameter(areas, 2) if areas.size else TYPICAL
    brought = float(np.clip(diameter, *TAUGHT_DIAMETERS))
    return _source(resized(example, brought / diameter), brought, TAUGHT_DIAMETERS)


def own(example: Example) -> Source:
    """A picture as it is."""
    areas = _areas(example)
    diameter = float(np.median(2 * np.sqrt(areas / np.pi))) if areas.size else TYPICAL
    return _source(example, diameter, OWN_DIAMETERS)


def _areas(example: Example) -> NDArray[np.int64]:
    areas = np.bincount(example.labels[1].ravel())[1:]
    return areas[areas > 0]


def _source(example: Example, diameter: float, bounds: tuple[float, float]) -> Source:
    """Scale factors 0.5 to 2, as far as the picture's nuclei stay within the bounds."""
    low, high = np.clip(np.array(bounds) / diameter, 0.5, 2.0)
    crowded = (example.labels[0] > 0).mean() > 0.05
    return Source(example, Warp(zoom=(float(min(low, 1)), float(max(high, 1))), focus=0.25 if crowded else 0.7))


def resized(example: Example, factor: float) -> Example:
    """A picture as a run resamples it, with its labels."""
    shape = example.image.shape[1:]
    wanted = scaled_shape(shape, factor)
    if wanted == shape:
        return example
    pixels = Resampler(shape, wanted).apply(example.image, tuple(slice(0, n) for n in wanted))
    places = [np.minimum(((np.arange(n) + 0.5) * m / n).astype(int), m - 1) for n, m in zip(wanted, shape, strict=True)]
    return replace(example, image=pixels, labels=example.labels[:, places[0][:, np.newaxis], places[1]])


@dataclass(frozen=True)
class Batches:
    """Draws batches: domains evenly, patch sizes in turn at random, some blank, some sparse, some counterstained."""

    domains: Sequence[Sequence[Sources]]
    shares: Sequence[float] = SHARES
    counterstained: float = 0.0
    strong: float = 0.7
    clouds: float = 0.0
    as_is: float = 0.35
    own_size: float = 0.3

    def __call__(self, rng: np.random.Generator) -> Batch:
        """One batch from a generator."""
        count, side = BATCHES[rng.integers(len(BATCHES))]
        patches = [self.patch((side, side), rng) for _ in range(count)]
        images = [Intensity.of(p.image.reshape(3, -1)).normalize(p.image) for p in patches]
        seeds = [np.stack([seed_target(p.labels[1], name) for name in SEPARATIONS]) for p in patches]
        classes = np.stack([p.labels[0] for p in patches]).astype(np.int64)
        contacts = np.stack([near_contact(p.labels[1]) for p in patches])[:, np.newaxis].astype(np.float32)
        return Batch(*map(torch.from_numpy, (np.stack(images), classes, np.stack(seeds), contacts)))

    def patch(self, shape: tuple[int, int], rng: np.random.Generator) -> Example:
        """One augmented patch, intensity not yet normalized."""
        kind = rng.random()
        if kind < BLANK:
            return blank(3, shape, rng, self.clouds)
        pictures = self.domains[rng.choice(len(self.domains), p=self.shares)]
        either = pictures[rng.integers(len(pictures))]
        chosen = either.own if rng.random() < self.own_size else either.scaled
        patch = background(chosen.example, shape, rng) if kind < BLANK + EMPTY_PIECE else None
        if patch is None:
            patch = draw_patch(chosen.example, shape, self._warp(chosen.warp, rng), rng)
            if chosen.example.style is not None:
                patch = replace(patch, image=chosen.example.style(patch.image, rng, chosen.example.look))
            if self.counterstained and rng.random() < self.counterstained:
                patch = counterstained(patch, rng)
            if kind > 1 - SPARSE:
                patch = sparse(patch, rng)
        return replace(patch, image=appear(patch.image, rng, STRONG if rng.random() < self.strong else LIGHT))

    def plain(self, rng: np.random.Generator) -> Tensor:
        """Images of four patches of 256 pixels that are neither blank nor augmented in appearance."""
        drawn = []
        while len(drawn) < 4:
            pictures = self.domains[rng.integers(len(self.domains))]
            chosen = pictures[rng.integers(len(pictures))].scaled
            patch = draw_patch(chosen.example, (256, 256), chosen.warp, rng)
            if (patch.labels[1] > 0).any():
                drawn.append(Intensity.of(patch.image.reshape(3, -1)).normalize(patch.image))
        return torch.from_numpy(np.stack(drawn))

    def _warp(self, warp: Warp, rng: np.random.Generator) -> Warp:
        return replace(warp, zoom=(0.95, 1.05)) if rng.random() < self.as_is else warp


def loss(network: nn.Module, batch: Batch, amp: bool = False) -> Tensor:
    """Class loss plus the seed maps' mean loss, which weighs what lies between two nuclei; `amp`: bfloat16."""
    given = logits(network, batch.images, amp=amp)
    return class_loss(given[:, :2], batch.classes) + 2 * seed_loss(given[:, 2:], batch.seeds, 8 * batch.contacts)


def loss_with_floors(network: nn.Module, batch: Batch, amp: bool = False) -> Tensor:
    """As :func:`loss`, with the floors of the variances in force, as they are when the model is used."""
    for norm in norms(network):
        norm.eval()
    return loss(network, batch, amp)


def training_batches(data: Path, styles: Sequence[Reference] = (), **how: float) -> Batches:
    """Batches of the training part of all domains, in styles, too, as far as the labels survive them."""
    domains = [run(iter_styled([*examples(data, d, "train").values()], styles)) for d in splits.NUCLEI]
    for note in (domain.note for domain in domains if domain.note):
        say(note)
    return Batches([[sources(e) for e in domain.examples] for domain in domains], **how)


Bytes = np.ndarray[Any, Any]
Picture = tuple[Bytes, Bytes]


def pictures(data: Path, domain: str, part: splits.Part) -> list[Picture]:
    """Stored pixels (YX or YXC) and object ids of one part of a domain."""
    folder = data / "nuclei" / domain
    stems = [stem for stem, place in splits.nuclei(data, domain).items() if place == part]
    return [(imread(folder / "images" / f"{s}.png"), imread(folder / "instances" / f"{s}.png")) for s in stems]


def draft(network: nn.Module) -> tuple[ModelSpec, nn.Module]:
    """A model whose thresholds are still at their defaults."""
    spec = ModelSpec(
        name="nuclei",
        network=NETWORK,
        input=INPUT.model_copy(
            update={"object_diameter": TYPICAL, "object_diameters": DIAMETERS, "clear_diameter": CLEAR}
        ),
        classes=(ClassSpec(value=1, name="nucleus", color="#ffb000"),),
        separation=SEPARATIONS[0],
        postprocessing=FILLED,
        card=Card(purpose="draft", summary="draft", training_data="", license=""),
    )
    return spec, bundle.with_logits(network, [0, 1, 2])


def results(network: nn.Module, domains: dict[str, list[Picture]]) -> dict[str, list[SegmentResult]]:
    """Every picture through the program, with thresholds that are to be chosen yet, by domain."""
    spec, thin = draft(network)
    model = Model.in_memory(spec, cast("UNet", thin.eval()))
    return {name: [segment(pixels, model=model) for pixels, _ in known] for name, known in domains.items()}


def scores(
    found: dict[str, list[SegmentResult]], domains: dict[str, list[Picture]], foreground: float, rise: float
) -> dict[str, list[Score]]:
    """Quality of each picture with these thresholds, by domain."""
    usual = ModelSpec.model_fields["seed_rise"].default  # of a draft

    def one(result: SegmentResult) -> NDArray[np.int32]:
        return objects(
            result.probability_bytes,
            foreground_threshold=foreground,
            seed_rise=result.seed_rise * rise / usual,  # as the size of the objects would have it
            zoom=result.zoom,
            fill_holes=FILLED.fill_small_holes,
        )[0]

    return {
        name: [score(one(result), truth) for result, (_, truth) in zip(found[name], known, strict=True)]
        for name, known in domains.items()
    }


def merit(by_domain: dict[str, list[Score]]) -> float:
    """What is chosen by: AP@0.5 plus Dice, each domain counting the same."""
    return float(np.mean([np.mean([s.precision + s.dice for s in found]) for found in by_domain.values()]))


def choose(network: nn.Module, data: Path) -> tuple[ModelSpec, nn.Module]:
    """The model with the thresholds that are best on validation pictures; of those that tie, the most usual ones."""
    domains = {name: pictures(data, name, "val") for name in splits.NUCLEI}
    seen = results(network, domains)
    tried = {pair: scores(seen, domains, *pair) for pair in itertools.product(FOREGROUND, RISE)}
    best = max(map(merit, tried.values()))
    tied = {pair: found for pair, found in tried.items() if merit(found) > best - TIE}
    (foreground, rise), found = min(tied.items(), key=lambda item: abs(item[0][0] - 0.5) + abs(item[0][1] - 0.8))
    row = ", ".join(f"{name} {np.mean([s.precision for s in known]):.3f}" for name, known in found.items())
    say(f"validation AP@0.5, foreground from {foreground}, rise {rise}: {row}; merit {merit(found):.4f}")
    spec, thin = draft(network)
    return spec.model_copy(update={"foreground_threshold": foreground, "seed_rise": rise}), thin


def finished(network: nn.Module, batches: Batches, data: Path) -> tuple[ModelSpec, nn.Module]:
    """The model of a trained network, with floors under its variances and thresholds that suit it."""
    set_variance_floors(network, (batches.plain(np.random.default_rng((7, i))) for i in range(60)))
    return choose(network, data)


def measured(model: Path, data: Path) -> tuple[Measurement, ...]:
    """The card's table: test pictures, through the whole program."""
    rows = []
    for domain in splits.NUCLEI:
        found = [score(segment(p, model=model).labels, truth) for p, truth in pictures(data, domain, "test")]
        for metric, values in (("Dice", [s.dice for s in found]), ("AP@0.5", [s.precision for s in found])):
            low, high = interval(values)
            mean = float(np.mean(values))
            row = {"value": mean, "low": low, "high": high}
            rows.append(
                Measurement(data=domain, metric=metric, count=len(values), **{k: round(v, 4) for k, v in row.items()})
            )
            say(f"test {domain} {metric} {mean:.3f} ({low:.3f} to {high:.3f}), {len(values)} pictures")
    inside = [float((segment(picture, model=model).labels > 0).mean()) for picture in bundle.blank_pictures()]
    empty = float(np.mean(np.array(inside) == 0))
    say(f"blank pictures: {np.mean(inside):.2%} of pixels called nucleus, {empty:.1%} left entirely empty")
    blanks = {"pixels called nucleus": float(np.mean(inside)), "left entirely empty": empty}
    rows += [
        Measurement(data="blank pictures of five kinds", metric=metric, value=round(value, 4), count=len(inside))
        for metric, value in blanks.items()
    ]
    return tuple(rows)


def card(table: tuple[Measurement, ...], training: str) -> Card:
    """What a person must know."""
    return Card(
        purpose="Cell nuclei as separate objects in fluorescence, H&E and brightfield pictures, gray or RGB.",
        summary="cell nuclei: fluorescence, H&E, brightfield",
        training_data=(
            "179 pictures of BBBC038v1 (2018 Data Science Bowl, stage 1, with the community's label fixes): "
            f"fluorescence 256 and 360 pixels, purple H&E, H&E on white, brightfield cytology. {training}"
        ),
        license="CC0-1.0",
        attribution="Caicedo et al., Nucleus segmentation across imaging experiments, Nature Methods 16, 1247 (2019)",
        limits=(
            "A picture is scaled so that its nuclei are 13 to 24 pixels across, bright ones that the model has no "
            "doubts about to at most 75. Their size is estimated, and said "
            "after the run: if it is wrong, type it (nuclei of 100 to 200 pixels in H&E were guessed to be smaller). "
            "2D only. Phase contrast and "
            "electron microscopy were not trained. Of immunohistochemistry only what was drawn beside nuclei of other "
            "stains was trained, and nothing was measured: look at the outlines, or let it see the hematoxylin alone "
            "(as the channel). Dense clumps and overlapping nuclei "
            "may merge. Measured on pictures of the same source as the training pictures but not among them; other "
            "microscopes can be worse, so look at the outlines. Touching nuclei in H&E and cytology merge or split "
            "more often than Dice suggests: see AP. "
            "Holes of up to 1/8 of a nucleus are filled: on 32 validation pictures that leaves AP@0.5 as it is on "
            "average (purple H&E gains 0.008; small fluorescence loses 0.005) and changes the Dice of no domain by "
            "0.002. "
            "No object is "
            "left out for its size unless a smallest one is given."
        ),
        measured=table,
    )


def export(data: Path, out: Path, target: Path, start: Path | None = None, share: float = 1.0) -> None:
    """Write the model folder `target` from the checkpoint in `out`, or what lies between `start` and it."""
    state = bundle.averaged(UNet(NETWORK, 2 + len(SEPARATIONS)), out)
    network = state.average
    if start is not None:
        network = UNet(NETWORK, 2 + len(SEPARATIONS))
        bundle.begin_with(network, start)
        bundle.blend(network, state.average, share)
    spec, thin = finished(network, training_batches(data), data)
    training, provenance = bundle.history(state, start, "about 0.14 Mpx")
    provenance |= {"recipe": "recipes/nuclei.py", "date": date.today().isoformat()}
    spec = spec.model_copy(update={"provenance": provenance, "card": card((), training)})
    bundle.write_model(spec, thin, target)
    table = measured(target, data)
    memory = memories.nuclei(data, Model.in_memory(spec, cast("UNet", thin.eval())))
    bundle.write_model(spec.model_copy(update={"card": card(table, training)}), thin, target, memory)
    seen.state(target, data)


def main() -> None:
    """Read the command line."""
    parser = options(__doc__, minutes=75)
    parser.add_argument("--counterstained", type=float, default=0.0, help="share of patches with a second stain")
    parser.add_argument("--strong", type=float, default=0.7, help="share of patches that look very unlike themselves")
    parser.add_argument("--as-is", type=float, default=0.35, help="share of patches of nearly their own size")
    parser.add_argument("--own-size", type=float, default=0.3, help="share of patches of pictures of their own size")
    parser.add_argument("--clouds", type=float, default=0.0, help="share of soft clouds in patches of nothing")
    parser.add_argument("--floors", action="store_true", help="with the floors of the variances of --start in force")
    parser.add_argument(
        "--style", action="append", default=[], metavar="PICTURE", help="a look to read, too; or several"
    )
    parser.add_argument("--blend", type=float, default=1.0, help="share of the way from --start that is exported")
    given = parsed(parser)
    if given.export:
        export(given.data, given.out, given.export, given.start, given.blend)
    else:
        how = loss_with_floors if given.floors else loss
        shares = {name: getattr(given, name) for name in ("counterstained", "strong", "clouds", "as_is", "own_size")}
        batches = training_batches(given.data, [reference_of(style) for style in given.style], **shares)
        train(UNet(NETWORK, 2 + len(SEPARATIONS)), batches, partial(how, amp=given.amp), given)


if __name__ == "__main__":
    main()
