"""*Improve*: a model that is there, that model plus a class, or a new model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QHBoxLayout, QLineEdit, QPushButton, QVBoxLayout, QWidget

from napari_unetstyle.core.models.model import reference
from napari_unetstyle.widgets.goal import Goal
from napari_unetstyle.widgets.parts import combo, form, name, named
from napari_unetstyle.widgets.summary import model_title

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_unetstyle.core.models.spec import ClassSpec, ModelSpec

PLUS_CLASS, NEW = "plus a class", "new"
_FIRST = "nuclei@1"
PAINT = "Paint on the picture"
_AREAS, _OBJECTS = "areas", "objects"


class Improve(QWidget):
    """The choice, and a row for what it leaves open."""

    changed = Signal()
    paint_wanted = Signal()
    by_hand_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._specs: dict[str, ModelSpec] = {}
        self._labels: str | None = None
        self._base: str | None = None  # what a class is added to: the model that was chosen last
        self.models = combo()
        self.models.setToolTip("What your fixes are taught to; the one you have stays as it is")
        self.class_name = QLineEdit()
        self.class_name.setPlaceholderText("vessel")
        self.class_name.setToolTip("What is to be found besides what the model finds already")
        self.paint = QPushButton("Paint it")
        self.paint.setToolTip("Take the brush with the color of the new class")
        self.plus = QWidget()
        self.new_classes, self.new_name = QLineEdit(), QLineEdit()
        self.new_classes.setPlaceholderText("vessel, or tumor, necrosis")
        self.new_classes.setToolTip("One name, or several with commas, in the order of their values in the masks")
        self.new_name.setToolTip("What the model is called among your models")
        self.kind = combo()
        self.kind.addItem("areas, as tissue or vessels", _AREAS)
        self.kind.addItem("objects one by one, as cells", _OBJECTS)
        self.by_hand = QPushButton(PAINT)
        self.by_hand.setToolTip("Paint what is to be found; your own labels are taken if they are selected")
        self.new = QWidget()
        self._lay_out()
        for line in (self.class_name, self.new_classes, self.new_name):
            line.textChanged.connect(self._show)
        self.models.currentIndexChanged.connect(self._on_chosen)
        self.kind.currentIndexChanged.connect(self._show)
        self.paint.clicked.connect(self.paint_wanted)
        self.by_hand.clicked.connect(self.by_hand_wanted)
        self._show()

    def _lay_out(self) -> None:
        beside = QWidget()
        row = QHBoxLayout(beside)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.class_name, 1)
        row.addWidget(self.paint)
        form(self.plus).addRow(name("Class"), beside)
        rows = form(self.new)
        for words, field in (("Finds", self.new_classes), ("As", self.kind), ("Name", self.new_name)):
            rows.addRow(name(words), field)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for part in (named("Improve", self.models), self.plus, self.new, self.by_hand):
            layout.addWidget(part)

    @property
    def goal(self) -> Goal | None:
        """What is to be taught; None without any model to start from."""
        if self.models.currentData() == NEW:
            taken = [spec.name for spec in self._specs.values()]
            return Goal.new(self.new_name.text(), self.new_classes.text().split(","), self.kind.currentData(), taken)
        spec = self._specs.get(self._base or "")
        if spec is None:
            return None
        return Goal.improved(spec, [self.class_name.text()] if self.models.currentData() == PLUS_CLASS else None)

    def set_models(self, specs: list[ModelSpec]) -> None:
        """List the installed models, and keep what is chosen."""
        before = self.models.currentData() or _FIRST
        self._specs = {reference(spec): spec for spec in specs}
        with QSignalBlocker(self.models):
            self.models.clear()
            for key, spec in self._specs.items():
                self.models.addItem(model_title(spec), key)
            if specs:
                self.models.insertSeparator(len(specs))
                self.models.addItem("", PLUS_CLASS)
            self.models.addItem("a new model…", NEW)
            self.models.setCurrentIndex(max(self.models.findData(before), 0))
        self._on_chosen()

    def choose(self, name: str) -> None:
        """Improve this model, ``nuclei@1``, or the newest version of that name."""
        versions = [spec for spec in self._specs.values() if spec.name == name]
        newest = reference(max(versions, key=lambda spec: spec.version)) if versions else name
        if (index := self.models.findData(newest)) >= 0:
            self.models.setCurrentIndex(index)

    def follow(self, model: str, classes: Sequence[ClassSpec] = ()) -> None:
        """Improve the model that made the labels that a person turned to, unless a new one is to be taught.

        If among their `classes` is one that was added and that the model does not know yet, it is still to be added.
        """
        chosen, base = self.models.currentData(), self._base
        if chosen == NEW:
            self.changed.emit()
            return
        with QSignalBlocker(self.models):
            self.choose(model)
        found = self.models.currentData()
        added = self._unknown(found, [one.name for one in classes])
        if added is not None or (chosen == PLUS_CLASS and found == base):
            self._base = found
            with QSignalBlocker(self.models), QSignalBlocker(self.class_name):
                self.models.setCurrentIndex(self.models.findData(PLUS_CLASS))
                self.class_name.setText(added or self.class_name.text())
        self._on_chosen()

    def _unknown(self, model: str | None, names: list[str]) -> str | None:
        """The class that these have more than a model; None if it knows them, or has others."""
        spec = self._specs.get(model or "")
        known = [] if spec is None else [one.name for one in spec.classes]
        return names[-1] if known and names[:-1] == known else None

    def show_labels(self, label: str | None) -> None:
        """Offer to learn from these labels of a person; for a new model, to paint if there are none."""
        self._labels = label
        self.by_hand.setText(PAINT if label is None else f"Learn from {label}")
        self._show_by_hand()

    def _on_chosen(self) -> None:
        if (chosen := self.models.currentData()) in self._specs:
            self._base = chosen
        elif self._base not in self._specs:
            self._base = next(iter(self._specs), None)
        if (index := self.models.findData(PLUS_CLASS)) >= 0 and self._base is not None:
            self.models.setItemText(index, f"{model_title(self._specs[self._base])} + a class…")
        self._show()

    def _show(self) -> None:
        chosen, goal = self.models.currentData(), self.goal
        self.plus.setVisible(chosen == PLUS_CLASS and goal is not None)
        self.new.setVisible(chosen == NEW)
        self._show_by_hand()
        if goal is not None and goal.name is not None:
            self.new_name.setPlaceholderText(goal.name)
        self.changed.emit()

    def _show_by_hand(self) -> None:
        goal = self.goal
        self.by_hand.setVisible(self.models.currentData() == NEW or self._labels is not None)
        self.by_hand.setEnabled(goal is not None and not goal.problem)
