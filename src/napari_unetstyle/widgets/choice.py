"""A choice beside napari's canvas before a file is opened: nothing is modal, and reading can be stopped."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import QDockWidget, QMainWindow, QPushButton, QVBoxLayout, QWidget

from napari_unetstyle.widgets.dockable import Dockable
from napari_unetstyle.widgets.jobs import Failed, Finished, JobSlot, Outcome
from napari_unetstyle.widgets.message_row import MessageRow
from napari_unetstyle.widgets.progress_row import ProgressRow

if TYPE_CHECKING:
    import napari.viewer

    from napari_unetstyle.core.progress import Steps


class Choice(Dockable):
    """What is asked, *Close*, and how far reading is; what is asked, and what comes of it, is its subclasses' matter.

    Parameters
    ----------
    viewer
        Gets the layers.
    """

    finished = Signal()  # nothing is left to choose

    def __init__(self, viewer: napari.viewer.ViewerModel) -> None:
        super().__init__()
        self._viewer, self._slot = viewer, JobSlot(self)
        self.cancel, self.progress, self.message = QPushButton("Close"), ProgressRow(), MessageRow()
        self.progress.hide()
        self.cancel.clicked.connect(self.finished)
        self.progress.stop.clicked.connect(self._slot.cancel)
        self._slot.progressed.connect(self.progress.show_progress)
        self._slot.busy_changed.connect(self._on_busy)
        self._slot.done.connect(self._on_done)
        self.undocked.connect(self.close_down)

    def close_down(self) -> None:
        """Stop reading; this was closed."""
        self._slot.cancel()
        self.deleteLater()

    def _lay_out(self, *asked: QWidget) -> None:
        layout = QVBoxLayout(self)
        for part in (*asked, self.cancel, self.progress, self.message):
            layout.addWidget(part)
        layout.addStretch()

    def _read(self, steps: Steps[Any]) -> None:
        """Begin to read what was chosen."""
        self.message.clear()
        self.progress.begin("reading…")
        self._slot.start(steps)

    def _on_busy(self, is_busy: bool) -> None:
        self.progress.setVisible(is_busy)
        self._let_choose(not is_busy)

    def _on_done(self, outcome: Outcome) -> None:
        if isinstance(outcome, Failed):
            self.message.fail(outcome)
        if isinstance(outcome, Finished):
            self._take(outcome.value)

    def _let_choose(self, can_choose: bool) -> None:
        """Whether something can be chosen now."""
        raise NotImplementedError

    def _take(self, read: Any) -> None:
        """Add what was read to the viewer."""
        raise NotImplementedError


def beside_canvas(window: Any, choice: Choice, title: str) -> None:
    """Dock a choice until it is `finished`, in the place of one with the same title."""
    for widget in [widget for name, widget in window.dock_widgets.items() if name == title]:
        window.remove_dock_widget(widget)
    docked = window.add_dock_widget(choice, name=title, area="right")
    QTimer.singleShot(0, partial(_as_low_as_it_may, docked))  # once it has its place
    choice.finished.connect(lambda: window.remove_dock_widget(choice))


def _as_low_as_it_may(docked: QDockWidget) -> None:
    """Leave the height to what is docked beside it."""
    window = docked.parentWidget()
    if isinstance(window, QMainWindow):
        window.resizeDocks([docked], [1], Qt.Orientation.Vertical)


def open_viewers() -> list[napari.viewer.ViewerModel]:
    """All of them, the one in front first."""
    from napari import current_viewer
    from napari.viewer import Viewer

    viewer = current_viewer()
    viewer = getattr(viewer, "__wrapped__", viewer)
    others = [one for one in getattr(Viewer, "_instances", ()) if one is not viewer]  # napari lists them nowhere else
    return others if viewer is None else [viewer, *others]


def front_viewer() -> napari.viewer.Viewer | None:
    """The viewer in front, if it has a window."""
    from napari import current_viewer

    viewer = current_viewer()
    viewer = getattr(viewer, "__wrapped__", viewer)
    return viewer if getattr(viewer, "window", None) is not None else None
