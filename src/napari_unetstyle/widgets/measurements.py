"""Measurements of the objects in a layer: made off the GUI thread, following what a person paints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer, Signal

from napari_unetstyle.widgets.core_calls import CoreCalls
from napari_unetstyle.widgets.jobs import Failed, Finished, JobSlot, Outcome
from napari_unetstyle.widgets.layers import features
from napari_unetstyle.widgets.parts import follow

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_unetstyle.core.progress import Steps
    from napari_unetstyle.core.segmentation.result import Table
    from napari_unetstyle.widgets.outputs import Output

REST = 250  # milliseconds without paint before objects are measured anew


class Measurements(QObject):
    """Keeps the features of one output's layer up to date."""

    measured = Signal(object)  # Output, whose layer has new features
    failed = Signal(object)  # Failed

    def __init__(self, calls: CoreCalls, parent: QObject) -> None:
        super().__init__(parent)
        self._calls = calls
        self._output: Output | None = None
        self._followed: list[Any] = []
        self._slot = JobSlot(self)
        self._slot.done.connect(self._on_done)
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST)
        self._rest.timeout.connect(self._measure)

    def measure(self, output: Output | None) -> None:
        """Measure an output now, and follow its layer from now on."""
        self._rest.stop()
        self._output = output
        if output is None:
            self._slot.cancel()
            return
        if output.layer not in self._followed:
            self._followed.append(output.layer)
            follow(self, output.layer.events.paint, self._on_paint)
            follow(self, output.layer.events.set_data, self._on_paint)
        self._measure()

    def _on_paint(self, event: Any) -> None:
        if self._output is not None and event.source is self._output.layer and self._output.is_maybe_touched:
            self._rest.start()

    def _measure(self) -> None:
        output = self._output
        if output is None or not output.is_open:
            return
        self._measuring = output
        labels = output.labels.copy()  # a person may go on painting
        self._slot.replace(lambda: iter_table(self._calls, output, labels))

    def _on_done(self, outcome: Outcome) -> None:
        output = self._measuring
        match outcome:
            case Finished(value=table) if output is self._output and output.is_open:
                output.layer.features = features(table)
                self.measured.emit(output)
            case Failed():
                self.failed.emit(outcome)


def iter_table(calls: CoreCalls, output: Output, labels: NDArray[Any]) -> Steps[Table]:
    """The core's measurements of `labels`; each object has the class that the run gave to it."""
    image, objects = output.image, output.result.objects
    is_color = image.axes.endswith("C") and image.size("C") in (3, 4)
    classes = dict(zip(objects["label"].tolist(), objects["class_name"].tolist(), strict=True))
    return calls.iter_measure(
        labels, image, geometry=image.geometry, classes=classes, stains="hed" if is_color else None
    )
