"""The tab *Style*: a picture as another scanner, stain or microscope would have made it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import (
    QApplication,
    QCheckBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from napari_unetstyle.core.errors import UnetstyleError
from napari_unetstyle.core.progress import Progress
from napari_unetstyle.core.style.change import EXCHANGED, NEURAL, TEXTURED, TRAINED, StyleOptions
from napari_unetstyle.core.style.content_check import INVERTED
from napari_unetstyle.core.style.gatys import GatysOptions
from napari_unetstyle.core.style.photometric import METHODS
from napari_unetstyle.widgets.copy_as import style_as_command_line, style_as_python
from napari_unetstyle.widgets.core_calls import CoreCalls
from napari_unetstyle.widgets.jobs import Cancelled, Failed, Finished, JobSlot, Outcome, failure
from napari_unetstyle.widgets.label_layers import is_helper
from napari_unetstyle.widgets.layers import stored
from napari_unetstyle.widgets.message_row import Action, MessageRow
from napari_unetstyle.widgets.opening import ask_for_path, file_with
from napari_unetstyle.widgets.parts import Words, bring_into_sight, combo, follow, named
from napari_unetstyle.widgets.picture_list import PictureList
from napari_unetstyle.widgets.progress_row import ProgressRow
from napari_unetstyle.widgets.scope import current_frame, visible_box
from napari_unetstyle.widgets.settings import read_settings
from napari_unetstyle.widgets.statements import picture_of
from napari_unetstyle.widgets.style_layers import Style, StylePlace, add_styled, given_to_core, is_kept, own_pictures
from napari_unetstyle.widgets.style_preview import IN_ONE_PASS, MADE, SIDE, Labeled, Step, StylePreview, StyleRequest
from napari_unetstyle.widgets.style_shelf import StyleShelf

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

    from napari_unetstyle.core.imaging.image import Image
    from napari_unetstyle.core.style.kept_style import KeptStyle
    from napari_unetstyle.widgets.style_sight import Judged

NO_PICTURE = "Open the picture to be changed, and one that it shall look like."
NO_STYLE = "Open another picture to look like, of the other scanner, stain or microscope; or tick a kept style."
LONGEST = 512  # pixels of a picture that a preview is made of along a side; it is shown smaller
IN_THE_MIDDLE = "In the middle of what is on screen: "
STARTS = "what it starts from"
WITH_APPLY = "The texture comes with APPLY, and is seen getting there; whether labels still fit is said at the end."
ALONE = "Shown is the middle of what is on screen; in the whole picture its texture comes out a little differently."
WEIGHTS = "Weights (*.pth *.pt);;All files (*)"
AUTOMATIC, GATYS = "automatic", "gatys"
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
        self._judged = ""  # name of the labels that are checked
        self._told: tuple[object, list[Style]] | None = None  # picture and styles that what is said is about
        self._run: StyleRequest | None = None
        self._copy: Callable[[str], None] | None = None
        self.nothing = Words(NO_PICTURE)
        self.layers = combo()
        self.styles = PictureList(viewer, NO_STYLE)
        self.strength = QSlider(Qt.Orientation.Horizontal)
        self.advanced = QCheckBox("Advanced")
        self.closed = Words()  # what of it holds, while it is closed
        self.method = combo()
        self.align = QCheckBox("Exchange bright and dark if needed")
        self.weights, self.choose_weights = QLineEdit(), QPushButton("…")
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
        for method in (*METHODS, *TEXTURED):
            self.method.addItem(WORDS.get(method, method), method)
        self.align.setChecked(True)
        self.align.setToolTip("Where objects are bright in one picture and dark in the other")
        self.apply.setMinimumHeight(32)
        self.teach.setToolTip("The model also learns to read pictures like these, though nobody labeled them")
        self.form = QWidget()
        rows = QVBoxLayout(self.form)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.addWidget(named("Picture", self.layers))
        rows.addWidget(Words("Make it look like"))
        rows.addWidget(self.styles)
        rows.addWidget(named("Strength", line))
        rows.addWidget(self.advanced)
        rows.addWidget(self.closed)
        self.details = QWidget()
        inner = QVBoxLayout(self.details)
        inner.setContentsMargins(12, 0, 0, 0)
        inner.addWidget(named("Method", self.method))
        inner.addWidget(self._weights_row())
        inner.addWidget(self.align)
        self.details.hide()
        for part in (
            self.details,
            self.hint,
            self.preview,
            self.apply,
            self.progress,
            self.message,
            self.teach,
            self.shelf,
        ):
            rows.addWidget(part)
        layout = QVBoxLayout(self)
        layout.addWidget(self.nothing)
        layout.addWidget(self.form)
        layout.addStretch()

    def _weights_row(self) -> QWidget:
        self.weights.setPlaceholderText("none: random weights")
        self.weights.setToolTip("torchvision's file vgg16-397923af.pth, if you have it; nothing is downloaded")
        self.choose_weights.setMaximumWidth(28)
        self.choose_weights.setToolTip("Choose the file")
        line = QWidget()
        row = QHBoxLayout(line)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.weights, 1)
        row.addWidget(self.choose_weights)
        self.weights_row = named("VGG16 file", line)
        return self.weights_row

    def _connect(self) -> None:
        events = self._viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered, events.renamed):
            follow(self, event, self.refresh)
        self.layers.currentIndexChanged.connect(self._on_picture_changed)
        self.styles.changed.connect(self._show)
        self.styles.changed.connect(self.shelf.refresh)
        self.strength.valueChanged.connect(lambda value: self.percent.setText(f"{value} %"))
        self.strength.valueChanged.connect(lambda _: self.preview.touch())
        self.method.currentIndexChanged.connect(self._show)
        self.align.toggled.connect(self._show)
        self.advanced.toggled.connect(self._show)
        self.weights.textChanged.connect(self._show)
        self.choose_weights.clicked.connect(
            lambda: ask_for_path(self, "VGG16 file", lambda path: self.weights.setText(str(path)), filters=WEIGHTS)
        )
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
        method, weights = self.method.currentData(), self.weights.text().strip()
        neural = GatysOptions(weights=Path(weights) if weights and method == GATYS else None)
        return StyleOptions(
            method=method, strength=self.strength.value() / 100, align=self.align.isChecked(), neural=neural
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
        if self._slot.is_busy or layer is None or not chosen or self._refused:
            return
        self.message.clear()
        try:
            image, styles = picture_of(layer), [given_to_core(one) for one in chosen]
            lying = self._lying_on(image)
            self._place = StylePlace.of(layer, image.axes)
        except UnetstyleError as error:
            self._fail(failure(error))
            return
        self._styles = [one.name for one in chosen]
        self._judged = "" if lying is None else lying.name
        self._copy = partial(_copy, image, layer, list(zip(styles, chosen, strict=True)), self.options)
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
        self.form.setVisible(has_picture)
        self._show_method(ticked)
        self.apply.setEnabled(bool(ticked) and not self._refused and not self._slot.is_busy)
        self.apply.setToolTip(self._refused or "Makes a new layer; the picture stays as it is")
        self.teach.setEnabled(bool(ticked))
        self.preview.touch()

    def _show_method(self, ticked: Sequence[Style]) -> None:
        """Name what was chosen under *Advanced* though that is closed, and what goes with what is ticked."""
        method, is_open = self.method.currentData(), self.advanced.isChecked()
        self.details.setVisible(is_open)
        self.weights_row.setVisible(method == GATYS)
        chosen = [] if method == AUTOMATIC else [f"Method: {WORDS[method]}."]
        chosen += [] if self.align.isChecked() else ["Bright and dark are not exchanged."]
        self.closed.setText(" ".join(chosen))
        self.closed.setVisible(bool(chosen) and not is_open)
        self._refused = refusal(method, ticked)
        unused = unused_network(method, ticked)
        hinted = self._refused or unused
        if hinted == self._hinted:  # it may have been read, and closed
            return
        self._hinted = hinted
        other, words = (AUTOMATIC, "Use automatic") if self._refused else ("fast", "Use it")
        if hinted:
            self.hint.say(hinted, (words, lambda: self.method.setCurrentIndex(self.method.findData(other))))
        else:
            self.hint.clear()

    def _request(self) -> StyleRequest | None:
        """What *Apply* would do to the part on screen; None where nothing is chosen or something runs."""
        layer, chosen = self.layer, self.styles.ticked
        if layer is None or not chosen or self._refused or not self.isVisibleTo(self.window()):
            return None
        image = picture_of(layer)
        sides, frame = visible_box(layer, image, self._viewer), current_frame(layer, image, self._viewer)
        method = self.options.method
        spans = [stop - start for start, stop in sides]
        judged_at = _index(image, frame, [_middle(*side) for side in sides])
        step = max(1, math.ceil(max(spans) / LONGEST))
        at = judged_at if method in IN_ONE_PASS else _index(image, frame, sides, step)  # texture has a size
        lying = self._lying_on(image)
        labels = None if lying is None else stored(lying)
        judged = (
            None if labels is None or method == GATYS else Labeled(at=judged_at, labels=np.asarray(labels[judged_at]))
        )
        return StyleRequest(
            image=image,
            styles=tuple(map(given_to_core, chosen)),
            options=self.options,
            at=at,
            labels=None if labels is None else np.asarray(labels[at]),
            judged=judged if judged is not None and judged.labels.any() else None,
            where=IN_THE_MIDDLE if max(spans) > SIDE else "",
            caption=STARTS if method == GATYS else MADE,
            note=_note(method, image),
        )

    def _lying_on(self, image: Image) -> napari.layers.Labels | None:
        """The first visible labels on the picture's grid."""
        grid = tuple(image.size(axis) for axis in image.axes if axis != "C")
        shown = (one for one in self._viewer.layers[::-1] if type(one).__name__ == "Labels" and one.visible)
        return next((one for one in shown if not is_helper(one) and tuple(stored(one).shape) == grid), None)

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


