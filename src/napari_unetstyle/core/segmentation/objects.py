"""Probability bytes to objects: each nucleus its own id, also where they touch.

The foreground's connected components with one seed (or none) are objects as they are; only those with several
are flooded by a watershed, and only there are pixels looked at. Since a watershed never leaves a connected
component, this is the same as flooding the whole picture at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.imaging.image import ArrayLike
from napari_unetstyle.core.progress import Progress, Steps, run, share
from napari_unetstyle.core.segmentation.postprocessing import BAND_PIXELS, bands, foreground, iter_paint
from napari_unetstyle.core.segmentation.runs import Positions, Runs, components, spread

SPECK_WIDTH = 1 / 4  # a seed narrower than this part of the widest beside it …
SPECK_HEIGHT = 1 / 2  # … and lower than this part of the highest is noise
_UNKNOWN = -1  # the seed of what lies outside a window
_TALL = 4  # bands
_CANVAS_PIXELS = 2**16  # flooded at once; a watershed jumps about, so it should fit the cache


def objects(
    values: ArrayLike, *, foreground_threshold: float = 0.5, seed_threshold: float = 0.5, min_pixels: int = 0
) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Object id of each pixel, and the class of each object.

    Foreground is where ``1 - background`` is at least `foreground_threshold`. Seeds are the connected parts of
    the foreground whose seed probability is above `seed_threshold`. Of the seeds in one connected component of
    the foreground, those that are narrower than a quarter of the widest (in diameter: fewer than 1/16 of its
    pixels in 2D) and also rise less than half as far above the threshold as the highest are noise and do not
    count. A component with one seed or none is one object; one with several is shared between them by a
    watershed on the inverted seed map. All connectivity is by faces: 4 neighbors in 2D, 6 in 3D.

    Parameters
    ----------
    values
        Probability bytes ``(C, *spatial)``: background, classes, and the seed map last.
    foreground_threshold, seed_threshold
        Probabilities in [0, 1].
    min_pixels
        Objects with fewer pixels become background.

    Returns
    -------
    labels
        int32, ids from 1 in raster order of each object's first pixel; 0 is background.
    classes
        uint8 ``(n,)``, class of each object: that with the largest sum of probability over its pixels, the
        first of them if several tie.
    """
    labels = np.zeros(values.shape[1:], np.int32)
    steps = iter_objects(
        values,
        labels,
        foreground_threshold=foreground_threshold,
        seed_threshold=seed_threshold,
        min_pixels=min_pixels,
    )
    return labels, run(steps)


def iter_objects(
    values: ArrayLike,
    out: NDArray[np.int32],
    *,
    foreground_threshold: float,
    seed_threshold: float,
    min_pixels: int = 0,
    first_id: int = 1,
    band: int | None = None,
) -> Steps[NDArray[np.uint8]]:
    """Like :func:`objects`, as a job that reads `values` and fills `out` in bands of `band` rows.

    Both may lie on disk; the labels do not depend on `band`. Memory grows with a few bands and with the number
    of objects, not with the size of the picture.

    Parameters
    ----------
    out
        Filled with the labels, ``values.shape[1:]``.
    first_id
        Id of the first object.

    Returns
    -------
    NDArray[np.uint8]
        Class of each object.
    """
    scene = yield from share(_iter_scan(values, foreground_threshold, seed_threshold, band), 0.0, 0.3)
    whole = scene.lone()
    parts = yield from share(_iter_flood(values, scene, band), 0.3, 0.8)
    found = numbered(Runs.joined([whole, *parts]), min_pixels)
    owners = yield from share(_iter_classes(values, found, band), 0.8, 0.9)
    labels = found.valued(found.value + np.int32(first_id - 1))
    yield from share(iter_paint(labels, out, band, "Writing labels"), 0.9, 1.0)
    return owners


