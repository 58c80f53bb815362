"""Which level of a multiscale layer a model is given: the coarsest that is as fine as it knows."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from napari_unetstyle.core.imaging.geometry import in_known_unit
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.segmentation.options import SegmentOptions
from napari_unetstyle.widgets.layers import Placement, Statement, image_from_layer
from napari_unetstyle.widgets.level_grid import LevelGrid, level_grids

if TYPE_CHECKING:
    from napari_unetstyle.core.models.spec import ModelSpec
    from napari_unetstyle.widgets.run_request import RunRequest

_COARSER = 1.25  # how much coarser than the model a level may be: less than what models are trained to bear


def on_fitting_level(request: RunRequest, spec: ModelSpec) -> RunRequest:
    """The same run on the level whose pixels fit the model, its options told in pixels of this level.

    Labels lie on the grid of the level then. A layer of one level, a model that takes any pixel size and a run without
    a stated size of objects stay as they are.
    """
    layer, image = request.layer, request.image
    if not layer.multiscale or request.placement.grid is not None:
        return request
    if _room(image, spec, request.options) is None:
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


def fitting_grid(grids: tuple[LevelGrid, ...], image: Image, spec: ModelSpec, options: SegmentOptions) -> LevelGrid:
    """The coarsest level that is not coarser than the model, along any axis of its; else the finest.

    Parameters
    ----------
    grids
        The levels, finest first.
    image
        The finest one.
    spec
        Of the model.
    options
        Of the run, in pixels of the finest level.
    """
    room = _room(image, spec, options)
    if room is None:
        return grids[0]
    axes = [image.axes.index(a) for a in "ZYX"[-len(room) :]]
    others = [i for i in range(len(grids[0].factor)) if i not in axes]
    fitting = [
        grid
        for grid in grids
        if all(grid.factor[axis] <= most * _COARSER for axis, most in zip(axes, room, strict=True))
        and all(grid.factor[i] == 1 for i in others)  # no slice or time is left out
    ]
    return fitting[-1] if fitting else grids[0]


def _room(image: Image, spec: ModelSpec, options: SegmentOptions) -> tuple[float, ...] | None:
    """How many pixels of the finest level the model takes for one, along each of its axes; None if it does not say."""
    dims = spec.network.spatial_dims
    diameter, known = options.object_diameter, spec.input.object_diameter
    if diameter is not None and known is not None:
        largest = (spec.input.object_diameters or (known, known))[1]
        return (diameter / known if diameter > largest else 1.0,) * dims
    if spec.input.spacing is None or not image.geometry.is_physical:
        return None
    wanted = in_known_unit(spec.input.spacing, spec.input.unit or "um").in_unit(image.geometry.unit)
    return tuple(want / have for want, have in zip(wanted.spacing, image.geometry.spacing[-dims:], strict=True))


def on_grid(options: SegmentOptions, grid: LevelGrid, image: Image) -> SegmentOptions:
    """Options in pixels of the finest level, told in pixels of another, whose picture is `image`."""
    diameter, box, polygon = options.object_diameter, options.box, options.polygon
    plane = [image.axes.index(a) for a in "YX"]
    if diameter is not None:
        diameter = max(1.0, diameter / float(np.mean([grid.factor[axis] for axis in plane])))
    if box is not None:
        axes = [image.axes.index(a) for a in "ZYX"[-len(box) :]]
        box = tuple(_range(grid, axis, sides, image) for axis, sides in zip(axes, box, strict=True))
    if polygon is not None:
        polygon = tuple((grid.from_finest(plane[0], y), grid.from_finest(plane[1], x)) for y, x in polygon)
    pixels = options.min_pixels
    if pixels is not None:
        pixels = round(pixels / float(np.prod([grid.factor[axis] for axis in plane])))
    return options.changed(object_diameter=diameter, box=box, polygon=polygon, min_pixels=pixels)


def _range(grid: LevelGrid, axis: int, sides: tuple[int, int], image: Image) -> tuple[int, int]:
    """All pixels of the level that the pixels of a range touch."""
    last = image.array.shape[axis] - 1
    low = min(max(0, int(np.floor(grid.from_finest(axis, sides[0] - 0.5) + 0.5))), last)
    high = int(np.ceil(grid.from_finest(axis, sides[1] - 0.5) + 0.5))
    return low, min(max(low + 1, high), last + 1)
