"""Teaching as one job: teach, compare, take over or not, and segment the corrected pictures again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.annotation.corrections import Correction
from napari_unetstyle.core.annotation.fixes import owners_of_fixes, with_fixes
from napari_unetstyle.core.errors import OptionError, OutputError, UnetstyleError
from napari_unetstyle.core.models.model import reference
from napari_unetstyle.core.progress import Progress, Steps, share, through, told
from napari_unetstyle.core.training.refused import iter_written
from napari_unetstyle.core.training.train_progress import TrainProgress
from napari_unetstyle.widgets.changed_objects import changed_objects
from napari_unetstyle.widgets.core_calls import CoreCalls
from napari_unetstyle.widgets.doubts import Doubt, Doubts, iter_doubts
from napari_unetstyle.widgets.jobs import as_steps
from napari_unetstyle.widgets.live_preview import Sight, iter_watched
from napari_unetstyle.widgets.outputs import Fresh, iter_fresh
from napari_unetstyle.widgets.run_request import RunRequest

if TYPE_CHECKING:
    import napari.layers

    from napari_unetstyle.core.annotation.project import Entry
    from napari_unetstyle.core.imaging.image import Image
    from napari_unetstyle.core.models.model import Model
    from napari_unetstyle.core.models.spec import ModelSpec
    from napari_unetstyle.core.models.store import ModelStore
    from napari_unetstyle.core.style.kept_style import KeptStyle
    from napari_unetstyle.core.style.reference import Reference
    from napari_unetstyle.core.training.candidate import Candidate
    from napari_unetstyle.core.training.options import FineTuneOptions
    from napari_unetstyle.core.training.style_trial import StyleTrial
    from napari_unetstyle.widgets.goal import Goal

_ASKED, _TAUGHT = 0.02, 0.9  # of the whole job


@dataclass(frozen=True, kw_only=True, eq=False)
class Material:
    """The fixes of one picture, as they were when *Teach* was pressed.

    Attributes
    ----------
    name
        Of the labels.
    correction
        Gives what is learned from; called in the job's thread.
    latest
        Gives the fixes as they are by then, which stay on top of new labels.
    layer
        The labels that were corrected, if they are open.
    request
        The run that made them, if this dock did.
    probabilities
        Bytes ``(channels, *image.label_shape)`` that a run of the model that is to be taught left, if one did.
    entry
        What lies on disk, if the labels are not open.
    """

    name: str
    correction: Callable[[], Correction]
    latest: Callable[[], Correction]
    layer: napari.layers.Labels | None = None
    request: RunRequest | None = None
    probabilities: NDArray[np.uint8] | None = None
    entry: Entry | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Untouched:
    """An open picture that nobody corrected: there it is seen what the new model does without fixes.

    Attributes
    ----------
    request
        How to segment it.
    layer, labels
        What the model before made of it, if it did.
    """

    request: RunRequest
    layer: napari.layers.Labels | None = None
    labels: NDArray[Any] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Again:
    """A picture, segmented by the new model, with every fix kept.

    Attributes
    ----------
    request, fresh
        The run and its result.
    layer
        The labels before, if there are any.
    changes
        What is different from those, as :func:`~napari_unetstyle.widgets.changed_objects.changed_objects` has it.
    """

    request: RunRequest
    fresh: Fresh
    layer: napari.layers.Labels | None = None
    changes: NDArray[np.uint8] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Taught:
    """What came of a teaching.

    Attributes
    ----------
    candidate
        The model and its comparison.
    material
        What it was taught with.
    untouched
        A picture that it was not taught with.
    kept
        The model under its own name; None while it is not in use.
    again
        The pictures with the new model; before it is in use only where nobody can tell whether it is better, so that
        a person looks first.
    left_out
        What could not be learned from, and why.
    problem
        Why it could not be put among the models, if that was tried.
    seconds
        How long it learned, if that was to be a time.
    has_old
        Whether it learned from old pictures, too.
    looks
        In how many other looks it saw them.
    trial
        Whether the looks of other pictures helped, where that was asked.
    """

    candidate: Candidate
    material: tuple[Material, ...]  # in the order in which the candidate counts its pictures
    untouched: Untouched | None = None
    kept: ModelSpec | None = None
    again: tuple[Again, ...] = ()
    left_out: tuple[str, ...] = ()
    problem: str = ""
    seconds: float | None = None
    has_old: bool = False
    looks: int = 0
    trial: StyleTrial | None = None


def iter_teach(
    calls: CoreCalls,
    material: Sequence[Material],
    goal: Goal,
    options: FineTuneOptions,
    store: ModelStore,
    should_stop: Callable[[], bool],
    untouched: Untouched | None = None,
    looks: Sequence[Image | KeptStyle | Path] = (),
    settled: frozenset[Doubt] = frozenset(),
    sight: Sight | None = None,
    is_tried: bool = False,
    is_textured: bool = False,
) -> Steps[Taught | Doubts]:
    """Teach what was chosen, also with the looks of other pictures; a model that is better takes over at once.

    Nothing is taught while fixes go against what the model was sure of, except for those in `settled`. What it comes to
    is shown in `sight` meanwhile. Where it is to be tried whether the looks help, it is taught without them, too.
    """
    material, corrections, left_out = _opened(material)
    asking = _iter_doubts(calls, material, corrections, goal, options, store)
    doubts = yield from share(told(asking, "Looking at your fixes"), 0.0, _ASKED)
    if open_ones := [doubt for doubt in doubts if doubt not in settled]:
        return Doubts(tuple(open_ones))
    if looks:
        yield Progress(0, 1, "Looking at the other pictures")
        options = dataclasses.replace(options, styles=_styles(looks, is_textured))
    steps = _iter_taught(calls, corrections, goal, options, store, should_stop, is_tried=is_tried and bool(looks))
    seconds: float | None = None

    def timed(progress: Progress) -> Progress:
        nonlocal seconds
        left = progress.seconds_left if isinstance(progress, TrainProgress) else None
        if left is not None and options.minutes is not None:
            seconds = max(seconds or 0.0, 60 * options.minutes - left)  # of two teachings, the longer
        return progress

    steps = iter_watched(through(steps, timed), sight or Sight(), calls)
    candidate, trial = yield from share(steps, _ASKED, _TAUGHT)
    taught = Taught(
        candidate=candidate,
        material=tuple(material),
        untouched=untouched,
        left_out=(*left_out, *candidate.notes),
        seconds=seconds,
        has_old=goal.parent is not None and goal.has_memory,
        looks=len(looks),
        trial=trial,
    )
    match candidate.comparison:
        case comparison if comparison.takes_over:
            return (yield from share(iter_use(calls, taught, store), _TAUGHT, 1.0))
        case comparison if comparison.verdict == "unchecked":
            looked = yield from share(_iter_all_again(calls, taught, candidate.model, store), _TAUGHT, 1.0)
            return dataclasses.replace(taught, again=looked)
    return taught


def _iter_taught(
    calls: CoreCalls,
    corrections: Sequence[Correction],
    goal: Goal,
    options: FineTuneOptions,
    store: ModelStore,
    should_stop: Callable[[], bool],
    *,
    is_tried: bool,
) -> Steps[tuple[Candidate, StyleTrial | None]]:
    """A new model, or one that was there; of two that were taught to compare, the better one."""
    if goal.parent is None:
        names = [one.name for one in goal.classes]
        return (yield from calls.iter_teach_new(corrections, names, options, store, should_stop)), None
    given = (corrections, goal.parent, options, store, should_stop)
    if not is_tried:
        return (yield from calls.iter_teach(*given)), None
    trial = yield from calls.iter_try_styles(*given)
    return trial.settled(store), trial


def _iter_doubts(
    calls: CoreCalls,
    material: Sequence[Material],
    corrections: Sequence[Correction],
    goal: Goal,
    options: FineTuneOptions,
    store: ModelStore,
) -> Steps[list[Doubt]]:
    """Fixes that go against what the model was sure of; a new one was sure of nothing."""
    if goal.parent is None:
        return []
    return (yield from iter_doubts(calls, material, corrections, goal.parent, options, store))


def _styles(looks: Sequence[Image | KeptStyle | Path], is_textured: bool) -> tuple[Reference, ...]:
    """What is to be looked like; files are read now.

    Raises
    ------
    UnetstyleError
        In words, if a file cannot be read or none has the texture that is wanted.
    """
    from napari_unetstyle.core.style.given import reference_of

    styles = tuple(reference_of(look, texture=is_textured) for look in looks)
    if is_textured and all(style.texture is None for style in styles):
        raise OptionError(
            "Texture needs a picture to look like, gray or in color, or a style that was kept with its texture, and "
            "none is ticked. Tick one, or learn their colors only."
        )
    return styles


def _opened(material: Sequence[Material]) -> tuple[list[Material], list[Correction], list[str]]:
    """What can be learned from; the pictures of earlier days may be gone, and that is said."""
    found, corrections, left_out = [], [], []
    for one in material:
        try:
            corrections.append(one.correction())
            found.append(one)
        except UnetstyleError as error:
            left_out.append(f"{one.name} was left out: {error}")
    if not corrections:
        raise OptionError("\n".join(left_out) or "Tick a picture to learn from.")
    return found, corrections, left_out


def iter_use(calls: CoreCalls, taught: Taught, store: ModelStore) -> Steps[Taught]:
    """Give a taught model its name, and segment the open pictures with it; without a place on disk it waits aside."""
    try:
        spec = (yield from iter_written(lambda: taught.candidate.keep(store))).spec
    except OutputError as error:
        return dataclasses.replace(taught, problem=str(error))
    again = yield from _iter_all_again(calls, taught, reference(spec), store)
    return dataclasses.replace(taught, kept=spec, again=again, problem="")


def _iter_all_again(
    calls: CoreCalls, taught: Taught, model: str | Model, store: ModelStore
) -> Steps[tuple[Again, ...]]:
    """The open pictures with a model, be it one that has no name yet."""
    name = model if isinstance(model, str) else reference(model.spec)
    runs, again = _runs(taught, name, store), []
    for i, run in enumerate(runs):
        words = "Segmenting again" if len(runs) == 1 else f"Segmenting {i + 1} of {len(runs)} pictures again"
        steps = share(_iter_again(calls, run, model), i / len(runs), (i + 1) / len(runs))
        again.append((yield from told(steps, words)))
    return tuple(again)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Run:
    """A picture that is to be segmented again: its labels before, and what a person decided there, oldest first."""

    request: RunRequest
    layer: napari.layers.Labels | None
    labels: NDArray[Any] | None = None
    latest: tuple[Callable[[], Correction], ...] = ()


def _runs(taught: Taught, model: str, store: ModelStore) -> list[_Run]:
    pictures: dict[Any, list[tuple[Material, RunRequest]]] = {}  # one may have been corrected in several layers
    for one in taught.material:
        if one.layer is not None and (run := one.request) is not None:
            pictures.setdefault((id(run.layer), run.image.label_shape), []).append((one, run))
    runs = [
        _Run(request=ones[-1][1], layer=ones[-1][0].layer, latest=tuple(one.latest for one, _ in ones))
        for ones in pictures.values()
    ]
    if (other := taught.untouched) is not None:
        runs.append(_Run(request=other.request, layer=other.layer, labels=other.labels))
    return [dataclasses.replace(r, request=dataclasses.replace(r.request, model=model, store=store)) for r in runs]


def _iter_again(calls: CoreCalls, run: _Run, model: str | Model) -> Steps[Again]:
    request, before = run.request, run.labels
    result = yield from calls.iter_segment(request.image, model, request.options, request.store)
    if run.latest:
        from napari_unetstyle.core.segmentation.deciding import relabeled

        labels, owners = result.labels, dict[int, int]()
        for latest in run.latest:
            correction = latest()
            before, labels = correction.labels, with_fixes(correction, labels)
            owners |= owners_of_fixes(correction, labels)
        result = relabeled(result, labels, owners)
    fresh = yield from iter_fresh(as_steps(lambda: result))
    changes = None if before is None else changed_objects(before, result.labels, result.output)
    return Again(layer=run.layer, request=request, fresh=fresh, changes=changes)
