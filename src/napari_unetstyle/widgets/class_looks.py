"""The colors of objects: each its own, or that of its class where a model tells several apart."""

from __future__ import annotations

import html
from collections.abc import Mapping
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QSignalBlocker, QTimer, Signal
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QWidget

from napari_unetstyle.widgets.jobs import Finished, JobSlot, Outcome, as_steps
from napari_unetstyle.widgets.label_layers import class_colors, object_colors
from napari_unetstyle.widgets.parts import Words, follow

if TYPE_CHECKING:
    from napari_unetstyle.core.models.spec import ClassSpec
    from napari_unetstyle.widgets.corrected_layer import CorrectedLayer

REST = 100  # milliseconds without a change before colors are made anew
COMING = 100  # objects that have the color of the class in hand before they are there
HIGHEST_WITHOUT_NUMBA = 2**16  # number of an object that napari can give a color of its own then


class ClassLooks(QObject):
    """Whether objects are shown in the colors of their classes: of all labels that are watched."""

    changed = Signal(bool)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.is_on = True

    def set_on(self, is_on: bool) -> None:
        """Color by class from here on, or each object for itself."""
        if is_on != self.is_on:
            self.is_on = is_on
            self.changed.emit(is_on)

    def watch(self, corrected: CorrectedLayer) -> None:
        """Color these labels, too, if they are objects: they may get a second class yet."""
        if corrected.header.output == "objects":
            _Look(corrected, self)


class _Look(QObject):
    """Keeps the colors of one layer; those of many objects take a while, so they are made in a thread."""

    def __init__(self, target: CorrectedLayer, looks: ClassLooks) -> None:
        super().__init__(target)
        self._target, self._looks = target, looks
        self._made: Mapping[int, int] | None = None  # class of each object; None for colors of their own
        self._slot = JobSlot(self)
        self._slot.done.connect(self._on_made)
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST)
        self._rest.timeout.connect(self._color)
        looks.changed.connect(self._on_event)
        target.changed.connect(self._on_event)
        follow(self, target.layer.events.features, self._on_event)  # decided anew
        follow(self, target.layer.events.selected_label, self._on_event)  # a new object, perhaps
        self._rest.start()

    def _on_event(self) -> None:
        self._rest.start()

    def _color(self) -> None:
        target = self._target
        if not (self._looks.is_on and target.object_classes.are_several):
            if self._made is not None:
                self._made = None
                self._slot.cancel()
                target.layer.colormap = object_colors()
            return
        wanted = target.object_classes.shown
        if self._made is None or not _is_right(self._made, wanted):
            made = self._made = wanted | _coming(wanted, target.object_classes.hand)
            dtype = target.header.dtype
            self._slot.replace(lambda: as_steps(partial(colors_by_class, target.classes, made, dtype)))

    def _on_made(self, outcome: Outcome) -> None:
        if isinstance(outcome, Finished) and outcome.value is not None and self._made is not None:
            self._target.layer.colormap = outcome.value


def _coming(owners: Mapping[int, int], hand: int) -> dict[int, int]:
    """The next objects, of the class in hand: napari takes long to show other colors, and need not for each of them."""
    top = max(owners, default=0)
    return dict.fromkeys(range(top + 1, top + 1 + COMING), hand)


def _is_right(made: Mapping[int, int], wanted: Mapping[int, int]) -> bool:
    """Whether the colors for some objects are those for others, too."""
    top = max(wanted, default=0)
    return all(made.get(number, 1) == value for number, value in wanted.items()) and all(
        number in wanted or number > top or value == 1 for number, value in made.items()
    )


def colors_by_class(classes: tuple[ClassSpec, ...], owners: Mapping[int, int], dtype: Any) -> Any:
    """Colors for labels of objects, ready to be used on labels of a type; None if napari cannot do that.

    Parameters
    ----------
    classes
        With their colors.
    owners
        Class value of each object, by its number; 1 where nothing is said.
    dtype
        Of the labels.
    """
    others = {number: value for number, value in owners.items() if value != 1}
    if max(others, default=0) > HIGHEST_WITHOUT_NUMBA and find_spec("numba") is None:
        return None
    from napari.utils.colormaps import DirectLabelColormap

    colors = class_colors(classes).color_dict
    each = {number: colors[value if value in colors else 1] for number, value in others.items()}
    made = DirectLabelColormap(color_dict={None: colors[1], 0: colors[0], **each})
    made.map(np.zeros(1, dtype))  # which prepares it
    return made


class ClassLookRow(QWidget):
    """*color by class*, and which color is which; hidden where there is one class."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.box, self.legend = QCheckBox("color by class"), Words()
        self.box.setToolTip("Each object in the color of its class, or in one of its own")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.box)
        layout.addWidget(self.legend, 1)
        self.hide()

    def bind(self, looks: ClassLooks) -> None:
        """Show and set what holds for all labels."""
        self.box.setChecked(looks.is_on)
        self.box.toggled.connect(looks.set_on)
        looks.changed.connect(self._on_changed)

    def show_classes(self, classes: tuple[ClassSpec, ...]) -> None:
        """Those of the labels in sight, where these are objects."""
        self.setVisible(len(classes) > 1)
        words = (f'<span style="color: {one.color}">■</span>&nbsp;{html.escape(one.name)}' for one in classes)
        self.legend.setText(" ".join(words))

    def _on_changed(self, is_on: bool) -> None:
        with QSignalBlocker(self.box):
            self.box.setChecked(is_on)
