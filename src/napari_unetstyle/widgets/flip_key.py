"""The key that flips two label layers of one picture."""

from __future__ import annotations

from weakref import WeakSet

from qtpy.compat import isalive
from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import QApplication, QWidget

from napari_unetstyle.widgets.old_and_new import Pairs

FLIP_KEY = "F8"

_KEYS: WeakSet[FlipKey] = WeakSet()


class FlipKey(QShortcut):
    """One key for all pairs of a window: it flips those that were made or flipped last.

    Two docks have two shortcuts of one key, which is ambiguous to Qt: either of them then acts for both.
    """

    def __init__(self, parent: QWidget, *pairs: Pairs) -> None:
        super().__init__(QKeySequence(FLIP_KEY), parent)
        self._pairs = pairs
        self.setContext(Qt.ShortcutContext.ApplicationShortcut)
        self.activated.connect(self._flip)
        self.activatedAmbiguously.connect(self._flip)
        _KEYS.add(self)

    def _flip(self) -> None:
        keys = [key for key in _KEYS if isalive(key)]
        active = _window(QApplication.activeWindow())
        here = [key for key in keys if _window(key.parent()) is active] or keys
        shown = [pairs for key in here for pairs in key._pairs if pairs.open]
        if shown:
            max(shown, key=lambda pairs: pairs.since).flip()


def _window(widget: object) -> QWidget | None:
    """The window that a widget is in, be it in a dock that floats."""
    if not isinstance(widget, QWidget):
        return None
    window = widget.window()
    while (above := window.parentWidget()) is not None:
        window = above.window()
    return window
