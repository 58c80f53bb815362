"""From normalized pixels to probability bytes, strip by strip."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_unetstyle.core.errors import DeviceError
from napari_unetstyle.core.inference.statistics import Picture
from napari_unetstyle.core.inference.streaming import Band, Stream, bands
from napari_unetstyle.core.networks.unet import UNet
from napari_unetstyle.core.progress import Progress, Steps

Box = tuple[slice, ...]
_STRIP_PIXELS = 2**17  # small enough for the caches of a CPU
_STRIP_PIXELS_GPU = 2**21
_WIDEST = 2**13  # longer rows are cut into bands, so that memory does not grow with the picture


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
    """

    device: torch.device
    dtype: torch.dtype = torch.float32
    tile: int | None = None

    @property
    def strip_pixels(self) -> int:
        """Pixels that go through the network at once."""
        if self.tile is not None:
            return self.tile**2
        return _STRIP_PIXELS if self.device.type == "cpu" else _STRIP_PIXELS_GPU

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
    columns = list(bands(box[-1].start, box[-1].stop, picture.shape[-1], _WIDEST, network.depth))
    for i, column in enumerate(columns):
        for progress in _iter_band(network, picture, out, box, column, engine, seeds=seeds):
            yield Progress(i * progress.total + progress.step, len(columns) * progress.total, "Segmenting")


def _iter_band(
    network: UNet, picture: Picture, out: NDArray[np.uint8], box: Box, column: Band, engine: Engine, *, seeds: bool
) -> Steps[None]:
    pixels, smallest = engine.strip_pixels, 1 << network.depth
    while True:
        strips = _strips(network, picture.shape, box, column, pixels)
        try:
            yield from _iter_strips(network, picture, out, box, column, strips, engine, seeds=seeds)
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            height = strips[0].stop - strips[0].start
            if height <= smallest:
                raise DeviceError(
                    f"Not enough memory on {engine.device} even for strips of {height} rows. "
                    "Close other programs, choose device 'cpu', or give a smaller 'tile'."
                ) from error
            pixels //= 2
            _release(engine.device)
        else:
            return


def _iter_strips(
    network: UNet,
    picture: Picture,
    out: NDArray[np.uint8],
    box: Box,
    column: Band,
    strips: list[slice],
    engine: Engine,
    *,
    seeds: bool,
) -> Steps[None]:
    stream = Stream(network)
    middle = tuple(_outer(s, n, network.depth) for s, n in zip(box[1:-1], picture.shape[1:-1], strict=True))
    done = strips[0].start
    for i, strip in enumerate(strips):
        pixels = picture.read(strip, *middle, slice(column.outer_start, column.outer_stop))
        logits = stream.push(engine.tensor(pixels), last=i == len(strips) - 1)
        if logits is not None:
            _write(out, to_bytes(logits, seeds=seeds), done, box, middle, column)
            done += logits.shape[2]
        yield Progress(i + 1, len(strips))


def _strips(network: UNet, shape: tuple[int, ...], box: Box, column: Band, pixels: int) -> list[slice]:
    """Ranges of the first axis, with the halo that `box` needs, whole pooling windows high."""
    window = 1 << network.depth
    outer = _outer(box[0], shape[0], network.depth)
    plane = (column.outer_stop - column.outer_start) * int(np.prod([s.stop - s.start for s in box[1:-1]]))
    height = max(window, pixels // max(plane, 1) // window * window)
    return [slice(a, min(a + height, outer.stop)) for a in range(outer.start, outer.stop, height)]


def _outer(inner: slice, size: int, depth: int) -> slice:
    (band,) = bands(inner.start, inner.stop, size, size, depth)
    return slice(band.outer_start, band.outer_stop)


def _write(out: NDArray[np.uint8], values: NDArray[np.uint8], row: int, box: Box, middle: Box, column: Band) -> None:
    first, last = max(row, box[0].start), min(row + values.shape[1], box[0].stop)
    if first >= last:
        return
    inner = tuple(slice(s.start - m.start, s.stop - m.start) for s, m in zip(box[1:-1], middle, strict=True))
    wanted = values[(slice(None), slice(first - row, last - row), *inner, column.inner)]
    there = slice(column.start - box[-1].start, column.stop - box[-1].start)
    out[(slice(None), slice(first - box[0].start, last - box[0].start), ..., there)] = wanted


def to_bytes(logits: Tensor, *, seeds: bool) -> NDArray[np.uint8]:
    """Logits ``(1, C, *spatial)`` as probability bytes ``(C, *spatial)``."""
    logits = logits[0].float()
    classes = len(logits) - seeds
    probabilities = [torch.softmax(logits[:classes], 0), *([torch.sigmoid(logits[classes:])] if seeds else [])]
    values = torch.cat(probabilities).mul_(255).round_().to(torch.uint8)
    result: NDArray[np.uint8] = values.cpu().numpy()
    return result


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was missing (other errors must not be mistaken for it)."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return "can't allocate memory" in str(error) or "out of memory" in str(error).lower()


def _release(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()


def regions_tensor(pieces: Iterator[NDArray[Any]], engine: Engine) -> Tensor:
    """Regions ``(C, *spatial)`` of equal size as one batch in full precision."""
    batch = np.stack([np.asarray(piece, np.float32) for piece in pieces])
    layout = torch.channels_last if batch.ndim == 4 else torch.channels_last_3d
    return torch.from_numpy(batch).to(engine.device).contiguous(memory_format=layout)
