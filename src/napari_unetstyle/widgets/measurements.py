"""Measurements of the objects in a layer: made off the GUI thread, following what a person paints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_unetstyle.widgets.core_calls import CoreCalls
from napari_unetstyle.widgets.jobs import Failed, Finished, JobSlot, Outcome
from napari_unetstyle.widgets.label_layers import features
from napari_unetstyle.widgets.outputs import RESTYLED_COLUMN
from napari_unetstyle.widgets.parts import follow

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_unetstyle.core.imaging.image import Image
    from napari_unetstyle.core.progress import Steps
    from napari_unetstyle.core.segmentation.result import SegmentResult, Table
    from napari_unetstyle.widgets.outputs import Output

MOST = 10**8  # pixels; above, copies of the labels would not fit beside the picture
REST = 250  # milliseconds without paint before objects are measured anew


@dataclass(frozen=True, kw_only=True, eq=False)
class Snapshot:
    """What was measured, and the labels that were."""

    output: Output
    result: SegmentResult
    labels: NDArray[Any]
    table: Table


class Measurements(QObject):
    """Keeps the features of one output's layer up to date."""

    measured = Signal(object)  # Output, whose layer has new features
    failed = Signal(object)  # Failed
    ended = Signal()  # whatever came of it

    def __init__(self, calls: CoreCalls, parent: QObject) -> None:
        super().__init__(parent)
        self._calls = calls
        self._output: Output | None = None
        self._last: Snapshot | None = None
        self._followed: WeakSet[Any] = WeakSet()
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
            self._last = None
            self._slot.cancel()
            return
        if output.layer not in self._followed:
            self._followed.add(output.layer)
            follow(self, output.layer.events.paint, self._on_paint)
            follow(self, output.layer.events.set_data, self._on_paint)
        self._measure()

    def is_behind(self, output: Output) -> bool:
        """Whether what was painted in the output's layer is about to be measured."""
        return output is self._output and (self._rest.isActive() or self._slot.is_busy)

    def is_current(self, output: Output) -> bool:
        """Whether the features of the output's layer are of what is in it."""
        is_measured = self._last is not None and self._last.output is output and not self.is_behind(output)
        return is_measured or not output.is_touched

    def _on_paint(self, event: Any) -> None:
        if self._output is not None and event.source is self._output.layer and self._output.is_touched:
            self._rest.start()

    def _measure(self) -> None:
        output = self._output
        if output is None or not output.is_open or output.is_reshaped or is_too_large(output):
            self._last = None
            self.ended.emit()
            return
        self._measuring = output
        before = self._last if self._last is not None and self._last.output is output else None
        labels = output.labels
        self._slot.replace(lambda: iter_snapshot(self._calls, output, labels, before))

    def _on_done(self, outcome: Outcome) -> None:
        output = self._measuring
        match outcome:
            case Finished(value=snapshot) if output is self._output and output.is_open:
                self._last = snapshot
                output.layer.features = features(snapshot.table)
                self.measured.emit(output)
            case Failed():
                self.failed.emit(outcome)
        self.ended.emit()


def is_too_large(output: Output) -> bool:
    """Whether the table keeps to what the run itself has measured."""
    return output.result.labels.size > MOST


def iter_snapshot(calls: CoreCalls, output: Output, labels: NDArray[Any], before: Snapshot | None) -> Steps[Snapshot]:
    """Measure `labels`, the layer's data; of what was measured before, only the objects that changed."""
    result, labels = output.result, labels.copy()  # a person may go on painting
    changed = changed_labels(before.labels, labels) if before is not None and before.result is result else None
    table = yield from _iter_table(calls, output.image, result, labels, changed)
    if RESTYLED_COLUMN in result.objects:
        table = {**table, RESTYLED_COLUMN: np.full(len(table["label"]), "yes")}
    if before is not None and changed is not None:
        table = merged(before.table, table, changed)
    return Snapshot(output=output, result=result, labels=labels, table=table)


def _iter_table(
    calls: CoreCalls, image: Image, result: SegmentResult, labels: NDArray[Any], only: set[int] | None
) -> Steps[Table]:
    """The core's measurements; each object has the class that the run gave to it."""
    is_color = image.is_color and image.array.dtype in ("uint8", "uint16")
    classes = dict(zip(result.objects["label"].tolist(), result.objects["class_name"].tolist(), strict=True))
    dims = labels.ndim - len(result.frames[0])  # what was segmented slice by slice is measured slice by slice
    if result.output == "areas" and "Z" in result.label_axes:
        dims = 3  # an organ has a volume, however it was found
    return (
        yield from calls.iter_measure(
            labels,
            image,
            geometry=image.geometry,
            classes=classes,
            stains="hed" if is_color else None,
            only=only,
            dims=dims,
        )
    )


def changed_labels(before: NDArray[Any], after: NDArray[Any]) -> set[int]:
    """The objects that gained or lost a pixel."""
    differs = before != after
    return ({*np.unique(before[differs]).tolist()} | {*np.unique(after[differs]).tolist()}) - {0}


def merged(before: Table, after: Table, changed: set[int]) -> Table:
    """A table with the rows of the changed objects replaced, in the order of frames and labels."""
    kept = ~np.isin(before["label"], list(changed))
    table = {name: np.concatenate([before[name][kept], after[name]]) for name in before}
    frames = [table[name] for name in reversed(table) if name.startswith("frame_")]
    order = np.lexsort([table["label"], *frames])
    return {name: column[order] for name, column in table.items()}
