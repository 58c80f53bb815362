"""The level of a multiscale layer that a run is on."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from napari_unetstyle.core.segmentation.level_choice import fitting_grid, on_grid, wanted_pixels
from napari_unetstyle.widgets.layers import Statement, image_from_layer
from napari_unetstyle.widgets.level_grid import level_grids
from napari_unetstyle.widgets.placement import Placement

if TYPE_CHECKING:
    from napari_unetstyle.core.models.spec import ModelSpec
    from napari_unetstyle.widgets.run_request import RunRequest


def on_fitting_level(request: RunRequest, spec: ModelSpec) -> RunRequest:
    """The same run on the level whose pixels fit the model, its options told in pixels of this level.

    Labels lie on the grid of the level then. A layer of one level, a model that takes any pixel size and a run without
    a stated size of objects stay as they are.
    """
    layer, image = request.layer, request.image
    if not layer.multiscale or request.placement.grid is not None:
        return request
    if wanted_pixels(image, spec, request.options) is None:
        return request
    grid = fitting_grid(level_grids(layer), image, spec, request.options)
    if grid.index == 0:
        return request
    level = image_from_layer(layer, Statement(axes=image.axes, geometry=image.geometry), grid)
    return dataclasses.replace(
        request,
        image=level,
        placement=Placement.of(layer, image.axes, grid),
        options=on_grid(request.options, grid, level),
    )
