"""A volume as a model knows it: its axes going the same ways in the patient, whatever way the file has them.

A scan may be stored slice by slice from the feet up, from left to right or from the front back. A network that was
taught one of these does not know the others, so pixels are turned before it sees them, and its answers turned back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.imaging.geometry import Geometry, in_words
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.imaging.lazy import reversed_along
from napari_unetstyle.core.models.spec import ModelSpec
from napari_unetstyle.core.segmentation.flips import Box

T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True)
class Turn:
    """How a picture's spatial axes are put in another order, and then some of them reversed; by default not at all.

    Attributes
    ----------
    order
        For each axis of the turned picture which of the picture's own it is.
    is_mirrored
        Whether it runs the other way.
    """

    order: tuple[int, ...] = ()
    is_mirrored: tuple[bool, ...] = ()

    @classmethod
    def of(cls, image: Image, orientation: str | None) -> Turn:
        """What brings a volume that lies in a patient into an orientation, as of a model."""
        if orientation is None or not image.geometry.orientation:
            return cls()
        order, is_mirrored = image.geometry.turns_onto(Geometry.facing(orientation))
        return cls() if order == (0, 1, 2) and not any(is_mirrored) else cls(order, is_mirrored)

    def image(self, image: Image) -> Image:
        """The picture turned; nothing of it is read."""
        if not self.order:
            return image
        names = {"ZYX"[own]: "ZYX"[new] for new, own in enumerate(self.order)}
        axes = "".join(names.get(axis, axis) for axis in image.axes)
        back = [axes.index("ZYX"[new]) for new, is_back in enumerate(self.is_mirrored) if is_back]
        return replace(
            image,
            array=reversed_along(image.array, back),
            axes=axes,
            geometry=image.geometry.turned(image.label_shape[-3:], self.order, self.is_mirrored),
        )

    def seen(self, array: NDArray[T]) -> NDArray[T]:
        """An array ``(..., Z, Y, X)`` on the picture's grid as one on that of the turned picture; shares the memory."""
        if not self.order:
            return array
        leading = array.ndim - 3
        turned = array.transpose(*range(leading), *(leading + own for own in self.order))
        back = tuple(leading + new for new, is_back in enumerate(self.is_mirrored) if is_back)
        flipped: NDArray[T] = np.flip(turned, back)
        return flipped

    def box(self, box: Box, shape: tuple[int, ...]) -> Box:
        """Where a box of a picture of this `shape` lies in the turned one."""
        if not self.order:
            return box
        ends = [(box[own], shape[own]) for own in self.order]
        return tuple(
            slice(n - side.stop, n - side.start) if is_back else side
            for (side, n), is_back in zip(ends, self.is_mirrored, strict=True)
        )


def orientation_notes(image: Image, spec: ModelSpec) -> list[str]:
    """That nobody knows whether a volume lies as the model needs it."""
    if spec.input.orientation is None or image.geometry.is_anatomical:
        return []
    return [
        f"How the volume lies in the patient is not known. It was taken as {spec.name!r} was taught, "
        f"{in_words(spec.input.orientation)}; if it is stored another way, the labels are wrong."
    ]
