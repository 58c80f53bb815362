"""Pictures and styles as a person gives them: by path, as an array, by a name in the bank, or as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_unetstyle.core.errors import OptionError
from napari_unetstyle.core.imaging.channels import only_channel
from napari_unetstyle.core.imaging.image import Image, as_image
from napari_unetstyle.core.style.any_style import with_texture
from napari_unetstyle.core.style.bank import StyleBank
from napari_unetstyle.core.style.change import ANY, NEURAL, TRAINED, StyleOptions
from napari_unetstyle.core.style.kept_style import NAME, NETWORK_SUFFIX, SUFFIX, KeptStyle, middle_of, read_style
from napari_unetstyle.core.style.pixels import Pixels, channels_first
from napari_unetstyle.core.style.reference import Reference


def picture_of(style: Any) -> Image:
    """A style as the picture that it is.

    Raises
    ------
    UnetstyleError
        In words, if it is kept as statistics, without a picture, or cannot be read.
    """
    if _known(style) is not None:
        raise OptionError(
            "A neural style needs a picture to look like, and this style holds statistics only. Give the picture, or "
            "choose the method automatic."
        )
    return opened(style)


def look_of(style: Any) -> Pixels:
    """A style's pixels ``(C, Y, X)`` in 0..1, of a stack or volume its middle slice; errors as :func:`picture_of`."""
    return middle_of(channels_first(picture_of(style)))


def shown_of(style: Any) -> Pixels | Reference:
    """What the bundled network is shown of a style: a picture, see :func:`look_of`, or what it saw when it was kept.

    Raises
    ------
    UnetstyleError
        In words, if it is kept without its texture, or cannot be read.
    """
    kept = kept_of(style)
    known = kept.textured if kept is not None else style if isinstance(style, Reference) else None
    if known is None:
        return look_of(style)
    if known.texture is None:
        called = f"The style {known.name!r}" if known.name else "This style"
        raise OptionError(
            f"{called} holds statistics only, without a texture that this version can make. Give the picture (or keep "
            "it once more, with `napari-unetstyle style-bank add`), or choose the method automatic."
        )
    return known


def style_for(style: Any, options: StyleOptions) -> Image | Reference | KeptStyle:
    """A style, opened once for many pictures; errors as those of the others here."""
    if options.method in TRAINED:
        return trained_style(style)
    if options.method == ANY and _known(style) is not None:
        shown_of(style)
        return kept_of(style) or reference_of(style)
    if options.method in NEURAL or (options.channel is not None and _known(style) is None):
        return picture_of(style)
    return reference_of(style)


def of_channel(style: Any, channel: int | str, count: int) -> Any:
    """The same channel of a style that is a picture of as many channels; any other style as it is."""
    if _known(style) is not None:
        return style
    picture = opened(style)
    return only_channel(picture, channel) if picture.size("C") == count else picture


def trained_style(style: Any) -> KeptStyle:
    """A style that has a network: by name, or as it is.

    Raises
    ------
    UnetstyleError
        In words, if there is none of that name, or it has no network.
    """
    kept = kept_of(style)
    if kept is None or kept.network is None:
        called = f"The style {kept.name!r}" if kept is not None else "A picture"
        raise OptionError(
            f"{called} has no network, which the method fast needs. Train one with `napari-unetstyle stylize "
            "--train-fast NAME PICTURES --style PICTURE` and give its name, or choose another method."
        )
    return kept


def reference_of(style: Any, *, texture: bool = False) -> Reference:
    """The style of a picture (path, array or :class:`Image`), or one that is known: by name, or as it is.

    With `texture` also how that looks, where it is a picture of one channel or three, or is kept with its texture.

    Raises
    ------
    UnetstyleError
        In words, if it cannot be read, or has one value everywhere.
    """
    kept = kept_of(style) if texture else None
    known = _known(style) if kept is None else kept.textured
    if known is not None:
        return _varied(known)
    picture = opened(style)
    reference = _varied(_looked_at(picture))
    if texture and reference.channels in (1, 3):
        return with_texture(reference, look_of(picture))
    return reference


def _varied(reference: Reference) -> Reference:
    if reference.is_constant:
        name = f" {reference.name!r}" if reference.name else ""
        raise OptionError(
            f"The style{name} has the same value everywhere, so there is nothing to look like. Choose a picture with "
            "something in it."
        )
    return reference


def _known(style: Any) -> Reference | None:
    """A style that needs no picture."""
    kept = kept_of(style)
    if kept is not None:
        return kept.reference
    return style if isinstance(style, Reference) else None


def kept_of(style: Any) -> KeptStyle | None:
    """Of a name, or of a file that was handed on; a name that is also a file means the file."""
    if isinstance(style, (str, Path)) and str(style).endswith((SUFFIX, NETWORK_SUFFIX)):
        return read_style(style)
    if isinstance(style, str) and NAME.fullmatch(style) and not Path(style).is_file():
        return StyleBank().load(style)
    return style if isinstance(style, KeptStyle) else None


def _looked_at(image: Image) -> Reference:
    return Reference.of(channels_first(image), image.name)


def opened(image: Any, axes: str | None = None, level: int = 0) -> Image:
    """A picture: as it is, or of a file (at a level, where it has several) or an array.

    Raises
    ------
    UnetstyleError
        If it cannot be read, has no such level, or its axes are not known.
    """
    if isinstance(image, (str, Path)):
        from napari_unetstyle.core.imaging.files import read_image

        return read_image(image, axes=axes, level=level)
    if level:
        raise OptionError(f"Option level={level} is for files that have several. Give the array of that level.")
    return image if isinstance(image, Image) else as_image(image, axes=axes)
