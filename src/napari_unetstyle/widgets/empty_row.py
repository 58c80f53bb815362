"""What an empty napari offers: open a picture, or try a sample."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_unetstyle.core.errors import AxesUnknownError, UnetstyleError
from napari_unetstyle.widgets.axes_chooser import ask_for_axes
from napari_unetstyle.widgets.jobs import failure
from napari_unetstyle.widgets.opening import add_picture, ask_for_path
from napari_unetstyle.widgets.parts import Words

if TYPE_CHECKING:
    import napari.viewer


NO_PICTURE = "No picture is open. You can also drop one on napari."


class EmptyRow(QWidget):
    """Shown while no picture is open.

    Parameters
    ----------
    viewer
        Gets the picture.
    words
        What is said.
    with_folder
        Whether a folder can be chosen, too.
    """

    failed = Signal(object)  # Failed
    folder_wanted = Signal()

    def __init__(
        self,
        viewer: napari.viewer.ViewerModel,
        words: str = NO_PICTURE,
        parent: QWidget | None = None,
        *,
        with_folder: bool = True,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.open, self.sample = QPushButton("Open a picture"), QPushButton("Try a sample")
        self.folder = QPushButton("A folder…")
        buttons = QHBoxLayout()
        buttons.addWidget(self.open)
        buttons.addWidget(self.sample)
        buttons.addWidget(self.folder)
        self.folder.setVisible(with_folder)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(Words(words))
        layout.addLayout(buttons)
        self.open.clicked.connect(self._on_open)
        self.sample.clicked.connect(self._on_sample)
        self.folder.clicked.connect(self.folder_wanted)

    def _on_open(self) -> None:
        ask_for_path(self, "Open a picture", self.add)

    def _on_sample(self) -> None:
        from napari_unetstyle._sample_data import sample_folder

        self.add(sample_folder() / "nuclei-fluorescence.tif")

    def add(self, path: Path) -> None:
        """Open a picture file; a problem is said, not raised, and axes that it does not say are asked for."""
        try:
            add_picture(self._viewer, path)
        except AxesUnknownError as unknown:
            if not ask_for_axes(path, unknown, self._viewer):
                self.failed.emit(failure(unknown))
        except UnetstyleError as error:
            self.failed.emit(failure(error))
