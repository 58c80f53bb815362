"""Small parts that every panel is made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakMethod, finalize

from qtpy.QtCore import QLocale, QObject, QSize, Qt, QTimer
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QFrame,
    QGroupBox,
    QLabel,
    QScrollArea,
    QSizePolicy,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QWidget,
)

if TYPE_CHECKING:
    from qtpy.QtGui import QPaintEvent, QResizeEvent, QShowEvent

NAME_WIDTH = 68  # of the names left of the fields, the same in every form
_TEXT_MARGIN = 2  # pixels left and right of the words of a choice
_TITLE_MARGIN = 24  # pixels of a frame, left and right of its title


class _Combo(QComboBox):
    """A choice whose words lose their middle where they are too long, and not their end without a sign."""

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw it with the words that fit."""
        painter, option = QStylePainter(self), QStyleOptionComboBox()
        self.initStyleOption(option)
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        field = self.style().subControlRect(
            QStyle.ComplexControl.CC_ComboBox, option, QStyle.SubControl.SC_ComboBoxEditField, self
        )
        room = field.width() - 2 * _TEXT_MARGIN
        option.currentText = self.fontMetrics().elidedText(option.currentText, Qt.TextElideMode.ElideMiddle, room)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)
        painter.end()


def combo() -> QComboBox:
    """A choice that takes the width it is given, however long its words are."""
    box = _Combo()
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(8)
    box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return box


class Words(QLabel):
    """Words that wrap instead of widening the dock, and are never cut.

    In a scrolled panel Qt asks for the height of one line and squeezes the others; so the height is held.
    """

    def __init__(self, text: str = "") -> None:
        super().__init__(text)
        self.setWordWrap(True)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)

    def setText(self, text: str) -> None:
        """Show other words."""
        super().setText(text)
        self._hold()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Wrap anew."""
        super().resizeEvent(event)
        self._hold()

    def _hold(self) -> None:
        self.setMinimumHeight(0)  # else no fewer lines are ever enough
        if self.text():
            self.setMinimumHeight(self.heightForWidth(self.width()))


class NumberBox(QDoubleSpinBox):
    """A number without the zeros that only take room."""

    def textFromValue(self, value: float) -> str:
        """The shortest text, in the person's own way to write numbers; it says the whole number."""
        locale = self.locale()
        locale.setNumberOptions(QLocale.NumberOption.OmitGroupSeparator)
        text = str(locale.toString(value, "f", self.decimals()))
        return text.rstrip(locale.zeroDigit()).removesuffix(locale.decimalPoint()) if self.decimals() else text


class NamedBox(QGroupBox):
    """A frame with the name of a picture or model, which is cut in the middle where it would widen the dock."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name = ""

    def setTitle(self, title: str) -> None:
        """Show another name."""
        self._name = title
        self._fit()

    def minimumSizeHint(self) -> QSize:
        """Room for what is inside."""
        size = super().minimumSizeHint()
        return QSize(self.layout().minimumSize().width(), size.height()) if self.layout() else size

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Cut the name anew."""
        super().resizeEvent(event)
        self._fit()

    def showEvent(self, event: QShowEvent) -> None:
        """Cut it to the width that there is now."""
        super().showEvent(event)
        self._fit()

    def _fit(self) -> None:
        shown = self._name
        if self.isVisible():
            shown = self.fontMetrics().elidedText(shown, Qt.TextElideMode.ElideMiddle, self.width() - _TITLE_MARGIN)
        self.setToolTip(self._name if shown != self._name else "")
        super().setTitle(shown.replace("&", "&&"))  # a single one would underline the letter after it


def form(parent: QWidget | None = None) -> QFormLayout:
    """Named fields that use the width there is, without a frame."""
    rows = QFormLayout(parent)
    rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    rows.setContentsMargins(0, 0, 0, 0)
    return rows


def name(text: str) -> QLabel:
    """The name of a field."""
    words = QLabel(text)
    words.setMinimumWidth(NAME_WIDTH)
    return words


def scrolling(panel: QWidget) -> QScrollArea:
    """A panel that scrolls instead of pushing the window past the screen."""
    area = QScrollArea()
    area.setFrameShape(QFrame.Shape.NoFrame)
    scroll_down_only(area)
    area.setWidget(panel)
    return area


def scroll_down_only(area: QScrollArea) -> None:
    """What is in it takes the width there is."""
    area.setWidgetResizable(True)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)


def bring_into_sight(part: QWidget) -> None:
    """Scroll the panel that a part lies in until the part is seen, once it has its place."""
    _Later(part).start(0)


class _Later(QTimer):
    """Goes with the part that is scrolled to."""

    def __init__(self, part: QWidget) -> None:
        super().__init__(part)
        self._part = part
        self.setSingleShot(True)
        self.timeout.connect(self._on_timeout)

    def _on_timeout(self) -> None:
        self.deleteLater()
        scroll_to(self._part)


def scroll_to(part: QWidget) -> None:
    """Scroll the panel that a part lies in, if it is shown."""
    above = part.parentWidget()
    while above is not None and not isinstance(above, QScrollArea):
        above = above.parentWidget()
    if above is not None and part.isVisible():
        above.ensureWidgetVisible(part, 0, 8)


def keep_room(part: QWidget, is_kept: bool) -> None:
    """Let a part take its room while it is hidden, too, so that what lies below stays where it is."""
    policy = part.sizePolicy()
    policy.setRetainSizeWhenHidden(is_kept)
    part.setSizePolicy(policy)


def named(text: str, field: QWidget) -> QWidget:
    """A field with its name, as a row that can be hidden."""
    row = QWidget()
    form(row).addRow(name(text), field)
    return row


def follow(listener: QObject, emitter: Any, slot: Callable[..., Any]) -> None:
    """Connect a napari event to a method of a Qt object until that object is gone.

    napari outlives a dock that is closed, and would call into a widget that Qt has deleted.
    """
    emitter.connect(slot)
    known = WeakMethod(slot)

    def leave() -> None:
        if (method := known()) is not None:
            emitter.disconnect(method)

    listener.destroyed.connect(leave)
    finalize(listener, leave).atexit = False  # keeps it: Python could empty what only Qt would call yet, a crash
