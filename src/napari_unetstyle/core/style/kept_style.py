"""A style with a name: one file of numbers, which can be handed on without a picture in it."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, InstanceOf, ValidationError, field_validator, model_validator

from napari_unetstyle.core.errors import OptionError, StyleFileError
from napari_unetstyle.core.files import atomic_write
from napari_unetstyle.core.models.spec import has_controls
from napari_unetstyle.core.style.any_style import seen, seen_by
from napari_unetstyle.core.style.network import LARGEST, StyleNetwork, is_packed, packed, unpacked
from napari_unetstyle.core.style.perceptual import is_gray
from napari_unetstyle.core.style.pixels import Pixels, channels_first, to_unit
from napari_unetstyle.core.style.reference import LEVELS, Reference, joined
from napari_unetstyle.core.style.span import Span
from napari_unetstyle.core.style.stains import tells_two

if TYPE_CHECKING:
    from napari_unetstyle.core.imaging.image import Image

SUFFIX = ".style.json"
NETWORK_SUFFIX = ".style.safetensors"
"""Of styles with a network that was trained for them."""
SIDE = 64
"""Of a thumbnail, in pixels."""
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_LARGEST = 2**20  # bytes of a style's JSON
_MOST_CHANNELS = 16
_BYTES = 3 * SIDE**2
_COLORS = 3
_FAR = 1e4  # which no mean or logarithm of a deviation reaches


class Texture(BaseModel):
    """How a style looks to a network of any style.

    Attributes
    ----------
    network
        The first 16 digits of the SHA-256 of that network's file; another network would take the numbers for others.
    look
        See :meth:`AnyStyleNet.look`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    look: Annotated[tuple[Annotated[float, Field(ge=-_FAR, le=_FAR, strict=True)], ...], Field(max_length=4096)]

    @classmethod
    def of(cls, looks: Sequence[NDArray[Any]], wanted: Reference) -> Texture:
        """Of pixels ``(C, *spatial)``, whose mean style is `wanted`, of one channel or three."""
        shown = [middle_of(look) for look in looks]
        span = Span.of(wanted, 1 if wanted.channels == 1 or all(map(is_gray, shown)) else 3)
        return cls(network=seen_by()[0], look=tuple(seen(shown, span).tolist()))

    @property
    def is_known(self) -> bool:
        """Whether it is the bundled network that saw this."""
        return self.network == seen_by()[0]

    @model_validator(mode="after")
    def _is_whole(self) -> Texture:
        if self.is_known and len(self.look) != seen_by()[1]:
            raise ValueError(f"a texture of {len(self.look)} numbers, expected {seen_by()[1]}")
        return self


