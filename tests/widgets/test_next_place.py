"""The button *Next place*, by clicks."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unetstyle.widgets import next_place
from tests.widgets.fake_core import WAIT, blobs, half_sure


@pytest.fixture
def dock(make_windowless_dock, run, monkeypatch):
    monkeypatch.setattr(next_place, "SIDE", 16)
    dock = make_windowless_dock()
    picture = half_sure()
    picture[50:60, 10:20] = 110
    dock.viewer.add_image(picture, name="slide7", scale=(0.5, 0.5), translate=(3, 7))
    run(dock)
    dock.tabs.setCurrentIndex(1)
    yield dock
    for corrected in dock.corrections.layers:
        corrected.close(WAIT)


def middle(dock):
    """Pixel in the middle of the view."""
    center = np.array(dock.viewer.scene.camera.center[-2:])
    return (center - (3, 7)) / 0.5


def test_the_view_goes_to_what_is_least_sure_then_to_the_next_and_says_when_nothing_is_left(dock, click, qtbot):
    button = dock.teach.fix.next_place
    before = middle(dock)
    visited = []
    for _ in range(2):
        click(button)
        qtbot.waitUntil(lambda: not np.allclose(middle(dock), visited[-1] if visited else before), timeout=WAIT * 1000)
        visited.append(middle(dock))
    assert np.abs(visited[0] - (44.5, 74.5)).max() < 12
    assert np.abs(visited[1] - visited[0]).max() >= 8
    for _ in range(60):
        if button.text() == next_place.NOTHING_LEFT:
            break
        click(button)
        qtbot.wait(20)
    assert button.text() == next_place.NOTHING_LEFT


def test_what_was_called_right_is_not_shown_again(dock, click, qtbot):
    (corrected,) = dock.corrections.layers
    region = np.zeros((64, 96), bool)
    region[30:, 50:] = True
    corrected.accept((), region)
    before = middle(dock)
    click(dock.teach.fix.next_place)
    qtbot.waitUntil(lambda: not np.allclose(middle(dock), before), timeout=WAIT * 1000)
    assert np.abs(middle(dock) - (54.5, 14.5)).max() < 12


def test_it_goes_to_other_slices_which_are_less_sure_and_each_is_shown_once(
    make_windowless_dock, run, monkeypatch, click, qtbot
):
    monkeypatch.setattr(next_place, "SIDE", 16)
    dock = make_windowless_dock()
    picture = np.stack([blobs((64, 96))] * 7)
    picture[5, 40:50, 70:80] = 128
    picture[1, 50:60, 10:20] = 110
    dock.viewer.add_image(picture, name="volume")
    run(dock)
    dock.tabs.setCurrentIndex(1)
    dock.viewer.dims.set_point(0, 3)
    for z, place in ((5, (44.5, 74.5)), (1, (54.5, 14.5))):
        click(dock.teach.fix.next_place)
        qtbot.waitUntil(lambda z=z: dock.viewer.dims.current_step[0] == z, timeout=WAIT * 1000)
        assert np.abs(np.array(dock.viewer.scene.camera.center[-2:]) - place).max() < 12
    for corrected in dock.corrections.layers:
        corrected.close(WAIT)
