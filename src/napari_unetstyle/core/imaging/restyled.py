"""That a picture is a restyled one, and not one as it was taken: how a file keeps it, and how it is said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KEY = "restyled"
"""Of what a file keeps about a picture: how it was made."""
RESTYLED = "Of a restyled picture"
"""How what is said begins."""


def made_of(info: Mapping[str, Any]) -> dict[str, Any] | None:
    """How a picture was restyled, by what its file keeps; None if it is as it was taken."""
    made = info.get(KEY)
    return made if isinstance(made, dict) else None


def restyled_note(made: Mapping[str, Any]) -> str:
    """What a person should know of what was found in a picture that was made so; it names no picture."""
    method, strength = made.get("method"), made.get("strength")
    is_stated = isinstance(method, str) and isinstance(strength, (int, float))  # a file may say anything
    how = f" (method {method}, strength {strength:.0%})" if is_stated else ""
    return f"{RESTYLED}{how}, not of one as it was taken."
