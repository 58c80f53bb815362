"""Does the mask still describe the picture after its style was changed?

A style can move, erase or invent structure, and then the labels lie. Three things are measured where the mask has its
border, all blind to gamma, gain, shading and to an inversion of the whole picture: whether edges are where they were,
whether each object still differs from what is round it, and whether what is seen comes from the picture.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.errors import ImageError
from napari_unetstyle.core.style.pixels import Pixels, luminance

_Field = NDArray[np.float32]  # (*spatial), one value a pixel

LEAST_EDGES = 0.9
LEAST_CONTRAST = 0.75
LEAST_STRUCTURE = 0.75
INVERTED = "Bright and dark have changed places everywhere."

_TAILS = (0.1, 99.9)
_BAND = 3  # pixels to either side of the border
_WINDOW = 2.0  # standard deviation in pixels of the window of the structural similarity
_GRAIN = 1.0  # standard deviation in pixels below which variation is noise, not structure
_FLOOR = 1e-5  # of the squared span: below it a window is flat
_STEP, _FAR = 2, 3  # pixels by which edges are displaced for the comparison
_VISIBLE = 0.5  # standard deviations between inside and outside of an object that can be judged
_WEAKER = 0.2  # of its contrast, as a part of the picture's span, is what an object must keep
_DULLER = 0.4  # of its distance from the surroundings, in standard deviations
_CLEAR = 2.0  # standard deviations beyond which more distance makes nothing clearer


@dataclass(frozen=True, kw_only=True)
class ContentCheck:
    """How well a mask still fits a picture whose style was changed; each number is 1 if nothing was lost.

    Attributes
    ----------
    edges
        Agreement of the edges along the mask border with those of the source, in place, against the best agreement
        that a displacement of 2 to 3 pixels gives.
    contrast
        Share of the objects (of those that could be told from their surroundings in the source) that still can, all
        brighter or darker than the source has them, or all inverted.
    structure
        Structural similarity (the correlation term of Wang et al. 2004) in a band round the border; or, if less, the
        share of the variation elsewhere that comes from the source and was not made up.
    is_inverted
        Whether bright became dark.
    holds
        Whether the labels can be trusted.
    words
        For a person.
    """

    edges: float
    contrast: float
    structure: float
    is_inverted: bool
    holds: bool
    words: str


def check_content(content: Pixels, styled: Pixels, labels: NDArray[Any]) -> ContentCheck:
    """Compare a picture with its styled version where the labels have their borders.

    Parameters
    ----------
    content, styled
        ``(C, *spatial)`` of any range; the numbers of channels may differ.
    labels
        Whole numbers ``(*spatial)``: 0 is background, a negative number is unknown. Objects or classes.

    Returns
    -------
    ContentCheck
        With labels that have no border, the structure of the whole picture alone is judged.

    Raises
    ------
    ImageError
        If the shapes do not fit, or a pixel is NaN or Inf.
    """
    return Content(content, labels).judge(styled)


@dataclass(frozen=True, eq=False)
class Content:
    """A picture with labels that is judged in several styles; what is measured of it itself is measured once.

    Attributes
    ----------
    pixels, labels
        As for :func:`check_content`.
    """

    pixels: Pixels
    labels: NDArray[Any]

    def judge(self, styled: Pixels) -> ContentCheck:
        """As :func:`check_content`; errors as there."""
        before, after = self._before, _field(styled)
        if not before.shape == after.shape == self.labels.shape:
            raise ImageError(
                f"The picture {before.shape}, its styled version {after.shape} and the labels {self.labels.shape} "
                "must have the same shape. Give all three of one picture."
            )
        objects, rings, band = self._areas
        bands, variance = self._windows
        now = _bands(after)
        covariance, changed = _blurred(bands * now), _blurred(now * now)
        sign = -1.0 if covariance[band].sum() < 0 else 1.0
        has_border = bool((rings > 0).any())
        edges = _edges(self._slopes, sign * after, np.where(band, objects + rings, 0)) if has_border else 1.0
        contrast = _contrast(self._differences, _differences(sign * after, objects, rings)) if has_border else 1.0
        structure = _structure(sign * covariance, variance, changed, band, self.labels >= 0)
        return _judged(edges, contrast, structure, sign < 0)

    @cached_property
    def _before(self) -> _Field:
        return _field(self.pixels)

    @cached_property
    def _areas(self) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.bool_]]:
        """Objects, what is near them, and the band round their borders."""
        objects, rings = _objects(self.labels)
        return objects, rings, _band(objects, rings)

    @cached_property
    def _windows(self) -> tuple[_Field, _Field]:
        bands = _bands(self._before)
        return bands, _blurred(bands * bands)

    @cached_property
    def _slopes(self) -> _Field:
        return _gradient(self._before)

    @cached_property
    def _differences(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        objects, rings, _ = self._areas
        return _differences(self._before, objects, rings)


def _field(pixels: Pixels) -> _Field:
    """One value a pixel, its usual range at 0..1."""
    if not np.isfinite(pixels).all():
        raise ImageError("The picture has pixels that are NaN or Inf. Replace them before its style is changed.")
    one = luminance(pixels)
    low, high = np.percentile(one, _TAILS)
    if high - low <= 1e-6 * max(abs(low), abs(high), 1e-30):
        low, high = float(one.min()), float(one.max())
    return np.asarray((one - low) / (high - low if high > low else 1), np.float32)


def _objects(labels: NDArray[Any]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Connected areas of one value, numbered from 1; and by the same numbers what lies outside, but near."""
    from skimage.measure import label
    from skimage.segmentation import expand_labels

    objects = label(np.maximum(labels, 0)).astype(np.int32)  # type: ignore[no-untyped-call]
    near = expand_labels(objects, _BAND)  # type: ignore[no-untyped-call]
    rings = np.where(labels == 0, near, 0).astype(np.int32)
    return objects, rings


