"""How a model of pictures goes through a volume: along which axis, and whether objects go on from slice to slice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QVBoxLayout, QWidget

from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.segmentation.options import SegmentOptions
from napari_unetstyle.widgets.parts import combo, named
from napari_unetstyle.widgets.scope import ALL, RANGE, WHOLE

if TYPE_CHECKING:
    from napari_unetstyle.core.models.spec import ModelSpec

DIRECTIONS = {
    "YX": "along z, as they are stored",
    "ZX": "along y",
    "ZY": "along x",
    "all": "along z, y and x, averaged",
}
"""What is said of each plane that slices may lie in."""

_WHOLE = (WHOLE, ALL)  # a part of a volume is chosen in the slices along z


class Slicing(QWidget):
    """Two rows that are there where a volume meets a model of pictures."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._is_offered = False
        self.direction = combo()
        for plane, words in DIRECTIONS.items():
            self.direction.addItem(words, plane)
        self.direction.setToolTip("The model sees one slice at a time; of three directions its answers are averaged")
        self.link = QCheckBox("objects go on from slice to slice")
        self.link.setToolTip("Objects of neighboring slices that overlap are one object, with one number")
        self._directions = named("Slices", self.direction)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._directions)
        layout.addWidget(self.link)  # beside no name: its words fill a narrow dock
        self.direction.currentIndexChanged.connect(self.changed)
        self.link.toggled.connect(self.changed)

    def show_for(self, image: Image | None, spec: ModelSpec | None, where: str, output: str) -> None:
        """Offer what means something for a picture, a model, a part of the picture and what the labels will be."""
        is_volume = image is not None and image.size("Z") > 1
        self._is_offered = is_volume and spec is not None and spec.network.spatial_dims == 2
        self._directions.setVisible(where in _WHOLE)
        is_one = where in _WHOLE and self.direction.currentData() == "all"  # the volume is decided as one
        self.link.setVisible(output == "objects" and not is_one)
        self.setVisible(self._is_offered and where in (*_WHOLE, RANGE))

    def applied(self, options: SegmentOptions, image: Image, where: str) -> SegmentOptions:
        """The options of a run on `image`, with what was chosen here, as far as it is offered."""
        if not self._is_offered or image.size("Z") < 2 or where not in (*_WHOLE, RANGE):
            return options
        plane = self.direction.currentData() if where in _WHOLE else "YX"
        is_linked = self.link.isChecked() and options.output == "objects" and plane != "all"
        return options.changed(plane=plane, link=is_linked)
