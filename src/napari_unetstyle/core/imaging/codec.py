"""The decoders of imagecodecs, each of which runs in a process of its own."""

from __future__ import annotations

from functools import partial
from typing import Any

from napari_unetstyle.core.imaging.apart import result


def decode(name: str, *arguments: Any, size: int, **options: Any) -> Any:
    """What a decoder gives, such as ``"png_decode"``, for its own arguments and options.

    Parameters
    ----------
    size
        About as many bytes will come out.

    Raises
    ------
    ValueError
        If the data are damaged, the decoder crashes or takes too long.
    """
    return result(_decoded, name, arguments, options, size=size)


def _decoded(name: str, arguments: list[Any], options: dict[str, Any]) -> Any:
    import imagecodecs

    return getattr(imagecodecs, name)(*arguments, **options)


class Decoders:
    """What stands for the module imagecodecs: its decoders, by their names.

    Parameters
    ----------
    size
        About as many bytes will come out of each.
    """

    def __init__(self, size: int) -> None:
        self._size = size

    def __getattr__(self, name: str) -> Any:
        return partial(decode, name, size=self._size)
