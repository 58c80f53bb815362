"""The tab *Style*: a picture as another scanner, stain or microscope would have made it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QPushButton, QSlider, QVBoxLayout, QWidget

from napari_unetstyle.core.errors import UnetstyleError
from napari_unetstyle.core.progress import Progress
from napari_unetstyle.core.style.change import EXCHANGED, StyleOptions
from napari_unetstyle.core.style.content_check import INVERTED
from napari_unetstyle.widgets.core_calls import CoreCalls
from napari_unetstyle.widgets.empty_row import EmptyRow
from napari_unetstyle.widgets.jobs import Cancelled, Failed, Finished, JobSlot, Outcome, failure
from napari_unetstyle.widgets.layers import stored
from napari_unetstyle.widgets.message_row import Action, MessageRow
from napari_unetstyle.widgets.parts import Words, bring_into_sight, combo, follow, named
from napari_unetstyle.widgets.picture_list import PictureList
from napari_unetstyle.widgets.progress_row import ProgressRow
from napari_unetstyle.widgets.statements import picture_of
from napari_unetstyle.widgets.style_copy import copy_style
from napari_unetstyle.widgets.style_layers import Style, StylePlace, add_styled, given_to_core, own_pictures
from napari_unetstyle.widgets.style_method import AUTOMATIC, GATYS, StyleMethod, refusal, unused_network
from napari_unetstyle.widgets.style_preview import Step, StylePreview, StyleRequest
from napari_unetstyle.widgets.style_request import lying_on, request_of
from napari_unetstyle.widgets.style_shelf import StyleShelf

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

    from napari_unetstyle.core.style.kept_style import KeptStyle
    from napari_unetstyle.widgets.style_sight import Judged

NO_PICTURE = "Open the picture to be changed, and one that it shall look like."
NO_STYLE = "Open another picture to look like, of the other scanner, stain or microscope; or tick a kept style."


class StylePanel(QWidget):
    """Form, preview and button.

    Parameters
    ----------
    viewer
        The napari viewer.
    calls
        The core's functions.
    """

    run_ended = Signal(object)  # Outcome
    teach_wanted = Signal(object)  # layers to learn the look of

    def __init__(self, viewer: napari.viewer.Viewer, calls: CoreCalls, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._calls = viewer, calls
        self._slot = JobSlot(self)
        self._place: StylePlace | None = None
        self._styles: list[str] = []
        self._judged = ""  # name of the labels that are checked
        self._told: tuple[object, list[Style]] | None = None  # picture and styles that what is said is about
        self._run: StyleRequest | None = None
        self._copy: Callable[[str], None] | None = None
        self.nothing, self.unopened = EmptyRow(viewer, NO_PICTURE, with_folder=False), MessageRow()
        self.layers = combo()
        self.styles = PictureList(viewer, NO_STYLE)
        self.strength = QSlider(Qt.Orientation.Horizontal)
        self.advanced = QCheckBox("Advanced")
        self.closed = Words()  # what of it holds, while it is closed
        self.how = StyleMethod()
        self.hint = MessageRow()
        self._refused = self._hinted = ""
        self.preview = StylePreview(viewer, calls, self._request)
        self.apply = QPushButton("APPLY")
        self.teach = QPushButton("Use in Teach")
        self.shelf = StyleShelf(calls, lambda: self.styles.ticked)
        self.kept_changed = self.shelf.changed
        self.progress = ProgressRow()
        self.message = MessageRow()
        self._lay_out()
        self._connect()
        self.refresh()

    def _lay_out(self) -> None:
        self.strength.setRange(0, 100)
        self.strength.setValue(100)
        self.percent = QLabel("100 %")
        self.percent.setMinimumWidth(40)
        line = QWidget()
        row = QHBoxLayout(line)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.strength, 1)
        row.addWidget(self.percent)
        self.apply.setMinimumHeight(32)
        self.teach.setToolTip("The model also learns to read pictures like these, though nobody labeled them")
        self.form = QWidget()
        rows = QVBoxLayout(self.form)
        rows.setContentsMargins(0, 0, 0, 0)
        self.how.hide()
        style = (Words("Make it look like"), self.styles, named("Strength", line), self.advanced, self.closed)
        below = (self.how, self.hint, self.preview, self.apply, self.progress, self.message, self.teach, self.shelf)
        for part in (named("Picture", self.layers), *style, *below):
            rows.addWidget(part)
        layout = QVBoxLayout(self)
        layout.addWidget(self.nothing)
        layout.addWidget(self.unopened)
        layout.addWidget(self.form)
        layout.addStretch()

    def _connect(self) -> None:
        events = self._viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered, events.renamed):
            follow(self, event, self.refresh)
        self.nothing.failed.connect(self.unopened.fail)
        self.layers.currentIndexChanged.connect(self._on_picture_changed)
        self.styles.changed.connect(self._show)
        self.styles.changed.connect(self.shelf.refresh)
        self.strength.valueChanged.connect(lambda value: self.percent.setText(f"{value} %"))
        self.strength.valueChanged.connect(lambda _: self.preview.touch())
        self.how.changed.connect(self._show)
        self.advanced.toggled.connect(self._show)
        self.apply.clicked.connect(self.start)
        self.teach.clicked.connect(lambda: self.teach_wanted.emit(self.styles.ticked))
        self.progress.stop.clicked.connect(self.stop)
        self._slot.progressed.connect(self._on_progress)
        self._slot.done.connect(self._on_done)

    @property
    def layer(self) -> napari.layers.Image | None:
        """The chosen picture."""
        return self.layers.currentData()

    @property
    def options(self) -> StyleOptions:
        """What the form says."""
        return self.how.options(self.strength.value() / 100)

    def showEvent(self, event: QShowEvent) -> None:
        """What is on screen may have changed meanwhile."""
        super().showEvent(event)
        self.preview.touch()

    def refresh(self) -> None:
        """List the open pictures, and keep the chosen one if it still is."""
        before = self.layer
        with QSignalBlocker(self.layers):
            self.layers.clear()
            for layer in own_pictures(self._viewer):
                self.layers.addItem(layer.name, layer)
            self.layers.setCurrentIndex(max(self.layers.findData(before), 0) if self.layers.count() else -1)
        self._on_picture_changed()

    def refresh_kept(self) -> Sequence[KeptStyle]:
        """List the styles that are kept now, and give them."""
        kept = self.shelf.bank.list()
        self.styles.set_kept(kept)
        return kept

    def start(self) -> None:
        """Make the restyled picture; nothing happens while one is being made."""
        layer, chosen = self.layer, self.styles.ticked
        if self._slot.is_busy or layer is None or not chosen or self._refused:
            return
        self.message.clear()
        try:
            image, styles = picture_of(layer), [given_to_core(one) for one in chosen]
            lying = lying_on(self._viewer, image)
            self._place = StylePlace.of(layer, image.axes)
        except UnetstyleError as error:
            self._fail(failure(error))
            return
        self._styles = [one.name for one in chosen]
        self._judged = "" if lying is None else lying.name
        self._copy = partial(copy_style, image, layer, list(zip(styles, chosen, strict=True)), self.options)
        self.preview.pause()
        self.progress.begin("starting…")
        bring_into_sight(self.progress)
        labels = None if lying is None else stored(lying)
        self._run = StyleRequest(image=image, styles=tuple(styles), options=self.options, at=(), labels=None)
        self._slot.start(self._calls.iter_stylize(image, styles, self.options, labels))
        self._show()

    def stop(self) -> None:
        """Stop within one strip; nothing is changed."""
        self._slot.cancel()
        self.progress.show_stopping()

    def close_down(self) -> None:
        """Stop what is under way."""
        self._slot.cancel()
        self.shelf.close_down()
        self.preview.pause()

    def _on_picture_changed(self) -> None:
        self.styles.leave_out(self.layer)
        self._show()

    def _show(self) -> None:
        has_picture, ticked = self.layer is not None, self.styles.ticked
        if self._told is not None and self._told != (self.layer, ticked):
            self.message.clear()
            self._told = None
        self.nothing.setVisible(not has_picture)
        if has_picture:
            self.unopened.clear()
        self.form.setVisible(has_picture)
        self._show_method(ticked)
        self.apply.setEnabled(bool(ticked) and not self._refused and not self._slot.is_busy)
        self.apply.setToolTip(self._refused or "Makes a new layer; the picture stays as it is")
        self.teach.setEnabled(bool(ticked))
        self.preview.touch()

    def _show_method(self, ticked: Sequence[Style]) -> None:
        """Name what was chosen under *Advanced* though that is closed, and what goes with what is ticked."""
        method, is_open = self.how.chosen, self.advanced.isChecked()
        self.how.setVisible(is_open)
        self.closed.setText(self.how.words)
        self.closed.setVisible(bool(self.how.words) and not is_open)
        self._refused = refusal(method, ticked)
        unused = unused_network(method, ticked)
        hinted = self._refused or unused
        if hinted == self._hinted:  # it may have been read, and closed
            return
        self._hinted = hinted
        other, words = (AUTOMATIC, "Use automatic") if self._refused else ("fast", "Use it")
        if hinted:
            self.hint.say(hinted, (words, lambda: self.how.choose(other)))
        else:
            self.hint.clear()

    def _request(self) -> StyleRequest | None:
        """What *Apply* would do to the part on screen; None where nothing is chosen or something runs."""
        layer, chosen = self.layer, self.styles.ticked
        if layer is None or not chosen or self._refused or not self.isVisibleTo(self.window()):
            return None
        return request_of(self._viewer, layer, chosen, self.options)

    def _on_progress(self, progress: Progress) -> None:
        """A neural style shows itself getting there."""
        self.progress.show_progress(progress)
        pixels, run = getattr(progress, "preview", None), self._run
        if pixels is None or run is None or run.options.method != GATYS:
            return
        sizes = [run.image.size(axis) for axis in run.image.axes if axis != "C"][:-2]
        done = math.ceil(progress.fraction * math.prod(sizes) - 1e-6) - 1  # slices that are behind this one
        frame = tuple(int(i) for i in np.unravel_index(max(0, done), sizes)) if sizes else ()
        self.preview.show_step(Step(pixels=pixels, frame=frame, run=run, is_last=progress.fraction == 1))

    def _on_done(self, outcome: Outcome) -> None:
        self.progress.hide()
        self._show()
        match outcome:
            case Finished(value=judged):
                self._deliver(judged)
            case Failed():
                self._fail(outcome)
            case Cancelled():
                self._say("Stopped. Nothing was changed.")
        self.run_ended.emit(outcome)

    def _deliver(self, judged: Judged) -> None:
        """Show the restyled picture; where the picture is not what it was, offer it instead."""
        place, styles = self._place, self._styles
        assert place is not None
        changes = place.placement.changes(self._viewer)
        if changes:
            self._told = None  # a question stays until it is answered
            self.message.ask(
                f"{place.placement.name!r} was {' and '.join(changes)} meanwhile. What was made is of the picture "
                "as it was.",
                ("Add it", lambda: self._add(judged, place, styles)),
            )
            bring_into_sight(self.message)
            return
        self._add(judged, place, styles)

    def _add(self, judged: Judged, place: StylePlace, styles: list[str]) -> None:
        layer = add_styled(self._viewer, judged.styled, place, styles)
        notes = [note for note in judged.styled.notes if note != EXCHANGED or INVERTED not in judged.words]
        said = [f"Made the layer {layer.name!r}; the picture is as it was.", *notes]
        said += [f"With {self._judged!r} on it: {judged.words}"] if judged.words else []
        words = " ".join(said)
        copy = self._copy
        assert copy is not None
        self._say(words, ("Copy as Python", lambda: copy("Python")), ("as command line", lambda: copy("command line")))

    def _say(self, text: str, *actions: Action) -> None:
        self.message.say(text, *actions)
        self._told = self.layer, self.styles.ticked
        bring_into_sight(self.message)

    def _fail(self, failed: Failed) -> None:
        self.preview.pause()
        self.preview.hide()  # it would say the same
        self.message.fail(failed)
        self._told = self.layer, self.styles.ticked
        bring_into_sight(self.message)
