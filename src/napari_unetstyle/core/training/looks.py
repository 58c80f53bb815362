"""Held-out places in the looks that a model shall also read: it is measured there, too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_unetstyle.core.annotation.known import UNKNOWN, as_given
from napari_unetstyle.core.errors import ImageError
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.imaging.stains import in_stain
from napari_unetstyle.core.progress import Progress, Steps
from napari_unetstyle.core.segmentation.options import SegmentOptions
from napari_unetstyle.core.segmentation.restyle import in_style
from napari_unetstyle.core.style.content_check import check_content
from napari_unetstyle.core.style.reference import Reference
from napari_unetstyle.core.training.lessons import Said
from napari_unetstyle.core.training.places import Place

_MOST = 3  # styles that are looked at, so that measuring takes little of the time


@dataclass(frozen=True, eq=False)
class Look:
    """A picture in one style.

    Attributes
    ----------
    said
        Index of the picture in the list that was split.
    image
        The picture in the style; its pixels are changed as they are read.
    places
        Of the held-out places in it, those whose labels still fit.
    """

    said: int
    image: Image
    places: tuple[Place, ...]


def iter_looks(
    said: Sequence[Said], places: Sequence[Place], styles: Sequence[Reference], options: SegmentOptions
) -> Steps[tuple[Look, ...]]:
    """Up to three of the styles, evenly taken, on every picture that has held-out places."""
    pictures = sorted({place.said for place in places})
    count = min(_MOST, len(styles))
    chosen = [styles[i * len(styles) // count] for i in range(count)]
    found = []
    for number, index in enumerate(pictures, 1):
        here = [place for place in places if place.said == index]
        own = in_stain(said[index].correction.image, options.channel)
        for style in chosen:
            try:
                image = in_style(own, options, style)[0]
            except ImageError:  # of several channels that are no colors; it is taught in them one by one
                continue
            kept = tuple(place for place in here if _fits(said[index], own, image, place))
            if kept:
                found.append(Look(index, image, kept))
        yield Progress(number, len(pictures), "Looking at your pictures in the other looks")
    return tuple(found)


def _fits(said: Said, own: Image, image: Image, place: Place) -> bool:
    """Whether the labels of a place still describe it."""
    dims = said.valid.ndim
    before, after = (i.frame(said.index, dims).read(*place.box) for i in (own, image))
    classes, objects = said.targets[(slice(None), *place.box)]
    labels = objects if (objects > 0).any() else as_given(classes)
    return check_content(before, after, np.where(said.valid[place.box], labels, UNKNOWN)).holds