def _band(objects: NDArray[np.int32], rings: NDArray[np.int32]) -> NDArray[np.bool_]:
    from scipy.ndimage import distance_transform_edt

    if not rings.any():
        return np.ones(objects.shape, bool)
    inner = distance_transform_edt(rings == 0) <= _BAND
    return (rings > 0) | (inner & (objects > 0))


def _bands(field: _Field) -> _Field:
    """What is coarser than grain and finer than the window; its products are blurred to covariances there."""
    return _blurred(field, _GRAIN) - _blurred(field, np.hypot(_GRAIN, _WINDOW))


def _blurred(field: _Field, sigma: float = _WINDOW) -> _Field:
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter(field, sigma, truncate=3), np.float32)


def _structure(
    covariance: _Field, variance: _Field, changed: _Field, band: NDArray[np.bool_], known: NDArray[np.bool_]
) -> float:
    likeness = covariance[band].sum() / (np.sqrt(variance * changed)[band].sum() + _FLOOR * band.sum())
    made_up = np.maximum(changed - covariance**2 / (variance + _FLOOR), 0)  # what no local gain and offset explains
    elsewhere = known & ~band
    if not elsewhere.any():
        return float(np.clip(likeness, 0, 1))
    real = changed[band].mean()
    own = real / (real + made_up[elsewhere].mean() + 1e-12)
    return float(np.clip(min(likeness, own), 0, 1))


def _contrast(
    before: tuple[NDArray[np.float64], NDArray[np.float64]], after: tuple[NDArray[np.float64], NDArray[np.float64]]
) -> float:
    """From the differences of the objects, see :func:`_differences`."""
    (was, was_clear), (now, now_clear) = before, after
    with np.errstate(invalid="ignore"):  # an object without background round it has no difference
        visible = np.abs(was_clear) > _VISIBLE
        strong = now * np.sign(was) >= _WEAKER * np.abs(was)
        clear = now_clear * np.sign(was) >= _DULLER * np.minimum(np.abs(was_clear), _CLEAR)
    return float((strong & clear)[visible].mean()) if visible.any() else 1.0


def _differences(
    field: _Field, objects: NDArray[np.int32], rings: NDArray[np.int32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Inside minus outside of each object: of the span, and in standard deviations."""
    count = int(objects.max())
    (inside, spread), (outside, noise) = (_moments(field, areas, count) for areas in (objects, rings))
    difference = inside - outside
    return difference, difference / np.sqrt((spread + noise) / 2 + _FLOOR)


def _moments(field: _Field, areas: NDArray[np.int32], count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    numbers, values = areas[areas > 0], field[areas > 0].astype(np.float64)
    sizes, sums, squares = (np.bincount(numbers, w, count + 1)[1:] for w in (np.ones_like(values), values, values**2))
    with np.errstate(invalid="ignore"):
        mean = sums / sizes
        return mean, np.maximum(squares / sizes - mean**2, 0)


def _edges(slopes: _Field, after: _Field, borders: NDArray[np.int32]) -> float:
    """Agreement with the gradient of the picture as it was."""
    at = np.nonzero(borders)
    numbers = borders[at]
    was = np.stack([slope[at] for slope in slopes])
    padded = np.pad(_gradient(after), [(0, 0), *[(_FAR, _FAR)] * after.ndim], mode="edge")
    size = int(numbers.max()) + 1

    def agreement(offset: tuple[int, ...]) -> NDArray[np.float64]:
        there = tuple(index + _FAR + step for index, step in zip(at, offset, strict=True))
        now = np.stack([slope[there] for slope in padded])
        products = np.bincount(numbers, (was * now).sum(axis=0), size)
        energy = np.bincount(numbers, (now * now).sum(axis=0), size)
        return np.asarray(products / np.sqrt(energy * strength + 1e-12))

    strength = np.bincount(numbers, (was * was).sum(axis=0), size)
    in_place = agreement((0,) * after.ndim)
    displaced = np.max([agreement(offset) for offset in _offsets(after.ndim)], axis=0)
    kept = np.clip(in_place, 0, None) / np.maximum(np.maximum(in_place, displaced), 1e-6)
    return float((kept * strength).sum() / max(strength.sum(), 1e-12)) if strength.sum() > 1e-9 else 1.0


def _gradient(field: _Field) -> _Field:
    from scipy.ndimage import gaussian_filter

    orders = np.eye(field.ndim, dtype=int)
    return np.stack([gaussian_filter(field, 1.0, order=tuple(order)) for order in orders]).astype(np.float32)


def _offsets(dims: int) -> list[tuple[int, ...]]:
    around = [o for o in itertools.product((-_STEP, 0, _STEP), repeat=dims) if any(o)]
    straight = [tuple(sign * _FAR * int(i == axis) for i in range(dims)) for axis in range(dims) for sign in (-1, 1)]
    return around + straight


def _judged(edges: float, contrast: float, structure: float, is_inverted: bool) -> ContentCheck:
    wrong = [
        text
        for is_wrong, text in (
            (edges < LEAST_EDGES, "the borders of the objects have moved"),
            (contrast < LEAST_CONTRAST, f"{1 - contrast:.0%} of the objects no longer differ from what is around them"),
            (structure < LEAST_STRUCTURE, "structure appeared or vanished that the labels know nothing of"),
        )
        if is_wrong
    ]
    inverted = f" {INVERTED}" if is_inverted else ""
    words = f"The labels no longer fit: {'; '.join(wrong)}." if wrong else f"The labels still fit.{inverted}"
    return ContentCheck(
        edges=edges, contrast=contrast, structure=structure, is_inverted=is_inverted, holds=not wrong, words=words
    )
