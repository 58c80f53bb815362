"""*Also learn to read pictures like…*: looks of pictures that nobody corrected."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QCheckBox, QFileDialog, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_unetstyle.widgets.opening import ask_for_path
from napari_unetstyle.widgets.parts import Words
from napari_unetstyle.widgets.picture_list import PictureList
from napari_unetstyle.widgets.style_layers import Style, given_to_core

if TYPE_CHECKING:
    import napari.viewer

    from napari_unetstyle.core.imaging.image import Image
    from napari_unetstyle.core.style.kept_style import KeptStyle

TRY = "See whether that helps (twice the time)"
TEXTURE = "Their texture, too"
NOTHING = "Open or add pictures of the other scanner, stain or microscope; nobody needs to correct them."


class AlsoRead(QWidget):
    """A row that opens to a list of pictures."""

    def __init__(self, viewer: napari.viewer.ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.box = QCheckBox("Also learn to read pictures like…")
        self.pictures = PictureList(viewer, NOTHING)
        self.add = QPushButton("Add files…")
        self.add.setToolTip("Pictures that are not open; they are read when the teaching starts")
        self.add.clicked.connect(self.ask_for_files)
        self.files: dict[Path, QCheckBox] = {}
        self.hint = Words("Your pictures are also shown to the model with their look, as far as the labels fit.")
        self.texture = QCheckBox(TEXTURE)
        self.texture.setToolTip("Of pictures, gray or in color, and of kept styles; making it takes a part of the time")
        self.trial = QCheckBox(TRY)
        self.trial.setToolTip("Teaches once with these and once without, compares the two, and offers the better one")
        inside = QWidget()
        inner = QVBoxLayout(inside)
        inner.setContentsMargins(12, 0, 0, 0)
        inner.addWidget(self.pictures)
        self._files = QVBoxLayout()
        self._files.setSpacing(2)
        inner.addLayout(self._files)
        inner.addWidget(self.add)
        inner.addWidget(self.hint)
        inner.addWidget(self.texture)
        inner.addWidget(self.trial)
        inside.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.box)
        layout.addWidget(inside)
        self.box.toggled.connect(inside.setVisible)

    def ask_for_files(self) -> QFileDialog:
        """Let a person choose pictures that are not open."""
        return ask_for_path(self, "Pictures to look like", self.add_file, mode="files")

    def add_file(self, path: Path) -> None:
        """List a file, ticked; nothing of it is read."""
        box = self.files.get(path)
        if box is None:
            box = self.files[path] = QCheckBox(path.name)
            box.setToolTip(str(path))
            box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            self._files.addWidget(box)
        box.setChecked(True)

    def choose(self, styles: list[Style]) -> None:
        """Open the list and tick these."""
        self.box.setChecked(True)
        self.pictures.tick(styles)

    @property
    def is_tried(self) -> bool:
        """Whether a model is also taught without what is ticked, to compare."""
        return self.trial.isChecked() and not self.trial.isHidden() and self.box.isChecked()

    @property
    def is_textured(self) -> bool:
        """Whether their texture is learned, too."""
        return self.texture.isChecked() and self.box.isChecked()

    def looks(self) -> tuple[Image | KeptStyle | Path, ...]:
        """The ticked pictures, styles and files; none while the row is closed.

        Raises
        ------
        ImageError
            If the axes of one are not known.
        """
        if not self.box.isChecked():
            return ()
        files = [path for path, box in self.files.items() if box.isChecked()]
        return (*map(given_to_core, self.pictures.ticked), *files)
