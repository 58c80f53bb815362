"""The dock in a napari viewer, on a core that a test can hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from napari.components import ViewerModel
from npe2 import PluginManifest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QApplication

from napari_unetstyle.core.annotation.project import Entry
from napari_unetstyle.widgets.after_run import AfterRun
from napari_unetstyle.widgets.core_calls import CoreCalls
from napari_unetstyle.widgets.corrected_layer import CorrectedLayer
from napari_unetstyle.widgets.corrections import Corrections
from napari_unetstyle.widgets.main_dock import MainDock
from tests.widgets.fake_core import WAIT, FakeCore


class Clipboard:
    """Text that was copied; Qt's own is one for all processes on a display."""

    def __init__(self) -> None:
        self._text = ""

    def setText(self, text: str) -> None:
        """Copy."""
        self._text = text

    def text(self) -> str:
        """What was copied last."""
        return self._text


@pytest.fixture(autouse=True)
def clipboard(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clipboard of its own, as tests run side by side."""
    own = Clipboard()
    monkeypatch.setattr(QApplication, "clipboard", lambda: own)


@pytest.fixture(autouse=True, scope="session")
def _found_once() -> Iterator[None]:
    """Plugins are looked for once, not for each viewer."""
    found = [*PluginManifest.discover()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PluginManifest, "discover", lambda paths=(): iter(found))
        yield


@pytest.fixture
def core() -> Iterator[FakeCore]:
    fake = FakeCore()
    yield fake
    fake.release()


@pytest.fixture
def make_dock(make_napari_viewer: Callable[..., Any], core: FakeCore, qtbot: Any) -> Callable[..., MainDock]:
    """Open the dock in a viewer."""

    def make(calls: CoreCalls | None = None) -> MainDock:
        viewer = make_napari_viewer()
        dock = MainDock(viewer, calls or core.calls)
        viewer.window.add_dock_widget(dock, name="UNet", area="right")
        dock.viewer = viewer
        dock.models.refresh()
        return dock

    return make


@pytest.fixture
def make_shown_dock(make_napari_viewer: Callable[..., Any], qtbot: Any) -> Iterator[Callable[..., MainDock]]:
    """The dock in a window on the screen, for what a person does with the mouse; with the real core if no other."""
    docks: list[MainDock] = []

    def make(calls: CoreCalls | None = None) -> MainDock:
        viewer = make_napari_viewer()
        dock = MainDock(viewer, calls)
        docks.append(dock)
        viewer.window.add_dock_widget(dock, name="UNet", area="right")
        dock.viewer = viewer
        window = viewer.window._qt_window
        window.resize(1280, 1000)
        window.show()
        qtbot.waitExposed(window)
        return dock

    yield make
    for corrected in (one for dock in docks for one in dock.corrections.layers):
        corrected.close(WAIT)


@pytest.fixture
def make_windowless_dock(core: FakeCore, qtbot: Any) -> Callable[..., MainDock]:
    """The dock on a viewer without a window: the same widgets, a second sooner."""

    def make(calls: CoreCalls | None = None) -> MainDock:
        viewer = ViewerModel()
        dock = MainDock(viewer, calls or core.calls)
        core.docks.append(dock)  # pytest-qt does not keep it, and the viewer still tells it something
        qtbot.addWidget(dock)
        dock.viewer = viewer
        dock.models.refresh()
        return dock

    return make


@pytest.fixture
def in_window() -> bool:
    """Whether the test needs napari's own window; those that do say so as a parameter."""
    return False


@pytest.fixture
def make_quick_dock(request: pytest.FixtureRequest, in_window: bool) -> Callable[..., MainDock]:
    """Open the dock in a window of napari's only where the test needs one."""
    make: Callable[..., MainDock] = request.getfixturevalue("make_dock" if in_window else "make_windowless_dock")
    return make


@pytest.fixture
def click(qtbot: Any) -> Callable[[Any], None]:
    def press(button: Any) -> None:
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    return press


@pytest.fixture
def tick(qtbot: Any) -> Callable[[Any], None]:
    def press(box: Any) -> None:
        """Where the box is: the middle of a wide row is beside its words."""
        qtbot.mouseClick(box, Qt.MouseButton.LeftButton, pos=QPoint(8, box.height() // 2))

    return press


@pytest.fixture
def run(qtbot: Any, click: Callable[[Any], None]) -> Callable[[MainDock], None]:
    """Press SEGMENT and wait for the end."""

    def segment(dock: MainDock) -> None:
        with qtbot.waitSignal(dock.segment.run_ended, timeout=WAIT * 1000):
            click(dock.segment.segment)

    return segment


@pytest.fixture
def open_entry(qtbot: Any) -> Callable[[Corrections, Entry], CorrectedLayer | None]:
    """Open fixes of an earlier day and wait until they are there; None if that failed."""

    def opened(corrections: Corrections, entry: Entry) -> CorrectedLayer | None:
        found: list[CorrectedLayer] = []
        corrections.open(entry, found.append)
        qtbot.waitUntil(lambda: not corrections.is_opening, timeout=WAIT * 1000)
        return found[0] if found else None

    return opened


@pytest.fixture
def box(dock: MainDock) -> AfterRun:
    """What stands below a finished run, in the tests of a file that has a `dock`."""
    return dock.segment.results.box


@pytest.fixture
def layer(dock: MainDock) -> Any:
    """The labels of the run of `dock`."""
    (labels,) = (layer for layer in dock.viewer.layers if type(layer).__name__ == "Labels")
    return labels
