"""Push a picture through a UNet strip by strip: exact, without halo, each pixel computed once.

Every layer keeps the few rows that it still needs (two for a 3x3 convolution, the odd row before a
pooling, a queue for each skip connection), so the strips together give the logits of the whole picture.
The picture's own border is the network's own padding. The stream runs along the first spatial axis: rows
of a picture, slices of a volume.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_unetstyle.core.networks.unet import ConvBlock, UNet

_CONVOLVE: dict[int, Callable[..., Tensor]] = {2: F.conv2d, 3: F.conv3d}
STREAM = 2  # the axis of (N, C, first spatial, ...) that is cut into strips


Rows = Tensor | None  # the next rows (N, C, rows, ...) of a picture, or None where there are none yet


class _Convolution:
    """3x3(x3) convolution with padding 1, then ReLU; keeps the last two input rows."""

    def __init__(self, block: ConvBlock) -> None:
        self._weight, self._bias = block.conv.weight, block.conv.bias
        self._convolve = _CONVOLVE[self._weight.ndim - 2]
        self._padding = (0, *(1,) * (self._weight.ndim - 3))
        self._kept: Rows = None

    def push(self, rows: Rows, *, last: bool) -> Rows:
        given = self._kept if rows is None else rows
        if given is None:
            return None
        border = torch.zeros_like(given.narrow(STREAM, 0, 1))
        rows = _join([border if self._kept is None else self._kept, rows, border if last else None])
        self._kept = _last(rows, 2)
        if rows.shape[STREAM] < 3:
            return None
        return self._convolve(rows, self._weight, self._bias, padding=self._padding).relu_()


class _Pool:
    """2x max-pool that rounds up; keeps the row that does not fill a window yet."""

    def __init__(self, pool: nn.Module) -> None:
        self._pool = pool
        self._kept: Rows = None

    def push(self, rows: Rows, *, last: bool) -> Rows:
        if rows is None and self._kept is None:
            return None
        rows = _join([self._kept, rows])
        odd = 0 if last else rows.shape[STREAM] % 2
        self._kept = _last(rows, odd)
        full = rows.shape[STREAM] - odd
        return self._pool(rows.narrow(STREAM, 0, full)) if full else None


class _Queue:
    """Rows that wait for their partners from the other side of a skip connection."""

    def __init__(self) -> None:
        self._rows: Rows = None

    def __len__(self) -> int:
        return 0 if self._rows is None else int(self._rows.shape[STREAM])

    def put(self, rows: Rows) -> None:
        if rows is not None:
            self._rows = _join([self._rows, rows])

    def take(self, count: int) -> Tensor:
        assert self._rows is not None
        taken = self._rows.narrow(STREAM, 0, count)
        self._rows = _last(self._rows, len(self) - count)
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
        encoded = _through(self._encoder, rows, last=last)
        if self._below is None:
            return encoded
        deep = self._below.push(self._pool.push(encoded, last=last), last=last)
        self._skip.put(encoded)
        self._raised.put(None if deep is None else self._up(deep))
        ready = min(len(self._skip), len(self._raised))
        joined = self._joined(ready) if ready else None
        return _through(self._decoder, joined, last=last)

    def _joined(self, count: int) -> Tensor:
        skip, raised = self._skip.take(count), self._raised.take(count)
        for axis in range(STREAM + 1, raised.ndim):  # pooling rounded up, so what was raised may be too wide
            raised = raised.narrow(axis, 0, skip.shape[axis])
        return torch.cat([skip, raised], 1)


def _stages(block: nn.Module) -> list[_Convolution]:
    return [_Convolution(module) for module in block.modules() if isinstance(module, ConvBlock)]


def _through(stages: list[_Convolution], rows: Rows, *, last: bool) -> Rows:
    for stage in stages:
        rows = stage.push(rows, last=last)
    return rows


def _join(pieces: list[Rows]) -> Tensor:
    given = [piece for piece in pieces if piece is not None]
    return given[0] if len(given) == 1 else torch.cat(given, STREAM)


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
