"""Teaching as one job: teach, compare, take over or not, and segment the corrected pictures again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_unetstyle.core.annotation.corrections import Correction
from napari_unetstyle.core.annotation.fixes import with_fixes
from napari_unetstyle.core.errors import OptionError, UnetstyleError
from napari_unetstyle.core.models.store import reference
from napari_unetstyle.core.progress import Steps, share
from napari_unetstyle.widgets.core_calls import CoreCalls
from napari_unetstyle.widgets.outputs import Fresh, iter_fresh
from napari_unetstyle.widgets.run_request import RunRequest

if TYPE_CHECKING:
    import napari.layers

    from napari_unetstyle.core.models.spec import ModelSpec
    from napari_unetstyle.core.models.store import ModelStore
    from napari_unetstyle.core.segmentation.result import SegmentResult
    from napari_unetstyle.core.training.candidate import Candidate
    from napari_unetstyle.core.training.options import FineTuneOptions

_TAUGHT = 0.9  # of the whole job


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
    """

    name: str
    correction: Callable[[], Correction]
    latest: Callable[[], Correction]
    layer: napari.layers.Labels | None = None
    request: RunRequest | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Again:
    """A corrected picture, segmented by the new model, with every fix kept."""

    layer: napari.layers.Labels
    request: RunRequest
    fresh: Fresh


@dataclass(frozen=True, kw_only=True, eq=False)
class Taught:
    """What came of a teaching.

    Attributes
    ----------
    candidate
        The model and its comparison.
    material
        What it was taught with.
    kept
        The model under its own name; None while it is not in use.
    again
        The corrected pictures with the new model.
    left_out
        Why some fixes could not be learned from.
    """

    candidate: Candidate
    material: tuple[Material, ...]
    kept: ModelSpec | None = None
    again: tuple[Again, ...] = ()
    left_out: tuple[str, ...] = ()


def iter_teach(
    calls: CoreCalls,
    material: Sequence[Material],
    parent: str,
    options: FineTuneOptions,
    store: ModelStore,
    should_stop: Callable[[], bool],
) -> Steps[Taught]:
    """Teach; a model that is better takes over at once."""
    corrections, left_out = _opened(material)
    steps = calls.iter_teach(corrections, parent, options, store, should_stop)
    candidate = yield from share(steps, 0.0, _TAUGHT)
    taught = Taught(candidate=candidate, material=tuple(material), left_out=tuple(left_out))
    if not candidate.comparison.takes_over:
        return taught
    return (yield from share(iter_use(calls, taught, store), _TAUGHT, 1.0))


def _opened(material: Sequence[Material]) -> tuple[list[Correction], list[str]]:
    """What can be learned from; the pictures of earlier days may be gone, and that is said."""
    corrections, left_out = [], []
    for one in material:
        try:
            corrections.append(one.correction())
        except UnetstyleError as error:
            left_out.append(f"{one.name} was left out: {error}")
    if not corrections:
        raise OptionError("\n".join(left_out) or "Tick a picture to learn from.")
    return corrections, left_out


def iter_use(calls: CoreCalls, taught: Taught, store: ModelStore) -> Steps[Taught]:
    """Give a taught model its name, and segment the corrected pictures with it."""
    spec = taught.candidate.keep(store).spec
    open_ones = [(one, one.layer, one.request) for one in taught.material]
    runs = [(one, layer, run) for one, layer, run in open_ones if layer is not None and run is not None]
    again = []
    for i, (one, layer, run) in enumerate(runs):
        request = dataclasses.replace(run, model=reference(spec), store=store)
        steps = calls.iter_segment(request.image, request.model, request.options, store)
        fresh = yield from share(iter_fresh(_iter_fixed(steps, one.latest)), i / len(runs), (i + 1) / len(runs))
        again.append(Again(layer=layer, request=request, fresh=fresh))
    return dataclasses.replace(taught, kept=spec, again=tuple(again))


def _iter_fixed(steps: Steps[SegmentResult], latest: Callable[[], Correction]) -> Steps[SegmentResult]:
    from napari_unetstyle.core.segmentation.segment import relabeled

    result = yield from steps
    return relabeled(result, with_fixes(latest(), result.labels))
