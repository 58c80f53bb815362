"""What the mouse draws in a drag, shown over napari's canvas until it is let go: a line, or a box."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QWidget

_COLORS = (("#000000", 3.0), ("#ffffff", 1.2))  # a light line in a dark one is seen on every picture


class DragTrace(QWidget):
    """Lets every mouse event through.

    Parameters
    ----------
    canvas
        Widget to lie on.
    """

    def __init__(self, canvas: QWidget) -> None:
        super().__init__(canvas)
        self.points: list[QPointF] = []
        self.is_box = False
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setAttribute(Qt.WidgetAttribute.WA_NoSystemBackground)
        self.setStyleSheet("background: transparent")  # napari's theme fills widgets
        self.hide()

    def begin(self, place: Any, *, is_box: bool) -> None:
        """Start at a place of the canvas, x and y."""
        self.points, self.is_box = [QPointF(*map(float, place))], is_box
        self.setGeometry(self.parentWidget().rect())
        self.raise_()
        self.show()

    def go_on(self, place: Any) -> None:
        """The mouse is there now."""
        self.points.append(QPointF(*map(float, place)))
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the way so far, or the box between its ends."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for color, width in _COLORS:
            painter.setPen(QPen(QColor(color), width))
            if self.is_box:
                painter.drawRect(QRectF(self.points[0], self.points[-1]).normalized())
            else:
                painter.drawPolyline(QPolygonF(self.points))
        painter.end()
