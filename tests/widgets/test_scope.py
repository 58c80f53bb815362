"""From what is on screen to options."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_unetstyle.core.errors import OptionError
from napari_unetstyle.core.segmentation.options import SegmentOptions
from napari_unetstyle.widgets import scope
from napari_unetstyle.widgets.layers import Statement, image_from_layer, statement_of


@pytest.fixture
def viewer() -> ViewerModel:
    viewer = ViewerModel()
    viewer.canvas.size = (200, 400)
    return viewer


def narrowed(viewer: ViewerModel, layer: Any, key: str, statement: Statement | None = None) -> SegmentOptions:
    image = image_from_layer(layer, statement or statement_of(layer))
    return scope.narrowed(SegmentOptions(), key, layer, image, viewer)


def test_on_screen_is_what_the_camera_shows(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((1000, 1000)), scale=(0.5, 0.5), translate=(10, 20))
    viewer.scene.camera.zoom = 4  # canvas pixels in a world unit, so 2 in a pixel of the picture
    viewer.scene.camera.center = (0, 10 + 250, 20 + 250)  # pixel 500, 500
    assert narrowed(viewer, layer, scope.SCREEN).box == ((450, 551), (400, 601))


@pytest.mark.parametrize("rotate", [0, 30, -100])
@pytest.mark.parametrize("signs", [(1, 1), (1, -1), (-1, 1)])
def test_canvas_map_agrees_with_napari(viewer: ViewerModel, rotate: float, signs: tuple[int, int]) -> None:
    viewer.scene.camera.orientation2d = ("down" if signs[0] > 0 else "up", "right" if signs[1] > 0 else "left")
    layer = viewer.add_image(np.zeros((50, 60)), scale=(0.5, 2), translate=(3, 4), rotate=rotate)
    viewer.scene.camera.zoom, viewer.scene.camera.center = 3.0, (0, 7, 8)
    matrix, offset = scope.canvas_map(layer, image_from_layer(layer), viewer)
    world = np.array(layer.data_to_world((11, 13)))
    expected = (world - (7, 8)) * 3 * np.array(signs) + np.array(viewer.canvas.size) / 2
    np.testing.assert_allclose(matrix @ (11, 13) + offset, expected)


def test_out_of_view_and_3d_are_said(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((100, 100)))
    viewer.scene.camera.center = (0, 1e5, 1e5)
    with pytest.raises(OptionError, match="on screen"):
        narrowed(viewer, layer, scope.SCREEN)
    viewer.dims.ndisplay = 3
    with pytest.raises(OptionError, match="2D view"):
        narrowed(viewer, layer, scope.SCREEN)


def test_this_slice_of_a_time_series(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((5, 2, 40, 50)), axis_labels=("t", "c", "y", "x"), scale=(3, 1, 1, 1))
    viewer.dims.set_point(0, 6)
    viewer.dims.set_point(1, 1)
    assert narrowed(viewer, layer, scope.SLICE).frames == ((2,),)
    assert narrowed(viewer, layer, scope.WHOLE).frames is None
    assert scope.current_channel(layer, image_from_layer(layer), viewer) == 1
    words = dict(scope.choices(image_from_layer(layer)))
    assert (words[scope.WHOLE], words[scope.SCREEN]) == ("all time points", "on screen (this time point)")
    words = dict(scope.choices(image_from_layer(viewer.add_image(np.zeros((5, 40, 50))))))
    assert (words[scope.WHOLE], words[scope.SLICE]) == ("all slices", "this slice")


@pytest.mark.parametrize("key", [scope.SLICE, scope.SHAPE, scope.SCREEN])
def test_a_slice_across_time_is_none_of_the_picture(viewer: ViewerModel, key: str) -> None:
    layer = viewer.add_image(np.zeros((5, 40, 50)), axis_labels=("t", "y", "x"))
    viewer.add_shapes([np.array([(1, 10, 10), (1, 10, 20), (3, 10, 20)])], shape_type="polygon")
    viewer.dims.order = (1, 0, 2)
    with pytest.raises(OptionError, match="not what is on screen"):
        narrowed(viewer, layer, key)
    viewer.dims.order = (0, 2, 1)
    if key == scope.SLICE:
        assert narrowed(viewer, layer, key).frames == ((2,),)


@pytest.mark.parametrize(("order", "plane"), [((1, 0, 2), "ZX"), ((2, 1, 0), "ZY"), ((2, 0, 1), "ZY")])
def test_a_slice_of_a_volume_is_the_one_on_screen(viewer: ViewerModel, order: tuple[int, ...], plane: str) -> None:
    layer = viewer.add_image(np.zeros((8, 40, 50)), axis_labels=("z", "y", "x"), scale=(5, 1, 1))
    viewer.dims.order = order
    viewer.dims.set_current_step(order[0], 30)
    viewer.scene.camera.zoom = 100 / 8  # 16 units high, 32 wide
    viewer.scene.camera.center = (0, 20, 20)
    image = image_from_layer(layer)
    assert scope.plane_in_sight(layer, image, viewer) == plane
    flat = narrowed(viewer, layer, scope.SLICE)
    assert (flat.plane, flat.link, flat.frames, flat.box) == (plane, True, ((30,),), None)
    rows, columns = ((2, 7), (4, 37)) if order[1] == 0 else ((1, 8), (12, 29))
    assert narrowed(viewer, layer, scope.SCREEN).box == (rows, columns)
    deep = scope.narrowed(SegmentOptions(), scope.SCREEN, layer, image, viewer, dims=3)
    ranges = dict(zip(plane, (rows, columns), strict=True)) | {"Y" if plane == "ZX" else "X": (30, 31)}
    assert deep.box == tuple(ranges[axis] for axis in "ZYX")
    assert (deep.plane, deep.link, deep.frames) == ("YX", False, None)
    viewer.add_shapes([np.array([(1, 10, 10), (1, 10, 20), (3, 10, 20)])], shape_type="polygon")
    with pytest.raises(OptionError, match="not what is on screen"):
        narrowed(viewer, layer, scope.SHAPE)


def test_a_selected_shape_is_a_polygon_in_pixels(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((100, 100)), scale=(0.5, 0.5), translate=(1, 1))
    square = np.array([(10, 10), (10, 20), (20, 20), (20, 10)])
    shapes = viewer.add_shapes([square, square + 50], shape_type="polygon")
    with pytest.raises(OptionError, match="No shape is selected"):
        narrowed(viewer, layer, scope.SHAPE)
    shapes.selected_data = {0}
    polygon = narrowed(viewer, layer, scope.SHAPE).polygon
    np.testing.assert_allclose(polygon, (square - 1) / 0.5)


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1)])
@pytest.mark.parametrize("turn", [((1, 0), (0, 1)), ((0, 1), (1, 0)), ((0, -1), (1, 0)), ((0.8, -0.6), (0.6, 0.8))])
def test_a_shape_is_around_the_same_spots_of_a_turned_scan(
    viewer: ViewerModel, turn: Any, order: tuple[int, ...], flat: bool
) -> None:
    affine = np.eye(4)
    affine[1:3, 1:3] = turn
    layer = viewer.add_image(np.zeros((8, 40, 50)), scale=(3, 0.5, 2), translate=(9, 5, -7), affine=affine)
    wanted = np.array([(5, 10), (5, 30), (20, 30)])
    corners = np.array([layer.data_to_world((4, *corner)) for corner in wanted])
    shapes = viewer.add_shapes([corners[:, 1:] if flat else corners], shape_type="polygon")
    viewer.dims.order, shapes.selected_data = order, {0}
    np.testing.assert_allclose(narrowed(viewer, layer, scope.SHAPE).polygon, wanted, atol=1e-4)


def test_a_shape_that_was_drawn_across_slices_is_refused(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((8, 40, 50)), scale=(3, 0.5, 2))
    viewer.dims.order = (1, 0, 2)
    viewer.add_shapes([np.array([(3, 10, 20), (3, 10, 60), (18, 10, 60), (18, 10, 20)])], shape_type="rectangle")
    viewer.dims.order = (0, 1, 2)
    with pytest.raises(OptionError, match="drawn across the slices"):
        narrowed(viewer, layer, scope.SHAPE)


def test_an_ellipse_is_followed_and_a_line_has_no_inside(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((100, 100)))
    viewer.add_shapes([np.array([(20, 10), (20, 50), (40, 50), (40, 10)])], shape_type="ellipse")
    polygon = np.array(narrowed(viewer, layer, scope.SHAPE).polygon)
    y, x = (polygon - (30, 30)).T
    np.testing.assert_allclose((y / 10) ** 2 + (x / 20) ** 2, 1)
    viewer.layers.pop()
    viewer.add_shapes([np.array([(20, 10), (20, 50)])], shape_type="line")
    with pytest.raises(OptionError, match="no inside"):
        narrowed(viewer, layer, scope.SHAPE)
