"""Make the moving picture of the README: ``python docs/recording.py [FILE]``.

A real napari with the real model; what takes minutes, teaching, is shown in a second. Needs a display (``xvfb-run``
gives one) and the package itself.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import lesson
import PIL.Image
from PIL import ImageDraw, ImageFont
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QDockWidget, QWidget
from screenshots import LESSON, Studio  # first, as it says where napari keeps what it is told

WIDTH, HEIGHT, STRIP = 900, 640, 40
COLORS = 144
ARROW = ((0, 0), (0, 17), (4, 13), (7, 20), (10, 19), (7, 12), (12, 12))
SHORT, MOMENT, LONG = 90, 350, 900  # milliseconds
OWN = ("layer list", "layer controls")  # of napari's docks, hidden for room


class Camera:
    """Takes frames of a window, with the mouse and a line of words in them.

    Parameters
    ----------
    studio
        The window.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.frames: list[PIL.Image.Image] = []
        self.durations: list[int] = []
        self.words = ""
        self._mouse = QPoint(WIDTH // 2, HEIGHT // 2)
        self._font = ImageFont.load_default(size=19)

    def take(self, milliseconds: int = SHORT, *, is_down: bool = False) -> None:
        """One frame, shown for so long."""
        self.studio.wait(seconds=0.05)
        pixels = self.studio.viewer.screenshot(canvas_only=False, flash=False)[..., :3]
        frame = PIL.Image.new("RGB", (pixels.shape[1], pixels.shape[0] + STRIP), "#101216")
        frame.paste(PIL.Image.fromarray(pixels), (0, STRIP))
        draw = ImageDraw.Draw(frame)
        draw.text((14, STRIP // 2), self.words, "#ffffff", self._font, anchor="lm")
        x, y = self._mouse.x(), self._mouse.y() + STRIP
        if is_down:
            draw.ellipse((x - 13, y - 13, x + 13, y + 13), outline="#ffd33d", width=3)
        draw.polygon([(x + a, y + b) for a, b in ARROW], "#ffffff", "#000000")
        self.frames.append(frame)
        self.durations.append(milliseconds)

    def move(self, place: QPoint, steps: int = 4) -> None:
        """The mouse on its way."""
        start = self._mouse
        for i in range(1, steps + 1):
            self._mouse = start + (place - start) * (i / steps)
            self.take(60)

    def on(self, widget: QWidget) -> QPoint:
        """The middle of a widget in the window."""
        return widget.mapTo(widget.window(), widget.rect().center())

    def click(self, button: QWidget) -> None:
        """Go to a button and press it."""
        if (place := self.on(button)) != self._mouse:
            self.move(place)
        self.take(180, is_down=True)
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)
        self.take(SHORT)

    def watch(self, canvas: QWidget) -> Callable[[QPoint, bool], None]:
        """Takes a frame whenever the mouse has moved over the canvas."""

        def seen(place: QPoint, is_down: bool) -> None:
            self._mouse = canvas.mapTo(canvas.window(), place)
            self.take(60, is_down=is_down)

        return seen

    def save(self, file: Path) -> None:
        """All frames as a GIF with one palette."""
        height = sum(frame.height for frame in self.frames[::6])
        sheet = PIL.Image.new("RGB", (self.frames[0].width, height))
        top = 0
        for frame in self.frames[::6]:
            sheet.paste(frame, (0, top))
            top += frame.height
        palette = sheet.quantize(COLORS, dither=PIL.Image.Dither.NONE)
        flat = [frame.quantize(palette=palette, dither=PIL.Image.Dither.NONE) for frame in self.frames]
        flat[0].save(file, save_all=True, append_images=flat[1:], duration=self.durations, loop=0, optimize=True)


def main(file: Path) -> None:
    """Segment, paint, accept, teach, flip."""
    studio = Studio(Path(tempfile.mkdtemp()), "dark")
    window = studio.viewer.window._qt_window
    for dock in window.findChildren(QDockWidget):
        if dock.objectName() in OWN:
            dock.hide()
    studio.viewer.window.resize(WIDTH, HEIGHT)
    studio.open(lesson.SAMPLE)
    studio.wait()
    studio.viewer.fit_to_view()
    camera, segment, teach = Camera(studio), studio.dock.segment, studio.dock.teach
    camera.words = "One click finds the nuclei"
    camera.take(MOMENT)
    camera.click(segment.segment)
    studio.wait(lambda: not segment.is_running)
    camera.take(LONG)
    studio.show_tab("Teach")
    hand = lesson.Hand(studio)
    hand = lesson.Hand(studio, camera.watch(hand.canvas))
    hand.look_closely()
    camera.words = "The dim ones are too tight: paint up to the edge"
    camera.take(LONG)
    hand.paint_first()
    camera.take(MOMENT)
    hand.paint_others()
    studio.viewer.fit_to_view()
    camera.words = "Say which areas are right"
    camera.take(MOMENT)
    camera.click(teach.fix.buttons["right"])
    hand.accept(steps=4)
    teach.fix.buttons["right"].click()
    studio.wait(lambda: "3 areas right" in teach.learns.boxes[0].text())
    camera.words = "Teach it (minutes, shown in a second)"
    teach.run.minutes.setValue(LESSON)
    camera.click(teach.run.teach)
    bar = teach.run.progress.bar
    for share in (0.3, 0.6, 0.9):
        studio.wait(lambda share=share: bar.value() > share * bar.maximum() or not teach.run.is_running, patience=3600)
        camera.take(250)
    studio.wait(lambda: not teach.run.is_running, patience=3600)
    result_of(camera, studio)
    camera.words = "Old and new, where nobody painted: F8 flips them"
    hand.look_closely(lesson.UNTOUCHED)
    for _ in range(5):
        camera.take(700)
        teach.run.box.flip.click()  # as F8 does, which moves no mouse
    camera.save(file)
    studio.viewer.close()
    print(
        f"{file}: {len(camera.frames)} frames, {sum(camera.durations) / 1000:.1f} s, {file.stat().st_size / 1e6:.2f} MB"
    )


def result_of(camera: Camera, studio: Studio) -> None:
    """What the comparison came to; the new model is taken into use, if that did not happen by itself."""
    run = studio.dock.teach.run
    is_better = run.box.use.isHidden()
    camera.words = (
        "Better on what it did not learn from: it is in use" if is_better else "Two scores, and you decide: use it"
    )
    camera.take(LONG)
    if not is_better:
        camera.click(run.box.use)
        studio.wait(lambda: not run.is_running)
        camera.take(LONG)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "images" / "teach.gif")
