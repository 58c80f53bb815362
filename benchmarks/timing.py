"""What benchmarks share: timing jobs beside each other, so that a busy machine slows all of them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def interleaved(jobs: dict[str, Callable[[], object]], repeats: int, warm_up: int = 0) -> dict[str, float]:
    """Median seconds of each job, run in turn `repeats` times after `warm_up` rounds that do not count."""
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(warm_up + repeats):
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values[warm_up:]) for name, values in times.items()}
