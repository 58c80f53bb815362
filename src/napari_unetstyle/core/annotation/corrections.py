"""What a person corrected in a picture, and what of it is learned from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.annotation.known import UNKNOWN
from napari_unetstyle.core.errors import ImageError, OptionError
from napari_unetstyle.core.imaging.image import ArrayLike, Image
from napari_unetstyle.core.segmentation.result import classes_of_objects

RING = 3
_LARGEST = np.iinfo(np.int32).max

Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Correction:
    """The fixes of one picture.

    Attributes
    ----------
    image
        The picture.
    labels
        The corrected labels, integers on the picture's grid (``image.label_shape``, axes ``image.label_axes``):
        object ids or class values, 0 background.
    output
        What `labels` are: ``"objects"`` or ``"areas"``, as in a result.
    touched
        Ids of objects that a person painted or worked on; they count whole. Not used for areas, which may run
        through the whole picture from one stroke.
    painted
        Places whose value a person set, to background, too; None for nowhere.
    accepted
        Areas and slices that a person called right; None for nowhere.
    rest_is_right
        Whether everything else is right, too.
    classes
        Class value of each object; objects that are not listed have class 1. For objects only.
    dims
        How many of the last axes an object extends along: 2 where slices were segmented one by one, 3 for a volume.
        None for all of Z, Y and X that the picture has.
    known
        How many classes, the first ones, the person could choose from: background is none of these. None for all
        that the model has that is taught.

    Raises
    ------
    ImageError
        If arrays do not lie on the picture's grid or have other types.
    OptionError
        If `dims` does not suit the picture.
    """

    image: Image
    labels: NDArray[Any]
    output: Literal["objects", "areas"] = "objects"
    touched: frozenset[int] = frozenset()
    painted: Mask | None = None
    accepted: Mask | None = None
    rest_is_right: bool = False
    classes: Mapping[int, int] = field(default_factory=dict)
    dims: int | None = None
    known: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.image, Image):
            raise ImageError(
                f"The picture of a correction has to be an Image, got {type(self.image).__name__}: make one of an "
                "array with as_image, or of a file with read_image."
            )
        self._check_grid("labels", self.labels)
        if self.labels.dtype.kind not in "ui":
            raise ImageError(f"Labels have to be integers, got {self.labels.dtype}.")
        if self.labels.min() < 0 or self.labels.max() > _LARGEST:
            raise ImageError(
                f"Labels run from {self.labels.min()} to {self.labels.max()}; 0 to {_LARGEST} can be learned from. "
                "Number the objects anew."
            )
        for name, mask in (("painted", self.painted), ("accepted", self.accepted)):
            if mask is not None:
                self._check_grid(name, mask)
                if mask.dtype != np.bool_:
                    raise ImageError(f"{name!r} has to be a mask of type bool, got {mask.dtype}.")
        object.__setattr__(self, "touched", frozenset(map(int, self.touched)) - {0})
        spatial = 3 if "Z" in self.image.axes else 2
        object.__setattr__(self, "dims", self.dims or spatial)
        if self.dims not in (2, spatial):
            raise OptionError(
                f"Objects of {self.dims} dimensions do not suit a picture with axes {self.image.label_axes}: "
                "give 2, or 3 if it has Z."
            )

    def _check_grid(self, name: str, array: NDArray[Any]) -> None:
        if not isinstance(array, ArrayLike):
            raise ImageError(f"{name!r} has to be an array, got {type(array).__name__}.")
        if tuple(array.shape) != self.image.label_shape:
            raise ImageError(
                f"{name!r} has shape {tuple(array.shape)}, but the picture's grid is {self.image.label_shape} "
                f"({self.image.label_axes}). Give an array on the picture's grid."
            )

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to learn from."""
        marks = (mask is not None and mask.any() for mask in (self.painted, self.accepted))
        return not (self.rest_is_right or self.touched or any(marks))


def corrected(image: Image, before: NDArray[Any], after: NDArray[Any], **said: Any) -> Correction:
    """The correction that leads from one label array to another.

    Parameters
    ----------
    image
        The picture.
    before, after
        Labels on the picture's grid; where they differ a person painted.
    **said
        What else is known, as for :class:`Correction`; `touched` adds to what is seen from the labels.
    """
    painted = np.not_equal(before, after)
    touched = touched_objects(before, after) | said.pop("touched", frozenset())
    return Correction(image=image, labels=after, painted=painted, touched=touched, **said)


def touched_objects(before: NDArray[Any], after: NDArray[Any]) -> frozenset[int]:
    """Ids of the objects whose shape a person decided.

    Those that got pixels, and what is left of those that pixels were erased from. An object that only lost pixels to
    another is not among them: a brush that went too far says nothing about it.
    """
    painted = before != after
    erased = painted & (after == 0)
    left = np.intersect1d(before[erased], after)
    return frozenset(np.union1d(after[painted], left).tolist()) - {0}


def learned(correction: Correction, ring: int = RING) -> tuple[NDArray[np.int32], Mask]:
    """What a correction teaches.

    Learned from are touched objects as a whole, with a ring of background around them; every place that a person
    painted, to background, too; accepted areas; and everything if the rest is right. All else is not: it is unknown,
    never background.

    Parameters
    ----------
    correction
        The fixes.
    ring
        Width of the ring in pixels. It has background only: a neighbor that nobody touched may be wrong.

    Returns
    -------
    targets
        int32 ``(2, *image.label_shape)``: class values and object ids, as in training examples; the whole picture,
        so that distances near the border of what is learned are right. For areas the ids are ``UNKNOWN``.
    valid
        bool ``image.label_shape``: where they are learned from.
    """
    labels = correction.labels
    if correction.rest_is_right:
        return _targets(correction), np.ones(labels.shape, bool)
    valid = np.zeros(labels.shape, bool)
    for mask in (correction.painted, correction.accepted):
        if mask is not None:
            valid |= mask
    if correction.output == "objects" and correction.touched:
        valid |= _with_ring(labels, correction.touched, ring, correction.dims or 2)
    return _targets(correction), valid


def _targets(correction: Correction) -> NDArray[np.int32]:
    labels = correction.labels.astype(np.int32)
    if correction.output == "areas":
        return np.stack([labels, np.full_like(labels, UNKNOWN)])
    return np.stack([classes_of_objects(labels, correction.classes), labels])


def _with_ring(labels: NDArray[Any], ids: frozenset[int], ring: int, dims: int) -> Mask:
    """The objects, and the background at most `ring` pixels away from them in their own frame."""
    from scipy import ndimage

    core = np.isin(labels, sorted(ids))
    out = core.copy()
    for index in np.ndindex(labels.shape[:-dims]):
        if not core[index].any():
            continue
        parts, _ = ndimage.label(core[index])
        for box in ndimage.find_objects(parts):
            wide = tuple(slice(max(0, side.start - ring), side.stop + ring) for side in box)
            near = ndimage.distance_transform_edt(~core[index][wide]) <= ring
            out[index][wide] |= near & (labels[index][wide] == 0)
    return out
