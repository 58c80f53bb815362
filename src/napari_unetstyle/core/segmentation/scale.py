"""At what scale a model sees a picture: by its pixel size, or by the size of its objects."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.errors import OptionError
from napari_unetstyle.core.imaging.geometry import UNITS, in_known_unit
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.models.spec import ModelSpec
from napari_unetstyle.core.segmentation.options import SegmentOptions

if TYPE_CHECKING:
    from torch import Tensor

Scale = tuple[float, ...]
"""Factor from the picture's grid to the model's, for each spatial axis."""

_SCALES = (1 / 32, 32.0)
_SAME_SPACING = 0.01  # pixel sizes that differ by less are the same
_SIZE_OBJECTS = 5  # fewer do not tell a typical size
_SIZE_SHARE = 0.005  # nor do specks on next to nothing of the picture
_SIZE_SCALES = (1 / 8, 4.0)  # what is scaled unasked
_SAME_SIZE = 1.25
_FAR = 4
_HARDLY = 1.1
_DOUBTFUL, _DOUBTS = 0.1, 0.27  # a probability, and the share: fluorescence has at most 0.21, H&E at least 0.33


def scale_for(image: Image, spec: ModelSpec, options: SegmentOptions, *, is_clear: bool = True) -> Scale:
    """Factors that bring the picture to the size the model knows: by objects, else by pixel size.

    Whether a picture is clear to the model shows only when it is looked at, which begins as if it were.
    """
    dims = spec.network.spatial_dims
    image.check_dims(dims)
    spacing = image.geometry.spacing[-dims:]
    even = image.geometry.is_physical and options.plane != "YX"  # slices across thick ones are stretched
    scale = tuple(side / min(spacing) if even else 1.0 for side in spacing)
    diameter = options.object_diameter
    if diameter is not None and spec.input.object_diameter is not None:
        scale = tuple(side * size_factor(diameter, spec, is_clear=is_clear) for side in scale)
    elif spec.input.spacing is not None and image.geometry.is_physical:
        wanted = in_known_unit(spec.input.spacing, spec.input.unit or "um").in_unit(image.geometry.unit)
        ratios = zip(spacing, wanted.spacing, strict=True)
        scale = tuple(1.0 if abs(have / want - 1) < _SAME_SPACING else have / want for have, want in ratios)
    if not all(_SCALES[0] <= factor <= _SCALES[1] for factor in scale):
        raise OptionError(
            f"The picture would have to be scaled by {_factor(scale)} for this model; allowed are "
            f"{_SCALES[0]:.3g} to {_SCALES[1]:.3g}. Check the pixel size "
            f"({image.geometry.spacing} {UNITS[image.geometry.unit]}) or the object diameter."
        )
    return scale


def size_factor(diameter: float, spec: ModelSpec, *, is_clear: bool) -> float:
    """Factor that brings objects of a diameter in pixels to the nearest size that the model handles; 1 if it hardly
    would change anything: resampling blurs.
    """
    known = spec.input.object_diameter or diameter
    low, high = spec.input.object_diameters or (known, known)
    if is_clear:
        high = max(high, spec.input.clear_diameter or high)
    factor = float(np.clip(diameter, low, high)) / diameter
    return 1.0 if 1 / _HARDLY < factor < _HARDLY else factor


def rise_for(scale: Scale, spec: ModelSpec, options: SegmentOptions) -> float:
    """By how much the middle of an object has to rise, in pixels of the network.

    A large object has a rough middle, so what makes two of it grows with the size of the objects.
    """
    known, diameter = spec.input.object_diameter, options.object_diameter
    if known is None or diameter is None:
        return spec.seed_rise
    return spec.seed_rise * diameter * zoom_of(scale) / known


def zoom_of(scale: Scale) -> float:
    """Pixels of the network per pixel of the picture, along an axis on average."""
    return math.prod(scale) ** (1 / len(scale))


def _factor(scale: Scale) -> str:
    """A scale in words: one number if it is the same along all axes."""
    shown = [f"{factor:.3g}" for factor in scale]
    return shown[0] if len(set(shown)) == 1 else " x ".join(shown)


def is_size_open(options: SegmentOptions, spec: ModelSpec) -> bool:
    """Whether the size of the objects decides on the scale, and nobody has stated it."""
    known = spec.input.object_diameter is not None and spec.input.spacing is None
    return known and spec.separation is not None and options.object_diameter is None


def diameter_seen(logits: Tensor, spec: ModelSpec) -> float | None:
    """Diameter in pixels of the object that a random foreground pixel lies in, from the network's answers
    ``(N, C, *spatial)`` for a few regions; None if there are none to see.

    Weighing objects by their area makes fragments and specks count little.
    """
    from napari_unetstyle.core.inference.probability import to_bytes
    from napari_unetstyle.core.segmentation.objects import objects

    found = [
        objects(
            to_bytes(one[None], seeds=True),
            foreground_threshold=spec.foreground_threshold,
            seed_rise=spec.seed_rise,
            fill_holes=spec.postprocessing.fill_small_holes,
        )[0]
        for one in logits
    ]
    areas = np.concatenate([np.bincount(labels.ravel())[1:] for labels in found])
    if len(areas) < _SIZE_OBJECTS or areas.sum() < _SIZE_SHARE * sum(labels.size for labels in found):
        return None
    return typical_diameter(areas, spec.network.spatial_dims)


def is_clear_to(logits: Tensor, regions: Tensor, spec: ModelSpec) -> bool:
    """Whether regions ``(N, C, *spatial)`` are clear to a network that gave these answers.

    Few pixels may be foreground or not to each that is: a rim is always doubtful, but texture that the network does not
    see through is, too. And objects are brighter than what is around them: of large dark ones, in transmitted light,
    it misses parts without a doubt.
    """
    from torch import softmax

    sure = 1 - softmax(logits[:, : 1 + len(spec.classes)].float(), 1)[:, 0]
    inside = sure >= 0.5
    doubtful = (sure > _DOUBTFUL) & (sure < 1 - _DOUBTFUL)
    if int(doubtful.sum()) >= _DOUBTS * int(inside.sum()) or bool(inside.all()):
        return False
    shown = regions.mean(1)
    return bool(shown[inside].mean() > shown[~inside].mean())


def typical_diameter(areas: NDArray[Any], dims: int) -> float:
    """Diameter of the object that a random pixel of objects of these `areas` (pixels, or voxels) lies in."""
    ordered = np.sort(areas)
    covered = np.cumsum(ordered)
    area = float(ordered[np.searchsorted(covered, covered[-1] / 2)])
    return float(2 * (area / _ball(dims)) ** (1 / dims))


def _ball(dims: int) -> float:
    """Pixels of a disk, or voxels of a ball, of radius 1."""
    return float(np.pi if dims == 2 else 4 / 3 * np.pi)


def believed(diameter: float, spec: ModelSpec) -> float:
    """The diameter to go by: nobody has stated it, so it is not taken to be far from what the model knows."""
    known = spec.input.object_diameter or diameter
    return float(round(np.clip(diameter, known / _SIZE_SCALES[1], known / _SIZE_SCALES[0]), 1))


def is_same_size(one: float, other: float) -> bool:
    """Whether two estimates of a diameter say the same."""
    return max(one, other) <= _SAME_SIZE * min(one, other)


def far_diameter(image: Image, spec: ModelSpec) -> float | None:
    """Diameter of objects so large that the model may see none of them; None if a picture is too small for such."""
    known = spec.input.object_diameter
    if known is None:
        return None
    far = _FAR * max(known, *(spec.input.object_diameters or ()))
    sides = image.frame(next(iter(image.frames(spec.network.spatial_dims))), spec.network.spatial_dims).shape
    return far if min(sides) >= 2 * far else None


def smallest_of(scale: Scale, options: SegmentOptions, spec: ModelSpec) -> int:
    """Pixels below which an object or area is left out: of areas what the model states in pixels of the network,
    unless a person said so; of objects none.
    """
    if options.min_pixels is not None:
        return options.min_pixels
    size, unit = (spec.postprocessing.min_size or "0 px").split()
    is_stated = unit == f"px{spec.network.spatial_dims}" and options.output == "areas"
    return round(float(size) / float(np.prod(scale))) if is_stated else 0


def size_notes(image: Image, scale: Scale, options: SegmentOptions, spec: ModelSpec) -> list[str]:
    """What a person should know about the scale."""
    if spec.input.spacing is not None and not image.geometry.is_physical:
        size = " x ".join(f"{s:g}" for s in spec.input.spacing)
        unit = spec.input.unit or "um"
        return [f"The picture does not say how large its pixels are; they were taken to be {size} {unit}."]
    if all(1 / _HARDLY < factor < _HARDLY for factor in scale):
        return []
    if options.object_diameter is None or spec.input.spacing is not None:
        return [f"The picture was scaled by {_factor(scale)} to the pixel size that the model knows."]
    return [
        f"Objects are about {options.object_diameter:g} pixels wide, so the picture was scaled by {_factor(scale)} "
        "for the model. If that is wrong, give the diameter of one object."
    ]
