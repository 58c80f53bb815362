"""A list of open pictures to tick."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QSizePolicy, QVBoxLayout, QWidget

from napari_unetstyle.widgets.layers import METADATA
from napari_unetstyle.widgets.parts import follow, label, scrolling
from napari_unetstyle.widgets.style_layers import STYLE

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

HEIGHT = 110  # pixels, so that what is below stays in sight under many pictures


class PictureList(QWidget):
    """The open pictures but one, each with a box.

    Parameters
    ----------
    viewer
        Whose pictures are listed.
    nothing
        What is said where there is none.
    """

    changed = Signal()

    def __init__(self, viewer: napari.viewer.ViewerModel, nothing: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._left_out = viewer, None
        self._boxes: dict[napari.layers.Image, QCheckBox] = {}
        self.nothing = label(nothing)
        rows = QWidget()
        self._rows = QVBoxLayout(rows)
        self._rows.setContentsMargins(0, 0, 0, 0)
        self._list = scrolling(rows)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.nothing)
        layout.addWidget(self._list)
        events = viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered):
            follow(self, event, self.refresh)
        self.refresh()

    @property
    def ticked(self) -> list[napari.layers.Image]:
        """The ticked pictures."""
        return [layer for layer, box in self._boxes.items() if box.isChecked()]

    def tick(self, layers: list[napari.layers.Image]) -> None:
        """Tick these and no others."""
        for layer, box in self._boxes.items():
            box.setChecked(layer in layers)

    def box_of(self, layer: napari.layers.Image) -> QCheckBox:
        """The box of a listed picture."""
        return self._boxes[layer]

    def leave_out(self, layer: napari.layers.Image | None) -> None:
        """Do not list this one."""
        self._left_out = layer
        self.refresh()

    def refresh(self) -> None:
        """List what is open, and keep what is ticked."""
        ticked = self.ticked
        while (item := self._rows.takeAt(0)) is not None:
            if (row := item.widget()) is not None:
                row.hide()
                row.deleteLater()
        self._boxes = {layer: self._box(layer, layer in ticked) for layer in self._pictures()}
        self.nothing.setVisible(not self._boxes)
        self._list.setVisible(bool(self._boxes))
        self._list.setFixedHeight(min(self._rows.sizeHint().height() + 2, HEIGHT))
        if self.ticked != ticked:
            self.changed.emit()

    def _pictures(self) -> list[napari.layers.Image]:
        return [
            layer
            for layer in self._viewer.layers[::-1]
            if type(layer).__name__ == "Image"
            and not {METADATA, STYLE} & layer.metadata.keys()
            and layer is not self._left_out
        ]

    def _box(self, layer: napari.layers.Image, is_ticked: bool) -> QCheckBox:
        box = QCheckBox(layer.name)
        box.setToolTip(layer.name)
        box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        box.setChecked(is_ticked)
        box.toggled.connect(lambda _: self.changed.emit())
        self._rows.addWidget(box)
        box.show()  # else it has no height yet
        return box
