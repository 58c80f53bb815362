"""A widget that notices when napari takes it out of its dock."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QTimer, Signal
from qtpy.QtWidgets import QWidget


class Dockable(QWidget):
    """napari gives a closed dock's content no parent and forgets it, which Qt does not count as closing."""

    undocked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._was_docked = False

    def event(self, event: QEvent) -> bool:
        """Look at the parent after it has changed."""
        if event.type() == QEvent.Type.ParentChange:
            if self.parentWidget() is not None:
                self._was_docked = True
            elif self._was_docked:
                QTimer.singleShot(0, self._look_again)
        return super().event(event)

    def _look_again(self) -> None:
        if self.parentWidget() is None:  # not merely on its way to another dock
            self._was_docked = False
            self.undocked.emit()
