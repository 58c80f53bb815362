"""A model fitted to one picture: probabilities of any part of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core import scratch
from napari_unetstyle.core.imaging.channels import channel_index
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.imaging.resample import Resampler
from napari_unetstyle.core.imaging.turn import Turn
from napari_unetstyle.core.models.model import Model
from napari_unetstyle.core.models.spec import ModelSpec
from napari_unetstyle.core.progress import Progress, Steps
from napari_unetstyle.core.segmentation.averaging import Average
from napari_unetstyle.core.segmentation.flips import Box, Index, Mirrored, flips_of, mirrored
from napari_unetstyle.core.segmentation.options import SegmentOptions
from napari_unetstyle.core.segmentation.preprocessing import Intensity, Prepared
from napari_unetstyle.core.segmentation.scale import Scale
from napari_unetstyle.core.style.distance import Distance, Look

if TYPE_CHECKING:
    from torch import Tensor

    from napari_unetstyle.core.inference.probability import Engine
    from napari_unetstyle.core.networks.unet import UNet

_PART_PIXELS = 2**22  # resampled at once


@dataclass(frozen=True, kw_only=True, eq=False)
class Group:
    """Frames that share one set of statistics."""

    network: UNet
    intensity: Intensity
    answers: Tensor  # the network's logits (N, C, *spatial) for the regions that were looked at
    look: Look
    is_clear: bool = False  # to the model, see scale.is_clear_to
    is_blank: bool = False  # one value in all that was looked at


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitted:
    """A model fitted to one picture; any part of the picture gets the same pixels from it.

    Attributes
    ----------
    image, model
        What was fitted to what; a volume for a model of pictures is turned so that its slices ``YX`` are the
        chosen ones.
    source
        The picture as it was given.
    options
        With every choice resolved.
    turn
        How the picture is turned into the orientation of the model.
    scale
        Factor from the grid of the turned picture to the model's, for each spatial axis.
    frames
        Indices along the leading label axes that are segmented.
    notes
        Sentences that a person should read.
    distance
        How unlike the pictures of its training the picture is to the model; None where it does not say.
    is_clear
        Whether the picture is clear to the model, which decides on the scale of large objects.
    """

    image: Image
    source: Image
    model: Model
    options: SegmentOptions
    turn: Turn
    scale: Scale
    frames: tuple[Index, ...]
    engine: Engine
    groups: dict[Index, Group]
    notes: tuple[str, ...]
    distance: Distance | None = None
    is_clear: bool = False

    @property
    def dims(self) -> int:
        """Spatial dimensions of the network."""
        return self.model.spec.network.spatial_dims

    @property
    def channels(self) -> int:
        """Number of probability channels."""
        return self.model.spec.out_channels

    def prepared(self, index: Index) -> Prepared:
        """The frame as its network sees it."""
        return prepared(self._facing, self.model.spec, self.options, self.scale, index, self.groups[index].intensity)

    @property
    def _facing(self) -> Image:
        """The picture as the model was taught, nothing of it read."""
        return self.turn.image(self.image)

    def iter_bytes(self, index: Index, box: Box, out: NDArray[np.uint8]) -> Steps[int]:
        """Fill `out` ``(channels, *box)`` with the probability bytes of a box of one frame.

        Where the picture is not a finite number the answer is background; returns how many such pixels the
        box has.
        """
        shape = self.image.frame(index, self.dims).shape
        box, out = self.turn.box(box, shape), self.turn.seen(out)
        picture = self.prepared(index)
        if self.groups[index].is_blank:  # a network would see its own padding, and something in it at some sizes
            out[0], out[1:] = 255, 0
            yield Progress(1, 1)
            return _clear_nonfinite(picture, box, out) if self.image.array.dtype.kind == "f" else 0
        resampler = Resampler(picture.shape, self._facing.frame(index, self.dims).shape)
        inner = resampler.needs(box)
        small = out if picture.shape == resampler.target else _scratch(self, inner)
        yield from scratch.releasing(self._iter_flips(index, picture, inner, small), small)
        if small is not out:
            _bring_back(resampler, small, inner, box, out)
        return _clear_nonfinite(picture, box, out) if picture.has_nonfinite else 0

    def _iter_flips(self, index: Index, picture: Prepared, box: Box, out: NDArray[np.uint8]) -> Steps[None]:
        from napari_unetstyle.core.inference.probability import iter_probabilities

        network, seeds = self.groups[index].network, self.model.spec.separation is not None
        if not self.options.flip:
            yield from iter_probabilities(network, picture, out, box, self.engine, seeds=seeds)
            return
        average, flips = Average(out.shape, self.options.memory), flips_of(self.dims)
        piece = scratch.zeros(out.shape, np.uint8, self.options.memory)
        for i, flip in enumerate(flips):
            seen = Mirrored(picture, flip)
            steps = iter_probabilities(network, seen, piece, seen.box(box), self.engine, seeds=seeds)
            for progress in scratch.releasing(steps, piece):
                yield Progress(i * progress.total + progress.step, len(flips) * progress.total, progress.message)
            average.add(mirrored(piece, flip))
        average.write(out)


def prepared(
    image: Image, spec: ModelSpec, options: SegmentOptions, scale: Scale, index: Index, intensity: Intensity | None
) -> Prepared:
    """A frame as a network sees it; without `intensity` as it is stored, at the model's scale."""
    return Prepared(
        image.frame(index, spec.network.spatial_dims),
        spec.input,
        spec.network.in_channels,
        channel=channel_index(image, options.channel),
        scale=scale,
        intensity=intensity,
    )


def _scratch(fitted: Fitted, box: Box) -> NDArray[np.uint8]:
    shape = (fitted.channels, *(s.stop - s.start for s in box))
    return scratch.zeros(shape, np.uint8, fitted.options.memory)


def _bring_back(resampler: Resampler, small: NDArray[np.uint8], inner: Box, box: Box, out: NDArray[np.uint8]) -> None:
    """Resample probabilities to the picture's grid, part by part."""
    for part in _parts(box):
        needs = resampler.needs(part)
        there = tuple(slice(n.start - i.start, n.stop - i.start) for n, i in zip(needs, inner, strict=True))
        values = resampler.apply(small[(slice(None), *there)], part)
        out[:, part[0].start - box[0].start : part[0].stop - box[0].start] = np.rint(values).astype(np.uint8)
        scratch.release(small)
        scratch.release(out)


def _clear_nonfinite(picture: Prepared, box: Box, out: NDArray[np.uint8]) -> int:
    count = 0
    for part in _parts(box):
        bad = ~np.isfinite(picture.stored(*part)).all(axis=0)
        values = out[:, part[0].start - box[0].start : part[0].stop - box[0].start]
        values[:, bad] = 0
        values[0, bad] = 255
        count += int(bad.sum())
    return count


def _parts(box: Box) -> Iterator[Box]:
    """A box in bands of rows, or of slices, of a few megapixels."""
    plane = math.prod(s.stop - s.start for s in box[1:])
    rows = max(1, _PART_PIXELS // plane)
    for start in range(box[0].start, box[0].stop, rows):
        yield (slice(start, min(start + rows, box[0].stop)), *box[1:])
