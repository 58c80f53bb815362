"""What a person sees and does after a run: how many, fewer or more, how it looks, save, copy."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Qt, QTimer, Signal
from qtpy.QtGui import QAction
from qtpy.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QRadioButton,
    QSlider,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_unetstyle.core.style.distance import FOREIGN
from napari_unetstyle.widgets.class_looks import ClassLookRow
from napari_unetstyle.widgets.label_layers import OUTLINE_LIMIT, outline_width
from napari_unetstyle.widgets.message_row import MessageRow
from napari_unetstyle.widgets.parts import NamedBox, NumberBox, Words
from napari_unetstyle.widgets.saving import FORMATS
from napari_unetstyle.widgets.summary import area_column, describe_result

if TYPE_CHECKING:
    from napari_unetstyle.core.segmentation.result import SegmentResult
    from napari_unetstyle.widgets.outputs import Output

FILLED = 0.5  # opacity
REST = 80  # milliseconds without a change before labels are decided anew

COPY = {"python": "Python", "command": "command line"}


class AfterRun(NamedBox):
    """Controls of one output; hidden while there is none."""

    refine_wanted = Signal(dict)  # threshold, min_pixels, … by name
    table_wanted = Signal(bool)
    save_wanted = Signal(str)  # a key of FORMATS
    copy_wanted = Signal(str)  # a key of COPY
    probabilities_wanted = Signal()
    volume_wanted = Signal(bool)
    restyle_wanted = Signal()
    stain_wanted = Signal()
    look_wanted = Signal()  # to teach with the picture as a style

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._output: Output | None = None
        self._can_restyle = self._can_teach = self._wants_fill = False
        self._formats: dict[str, QAction] = {}
        self.summary, self.said, self.notes = Words(), Words(), Words()
        self.fewer = QSlider(Qt.Orientation.Horizontal)
        self.fewer.setRange(2, 98)
        self.smallest = NumberBox()
        self.details = QToolButton()
        self.details.setText("Details")
        self.details.setCheckable(True)
        self.details.setAutoRaise(True)
        self.details.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.largest = QCheckBox("largest piece of each class only")
        self.holes = QCheckBox("fill holes")
        self.outline, self.fill = QRadioButton("outline"), QRadioButton("fill")
        self.outline.setChecked(True)
        self.classes = ClassLookRow()
        self.volume = QPushButton("3D")
        self.volume.setCheckable(True)
        self.volume.setToolTip("Turn the volume round")
        self.original = QPushButton("Show original")
        self.original.setCheckable(True)
        self.table = QPushButton("Table")
        self.table.setCheckable(True)
        self.save, self.copy = QPushButton("Save"), QPushButton("Copy as")
        self.foreign, self.distance = MessageRow(), Words()
        self._exact: dict[str, tuple[float, float]] = {}  # what the two controls show, rounded, and what it stands for
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST)
        self._lay_out()
        self._connect()
        self.hide()

    def _lay_out(self) -> None:
        threshold = QHBoxLayout()
        for part in (QLabel("fewer"), self.fewer, QLabel("more")):
            threshold.addWidget(part, part is self.fewer)
        smallest = QHBoxLayout()
        smallest.addWidget(QLabel("smallest"))
        smallest.addWidget(self.smallest, 1)
        look = QHBoxLayout()
        for part in (self.outline, self.fill):
            look.addWidget(part)
        look.addStretch()
        look.addWidget(self.original)
        buttons = QHBoxLayout()  # where there is no volume, the others take the room
        for button in (self.table, self.volume, self.save, self.copy):
            buttons.addWidget(button, button is not self.volume)
        self.cleaning = QWidget()
        cleaning = QVBoxLayout(self.cleaning)
        cleaning.setContentsMargins(12, 0, 0, 0)
        cleaning.addWidget(self.largest)
        cleaning.addWidget(self.holes)
        layout = QVBoxLayout(self)
        layout.addWidget(self.summary)
        layout.addLayout(threshold)
        layout.addLayout(smallest)
        layout.addWidget(self.details)
        layout.addWidget(self.distance)
        layout.addWidget(self.cleaning)
        layout.addLayout(look)
        layout.addWidget(self.classes)
        layout.addLayout(buttons)
        layout.addWidget(self.said)
        layout.addWidget(self.foreign)
        layout.addWidget(self.notes)
        self.save.setMenu(self._save_menu())
        self.copy.setMenu(self._copy_menu())

    def _save_menu(self) -> QMenu:
        menu = QMenu(self)
        for key, form in FORMATS.items():
            self._formats[key] = self._add_action(menu, form.words, lambda key=key: self.save_wanted.emit(key))
        menu.addSeparator()
        self._add_action(menu, "Probabilities as a layer", self.probabilities_wanted.emit)
        return menu

    def _copy_menu(self) -> QMenu:
        menu = QMenu(self)
        for key, words in COPY.items():
            self._add_action(menu, words, lambda key=key: self.copy_wanted.emit(key))
        return menu

    @staticmethod
    def _add_action(menu: QMenu, words: str, slot: object) -> QAction:
        action = QAction(words, menu)
        action.triggered.connect(lambda _=False: slot())  # type: ignore[operator]
        menu.addAction(action)
        return action

    def _connect(self) -> None:
        self.fewer.valueChanged.connect(lambda _: self._rest.start())
        self.smallest.valueChanged.connect(lambda _: self._rest.start())
        self._rest.timeout.connect(self._on_rest)
        for box in (self.largest, self.holes):
            box.toggled.connect(lambda _: self._rest.start())
        self.details.toggled.connect(self._show_details)
        self.outline.toggled.connect(self._show_look)
        for button in (self.outline, self.fill):
            button.clicked.connect(self._on_look)
        self.original.toggled.connect(self._on_original)
        self.volume.toggled.connect(self.volume_wanted)
        self.table.toggled.connect(self.table_wanted)

    @property
    def output(self) -> Output | None:
        """What is shown."""
        return self._output

    def show_output(
        self, output: Output | None, title: str = "", *, can_restyle: bool = False, can_teach: bool = False
    ) -> None:
        """Show the controls of an output, or none.

        `can_restyle` if its picture could take a look the model knows, `can_teach` if a model could learn to read it.
        """
        self._can_restyle, self._can_teach = can_restyle, can_teach
        self._rest.stop()
        self._output = output
        self.said.hide()
        self.setVisible(output is not None)
        if output is None:
            return
        self.setTitle(title)
        self._set_controls(output.result)
        options = output.result.options
        if output.result.output == "areas" and (options.keep_largest or options.fill_holes):
            self.details.setChecked(True)  # a person should see it
        self._show_details()
        for key, action in self._formats.items():
            action.setVisible(FORMATS[key].is_for(output))
        self.volume.setVisible(is_volume(output.result))
        self.classes.show_classes(output.result.classes if output.result.output == "objects" else ())
        with QSignalBlocker(self.original):
            self.original.setChecked(not output.layer.visible)
        self.show_result()
        self._show_foreign(output.result)
        is_filled = not output.layer.contour if is_slow_to_outline(output) else self._wants_fill
        (self.fill if is_filled else self.outline).setChecked(True)
        self._show_look()

    def show_result(self) -> None:
        """Say what the output's result is now."""
        if self._output is None:
            return
        result = self._output.result
        self.summary.setText(describe_result(result))
        words = result.distance.words if result.distance is not None else ""
        notes = [note for note in result.notes if note != words]
        if self.fill.isChecked() and is_slow_to_outline(self._output):
            notes.append("The labels are filled: outlining a large slice takes napari seconds. Click outline for them.")
        self.notes.setText("\n".join(f"! {note}" for note in notes))
        self.notes.setVisible(bool(notes))

    def _show_foreign(self, result: SegmentResult) -> None:
        """Say that the model has seen nothing like the picture, and what can be done."""
        distance = result.distance
        if distance is None or not distance.is_foreign:
            self.foreign.clear()
            return
        actions = [("Restyle", self.restyle_wanted.emit)] if self._can_restyle else []
        advice = "Look closely; correcting a few places and teaching helps."
        if self._can_teach:
            advice += " So does teaching with it as a style, when other pictures are corrected."
            actions.append(("Use in Teach", self.look_wanted.emit))
        if self._output is not None and self._output.placement.layer.rgb and result.options.channel is None:
            advice += " If nuclei are blue beside another stain, let the model see the blue alone."
            actions.append(("Hematoxylin only", self.stain_wanted.emit))
        self.foreign.say(f"{distance.words} {advice}", *actions)

    def say(self, sentence: str) -> None:
        """Say what a control has just done."""
        self.said.setText(sentence)
        self.said.setVisible(bool(sentence))

    def _set_controls(self, result: SegmentResult) -> None:
        _, sign = area_column(result.objects)
        pixel = pixel_size(result)
        with QSignalBlocker(self.largest), QSignalBlocker(self.holes):
            self.largest.setChecked(bool(result.options.keep_largest))
            self.holes.setChecked(bool(result.options.fill_holes))
        with QSignalBlocker(self.fewer), QSignalBlocker(self.smallest):
            self.fewer.setValue(round(100 - 100 * (result.options.threshold or 0.5)))
            self.smallest.setSuffix(f" {sign}")
            self.smallest.setDecimals(max(0, min(6, math.ceil(-math.log10(pixel)))))
            self.smallest.setRange(0, 1e9)
            self.smallest.setSingleStep(max(pixel * 5, 10 ** -self.smallest.decimals()))
            self.smallest.setValue((result.options.min_pixels or 0) * pixel)
        options = result.options
        self._exact = {
            "threshold": (self.fewer.value(), options.threshold or 0.5),
            "min_pixels": (self.smallest.value(), options.min_pixels or 0),
        }

    def _on_rest(self) -> None:
        if self._output is None:
            return
        result = self._output.result
        wanted: dict[str, float] = {
            "threshold": (100 - self.fewer.value()) / 100,
            "min_pixels": math.ceil(round(self.smallest.value() / pixel_size(result), 6)),
        }
        now = {"threshold": self.fewer.value(), "min_pixels": self.smallest.value()}
        wanted |= {key: value for key, (shown, value) in self._exact.items() if shown == now[key]}
        wanted["fill_holes"] = self.holes.isChecked()
        if result.output == "areas":
            wanted["keep_largest"] = self.largest.isChecked()
        self.refine_wanted.emit(wanted)

    def _show_details(self) -> None:
        result = self._output.result if self._output is not None else None
        distance, is_open = result and result.distance, self.details.isChecked()
        self.details.setArrowType(Qt.ArrowType.DownArrow if is_open else Qt.ArrowType.RightArrow)
        self.cleaning.setVisible(is_open)
        self.largest.setVisible(result is not None and result.output == "areas")
        self.distance.setVisible(bool(distance) and is_open and not self.details.isHidden())
        if distance:
            self.distance.setText(
                f"{distance.value:.1f} away from what {distance.model} has seen; from {FOREIGN:g} on it is said."
            )

    def _show_look(self) -> None:
        if self._output is None or not self._output.is_open:
            return
        layer, is_outline = self._output.layer, self.outline.isChecked()
        contour = outline_width(layer.data.shape) if is_outline else 0
        if layer.contour != contour:  # napari computes it anew even if it is the same
            layer.contour = contour
        layer.opacity = 1.0 if is_outline else FILLED
        self.show_result()

    def _on_look(self) -> None:
        """What a person chose counts for the results to come; for large ones each by itself."""
        if self._output is not None and not is_slow_to_outline(self._output):
            self._wants_fill = self.fill.isChecked()

    def _on_original(self, is_original: bool) -> None:
        if self._output is not None and self._output.is_open:
            self._output.layer.visible = not is_original


def is_slow_to_outline(output: Output) -> bool:
    """Whether outlining a slice takes napari seconds, whenever it is drawn."""
    return math.prod(output.labels.shape[-2:]) > OUTLINE_LIMIT


def is_volume(result: SegmentResult) -> bool:
    """Whether there is something to turn round."""
    return "Z" in result.label_axes and result.labels.shape[result.label_axes.index("Z")] > 1


def pixel_size(result: SegmentResult) -> float:
    """Area of a pixel, or volume of a voxel where volumes were decided, in the unit that sizes are shown in."""
    geometry, dims = result.geometry, result.labels.ndim - len(result.frames[0])
    return math.prod(geometry.spacing[-dims:]) if geometry.is_physical else 1.0
