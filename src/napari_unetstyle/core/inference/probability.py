"""From normalized pixels to probability bytes, strip by strip."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_unetstyle.core.errors import DeviceError
from napari_unetstyle.core.free_memory import SHORT, give_back, is_out_of_memory
from napari_unetstyle.core.inference.line import Turn, in_order
from napari_unetstyle.core.inference.statistics import Picture, fold_and_answer, fold_in_turn
from napari_unetstyle.core.inference.streaming import Band, Reach, Stream, bands, stream_bytes
from napari_unetstyle.core.networks.unet import UNet
from napari_unetstyle.core.progress import Progress, Steps
from napari_unetstyle.core.side_by_side import workers

Box = tuple[slice, ...]
_STRIP_PIXELS = {2: 2**17, 3: 2**19}  # small enough for the caches of a CPU; thin slabs of a volume waste work
_STRIP_PIXELS_GPU = 2**21
_AT_ONCE = {2: 4, 3: 2}  # strips of volumes are large: PyTorch's threads share one, and each takes memory
_WIDEST = {2: 2**13, 3: 2**20}  # longer rows and larger slices are cut, so that memory does not grow with the picture


@dataclass(frozen=True, kw_only=True)
class Engine:
    """How the network is run; nothing here changes a pixel's value beyond float rounding.

    Attributes
    ----------
    device
        Where it runs.
    dtype
        ``torch.float32``, or a half type for mixed precision.
    tile
        Strips hold about the square of this many pixels; None: as many as suit the device.
    dims
        Spatial dimensions of what it runs on.
    memory
        Bytes that the network may take while it runs; larger pictures are cut into columns.
    said
        Sentences that a person should read about a run, added while it goes on.
    """

    device: torch.device
    dtype: torch.dtype = torch.float32
    tile: int | None = None
    dims: int = 2
    memory: int = 2**30
    said: list[str] = field(default_factory=list, compare=False)

    @property
    def strip_pixels(self) -> int:
        """Pixels that go through the network at once."""
        if self.tile is not None:
            return self.tile**2
        return _STRIP_PIXELS[self.dims] if self.device.type == "cpu" else _STRIP_PIXELS_GPU

    @property
    def at_once(self) -> int:
        """Strips that go through the network side by side."""
        return min(workers(), _AT_ONCE[self.dims]) if self.device.type == "cpu" else 1

    def tensor(self, pixels: NDArray[np.float32]) -> Tensor:
        """Pixels ``(C, *spatial)`` as a batch of one, laid out as the convolutions like it."""
        layout = torch.channels_last if pixels.ndim == 3 else torch.channels_last_3d
        batch = torch.from_numpy(np.ascontiguousarray(pixels))[None]
        return batch.to(self.device, self.dtype).contiguous(memory_format=layout)

    def network(self, network: UNet) -> UNet:
        """The folded network, ready for :meth:`tensor`."""
        layout = torch.channels_last if network.head.weight.ndim == 4 else torch.channels_last_3d
        return network.to(self.device, self.dtype).to(memory_format=layout)


def iter_probabilities(
    network: UNet, picture: Picture, out: NDArray[np.uint8], box: Box, engine: Engine, *, seeds: bool
) -> Steps[None]:
    """Fill `out` with the probabilities of the pixels inside `box`.

    Parameters
    ----------
    network
        Folded for this picture, prepared by ``engine.network``.
    picture
        Normalized pixels; read in strips of the first axis, in order.
    out
        ``(channels, *box)``, value ``round(255 p)``: softmax over the classes (background first), then, with
        `seeds`, the sigmoid of the last logit. May lie on disk.
    box
        Part of the picture; a part gets the same values as in the whole.
    """
    whole, done = _area(box[1:]), 0
    columns, pixels = deque(columns_of(network, box, picture.shape, engine)), engine.strip_pixels
    words = "Segmenting"
    while columns:
        column = columns.popleft()
        cut = Cut.of(network, (box[0], *column), picture.shape, pixels)
        try:
            for progress in _iter_cut(network, picture, out, box, cut, engine, seeds=seeds):
                step = done + progress.fraction * _area(column)
                yield Progress(round(1000 * step / whole), 1000, words)
        except (MemoryError, RuntimeError) as error:  # torch's are RuntimeErrors
            if not is_out_of_memory(error):
                raise
            pixels, smaller = _one_step_down(network, column, cut, pixels)
            if not smaller:
                raise DeviceError(
                    f"Not enough memory on {engine.device} even for {cut}. "
                    "Close other programs, choose device 'cpu', or segment a smaller part."
                ) from error
            columns.extendleft(reversed(smaller))
            words = SHORT
        else:
            done += _area(column)
            continue
        if SHORT not in engine.said:
            engine.said.append(SHORT)
        _release(engine.device)  # after the error, which holds on to what was computed


@dataclass(frozen=True)
class Cut:
    """A part of the picture and what must be computed to know it exactly: strips of rows of one column.

    Attributes
    ----------
    bands
        The part with its halo, for each axis.
    rows
        Height of the strips.
    """

    bands: tuple[Band, ...]
    rows: int

    @classmethod
    def of(cls, network: UNet, part: Box, shape: tuple[int, ...], pixels: int) -> Cut:
        """For a part of a picture of `shape`, in strips of about `pixels`."""
        reaches = [Reach.of(network, axis) for axis in range(len(part))]
        each = [bands(s.start, s.stop, n, 1, r)[0] for s, n, r in zip(part, shape, reaches, strict=True)]
        plane = math.prod(band.width for band in each[1:])
        window = reaches[0].window
        rows = pixels // plane // window * window or max(pixels // plane, _fewest_rows(network))
        return cls(tuple(each), min(rows, each[0].width))

    def strips(self) -> list[slice]:
        """Ranges of the first axis, in order."""
        start, stop = self.bands[0].outer_start, self.bands[0].outer_stop
        return [slice(a, min(a + self.rows, stop)) for a in range(start, stop, self.rows)]

    @property
    def plane(self) -> tuple[int, ...]:
        """Lengths of the axes that are not cut into strips."""
        return tuple(band.width for band in self.bands[1:])

    def __str__(self) -> str:
        return f"strips of {' x '.join(map(str, (self.rows, *self.plane)))} pixels"


def _fewest_rows(network: UNet) -> int:
    """Rows of a picture are cheap, so strips are whole windows; slices of a volume are not."""
    return Reach.of(network, 0).window if network.head.weight.ndim == 4 else 1


def columns_of(network: UNet, box: Box, shape: tuple[int, ...], engine: Engine) -> list[Box]:
    """Parts of the axes that are not streamed: as few as the memory allows."""
    counts = [1] * (len(box) - 1)
    while True:
        parts = [_split(s, n) for s, n in zip(box[1:], counts, strict=True)]
        widest = (box[0], *(max(part, key=lambda s: s.stop - s.start) for part in parts))
        cut = Cut.of(network, widest, shape, engine.strip_pixels)
        axis, is_narrow = _longest(network, widest[1:]), _area(widest[1:]) <= _WIDEST[len(box)]
        needed = stream_bytes(network, cut.rows, cut.bands[0].width, cut.plane, engine.dtype.itemsize, engine.at_once)
        if axis is None or (is_narrow and needed <= engine.memory):
            return list(itertools.product(*parts))
        counts[axis] += 1


def _split(whole: slice, count: int) -> list[slice]:
    edges = [whole.start + (whole.stop - whole.start) * i // count for i in range(count + 1)]
    return [slice(a, b) for a, b in itertools.pairwise(edges)]


def _longest(network: UNet, column: Box) -> int | None:
    """The axis along which it helps most to cut a column; None if hardly more than halos would be left."""
    margins = [Reach.of(network, axis + 1).halo for axis in range(len(column))]
    spare = [s.stop - s.start - margin for s, margin in zip(column, margins, strict=True)]
    return int(np.argmax(spare)) if max(spare) > 0 else None


def _one_step_down(network: UNet, column: Box, cut: Cut, pixels: int) -> tuple[int, list[Box]]:
    """What to try when memory was missing: half the rows in a strip, then half the column; [] if nothing is left."""
    if cut.rows > _fewest_rows(network):
        return min(pixels, cut.rows * math.prod(cut.plane)) // 2, [column]
    axis = _longest(network, column)
    if axis is None:
        return pixels, []
    halves = _split(column[axis], 2)
    return pixels, [(*column[:axis], half, *column[axis + 1 :]) for half in halves]


def _area(column: Box) -> int:
    return math.prod(s.stop - s.start for s in column)


def _iter_cut(
    network: UNet, picture: Picture, out: NDArray[np.uint8], box: Box, cut: Cut, engine: Engine, *, seeds: bool
) -> Steps[None]:
    stream = Stream(network, most=cut.rows if out.ndim > 3 else None)
    strips, plane = cut.strips(), tuple(band.outer for band in cut.bands[1:])
    row = strips[0].start

    def work(strip: slice, turn: Turn) -> None:
        nonlocal row
        with turn(picture):
            pixels = engine.tensor(picture.read(strip, *plane))
        for logits in stream.push(pixels, turn, last=strip is strips[-1]):
            _write(out, to_bytes(logits, seeds=seeds), row, box, cut)
            row += logits.shape[2]

    for done, _ in enumerate(in_order(strips, work, engine.at_once), 1):
        yield Progress(done, len(strips))


def _write(out: NDArray[np.uint8], values: NDArray[np.uint8], row: int, box: Box, cut: Cut) -> None:
    """Put rows ``row, row + 1, …`` of a column in their place in `out`, which is `box`."""
    band, *others = cut.bands
    first, last = max(row, band.start), min(row + values.shape[1], band.stop)
    if first >= last:
        return
    there = (slice(first, last), *(slice(other.start, other.stop) for other in others))
    wanted = values[(slice(None), slice(first - row, last - row), *(other.inner for other in others))]
    out[(slice(None), *(slice(s.start - b.start, s.stop - b.start) for s, b in zip(there, box, strict=True)))] = wanted


def to_bytes(logits: Tensor, *, seeds: bool) -> NDArray[np.uint8]:
    """Logits ``(1, C, *spatial)`` as probability bytes ``(C, *spatial)``."""
    logits = logits[0].float()
    classes = len(logits) - seeds
    probabilities = [torch.softmax(logits[:classes], 0), *([torch.sigmoid(logits[classes:])] if seeds else [])]
    values = torch.cat(probabilities).mul_(255).round_().to(torch.uint8)
    result: NDArray[np.uint8] = values.cpu().numpy()
    return result


def _release(device: torch.device) -> None:
    give_back()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def folded(network: UNet, regions: Tensor, engine: Engine) -> tuple[UNet, Tensor]:
    """As :func:`~napari_unetstyle.core.inference.statistics.fold_and_answer`; region by region where memory is short.

    Raises
    ------
    DeviceError
        If there is not even the memory for one region.
    """
    try:
        return fold_and_answer(network, regions)
    except (MemoryError, RuntimeError) as error:  # torch's are RuntimeErrors
        if not is_out_of_memory(error):
            raise
    _release(engine.device)
    engine.said.append(SHORT)
    try:
        return fold_in_turn(network, regions)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise DeviceError(
            f"Not enough memory on {engine.device} to look at {' x '.join(map(str, regions.shape[2:]))} pixels of the "
            "picture. Close other programs, choose device 'cpu', or take a smaller model."
        ) from error


def regions_tensor(pieces: Iterator[NDArray[Any]], engine: Engine) -> Tensor:
    """Regions ``(C, *spatial)`` of equal size as one batch in full precision."""
    stacked = np.stack([np.asarray(piece, np.float32) for piece in pieces])
    batch = np.ascontiguousarray(stacked)  # pieces of a turned volume are not, and their sums would round otherwise
    layout = torch.channels_last if batch.ndim == 4 else torch.channels_last_3d
    return torch.from_numpy(batch).to(engine.device).contiguous(memory_format=layout)
