"""What came of a teaching: the model, in use or not, and the pictures that it segmented again."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_unetstyle.core.models.model import reference
from napari_unetstyle.widgets.core_calls import CoreCalls
from napari_unetstyle.widgets.label_layers import colors_of, helper_metadata
from napari_unetstyle.widgets.lesson_run import Again, Taught
from napari_unetstyle.widgets.message_row import MessageRow
from napari_unetstyle.widgets.old_and_new import OldAndNew, Pairs
from napari_unetstyle.widgets.placement import Placement
from napari_unetstyle.widgets.settings import read_settings
from napari_unetstyle.widgets.share_model import ShareModel
from napari_unetstyle.widgets.taught_box import TaughtBox

if TYPE_CHECKING:
    import napari.viewer

    from napari_unetstyle.widgets.result_panel import ResultPanel
    from napari_unetstyle.widgets.run_request import RunRequest


class TaughtModel(QObject):
    """The last one that was taught here.

    Parameters
    ----------
    viewer
        Where the pictures are.
    calls
        The core's functions.
    results
        The runs whose labels were corrected; new ones are added there.
    message
        Says what could not be shown.
    """

    models_changed = Signal()
    in_use = Signal(str)  # reference of the model for new runs

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        calls: CoreCalls,
        results: ResultPanel,
        message: MessageRow,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._calls, self._results, self._message = viewer, calls, results, message
        self.taught: Taught | None = None
        self.pairs = Pairs(viewer, self)
        self.box = TaughtBox(ShareModel(lambda: self._calls.store(read_settings().model_folder), message))
        self.box.back_wanted.connect(self.go_back)
        self.box.flip_wanted.connect(self.pairs.flip)
        self.pairs.flipped.connect(self.box.let_use)
        self.box.changes.toggled.connect(self.pairs.mark)

    @property
    def can_flip(self) -> bool:
        """Whether there are old and new labels to look at."""
        return bool(self.pairs.open)

    def deliver(self, taught: Taught) -> None:
        """Take it into use if it has taken over, add the new labels, and say what came of it."""
        self.forget(keep=taught)
        self.taught = taught
        if taught.kept is not None:
            self.models_changed.emit()
            self.in_use.emit(reference(taught.kept))
        notes = [*taught.left_out, *filter(None, [taught.problem])]
        self.box.changes.setChecked(False)
        shown = self._look if taught.kept is None else self._add
        self.pairs.replace([pair for again in taught.again if (pair := shown(again, notes)) is not None])
        if notes:
            self._message.say("\n".join(notes))
        self.box.show_taught(taught, can_flip=self.can_flip, is_changed=self.pairs.is_changed)
        self.box.changes.setChecked(self.pairs.is_changed)

    def go_back(self) -> None:
        """Use the model before for new runs; the taught one stays installed."""
        taught = self.taught
        if taught is None or taught.candidate.parent is None:
            return
        before = reference(taught.candidate.parent.spec)
        self.in_use.emit(before)
        self.box.changes.setChecked(False)
        self.pairs.show_old()
        name = "the taught model" if taught.kept is None else f"{taught.kept.name} {taught.kept.version}"
        self.box.say(f"{before.replace('@', ' ')} is in use for new runs again; {name} stays among your models.")
        self.box.back.hide()

    def forget(self, keep: Taught | None = None) -> None:
        """Remove a candidate that nobody took into use, unless it is that of `keep`."""
        taught, self.taught = self.taught, None
        if taught is None or taught.kept is not None or (keep is not None and taught.candidate is keep.candidate):
            return
        self.pairs.replace([])
        taught.candidate.forget(self._calls.store(read_settings().model_folder))

    def _add(self, again: Again, notes: list[str]) -> OldAndNew | None:
        """The picture's new labels; the old ones are hidden, not changed."""
        request = self._placed(again.request, notes)
        if request is None:
            return None
        output = self._results.add(request, again.fresh)
        for other, older in self._results.runs:
            if other.layer is request.layer and older is not output:
                older.layer.visible = False
        if again.layer is None or again.changes is None:
            return None
        again.layer.visible = False
        return OldAndNew(old=again.layer, new=output.layer, placement=request.placement, changes=again.changes)

    def _look(self, again: Again, notes: list[str]) -> OldAndNew | None:
        """Labels of a model that is not in use, under the old ones: to be looked at, and gone with the question."""
        request, old = self._placed(again.request, notes), again.layer
        if request is None or old is None or again.changes is None or old not in self._viewer.layers:
            return None
        chosen, result = self._viewer.layers.selection.active, again.fresh.result
        new = self._viewer.add_labels(
            request.placement.to_layer(result.labels),
            name=f"{request.placement.name} (not in use)",
            colormap=colors_of(result),
            opacity=old.opacity,
            visible=False,
            metadata=helper_metadata(),
            **request.placement.arguments,
        )
        new.editable, new.contour = False, old.contour
        self._viewer.layers.selection.active = chosen
        return OldAndNew(old=old, new=new, placement=request.placement, changes=again.changes)

    def _placed(self, request: RunRequest, notes: list[str]) -> RunRequest | None:
        """The run, where its picture lies now; None if that is another one, or gone."""
        happened = set(request.placement.changes(self._viewer))
        if happened - {"renamed", "moved"}:
            said = " and ".join(sorted(happened))
            notes.append(f"{request.placement.name} was {said} meanwhile, so it has no new labels. Segment it again.")
            return None
        if not happened:
            return request
        placement = Placement.of(request.layer, request.image.axes, request.placement.grid)
        return dataclasses.replace(request, placement=placement)
