"""A file that does not say what its axes are: a person says it with one click, beside the canvas; nothing is modal."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton

from napari_unetstyle.core.errors import AxesUnknownError
from napari_unetstyle.core.progress import Progress, Steps
from napari_unetstyle.widgets.choice import Choice, beside_canvas, front_viewer
from napari_unetstyle.widgets.opening import LayerData
from napari_unetstyle.widgets.parts import Words

if TYPE_CHECKING:
    import napari.viewer

TITLE = "Axes"
_WORDS = {"T": "times", "C": "channels", "Z": "slices", "Y": "rows", "X": "columns"}


class AxesChooser(Choice):
    """What a file leaves open, and a button for each answer, which opens it as a layer.

    Parameters
    ----------
    viewer
        Gets the layer.
    path
        The file.
    unknown
        What its reader said.
    """

    opened = Signal(str, object)  # the axes that were chosen, and the file

    def __init__(self, viewer: napari.viewer.ViewerModel, path: Path, unknown: AxesUnknownError) -> None:
        super().__init__(viewer)
        self._path, self._axes = path, ""
        differing = [i for i, letters in enumerate(zip(*unknown.choices, strict=True)) if len({*letters}) > 1]
        shape = " x ".join(map(str, unknown.shape))
        lengths = " and ".join(str(unknown.shape[i]) for i in differing)
        order = ", in this order" if len(differing) > 1 else ""
        self.words = Words(f"{path.name}\n{shape}\nThe file does not say what the {lengths} are{order}.")
        self.choices = {axes: QPushButton(_named(axes, differing)) for axes in unknown.choices}
        self._lay_out(self.words, *self.choices.values())
        for axes, button in self.choices.items():
            button.setToolTip(", ".join(f"{n} {_WORDS[a]}" for n, a in zip(unknown.shape, axes, strict=True)))
            button.clicked.connect(partial(self._on_chosen, axes))

    def _on_chosen(self, axes: str) -> None:
        self._axes = axes
        self._read(_iter_read(self._path, axes))

    def _let_choose(self, can_choose: bool) -> None:
        for button in self.choices.values():
            button.setEnabled(can_choose)

    def _take(self, read: LayerData) -> None:
        from napari.layers import Layer

        self._viewer.add_layer(Layer.create(*read))
        self.opened.emit(self._axes, self._path)
        self.finished.emit()


def _named(axes: str, differing: list[int]) -> str:
    return ", ".join(_WORDS[axes[i]] for i in differing).capitalize()


def _iter_read(path: Path, axes: str) -> Steps[LayerData]:
    """Read a file with stated axes, as a job."""
    from napari_unetstyle.widgets.readers import layer_of_file

    yield Progress(0, 1)
    return layer_of_file(path, axes)


def ask_for_axes(
    path: Path, unknown: AxesUnknownError, viewer: napari.viewer.ViewerModel | None = None
) -> AxesChooser | None:
    """Let a person say what the axes are, beside the canvas; None if there is none, or nothing to choose."""
    shown = front_viewer() if viewer is None else viewer
    window = getattr(shown, "window", None)
    if window is None or len(unknown.choices) < 2:
        return None
    chooser = AxesChooser(shown, path, unknown)
    beside_canvas(window, chooser, f"{TITLE} of {path.name}")
    return chooser
