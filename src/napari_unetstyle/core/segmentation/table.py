"""How many, how large, where: a row for each object or class, straight from the labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core import scratch
from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.models.spec import ClassSpec
from napari_unetstyle.core.progress import Steps
from napari_unetstyle.core.segmentation.postprocessing import bands, listed_rows
from napari_unetstyle.core.segmentation.result import Table
from napari_unetstyle.core.segmentation.runs import Runs
from napari_unetstyle.core.segmentation.surface import iter_surface_areas


def object_table(
    labels: NDArray[Any],
    owners: NDArray[np.uint8],
    classes: Sequence[ClassSpec],
    geometry: Geometry,
    *,
    first_id: int = 1,
    band: int | None = None,
) -> Table:
    """A row for each object.

    Parameters
    ----------
    labels
        Ids ``first_id, first_id + 1, …`` of a picture or volume, 0 is background; read in bands of rows.
    owners
        Class value of each object.
    classes
        The model's classes, for the names.
    geometry
        Pixel size of the last axes.

    Returns
    -------
    dict
        Columns of equal length: ``label``, ``class``, ``class_name``, ``centroid_y`` … (pixels), ``area``
        (pixels, or voxels), ``area_um2`` or the like (``volume_um3``, or ``volume_mm3`` and ``volume_ml``, in 3D)
        if the pixel size is known, and the half-open bounding box ``box_y0, box_x0, box_y1, box_x1`` (pixels).
    """
    count, axes = len(owners), "TZYX"[-labels.ndim :]
    shape = _Shapes(count, labels.shape)
    for part, _ in bands(labels.shape, band or listed_rows(labels.shape)):
        shape.add(Runs.of(np.asarray(labels[part]), part.start), first_id)
        scratch.release(labels)
    owners = np.asarray(owners)
    columns: Table = {"label": np.arange(first_id, first_id + count, dtype=np.int32)}
    columns |= {"class": owners, "class_name": _names(owners, classes)}
    columns |= {f"centroid_{a.lower()}": shape.sums[i] / np.maximum(shape.area, 1) for i, a in enumerate(axes)}
    columns |= {"area": shape.area, **sizes(shape.area, geometry, labels.ndim)}
    columns |= {f"box_{a.lower()}0": shape.low[i] for i, a in enumerate(axes)}
    columns |= {f"box_{a.lower()}1": shape.high[i] for i, a in enumerate(axes)}
    return columns


def iter_area_table(
    labels: NDArray[Any], classes: Sequence[ClassSpec], geometry: Geometry, *, band: int | None = None
) -> Steps[Table]:
    """A row for each class, from class values; columns as in :func:`object_table`, without places. A job.

    ``share`` is the part of the picture's pixels; of a volume there is ``surface_mm2`` or the like (``surface`` if the
    pixel size is not known), see :func:`~napari_unetstyle.core.segmentation.surface.surface_area`. A value that is no
    class, as a person may paint it, has no row.
    """
    from scipy import ndimage

    values = np.array([c.value for c in classes], np.int32)
    most = int(values.max())
    area = np.zeros(most + 1, np.int64)
    low = np.repeat(np.array(labels.shape)[:, np.newaxis], most + 1, axis=1)
    high = np.zeros_like(low)
    for part, step in bands(labels.shape, band or listed_rows(labels.shape), "Measuring"):
        stored = np.asarray(labels[part])
        runs = Runs.of(stored)
        area += np.bincount(runs.value, runs.length, minlength=len(area))[: len(area)].astype(np.int64)
        for value, box in enumerate(ndimage.find_objects(stored, most) if labels.ndim == 3 else (), 1):
            if box is not None:
                first = part.start, 0, 0
                low[:, value] = np.minimum(low[:, value], [s.start + f for s, f in zip(box, first, strict=True)])
                high[:, value] = np.maximum(high[:, value], [s.stop + f for s, f in zip(box, first, strict=True)])
        yield step
    columns: Table = {"label": values, "class": values.astype(np.uint8), "class_name": _names(values, classes)}
    columns |= {"area": area[values], **sizes(area[values], geometry, labels.ndim)}
    if labels.ndim == 3:
        low[:, high[0] == 0] = 0  # of a class that is nowhere
        name = f"surface_{geometry.unit}2" if geometry.is_physical else "surface"
        columns[name] = yield from iter_surface_areas(
            labels, values, low[:, values], high[:, values], geometry.spacing[-3:]
        )
    return columns | {"share": area[values] / labels.size}


class _Shapes:
    """Sizes, sums of coordinates and bounding boxes, added up from runs."""

    def __init__(self, count: int, shape: tuple[int, ...]) -> None:
        self._shape = shape
        self.area = np.zeros(count, np.int64)
        self.sums = np.zeros((len(shape), count))
        self.low = np.repeat(np.array(shape, np.int64)[:, None], count, axis=1)
        self.high = np.zeros((len(shape), count), np.int64)

    def add(self, runs: Runs, first_id: int) -> None:
        index, length = runs.value.astype(np.int64) - first_id, runs.length
        self.area += np.bincount(index, length, minlength=len(self.area)).astype(np.int64)
        first, last = np.unravel_index(runs.start, self._shape), np.unravel_index(runs.stop - 1, self._shape)
        for axis, (low, high) in enumerate(zip(first, last, strict=True)):
            self.sums[axis] += np.bincount(index, (low + high) / 2 * length, minlength=len(self.area))
            np.minimum.at(self.low[axis], index, low)
            np.maximum.at(self.high[axis], index, high + 1)


def _names(values: NDArray[Any], classes: Sequence[ClassSpec]) -> NDArray[Any]:
    names = np.array(["", *[c.name for c in classes]])
    named: NDArray[Any] = names[values]
    return named


def sizes(pixels: NDArray[Any], geometry: Geometry, dims: int) -> Table:
    """Physical sizes of so many pixels: ``area_um2`` or ``area_mm2``, ``volume_um3``, or ``volume_mm3`` and ``_ml``."""
    if not geometry.is_physical:
        return {}
    size = pixels * float(np.prod(geometry.spacing[-dims:]))
    if dims == 2:
        return {f"area_{geometry.unit}2": size}
    return {f"volume_{geometry.unit}3": size, **({"volume_ml": size / 1000} if geometry.unit == "mm" else {})}
