"""A picture as another scanner, stain or microscope would have made it; nothing moves, so its labels stay true."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.errors import ImageError, OptionError
from napari_unetstyle.core.imaging.channels import only_channel
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.progress import Progress, Steps, run, share
from napari_unetstyle.core.style.change import (
    ANY,
    TEXTURED,
    TRAINED,
    StyleOptions,
    change_of,
    is_to_gray,
    is_to_invert,
    notes_of,
)
from napari_unetstyle.core.style.distance import Held
from napari_unetstyle.core.style.fast import FastStyle
from napari_unetstyle.core.style.gatys import Gatys, GatysOptions
from napari_unetstyle.core.style.given import look_of, of_channel, opened, reference_of, shown_of, trained_style
from napari_unetstyle.core.style.photometric import BY_CHANNEL, Change
from napari_unetstyle.core.style.pixels import Pixels, channels_first, scale_of, to_unit
from napari_unetstyle.core.style.reference import Reference, joined

_STRIP = 2**22  # pixels that are changed at once
_COLORS = 3
_SIDE = 128  # pixels of the parts that a volume's statistics are taken from
_SPLIT = "; in napari, split the layer by its channels"


@dataclass(frozen=True, kw_only=True, eq=False)
class Styled:
    """A picture in another style.

    Attributes
    ----------
    image
        Of the size, place and type of the picture it was made of; a gray picture that took the style of a colored one
        has a last axis ``C``.
    options
        What it was made with.
    is_inverted
        Whether bright and dark were exchanged.
    notes
        Sentences a person should see.
    """

    image: Image
    options: StyleOptions
    is_inverted: bool
    notes: tuple[str, ...]


def stylize(
    image: Any,
    style: Any,
    method: str = "automatic",
    *,
    strength: float = 1.0,
    align: bool = True,
    neural: GatysOptions | None = None,
    channel: int | str | None = None,
    axes: str | None = None,
    level: int = 0,
    on_progress: Callable[[Progress], None] | None = None,
) -> Styled:
    """Make a picture look like another.

    Parameters
    ----------
    image
        numpy, dask or zarr array, :class:`~napari_unetstyle.core.Image`, or the path of a picture file.
    style
        The same, or a :class:`Reference`, or a style of the :class:`StyleBank`, by its name or the file that it was
        exported to; or a list of these, which are mixed; all bright on dark, or all dark on bright.
    method, strength, align, neural, channel
        See :class:`StyleOptions`.
    axes
        Of an array given as `image`, one letter an axis; needed unless it is 2D or ends in 3 or 4 colors.
    level
        Which level of `image`, where its file has several; 0 is the finest.
    on_progress
        Called after each strip.

    Returns
    -------
    Styled
        With a picture whose labels are those of `image`.

    Raises
    ------
    UnetstyleError
        In words, if picture, style or an option is not usable.
    """
    options = StyleOptions(
        method=method, strength=strength, align=align, neural=neural or GatysOptions(), channel=channel
    )
    styles = list(style) if isinstance(style, (list, tuple)) else [style]
    return run(iter_stylize(opened(image, axes, level), styles, options), on_progress)


def iter_stylize(image: Image, styles: Sequence[Any], options: StyleOptions | None = None) -> Steps[Styled]:
    """Like :func:`stylize`, as a job: yields progress after each strip and returns the result."""
    options = options or StyleOptions()
    if (channel := options.channel) is not None:
        styles = [of_channel(style, channel, image.size("C")) for style in styles]
        image = only_channel(image, channel)
    styling = Styling.of(image, styles, options)
    if options.strength == 0:  # the picture itself: numbers in 0..1 and back would round it
        yield Progress(1, 1, "style")
        changed = dataclasses.replace(image, array=np.array(image.array[:]))
    else:
        changed = _like(image, (yield from _iter_changed(styling, styles)))
    return Styled(image=changed, options=styling.options, is_inverted=styling.is_inverted, notes=styling.notes)


def _iter_changed(styling: Styling, styles: Sequence[Any]) -> Steps[NDArray[Any]]:
    """The result, channels first."""
    result = np.empty(styling.shape, styling.pixels.dtype)
    if styling.options.method in TEXTURED:
        yield from _iter_textured(styling, styles, result)
        return result
    strips = _strips(styling.shape)
    for step, rows in enumerate(strips, 1):
        result[:, rows] = styling.part(rows)
        yield Progress(step, len(strips), "style")
    return result


@dataclass(frozen=True, kw_only=True, eq=False)
class Styling:
    """A picture about to take a style: what is known of the whole, so that each part is changed as the whole is.

    Attributes
    ----------
    pixels
        ``(C, *rest)``, as they are stored.
    channels
        That the result has.
    scale
        What becomes 0 and 1.
    wanted
        What it is to look like.
    change
        Of pixels in 0..1.
    options, is_inverted, notes
        As in :class:`Styled`.
    is_by_channel
        Whether a channel's new value follows from its old one alone.
    is_constant
        Whether the picture has the same value everywhere.
    """

    pixels: NDArray[Any]
    channels: int
    scale: tuple[float, float]
    wanted: Reference
    change: Change
    options: StyleOptions
    is_inverted: bool
    notes: tuple[str, ...]
    is_by_channel: bool
    is_constant: bool = False

    @classmethod
    def of(cls, image: Image, styles: Sequence[Any], options: StyleOptions) -> Styling:
        """Look at the picture and at the styles.

        Raises
        ------
        UnetstyleError
            In words, if picture or style is not usable.
        """
        if not styles:
            raise OptionError("Give at least one style: a picture to look like.")
        if options.method in TRAINED:
            for style in styles:
                trained_style(style)
        wanted = joined([reference_of(style) for style in styles])
        pixels = channels_first(image)
        if pixels.dtype == bool and options.strength > 0:
            raise ImageError(
                "The picture has only yes and no in it, which look like nothing. Give one with intensities."
            )
        if not np.isfinite(pixels).any():
            raise ImageError("The picture has no finite pixel (all are NaN or Inf). Check how it was made or exported.")
        channels = _common_channels(len(pixels), wanted.channels)
        if options.method in TEXTURED and channels not in (1, _COLORS):
            raise ImageError(
                f"The picture has {channels} channels, and texture is made in 1 (gray) or 3 (color). Choose one "
                f"channel (option 'channel'{_SPLIT}), or the method automatic."
            )
        content = Reference.of(_with_channels(pixels, channels))
        return cls.known(pixels, content, wanted, options, scale_of(pixels))

    @classmethod
    def known(
        cls,
        pixels: NDArray[Any],
        content: Reference,
        wanted: Reference,
        options: StyleOptions,
        scale: tuple[float, float],
    ) -> Styling:
        """Of a picture ``(C, *rest)`` that was looked at: `content` is what it looks like, with the result's channels.

        `scale` is what becomes 0 and 1.
        """
        return cls(
            pixels=pixels,
            channels=content.channels,
            scale=scale,
            wanted=wanted,
            change=change_of(content, wanted, options),
            options=options,
            is_inverted=is_to_invert(content, wanted, options),
            notes=notes_of(content, wanted, options),
            is_constant=content.is_constant,
            is_by_channel=options.method in BY_CHANNEL and not is_to_gray(content, wanted),
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the result, channels first."""
        return (self.channels, *self.pixels.shape[1:])

    def part(self, *index: slice | int) -> NDArray[Any]:
        """The result ``(C, *rest)`` at an index along the axes behind the channels, in the picture's type."""
        pixels = _with_channels(self.pixels[:, *index], self.channels)
        if pixels.dtype == np.uint8 and self.is_by_channel:
            return np.stack([table[channel] for table, channel in zip(self._table, pixels, strict=True)])
        return self._changed(pixels)

    def at(self, *index: slice | int) -> NDArray[Any]:
        """The pixels ``(C, *rest)`` at such an index, as they are stored."""
        return self.pixels[:, *index]

    def started(self, *index: slice | int) -> tuple[Pixels, Pixels, Callable[[Pixels], Any]]:
        """The pixels ``(C, *rest)`` at such an index in 0..1, what texture starts from, and the way back."""
        unit, back = to_unit(_with_channels(self.pixels[:, *index], self.channels), self.scale)
        return unit, self.change(unit).clip(0, 1), back

    def _changed(self, pixels: NDArray[Any]) -> NDArray[Any]:
        unit, back = to_unit(pixels, self.scale)
        changed: NDArray[Any] = back(self.change(unit))
        return changed

    @cached_property
    def _table(self) -> NDArray[Any]:
        """What becomes of each of the 256 values, ``(C, 256)``."""
        return self._changed(np.tile(np.arange(256, dtype=np.uint8), (self.channels, 1)))