@dataclass(frozen=True, kw_only=True, eq=False)
class _Scene:
    """What is seen before any pixel is flooded.

    Attributes
    ----------
    shape
        Of the picture.
    foreground
        Runs of the foreground; value: component, from 1.
    seeds
        Runs of the seeds that count; value: seed, from 1.
    host
        Index of the foreground run that each seed run lies in.
    shared
        For each component (index 0 is none): whether several seeds share it.
    """

    shape: tuple[int, ...]
    foreground: Runs
    seeds: Runs
    host: Positions
    shared: NDArray[np.bool_]

    def lone(self) -> Runs:
        """The components that are one object; value: a number above those of the seeds."""
        above = self.seeds.value.max(initial=0)
        return self.foreground.valued(np.where(self.shared[self.foreground.value], 0, above + self.foreground.value))

    def contested(self) -> _Contested:
        """The components that several seeds share."""
        chosen = np.flatnonzero(self.shared[self.foreground.value])
        return _Contested(shape=self.shape, foreground=self.foreground, seeds=self.seeds, host=self.host).part(chosen)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Contested:
    """Components and the seeds that share them; attributes as in :class:`_Scene`."""

    shape: tuple[int, ...]
    foreground: Runs
    seeds: Runs
    host: Positions

    def part(self, chosen: Positions) -> _Contested:
        """Some of the foreground's runs (sorted indices), with their seeds."""
        first, last = (chosen[0], chosen[-1] + 1) if len(chosen) else (0, 0)
        near = slice(*np.searchsorted(self.host, (first, last)))
        place = np.searchsorted(chosen, self.host[near])
        ours = chosen[place] == self.host[near]
        foreground, seeds = self.foreground[chosen], self.seeds[near][ours]
        return _Contested(shape=self.shape, foreground=foreground, seeds=seeds, host=place[ours])

    def batches(self, pixels: int) -> Iterator[_Contested]:
        """Whole components that begin in the same `pixels` pixels of the picture."""
        if not len(self.foreground):
            return
        _, first, component = np.unique(self.foreground.value, return_index=True, return_inverse=True)
        batch = (self.foreground.start[first] // pixels)[component]
        order = np.argsort(batch, kind="stable")
        for chosen in np.split(order, np.flatnonzero(np.diff(batch[order])) + 1):
            yield self.part(chosen)

    def between(self, start: int, stop: int) -> _Contested:
        """What lies in a range of positions; components may be cut."""
        here = self.foreground.within(start, stop)
        return self.part(np.arange(here.start, here.stop))

    def flooded(self, seed_map: NDArray[np.uint8], offset: int, cuts: Sequence[int] = ()) -> Runs:
        """Runs of the objects; value: the seed.

        `seed_map` is flat and begins at position `offset`; the rows `cuts` belong to an unknown seed.
        """
        runs, seeds = self.foreground, self.seeds
        before = np.cumsum(runs.length) - runs.length  # pixels in the runs before each
        height = 255 - seed_map[runs.positions() - offset].astype(np.float64)
        label = np.zeros(len(height), np.int32)
        pixels = spread(before[self.host] + seeds.start - runs.start[self.host], seeds.length)
        label[pixels] = np.repeat(seeds.value, seeds.length)
        frame = np.isin(runs.start // math.prod(self.shape[1:]), cuts)
        label[spread(before[frame], runs.length[frame])] = _UNKNOWN
        for canvas in _canvases(runs, self.shape):
            length = runs.length[canvas.runs]
            here, there = spread(before[canvas.runs], length), spread(canvas.start, length)
            label[here] = canvas.watershed(there, height[here], label[here])
        return _split(runs, before, label)


def _iter_scan(
    values: ArrayLike, foreground_threshold: float, seed_threshold: float, band: int | None
) -> Steps[_Scene]:
    level = math.floor(seed_threshold * 255 + 1e-6)
    shape = tuple(values.shape[1:])
    inside_parts, seed_parts, rises = [], [], []
    for part, progress in bands(shape, band, "Finding objects"):
        inside = foreground(np.asarray(values[0, part]), foreground_threshold)
        inside_parts.append(Runs.of(inside, part.start))
        seed_map = np.asarray(values[-1, part])
        seeds = Runs.of(inside & (seed_map > level), part.start)
        seed_parts.append(seeds)
        rises.append(_highest(seed_map, seeds, part.start) - level)
        yield progress
    return _scene(Runs.joined(inside_parts), Runs.joined(seed_parts), np.concatenate(rises), shape)


def _highest(block: NDArray[np.uint8], runs: Runs, first_row: int) -> Positions:
    """The largest value in each run, of rows `first_row` and following."""
    if not len(runs):
        return np.zeros(0, np.int64)
    pixels = block.reshape(-1)[runs.positions() - first_row * math.prod(block.shape[1:])]
    return np.maximum.reduceat(pixels, np.cumsum(runs.length) - runs.length).astype(np.int64)


def _scene(inside: Runs, seeds: Runs, rise: Positions, shape: tuple[int, ...]) -> _Scene:
    """Put together what was scanned; `rise` is how far each seed run rises above the threshold."""
    inside = inside.valued(components(inside, shape) + 1)
    seeds = seeds.valued(components(seeds, shape) + 1)
    host = np.searchsorted(inside.start, seeds.start, side="right") - 1
    count = int(inside.value.max(initial=0)) + 1

    size = np.bincount(seeds.value, seeds.length)
    height = np.zeros(len(size))
    np.maximum.at(height, seeds.value, rise)
    owner = np.zeros(len(size), np.int64)  # the component that each seed lies in
    owner[seeds.value] = inside.value[host]
    largest, highest = np.zeros((2, count))
    np.maximum.at(largest, owner, size)
    np.maximum.at(highest, owner, height)
    speck = (size < largest[owner] * SPECK_WIDTH ** len(shape)) & (height < highest[owner] * SPECK_HEIGHT)
    counts = (size > 0) & ~speck
    shared = np.bincount(owner[counts], minlength=count) > 1

    kept = np.flatnonzero(counts[seeds.value])
    return _Scene(shape=shape, foreground=inside, seeds=seeds[kept], host=host[kept], shared=shared)


def _iter_flood(values: ArrayLike, scene: _Scene, band: int | None) -> Steps[list[Runs]]:
    """Runs of the objects in components that several seeds share; value: the seed."""
    contested, plane = scene.contested(), math.prod(scene.shape[1:])
    rows = band or max(1, BAND_PIXELS // plane)
    batches = list(contested.batches(rows * plane))
    parts: list[Runs] = []
    for i, batch in enumerate(batches):
        steps = _iter_windows(values, batch, rows)
        parts += yield from share(steps, i / len(batches), (i + 1) / len(batches))
    return parts


def _iter_windows(values: ArrayLike, batch: _Contested, rows: int) -> Steps[list[Runs]]:
    """Flood a batch at once or, where it is tall, in windows of `rows` rows with a halo, to the same result.

    The first and last row of a window that cuts a component are flooded as if an unknown seed lay there, lower
    than all others. It reaches every pixel at least as early as anything from outside could, so what it does
    not reach is flooded as in the whole component, step by step. If it reaches into the window's own rows, the
    halo was too small.
    """
    plane = math.prod(batch.shape[1:])
    first, last = int(batch.foreground.start[0]) // plane, int(batch.foreground.stop.max() - 1) // plane + 1
    height = rows if last - first > _TALL * rows else last - first
    parts, start, halo = [], first, max(1, rows // 8)
    while start < last:
        stop = min(start + height, last)
        low, high = max(start - halo, first), min(stop + halo, last)
        cuts = [row for row, cut in ((low, low > first), (high - 1, high < last)) if cut]
        seed_map = np.asarray(values[-1, low:high]).reshape(-1)
        found = batch.between(low * plane, high * plane).flooded(seed_map, low * plane, cuts)
        core = found[found.within(start * plane, stop * plane)]
        if (core.value == _UNKNOWN).any():
            halo *= 2
        else:
            parts.append(core)
            start = stop
        yield Progress(start - first, last - first, "Separating objects")
    return parts


def _split(runs: Runs, before: Positions, label: NDArray[np.int32]) -> Runs:
    """The runs cut where the `label` of their pixels changes; `before` is the number of pixels before each."""
    begins = np.ones(len(label), bool)
    np.not_equal(label[1:], label[:-1], out=begins[1:])
    begins[before] = True
    first = np.flatnonzero(begins)
    run_of = np.searchsorted(before, first, side="right") - 1
    start = runs.start[run_of] + first - before[run_of]
    length = np.diff(first, append=len(label))
    return Runs(start=start, stop=start + length, value=label[first])


@dataclass(frozen=True, kw_only=True, eq=False)
class _Canvas:
    """A small array on which components lie side by side, far enough apart not to touch.

    Attributes
    ----------
    runs
        Indices of the runs on it.
    start
        Flat position of each of them on the canvas.
    shape
        Of the canvas.
    """

    runs: Positions
    start: Positions
    shape: tuple[int, ...]

    def watershed(self, there: Positions, height: NDArray[np.float64], marker: NDArray[np.int32]) -> NDArray[np.int32]:
        """Flood the pixels at `there`, given with their seed or 0; returns the seed that each belongs to.

        Markers of equal height are taken in raster order, where the order of scikit-image's queue would depend
        on everything else in the array.
        """
        from skimage.segmentation import watershed

        rank = np.arange(1, len(marker) + 1) / (len(marker) + 1)
        elevation, markers = np.zeros(self.shape), np.zeros(self.shape, np.int32)
        mask = np.zeros(self.shape, bool)
        lowest = np.where(marker == _UNKNOWN, 0, height) - 1 - (marker == _UNKNOWN) + rank
        elevation.reshape(-1)[there] = np.where(marker, lowest, height)
        markers.reshape(-1)[there] = marker
        mask.reshape(-1)[there] = marker == 0
        front = _beside(mask) & (markers != 0)  # the inside of a seed has nothing to flood
        flooded = watershed(elevation, markers * front, mask=mask | front)  # type: ignore[no-untyped-call]
        return np.where(marker, marker, flooded.reshape(-1)[there])


def _beside(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where a face is shared with a pixel of `mask`."""
    beside = np.zeros_like(mask)
    for axis in range(mask.ndim):
        there, here = np.moveaxis(mask, axis, 0), np.moveaxis(beside, axis, 0)
        here[1:] |= there[:-1]
        here[:-1] |= there[1:]
    return beside


def _canvases(runs: Runs, shape: tuple[int, ...]) -> Iterator[_Canvas]:
    """Lay out components (`runs.value`), those of like height together."""
    _, component = np.unique(runs.value, return_inverse=True)
    count = int(component.max()) + 1
    low, high = np.stack(np.unravel_index(runs.start, shape)), np.stack(np.unravel_index(runs.stop - 1, shape))
    corner, extent = np.empty((len(shape), count), np.int64), np.empty((len(shape), count), np.int64)
    for axis in range(len(shape)):
        corner[axis], extent[axis] = shape[axis], 0
        np.minimum.at(corner[axis], component, low[axis])
        np.maximum.at(extent[axis], component, high[axis] + 1)
    extent -= corner
    order = np.lexsort(extent[:-1])
    group = np.empty(count, np.int64)
    group[order] = np.cumsum(np.prod(extent + 1, axis=0)[order]) // _CANVAS_PIXELS
    by_group = np.argsort(group[component], kind="stable")
    for chosen in np.split(by_group, np.flatnonzero(np.diff(group[component][by_group])) + 1):
        members, member = np.unique(component[chosen], return_inverse=True)
        width = extent[-1, members] + 1  # a column between neighbors
        canvas = (*extent[:-1, members].max(axis=1).tolist(), int(width.sum()))
        place = low[:, chosen] - corner[:, component[chosen]]
        place[-1] += (np.cumsum(width) - width)[member]
        yield _Canvas(runs=chosen, start=np.ravel_multi_index(tuple(place), canvas), shape=canvas)


def numbered(runs: Runs, min_pixels: int) -> Runs:
    """Give ids from 1 in raster order of first pixels to the objects of at least `min_pixels`; drop the others."""
    size = np.bincount(runs.value, runs.length, minlength=1)
    first = np.full(len(size), len(runs))
    first[runs.value[::-1]] = np.arange(len(runs))[::-1]  # the last assignment, so the first run, stays
    kept = np.flatnonzero((size >= max(1, min_pixels)) & (np.arange(len(size)) > 0))
    ids = np.zeros(len(size), np.int32)
    ids[kept[np.argsort(first[kept])]] = np.arange(1, len(kept) + 1)
    return runs.valued(ids[runs.value])


def _iter_classes(values: ArrayLike, found: Runs, band: int | None) -> Steps[NDArray[np.uint8]]:
    """Class of each object."""
    shape, classes, count = values.shape[1:], values.shape[0] - 2, int(found.value.max(initial=0))
    if classes == 1:
        return np.ones(count, np.uint8)
    plane, sums = math.prod(shape[1:]), np.zeros((classes, count + 1))
    for part, progress in bands(shape, band, "Finding classes"):
        here = found[found.within(part.start * plane, part.stop * plane)]
        pixels, label = here.positions() - part.start * plane, np.repeat(here.value, here.length)
        block = np.asarray(values[1:-1, part]).reshape(classes, -1)
        sums += [np.bincount(label, probability[pixels], minlength=count + 1) for probability in block]
        yield progress
    owners: NDArray[np.uint8] = (sums.argmax(axis=0) + 1).astype(np.uint8)
    return owners[1:]
