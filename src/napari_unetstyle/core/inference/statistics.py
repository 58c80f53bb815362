"""Image-level statistics: where they are taken from, and how they are folded into the convolutions.

InstanceNorm makes a network cross stains and scanners, but computed per tile it makes the result depend
on the tile. Here each layer's mean and variance are taken once per picture, from a few regions that
follow from picture and model alone, and become part of the convolution. What remains is a plain network.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_unetstyle.core.inference.convolution import convolve
from napari_unetstyle.core.networks.unet import ConvBlock, ImageNorm, UNet
from napari_unetstyle.core.progress import Progress, Steps, run

REGIONS_PIXELS = {2: 2**18, 3: 2**19}  # at most this many pixels, or voxels, are looked at, by dimensions
_REGIONS_3D = 4  # regions of a volume, at least
_CELL = {2: 64, 3: 32}  # side of the cells in which content is measured, by dimensions
_STRIDE = 4  # every fourth pixel along each axis is enough to see whether a cell is blank
_OCTAVES = 3.0  # a cell this many doublings above the noise counts as full of content


class Picture(Protocol):
    """What regions are chosen from: one channel-first picture or volume that can be read in pieces."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Spatial shape."""

    def read(self, *slices: slice) -> NDArray[Any]:
        """Pixels ``(C, *spatial)``."""


@dataclass(frozen=True)
class Region:
    """A box of one picture of a stack."""

    frame: int
    slices: tuple[slice, ...]


def choose_regions(pictures: Sequence[Picture], side: int) -> list[Region]:
    """As :func:`iter_regions`, at once."""
    return run(iter_regions(pictures, side))


