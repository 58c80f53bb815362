"""Corrections to a better model: taught, then compared with the one it came from."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_unetstyle.core.annotation.corrections import Correction
from napari_unetstyle.core.errors import OptionError
from napari_unetstyle.core.models.aside import forget, save_aside
from napari_unetstyle.core.models.folder import MANIFEST
from napari_unetstyle.core.models.memory import Memory
from napari_unetstyle.core.models.model import Model
from napari_unetstyle.core.models.spec import ModelSpec
from napari_unetstyle.core.models.store import ModelStore
from napari_unetstyle.core.models.weights import create_network
from napari_unetstyle.core.networks.unet import UNet
from napari_unetstyle.core.progress import Progress, Steps, run, share
from napari_unetstyle.core.segmentation.preprocessing import select_channels
from napari_unetstyle.core.training.account import key_of, notes_for_a_person, taught_spec
from napari_unetstyle.core.training.added_classes import before_added, iter_taught_alone, widened, with_classes
from napari_unetstyle.core.training.candidate import Candidate, Checked
from napari_unetstyle.core.training.comparison import iter_scores
from napari_unetstyle.core.training.drawing import Drawing
from napari_unetstyle.core.training.floors import set_variance_floors
from napari_unetstyle.core.training.fresh import fresh_spec, with_size
from napari_unetstyle.core.training.lessons import Said, iter_clear, lesson, sayings
from napari_unetstyle.core.training.looks import iter_looks
from napari_unetstyle.core.training.options import FineTuneOptions
from napari_unetstyle.core.training.patches import Example, renumbered, unit_range
from napari_unetstyle.core.training.places import Place, hold_out
from napari_unetstyle.core.training.remembering import own_memories
from napari_unetstyle.core.training.scores import Comparison, Scores
from napari_unetstyle.core.training.step_back import Trials, iter_kept
from napari_unetstyle.core.training.styling import iter_styled
from napari_unetstyle.core.training.teaching import Teaching

_FLOORS = 8  # batches that the variance floors of a new model are taken from
_LOOKED, _BEFORE, _STYLED, _AFTER = 0.01, 0.05, 0.08, 0.92  # looks tried, parent measured, styles tried, taught


def fine_tune(
    corrections: Sequence[Correction],
    parent: Model | str | Path = "nuclei",
    *,
    store: ModelStore | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    **options: Any,
) -> Candidate:
    """Teach a model what was corrected, and compare the result with the model it came from.

    Parameters
    ----------
    corrections
        What a person said about each picture.
    parent
        The model to start from: name in the store, folder, or loaded. It is not changed.
    store
        Where models are looked up, and where the candidate lies until it is kept or forgotten.
    on_progress
        Called with each step's progress.
    **options
        See :class:`FineTuneOptions`.

    Returns
    -------
    Candidate
        ``candidate.comparison.takes_over`` says whether it is better on held-out places and no worse on old
        pictures; ``candidate.keep(store)`` makes it a model with a name.

    Raises
    ------
    UnetstyleError
        In words, if there is nothing to learn from or an option is not usable.
    """
    return run(iter_fine_tune(corrections, parent, FineTuneOptions(**options), store=store), on_progress)


def teach_new(
    corrections: Sequence[Correction],
    classes: Sequence[str],
    name: str,
    *,
    store: ModelStore | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    **options: Any,
) -> Candidate:
    """Teach a new model from nothing, for pictures that no model is for.

    Parameters
    ----------
    corrections
        Labeled pictures of one kind, 2D or 3D; whether they are objects or areas is what the model will do.
    classes
        Names of the classes, in the order of their values from 1.
    name
        What it is called.
    store, on_progress, **options
        As for :func:`fine_tune`.

    Returns
    -------
    Candidate
        Its comparison has held-out places of the pictures, and no parent.
    """
    chosen = FineTuneOptions(name=name, **options)
    return run(iter_teach_new(corrections, classes, chosen, store=store), on_progress)


def iter_fine_tune(
    corrections: Sequence[Correction],
    parent: Model | str | Path,
    options: FineTuneOptions,
    *,
    store: ModelStore | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.monotonic,
) -> Steps[Candidate]:
    """Like :func:`fine_tune`, as a job that yields :class:`TrainProgress` while it trains.

    When `should_stop` says so the training ends early, and what there is is compared. Not asking for the next step is
    a pause: it takes no training time. A write that the disk refuses is yielded as
    :class:`~napari_unetstyle.core.training.refused.Refused`, and is an error at the next step unless it is to be tried
    again.
    """
    shelf = store or ModelStore()
    model = parent if isinstance(parent, Model) else shelf.load(parent)
    spec = _mirroring(with_classes(model.spec, options.add_classes), options)
    said = _something(sayings(corrections, spec))
    learned, places = hold_out(said, np.random.default_rng(options.seed))
    _check_shown(learned, spec, options.add_classes)
    again = {one.picture for one in said}  # what is said about a picture now counts, not what was once
    memory = [m for m in model.memory if m.picture not in again]
    if options.add_classes:
        memory = [before_added(m, len(model.spec.classes)) for m in memory]
    check = [m for m in memory if m.role == "check"]
    yield Progress(0, 1, "Looking at your pictures")
    looks = yield from share(iter_looks(said, places, options.styles, options.segment), 0.0, _LOOKED)
    before = yield from share(iter_scores(model, said, places, check, options.segment, looks), _LOOKED, _BEFORE)
    clear = yield from share(iter_clear(said, model, options.segment), _BEFORE, _BEFORE)
    lessons = [lesson(one, spec, options.segment, clear) for one in learned]
    old = [_example(m, spec) for m in memory if m.role == "learn"]
    styled = yield from share(iter_styled([*lessons, *old], options.styles), _BEFORE, _STYLED)
    drawing = Drawing(
        spec=spec,
        lessons=styled.examples[: len(lessons)],
        old=styled.examples[len(lessons) :],
        replay=options.replay,
        randomized=options.randomized,
    )
    network = widened(model.network, model.spec, len(options.add_classes))
    if options.add_classes:
        steps = iter_taught_alone(network, len(options.add_classes), drawing, options.seed)
        yield from share(steps, _STYLED, _STYLED)
    start = copy.deepcopy(network)
    key = key_of(model.spec.files[MANIFEST], options, [*lessons, *old], places)
    teaching = Teaching(spec, network, said, places, options, usual_rate=1e-3, before=before, looks=looks, key=key)
    yield from share(teaching.iter_taught(drawing, should_stop, clock), _STYLED, _AFTER)
    own = own_memories(said, learned, lessons, places, spec, options.segment, clear) if options.remember else []

    def aside(network: UNet, part: float) -> Model:
        taught = taught_spec(spec, options, teaching, lessons, part)
        return save_aside(shelf, taught, network, memory=[*own, *memory], license_text=model.license_text)

    def scored(child: Model) -> Steps[Scores]:
        scores = yield from iter_scores(child, said, places, check, options.segment, looks)
        return replace(scores, added=options.add_classes)

    trials = Trials(aside=aside, scored=scored, forget=partial(forget, shelf), should_stop=should_stop)
    child, after, part = yield from share(iter_kept(teaching.best, start, before, trials), _AFTER, 1.0)
    checked = _checked(corrections, said, places)
    notes = notes_for_a_person(styled, teaching, part)
    return Candidate(model=child, parent=model, comparison=Comparison(before, after), places=checked, notes=notes)


def iter_teach_new(
    corrections: Sequence[Correction],
    classes: Sequence[str],
    options: FineTuneOptions,
    *,
    store: ModelStore | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.monotonic,
) -> Steps[Candidate]:
    """A model from nothing, for pictures that no model is for; otherwise like :func:`iter_fine_tune`.

    Parameters
    ----------
    corrections
        Labeled pictures of one kind.
    classes
        Names of the classes, in the order of their values from 1.
    options
        How to teach; ``name`` is needed.
    """
    shelf = store or ModelStore()
    if options.name is None:
        raise OptionError("A new model needs a name. Give one of small letters, digits, '-' and '_'.")
    if options.learn != "all":
        raise OptionError(
            f"Option learn={options.learn!r} is not allowed for a new model: its other layers would stay random. "
            "Give 'all'."
        )
    spec = _mirroring(fresh_spec(corrections, options.name, classes), options)
    said = _something(sayings(corrections, spec))
    learned, places = hold_out(said, np.random.default_rng(options.seed))
    spec = with_size(spec, learned)
    lessons = [lesson(one, spec, options.segment) for one in learned]
    looks = yield from share(iter_looks(said, places, options.styles, options.segment), 0.0, _LOOKED)
    styled = yield from share(iter_styled(lessons, options.styles), _LOOKED, _BEFORE)
    drawing = Drawing(spec=spec, lessons=styled.examples, randomized=options.randomized)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        network = create_network(spec)
    key = key_of(spec.model_dump_json(), options, lessons, places)
    teaching = Teaching(spec, network, said, places, options, usual_rate=2e-3, looks=looks, key=key)
    yield from share(teaching.iter_taught(drawing, should_stop, clock), _BEFORE, _AFTER)
    best = teaching.best
    plain = (drawing.plain(np.random.default_rng((options.seed, i))) for i in range(_FLOORS))
    set_variance_floors(best, (images.to(next(best.parameters()).device) for images in plain))
    own = own_memories(said, learned, lessons, places, spec, options.segment) if options.remember else []
    trials = Trials(
        aside=lambda network, _: save_aside(shelf, taught_spec(spec, options, teaching, lessons), network, memory=own),
        scored=lambda child: iter_scores(child, said, places, (), options.segment, looks),
        forget=partial(forget, shelf),
        should_stop=should_stop,
    )
    child, after, _ = yield from share(iter_kept(best, best, None, trials), _AFTER, 1.0)
    checked = _checked(corrections, said, places)
    notes = notes_for_a_person(styled, teaching)
    return Candidate(model=child, parent=None, comparison=Comparison(None, after), places=checked, notes=notes)


def _checked(corrections: Sequence[Correction], said: Sequence[Said], places: Sequence[Place]) -> tuple[Checked, ...]:
    numbers = {id(correction): i for i, correction in enumerate(corrections)}
    found = [(said[place.said], place.box) for place in places]
    return tuple(Checked(numbers[id(one.correction)], one.index, box) for one, box in found)


def _mirroring(spec: ModelSpec, options: FineTuneOptions) -> ModelSpec:
    """The model, mirrored as it was asked for."""
    if options.mirror is None:
        return spec
    if len(options.mirror) > len(set(options.mirror) & set("ZYX"[-spec.network.spatial_dims :])):
        raise OptionError(f"Option mirror={options.mirror!r} is not allowed for pictures: give axes out of 'YX'.")
    return spec.model_copy(update={"input": spec.input.model_copy(update={"mirror": options.mirror})})


def _something(said: list[Said]) -> list[Said]:
    if said:
        return said
    raise OptionError(
        "There is nothing to learn from: no object was touched, nothing painted, no area called right. Correct "
        "something, or say that a picture is right."
    )


def _check_shown(learned: Sequence[Said], spec: ModelSpec, added: Sequence[str]) -> None:
    """Whether there is something to learn each added class from."""
    for one in spec.classes[len(spec.classes) - len(added) :]:
        if not any((said.targets[0][said.valid] == one.value).any() for said in learned):
            raise OptionError(f"Nothing in the pictures is labeled {one.name} (value {one.value}). Paint some of it.")


def _example(memory: Memory, spec: ModelSpec) -> Example:
    pixels = np.asarray(select_channels(memory.pixels, spec.input, spec.network.in_channels))
    return Example(unit_range(pixels), np.stack([memory.targets[0], renumbered(memory.targets[1])]))
