"""Corrections that contradict what the model was sure of: either the most valuable ones, or slips of the hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.annotation.corrections import Correction, Mask
from napari_unetstyle.core.models.store import Model
from napari_unetstyle.core.progress import Steps, share
from napari_unetstyle.core.segmentation.fitting import iter_fit
from napari_unetstyle.core.segmentation.options import SegmentOptions
from napari_unetstyle.core.training.lessons import Said, sayings

Box = tuple[slice, ...]
SURE = 0.95
LEAST = {2: 16, 3: 32}
"""Pixels of the smallest place, by dimensions: fewer lie along any outline that was drawn by hand."""


@dataclass(frozen=True, kw_only=True)
class Contradiction:
    """A place where a person says something else than what the model was sure of.

    Attributes
    ----------
    picture
        Index of its correction.
    frame
        Along the leading label axes of the picture.
    box
        In pixels of the frame.
    size
        Pixels of the place.
    said
        Class value that the person gave it; 0 is background.
    sure_of
        Class value that the model gave a probability above 0.95.
    """

    picture: int
    frame: tuple[int, ...]
    box: Box
    size: int
    said: int
    sure_of: int


def contradictions(
    classes: NDArray[np.int32],
    valid: Mask,
    probability_bytes: NDArray[np.uint8],
    *,
    picture: int = 0,
    frame: tuple[int, ...] = (),
    offset: tuple[int, ...] | None = None,
) -> list[Contradiction]:
    """Connected places where what was said contradicts what the model was sure of, the largest first.

    Parameters
    ----------
    classes
        int32 ``(*spatial,)``: class values that a person gave; negative where nobody knows.
    valid
        bool of the same shape: where they are said at all.
    probability_bytes
        uint8 ``(1 + classes, *spatial)``, ``round(255 p)``, background first; without the seed map.
    picture, frame
        Put into the result.
    offset
        Pixel of the frame that the arrays begin at; the first if not given.

    Returns
    -------
    list of Contradiction
        Places of one said and one sure class, connected by faces, of at least 16 pixels in 2D and 32 in 3D.
    """
    from scipy import ndimage
    from skimage.measure import label

    sure_of = probability_bytes.argmax(0)
    is_sure = np.take_along_axis(probability_bytes, sure_of[np.newaxis], 0)[0] > SURE * 255
    opposed = valid & is_sure & (classes >= 0) & (classes != sure_of)
    kinds = np.where(opposed, 1 + sure_of + len(probability_bytes) * classes, 0)
    places = label(kinds, connectivity=1)  # type: ignore[no-untyped-call]
    sizes = np.bincount(places.ravel())
    start = offset or (0,) * classes.ndim
    found = []
    for number, box in enumerate(ndimage.find_objects(places), 1):
        if sizes[number] < LEAST[classes.ndim]:
            continue
        said, sure = divmod(int(kinds[box][places[box] == number][0]) - 1, len(probability_bytes))
        moved = tuple(slice(side.start + at, side.stop + at) for side, at in zip(box, start, strict=True))
        size = int(sizes[number])
        found.append(Contradiction(picture=picture, frame=frame, box=moved, size=size, said=said, sure_of=sure))
    return sorted(found, key=lambda one: -one.size)


def iter_contradictions(
    corrections: Sequence[Correction], model: Model, options: SegmentOptions | None = None
) -> Steps[list[Contradiction]]:
    """What corrections say against a model, over all pictures, the largest place first; only what is said is segmented.

    Parameters
    ----------
    corrections
        What a person said about each picture.
    model
        That is to be taught.
    options
        How the pictures are segmented.
    """
    numbers = {id(correction): i for i, correction in enumerate(corrections)}
    said = sayings(corrections, model.spec)
    found: list[Contradiction] = []
    for i, one in enumerate(said):
        steps = _iter_of(one, numbers[id(one.correction)], model, options or SegmentOptions())
        found += yield from share(steps, i / len(said), (i + 1) / len(said))
    return sorted(found, key=lambda one: -one.size)


def _iter_of(one: Said, picture: int, model: Model, options: SegmentOptions) -> Steps[list[Contradiction]]:
    fitted = yield from share(iter_fit(one.correction.image, model, options), 0.0, 0.5)
    box = _box(one.valid)
    values = np.empty((fitted.channels, *(side.stop - side.start for side in box)), np.uint8)
    yield from share(fitted.iter_bytes(one.index, box, values), 0.5, 1.0)
    key: Any = (0, *box)
    return contradictions(
        one.targets[key],
        one.valid[box],
        values[: 1 + len(model.spec.classes)],
        picture=picture,
        frame=one.index,
        offset=tuple(side.start for side in box),
    )


def _box(valid: Mask) -> Box:
    from scipy import ndimage

    (box,) = ndimage.find_objects(valid.astype(np.uint8))
    return tuple(box)
