"""Corrections to a better model: taught, then compared with the one it came from."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from napari_unetstyle import __version__
from napari_unetstyle.core.annotation.corrections import Correction
from napari_unetstyle.core.errors import OptionError
from napari_unetstyle.core.models.memory import Memory
from napari_unetstyle.core.models.spec import Measurement, ModelSpec
from napari_unetstyle.core.models.store import Model, ModelStore, reference
from napari_unetstyle.core.progress import Progress, Steps, run, share
from napari_unetstyle.core.segmentation.preprocessing import select_channels
from napari_unetstyle.core.training.comparison import Comparison, iter_scores
from napari_unetstyle.core.training.drawing import Drawing
from napari_unetstyle.core.training.lessons import Said, lesson, sayings
from napari_unetstyle.core.training.options import FineTuneOptions
from napari_unetstyle.core.training.patches import Example, unit_range
from napari_unetstyle.core.training.places import Place, hold_out
from napari_unetstyle.core.training.teaching import Teaching

_BEFORE, _AFTER = 0.05, 0.92  # the parent is measured up to here, then it is taught, then the child is measured


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidate:
    """A taught model that is not in use yet.

    Attributes
    ----------
    model
        Complete, in a folder of its own that no list of models shows.
    parent
        What it came from.
    comparison
        Both, measured.
    said, places
        What was said about the pictures, and the places in them that were held out and checked.
    """

    model: Model
    parent: Model
    comparison: Comparison
    said: tuple[Said, ...]
    places: tuple[Place, ...]

    def keep(self, store: ModelStore) -> Model:
        """Make it the next version of its name in `store`, where its folder moves, with the comparison in its card."""
        return store.take_in(self.model, _measured(self.model.spec, self.comparison))

    def forget(self, store: ModelStore) -> None:
        """Remove it."""
        store.forget(self.model)


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
    a pause: it takes no training time.
    """
    shelf = store or ModelStore()
    model = parent if isinstance(parent, Model) else shelf.load(parent)
    said = sayings(corrections, model.spec)
    if not said:
        raise OptionError(
            "There is nothing to learn from: no object was touched, nothing painted, no area called right. Correct "
            "something, or say that a picture is right."
        )
    learned, places = hold_out(said, np.random.default_rng(options.seed))
    memory = model.memory
    check = [m for m in memory if m.role == "check"]
    yield Progress(0, 1, "Looking at your pictures")
    before = yield from share(iter_scores(model, said, places, check, options.segment), 0.0, _BEFORE)
    lessons = [lesson(one, model.spec, options.segment) for one in learned]
    old = [_example(m, model.spec) for m in memory if m.role == "learn"]
    teaching = Teaching(model, said, places, options, before.on_places)
    drawing = Drawing(spec=model.spec, lessons=lessons, old=old, replay=options.replay)
    yield from share(teaching.iter_taught(drawing, should_stop, clock), _BEFORE, _AFTER)
    draft = _draft(model, options, teaching, lessons)
    child = shelf.save_aside(draft, teaching.best, memory=memory)
    after = yield from share(iter_scores(child, said, places, check, options.segment), _AFTER, 1.0)
    comparison = Comparison(before, after)
    return Candidate(model=child, parent=model, comparison=comparison, said=tuple(said), places=tuple(places))


def _example(memory: Memory, spec: ModelSpec) -> Example:
    pixels = np.asarray(select_channels(memory.pixels, spec.input, spec.network.in_channels))
    return Example(unit_range(pixels), memory.targets)


def _draft(parent: Model, options: FineTuneOptions, teaching: Teaching, lessons: Sequence[Example]) -> ModelSpec:
    """What the child is, before it is measured."""
    spec, state = parent.spec, teaching.state
    name = options.name or (spec.name if spec.parent else f"{spec.name[:59]}-mine")
    said = f"{len(lessons)} corrected picture{'s' if len(lessons) > 1 else ''}"
    card = spec.card.model_copy(
        update={
            "training_data": f"{spec.card.training_data} Then taught with {said}, {state.step} steps.",
            "summary": spec.card.summary,
            "measured": (),
        }
    )
    provenance = {
        "made_by": f"napari-unetstyle {__version__}",
        "date": date.today().isoformat(),
        "parent_seal": spec.files["model.json"],
        "recipe": f"taught, {state.step} steps in {state.seconds:.0f} s, learning rate {options.learning_rate:g}, "
        f"layers {options.learn}, replay {options.replay:g}, seed {options.seed}",
        **{f"lesson_{i}": _digest(one) for i, one in enumerate(lessons, 1)},
    }
    update = {"name": name, "version": 1, "parent": reference(spec), "card": card, "provenance": provenance}
    return spec.model_copy(update={**update, "files": {}, "amp_changed_ppm": None})


def _digest(example: Example) -> str:
    """sha256 of what a lesson consists of, which names it without telling anything about it."""
    digest = hashlib.sha256()
    for array in (example.image, example.labels, example.valid):
        if array is not None:
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _measured(spec: ModelSpec, comparison: Comparison) -> ModelSpec:
    """`spec` with the comparison in its card."""
    scores = {"parent": comparison.parent, "this model": comparison.child}
    rows = []
    for who, score in scores.items():
        for what, value, count in (
            ("held-out places of the corrected pictures", score.on_places, len(score.places)),
            ("pictures of the earlier training that were kept to check", score.on_old, len(score.old)),
        ):
            if value is not None:
                rows.append(Measurement(data=f"{what}, {who}", metric="Dice", value=round(value, 4), count=count))
    return spec.model_copy(update={"card": spec.card.model_copy(update={"measured": tuple(rows)})})
