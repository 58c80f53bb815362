"""Names of classes to classes, with values and colors."""

from __future__ import annotations

from collections.abc import Sequence

from napari_unetstyle.core.errors import OptionError
from napari_unetstyle.core.models.spec import ClassSpec, has_controls

COLORS = ("#ee6677", "#4477aa", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#ee8866", "#bbbbbb")  # Paul Tol, bright
_BACKGROUND = "background"


def class_specs(names: Sequence[str], before: tuple[ClassSpec, ...] = ()) -> tuple[ClassSpec, ...]:
    """Classes `before`, and after them those of these names, with the next values and colors that are free.

    Raises
    ------
    OptionError
        If a name is empty, or there already, or has control characters in it.
    """
    found = list(before)
    for name in (given.strip() for given in names):
        if not name or name.casefold() in (_BACKGROUND, *(one.name.casefold() for one in found)):
            there = ", ".join(one.name for one in found) or _BACKGROUND
            raise OptionError(f"A class cannot be called {name!r}: give a name that is not there already ({there}).")
        if has_controls(name):
            raise OptionError(f"A class cannot be called {name!r}: it has control characters in it.")
        found.append(ClassSpec(value=len(found) + 1, name=name, color=_next_color(found)))
    return tuple(found)


def _next_color(found: Sequence[ClassSpec]) -> str:
    used = {one.color.casefold() for one in found}
    return next((color for color in COLORS if color not in used), COLORS[len(found) % len(COLORS)])
