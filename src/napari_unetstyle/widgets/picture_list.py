"""A list of open pictures, and of kept styles, to tick."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QObject, QSize, Signal
from qtpy.QtGui import QIcon, QImage, QPixmap
from qtpy.QtWidgets import QCheckBox, QFrame, QLabel, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from napari_unetstyle.widgets.parts import Words, bring_into_sight, follow, scroll_down_only
from napari_unetstyle.widgets.style_layers import Style, is_kept, own_pictures

if TYPE_CHECKING:
    import napari.viewer

    from napari_unetstyle.core.style.kept_style import KeptStyle
    from napari_unetstyle.core.style.reference import Reference

HEIGHT = 132  # pixels, so that what is below stays in sight under many pictures
ICON = 22


class PictureList(QWidget):
    """The open pictures but one, then the styles that are kept, each with a box and a small picture.

    Parameters
    ----------
    viewer
        Whose pictures are listed.
    nothing
        What is said where no other picture is open.
    """

    changed = Signal()

    def __init__(self, viewer: napari.viewer.ViewerModel, nothing: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._left_out = viewer, None
        self._kept: Sequence[KeptStyle] = ()
        self._boxes: list[tuple[Style, QCheckBox]] = []
        self.nothing = Words(nothing)
        self.heading = QLabel("Kept styles")
        rows = QWidget()
        self._rows = QVBoxLayout(rows)
        self._rows.setContentsMargins(0, 0, 0, 0)
        self._rows.setSpacing(2)
        self.list = _Short(rows)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.nothing)
        layout.addWidget(self.list)
        events = viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered, events.renamed):
            follow(self, event, self.refresh)
        self.refresh()

    @property
    def ticked(self) -> list[Style]:
        """What is ticked: layers of pictures, and kept styles."""
        return [style for style, box in self._boxes if box.isChecked()]

    def tick(self, styles: Sequence[Style]) -> None:
        """Tick these and no others."""
        for style, box in self._boxes:
            box.setChecked(any(_same(style, other) for other in styles))
        if (first := next((box for _, box in self._boxes if box.isChecked()), None)) is not None:
            bring_into_sight(first)

    def box_of(self, style: Style) -> QCheckBox:
        """The box of a listed picture or style."""
        return next(box for listed, box in self._boxes if _same(listed, style))

    def leave_out(self, layer: napari.layers.Image | None) -> None:
        """Do not list this one."""
        if layer is not self._left_out:
            self._left_out = layer
            self.refresh()

    def set_kept(self, styles: Sequence[KeptStyle]) -> None:
        """List these styles under the open pictures."""
        if styles != self._kept:
            self._kept = styles
            self.refresh()

    def refresh(self) -> None:
        """List what is open and kept, and keep what is ticked."""
        ticked = self.ticked
        while (item := self._rows.takeAt(0)) is not None:
            if (row := item.widget()) is not None and row is not self.heading:
                row.hide()
                row.deleteLater()
        pictures = [layer for layer in own_pictures(self._viewer) if layer is not self._left_out]
        self._boxes = [(layer, self._box(layer, _thumbnail(layer.thumbnail), ticked)) for layer in pictures]
        self.heading.setVisible(bool(self._kept))
        if self._kept:
            self._rows.addWidget(self.heading)
        self._boxes += [(style, self._box(style, icon_of(style), ticked)) for style in self._kept]
        self.nothing.setVisible(not pictures)
        self.list.setVisible(bool(self._boxes))
        if len(self.ticked) != len(ticked):
            self.changed.emit()

    def _box(self, style: Style, picture: QPixmap, ticked: Sequence[Style]) -> QCheckBox:
        box = QCheckBox(style.name)
        box.setToolTip(about(style))
        box.setIcon(QIcon(picture))
        box.setIconSize(QSize(ICON, ICON))
        box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        box.setChecked(any(_same(style, other) for other in ticked))
        box.toggled.connect(lambda _: self.changed.emit())
        self._rows.addWidget(box)
        return box


def about(style: Style) -> str:
    """What is known of a style beside its small picture."""
    if not is_kept(style):
        return style.name
    network = "has a network of its own" if style.network is not None else ""
    license_note = f"license: {style.license}" if style.license else ""
    return "\n".join(filter(None, (style.about or style.name, license_note, network)))


class _Short(QScrollArea):
    """As high as what is in it, up to a limit."""

    def __init__(self, rows: QWidget) -> None:
        super().__init__()
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        scroll_down_only(self)
        self.setWidget(rows)
        rows.installEventFilter(self)

    def sizeHint(self) -> QSize:
        """The rows' own height."""
        return QSize(super().sizeHint().width(), min(self.widget().sizeHint().height(), HEIGHT))

    def minimumSizeHint(self) -> QSize:
        """Never less."""
        return self.sizeHint()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Rows came, went or grew."""
        if event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return bool(super().eventFilter(watched, event))


def icon_of(style: KeptStyle) -> QPixmap:
    """A kept style's small picture; without one, its intensities in order."""
    picture = style.picture
    return _thumbnail(swatch(style.reference) if picture is None else picture)


def swatch(reference: Reference) -> NDArray[np.uint8]:
    """A square ``(N, N, 3)`` of a style's intensities, dark to bright."""
    shades = reference.quantiles if reference.channels == 3 else np.repeat(reference.quantiles[:1], 3, axis=0)
    columns = shades[:, :: max(1, shades.shape[1] // 64)].T
    return (255 * np.repeat(columns[np.newaxis], len(columns), axis=0)).astype(np.uint8)


def _thumbnail(pixels: NDArray[Any]) -> QPixmap:
    """Of pixels ``(Y, X, 3 or 4)``, bytes; none of a layer that napari has not drawn yet."""
    if not pixels[..., :3].any():
        return QPixmap()
    colors = np.ascontiguousarray(np.asarray(pixels, np.uint8)[..., :3])
    height, width = colors.shape[:2]
    image = QImage(colors.data, width, height, 3 * width, QImage.Format.Format_RGB888).copy()
    return QPixmap.fromImage(image)


def _same(one: Style, other: Style) -> bool:
    """Whether both are the same layer, or the same kept style."""
    return one is other or (is_kept(one) and is_kept(other) and one.name == other.name)
