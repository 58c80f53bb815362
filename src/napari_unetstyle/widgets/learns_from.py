"""What a lesson would learn from: the fixes of all pictures, ticked or not, open or not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QObject, QSignalBlocker, Qt, QTimer, Signal
from qtpy.QtWidgets import QCheckBox, QGroupBox, QHBoxLayout, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_unetstyle.core.annotation.project import REST, TICKED, Count, Entry, Project, classes_of, count
from napari_unetstyle.core.errors import UnetstyleError
from napari_unetstyle.core.progress import Progress
from napari_unetstyle.widgets.copy_offer import CopyOffer
from napari_unetstyle.widgets.jobs import Failed, Finished, JobSlot, Outcome, failure
from napari_unetstyle.widgets.learned_places import LearnedPlaces
from napari_unetstyle.widgets.message_row import MessageRow
from napari_unetstyle.widgets.opening import ask_for_path
from napari_unetstyle.widgets.parts import Words, keep_room, scrolling
from napari_unetstyle.widgets.picture_project import project_beside

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

    from napari_unetstyle.core.annotation.journal_state import State
    from napari_unetstyle.core.progress import Steps
    from napari_unetstyle.widgets.corrected_layer import CorrectedLayer
    from napari_unetstyle.widgets.corrections import Corrections
    from napari_unetstyle.widgets.entry_opening import Then
    from napari_unetstyle.widgets.goal import Goal

LIST_HEIGHT = 210  # pixels, so that TEACH stays in sight below many pictures
REST_MS = 400  # without a stroke, before what there is is counted anew
ADD, ELSEWHERE = "add pictures + masks…", "The masks are elsewhere…"


@dataclass(frozen=True, kw_only=True, eq=False)
class Lesson:
    """One row: the fixes of a picture.

    Attributes
    ----------
    name
        Of the labels.
    count
        How much was said.
    is_ticked
        Whether it is learned from.
    corrected, entry
        The open layer, or what lies on disk.
    classes
        Names of what its labels show, as far as that is known.
    """

    name: str
    count: Count
    is_ticked: bool
    corrected: CorrectedLayer | None = None
    entry: Entry | None = None
    classes: tuple[str, ...] = ()

    @property
    def output(self) -> str:
        """Whether its labels are objects or areas."""
        owner = self.corrected or self.entry
        assert owner is not None
        return owner.header.output

    @property
    def words(self) -> str:
        """``slide7 nuclei``, and below it ``14 fixes, 2 areas right``."""
        fixes, right = self.count.fixes, self.count.right
        said = [f"{fixes} fix{'' if fixes == 1 else 'es'}"] if fixes else []
        said += [f"{right} area{'' if right == 1 else 's'} right"] if right else []
        said += ["all right"] if self.count.rest_is_right else []
        said += [] if self.corrected else ["not open"]
        return f"{self.name}\n{', '.join(said) or 'nothing yet'}"


def iter_lessons(open_layers: list[CorrectedLayer], projects: list[Project]) -> Steps[list[Lesson]]:
    """Count what there is, as a job: open layers first, then what else lies in their projects."""
    found, folders = [], set()
    for corrected in open_layers:
        yield Progress(0, 1)
        state = corrected.state()
        folders.add(corrected.recorder.folder if corrected.recorder is not None else None)
        is_ticked = bool(corrected.facts.get(TICKED, True))
        name = corrected.layer.name
        lesson = Lesson(name=name, count=count(state), is_ticked=is_ticked, corrected=corrected, classes=_names(state))
        found.append(lesson)
    for entry in (entry for project in projects for entry in project.entries() if entry.folder not in folders):
        yield Progress(0, 1)
        try:
            state = entry.state()
        except UnetstyleError:  # opening it says why
            continue
        if state.number:
            is_ticked = bool(state.said.get(TICKED, True))
            name = entry.header.layer
            lesson = Lesson(name=name, count=count(state), is_ticked=is_ticked, entry=entry, classes=_names(state))
            found.append(lesson)
    return found


def _names(state: State) -> tuple[str, ...]:
    return tuple(one.name for one in classes_of(state.header, state.said))


class LearnsFrom(QGroupBox):
    """The list in the tab *Teach*.

    Parameters
    ----------
    viewer
        The napari viewer.
    corrections
        What is corrected in it.
    learner
        Gives what is to learn.
    """

    changed = Signal()

    def __init__(
        self,
        viewer: napari.viewer.ViewerModel,
        corrections: Corrections,
        learner: Callable[[], Goal | None] = lambda: None,
    ) -> None:
        super().__init__("Learns from")
        self._learner = learner
        self._adding = JobSlot(self)
        self.add = QPushButton(ADD)
        self.add.setToolTip("Folders of pictures and of masks that were made elsewhere; names have to be alike")
        self._corrections = corrections
        self._counting = JobSlot(self)
        self._counting.done.connect(self._on_counted)
        self._places = LearnedPlaces(viewer, self)
        self.lessons: list[Lesson] = []
        self.boxes: list[QCheckBox] = []
        self.show_on_picture = QPushButton("show on picture")
        self.show_on_picture.setCheckable(True)
        self.saved = Words()
        self.question, self.asked = QWidget(), Words()
        self.yes, self.only = QPushButton("Yes"), QPushButton("Only my fixes")
        self.copy = CopyOffer(corrections)
        self.message = MessageRow()
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST_MS)
        self._rest.timeout.connect(self.refresh)
        self._lay_out()
        self._connect()
        self._show()

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        rows = QWidget()
        self._rows = QVBoxLayout(rows)
        self._rows.setContentsMargins(0, 0, 0, 0)
        rows.installEventFilter(self)
        self._list = scrolling(rows)
        layout.addWidget(self._list)
        question = QHBoxLayout(self.question)
        question.setContentsMargins(0, 0, 0, 0)
        question.addWidget(self.asked, 1)
        self.yes.setToolTip("Everything that you did not fix is learned from, too")
        self.only.setToolTip("The rest of this picture is not learned from")
        self.show_on_picture.setToolTip("Color what is learned from in this picture")
        for button in (self.yes, self.only):
            button.setCheckable(True)
            question.addWidget(button)
        layout.addWidget(self.question)
        below = QHBoxLayout()
        below.addWidget(self.saved, 1)
        below.addWidget(self.show_on_picture)
        layout.addLayout(below)
        layout.addWidget(self.add)
        layout.addWidget(self.copy)
        layout.addWidget(self.message)

    def _connect(self) -> None:
        self._corrections.changed.connect(self._on_changed)
        self._corrections.reported.connect(self._show_saved)
        self.yes.clicked.connect(lambda: self._answer(True))
        self.only.clicked.connect(lambda: self._answer(False))
        self.show_on_picture.toggled.connect(self._show_places)
        self.add.clicked.connect(lambda: ask_for_path(self, "Pictures", self.add_from, mode="folder"))
        self._adding.progressed.connect(lambda progress: self.add.setText(f"adding {progress.done}"))
        self._adding.done.connect(self._on_added)

    def _on_changed(self) -> None:
        if not self._places.is_drawing:
            self._rest.start()
        self._show_question()
        self._show_saved()

    def refresh(self) -> None:
        """Count what there is, off the GUI thread."""
        layers = [c for c in self._corrections.layers if c.is_corrected]
        projects = self._corrections.projects()
        self._counting.replace(lambda: iter_lessons(layers, projects))

    def _on_counted(self, outcome: Outcome) -> None:
        match outcome:
            case Finished(value=lessons):
                before = [_shown(lesson) for lesson in self.lessons]
                self.lessons = [x for x in lessons if x.corrected is None or x.corrected in self._corrections.layers]
                if [_shown(lesson) for lesson in self.lessons] != before:
                    self._show()
                self._show_places()
                self.changed.emit()
            case Failed():
                self.message.fail(outcome)

    def _show(self) -> None:
        while (item := self._rows.takeAt(0)) is not None:
            if (row := item.widget()) is not None:
                row.hide()
                row.deleteLater()
        self.boxes = []
        for lesson in self.lessons:
            self._rows.addWidget(row := self._row(lesson))
            row.show()  # else it has no height yet
        self._fit_list()
        self._show_question()
        self._show_saved()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Follow the height of the rows, which napari's theme and font change later."""
        if event.type() == QEvent.Type.LayoutRequest:
            self._fit_list()
        return super().eventFilter(watched, event)

    def _fit_list(self) -> None:
        """As high as its rows, up to a point."""
        height = self._rows.sizeHint().height() + 2 * self._list.frameWidth()
        policy = Qt.ScrollBarPolicy.ScrollBarAsNeeded if height > LIST_HEIGHT else Qt.ScrollBarPolicy.ScrollBarAlwaysOff
        self._list.setVerticalScrollBarPolicy(policy)
        self._list.setFixedHeight(min(height, LIST_HEIGHT))
        self._list.setVisible(bool(self.lessons))

    def _row(self, lesson: Lesson) -> QWidget:
        row = QWidget()
        layout = QHBoxLayout(row)
        layout.setContentsMargins(0, 0, 0, 0)
        box = QCheckBox(lesson.words)
        box.setChecked(lesson.is_ticked)
        box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        box.setToolTip(lesson.words)
        box.toggled.connect(partial(self._on_ticked, lesson))
        self.boxes.append(box)
        layout.addWidget(box, 1)
        if lesson.entry is not None:
            button = QPushButton("Open")
            button.clicked.connect(partial(self._on_open, lesson.entry))
            layout.addWidget(button)
        return row

    def _on_ticked(self, lesson: Lesson, is_ticked: bool) -> None:
        try:
            if lesson.corrected is not None:
                lesson.corrected.say(**{TICKED: is_ticked})
            elif lesson.entry is not None:
                lesson.entry.say(**{TICKED: is_ticked})
        except UnetstyleError as error:
            self.message.fail(failure(error))
        self._rest.start()

    # Masks from elsewhere --------------------------------------------------------------------------------------------

    def add_from(self, pictures: Path, masks: Path | None = None) -> None:
        """Take in pictures of a folder that have masks in another one; in the same one unless said otherwise."""
        self._folders = pictures, masks
        from napari_unetstyle.widgets.added_masks import iter_add  # brings all readers of files

        self._project = project_beside(str(pictures / "any"))
        if self._adding.start(iter_add(pictures, masks or pictures, self._project, self._learner())):
            self.message.clear()
            self.add.setEnabled(False)

    def _on_added(self, outcome: Outcome) -> None:
        self.add.setEnabled(True)
        self.add.setText(ADD)
        pictures, masks = self._folders
        match outcome:
            case Finished(value=added):
                self._corrections.list_too(self._project)
                self.message.say(added.sentence)
            case Failed() if masks is None:
                choose = partial(self.add_from, pictures)
                self.message.ask(
                    outcome.sentence,
                    (ELSEWHERE, lambda: ask_for_path(self, "Masks", choose, folder=pictures.parent, mode="folder")),
                )
            case Failed():
                self.message.fail(outcome)

    def _on_open(self, entry: Entry, _: bool = False) -> None:
        self._corrections.open(entry)

    # Of the active result --------------------------------------------------------------------------------------------

    def _show_question(self) -> None:
        active = self._corrections.active
        is_asked = active is not None and active.is_corrected
        self.question.setVisible(is_asked)
        self.show_on_picture.setVisible(is_asked)
        if active is not None:
            answer = active.facts.get(REST)
            of_which = f" of {active.placement.name}" if len(self._corrections.layers) > 1 else ""
            self.asked.setText(f"Is the rest{of_which} right?")
            with QSignalBlocker(self.yes), QSignalBlocker(self.only):
                self.yes.setChecked(answer is True)
                self.only.setChecked(answer is False)

    def _answer(self, is_right: bool) -> None:
        active = self._corrections.active
        if active is not None:
            active.say(**{REST: is_right})
        self._show_question()

    def _show_saved(self) -> None:
        active = self._corrections.active
        words = active.saved if active is not None else ""
        self.saved.setText(f"✓ {words}" if words.startswith("saved") else words)
        self.saved.setVisible(bool(words))

    def keep_room(self, is_kept: bool) -> None:
        """Take the same room for labels that nobody corrected, so that what lies below stays under the mouse."""
        for part in (self.question, self.saved, self.show_on_picture):
            keep_room(part, is_kept)

    def _show_places(self) -> None:
        """Paint over the picture what is learned from, if asked."""
        self._places.show(self._corrections.active if self.show_on_picture.isChecked() else None)

    def close_down(self) -> None:
        """Count no more."""
        self._rest.stop()
        self._counting.cancel()
        self._adding.cancel()
        self.copy.close_down()
        self._places.show(None)

    @property
    def active(self) -> CorrectedLayer | None:
        """The open labels that are selected; else the last ones."""
        return self._corrections.active

    @property
    def corrected(self) -> list[CorrectedLayer]:
        """The open labels that somebody painted on."""
        return [one for one in self._corrections.layers if one.is_corrected]

    def open(self, entry: Entry, then: Then) -> None:
        """Open the labels of an entry if they are not, and do something with them."""
        self._corrections.open(entry, then)

    def opened(self, layer: napari.layers.Labels | None) -> CorrectedLayer | None:
        """What is corrected in a layer; None if that is gone."""
        return next((one for one in self._corrections.layers if one.layer is layer), None)

    def folders(self) -> list[Path]:
        """Journals of all that is ticked, for a lesson."""
        ticked = [lesson for lesson in self.lessons if lesson.is_ticked]
        of_layers = [x.corrected.recorder.folder for x in ticked if x.corrected and x.corrected.recorder]
        return [*(f for f in of_layers if f is not None), *(x.entry.folder for x in ticked if x.entry is not None)]


def _shown(lesson: Lesson) -> tuple[Any, ...]:
    """What a row shows of a lesson, and what it acts on."""
    return lesson.words, lesson.is_ticked, lesson.corrected, lesson.entry and lesson.entry.folder
