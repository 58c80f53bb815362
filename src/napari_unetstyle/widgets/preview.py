"""Outlines of what a run would give for what is on screen, when the camera rests."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QCheckBox, QVBoxLayout, QWidget

from napari_unetstyle.core.errors import UnetstyleError
from napari_unetstyle.widgets.core_calls import CoreCalls
from napari_unetstyle.widgets.jobs import Failed, Finished, JobSlot, Outcome
from napari_unetstyle.widgets.overlay import Drawing
from napari_unetstyle.widgets.parts import Words, follow

if TYPE_CHECKING:
    import napari.viewer
    from numpy.typing import NDArray

    from napari_unetstyle.core.progress import Steps
    from napari_unetstyle.widgets.part_in_sight import PartInSight

REST = 150  # milliseconds in which the camera does not move
LARGEST = 10**6  # pixels in view
COLOR = "#ffd24a"
KEY = "preview"


class Preview(QWidget):
    """A check box, and outlines on the canvas while it is on.

    Parameters
    ----------
    viewer
        Whose camera is followed.
    calls
        The core's functions.
    ask
        Gives what is on screen of the run that SEGMENT would start.
    """

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        calls: CoreCalls,
        ask: Callable[[], PartInSight | None],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._calls, self._ask = viewer, calls, ask
        self._slot = JobSlot(self)
        self.drawing = Drawing(self, viewer, KEY)
        self._kept: dict[Any, Any] = {}  # the model fitted to the picture
        self.box = QCheckBox("Preview what is on screen")
        self.words = Words()
        self.words.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.box)
        layout.addWidget(self.words)
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST)
        self._rest.timeout.connect(self._on_rest)
        self._slot.done.connect(self._on_done)
        self.box.toggled.connect(self.touch)
        camera, dims = viewer.scene.camera.events, viewer.dims.events
        for event in (camera.zoom, camera.center, viewer.canvas.events.size):
            follow(self, event, self.touch)
        for event in (dims.current_step, dims.order, dims.ndisplay):
            follow(self, event, self._on_step)
        follow(self, viewer.layers.events.removed, self._on_step)

    def touch(self, *_: object) -> None:
        """Something changed: look again when it rests."""
        if self.box.isChecked():
            self._rest.start()
        else:
            self.clear()

    def _on_step(self) -> None:
        """What is drawn was of another slice, or of a picture that is gone."""
        self.drawing.show(None)
        self.touch()

    def pause(self) -> None:
        """Give way to a run."""
        self._rest.stop()
        self._slot.cancel()

    def clear(self, words: str = "") -> None:
        """Draw nothing, and say why."""
        self.pause()
        self.drawing.show(None)
        self._say(words)

    def _on_rest(self) -> None:
        try:
            part = self._ask()
        except UnetstyleError as error:
            self.clear(str(error))
            return
        if part is None:
            self.clear()
            return
        if part.pixels > LARGEST:
            self.clear("zoom in")
            return
        self._part = part
        self._say("")
        self._slot.replace(lambda: self._steps(part))

    def _steps(self, part: PartInSight) -> Steps[NDArray[Any]]:
        run = part.request
        labels = yield from self._calls.iter_preview(
            run.image, run.model, run.options, run.store, self._kept, part.index, part.box
        )
        return part.mask(labels)

    def _on_done(self, outcome: Outcome) -> None:
        if not self.box.isChecked():
            return
        if isinstance(outcome, Failed):
            self.clear(outcome.sentence)
        if not isinstance(outcome, Finished):
            return
        self._say("")
        self.drawing.show(self._part.outlines(outcome.value, COLOR, self._viewer))

    def _say(self, words: str) -> None:
        self.words.setText(words)
        self.words.setVisible(bool(words))
