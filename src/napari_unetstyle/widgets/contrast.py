"""Whether brightness and contrast are judged once for all slices or time points, or for each by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.segmentation.options import SegmentOptions
from napari_unetstyle.widgets.parts import combo, named
from napari_unetstyle.widgets.scope import FOLDER

if TYPE_CHECKING:
    from napari_unetstyle.core.models.spec import ModelSpec

CHOICES = {"picture": "the same for all {}s", "frame": "of each {} by itself"}


class Contrast(QWidget):
    """One row that is there where the model sees a picture in several frames."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._dims = 2
        self.statistics = combo()
        for key in CHOICES:
            self.statistics.addItem("", key)
        self.statistics.setToolTip(
            "Brightness and contrast are judged once for the whole picture; or for each time point or slice by itself, "
            "which helps where they change on the way, as by bleaching, and hurts where some show nothing"
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(named("Contrast", self.statistics))
        self.statistics.currentIndexChanged.connect(self.changed)
        self.hide()

    def show_for(self, image: Image | None, spec: ModelSpec | None, where: str) -> None:
        """Offer the choice where it makes a difference."""
        self._dims = 2 if spec is None else spec.network.spatial_dims
        self.setVisible(image is not None and where != FOLDER and self._is_offered(image))
        if image is not None:
            one = "slice" if self._dims == 2 and image.size("Z") > 1 else "time point"
            for index, words in enumerate(CHOICES.values()):
                self.statistics.setItemText(index, words.format(one))

    def applied(self, options: SegmentOptions, image: Image) -> SegmentOptions:
        """The options of a run on `image`, with what was chosen here, as far as it makes a difference."""
        return options.changed(statistics=self.statistics.currentData()) if self._is_offered(image) else options

    def _is_offered(self, image: Image) -> bool:
        return len(image.frames(self._dims)) > 1
