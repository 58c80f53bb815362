"""``napari-unetstyle teach``: labeled pictures to a better model, or to a new one."""

from __future__ import annotations

import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

import typer

from napari_unetstyle.cli.exit_codes import STOPPED
from napari_unetstyle.cli.progress_bar import Print, progress_bar
from napari_unetstyle.cli.values import parse_channel
from napari_unetstyle.core.errors import OptionError, OutputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_unetstyle.core.annotation.corrections import Correction
    from napari_unetstyle.core.annotation.masks import Pair
    from napari_unetstyle.core.models.model import Model
    from napari_unetstyle.core.models.spec import ClassSpec
    from napari_unetstyle.core.models.store import ModelStore
    from napari_unetstyle.core.progress import Steps
    from napari_unetstyle.core.training.candidate import Candidate
    from napari_unetstyle.core.training.options import FineTuneOptions
    from napari_unetstyle.core.training.refused import Refused

Done = TypeVar("Done")
STAYS = 1
RETRY = 10.0  # seconds until a write that the disk refused is tried again, where somebody looks on
_STAYS_WORDS = "Nothing was kept; --keep keeps it all the same."

HELP = """Teach a model with labeled pictures, and compare it with the one it came from.

Research use only, not a medical device.

**Examples**

Two minutes of teaching; the new model is kept only if it is better on places that were held out, and no worse on what
it knew:

`napari-unetstyle teach --images slides/ --labels masks/ --model nuclei --minutes 2`

Pictures come from a second scanner, too, and nobody has labeled those: the model learns to read their look; with
`--try-styles` it is taught twice, and told whether that helped:

`napari-unetstyle teach --images slides/ --labels masks/ --style other/a.tif --style other/b.tif --try-styles`

Vessels, which the model does not know, are labeled with the value after its own classes; what it knew is guarded:

`napari-unetstyle teach --images slides/ --labels masks/ --model axon-myelin --add-class vessel`

A model from nothing, written to a folder:

`napari-unetstyle teach --from-scratch --classes vessel --images eyes/ --labels vessels/ -o vessels-model/ --minutes 10`

Pictures and labels go together by their names (`slide7.tif` and `slide7_mask.png`). Labels are numbers of objects for
a model that separates objects (where a mask has one value, as 255, each patch is one), else class values; QuPath's
GeoJSON is read, too, and says the class of each object.

**Exit codes**: 0 the model was kept; 1 it is no better, and the one you had stays (`--keep` keeps it all the same);
2 nothing could be done, and a sentence says why.
"""