def refusal(method: str, styles: Sequence[Style]) -> str:
    """Why a method cannot take the styles that are ticked, which one it is, and what to do; empty if it can."""
    kept = [style for style in styles if is_kept(style)]
    if method in NEURAL and kept:
        return (
            f"The style {kept[0].name!r} is kept as numbers, and {WORDS[method]!r} needs a picture to look at. Untick "
            "it, or take another method."
        )
    if method not in TRAINED or not styles:
        return ""
    without = [style.name for style in styles if not is_kept(style) or style.network is None]
    if without:
        return (
            f"{without[0]!r} has no network of its own, which {WORDS[method]!r} needs. Untick it, train one for it "
            "(napari-unetstyle stylize --train-fast), or take another method."
        )
    if len(styles) == 1:
        return ""
    return (
        f"{WORDS[method]!r} takes one style, and {len(styles)} are ticked. Untick all but one, or take another method."
    )


def unused_network(method: str, styles: Sequence[Style]) -> str:
    """That the only style has a network, and the method leaves it unused; empty if it is not so."""
    match styles:
        case [style] if method == AUTOMATIC and is_kept(style) and style.network is not None:
            return f"The style {style.name!r} has a network of its own, which only {WORDS['fast']!r} uses."
    return ""


def _note(method: str, image: Image) -> str:
    """What is to be known of a preview."""
    if method == GATYS:
        return WITH_APPLY
    return ALONE if method in IN_ONE_PASS and image.size("Y") * image.size("X") > SIDE * SIDE else ""


def _middle(start: int, stop: int) -> tuple[int, int]:
    """Of a side of the part in sight, what is judged."""
    first = start + max(0, (stop - start - SIDE) // 2)
    return first, min(stop, first + SIDE)


def _index(
    image: Image, frame: Sequence[int], sides: Sequence[tuple[int, int]], step: int = 1
) -> tuple[int | slice, ...]:
    """Of a part of a slice, along the axes behind the channels in the picture's own order."""
    where: dict[str, int | slice] = dict(zip(image.label_axes[:-2], frame, strict=True))
    where |= {axis: slice(*side, step) for axis, side in zip("YX", sides, strict=True)}
    return tuple(where[axis] for axis in image.axes if axis != "C")
