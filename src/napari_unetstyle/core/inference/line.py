"""Several strips on their way through the network at once, as on an assembly line: in order at every station.

A network of many small steps keeps the cores of a CPU busy only in part when each step is split among them: they wait
for each other after every one, for long where another program wants a core, too. Here each thread takes a strip the
whole way, and no thread waits unless the strip before is still where it wants to go. The arithmetic is the same,
so is every bit.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TypeVar

import torch

from napari_unetstyle.core.side_by_side import cores, side_by_side

Turn = Callable[[object], AbstractContextManager[None]]
"""Of one strip: waits until the strip before has left a station, and holds it while it is worked on there."""

S = TypeVar("S")
T = TypeVar("T")


class _StoppedError(Exception):
    """Another strip failed, or nobody wants the result any more."""


class Line:
    """The stations of an assembly line, each with the number of the strip that is next there."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._next: Counter[object] = Counter()
        self._is_stopped = False
        self.error: BaseException | None = None

    def turn(self, number: int) -> Turn:
        """The turns of strip `number`, counted from 0; each strip has to come to each station."""

        @contextmanager
        def at(station: object) -> Iterator[None]:
            with self._changed:
                self._changed.wait_for(lambda: self._is_stopped or self._next[station] == number)
                if self._is_stopped:
                    raise _StoppedError
            yield
            with self._changed:
                self._next[station] += 1
                self._changed.notify_all()

        return at

    def stop(self, error: BaseException | None = None) -> None:
        """Let nobody wait any longer, because of the first `error` if there is one."""
        with self._changed:
            if not self._is_stopped:
                self._is_stopped, self.error = True, error
            self._changed.notify_all()


def no_turn(_: object) -> AbstractContextManager[None]:
    """The turns of strips that come one after the other."""
    return nullcontext()


def in_order(strips: Sequence[S], work: Callable[[S, Turn], T], count: int) -> Generator[T]:
    """Results of `work` on strips that go through it side by side, in order.

    Whoever closes this early, or an error, stops all of them at the next station.

    Parameters
    ----------
    strips
        In order.
    work
        Takes one strip through all stations.
    count
        Strips at once. They share PyTorch's threads.
    """
    count = max(1, min(count, len(strips)))
    line = Line()

    def one(numbered: tuple[int, S]) -> T:
        number, strip = numbered
        try:
            return work(strip, line.turn(number))
        except BaseException as error:  # whatever ended this strip, the next ones must not wait for it
            line.stop(error)
            raise

    with _crew(count, max(1, cores() // count)) as pool:
        try:
            yield from side_by_side(one, enumerate(strips), count, pool)
        except _StoppedError:  # a strip before the one that failed
            assert line.error is not None
            raise line.error from None
        finally:
            line.stop()


@contextmanager
def _crew(count: int, threads: int) -> Iterator[ThreadPoolExecutor]:
    """As many threads, each with so many of PyTorch's own; this one keeps what it has."""
    usual, ready = torch.get_num_threads(), threading.Barrier(count + 1)

    def begin() -> None:
        torch.get_num_threads()  # the first time a thread is asked it takes the usual number, whatever it was told
        torch.set_num_threads(threads)  # of this thread, and of all that begin from now on
        ready.wait()

    with ThreadPoolExecutor(count, "strip") as pool:
        for _ in range(count):
            pool.submit(begin)
        ready.wait()
        torch.set_num_threads(usual)
        yield pool
