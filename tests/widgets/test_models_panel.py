"""Installed models: list, card, import, delete."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from npe2 import PluginManager, PluginManifest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_unetstyle.core.models.before_after import BeforeAfter, measurements
from napari_unetstyle.core.models.memory import Memory
from napari_unetstyle.core.models.store import ModelStore
from napari_unetstyle.widgets import readers
from napari_unetstyle.widgets.core_calls import CoreCalls
from napari_unetstyle.widgets.main_dock import MainDock
from napari_unetstyle.widgets.model_card import card_text
from napari_unetstyle.widgets.model_comparison import ModelComparison
from napari_unetstyle.widgets.models_panel import ModelsPanel
from napari_unetstyle.widgets.picture_form import PictureForm
from napari_unetstyle.widgets.result_panel import ResultPanel
from tests.core.networks_for_tests import tiny_model
from tests.widgets.fake_core import WAIT, spec

MS = WAIT * 1000


@pytest.fixture
def panel(tmp_path: Path, qtbot: Any) -> ModelsPanel:
    """On a store of its own: one model that came with the package, none of the person's."""
    tiny_model(tmp_path / "bundled", name="bundled")
    store = ModelStore(tmp_path / "own", bundled=tmp_path / "bundled")
    calls, viewer = CoreCalls(store=lambda _: store), ViewerModel()
    comparison = ModelComparison(viewer, calls, PictureForm(viewer), ResultPanel(viewer, calls))
    panel = ModelsPanel(calls, comparison)
    qtbot.addWidget(panel)
    panel.refresh()
    return panel


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    return tiny_model(tmp_path / "elsewhere", name="foreign", seed=1).folder


def names(panel: ModelsPanel) -> list[str]:
    return panel.models.titles()


def import_and_wait(panel: ModelsPanel, path: Path, qtbot: Any) -> None:
    with qtbot.waitSignal(panel._slot.done, timeout=MS):
        panel.import_from(path)


def test_a_bundled_model_is_never_deleted(panel: ModelsPanel) -> None:
    assert names(panel) == ["bundled"]
    assert not panel.delete.isEnabled()


def teach(panel: ModelsPanel, name: str, version: int, parent: str, **card: Any) -> None:
    """Put a model into the store as a teaching does."""
    origin = panel.store.load("bundled")
    provenance = {"date": "2026-01-05", "recipe": "taught, 120 steps"}
    changes = {"name": name, "version": version, "parent": parent, "provenance": provenance, "files": {}}
    panel.store.save(
        origin.spec.model_copy(update={**changes, "card": origin.card.model_copy(update=card)}), origin.network
    )


def test_a_taught_model_stands_under_the_one_it_came_from(panel: ModelsPanel, qtbot: Any) -> None:
    for version, parent in ((1, "bundled@1"), (2, "mine@1"), (3, "mine@2"), (4, "mine@2")):
        teach(panel, "mine", version, parent)
    panel.store.remove("mine@2")
    panel.refresh()
    assert names(panel) == ["bundled", "  mine", "mine 3", "mine 4"]
    panel.models.setFocus()
    for key, shown in ((Qt.Key.Key_Down, "mine"), (Qt.Key.Key_Down, "mine 3"), (Qt.Key.Key_Up, "mine")):
        qtbot.keyClick(panel.models, key)
        assert panel.card.text().startswith(f"<p><b>{shown}</b>")
    assert "<b>Came from</b><br>bundled, taught 2026-01-05" in panel.card.text()
    panel.refresh()
    assert panel.spec is not None
    assert (panel.spec.name, panel.spec.version) == ("mine", 1)
    qtbot.keyClick(panel.models, Qt.Key.Key_Down)
    assert "mine 2, which is not on this computer, taught 2026-01-05" in panel.card.text()


def test_what_is_folded_up_stays_so(panel: ModelsPanel, qtbot: Any) -> None:
    teach(panel, "mine", 1, "bundled@1")
    panel.refresh()
    assert panel.models.currentItem().isExpanded()
    qtbot.keyClick(panel.models, Qt.Key.Key_Left)
    panel.refresh()
    assert not panel.models.currentItem().isExpanded()


