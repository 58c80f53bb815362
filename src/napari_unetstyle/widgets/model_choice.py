"""Which model, and what it is for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_unetstyle.widgets.parts import Words, combo, named
from napari_unetstyle.widgets.summary import model_title

if TYPE_CHECKING:
    from napari_unetstyle.core.models.spec import ModelSpec

_FIRST = "nuclei"


class ModelChoice(QWidget):
    """The installed models; objects or areas where a model can do both."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._specs: dict[str, ModelSpec] = {}
        self.models, self.output = combo(), combo()
        self.output.addItem("separate objects", "objects")
        self.output.addItem("areas", "areas")
        self.purpose = Words()
        self._output_row = named("As", self.output)
        layout = QVBoxLayout(self)  # a form would cut words that wrap
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(named("Model", self.models))
        layout.addWidget(self.purpose)
        layout.addWidget(self._output_row)
        self.models.currentIndexChanged.connect(self._on_chosen)
        self.output.currentIndexChanged.connect(self.changed)
        self._on_chosen()

    def set_models(self, specs: list[ModelSpec]) -> None:
        """List the installed models, and keep the chosen one if it still is."""
        before = self.reference or f"{_FIRST}@1"
        self._specs = {f"{spec.name}@{spec.version}": spec for spec in specs}
        with QSignalBlocker(self.models):
            self.models.clear()
            for reference, spec in self._specs.items():
                self.models.addItem(model_title(spec), reference)
            self.models.setCurrentIndex(max(self.models.findData(before), 0) if specs else -1)
        self._on_chosen()

    def choose(self, name: str) -> None:
        """Use this model from now on, if it is installed."""
        if (index := self.models.findData(name)) >= 0:
            self.models.setCurrentIndex(index)

    @property
    def reference(self) -> str | None:
        """The chosen model with its version, ``nuclei@1``."""
        return self.models.currentData()

    @property
    def spec(self) -> ModelSpec | None:
        """What the chosen model is."""
        return self._specs.get(self.reference or "")

    @property
    def wanted_output(self) -> Literal["objects", "areas"]:
        """What the labels are to mean."""
        separates = self.spec is not None and self.spec.separation is not None
        return "objects" if separates and self.output.currentData() == "objects" else "areas"

    def _on_chosen(self) -> None:
        spec = self.spec
        self.purpose.setText(spec.card.summary if spec else "No model is installed. Import one under Models.")
        self._output_row.setVisible(spec is not None and spec.separation is not None)
        self.changed.emit()
