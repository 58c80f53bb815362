"""Probability bytes to objects: each nucleus its own id, also where they touch.

The foreground's connected components with one seed are objects as they are; only those with several are flooded
by a watershed, and only there are pixels looked at. Since a watershed never leaves a connected
component, this is the same as flooding the whole picture at once.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core import scratch
from napari_unetstyle.core.imaging.image import ArrayLike
from napari_unetstyle.core.progress import Progress, Steps, run, share
from napari_unetstyle.core.segmentation.canvas import UNKNOWN, Canvas, canvases
from napari_unetstyle.core.segmentation.postprocessing import bands, foreground, iter_paint, shared_rows
from napari_unetstyle.core.segmentation.relief import LEVELS, filled, iter_relief
from napari_unetstyle.core.segmentation.runs import Positions, Runs, components, spread
from napari_unetstyle.core.side_by_side import side_by_side

_FLOOR = LEVELS  # a depth of one pixel
_TALL = 4  # bands


def objects(
    values: ArrayLike,
    *,
    foreground_threshold: float = 0.5,
    seed_rise: float = 0.75,
    zoom: float = 1.0,
    fill_holes: bool = False,
    min_pixels: int = 0,
) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Object id of each pixel, and the class of each object.

    Foreground is where ``1 - background`` is at least `foreground_threshold`. Seeds are the tops of its relief
    (:mod:`relief`: how deep a pixel lies) that rise by more than `seed_rise` above a depth of one pixel and above
    the saddle to any higher top (h-maxima, Soille 2003, section 6.3.5: how a top is told from a ripple, however
    high it is). A component of the foreground with one seed is one object; one with several is shared between them
    by a watershed on the inverted relief; one without is noise and left out. All connectivity is by faces: 4
    neighbors in 2D, 6 in 3D.

    Parameters
    ----------
    values
        Probability bytes ``(C, *spatial)``: background, classes, and the network's map ``"depth"`` last.
    foreground_threshold
        Probability in [0, 1].
    seed_rise
        Depth in pixels of the network.
    zoom
        Pixels of the network per pixel of the picture.
    fill_holes
        Holes in the foreground of at most an eighth of what is around them count as foreground: a pale middle is no
        hole in a nucleus.
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
        seed_rise=seed_rise,
        zoom=zoom,
        fill_holes=fill_holes,
        min_pixels=min_pixels,
    )
    return labels, run(steps)


def iter_objects(
    values: ArrayLike,
    out: NDArray[np.int32],
    *,
    foreground_threshold: float,
    seed_rise: float = 0.75,
    zoom: float = 1.0,
    fill_holes: bool = False,
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
    shape, rise = tuple(values.shape[1:]), round(seed_rise * LEVELS)
    inside = yield from share(_iter_foreground(values, foreground_threshold, fill_holes, band), 0.0, 0.1)
    relief = scratch.zeros(shape, np.uint8)
    yield from share(scratch.releasing(iter_relief(values[-1], inside, relief, zoom, band), relief), 0.1, 0.3)
    hills = yield from share(_iter_hills(relief, inside, rise, band), 0.3, 0.4)
    seeds = yield from share(_iter_seeds(relief, hills, rise, band), 0.4, 0.5)
    scene = _scene(inside, seeds, shape)
    whole = scene.lone()
    parts = yield from share(_iter_flood(relief, scene, band), 0.5, 0.8)
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
        Runs of the seeds; value: seed, from 1.
    host
        Index of the foreground run that each seed run lies in.
    count
        Seeds in each component (index 0 is none).
    """

    shape: tuple[int, ...]
    foreground: Runs
    seeds: Runs
    host: Positions
    count: Positions

    def lone(self) -> Runs:
        """The components that are one object; value: a number above those of the seeds."""
        above, component = self.seeds.value.max(initial=0), self.foreground.value
        return self.foreground.valued(np.where(self.count[component] == 1, above + component, 0))

    def contested(self) -> _Contested:
        """The components that several seeds share."""
        chosen = np.flatnonzero(self.count[self.foreground.value] > 1)
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
        return (self.part(chosen) for chosen in _together(self.foreground, pixels))

    def between(self, start: int, stop: int) -> _Contested:
        """What lies in a range of positions; components may be cut."""
        here = self.foreground.within(start, stop)
        return self.part(np.arange(here.start, here.stop))

    def flooded(self, relief: NDArray[np.uint8], offset: int, cuts: Sequence[int] = ()) -> Runs:
        """Runs of the objects; value: the seed.

        `relief` is flat and begins at position `offset`; the rows `cuts` belong to an unknown seed.
        """
        runs, seeds = self.foreground, self.seeds
        before = np.cumsum(runs.length) - runs.length  # pixels in the runs before each
        height = np.float32(255) - relief[runs.positions() - offset]
        label = np.zeros(len(height), np.int32)
        pixels = spread(before[self.host] + seeds.start - runs.start[self.host], seeds.length)
        label[pixels] = np.repeat(seeds.value, seeds.length)
        frame = np.isin(runs.start // math.prod(self.shape[1:]), cuts)
        label[spread(before[frame], runs.length[frame])] = UNKNOWN
        for canvas in canvases(runs, self.shape):
            length = runs.length[canvas.runs]
            here, there = _pixels(canvas, before, length), spread(canvas.start, length)
            label[here] = canvas.watershed(there, height[here], label[here])
        return _split(runs, before, label)


def _iter_foreground(values: ArrayLike, threshold: float, fill_holes: bool, band: int | None) -> Steps[Runs]:
    """Runs of the foreground; value: component, from 1."""
    shape = tuple(values.shape[1:])
    inside: list[Runs] = []
    outside: list[Runs] = []
    for part, progress in bands(shape, band, "Finding objects"):
        here = foreground(np.asarray(values[0, part]), threshold)
        inside.append(Runs.of(here, part.start))
        if fill_holes:
            outside.append(Runs.of(~here, part.start))
        yield progress
    runs = Runs.joined(inside)
    return filled(runs, Runs.joined(outside), shape) if fill_holes else runs.valued(components(runs, shape) + 1)


def _iter_hills(relief: NDArray[np.uint8], inside: Runs, rise: int, band: int | None) -> Steps[Runs]:
    """Runs of the hills (value: hill): connected parts of the foreground above `_FLOOR`.

    Those that nowhere rise more than `rise` above it are left out.
    """
    parts, heights = [], []
    for part, progress in bands(relief.shape, band, "Finding objects"):
        block = np.asarray(relief[part])
        hills = Runs.of(inside.paint(part.start, block.shape, np.bool_) & (block > _FLOOR), part.start)
        parts.append(hills)
        heights.append(_highest(block, hills, part.start))
        yield progress
    hills = Runs.joined(parts)
    hills = hills.valued(components(hills, relief.shape) + 1)
    top = np.zeros(int(hills.value.max(initial=0)) + 1, np.int64)
    np.maximum.at(top, hills.value, np.concatenate(heights))
    return hills[np.flatnonzero(top[hills.value] > _FLOOR + rise)]


def _highest(block: NDArray[np.uint8], runs: Runs, first_row: int) -> Positions:
    """The largest value in each run, of rows `first_row` and following."""
    if not len(runs):
        return np.zeros(0, np.int64)
    pixels = block.reshape(-1)[runs.positions() - first_row * math.prod(block.shape[1:])]
    return np.maximum.reduceat(pixels, np.cumsum(runs.length) - runs.length).astype(np.int64)


def _iter_seeds(relief: NDArray[np.uint8], hills: Runs, rise: int, band: int | None) -> Steps[Runs]:
    """Runs of the seeds; value: seed, from 1."""
    shape, plane = relief.shape, math.prod(relief.shape[1:])
    batches = list(_together(hills, plane * (band or shared_rows(shape))))
    parts = [hills[:0]]

    def one(chosen: Positions) -> list[Runs]:
        runs = hills[chosen]
        first, last = int(runs.start[0]) // plane, int(runs.stop.max() - 1) // plane + 1
        rows = np.asarray(relief[first:last]).reshape(-1)
        return _seeds(runs, shape, rows, first * plane, rise)

    for i, found in enumerate(side_by_side(one, batches), 1):
        parts += found
        yield Progress(i, len(batches), "Finding objects")
    seeds = Runs.joined(parts)
    return seeds.valued(components(seeds, shape) + 1)


def _seeds(hills: Runs, shape: tuple[int, ...], relief: NDArray[np.uint8], offset: int, rise: int) -> list[Runs]:
    """Runs of the seeds on whole hills, in no order; most hills have one maximum, which then is the seed."""
    maxima = _tops(hills, shape, relief, offset, 0)
    number = components(maxima, shape)
    _, first = np.unique(number, return_index=True)
    several = np.bincount(maxima.value[first], minlength=int(hills.value.max()) + 1) > 1
    if not rise or not several.any():
        return [maxima]
    rough = hills[np.flatnonzero(several[hills.value])]
    return [maxima[np.flatnonzero(~several[maxima.value])], _tops(rough, shape, relief, offset, rise)]


def _tops(hills: Runs, shape: tuple[int, ...], relief: NDArray[np.uint8], offset: int, rise: int) -> Runs:
    """Runs of the tops that rise by more than `rise` above the saddle to any higher one; value: hill.

    `relief` is flat and begins at position `offset`.
    """
    before = np.cumsum(hills.length) - hills.length
    height = relief[hills.positions() - offset] - np.uint8(_FLOOR)
    top = np.zeros(len(height), np.int32)
    for canvas in canvases(hills, shape):
        length = hills.length[canvas.runs]
        here, there = _pixels(canvas, before, length), spread(canvas.start, length)
        top[here] = canvas.tops(there, height[here], rise) * np.repeat(hills.value[canvas.runs], length)
    split = _split(hills, before, top)
    return split[np.flatnonzero(split.value)]


def _scene(inside: Runs, seeds: Runs, shape: tuple[int, ...]) -> _Scene:
    host = np.searchsorted(inside.start, seeds.start, side="right") - 1
    owner = np.zeros(int(seeds.value.max(initial=0)) + 1, np.int64)  # the component that each seed lies in
    owner[seeds.value] = inside.value[host]
    count = np.bincount(owner[1:], minlength=int(inside.value.max(initial=0)) + 1)
    return _Scene(shape=shape, foreground=inside, seeds=seeds, host=host, count=count)


def _together(runs: Runs, pixels: int) -> Iterator[Positions]:
    """Indices of whole components (`runs.value`) that begin in the same `pixels` pixels of the picture."""
    if not len(runs):
        return
    _, first, component = np.unique(runs.value, return_index=True, return_inverse=True)
    batch = (runs.start[first] // pixels)[component]
    order = np.argsort(batch, kind="stable")
    yield from np.split(order, np.flatnonzero(np.diff(batch[order])) + 1)


def _iter_flood(relief: NDArray[np.uint8], scene: _Scene, band: int | None) -> Steps[list[Runs]]:
    """Runs of the objects in components that several seeds share; value: the seed."""
    contested, plane = scene.contested(), math.prod(scene.shape[1:])
    rows = band or shared_rows(scene.shape)
    batches = list(contested.batches(rows * plane))
    parts: list[Runs] = []
    ended = threading.Event()
    try:
        for i, found in enumerate(side_by_side(lambda batch: _flooded(relief, batch, rows, ended), batches), 1):
            parts += found
            yield Progress(i, len(batches), "Separating objects")
    finally:
        ended.set()
    return parts


def _flooded(relief: NDArray[np.uint8], batch: _Contested, rows: int, ended: threading.Event) -> list[Runs]:
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
    while start < last and not ended.is_set():
        stop = min(start + height, last)
        low, high = max(start - halo, first), min(stop + halo, last)
        cuts = [row for row, cut in ((low, low > first), (high - 1, high < last)) if cut]
        depth = np.asarray(relief[low:high]).reshape(-1)
        found = batch.between(low * plane, high * plane).flooded(depth, low * plane, cuts)
        core = found[found.within(start * plane, stop * plane)]
        if (core.value == UNKNOWN).any():
            halo *= 2
        else:
            parts.append(core)
            start = stop
    return parts


def _pixels(canvas: Canvas, before: Positions, length: Positions) -> Positions | slice:
    """Which of all pixels of the runs lie on a canvas; `before` is the number of pixels before each run."""
    is_only = len(canvas.runs) == len(before)
    return slice(None) if is_only else spread(before[canvas.runs], length)


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
