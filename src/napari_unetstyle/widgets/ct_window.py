"""Which gray values of a CT are shown: one click for what a radiologist calls a window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtWidgets import QGridLayout, QPushButton, QSizePolicy, QWidget

from napari_unetstyle.core.imaging.image import Image

if TYPE_CHECKING:
    import napari.layers

MODALITY = "modality"  # in a layer's metadata
WINDOWS = {"bone": (400, 1800), "lung": (-600, 1500), "soft tissue": (40, 400), "brain": (40, 80)}
"""Center and width in Hounsfield units."""

_TIGHT = "padding: 2px 4px; min-width: 0"
_COLUMNS = 2  # four beside the name of the row were cut in a narrow dock
_AIR = -900  # HU; what is around a patient has less, and no other kind of picture has values like it
_LOOKED_AT = 10**5  # voxels


class CtWindow(QWidget):
    """Buttons that set the contrast limits of a CT layer."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._layer: napari.layers.Image | None = None
        self.buttons: dict[str, QPushButton] = {}
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(2)
        for i, (name, (center, width)) in enumerate(WINDOWS.items()):
            button = self.buttons[name] = QPushButton(name)
            button.setStyleSheet(_TIGHT)
            button.setSizePolicy(QSizePolicy.Policy.MinimumExpanding, QSizePolicy.Policy.Fixed)
            button.setToolTip(f"Center {center} HU, width {width} HU")
            button.clicked.connect(lambda _=False, name=name: self._show(name))
            grid.addWidget(button, *divmod(i, _COLUMNS))

    def show_for(self, layer: napari.layers.Image | None) -> None:
        """Follow another layer."""
        self._layer = layer

    def _show(self, name: str) -> None:
        if self._layer is None:
            return
        low, high = limits_of(name)
        first, last = self._layer.contrast_limits_range
        self._layer.contrast_limits_range = (min(first, low), max(last, high))
        self._layer.contrast_limits = (low, high)


def limits_of(name: str) -> tuple[float, float]:
    """Lowest and highest value of a window in Hounsfield units."""
    center, width = WINDOWS[name]
    return center - width / 2, center + width / 2


def is_ct(layer: napari.layers.Image, image: Image) -> bool:
    """Whether a layer shows a CT: its series says so, or it is a volume in millimeters with the values of air."""
    if MODALITY in layer.metadata:
        return bool(layer.metadata[MODALITY] == "CT")
    array = image.array
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "if":  # a lazy one would have to be read
        return False
    is_scan = image.geometry.unit == "mm" and image.size("Z") > 1 and image.size("C") == 1
    return is_scan and _lowest(array) <= _AIR


def _lowest(array: NDArray[Any]) -> float:
    """Of a coarse look at the volume."""
    step = max(1, int((array.size / _LOOKED_AT) ** (1 / array.ndim)))
    values = array[(slice(None, None, step),) * array.ndim]
    finite = values[np.isfinite(values)]
    return float(finite.min()) if finite.size else 0.0
