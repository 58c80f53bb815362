"""The key that flips two label layers of one picture."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import QWidget

from napari_unetstyle.widgets.old_and_new import Pairs

FLIP_KEY = "F8"


class FlipKey(QShortcut):
    """One key for all pairs: it flips those that were made or flipped last.

    Two shortcuts of one key would be ambiguous to Qt, which then follows neither.
    """

    def __init__(self, parent: QWidget, *pairs: Pairs) -> None:
        super().__init__(QKeySequence(FLIP_KEY), parent)
        self._pairs = pairs
        self.setContext(Qt.ShortcutContext.ApplicationShortcut)
        self.activated.connect(self._flip)

    def _flip(self) -> None:
        shown = [pairs for pairs in self._pairs if pairs.open]
        if shown:
            max(shown, key=lambda pairs: pairs.since).flip()
