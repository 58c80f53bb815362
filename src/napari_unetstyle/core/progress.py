"""Long work is a generator that yields :class:`Progress` and returns its result."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Progress:
    """One step forward.

    Attributes
    ----------
    step, total
        Steps done and steps in all (``0 <= step <= total``), all of about the same cost.
    message
        What is being done, for a person.
    counted
        The slice (or picture) that is being done, from 1, and how many there are; None where there is only one.
    """

    step: int
    total: int
    message: str = ""
    counted: tuple[int, int] | None = None

    @property
    def fraction(self) -> float:
        """Share done, from 0 to 1."""
        return self.step / self.total if self.total else 1.0

    @property
    def done(self) -> str:
        """``31/48`` where there is something to count, otherwise ``65%``."""
        return "{}/{}".format(*self.counted) if self.counted else f"{self.fraction:.0%}"


Steps = Generator[Progress, None, T]
"""A long job: yields progress, returns ``T``; closing it cancels it within one step."""


_WHOLE = 1000


def share(steps: Steps[T], start: float, stop: float, counted: tuple[int, int] | None = None) -> Steps[T]:
    """A job as the part ``start`` to ``stop`` (in 0..1) of a longer one: same result, progress out of 1000.

    Where a person can count the parts, `counted` says which one this is; otherwise the job's own count stays.
    """

    def scaled(progress: Progress) -> Progress:
        done = start + (stop - start) * progress.fraction
        return replace(progress, step=round(done * _WHOLE), total=_WHOLE, counted=counted or progress.counted)

    return through(steps, scaled)


def through(steps: Steps[T], each: Callable[[Progress], Progress]) -> Steps[T]:
    """A job with the same result whose progress has gone through `each`; closing it closes `steps`."""
    try:
        while True:
            try:
                progress = next(steps)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            yield each(progress)
    finally:
        steps.close()


def told(steps: Steps[T], words: str) -> Steps[T]:
    """The same job, whose progress says what it is for."""
    return through(steps, lambda progress: replace(progress, message=words))


def run(steps: Steps[T], on_progress: Callable[[Progress], None] | None = None) -> T:
    """Drain a job and return its result.

    Parameters
    ----------
    steps
        The generator; closed if `on_progress` raises, so that it can clean up.
    on_progress
        Called for each step.
    """
    try:
        while True:
            try:
                progress = next(steps)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            if on_progress is not None:
                on_progress(progress)
    finally:
        steps.close()
