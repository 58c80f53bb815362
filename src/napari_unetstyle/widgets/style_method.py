"""How a style is taken: the method, what it needs, and what it cannot take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QLineEdit, QPushButton, QVBoxLayout, QWidget

from napari_unetstyle.core.style.change import NEURAL, TEXTURED, TRAINED, StyleOptions
from napari_unetstyle.core.style.gatys import GatysOptions
from napari_unetstyle.core.style.photometric import METHODS
from napari_unetstyle.widgets.opening import ask_for_path
from napari_unetstyle.widgets.parts import combo, named
from napari_unetstyle.widgets.settings import read_settings, remember_vgg
from napari_unetstyle.widgets.style_layers import Style, is_kept

WEIGHTS = "Weights (*.pth *.pt);;All files (*)"
AUTOMATIC, GATYS = "automatic", "gatys"
WORDS = {
    "automatic": "automatic",
    "histogram": "histogram (ranks)",
    "moments": "mean and spread (Reinhard)",
    "stain": "stains (Macenko), for H&E",
    "landmarks": "landmarks (Nyul), for MR",
    "gatys": "texture (Gatys), minutes",
    "any": "texture in one pass",
    "fast": "texture in one pass, if trained",
}


class StyleMethod(QWidget):
    """What stands under *Advanced*."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.method = combo()
        for method in (*METHODS, *TEXTURED):
            self.method.addItem(WORDS.get(method, method), method)
        self.align = QCheckBox("Exchange bright and dark if needed")
        self.align.setChecked(True)
        self.align.setToolTip("Where objects are bright in one picture and dark in the other")
        self.weights, self.choose_weights = QLineEdit(str(read_settings().vgg or "")), QPushButton("…")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 0, 0, 0)
        layout.addWidget(named("Method", self.method))
        layout.addWidget(self._weights_row())
        layout.addWidget(self.align)
        self.method.currentIndexChanged.connect(self.changed)
        self.align.toggled.connect(self.changed)
        self.weights.textChanged.connect(self.changed)
        self.weights.editingFinished.connect(lambda: remember_vgg(self.weights.text()))
        self.choose_weights.clicked.connect(lambda: ask_for_path(self, "VGG16 file", self._on_weights, filters=WEIGHTS))
        self.changed.connect(self._show)
        self._show()

    def _weights_row(self) -> QWidget:
        self.weights.setPlaceholderText("none: random weights")
        self.weights.setToolTip("torchvision's file vgg16-397923af.pth, if you have it; nothing is downloaded")
        self.choose_weights.setMaximumWidth(28)
        self.choose_weights.setToolTip("Choose the file")
        line = QWidget()
        row = QHBoxLayout(line)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.weights, 1)
        row.addWidget(self.choose_weights)
        self.weights_row = named("VGG16 file", line)
        return self.weights_row

    @property
    def chosen(self) -> str:
        """The method."""
        return str(self.method.currentData())

    def choose(self, method: str) -> None:
        """Take this one."""
        self.method.setCurrentIndex(self.method.findData(method))

    def options(self, strength: float) -> StyleOptions:
        """What was chosen, at a strength in 0..1."""
        weights = self.weights.text().strip()
        neural = GatysOptions(weights=Path(weights) if weights and self.chosen == GATYS else None)
        return StyleOptions(method=self.chosen, strength=strength, align=self.align.isChecked(), neural=neural)

    @property
    def words(self) -> str:
        """What of it is not as usual, for when it is closed; empty if nothing is."""
        chosen = [] if self.chosen == AUTOMATIC else [f"Method: {WORDS[self.chosen]}."]
        chosen += [] if self.align.isChecked() else ["Bright and dark are not exchanged."]
        return " ".join(chosen)

    def _on_weights(self, path: Path) -> None:
        self.weights.setText(str(path))
        remember_vgg(str(path))

    def _show(self) -> None:
        self.weights_row.setVisible(self.chosen == GATYS)


def refusal(method: str, styles: Sequence[Style]) -> str:
    """Why a method cannot take the styles that are ticked, which one it is, and what to do; empty if it can."""
    kept = [style for style in styles if is_kept(style)]
    if method in NEURAL and kept:
        return (
            f"The style {kept[0].name!r} is kept as numbers, and {WORDS[method]!r} needs a picture to look at. Untick "
            "it, or take another method."
        )
    if method not in TRAINED or not styles:
        return ""
    without = [style.name for style in styles if not is_kept(style) or style.network is None]
    if without:
        return (
            f"{without[0]!r} has no network of its own, which {WORDS[method]!r} needs. Untick it, train one for it "
            "(napari-unetstyle stylize --train-fast), or take another method."
        )
    if len(styles) == 1:
        return ""
    return (
        f"{WORDS[method]!r} takes one style, and {len(styles)} are ticked. Untick all but one, or take another method."
    )


def unused_network(method: str, styles: Sequence[Style]) -> str:
    """That the only style has a network, and the method leaves it unused; empty if it is not so."""
    match styles:
        case [style] if method == AUTOMATIC and is_kept(style) and style.network is not None:
            return f"The style {style.name!r} has a network of its own, which only {WORDS['fast']!r} uses."
    return ""
