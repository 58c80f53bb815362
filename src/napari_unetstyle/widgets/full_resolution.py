"""Labels of a coarser level, brought to the finest one where a person asks for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_unetstyle.core.errors import ImageError, UnetstyleError
from napari_unetstyle.widgets.jobs import Failed, Finished, JobSlot, Outcome, failure
from napari_unetstyle.widgets.label_layers import METADATA
from napari_unetstyle.widgets.layers import Statement, image_from_layer
from napari_unetstyle.widgets.message_row import MessageRow
from napari_unetstyle.widgets.placement import Placement
from napari_unetstyle.widgets.settings import read_settings

if TYPE_CHECKING:
    import napari.viewer

    from napari_unetstyle.widgets.outputs import Output
    from napari_unetstyle.widgets.run_request import RunRequest

BRING = "Bring to full resolution"


class FullResolution(QWidget):
    """Says on which level labels lie, and brings them to the finest one in a layer of their own.

    Parameters
    ----------
    viewer
        Gets the layer.
    output
        Gives the output that is shown.
    """

    def __init__(
        self, viewer: napari.viewer.ViewerModel, output: Callable[[], Output | None], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._viewer, self._output = viewer, output
        self._slot = JobSlot(self)
        self._slot.done.connect(self._on_done)
        self._target: Output | None = None
        self.row = MessageRow()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.row)

    def offer(self, request: RunRequest) -> None:
        """Say where the labels of a run lie; nothing if that is the finest level."""
        grid = request.placement.grid
        if grid is None:
            self.row.clear()
            return
        self.row.say(
            f"The model fits level {grid.index} of {request.placement.name!r}, so the labels lie on its pixels.",
            (BRING, self.bring),
        )

    def bring(self) -> None:
        """Bring the labels that are shown to the finest level, paint included, off the GUI thread."""
        from napari_unetstyle.core.segmentation.full_resolution import iter_to_finest

        output = self._output()
        if output is None or output.placement.grid is None:
            return
        try:
            labels, shape, axes = _asked(output, self._viewer)
        except UnetstyleError as error:
            self.row.fail(failure(error))
            return
        self._target = output
        grid, memory = output.placement.grid, read_settings().memory
        self._slot.replace(lambda: iter_to_finest(labels, grid, axes, shape, memory))

    def _on_done(self, outcome: Outcome) -> None:
        output = self._target
        if isinstance(outcome, Failed):
            self.row.fail(outcome)
        if not isinstance(outcome, Finished) or output is None:
            return
        placement = _finest(output)
        layer = self._viewer.add_labels(
            placement.to_layer(outcome.value),
            name=f"{output.layer.name} full resolution",
            metadata={**placement.metadata, METADATA: dict(output.layer.metadata[METADATA])},
            colormap=output.layer.colormap,
            **placement.arguments,
        )
        layer.contour = output.layer.contour


def _asked(output: Output, viewer: napari.viewer.ViewerModel) -> tuple[Any, tuple[int, ...], tuple[int, ...]]:
    """Labels as they are now, the shape they will have, and which axis of the picture's layer each of theirs is.

    Raises
    ------
    ImageError
        If the picture is not what it was.
    """
    changes = [word for word in output.placement.changes(viewer) if word != "renamed"]
    if changes:
        raise ImageError(
            f"{output.placement.name!r} was {' and '.join(changes)} since, so its full resolution is not known. "
            "Segment it again."
        )
    axes = output.result.label_axes
    stated = Statement(axes=output.image.axes, geometry=output.image.geometry)
    shape = image_from_layer(output.placement.layer, stated).label_shape
    return output.labels.copy(), shape, tuple(output.placement.axes.index(a) for a in axes)


def _finest(output: Output) -> Placement:
    return Placement.of(output.placement.layer, output.image.axes)
