"""How a model was taught, and both models on every place that they were compared on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_unetstyle.widgets.parts import Words
from napari_unetstyle.widgets.summary import as_score

if TYPE_CHECKING:
    from napari_unetstyle.core.training.candidate import Checked
    from napari_unetstyle.widgets.lesson_run import Taught

_ROW, _ROWS = 22, 6  # pixels of a row, and rows that are seen at once
_COLUMNS = ("place", "before", "now")


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A place with the score (Dice) of both models; None where there was no model before."""

    checked: Checked
    words: str
    before: float | None
    now: float

    @property
    def difference(self) -> float:
        """How much better the new model is there."""
        return self.now - (self.before or 0.0)


def compared(taught: Taught) -> list[Compared]:
    """Every place that was held out, those where the two models differ most first."""
    candidate, found = taught.candidate, []
    was, is_now = candidate.comparison.parent, candidate.comparison.child
    for i, checked in enumerate(candidate.places):
        material = taught.material[checked.picture]
        name = material.name if material.request is None else material.request.placement.name
        where = f"{name}, slice {checked.frame[-1]}" if checked.frame else name
        before = None if was is None else was.on_place(i)
        found.append(Compared(checked=checked, words=f"{i + 1} · {where}", before=before, now=is_now.on_place(i)))
    return sorted(found, key=lambda one: -abs(one.difference))


def how_taught(taught: Taught) -> str:
    """How long a model learned, and from what; the recipe stands in its card."""
    count = len(taught.material)
    time = "" if taught.seconds is None else f" for {_time(taught.seconds)}"
    old = ", and again from old ones" if taught.has_old else ""
    words = f"It learned{time} from {count} picture{'' if count == 1 else 's'} of yours{old}."
    if taught.looks and (taught.trial is None or taught.trial.better is taught.trial.with_styles):
        words += f" It saw them in {taught.looks} other look{'' if taught.looks == 1 else 's'}, too."
    return words


def _time(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{seconds:.0f} s" if seconds < 90 else f"{minutes} minutes"


class TaughtDetails(QWidget):
    """Closed until a person opens it."""

    place_wanted = Signal(object)  # Checked, or None when it is closed

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._compared: list[Compared] = []
        self.toggle = QToolButton()
        self.toggle.setText("Details")
        self.toggle.setCheckable(True)
        self.toggle.setAutoRaise(True)
        self.toggle.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.how, self.notes = Words(), Words()
        self.table = _table()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for part in (self.toggle, self.how, self.notes, self.table):
            layout.addWidget(part)
        self.toggle.toggled.connect(self._show)
        self.table.cellClicked.connect(self._on_clicked)

    def show_taught(self, taught: Taught) -> None:
        """Fill it, closed."""
        self._compared = compared(taught)
        self.how.setText(how_taught(taught))
        self.notes.setText("\n".join(taught.left_out))
        self.table.setRowCount(len(self._compared))
        for row, one in enumerate(self._compared):
            before = "" if one.before is None else as_score(one.before)
            for column, words in enumerate((one.words, before, as_score(one.now))):
                item = QTableWidgetItem(words)
                item.setToolTip("Click to see this place" if column == 0 else "Dice; 1 is perfect")
                if column:
                    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.table.setItem(row, column, item)
        header, frame = self.table.horizontalHeader().height(), 2 * self.table.frameWidth()
        self.table.setFixedHeight(header + min(len(self._compared), _ROWS) * _ROW + frame)
        self.toggle.setChecked(False)
        self._show()

    def _show(self) -> None:
        is_open = self.toggle.isChecked()
        self.toggle.setArrowType(Qt.ArrowType.DownArrow if is_open else Qt.ArrowType.RightArrow)
        for part in (self.how, self.notes):
            part.setVisible(is_open and bool(part.text()))
        self.table.setVisible(is_open and bool(self._compared))
        if not is_open:
            self.table.clearSelection()
            self.place_wanted.emit(None)

    def _on_clicked(self, row: int, _: int) -> None:
        self.place_wanted.emit(self._compared[row].checked)


def _table() -> QTableWidget:
    table = QTableWidget(0, len(_COLUMNS))
    table.setHorizontalHeaderLabels(_COLUMNS)
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    table.verticalHeader().hide()
    table.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
    table.verticalHeader().setDefaultSectionSize(_ROW)
    table.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
    for column in (1, 2):
        table.horizontalHeader().setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
    return table
