"""The time that something still takes, in words."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from napari_unetstyle.core.progress import Progress
from napari_unetstyle.core.training.train_progress import TrainProgress
from napari_unetstyle.widgets.time_left import TeachingTime, time_left


@dataclass
class Clock:
    """Stands still until it is moved."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@given(fraction=st.floats(0, 1), seconds=st.floats(0, 1e5))
def test_time_left_is_short(fraction: float, seconds: float) -> None:
    words = time_left(fraction, seconds)
    assert words == "" or words.endswith(" left")


def test_time_left_is_in_proportion() -> None:
    assert time_left(0.25, 10) == "30 s left"
    assert time_left(0.5, 600) == "10 min left"
    assert time_left(0.01, 10) == ""  # too early to say


def training(seconds_left: float, counted: tuple[int, int] | None = None) -> TrainProgress:
    return TrainProgress(100, 1000, "Teaching", counted, seconds_left=seconds_left)


def test_a_teaching_promises_nothing_until_it_trains_and_then_counts_down():
    clock = Clock()
    left = TeachingTime(2, clock=clock)
    for _ in range(10):  # however slowly the pictures are looked at
        assert left.words(Progress(1, 1000, "Measuring nuclei on 3 of 12 pictures")) == ""
        assert left.words(TrainProgress(1, 1000, "Measuring nuclei on 3 of 12 pictures")) == ""  # of its own process
        clock.now += 2
    said = []
    for seconds_left in (119, 90, 65, 30, 0):
        said.append(left.words(training(seconds_left)))
        clock.now += 30
    assert said == ["2 min left", "2 min left", "85 s left", "50 s left", "20 s left"]
    clock.now -= 25
    assert left.words(Progress(900, 1000)) == "15 s left"
    clock.now += 60
    assert left.words(Progress(950, 1000)) == ""  # nobody knows


def test_a_pause_does_not_change_what_is_left():
    clock = Clock()
    left = TeachingTime(1, clock=clock)
    assert left.words(training(50)) == "50 s left"
    clock.now += 3600
    assert left.words(training(49)) == "50 s left"


def test_two_teachings_to_compare_take_twice_as_long():
    left = TeachingTime(2, times=2, clock=Clock())
    assert left.words(Progress(0, 1)) == ""
    assert left.words(training(60, (1, 2))) == "3 min left"
    assert left.words(training(60, (2, 2))) == "60 s left"
