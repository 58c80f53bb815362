"""Two models on the open picture: what each finds, and how far they agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_unetstyle.core.errors import UnetstyleError
from napari_unetstyle.core.models.model import reference
from napari_unetstyle.widgets.comparison_run import Compared, Side, iter_compared, sides_of
from napari_unetstyle.widgets.core_calls import CoreCalls
from napari_unetstyle.widgets.flip_key import FLIP_KEY
from napari_unetstyle.widgets.jobs import Cancelled, Failed, Finished, JobSlot, Outcome
from napari_unetstyle.widgets.message_row import MessageRow
from napari_unetstyle.widgets.old_and_new import OldAndNew, Pairs
from napari_unetstyle.widgets.outputs import Fresh
from napari_unetstyle.widgets.parts import NamedBox, Words, bring_into_sight, combo
from napari_unetstyle.widgets.progress_row import ProgressRow
from napari_unetstyle.widgets.summary import as_score, describe_found, model_title

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

    from napari_unetstyle.core.models.descent import Descendant
    from napari_unetstyle.core.models.spec import ModelSpec
    from napari_unetstyle.widgets.picture_form import PictureForm
    from napari_unetstyle.widgets.result_panel import ResultPanel

NO_PICTURE = "Open a picture to compare two models on it."


class ModelComparison(QWidget):
    """A button, the model to compare with, and what came of it.

    Parameters
    ----------
    viewer
        The napari viewer.
    calls
        The core's functions.
    form
        The picture that is segmented.
    results
        The runs whose labels are open; new ones are added there.
    """

    def __init__(
        self,
        viewer: napari.viewer.ViewerModel,
        calls: CoreCalls,
        form: PictureForm,
        results: ResultPanel,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._calls, self._form, self._results = viewer, calls, form, results
        self._slot = JobSlot(self)
        self._specs: dict[str, ModelSpec] = {}
        self._place: Descendant | None = None
        self.pairs = Pairs(viewer)
        self.compare = QPushButton("Compare with")
        self.other = combo()
        self.compare.setToolTip("Run both on all of the picture chosen under Segment; neither counts as right")
        self.other.setAccessibleName("Compare with")
        self.hint, self.words = Words(), Words()
        self.progress, self.message = ProgressRow(), MessageRow()
        self.box = NamedBox()
        self.flip, self.changes = QPushButton(f"Flip {FLIP_KEY}"), QPushButton("Show differences")
        self._lay_out()
        self._connect()
        self._show()

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        row.addWidget(self.compare)
        row.addWidget(self.other, 1)
        self.words.setTextFormat(Qt.TextFormat.PlainText)
        self.changes.setCheckable(True)
        buttons = QHBoxLayout()
        buttons.addWidget(self.flip)
        buttons.addWidget(self.changes)
        buttons.addStretch()
        inside = QVBoxLayout(self.box)
        inside.addWidget(self.words)
        inside.addLayout(buttons)
        self.box.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        for part in (self.hint, self.progress, self.message, self.box):
            layout.addWidget(part)

    def _connect(self) -> None:
        self.compare.clicked.connect(self.start)
        self.other.currentIndexChanged.connect(self._show)
        self._form.changed.connect(self._show)
        self.progress.stop.clicked.connect(self.stop)
        self.flip.clicked.connect(self.pairs.flip)
        self.changes.toggled.connect(self.pairs.mark)
        self._slot.progressed.connect(self.progress.show_progress)
        self._slot.done.connect(self._on_done)

    # What is compared ------------------------------------------------------------------------------------------------

    def set_models(self, specs: list[ModelSpec]) -> None:
        """Take note of the installed models."""
        self._specs = {reference(spec): spec for spec in specs}
        self._list(self.other.currentData())

    def choose(self, place: Descendant | None) -> None:
        """Compare this model; with the one it came from, unless a person says otherwise."""
        is_same = self._place is not None and place is not None and self._place.spec == place.spec
        self._place = place
        self._list(self.other.currentData() if is_same else None)

    def _list(self, before: str | None) -> None:
        others = {} if self._place is None else {n: s for n, s in self._specs.items() if s != self._place.spec}
        chosen = before if before in others else self._proposed(others)
        with QSignalBlocker(self.other):
            self.other.clear()
            for name, spec in others.items():
                self.other.addItem(model_title(spec), name)
            self.other.setCurrentIndex(self.other.findData(chosen))
        self._show()

    def _proposed(self, others: dict[str, ModelSpec]) -> str | None:
        """The one it came from, else the latest that came from it, else one of the same kind."""
        if self._place is None:
            return None
        if (origin := self._place.parent) is not None:
            return reference(origin)
        spec = self._place.spec
        if taught := [name for name, other in others.items() if other.parent == reference(spec)]:
            return taught[-1]
        dims = spec.network.spatial_dims
        alike = [name for name, other in others.items() if other.network.spatial_dims == dims]
        same = [name for name in alike if others[name].classes == spec.classes]
        return next(iter([*same, *alike, *others]), None)

    def _sides(self) -> tuple[Side, Side] | None:
        """The model that the chosen one is compared with, then the chosen one; None without two, or a picture."""
        first = self._specs.get(self.other.currentData() or "")
        if first is None or self._place is None:
            return None
        return sides_of(self._form, first, self._place.spec, self._calls, self._results.runs)

    def _show(self) -> None:
        """Enable what can be done, and say what is missing."""
        has_two = self.other.count() > 0
        try:
            words = "" if not has_two or self._sides() is not None else NO_PICTURE
        except UnetstyleError as error:
            words = str(error)
        self.compare.setVisible(has_two)
        self.other.setVisible(has_two)
        self.other.setEnabled(not self._slot.is_busy)
        self.compare.setEnabled(has_two and not words and not self._slot.is_busy)
        self.hint.setText(words)
        self.hint.setVisible(bool(words))

    # Comparing -------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Compare; nothing happens while that is under way."""
        sides = self._sides()
        if sides is None or self._slot.is_busy:
            return
        self.message.clear()
        self.progress.begin("starting…")
        self._slot.start(iter_compared(self._calls, sides))
        self._show()

    def stop(self) -> None:
        """Stop within one step."""
        self._slot.cancel()
        self.progress.show_stopping()

    def close_down(self) -> None:
        """Stop what is under way; this dock was closed."""
        self._slot.cancel()

    def _on_done(self, outcome: Outcome) -> None:
        self.progress.hide()
        match outcome:
            case Finished(value=compared):
                self._deliver(compared)
            case Failed():
                self.message.fail(outcome)
            case Cancelled():
                self.message.say("Stopped. Nothing was changed.")
        self._show()

    def _deliver(self, compared: Compared) -> None:
        """Show the labels of the chosen model; one key shows the other's in their place."""
        placement = compared.sides[1].request.placement
        happened = set(placement.changes(self._viewer)) - {"renamed"}
        is_open = (fresh or side.earlier.is_open for side, fresh in zip(compared.sides, compared.fresh, strict=True))
        if happened or not all(is_open):
            said = f"was {' and '.join(sorted(happened))}" if happened else "lost its labels"
            self.message.say(f"{placement.name} {said} meanwhile. Compare once more.")
            return
        old, new = (self._layer(side, fresh) for side, fresh in zip(compared.sides, compared.fresh, strict=True))
        for request, output in self._results.runs:
            if request.layer is placement.layer:
                output.layer.visible = output.layer is new
        self._viewer.layers.selection.active = new
        self.changes.setChecked(False)
        self.pairs.replace([OldAndNew(old=old, new=new, placement=placement, changes=compared.changes)])
        self.box.setTitle(placement.name)
        self.words.setText("\n".join(_lines(compared)))
        self.changes.setEnabled(compared.is_changed)
        self.changes.setToolTip(_meaning(compared) if compared.is_changed else "No object looks different")
        self.box.show()
        bring_into_sight(self.box)

    def _layer(self, side: Side, fresh: Fresh | None) -> napari.layers.Labels:
        """The labels of a model: a new layer, unless they are open already."""
        if fresh is None:
            return side.earlier.layer
        name = f"{side.request.placement.name} {model_title(side.spec)}"
        return self._results.add(side.request, fresh, name).layer


def _lines(compared: Compared) -> list[str]:
    """The chosen model first."""
    agreement = compared.agreement
    titles = [model_title(side.spec) for side in compared.sides]
    found = [describe_found(result) for result in compared.results]
    alone = ("", "") if agreement.only is None else [f", {count:,} by it alone" for count in agreement.only]
    lines = [f"{titles[i]}: {found[i]}{alone[i]}" for i in (1, 0)]
    if agreement.alike is not None:
        lines.append(f"found by both: {agreement.alike:,}")
    lines.append(f"overlap: {as_score(agreement.dice)} (Dice; 1 is the same)")
    return lines + [f"  {name}: {as_score(dice)}" for name, dice in agreement.classes.items()]


def _meaning(compared: Compared) -> str:
    old, new = (model_title(side.spec) for side in compared.sides)
    return f"Yellow: only {new} finds it, or draws it otherwise; red: only {old} finds it"
