"""Work on several things at once, in threads, with the results in order.

What takes long here (PyTorch, scipy.ndimage, the watershed) lets other threads run meanwhile.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import nullcontext
from typing import TypeVar

MOST = 4
"""Threads, however many cores there are: each takes memory."""

S = TypeVar("S")
T = TypeVar("T")


def cores() -> int:
    """How many threads may compute: as many as PyTorch takes, where it is loaded."""
    torch = sys.modules.get("torch")
    if torch is not None:
        return int(torch.get_num_threads())
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def workers() -> int:
    """How many things are worked on side by side, where nothing else is said."""
    return min(MOST, cores())


def side_by_side(
    work: Callable[[S], T], items: Iterable[S], count: int | None = None, pool: Executor | None = None
) -> Generator[T]:
    """Results of `work`, in the order of `items`; at most `count` are worked on, and one more waits.

    The first error ends it. Whoever closes it early waits for what is being worked on.

    Parameters
    ----------
    work
        Called in another thread.
    items
        Drawn in this thread, when their turn comes.
    count
        Threads; None: as many as :func:`workers`.
    pool
        Where they are, if there are some already.
    """
    count = count or workers()
    waiting: deque[Future[T]] = deque()
    with ThreadPoolExecutor(count) if pool is None else nullcontext(pool) as threads:
        try:
            for item in items:
                waiting.append(threads.submit(work, item))
                if len(waiting) > count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
