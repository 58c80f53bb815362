"""The button *Show where unsure*, by clicks."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unetstyle.core.annotation.next_place import uncertainty
from napari_unetstyle.widgets.unsure_map import NAME
from tests.widgets.fake_core import WAIT, blobs, half_sure


@pytest.fixture
def dock(make_quick_dock, core, run):
    core.temperature = 1.8
    dock = make_quick_dock()
    picture = half_sure()
    dock.viewer.add_image(picture, name="slide7", scale=(0.5, 0.5), translate=(3, 7))
    run(dock)
    dock.tabs.setCurrentIndex(1)
    yield dock
    for corrected in dock.corrections.layers:
        corrected.close(WAIT)


@pytest.fixture
def button(dock):
    return dock.teach.fix.unsure


@pytest.fixture
def shown(dock, button, click, qtbot):
    """The map, once it is there."""

    def wait():
        qtbot.waitUntil(lambda: NAME in dock.viewer.layers, timeout=WAIT * 1000)
        return dock.viewer.layers[NAME]

    click(button)
    return wait


def expected(dock, temperature=1.8):
    picture = dock.viewer.layers["slide7"].data
    return uncertainty(np.stack([255 - picture, picture]), temperature)


@pytest.mark.parametrize("in_window", [True])
@pytest.mark.parametrize("theme", ["dark", pytest.param("light", marks=pytest.mark.long)])
def test_it_lies_on_the_picture_and_goes_with_the_button(dock, button, click, shown, theme, qtbot):
    dock.viewer.theme = theme
    layer, picture = shown(), dock.viewer.layers["slide7"]
    np.testing.assert_array_equal(layer.data, expected(dock))
    assert type(layer).__name__ == "Image"
    np.testing.assert_allclose(layer.extent.world, picture.extent.world)
    assert layer.contrast_limits == pytest.approx([0, np.log(2)])
    assert dock.viewer.layers.selection.active is not layer  # a brush goes on
    window = dock.viewer.window._qt_window
    window.show()
    qtbot.waitExposed(window)
    pixels = dock.viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)
    orange = (pixels[..., 0] - pixels[..., 2] > 120).mean()
    assert 0.005 < orange < 0.2  # the square of which the model has no idea, not the rest
    assert button.isChecked()
    assert button.width() >= button.fontMetrics().horizontalAdvance(button.text())
    click(button)
    assert NAME not in dock.viewer.layers
    assert not button.isChecked()
    assert "taken as they are" not in button.toolTip()  # this model was measured


def test_no_stroke_changes_it_and_none_lands_in_it(dock, shown):
    layer = shown()
    (corrected,) = dock.corrections.layers
    before = layer.data.copy()
    corrected.layer.paint((45, 75), 1)
    corrected.layer.undo()
    assert dock.viewer.layers[NAME] is layer
    np.testing.assert_array_equal(layer.data, before)


def test_another_result_takes_the_old_map_away_at_once_and_brings_its_own(dock, core, run, shown, qtbot):
    first = shown()
    core.temperature = 4.0
    run(dock)  # into the same layer, as nobody has touched it
    qtbot.waitUntil(lambda: first not in dock.viewer.layers, timeout=WAIT * 1000)
    second = shown()
    np.testing.assert_array_equal(second.data, expected(dock, 4.0))


def test_whoever_deletes_it_puts_the_button_down_and_it_goes_with_its_labels(dock, button, click, shown, qtbot):
    dock.viewer.layers.remove(shown())
    assert not button.isChecked()
    click(button)
    shown()
    dock.viewer.layers.remove(dock.corrections.layers[0].layer)
    assert NAME not in dock.viewer.layers
    assert button.isHidden()


@pytest.mark.parametrize("in_window", [True])
def test_it_is_no_picture_to_segment_and_goes_with_the_dock(dock, shown):
    layer = shown()
    assert layer not in dock.segment.picture.pictures()
    dock.close_down()
    assert layer not in dock.viewer.layers


def test_a_model_that_nobody_measured_is_said_to_be_so(make_windowless_dock, core, run):
    dock = make_windowless_dock()
    dock.viewer.add_image(blobs(), name="slide7")
    run(dock)
    assert "taken as they are" in dock.teach.fix.unsure.toolTip()
    for corrected in dock.corrections.layers:
        corrected.close(WAIT)
