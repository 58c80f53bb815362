"""Patches drawn from annotated pictures: crop, turn, scale and bend in one resampling."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from napari_unetstyle.core.annotation.known import UNKNOWN
from napari_unetstyle.core.segmentation.preprocessing import Intensity
from napari_unetstyle.core.style.augment import StyleAugment
from napari_unetstyle.core.style.reference import Reference


@dataclass(frozen=True, eq=False)
class Example:
    """A picture and what a person said about it.

    Attributes
    ----------
    image
        float32 ``(C, *spatial)``, full range 0..1.
    labels
        int32 ``(2, *spatial)``: class values (0 background) and object ids (0 no object); in both,
        ``UNKNOWN`` marks pixels nobody has judged, and less still stands for background that knows of some classes
        only (``annotation/known.py``). A pixel may have a class and an unknown object.
    valid
        bool ``(*spatial,)``: where the labels are learned from, or None for everywhere. Labels outside tell what
        lies beside, so that an object that reaches out of it has its true depth.
    style
        Gives its patches other styles; None leaves them as they are.
    name
        What a person calls the picture.
    """

    image: NDArray[np.float32]
    labels: NDArray[np.int32]
    valid: NDArray[np.bool_] | None = None
    style: StyleAugment | None = None
    name: str = ""

    def __post_init__(self) -> None:
        if self.labels.shape != (2, *self.image.shape[1:]):
            raise ValueError(f"labels must be (2, *spatial) = {(2, *self.image.shape[1:])}, got {self.labels.shape}")
        if self.valid is not None and self.valid.shape != self.image.shape[1:]:
            raise ValueError(f"valid must be {self.image.shape[1:]}, got {self.valid.shape}")

    @cached_property
    def marked(self) -> Marked:
        """The pixels of objects (of classes, where no object is known) that are learned from."""
        classes, objects = self.labels
        return Marked.of(objects if (objects > 0).any() else classes, self.valid)

    @cached_property
    def look(self) -> Reference:
        """The style that it has."""
        return Reference.of_unit(self.image)

    @classmethod
    def of(cls, image: NDArray[np.generic], objects: NDArray[np.generic]) -> Example:
        """One class, separate objects: ``(C, *spatial)`` of any type and object ids ``(*spatial,)``."""
        ids = renumbered(np.asarray(objects).astype(np.int32))
        return cls(unit_range(image), np.stack([np.where(ids > 0, 1, ids), ids]))

    @classmethod
    def of_areas(cls, image: NDArray[np.generic], classes: NDArray[np.generic]) -> Example:
        """Areas of several classes, no objects: ``(C, *spatial)`` and class values ``(*spatial,)``."""
        values = np.asarray(classes).astype(np.int32)
        return cls(unit_range(image), np.stack([values, np.full_like(values, UNKNOWN)]))


@dataclass(frozen=True, eq=False)
class Marked:
    """Flat indices of the pixels of each value above 0, values in order, and where each value begins."""

    pixels: NDArray[np.intp]
    starts: NDArray[np.intp]

    @classmethod
    def of(cls, values: NDArray[np.int32], valid: NDArray[np.bool_] | None) -> Marked:
        """Of an array, as far as it is valid."""
        wanted = values > 0 if valid is None else (values > 0) & valid
        pixels = np.flatnonzero(wanted)
        known = values.ravel()[pixels]
        order = np.argsort(known, kind="stable")
        return cls(pixels[order], np.flatnonzero(np.diff(known[order], prepend=0)))

    def draw(self, rng: np.random.Generator) -> int | None:
        """A pixel of a random value, each value as likely as any other; None if there is none."""
        if not self.starts.size:
            return None
        bounds = np.append(self.starts, self.pixels.size)
        index = rng.choice(self.starts.size)
        return int(self.pixels[bounds[index] + rng.integers(bounds[index + 1] - bounds[index])])


@dataclass(frozen=True, kw_only=True)
class Warp:
    """How far the geometry of a patch may go from the picture's.

    Attributes
    ----------
    zoom
        Smallest and largest scale factor, drawn log-uniformly.
    turn
        Chance of a rotation (in the plane of the last two axes); flips are always drawn, and right angles unless
        `exchange` is false.
    bend
        Chance of an elastic deformation.
    amplitude
        Largest elastic displacement in pixels of the patch, between points about 32 pixels apart; without `elastic`.
    elastic
        Alpha and sigma of Simard et al. (2003) in pixels of the patch: displacements between -1 and 1, smoothed by a
        Gaussian of sigma, times alpha.
    focus
        Chance that the patch is centered on a random object or labeled area instead of anywhere.
    mirror
        Axes that may be flipped, out of ``ZYX``.
    exchange
        Whether the last two axes may be exchanged.
    angle
        Largest rotation in the plane of the last two axes, in radians.
    tilt
        Largest rotation of a volume out of that plane, about each of the other axes, in radians.
    """

    zoom: tuple[float, float] = (1.0, 1.0)
    turn: float = 0.5
    bend: float = 0.15
    amplitude: float = 4.0
    elastic: tuple[float, float] | None = None
    focus: float = 0.25
    mirror: str = "ZYX"
    exchange: bool = True
    angle: float = np.pi / 4
    tilt: float = 0.0


def unit_range(image: NDArray[np.generic]) -> NDArray[np.float32]:
    """float32 ``(C, *spatial)``, full range at 0..1: 8 bit by its type, everything else by its finite extremes."""
    if image.dtype == np.uint8:
        return image.astype(np.float32) / np.float32(255)
    pixels = image.astype(np.float32)
    finite = np.isfinite(pixels)
    if not finite.all():
        pixels = _filled(pixels, finite)
    low, high = float(pixels.min()), float(pixels.max())
    return (pixels - np.float32(low)) / np.float32(high - low if high > low else 1.0)


def _filled(pixels: NDArray[np.float32], finite: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Every pixel finite: the others have their channel's mean, which a run sees as 0, as it does them."""
    means = Intensity.of(pixels.reshape(len(pixels), -1)).mean
    return np.where(finite, pixels, means.reshape(-1, *(1,) * (pixels.ndim - 1)).astype(np.float32))


