"""Layers > Measure: one Labels layer against another."""

from __future__ import annotations

import csv
import html
import io
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from qtpy.QtCore import QSignalBlocker, QSize, Qt
from qtpy.QtWidgets import QApplication, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_unetstyle.core.errors import UnetstyleError
from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.widgets.dockable import Dockable
from napari_unetstyle.widgets.jobs import Cancelled, Failed, Finished, JobSlot, Outcome, as_steps, failure
from napari_unetstyle.widgets.label_pair import (
    LabelPair,
    add_differences,
    class_names,
    holds_objects,
    label_layers,
    proposal,
)
from napari_unetstyle.widgets.message_row import MessageRow
from napari_unetstyle.widgets.opening import ask_for_path
from napari_unetstyle.widgets.parts import NumberBox, combo, follow, form, label, name, scrolling
from napari_unetstyle.widgets.progress_row import ProgressRow
from napari_unetstyle.widgets.scores_table import ScoresTable
from napari_unetstyle.widgets.summary import UNIT_SIGNS

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

    from napari_unetstyle.core.metrics import Differences
    from napari_unetstyle.core.models.spec import ClassSpec
    from napari_unetstyle.core.progress import Steps

WIDTH, NARROWEST = 340, 300
_PIXELS = 2  # tolerance where nothing is in mm
_UNITS = {"px": "no unit", "mm": "mm", "um": "µm"}


def _iter_compare(pair: LabelPair, **options: Any) -> Steps[dict[str, Any]]:
    from napari_unetstyle.core.segmentation.compare import iter_compare

    return (yield from iter_compare(pair.prediction, pair.truth, **options))


def _iter_differences(pair: LabelPair, output: Any) -> Steps[Differences]:
    from napari_unetstyle.core.metrics import iter_differences
    from napari_unetstyle.core.segmentation.compare import whole_labels

    arrays = whole_labels(pair.prediction, "prediction"), whole_labels(pair.truth, "truth")
    return (yield from iter_differences(*arrays, output=output))


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """What was measured, and between which layers."""

    prediction: napari.layers.Labels
    truth: napari.layers.Labels
    output: str
    scores: dict[str, Any]
    names: dict[int, str]


