"""Which level of a picture in several resolutions a model is given: the coarsest that is as fine as it knows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from napari_unetstyle.core.imaging.geometry import in_known_unit
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.imaging.levels import LevelGrid
from napari_unetstyle.core.imaging.restyled import made_of, restyled_note
from napari_unetstyle.core.models.spec import ModelSpec
from napari_unetstyle.core.segmentation.options import SegmentOptions
from napari_unetstyle.core.segmentation.planes import through

_COARSER = 1.25  # how much coarser than the model a level may be: less than what models are trained to bear


def read_fitting(
    path: Path,
    specs: Sequence[ModelSpec],
    options: SegmentOptions,
    *,
    axes: str | None = None,
    spacing: tuple[float, ...] | None = None,
    series: int | str | None = None,
    level: int | None = None,
) -> tuple[Image, SegmentOptions]:
    """The picture in a file on the level that fits the models, and the options in pixels of this level.

    Parameters
    ----------
    path
        As :func:`~napari_unetstyle.core.read_image` takes it; of a file with one level it is that.
    specs
        Of the models that will see it; where they fit different levels, it is the finest of these.
    options
        Of the run, in pixels of the finest level; of `level` where that is stated.
    axes, spacing, series
        As there; `spacing` of the finest level, or of the stated one.
    level
        The level to take in place of the fitting one.

    Raises
    ------
    UnetstyleError
        If the picture cannot be read, has no such level, or is a file of labels.
    """
    from napari_unetstyle.core.imaging.files import read_image, read_levels
    from napari_unetstyle.core.segmentation.output import picture_info

    made = made_of(picture_info(path))
    finest = read_image(path, axes, spacing, series, level or 0)
    if made is not None:
        finest = dataclasses.replace(finest, notes=(*finest.notes, restyled_note(made)))
    grids = () if level is not None else read_levels(path)
    fitting = [fitting_grid(grids, finest, spec, options) for spec in specs] if grids else []
    grid = min(fitting, key=lambda grid: grid.index, default=None)
    if grid is None or grid.index == 0:
        return finest, options
    image = read_image(path, axes, None, series, grid.index)
    who = "model fits" if len(specs) == 1 else "models fit"
    note = f"The {who} level {grid.index} of the picture, so the labels lie on the pixels of that."
    placed = dataclasses.replace(
        image, geometry=grid.geometry(finest.geometry, finest.axes), notes=(*image.notes, note)
    )
    return placed, on_grid(options, grid, placed)


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
    room = wanted_pixels(image, spec, options)
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


def wanted_pixels(image: Image, spec: ModelSpec, options: SegmentOptions) -> tuple[float, ...] | None:
    """How many pixels of the finest level the model takes for one, along each of its axes; None if it does not say.

    A size of objects that nobody stated does not count, and is not looked for on a coarse level: clumps look like
    objects there.
    """
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
    frames, across = options.frames, "YX" if options.plane == "all" else options.plane
    plane = [image.axes.index(a) for a in "YX"]
    if diameter is not None:
        diameter = max(1.0, diameter / float(np.mean([grid.factor[axis] for axis in plane])))
    if box is not None:
        axes = [image.axes.index(a) for a in (across if len(box) == 2 else "ZYX")]
        box = tuple(_range(grid, axis, sides, image) for axis, sides in zip(axes, box, strict=True))
    if polygon is not None:
        polygon = tuple((grid.from_finest(plane[0], y), grid.from_finest(plane[1], x)) for y, x in polygon)
    if frames is not None and across != "YX":
        axis = image.axes.index(through(across))
        frames = tuple((*index[:-1], _range(grid, axis, (index[-1], index[-1] + 1), image)[0]) for index in frames)
    pixels = options.min_pixels
    if pixels is not None:
        spatial = [image.axes.index(a) for a in "ZYX" if a in image.axes]  # slices stay where objects lie in one
        pixels = round(pixels / float(np.prod([grid.factor[axis] for axis in spatial])))
    return options.changed(object_diameter=diameter, box=box, polygon=polygon, frames=frames, min_pixels=pixels)


def _range(grid: LevelGrid, axis: int, sides: tuple[int, int], image: Image) -> tuple[int, int]:
    """All pixels of the level that the pixels of a range touch."""
    last = image.array.shape[axis] - 1
    low = min(max(0, int(np.floor(grid.from_finest(axis, sides[0] - 0.5) + 0.5))), last)
    high = int(np.ceil(grid.from_finest(axis, sides[1] - 0.5) + 0.5))
    return low, min(max(low + 1, high), last + 1)
