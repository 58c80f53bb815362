"""What a teaching gets from the open pictures: their fixes, runs like theirs, and one that nobody touched."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from napari_unetstyle.core.annotation.project import correction_of
from napari_unetstyle.core.segmentation.options import SegmentOptions
from napari_unetstyle.widgets.core_calls import CoreCalls
from napari_unetstyle.widgets.label_layers import pictures_among
from napari_unetstyle.widgets.lesson_run import Material, Untouched
from napari_unetstyle.widgets.part_in_sight import PartInSight
from napari_unetstyle.widgets.run_request import RunRequest, run_like
from napari_unetstyle.widgets.scope import WHOLE
from napari_unetstyle.widgets.settings import read_settings

if TYPE_CHECKING:
    import napari.viewer

    from napari_unetstyle.widgets.corrected_layer import CorrectedLayer
    from napari_unetstyle.widgets.goal import Goal
    from napari_unetstyle.widgets.learns_from import LearnsFrom, Lesson
    from napari_unetstyle.widgets.result_panel import ResultPanel


@dataclass(frozen=True, eq=False)
class Gathering:
    """Looks at what is open.

    Attributes
    ----------
    viewer, calls
        The napari viewer, and the core's functions.
    learns, results
        What is learned from, and the runs whose labels were corrected.
    """

    viewer: napari.viewer.Viewer
    calls: CoreCalls
    learns: LearnsFrom
    results: ResultPanel

    def material(self, lesson: Lesson, learner: str | None) -> Material:
        """The fixes as they are now; what is painted from here on is not part of them.

        `learner` is the model that will be taught: probabilities that a run of it left need not be computed again.
        """
        if lesson.corrected is None:
            assert lesson.entry is not None
            fixes = lesson.entry.correction
            return Material(name=lesson.name, correction=fixes, latest=fixes, entry=lesson.entry)
        corrected = lesson.corrected
        state, image = corrected.state(), corrected.image
        runs = (run for run in self.results.runs if run[1].layer is corrected.layer)
        request, output = next(runs, None) or (self._request_for(corrected), None)
        is_of_learner = request.model == learner
        return Material(
            name=lesson.name,
            correction=partial(correction_of, state, image),
            latest=corrected.correction,
            layer=corrected.layer,
            request=request,
            probabilities=output.result.probability_bytes if output is not None and is_of_learner else None,
        )

    def _request_for(self, corrected: CorrectedLayer) -> RunRequest:
        """A run of all of a picture whose labels come from an earlier day."""
        return RunRequest(
            image=corrected.image,
            placement=corrected.placement,
            model=corrected.header.model,
            options=SegmentOptions(output=corrected.header.output, device=read_settings().device),
            store=self.calls.store(read_settings().model_folder),
            scope=WHOLE,
        )

    def in_sight(self, goal: Goal | None) -> PartInSight | None:
        """What is on screen of the picture that is corrected."""
        corrected = self.learns.active
        if corrected is None or goal is None or corrected.placement.changes(self.viewer):
            return None
        request = self.results.request_of(corrected.layer) or self._request_for(corrected)
        options = request.options.changed(box=None, frames=None, polygon=None, plane="YX", link=False)
        dims = corrected.header.dims if goal.parent is None else goal.dims
        return PartInSight.of(dataclasses.replace(request, options=options), dims, self.viewer)

    def untouched(self, material: list[Material]) -> Untouched | None:
        """An open picture that nobody corrected: one with labels of the same model, or one of the same kind."""
        models = {one.request.model_name for one in material if one.request is not None}
        corrected = {id(c.placement.layer) for c in self.learns.corrected}
        for request, output in self.results.runs:
            if id(request.layer) not in corrected and request.model_name in models and not output.is_painted:
                return Untouched(request=request, layer=output.layer, labels=output.result.labels)
        taken = corrected | {id(request.layer) for request, _ in self.results.runs}
        like = next((one.request for one in material if one.request is not None), None)
        others = [x for x in pictures_among(self.viewer.layers) if id(x) not in taken]
        found = (run for x in reversed(others) if like is not None and (run := run_like(like, x)) is not None)
        request = next(found, None)
        return None if request is None else Untouched(request=request)


def segment_options(material: list[Material]) -> SegmentOptions:
    """How the first picture was segmented, as far as it decides what the network sees."""
    for one in material:
        if one.request is not None:
            given = one.request.options
            return SegmentOptions(channel=given.channel, object_diameter=given.object_diameter)
    return SegmentOptions()
