"""Slices of one series put in order by where they lie, and the grid that they make."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.errors import ImageError
from napari_unetstyle.core.imaging import geometry as geo
from napari_unetstyle.core.imaging.dicom_header import Plane
from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.imaging.xyz import turned, turned_matrix

SAME_PLACE = 1e-3  # mm; nearer slices lie on one another
ASIDE, TILTED = 0.05, 0.5  # of a pixel, by which a slice may lie beside the line through the first one
UNEVEN, NOTED = 0.2, 0.01  # of the distance between slices
_FAR = 1.5  # times the thickness; slices of 2D MR have a gap of a third of it at most, mostly
_ORTHOGONAL = 1e-3


@dataclass(frozen=True, kw_only=True)
class Stack:
    """Slices in the order in which they lie.

    Attributes
    ----------
    planes
        From the first to the last along the normal of the slices (row direction cross column direction).
    axes
        ``"ZYX"``, ``"TYX"``, ``"YX"``, or ``"?YX"`` if the file does not say what its frames are.
    geometry
        Of the spatial axes, in mm, in the patient where the files say so.
    notes
        Sentences that a person should read.
    """

    planes: tuple[Plane, ...]
    axes: str
    geometry: Geometry
    notes: tuple[str, ...] = ()


def is_placed(plane: Plane) -> bool:
    """Whether a slice says where it lies in the patient."""
    return plane.position is not None and plane.cosines is not None


def along_normal(planes: Sequence[Plane]) -> NDArray[np.float64]:
    """Places in mm of slices along their common normal."""
    normal = axes_of(planes[0])[2]
    places: NDArray[np.float64] = np.array([plane.position for plane in planes]) @ normal
    return places


def axes_of(plane: Plane) -> NDArray[np.float64]:
    """Unit vectors ``XYZ`` along columns, rows and slices, as rows ``(3, 3)``.

    Raises
    ------
    ImageError
        If the first two are no directions at right angles.
    """
    given = np.array(plane.cosines, float).reshape(2, 3)
    lengths = np.linalg.norm(given, axis=1)
    if not (np.abs(lengths - 1) < 1e-2).all():
        raise ImageError("The directions of rows and columns are not of length 1. The series is damaged.")
    row, column = given / lengths[:, np.newaxis]
    if abs(row @ column) > _ORTHOGONAL:
        raise ImageError("Rows and columns are not at right angles. Resample the series onto a straight grid first.")
    normal = np.cross(row, column)
    return np.array([row, column, normal / np.linalg.norm(normal)])


def stacked(planes: Sequence[Plane]) -> Stack:
    """Put the slices of one series in order.

    Raises
    ------
    ImageError
        If they make no regular grid: a tilted gantry, missing slices, two at one place, uneven distances; or some
        do not say how their values are scaled; or each picture is a mosaic of slices.
    """
    _check_scaling(planes)
    if any("MOSAIC" in plane.tells.get("kind", "") for plane in planes):
        raise ImageError(
            "Each picture is a mosaic of slices side by side (as Siemens stores functional MR), and none lies where "
            "the file says. Convert the series with dcm2niix, and give its .nii.gz."
        )
    if not all(map(is_placed, planes)):
        return _unplaced(planes)
    places = along_normal(planes)
    order = np.argsort(places, kind="stable")
    ordered = tuple(planes[i] for i in order)
    step, notes = _step(places[order], ordered)
    notes = (*notes, *_straight(ordered), *_gap_notes(step, ordered))
    spacing, spacing_notes = _pixel_size(ordered[0])
    geometry = geo.unknown(3) if spacing is None else _geometry(ordered[0], (step, *spacing))
    if spacing is None:
        notes = (*notes, "Nothing says how large a pixel is (no PixelSpacing): sizes are in pixels, without a place.")
    return Stack(planes=ordered, axes="ZYX", geometry=geometry, notes=(*notes, *spacing_notes))


def scattered(planes: Sequence[Plane], between: float | None) -> tuple[Stack, NDArray[np.intp]]:
    """Put frames onto the grid that they make, where slices may be missing and several frames may share one.

    Parameters
    ----------
    planes
        In any order, of one direction and pixel size.
    between
        Distance between slices that the file states, or None.

    Returns
    -------
    stack
        One frame of each slice that is there; its geometry is that of all slices, from the first to the last one.
    index
        Number of the slice of each of `planes`.

    Raises
    ------
    ImageError
        If they make no regular grid.
    """
    places = along_normal(planes)
    order = np.argsort(places, kind="stable")
    is_new = np.diff(places[order], prepend=-np.inf) >= SAME_PLACE
    ordered = tuple(planes[i] for i in order[is_new])
    gaps = np.diff(places[order][is_new])
    thickness = ordered[0].depth
    usual = float(gaps.min()) if gaps.size else None
    steps = [step for step in (between, usual, thickness) if step is not None]
    fitting = (step for step in steps if np.abs(gaps - step * _counts(gaps, step)).max(initial=0) <= UNEVEN * step)
    step = next(fitting, None)
    notes: tuple[str, ...] = ()
    if step is None and gaps.size:
        raise ImageError(
            f"The distance between slices varies from {gaps.min():.4g} to {gaps.max():.4g} mm, so they make no regular "
            "volume. Export the labels on the grid of their picture."
        )
    if step is None:
        step, notes = _thickness(ordered[0])
    elif between is None and thickness is not None and abs(step - thickness) > UNEVEN * step:
        notes = (
            f"The labels do not say how far apart slices are: {step:.4g} mm was taken, as between the nearest with a "
            f"label, though they are {thickness:.4g} mm thick. Between them there may be slices without any.",
        )
    slices = np.concatenate([[0], np.cumsum(_counts(gaps, step))]).astype(np.intp)
    if gaps.size:
        step = float(gaps.sum() / slices[-1])
    if np.abs(np.cumsum(gaps) - step * slices[1:]).max(initial=0) > UNEVEN * step:
        raise ImageError(
            "The distance between slices drifts, so that labels would lie elsewhere than they do. Export them on the "
            "grid of their picture."
        )
    notes = (*notes, *_straight([planes[i] for i in order]))
    spacing, _ = _pixel_size(ordered[0])
    if spacing is None:
        raise ImageError("The labels do not say how large their pixels are. Export them again.")
    index = np.empty(len(planes), np.intp)
    index[order] = slices[np.cumsum(is_new) - 1]
    return Stack(planes=ordered, axes="ZYX", geometry=_geometry(ordered[0], (step, *spacing)), notes=notes), index


def _counts(gaps: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """How many slices further each one lies."""
    return np.maximum(np.rint(gaps / step), 1)


def _geometry(first: Plane, spacing: tuple[float, ...]) -> Geometry:
    direction = turned_matrix(axes_of(first).T)
    return Geometry(
        spacing=spacing,
        unit="mm",
        origin=turned(first.position or ()),
        direction=tuple(map(tuple, direction.tolist())),
        is_anatomical=True,
    )


def _unplaced(planes: Sequence[Plane]) -> Stack:
    stored = planes[0].stored
    if any(plane.stored is not stored for plane in planes):
        raise ImageError(
            f"{len(planes)} slices do not say where they lie, so they cannot be put in order. Give one file at a time."
        )
    spacing, notes = _pixel_size(planes[0])
    geometry = geo.unknown(2) if spacing is None else Geometry(spacing=spacing, unit="mm")
    axes = "YX" if len(planes) == 1 else "TYX" if stored.is_time else "?YX"
    return Stack(planes=tuple(planes), axes=axes, geometry=geometry, notes=notes)


def _pixel_size(plane: Plane) -> tuple[tuple[float, ...] | None, tuple[str, ...]]:
    if plane.is_at_detector:
        return plane.spacing, ("The pixel size holds at the detector; in the patient it is smaller.",)
    return plane.spacing, ()


def _step(places: NDArray[np.float64], planes: Sequence[Plane]) -> tuple[float, tuple[str, ...]]:
    """Distance between the centers of slices, and what to say of it."""
    if len(places) == 1:
        return _thickness(planes[0])
    gaps = np.diff(places)
    _check_apart(gaps)
    usual = float(np.median(gaps))
    if (wide := np.flatnonzero(gaps > (1 + UNEVEN) * usual)).size or (gaps < (1 - UNEVEN) * usual).any():
        raise ImageError(_uneven(gaps, usual, wide))
    step = float(places[-1] - places[0]) / len(gaps)
    off = np.abs(places - places[0] - step * np.arange(len(places))).max()
    if off > 0.5 * step:
        raise ImageError(
            f"The distance between slices drifts from {gaps[0]:.4g} to {gaps[-1]:.4g} mm, so that some would be shown "
            f"{off:.3g} mm away from where they lie. Resample the series onto a regular grid first."
        )
    if np.abs(gaps - step).max() <= NOTED * step:
        return step, ()
    return step, (
        f"The distance between slices varies from {gaps.min():.4g} to {gaps.max():.4g} mm; {step:.4g} mm was taken, "
        f"which is at most {off:.2g} mm off.",
    )


def _thickness(plane: Plane) -> tuple[float, tuple[str, ...]]:
    if plane.depth is not None:
        return plane.depth, ()
    size = plane.spacing[0] if plane.spacing else 1.0
    return size, ("The slice does not say how thick it is; it was taken to be as thick as a pixel.",)


def _gap_notes(step: float, planes: Sequence[Plane]) -> tuple[str, ...]:
    """What to say of slices that lie evenly, but not as far from one another as their files say."""
    if len(planes) == 1:
        return ()
    thickness, stated = planes[0].thickness, planes[0].apart
    if stated is not None:  # some files state the gap alone
        if min(abs(step - stated), abs(step - stated - (thickness or 0.0))) <= UNEVEN * step:
            return ()
        return (
            f"The slices lie {step:.4g} mm apart, which was taken, but their files say {stated:.4g} mm "
            "(SpacingBetweenSlices): some may be missing.",
        )
    if thickness is None or step <= _FAR * thickness:
        return ()
    return (
        f"The slices lie {step:.4g} mm apart and are {thickness:.4g} mm thick: either there are gaps between them, or "
        "some are missing.",
    )


def number_notes(planes: Sequence[Plane]) -> tuple[str, ...]:
    """What to say of the numbers (InstanceNumber) of slices, in the order in which they lie.

    Nothing of numbers that do not grow, or shrink, from slice to slice: they do not count slices. Nor of the first
    slice alone, which may be the only one.
    """
    numbers = np.array([plane.stored.instance for plane in planes])
    if len(numbers) == 1 and numbers[0] > 1 and planes[0].stored.frames == 1:
        return (
            f"It is one slice, number {numbers[0]} of its series. If others lie beside it, give their folder to have "
            "the volume.",
        )
    steps = np.diff(numbers) * np.sign(numbers[-1] - numbers[0])
    if len(numbers) < 3 or numbers.min() < 1 or planes[0].stored.frames > 1 or (steps < 1).any():
        return ()
    usual = int(np.median(steps))
    if (steps == usual).sum() <= len(steps) / 2 or (steps < usual).any():
        return ()
    wide = np.flatnonzero(steps > usual)
    if wide.size:
        first = int(wide[0])
        more = " and elsewhere" if wide.size > 1 else ""
        return (
            f"The slices are numbered with a gap from {numbers[first]} to {numbers[first + 1]}{more}, though they lie "
            "evenly: some of the series may be missing.",
        )
    if usual > 1:
        return (f"The slices are numbered in steps of {usual}, so some of the series may be missing.",)
    if numbers.min() > 1:
        return (
            f"The slices are numbered from {numbers.min()} on. If the scanner did not count other pictures before "
            "them, the first ones are missing.",
        )
    return ()


def _check_scaling(planes: Sequence[Plane]) -> None:
    silent = sum(not plane.is_rescaled for plane in planes)
    if 0 < silent < len(planes) and any((plane.slope, plane.intercept) != (1.0, 0.0) for plane in planes):
        raise ImageError(
            f"{silent} of {len(planes)} slices do not say how their values are scaled (RescaleSlope and "
            "RescaleIntercept), as the others do, so their values would be others. Copy or export the whole series "
            "again."
        )


def _check_apart(gaps: NDArray[np.float64]) -> None:
    twice = np.flatnonzero(gaps < SAME_PLACE)
    if twice.size:
        raise ImageError(
            f"{twice.size} of {len(gaps) + 1} slices lie where another one lies (number {_numbers(twice + 2)} by "
            "position). The series holds several acquisitions, or the same slices twice. Keep the files of one "
            "acquisition and try again."
        )


def _uneven(gaps: NDArray[np.float64], usual: float, wide: NDArray[np.intp]) -> str:
    counts = gaps / usual
    if np.abs(counts - np.rint(counts)).max() <= UNEVEN:
        missing = int((np.rint(counts) - 1).sum())
        where = ", ".join(f"{i + 1} and {i + 2}" for i in wide[:5].tolist())
        more = " and elsewhere" if wide.size > 5 else ""
        return (
            f"{missing} of {len(gaps) + 1 + missing} slices are missing (between slices {where}{more}, by position; "
            f"they are {usual:.4g} mm apart). Copy or export the whole series again."
        )
    return (
        f"The distance between slices varies from {gaps.min():.4g} to {gaps.max():.4g} mm, so they make no regular "
        "volume. Resample the series onto a regular grid first, or give a part that is regular."
    )


def _straight(planes: Sequence[Plane]) -> tuple[str, ...]:
    """Slices have to lie upon one another along their normal; what to say of those that nearly do."""
    first, size = planes[0], min(planes[0].spacing or (1.0,))
    normal = axes_of(first)[2]
    steps = np.array([plane.position for plane in planes]) - np.array(first.position)
    aside = np.linalg.norm(steps - np.outer(steps @ normal, normal), axis=1)
    if aside.max() <= ASIDE * size:
        return ()
    angle = math.degrees(math.atan2(aside[-1], steps[-1] @ normal))
    if aside.max() <= TILTED * size:
        return (f"The slices are shifted against one another by up to {aside.max():.2g} mm, which was left out.",)
    raise ImageError(
        f"The slices are shifted against one another by up to {aside.max():.4g} mm (a gantry tilt of {angle:.1f} "
        "degrees), so they make no straight volume. Resample the series onto a straight grid first."
    )


def split(planes: Sequence[Plane]) -> list[tuple[str, tuple[Plane, ...]]]:
    """Acquisitions at the same places (echoes, times, …) as parts of their own, each with a name.

    If nothing that the files say tells them apart, they stay together, and are refused when they are stacked.
    """
    whole = [("", tuple(planes))]
    if len(planes) < 2 or not all(map(is_placed, planes)):
        return whole
    times = _most_at_one_place(planes)
    if times == 1:
        return whole
    for name in dict.fromkeys(name for plane in planes for name in plane.tells):
        parts: dict[str, list[Plane]] = {}
        for plane in planes:
            parts.setdefault(str(plane.tells.get(name)), []).append(plane)
        if len(parts) == times and all(_most_at_one_place(part) == 1 for part in parts.values()):
            ordered = sorted(parts.items(), key=lambda part: _sortable(part[0]))
            return [(f"{name} {i + 1} of {times}", tuple(part)) for i, (_, part) in enumerate(ordered)]
    return whole


def _most_at_one_place(planes: Sequence[Plane]) -> int:
    places = np.sort(along_normal(planes))
    borders = np.flatnonzero(np.diff(places) >= SAME_PLACE) + 1
    return max(map(len, np.split(places, borders)))


def _sortable(text: str) -> tuple[float, str]:
    try:
        return float(text), text
    except ValueError:
        return math.inf, text


def _numbers(values: Iterable[int]) -> str:
    listed = [str(int(value)) for value in values]
    return ", ".join(listed[:5]) + (", …" if len(listed) > 5 else "")
