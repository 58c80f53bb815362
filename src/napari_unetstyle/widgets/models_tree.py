"""The installed models as a tree: a taught one stands under the one it came from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QTreeWidget, QTreeWidgetItem, QWidget

from napari_unetstyle.core.models.descent import Descendant, by_descent
from napari_unetstyle.core.models.model import reference
from napari_unetstyle.widgets.summary import model_title

if TYPE_CHECKING:
    from napari_unetstyle.core.models.spec import ModelSpec

_ROWS, _STEP = 7, 14  # lines that are seen at once; pixels by which a row stands further in than the one above
_PLACE = Qt.ItemDataRole.UserRole


class ModelsTree(QTreeWidget):
    """One row for each model; what is chosen or folded up stays so when the models are listed again."""

    chosen = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setHeaderHidden(True)
        self.setIndentation(_STEP)
        self.setAccessibleName("Models")
        self.setFixedHeight(_ROWS * self.fontMetrics().height() + 12)
        self.currentItemChanged.connect(lambda *_: self.chosen.emit())

    @property
    def place(self) -> Descendant | None:
        """The chosen model, and which one it came from."""
        item = self.currentItem()
        return None if item is None else item.data(0, _PLACE)

    @property
    def spec(self) -> ModelSpec | None:
        """The chosen model."""
        return None if self.place is None else self.place.spec

    def show_models(self, specs: list[ModelSpec], choose: str | None = None) -> None:
        """List models; `choose` (``nuclei@1``) is chosen, else the one before, else the first."""
        choose = choose or (reference(self.spec) if self.spec else None)
        folded = {reference(item.data(0, _PLACE).spec) for item in self._items() if not item.isExpanded()}
        with QSignalBlocker(self):
            self.clear()
            self._add_all(specs)
            items = {reference(item.data(0, _PLACE).spec): item for item in self._items()}
            for name, item in items.items():
                item.setExpanded(name not in folded or not item.childCount())
            self.setCurrentItem(items.get(choose or "", next(iter(items.values()), None)))
        self.chosen.emit()

    def titles(self) -> list[str]:
        """The rows from top to bottom, two spaces further in for each model above."""
        return [f"{'  ' * item.data(0, _PLACE).depth}{item.text(0)}" for item in self._items()]

    def _add_all(self, specs: list[ModelSpec]) -> None:
        above: list[QTreeWidgetItem] = []
        for place in by_descent(specs):
            item = QTreeWidgetItem([model_title(place.spec)])
            item.setData(0, _PLACE, place)
            item.setToolTip(0, f"{model_title(place.spec)}: {place.spec.card.summary}")
            del above[place.depth :]
            (above[-1].addChild if above else self.addTopLevelItem)(item)
            above.append(item)

    def _items(self) -> list[QTreeWidgetItem]:
        found, waiting = [], [self.topLevelItem(i) for i in reversed(range(self.topLevelItemCount()))]
        while waiting:
            item = waiting.pop()
            found.append(item)
            waiting += [item.child(i) for i in reversed(range(item.childCount()))]
        return found
