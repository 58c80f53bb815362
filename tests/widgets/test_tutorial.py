"""The tutorial *Teach it your microscope*, gone through as it is written.

What the page has in bold, and the keys that it names, are pressed in its order; what it has in italics has to be
seen by then, and what it has as code has to be there, seen or not. A button that is called otherwise is a page that is
wrong, and fails here.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import (
    QAbstractButton,
    QComboBox,
    QFileDialog,
    QGroupBox,
    QLabel,
    QListWidget,
    QWidget,
)

from napari_unetstyle._sample_data import sample_folder
from napari_unetstyle.core.annotation.project import FOLDER
from napari_unetstyle.widgets.main_dock import MainDock
from napari_unetstyle.widgets.models_tree import ModelsTree
from tests.widgets.fake_core import WAIT, FakeCore, FakeStore
from tests.widgets.test_teach_run import Teacher

PAGE = Path(__file__).parents[2] / "docs" / "tutorial" / "teach-your-microscope.md"
STEP = re.compile(r"^## (\d\. .+)$", re.MULTILINE)
SOMETIMES = re.compile(r"`(.+?)`")
PRESSED = re.compile(r"\*\*(.+?)\*\*|\bkey ([A-Z]\d*)\b", re.DOTALL)
SEEN = re.compile(r"(?<!\*)\*([^*]+)\*(?!\*)")
BOXES = [((180, 330), (250, 410)), ((10, 20), (70, 100)), ((300, 40), (370, 110))]  # corners of areas


class SharingStore(FakeStore):
    """Writes a file for a colleague."""

    def share(self, reference: str, path: Path, *, pictures: bool) -> Path:
        assert not pictures
        path.write_text(reference)
        return path


class Reader:
    """A person who goes through the page.

    Parameters
    ----------
    dock
        The dock in a viewer with a window.
    qtbot
        Their hand.
    """

    def __init__(self, dock: MainDock, qtbot: Any) -> None:
        self.dock, self.viewer, self.qtbot = dock, dock.viewer, qtbot
        self.canvas = dock.viewer.window._qt_viewer.canvas.native

    def press(self, words: str) -> None:
        """Press the one thing that is called so: a button, a tab, or a key."""
        tabs = self.dock.tabs
        titles = [tabs.tabText(i) for i in range(tabs.count())]
        if words in titles:
            self.qtbot.mouseClick(tabs.tabBar(), Qt.MouseButton.LeftButton, pos=self._middle_of(titles.index(words)))
        elif hasattr(Qt.Key, f"Key_{words}"):
            self.canvas.window().activateWindow()
            self.canvas.setFocus()
            self.wait(self.canvas.hasFocus)
            self.qtbot.keyClick(self.canvas, getattr(Qt.Key, f"Key_{words}"))
        else:
            (button,) = (b for b in self._shown(QAbstractButton) if b.text() == words)
            self.wait(button.isEnabled)
            self.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    def _middle_of(self, index: int) -> QPoint:
        return self.dock.tabs.tabBar().tabRect(index).center()

    def drag(self, start: tuple[int, int], end: tuple[int, int] | None = None) -> None:
        """Press, move and release over pixels of the picture; without an end, click."""
        end = end or start
        for act, place in (("mousePress", start), ("mouseMove", end), ("mouseRelease", end)):
            buttons = () if act == "mouseMove" else (Qt.MouseButton.LeftButton,)
            getattr(self.qtbot, act)(self.canvas, *buttons, pos=self._on_canvas(place))
        self.qtbot.wait(20)

    def _on_canvas(self, place: tuple[int, int]) -> QPoint:
        camera = self.viewer.scene.camera
        y, x = (np.multiply(place, self.labels.scale) - camera.center[-2:]) * camera.zoom
        return QPoint(round(self.canvas.width() / 2 + x), round(self.canvas.height() / 2 + y))

    def wait(self, until: Callable[[], object]) -> None:
        self.qtbot.waitUntil(lambda: bool(until()), timeout=WAIT * 1000)

    def words(self) -> set[str]:
        """All that the dock says now."""
        tabs = self.dock.tabs
        said = {tabs.tabText(i) for i in range(tabs.count())}
        said |= {part.text() for kind in (QLabel, QAbstractButton) for part in self._shown(kind)}
        said |= {box.title() for box in self._shown(QGroupBox)} | {c.currentText() for c in self._shown(QComboBox)}
        said |= {title.strip() for tree in self._shown(ModelsTree) for title in tree.titles()}
        return said | {one.item(i).text() for one in self._shown(QListWidget) for i in range(one.count())}

    def _shown(self, kind: type[QWidget]) -> list[Any]:
        return [part for part in self.dock.findChildren(kind) if part.isVisible()]

    @property
    def labels(self) -> Any:
        """The labels that are shown on top, not what marks changes in them."""
        return [x for x in self.viewer.layers if type(x).__name__ == "Labels" and x.visible and x.editable][-1]


@pytest.fixture
def reader(make_shown_dock: Any, core: FakeCore, qtbot: Any, tmp_path: Path, monkeypatch: Any) -> Any:
    monkeypatch.setenv("NAPARI_UNETSTYLE_FIXES", str(tmp_path / "fixes"))
    teacher = Teacher(store=SharingStore())

    def iter_teach(*given: Any) -> Any:
        found = yield from teacher.iter_teach(*given)
        parts = {name: getattr(found, name) for name in ("model", "comparison", "places", "notes", "keep", "forget")}
        return SimpleNamespace(**parts, parent=found.parent_model)

    own = {"iter_teach": iter_teach, "iter_contradictions": teacher.iter_contradictions}
    calls = dataclasses.replace(core.calls, store=lambda _: teacher.store, **own)
    return Reader(make_shown_dock(calls), qtbot)


def segment(reader: Reader) -> list[Any]:
    def done() -> None:
        reader.wait(lambda: reader.dock.segment.results.output and not reader.dock.segment.is_running)

    return ["Try a sample", "SEGMENT", done]


def paint(reader: Reader) -> list[Any]:
    labels, camera = reader.labels, reader.viewer.scene.camera
    before = np.array(labels.data)
    rows, columns = np.nonzero(before == np.unique(before)[before.max() // 2])
    inside = int(np.median(rows)), int(np.median(columns))
    edge = inside[0], int(columns.max()) + 2

    def come_close() -> None:
        camera.center, camera.zoom = (0, *np.multiply(inside, labels.scale)), 8

    def stroke() -> None:
        labels.brush_size = 4
        reader.drag(inside, edge)
        assert labels.data[edge] == before[inside] != before[edge]

    def again() -> None:
        np.testing.assert_array_equal(labels.data, before)
        stroke()
        reader.drag(inside, (edge[0] + 3, edge[1]))
        reader.wait(lambda: any("fixes" in words for words in reader.words()))
        reader.wait(lambda: any(words.startswith("✓ saved") for words in reader.words()))

    return ["Teach", come_close, "L", lambda: reader.drag(inside), "P", stroke, "Undo Ctrl+Z", again]


def judge(reader: Reader) -> list[Any]:
    def boxes() -> None:
        reader.viewer.fit_to_view()
        for corners in BOXES:
            reader.drag(*corners)

    def counted() -> None:
        reader.wait(lambda: any("3 areas right" in words for words in reader.words()))
        assert len(np.unique(reader.labels.data)) > 10

    def is_green() -> None:
        reader.wait(lambda: "learns from" in reader.viewer.layers)

    def is_gone() -> None:
        assert "learns from" not in reader.viewer.layers

    right, show = "✓ This area is right", "show on picture"
    return [right, boxes, right, counted, show, is_green, show, is_gone]


def teach(reader: Reader) -> list[Any]:
    def done() -> None:
        reader.wait(lambda: not reader.dock.teach.run.is_running)
        assert reader.labels.name.endswith("nuclei-mine")

    return ["TEACH", done]


def flip(reader: Reader) -> list[Any]:
    new = reader.labels

    def shows_old() -> None:
        assert reader.labels is not new

    def shows_new() -> None:
        assert reader.labels is new

    def is_marked() -> None:
        assert "what changed" in reader.viewer.layers

    def is_plain() -> None:
        assert "what changed" not in reader.viewer.layers

    return ["Flip old/new F8", shows_old, "F8", shows_new, is_marked, "Show changes", is_plain]


def go_back(reader: Reader) -> list[Any]:
    models = reader.dock.segment.model.models

    def is_back() -> None:
        assert models.currentData() == "nuclei@1"
        assert "nuclei-mine" not in reader.labels.name

    def choose() -> None:
        models.setCurrentIndex(models.findData("nuclei-mine@1"))
        assert models.currentData() == "nuclei-mine@1"

    return ["Go back", is_back, "Segment", choose]


def share(reader: Reader) -> list[Any]:
    models = reader.dock.models

    def choose() -> None:
        (item,) = models.models.findItems("nuclei-mine", Qt.MatchFlag.MatchExactly | Qt.MatchFlag.MatchRecursive)
        models.models.setCurrentItem(item)

    def say_where() -> None:
        (dialog,) = models.findChildren(QFileDialog)
        dialog.setDirectory(str(Path.cwd()))  # else the last one that any dialog was in
        path = dialog.selectedFiles()[0]
        assert Path(path).parent == Path.cwd()
        assert Path(path).name == "nuclei-mine-1.unetmodel.zip"
        dialog.accept()
        reader.wait(lambda: Path(path).exists() and "Wrote" in models.message.text)

    return ["Models", choose, "Share…", say_where]


READERS = (segment, paint, judge, teach, flip, go_back, share)


def test_the_page_is_what_a_person_meets(reader: Reader, monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # where the file for a colleague goes
    _, *parts = STEP.split(PAGE.read_text("utf-8").partition("\n## And now yours")[0])
    steps = dict(zip(parts[::2], (" ".join(text.split()) for text in parts[1::2]), strict=True))
    assert len(steps) == len(READERS)
    for (heading, text), begin in zip(steps.items(), READERS, strict=True):
        acts = begin(reader)
        pressed = [bold or key for bold, key in PRESSED.findall(text)]
        assert pressed == [act for act in acts if isinstance(act, str)], heading
        seen = set()
        for act in acts:
            if isinstance(act, str):
                reader.press(act)
            else:
                act()
            seen |= reader.words()
        unseen = [words for words in SEEN.findall(text) if not any(words in said for said in seen)]
        hidden = {button.text() for button in reader.dock.findChildren(QAbstractButton)}
        assert set(SOMETIMES.findall(text)) <= hidden, heading
        assert not unseen, f"{heading}: {unseen} is not among {sorted(seen)}"
    assert list((tmp_path / "fixes").iterdir())
    assert not (sample_folder() / FOLDER).exists()  # the package keeps no fixes