class KeptStyle(BaseModel):
    """A style with a name.

    Attributes
    ----------
    name
        Small letters, digits, ``-`` and ``_``.
    about, license
        What it is the style of, and what others may do with it; as a person typed them.
    statistics
        See :meth:`Reference.stated`.
    thumbnail
        64 x 64 red, green, blue bytes, base64: the middle of the picture, where somebody wants it kept.
    texture
        How it looks to the bundled network, for the method ``"any"``; None: not known.
    network
        Trained for this style, for the method ``"fast"``; None: there is none. Never part of the JSON.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    name: str
    about: Annotated[str, Field(max_length=1000)] = ""
    license: Annotated[str, Field(max_length=1000)] = ""
    statistics: dict[str, Any]
    thumbnail: str | None = None
    texture: Texture | None = None
    network: InstanceOf[StyleNetwork] | None = Field(default=None, exclude=True)

    @classmethod
    def of(
        cls,
        name: str,
        pictures: Sequence[Image],
        *,
        about: str = "",
        license_note: str = "",
        thumbnail: bool = True,
        texture: bool = True,
    ) -> KeptStyle:
        """The style of one picture, or the mean of several; the thumbnail is of the first.

        Pictures of other than one channel or three have no texture.

        Raises
        ------
        OptionError
            If the name is not allowed, or the pictures cannot be styles together.
        """
        if not NAME.fullmatch(name):
            raise OptionError(f"A style cannot be called {name!r}: use up to 64 small letters, digits, '-' and '_'.")
        if has_controls(about + license_note, lines=True):
            raise OptionError("What a style is of and its license are plain text, without control characters.")
        if not pictures:
            raise OptionError("Give at least one picture whose style is to be kept.")
        looks = [channels_first(picture) for picture in pictures]
        mean = joined([Reference.of(look) for look in looks])
        if mean.is_constant:
            raise OptionError("The picture has the same value everywhere, so there is no style to keep.")
        small = base64.b64encode(_thumbnail(looks[0]).tobytes()).decode() if thumbnail else None
        stated = {**mean.stated(), "name": name}
        seen = Texture.of(looks, mean) if texture and mean.channels in (1, _COLORS) else None
        return cls(name=name, about=about, license=license_note, statistics=stated, thumbnail=small, texture=seen)

    @property
    def reference(self) -> Reference:
        """The style itself, without its texture."""
        return Reference.of_stated({**self.statistics, "name": self.name})

    @property
    def textured(self) -> Reference:
        """The style with its texture, if the bundled network can make it; gray where it has no color."""
        style = self.reference
        if self.texture is None or not self.texture.is_known:
            return style
        style = style.gray() if style.is_gray else style
        return Reference.of_stated({**style.stated(), "texture": self.texture.look})

    @property
    def picture(self) -> NDArray[np.uint8] | None:
        """The thumbnail ``(64, 64, 3)``; None without one."""
        if self.thumbnail is None:
            return None
        return np.frombuffer(base64.b64decode(self.thumbnail), np.uint8).reshape(SIDE, SIDE, 3)

    @property
    def file_name(self) -> str:
        """What its file is called in a bank."""
        return f"{self.name}{SUFFIX if self.network is None else NETWORK_SUFFIX}"

    @field_validator("name")
    @classmethod
    def _is_name(cls, name: str) -> str:
        if not NAME.fullmatch(name):
            raise ValueError("use up to 64 small letters, digits, '-' and '_'")
        return name

    @field_validator("about", "license")
    @classmethod
    def _is_plain(cls, text: str) -> str:
        if has_controls(text, lines=True):
            raise ValueError("a text has control characters in it")
        return text

    @field_validator("statistics")
    @classmethod
    def _is_style(cls, stated: dict[str, Any]) -> dict[str, Any]:
        try:
            _check_numbers(Reference.of_stated(stated))
        except (TypeError, KeyError, OverflowError) as error:  # something else in the place of a number
            raise ValueError(f"no style: {error}") from error
        return stated

    @field_validator("thumbnail")
    @classmethod
    def _is_thumbnail(cls, text: str | None) -> str | None:
        if text is not None and len(base64.b64decode(text, validate=True)) != _BYTES:
            raise ValueError(f"a thumbnail has {_BYTES} bytes")
        return text


def _check_numbers(style: Reference) -> None:
    """Raise ValueError if they cannot be those of a picture."""
    count = style.quantiles.shape[:1]
    fits = style.quantiles.shape == (*count, LEVELS) and style.mean.shape == style.std.shape == count
    if not fits or not 1 <= count[0] <= _MOST_CHANNELS:
        raise ValueError(f"{style.quantiles.shape} quantiles, {style.mean.shape} means, {style.std.shape} spreads")
    if not isinstance(style.polarity, (int, float)):
        raise ValueError(f"a polarity of {style.polarity!r}")
    numbers = np.concatenate([style.quantiles.ravel(), style.mean, style.std, [style.polarity]])
    if not np.isfinite(numbers).all() or abs(style.polarity) > 1 or (style.std < 0).any():
        raise ValueError("numbers that no picture has")
    if style.texture is not None:
        raise ValueError("a texture among the statistics")
    if not _are_dyes(style):
        raise ValueError("stains that no picture has")
    if (np.diff(style.quantiles) < 0).any():  # the brightest and darkest of more than 8 bit may lie beyond 0 and 1
        raise ValueError("ranks that are not in order")


def _are_dyes(style: Reference) -> bool:
    """Whether a style's dyes are some, or it has none."""
    if style.stains is None or style.amounts is None:
        return style.stains is style.amounts
    shapes = (len(style.quantiles), style.stains.shape, style.amounts.shape)
    if shapes != (3, (2, 3), (2,)) or not np.isfinite([*style.stains.ravel(), *style.amounts]).all():
        return False
    are_units = np.allclose(np.linalg.norm(style.stains, axis=1), 1, atol=1e-3)
    return bool(are_units and style.stains.min() >= 0 and style.amounts.min() > 0 and tells_two(style.stains))


