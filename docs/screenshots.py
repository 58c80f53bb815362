"""Take the pictures of the documentation: ``python docs/screenshots.py [FOLDER] [THEME] [tutorial | teach | style]``.

A real napari with the real model; needs a display (``xvfb-run`` gives one) and the package itself. With ``tutorial``,
only those of the tutorial on teaching, which take a few minutes, because they teach; with ``teach``, what the tab
*Teach* says when all does not go well; with ``style``, every state of the tab *Style*.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ["NAPARI_CONFIG"] = str(Path(tempfile.mkdtemp()) / "settings.yaml")  # napari as it is when it is new
os.environ["NAPARI_UNETSTYLE_MODELS"] = tempfile.mkdtemp()  # and nothing was taught or corrected
os.environ["NAPARI_UNETSTYLE_FIXES"] = tempfile.mkdtemp()

import lesson
import napari
import numpy as np
import phantom
import PIL.Image
import teach_states
from numpy.typing import NDArray
from qtpy.QtGui import QImage
from qtpy.QtWidgets import QApplication, QWidget

from napari_unetstyle._sample_data import sample_folder
from napari_unetstyle.core import Image, read_image
from napari_unetstyle.core.imaging.dicom import find_series
from napari_unetstyle.widgets.compare_panel import ComparePanel
from napari_unetstyle.widgets.core_calls import CoreCalls
from napari_unetstyle.widgets.main_dock import MainDock
from napari_unetstyle.widgets.opening import layer_data
from napari_unetstyle.widgets.series_chooser import show_series

SIZE, SMALL, SMALLEST = (1280, 720), (1080, 700), (900, 560)
PATIENCE = 120  # seconds
LESSON = 4.0  # minutes of teaching, so that a slow machine has enough of them, too


class Studio:
    """A napari window with the dock, and a camera."""

    def __init__(self, folder: Path, theme: str, calls: CoreCalls | None = None) -> None:
        self.folder, self.colors = folder, 128
        self.viewer = napari.Viewer(title="napari")
        self.viewer.theme = theme
        self.viewer.window.resize(*SIZE)
        self.dock = MainDock(self.viewer, calls)
        self.viewer.window.add_dock_widget(self.dock, name="UNet (napari-unetstyle)", area="right")
        self.dock.models.refresh()
        self.wait()

    def wait(self, until: Callable[[], object] | None = None, seconds: float = 0.7, patience: float = PATIENCE) -> None:
        """Let Qt work until something holds, and a moment longer."""
        end = time.monotonic() + patience
        while until is not None and not until():
            assert time.monotonic() < end, "it took too long"
            QApplication.processEvents()
            time.sleep(0.005)
        rest = time.monotonic() + seconds
        while time.monotonic() < rest:
            QApplication.processEvents()
            time.sleep(0.01)

    def take(self, name: str, *, at_once: bool = False, dock: bool = False) -> None:
        """Save what the window shows, or its dock alone."""
        if not at_once:
            self.wait()
        pixels = _pixels(self.dock) if dock else self.viewer.screenshot(canvas_only=False, flash=False)[..., :3]
        small = PIL.Image.fromarray(pixels).quantize(self.colors, dither=PIL.Image.Dither.NONE)
        small.save(self.folder / f"dock-{name}.png", optimize=True)

    def open(self, name: str) -> None:
        """Start over with a sample."""
        self.viewer.layers.clear()
        self.wait()  # napari 0.9 crashes where labels go and a picture comes before the next frame is drawn
        self.dock.segment.empty.add(sample_folder() / name)
        self.viewer.fit_to_view()

    def show_tab(self, name: str) -> None:
        """Open a tab of the dock."""
        tabs = self.dock.tabs
        tabs.setCurrentIndex([tabs.tabText(i) for i in range(tabs.count())].index(name))

    def segment(self) -> None:
        """Press the button and wait for the end."""
        self.dock.segment.segment.click()
        self.wait(lambda: not self.dock.segment.is_running)


def _pixels(widget: QWidget) -> NDArray[np.uint8]:
    """``(Y, X, 3)``"""
    image = widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
    lines = np.frombuffer(image.constBits().asstring(image.sizeInBytes()), np.uint8)
    return lines.reshape(image.height(), image.bytesPerLine())[:, : 3 * image.width()].reshape(image.height(), -1, 3)


def main(folder: Path, theme: str) -> None:
    """Go through what a person sees, in order."""
    folder.mkdir(parents=True, exist_ok=True)
    studio = Studio(folder, theme)
    panel = studio.dock.segment
    studio.take("empty")
    studio.open("nuclei-fluorescence.tif")
    panel.picture.change.click()
    studio.take("picture")
    panel.picture.change.click()
    panel.preview.box.click()
    studio.wait(lambda: panel.preview.drawing.outlines is not None)
    studio.take("preview")
    panel.preview.box.click()
    studio.segment()
    studio.take("done")
    panel.results.box.table.click()
    studio.wait(lambda: "mean" in panel.results.output.layer.features)
    panel.results._table.view.selectRow(7)
    studio.take("table")
    panel.results.box.table.click()
    studio.show_tab("Models")
    studio.take("models")
    studio.show_tab("Segment")
    running(studio)
    failed(studio)
    compared(studio)
    studio.viewer.close()
    volume(folder, theme)


def tutorial(folder: Path, theme: str) -> None:
    """The steps of docs/tutorial/teach-your-microscope.md."""
    folder.mkdir(parents=True, exist_ok=True)
    studio = Studio(folder, theme)
    studio.colors = 64
    studio.viewer.window.resize(*SMALL)
    studio.open(lesson.SAMPLE)
    studio.segment()
    studio.take("tutorial-segment")
    studio.show_tab("Teach")
    hand, panel = lesson.Hand(studio), studio.dock.teach
    hand.look_closely()
    hand.paint_first()
    studio.wait(lambda: panel.learns.boxes and "saved" in panel.learns.saved.text())
    studio.take("tutorial-paint")
    hand.paint_others()
    studio.viewer.fit_to_view()
    panel.fix.buttons["right"].click()
    hand.accept()
    panel.fix.buttons["right"].click()
    studio.wait(lambda: "3 areas right" in panel.learns.boxes[0].text())
    panel.learns.show_on_picture.click()
    studio.take("tutorial-right")
    panel.learns.show_on_picture.click()
    panel.run.minutes.setValue(LESSON)
    panel.run.teach.click()
    studio.wait(lambda: not (panel.run.is_running and panel.run.curve.isHidden()), patience=3600)
    studio.take("tutorial-teaching")
    studio.wait(lambda: not panel.run.is_running, patience=3600)
    if not panel.run.box.use.isHidden():  # not better, or it would forget
        panel.run.box.use.click()
        studio.wait(lambda: not panel.run.is_running)
    panel.run.minutes.setValue(2)
    studio.take("tutorial-taught")
    panel.run.box.flip.click()
    studio.take("tutorial-flipped")
    panel.run.box.back.click()
    studio.take("tutorial-back")
    studio.viewer.close()


def teach(folder: Path, theme: str) -> None:
    """What the tab *Teach* says when all does not go well."""
    folder.mkdir(parents=True, exist_ok=True)
    teach_states.states(lambda calls: Studio(folder, theme, calls))


def style(folder: Path, theme: str) -> None:
    """Every state of the tab *Style*."""
    folder.mkdir(parents=True, exist_ok=True)
    studio = Studio(folder, theme)
    studio.colors = 64
    studio.viewer.window.resize(*SMALL)
    studio.show_tab("Style")
    studio.take("style-empty", dock=True)
    restyled(studio)
    viewer, panel = studio.viewer, studio.dock.style_panel
    panel.advanced.click()
    studio.take("style-advanced", dock=True)
    panel.advanced.click()
    panel.apply.click()
    studio.wait(lambda: panel.message.text.startswith("Made"))
    studio.take("style-done")
    viewer.layers.remove(viewer.layers[-1])
    not_fitting(studio)
    refused(studio)
    bank(studio)
    texture_coming(studio)
    studio.viewer.close()


def restyled(studio: Studio) -> None:
    """Fluorescence, about to look like H&E."""
    viewer, panel = studio.viewer, studio.dock.style_panel
    viewer.layers.clear()
    for name in ("nuclei-he", "nuclei-fluorescence"):
        viewer.add_image(np.asarray(read_image(sample_folder() / f"{name}.tif").array), name=name)
    studio.show_tab("Segment")
    studio.segment()
    studio.show_tab("Style")
    panel.layers.setCurrentText("nuclei-fluorescence")
    panel.styles.tick([viewer.layers["nuclei-he"]])
    viewer.fit_to_view()
    previewed(studio)
    studio.take("style")


def previewed(studio: Studio) -> None:
    """Wait for the preview of what the form says now."""
    preview = studio.dock.style_panel.preview
    preview.touch()
    studio.wait(seconds=0.3)  # in which nothing changes
    studio.wait(lambda: not preview._slot.is_busy)


def texture_coming(studio: Studio) -> None:
    """Gatys, before and while it is made, of parts that take seconds."""
    viewer, panel = studio.viewer, studio.dock.style_panel
    viewer.window.resize(*SMALL)
    viewer.layers.clear()
    for name in ("nuclei-he", "nuclei-fluorescence"):
        picture = np.asarray(read_image(sample_folder() / f"{name}.tif").array)
        viewer.add_image(picture[60:236, 60:236], name=name)
    studio.show_tab("Segment")
    studio.segment()
    studio.show_tab("Style")
    panel.layers.setCurrentText("nuclei-fluorescence")
    panel.styles.tick([viewer.layers["nuclei-he"]])
    panel.advanced.click()
    panel.how.choose("gatys")
    previewed(studio)
    studio.take("style-gatys-before", dock=True)
    panel.apply.click()
    studio.wait(lambda: panel.progress.bar.value() > 500, seconds=0.1)
    studio.take("style-gatys", at_once=True, dock=True)
    studio.wait(lambda: panel.message.text.startswith("Made"))
    studio.take("style-gatys-done", dock=True)


def not_fitting(studio: Studio) -> None:
    """H&E like a CT: structure is lost."""
    viewer, panel = studio.viewer, studio.dock.style_panel
    viewer.layers.clear()
    viewer.add_image(np.asarray(read_image(sample_folder() / "nuclei-he.tif").array), name="nuclei-he")
    studio.show_tab("Segment")
    studio.segment()
    studio.show_tab("Style")
    panel.styles.tick([one for one in panel.refresh_kept() if one.name == "ct"])
    previewed(studio)
    studio.take("style-not-fitting", dock=True)


def refused(studio: Studio) -> None:
    """Styles that the picture cannot take."""
    viewer, panel = studio.viewer, studio.dock.style_panel
    flat = viewer.add_image(np.full((64, 64), 7, np.uint8), name="blank")
    panel.layers.setCurrentText("nuclei-he")
    panel.styles.tick([flat])
    previewed(studio)
    studio.take("style-constant", dock=True)
    two = np.asarray(read_image(sample_folder() / "timelapse-two-channels.tif").array)
    viewer.add_image(two, name="timelapse", axis_labels=("t", "c", "y", "x"))
    panel.layers.setCurrentText("timelapse")
    panel.styles.tick([viewer.layers["nuclei-he"]])
    previewed(studio)
    studio.take("style-channels", dock=True)
    panel.layers.setCurrentText("nuclei-he")
    panel.styles.tick([one for one in panel.refresh_kept() if one.name == "fluorescence"])
    panel.how.choose("any")
    studio.take("style-refused", dock=True)
    panel.how.choose("automatic")


def bank(studio: Studio) -> None:
    """A style kept with a small picture, in a small window."""
    viewer, panel = studio.viewer, studio.dock.style_panel
    viewer.layers.clear()
    for name in ("nuclei-he", "nuclei-fluorescence"):
        viewer.add_image(np.asarray(read_image(sample_folder() / f"{name}.tif").array), name=name)
    panel.layers.setCurrentText("nuclei-fluorescence")
    panel.styles.tick([viewer.layers["nuclei-he"]])
    previewed(studio)
    shelf = panel.shelf
    shelf.keep.click()
    shelf.name.setText("scanner-2")
    shelf.about.setText("H&E of the second scanner")
    shelf.thumbnail.click()
    studio.take("style-keep", dock=True)
    shelf.confirm.click()
    studio.wait(lambda: "kept" in shelf.message.text)
    panel.styles.tick([one for one in panel.refresh_kept() if one.name == "scanner-2"])
    previewed(studio)
    studio.take("style-bank", dock=True)
    viewer.window.resize(*SMALLEST)
    studio.take("style-small")


def running(studio: Studio) -> None:
    """A picture large enough to be caught half way."""
    studio.viewer.layers.clear()
    tile = np.asarray(read_image(sample_folder() / "nuclei-fluorescence.tif").array)
    studio.viewer.add_image(np.tile(tile, (8, 8)), name="slide", scale=(0.5, 0.5), units=("um", "um"))
    bar = studio.dock.segment.progress.bar
    studio.dock.segment.segment.click()
    studio.wait(lambda: bar.value() > 350, seconds=0)
    studio.take("running", at_once=True)
    studio.dock.segment.progress.stop.click()
    studio.wait(lambda: not studio.dock.segment.is_running)


def failed(studio: Studio) -> None:
    """A picture that holds nothing."""
    studio.viewer.layers.clear()
    studio.viewer.add_image(np.full((256, 256), np.nan, np.float32), name="export")
    studio.segment()
    studio.take("failed")


def compared(studio: Studio) -> None:
    """A drawn volume, a result that is off here and there, and where."""
    viewer = studio.viewer
    viewer.layers.clear()
    z, y, x = np.ogrid[:24, :160, :200]
    organ = (4 * (z - 12)) ** 2 + (y - 80) ** 2 + (0.8 * (x - 90)) ** 2 < 55**2
    vessel = ((y - 80) ** 2 + (x - 110) ** 2 < 12**2) & (abs(z - 12) < 7)
    truth = np.where(organ & vessel, 2, organ).astype(np.uint8)
    light = 90.0 * organ + 70 * vessel + np.random.default_rng(0).normal(60, 12, organ.shape)
    result = np.roll(truth, (3, -4), axis=(1, 2))
    result[:, 30:44, 120:150] = 1
    place = {"scale": (3.0, 0.8, 0.8), "units": ("mm",) * 3, "axis_labels": ("z", "y", "x")}
    names = {"index": [1, 2], "class_name": ["liver", "vessel"]}
    viewer.add_image(light.astype(np.float32), name="scan", **place)
    for name, labels in (("drawn", truth), ("result", result)):
        viewer.add_labels(labels, name=name, features=names, opacity=0.4, **place)
    panel = ComparePanel(viewer)
    viewer.window.remove_dock_widget(studio.dock)
    viewer.window.add_dock_widget(panel, name="Compare labels (napari-unetstyle)", area="right")
    viewer.dims.set_point(0, 36)
    viewer.fit_to_view()
    panel.measure.click()
    studio.wait(lambda: panel.results.comparison is not None)
    panel.results.show_differences.click()
    studio.wait(lambda: len(viewer.layers) == 4)
    studio.take("compare")


def volume(folder: Path, theme: str) -> None:
    """A drawn CT: slices, measurements, in 3D, and the choice among several series."""
    studio = Studio(folder, theme, phantom.calls(Path(tempfile.mkdtemp())))
    viewer, panel = studio.viewer, studio.dock.segment
    image = Image(array=phantom.abdomen()[0], axes="ZYX", geometry=phantom.place(), name="CT 3")
    data, arguments, _ = layer_data(image)
    viewer.add_image(data, **arguments)
    panel.model.models.setCurrentIndex(panel.model.models.findData(f"{phantom.NAME}@1"))
    panel.picture.window_of_ct.buttons["soft tissue"].click()
    viewer.dims.set_current_step(0, 24)
    viewer.fit_to_view()
    viewer.dims.set_current_step(0, 24)
    studio.segment()
    studio.take("volume")
    panel.results.box.table.click()
    studio.wait(lambda: "surface_mm2" in panel.results.output.layer.features)
    studio.take("volume-table")
    panel.results.box.table.click()
    panel.results.box.volume.click()
    viewer.layers[0].visible = False
    studio.take("volume-3d")
    panel.results.box.volume.click()
    viewer.layers[0].visible = True
    several_series(studio)
    viewer.close()


def several_series(studio: Studio) -> None:
    """Two series in one folder, from the same drawn patient."""
    folder = Path(tempfile.mkdtemp()) / "scans"
    for number, description in ((3, "abdomen, portal venous"), (5, "abdomen, late")):
        phantom.write_series(folder / str(number), number, description)
    show_series(studio.viewer, find_series(folder), folder)
    studio.take("series")


if __name__ == "__main__":
    given = [*sys.argv[1:], *(Path(__file__).parent / "images", "dark")[len(sys.argv) - 1 :]]
    {"tutorial": tutorial, "teach": teach, "style": style}.get(given[-1], main)(Path(given[0]), given[1])
