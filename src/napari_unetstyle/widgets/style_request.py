"""What *Apply* would do to the part of a picture that is on screen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from napari_unetstyle.core.style.change import StyleOptions
from napari_unetstyle.widgets.label_layers import is_helper
from napari_unetstyle.widgets.layers import stored
from napari_unetstyle.widgets.scope import current_frame, visible_box
from napari_unetstyle.widgets.statements import picture_of
from napari_unetstyle.widgets.style_layers import Style, given_to_core
from napari_unetstyle.widgets.style_method import GATYS
from napari_unetstyle.widgets.style_preview import IN_ONE_PASS, MADE, SIDE, Labeled, StyleRequest

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

    from napari_unetstyle.core.imaging.image import Image

LONGEST = 512  # pixels of a picture that a preview is made of along a side; it is shown smaller
IN_THE_MIDDLE = "In the middle of what is on screen: "
STARTS = "what it starts from"
WITH_APPLY = "The texture comes with APPLY, and is seen getting there; whether labels still fit is said at the end."
ALONE = "Shown is the middle of what is on screen; in the whole picture its texture comes out a little differently."


def request_of(
    viewer: napari.viewer.Viewer, layer: napari.layers.Image, styles: Sequence[Style], options: StyleOptions
) -> StyleRequest:
    """The part of a layer's picture that is on screen, with what lies on it.

    Raises
    ------
    UnetstyleError
        If the picture, or one of the styles, is not usable.
    """
    image = picture_of(layer)
    sides, frame = visible_box(layer, image, viewer), current_frame(layer, image, viewer)
    method = options.method
    spans = [stop - start for start, stop in sides]
    judged_at = _index(image, frame, [_middle(*side) for side in sides])
    step = max(1, math.ceil(max(spans) / LONGEST))
    at = judged_at if method in IN_ONE_PASS else _index(image, frame, sides, step)  # texture has a size
    lying = lying_on(viewer, image)
    labels = None if lying is None else stored(lying)
    judged = None if labels is None or method == GATYS else Labeled(at=judged_at, labels=np.asarray(labels[judged_at]))
    return StyleRequest(
        image=image,
        styles=tuple(map(given_to_core, styles)),
        options=options,
        at=at,
        labels=None if labels is None else np.asarray(labels[at]),
        judged=judged if judged is not None and judged.labels.any() else None,
        where=IN_THE_MIDDLE if max(spans) > SIDE else "",
        caption=STARTS if method == GATYS else MADE,
        note=_note(method, image),
    )


def lying_on(viewer: napari.viewer.Viewer, image: Image) -> napari.layers.Labels | None:
    """The first visible labels on the picture's grid."""
    grid = tuple(image.size(axis) for axis in image.axes if axis != "C")
    shown = (one for one in viewer.layers[::-1] if type(one).__name__ == "Labels" and one.visible)
    return next((one for one in shown if not is_helper(one) and tuple(stored(one).shape) == grid), None)


def _note(method: str, image: Image) -> str:
    """What is to be known of a preview."""
    if method == GATYS:
        return WITH_APPLY
    return ALONE if method in IN_ONE_PASS and image.size("Y") * image.size("X") > SIDE * SIDE else ""


def _middle(start: int, stop: int) -> tuple[int, int]:
    """Of a side of the part in sight, what is judged."""
    first = start + max(0, (stop - start - SIDE) // 2)
    return first, min(stop, first + SIDE)


def _index(
    image: Image, frame: Sequence[int], sides: Sequence[tuple[int, int]], step: int = 1
) -> tuple[int | slice, ...]:
    """Of a part of a slice, along the axes behind the channels in the picture's own order."""
    where: dict[str, int | slice] = dict(zip(image.label_axes[:-2], frame, strict=True))
    where |= {axis: slice(*side, step) for axis, side in zip("YX", sides, strict=True)}
    return tuple(where[axis] for axis in image.axes if axis != "C")