def test_the_card_of_a_taught_model_says_how_it_did_before_and_after(panel: ModelsPanel) -> None:
    scores = [
        BeforeAfter(what="places", before=0.71, after=0.86, count=3),
        BeforeAfter(what="old", before=0.93, after=0.926, count=1),
    ]
    training = "none Then taught with 2 pictures, 120 steps."
    teach(panel, "mine", 1, "bundled@1", measured=measurements(scores), training_data=training)
    teach(panel, "mine", 2, "mine@1")
    panel.refresh(choose="mine@1")
    for part in (
        "taught with 2 pictures",
        "new pictures, 3 places left out of teaching: Dice 0.710 → 0.860",
        "old pictures, 1 picture: Dice 0.930 → 0.926",
        "<b>Recipe</b><br>taught, 120 steps",
    ):
        assert part in panel.card.text()
    assert "parent" not in panel.card.text()
    panel.refresh(choose="mine@2")
    assert "not checked" in panel.card.text()


def test_after_deleting_the_one_it_came_from_is_chosen(panel: ModelsPanel, click: Any) -> None:
    for version, parent in ((1, "bundled@1"), (2, "mine@1")):
        teach(panel, "mine", version, parent)
    panel.refresh(choose="mine@2")
    click(panel.delete)
    click(panel.message.buttons()["Delete"])
    assert names(panel) == ["bundled", "  mine"]
    assert panel.spec is not None
    assert panel.spec.name == "mine"


def test_import_shows_the_new_model_and_tells_others(panel: ModelsPanel, foreign: Path, qtbot: Any) -> None:
    with qtbot.waitSignal(panel.changed, timeout=MS) as told:
        import_and_wait(panel, foreign, qtbot)
    assert [model.name for model in told.args[0]] == ["bundled", "foreign"]
    assert panel.spec is not None
    assert panel.spec.name == "foreign"
    assert "is installed" in panel.message.text


def test_import_of_an_edited_model_is_refused_in_words(panel: ModelsPanel, foreign: Path, qtbot: Any) -> None:
    weights = foreign / "weights.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    import_and_wait(panel, foreign, qtbot)
    assert names(panel) == ["bundled"]
    assert "Copy details" in panel.message.buttons()
    assert panel.import_folder.isEnabled()


def test_a_name_that_is_taken_can_be_another(panel: ModelsPanel, tmp_path: Path, qtbot: Any, click: Any) -> None:
    other = tiny_model(tmp_path / "other", name="bundled", seed=5).folder
    import_and_wait(panel, other, qtbot)
    assert names(panel) == ["bundled"]
    with qtbot.waitSignal(panel._slot.done, timeout=MS):
        click(panel.message.buttons()["Import as bundled-2"])
    assert names(panel) == ["bundled", "bundled-2"]


def test_delete_asks_first(panel: ModelsPanel, foreign: Path, qtbot: Any, click: Any) -> None:
    import_and_wait(panel, foreign, qtbot)
    click(panel.delete)
    click(panel.message.buttons()["Not now"])
    assert names(panel) == ["bundled", "foreign"]
    click(panel.delete)
    click(panel.message.buttons()["Delete"])
    assert names(panel) == ["bundled"]
    assert foreign.exists()  # only the copy in the store is gone


def test_a_folder_that_somebody_removed_is_said(panel: ModelsPanel, foreign: Path, qtbot: Any, click: Any) -> None:
    import_and_wait(panel, foreign, qtbot)
    shutil.rmtree(panel.store.folder("foreign"))
    panel._show_card()
    assert not panel.delete.isEnabled()
    click(panel.open_folder)
    assert "no model" in panel.message.text
    assert names(panel) == ["bundled"]


def test_a_damaged_folder_is_named(panel: ModelsPanel, foreign: Path, qtbot: Any) -> None:
    import_and_wait(panel, foreign, qtbot)
    (panel.store.folder("foreign") / "model.json").write_text("{")
    panel.refresh()
    assert names(panel) == ["bundled"]
    assert "foreign" in panel.problems.text()


def test_the_card_says_what_for_and_what_not(panel: ModelsPanel) -> None:
    text = card_text(spec())
    for part in ("bright blobs", "Trained on", "License", "not a medical device"):
        assert part in text
    assert "&lt;b&gt;" in card_text(
        spec().model_copy(update={"card": spec().card.model_copy(update={"limits": "<b>"})})
    )


def test_nothing_is_asked_in_a_window_that_blocks(panel: ModelsPanel, click: Any) -> None:
    from qtpy.QtWidgets import QFileDialog

    click(panel.import_folder)
    (dialog,) = panel.findChildren(QFileDialog)
    assert not dialog.isModal()
    dialog.close()


