"""Names of classes to classes, with values and colors."""

from __future__ import annotations

from collections.abc import Sequence

from napari_unetstyle.core.errors import OptionError
from napari_unetstyle.core.models.spec import ClassSpec, ModelSpec, has_controls

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


def more_classes(spec: ModelSpec, names: Sequence[str]) -> tuple[ClassSpec, ...]:
    """The classes of a model, and more of these names.

    Raises
    ------
    OptionError
        If a name cannot be taken, or the model finds objects one by one: its seed map would have to find objects in
        what its old pictures call background.
    """
    if spec.separation is not None:
        every = ", ".join(filter(None, [*(one.name for one in spec.classes), *(name.strip() for name in names)]))
        raise OptionError(
            f"{spec.name} finds objects one by one, and its old pictures do not say where objects of a new class end: "
            f"a class can only be added to a model of areas. Teach a new model with all classes instead: {every}."
        )
    return class_specs(names, spec.classes)
