"""The tab *Style*: a picture as another scanner, stain or microscope would have made it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QApplication, QCheckBox, QHBoxLayout, QLabel, QPushButton, QSlider, QVBoxLayout, QWidget

from napari_unetstyle.core.errors import UnetstyleError
from napari_unetstyle.core.progress import Progress
from napari_unetstyle.core.style.change import TEXTURED, StyleOptions
from napari_unetstyle.core.style.photometric import METHODS
from napari_unetstyle.widgets.copy_as import style_as_command_line, style_as_python
from napari_unetstyle.widgets.core_calls import CoreCalls
from napari_unetstyle.widgets.jobs import Cancelled, Failed, Finished, JobSlot, Outcome, failure
from napari_unetstyle.widgets.label_layers import is_helper
from napari_unetstyle.widgets.layers import stored
from napari_unetstyle.widgets.message_row import Action, MessageRow
from napari_unetstyle.widgets.opening import file_with
from napari_unetstyle.widgets.parts import Words, bring_into_sight, combo, follow, named
from napari_unetstyle.widgets.picture_list import PictureList
from napari_unetstyle.widgets.progress_row import ProgressRow
from napari_unetstyle.widgets.scope import current_frame, visible_box
from napari_unetstyle.widgets.settings import read_settings
from napari_unetstyle.widgets.statements import picture_of
from napari_unetstyle.widgets.style_layers import Style, StylePlace, add_styled, given_to_core, is_kept, own_pictures
from napari_unetstyle.widgets.style_preview import Labeled, StylePreview, StyleRequest
from napari_unetstyle.widgets.style_shelf import StyleShelf

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

    from napari_unetstyle.core.imaging.image import Image
    from napari_unetstyle.core.style.kept_style import KeptStyle
    from napari_unetstyle.core.style.stylize import Styled

NO_PICTURE = "Open the picture to be changed, and one that it shall look like."
NO_STYLE = "Open another picture to look like, of the other scanner, stain or microscope; or tick a kept style."
LONGEST = 512  # pixels of a picture that a preview is made of along a side; it is shown smaller
JUDGED = 512  # pixels along a side of the part in which a preview checks the labels
IN_THE_MIDDLE = "In the middle of what is on screen: "
WORDS = {
    "automatic": "automatic",
    "histogram": "histogram (ranks)",
    "moments": "mean and spread (Reinhard)",
    "stain": "stains (Macenko), for H&E",
    "landmarks": "landmarks (Nyul), for MR",
    "gatys": "texture (Gatys), minutes",
    "any": "texture in one pass",
    "fast": "texture in one pass, if trained",
}


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
        self._copy: Callable[[str], None] | None = None
        self.nothing = Words(NO_PICTURE)
        self.layers = combo()
        self.styles = PictureList(viewer, NO_STYLE)
        self.strength = QSlider(Qt.Orientation.Horizontal)
        self.advanced = QCheckBox("Advanced")
        self.method = combo()
        self.align = QCheckBox("Exchange bright and dark if needed")
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
        for method in (*METHODS, *TEXTURED):
            self.method.addItem(WORDS.get(method, method), method)
        self.align.setChecked(True)
        self.align.setToolTip("Where objects are bright in one picture and dark in the other")
        self.apply.setMinimumHeight(32)
        self.apply.setToolTip("Makes a new layer; the picture stays as it is")
        self.teach.setToolTip("The model also learns to read pictures like these, though nobody labeled them")
        self.form = QWidget()
        rows = QVBoxLayout(self.form)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.addWidget(named("Picture", self.layers))
        rows.addWidget(Words("Make it look like"))
        rows.addWidget(self.styles)
        rows.addWidget(named("Strength", line))
        rows.addWidget(self.advanced)
        self.details = QWidget()
        inner = QVBoxLayout(self.details)
        inner.setContentsMargins(12, 0, 0, 0)
        inner.addWidget(named("Method", self.method))
        inner.addWidget(self.align)
        self.details.hide()
        for part in (self.details, self.preview, self.apply, self.progress, self.message, self.teach, self.shelf):
            rows.addWidget(part)
        layout = QVBoxLayout(self)
        layout.addWidget(self.nothing)
        layout.addWidget(self.form)
        layout.addStretch()

    def _connect(self) -> None:
        events = self._viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered, events.renamed):
            follow(self, event, self.refresh)
        self.layers.currentIndexChanged.connect(self._on_picture_changed)
        self.styles.changed.connect(self._show)
        self.styles.changed.connect(self.shelf.refresh)
        self.strength.valueChanged.connect(lambda value: self.percent.setText(f"{value} %"))
        self.strength.valueChanged.connect(lambda _: self.preview.touch())
        self.method.currentIndexChanged.connect(lambda _: self.preview.touch())
        self.align.toggled.connect(lambda _: self.preview.touch())
        self.advanced.toggled.connect(self.details.setVisible)
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
        return StyleOptions(
            method=self.method.currentData(), strength=self.strength.value() / 100, align=self.align.isChecked()
        )

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
        if self._slot.is_busy or layer is None or not chosen:
            return
        self.message.clear()
        try:
            image, styles = picture_of(layer), [given_to_core(one) for one in chosen]
            self._place = StylePlace.of(layer, image.axes)
        except UnetstyleError as error:
            self._fail(failure(error))
            return
        self._styles = [one.name for one in chosen]
        self._copy = partial(_copy, image, layer, list(zip(styles, chosen, strict=True)), self.options)
        self.preview.pause()
        self.progress.begin("starting…")
        self._slot.start(self._calls.iter_stylize(image, styles, self.options))
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
        has_picture, can_start = self.layer is not None, bool(self.styles.ticked)
        self.nothing.setVisible(not has_picture)
        self.form.setVisible(has_picture)
        self.apply.setEnabled(can_start and not self._slot.is_busy)
        self.teach.setEnabled(can_start)
        self.preview.touch()

    def _request(self) -> StyleRequest | None:
        """What *Apply* would do to the part on screen; None where nothing is chosen or something runs."""
        layer, chosen = self.layer, self.styles.ticked
        if layer is None or not chosen or not self.isVisibleTo(self.window()):
            return None
        image = picture_of(layer)
        sides, frame = visible_box(layer, image, self._viewer), current_frame(layer, image, self._viewer)
        is_start = self.options.method in TEXTURED  # made of whole pictures: what it starts from is shown
        options = dataclasses.replace(self.options, method="automatic") if is_start else self.options
        spans = [stop - start for start, stop in sides]
        step = max(1, math.ceil(max(spans) / LONGEST))
        at = _index(image, frame, sides, step)
        judged_at = _index(image, frame, [_middle(*side) for side in sides])
        lying = self._lying_on(image)
        judged = None if lying is None else Labeled(at=judged_at, labels=np.asarray(lying[judged_at]))
        return StyleRequest(
            image=image,
            styles=tuple(map(given_to_core, chosen)),
            options=options,
            at=at,
            labels=None if lying is None else np.asarray(lying[at]),
            judged=judged if judged is not None and judged.labels.any() else None,
            where=IN_THE_MIDDLE if max(spans) > JUDGED else "",
        )

    def _lying_on(self, image: Image) -> Any:
        """The first visible labels on the picture's grid."""
        grid = tuple(image.size(axis) for axis in image.axes if axis != "C")
        for layer in self._viewer.layers[::-1]:
            if type(layer).__name__ == "Labels" and layer.visible and not is_helper(layer):
                data = stored(layer)
                if tuple(data.shape) == grid:
                    return data
        return None

    def _on_progress(self, progress: Progress) -> None:
        """A neural style shows itself getting there."""
        self.progress.show_progress(progress)
        self.preview.show_step(getattr(progress, "preview", None))

    def _on_done(self, outcome: Outcome) -> None:
        self.progress.hide()
        self._show()
        match outcome:
            case Finished(value=styled):
                self._deliver(styled)
            case Failed():
                self._fail(outcome)
            case Cancelled():
                self._say("Stopped. Nothing was changed.")
        self.run_ended.emit(outcome)

    def _deliver(self, styled: Styled) -> None:
        """Show the restyled picture; where the picture is not what it was, offer it instead."""
        place, styles = self._place, self._styles
        assert place is not None
        changes = place.placement.changes(self._viewer)
        if changes:
            self.message.ask(
                f"{place.placement.name!r} was {' and '.join(changes)} meanwhile. What was made is of the picture "
                "as it was.",
                ("Add it", lambda: self._add(styled, place, styles)),
            )
            bring_into_sight(self.message)
            return
        self._add(styled, place, styles)

    def _add(self, styled: Styled, place: StylePlace, styles: list[str]) -> None:
        layer = add_styled(self._viewer, styled, place, styles)
        words = " ".join([f"Made the layer {layer.name!r}; the picture is as it was.", *styled.notes])
        copy = self._copy
        assert copy is not None
        self._say(words, ("Copy as Python", lambda: copy("Python")), ("as command line", lambda: copy("command line")))

    def _say(self, text: str, *actions: Action) -> None:
        self.message.say(text, *actions)
        bring_into_sight(self.message)

    def _fail(self, failed: Failed) -> None:
        self.preview.pause()
        self.preview.hide()  # it would say the same
        self.message.fail(failed)
        bring_into_sight(self.message)


