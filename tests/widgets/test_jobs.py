"""Generators drained by a thread, heard by Qt."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QCoreApplication, QObject

from napari_unetstyle.core.errors import ImageFileError, OptionError
from napari_unetstyle.core.progress import Progress
from napari_unetstyle.core.style.perceptual import StyleProgress
from napari_unetstyle.widgets.jobs import Cancelled, Failed, Finished, JobSlot, as_steps, failure

MS = 20_000


class Recorder:
    def __init__(self, slot: JobSlot) -> None:
        self.progress: list[Progress] = []
        self.threads: set[int] = set()
        slot.progressed.connect(self._hear)

    def _hear(self, progress: Progress) -> None:
        self.progress.append(progress)
        self.threads.add(threading.get_ident())


@pytest.fixture
def slot(qapp: QCoreApplication) -> Iterator[JobSlot]:
    parent = QObject()
    slot = JobSlot(parent)
    yield slot
    slot.cancel()


def outcome(qtbot: Any, slot: JobSlot, start: Any) -> Any:
    with qtbot.waitSignal(slot.done, timeout=MS) as done:
        start()
    return done.args[0]


def test_twenty_thousand_steps_are_few_messages_in_the_gui_thread(slot: JobSlot, qtbot: Any) -> None:
    heard = Recorder(slot)

    def steps() -> Any:
        for i in range(20_000):
            yield Progress(i, 20_000)
        return "result"

    began = time.monotonic()
    assert outcome(qtbot, slot, lambda: slot.start(steps())) == Finished("result")
    assert len(heard.progress) <= 2 + 10 * (time.monotonic() - began)
    assert heard.threads == {threading.get_ident()}


def test_every_picture_that_a_step_shows_is_shown(slot: JobSlot, qtbot: Any) -> None:
    heard = Recorder(slot)

    def steps() -> Any:
        for i in range(1, 7):
            yield Progress(i, 7)
            yield StyleProgress(i, 7, preview=np.zeros((1, 2, 2), np.float32))

    outcome(qtbot, slot, lambda: slot.start(steps()))
    assert [one.step for one in heard.progress if isinstance(one, StyleProgress)] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    "error", [RuntimeError("CUDA out of memory"), OptionError("No."), KeyError("x"), SystemExit(1)]
)
def test_every_error_is_delivered(slot: JobSlot, qtbot: Any, error: BaseException) -> None:
    """napari's worker swallows a RuntimeError inside a generator."""

    def steps() -> Any:
        yield Progress(0, 1)
        raise error

    failed = outcome(qtbot, slot, lambda: slot.start(steps()))
    assert isinstance(failed, Failed)
    assert type(error).__name__ in failed.details
    assert not slot.is_busy


def test_cancel_closes_the_generator_at_the_next_step(slot: JobSlot, qtbot: Any) -> None:
    closed, started = threading.Event(), threading.Event()

    def steps() -> Any:
        try:
            while True:
                started.set()
                yield Progress(0, 1)
        finally:
            closed.set()

    def start_and_cancel() -> None:
        slot.start(steps())
        assert started.wait(20)
        slot.cancel()

    assert outcome(qtbot, slot, start_and_cancel) == Cancelled()
    assert closed.is_set()


def test_a_result_that_comes_after_stop_is_not_heard(slot: JobSlot, qtbot: Any) -> None:
    ended = threading.Event()

    def steps() -> Any:
        yield Progress(0, 1)
        ended.set()
        return 1

    def start_and_cancel_late() -> None:
        slot.start(steps())
        assert ended.wait(20)
        time.sleep(0.05)  # its message is in Qt's queue now
        slot.cancel()

    assert outcome(qtbot, slot, start_and_cancel_late) == Cancelled()


def test_only_the_latest_wish_is_followed(slot: JobSlot, qtbot: Any) -> None:
    made = []

    def wish(number: int) -> Any:
        made.append(number)
        return as_steps(lambda: number)

    def ask_often() -> None:
        for number in range(50):
            slot.replace(lambda number=number: wish(number))

    assert outcome(qtbot, slot, ask_often) == Finished(49)
    assert made == [0, 49]


def test_one_slot_runs_one_job(slot: JobSlot, qtbot: Any) -> None:
    gate = threading.Event()
    assert slot.start(as_steps(lambda: gate.wait(20)))
    assert not slot.start(as_steps(lambda: "second"))
    assert outcome(qtbot, slot, gate.set) == Finished(True)


def test_the_job_of_a_parent_that_is_gone_stops(qapp: QCoreApplication, qtbot: Any) -> None:
    parent, closed = QObject(), threading.Event()

    def steps() -> Any:
        try:
            while True:
                yield Progress(0, 1)
        finally:
            closed.set()

    JobSlot(parent).start(steps())
    parent.deleteLater()
    qtbot.waitUntil(closed.is_set, timeout=MS)


def test_words_of_errors() -> None:
    assert failure(OptionError("Give a number.")).sentence == "Give a number."
    assert "not enough memory" in failure(MemoryError()).sentence
    assert "not enough memory" in failure(RuntimeError("CUDA out of memory. Tried to allocate")).sentence
    assert "ZeroDivisionError" in failure(ZeroDivisionError("x")).sentence


def test_details_for_a_report_name_no_picture(tmp_path):
    picture = tmp_path / "DOE JANE 1960.tif"
    try:
        try:
            picture.read_bytes()
        except OSError as error:
            raise ImageFileError(f"{picture} cannot be read: {error}") from error
    except ImageFileError as error:
        failed = failure(error)
    assert "DOE" in failed.sentence  # the person at the screen has to know
    assert "DOE" not in failed.details
    assert failed.details.index("FileNotFoundError (No such file") < failed.details.index("ImageFileError")
    assert "in test_details_for_a_report_name_no_picture" in failed.details
    assert "ValueError: two and three" in failure(ValueError("two and three")).details
