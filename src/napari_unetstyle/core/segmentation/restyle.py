"""The picture takes a look that the model knows, instead of the model learning the picture's."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.errors import ImageError, OptionError
from napari_unetstyle.core.imaging.channels import channel_index
from napari_unetstyle.core.imaging.image import ArrayLike, Image
from napari_unetstyle.core.imaging.stains import in_stain
from napari_unetstyle.core.models.model import Model
from napari_unetstyle.core.segmentation.options import SegmentOptions
from napari_unetstyle.core.style.change import StyleOptions, change_of, is_to_invert
from napari_unetstyle.core.style.given import reference_of
from napari_unetstyle.core.style.photometric import Change
from napari_unetstyle.core.style.pixels import scale_of, thinned, to_unit
from napari_unetstyle.core.style.reference import Reference

MODEL = "model"
_MOST = 2**21  # pixels that statistics are taken from
_COLORS = (3, 4)


def restyled(image: Image, model: Model, options: SegmentOptions) -> tuple[Image, str]:
    """The picture in the look that ``options.restyle`` asks for, and a sentence about it; nothing is computed yet.

    Statistics are the whole picture's, so any part of the result is what it would be in the whole.

    Raises
    ------
    OptionError
        If the model carries no pictures that tell what it knows, or the file is no style.
    ImageError
        If the picture has several channels that are no colors, and none is chosen.
    """
    wanted = _known(model) if options.restyle == MODEL else [reference_of(options.restyle)]
    changed, is_inverted = in_style(image, options, *wanted)
    inverted = "; bright and dark were exchanged" if is_inverted else ""
    said = "what the model knows" if options.restyle == MODEL else "the given style"
    return changed, f"The picture was restyled to look like {said}{inverted}."


def in_style(image: Image, options: SegmentOptions, *styles: Reference) -> tuple[Image, bool]:
    """The picture in that of some styles which is nearest to it, as it is read, and whether it was inverted.

    Raises
    ------
    ImageError
        If the picture has several channels that are no colors, and none is chosen.
    """
    image = in_stain(image, options.channel)
    channels = _chosen(image, options)
    samples = _channels_first(image, thinned_key(image))[channels]
    scale = scale_of(samples)
    content = Reference.of_unit(to_unit(samples, scale)[0])
    wanted = _nearest(content, styles)
    if wanted.channels not in (1, content.channels):
        wanted = wanted.gray()
    how = StyleOptions()
    array = StyledArray(image.array, image.axes, channels, scale, change_of(content, wanted, how))
    return dataclasses.replace(image, array=array), is_to_invert(content, wanted, how)


@dataclasses.dataclass(frozen=True, eq=False)
class StyledArray:
    """An array whose pixels are changed as they are read.

    Attributes
    ----------
    source, axes
        Of the picture.
    channels
        Which channels are changed, together; the others stay.
    scale
        What becomes 0 and 1.
    change
        Of pixels ``(C, *rest)`` in 0..1.
    """

    source: ArrayLike
    axes: str
    channels: slice
    scale: tuple[float, float]
    change: Change

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return tuple(self.source.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return np.dtype(self.source.dtype)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Pixels at an index of slices and whole numbers, one for each axis."""
        keys = key if isinstance(key, tuple) else (key,)
        if Ellipsis in keys or len(keys) < len(self.axes):
            keys = tuple(k for k in keys if k is not Ellipsis)
            keys = (*keys, *(slice(None),) * (len(self.axes) - len(keys)))
        piece = np.asarray(self.source[keys])
        kept = [axis for axis, k in zip(self.axes, keys, strict=True) if isinstance(k, slice)]
        if "C" in self.axes and "C" not in kept:
            raise ImageError("A restyled picture is read with all of its channels.")
        at = kept.index("C") if "C" in kept else None
        pixels = piece[np.newaxis] if at is None else np.moveaxis(piece, at, 0)
        unit, back = to_unit(pixels[self.channels], self.scale)
        made = pixels.copy()
        made[self.channels] = back(self.change(unit))
        return made[0] if at is None else np.moveaxis(made, 0, at)


def thinned_key(image: Image) -> tuple[slice, ...]:
    """An even grid of about two million pixels of the whole picture, all channels."""
    pixels = int(np.prod([image.size(a) for a in image.axes if a != "C"], dtype=float))
    step = max(1, int(np.ceil((pixels / _MOST) ** (1 / (len(image.axes) - ("C" in image.axes))))))
    return tuple(slice(None) if axis == "C" else slice(None, None, step) for axis in image.axes)


def _channels_first(image: Image, key: tuple[slice, ...]) -> NDArray[Any]:
    piece = np.asarray(image.array[key])
    return np.moveaxis(piece, image.axes.index("C"), 0) if "C" in image.axes else piece[np.newaxis]


def _chosen(image: Image, options: SegmentOptions) -> slice:
    count, channel = image.size("C"), channel_index(image, options.channel)
    if channel is not None:
        return slice(channel, channel + 1)
    if count == 1 or count in _COLORS:
        return slice(0, min(count, 3))  # opacity is no color
    raise ImageError(
        f"The picture has {count} channels, and only gray or color ones can be restyled as a whole. Choose one channel."
    )


def _known(model: Model) -> list[Reference]:
    """Looks of the pictures that the model carries of its training."""
    found = [Reference.of(thinned(np.asarray(m.pixels), _MOST)) for m in model.memory if m.role == "learn"]
    looks = [look for look in found if not look.is_constant]
    if not looks:
        raise OptionError(
            f"Model {model.spec.name!r} carries no pictures that tell what it knows. Give the file of a picture that "
            "it reads well as restyle."
        )
    return looks


def _nearest(content: Reference, known: Sequence[Reference]) -> Reference:
    """The look whose distribution of intensities is most alike, apart from gain, offset and polarity."""
    own = _shape(content)
    return min(known, key=lambda look: min(_apart(own, _shape(look)), _apart(own, -_shape(look)[::-1])))


def _shape(look: Reference) -> NDArray[np.float64]:
    quantiles = look.gray().quantiles[0].astype(np.float64)
    return np.asarray((quantiles - quantiles.mean()) / max(float(quantiles.std()), 1e-6))


def _apart(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    return float(np.abs(one - other).mean())
