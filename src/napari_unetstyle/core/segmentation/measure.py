"""Measurements of objects: size, shape, and intensity per channel and per stain.

The values are those of scikit-image's ``regionprops`` (solidity apart, see there) but found for all objects at
once from their runs, several times faster, so that a table can follow a brush.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.errors import ImageError
from napari_unetstyle.core.imaging.geometry import Geometry, unknown
from napari_unetstyle.core.imaging.image import Frame, Image
from napari_unetstyle.core.progress import Progress, Steps, run, share
from napari_unetstyle.core.segmentation.intensities import check_stains, iter_intensities
from napari_unetstyle.core.segmentation.result import Table
from napari_unetstyle.core.segmentation.shapes import (
    MeasuredObjects,
    iter_hulls,
    length_column,
    moments,
    perimeters,
    places,
)
from napari_unetstyle.core.segmentation.surface import iter_surface_areas
from napari_unetstyle.core.segmentation.table import sizes


def measure(
    labels: NDArray[Any],
    image: Image | None = None,
    *,
    geometry: Geometry | None = None,
    classes: Mapping[int, str] | None = None,
    stains: str | None = None,
    only: Collection[int] | None = None,
    dims: int | None = None,
) -> Table:
    """A row of measurements for each object.

    Parameters
    ----------
    labels
        Ids, 0 is background; the last `dims` axes are spatial, those before are frames (each measured by itself).
    image
        The picture, for intensities; its label axes are those of `labels`.
    geometry
        Pixel size; that of the picture if not given.
    classes
        Name of the class of each id.
    stains
        ``"hed"`` (hematoxylin, eosin, DAB) or ``"hdx"`` (hematoxylin, DAB) to measure the stains of an RGB
        picture, too.
    only
        Measure these ids only.
    dims
        2 or 3; the number of spatial axes if not given: that of the pixel sizes, else of the labels up to 3.

    Returns
    -------
    dict
        Columns of equal length, rows in the order of frames and ids: ``label``, ``frame_t`` … (if there are
        frames), ``class_name`` (with `classes`); ``area`` in pixels (voxels in 3D) and ``area_um2``
        (``volume_um3``; ``volume_mm3`` and ``volume_ml``); ``surface_um2`` (3D, see
        :func:`~napari_unetstyle.core.segmentation.surface.surface_area`);
        lengths in pixels, or with the unit in the column's name if the pixel size is known:
        ``equivalent_diameter`` of the disk (ball) of the same size, ``major_axis`` and ``minor_axis`` of the
        ellipse (ellipsoid) with the same second moments, ``perimeter`` (2D, square pixels); ``eccentricity``
        (2D), ``orientation`` (2D: from the Y axis to the major axis, counterclockwise, in degrees from -90 to
        90), ``circularity`` (``4 pi area / perimeter**2``, at most 1), ``solidity`` (share of the convex hull of
        all pixel corners; scikit-image counts the pixels inside the hull instead); ``centroid_y`` … and
        the half-open bounding box ``box_y0, box_x0, box_y1, box_x1`` in pixels; then ``mean``, ``std``, ``min``
        and ``max`` of each channel and stain, with its name behind if there are several (a stain's are optical
        densities). An intensity is NaN if one of the object's pixels is.

    Raises
    ------
    ImageError
        If labels and picture do not fit, labels have fewer than two axes or no pixel, `dims` is neither 2 nor 3,
        or stains are asked of a picture without colors.
    OptionError
        If `stains` is not known.
    """
    steps = iter_measure(labels, image, geometry=geometry, classes=classes, stains=stains, only=only, dims=dims)
    return run(steps)


def iter_measure(
    labels: NDArray[Any],
    image: Image | None = None,
    *,
    geometry: Geometry | None = None,
    classes: Mapping[int, str] | None = None,
    stains: str | None = None,
    only: Collection[int] | None = None,
    dims: int | None = None,
) -> Steps[Table]:
    """Like :func:`measure`, as a job."""
    if image is not None and tuple(labels.shape) != image.label_shape:
        raise ImageError(
            f"The labels have shape {tuple(labels.shape)}, but the picture ({image.axes}) needs {image.label_shape}. "
            "Measure labels on the picture they were made for."
        )
    if stains:
        check_stains(stains, image)
    known = geometry or (image.geometry if image is not None else None)
    if dims is None:
        dims = min(len(known.spacing) if known is not None else 3, labels.ndim)
    _check_dims(labels.shape, dims, known)
    geometry = known.sizes(dims) if known is not None else unknown(dims)
    indices = list(np.ndindex(labels.shape[:-dims]))
    tables = []
    for i, index in enumerate(indices):
        frame = image.frame(index, dims) if image else None
        steps = _iter_frame(labels[index], frame, geometry, stains or "", only)
        table = yield from share(steps, i / len(indices), (i + 1) / len(indices))
        tables.append(_named(table, "TZYX"[-labels.ndim :] if image is None else image.label_axes, index, classes))
    return {column: np.concatenate([table[column] for table in tables]) for column in tables[0]}


def _check_dims(shape: tuple[int, ...], dims: int, known: Geometry | None) -> None:
    most = min(3, len(shape), len(known.spacing) if known is not None else 3)
    if not 2 <= dims <= most or 0 in shape:
        sizes = "" if known is None else f" and {len(known.spacing)} pixel sizes"
        raise ImageError(
            f"Labels of shape {shape}{sizes} cannot be measured with {dims} spatial axes: 2 or 3 are allowed, each "
            "with a pixel size, and no axis of length 0. Give labels (Z)YX with at least one pixel."
        )


def _named(table: Table, axes: str, index: tuple[int, ...], classes: Mapping[int, str] | None) -> Table:
    rows = len(table["label"])
    first: Table = {"label": table["label"]}
    first |= {f"frame_{axis.lower()}": np.full(rows, i) for axis, i in zip(axes, index, strict=False)}
    if classes is not None:
        first["class_name"] = np.array([classes.get(label, "") for label in table["label"].tolist()], dtype=object)
    return first | table


def _iter_frame(
    labels: NDArray[Any], frame: Frame | None, geometry: Geometry, stains: str, only: Collection[int] | None
) -> Steps[Table]:
    objects = MeasuredObjects.of(labels, only)
    yield Progress(1, 10, "Measuring")
    table: Table = {"label": objects.ids.astype(np.int64)}
    size = objects.sum(objects.runs.length)
    table |= {"area": size.astype(np.int64), **sizes(size, geometry, labels.ndim)}
    if labels.ndim == 3:
        steps = iter_surface_areas(labels, objects.ids, objects.low, objects.high, geometry.spacing)
        table[f"surface_{geometry.unit}2" if geometry.is_physical else "surface"] = yield from share(steps, 0.1, 0.4)
    table |= moments(objects, geometry)
    if labels.ndim == 2 and math.isclose(*geometry.spacing, rel_tol=1e-3):
        perimeter = perimeters(labels, objects)
        table[length_column("perimeter", geometry)] = perimeter * geometry.spacing[0]
        table["circularity"] = np.minimum(1, 4 * np.pi * table["area"] / np.maximum(perimeter, 1) ** 2)
    yield Progress(5, 10, "Measuring")
    hulls = yield from share(iter_hulls(objects), 0.5, 0.7)
    table["solidity"] = table["area"] / hulls
    table |= places(objects)
    if frame is not None:
        table |= yield from share(iter_intensities(objects, frame, stains), 0.7, 1.0)
    return table
