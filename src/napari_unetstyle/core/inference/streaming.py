"""Push a picture through a UNet strip by strip: exact, without halo, each pixel computed once.

Every layer keeps the few rows that it still needs (two for a 3x3 convolution, the odd row before a
pooling, a queue for each skip connection), so the strips together give the logits of the whole picture.
The picture's own border is the network's own padding. The stream runs along the first spatial axis: rows
of a picture, slices of a volume.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_unetstyle.core.networks.unet import ConvBlock, UNet

_LAYOUT = {4: torch.channels_last, 5: torch.channels_last_3d}
_CONVOLVE: dict[int, Callable[..., Tensor]] = {2: F.conv2d, 3: F.conv3d}
STREAM = 2  # the axis of (N, C, first spatial, ...) that is cut into strips


Rows = Tensor | None  # the next rows (N, C, rows, ...) of a picture, or None where there are none yet
Pieces = list[Tensor]  # the same in several pieces, in order


class _Convolution:
    """3x3(x3) convolution with padding 1, then ReLU; keeps the last two input rows."""

    def __init__(self, block: ConvBlock) -> None:
        self._weight, self._bias = block.conv.weight, block.conv.bias
        self._convolve = _CONVOLVE[self._weight.ndim - 2]
        self._padding = (0, *(1,) * (self._weight.ndim - 3))
        self._kept: Rows = None

    def push(self, groups: list[Pieces], *, last: bool) -> Rows:
        """Take the next rows, the channels of one group after those of the other."""
        rows = self._padded(groups, last=last)
        if rows is None or rows.shape[STREAM] < 3:
            self._kept = rows
            return None
        self._kept = _last(rows, 2)
        return self._convolve(rows, self._weight, self._bias, padding=self._padding).relu_()

    def _padded(self, groups: list[Pieces], *, last: bool) -> Rows:
        """What was kept (at first the border), the new rows and at the end the border, in one copy."""
        like = self._kept if self._kept is not None else groups[0][0] if groups[0] else None
        if like is None:
            return None
        top = 1 if self._kept is None else self._kept.shape[STREAM]
        count = sum(piece.shape[STREAM] for piece in groups[0])
        if count == 0 and not last:
            return self._kept
        shape = (like.shape[0], self._weight.shape[1], top + count + last, *like.shape[STREAM + 1 :])
        padded = torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=_LAYOUT[like.ndim])
        if self._kept is None:
            padded.narrow(STREAM, 0, top).zero_()
        else:
            padded.narrow(STREAM, 0, top).copy_(self._kept)
        _fill(padded.narrow(STREAM, top, count), groups)
        if last:
            padded.narrow(STREAM, top + count, 1).zero_()
        return padded


class _Pool:
    """2x max-pool that rounds up; keeps the row that does not fill a window yet."""

    def __init__(self, pool: nn.Module) -> None:
        self._pool = pool
        self._kept: Rows = None

    def push(self, rows: Rows, *, last: bool) -> Rows:
        if rows is None and self._kept is None:
            return None
        rows = torch.cat([piece for piece in (self._kept, rows) if piece is not None], STREAM)
        odd = 0 if last else rows.shape[STREAM] % 2
        self._kept = _last(rows, odd)
        full = rows.shape[STREAM] - odd
        return self._pool(rows.narrow(STREAM, 0, full)) if full else None


class _Queue:
    """Rows that wait for their partners from the other side of a skip connection."""

    def __init__(self) -> None:
        self._pieces: deque[Tensor] = deque()
        self.rows = 0

    def put(self, rows: Rows) -> None:
        if rows is not None:
            self._pieces.append(rows)
            self.rows += rows.shape[STREAM]

    def take(self, count: int) -> Pieces:
        taken = []
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

    def __init__(self, network: UNet, level: int) -> None:
        self._encoder = _stages(network.encoder[level])
        self._below: _Level | None = None
        if level < network.depth:
            self._pool = _Pool(network.pool)
            self._below = _Level(network, level + 1)
            self._up = network.up[level]
            self._decoder = _stages(network.decoder[level])
            self._skip, self._raised = _Queue(), _Queue()

    def push(self, rows: Rows, *, last: bool) -> Rows:
        encoded = _through(self._encoder, [_pieces(rows)], last=last)
        if self._below is None:
            return encoded
        deep = self._below.push(self._pool.push(encoded, last=last), last=last)
        self._skip.put(encoded)
        self._raised.put(None if deep is None else self._up(deep))
        ready = min(self._skip.rows, self._raised.rows)
        return _through(self._decoder, [self._skip.take(ready), self._raised.take(ready)], last=last)


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
    """

    def __init__(self, network: UNet) -> None:
        self._level = _Level(network, 0)
        self._head = network.head

    def push(self, rows: Tensor, *, last: bool) -> Rows:
        """Take the next rows ``(N, C, rows, ...)`` and give the logits that are ready, in order.

        The logits lag behind by about the receptive field's radius; with `last` the rest comes out.
        """
        with torch.inference_mode():
            features = self._level.push(rows, last=last)
            return None if features is None else self._head(features)


def halo(depth: int) -> int:
    """Receptive field radius of a UNet of that depth, rounded up to whole pooling windows, in pixels."""
    window = 1 << depth
    radius = 4 * (window - 1) + 2 * window + window  # two convolutions a side of the U, two below, one window
    return -(-radius // window) * window


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


def bands(start: int, stop: int, size: int, widest: int, depth: int) -> Iterator[Band]:
    """Cut ``start:stop`` of an axis of length `size` into bands of at most `widest`, with exact halos.

    Outer ranges begin on whole pooling windows, so that windows fall as in the whole picture.
    """
    window, margin = (1 << depth), halo(depth)
    count = max(1, -(-(stop - start) // max(widest, window)))
    edges = [start + (stop - start) * i // count for i in range(count + 1)]
    for a, b in itertools.pairwise(edges):
        outer = max(0, (a - margin) // window * window)
        yield Band(a, b, outer, min(size, b + margin))
