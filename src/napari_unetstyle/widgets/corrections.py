"""All layers of a viewer on which painting is correcting, and the journals that a crash left open."""

from __future__ import annotations

import contextlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_unetstyle.core.annotation.changes import Changes
from napari_unetstyle.core.annotation.journal_header import Header
from napari_unetstyle.core.annotation.open_journals import default_marks
from napari_unetstyle.core.annotation.project import Entry, Project
from napari_unetstyle.core.errors import ImageError
from napari_unetstyle.widgets.class_looks import ClassLooks
from napari_unetstyle.widgets.corrected_layer import CorrectedLayer, Start
from napari_unetstyle.widgets.entry_opening import EntryOpening, Then
from napari_unetstyle.widgets.jobs import Failed, Finished, JobSlot, Outcome
from napari_unetstyle.widgets.label_layers import METADATA, label_colors, pictures_among
from napari_unetstyle.widgets.left_layers import LeftLayers, leave
from napari_unetstyle.widgets.message_row import MessageRow
from napari_unetstyle.widgets.parts import Words, follow
from napari_unetstyle.widgets.picture_project import identity_of, part_of, project_of
from napari_unetstyle.widgets.placement import Placement
from napari_unetstyle.widgets.statements import picture_of
from napari_unetstyle.widgets.unclosed import Unclosed, iter_unclosed

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

    from napari_unetstyle.core.imaging.image import Image
    from napari_unetstyle.widgets.goal import Goal
    from napari_unetstyle.widgets.outputs import Output


READING = "Reading your fixes…"
PATIENCE_MS = 300  # without the entry, before that is said


