"""Push a picture through a UNet strip by strip: exact, without halo, each pixel computed once.

Every layer keeps the few rows that it still needs (two for a 3x3 convolution, the odd row before a
pooling that halves, a queue for each skip connection), so the strips together give the logits of the whole picture.
The picture's own border is the network's own padding. The stream runs along the first spatial axis: rows
of a picture, slices of a volume.
"""

from __future__ import annotations

import itertools
import math
import operator
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from napari_unetstyle.core.inference.convolution import convolve, convolve_relu, convolve_transposed
from napari_unetstyle.core.inference.line import Turn, no_turn
from napari_unetstyle.core.networks.unet import ConvBlock, UNet

_LAYOUT = {4: torch.channels_last, 5: torch.channels_last_3d}
_LINGERING = 1.25  # rows are let go of by the strip, and the allocator keeps some (measured)
STREAM = 2  # the axis of (N, C, first spatial, ...) that is cut into strips


Rows = Tensor | None  # the next rows (N, C, rows, ...) of a picture, or None where there are none yet
Pieces = list[Tensor]  # the same in several pieces, in order


class _Convolution:
    """Convolution that keeps the size, then ReLU; keeps the last two input rows if it looks along the stream."""

    def __init__(self, block: ConvBlock) -> None:
        self._weight, self._bias = block.conv.weight, block.conv.bias
        reach = [side // 2 for side in self._weight.shape[2:]]
        self._border = reach[0]
        self._padding = (0, *reach[1:])
        self._kept: Rows = None

    def push(self, groups: list[Pieces], *, last: bool) -> Rows:
        """Take the next rows, the channels of one group after those of the other."""
        rows = self._padded(groups, last=last)
        if rows is None or rows.shape[STREAM] <= 2 * self._border:
            self._kept = rows
            return None
        self._kept = _last(rows, 2 * self._border)
        return convolve_relu(rows, self._weight, self._bias, self._padding)

    def _padded(self, groups: list[Pieces], *, last: bool) -> Rows:
        """What was kept (at first the border), the new rows and at the end the border, in one copy."""
        like = self._kept if self._kept is not None else groups[0][0] if groups[0] else None
        if like is None:
            return None
        top = self._border if self._kept is None else self._kept.shape[STREAM]
        bottom = self._border if last else 0
        count = sum(piece.shape[STREAM] for piece in groups[0])
        if count == 0 and not bottom:
            return self._kept
        shape = (like.shape[0], self._weight.shape[1], top + count + bottom, *like.shape[STREAM + 1 :])
        padded = torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=_LAYOUT[like.ndim])
        if self._kept is None:
            padded.narrow(STREAM, 0, top).zero_()
        else:
            padded.narrow(STREAM, 0, top).copy_(self._kept)
        _fill(padded.narrow(STREAM, top, count), groups)
        padded.narrow(STREAM, top + count, bottom).zero_()
        return padded


class _Pool:
    """Max-pool that rounds up; keeps the row that does not fill a window yet."""

    def __init__(self, pool: nn.Module, stride: int) -> None:
        self._pool, self._stride = pool, stride
        self._kept: Rows = None

    def push(self, rows: Rows, *, last: bool) -> Rows:
        if rows is None and self._kept is None:
            return None
        rows = torch.cat([piece for piece in (self._kept, rows) if piece is not None], STREAM)
        odd = 0 if last else rows.shape[STREAM] % self._stride
        self._kept = _last(rows, odd)
        full = rows.shape[STREAM] - odd
        return self._pool(rows.narrow(STREAM, 0, full)) if full else None


class _Queue:
    """Rows that wait for their partners from the other side of a skip connection."""

    def __init__(self) -> None:
        self._pieces: deque[Tensor] = deque()
        self._lock = threading.Lock()  # while one strip is decoded the next may be encoded
        self.rows = 0

    def put(self, rows: Rows) -> None:
        if rows is not None:
            with self._lock:
                self._pieces.append(rows)
                self.rows += rows.shape[STREAM]

    def take(self, count: int) -> Pieces:
        taken = []
        with self._lock:
            self.rows -= count
            while count:
                piece = self._pieces.popleft()
                size = min(count, piece.shape[STREAM])
                taken.append(piece.narrow(STREAM, 0, size))
                if size < piece.shape[STREAM]:
                    self._pieces.appendleft(piece.narrow(STREAM, size, piece.shape[STREAM] - size))
                count -= size
        return taken


