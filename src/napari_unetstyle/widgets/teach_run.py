"""The button *Teach* and what comes of it: a model that is better, or the one before stays."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_unetstyle.core.errors import UnetstyleError
from napari_unetstyle.core.progress import Progress, through
from napari_unetstyle.core.training.options import FineTuneOptions
from napari_unetstyle.core.training.refused import Refused
from napari_unetstyle.core.training.train_progress import TrainProgress
from napari_unetstyle.widgets.also_read import AlsoRead
from napari_unetstyle.widgets.core_calls import CoreCalls
from napari_unetstyle.widgets.doubts import Doubts, DoubtsRow
from napari_unetstyle.widgets.gathering import Gathering, segment_options
from napari_unetstyle.widgets.improve import Improve
from napari_unetstyle.widgets.jobs import Cancelled, Failed, Finished, JobSlot, Outcome, failure
from napari_unetstyle.widgets.lesson_run import Material, Taught, iter_teach, iter_use
from napari_unetstyle.widgets.live_preview import LivePreview
from napari_unetstyle.widgets.message_row import MessageRow
from napari_unetstyle.widgets.parts import NumberBox, Words, keep_room, scroll_to
from napari_unetstyle.widgets.progress_row import ProgressRow
from napari_unetstyle.widgets.score_curve import ScoreCurve
from napari_unetstyle.widgets.settings import read_settings
from napari_unetstyle.widgets.spot import PlaceFrames, Spot, SpotFrame
from napari_unetstyle.widgets.taught_model import TaughtModel
from napari_unetstyle.widgets.time_left import TeachingTime

if TYPE_CHECKING:
    import napari.viewer

    from napari_unetstyle.core.models.spec import ModelSpec
    from napari_unetstyle.core.progress import Steps
    from napari_unetstyle.core.training.candidate import Checked
    from napari_unetstyle.widgets.corrected_layer import CorrectedLayer
    from napari_unetstyle.widgets.goal import Goal
    from napari_unetstyle.widgets.learns_from import LearnsFrom, Lesson
    from napari_unetstyle.widgets.result_panel import ResultPanel

MINUTES, NEW_MINUTES = 2.0, 10.0  # that are usual, from a model and from nothing
LAID_OUT, TRIES = 50, 40  # milliseconds, and how often, until what was just shown has its place
NOTHING_YET = "Nothing to learn from yet."


class TeachRun(QWidget):
    """Which model is improved, for how long, how it goes, and what came of it.

    Parameters
    ----------
    viewer
        The napari viewer.
    calls
        The core's functions.
    learns
        What is learned from.
    results
        The runs whose labels were corrected; new ones are added there.
    """

    models_changed = Signal()
    in_use = Signal(str)  # reference of the model for new runs
    _refused = Signal(object)  # Refused, from the job's thread, which waits

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        calls: CoreCalls,
        learns: LearnsFrom,
        results: ResultPanel,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._calls, self._learns, self._results = viewer, calls, learns, results
        self._gathering = Gathering(viewer, calls, learns, results)
        self._slot = JobSlot(self)
        self._followed: CorrectedLayer | None = None
        self._time: TeachingTime | None = None
        self._tries = 0
        self._revealing = QTimer(self)
        self._revealing.setInterval(LAID_OUT)
        self._revealing.timeout.connect(self._reveal)
        self._stop = threading.Event()
        self._go = threading.Event()
        self._is_given_up = threading.Event()
        self._waiting: Refused | None = None
        self.improve = Improve()
        self.model = self.improve.models
        self.also = AlsoRead(viewer)
        self.minutes = NumberBox()
        self.minutes.setRange(0.1, 600)
        self.minutes.setDecimals(1)
        self.minutes.setValue(MINUTES)
        self.minutes.setSuffix(" min")
        self.teach = QPushButton("TEACH")
        self.teach.setMinimumHeight(32)
        self.teach.setToolTip("Learn from what is ticked; the new model is used only if it is better")
        self.minutes.setToolTip("How long it learns; more helps where much was fixed")
        self.hint = Words()
        self.curve = ScoreCurve()
        self.progress, self.doing = ProgressRow(), Words()
        self.pause = QPushButton("Pause")
        self.pause.setCheckable(True)
        self.pause.setToolTip("The computer is free until you press Go on")
        self.progress.stop.setToolTip("Keeps the best so far, and compares it")
        self.live = LivePreview(viewer, lambda: self._gathering.in_sight(self.goal))
        self.doubts = DoubtsRow()
        self.message = MessageRow()
        self._result = TaughtModel(viewer, calls, results, self.message, self)
        self.box, self.pairs = self._result.box, self._result.pairs
        self.spot, self.places = SpotFrame(self, viewer), PlaceFrames(self, viewer)
        self._lay_out()
        self._connect()
        self.doing.hide()
        self._show()

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.also)
        row = QHBoxLayout()
        row.addWidget(self.teach, 1)
        row.addWidget(self.minutes)
        layout.addLayout(row)
        layout.addWidget(self.hint)
        layout.addWidget(self.curve)
        self.progress.layout().insertWidget(1, self.pause)
        layout.addWidget(self.progress)
        layout.addWidget(self.doing)
        layout.addWidget(self.live)
        layout.addWidget(self.doubts)
        layout.addWidget(self.message)
        layout.addWidget(self.box)

    def _connect(self) -> None:
        self.teach.clicked.connect(self.start)
        self.progress.stop.clicked.connect(self.stop)
        self.pause.toggled.connect(self._on_pause)
        self._learns.changed.connect(self._show)
        self.improve.changed.connect(self._on_goal)
        self.improve.paint_wanted.connect(self._paint_class)
        self.box.use_wanted.connect(self.use)
        self._result.models_changed.connect(self.models_changed)
        self._result.in_use.connect(self.in_use)
        self._result.in_use.connect(self.choose)
        self.box.details.place_wanted.connect(self._on_place_wanted)
        self.box.seen.connect(self._frame_places)
        self._learns.changed.connect(lambda: self._frame_places(self.box.isVisible()))
        self.doubts.teach_wanted.connect(self.start)
        self.doubts.place_wanted.connect(lambda doubt: self._go_to(doubt.material, doubt.frame, doubt.box))
        self.doubts.answered.connect(self._on_answered)
        self._slot.progressed.connect(self._on_progress)
        self._slot.done.connect(self._on_done)
        self._refused.connect(self._on_refused)

    @property
    def is_running(self) -> bool:
        """Whether a teaching is under way."""
        return self._slot.is_busy

    @property
    def goal(self) -> Goal | None:
        """What is to be taught."""
        return self.improve.goal

    def set_models(self, specs: list[ModelSpec]) -> None:
        """List the installed models, and keep the chosen one."""
        self.improve.set_models(specs)

    def choose(self, name: str) -> None:
        """Improve this model, ``nuclei@1``, or the newest version of that name."""
        self.improve.choose(name)

    def follow(self, corrected: CorrectedLayer | None) -> None:
        """Improve the model that made these labels; a person's own choice holds until others are selected."""
        if corrected is self._followed or self.is_running:
            return
        self._followed = corrected
        if corrected is None:
            self._show()
        else:
            request = self._results.request_of(corrected.layer)
            self.improve.follow(corrected.header.model if request is None else request.model, corrected.classes)

    def _on_goal(self) -> None:
        """A new model takes longer, unless a person has said how long."""
        goal = self.goal
        usual = NEW_MINUTES if goal is not None and goal.parent is None else MINUTES
        if self.minutes.value() in (MINUTES, NEW_MINUTES):
            self.minutes.setValue(usual)
        self._show()

    def _paint_class(self) -> None:
        """Give the labels that are corrected the class that is to be added, and take the brush."""
        goal, active = self.goal, self._followed
        if goal is not None and active is not None and goal.added:
            active.add_classes(goal.added)
            active.take_class(goal.added[-1].value)

    def start(self) -> None:
        """Teach what is ticked; nothing happens while a teaching is under way."""
        goal = self.goal
        if self.is_running or goal is None:
            return
        self.message.clear()
        if not self.doubts.isHidden():  # whoever presses again has read it
            self.doubts.settle()
            self.doubts.clear()
        self.spot.show(None)
        material = [self._gathering.material(lesson, goal.parent) for lesson in self._ticked]
        try:
            looks = self.also.looks()
        except UnetstyleError as error:
            self.message.fail(failure(error))
            return
        settings = read_settings()
        options = FineTuneOptions(
            minutes=self.minutes.value(),
            name=goal.name,
            add_classes=tuple(one.name for one in goal.added),
            device=settings.device,
            segment=segment_options(material),
        )
        store = self._calls.store(settings.model_folder)
        self._stop.clear()
        self._go.set()
        self.curve.clear()
        self.box.changes.setChecked(False)
        self.box.hide()
        self.pause.setChecked(False)
        given = (material, goal, options, store, self._should_stop, self._gathering.untouched(material), looks)
        also = self.also
        asked = {"settled": self.doubts.settled, "is_tried": also.is_tried, "is_textured": also.is_textured}
        steps = iter_teach(self._calls, *given, **asked, sight=self.live.begin())
        times = 2 if looks and self.also.is_tried and goal.parent is not None else 1
        self._begin(steps, "starting…", TeachingTime(self.minutes.value(), times))

    @property
    def _ticked(self) -> list[Lesson]:
        return [lesson for lesson in self._learns.lessons if lesson.is_ticked]

    def _begin(
        self, steps: Steps[Taught | Doubts] | Steps[Taught], words: str, time: TeachingTime | None = None
    ) -> None:
        self._time = time
        self._is_given_up.clear()
        self.progress.begin(words)
        self.doing.setText("")
        self._slot.start(through(steps, self._waited_for_space))
        self._show()

    def _should_stop(self) -> bool:
        """Asked by the job's thread after each step; waits there while paused."""
        self._go.wait()
        return self._stop.is_set()

    def _waited_for_space(self, progress: Progress) -> Progress:
        """In the job's thread: where the disk refused a write, nothing goes on until a person says how."""
        if isinstance(progress, Refused):
            self._go.clear()
            if not self._is_given_up.is_set():  # looked at after that, so that whoever gives up just now is heard
                self._refused.emit(progress)
                self._go.wait()
        return progress

    def _on_refused(self, refused: Refused) -> None:
        if self._is_given_up.is_set():
            return
        self._waiting = refused
        self.pause.setChecked(True)
        go_on = ("Go on", lambda: self.pause.setChecked(False))
        self.message.ask(f"Teaching waits, and nothing is lost. {refused.error}", go_on, ("Stop", self.stop))
        scroll_to(self.message)

    def _go_to(self, material: Material, frame: tuple[int, ...], box: Sequence[slice]) -> None:
        """Show a place of a picture, which is opened if it is not."""

        def show(corrected: CorrectedLayer) -> None:
            self.spot.show(Spot(placement=corrected.placement, image=corrected.image, frame=frame, box=box))

        if material.entry is not None:
            self._learns.open(material.entry, show)
        elif (corrected := self._learns.opened(material.layer)) is not None:
            show(corrected)
        else:
            self.message.say(f"{material.name} is not open any more.")

    def _on_place_wanted(self, checked: Checked | None) -> None:
        """Show a place that the models were compared on."""
        taught = self._result.taught
        if checked is None or taught is None:
            self.spot.show(None)
        else:
            self._go_to(taught.material[checked.picture], checked.frame, checked.box)

    def _frame_places(self, is_wanted: bool) -> None:
        """Frame all places that the models were compared on, in the pictures that are open."""
        taught = self._result.taught
        if not is_wanted or taught is None:
            self.places.show([])
            return
        found = ((one, self._opened(taught.material[one.picture])) for one in taught.candidate.places)
        self.places.show(
            [
                Spot(placement=corrected.placement, image=corrected.image, frame=one.frame, box=one.box)
                for one, corrected in found
                if corrected is not None
            ]
        )

    def _opened(self, material: Material) -> CorrectedLayer | None:
        """The open labels that material came from, or that its journal was opened in meanwhile."""
        if material.entry is None:
            return self._learns.opened(material.layer)
        folder = material.entry.folder
        return next((c for c in self._learns.corrected if c.recorder and c.recorder.folder == folder), None)

    def _on_answered(self) -> None:
        if self.doubts.isHidden():
            self.spot.show(None)

    def _on_pause(self, is_paused: bool) -> None:
        self.pause.setText("Go on" if is_paused else "Pause")
        if not is_paused and self._waiting is not None:
            self._waiting.again.set()
            self._waiting = None
            self.message.clear()
        (self._go.clear if is_paused else self._go.set)()
        if is_paused and self.is_running:
            self.progress.bar.setFormat("paused")

    def stop(self) -> None:
        """End the training early and compare what there is; a second time, give it up."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:  # it is not tried again; what there is by then stays
            self.message.clear()
        elif self._stop.is_set() or self._time is None:  # nothing is trained that there could be a best of
            self._is_given_up.set()
            self._slot.cancel()
        self._stop.set()
        self.live.end()
        self.pause.setChecked(False)
        self._go.set()
        self.progress.bar.setFormat("finishing with what there is…")
        self.progress.stop.setText("Give up")

    def close_down(self) -> None:
        """Give up what is under way; this dock was closed."""
        self._stop.set()
        self._is_given_up.set()
        self._waiting = None
        self._go.set()
        self.live.end()
        self._slot.cancel()
        self.spot.show(None)
        self._result.forget()

    def use(self) -> None:
        """Take the taught model into use, although it is not better, or nobody knows."""
        taught = self._result.taught
        if taught is None or self.is_running:
            return
        self.message.clear()
        store = self._calls.store(read_settings().model_folder)
        self._stop.clear()
        self._go.set()
        self._begin(iter_use(self._calls, taught, store), "segmenting again…")

    def _on_progress(self, progress: Progress) -> None:
        if progress.message not in ("", self.doing.text()):
            self.doing.setText(progress.message)
            self.doing.show()
        if self._stop.is_set() or not self._go.is_set():
            return
        left = None if self._time is None else self._time.words(progress)
        self.progress.show_progress(progress, left)
        if isinstance(progress, TrainProgress):
            self.curve.add(progress.fraction, progress.score, progress.counted)

    def _on_done(self, outcome: Outcome) -> None:
        self.progress.hide()
        self.doing.hide()
        self.live.end()
        self.curve.hide()  # what it came to stands in the box
        self._tries = TRIES
        self._revealing.start()
        match outcome:
            case Finished(value=Doubts() as doubts):
                if (goal := self.goal) is not None:
                    self.doubts.show_doubts(doubts, goal)
            case Finished(value=taught):
                self._result.deliver(taught)
                can_flip = self._result.can_flip
                self._learns.keep_room(can_flip)
                keep_room(self.improve.plus, can_flip and bool(taught.candidate.comparison.child.added))
            case Failed():
                self.message.fail(outcome)
            case Cancelled():
                self.models_changed.emit()  # it may have got its name just before
                self.message.say("Given up. The model you had stays in use, and your fixes are kept.")
        self._show()

    def _reveal(self) -> None:
        """Scroll to what came of it, in a low window."""
        shown = next((part for part in (self.box, self.doubts) if not part.isHidden()), self.message)
        self._tries -= 1
        if not self._tries or shown.visibleRegion().boundingRect().height() == shown.height():
            self._revealing.stop()
        scroll_to(shown)

    def _show(self) -> None:
        """Enable what can be done, and say what is missing."""
        ticked = self._ticked
        goal = self.goal
        for part in (self.improve, self.minutes):
            part.setEnabled(not self.is_running)
        self.also.trial.setVisible(goal is None or goal.parent is not None)
        self.improve.paint.setEnabled(goal is not None and bool(goal.added) and not goal.unpaintable(self._followed))
        words = "" if goal is None else goal.problem or goal.misfit(ticked, self._followed)
        self.teach.setEnabled(bool(ticked) and goal is not None and not words and not self.is_running)
        if not words and not ticked:
            words = "Tick a picture to learn from." if self._learns.lessons else NOTHING_YET
        elif not words and goal is not None and not goal.has_memory:
            words = "This model carries no old pictures, so nobody can tell what it may forget."
        self.hint.setText(words)
        self.hint.setVisible(bool(words))
