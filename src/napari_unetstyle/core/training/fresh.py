"""A new model from nothing: what it is to be, told by the pictures it will be taught with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from napari_unetstyle.core.annotation.corrections import Correction
from napari_unetstyle.core.errors import ImageError, OptionError
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.models.spec import Card, ClassSpec, InputSpec, ModelSpec
from napari_unetstyle.core.networks.plan import plan
from napari_unetstyle.core.networks.spec import NetworkSpec
from napari_unetstyle.core.training.lessons import typical_diameter

COLORS = ("#ee6677", "#4477aa", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#ee8866", "#bbbbbb")  # Paul Tol, bright
_WIDTHS = {2: (16, 32, 64, 128, 256), 3: (16, 32, 64, 128, 256)}
_REGION = {2: 256, 3: 48}
_SIZES = (0.4, 2.5)  # of the typical object, that are segmented as they are


def fresh_spec(corrections: Sequence[Correction], name: str, classes: Sequence[str]) -> ModelSpec:
    """What a new model is, so that it suits the pictures.

    A volume gets a network of volumes whose strides and kernels follow from its spacing; pictures of three channels
    are color, others are taken as they are. Objects are told apart if the labels are objects.

    Parameters
    ----------
    corrections
        What it will be taught with.
    name
        What it is to be called.
    classes
        Names of the classes, in the order of their values from 1.

    Raises
    ------
    ImageError
        If the pictures do not go together.
    OptionError
        If there are no pictures or no classes, or they have more classes than are named.
    """
    if not corrections or not classes:
        raise OptionError("A new model needs pictures with labels, and the names of its classes.")
    first = corrections[0]
    for other in corrections[1:]:
        if _kind(other) != _kind(first):
            raise ImageError(
                f"{other.image.name or 'A picture'} is {_kind(other)}, but {first.image.name or 'the first'} is "
                f"{_kind(first)}. Teach with pictures of one kind."
            )
    dims = 3 if first.dims == 3 else 2
    count = first.image.size("C")
    channels: Literal["rgb", "gray", "exact"] = {1: "gray", 3: "rgb", 4: "rgb"}.get(count, "exact")  # type: ignore[assignment]
    spacing, unit = _spacing([c.image for c in corrections], dims) if dims == 3 else (None, None)
    strides, kernels = _plan([c.image for c in corrections], spacing, dims)
    diameter = _diameter(corrections) if first.output == "objects" else None
    return ModelSpec(
        name=name,
        network=NetworkSpec(
            spatial_dims=dims,
            in_channels=3 if channels == "rgb" else count,
            widths=_WIDTHS[dims][: len(strides) + 1],
            strides=strides,
            kernels=kernels,
        ),
        input=InputSpec(
            channels=channels,
            spacing=spacing,
            unit=unit,
            object_diameter=diameter,
            object_diameters=None if diameter is None else (diameter * _SIZES[0], diameter * _SIZES[1]),
            region=_REGION[dims],
        ),
        classes=tuple(ClassSpec(value=i, name=n, color=COLORS[(i - 1) % 8]) for i, n in enumerate(classes, 1)),
        separation="depth" if first.output == "objects" else None,
        card=Card(
            purpose=f"{', '.join(classes)}, taught from nothing on the pictures of one person.",
            summary=", ".join(classes),
            training_data="",
            license="",
            limits="Pictures like those it was taught with; others were never tried. Look at the outlines.",
        ),
    )


def _kind(correction: Correction) -> str:
    image = correction.image
    what = {1: "gray", 3: "color", 4: "color"}.get(image.size("C"), f"of {image.size('C')} channels")
    return f"{'a volume' if correction.dims == 3 else 'a picture'}, {what}, with {correction.output}"


def _spacing(images: Sequence[Image], dims: int) -> tuple[tuple[float, ...] | None, str | None]:
    """The median pixel size, if all are known."""
    if not all(image.geometry.is_physical for image in images):
        return None, None
    sizes = [image.geometry.in_unit("mm").spacing[-dims:] for image in images]
    return tuple(float(s) for s in np.median(sizes, axis=0)), "mm"


def _plan(
    images: Sequence[Image], spacing: tuple[float, ...] | None, dims: int
) -> tuple[tuple[tuple[Literal[1, 2], ...], ...], tuple[tuple[Literal[1, 3], ...], ...]]:
    side = _REGION[dims]
    extents = np.median([image.label_shape[-dims:] for image in images], axis=0)
    shape = tuple(int(min(side, n)) for n in extents)
    return plan(spacing or (1.0,) * dims, shape, deepest=len(_WIDTHS[dims]) - 1)


def _diameter(corrections: Sequence[Correction]) -> float | None:
    found = [typical_diameter(c.labels, c.dims or 2) for c in corrections]
    known = [d for d in found if d is not None]
    return float(np.clip(round(float(np.median(known)), 1), 1, 1e5)) if known else None
