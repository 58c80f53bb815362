"""A Labels layer on which painting is correcting: the first stroke begins its journal, and nothing waits for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal

from napari_unetstyle.core.annotation.changes import Changes
from napari_unetstyle.core.annotation.corrections import Correction, Mask
from napari_unetstyle.core.annotation.journal_header import Header
from napari_unetstyle.core.annotation.journal_state import State
from napari_unetstyle.core.annotation.project import CLASSES, TOUCHED, added_fact, classes_of, correction_of
from napari_unetstyle.core.annotation.recorder import Recorder, changed_places
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.widgets.label_layers import class_colors
from napari_unetstyle.widgets.level_grid import seen
from napari_unetstyle.widgets.object_classes import ObjectClasses
from napari_unetstyle.widgets.placement import Placement
from napari_unetstyle.widgets.scope import current_frame
from napari_unetstyle.widgets.shown_original import ShownOriginal
from napari_unetstyle.widgets.undo_history import Said, UndoHistory

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

    from napari_unetstyle.core.models.spec import ClassSpec
    from napari_unetstyle.core.segmentation.result import SegmentResult

REPORT = 250  # milliseconds between two looks at whether all is on disk
Take = Callable[["napari.layers.Labels", Placement, Image, "Start"], "CorrectedLayer"]
"""What watches labels of a picture from here on."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Start:
    """What a journal begins with, or goes on from.

    Attributes
    ----------
    header
        Whose labels they are.
    original
        Gives the labels before the first stroke, packed.
    folder
        Gives the folder for a new journal; called in the journal's thread.
    state
        What stands in the journal so far, if it goes on.
    journal
        Its folder, if it goes on.
    owners
        Gives the class of each object before the first stroke, where it is not 1.
    result
        Gives the run that the labels are of; None for labels of an earlier day or of a person.
    """

    header: Header
    original: Callable[[], Changes]
    folder: Callable[[], Path]
    state: State | None = None
    journal: Path | None = None
    owners: Callable[[], Mapping[int, int]] = dict
    result: Callable[[], SegmentResult] | None = None

    @classmethod
    def going_on(cls, folder: Path, state: State) -> Start:
        """With the journal in a folder, in which this stands; takes a while for a large volume."""
        original = Changes.of(state.original)
        return cls(
            header=state.header,
            original=lambda: original,
            folder=lambda: folder,
            state=state,
            journal=folder,
        )


