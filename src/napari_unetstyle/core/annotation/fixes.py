"""Fixes kept on top of new labels, pixel for pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.annotation.corrections import Correction, Mask

_RIM = 0.25  # of an object's depth; what fixes leave of it and is less deep is a rim


def fixed_places(correction: Correction) -> Mask:
    """Where a person decided: touched objects as a whole, what was painted, what was called right.

    Returns
    -------
    numpy.ndarray
        bool ``image.label_shape``.
    """
    if correction.rest_is_right:
        return np.ones(correction.labels.shape, bool)
    places = np.zeros(correction.labels.shape, bool)
    for mask in (correction.painted, correction.accepted):
        if mask is not None:
            places |= mask
    if correction.output == "objects" and correction.touched:
        places |= np.isin(correction.labels, sorted(correction.touched))
    return places


def with_fixes(correction: Correction, labels: NDArray[Any]) -> NDArray[Any]:
    """New labels of a picture with a person's fixes in them.

    In fixed places the labels are the person's, exactly. An object that comes from there gets a number of its own,
    above all others. Where fixes leave but a rim of a new object, the rim goes, too.

    Parameters
    ----------
    correction
        The fixes.
    labels
        New labels of the same picture, ``image.label_shape``; not changed.

    Returns
    -------
    numpy.ndarray
        Of the type of `labels`.
    """
    places = fixed_places(correction)
    out: NDArray[Any] = labels.copy()
    if correction.output == "areas":
        out[places] = correction.labels[places]
        return out
    highest = int(labels.max(initial=0))
    out[places] = 0
    out[_rims(labels, out, np.unique(labels[places]))] = 0
    ids, position = np.unique(correction.labels[places], return_inverse=True)
    numbers = np.where(ids > 0, highest + np.cumsum(ids > 0), 0).astype(out.dtype)
    out[places] = numbers[position]
    return out


def owners_of_fixes(correction: Correction, fixed: NDArray[Any]) -> dict[int, int]:
    """Class value of each object that :func:`with_fixes` brought into `fixed`, by its number there; empty for areas."""
    if correction.output == "areas":
        return {}
    places = fixed_places(correction)
    numbers, first = np.unique(fixed[places], return_index=True)
    before = correction.labels[places][first]
    pairs = zip(numbers.tolist(), before.tolist(), strict=True)
    return {number: correction.classes.get(was, 1) for number, was in pairs if number > 0}


def _rims(before: NDArray[Any], after: NDArray[Any], ids: NDArray[Any]) -> Mask:
    """What is left of some objects where it is much less deep than they were."""
    ids = ids[ids > 0]
    affected = np.isin(before, ids)
    if not affected.any():
        return affected
    was, stays = (_deepest(np.where(affected, labels, 0), ids) for labels in (before, after))
    rims: Mask = np.isin(after, ids[stays <= _RIM * was])
    return rims


def _deepest(labels: NDArray[Any], ids: NDArray[Any]) -> NDArray[np.float64]:
    """Largest distance of a pixel of each object to the object's outermost pixels."""
    from scipy import ndimage
    from skimage.segmentation import find_boundaries

    rim = find_boundaries(np.pad(labels, 1), mode="inner")  # type: ignore[no-untyped-call]
    inside = (labels > 0) & ~rim[(slice(1, -1),) * labels.ndim]
    return np.asarray(ndimage.maximum(ndimage.distance_transform_edt(inside), labels, ids), float)
