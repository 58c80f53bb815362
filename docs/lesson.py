"""A person's hand for the pictures of the tutorial: it paints dim nuclei up to their edge, and calls areas right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_unetstyle._sample_data import sample_folder
from napari_unetstyle.core import read_image
from napari_unetstyle.widgets.overlay import canvas_of

if TYPE_CHECKING:
    from screenshots import Studio

SAMPLE = "nuclei-fluorescence.tif"
CLOSE, UNTOUCHED = (208, 372), (112, 42)  # pixels of the sample with dim nuclei around; the second in no area
ZOOM = 5  # pixels of the screen to one of the sample, in a close look
AREAS = (((136, 328), (246, 424)), ((70, 160), (222, 300)), ((286, 4), (404, 196)))  # corners
DIM = 100  # of 255
Place = tuple[float, float]
Watch = Callable[[QPoint, bool], None]


class Hand:
    """Moves the mouse over the canvas.

    Parameters
    ----------
    studio
        With the sample in it, segmented.
    watch
        Called after each move with the place on the canvas, and whether the button is down.
    """

    def __init__(self, studio: Studio, watch: Watch = lambda _, __: None) -> None:
        self.studio, self._watch = studio, watch
        self.canvas = canvas_of(studio.dock)
        self.truth = np.asarray(read_image(sample_folder() / "truth" / SAMPLE).array)
        self.light = np.asarray(read_image(sample_folder() / SAMPLE).array)

    @property
    def labels(self) -> Any:
        """The labels that are corrected."""
        return self.studio.dock.corrections.active.layer

    def look_closely(self, pixel: Place = CLOSE) -> None:
        """Take the view to a few dim nuclei."""
        camera = self.studio.viewer.scene.camera
        camera.center, camera.zoom = (0, *np.multiply(pixel, self.labels.scale)), ZOOM / self.labels.scale[-1]

    def place(self, pixel: Place) -> QPoint:
        """Where a pixel of the sample is on the canvas."""
        camera = self.studio.viewer.scene.camera
        y, x = (np.multiply(pixel, self.labels.scale) - camera.center[-2:]) * camera.zoom
        return QPoint(round(self.canvas.width() / 2 + x), round(self.canvas.height() / 2 + y))

    def drag(self, pixels: Sequence[Place]) -> None:
        """Press at the first pixel, move through all, let go at the last."""
        left = Qt.MouseButton.LeftButton
        QTest.mouseMove(self.canvas, self.place(pixels[0]))
        QTest.mousePress(self.canvas, left, pos=self.place(pixels[0]))
        for pixel in pixels:
            QTest.mouseMove(self.canvas, self.place(pixel))
            self.studio.wait(seconds=0.02)
            self._watch(self.place(pixel), True)
        QTest.mouseRelease(self.canvas, left, pos=self.place(pixels[-1]))
        self.studio.wait(seconds=0.02)
        self._watch(self.place(pixels[-1]), False)

    def paint_first(self) -> None:
        """One dim nucleus with the brush, round and round its edge."""
        labels, number = self.labels, self.truth[CLOSE[0] + 4, CLOSE[1] + 16]
        labels.selected_label = self._value(number)
        labels.mode, labels.brush_size = "paint", 7
        y, x = np.nonzero(self.truth == number)
        middle, reach = np.array([y.mean(), x.mean()]), np.array([np.ptp(y), np.ptp(x)]) / 2 - 4
        turns = np.linspace(-0.5, 2 * np.pi - 0.5, 22)
        self.drag([tuple(middle + reach * (np.sin(turn), np.cos(turn))) for turn in turns])

    def paint_others(self) -> None:
        """The other dim nuclei of the areas that are called right."""
        labels = self.labels
        for number in np.unique(np.concatenate([self._inside(area).ravel() for area in AREAS])):
            if number and self.light[self.truth == number].mean() < DIM and self._value(number):
                labels.data_setitem(np.nonzero((self.truth == number) & (labels.data == 0)), self._value(number))
        labels.mode = "pan_zoom"

    def accept(self, steps: int = 2) -> None:
        """Drag a box around each area."""
        for start, end in AREAS:
            self.drag([tuple(way) for way in np.linspace(start, end, steps)])

    def _inside(self, area: tuple[Place, Place]) -> Any:
        (top, left), (bottom, right) = area
        return self.truth[top:bottom, left:right]

    def _value(self, number: int) -> int:
        """The label that most of a nucleus has."""
        found = np.asarray(self.labels.data)[self.truth == number]
        return int(np.bincount(found[found > 0]).argmax()) if found.any() else 0
