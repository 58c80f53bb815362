"""From corrections to what patches are drawn from: pictures at the size the model sees them."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.annotation.corrections import Correction, learned
from napari_unetstyle.core.annotation.known import as_of
from napari_unetstyle.core.errors import OptionError
from napari_unetstyle.core.imaging.channels import channel_index
from napari_unetstyle.core.imaging.resample import Resampler, scaled_shape
from napari_unetstyle.core.imaging.stains import in_stain
from napari_unetstyle.core.imaging.turn import Turn
from napari_unetstyle.core.models.model import Model
from napari_unetstyle.core.models.spec import ModelSpec
from napari_unetstyle.core.progress import Progress, Steps, share
from napari_unetstyle.core.segmentation.fitting import iter_fit
from napari_unetstyle.core.segmentation.options import SegmentOptions
from napari_unetstyle.core.segmentation.preprocessing import select_channels
from napari_unetstyle.core.segmentation.scale import scale_for, typical_diameter
from napari_unetstyle.core.training.patches import Example, renumbered, unit_range

_NAMED_BY = {2: 128, 3: 32}  # side of the part that names a picture, by dimensions

Index = tuple[int, ...]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Said:
    """What a person said about one picture or volume of a correction, on the picture's own grid.

    Attributes
    ----------
    correction
        Where it comes from.
    index
        Which frame of it, along the leading label axes.
    targets
        int32 ``(2, *spatial)``: class values and object ids, as in training examples.
    valid
        bool ``(*spatial,)``: where they are learned from.
    """

    correction: Correction
    index: Index
    targets: NDArray[np.int32]
    valid: Mask

    def repeats(self, other: Said) -> bool:
        """Whether it says nothing else, about the same pixels."""
        return self._says_as(other) and np.array_equal(self._pixels, other._pixels)

    def _says_as(self, other: Said) -> bool:
        return np.array_equal(self.valid, other.valid) and np.array_equal(self.targets, other.targets)

    @property
    def _pixels(self) -> NDArray[Any]:
        return self.correction.image.frame(self.index, self.valid.ndim).read()

    @cached_property
    def picture(self) -> str:
        """Names the picture by its middle, its size and its type: the same for all that was ever said about it."""
        return self._name_of(self.index)

    @cached_property
    def stack(self) -> tuple[str, tuple[int, ...]]:
        """Names the stack or the series that the picture is a frame of, by its middle one and its size."""
        frames, shape = self.correction.image.frames(self.valid.ndim), self.correction.image.label_shape
        return self._name_of(frames[len(frames) // 2]), shape[: -self.valid.ndim]

    def _name_of(self, index: Index) -> str:
        dims = self.valid.ndim
        frame = self.correction.image.frame(index, dims)
        side = _NAMED_BY[dims]
        middle = tuple(slice(max(0, (n - side) // 2), (n + side) // 2) for n in frame.shape)
        pixels = np.ascontiguousarray(frame.read(*middle))
        digest = hashlib.sha256(repr((frame.shape, pixels.shape, pixels.dtype.str)).encode())
        digest.update(pixels.tobytes())
        return digest.hexdigest()

    def without(self, held_out: Mask) -> Said:
        """The same, less some of the places; objects that reach into them are not learned from at all."""
        objects = np.maximum(self.targets[1], 0)
        inside = np.unique(objects[held_out])
        shared = np.isin(objects, inside[inside > 0])
        return replace(self, valid=self.valid & ~held_out & ~shared)


def sayings(corrections: Sequence[Correction], spec: ModelSpec) -> list[Said]:
    """Everything that was said, a frame of the model's dimensions at a time; frames with nothing are left out.

    What is said twice about the same pixels counts once.

    Raises
    ------
    OptionError
        If labels hold a class that the model does not know.
    """
    dims = spec.network.spatial_dims
    said: list[Said] = []
    of_picture: dict[str, list[Said]] = {}
    for correction in corrections:
        targets, valid = learned(correction)
        _check_classes(targets[0][valid], spec)
        if correction.known is not None and correction.known < len(spec.classes):
            targets = as_of(targets, correction.known)
        for index in correction.image.frames(dims):
            key: Any = (slice(None), *index)
            if not valid[index].any():
                continue
            one = Said(correction, index, targets[key], valid[index])
            earlier = of_picture.setdefault(one.picture, [])
            if not any(one.repeats(other) for other in earlier):
                earlier.append(one)
                said.append(one)
    return said


def _check_classes(values: NDArray[np.int32], spec: ModelSpec) -> None:
    highest = int(values.max(initial=0))
    if highest > len(spec.classes):
        names = ", ".join(f"{c.value} {c.name}" for c in spec.classes)
        raise OptionError(
            f"The labels hold class {highest}, but {spec.name!r} knows {names} (and 0, background). Relabel them, add "
            "the class, or teach a new model with more classes."
        )


def iter_clear(said: Sequence[Said], model: Model, options: SegmentOptions) -> Steps[frozenset[str]]:
    """Names of the pictures that are clear to a model, where that decides on the scale at which it sees them."""
    clear = set()
    for number, one in enumerate(said, 1):
        given = sized(options, one, model.spec)
        image = Turn.of(one.correction.image, model.spec.input.orientation).image(one.correction.image)
        if scale_for(image, model.spec, given) != scale_for(image, model.spec, given, is_clear=False):
            before, after = (number - 1) / len(said), number / len(said)
            fitted = yield from share(
                iter_fit(one.correction.image, model, given.changed(frames=(one.index,))), before, after
            )
            if fitted.is_clear:
                clear.add(one.picture)
        yield Progress(number, len(said), "Looking at your pictures")
    return frozenset(clear)


def lesson(said: Said, spec: ModelSpec, options: SegmentOptions, clear: Container[str] = frozenset()) -> Example:
    """The picture as the model sees it, with its targets, cut to what is learned from and a margin.

    Parameters
    ----------
    said
        What is to be learned.
    spec
        The model.
    options
        How pictures are segmented; see :func:`sized`.
    clear
        Names of the pictures that are clear to the model; see :func:`iter_clear`.
    """
    turn, dims = Turn.of(said.correction.image, spec.input.orientation), spec.network.spatial_dims
    image, given, valid = turn.image(said.correction.image), turn.seen(said.targets), turn.seen(said.valid)
    image = in_stain(image, options.channel)
    scale = scale_for(image, spec, sized(options, said, spec), is_clear=said.picture in clear)
    box = _box(valid, spec.input.region, scale)
    pixels = image.frame(said.index, dims).read(*box)
    channel = channel_index(image, options.channel)
    chosen = pixels if channel is None else pixels[channel : channel + 1]
    shown = unit_range(np.asarray(select_channels(chosen, spec.input, spec.network.in_channels)))
    target = scaled_shape(shown.shape[1:], scale)
    targets = np.stack([given[0][box], renumbered(given[1][box])])
    if target == shown.shape[1:]:
        return Example(np.ascontiguousarray(shown), targets, valid[box].copy(), name=image.name)
    everything = tuple(slice(0, n) for n in target)
    resized = Resampler(shown.shape[1:], target).apply(shown, everything)
    nearest = np.ix_(*(_nearest(n, m) for n, m in zip(shown.shape[1:], target, strict=True)))
    labels = np.stack([one[nearest] for one in targets])
    return Example(resized, labels, valid[box][nearest], name=image.name)


def sized(options: SegmentOptions, said: Said, spec: ModelSpec) -> SegmentOptions:
    """The options with the size of the objects: where they leave it open that of the labels.

    A run would take it from what it finds. Nobody has judged labels that are not learned from.
    """
    if options.object_diameter is not None or spec.input.spacing is not None or spec.separation is None:
        return options
    return options.changed(object_diameter=label_diameter(said.targets[1], said.valid))


def label_diameter(objects: NDArray[Any], valid: Mask, dims: int | None = None) -> float | None:
    """Diameter in pixels of the object that a random valid labeled pixel lies in; None without objects.

    `dims` is how many dimensions an object has, if not as many as the array.
    """
    _, areas = np.unique(objects[valid & (objects > 0)], return_counts=True)
    return typical_diameter(areas, dims or valid.ndim) if areas.size else None


def _box(valid: Mask, margin: int, scale: tuple[float, ...]) -> tuple[slice, ...]:
    """What is valid, and beside it as much as a patch can reach."""
    reach = [int(np.ceil(margin / factor)) for factor in scale]
    sides = zip(extent(valid), reach, valid.shape, strict=True)
    return tuple(slice(max(0, side.start - r), min(n, side.stop + r)) for side, r, n in sides)


def extent(mask: Mask) -> tuple[slice, ...]:
    """The smallest box around what is true; something has to be."""
    from scipy import ndimage

    found: tuple[slice, ...] = ndimage.find_objects(mask.astype(np.uint8))[0]
    return found


def _nearest(source: int, target: int) -> NDArray[np.intp]:
    return np.minimum(((np.arange(target) + 0.5) * source / target).astype(np.intp), source - 1)
