"""Two models on one picture as one job: two runs, unless a run is still there, and how far they agree."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.models.comparable import common_output
from napari_unetstyle.core.models.model import reference
from napari_unetstyle.core.progress import Progress, Steps, share
from napari_unetstyle.core.segmentation.options import SegmentOptions
from napari_unetstyle.widgets.changed_objects import changed_objects
from napari_unetstyle.widgets.core_calls import CoreCalls
from napari_unetstyle.widgets.level_choice import on_fitting_level
from napari_unetstyle.widgets.outputs import Fresh, Output, iter_fresh
from napari_unetstyle.widgets.placement import Placement
from napari_unetstyle.widgets.run_request import RunRequest
from napari_unetstyle.widgets.scope import WHOLE
from napari_unetstyle.widgets.settings import read_settings

if TYPE_CHECKING:
    from napari_unetstyle.core.models.spec import ModelSpec
    from napari_unetstyle.core.segmentation.agreement import Agreement
    from napari_unetstyle.core.segmentation.result import SegmentResult
    from napari_unetstyle.widgets.picture_form import PictureForm

_RUN = 0.45  # of the whole job


@dataclass(frozen=True, kw_only=True, eq=False)
class Side:
    """One of the two models.

    Attributes
    ----------
    spec, request
        The model, and its run on all of the picture.
    earlier
        The labels of the same run, if they are open and seem untouched.
    """

    spec: ModelSpec
    request: RunRequest
    earlier: Output | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Compared:
    """What came of it.

    Attributes
    ----------
    sides, results
        The models, and what they found.
    fresh
        Each result made ready for a layer; None where there is one already.
    agreement
        Of the two results.
    changes
        Where the second differs from the first, see
        :func:`~napari_unetstyle.widgets.changed_objects.changed_objects`.
    is_changed
        Whether it does anywhere.
    """

    sides: tuple[Side, Side]
    results: tuple[SegmentResult, SegmentResult]
    fresh: tuple[Fresh | None, Fresh | None]
    agreement: Agreement
    changes: NDArray[np.uint8]
    is_changed: bool


def sides_of(
    form: PictureForm,
    first: ModelSpec,
    second: ModelSpec,
    calls: CoreCalls,
    runs: Sequence[tuple[RunRequest, Output]],
) -> tuple[Side, Side] | None:
    """Runs of two models on all of the chosen picture, on the same pixels; None while there is no picture.

    Parameters
    ----------
    form
        The picture, as a person stated it.
    first, second, calls
        The models, and where they are.
    runs
        Those whose labels are open.

    Raises
    ------
    UnetstyleError
        If the two cannot be compared, or the picture is not known well enough, in words.
    """
    output, picture, settings = common_output(first, second), form.value(), read_settings()
    if picture is None:
        return None
    options = SegmentOptions(
        channel=form.channel_of(picture),
        output=output,
        object_diameter=picture.object_diameter,
        device=settings.device,
        memory=settings.memory,
    )
    request = RunRequest(
        image=picture.image,
        placement=Placement.of(picture.layer, picture.statement.axes),
        model=reference(first),
        options=options,
        store=calls.store(settings.model_folder),
        scope=WHOLE,
    )
    finer = min((on_fitting_level(request, spec) for spec in (first, second)), key=_level)
    sides = [_side(spec, dataclasses.replace(finer, model=reference(spec)), runs) for spec in (first, second)]
    return sides[0], sides[1]


def _level(request: RunRequest) -> int:
    return 0 if request.placement.grid is None else request.placement.grid.index


def _side(spec: ModelSpec, request: RunRequest, runs: Sequence[tuple[RunRequest, Output]]) -> Side:
    same = (output for other, output in runs if request.is_same_run(other))
    return Side(
        spec=spec,
        request=request,
        earlier=next((one for one in same if not one.is_painted and not one.is_refined), None),
    )


def iter_compared(calls: CoreCalls, sides: tuple[Side, Side]) -> Steps[Compared]:
    """Run both and compare them."""
    from napari_unetstyle.core.segmentation.agreement import iter_agreement

    first = yield from share(_iter_found(calls, sides[0]), 0.0, _RUN)
    second = yield from share(_iter_found(calls, sides[1]), _RUN, 2 * _RUN)
    agreement = yield from share(iter_agreement(first.result, second.result), 2 * _RUN, 0.95)
    yield Progress(95, 100, "marking")
    changes = _changes(first.result, second.result)
    return Compared(
        sides=sides,
        results=(first.result, second.result),
        fresh=(first.fresh, second.fresh),
        agreement=agreement,
        changes=changes,
        is_changed=bool(changes.any()),
    )


@dataclass(frozen=True, eq=False)
class _Found:
    """A result, and the same made ready for a layer unless one shows it already."""

    result: SegmentResult
    fresh: Fresh | None


def _iter_found(calls: CoreCalls, side: Side) -> Steps[_Found]:
    if side.earlier is not None:
        check = yield from share(side.earlier.iter_check(), 0.0, 0.1)
        if check.is_same:
            return _Found(side.earlier.result, None)
    request = side.request
    steps = calls.iter_segment(request.image, request.model, request.options, request.store)
    fresh = yield from share(iter_fresh(steps), 0.1, 1.0)
    return _Found(fresh.result, fresh)


def _changes(first: SegmentResult, second: SegmentResult) -> NDArray[np.uint8]:
    if first.output == "objects" or [c.name for c in first.classes] == [c.name for c in second.classes]:
        return changed_objects(first.labels, second.labels, first.output)
    return changed_objects(first.labels > 0, second.labels > 0, "areas")  # a class value means something else
