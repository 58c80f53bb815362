"""A scripted person who paints; as a program (``-m``) it gets killed.

It is given what to do, ``paint`` or ``snapshots``, a folder, a seed and a number of strokes.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from napari_unetstyle.core.annotation.changes import Changes
from napari_unetstyle.core.annotation.journal import Journal
from napari_unetstyle.core.annotation.recorder import Recorder, changed_places
from tests.core.annotation_for_tests import blobs, header

SHAPE = (8, 60, 70)
PACE = 0.004


def start(seed: int) -> np.ndarray:
    return np.stack([blobs(seed + i, SHAPE[1:]) for i in range(SHAPE[0])])


def strokes(labels: np.ndarray, seed: int, count: int) -> Iterator[None]:
    """Brush, erase, merge, split, undo and redo in several slices; yields after each."""
    rng, past, future = np.random.default_rng(seed), [], []
    for _ in range(count):
        act = rng.choice(["brush", "brush", "brush", "erase", "merge", "split", "undo", "redo"])
        if act in ("undo", "redo"):
            source, target = (past, future) if act == "undo" else (future, past)
            if source:
                at, values = source.pop()
                target.append((at, labels.reshape(-1)[at].copy()))
                labels.reshape(-1)[at] = values
            yield
            continue
        z = int(rng.integers(SHAPE[0]))
        after = labels[z].copy()
        y, x = rng.integers(SHAPE[1] - 6), rng.integers(SHAPE[2] - 6)
        ids = np.unique(after[after > 0])
        if act == "merge" and len(ids) > 1:
            after[after == ids[0]] = ids[-1]
        elif act == "split" and len(ids):
            after[:, x:][after[:, x:] == rng.choice(ids)] = after.max() + 1
        else:
            after[y : y + 6, x : x + 6] = 0 if act == "erase" else rng.integers(1, 40)
        at = np.flatnonzero(after != labels[z]) + z * after.size
        past.append((at, labels.reshape(-1)[at].copy()))
        future.clear()
        labels.reshape(-1)[at] = after.reshape(-1)[at - z * after.size]
        yield


def states(seed: int, count: int) -> list[np.ndarray]:
    """The labels before the first stroke and after each."""
    labels = start(seed)
    return [labels.copy(), *(labels.copy() for _ in strokes(labels, seed, count))]


def paint(folder: Path, seed: int, count: int) -> None:
    labels, accepted = start(seed), np.zeros(SHAPE, bool)
    recorder = Recorder.new(folder / "journal", header(labels), Changes.of(labels), lambda: labels, folder / "marks")
    for number, _ in enumerate(strokes(labels, seed, count), 1):
        recorder.changed()
        if number % 25 == 0:
            changes = changed_places(accepted, (number // 25 % SHAPE[0],), np.ones(SHAPE[1:], bool), True)
            changes.apply(accepted)
            recorder.accept(changes)
            recorder.say(strokes=number)
        os.write(1, f"{number} {time.time()}\n".encode())
        time.sleep(PACE)
    recorder.close()


def snapshots(folder: Path, seed: int, count: int) -> None:
    """A snapshot after every record, so that most of the time goes into them; told once it is written."""
    labels = start(seed)
    before = labels.copy()
    journal = Journal.begin(folder / "journal", header(labels), labels)
    for number, _ in enumerate(strokes(labels, seed, count), 1):
        journal.write([journal.edit(Changes.between(before, labels))])
        journal.snapshot()
        before = labels.copy()
        os.write(1, f"{number} {time.time()}\n".encode())
    journal.close()


if __name__ == "__main__":
    {"paint": paint, "snapshots": snapshots}[sys.argv[1]](Path(sys.argv[2]), *map(int, sys.argv[3:]))
