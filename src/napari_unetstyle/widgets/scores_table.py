"""Scores as a small report: a row for each measure, a column for each class."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QIcon, QPixmap, QResizeEvent
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from napari_unetstyle.widgets.summary import UNIT_SIGNS, as_score

_ROW, _LEAST_COLUMN = 22, 48  # pixels
_ICON, _MARGIN = 10, 12
_FLAT = """
QHeaderView { background: transparent; }
QHeaderView::section { background: transparent; border: none; padding: 0 4px 3px 4px; }
QTableCornerButton::section { background: transparent; border: none; }
"""


@dataclass(frozen=True, kw_only=True)
class _Measure:
    """A row: its words, what they mean, and how a value is written."""

    key: str
    words: str
    meaning: str
    write: Callable[[float], str]


class ScoresTable(QTableWidget):
    """As high as its rows; scrolls sideways when there are many classes."""

    def __init__(self) -> None:
        super().__init__()
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ContiguousSelection)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.verticalHeader().setDefaultSectionSize(_ROW)
        self.horizontalHeader().setMinimumSectionSize(_LEAST_COLUMN)
        self.horizontalHeader().setFixedHeight(_ROW + 4)
        self.horizontalHeader().setStretchLastSection(True)
        self.setStyleSheet(_FLAT)

    def show_scores(self, scores: Mapping[str, Any], names: Mapping[int, str], colors: Mapping[int, str]) -> None:
        """Fill the table.

        Parameters
        ----------
        scores
            As `evaluate` gives them.
        names, colors
            Of each class.
        """
        measures = _of_areas(scores) if "classes" in scores else _of_objects(scores)
        columns = _columns(scores, names)
        self.setRowCount(len(measures))
        self.setColumnCount(len(columns))
        self.setVerticalHeaderLabels([m.words for m in measures])
        for row, measure in enumerate(measures):
            self.verticalHeaderItem(row).setToolTip(measure.meaning)
            for column, (_, _, values) in enumerate(columns):
                self.setItem(row, column, _cell(measure, values))
        for column, (title, value, _) in enumerate(columns):
            header = QTableWidgetItem(title)
            header.setToolTip(title)
            if value in colors:
                header.setIcon(_square(colors[value]))
            self.setHorizontalHeaderItem(column, header)
        header = self.horizontalHeader()
        header.setVisible(bool(columns[0][0]))
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.verticalHeader().setFixedWidth(self._width(m.words for m in measures))
        for column, (title, value, values) in enumerate(columns):
            numbers = (m.write(values[m.key]) for m in measures if m.key in values)
            header.resizeSection(column, self._width(numbers, title, has_icon=value in colors))
        self._fit()

    def _width(self, words: Iterable[str], title: str = "", *, has_icon: bool = False) -> int:
        """Qt's own width for contents leaves room for arrows that nobody sees."""
        width = self.fontMetrics().horizontalAdvance
        return max(width(title) + (_ICON + 6 if has_icon else 0), *map(width, words)) + _MARGIN

    def _fit(self) -> None:
        """Take the height of the rows, and of a scroll bar only where one is needed."""
        header = self.horizontalHeader()
        is_wider = header.length() > self.viewport().width()
        bar = self.horizontalScrollBar().sizeHint().height() if is_wider else 0
        top = 0 if header.isHidden() else header.height()
        self.setFixedHeight(self.rowCount() * _ROW + top + bar + 2 * self.frameWidth())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """A wider dock needs no scroll bar."""
        super().resizeEvent(event)
        self._fit()


def _columns(scores: Mapping[str, Any], names: Mapping[int, str]) -> list[tuple[str, int | None, Mapping[str, Any]]]:
    """Title, class value and scores of each column; a mean where there are several."""
    if "classes" not in scores:
        precision = {f"ap{t}": value for t, value in scores["average_precision"].items()}
        return [("", None, {**scores, **precision})]
    rows = scores["classes"]
    columns = [(names.get(value) or f"class {value}", value, row) for value, row in rows.items()]
    return columns if len(rows) == 1 else [*columns, ("mean", None, scores)]