def _iter_textured(styling: Styling, styles: Sequence[Any], out: NDArray[Any]) -> Steps[None]:
    """Slice by slice with statistics of the whole, from what the photometric style makes of it."""
    options = styling.options
    texture = _texture_of(styling, styles)
    frames = list(np.ndindex(out.shape[1:-2]))
    if len(frames) > 1:
        texture = texture.measured(_parts(styling, frames))
    for number, index in enumerate(frames):
        unit, start, back = styling.started(*index)
        made = yield from share(texture.steps(start), number / len(frames), (number + 1) / len(frames))
        upright = 1 - unit if styling.is_inverted else unit
        out[:, *index] = back((1 - options.strength) * upright + options.strength * made)


def _parts(styling: Styling, frames: Sequence[tuple[int, ...]]) -> list[Pixels]:
    """Where statistics of a whole volume are taken from, as texture starts from it: ``(C, Y, X)``, of equal size."""
    from napari_unetstyle.core.inference.statistics import choose_regions

    regions = choose_regions([Held(styling.at(*index)) for index in frames], _SIDE)
    return [styling.started(*frames[region.frame], *region.slices)[1] for region in regions]


def _texture_of(styling: Styling, styles: Sequence[Any]) -> FastStyle | Gatys:
    """What makes a slice ``(C, Y, X)`` of its start."""
    method, neural = styling.options.method, styling.options.neural
    if method in TRAINED:
        return FastStyle.of([trained_style(style) for style in styles], neural.device)
    if method == ANY:
        return FastStyle.of_looks([shown_of(style) for style in styles], styling.wanted, neural.device)
    return Gatys.of([look_of(style) for style in styles], styling.channels, neural)


