"""Labels of a coarser level on the pixels of the finest one."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core import scratch
from napari_unetstyle.core.errors import ImageError
from napari_unetstyle.core.imaging.files import read_image, read_levels
from napari_unetstyle.core.imaging.levels import LevelGrid
from napari_unetstyle.core.progress import Progress, Steps, run, share
from napari_unetstyle.core.segmentation.deciding import with_table
from napari_unetstyle.core.segmentation.postprocessing import bands
from napari_unetstyle.core.segmentation.result import SegmentResult

NOTE = "The labels were brought to the finest level: each of its pixels has the label of the nearest one."


def full_resolution(result: SegmentResult, path: str | os.PathLike[str]) -> SegmentResult:
    """A run on a level of a picture in several resolutions, its labels on the finest one.

    Each pixel gets the label of the nearest pixel, so outlines keep the steps of the level; `segment(…, level=0)` looks
    at the finest one instead. Ids stay. Do this last: probabilities stay on the level.

    Parameters
    ----------
    result
        Of :func:`~napari_unetstyle.core.segment` on a level of `path`.
    path
        The picture's file: OME-Zarr, a slide, or TIFF in several resolutions.

    Returns
    -------
    SegmentResult
        With labels, pixel size and table of the finest level; `result` itself if it is on that.

    Raises
    ------
    ImageError
        If no level of the file is the run's picture, or its slices are not those of the finest level.
    """
    return run(iter_full_resolution(result, path))


def iter_full_resolution(result: SegmentResult, path: str | os.PathLike[str]) -> Steps[SegmentResult]:
    """Like :func:`full_resolution`, as a job."""
    axes, shape = (result.provenance["picture"][key] for key in ("axes", "shape"))
    finest = read_image(path, axes)
    if list(finest.array.shape) == list(shape):
        return result
    same = (g for g in read_levels(path)[1:] if list(read_image(path, axes, level=g.index).array.shape) == list(shape))
    grid = next(same, None)
    if grid is None:
        raise ImageError(f"No level of {path} has the shape {tuple(shape)} of the picture that was segmented.")
    where = [axes.index(axis) for axis in result.label_axes]
    if any(grid.factor[axis] != 1 for axis in where[: len(result.frames[0])]):
        raise ImageError(
            f"Level {grid.index} leaves out slices that were segmented one by one, so they have no place on the finest "
            "level. Segment a level that has all slices, or link them."
        )
    steps = iter_to_finest(result.labels, grid, where, finest.label_shape, result.options.memory)
    labels = yield from share(steps, 0.0, 0.7)
    place = grid.finest(result.geometry, axes)
    return with_table(result.changed(labels=labels, geometry=place, notes=(*result.notes, NOTE)))


def iter_to_finest(
    labels: NDArray[Any], grid: LevelGrid, axes: Sequence[int], shape: tuple[int, ...], in_memory: int | None = None
) -> Steps[NDArray[Any]]:
    """Labels of a level on the grid of the finest one: each pixel gets the label of the nearest pixel.

    Parameters
    ----------
    labels
        On the level.
    grid
        The level.
    axes
        Which axis of the picture each axis of the labels is.
    shape
        Of the labels on the finest level.
    in_memory
        Bytes; more lies on disk.

    Raises
    ------
    ImageError
        If labels and shape have not as many axes.
    """
    if not len(labels.shape) == len(axes) == len(shape):
        raise ImageError(f"Labels of shape {labels.shape} cannot be brought to shape {shape}: other axes.")
    *leading, rows, columns = [
        np.clip(np.ceil(grid.from_finest(axis, np.arange(n)) - 0.5).astype(int), 0, count - 1)
        for axis, n, count in zip(axes, shape, labels.shape, strict=True)
    ]
    out = scratch.zeros(shape, labels.dtype, in_memory)
    places = list(itertools.product(*map(range, shape[:-2])))
    for i, index in enumerate(places):
        coarse = labels[tuple(int(which[k]) for which, k in zip(leading, index, strict=True))]
        fine = out[index]
        for part, _ in bands(fine.shape):
            fine[part] = coarse[np.ix_(rows[part], columns)]
            scratch.release(out)
        yield Progress(i + 1, len(places), "To the finest level")
    return out