class ComparePanel(Dockable):
    """Scores of one Labels layer against another, and where they differ.

    Parameters
    ----------
    napari_viewer
        Given by napari.
    iter_compare
        ``(pair, output=, tolerance=, geometry=)`` to a job that returns scores; tests hand over another.
    """

    def __init__(
        self, napari_viewer: napari.viewer.Viewer, iter_compare: Callable[..., Steps[dict[str, Any]]] = _iter_compare
    ) -> None:
        super().__init__()
        self._viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)  # layers are compared by identity
        self._iter_compare = iter_compare
        self._slot, self._marking, self._saving = JobSlot(self), JobSlot(self), JobSlot(self)
        self._followed: WeakSet[Any] = WeakSet()
        self._chosen: set[QWidget] = set()
        self._proposed_for: tuple[Any, Any] = (None, None)
        self._asked: Comparison | None = None
        self.comparison: Comparison | None = None
        self.prediction, self.truth, self.values, self.unit = combo(), combo(), combo(), combo()
        self.info, self.title, self.notes, self.legend = label(), label(), label(), label()
        self.tolerance = NumberBox()
        self.measure = QPushButton("MEASURE")
        self.progress, self.message, self.table = ProgressRow(), MessageRow(), ScoresTable()
        self.show_differences, self.save = QPushButton("Show differences"), QPushButton("Save CSV…")
        self.copy = QPushButton("Copy")
        self._set_up()
        self._lay_out()
        self._connect()
        self.refresh()

    def _set_up(self) -> None:
        self.values.addItem("classes", "areas")
        self.values.addItem("numbers of objects", "objects")
        for unit, words in _UNITS.items():
            self.unit.addItem(words, unit)
        self.tolerance.setDecimals(4)
        self.tolerance.setRange(0, 1e6)
        self.tolerance.setValue(1)
        self.tolerance.setToolTip("How far a surface may be off and still count as right (NSD)")
        self.measure.setMinimumHeight(32)
        self.show_differences.setToolTip("A new layer: what is too much, too little or something else")
        self.copy.setToolTip("The table, to paste into a spreadsheet")
        self.prediction.setToolTip("What is judged: a result, or one person's drawing")
        self.truth.setToolTip("What it is judged by")
        self.setMinimumWidth(NARROWEST)

    def _lay_out(self) -> None:
        panel = QWidget()
        layout = QVBoxLayout(panel)
        self.rows = form()
        self.rows.addRow(name("Prediction"), self.prediction)
        self.rows.addRow(name("Truth"), self.truth)
        self.rows.addRow(name("Values are"), self.values)
        self.rows.addRow(name("Unit"), self.unit)
        self.rows.addRow(name("Tolerance"), self.tolerance)
        layout.addLayout(self.rows)
        layout.addWidget(self.info)
        layout.addWidget(self.measure)
        layout.addWidget(self.progress)
        layout.addWidget(self.message)
        self.results = QWidget()
        results = QVBoxLayout(self.results)
        results.setContentsMargins(0, 0, 0, 0)
        buttons = QHBoxLayout()
        for button in (self.show_differences, self.save, self.copy):
            buttons.addWidget(button)
        for part in (self.title, self.table, self.notes):
            results.addWidget(part)
        results.addLayout(buttons)
        results.addWidget(self.legend)
        self.results.hide()
        layout.addWidget(self.results)
        layout.addStretch()
        disclaimer = label("Research use only, not a medical device.")
        disclaimer.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(scrolling(panel))
        whole.addWidget(disclaimer)

    def _connect(self) -> None:
        events = self._viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered):
            follow(self, event, self.refresh)
        self.prediction.currentIndexChanged.connect(self._on_layers)
        self.truth.currentIndexChanged.connect(self._on_layers)
        self.values.currentIndexChanged.connect(self._show_form)
        for box in (self.prediction, self.truth):
            box.activated.connect(lambda _, box=box: self._chosen.add(box))
        self.unit.currentIndexChanged.connect(self._on_unit)
        self.measure.clicked.connect(self.start)
        self.progress.stop.clicked.connect(self.stop)
        self._slot.progressed.connect(self.progress.show_progress)
        self._slot.done.connect(self._on_measured)
        self._marking.progressed.connect(self.progress.show_progress)
        self._marking.done.connect(self._on_marked)
        self._saving.done.connect(self._on_saved)
        self.show_differences.clicked.connect(self.mark)
        self.save.clicked.connect(self._on_save)
        self.copy.clicked.connect(self._on_copy)
        self.undocked.connect(self.close_down)

    # What is compared ------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """List the layers of labels; what a person chose stays chosen, the rest is proposed."""
        layers = label_layers(self._viewer)
        for box, proposed in zip((self.prediction, self.truth), proposal(layers), strict=True):
            before = box.currentData()
            with QSignalBlocker(box):
                box.clear()
                for layer in layers:
                    box.addItem(layer.name, layer)
                keeps = box in self._chosen and before in layers
                box.setCurrentIndex(box.findData(before if keeps else proposed))
        for layer in layers:
            self._follow(layer)
        if self.comparison is not None and not self._is_open(self.comparison):
            self.show_differences.setEnabled(False)
        self._on_layers()

    def _follow(self, layer: napari.layers.Labels) -> None:
        if layer in self._followed:
            return
        self._followed.add(layer)
        events = layer.events
        follow(self, events.name, self.refresh)
        for event in (events.paint, events.labels_update, events.data):
            follow(self, event, self._on_changed)
        for event in (events.data, events.scale, events.translate, events.units, events.axis_labels):
            follow(self, event, self._show_form)

    def pair(self) -> LabelPair | None:
        """The chosen layers; None while there are no two.

        Raises
        ------
        UnetstyleError
            If they cannot be compared, in words.
        """
        prediction, truth = self.prediction.currentData(), self.truth.currentData()
        if prediction is None or truth is None or self.truth.count() < 2:
            return None
        return LabelPair.of(prediction, truth)

    def _on_layers(self) -> None:
        """Propose what follows from the layers; when they are the same as before, a person's choices stay."""
        layers = self.prediction.currentData(), self.truth.currentData()
        is_new, self._proposed_for = layers != self._proposed_for, layers
        if is_new and layers[0] is not None:
            with QSignalBlocker(self.values):
                self.values.setCurrentIndex(self.values.findData("objects" if holds_objects(layers[0]) else "areas"))
        self._show_form()
        if is_new:
            self._propose_tolerance()

    def _on_unit(self) -> None:
        self._show_suffix()
        self._propose_tolerance()

    def _show_form(self) -> None:
        try:
            pair = self.pair()
        except UnetstyleError as error:
            self.info.setText(f"! {error}")
            self._show_rows(False)
            self.measure.setEnabled(False)
            return
        self.measure.setEnabled(pair is not None and not self._slot.is_busy)
        self._show_rows(pair is not None and self.values.currentData() == "areas")
        self.info.setText("Open or paint two layers of labels." if pair is None else _describe(pair))
        if pair is not None:
            with QSignalBlocker(self.unit):
                if pair.geometry.is_physical or self.unit.isEnabled() is False:
                    self.unit.setCurrentIndex(self.unit.findData(pair.geometry.unit))
            self.unit.setEnabled(not pair.geometry.is_physical)
            self.unit.setToolTip("As the layers say" if pair.geometry.is_physical else "The layers have no unit")
            self._show_suffix()

    def _show_rows(self, has_distances: bool) -> None:
        self.rows.setRowVisible(self.values, self.truth.count() > 1)
        self.rows.setRowVisible(self.unit, has_distances)
        self.rows.setRowVisible(self.tolerance, has_distances)

    def _show_suffix(self) -> None:
        self.tolerance.setSuffix(f" {UNIT_SIGNS[self.unit.currentData()]}")

    def _propose_tolerance(self) -> None:
        """1 mm, or two pixels where there are no millimeters; shown, so that it is stated."""
        try:
            pair = self.pair()
        except UnetstyleError:
            return
        if pair is not None:
            in_mm = self.unit.currentData() == "mm"
            self.tolerance.setValue(1.0 if in_mm else _PIXELS * pair.geometry.spacing[-1])

    # Measuring -------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Measure; nothing happens while that is under way."""
        self.message.clear()
        try:
            pair = self.pair()
            if pair is None or self._slot.is_busy or self._marking.is_busy:
                return
            pair = pair.snapshot()
        except (UnetstyleError, MemoryError) as error:
            self.message.fail(failure(error))
            return
        output = self.values.currentData()
        layers = self.prediction.currentData(), self.truth.currentData()
        self._asked = Comparison(
            prediction=layers[0],
            truth=layers[1],
            output=output,
            scores={},
            names={} if output == "objects" else class_names(*layers),
        )
        self.progress.begin("measuring…")
        self._slot.start(self._iter_compare(pair, output=output, **self._scale(pair.geometry, output)))
        self._show_form()

    def _scale(self, geometry: Geometry, output: str) -> dict[str, Any]:
        stated = replace(geometry.sizes(len(geometry.spacing)), unit=self.unit.currentData())
        return {"geometry": stated, "tolerance": self.tolerance.value() if output == "areas" else None}

    def stop(self) -> None:
        """Stop what is under way within one step."""
        self._slot.cancel()
        self._marking.cancel()
        self.progress.show_stopping()

    def close_down(self) -> None:
        """Stop everything; this widget was closed."""
        self.stop()
        self._saving.cancel()
        self.deleteLater()

    def _on_measured(self, outcome: Outcome) -> None:
        self.progress.hide()
        self._show_form()
        match outcome:
            case Finished(value=scores):
                assert self._asked is not None
                self._show(replace(self._asked, scores=scores))
            case Failed():
                self.message.fail(outcome)
            case Cancelled():
                self.message.say("Stopped. Nothing was changed.")

    def _show(self, comparison: Comparison) -> None:
        self.comparison = comparison
        colors = {value: _hex(comparison.prediction.get_color(value)) for value in comparison.scores.get("classes", ())}
        self.title.setText(f"{comparison.prediction.name} against {comparison.truth.name}")
        self.table.show_scores(comparison.scores, comparison.names, colors)
        self.notes.setText(" ".join(_notes(comparison.scores)))
        self.notes.setVisible(bool(self.notes.text()))
        self.legend.hide()
        self.show_differences.setEnabled(True)
        self.results.show()

    def _on_changed(self, event: Any) -> None:
        """What was measured is no longer what is there."""
        done = self.comparison
        if done is not None and event.source in (done.prediction, done.truth):
            self.notes.setText("Painted since: these are the numbers from before. Measure again.")
            self.notes.show()

    def _is_open(self, comparison: Comparison) -> bool:
        return comparison.prediction in self._viewer.layers and comparison.truth in self._viewer.layers

    # Differences -----------------------------------------------------------------------------------------------------

    def mark(self) -> None:
        """Add a layer that shows where the two differ."""
        done = self.comparison
        if done is None or not self._is_open(done) or self._slot.is_busy or self._marking.is_busy:
            return
        self.message.clear()
        try:
            pair = LabelPair.of(done.prediction, done.truth).snapshot()
        except (UnetstyleError, MemoryError) as error:
            self.message.fail(failure(error))
            return
        self.show_differences.setEnabled(False)
        self.progress.begin("marking…")
        self._marking.start(_iter_marked(pair, done))

    def _on_marked(self, outcome: Outcome) -> None:
        self.progress.hide()
        self.show_differences.setEnabled(self.comparison is not None and self._is_open(self.comparison))
        match outcome:
            case Finished(value=_Marked(found=found, classes=classes, axes=axes, truth=truth)):
                if not found.labels.any():
                    self.message.say("They do not differ anywhere.")
                    return
                add_differences(self._viewer, found, classes, truth, axes)
                self.legend.setText(_legend(classes, found))
                self.legend.show()
            case Failed():
                self.message.fail(outcome)

    # Taking it along -------------------------------------------------------------------------------------------------

    def _on_save(self) -> None:
        ask_for_path(self, "Save scores", self.save_to, name="scores.csv", filters="Tables (*.csv)", mode="save")

    def save_to(self, path: Path) -> None:
        """Write the scores as CSV, off the GUI thread."""
        done = self.comparison
        if done is None or self._saving.is_busy:
            return

        def write() -> Path:
            from napari_unetstyle.core import write_table

            return write_table(path, _table_of(done))

        self._saving.start(as_steps(write))

    def _on_saved(self, outcome: Outcome) -> None:
        match outcome:
            case Finished(value=path):
                self.message.say(f"Saved {path.name} in {path.parent}.")
            case Failed():
                self.message.fail(outcome)

    def _on_copy(self) -> None:
        if self.comparison is not None:
            columns = _table_of(self.comparison)
            text = io.StringIO()
            writer = csv.writer(text, delimiter="\t", lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(zip(*(column.tolist() for column in columns.values()), strict=True))
            QApplication.clipboard().setText(text.getvalue())

    def sizeHint(self) -> QSize:
        """As wide as the main dock."""
        return QSize(WIDTH, super().sizeHint().height())


@dataclass(frozen=True, kw_only=True, eq=False)
class _Marked:
    """Differences with their names, and the layer they lie on."""

    found: Differences
    classes: tuple[ClassSpec, ...]
    axes: str
    truth: napari.layers.Labels


def _iter_marked(pair: LabelPair, done: Comparison) -> Steps[_Marked]:
    from napari_unetstyle.core.segmentation.compare import difference_classes

    found = yield from _iter_differences(pair, done.output)
    return _Marked(found=found, classes=difference_classes(found, done.names), axes=pair.truth.axes, truth=done.truth)


def _table_of(comparison: Comparison) -> dict[str, Any]:
    from napari_unetstyle.core.metrics import score_table

    return score_table(comparison.scores, comparison.names)


def _describe(pair: LabelPair) -> str:
    """``35 × 52 × 34 · 3 × 0.5 × 0.5 mm``."""
    shape = " × ".join(map(str, pair.truth.label_shape))
    geometry = pair.geometry
    unit = UNIT_SIGNS[geometry.unit] if geometry.is_physical else ""
    size = " × ".join(f"{s:.4g}" for s in geometry.spacing)
    pixel = "voxel" if len(geometry.spacing) == 3 else "pixel"
    parts = [f"{pair.truth.label_axes}: {shape}", f"{pixel} {size} {unit}".rstrip()]
    return " · ".join([*parts, "axes assumed"] if pair.is_assumed else parts)


def _notes(scores: dict[str, Any]) -> list[str]:
    if "classes" not in scores:
        return [] if scores["objects_predicted"] + scores["objects_true"] else ["Neither has any object: they agree."]
    if not scores["classes"]:
        return ["Neither has anything: they agree."]
    is_missing = any(math.isinf(row["hd95"]) for row in scores["classes"].values())
    return ["∞: only one of the two has it."] if is_missing else []


def _legend(classes: tuple[ClassSpec, ...], found: Differences) -> str:
    rows = [
        f'<span style="color:{c.color}">■</span> {html.escape(c.name)}, {found.kinds[c.value].pixels:,}'
        for c in classes
        if found.kinds[c.value].pixels
    ]
    unit = "voxels" if found.labels.ndim == 3 else "pixels"
    return (
        "<br>".join([*rows[:12], *(["…"] if len(rows) > 12 else [])])
        + f"<br><i>in {unit}; point at one for its name</i>"
    )


def _hex(color: Any) -> str:
    return "#000000" if color is None else "#" + "".join(f"{round(255 * float(c)):02x}" for c in color[:3])
