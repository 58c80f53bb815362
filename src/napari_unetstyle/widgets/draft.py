"""Large pictures: the visible part of a refined result at once, while the whole of it is still being decided."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QWidget

from napari_unetstyle.core.errors import OptionError
from napari_unetstyle.widgets.core_calls import CoreCalls
from napari_unetstyle.widgets.jobs import Finished, JobSlot, Outcome
from napari_unetstyle.widgets.level_grid import seen
from napari_unetstyle.widgets.overlay import Drawing, Outlines, outline_mask
from napari_unetstyle.widgets.scope import canvas_map, current_frame, visible_box

if TYPE_CHECKING:
    import napari.viewer
    import numpy as np
    from numpy.typing import NDArray

    from napari_unetstyle.core.progress import Steps
    from napari_unetstyle.core.segmentation.result import SegmentResult
    from napari_unetstyle.widgets.outputs import Output
    from napari_unetstyle.widgets.scope import Box

LARGE = 16 * 10**6  # pixels from which the whole is too slow to follow a slider
AT_ONCE = 4 * 10**6  # pixels in view that are fast enough
KEY, COLOR = "draft", "#ffd24a"


class Draft(QWidget):
    """Outlines of the visible part, in the place of the layer, until the layer has the whole result.

    A widget only to find its window; it is never shown.
    """

    def __init__(self, viewer: napari.viewer.Viewer, calls: CoreCalls, parent: QWidget) -> None:
        super().__init__(parent)
        self._viewer, self._calls = viewer, calls
        self._slot = JobSlot(self)
        self._slot.done.connect(self._on_done)
        self._output: Output | None = None
        self._hidden: Output | None = None
        self.drawing = Drawing(self, viewer, KEY)
        self.hide()

    def show_part(self, output: Output, wanted: dict[str, Any]) -> bool:
        """Decide the visible part anew, if the picture is large; False if the part is too large to follow at once."""
        if output.result.labels.size < LARGE:
            return True
        layer, image = seen(output.placement), output.image
        try:
            box = visible_box(layer, image, self._viewer)
        except OptionError:  # nothing of it is on screen, so there is nothing to show
            return True
        if (box[0][1] - box[0][0]) * (box[1][1] - box[1][0]) > AT_ONCE:
            return False
        part = _part(output.result, current_frame(layer, image, self._viewer), box)
        self._output, self._box = output, box
        shown = _seen_in_part(wanted, output.result)
        self._slot.replace(lambda: self._steps(part, shown))
        return True

    def clear(self) -> None:
        """The layer has the result, or there is none: show the layer again."""
        self._slot.cancel()
        self._output = None
        self.drawing.show(None)
        if self._hidden is not None:
            self._hidden.layer.visible = True
            self._hidden = None

    def _steps(self, part: SegmentResult, wanted: dict[str, Any]) -> Steps[NDArray[np.bool_]]:
        refined = yield from self._calls.iter_refine(part, **wanted)
        return outline_mask(refined.labels)

    def _on_done(self, outcome: Outcome) -> None:
        output = self._output
        if not isinstance(outcome, Finished) or output is None or not output.is_open:
            return
        if self._hidden is None and output.layer.visible:
            output.layer.visible, self._hidden = False, output
        layer, image = seen(output.placement), output.image
        (y0, _), (x0, _) = self._box
        self.drawing.show(
            Outlines(
                mask=outcome.value,
                origin=(y0, x0),
                color=COLOR,
                canvas_map=lambda: canvas_map(layer, image, self._viewer),
            )
        )


def _part(result: SegmentResult, frame: tuple[int, ...], box: Box) -> SegmentResult:
    """The visible part as a result of its own, whose pixels are decided by the same function."""
    rows, columns = (slice(*side) for side in box)
    values = result.probability_bytes[(slice(None), *frame, rows, columns)].copy()
    options = result.options.changed(plane="YX", link=False)
    return result.changed(probability_bytes=values, label_axes="YX", frames=((),), options=options)


def _seen_in_part(wanted: dict[str, Any], result: SegmentResult) -> dict[str, Any]:
    """The wish without what a part of a picture, or a slice of a volume, cannot tell."""
    is_volume = result.labels.ndim - len(result.frames[0]) > 2
    return {**wanted, "keep_largest": False, **({"min_pixels": 0} if is_volume else {})}
