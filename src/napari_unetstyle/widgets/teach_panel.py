"""The tab *Teach*: correct a result, see what is learned from it, and teach."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_unetstyle.core.errors import UnetstyleError
from napari_unetstyle.widgets.fix_tools import FixTools
from napari_unetstyle.widgets.jobs import failure
from napari_unetstyle.widgets.learns_from import LearnsFrom
from napari_unetstyle.widgets.parts import Words
from napari_unetstyle.widgets.teach_run import TeachRun

if TYPE_CHECKING:
    import napari.viewer

    from napari_unetstyle.widgets.core_calls import CoreCalls
    from napari_unetstyle.widgets.corrections import Corrections
    from napari_unetstyle.widgets.result_panel import ResultPanel

NOTHING = "Segment a picture, then paint over what is wrong: every stroke is kept."
NOTHING_NEW = "Paint on an open picture, or add pictures that you have masks of."


class TeachPanel(QWidget):
    """Tools for corrections, what they add up to, and the button.

    Parameters
    ----------
    viewer
        The napari viewer.
    calls
        The core's functions.
    corrections
        What is corrected in it.
    results
        The runs whose labels are corrected.
    """

    def __init__(
        self,
        viewer: napari.viewer.ViewerModel,
        calls: CoreCalls,
        corrections: Corrections,
        results: ResultPanel,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._corrections = corrections
        self.nothing = Words(NOTHING)
        self.fix = FixTools(viewer, corrections)
        self.learns = LearnsFrom(viewer, corrections, lambda: self.run.goal)
        layout = QVBoxLayout(self)
        self.run = TeachRun(viewer, calls, self.learns, results)
        for part in (self.run.improve, self.nothing, self.fix, self.learns, self.run):
            layout.addWidget(part)
        layout.addStretch()
        corrections.changed.connect(self._show)
        self.run.improve.changed.connect(self._show_nothing)
        self.run.improve.by_hand_wanted.connect(self._on_by_hand)
        self._show()

    def _show(self) -> None:
        active = self._corrections.active
        self._show_nothing()
        self.run.follow(active)
        own = self._corrections.unwatched
        self.run.improve.show_labels(None if own is None else own.name)

    def _show_nothing(self) -> None:
        goal = self.run.goal
        self.nothing.setText(NOTHING_NEW if goal is not None and goal.parent is None else NOTHING)
        self.nothing.setVisible(self._corrections.active is None)

    def _on_by_hand(self) -> None:
        goal = self.run.goal
        if goal is None:
            return
        try:
            self._corrections.by_hand(goal)
        except UnetstyleError as error:
            self.run.message.fail(failure(error))

    def close_down(self) -> None:
        """Put tools down and stop counting."""
        self.fix.close_down()
        self.run.close_down()
        self.learns.close_down()
