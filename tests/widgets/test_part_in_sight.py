"""The preview of a volume gives the run's pixels in the slice on screen, whichever way it is cut, or says why not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_unetstyle.core import segment
from napari_unetstyle.core.models.model import Model
from napari_unetstyle.widgets import scope
from napari_unetstyle.widgets.main_dock import MainDock
from napari_unetstyle.widgets.overlay import outline_mask
from napari_unetstyle.widgets.part_in_sight import ACROSS, AT_ONCE, AVERAGED
from tests.core.networks_for_tests import tiny_model, tiny_volume_model
from tests.widgets.fake_core import WAIT

MS = WAIT * 1000
ORDERS = {"YX": (0, 1, 2), "ZX": (1, 0, 2), "ZY": (2, 1, 0)}  # the last one transposed
AT = 11  # the slice in sight


@pytest.fixture(scope="module")
def volume() -> Any:
    smooth = gaussian_filter(np.random.default_rng(1).random((24, 28, 32)), 2.5)
    return (250 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    root = tmp_path_factory.mktemp("models")
    return {"flat": tiny_model(root), "deep": tiny_volume_model(root)}


@pytest.fixture
def open_dock(make_napari_viewer: Any, models: Any, volume: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("NAPARI_UNETSTYLE_MODELS", str(models["flat"].folder.parent))

    def opened(model: str, view: str) -> MainDock:
        viewer = make_napari_viewer()
        viewer.add_image(volume, name="volume", axis_labels=("z", "y", "x"))
        dock = MainDock(viewer)
        viewer.window.add_dock_widget(dock, name="UNet", area="right")
        dock.viewer = viewer
        dock.models.refresh()
        dock.segment.model.choose({"flat": "tiny@1", "deep": "tiny3d@1"}[model])
        look(dock, view)
        return dock

    return opened


def look(dock: MainDock, view: str) -> None:
    dock.viewer.dims.order = ORDERS[view]
    dock.viewer.dims.set_current_step(ORDERS[view][0], AT)


def choose(dock: MainDock, *, plane: str = "YX", where: str = scope.WHOLE, output: str = "objects") -> None:
    panel = dock.segment
    for box, key in ((panel.where, where), (panel.slicing.direction, plane), (panel.model.output, output)):
        box.setCurrentIndex(box.findData(key))


def shown_slice(labels: Any, view: str) -> Any:
    return labels.take(AT, "ZYX".index({"YX": "Z", "ZX": "Y", "ZY": "X"}[view]))


def assert_previewed(dock: MainDock, expected: Any, qtbot: Any) -> None:
    """The outlines are those of labels ``(rows, columns)`` of the slice."""
    drawing, mask = dock.segment.preview.drawing, outline_mask(expected)
    assert mask.any()
    qtbot.waitUntil(lambda: drawing.outlines is not None, timeout=MS)
    (y, x), (height, width) = drawing.outlines.origin, drawing.outlines.mask.shape
    assert (height, width) == mask.shape
    np.testing.assert_array_equal(drawing.outlines.mask, mask[y : y + height, x : x + width])


@pytest.mark.parametrize("view", ["ZX", "ZY"])
@pytest.mark.parametrize("output", ["areas", "objects"])
def test_along_y_and_along_x(
    open_dock: Any, models: Any, volume: Any, tick: Any, qtbot: Any, view: str, output: str
) -> None:
    dock = open_dock("flat", view)
    choose(dock, plane=view, output=output)
    if output == "objects":
        tick(dock.segment.slicing.link)
    given = {"output": output, "plane": view, "link": output == "objects", "min_pixels": 0}
    run = segment(volume, models["flat"], axes="ZYX", **given)
    tick(dock.segment.preview.box)
    assert_previewed(dock, shown_slice(run.labels, view), qtbot)
    look(dock, "YX")
    words = dock.segment.preview.words
    qtbot.waitUntil(lambda: words.text() == ACROSS.format("y" if view == "ZX" else "x"), timeout=MS)
    assert dock.segment.preview.drawing.outlines is None


def test_what_one_slice_does_not_tell_is_said(open_dock: Any, tick: Any, qtbot: Any) -> None:
    dock = open_dock("flat", "ZX")
    words, drawing = dock.segment.preview.words, dock.segment.preview.drawing
    tick(dock.segment.preview.box)
    qtbot.waitUntil(lambda: words.text() == ACROSS.format("z"), timeout=MS)
    choose(dock, plane="ZX")
    qtbot.waitUntil(lambda: words.text() == AT_ONCE, timeout=MS)
    choose(dock, plane="all")
    qtbot.waitUntil(lambda: words.text() == AVERAGED, timeout=MS)
    assert drawing.outlines is None
    choose(dock, plane="ZX")
    tick(dock.segment.slicing.link)
    qtbot.waitUntil(lambda: drawing.outlines is not None and not words.text(), timeout=MS)


@pytest.mark.parametrize("view", ["YX", "ZX", "ZY"])
def test_a_model_of_volumes_in_every_view(
    open_dock: Any, models: Any, volume: Any, tick: Any, qtbot: Any, view: str
) -> None:
    dock = open_dock("deep", view)
    tick(dock.segment.preview.box)
    assert_previewed(dock, shown_slice(segment(volume, models["deep"], axes="ZYX").labels, view), qtbot)
    matrix, offset = dock.segment.preview.drawing.outlines.canvas_map()
    canvas = np.array(dock.viewer.canvas.size)
    middle = np.linalg.solve(matrix, canvas / 2 - offset)  # rows and columns that the camera looks at
    shown = [dock.viewer.layers[0].axis_labels[axis].upper() for axis in dock.viewer.dims.displayed]
    center = dict(zip(shown, dock.viewer.scene.camera.center[-2:], strict=True))
    np.testing.assert_allclose(middle, [center[axis] for axis in view])


@pytest.mark.parametrize(("model", "output"), [("flat", "objects"), ("flat", "areas"), ("deep", "areas")])
def test_on_screen_is_the_slice_in_sight_and_its_preview(
    open_dock: Any, run: Any, tick: Any, qtbot: Any, model: str, output: str
) -> None:
    dock = open_dock(model, "ZY")
    choose(dock, where=scope.SCREEN, output=output)
    run(dock)
    (layer,) = (layer for layer in dock.viewer.layers if type(layer).__name__ == "Labels")
    labels = np.asarray(layer.data)
    assert not np.delete(labels, AT, axis=2).any()
    dock.viewer.layers.selection.active = dock.viewer.layers["volume"]
    tick(dock.segment.preview.box)
    assert_previewed(dock, labels[:, :, AT], qtbot)
