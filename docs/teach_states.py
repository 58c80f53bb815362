"""What the tab *Teach* says when all does not go well: ``python docs/screenshots.py FOLDER THEME teach``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import lesson
import numpy as np

from napari_unetstyle.core.annotation.open_journals import default_marks, mark_open
from napari_unetstyle.core.errors import OutputError
from napari_unetstyle.core.progress import Steps
from napari_unetstyle.core.training.refused import iter_written
from napari_unetstyle.widgets.core_calls import CoreCalls

if TYPE_CHECKING:
    from screenshots import Studio

MINUTES = 0.1  # too short to be better
LONG = 3600  # seconds
TOP_LEFT = (slice(0, 40), slice(0, 40))


class FullDisk:
    """The core's functions, on a disk that has no room for what is taught until some is made."""

    def __init__(self) -> None:
        self.is_full = False
        calls = CoreCalls()
        self.calls = replace(calls, iter_teach=self._teach(calls.iter_teach))

    def _teach(self, teach: Callable[..., Steps[Any]]) -> Callable[..., Steps[Any]]:
        def steps(*given: Any) -> Steps[Any]:
            yield from iter_written(self._write)
            return (yield from teach(*given))

        return steps

    def _write(self) -> None:
        if self.is_full:
            raise OutputError("Could not write 7737344 bytes to models/.partial-1/resume.pt: No space left on device.")


def states(start: Callable[..., Studio]) -> None:
    """Each state in turn; `start` opens a window with the dock."""
    disk = FullDisk()
    studio = start(disk.calls)
    corrected(studio, right=False)
    taught(studio)
    studio.take("teach-unchecked", dock=True)
    studio.viewer.close()
    studio = start(disk.calls)
    run = studio.dock.teach.run
    corrected(studio, right=True)
    taught(studio)
    studio.take("teach-not-better", dock=True)
    disk.is_full = True
    run.teach.click()
    studio.wait(lambda: "No space left" in run.message.text, patience=LONG)
    studio.take("teach-full-disk", dock=True)
    disk.is_full = False
    run.progress.stop.click()
    studio.wait(lambda: not run.is_running, patience=LONG)
    erase_what_was_sure(studio)
    run.teach.click()
    studio.wait(lambda: not run.doubts.isHidden(), patience=LONG)
    studio.take("teach-doubts", dock=True)
    folder = studio.dock.corrections.active.recorder.folder
    studio.viewer.close()
    mark_open(default_marks(), folder)  # as if it had been killed
    studio = start(disk.calls)
    studio.wait(lambda: studio.dock.corrections.rows)
    studio.take("teach-restore", dock=True)
    studio.viewer.close()


def corrected(studio: Studio, *, right: bool) -> None:
    """The sample, segmented and painted on once; with areas called right if `right`."""
    studio.show_tab("Segment")
    studio.open(lesson.SAMPLE)
    studio.segment()
    studio.show_tab("Teach")
    labels, panel = studio.dock.corrections.active.layer, studio.dock.teach
    labels.data_setitem(np.nonzero(np.asarray(labels.data)[TOP_LEFT]), 0)
    if right:
        hand = lesson.Hand(studio)
        panel.fix.buttons["right"].click()
        hand.accept()
        panel.fix.buttons["right"].click()
        studio.wait(lambda: "3 areas right" in panel.learns.boxes[0].text())
    studio.wait(lambda: panel.learns.boxes and "saved" in panel.learns.saved.text())


def taught(studio: Studio) -> None:
    """Teach, and wait for what comes of it."""
    run = studio.dock.teach.run
    run.minutes.setValue(MINUTES)
    run.teach.click()
    studio.wait(lambda: not (run.is_running or run.box.isHidden()) or not run.doubts.isHidden(), patience=LONG)
    if not run.doubts.isHidden():
        run.teach.click()
        studio.wait(lambda: not run.is_running, patience=LONG)


def erase_what_was_sure(studio: Studio) -> None:
    """Take the brightest nuclei for background."""
    corrections = studio.dock.corrections.active
    labels, light = corrections.layer, np.asarray(corrections.image.array)
    values = np.asarray(labels.data)
    means = {n: light[values == n].mean() for n in np.unique(values) if n}
    for number in sorted(means, key=means.__getitem__)[-3:]:
        labels.data_setitem(np.nonzero(values == number), 0)
    studio.wait(seconds=2)