def _cell(measure: _Measure, values: Mapping[str, Any]) -> QTableWidgetItem:
    text = measure.write(values[measure.key]) if measure.key in values else ""
    item = QTableWidgetItem(text)
    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    return item


def _of_areas(scores: Mapping[str, Any]) -> list[_Measure]:
    unit = UNIT_SIGNS[scores["unit"]]
    size = "Volume" if len(scores["spacing"]) == 3 else "Area"
    size_unit = volume_sign(scores["volume_unit"])
    rows = [
        ("dice", "Dice", "Twice the overlap over the sum of both; 1 is perfect.", as_score),
        ("iou", "IoU", "The overlap over the union; 1 is perfect.", as_score),
        ("hd95", f"HD95, {unit}", "95 % of the surface is at most this far from the other's.", length),
        ("assd", f"ASSD, {unit}", "How far the surfaces are apart on average.", length),
    ]
    if "tolerance" in scores:
        tolerance = f"{scores['tolerance']:g} {unit}"
        rows.append(("nsd", f"NSD at {tolerance}", f"Share of both surfaces that is within {tolerance}.", as_score))
    rows += [
        ("volume_predicted", f"{size}, {size_unit}", f"{size} of the prediction.", length),
        ("volume_true", f"Truth, {size_unit}", f"{size} of the truth.", length),
        ("volume_difference", f"Off by, {size_unit}", "Prediction minus truth.", signed),
        ("volume_difference_relative", "Off by, %", "Prediction minus truth, over the truth.", percent),
    ]
    return [_Measure(key=k, words=w, meaning=m, write=f) for k, w, m, f in rows]


def _of_objects(scores: Mapping[str, Any]) -> list[_Measure]:
    rows = [
        ("objects_predicted", "Objects", "How many are predicted.", str),
        ("objects_true", "… in the truth", "How many there are.", str),
        ("objects_matched", "… matched", "How many pairs overlap with an IoU above 0.5.", str),
        *(
            (f"ap{t}", f"AP at IoU {t:.1f}", "Matched over matched, missed and wrong together.", as_score)
            for t in scores["average_precision"]
        ),
        ("panoptic_quality", "Panoptic quality", "Mean IoU of matched objects times their F1 score.", as_score),
        ("segmentation_quality", "… outlines", "Mean IoU of matched objects.", as_score),
        ("recognition_quality", "… found (F1)", "Matched over the mean of predicted and true.", as_score),
        ("dice", "Dice of all", "Of everything that is not background.", as_score),
        ("iou", "IoU of all", "Of everything that is not background.", as_score),
    ]
    return [_Measure(key=k, words=w, meaning=m, write=f) for k, w, m, f in rows]


def length(value: float) -> str:
    """``1.41``, ``0.00``, ``1,410``, ``∞``."""
    if math.isinf(value):
        return "∞"
    return f"{value:#.3g}".rstrip(".") if value < 999.5 else f"{value:,.0f}"


def signed(value: float) -> str:
    """``+1.41``, ``−1.41``, ``0``."""
    return "0" if value == 0 else ("+" if value > 0 else "−") + length(abs(value))


def percent(value: float) -> str:
    """``+3.20`` for 0.032."""
    return signed(100 * value)


def volume_sign(unit: str) -> str:
    """``mm³`` for ``mm3``, ``pixels`` for ``px2``."""
    if unit == "ml":
        return unit
    power = {"1": "", "2": "²", "3": "³"}[unit[-1]]
    return f"{UNIT_SIGNS[unit[:-1]]}{power}"


def _square(color: str) -> QIcon:
    pixmap = QPixmap(_ICON, _ICON)
    pixmap.fill(QColor(color))
    return QIcon(pixmap)