def teach_model(
    images: Annotated[Path, typer.Option(help="Folder of pictures, of whatever kinds segment takes.")],
    labels: Annotated[Path, typer.Option(help="Folder of their labels, or masks, or GeoJSON.")],
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Model to start from: name or folder. [default: nuclei]")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="New folder for the model. [default: among your models]")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What to call it. [default: the model's name with -mine]")] = None,
    minutes: Annotated[float | None, typer.Option(help="How long to train. [default: 2, from scratch 10]")] = None,
    steps: Annotated[int | None, typer.Option(help="Training steps instead: the same model each time.")] = None,
    from_scratch: Annotated[bool, typer.Option("--from-scratch", help="Teach a new model from nothing.")] = False,
    classes: Annotated[
        list[str] | None, typer.Option(help="With --from-scratch: name of each class, in the order of their values.")
    ] = None,
    add_class: Annotated[
        list[str] | None,
        typer.Option(help="Name of a class to add to the model: its next value, or of objects its name in GeoJSON."),
    ] = None,
    areas: Annotated[
        bool, typer.Option("--areas", help="With --from-scratch: the labels are class values, not objects.")
    ] = False,
    ignore: Annotated[int | None, typer.Option(help="Labels with this value are not learned from.")] = None,
    channel: Annotated[str | None, typer.Option(help="Number (from 0) or name of the only channel to use.")] = None,
    series: Annotated[
        str | None,
        typer.Option(help="Which series of a DICOM folder, where there are several: its number. Of --images."),
    ] = None,
    object_diameter: Annotated[float | None, typer.Option(help="Diameter of a typical object in pixels.")] = None,
    learn: Annotated[str, typer.Option(help="Layers that change: all, decoder or encoder.")] = "all",
    rate: Annotated[float | None, typer.Option(help="Learning rate. [default: 0.001, from scratch 0.002]")] = None,
    schedule: Annotated[
        str, typer.Option(help="How the rate falls: cosine (all the time), step (50 epochs), plateau (no better).")
    ] = "cosine",
    patience: Annotated[
        int | None, typer.Option(help="End early after so many measurements without a better one. [default: never]")
    ] = None,
    replay: Annotated[
        float | None, typer.Option(help="Share of patches from the model's old pictures. [default: 0.5]")
    ] = None,
    style: Annotated[
        list[str] | None,
        typer.Option(help="A picture, or a style of the bank, whose look the model also learns to read; or several."),
    ] = None,
    texture: Annotated[
        bool, typer.Option("--texture", help="With --style: the texture of those pictures, too, not only their colors.")
    ] = False,
    randomized: Annotated[
        bool, typer.Option("--randomized", help="Some patches also take random looks (Bezier curves, SLAug, FDA).")
    ] = False,
    try_styles: Annotated[
        bool,
        typer.Option("--try-styles", help="Teach twice, with the styles and without, and use the better of the two."),
    ] = False,
    mirror: Annotated[
        str | None,
        typer.Option(help="Axes along which pictures may be mirrored, e.g. YX, or none. [default: as the model says]"),
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides which places are held out, and every random draw.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    work: Annotated[
        Path | None, typer.Option(help="Folder that an interrupted teaching goes on from: give the same one again.")
    ] = None,
    forget_pictures: Annotated[
        bool, typer.Option("--forget-pictures", help="The model keeps no crops of the pictures for its next teaching.")
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep it even if it is no better.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines, nothing else.")] = False,
) -> None:
    """Teach a model; see HELP."""
    from napari_unetstyle.core.annotation.masks import find_pairs, unpaired
    from napari_unetstyle.core.models.classes import class_specs
    from napari_unetstyle.core.models.store import ModelStore
    from napari_unetstyle.core.segmentation.options import make_options
    from napari_unetstyle.core.style.given import reference_of
    from napari_unetstyle.core.training.added_classes import with_classes
    from napari_unetstyle.core.training.options import FineTuneOptions

    if from_scratch != bool(classes) or (areas and not from_scratch):
        raise OptionError(
            "--from-scratch and --classes go together (and --areas only with them): name the classes of the new model, "
            "or leave all out to teach a model that is there."
        )
    if from_scratch and (model is not None or replay is not None or learn != "all"):
        raise OptionError(
            "--model, --replay and --learn are for a model that is there: with --from-scratch, leave them out."
        )
    if from_scratch and add_class:
        raise OptionError("--add-class is for a model that is there: with --from-scratch, name all by --classes.")
    if try_styles and (from_scratch or not style or work is not None):
        raise OptionError(
            "--try-styles needs a model to teach and at least one --style to try on it, and cannot be gone on with: "
            "leave --work out."
        )
    if out is not None and out.exists():
        raise OptionError(f"{out} exists already, and models are never changed. Give a new folder.")
    styles = tuple(reference_of(path, texture=texture) for path in style or [])
    if texture and all(one.texture is None for one in styles):
        raise OptionError(
            "--texture needs a picture to look like, gray or in color: give at least one as --style, or a style "
            "of the bank that was kept with its texture."
        )
    store = ModelStore()
    parent = None if from_scratch else store.load(model or "nuclei")
    usual = 10.0 if from_scratch else 2.0
    options = FineTuneOptions(
        minutes=usual if minutes is None and steps is None else minutes,
        steps=steps,
        learning_rate=rate,
        learn=cast("Any", learn),  # checked there
        schedule=cast("Any", schedule),
        patience=patience,
        replay=0.5 if replay is None else replay,
        name=_name_of(out, classes or []) if from_scratch and name is None else name,
        seed=seed,
        device=device,
        folder=work,
        styles=styles,
        randomized=randomized,
        remember=not forget_pictures,
        mirror="" if mirror == "none" else mirror,
        add_classes=tuple(add_class or ()),
        segment=make_options(channel=parse_channel(channel), object_diameter=object_diameter),
    )
    if parent is None:
        known, is_areas = class_specs(classes or []), areas
    else:
        known, is_areas = with_classes(parent.spec, options.add_classes).classes, parent.spec.separation is None
    pairs = find_pairs(images, labels)
    notes = unpaired(images, labels, pairs)
    dims = None if parent is None else parent.spec.network.spatial_dims
    apart: list[Path] = []
    lessons = corrections(pairs, ignore, is_areas=is_areas, classes=known, series=series, dims=dims, apart=apart)
    if apart:
        notes.append(f"In {len(apart)} of {len(pairs)} pictures masks have one value: each patch counts as one object.")
    for sentence in notes:
        typer.echo(f"Note: {sentence}", err=True)
    if parent is not None:
        _tell_contradictions(lessons, parent, known, options)
    job = _job(lessons, parent, classes or [], options, store, try_styles=try_styles, as_json=as_json)
    candidate = _drained(job, work)
    kept = None
    if candidate.comparison.takes_over or keep:
        kept = _drained(_written(candidate, store, out), work)
    else:
        candidate.forget(store)
    _finish(candidate, kept, notes, is_asked=keep, as_json=as_json)


def _written(candidate: Candidate, store: ModelStore, out: Path | None) -> Steps[Model]:
    """The taught model among the person's own, or in a folder."""
    from napari_unetstyle.core.training.refused import iter_written

    keep = partial(candidate.keep, store) if out is None else partial(candidate.write, out, store)
    return (yield from iter_written(keep))


def _job(
    lessons: Sequence[Correction],
    parent: Model | None,
    classes: Sequence[str],
    options: FineTuneOptions,
    store: ModelStore,
    *,
    try_styles: bool,
    as_json: bool,
) -> Steps[Candidate]:
    """A new model from nothing, the model taught once, or twice to see whether styles help."""
    from napari_unetstyle.core.training.finetune import iter_fine_tune, iter_teach_new
    from napari_unetstyle.core.training.style_trial import iter_try_styles

    if parent is None:
        return (yield from iter_teach_new(lessons, classes, options, store=store))
    if not try_styles:
        return (yield from iter_fine_tune(lessons, parent, options, store=store))
    trial = yield from iter_try_styles(lessons, parent, options, store=store)
    typer.echo(trial.sentence(), err=as_json)
    return trial.settled(store)


def corrections(
    pairs: Sequence[Pair],
    ignore: int | None,
    *,
    is_areas: bool,
    classes: tuple[ClassSpec, ...],
    series: str | None = None,
    dims: int | None = None,
    apart: list[Path] | None = None,
) -> Sequence[Correction]:
    """Every picture that has labels, called right as a whole except where the labels say "ignore"."""
    output = "areas" if is_areas else "objects"
    return [pair.correction(output, classes, ignore, series, dims, apart) for pair in pairs]


def _tell_contradictions(
    lessons: Sequence[Correction], parent: Model, classes: Sequence[ClassSpec], options: FineTuneOptions
) -> None:
    """Say how many places the labels contradict that the model was sure of: the most valuable ones, or slips."""
    from napari_unetstyle.core.progress import run
    from napari_unetstyle.core.training.contradictions import iter_contradictions

    found = run(iter_contradictions(lessons, parent, options.segment, added=options.add_classes))
    if not found:
        return
    names = ("background", *(c.name for c in classes))
    largest = found[0]
    where = ", ".join(f"{side.start}-{side.stop}" for side in largest.box)
    picture = lessons[largest.picture].image.name or f"picture {largest.picture + 1}"
    places = "places contradict" if len(found) > 1 else "place contradicts"
    typer.echo(
        f"{len(found)} {places} what {parent.spec.name} was sure of. Largest: {picture} at {where}, "
        f"{names[largest.said]} in the labels, {names[largest.sure_of]} to the model.",
        err=True,
    )


def _name_of(out: Path | None, classes: Sequence[str]) -> str:
    """A model's name from the folder it goes to, or from its first class."""
    from napari_unetstyle.core.files import plain_name

    return plain_name(out.name if out is not None else classes[0], "model")


def _drained(job: Steps[Done], work: Path | None) -> Done:
    """Run with a bar; where the disk is full it waits if somebody looks on, and else ends with a sentence."""
    from napari_unetstyle.core.progress import run
    from napari_unetstyle.core.training.refused import Refused

    again = "" if work is None else f" The same command goes on with it, from {work}."
    with progress_bar() as (show, say):

        def follow(progress: Any) -> None:
            if isinstance(progress, Refused):
                _wait_for_space(progress, say)
            score = getattr(progress, "score", None)
            show(progress, progress.done if score is None else f"{progress.done}, Dice {score:.3f}")

        try:
            return run(job, follow)
        except OutputError as error:
            raise OutputError(f"{error}{again}") from error
        except KeyboardInterrupt as stop:
            typer.echo(f"Stopped. No model was made; the one you had is as it was.{again}", err=True)
            raise typer.Exit(STOPPED) from stop


def _wait_for_space(refused: Refused, say: Print) -> None:
    """Let a refused write be tried again a while later, until Ctrl+C; a script is not kept waiting."""
    if not sys.stdin.isatty():
        return
    say(f"{refused.error} Nothing is lost: it is tried again every {RETRY:.0f} seconds, until Ctrl+C.", err=True)
    time.sleep(RETRY)
    refused.again.set()


def _finish(candidate: Candidate, kept: Model | None, notes: Sequence[str], *, is_asked: bool, as_json: bool) -> None:
    """Say what was found and kept, and exit with a code that means it."""
    comparison = candidate.comparison
    if as_json:
        before, after = comparison.parent, comparison.child
        scores = {
            "places": {"count": len(after.places), "before": before and before.on_places, "after": after.on_places},
            "looks": {"count": len(after.looks), "before": before and before.on_looks, "after": after.on_looks},
            "old": {"count": len(after.old), "before": before and before.on_old, "after": after.on_old},
            "added": after.on_added,
        }
        folder = None if kept is None else str(kept.folder)
        about = {"verdict": comparison.verdict, "model": folder, "notes": [*notes, *candidate.notes]}
        typer.echo(json.dumps(about | scores))
    else:
        for sentence in (*candidate.notes, comparison.sentence(is_kept=is_asked)):
            typer.echo(sentence)
        typer.echo(f"Kept: {kept.spec.name}, version {kept.spec.version} -> {kept.folder}" if kept else _STAYS_WORDS)
    if kept is None:
        raise typer.Exit(STAYS)
