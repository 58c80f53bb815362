"""One Ctrl+Z for all that a person does to labels: napari's own strokes and what was said of them, in one order."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import napari.layers

_UNDO, _REDO = "Control-Z", "Control-Shift-Z"


@dataclass(frozen=True, kw_only=True)
class Said:
    """Something that was said of labels: how it is said again, and how it is taken back."""

    again: Callable[[], None]
    back: Callable[[], None]
    has_stroke: bool = False
    """Whether a step of napari's own history goes with it."""


Step = Said | None
"""Something that Ctrl+Z takes back; None is a step of napari's own history."""


class UndoHistory:
    """Of one layer; it takes the layer's keys until :meth:`close`.

    Parameters
    ----------
    layer
        The labels.
    """

    def __init__(self, layer: napari.layers.Labels) -> None:
        self._layer = layer
        self._done: list[Step] = []
        self._undone: list[Step] = []
        self.is_replaying = False
        """Whether the layer is changing because of an undo or redo."""
        layer.bind_key(_UNDO, lambda _: self.undo(), overwrite=True)
        layer.bind_key(_REDO, lambda _: self.redo(), overwrite=True)

    def remember(self, step: Step) -> None:
        """Note what was just done; what was taken back before cannot be done again."""
        if step is not None and step.has_stroke:
            self._done.pop()  # the stroke, noted by itself
        self._done.append(step)
        self._undone.clear()

    def undo(self) -> None:
        """Take back the last step, a stroke or what was said."""
        self._move(self._done, self._undone, self._layer.undo, lambda step: step.back())

    def redo(self) -> None:
        """Do again what was taken back last."""
        self._move(self._undone, self._done, self._layer.redo, lambda step: step.again())

    def close(self) -> None:
        """Give the keys back."""
        for key in (_UNDO, _REDO):
            self._layer.bind_key(key, None, overwrite=True)

    def _move(
        self, source: list[Step], target: list[Step], own: Callable[[], Any], say: Callable[[Said], None]
    ) -> None:
        step = source.pop() if source else None  # what was done before a dock was here is in napari's history
        if (step is None or step.has_stroke) and not self._has_moved(own):
            source.clear()  # napari knows its last hundred strokes: older ones stay, and so does what was said of them
            return
        if step is not None:
            say(step)
        target.append(step)

    def _has_moved(self, own: Callable[[], Any]) -> bool:
        """Undo or redo a stroke of napari's history, if there is one left."""
        heard: list[object] = []
        events = self._layer.events
        self.is_replaying = True
        try:
            with _listening((events.set_data, events.reload), heard.append):
                own()
            if not self._layer.visible:  # napari says nothing of these
                events.set_data()
        finally:
            self.is_replaying = False
        return bool(heard) or not self._layer.visible


@contextlib.contextmanager
def _listening(emitters: Iterable[Any], listener: Callable[[object], None]) -> Iterator[None]:
    for emitter in emitters:
        emitter.connect(listener)
    try:
        yield
    finally:
        for emitter in emitters:
            emitter.disconnect(listener)
