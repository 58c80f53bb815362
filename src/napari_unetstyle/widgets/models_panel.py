"""The tab *Models*: what is installed, its card, compare, import, share and delete."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QUrl, Signal
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QGridLayout, QPushButton, QVBoxLayout, QWidget

from napari_unetstyle.core.errors import ModelNameTakenError, UnetstyleError
from napari_unetstyle.core.models.model import reference
from napari_unetstyle.widgets.core_calls import CoreCalls
from napari_unetstyle.widgets.jobs import Failed, Finished, JobSlot, Outcome, as_steps, failure
from napari_unetstyle.widgets.message_row import MessageRow
from napari_unetstyle.widgets.model_card import card_text
from napari_unetstyle.widgets.model_comparison import ModelComparison
from napari_unetstyle.widgets.models_tree import ModelsTree
from napari_unetstyle.widgets.opening import ask_for_path
from napari_unetstyle.widgets.parts import Words
from napari_unetstyle.widgets.settings import read_settings
from napari_unetstyle.widgets.share_model import ShareModel
from napari_unetstyle.widgets.summary import model_title

if TYPE_CHECKING:
    from napari_unetstyle.core.models.spec import ModelSpec
    from napari_unetstyle.core.models.store import ModelStore


class ModelsPanel(QWidget):
    """Tree and card of the installed models.

    Parameters
    ----------
    calls
        The core's functions.
    comparison
        Compares two of them on the open picture.
    """

    changed = Signal(list)  # of ModelSpec

    def __init__(self, calls: CoreCalls, comparison: ModelComparison, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._calls, self.comparison = calls, comparison
        self._slot = JobSlot(self)
        self._waiting: deque[tuple[Path, str | None]] = deque()
        self._imports: list[Outcome] = []
        self._told = ""  # of them
        self.models = ModelsTree()
        self.card, self.problems = Words(), Words()
        self.import_folder, self.import_file = QPushButton("Import folder…"), QPushButton("Import file…")
        self.delete, self.open_folder = QPushButton("Delete"), QPushButton("Open folder")
        self.message = MessageRow()
        self.share = ShareModel(lambda: self.store, self.message)
        self._lay_out()
        self._connect()

    def _lay_out(self) -> None:
        buttons = QGridLayout()
        for i, button in enumerate((self.import_folder, self.import_file, self.open_folder, self.delete, self.share)):
            buttons.addWidget(button, i // 2, i % 2)
        layout = QVBoxLayout(self)
        layout.addWidget(self.models)
        layout.addLayout(buttons)
        layout.addWidget(self.share.pictures)
        for part in (self.message, self.comparison, self.card, self.problems):
            layout.addWidget(part)
        layout.addStretch()

    def _connect(self) -> None:
        self.models.chosen.connect(self._show_card)
        self.import_folder.clicked.connect(self._on_import_folder)
        self.import_file.clicked.connect(self._on_import_file)
        self.delete.clicked.connect(self._on_delete)
        self.open_folder.clicked.connect(self._on_open_folder)
        self._slot.done.connect(self._on_imported)

    @property
    def spec(self) -> ModelSpec | None:
        """The chosen model."""
        return self.models.spec

    @property
    def store(self) -> ModelStore:
        """The models of the folder that the settings name."""
        return self._calls.store(read_settings().model_folder)

    def refresh(self, choose: str | None = None) -> None:
        """Look again at what is installed."""
        store = self.store
        specs, problems = store.list(), store.problems()
        self.comparison.set_models(specs)
        self.models.show_models(specs, choose)
        self.problems.setText("\n\n".join(f"! {sentence}" for sentence in problems.values()))
        self.problems.setVisible(bool(problems))
        self.changed.emit(specs)

    def close_down(self) -> None:
        """Stop what is under way; this dock was closed."""
        self._waiting.clear()
        self._slot.cancel()
        self.share.slot.cancel()
        self.comparison.close_down()

    def import_from(self, path: Path, name: str | None = None) -> None:
        """Import a model folder or file, off the GUI thread, as its weights are checked; several one after another."""
        self._waiting.append((path, name))
        if not self._slot.is_busy:
            self._import_next()

    def _import_next(self) -> None:
        store, (path, name) = self.store, self._waiting.popleft()
        if self.message.text != self._told:  # what became of those before was read
            self._imports.clear()
        self.import_folder.setEnabled(False)
        self.import_file.setEnabled(False)
        self.message.say(f"Checking {path.name}…", dismiss="Hide")
        self._told = self.message.text
        self._slot.start(as_steps(lambda: _imported(store, path, name)))

    def _on_imported(self, outcome: Outcome) -> None:
        if isinstance(outcome, Finished) and isinstance(outcome.value, _Installed):
            self.refresh(choose=reference(outcome.value.spec))
        self._imports.append(outcome)
        if self._waiting:
            self._import_next()
            return
        self.import_folder.setEnabled(True)
        self.import_file.setEnabled(True)
        self._tell()
        self._told = self.message.text

    def _tell(self) -> None:
        """Say in one row what became of all imports that nobody has read of yet."""
        ended = [outcome.value for outcome in self._imports if isinstance(outcome, Finished)]
        failed = [outcome for outcome in self._imports if isinstance(outcome, Failed)]
        sentences = "\n".join(one.sentence for one in (*ended, *failed))
        taken = [one for one in ended if isinstance(one, _NameTaken)]
        self.message.clear()
        if failed:
            self.message.fail(Failed(sentences, "\n".join(one.details for one in failed)))
        elif taken:
            names = [
                (f"Import as {one.free_name}", partial(self.import_from, one.path, one.free_name)) for one in taken
            ]
            self.message.ask(sentences, *names)
        elif sentences:
            self.message.say(sentences)

    def _on_import_folder(self) -> None:
        ask_for_path(self, "Import a model folder", self.import_from, mode="folder")

    def _on_import_file(self) -> None:
        ask_for_path(self, "Import a model file", self.import_from, filters="Models (*.zip model.json)")

    def _on_delete(self) -> None:
        spec = self.spec
        if spec is not None:
            question = f"Delete {model_title(spec)}? Its folder is removed from this computer."
            self.message.ask(question, ("Delete", lambda: self._delete(reference(spec), spec.parent)))

    def _delete(self, name: str, origin: str | None) -> None:
        try:
            self.store.remove(name)
        except UnetstyleError as error:
            self.message.fail(failure(error))
            origin = None
        self.refresh(choose=origin)

    def _on_open_folder(self) -> None:
        spec = self.spec
        try:
            folder = self.store.folder(reference(spec)) if spec is not None else self.store.root
        except UnetstyleError as error:  # somebody removed it since
            self.message.fail(failure(error))
            self.refresh()
            return
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder)))

    def _can_remove(self, name: str) -> bool:
        try:
            return not self.store.is_bundled(name)
        except UnetstyleError:  # somebody removed it since
            return False

    def _show_card(self) -> None:
        place, spec = self.models.place, self.spec
        self.card.setText(card_text(place.spec, place.parent) if place else "No model is installed.")
        is_own = spec is not None and self._can_remove(reference(spec))
        self.comparison.choose(place)
        self.share.offer(spec)
        self.delete.setEnabled(is_own)
        self.delete.setToolTip("" if is_own else "This model came with the package and stays.")


@dataclass(frozen=True)
class _Installed:
    """A model that was imported."""

    spec: ModelSpec

    @property
    def sentence(self) -> str:
        """What a person reads."""
        return f"{model_title(self.spec)} is installed."


@dataclass(frozen=True)
class _NameTaken:
    """Why a model was not imported, and under which name it can be."""

    sentence: str
    path: Path
    free_name: str


def _imported(store: ModelStore, path: Path, name: str | None) -> _Installed | _NameTaken:
    try:
        return _Installed(store.import_(path, name=name))
    except ModelNameTakenError as error:
        return _NameTaken(str(error), path, error.free_name)
