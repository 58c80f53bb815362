"""How much memory the run would take, said before it begins: of a volume, and where it is much."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_unetstyle.core.errors import UnetstyleError
from napari_unetstyle.core.free_memory import free_memory
from napari_unetstyle.widgets.core_calls import CoreCalls
from napari_unetstyle.widgets.jobs import Finished, JobSlot, Outcome
from napari_unetstyle.widgets.parts import Words
from napari_unetstyle.widgets.run_request import RunRequest

REST = 400  # milliseconds without a change


class Forecast(QWidget):
    """One quiet sentence, or none.

    Parameters
    ----------
    calls
        The core's functions.
    ask
        Gives the run that SEGMENT would start; None where there is none, or it is not one picture.
    """

    def __init__(self, calls: CoreCalls, ask: Callable[[], RunRequest | None], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._calls, self._ask = calls, ask
        self._kept: dict[Any, Any] = {}  # the model
        self._is_volume = False
        self._slot = JobSlot(self)
        self._slot.done.connect(self._on_done)
        self.words = Words()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.words)
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST)
        self._rest.timeout.connect(self._on_rest)
        self.hide()

    def touch(self) -> None:
        """Something changed: say it anew when it rests."""
        self._rest.start()

    def close_down(self) -> None:
        """Say nothing more."""
        self._rest.stop()
        self._slot.cancel()

    def _on_rest(self) -> None:
        try:
            request = self._ask()
        except UnetstyleError:  # the run will say it
            request = None
        if request is None:
            self.hide()
            return
        self._is_volume = "Z" in request.image.axes and request.options.frames is None
        self._slot.replace(
            lambda: self._calls.iter_predict(request.image, request.model, request.options, request.store, self._kept)
        )

    def _on_done(self, outcome: Outcome) -> None:
        from napari_unetstyle.core.segmentation.memory import memory_words

        sentence = ""
        if isinstance(outcome, Finished):
            sentence = memory_words(outcome.value, free_memory(), is_asked=self._is_volume)
        self.words.setText(sentence)
        self.setVisible(bool(sentence))
