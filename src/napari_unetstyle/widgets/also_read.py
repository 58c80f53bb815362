"""*Also learn to read pictures like…*: looks of pictures that nobody corrected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QCheckBox, QVBoxLayout, QWidget

from napari_unetstyle.widgets.parts import Words
from napari_unetstyle.widgets.picture_list import PictureList
from napari_unetstyle.widgets.style_layers import Style, given_to_core

if TYPE_CHECKING:
    import napari.viewer

    from napari_unetstyle.core.imaging.image import Image
    from napari_unetstyle.core.style.kept_style import KeptStyle

TRY = "See whether that helps (twice the time)"
NOTHING = "Open pictures of the other scanner, stain or microscope; nobody needs to correct them."


class AlsoRead(QWidget):
    """A row that opens to a list of pictures."""

    def __init__(self, viewer: napari.viewer.ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.box = QCheckBox("Also learn to read pictures like…")
        self.pictures = PictureList(viewer, NOTHING)
        self.hint = Words("Your pictures are also shown to the model with their look, as far as the labels fit.")
        self.trial = QCheckBox(TRY)
        self.trial.setToolTip("Teaches once with these and once without, compares the two, and offers the better one")
        inside = QWidget()
        inner = QVBoxLayout(inside)
        inner.setContentsMargins(12, 0, 0, 0)
        inner.addWidget(self.pictures)
        inner.addWidget(self.hint)
        inner.addWidget(self.trial)
        inside.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.box)
        layout.addWidget(inside)
        self.box.toggled.connect(inside.setVisible)

    def choose(self, styles: list[Style]) -> None:
        """Open the list and tick these."""
        self.box.setChecked(True)
        self.pictures.tick(styles)

    @property
    def is_tried(self) -> bool:
        """Whether a model is also taught without what is ticked, to compare."""
        return self.trial.isChecked() and not self.trial.isHidden() and self.box.isChecked()

    def looks(self) -> tuple[Image | KeptStyle, ...]:
        """The ticked pictures and styles; none while the row is closed.

        Raises
        ------
        ImageError
            If the axes of one are not known.
        """
        return tuple(map(given_to_core, self.pictures.ticked)) if self.box.isChecked() else ()
