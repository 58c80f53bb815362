"""A folder of pictures: the command line's run with a list of how each one fared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QListWidget, QListWidgetItem, QPushButton, QVBoxLayout, QWidget

from napari_unetstyle.core.errors import UnetstyleError
from napari_unetstyle.core.progress import Progress, Steps
from napari_unetstyle.widgets.core_calls import CoreCalls
from napari_unetstyle.widgets.jobs import Cancelled, Failed, Finished, JobSlot, Outcome, failure
from napari_unetstyle.widgets.message_row import MessageRow
from napari_unetstyle.widgets.opening import add_labels_file, add_picture, ask_for_path
from napari_unetstyle.widgets.parts import Words, form, name
from napari_unetstyle.widgets.progress_row import ProgressRow

if TYPE_CHECKING:
    import napari.viewer

    from napari_unetstyle.core.models.store import ModelStore
    from napari_unetstyle.core.segmentation.folder_report import FolderReport, PictureStatus
    from napari_unetstyle.core.segmentation.options import SegmentOptions

_SIGNS = {"running": "…", "done": "✓", "skipped": "✓", "failed": "!"}
_ROWS = 7


@dataclass(frozen=True, slots=True)
class Listed(Progress):
    """A step of a folder run with the states of all pictures until then; none gets lost between two messages."""

    pictures: tuple[PictureStatus, ...] = ()


def iter_listed(steps: Steps[FolderReport]) -> Steps[FolderReport]:
    """The core's folder run with every state repeated in every step."""
    known: dict[Path, PictureStatus] = {}  # in the order of the run
    try:
        while True:
            try:
                step: Any = next(steps)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            if step.picture is not None:
                known[step.picture.path] = step.picture
            yield Listed(step.step, step.total, step.message, step.counted, tuple(known.values()))
    finally:
        steps.close()


class FolderPanel(QWidget):
    """Which folder, where the results go, and the list of its pictures."""

    busy_changed = Signal(bool)
    changed = Signal()

    def __init__(self, viewer: napari.viewer.Viewer, calls: CoreCalls, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._calls = viewer, calls
        self._slot = JobSlot(self)
        self.folder: Path | None = None
        self.out: Path | None = None
        self.choose, self.choose_out = QPushButton("choose…"), QPushButton("choose…")
        self.pictures = QListWidget()
        self.pictures.setTextElideMode(Qt.TextElideMode.ElideMiddle)  # the count stands at the end
        self.pictures.setToolTip("Double-click opens the picture and its labels.")
        self.words = Words()
        self.progress, self.message = ProgressRow(), MessageRow()
        self._lay_out()
        self._connect()

    def _lay_out(self) -> None:
        rows = self._rows = form()
        rows.addRow(name("Folder"), self.choose)
        rows.addRow(name("Results"), self.choose_out)
        rows.setRowVisible(self.choose_out, False)  # until there is a folder to have results of
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(rows)
        for part in (self.progress, self.message, self.words, self.pictures):
            layout.addWidget(part)
        self.pictures.setFixedHeight(_ROWS * self.pictures.fontMetrics().height() + 12)
        self.pictures.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)  # the rest is in the tool tip
        self.pictures.hide()
        self.words.hide()

    def _connect(self) -> None:
        self.choose.clicked.connect(lambda: ask_for_path(self, "Pictures", self.set_folder, mode="folder"))
        self.choose_out.clicked.connect(lambda: ask_for_path(self, "Results", self.set_out, mode="folder"))
        self.pictures.itemDoubleClicked.connect(self._on_open)
        self.progress.stop.clicked.connect(self.stop)
        self._slot.progressed.connect(self._on_progress)
        self._slot.done.connect(self._on_done)
        self._slot.busy_changed.connect(self.busy_changed)

    @property
    def is_running(self) -> bool:
        """Whether a folder is under way."""
        return self._slot.is_busy

    def set_folder(self, folder: Path) -> None:
        """Take the pictures of a folder; results go beside it unless a person says otherwise."""
        self.folder = folder
        self.choose.setText(folder.name)
        self.choose.setToolTip(str(folder))
        self._rows.setRowVisible(self.choose_out, True)
        self.set_out(folder.with_name(f"{folder.name}-labels"))

    def set_out(self, folder: Path) -> None:
        """Put results into a folder."""
        self.out = folder
        self.choose_out.setText(folder.name)
        self.choose_out.setToolTip(str(folder))
        self.changed.emit()

    def start(self, model: str, options: SegmentOptions, store: ModelStore) -> None:
        """Segment every picture; what is finished and unchanged is skipped."""
        if self.folder is None or self.out is None:
            return
        self.message.clear()
        self.words.hide()
        steps = self._calls.iter_folder(self.folder, self.out, model, options, store)
        if self._slot.start(iter_listed(steps)):
            self.pictures.clear()
            self.progress.begin("starting…")

    def stop(self) -> None:
        """Stop within one step; what is finished is kept."""
        if self.is_running:
            self._slot.cancel()
            self.progress.show_stopping()

    def _on_progress(self, progress: Listed) -> None:
        self.progress.show_progress(progress)
        self._show(progress.pictures)

    def _on_done(self, outcome: Outcome) -> None:
        self.progress.hide()
        match outcome:
            case Finished(value=report):
                self._show(report.pictures)
                self._say(_summary(report))
            case Failed():
                self.message.fail(outcome)
            case Cancelled():
                self._say("Stopped. What is finished is kept; SEGMENT goes on from there.")

    def _say(self, words: str) -> None:
        self.words.setText(words)
        self.words.show()

    def _show(self, pictures: tuple[PictureStatus, ...]) -> None:
        self.pictures.setVisible(bool(pictures))
        for row, picture in enumerate(pictures):
            if row == self.pictures.count():
                self.pictures.addItem(QListWidgetItem())
            item = self.pictures.item(row)
            item.setText(_line(picture))
            item.setToolTip(picture.message or str(picture.path))
            item.setData(Qt.ItemDataRole.UserRole, picture)

    def _on_open(self, item: QListWidgetItem) -> None:
        picture: PictureStatus = item.data(Qt.ItemDataRole.UserRole)
        try:
            layer = add_picture(self._viewer, picture.path)
            if picture.state in ("done", "skipped"):
                add_labels_file(self._viewer, picture.labels, layer)
        except UnetstyleError as error:
            self.message.fail(failure(error))


def _line(picture: PictureStatus) -> str:
    counted = f"  {picture.count:,}" if picture.output == "objects" else ""
    why = picture.message.removeprefix(str(picture.path))  # its name stands there already
    between = ": " if why and why == picture.message else ""
    return f"{_SIGNS[picture.state]} {picture.name}{counted}{between}{why}"


def _summary(report: FolderReport) -> str:
    counts = {state: len(report.having(state)) for state in ("done", "skipped", "failed")}
    words = {"done": "done", "skipped": "finished before", "failed": "failed"}
    parts = [f"{count} {words[state]}" for state, count in counts.items() if count]
    where = f" Table: {report.table.name}." if report.table is not None else ""
    return f"{', '.join(parts)}.{where}"
