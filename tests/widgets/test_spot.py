"""Places that the view goes to, however the volume is cut on the screen."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtWidgets import QWidget

from napari_unetstyle.widgets import scope
from napari_unetstyle.widgets.layers import image_from_layer
from napari_unetstyle.widgets.placement import Placement
from napari_unetstyle.widgets.spot import PlaceFrames, Spot, SpotFrame, go_to


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (2, 1, 0)])
def test_a_place_is_in_the_middle_of_every_view(order: tuple[int, ...], qtbot: object) -> None:
    viewer = ViewerModel()
    viewer.canvas.size = (400, 600)
    layer = viewer.add_image(np.zeros((20, 60, 80)), scale=(3, 0.5, 1), translate=(7, 1, -5))
    image = image_from_layer(layer)
    spot = Spot(
        placement=Placement.of(layer, "ZYX"), image=image, frame=(), box=(slice(4, 9), slice(20, 31), slice(40, 61))
    )
    viewer.dims.order = order
    go_to(viewer, spot)
    np.testing.assert_allclose(layer.world_to_data(viewer.dims.point), (6, 25, 50), atol=0.51)
    plane = scope.plane_in_sight(layer, image, viewer)
    assert plane is not None
    matrix, offset = scope.canvas_map(layer, image, viewer, plane)
    place = {"Z": 6.0, "Y": 25.0, "X": 50.0}
    np.testing.assert_allclose(matrix @ [place[axis] for axis in plane] + offset, (200, 300), atol=1e-6)
    sides = {"Z": 5, "Y": 11, "X": 21}
    assert np.abs(matrix @ [sides[axis] for axis in plane]).max() == pytest.approx(200)


def test_frames_are_seen_in_their_own_slices_only(qtbot) -> None:
    viewer, widget = ViewerModel(), QWidget()
    qtbot.addWidget(widget)
    viewer.canvas.size = (400, 600)
    layer = viewer.add_image(np.zeros((20, 60, 80)))
    spot = Spot(
        placement=Placement.of(layer, "ZYX"),
        image=image_from_layer(layer),
        frame=(6,),
        box=(slice(20, 31), slice(40, 61)),
    )
    one, many = SpotFrame(widget, viewer), PlaceFrames(widget, viewer)
    shown: dict[str, object] = {}
    one.drawing.show = lambda drawn: shown.update(one=drawn)
    one.show(spot)
    many.show([spot])
    many.drawings[0].show = lambda drawn: shown.update(many=drawn)
    for order, is_seen in (((0, 2, 1), True), ((1, 0, 2), False), ((0, 1, 2), True)):
        viewer.dims.order = order
        assert [shown[name] is not None for name in ("one", "many")] == [is_seen, is_seen]