def _common_channels(got: int, wanted: int) -> int:
    if got == wanted or wanted == 1:
        return got
    if (got, wanted) == (1, _COLORS):
        return _COLORS
    raise ImageError(
        f"The picture has {got} channel{'' if got == 1 else 's'} and the style {wanted}. Allowed are as many as the "
        "style has, a gray style for any picture, or a gray picture for a style of 3 colors. Choose one channel of the "
        f"picture (option 'channel'{_SPLIT}), or save one of the style as a file of its own."
    )


def _with_channels(pixels: NDArray[Any], channels: int) -> NDArray[Any]:
    return pixels if len(pixels) == channels else np.repeat(pixels, channels, axis=0)


def _strips(shape: tuple[int, ...]) -> list[slice]:
    """Slices along the first axis behind the channels."""
    height = max(1, _STRIP // max(1, int(np.prod(shape[2:]))))
    return [slice(start, start + height) for start in range(0, shape[1], height)]


def _like(image: Image, pixels: NDArray[Any]) -> Image:
    """An image on the place of another, of pixels ``(C, *rest)``."""
    if "C" in image.axes:
        array, axes = np.moveaxis(pixels, 0, image.axes.index("C")), image.axes
    elif len(pixels) == 1:
        array, axes = pixels[0], image.axes
    else:
        array, axes = np.moveaxis(pixels, 0, -1), image.axes + "C"
    names = image.channel_names if len(image.channel_names) == len(pixels) else ()
    return dataclasses.replace(image, array=array, axes=axes, channel_names=names)
