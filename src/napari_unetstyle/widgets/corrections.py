"""All layers of a viewer on which painting is correcting, and the journals that a crash left open."""

from __future__ import annotations

import contextlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_unetstyle.core.annotation.changes import Changes
from napari_unetstyle.core.annotation.journal_header import Header
from napari_unetstyle.core.annotation.open_journals import default_marks, left_open
from napari_unetstyle.core.annotation.project import Entry, Project, classes_of, count
from napari_unetstyle.core.errors import ImageError, ImageFileError, JournalError, UnetstyleError
from napari_unetstyle.widgets.corrected_layer import CorrectedLayer, Start
from napari_unetstyle.widgets.jobs import failure
from napari_unetstyle.widgets.layers import METADATA, Placement, class_colors, image_from_layer, object_colors
from napari_unetstyle.widgets.left_layers import LeftLayers, leave
from napari_unetstyle.widgets.message_row import MessageRow
from napari_unetstyle.widgets.opening import layer_data, path_of
from napari_unetstyle.widgets.parts import follow
from napari_unetstyle.widgets.picture_project import identity_of, know_as, pixels_of, project_of

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

    from napari_unetstyle.core.imaging.image import Image
    from napari_unetstyle.widgets.goal import Goal
    from napari_unetstyle.widgets.outputs import Output


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
        self._more: dict[Path, Project] = {}
        self.rows: list[MessageRow] = []
        self._rows = QVBoxLayout(self)
        self._rows.setContentsMargins(0, 0, 0, 0)
        self.left = LeftLayers(viewer, self._take, self)
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
        found = [project_of(layer) for layer in self._viewer.layers if type(layer).__name__ == "Image"]
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
        )
        corrected = self._take(output.layer, output.placement, output.image, start)
        corrected.foreground = lambda frame: 255 - output.result.probability_bytes[(0, *frame)]
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
            If there is no picture that they lie on.
        """
        labels = self.unwatched
        image, placement = self._picture_below(labels)
        if labels is None:
            labels = self._new_labels(image, placement, goal)
        picture = placement.layer
        about = {"output": goal.output, "classes": goal.classes}
        header = Header.of(labels.name, image, labels.data.dtype, *identity_of(picture), **about)
        start = Start(
            header=header,
            original=Changes.none,
            folder=lambda: project_of(picture).new_folder(header.layer),
        )
        labels.colormap = class_colors(goal.classes) if goal.output == "areas" else object_colors()
        corrected = self._take(labels, placement, image, start)
        if np.any(corrected.labels):
            corrected.keep_painted()
        corrected.take_brush(1)
        return corrected

    def _picture_below(self, labels: napari.layers.Labels | None) -> tuple[Image, Placement]:
        """The picture that labels lie on; for new ones the selected picture, or the uppermost."""
        chosen = self._viewer.layers.selection.active
        pictures = [x for x in reversed(self._viewer.layers) if type(x).__name__ == "Image"]
        for layer in sorted(pictures, key=lambda x: x is not chosen):
            with contextlib.suppress(ImageError):  # its axes are to be stated first
                image = image_from_layer(layer)
                placement = Placement.of(layer, image.axes)
                shape = placement.to_layer(np.broadcast_to(np.uint8(0), image.label_shape)).shape
                if labels is None or labels.data.shape == shape:
                    return image, placement
        lost = "There is no open picture to paint on. Open one."
        raise ImageError(lost if labels is None else f"No open picture is as large as {labels.name}. Open its picture.")

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
        self.left.close_down()
        for corrected in self.layers:
            leave(corrected)
        self.layers.clear()

    # Entries ---------------------------------------------------------------------------------------------------------

    def offer(self) -> None:
        """Show a row for each journal that was not closed."""
        for entry in left_open(self._marks):
            try:
                state = entry.state()
            except UnetstyleError as error:
                self._row().fail(failure(error))
                continue
            if not state.number:  # nothing was painted
                continue
            said = count(state)
            what = f"{said.fixes} fix{'' if said.fixes == 1 else 'es'}"
            self._row().ask(
                f"{entry.header.picture.name}: {what} on {entry.header.layer!r} that napari did not get to close.",
                ("Restore", partial(self.open, entry)),
            )

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
        self.setVisible(bool(self.rows))

    def open(self, entry: Entry) -> CorrectedLayer | None:
        """Open an entry: its picture, unless it is open already, its labels and its fixes; None if that fails."""
        already = next((c for c in self.layers if c.recorder is not None and c.recorder.folder == entry.folder), None)
        if already is not None:
            self._viewer.layers.selection.active = already.layer
            return already
        try:
            return self._open(entry)
        except UnetstyleError as error:
            self._row().fail(failure(error))
            return None

    def _open(self, entry: Entry) -> CorrectedLayer:
        if entry.is_open:
            raise JournalError(
                f"{entry.header.layer} is still being written, here or in another window. Close it there, or try again."
            )
        state = entry.state()
        layer = self._picture_of(entry)
        axes = entry.header.picture.axes
        image = image_from_layer(layer)
        placement = Placement.of(layer, image.axes)
        if image.label_shape != entry.header.shape:
            raise ImageFileError(
                f"{layer.name} has shape {image.label_shape} ({image.axes}) here, but {entry.header.shape} ({axes}) "
                "was corrected. Say what its axes are, then open the fixes again."
            )
        labels = self._viewer.add_labels(
            placement.to_layer(state.labels),
            name=entry.header.layer,
            metadata={**placement.metadata, METADATA: {"output": entry.header.output}},
            **placement.arguments,
        )
        classes = classes_of(entry.header, state.said)
        is_areas = entry.header.output == "areas" and classes
        labels.colormap = class_colors(classes) if is_areas else object_colors()
        corrected = self._take(labels, placement, image, Start.going_on(entry.folder, state))
        self._say_notes(entry, state.notes)
        return corrected

    def _say_notes(self, entry: Entry, notes: tuple[str, ...]) -> None:
        if entry.is_changed():
            notes = (*notes, f"{entry.header.picture.path} is not the file that was corrected: it changed since.")
        if notes:
            self._row().say("\n".join(notes))

    def _picture_of(self, entry: Entry) -> napari.layers.Image:
        """The layer of an entry's picture; opened if there is none."""
        about = entry.header.picture
        pictures = [layer for layer in self._viewer.layers if type(layer).__name__ == "Image"]
        if about.path is not None:
            same = [layer for layer in pictures if path_of(layer) == about.path]
        elif about.sha256 is not None:
            same = [layer for layer in pictures if pixels_of(layer) == about.sha256]
        else:  # of a time when only the name was noted
            same = [layer for layer in pictures if layer.name == about.name]
        if same:
            return same[0]
        data, arguments, _ = layer_data(entry.image(), None if about.path is None else Path(about.path))
        layer = self._viewer.add_image(data, **arguments)
        if about.path is None and about.sha256 is not None:
            know_as(layer, about.sha256)
        return layer
