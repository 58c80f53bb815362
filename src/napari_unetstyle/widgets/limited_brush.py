"""A brush that changes only what looks like the place where its stroke began."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QWidget

from napari_unetstyle.core.annotation.edits import outside_range
from napari_unetstyle.widgets.parts import NumberBox

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

    from napari_unetstyle.widgets.corrected_layer import CorrectedLayer
    from napari_unetstyle.widgets.corrections import Corrections

PERCENT = 15.0  # of the contrast that is shown
_WIDTH = 104  # pixels; napari's theme puts a button at each end


class LimitedBrush(QWidget):
    """The box that limits napari's brush and eraser on the active result, and how much they are limited.

    Each dab of the brush is napari's own. What it changed where the picture is darker or brighter is put back within
    the same stroke, so that one Ctrl+Z takes back the stroke, and the journal sees nothing special.

    Parameters
    ----------
    viewer
        The napari viewer.
    corrections
        What can be corrected.
    """

    def __init__(self, viewer: napari.viewer.ViewerModel, corrections: Corrections) -> None:
        super().__init__()
        self._viewer, self._corrections = viewer, corrections
        self._target: CorrectedLayer | None = None
        self._is_stroke = False
        self._around: NDArray[Any] | None = None  # how bright it is where the stroke began, in each channel
        self.box = QCheckBox("Brush what looks alike")
        self.box.setToolTip("A stroke changes only what is about as bright as the place where it begins")
        self.range = NumberBox()
        self.range.setRange(1, 100)
        self.range.setDecimals(0)
        self.range.setValue(PERCENT)
        self.range.setPrefix("±")
        self.range.setSuffix("%")
        self.range.setMinimumWidth(_WIDTH)
        self.range.setToolTip("How much darker or brighter, of what lies between black and white on the screen")
        self.range.hide()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.box, 1)
        row.addWidget(self.range)
        self.box.toggled.connect(self.range.setVisible)
        self.box.toggled.connect(self.follow)
        corrections.changed.connect(self.follow)

    def follow(self) -> None:
        """Limit the brush of the active result, and of no other."""
        target = self._corrections.active if self.box.isChecked() else None
        if target is self._target:
            return
        if self._target is not None:
            self._target.layer.mouse_drag_callbacks.remove(self._on_mouse)
            del self._target.layer.paint
        self._target, self._is_stroke = target, False
        if target is not None:
            target.layer.mouse_drag_callbacks.insert(0, self._on_mouse)  # before napari's own, which paints
            target.layer.paint = self._paint

    def close_down(self) -> None:
        """Leave napari's brush as it was."""
        self.box.setChecked(False)

    def _on_mouse(self, _: napari.layers.Labels, event: Any) -> Iterator[None]:
        """Napari's callback for a press, the moves and the release."""
        if event.button != 1:
            return
        self._is_stroke, self._around = True, None
        yield
        while event.type == "mouse_move":
            yield
        self._is_stroke = False

    def _paint(self, coord: Any, new_label: int, refresh: bool = True) -> None:
        """In place of the layer's own method: one dab of the brush."""
        target = self._target
        assert target is not None
        layer = target.layer
        window = self._window(layer, coord)
        if not self._is_stroke or any(side.start >= side.stop for side in window):
            type(layer).paint(layer, coord, new_label, refresh)
            return
        pixels = _pixels(target, window)
        if self._around is None:
            nearest = zip(coord, window, strict=True)  # a stroke may begin beside the picture
            middle = tuple(min(max(round(c), side.start), side.stop - 1) - side.start for c, side in nearest)
            self._around = pixels[(slice(None), *middle)]
        before = np.array(layer.data[window])
        type(layer).paint(layer, coord, new_label, False)
        reach = self.range.value() / 100 * float(np.ptp(target.placement.layer.contrast_limits))
        back = np.zeros(before.shape, bool)
        for channel, value in zip(pixels, self._around.astype(float), strict=True):
            back |= outside_range(channel, before != new_label, value - reach, value + reach)
        inside = np.nonzero(back)
        places = tuple(at + side.start for at, side in zip(inside, window, strict=True))
        layer.data_setitem(places, before[inside], refresh)

    def _window(self, layer: napari.layers.Labels, coord: Any) -> tuple[slice, ...]:
        """What a dab may change: a box in the layer's data."""
        reach = layer.brush_size // 2 + 1
        more = self._viewer.dims.ndim - layer.ndim
        painted = [axis - more for axis in self._viewer.dims.order[-layer.n_edit_dimensions :]]
        around = [reach if axis in painted else 0 for axis in range(layer.ndim)]
        places = [(round(c), r, n) for c, r, n in zip(coord, around, layer.data.shape, strict=True)]
        return tuple(slice(max(c - r, 0), min(c + r + 1, n)) for c, r, n in places)


def _pixels(target: CorrectedLayer, window: tuple[slice, ...]) -> NDArray[Any]:
    """The picture in a box of the layer's data: its channels first, then the axes of the layer."""
    image, axes = target.image, target.placement.axes
    own = axes[1:] if axes.startswith("C") else axes  # a channel axis further inside has one place in the labels
    part = np.asarray(image.array[tuple(slice(None) if a == "C" else window[own.index(a)] for a in image.axes)])
    kept = [image.axes.index(a) for a in own if a != "C"]
    channels = part.transpose([image.axes.index("C"), *kept]) if "C" in image.axes else part.transpose(kept)[None]
    return np.expand_dims(channels, 1 + own.index("C")) if "C" in own else channels