def _copy(
    image: Image,
    layer: napari.layers.Image,
    styles: Sequence[tuple[Image | KeptStyle, Style]],
    options: StyleOptions,
    key: str,
) -> None:
    """Put a finished run on the clipboard as text that makes the same pixels again."""
    known = [one.name if is_kept(one) else file_with(looked, one) or looked for looked, one in styles]
    write = style_as_python if key == "Python" else style_as_command_line
    folder = read_settings().model_folder
    where = "" if folder is None else f"# kept styles lie in {folder}: set NAPARI_UNETSTYLE_MODELS to it\n"
    text = write(image, file_with(image, layer), known, options)
    QApplication.clipboard().setText(f"{where}{text}" if any(is_kept(one) for _, one in styles) else text)


def _middle(start: int, stop: int) -> tuple[int, int]:
    """Of a side of the part in sight, what is judged."""
    first = start + max(0, (stop - start - JUDGED) // 2)
    return first, min(stop, first + JUDGED)


def _index(
    image: Image, frame: Sequence[int], sides: Sequence[tuple[int, int]], step: int = 1
) -> tuple[int | slice, ...]:
    """Of a part of a slice, along the axes behind the channels in the picture's own order."""
    where: dict[str, int | slice] = dict(zip(image.label_axes[:-2], frame, strict=True))
    where |= {axis: slice(*side, step) for axis, side in zip("YX", sides, strict=True)}
    return tuple(where[axis] for axis in image.axes if axis != "C")
