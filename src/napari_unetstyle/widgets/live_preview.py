"""While a model is taught: outlines of what it would find on screen by now, better from time to time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from numpy.typing import NDArray
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QCheckBox, QVBoxLayout, QWidget

from napari_unetstyle.core.errors import UnetstyleError
from napari_unetstyle.core.progress import Progress, Steps
from napari_unetstyle.core.training.train_progress import TrainProgress
from napari_unetstyle.widgets.core_calls import CoreCalls
from napari_unetstyle.widgets.jobs import failure
from napari_unetstyle.widgets.overlay import Drawing
from napari_unetstyle.widgets.preview import COLOR, LARGEST

if TYPE_CHECKING:
    import napari.viewer

    from napari_unetstyle.widgets.part_in_sight import PartInSight

T = TypeVar("T")
KEY, WORDS = "teaching", "Preview while it learns"
LOOK = 500  # milliseconds between two looks at the camera and at what has come
EVERY = 3.0  # seconds of teaching between two previews, at least
SHARE = 0.1  # of the time, at most


@dataclass(eq=False)
class Sight:
    """What the window and the job tell each other; each field is written by one of the two threads.

    Attributes
    ----------
    wanted
        What is on screen of a run; None where nothing is to be shown.
    outlines
        What came of it: the part, and its mask.
    problem
        Why there is none.
    """

    wanted: PartInSight | None = None
    outlines: tuple[PartInSight, NDArray[Any]] | None = None
    problem: str = ""


def iter_watched(
    steps: Steps[T], sight: Sight, calls: CoreCalls, clock: Callable[[], float] = time.monotonic
) -> Steps[T]:
    """A teaching that is looked at now and then; meanwhile it waits, so it does no step less and no other one."""
    began, spent, cost, shown = clock(), 0.0, 0.0, None
    try:
        while True:
            try:
                progress = next(steps)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            yield progress
            wanted, passed = sight.wanted, clock() - began
            now = _version(progress, wanted)
            if now in (None, shown) or passed < EVERY or spent + cost > SHARE * passed or sight.problem:
                continue
            started = clock()
            yield from _iter_look(progress, wanted, sight, calls)
            cost, shown = clock() - started, now
            spent += cost
    finally:
        steps.close()


def _version(progress: Progress, wanted: PartInSight | None) -> Any:
    """Names what would be seen; None where that is nothing. The best model changes when it is measured."""
    if wanted is None or not isinstance(progress, TrainProgress) or progress.so_far is None:
        return None
    known = progress.step if progress.score is None else progress.score
    return known, wanted.slice, wanted.sides


def _iter_look(progress: Progress, part: PartInSight, sight: Sight, calls: CoreCalls) -> Steps[None]:
    try:
        model = progress.so_far()  # type: ignore[attr-defined]
        run = part.request
        steps = calls.iter_preview(run.image, model, run.options, run.store, {}, part.index, part.box)
        with contextlib.closing(steps):
            while sight.wanted is not None:  # else nobody looks any more
                try:
                    next(steps)
                except StopIteration as end:
                    sight.outlines = part, part.mask(end.value)
                    return
                yield progress
    except Exception as error:  # noqa: BLE001 (a look that fails is no reason to end the teaching)
        sight.problem = failure(error).sentence


class LivePreview(QWidget):
    """A check box while something is taught, and outlines on the canvas while it is on.

    It is on unasked: it costs no training step, and takes one core a second for 360 x 360 pixels of nuclei, so in two
    minutes of teaching there are some ten looks within the tenth of the time that they may take.

    Parameters
    ----------
    viewer
        Whose camera is followed.
    ask
        Gives what is on screen of a run.
    """

    def __init__(
        self, viewer: napari.viewer.ViewerModel, ask: Callable[[], PartInSight | None], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._viewer, self._ask = viewer, ask
        self.sight = Sight()
        self.drawing = Drawing(self, viewer, KEY)
        self.box = QCheckBox(WORDS)
        self.box.setChecked(True)
        self.box.setToolTip("Outlines of what the model would find on screen by now; takes at most a tenth of the time")
        self.box.toggled.connect(self._look)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.box)
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK)
        self._timer.timeout.connect(self._look)
        self.hide()

    def begin(self) -> Sight:
        """Something is taught from here on; gives what its job looks at."""
        self.sight = Sight()
        self.show()
        self._timer.start()
        self._look()
        return self.sight

    def end(self) -> None:
        """Nothing is taught any more."""
        self._timer.stop()
        self.hide()
        self.sight.wanted = None
        self.drawing.show(None)

    def _look(self) -> None:
        """Tell what is on screen, and draw what has come."""
        sight = self.sight
        is_on = self.box.isChecked() and self._timer.isActive()
        wanted, words = self._on_screen() if is_on else (None, "")
        sight.wanted = wanted
        self.box.setText(f"{WORDS} ({words})" if words else WORDS)
        if sight.problem:
            self.box.setToolTip(sight.problem)
        drawn = sight.outlines
        if drawn is None or wanted is None or drawn[0].slice != wanted.slice:
            self.drawing.show(None)
        elif self.drawing.outlines is None or self.drawing.outlines.mask is not drawn[1]:
            part, mask = drawn
            self.drawing.show(part.outlines(mask, COLOR, self._viewer))

    def _on_screen(self) -> tuple[PartInSight | None, str]:
        if self.sight.problem:
            return None, "not possible here"
        try:
            part = self._ask()
        except UnetstyleError:  # as when nothing of the picture is on screen
            return None, ""
        if part is None:
            return None, ""
        return (None, "zoom in") if part.pixels > LARGEST else (part, "")
