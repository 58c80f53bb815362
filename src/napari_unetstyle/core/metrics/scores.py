"""Scores of labels against the truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from napari_unetstyle.core.errors import OptionError
from napari_unetstyle.core.metrics.overlap import Overlap
from napari_unetstyle.core.metrics.pair import Pair
from napari_unetstyle.core.metrics.surface import SurfaceDistances, Surfaces, iter_distances
from napari_unetstyle.core.progress import Progress, Steps, run, share

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
UNITS = ("mm", "um", "px")
MOST_CLASSES = 255  # that labels may have which nobody called classes

Output = Literal["objects", "areas"]


def evaluate(
    prediction: Any,
    truth: Any,
    spacing: Sequence[float] | None = None,
    *,
    output: Output | None = None,
    ignore: int | None = None,
    unit: str = "mm",
    tolerance: float | None = None,
    classes: Sequence[int] = (),
) -> dict[str, Any]:
    """Compare labels with the truth.

    Parameters
    ----------
    prediction, truth
        Integer labels of the same shape, any number of axes; 0 is background. Lazy arrays (zarr, dask) are
        read in pieces and never whole.
    spacing
        Distance between pixels along the last axes, ``(Z)YX``, in `unit`; for areas only. With it come the
        distances and volumes below. Axes before those are frames: distances are taken inside each frame and
        put together.
    output
        ``"objects"``: values are object ids, which may be numbered differently in the two; ``"areas"``:
        values are classes. If not given, they are classes where there is a `spacing`, and objects where there
        is none, whatever the values are; more than 255 different ones are refused as classes unless
        ``"areas"`` is given.
    ignore
        Pixels with this value in `truth` do not count, and their edge is no surface.
    unit
        Of `spacing` and of the distances: ``"mm"``, ``"um"`` or ``"px"``.
    tolerance
        In `unit`; with it comes ``nsd``.
    classes
        Class values that get a row even if neither has them.

    Returns
    -------
    dict
        ``dice`` and ``iou``: for objects of everything that is not background, for areas the mean over
        ``classes``. For objects also ``average_precision``, threshold (0.5, 0.6, … 0.9) to TP / (TP + FP + FN)
        (as in Caicedo et al. 2019), where a pair matches if its IoU is *above* the threshold, so that an
        object matches at most one; ``panoptic_quality``, the sum of the matches' IoU at 0.5 over
        TP + FP/2 + FN/2, and its factors ``segmentation_quality`` and ``recognition_quality`` (Kirillov et
        al. 2019); and the counts ``objects_predicted``, ``objects_true`` and ``objects_matched`` (at 0.5).

        For areas also ``classes``, value to scores, of every class that is in either (or in `classes`):
        ``dice`` and ``iou``, and with a `spacing`

        - ``hd95``: of the distances from each surface pixel of one to the nearest surface pixel of the other,
          the 95th percentile (linear between ranks), in each direction; the larger of the two.
        - ``assd``: the mean of all these distances of both directions together.
        - ``nsd`` (with a `tolerance`): the share of all these distances that are within the tolerance.
        - ``volume_predicted``, ``volume_true``, their difference ``volume_difference`` (prediction minus
          truth) and ``volume_difference_relative`` (over the truth), in ``volume_unit``: ml in three
          dimensions with mm, otherwise `unit` to the power of the dimensions (2D: areas); of a film the sum
          over its frames.

        A surface pixel is one of the class that has a neighbor along an axis outside the class or the
        picture; distances are Euclidean between centers of pixels. These are the definitions of Maier-Hein,
        Reinke et al. 2024 (Metrics Reloaded), and MONAI's without its option `use_subvoxels`. Nikolov et al.
        2021 weight surface elements by their area instead, which gives slightly other values. ``hd95``,
        ``assd`` and ``nsd`` of the whole are means over the classes; ``unit``, ``spacing`` and ``tolerance``
        are given back.

        Where neither has a class (or any object), they agree: Dice, IoU, NSD and every other score are 1,
        distances and differences are 0. Where only one has it, Dice, IoU and NSD are 0, distances are
        infinite; so is a relative difference to nothing.

    Raises
    ------
    ImageError
        If the shapes differ or labels are no integers.
    OptionError
        If spacing, unit or tolerance are not allowed, or values taken as classes are too many.
    """
    steps = iter_evaluate(
        prediction,
        truth,
        spacing,
        output=output,
        ignore=ignore,
        unit=unit,
        tolerance=tolerance,
        classes=classes,
    )
    return run(steps)


def iter_evaluate(
    prediction: Any,
    truth: Any,
    spacing: Sequence[float] | None = None,
    *,
    output: Output | None = None,
    ignore: int | None = None,
    unit: str = "mm",
    tolerance: float | None = None,
    classes: Sequence[int] = (),
) -> Steps[dict[str, Any]]:
    """Like :func:`evaluate`, as a job."""
    prediction, truth = (a if hasattr(a, "dtype") else np.asarray(a) for a in (prediction, truth))
    scale = None if spacing is None else _Scale(spacing=_numbers(spacing), unit=unit, tolerance=tolerance)
    is_stated, output = output is not None, output or ("objects" if scale is None else "areas")
    _check(output, scale, tolerance, len(truth.shape))
    pair = Pair(
        prediction=prediction, truth=truth, dims=len(scale.spacing) if scale else len(truth.shape), ignore=ignore
    )
    found = yield from share(_iter_read(pair, with_surfaces=scale is not None), 0.0, 0.6 if scale else 1.0)
    if output == "objects":
        return _objects(found.overlap)
    rows = _areas(found.overlap, classes)
    if not is_stated and len(rows) > MOST_CLASSES:
        raise OptionError(
            f"Values were taken as classes, but there are {len(rows)} different ones. Is one of the two a picture? If "
            "they are numbers of objects, leave the spacing out in Python, or say --objects; if they are classes, say "
            "output='areas', or --areas."
        )
    if scale is None:
        return {**_means(rows, ("dice", "iou")), "classes": rows}
    for i, (value, row) in enumerate(rows.items()):
        steps = iter_distances(found.predicted, found.true, value, pair.frames, scale.spacing)
        distances = yield from share(steps, 0.6 + 0.4 * i / len(rows), 0.6 + 0.4 * (i + 1) / len(rows))
        row |= scale.scores(distances) | scale.volumes(found.overlap, value)
    names = ("dice", "iou", "hd95", "assd", *(() if tolerance is None else ("nsd",)))
    return {**_means(rows, names), "classes": rows, **scale.stated()}


@dataclass(frozen=True, kw_only=True)
class _Scale:
    """What a pixel measures, and how far is near enough."""

    spacing: tuple[float, ...]
    unit: str
    tolerance: float | None

    @property
    def volume_unit(self) -> str:
        return "ml" if self.unit == "mm" and len(self.spacing) == 3 else f"{self.unit}{len(self.spacing)}"

    def scores(self, distances: SurfaceDistances) -> dict[str, float]:
        return distances.scores(self.tolerance)

    def volumes(self, overlap: Overlap, value: int) -> dict[str, float]:
        pixel = math.prod(self.spacing) / (1000 if self.volume_unit == "ml" else 1)
        predicted, true = (sizes.get(value, 0) for sizes in (overlap.predicted(), overlap.true()))
        difference = predicted - true
        relative = difference / true if true else math.inf if predicted else 0.0
        return {
            "volume_predicted": predicted * pixel,
            "volume_true": true * pixel,
            "volume_difference": difference * pixel,
            "volume_difference_relative": relative,
        }

    def stated(self) -> dict[str, Any]:
        stated = {"spacing": self.spacing, "unit": self.unit, "volume_unit": self.volume_unit}
        return stated if self.tolerance is None else {**stated, "tolerance": self.tolerance}


@dataclass(frozen=True, kw_only=True, eq=False)
class _Read:
    """What one pass over both arrays finds."""

    overlap: Overlap
    predicted: Surfaces
    true: Surfaces


def _iter_read(pair: Pair, *, with_surfaces: bool) -> Steps[_Read]:
    found = _Read(overlap=Overlap(), predicted=Surfaces(pair.shape), true=Surfaces(pair.shape))
    boxes, frames = pair.boxes(), pair.frames
    for i, (frame, box) in enumerate((frame, box) for frame in frames for box in boxes):
        yield Progress(i, len(frames) * len(boxes), "reading")
        piece = pair.piece(frame, box, halo=int(with_surfaces))
        found.overlap.add(piece)
        if with_surfaces:
            found.predicted.add(piece.prediction, piece)
            found.true.add(piece.truth, piece)
    return found


def _areas(overlap: Overlap, classes: Sequence[int]) -> dict[int, dict[str, float]]:
    predicted, true = overlap.predicted(), overlap.true()
    common = {p: n for p, t, n in overlap.overlaps() if p == t}
    return {
        value: _agreement(predicted.get(value, 0), true.get(value, 0), common.get(value, 0))
        for value in sorted({*predicted, *true, *map(int, classes)})
    }


def _means(rows: dict[int, dict[str, float]], names: Sequence[str]) -> dict[str, float]:
    return {
        name: float(np.mean([row[name] for row in rows.values()])) if rows else float(name not in ("hd95", "assd"))
        for name in names
    }


def _objects(overlap: Overlap) -> dict[str, Any]:
    predicted, true, overlaps = overlap.predicted(), overlap.true(), overlap.overlaps()
    ious = np.array([n / (predicted[p] + true[t] - n) for p, t, n in overlaps])
    common = sum(n for _, _, n in overlaps)
    total = len(predicted) + len(true)
    matches = {threshold: int((ious > threshold).sum()) for threshold in THRESHOLDS}
    precision = {t: n / (total - n) if total else 1.0 for t, n in matches.items()}
    matched = matches[THRESHOLDS[0]]
    quality = float(ious[ious > THRESHOLDS[0]].mean()) if matched else float(not total)
    recognition = 2 * matched / total if total else 1.0
    return {
        **_agreement(sum(predicted.values()), sum(true.values()), common),
        "average_precision": precision,
        "panoptic_quality": quality * recognition,
        "segmentation_quality": quality,
        "recognition_quality": recognition,
        "objects_predicted": len(predicted),
        "objects_true": len(true),
        "objects_matched": matched,
    }


def _agreement(predicted: int, true: int, common: int) -> dict[str, float]:
    if predicted + true == 0:
        return {"dice": 1.0, "iou": 1.0}
    return {"dice": 2 * common / (predicted + true), "iou": common / (predicted + true - common)}


def _numbers(spacing: Any) -> tuple[float, ...]:
    try:
        return tuple(float(size) for size in spacing)
    except (TypeError, ValueError):
        raise OptionError(
            f"Spacing {spacing!r} is not allowed: give one number for each axis, (Z)YX, as (3.0, 1.0, 1.0)."
        ) from None


def _check(output: Output, scale: _Scale | None, tolerance: float | None, ndim: int) -> None:
    if output not in ("objects", "areas"):
        raise OptionError(f"Output {output!r} is not allowed: use 'objects' or 'areas'.")
    if output == "objects" and (scale is not None or tolerance is not None):
        raise OptionError(
            "Distances and volumes are of classes, not of objects: use output='areas', or leave spacing and tolerance "
            "out."
        )
    if scale is None:
        if tolerance is not None:
            raise OptionError(f"A tolerance of {tolerance} needs the spacing of the pixels: give spacing=, too.")
        return
    if not 1 <= len(scale.spacing) <= min(ndim, 3) or not all(math.isfinite(s) and s > 0 for s in scale.spacing):
        raise OptionError(
            f"Spacing {scale.spacing} is not allowed: give one to three positive numbers, "
            f"for the last of the {ndim} axes."
        )
    if scale.unit not in UNITS:
        raise OptionError(f"Unit {scale.unit!r} is not allowed: use one of {', '.join(UNITS)}.")
    if tolerance is not None and not (math.isfinite(tolerance) and tolerance >= 0):
        raise OptionError(f"Tolerance {tolerance} is not allowed: give a distance of at least 0 in {scale.unit}.")
