"""Corrections that contradict what the model was sure of: either the most valuable ones, or slips of the hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.annotation.corrections import Correction, Mask
from napari_unetstyle.core.annotation.known import UNKNOWN, as_given, is_known
from napari_unetstyle.core.models.model import Model
from napari_unetstyle.core.progress import Progress, Steps, share
from napari_unetstyle.core.segmentation.fitting import iter_fit
from napari_unetstyle.core.segmentation.options import SegmentOptions
from napari_unetstyle.core.training.added_classes import with_classes
from napari_unetstyle.core.training.lessons import Said, extent, sayings

Box = tuple[slice, ...]
SURE, MOST = 0.98, 0.5
"""Probability above which a model is sure, and the share of a place above which it is sure of the place.

A place counts as a whole: somewhere inside nearly every object that a person has to fix the model is sure. In 50
pictures of nuclei of five kinds, 3 % of the places where truth and result differ contradict by this rule (median of the
kinds), 198 of 200 brush strokes on empty background do, and 79 % of good objects that are deleted. Were 16 pixels at
0.95 enough, it would be 23 % of what is only to be fixed.
"""
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
        Class value that the model gave a probability above 0.98 in most of the place.
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
        int32 ``(*spatial,)``: class values that a person gave, as in targets
        (:mod:`~napari_unetstyle.core.annotation.known`). A class that the model does not know contradicts no
        background.
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
        Places of one said class and one that the model found, connected by faces, of at least 16 pixels in 2D and 32
        in 3D, in more than half of which the model was sure.
    """
    from scipy import ndimage
    from skimage.measure import label

    found_class = probability_bytes.argmax(0)
    is_sure = np.take_along_axis(probability_bytes, found_class[np.newaxis], 0)[0] > SURE * 255
    given = as_given(classes)
    opposed = valid & (given != UNKNOWN) & (given != found_class) & is_known(classes, found_class)
    opposed &= (found_class > 0) | (given < len(probability_bytes))
    kinds = np.where(opposed, 1 + found_class + len(probability_bytes) * given, 0)
    places = label(kinds, connectivity=1)  # type: ignore[no-untyped-call]
    sizes = np.bincount(places.ravel())
    sure = np.bincount(places.ravel(), weights=is_sure.ravel())
    start = offset or (0,) * classes.ndim
    found = []
    for number, box in enumerate(ndimage.find_objects(places), 1):
        if sizes[number] < LEAST[classes.ndim] or sure[number] <= MOST * sizes[number]:
            continue
        said, sure_of = divmod(int(kinds[box][places[box] == number][0]) - 1, len(probability_bytes))
        moved = tuple(slice(side.start + at, side.stop + at) for side, at in zip(box, start, strict=True))
        size = int(sizes[number])
        found.append(Contradiction(picture=picture, frame=frame, box=moved, size=size, said=said, sure_of=sure_of))
    return sorted(found, key=lambda one: -one.size)


def iter_contradictions(
    corrections: Sequence[Correction],
    model: Model,
    options: SegmentOptions | None = None,
    known: Sequence[NDArray[np.uint8] | None] = (),
    added: Sequence[str] = (),
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
    known
        For each correction, where a run of this model left them, its probability bytes
        ``(channels, *image.label_shape)``: these pictures are not segmented.
    added
        Names of classes that it is to be taught besides those it knows.
    """
    numbers = {id(correction): i for i, correction in enumerate(corrections)}
    given = dict(enumerate(known))
    said = sayings(corrections, with_classes(model.spec, added))
    found: list[Contradiction] = []
    for i, one in enumerate(said):
        number = numbers[id(one.correction)]
        steps = _iter_of(one, number, model, options or SegmentOptions(), given.get(number))
        found += yield from share(steps, i / len(said), (i + 1) / len(said))
    return sorted(found, key=lambda one: -one.size)


def _iter_of(
    one: Said, picture: int, model: Model, options: SegmentOptions, known: NDArray[np.uint8] | None
) -> Steps[list[Contradiction]]:
    box = extent(one.valid)
    classes: Any = (0, *box)
    if known is None:
        fitted = yield from share(iter_fit(one.correction.image, model, options), 0.0, 0.5)
        values = np.empty((fitted.channels, *(side.stop - side.start for side in box)), np.uint8)
        yield from share(fitted.iter_bytes(one.index, box, values), 0.5, 1.0)
    else:
        yield Progress(0, 1)
        every: Any = (slice(None), *one.index, *box)
        values = known[every]
    return contradictions(
        one.targets[classes],
        one.valid[box],
        values[: 1 + len(model.spec.classes)],
        picture=picture,
        frame=one.index,
        offset=tuple(side.start for side in box),
    )
