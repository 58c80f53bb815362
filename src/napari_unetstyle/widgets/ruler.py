"""Measuring one object: a line across it tells how large objects are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget

from napari_unetstyle.widgets.parts import Words

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

    from napari_unetstyle.widgets.picture import Picture

_NAME = "one object"


class Ruler(QWidget):
    """A button that lets a person draw a line across one object of the chosen picture."""

    measured = Signal(object)  # diameter in pixels of the picture, or None: forgotten

    def __init__(self, viewer: napari.viewer.ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._picture: Picture | None = None
        self._line: napari.layers.Shapes | None = None
        self.is_useful = True
        self.words = Words()
        self.button = QPushButton("measure one object ╱")
        self.button.setToolTip("Draw a line across one object: it sets the scale")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.words, 1)
        layout.addWidget(self.button)
        self.button.clicked.connect(self._on_clicked)

    def show_for(self, picture: Picture | None) -> None:
        """Offer the ruler where it means something: no pixel size, or an object was measured."""
        self._picture = picture
        diameter = picture.object_diameter if picture is not None else None
        if self._line is not None:
            return
        if diameter is not None:
            self.words.setText(f"One object: {diameter:.0f} px")
            self.button.setText("forget")
        else:
            self.words.setText("No pixel size?")
            self.button.setText("measure one object ╱")
        is_unknown = picture is not None and not picture.image.geometry.is_physical
        self.setVisible(self.is_useful and (is_unknown or diameter is not None))

    def close_down(self) -> None:
        """Take the line away that is being drawn."""
        if self._line is not None:
            self._stop()

    def _on_clicked(self) -> None:
        if self._line is not None:
            self._stop()
        elif self._picture is not None and self._picture.object_diameter is not None:
            self.measured.emit(None)
        elif self._picture is not None:
            self._begin()

    def _begin(self) -> None:
        assert self._picture is not None
        layer = self._picture.layer
        self._line = self._viewer.add_shapes(
            ndim=layer.ndim,
            name=_NAME,
            edge_color="yellow",
            edge_width=2 / max(self._viewer.scene.camera.zoom, 1e-6) / abs(float(layer.scale[-1])),
            scale=layer.scale,
            translate=layer.translate,
            rotate=layer.rotate,
            shear=layer.shear,
            affine=layer.affine,
            units=layer.units,
            axis_labels=layer.axis_labels,
        )
        self._line.mode = "add_line"
        self._line.events.data.connect(self._on_drawn)
        self._viewer.layers.events.removed.connect(self._on_removed)
        self.words.setText("Draw a line across one object.")
        self.button.setText("cancel")

    def _on_drawn(self, event: Any) -> None:
        if getattr(event.action, "value", event.action) == "added":
            QTimer.singleShot(0, self._read)  # after napari has finished the stroke

    def _read(self) -> None:
        if self._line is None or self._picture is None or not len(self._line.data):
            return
        start, end = (np.asarray(point, dtype=float) for point in self._line.data[0][:2])
        axes = [self._picture.image.axes.index(a) for a in "YX"]
        diameter = float(np.linalg.norm((end - start)[axes]))
        self._stop()
        if diameter >= 1:
            self.measured.emit(diameter)

    def _on_removed(self) -> None:
        if self._line is not None and self._line not in self._viewer.layers:
            self._stop()

    def _stop(self) -> None:
        line, self._line = self._line, None
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        if line is not None and line in self._viewer.layers:
            self._viewer.layers.remove(line)
        picture = self._picture
        if picture is not None and picture.layer in self._viewer.layers:
            self._viewer.layers.selection = {picture.layer}
        self.show_for(picture)
