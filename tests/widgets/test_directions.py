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
from napari_unetstyle.widgets.directions import Directions, Shown, box_letters, edge_letters, is_mirrored, on_canvas
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


@pytest.mark.parametrize("orientation", AXIS_ORIENTATIONS, ids=range(48))
def test_letters_are_those_of_another_library(orientation: Any) -> None:
    viewer = ViewerModel()
    add(viewer, orientation)
    lps_to_ras = np.diag([-1.0, -1.0, 1.0])
    known = nibabel.aff2axcodes(matrix(lps_to_ras @ np.array(orientation)[::-1, ::-1]))[::-1]  # of Z, Y, X
    for order in ((0, 1, 2), (1, 0, 2), (2, 0, 1), (2, 1, 0)):
        viewer.dims.order = order
        down, right = (known[axis] for axis in order[1:])
        expected = {"left": OPPOSITE[right], "right": right, "top": OPPOSITE[down], "bottom": down}
        assert edge_letters(viewer) == expected, order


def test_letters_follow_the_anatomy_however_the_picture_is_turned() -> None:
    viewer = ViewerModel()
    layer = add(viewer, np.eye(3))
    assert edge_letters(viewer) == {"left": "R", "right": "L", "top": "A", "bottom": "P"}
    viewer.scene.camera.orientation2d = ("up", "left")
    assert edge_letters(viewer) == {"left": "L", "right": "R", "top": "P", "bottom": "A"}
    viewer.scene.camera.orientation2d = ("down", "right")
    layer.scale = np.array(layer.scale) * (1, 1, -1)
    assert edge_letters(viewer) == {"left": "L", "right": "R", "top": "A", "bottom": "P"}
    layer.scale, layer.affine = np.abs(layer.scale), np.diag([1, -1, -1, 1])
    assert edge_letters(viewer) == {"left": "L", "right": "R", "top": "P", "bottom": "A"}
    layer.affine, layer.rotate = np.eye(4), 90
    assert edge_letters(viewer) == {"left": "A", "right": "P", "top": "L", "bottom": "R"}
    layer.rotate, layer.translate = np.eye(3), (9, 9, 9)
    assert edge_letters(viewer) == {"left": "R", "right": "L", "top": "A", "bottom": "P"}


def test_pictures_that_disagree_have_no_letters_but_a_line_that_says_so() -> None:
    viewer = ViewerModel()
    layer = add(viewer, np.eye(3))
    add(viewer, rotation((1, 0, 0), 0.2))
    assert len(edge_letters(viewer)) == 4
    other = add(viewer, np.diag([1.0, -1.0, -1.0]))
    if edge_letters(viewer)["right"] == "L" if edge_letters(viewer) else False:
        other.affine = np.diag([1, -1, -1, 1])
    assert edge_letters(viewer) == {}
    assert "lie in different directions here" in Shown.of(viewer).said
    layer.visible = viewer.layers[1].visible = False
    assert (len(edge_letters(viewer)), Shown.of(viewer).said) == (4, "")


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 0, 2)])
@pytest.mark.parametrize("orientation", AXIS_ORIENTATIONS[::5])
def test_3d_shows_no_mirror_image(orientation: Any, order: tuple[int, ...], make_windowless_dock: Any) -> None:
    dock = make_windowless_dock()
    viewer = dock.viewer
    before = viewer.scene.camera.orientation
    layer = add(viewer, orientation)
    viewer.dims.order = order
    viewer.dims.ndisplay = 3
    assert not is_mirrored(viewer)
    # seen from the front, feet down, the patient's left is right on the canvas
    front, left, head = (dict(box_letters_in_scene(viewer))[letter] for letter in "ALS")
    camera = viewer.scene.camera
    camera.set_view_direction(tuple(-front), tuple(head))
    assert (on_canvas(viewer, left) - on_canvas(viewer, -left))[1] > 0
    assert (on_canvas(viewer, head) - on_canvas(viewer, -head))[0] < 0
    layer.visible = False
    assert camera.orientation == before
    layer.visible = True
    viewer.dims.ndisplay = 2
    assert camera.orientation == before


def box_letters_in_scene(viewer: Any) -> Any:
    """Unit vectors along the displayed axes, by the letter that they go to."""
    steps = Shown.of(viewer).steps
    return [(toward(s * step), s * unit) for step, unit in zip(steps.T, np.eye(3), strict=True) for s in (1, -1)]


@pytest.mark.parametrize("side", [1, -1])
def test_letters_in_3d_are_where_the_volume_is_drawn(side: int, make_napari_viewer: Any) -> None:
    viewer = make_napari_viewer(show=True)
    layer = add(viewer, np.diag([1.0, 1.0, side]))
    marked = np.zeros(layer.data.shape, np.int16)
    marked[2:4, 8:12, (27 if side > 0 else 0) : (30 if side > 0 else 3)] = 1000  # on the left
    layer.data = marked
    layer.contrast_limits, layer.rendering, layer.colormap = (0, 1000), "mip", "green"
    viewer.dims.ndisplay = 3
    viewer.fit_to_view()
    for angles in ((0, 0, 0), (-20, 25, 130), (10, 70, -40)):
        viewer.scene.camera.angles = angles
        shot = viewer.screenshot(canvas_only=True, flash=False).astype(int)
        green = shot[..., 1] - shot[..., 0] > 100
        seen = np.argwhere(green).mean(axis=0) / green.shape
        where = {letters: spot / np.array(viewer.canvas.size) for letters, spot in box_letters(viewer)}
        assert np.linalg.norm(seen - where["L"]) < 0.08
        assert set(where) == set("LRAPSI")


def test_a_mirror_image_that_a_person_wants_is_said(make_dock: Any) -> None:
    dock = make_dock()
    add(dock.viewer, np.eye(3))
    dock.viewer.dims.ndisplay = 3
    camera = dock.viewer.scene.camera
    camera.orientation = ("towards", *camera.orientation[1:])
    assert dock.directions.said.startswith("mirror image")
    dock.viewer.layers[0].visible = False
    dock.viewer.layers[0].visible = True
    assert str(camera.orientation[0]) == "towards"
    assert dock.directions.said.startswith("mirror image")


def test_what_does_not_lie_in_a_patient_has_no_letters() -> None:
    viewer = ViewerModel()
    viewer.add_image(np.zeros((5, 6, 7)))
    assert edge_letters(viewer) == {}
    layer = add(viewer, np.eye(3))
    assert len(edge_letters(viewer)) == 4
    layer.visible = False
    assert edge_letters(viewer) == {}
    layer.visible = True
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
    assert (letters.isHidden(), letters.letters, len(letters.ends)) == (False, {}, 6)
    dock.viewer.dims.ndisplay = 2
    assert (letters.isHidden(), len(letters.letters), letters.ends) == (False, 4, [])
    layer.affine = np.diag([1, -1, -1, 1])
    assert letters.letters["left"] == "L"
    for thing, name in ((layer, "visible"), (dock.viewer.canvas.grid, "enabled")):
        setattr(thing, name, not getattr(thing, name))
        assert letters.isHidden()
        setattr(thing, name, not getattr(thing, name))
        assert not letters.isHidden()
    dock.viewer.layers.remove(layer)
    assert letters.isHidden()
    with qtbot.waitSignal(letters.destroyed, timeout=20_000):
        dock.viewer.window.remove_dock_widget(dock)
