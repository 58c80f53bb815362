"""A model that a colleague shared, dropped on napari: installed off the GUI thread, and shown in the open dock."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QApplication

from napari_unetstyle.widgets.jobs import Failed, Finished, JobSlot, Outcome, as_steps
from napari_unetstyle.widgets.settings import read_settings

if TYPE_CHECKING:
    from napari_unetstyle.core.models.spec import ModelSpec
    from napari_unetstyle.widgets.main_dock import MainDock


def install(path: Path) -> None:
    """Install a shared model: through the dock, which shows it and can ask, or else with a note of napari's.

    Returns at once where napari has a window: checking a model takes seconds. Without one it is installed when this
    returns.

    Raises
    ------
    UnetstyleError
        Without a window, if it is no complete, unedited model, or its name belongs to another.
    """
    app = QApplication.instance()
    docks = [] if app is None else _docks()
    seen = [dock for dock in docks if dock.isVisibleTo(dock.window())]
    if app is None:
        _imported(path)
    elif seen:
        seen[0].import_model(path)
    else:
        slot = JobSlot(app)
        slot.done.connect(partial(_tell, slot, docks))
        slot.start(as_steps(lambda: _imported(path)))


def _docks() -> list[MainDock]:
    """Those that are open, also behind others."""
    from napari_unetstyle.widgets.main_dock import MainDock

    return [widget for widget in QApplication.allWidgets() if isinstance(widget, MainDock)]


def _imported(path: Path) -> ModelSpec:
    from napari_unetstyle.core.models.store import ModelStore

    return ModelStore(read_settings().model_folder).import_(path)


def _tell(slot: JobSlot, docks: list[MainDock], outcome: Outcome) -> None:
    from napari.utils.notifications import show_error, show_info

    slot.deleteLater()
    match outcome:
        case Finished(value=spec):
            show_info(f"The model {spec.name}, version {spec.version}, is installed: {spec.card.purpose}")
            for dock in docks:
                dock.models.refresh()
        case Failed():
            show_error(outcome.sentence)
