"""How far a run is, how long it will take, and how to stop it."""

from __future__ import annotations

import time

from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QWidget

from napari_unetstyle.core.progress import Progress
from napari_unetstyle.widgets.time_left import time_left

_WHOLE = 1000


class ProgressRow(QWidget):
    """A bar with *Stop*; shown while something runs."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.bar = QProgressBar()
        self.bar.setRange(0, _WHOLE)
        self.bar.setTextVisible(True)
        self.stop = QPushButton("Stop")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.bar, 1)
        layout.addWidget(self.stop)
        self._started = 0.0
        self.hide()

    def begin(self, words: str) -> None:
        """Start over."""
        self._started = time.monotonic()
        self.bar.setValue(0)
        self.bar.setFormat(words)
        self.stop.setEnabled(True)
        self.stop.setText("Stop")
        self.show()

    def show_progress(self, progress: Progress, left: str | None = None) -> None:
        """Move the bar on; `left` stands in place of the time reckoned."""
        if not self.stop.isEnabled():
            return
        if left is None:
            left = time_left(progress.fraction, time.monotonic() - self._started)
        self.bar.setValue(round(_WHOLE * progress.fraction))
        self.bar.setFormat(" · ".join(part for part in (progress.done, left) if part))
        self.bar.setToolTip(progress.message)

    def show_stopping(self) -> None:
        """Say that it will stop at the end of this step."""
        self.stop.setEnabled(False)
        self.bar.setFormat("stopping…")
