"""Which picture, and what its axes and pixels mean: seen, and editable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_unetstyle.core.errors import ImageError
from napari_unetstyle.core.imaging.stains import STAINS
from napari_unetstyle.widgets.axes_editor import AxesEditor
from napari_unetstyle.widgets.ct_window import CtWindow, is_ct
from napari_unetstyle.widgets.label_layers import pictures_among
from napari_unetstyle.widgets.layers import STYLE, Statement, image_from_layer
from napari_unetstyle.widgets.parts import Words, combo, follow, named
from napari_unetstyle.widgets.picture import Picture
from napari_unetstyle.widgets.ruler import Ruler
from napari_unetstyle.widgets.scope import current_channel
from napari_unetstyle.widgets.statements import known_statement, state
from napari_unetstyle.widgets.summary import describe_picture, unbroken

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer


class PictureForm(QWidget):
    """Choice of a picture, its axes, channel and pixel size."""

    changed = Signal()

    def __init__(self, viewer: napari.viewer.ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._followed: WeakSet[Any] = WeakSet()
        self._diameters: WeakKeyDictionary[Any, float] = WeakKeyDictionary()
        self._channels: WeakKeyDictionary[Any, int | str | None] = WeakKeyDictionary()
        self._has_choices = True
        self.layers = combo()
        self.info = Words()
        self.change = QPushButton("change")
        self.change.setToolTip("Axes and pixel size")
        self.editor = AxesEditor()
        self.channel = combo()
        self.window_of_ct = CtWindow()
        self.ruler = Ruler(viewer)
        self._lay_out()
        self._connect()
        self.refresh()

    def _lay_out(self) -> None:
        line = QHBoxLayout()
        line.addWidget(self.info, 1)
        line.addWidget(self.change)
        self._channel_row = named("Channel", self.channel)
        layout = QVBoxLayout(self)  # a form would cut words that wrap
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(named("Picture", self.layers))
        layout.addLayout(line)
        self.window_row = named("Window", self.window_of_ct)
        for part in (self.editor, self._channel_row, self.window_row, self.ruler):
            layout.addWidget(part)
        self.editor.hide()

    def _connect(self) -> None:
        events = self._viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered):
            follow(self, event, self.refresh)
        follow(self, self._viewer.layers.selection.events.active, self._on_selected)
        self.layers.currentIndexChanged.connect(self._on_layer_chosen)
        self.channel.currentIndexChanged.connect(self._on_channel_chosen)
        self.change.clicked.connect(self._on_change)
        self.editor.accepted.connect(self._on_stated)
        self.ruler.measured.connect(self._on_measured)

    def pictures(self) -> list[napari.layers.Image]:
        """The layers that hold pictures, newest first; what this dock made is none."""
        return pictures_among(reversed(self._viewer.layers))

    @property
    def layer(self) -> napari.layers.Image | None:
        """The chosen layer."""
        return self.layers.currentData()

    def choose(self, layer: napari.layers.Image) -> None:
        """Choose a layer."""
        self.layers.setCurrentIndex(self.layers.findData(layer))

    def value(self, layer: napari.layers.Image | None = None) -> Picture | None:
        """The chosen picture (or that of another layer) as a person stated it.

        Raises
        ------
        ImageError
            If its axes or pixels are not allowed.
        """
        layer = layer or self.layer
        if layer is None:
            return None
        statement = known_statement(layer)
        return Picture(
            layer=layer,
            image=image_from_layer(layer, statement),
            statement=statement,
            object_diameter=self._diameters.get(layer),
        )

    def channel_of(self, picture: Picture) -> int | str | None:
        """The chosen channel of a picture, or stain of one in colors; None takes all."""
        if picture.layer.rgb:
            return self._channels.get(picture.layer)
        if picture.image.size("C") < 2:
            return None
        return self._channels.setdefault(picture.layer, current_channel(picture.layer, picture.image, self._viewer))

    def take_channel(self, layer: napari.layers.Image, channel: int | str | None) -> None:
        """Show a channel as the chosen one of a layer."""
        self._channels[layer] = channel
        self.show_picture()

    def offer_choices(self, wanted: bool) -> None:
        """Show the rows of the channel and of the objects' size, or hide them where they have no say."""
        if wanted != self._has_choices:
            self._has_choices = wanted
            self.show_picture()

    def refresh(self) -> None:
        """List the pictures that are open, and keep the chosen one if it still is."""
        before, open_layers = self.layer, self.pictures()
        with QSignalBlocker(self.layers):
            self.layers.clear()
            for layer in open_layers:
                self.layers.addItem(layer.name, layer)
            index = self.layers.findData(before)
            self.layers.setCurrentIndex(max(index, 0) if open_layers else -1)
        for layer in open_layers:
            self._follow_layer(layer)
        self.show_picture()
        self.changed.emit()

    def _follow_layer(self, layer: napari.layers.Image) -> None:
        if layer not in self._followed:
            self._followed.add(layer)
            events = layer.events
            for event in (events.name, events.data, events.scale, events.units, events.axis_labels):
                follow(self, event, self.refresh)

    def show_picture(self) -> None:
        """Say what the chosen picture is."""
        has_picture = self.layer is not None
        self.change.setVisible(has_picture)
        try:
            picture = self.value()
        except ImageError as error:
            self.info.setText(str(error))
            picture = None
        else:
            self.info.setText("" if picture is None else self._described(picture))
        self.info.setVisible(has_picture)
        self._show_channels(picture)
        self.window_of_ct.show_for(self.layer)
        self.window_row.setVisible(picture is not None and is_ct(picture.layer, picture.image))
        self.ruler.show_for(picture if self._has_choices else None)

    def _described(self, picture: Picture) -> str:
        is_rgb, is_assumed = bool(picture.layer.rgb), picture.statement.is_assumed
        words = unbroken(describe_picture(picture.image, is_rgb=is_rgb, is_assumed=is_assumed))
        return f"{words} · restyled, not as it was taken" if STYLE in picture.layer.metadata else words

    def _show_channels(self, picture: Picture | None) -> None:
        count = 0 if picture is None else picture.image.size("C")
        self._channel_row.setVisible(count > 1 and self._has_choices)
        if picture is None or count < 2:
            return
        names = picture.image.channel_names
        with QSignalBlocker(self.channel):
            self.channel.clear()
            if picture.layer.rgb:
                self.channel.addItem("all colors", None)
                for stain in STAINS:
                    self.channel.addItem(f"{stain.upper() if stain == 'dab' else stain} only", stain)
            else:
                for i in range(count):
                    self.channel.addItem(names[i] if i < len(names) else f"channel {i}", i)
                self.channel.addItem("all channels", None)
            self.channel.setCurrentIndex(self.channel.findData(self.channel_of(picture)))

    def _on_selected(self) -> None:
        active = self._viewer.layers.selection.active
        if active is not self.layer and active in self.pictures():
            self.refresh()  # a layer may be selected before it is announced
            self.choose(active)

    def _on_layer_chosen(self) -> None:
        self.editor.hide()
        self.show_picture()
        self.changed.emit()

    def _on_channel_chosen(self) -> None:
        if self.layer is not None:
            self._channels[self.layer] = self.channel.currentData()
            self.changed.emit()

    def _on_change(self) -> None:
        if self.editor.isVisible() or self.layer is None:
            self.editor.hide()
            return
        try:
            self.editor.set_value(known_statement(self.layer))
        except ImageError as error:
            self.info.setText(str(error))
            return
        self.editor.show()

    def _on_stated(self, statement: Statement) -> None:
        layer = self.layer
        if layer is None:
            return
        try:
            image_from_layer(layer, statement)
            state(layer, statement, self._viewer.layers)
        except ImageError as error:
            self.editor.refuse(str(error))
            return
        self.editor.hide()
        self.show_picture()
        self.changed.emit()

    def _on_measured(self, diameter: float | None) -> None:
        if self.layer is None:
            return
        if diameter is None:
            self._diameters.pop(self.layer, None)
        else:
            self._diameters[self.layer] = diameter
        self.show_picture()
        self.changed.emit()