def iter_regions(pictures: Sequence[Picture], side: int) -> Steps[list[Region]]:
    """Boxes that statistics are taken from: an even lattice over what is not blank.

    A picture of at most 512 x 512 pixels (a volume of 80 x 80 x 80) is taken whole. Otherwise boxes of `side` pixels
    on a lattice of half that step are ranked by content (how far the spread of each cell of 64 pixels, in volumes 32,
    lies above the noise of the quietest cells), and of those at least half as full as the fullest, evenly spaced
    ones are taken until as many pixels are reached; twice as many did not change Dice. Boxes of a volume are made
    smaller, the longest side first, so that there are four. The choice depends on the pixels and `side` only.

    Parameters
    ----------
    pictures
        The pictures of a stack, of equal shape; one for a single picture.
    side
        Side of a box in pixels.

    Yields
    ------
    Progress
        After each band of 64 rows (32 slices), as a lazy picture can take long to read.
    """
    shape = pictures[0].shape
    if len(pictures) * np.prod(shape) <= REGIONS_PIXELS[len(shape)]:
        return [Region(i, tuple(slice(0, n) for n in shape)) for i in range(len(pictures))]
    sides = _sides(shape, side)
    spread = yield from _iter_spread(pictures)
    content = _content(spread)
    candidates = [Region(i, box) for i in range(len(pictures)) for box in _lattice(shape, sides)]
    fullness = np.array([content[r.frame][_cells(r.slices)].mean() for r in candidates])
    full = [r for r, f in zip(candidates, fullness, strict=True) if f >= fullness.max() / 2]
    count = max(1, REGIONS_PIXELS[len(shape)] // int(np.prod(sides)))
    picks = np.unique(np.linspace(0, len(full) - 1, min(count, len(full))).round().astype(int))
    return [full[i] for i in picks]


def _sides(shape: tuple[int, ...], side: int) -> tuple[int, ...]:
    if len(shape) == 3:
        sizes = range(side, 0, -1)
        side = next(s for s in sizes if math.prod(min(s, n) for n in shape) <= REGIONS_PIXELS[3] // _REGIONS_3D)
    return tuple(min(side, n) for n in shape)


def _iter_spread(pictures: Sequence[Picture]) -> Steps[NDArray[np.float32]]:
    """Of each picture the standard deviation inside each cell, the largest over the channels; read band by band."""
    height, cell = pictures[0].shape[0], _CELL[len(pictures[0].shape)]
    bands = [slice(y, min(y + cell, height)) for y in range(0, height, cell)]
    rows = []
    for picture, band in itertools.product(pictures, bands):
        rows.append(_band_spread(picture.read(band)))
        yield Progress(len(rows), len(pictures) * len(bands))
    return np.stack(rows).reshape(len(pictures), len(bands), *rows[0].shape)


def _band_spread(pixels: NDArray[Any]) -> NDArray[np.float32]:
    sparse = pixels[(slice(None), *(slice(None, None, _STRIDE),) * (pixels.ndim - 1))].astype(np.float32)
    sparse = np.where(np.isfinite(sparse), sparse, np.nan)
    cell = _CELL[pixels.ndim - 1] // _STRIDE
    spatial = [-(-n // cell) for n in sparse.shape[2:]]
    spread = np.zeros(spatial, np.float32)
    for index in np.ndindex(*spatial):
        block = sparse[(slice(None), slice(None), *(slice(i * cell, (i + 1) * cell) for i in index))]
        block = block.reshape(len(block), -1)
        finite = np.isfinite(block).all(axis=0)
        spread[index] = block[:, finite].std(axis=1).max() if finite.any() else 0.0
    return spread


def _content(spread: NDArray[np.float32]) -> NDArray[np.float32]:
    noise = max(float(np.percentile(spread, 10)), 1e-3 * float(spread.max()))
    if noise == 0:
        return np.ones_like(spread)
    octaves = np.log2(np.maximum(spread, noise) / noise)
    return np.minimum(octaves / _OCTAVES, 1.0).astype(np.float32)


def _lattice(shape: tuple[int, ...], sides: tuple[int, ...]) -> list[tuple[slice, ...]]:
    starts = []
    for n, side in zip(shape, sides, strict=True):
        steps = max(1, -(-(n - side) // max(side // 2, 1)))
        starts.append(sorted({(n - side) * i // steps for i in range(steps + 1)}))
    grid = np.array(np.meshgrid(*starts, indexing="ij")).reshape(len(shape), -1).T
    return [tuple(slice(int(a), int(a) + side) for a, side in zip(corner, sides, strict=True)) for corner in grid]


def _cells(box: tuple[slice, ...]) -> tuple[slice, ...]:
    cell = _CELL[len(box)]
    return tuple(slice(s.start // cell, -(-s.stop // cell)) for s in box)


_Stats = tuple[Tensor, Tensor]
"""Mean and variance of each channel."""


def _statistics(x: Tensor) -> _Stats:
    """Of a batch, summed by one thread: so not even the last bit depends on how many there are.

    It is this thread, as another one has memory of its own, which the C library keeps.
    """
    usual = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        mean, variance = torch.batch_norm_update_stats(x, None, None, 0.0)  # ten times faster than var_mean here
        return mean, variance
    finally:
        torch.set_num_threads(usual)


class _PooledNorm(nn.Module):
    """Takes statistics over all regions of a batch at once and remembers the affine map they give."""

    def __init__(self, norm: ImageNorm) -> None:
        super().__init__()
        self._norm = norm
        self.scale: Tensor
        self.shift: Tensor

    def forward(self, x: Tensor) -> Tensor:
        self.scale, self.shift = self._norm.scale_and_shift(*_statistics(x))
        shape = (1, -1, *(1,) * (x.ndim - 2))
        return x.mul_(self.scale.view(shape)).add_(self.shift.view(shape))


class _TurnNorm(nn.Module):
    """As :class:`_PooledNorm`, from one region after the other: each comes as far as here until all have been."""

    def __init__(self, norm: ImageNorm) -> None:
        super().__init__()
        self._norm, self._seen = norm, list[_Stats]()
        self.scale: Tensor
        self.shift: Tensor
        self.is_known = False

    def forward(self, x: Tensor) -> Tensor:
        if not self.is_known:
            self._seen.append(_statistics(x))
            raise _ReachedError(self)
        shape = (1, -1, *(1,) * (x.ndim - 2))
        return x.mul_(self.scale.view(shape)).add_(self.shift.view(shape))

    def pool(self) -> None:
        """Put what was seen of the regions, which are of equal size, together."""
        means, variances = (torch.stack(each).double() for each in zip(*self._seen, strict=True))
        variance = variances.mean(0) + means.var(0, correction=0)
        self.scale, self.shift = self._norm.scale_and_shift(means.mean(0).float(), variance.float())
        self.is_known = True


class _ReachedError(Exception):
    """A region has come to a normalization that is not known yet."""

    def __init__(self, norm: _TurnNorm) -> None:
        super().__init__()
        self.norm = norm


class _Direct(nn.Module):
    """A convolution run as the engine does."""

    def __init__(self, conv: Any) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        return convolve(x, self.conv.weight, self.conv.bias, self.conv.padding)


def fold(network: UNet, regions: Tensor) -> UNet:
    """A plain network for one picture: `network` with the statistics of `regions` folded in.

    Parameters
    ----------
    network
        With :class:`~napari_unetstyle.core.networks.unet.ImageNorm`; it is not changed.
    regions
        Normalized pixels ``(N, C, *spatial)`` on the network's device.

    Returns
    -------
    UNet
        Same logits for any input as `network` with its normalization frozen at these statistics.
    """
    return fold_and_answer(network, regions)[0]


def fold_and_answer(network: UNet, regions: Tensor) -> tuple[UNet, Tensor]:
    """As :func:`fold`, and the logits of the regions, which are known by then."""
    folded, blocks = _measuring(network, _PooledNorm)
    with torch.inference_mode():
        logits = folded(regions)
    for block in blocks:
        _fold_block(block)
    return folded, logits


def fold_in_turn(network: UNet, regions: Tensor) -> tuple[UNet, Tensor]:
    """As :func:`fold_and_answer`, up to rounding (1e-6), with the memory of one region.

    Each normalization needs the regions all together, so they go one by one as far as the first that is not known, from
    the beginning for each: as many passes as there are layers, half as long on average.
    """
    each = [regions[i : i + 1] for i in range(len(regions))]
    folded, blocks = _measuring(network, _TurnNorm)
    with torch.inference_mode():
        for _ in blocks:
            for region in each:
                reached = _reached(folded, region)
            reached.pool()
        logits = torch.cat([folded(region) for region in each])
    for block in blocks:
        _fold_block(block)
    return folded, logits


def _reached(network: UNet, region: Tensor) -> _TurnNorm:
    """The first normalization on the way of a region that is not known yet."""
    try:
        network(region)
    except _ReachedError as stop:
        return stop.norm
    raise AssertionError("every normalization is known")


def _measuring(network: UNet, norm: type[_PooledNorm | _TurnNorm]) -> tuple[UNet, list[ConvBlock]]:
    """A copy that takes statistics as it runs, and its blocks."""
    folded = copy.deepcopy(network).eval().requires_grad_(False)
    blocks = [module for module in folded.modules() if isinstance(module, ConvBlock)]
    for block in blocks:
        block.norm = norm(block.norm)  # type: ignore[assignment]
        block.conv = _Direct(block.conv)  # type: ignore[assignment]
    return folded, blocks


def _fold_block(block: ConvBlock) -> None:
    norm: Any = block.norm
    block.conv = block.conv.conv  # type: ignore[assignment]
    weight: Tensor = block.conv.weight
    weight = weight * norm.scale.view(-1, *(1,) * (weight.ndim - 1))
    block.conv.weight = nn.Parameter(weight.clone(), requires_grad=False)
    block.conv.bias = nn.Parameter(norm.shift.clone(), requires_grad=False)
    block.norm = nn.Identity()  # type: ignore[assignment]
