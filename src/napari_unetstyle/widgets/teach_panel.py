"""The tab *Teach*: correct a result, and see what would be learned from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_unetstyle.widgets.fix_tools import FixTools
from napari_unetstyle.widgets.learns_from import LearnsFrom
from napari_unetstyle.widgets.parts import label

if TYPE_CHECKING:
    import napari.viewer

    from napari_unetstyle.widgets.corrections import Corrections

NOTHING = "Segment a picture, then paint over what is wrong: every stroke is kept."


class TeachPanel(QWidget):
    """Tools for corrections and what they add up to.

    Parameters
    ----------
    viewer
        The napari viewer.
    corrections
        What is corrected in it.
    """

    def __init__(
        self, viewer: napari.viewer.ViewerModel, corrections: Corrections, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._corrections = corrections
        self.nothing = label(NOTHING)
        self.fix = FixTools(viewer, corrections)
        self.learns = LearnsFrom(viewer, corrections)
        layout = QVBoxLayout(self)
        for part in (self.nothing, self.fix, self.learns):
            layout.addWidget(part)
        layout.addStretch()
        corrections.changed.connect(self._show)
        self._show()

    def _show(self) -> None:
        self.nothing.setVisible(self._corrections.active is None)

    def close_down(self) -> None:
        """Put tools down and stop counting."""
        self.fix.stop()
        self.learns.close_down()
