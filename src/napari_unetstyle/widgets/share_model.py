"""The button *Share…*: a model as one file, without pictures unless that is ticked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QCheckBox, QPushButton

from napari_unetstyle.core.models.memory import is_picture
from napari_unetstyle.core.models.model import reference
from napari_unetstyle.widgets.jobs import Failed, Finished, JobSlot, Outcome, as_steps
from napari_unetstyle.widgets.message_row import MessageRow
from napari_unetstyle.widgets.opening import ask_for_path

if TYPE_CHECKING:
    from napari_unetstyle.core.models.spec import ModelSpec
    from napari_unetstyle.core.models.store import ModelStore


class ShareModel(QPushButton):
    """Enabled while there is a model to share; beside it, `pictures` is to be ticked where the model carries some.

    Parameters
    ----------
    store
        Gives where the model is.
    message
        Says what came of it.
    """

    def __init__(self, store: Callable[[], ModelStore], message: MessageRow) -> None:
        super().__init__("Share…")
        self.setToolTip("One file for a colleague, who drops it on napari; no picture of yours is in it")
        self.pictures = QCheckBox("Share its old pictures, too")
        self.pictures.setToolTip("Small pictures of its first training, which keep it from forgetting; never yours")
        self._store, self._message = store, message
        self._spec: ModelSpec | None = None
        self.slot = JobSlot(self)
        self.slot.done.connect(self._on_done)
        self.clicked.connect(self._on_clicked)
        self.offer(None)

    def offer(self, spec: ModelSpec | None) -> None:
        """Share this model when clicked."""
        if spec != self._spec:
            self.pictures.setChecked(False)
        self._spec = spec
        self.pictures.setVisible(spec is not None and any(map(is_picture, spec.files)))
        self.setEnabled(spec is not None and not self.slot.is_busy)

    def write(self, path: Path, model: str) -> None:
        """Write a model as one file, off the GUI thread, as all of it is checked."""
        store, pictures = self._store(), self.pictures.isChecked()
        self.setEnabled(False)
        self.slot.start(as_steps(lambda: store.share(model, path, pictures=pictures)))

    def _on_clicked(self) -> None:
        from napari_unetstyle.core.models.archive import SHARED

        if (spec := self._spec) is not None:
            name, chosen = f"{spec.name}-{spec.version}{SHARED}", reference(spec)
            ask_for_path(self, "Share a model", lambda path: self.write(path, chosen), name=name, mode="save")

    def _on_done(self, outcome: Outcome) -> None:
        self.offer(self._spec)
        match outcome:
            case Finished(value=path):
                self._message.say(f"Wrote {path}. A colleague drops it on napari, or imports it in the tab Models.")
            case Failed():
                self._message.fail(outcome)
