"""Measurements of the objects in a layer: made off the GUI thread, following what a person paints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_unetstyle.widgets.core_calls import CoreCalls
from napari_unetstyle.widgets.jobs import Failed, Finished, JobSlot, Outcome, as_steps
from napari_unetstyle.widgets.layers import features
from napari_unetstyle.widgets.parts import follow

if TYPE_CHECKING:
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
        self._slot.replace(lambda: as_steps(lambda: measured_table(self._calls, output, labels)))

    def _on_done(self, outcome: Outcome) -> None:
        output = self._measuring
        match outcome:
            case Finished(value=table) if output is self._output and output.is_open:
                output.layer.features = features(table)
                self.measured.emit(output)
            case Failed():
                self.failed.emit(outcome)


def measured_table(calls: CoreCalls, output: Output, labels: Any) -> Table:
    """The core's measurements of `labels`, with the classes that the run gave to their objects."""
    image, result = output.image, output.result
    is_color = image.axes.endswith("C") and image.size("C") in (3, 4)
    table = calls.measure(labels, image, geometry=image.geometry, stains=is_color)
    known = {"label": table["label"]}
    for column in ("class", "class_name"):
        if column in result.objects and column not in table:
            known[column] = _looked_up(table["label"], result.objects["label"], result.objects[column])
    return known | {name: values for name, values in table.items() if name not in known}


def _looked_up(wanted: Any, labels: Any, values: Any) -> Any:
    """Value of each wanted label; empty where a person painted a new one."""
    values = np.asarray(values)
    if len(labels) == 0:
        return np.zeros(len(wanted), values.dtype)
    order = np.argsort(labels)
    place = np.clip(np.searchsorted(labels, wanted, sorter=order), 0, len(labels) - 1)
    found = np.asarray(labels)[order[place]] == wanted
    return np.where(found, values[order[place]], np.zeros((), values.dtype))
