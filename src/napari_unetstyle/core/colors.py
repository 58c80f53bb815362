"""Colors as they are stated: ``#ffb000``."""

from __future__ import annotations


def rgb(color: str) -> tuple[int, int, int]:
    """Red, green and blue, 0 to 255."""
    red, green, blue = bytes.fromhex(color.removeprefix("#"))
    return red, green, blue