class CorrectedLayer(QObject):
    """Keeps what a person does to one layer of labels.

    Parameters
    ----------
    viewer
        Where the layer is.
    layer
        The labels.
    placement
        Where their picture lies.
    image
        The picture.
    start
        How the journal begins.
    marks
        Folder of the marks of open journals.
    """

    begun = Signal()  # the first stroke
    changed = Signal()  # a stroke, an undo, something that was said, another class in hand
    reported = Signal()  # saved, or not

    def __init__(
        self,
        viewer: napari.viewer.ViewerModel,
        layer: napari.layers.Labels,
        placement: Placement,
        image: Image,
        start: Start,
        marks: Path,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.layer, self.placement, self.image = layer, placement, image
        self.start, self._viewer, self._marks = start, viewer, marks
        self.recorder: Recorder | None = None
        state = start.state
        self.facts: dict[str, Any] = {} if state is None else dict(state.said)
        self._accepted: Mask | None = None if state is None else state.accepted.copy()
        self._original: Changes | None = None
        self.result = start.result
        self.history = UndoHistory(layer)
        self.shown_original = ShownOriginal(viewer, layer, placement, self.original)
        self._report = QTimer(self)
        self._report.setInterval(REPORT)
        self._report.timeout.connect(self._on_report)
        if start.journal is not None:
            self._original = start.original()
            self._record(
                Recorder.of(start.journal, self.look, marks, None if state is None else state.number)
            ).changed()  # takes the journal at once, before another window does
        self.object_classes = ObjectClasses(self)
        for event, slot in self._slots():
            event.connect(slot)

    @property
    def header(self) -> Header:
        """What the journal says of the labels."""
        return self.start.header

    # What there is ---------------------------------------------------------------------------------------------------

    @property
    def classes(self) -> tuple[ClassSpec, ...]:
        """What its labels can be, added classes, too."""
        return classes_of(self.header, self.facts)

    @property
    def owners(self) -> dict[int, int]:
        """Class of each object, by its number, as far as it is known; 1 where nothing is said."""
        if self.recorder is None:
            return dict(self.start.owners())
        return {int(number): int(value) for number, value in self.facts.get(CLASSES, {}).items()}

    @property
    def frame(self) -> tuple[int, ...]:
        """Index along the leading axes of the slice that is shown."""
        return current_frame(seen(self.placement), self.image, self._viewer)

    @property
    def is_corrected(self) -> bool:
        """Whether a journal was begun."""
        return self.recorder is not None

    @property
    def labels(self) -> NDArray[Any]:
        """The labels as they are, in the order T Z Y X (a view)."""
        return self.placement.to_labels(self.layer.data)

    @property
    def accepted(self) -> Mask:
        """What was called right, in the order T Z Y X."""
        if self._accepted is None:
            self._accepted = np.zeros(self.image.label_shape, bool)
        return self._accepted

    def original(self) -> NDArray[Any]:
        """The labels before the first stroke; not to be written to."""
        journal = self.recorder.journal if self.recorder is not None else None
        if journal is not None:
            return journal.state.original
        labels = np.zeros(self.image.label_shape, self.header.dtype)
        self.first.apply(labels)
        return labels

    @property
    def first(self) -> Changes:
        """The same, packed."""
        return self._original or self.start.original()

    def state(self) -> State:
        """What the journal says, as of now."""
        return State(
            header=self.start.header,
            original=self.original(),
            labels=np.array(self.labels),
            accepted=self.accepted.copy(),
            said=dict(self.facts),
        )

    def correction(self) -> Correction:
        """What is learned from this layer."""
        return correction_of(self.state(), self.image)

    def look(self) -> NDArray[Any]:
        """For the journal's thread."""
        return self.labels

    # What a person does ----------------------------------------------------------------------------------------------

    def say(self, **facts: Any) -> None:
        """Note facts by name."""
        self.facts |= facts
        self._begin().say(**facts)
        self.changed.emit()

    def add_classes(self, added: Sequence[ClassSpec]) -> None:
        """Let more classes be painted, in place of those that were added before."""
        self.say(**added_fact(added))
        if self.header.output == "areas":
            self.layer.colormap = class_colors(self.classes)

    def keep_painted(self) -> None:
        """Begin the journal with what is painted already."""
        self._begin().changed()
        self.changed.emit()

    def take_brush(self, value: int) -> None:
        """Paint this value from here on."""
        self._viewer.layers.selection.active = self.layer
        self.layer.visible = True
        self.layer.selected_label, self.layer.mode = value, "paint"

    def take_class(self, value: int) -> None:
        """Paint this class from here on: areas of it, or a new object."""
        if self.object_classes.are_several:
            self.object_classes.take(value)
        else:
            self.take_brush(value)

    def accept(self, index: tuple[int, ...], region: Mask, value: bool = True, *, has_stroke: bool = False) -> None:
        """Call a region of one frame right, or no longer so; Ctrl+Z takes it back, with the last stroke if asked."""
        there = changed_places(self.accepted, index, region, value)
        if not there.count:
            return
        before = self.accepted[index].copy()
        self._accept(there)
        after = self.accepted[index]
        offset = changed_places(np.zeros(self.accepted.shape, bool), index, np.ones(after.shape, bool), True).start[0]
        back = Changes.between(after, before, int(offset))
        self.history.remember(
            Said(again=partial(self._accept, there), back=partial(self._accept, back), has_stroke=has_stroke)
        )

    def edit(self, indices: tuple[NDArray[Any], ...], values: Any, touched: frozenset[int] = frozenset()) -> None:
        """Set labels at indices in the order T Z Y X, as one step that Ctrl+Z takes back.

        Parameters
        ----------
        indices
            One array for each axis.
        values
            A number, or one for each place.
        touched
            Objects that a person worked on, besides those whose pixels change.
        """
        has_stroke = bool(np.any(self.labels[indices] != values))
        before = frozenset(map(int, self.facts.get(TOUCHED, ())))
        if touched - before:
            self._touch(before | touched)
        if has_stroke:
            with self.layer.block_history():
                self.layer.data_setitem(self._to_layer(indices), values)
        if touched - before:
            back, again = partial(self._touch, before), partial(self._touch, before | touched)
            self.history.remember(Said(again=again, back=back, has_stroke=has_stroke))

    def _touch(self, numbers: frozenset[int]) -> None:
        self.say(**{TOUCHED: sorted(numbers)})

    def _to_layer(self, indices: tuple[NDArray[Any], ...]) -> tuple[NDArray[Any], ...]:
        """The same places in the order of the layer's axes."""
        axes = self.placement.axes
        letters = [a for a in "TZYX" if a in axes]
        kept = axes[1:] if axes.startswith("C") else axes
        zeros = np.zeros_like(indices[0])
        return tuple(zeros if a == "C" else indices[letters.index(a)] for a in kept)

    def _accept(self, changes: Changes) -> None:
        changes.apply(self.accepted)
        self._begin().accept(changes)
        self.changed.emit()

    # Its journal -----------------------------------------------------------------------------------------------------

    @property
    def saved(self) -> str:
        """``saved 14:02:31``, or why not; empty before the first stroke."""
        recorder = self.recorder
        if recorder is None:
            return ""
        if recorder.error is not None:
            return f"Not saved yet, and tried again: {recorder.error}"
        return f"saved {time.strftime('%H:%M:%S', time.localtime(recorder.saved))}" if recorder.is_saved else "saving…"

    def close(self, seconds: float = 0.0) -> bool:
        """Keep nothing from here on; what was done is written. Whether all is, after waiting for so long."""
        self._report.stop()
        self.shown_original.show(False)
        self.history.close()
        for event, slot in self._slots():
            event.disconnect(slot)
        return self.recorder is None or self.recorder.close(seconds)

    def _slots(self) -> list[tuple[Any, Callable[..., Any]]]:
        events = self.layer.events
        return [
            (events.paint, self._on_paint),
            (events.labels_update, self._on_stroke),  # in the middle of a stroke
            (events.set_data, self._on_refresh),
            (events.selected_label, self.object_classes.on_selected),
        ]

    def _begin(self) -> Recorder:
        """The recorder, from the first stroke on."""
        if self.recorder is None:
            start = self.start
            self._original = start.original()
            owners = self.owners
            made = self._record(Recorder.new(start.folder, start.header, self._original, self.look, self._marks))
            if owners:
                self.facts[CLASSES] = {str(number): value for number, value in owners.items()}
                made.say(**{CLASSES: self.facts[CLASSES]})
            self.begun.emit()
            return made
        return self.recorder

    def _record(self, recorder: Recorder) -> Recorder:
        self.recorder = recorder
        self._report.start()
        return recorder

    def _on_paint(self) -> None:
        self._begin().changed()
        if not self.history.is_replaying:
            self.history.remember(None)
            self.object_classes.on_paint()
        self.changed.emit()

    def _on_stroke(self) -> None:
        self._begin().changed()

    def _on_refresh(self) -> None:
        if self.recorder is not None:  # an undo, perhaps
            self.recorder.changed()
            if self.history.is_replaying:
                self.changed.emit()

    def _on_report(self) -> None:
        self.reported.emit()