class _Level:
    """One level of the U: encoder, everything below it, and the decoder that joins both."""

    def __init__(self, network: UNet, level: int, most: int | None) -> None:
        self._encoder = _stages(network.encoder[level])
        self._below: _Level | None = None
        self._most = most
        if level < network.depth:
            stride = network.strides[level][0]
            self._pool = _Pool(network.pool[level], stride)
            self._below = _Level(network, level + 1, most and -(-most // stride))
            self._weight, self._bias = network.up[level].parameters()
            self._strides = network.strides[level]
            self._decoder = _stages(network.decoder[level])
            self._skip, self._raised = _Queue(), _Queue()

    def push(self, rows: Rows, turn: Turn, *, last: bool) -> Iterator[Tensor]:
        """Take the next rows and give the features that are ready, in pieces of at most `most` rows."""
        for stage in self._encoder:
            with turn(stage):
                rows = stage.push([_pieces(rows)], last=last)
        if self._below is None:
            yield from _pieces(rows)
            return
        with turn(self._pool):
            self._skip.put(rows)
            rows = self._pool.push(rows, last=last)
        deeper = self._below.push(rows, turn, last=last)
        rows = next(deeper, None)  # before its turn, so that the next strip can be decoded further down meanwhile
        with turn(self):
            for deep in deeper:
                if rows is not None:
                    self._raised.put(self._lifted(rows))
                    yield from self._decoded(last=False)
                rows = deep
            self._raised.put(None if rows is None else self._lifted(rows))
            yield from self._decoded(last=last)

    def _lifted(self, rows: Tensor) -> Tensor:
        return convolve_transposed(rows, self._weight, self._bias, self._strides)

    def _decoded(self, *, last: bool) -> Iterator[Tensor]:
        ready = min(self._skip.rows, self._raised.rows)
        step = self._most or max(ready, 1)
        for start in range(0, max(ready, 1), step):
            count = min(step, ready - start)
            groups = [self._skip.take(count), self._raised.take(count)]
            yield from _pieces(_through(self._decoder, groups, last=last and start + count == ready))


def _stages(block: nn.Module) -> list[_Convolution]:
    return [_Convolution(module) for module in block.modules() if isinstance(module, ConvBlock)]


def _through(stages: list[_Convolution], groups: list[Pieces], *, last: bool) -> Rows:
    rows: Rows = None
    for stage in stages:
        rows = stage.push(groups, last=last)
        groups = [_pieces(rows)]
    return rows


def _pieces(rows: Rows) -> Pieces:
    return [] if rows is None else [rows]


def _fill(target: Tensor, groups: list[Pieces]) -> None:
    """Copy groups of pieces beside each other; pooling rounds up, so what was raised may be too wide."""
    channel = 0
    for group in groups:
        row = 0
        for piece in group:
            for axis in range(STREAM + 1, piece.ndim):
                piece = piece.narrow(axis, 0, target.shape[axis])
            there = target.narrow(1, channel, piece.shape[1]).narrow(STREAM, row, piece.shape[STREAM])
            there.copy_(piece)
            row += piece.shape[STREAM]
        channel += group[0].shape[1] if group else 0


def _last(rows: Tensor, count: int) -> Rows:
    """A copy of the last rows, so that the strip they came from can go."""
    count = min(count, rows.shape[STREAM])
    return rows.narrow(STREAM, rows.shape[STREAM] - count, count).clone() if count else None


class Stream:
    """A folded UNet that takes a picture in strips.

    Parameters
    ----------
    network
        From :func:`~napari_unetstyle.core.inference.statistics.fold`: its normalization is folded into the
        convolutions, so no layer looks at more than its neighborhood.
    most
        Rows that come out at once, so that what lags behind does not take memory all together at the end;
        None: all that are ready.
    """

    def __init__(self, network: UNet, most: int | None = None) -> None:
        self._level = _Level(network, 0, most)
        self._weight, self._bias = network.head.weight, network.head.bias
        self._padding = (0,) * len(network.strides[0])

    def push(self, rows: Tensor, turn: Turn = no_turn, *, last: bool) -> Iterator[Tensor]:
        """Take the next rows ``(N, C, rows, ...)`` and give the logits that are ready, in order.

        The logits lag behind by about the receptive field's radius; with `last` the rest comes out. What is
        given has to be taken to its end before the next rows are pushed.
        """
        pieces = self._level.push(rows, turn, last=last)
        while True:
            with torch.inference_mode():  # not around the yield, where other code runs
                features = next(pieces, None)
                logits = None if features is None else convolve(features, self._weight, self._bias, self._padding)
            if logits is None:
                return
            yield logits


@dataclass(frozen=True)
class Reach:
    """How far a network looks along one axis, in pixels.

    Attributes
    ----------
    window
        Pixels that become one at the lowest level; a range that begins on whole windows is pooled as in the whole.
    halo
        Receptive field radius, rounded up to whole windows.
    """

    window: int
    halo: int

    @classmethod
    def of(cls, network: UNet, axis: int) -> Reach:
        """Of a spatial axis, counted from 0 (or from the end)."""
        steps = [1, *itertools.accumulate((stride[axis] for stride in network.strides), operator.mul)]
        looks = [side // 2 * step for side, step in zip((k[axis] for k in network.kernels), steps, strict=True)]
        window = steps[-1]
        radius = 4 * sum(looks[:-1]) + 2 * looks[-1] + window  # two convolutions a side of the U, two below, pooling
        return cls(window, -(-radius // window) * window)


@dataclass(frozen=True)
class Band:
    """A range along an axis, and the wider one that must be computed to know it exactly."""

    start: int
    stop: int
    outer_start: int
    outer_stop: int

    @property
    def inner(self) -> slice:
        """The range, counted from the start of the wider one."""
        return slice(self.start - self.outer_start, self.stop - self.outer_start)

    @property
    def outer(self) -> slice:
        """The wider range."""
        return slice(self.outer_start, self.outer_stop)

    @property
    def width(self) -> int:
        """Length of the wider range."""
        return self.outer_stop - self.outer_start


def bands(start: int, stop: int, size: int, count: int, reach: Reach) -> list[Band]:
    """Cut ``start:stop`` of an axis of length `size` into `count` bands, with exact halos.

    Outer ranges begin on whole pooling windows, so that windows fall as in the whole picture.
    """
    edges = [start + (stop - start) * i // count for i in range(count + 1)]
    return [
        Band(a, b, max(0, (a - reach.halo) // reach.window * reach.window), min(size, b + reach.halo))
        for a, b in itertools.pairwise(edges)
    ]


def stream_bytes(
    network: UNet, rows: int, length: int, plane: tuple[int, ...], itemsize: int = 4, at_once: int = 1
) -> int:
    """Memory that a :class:`Stream` takes at its peak, in bytes.

    What every layer keeps, plus the largest work of as many layers as there are strips at once, since no two of them
    are in the same one: its input with the kept rows, its output and the output of the layer before.

    Parameters
    ----------
    network
        The network.
    rows
        Rows that are pushed, and come out, at once.
    length
        Rows in all, with halos.
    plane
        Lengths of the other axes, with halos.
    itemsize
        Bytes of a number.
    at_once
        Strips that are worked on side by side.
    """
    kept, lag, works = 0, 0, []
    for level in reversed(range(network.depth + 1)):
        width, below = next(network.encoder[level].parameters()).shape[:2]
        border = network.kernels[level][0] // 2
        steps = [math.prod(stride[axis] for stride in network.strides[:level]) for axis in range(1 + len(plane))]
        pixels = math.prod(-(-n // step) for n, step in zip(plane, steps[1:], strict=True))
        high = -(-rows // steps[0])
        kept += pixels * 2 * border * (below + width)
        works.append(pixels * (3 * high + 2 * border) * width)
        if level < network.depth:
            lag = network.strides[level][0] * lag + network.strides[level][0] - 1
            kept += pixels * (2 * border * 3 + min(lag + high, -(-length // steps[0]))) * width
            works.append(pixels * (5 * high + 4 * border) * width)
            lag += 2 * border
        lag += 2 * border
    return itemsize * (round(_LINGERING * kept) + sum(sorted(works)[-at_once:]))
