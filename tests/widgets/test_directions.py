"""Letters at the edges of the canvas: the patient's sides are where they are said to be."""

from __future__ import annotations

from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from napari.components import ViewerModel

from napari_unetstyle.core.imaging.geometry import Geometry, toward
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.widgets.directions import Directions, edge_letters
from napari_unetstyle.widgets.opening import layer_data
from tests.core.geometry_for_tests import AXIS_ORIENTATIONS, rotation

OPPOSITE = dict(zip("SIPALR", "ISAPRL", strict=True))


def add(viewer: Any, orientation: Any, **more: Any) -> Any:
    place = Geometry(
        spacing=(3.0, 0.7, 0.5), unit="mm", origin=(1, 2, 3), direction=orientation, is_anatomical=True, **more
    )
    array = np.zeros((6, 20, 30), np.int16)
    data, arguments, _ = layer_data(Image(array=array, axes="ZYX", geometry=place, name="scan"))
    return viewer.add_image(data, **arguments)


def matrix(direction: Any) -> Any:
    """Homogeneous."""
    whole = np.eye(4)
    whole[:3, :3] = direction
    return whole


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1), (2, 1, 0)])
@pytest.mark.parametrize("orientation", AXIS_ORIENTATIONS, ids=range(48))
def test_letters_are_those_of_another_library(orientation: Any, order: tuple[int, ...]) -> None:
    viewer = ViewerModel()
    add(viewer, orientation)
    viewer.dims.order = order
    lps_to_ras = np.diag([-1.0, -1.0, 1.0])
    known = nibabel.aff2axcodes(matrix(lps_to_ras @ np.array(orientation)[::-1, ::-1]))[::-1]  # of Z, Y, X
    down, right = (known[axis] for axis in order[1:])
    expected = {"left": OPPOSITE[right], "right": right, "top": OPPOSITE[down], "bottom": down}
    assert edge_letters(viewer) == expected


def test_a_mirrored_view_mirrors_its_letters() -> None:
    viewer = ViewerModel()
    layer = add(viewer, np.eye(3))
    assert edge_letters(viewer) == {"left": "R", "right": "L", "top": "A", "bottom": "P"}
    viewer.scene.camera.orientation2d = ("up", "left")
    assert edge_letters(viewer) == {"left": "L", "right": "R", "top": "P", "bottom": "A"}
    viewer.scene.camera.orientation2d = ("down", "right")
    layer.scale = np.array(layer.scale) * (1, 1, -1)
    assert edge_letters(viewer)["right"] == "L"  # the volume was turned in the patient, not the patient on the screen


def test_what_does_not_lie_in_a_patient_has_no_letters() -> None:
    viewer = ViewerModel()
    viewer.add_image(np.zeros((5, 6, 7)))
    assert edge_letters(viewer) == {}
    layer = add(viewer, np.eye(3))
    assert len(edge_letters(viewer)) == 4
    layer.visible = False
    assert edge_letters(viewer) == {}
    layer.visible = True
    layer.shear = [0.5, 0, 0]
    assert edge_letters(viewer) == {}
    layer.shear = [0, 0, 0]
    viewer.dims.ndisplay = 3
    assert edge_letters(viewer) == {}


def test_a_slanted_volume_says_both_sides() -> None:
    viewer = ViewerModel()
    add(viewer, rotation((1, 0, 0), np.pi / 4))
    assert edge_letters(viewer)["right"] in ("LA", "AL", "LP", "PL")


@given(axis=st.integers(0, 2), sign=st.sampled_from([1, -1]), tilt=st.floats(0, 0.4), length=st.floats(0.01, 100))
def test_a_slight_tilt_does_not_matter(axis: int, sign: int, tilt: float, length: float) -> None:
    vector = np.full(3, tilt / 2)
    vector[axis] = sign
    assert toward(length * vector) == (("S", "I"), ("P", "A"), ("L", "R"))[axis][sign < 0]


def test_letters_lie_on_the_canvas_while_the_dock_is_open(make_dock: Any, qtbot: Any) -> None:
    dock = make_dock()
    letters: Directions = dock.directions
    assert letters.isHidden()
    layer = add(dock.viewer, np.eye(3))
    assert not letters.isHidden()
    assert letters.letters["left"] == "R"
    canvas = letters.parentWidget()
    assert type(canvas).__name__ == "CanvasBackendDesktop"
    assert letters.size() == canvas.size()
    image = letters.grab().toImage()
    middle = image.height() // 2
    left = [image.pixelColor(x, y).lightness() for x in range(40) for y in range(middle - 10, middle + 10)]
    assert max(left) > 200
    dock.viewer.dims.ndisplay = 3
    assert letters.isHidden()
    dock.viewer.dims.ndisplay = 2
    assert not letters.isHidden()
    for thing, name in ((layer, "visible"), (dock.viewer.canvas.grid, "enabled")):
        setattr(thing, name, not getattr(thing, name))
        assert letters.isHidden()
        setattr(thing, name, not getattr(thing, name))
        assert not letters.isHidden()
    dock.viewer.layers.remove(layer)
    assert letters.isHidden()
    with qtbot.waitSignal(letters.destroyed, timeout=20_000):
        dock.viewer.window.remove_dock_widget(dock)
