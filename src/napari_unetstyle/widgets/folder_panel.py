"""A folder of pictures: the command line's run with a list of how each one fared."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QListWidget, QListWidgetItem, QPushButton, QVBoxLayout, QWidget

from napari_unetstyle.core.errors import AxesUnknownError, ImageFileError, SeveralSeriesError, UnetstyleError
from napari_unetstyle.core.progress import Progress, Steps
from napari_unetstyle.widgets.axes_chooser import ask_for_axes
from napari_unetstyle.widgets.core_calls import CoreCalls
from napari_unetstyle.widgets.jobs import Cancelled, Failed, Finished, JobSlot, Outcome, failure
from napari_unetstyle.widgets.message_row import MessageRow
from napari_unetstyle.widgets.opening import SERIES_KEY, add_labels_file, add_picture, ask_for_path
from napari_unetstyle.widgets.parts import Words, form, name
from napari_unetstyle.widgets.progress_row import ProgressRow
from napari_unetstyle.widgets.series_chooser import show_series

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

    from napari_unetstyle.core.imaging.dicom import Series
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
        self._shown: tuple[PictureStatus, ...] = ()
        self._stated: dict[Path, dict[str, str]] = {}  # what a person said of pictures: their series, or their axes
        self._begun: dict[Path, dict[str, str]] = {}  # of this, what the run knows
        self._asks = True
        self.choose, self.choose_out = QPushButton("choose…"), QPushButton("choose…")
        self.pictures = QListWidget()
        self.pictures.setTextElideMode(Qt.TextElideMode.ElideMiddle)  # the count stands at the end
        self.pictures.setToolTip("Double-click opens the picture and its labels.")
        self.words, self.example = Words(), Words()
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
        layout.addWidget(self.example)
        for part in (self.progress, self.message, self.words, self.pictures):
            layout.addWidget(part)
        self.pictures.setFixedHeight(_ROWS * self.pictures.fontMetrics().height() + 12)
        self.pictures.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)  # the rest is in the tool tip
        self.pictures.hide()
        self.words.hide()
        self.example.hide()

    def _connect(self) -> None:
        self.choose.clicked.connect(lambda: ask_for_path(self, "Pictures", self.set_folder, mode="folder"))
        self.choose_out.clicked.connect(lambda: ask_for_path(self, "Results", self.set_out, mode="folder"))
        self.pictures.itemDoubleClicked.connect(self._on_open)
        self.progress.stop.clicked.connect(self.stop)
        self._slot.progressed.connect(self._on_progress)
        self._slot.done.connect(self._on_done)
        self._slot.busy_changed.connect(self._on_busy)
        self._slot.busy_changed.connect(self.busy_changed)

    @property
    def is_running(self) -> bool:
        """Whether a folder is under way."""
        return self._slot.is_busy

    @property
    def is_listed(self) -> bool:
        """Whether pictures of a run are shown, which are opened from here while a person goes on with it."""
        return self.pictures.count() > 0

    def set_folder(self, folder: Path) -> None:
        """Take the pictures of a folder; results go beside it unless a person says otherwise."""
        self.folder, self._stated, self._asks = folder, {}, True
        self.pictures.clear()
        self._show(())
        self.words.hide()
        self.message.clear()
        self.choose.setText(folder.name)
        self.choose.setToolTip(str(folder))
        self._rows.setRowVisible(self.choose_out, True)
        self.set_out(folder.with_name(f"{folder.name}-labels"))

    def show_example(self, picture: str | None) -> None:
        """Say whose channel and size count for all pictures, if one that lies in the folder is chosen above."""
        self.example.setVisible(picture is not None)
        self.example.setText(f"Channel and size of all pictures are as chosen for {picture!r}.")

    def set_out(self, folder: Path) -> None:
        """Put results into a folder."""
        self.out = folder
        self.choose_out.setText(folder.name)
        self.choose_out.setToolTip(str(folder))
        self.changed.emit()

    def start(self, model: str, options: SegmentOptions, store: ModelStore) -> None:
        """Segment every picture; what is finished and unchanged is skipped.

        Where folders hold several series nothing is computed the first time, but the person is asked: a run over a
        night should not wait for a choice until the morning.
        """
        if self.folder is None or self.out is None:
            return
        self.message.clear()
        self.words.hide()
        self._begun = dict(self._stated)
        steps = self._calls.iter_folder(self.folder, self.out, model, options, store, self._begun, asks=self._asks)
        if self._slot.start(iter_listed(steps)):
            self.pictures.clear()
            self.progress.begin("starting…")

    def stop(self) -> None:
        """Stop within one step; what is finished is kept."""
        if self.is_running:
            self._slot.cancel()
            self.progress.show_stopping()

    def _on_busy(self, is_busy: bool) -> None:
        for button in (self.choose, self.choose_out):
            button.setDisabled(is_busy)  # the list, and what is asked, are those of one folder

    def _on_progress(self, progress: Listed) -> None:
        self.progress.show_progress(progress)
        self._show(progress.pictures)

    def _on_done(self, outcome: Outcome) -> None:
        self.progress.hide()
        match outcome:
            case Finished(value=report):
                self._on_report(report)
            case Failed():
                self.message.fail(outcome)
            case Cancelled():
                self._say("Stopped. What is finished is kept; SEGMENT goes on from there.")

    def _on_report(self, report: FolderReport) -> None:
        for picture in filter(_asks, report.pictures):
            if self._stated.get(picture.path) == self._begun.get(picture.path):
                self._stated.pop(picture.path, None)  # it was no answer
        is_asking = self._asks and all(isinstance(one.error, SeveralSeriesError) for one in report.pictures)
        self._asks = self._asks and not is_asking
        self._show(report.pictures)
        self._say(_question(report) if is_asking else _summary(report))

    def _say(self, words: str) -> None:
        self.words.setText(words)
        self.words.show()

    def _show(self, pictures: tuple[PictureStatus, ...]) -> None:
        self._shown = pictures
        self.pictures.setVisible(bool(pictures))
        for row, picture in enumerate(pictures):
            if row == self.pictures.count():
                self.pictures.addItem(QListWidgetItem())
            item = self.pictures.item(row)
            is_answered = _asks(picture) and picture.path in self._stated
            item.setText(_answered(picture, self._stated[picture.path]) if is_answered else _line(picture))
            item.setToolTip(_why(picture) or str(picture.path))
            item.setData(Qt.ItemDataRole.UserRole, picture)

    def _on_open(self, item: QListWidgetItem) -> None:
        picture: PictureStatus = item.data(Qt.ItemDataRole.UserRole)
        if _asks(picture) and self._ask(picture):
            return
        try:
            layer = add_picture(self._viewer, picture.path, **self._stated.get(picture.path, {}))
            if picture.state in ("done", "skipped"):
                add_labels_file(self._viewer, picture.labels, layer)
        except UnetstyleError as error:
            self.message.fail(failure(error))

    def _ask(self, picture: PictureStatus) -> bool:
        """Let a person choose a series, or say what the axes are, by opening the picture; whether it can be asked."""
        if isinstance(picture.error, AxesUnknownError):
            axes = ask_for_axes(picture.path, picture.error, self._viewer)
            if axes is not None:
                axes.opened.connect(self._on_axes)  # no lambda, which Qt would call when the dock is closed, too
            return axes is not None
        if not isinstance(picture.error, SeveralSeriesError) or getattr(self._viewer, "window", None) is None:
            return False
        chooser = show_series(self._viewer, picture.error.series, picture.path)
        chooser.opened.connect(self._on_series)
        return True

    def _on_axes(self, letters: str, path: Path) -> None:
        self._state(path, {"axes": letters})

    def _on_series(self, layers: list[napari.layers.Image], path: Path) -> None:
        if len(layers) == 1:
            self._state(path, {"series": layers[0].metadata[SERIES_KEY]})
        else:
            self.message.say(f"{path.name} gets one file of labels: choose one series of it, not {len(layers)}.")

    def _state(self, path: Path, said: dict[str, str]) -> None:
        """Take an answer, and offer it for the other pictures that ask the same."""
        picture = next((one for one in self._shown if one.path == path), None)
        if picture is None:  # another folder was chosen since
            return
        self._stated[path] = said
        others = {one.path: _same(picture, said, one) for one in self._shown if one.path not in self._stated}
        fitting = {path: answer for path, answer in others.items() if answer}
        self._show(self._shown)
        if fitting:
            what = "a series of the same description" if "series" in said else "the same question"
            many = f"{len(fitting)} more {'picture has' if len(fitting) == 1 else 'pictures have'} {what}."
            self.message.ask(f"{many} The same answer for all?", ("For all", lambda: self._state_all(fitting)))

    def _state_all(self, said: dict[Path, dict[str, str]]) -> None:
        self._stated |= said
        self._show(self._shown)


def _asks(picture: PictureStatus) -> bool:
    """Whether a picture waits for something that a person can choose."""
    error = picture.error
    return isinstance(error, SeveralSeriesError) or (isinstance(error, AxesUnknownError) and len(error.choices) > 1)


def _same(picture: PictureStatus, said: dict[str, str], other: PictureStatus) -> dict[str, str]:
    """What was said of a picture, as an answer to what another one asks; empty if it is none."""
    asked, asks = picture.error, other.error
    if isinstance(asked, AxesUnknownError) and isinstance(asks, AxesUnknownError):
        return said if asks.choices == asked.choices else {}
    if isinstance(asked, SeveralSeriesError) and isinstance(asks, SeveralSeriesError):
        with suppress(ImageFileError):  # one that is gone since
            chosen = next(_looks(one) for one in asked.series if one.key == said["series"])
            fitting = [one.key for one in asks.series if chosen[1] and _looks(one) == chosen]
            return {"series": fitting[0]} if len(fitting) == 1 else {}
    return {}


def _looks(series: Series) -> tuple[str, str]:
    return series.modality, series.description


def _why(picture: PictureStatus) -> str:
    """Why a picture failed, in words that say what to do here; empty if it did not."""
    error = picture.error
    if isinstance(error, SeveralSeriesError):
        return f"{picture.path}: {len(error.series)} series. Double-click to choose."
    if isinstance(error, AxesUnknownError):
        how = "Double-click it, and say it." if _asks(picture) else "Save it as OME-TIFF, which does."
        return f"{picture.path} does not say what its axes are ({' x '.join(map(str, error.shape))}). {how}"
    return (error.in_window if error is not None else "") or picture.message


def _answered(picture: PictureStatus, said: dict[str, str]) -> str:
    what = "its series is chosen" if "series" in said else "its axes are stated"
    return f"{_SIGNS['running']} {picture.name}: {what}. SEGMENT does it."


def _line(picture: PictureStatus) -> str:
    counted = f"  {picture.count:,}" if picture.output == "objects" else ""
    said = _why(picture)
    why = said.removeprefix(str(picture.path))  # its name stands there already
    between = ": " if why and why == said else ""
    return f"{_SIGNS[picture.state]} {picture.name}{counted}{between}{why}"


def _question(report: FolderReport) -> str:
    count = len(report.pictures)
    holds = "picture holds" if count == 1 else "pictures hold"
    return (
        f"{count} {holds} several series. Double-click one, and choose. SEGMENT goes on then, without those that are "
        "left open."
    )


def _summary(report: FolderReport) -> str:
    counts = {state: len(report.having(state)) for state in ("done", "skipped", "failed")}
    words = {"done": "done", "skipped": "finished before", "failed": "failed"}
    parts = [f"{count} {words[state]}" for state, count in counts.items() if count]
    where = f" Table: {report.table.name}." if report.table is not None else ""
    return f"{', '.join(parts)}.{where}"