def read_style(path: str | os.PathLike[str]) -> KeptStyle:
    """A style file; nothing in it is run as code.

    Raises
    ------
    StyleFileError
        If it is missing, damaged, of a newer schema or no style.
    """
    shown = Path(path)
    try:
        with shown.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise StyleFileError(f"{shown} cannot be read: {error.strerror or error}.") from error
    try:
        return _with_network(data) if is_packed(data) else _stated(data)
    except (ValueError, RecursionError) as error:
        problem = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise StyleFileError(
            f"{shown} is no style that this version reads ({problem}). Give a file that `napari-unetstyle style-bank "
            "export` wrote, or update napari-unetstyle."
        ) from error


def _stated(data: bytes | str) -> KeptStyle:
    return KeptStyle.model_validate_json(data if len(data) <= _LARGEST else b"")


def _with_network(data: bytes) -> KeptStyle:
    stated, network = unpacked(data)
    style = _stated(stated)
    if network.spec.in_channels not in (1, style.reference.channels):
        raise StyleFileError(f"a network of {network.spec.in_channels} channels for {style.reference.channels}")
    return style.model_copy(update={"network": network})


def write_style(style: KeptStyle, path: Path) -> Path:
    """Write a style file in one step; a network goes along."""
    return atomic_write(path, style_bytes(style))


def style_bytes(style: KeptStyle) -> bytes:
    """What stands in the file of a style."""
    if style.network is None:
        return (style.model_dump_json(indent=1) + "\n").encode()
    return packed(style.model_dump_json(), style.network)


def renamed(style: KeptStyle, name: str) -> KeptStyle:
    """The same style under another name.

    Raises
    ------
    OptionError
        If the name is not allowed.
    """
    if not NAME.fullmatch(name):
        raise OptionError(f"A style cannot be called {name!r}: use up to 64 small letters, digits, '-' and '_'.")
    return style.model_copy(update={"name": name, "statistics": {**style.statistics, "name": name}})


def middle_of(pixels: NDArray[Any]) -> Pixels:
    """Of ``(C, *spatial)`` the picture ``(C, Y, X)`` in 0..1, of a stack its middle slice."""
    middle = tuple(n // 2 for n in pixels.shape[1:-2])
    flat: Pixels = to_unit(pixels)[0][:, *middle].clip(0, 1)
    return flat


def _thumbnail(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """The middle square of :func:`middle_of`, as ``(64, 64, 3)``."""
    from skimage.transform import resize

    flat = middle_of(pixels)
    side = min(flat.shape[1:])
    starts = [(n - side) // 2 for n in flat.shape[1:]]
    square = flat[:, starts[0] : starts[0] + side, starts[1] : starts[1] + side]
    colors = square if len(square) == 3 else np.repeat(square[:1], 3, axis=0)
    small = resize(colors, (3, SIDE, SIDE), anti_aliasing=side > SIDE)  # type: ignore[no-untyped-call]
    return np.ascontiguousarray(np.rint(np.moveaxis(small, 0, -1) * 255).astype(np.uint8))