class Corrections(QWidget):
    """Keeps what is painted on results; shows a row for each journal that is to be restored, and nothing else.

    Parameters
    ----------
    viewer
        The napari viewer.
    marks
        Folder of the marks of open journals; the person's own if None.
    """

    changed = Signal()  # what there is, or what is active
    reported = Signal()  # saved, or not

    def __init__(
        self, viewer: napari.viewer.ViewerModel, marks: Path | None = None, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._marks = marks or default_marks()
        self.layers: list[CorrectedLayer] = []
        self.looks = ClassLooks(self)
        self._more: dict[Path, Project] = {}
        self.rows: list[MessageRow] = []
        self._rows = QVBoxLayout(self)
        self._rows.setContentsMargins(0, 0, 0, 0)
        self.reading = Words(READING)
        self.reading.hide()
        self._rows.addWidget(self.reading)
        self._patience = QTimer(self)
        self._patience.setSingleShot(True)
        self._patience.setInterval(PATIENCE_MS)
        self._patience.timeout.connect(self._show_reading)
        self.left = LeftLayers(viewer, self._take, self)
        self._looking = JobSlot(self)
        self._looking.done.connect(self._on_looked)
        self._opening = EntryOpening(viewer, self._take, self)
        self._opening.noted.connect(lambda notes: self._row().say(notes))
        self._opening.failed.connect(lambda failed: self._row().fail(failed))
        self._opening.busy_changed.connect(self._on_opening)
        follow(self, viewer.layers.events.removed, self._on_removed)
        follow(self, viewer.layers.selection.events.active, self._on_selected)
        self.hide()

    @property
    def active(self) -> CorrectedLayer | None:
        """The one whose labels or picture are selected; else the last one."""
        chosen = self._viewer.layers.selection.active
        found = [c for c in self.layers if chosen in (c.layer, c.placement.layer)]
        return (found or self.layers or [None])[-1]

    def projects(self) -> list[Project]:
        """Those of all open pictures, and those that a person has named."""
        found = [project_of(layer) for layer in pictures_among(self._viewer.layers)]
        return list({**self._more, **{project.folder: project for project in found}}.values())

    def list_too(self, project: Project) -> None:
        """Count in a project none of whose pictures needs to be open."""
        self._more[project.folder] = project
        self.changed.emit()

    # Layers ----------------------------------------------------------------------------------------------------------

    def watch(self, output: Output) -> CorrectedLayer:
        """From here on, painting on a result is correcting it."""
        result, picture = output.result, output.placement.layer
        header = Header.of(
            output.layer.name,
            output.image,
            result.labels.dtype,
            *identity_of(picture),
            **part_of(picture, output.placement.grid),
            output=result.output,
            dims=result.labels.ndim - len(result.frames[0]) if result.frames else 2,
            model=str(result.provenance.get("model", {}).get("name", "")),
            classes=result.classes,
        )
        start = Start(
            header=header,
            original=lambda: output.original,
            folder=lambda: project_of(picture).new_folder(header.layer),
            owners=lambda: output.result.owners,
            result=lambda: output.result,
        )
        corrected = self._take(output.layer, output.placement, output.image, start)
        corrected.begun.connect(output.claim)
        return corrected

    @property
    def unwatched(self) -> napari.layers.Labels | None:
        """The selected labels, if a person made them and nobody watches them yet."""
        chosen = self._viewer.layers.selection.active
        is_labels = type(chosen).__name__ == "Labels" and chosen.editable and not chosen.multiscale
        return chosen if is_labels and all(c.layer is not chosen for c in self.layers) else None

    def by_hand(self, goal: Goal) -> CorrectedLayer:
        """Labels that no run made: the selected ones of a person, or new and empty ones on a picture.

        Raises
        ------
        ImageError
            If there is no picture that they lie on, or areas have values of no class.
        """
        labels = self.unwatched
        image, placement = self._picture_below(labels)
        if labels is None:
            labels = self._new_labels(image, placement, goal)
        else:
            _fit(labels, goal)
        picture = placement.layer
        about = {"output": goal.output, "classes": goal.classes, **part_of(picture, placement.grid)}
        header = Header.of(labels.name, image, labels.data.dtype, *identity_of(picture), **about)
        start = Start(
            header=header,
            original=Changes.none,
            folder=lambda: project_of(picture).new_folder(header.layer),
        )
        labels.colormap = label_colors(goal.output, goal.classes)
        corrected = self._take(labels, placement, image, start)
        if np.any(corrected.labels):
            corrected.keep_painted()
        corrected.take_brush(1)
        return corrected

    def _picture_below(self, labels: napari.layers.Labels | None) -> tuple[Image, Placement]:
        """The picture that labels lie on; for new ones the selected picture, or the uppermost."""
        pictures = self._open_pictures(labels)
        if labels is None:
            if not pictures:
                raise ImageError("There is no open picture to paint on. Open one.")
            return pictures[0]
        as_large = [(image, place) for image, place in pictures if place.shape_of(image) == labels.data.shape]
        if not as_large:
            raise ImageError(f"No open picture is as large as {labels.name}. Open its picture.")
        below = [(image, place) for image, place in as_large if place.is_below(labels)]
        if not below:
            raise ImageError(
                f"No open picture lies where {labels.name} lies. Give the labels the picture's scale and translate, or "
                "open their picture."
            )
        return below[0]

    def _open_pictures(self, labels: napari.layers.Labels | None) -> list[tuple[Image, Placement]]:
        """Pictures whose axes are known: the selected first, those that are seen, those below the labels."""
        layers = self._viewer.layers
        chosen, above = layers.selection.active, [] if labels is None else layers[layers.index(labels) :]

        def rank(layer: napari.layers.Image) -> tuple[bool, ...]:
            return layer is not chosen, not layer.visible, layer in above

        found = []
        for layer in sorted(pictures_among(reversed(layers)), key=rank):
            with contextlib.suppress(ImageError):  # its axes are to be stated first
                image = picture_of(layer)
                found.append((image, Placement.of(layer, image.axes)))
        return found

    def _new_labels(self, image: Image, placement: Placement, goal: Goal) -> napari.layers.Labels:
        kind = np.uint8 if goal.output == "areas" else np.int32
        return self._viewer.add_labels(
            placement.to_layer(np.zeros(image.label_shape, kind)),
            name=f"{placement.name} by hand",
            metadata={**placement.metadata, METADATA: {"output": goal.output}},
            **placement.arguments,
        )

    def _take(self, layer: napari.layers.Labels, placement: Placement, image: Image, start: Start) -> CorrectedLayer:
        corrected = CorrectedLayer(self._viewer, layer, placement, image, start, self._marks, self)
        corrected.changed.connect(self.changed)
        corrected.reported.connect(self.reported)
        self.layers.append(corrected)
        self.looks.watch(corrected)
        self.changed.emit()
        return corrected

    def _on_removed(self) -> None:
        for corrected in [c for c in self.layers if c.layer not in self._viewer.layers]:
            self.layers.remove(corrected)
            corrected.close()
            corrected.deleteLater()
            self.changed.emit()

    def _on_selected(self) -> None:
        self.changed.emit()

    def close_down(self) -> None:
        """Write what is left; this dock was closed."""
        self._looking.cancel()
        self._opening.close_down()
        self.left.close_down()
        for corrected in self.layers:
            leave(corrected)
        self.layers.clear()

    # Entries ---------------------------------------------------------------------------------------------------------

    def offer(self) -> None:
        """Show a row for each journal that was not closed, once they are read."""
        self._looking.start(iter_unclosed(self._marks))

    def _on_looked(self, outcome: Outcome) -> None:
        match outcome:
            case Finished(value=found):
                for one in found:
                    self._offer(one)
            case Failed():
                self._row().fail(outcome)

    def _offer(self, found: Unclosed | Failed) -> None:
        if isinstance(found, Failed):
            self._row().fail(found)
            return
        self._row().ask(found.words, ("Restore", partial(self.open, found.entry)))

    def _row(self) -> MessageRow:
        row = MessageRow()
        row.answered.connect(lambda: self._drop(row))
        self._rows.addWidget(row)
        self.rows.append(row)
        self.show()
        return row

    def _drop(self, row: MessageRow) -> None:
        self.rows.remove(row)
        row.deleteLater()
        self._fit()

    def _fit(self) -> None:
        """Take no room while there is nothing to say."""
        self.setVisible(bool(self.rows) or not self.reading.isHidden())

    def open(self, entry: Entry, then: Then = lambda _: None) -> None:
        """Open an entry: its picture, unless it is open already, its labels and its fixes; then do something with it.

        It is read in a thread. Where that fails a row says why.
        """
        already = next((c for c in self.layers if c.recorder is not None and c.recorder.folder == entry.folder), None)
        if already is None:
            self._opening.open(entry, then)
        else:
            self._viewer.layers.selection.active = already.layer
            then(already)

    @property
    def is_opening(self) -> bool:
        """Whether an entry is being read."""
        return bool(self._opening.folders)

    def _on_opening(self, is_busy: bool) -> None:
        if is_busy:
            self._patience.start()
        else:
            self._patience.stop()
            self.reading.hide()
            self._fit()

    def _show_reading(self) -> None:
        self.reading.show()
        self._fit()


def _fit(labels: napari.layers.Labels, goal: Goal) -> None:
    """Let labels of a person mean what a model takes them for: values of classes, or one number for each object."""
    from napari_unetstyle.core.annotation.masks import patches  # brings all readers of files

    values = np.setdiff1d(labels.data, 0)
    if goal.output == "objects":
        if len(values) == 1:  # a mask that says where objects are, not which
            labels.data = patches(np.asarray(labels.data), min(goal.dims, labels.data.ndim))
        return
    strange = np.setdiff1d(values, [one.value for one in goal.classes])
    if len(values) == len(strange) == len(goal.classes) == 1:  # as 255 in a mask
        labels.data = (np.asarray(labels.data) > 0).astype(np.uint8)
    elif strange.size:
        known = ", ".join(f"{one.value} ({one.name})" for one in goal.classes)
        raise ImageError(f"{labels.name} has the value {strange[0]}; known are {known}. Paint it with one of them.")
