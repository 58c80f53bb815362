"""One channel of a picture, by number or name."""

from __future__ import annotations

import dataclasses
import re

from napari_unetstyle.core.errors import ImageError
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.imaging.stains import STAINS

INDEX = re.compile(r"[0-9]{1,9}")  # no other digits: int() does not take all that Unicode calls digits


def channel_index(image: Image, channel: int | str | None) -> int | None:
    """The channel a person named or numbered.

    Raises
    ------
    ImageError
        If the picture has no such channel.
    """
    if channel is None:
        return None
    names, count = image.channel_names, image.size("C")
    index = names.index(channel) if channel in names else int(channel) if INDEX.fullmatch(str(channel)) else -1
    if not 0 <= index < count:
        known = ", ".join(f"{i} ({names[i]})" if i < len(names) else str(i) for i in range(count))
        stains = f"; stains: {', '.join(STAINS)}" if image.is_color else ""
        raise ImageError(f"There is no channel {channel!r}. Channels of this picture: {known}{stains}.")
    return index


def only_channel(image: Image, channel: int | str) -> Image:
    """A picture of one channel alone, on the place of the whole.

    Raises
    ------
    ImageError
        If the picture has no such channel.
    """
    index = channel_index(image, channel)
    if "C" not in image.axes:
        return image
    array = image.array[tuple(index if axis == "C" else slice(None) for axis in image.axes)]
    return dataclasses.replace(image, array=array, axes=image.axes.replace("C", ""), channel_names=())
