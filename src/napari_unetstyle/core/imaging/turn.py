"""A grid whose axes are put in another order and some of them reversed, so that they go where those of another do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.imaging.lazy import reversed_along

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
        return cls.onto(image.geometry, Geometry.facing(orientation))

    @classmethod
    def onto(cls, own: Geometry, other: Geometry) -> Turn:
        """What brings the axes of a place to go where those of another one do, as nearly as can be."""
        order, is_mirrored = own.turns_onto(other)
        return cls() if order == tuple(range(len(order))) and not any(is_mirrored) else cls(order, is_mirrored)

    def image(self, image: Image) -> Image:
        """The picture turned; nothing of it is read."""
        if not self.order:
            return image
        spatial = image.geometry.axes
        names = {spatial[own]: spatial[new] for new, own in enumerate(self.order)}
        axes = "".join(names.get(axis, axis) for axis in image.axes)
        back = [axes.index(spatial[new]) for new, is_back in enumerate(self.is_mirrored) if is_back]
        return replace(
            image,
            array=reversed_along(image.array, back),
            axes=axes,
            geometry=self.place(image.geometry, image.label_shape[-len(self.order) :]),
        )

    def place(self, own: Geometry, shape: tuple[int, ...]) -> Geometry:
        """Where the turned pixels lie, of a picture of this spatial `shape` that lies at `own`."""
        return own.turned(shape, self.order, self.is_mirrored) if self.order else own

    def seen(self, array: NDArray[T]) -> NDArray[T]:
        """An array ``(..., (Z)YX)`` on the picture's grid as one on that of the turned picture; shares the memory."""
        if not self.order:
            return array
        leading = array.ndim - len(self.order)
        turned = array.transpose(*range(leading), *(leading + own for own in self.order))
        back = tuple(leading + new for new, is_back in enumerate(self.is_mirrored) if is_back)
        flipped: NDArray[T] = np.flip(turned, back)
        return flipped

    def box(self, box: tuple[slice, ...], shape: tuple[int, ...]) -> tuple[slice, ...]:
        """Where a box of a picture of this `shape` lies in the turned one."""
        if not self.order:
            return box
        ends = [(box[own], shape[own]) for own in self.order]
        return tuple(
            slice(n - side.stop, n - side.start) if is_back else side
            for (side, n), is_back in zip(ends, self.is_mirrored, strict=True)
        )