def test_a_model_is_shared_as_one_file_and_nothing_is_replaced(
    panel: ModelsPanel, foreign: Path, tmp_path: Path, qtbot: Any, click: Any
) -> None:
    import_and_wait(panel, foreign, qtbot)
    target = tmp_path / "to-a-colleague.unetmodel.zip"
    for words in ("A colleague drops it on napari", "exists already"):
        with qtbot.waitSignal(panel.share.slot.done, timeout=MS):
            panel.share.write(target, "foreign@1")
        assert words in panel.message.text
    there = ModelStore(tmp_path / "there")
    assert there.import_(target).name == "foreign"
    click(panel.share)
    (dialog,) = panel.share.findChildren(QFileDialog)
    assert dialog.selectedFiles()[0].endswith("foreign-1.unetmodel.zip")
    dialog.reject()


def test_the_old_pictures_of_a_model_are_shared_only_if_that_is_ticked(
    panel: ModelsPanel, tmp_path: Path, qtbot: Any
) -> None:
    assert panel.share.pictures.isHidden()  # this one carries none
    origin = panel.store.load("bundled")
    old = Memory(np.zeros((3, 8, 8), np.uint8), np.zeros((2, 8, 8), np.int32), "check")
    spec = origin.spec.model_copy(update={"name": "carries", "files": {}})
    panel.store.save(spec, origin.network, memory=[old])
    panel.refresh(choose="carries@1")
    files = [tmp_path / f"{name}.unetmodel.zip" for name in ("without", "with")]
    for path in files:
        with qtbot.waitSignal(panel.share.slot.done, timeout=MS):
            panel.share.write(path, "carries@1")
        assert not panel.share.pictures.isHidden()
        panel.share.pictures.click()
    counts = [sum("memory" in name for name in zipfile.ZipFile(path).namelist()) for path in files]
    assert counts == [0, 2]
    panel.share.pictures.click()
    panel.refresh(choose="bundled@1")
    panel.refresh(choose="carries@1")
    assert not panel.share.pictures.isChecked()  # nobody shares pictures by an earlier tick


@pytest.fixture
def dropped(foreign: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shared model, and napari as it knows this plugin."""
    monkeypatch.setenv("NAPARI_UNETSTYLE_MODELS", str(tmp_path / "own"))
    manifest = PluginManifest.from_file(Path(readers.__file__).parents[3] / "napari.yaml")
    manager = PluginManager.instance()
    if manifest.name not in manager:
        manager.register(manifest)
    return ModelStore(foreign.parent).share("foreign", tmp_path)


def drop(viewer: Any, path: Path) -> None:
    assert viewer.open(str(path), plugin="napari-unetstyle") == []


def test_a_shared_model_dropped_on_napari_is_installed_and_the_open_dock_shows_it(
    make_napari_viewer: Any, dropped: Path, tmp_path: Path, qtbot: Any
) -> None:
    viewer = make_napari_viewer()
    dock = MainDock(viewer)
    viewer.window.add_dock_widget(dock, name="UNet", area="right")
    panel = dock.models
    broken = tmp_path / "broken.unetmodel.zip"
    broken.write_bytes(dropped.read_bytes()[:-30])
    for path in (broken, dropped):  # while the first is checked, or before anybody has read of it
        drop(viewer, path)
    qtbot.waitUntil(lambda: "foreign is installed." in panel.message.text, timeout=MS)
    assert "cannot be read as a zip file" in panel.message.text
    panel.message.buttons()["OK"].click()
    drop(viewer, dropped)
    qtbot.waitUntil(lambda: panel.message.text == "foreign is installed.", timeout=MS)
    assert dock.tabs.tabText(dock.tabs.currentIndex()) == "Models"
    assert panel.spec is not None
    assert panel.spec.name == "foreign"
    assert dock.segment.model.models.findData("foreign@1") >= 0


def test_without_a_dock_napari_says_what_became_of_a_dropped_model(
    make_napari_viewer: Any, dropped: Path, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    for kind in ("info", "error"):
        monkeypatch.setattr(f"napari.utils.notifications.show_{kind}", lambda text, kind=kind: said.append(kind + text))
    viewer = make_napari_viewer()
    drop(viewer, dropped)
    qtbot.waitUntil(lambda: len(said) == 1, timeout=MS)
    assert "foreign" in [known.name for known in ModelStore().list()]
    dropped.write_bytes(dropped.read_bytes()[:-30])
    drop(viewer, dropped)
    qtbot.waitUntil(lambda: len(said) == 2, timeout=MS)
    assert [said[0].startswith("infoThe model foreign"), "cannot be read as a zip file" in said[1]] == [True, True]
    assert said[1].startswith("error")