def renumbered(objects: NDArray[np.int32]) -> NDArray[np.int32]:
    """Object ids from 1 without gaps, in the same order; what is no object stays.

    Patches are sampled as float32, which tells no two neighbors above 16777216 apart.
    """
    known = objects > 0
    _, numbers = np.unique(objects[known], return_inverse=True)
    fresh = objects.copy()
    fresh[known] = numbers + 1
    return fresh


def draw_patch(example: Example, shape: tuple[int, ...], warp: Warp, rng: np.random.Generator) -> Example:
    """A patch of `shape`, drawn at random; outside the picture it is mirrored.

    Objects keep their shape up to the warp; parts that come apart (mirrored ones) get ids of their own.
    """
    spatial = example.image.shape[1:]
    linear = _linear_map(len(shape), warp, rng)
    reach = np.abs(linear) @ np.array(shape) / 2
    half = np.abs(linear) @ (np.array(shape) - 1) / 2
    center = np.rint(_center(example, reach, warp.focus, rng) - half) + half  # unturned pixels are not mixed
    grid = [np.arange(n, dtype=np.float32) - (n - 1) / 2 for n in shape]
    offsets = np.stack(np.meshgrid(*grid, indexing="ij"))
    if rng.random() < warp.bend:
        offsets = offsets + _bend(shape, warp, rng)
    points = np.tensordot(linear, offsets, 1) + center.reshape(-1, *(1,) * len(shape))
    return _sample(example, points.astype(np.float32), spatial)


def _linear_map(dims: int, warp: Warp, rng: np.random.Generator) -> NDArray[np.float64]:
    """Patch offsets to picture offsets: zoom, rotation, flips and exchange of the last two axes."""
    low, high = warp.zoom
    zoom = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    is_turned = rng.random() < warp.turn
    turn = _rotation(dims, (-2, -1), rng.uniform(-warp.angle, warp.angle) if is_turned else 0.0)
    for plane in [(0, 1), (0, 2)] if dims == 3 and is_turned and warp.tilt else []:
        turn = turn @ _rotation(dims, plane, rng.uniform(-warp.tilt, warp.tilt))
    flips = rng.choice([-1.0, 1.0], dims)
    flips[[axis not in warp.mirror for axis in "ZYX"[-dims:]]] = 1.0
    axes = np.eye(dims)
    if warp.exchange and rng.random() < 0.5:
        axes[-2:] = axes[[-1, -2]]
    linear: NDArray[np.float64] = turn @ np.diag(flips) @ axes / zoom
    return linear


