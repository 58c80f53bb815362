"""Hundreds of clicks in a random order, the dock and napari closed in the middle of them: nothing breaks or is lost.

With ``--long``, 200 steps of each of four seeds.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractButton, QApplication, QComboBox

from napari_unetstyle.core.annotation.journal_state import read_journal
from napari_unetstyle.core.annotation.project import TICKED
from napari_unetstyle.core.progress import Steps
from napari_unetstyle.widgets.core_calls import CoreCalls
from napari_unetstyle.widgets.main_dock import MainDock
from napari_unetstyle.widgets.opening import add_picture
from napari_unetstyle.widgets.outputs import checksum
from tests.widgets.fake_core import WAIT, FakeCore, blobs
from tests.widgets.test_teach_run import BETTER, FORGETS, UNCHECKED, Teacher

STEP = 0.004  # seconds that a step of a run or of a teaching takes, so that clicks fall into the middle of it
MOST = 7  # layers


class Person:
    """Does anything, in a random order, and remembers what has to be there afterwards."""

    def __init__(self, make: Any, core: tuple[CoreCalls, Teacher], files: list[Any], qtbot: Any, seed: int) -> None:
        self.make, self.files, self.qtbot = make, files, qtbot
        self.calls, self.teacher = core
        self.rng = np.random.default_rng(seed)
        self.done: list[str] = []
        self.corrected: dict[int, Any] = {}
        self.gone: list[tuple[Any, int]] = []
        self.open_napari()

    def acts(self) -> dict[str, float]:
        """What can be done, and how often it is."""
        return {
            "press": 12,
            "stroke": 6,
            "choose": 3,
            "segment": 4,
            "teach": 4,
            "turn_page": 2,
            "select_layer": 3,
            "open_picture": 1,
            "delete_layer": 1.5,
            "hide_layer": 0.5,
            "slide": 1,
            "close_dock": 0.5,
            "close_napari": 0.4,
            "wait": 4,
        }

    def act(self) -> None:
        names, weights = zip(*self.acts().items(), strict=True)
        name = str(self.rng.choice(names, p=np.array(weights) / sum(weights)))
        self.done.append(name)
        getattr(self, name)()
        QApplication.processEvents()
        self.corrected |= {id(one): one for one in self.dock.corrections.layers}

    def on_removed(self, event: Any) -> None:
        if type(event.value).__name__ == "Labels":
            self.gone.append((event.value, checksum(event.value.data)))

    def any_of(self, things: Any) -> Any:
        things = list(things)
        return things[int(self.rng.integers(len(things)))] if things else None

    def layers(self, kind: str) -> list[Any]:
        return [layer for layer in self.viewer.layers if type(layer).__name__ == kind]

    def begin(self) -> None:
        """Something to paint on."""
        self.open_picture()
        with self.qtbot.waitSignal(self.dock.segment.run_ended, timeout=WAIT * 1000):
            self.dock.segment.segment.click()
        self.dock.tabs.setCurrentIndex(1)

    def usable(self, kind: type) -> list[Any]:
        """What can be seen in the tab that is open; nothing is drawn, as in Mesa that ends with a crash of its own."""
        page = self.dock.tabs.currentWidget().widget()
        return [part for part in page.findChildren(kind) if part.isVisibleTo(page) and part.isEnabled()]

    # What a person does ----------------------------------------------------------------------------------------------

    def open_dock(self) -> None:
        self.dock = MainDock(self.viewer, self.calls)
        self.viewer.window.add_dock_widget(self.dock, name="UNet", area="right")
        self.dock.models.refresh()

    def close_dock(self) -> None:
        """Close it; the next one goes on with the labels that it leaves."""
        self.leave_dock()
        self.open_dock()
        self.qtbot.waitUntil(lambda: not self.dock.corrections.left.are_waiting, timeout=WAIT * 1000)

    def leave_dock(self) -> None:
        self.viewer.window.remove_dock_widget(self.dock)
        QApplication.processEvents()

    def open_napari(self) -> None:
        self.viewer = self.make()
        self.viewer.layers.events.removed.connect(self.on_removed)
        self.open_dock()

    def close_napari(self) -> None:
        """Close it with whatever is under way, and begin again in a new window, which has nothing to restore."""
        self.viewer.close()
        self.qtbot.waitUntil(lambda: not own_threads(), timeout=WAIT * 1000)
        self.open_napari()
        self.qtbot.wait(50)
        assert not self.dock.corrections.rows
        self.begin()

    def open_picture(self) -> None:
        if len(self.viewer.layers) < MOST:
            add_picture(self.viewer, self.any_of(self.files))

    def click(self, button: QAbstractButton) -> None:
        if button.isEnabled() and not button.isHidden():
            self.done[-1] += f" {button.text()!r}"
            self.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    def press(self) -> None:
        """Any button that can be seen, but those that open windows of the system."""
        safe = (button for button in self.usable(QAbstractButton) if not _opens_more(button))
        if (button := self.any_of(safe)) is not None:
            self.click(button)

    def segment(self) -> None:
        self.click(self.dock.segment.segment)

    def teach(self) -> None:
        self.teacher.comparison = self.any_of([BETTER, FORGETS, UNCHECKED])
        self.click(self.dock.teach.run.teach)

    def choose(self) -> None:
        if (box := self.any_of(box for box in self.usable(QComboBox) if box.count())) is not None:
            words = [i for i in range(box.count()) if box.itemText(i)]  # none: a line between two parts
            box.setCurrentIndex(self.any_of(words))

    def slide(self) -> None:
        self.dock.segment.results.box.fewer.setValue(int(self.rng.integers(5, 95)))

    def turn_page(self) -> None:
        self.dock.tabs.setCurrentIndex(int(self.rng.integers(self.dock.tabs.count())))

    def select_layer(self) -> None:
        self.viewer.layers.selection.active = self.any_of(self.viewer.layers)

    def hide_layer(self) -> None:
        if (layer := self.any_of(self.viewer.layers)) is not None:
            layer.visible = not layer.visible

    def delete_layer(self) -> None:
        if (layer := self.any_of(self.viewer.layers)) is not None:
            self.viewer.layers.remove(layer)

    def stroke(self) -> None:
        if (layer := self.any_of(layer for layer in self.layers("Labels") if layer.editable)) is not None:
            y, x = (int(self.rng.integers(n)) for n in layer.data.shape)
            layer.paint((y, x), int(self.rng.integers(0, 40)))

    def wait(self) -> None:
        self.qtbot.wait(int(self.rng.integers(1, 60)))


def _opens_more(button: QAbstractButton) -> bool:
    """A menu, or a window of the system."""
    has_menu = getattr(button, "menu", lambda: None)() is not None
    return has_menu or "…" in button.text() or button.text() in ("Open folder", "Copy details")


def own_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("unetstyle")]


@pytest.fixture
def calls(core: FakeCore, monkeypatch: Any) -> Any:
    """Runs and teachings that take a moment; what goes wrong in a thread fails the test."""
    teacher, wrong = Teacher(), []
    monkeypatch.setattr(threading, "excepthook", wrong.append)

    def slowly(steps: Steps[Any]) -> Steps[Any]:
        try:
            while True:
                progress = next(steps)
                time.sleep(STEP)
                yield progress
        except StopIteration as stop:
            return stop.value
        finally:
            steps.close()

    def iter_teach(*given: Any) -> Steps[Any]:
        return (yield from slowly(teacher.iter_teach(*given))).candidate()

    replaced = {name: getattr(core.calls, name) for name in CoreCalls.__dataclass_fields__}
    own = {
        "iter_segment": lambda *given: slowly(core.iter_segment(*given)),
        "iter_teach": iter_teach,
        "iter_contradictions": teacher.iter_contradictions,
        "store": lambda _: teacher.store,
    }
    yield CoreCalls(**replaced | own), teacher
    assert not wrong, wrong


def seeds(config: Any) -> range:
    return range(4 if config.getoption("--long") else 1)


def pytest_generate_tests(metafunc: Any) -> None:
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", seeds(metafunc.config))


@pytest.mark.screen
def test_whatever_is_clicked_nothing_breaks_and_no_stroke_is_lost(
    make_napari_viewer, calls, qtbot, tmp_path, repeats, seed
):
    files = [tmp_path / f"slide{i}.tif" for i in range(3)]
    for i, file in enumerate(files):
        tifffile.imwrite(file, blobs(peak=200 - 20 * i))
    person = Person(make_napari_viewer, calls, files, qtbot, seed)
    try:
        person.begin()
        for number in range(repeats(24)):
            person.act()
            if number == 11:  # in any case once
                person.close_napari()
    except BaseException as error:
        error.add_note(f"seed {seed}, after {person.done}")
        raise
    painted = [one for one in person.corrected.values() if one.recorder is not None]
    person.leave_dock()
    qtbot.waitUntil(lambda: not own_threads(), timeout=WAIT * 1000)
    for folder, one in {one.recorder.folder: one for one in painted}.items():  # as it was opened last
        state = read_journal(folder)
        assert np.array_equal(state.labels, one.labels), (seed, one.layer.name)
        assert {**state.said, TICKED: None} == {**one.facts, TICKED: None}  # which needs no open layer
        assert not state.notes
    for layer, before in person.gone:
        assert checksum(layer.data) == before, f"{layer.name} was written to when it was gone"
    assert painted
