"""Layers > Measure: one Labels layer against another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from qtpy.QtCore import QSignalBlocker, QSize, Qt
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from napari_unetstyle.core.errors import UnetstyleError
from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.widgets.comparison_view import Comparison, ComparisonView
from napari_unetstyle.widgets.dockable import Dockable
from napari_unetstyle.widgets.jobs import Cancelled, Failed, Finished, JobSlot, Outcome, failure
from napari_unetstyle.widgets.label_pair import (
    PLACING,
    LabelPair,
    class_names,
    holds_objects,
    label_layers,
    proposal,
)
from napari_unetstyle.widgets.message_row import MessageRow
from napari_unetstyle.widgets.parts import NumberBox, Words, combo, follow, form, name, scrolling
from napari_unetstyle.widgets.progress_row import ProgressRow
from napari_unetstyle.widgets.summary import UNIT_SIGNS

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

    from napari_unetstyle.core.progress import Steps

WIDTH, NARROWEST = 340, 300
_PIXELS = 2  # tolerance where nothing is in mm
_UNITS = {"px": "no unit", "mm": "mm", "um": "µm"}


def _iter_compare(pair: LabelPair, **options: Any) -> Steps[dict[str, Any]]:
    from napari_unetstyle.core.segmentation.compare import iter_compare

    return (yield from iter_compare(pair.prediction, pair.truth, **options))


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
        self._slot = JobSlot(self)
        self._followed: WeakSet[Any] = WeakSet()
        self._chosen: set[QWidget] = set()
        self._proposed_for: tuple[Any, Any] = (None, None)
        self._asked: Comparison | None = None
        self.prediction, self.truth, self.values, self.unit = combo(), combo(), combo(), combo()
        self.info = Words()
        self.tolerance = NumberBox()
        self.measure = QPushButton("MEASURE")
        self.progress, self.message = ProgressRow(), MessageRow()
        self.results = ComparisonView(self._viewer, self.progress, self.message)
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
        layout.addWidget(self.results)
        layout.addStretch()
        disclaimer = Words("Research use only, not a medical device.")
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
        self._on_layers()

    def _follow(self, layer: napari.layers.Labels) -> None:
        if layer in self._followed:
            return
        self._followed.add(layer)
        events = layer.events
        follow(self, events.name, self.refresh)
        for changed in ("data", *PLACING, "units", "axis_labels"):
            follow(self, getattr(events, changed), self._show_form)

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
            if pair is None or self._slot.is_busy or self.results.is_busy:
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
        self.results.watch(*layers)
        self._slot.start(self._iter_compare(pair, output=output, **self._scale(pair.geometry, output)))
        self._show_form()

    def _scale(self, geometry: Geometry, output: str) -> dict[str, Any]:
        stated = replace(geometry.sizes(len(geometry.spacing)), unit=self.unit.currentData())
        return {"geometry": stated, "tolerance": self.tolerance.value() if output == "areas" else None}

    def stop(self) -> None:
        """Stop what is under way within one step."""
        self._slot.cancel()
        self.results.stop()
        self.progress.show_stopping()

    def close_down(self) -> None:
        """Stop everything; this widget was closed."""
        self.stop()
        self.deleteLater()

    def _on_measured(self, outcome: Outcome) -> None:
        self.progress.hide()
        self._show_form()
        match outcome:
            case Finished(value=scores):
                assert self._asked is not None
                self.results.show_comparison(replace(self._asked, scores=scores))
            case Failed():
                self.message.fail(outcome)
            case Cancelled():
                self.message.say("Stopped. Nothing was changed.")

    def sizeHint(self) -> QSize:
        """As wide as the main dock."""
        return QSize(WIDTH, super().sizeHint().height())


def _describe(pair: LabelPair) -> str:
    """``ZYX 35×52×34 · voxel 3×0.5×0.5 mm``, and below what a person should know."""
    shape = "×".join(map(str, pair.truth.label_shape))
    geometry = pair.geometry
    unit = UNIT_SIGNS[geometry.unit] if geometry.is_physical else ""
    size = "×".join(f"{s:.4g}" for s in geometry.spacing)
    pixel = "voxel" if len(geometry.spacing) == 3 else "pixel"
    parts = [f"{pair.truth.label_axes} {shape}", f"{pixel} {size} {unit}".rstrip()]
    line = " · ".join([*parts, "axes assumed"] if pair.is_assumed else parts)
    notes = dict.fromkeys((*pair.prediction.notes, *pair.truth.notes))
    return "\n".join([line, *(f"! {note}" for note in notes)])
