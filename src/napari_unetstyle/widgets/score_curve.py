"""How the score went while a model is taught, as a line."""

from __future__ import annotations

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPalette, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_unetstyle.widgets.summary import as_score

_HEIGHT, _MARGIN = 44, 4
_NAME = "score"
_LINE = QColor("#4c9be8")  # seen on both of napari's themes
_LEAST_SPAN = 0.05  # of the axis, so that noise does not look like a change


class ScoreCurve(QWidget):
    """Scores over the share of the time that is over; hidden until there are two."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.points: list[tuple[float, float]] = []
        self._of: object = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.hide()

    def sizeHint(self) -> QSize:
        """Low and as wide as there is room."""
        return QSize(200, _HEIGHT)

    def clear(self) -> None:
        """Start over."""
        self.points.clear()
        self.hide()

    def add(self, done: float, score: float | None, of: object = None) -> None:
        """Take a score, if it is a new one; that of another teaching starts a line of its own."""
        if score is not None and of != self._of:
            self.clear()
        if score is None or (self.points and self.points[-1][1] == score):
            return
        self._of = of
        self.points.append((done, score))
        self.setVisible(len(self.points) > 1)
        first, now = as_score(self.points[0][1]), as_score(score)
        self.setToolTip(f"Dice on places that are not learned from: {first}, now {now}")
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the line, with the first and the latest number."""
        if len(self.points) < 2:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        numbers = painter.fontMetrics().horizontalAdvance("0.000") + _MARGIN
        named = painter.fontMetrics().horizontalAdvance(f"{_NAME} 0.000") + _MARGIN
        room = QRectF(self.rect()).adjusted(named + _MARGIN, _MARGIN + 2, -numbers - _MARGIN, -_MARGIN - 2)
        line = [self._place(point, room) for point in self.points]
        painter.setPen(QPen(_LINE, 2))
        painter.drawPolyline(QPolygonF(line))
        painter.setPen(self.palette().color(QPalette.ColorRole.WindowText))
        middle = Qt.AlignmentFlag.AlignVCenter
        ends = ((0.0, f"{_NAME} ", self.points[0], line[0]), (room.right() + 2, "", self.points[-1], line[-1]))
        for x, words, (_, score), place in ends:
            y = min(max(place.y() - 8, 0.0), self.height() - 16.0)
            painter.drawText(QRectF(x, y, named, 16), middle, f"{words}{as_score(score)}")
        painter.end()

    def _place(self, point: tuple[float, float], room: QRectF) -> QPointF:
        scores = [score for _, score in self.points]
        low, high = min(scores), max(scores)
        slack = max(_LEAST_SPAN - (high - low), 0) / 2
        low, high = low - slack, high + slack
        first, last = self.points[0][0], self.points[-1][0]
        x = room.left() + room.width() * (point[0] - first) / max(last - first, 1e-9)
        return QPointF(x, room.bottom() - room.height() * (point[1] - low) / (high - low))
