"""The whole circle by clicks, with the model that comes with the package and nothing in place of the core."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_unetstyle._sample_data import sample_folder
from napari_unetstyle.core import read_image
from tests.widgets.test_tutorial import BOXES, Reader

PATIENCE = 600  # seconds for one step; models are measured on real pictures
SAMPLE = "nuclei-fluorescence.tif"


class Person(Reader):
    """Counts clicks on buttons, and gives up where a window blocks."""

    clicks = 0

    def press(self, words: str) -> None:
        super().press(words)
        self.clicks += not hasattr(Qt.Key, f"Key_{words}")

    def wait(self, until: Callable[[], object]) -> None:
        def is_so() -> bool:
            assert QApplication.activeModalWidget() is None
            return bool(until())

        self.qtbot.waitUntil(is_so, timeout=PATIENCE * 1000)

    def paint(self) -> Any:
        """Paint the nucleus that most is missing of up to its edge; where it is by then."""
        labels, camera = self.labels, self.viewer.scene.camera
        found = np.array(labels.data)
        truth = np.asarray(read_image(sample_folder() / "truth" / SAMPLE).array)
        seen = np.unique(truth[found > 0])
        number = max(seen[seen > 0], key=lambda n: np.count_nonzero((truth == n) & (found == 0)))
        inside, missing = (np.argwhere((truth == number) & ((found > 0) == is_found)) for is_found in (True, False))
        start = inside[len(inside) // 2]
        end = missing[np.argmax(((missing - start) ** 2).sum(axis=1))]
        camera.center, camera.zoom = (0, *np.multiply(start, labels.scale)), 8
        self.press("L")
        self.drag(tuple(start))
        assert labels.selected_label == found[tuple(start)]
        self.press("P")
        labels.brush_size = 4
        self.drag(tuple(start), tuple(end))
        assert (np.asarray(labels.data) != found).any()
        return np.asarray(labels.data) == found[tuple(start)]


@pytest.fixture
def person(make_shown_dock: Any, qtbot: Any, tmp_path: Path, monkeypatch: Any) -> Any:
    for name in ("MODELS", "FIXES"):
        monkeypatch.setenv(f"NAPARI_UNETSTYLE_{name}", str(tmp_path / name))
    dock = make_shown_dock()
    dock.models.refresh()
    return Person(dock, qtbot)


@pytest.mark.long
@pytest.mark.screen
def test_from_the_first_fix_to_the_taught_model_in_use_it_takes_three_clicks(person):
    dock, run, models = person.dock, person.dock.teach.run, person.dock.segment.model.models
    person.press("Try a sample")
    person.press("SEGMENT")
    person.wait(lambda: dock.segment.results.output and not dock.segment.is_running)
    person.press("Teach")
    run.minutes.setValue(0.2)
    old, person.clicks = person.labels, 0
    nucleus = person.paint()
    person.press("✓ This area is right")
    person.viewer.fit_to_view()
    for corners in BOXES:
        person.drag(*corners)
    person.wait(lambda: any("3 areas right" in words for words in person.words()))
    person.press("TEACH")
    person.wait(lambda: not run.is_running)
    assert not run.message.text or not run.box.isHidden(), run.message.text
    if not run.box.use.isHidden():  # in so short a time it may not get better; a person takes it all the same
        person.press("Use it")
        person.wait(lambda: not run.is_running)
    assert person.clicks <= 3
    assert models.currentData() == "nuclei-mine@1"
    new = person.labels
    assert (new is old, old.visible) == (False, False)
    (number,) = set(np.asarray(new.data)[nucleus].tolist())
    np.testing.assert_array_equal(np.asarray(new.data) == number, nucleus)
    for shown in (old, new):
        person.press("F8")
        assert person.labels is shown
    person.press("Go back")
    assert models.currentData() == "nuclei@1"
    assert person.labels is old
    assert models.findData("nuclei-mine@1") >= 0
