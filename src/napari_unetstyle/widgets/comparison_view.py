"""The scores of one Labels layer against another: shown, marked on the picture, taken along."""

from __future__ import annotations

import csv
import html
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from qtpy.QtWidgets import QApplication, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_unetstyle.core.errors import UnetstyleError
from napari_unetstyle.widgets.jobs import Failed, Finished, JobSlot, Outcome, as_steps, failure
from napari_unetstyle.widgets.label_pair import LabelPair, add_differences
from napari_unetstyle.widgets.message_row import MessageRow
from napari_unetstyle.widgets.opening import ask_for_path
from napari_unetstyle.widgets.parts import Words, follow
from napari_unetstyle.widgets.progress_row import ProgressRow
from napari_unetstyle.widgets.scores_table import ScoresTable

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

    from napari_unetstyle.core.metrics import Differences
    from napari_unetstyle.core.models.spec import ClassSpec
    from napari_unetstyle.core.progress import Steps

_LINES = 12  # of the legend
PAINTED = "Painted since: these are the numbers from before. Measure again."


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


class ComparisonView(QWidget):
    """Table, differences and files of the last comparison; hidden until there is one.

    Parameters
    ----------
    viewer
        Gets the layer of differences.
    progress, message
        Rows that this shares with what made the comparison.
    """

    def __init__(self, viewer: napari.viewer.Viewer, progress: ProgressRow, message: MessageRow) -> None:
        super().__init__()
        self._viewer, self.progress, self.message = viewer, progress, message
        self._marking, self._saving = JobSlot(self), JobSlot(self)
        self._followed: WeakSet[Any] = WeakSet()
        self._watched: tuple[napari.layers.Labels, ...] = ()
        self._is_painted = False
        self.comparison: Comparison | None = None
        self.title, self.notes, self.legend = Words(), Words(), Words()
        self.table = ScoresTable()
        self.show_differences, self.save = QPushButton("Show differences"), QPushButton("Save CSV…")
        self.copy = QPushButton("Copy")
        self.show_differences.setToolTip("A new layer: what is too much, too little or something else")
        self.copy.setToolTip("The table, to paste into a spreadsheet")
        self._lay_out()
        self._connect()
        self.hide()

    def _lay_out(self) -> None:
        buttons = QHBoxLayout()
        for button in (self.show_differences, self.save, self.copy):
            buttons.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for part in (self.title, self.table, self.notes):
            layout.addWidget(part)
        layout.addLayout(buttons)
        layout.addWidget(self.legend)

    def _connect(self) -> None:
        follow(self, self._viewer.layers.events.removed, self._on_removed)
        self._marking.progressed.connect(self.progress.show_progress)
        self._marking.done.connect(self._on_marked)
        self._saving.done.connect(self._on_saved)
        self.show_differences.clicked.connect(self.mark)
        self.save.clicked.connect(self._on_save)
        self.copy.clicked.connect(self._on_copy)

    @property
    def is_busy(self) -> bool:
        """Whether differences are being marked."""
        return self._marking.is_busy

    def stop(self) -> None:
        """Stop marking within one step."""
        self._marking.cancel()

    def watch(self, *layers: napari.layers.Labels) -> None:
        """From here on what is painted in these layers is not in the numbers that will be shown."""
        self._watched, self._is_painted = layers, False
        for layer in layers:
            if layer not in self._followed:
                self._followed.add(layer)
                for event in (layer.events.paint, layer.events.labels_update, layer.events.data):
                    follow(self, event, self._on_changed)

    def show_comparison(self, comparison: Comparison) -> None:
        """Show scores; what was shown before goes."""
        self.comparison = comparison
        colors = {value: _hex(comparison.prediction.get_color(value)) for value in comparison.scores.get("classes", ())}
        self.title.setText(f"{comparison.prediction.name} against {comparison.truth.name}")
        self.table.show_scores(comparison.scores, comparison.names, colors)
        self.notes.setText(PAINTED if self._is_painted else " ".join(_notes(comparison.scores)))
        self.notes.setVisible(bool(self.notes.text()))
        self.legend.hide()
        self.show_differences.setEnabled(self._is_open(comparison))
        self.show()

    def _on_removed(self) -> None:
        if self.comparison is not None and not self._is_open(self.comparison):
            self.show_differences.setEnabled(False)

    def _on_changed(self, event: Any) -> None:
        """What was measured is no longer what is there."""
        done = self.comparison
        self._is_painted |= event.source in self._watched
        if done is not None and event.source in (done.prediction, done.truth):
            self.notes.setText(PAINTED)
            self.notes.show()

    def _is_open(self, comparison: Comparison) -> bool:
        return comparison.prediction in self._viewer.layers and comparison.truth in self._viewer.layers

    # Differences -----------------------------------------------------------------------------------------------------

    def mark(self) -> None:
        """Add a layer that shows where the two differ."""
        done = self.comparison
        if done is None or not self._is_open(done) or self.is_busy:
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
        "<br>".join([*rows[:_LINES], *(["…"] if len(rows) > _LINES else [])])
        + f"<br><i>in {unit}; point at one for its name</i>"
    )


def _hex(color: Any) -> str:
    return "#000000" if color is None else "#" + "".join(f"{round(255 * float(c)):02x}" for c in color[:3])
