"""A new model from nothing: what it is to be, told by the pictures it will be taught with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from napari_unetstyle.core.annotation.corrections import Correction, learned
from napari_unetstyle.core.errors import ImageError, OptionError
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.imaging.turn import Turn
from napari_unetstyle.core.models.classes import class_specs
from napari_unetstyle.core.models.spec import Card, InputSpec, ModelSpec
from napari_unetstyle.core.networks.plan import SMALLEST, plan
from napari_unetstyle.core.networks.spec import Kernel, NetworkSpec, Stride
from napari_unetstyle.core.training.lessons import Said, label_diameter

WIDTHS = (16, 32, 64, 128, 256)
"""Feature channels of the levels, as the bundled models have them: four pooling steps at most."""
_REGION = {2: 256, 3: 48}  # side of the patches that the plan is for, in pixels: what a training sees at once
_SIZES = (0.4, 2.5)  # of the typical object, that are segmented as they are
_RISE = 0.04  # of the diameter, measured with the bundled model on nuclei of 13 to 50 pixels
_RISES = (0.5, 2.0)  # pixels, as far as that was measured


def fresh_spec(corrections: Sequence[Correction], name: str, classes: Sequence[str]) -> ModelSpec:
    """What a new model is, so that it suits the pictures.

    A volume gets a network of volumes whose strides and kernels follow from its spacing, as nnU-Net plans them for
    patches of at most 48 voxels a side and at most four pooling steps; nnU-Net's own patches are as large as a GPU
    holds. Pictures of three channels are color, others are taken as they are. Objects are told apart if the labels
    are objects.

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
        If the pictures do not go together, or are too small for a network.
    OptionError
        If there are no pictures or no classes, or they have more classes than are named.
    """
    if not corrections or not classes:
        raise OptionError("A new model needs pictures with labels, and the names of its classes.")
    _check_kinds(corrections)
    images, is_objects = [c.image for c in corrections], corrections[0].output == "objects"
    dims = 3 if corrections[0].dims == 3 else 2
    channels, count = _channels(images[0])
    orientation = images[0].geometry.orientation if dims == 3 and all(i.geometry.is_anatomical for i in images) else ""
    images = [Turn.of(image, orientation or None).image(image) for image in images]
    spacing, unit = _spacing(images, dims) if dims == 3 else (None, None)
    strides, kernels = _plan(images, spacing, dims)
    said = (learned(correction) for correction in corrections)
    found = [label_diameter(targets[1], valid, dims) for targets, valid in said] if is_objects else []
    spec = ModelSpec(
        name=name,
        network=NetworkSpec(
            spatial_dims=dims,
            in_channels=count,
            widths=WIDTHS[: len(strides) + 1],
            strides=strides,
            kernels=kernels,
        ),
        input=InputSpec(
            channels=channels,
            spacing=spacing,
            unit=unit,
            orientation=orientation or None,
            region=_REGION[dims],
        ),
        classes=class_specs(classes),
        separation="depth" if is_objects else None,
        card=_card(classes),
    )
    return _of_size(spec, found)


def with_size(spec: ModelSpec, said: Sequence[Said]) -> ModelSpec:
    """What a new model is, with objects of the size that they have in what it learns from, if any are in it."""
    if spec.separation is None:
        return spec
    return _of_size(spec, [label_diameter(one.targets[1], one.valid) for one in said])


def _of_size(spec: ModelSpec, found: Sequence[float | None]) -> ModelSpec:
    """`spec` for the median of some diameters; as it is if there are none."""
    known = [diameter for diameter in found if diameter is not None]
    if not known:
        return spec
    diameter = float(np.clip(round(float(np.median(known)), 1), 1, 1e5))
    sizes = {"object_diameter": diameter, "object_diameters": (diameter * _SIZES[0], diameter * _SIZES[1])}
    rise = float(np.clip(round(_RISE * diameter, 2), *_RISES))
    return spec.model_copy(update={"input": spec.input.model_copy(update=sizes), "seed_rise": rise})


def _check_kinds(corrections: Sequence[Correction]) -> None:
    first = corrections[0]
    for other in corrections[1:]:
        if _kind(other) != _kind(first):
            raise ImageError(
                f"{other.image.name or 'A picture'} is {_kind(other)}, but {first.image.name or 'the first'} is "
                f"{_kind(first)}. Teach with pictures of one kind."
            )


def _channels(image: Image) -> tuple[Literal["rgb", "gray", "exact"], int]:
    """How the network takes channels, and how many."""
    count = image.size("C")
    if count in (3, 4):
        return "rgb", 3
    return ("gray" if count == 1 else "exact"), count


def _card(classes: Sequence[str]) -> Card:
    """What is known before anything is measured."""
    return Card(
        purpose=f"{', '.join(classes)}, taught from nothing on the pictures of one person.",
        summary=", ".join(classes),
        training_data="",
        license="",
        limits="Pictures like those it was taught with; others were never tried. Look at the outlines.",
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
) -> tuple[tuple[Stride, ...], tuple[Kernel, ...]]:
    side = _REGION[dims]
    extents = np.median([image.label_shape[-dims:] for image in images], axis=0)
    shape = tuple(int(min(side, n)) for n in extents)
    if max(shape) < 2 * SMALLEST:
        raise ImageError(
            f"The pictures are {' x '.join(map(str, shape))} pixels large, and a new model needs {2 * SMALLEST} or "
            "more along a side to learn from. Give larger ones."
        )
    strides, kernels = plan(spacing or (1.0,) * dims, shape, deepest=len(WIDTHS) - 1)
    if not strides:  # a UNet has one pooling step at least
        once: Stride = tuple(2 if n >= 2 * SMALLEST else 1 for n in shape)
        even: Kernel = tuple(3 for _ in shape)
        return (once,), (even, even)
    return strides, kernels