def _rotation(dims: int, plane: tuple[int, int], angle: float) -> NDArray[np.float64]:
    turn, (a, b) = np.eye(dims), plane
    turn[a, a] = turn[b, b] = np.cos(angle)
    turn[b, a] = np.sin(angle)
    turn[a, b] = -turn[b, a]
    return turn


def _center(
    example: Example, reach: NDArray[np.float64], focus: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    size = np.array(example.image.shape[1:], np.float64)
    wanted = rng.uniform(0, size - 1)
    if rng.random() < focus:
        found = _random_labeled_pixel(example, rng)
        wanted = wanted if found is None else found + rng.uniform(-reach / 2, reach / 2)
    inside = np.minimum(reach, (size - 1) / 2)  # a picture smaller than the patch stays in its middle
    return np.clip(wanted, inside, size - 1 - inside)


def _random_labeled_pixel(example: Example, rng: np.random.Generator) -> NDArray[np.float64] | None:
    """A pixel of a random object, or of a random class if there are no objects; any pixel to learn from if neither."""
    found = example.marked.draw(rng)
    if found is None and example.valid is not None and example.valid.any():
        pixels = np.flatnonzero(example.valid)
        found = int(pixels[rng.integers(pixels.size)])
    return None if found is None else np.array(np.unravel_index(found, example.image.shape[1:]), np.float64)


def _bend(shape: tuple[int, ...], warp: Warp, rng: np.random.Generator) -> NDArray[np.float32]:
    """Displacements ``(axes, *shape)`` in pixels."""
    if warp.elastic is not None:
        from scipy.ndimage import gaussian_filter

        alpha, sigma = warp.elastic
        noise = rng.uniform(-1, 1, (len(shape), *shape)).astype(np.float32)
        smoothed: NDArray[np.float32] = gaussian_filter(noise, (0, *(sigma,) * len(shape)), mode="constant")
        return np.float32(alpha) * smoothed
    coarse = tuple(max(3, n // 32) for n in shape)
    field = torch.from_numpy(rng.uniform(-1, 1, (1, len(shape), *coarse)).astype(np.float32))
    mode = "bicubic" if len(shape) == 2 else "trilinear"
    smooth = torch.nn.functional.interpolate(field, size=shape, mode=mode, align_corners=True)
    field_of_shifts: NDArray[np.float32] = np.float32(rng.uniform(0, warp.amplitude)) * smooth[0].numpy()
    return field_of_shifts


def _sample(example: Example, points: NDArray[np.float32], spatial: tuple[int, ...]) -> Example:
    extent = np.array([max(n - 1, 1) for n in spatial], np.float32).reshape(-1, *(1,) * len(spatial))
    grid = torch.from_numpy(np.ascontiguousarray(np.moveaxis((2 * points / extent - 1)[::-1], 0, -1)))[None]

    def take(values: NDArray[np.float32], mode: str) -> NDArray[np.float32]:
        sampled = torch.nn.functional.grid_sample(
            torch.from_numpy(values)[None], grid, mode, "reflection", align_corners=True
        )
        return sampled[0].numpy()

    image = take(np.ascontiguousarray(example.image), "bilinear")
    labels = np.rint(take(example.labels.astype(np.float32), "nearest")).astype(np.int32)
    labels[1] = _apart(labels[1])
    if example.valid is None:
        return Example(image, labels)
    return Example(image, labels, take(example.valid[None].astype(np.float32), "nearest")[0] > 0.5)


def _apart(objects: NDArray[np.int32]) -> NDArray[np.int32]:
    from skimage.measure import label

    if not (objects > 0).any():
        return objects
    parts = label(np.maximum(objects, 0), connectivity=1)  # type: ignore[no-untyped-call]
    return np.where(objects < 0, objects, parts).astype(np.int32)


def touching(objects: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Object pixels that have a face neighbor of another object: where two touch."""
    seam = np.zeros(objects.shape, bool)
    for axis in range(objects.ndim):
        low = tuple(slice(None, -1) if a == axis else slice(None) for a in range(objects.ndim))
        high = tuple(slice(1, None) if a == axis else slice(None) for a in range(objects.ndim))
        differ = (objects[low] != objects[high]) & (objects[low] > 0) & (objects[high] > 0)
        seam[low] |= differ
        seam[high] |= differ
    return seam
