"""Intensity of all objects of a picture at once, per channel and per stain, in one reading of the picture."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.errors import ImageError, OptionError
from napari_unetstyle.core.imaging.image import Frame, Image
from napari_unetstyle.core.imaging.stains import STAINS as HED
from napari_unetstyle.core.imaging.stains import check_range, check_type
from napari_unetstyle.core.progress import Steps
from napari_unetstyle.core.segmentation.postprocessing import bands
from napari_unetstyle.core.segmentation.result import Table
from napari_unetstyle.core.segmentation.runs import Runs
from napari_unetstyle.core.segmentation.shapes import MeasuredObjects

STAINS = {"hed": HED, "hdx": ("hematoxylin", "dab")}
"""Separations by scikit-image's matrices (Ruifrok and Johnston 2001), and the stains that each gives."""


def check_stains(stains: str, image: Image | None) -> None:
    """Raise if the picture has no colors that such stains could be separated from."""
    if stains not in STAINS:
        raise OptionError(f"Stains {stains!r} are not known: use one of {', '.join(STAINS)}.")
    if image is None or image.size("C") not in (3, 4):
        raise ImageError(
            f"Stains are separated in RGB pictures only; this one has {image.size('C') if image else 'no'} channels."
        )
    check_type(np.dtype(image.array.dtype))


class _Statistics:
    """Mean, deviation, minimum and maximum for each object, added up band by band (Chan et al. 1979)."""

    def __init__(self, channels: int, count: int) -> None:
        self._pixels = np.zeros(count)
        self._squares = np.zeros((channels, count))  # summed around the mean
        self.mean = np.zeros((channels, count))
        self.low, self.high = np.full((2, channels, count), [[[np.inf]], [[-np.inf]]])

    @np.errstate(all="ignore")  # NaN and Inf among the pixels come out as such
    def add(self, values: Iterable[NDArray[np.float64]], runs: Runs, member: NDArray[np.int64]) -> None:
        """Add the pixels of some runs of the objects `member`, channel by channel."""
        count = len(self._pixels)
        pixels = np.bincount(member, runs.length, minlength=count)
        total = np.maximum(self._pixels + pixels, 1)
        begins, of_pixel = np.cumsum(runs.length) - runs.length, np.repeat(member, runs.length)
        for channel, value in enumerate(values):
            mean = np.bincount(member, np.add.reduceat(value, begins), minlength=count) / np.maximum(pixels, 1)
            around = np.add.reduceat((value - mean[of_pixel]) ** 2, begins)
            apart = np.where(pixels > 0, mean - self.mean[channel], 0)
            self._squares[channel] += np.bincount(member, around, minlength=count)
            self._squares[channel] += apart**2 * self._pixels * pixels / total
            self.mean[channel] += apart * pixels / total
            np.minimum.at(self.low[channel], member, np.minimum.reduceat(value, begins))
            np.maximum.at(self.high[channel], member, np.maximum.reduceat(value, begins))
        self._pixels += pixels

    @property
    def deviation(self) -> NDArray[np.float64]:
        """Population standard deviation."""
        return np.sqrt(self._squares / np.maximum(self._pixels, 1))


def iter_intensities(objects: MeasuredObjects, frame: Frame, stains: str) -> Steps[Table]:
    """Mean, deviation, minimum and maximum of each channel and stain; columns as in :func:`measure`."""
    names = [*_channel_names(frame), *STAINS.get(stains, ())]
    statistics, plane = _Statistics(len(names), len(objects.ids)), math.prod(objects.shape[1:])
    for part, progress in bands(objects.shape, None, "Measuring intensities"):
        near = objects.runs.within(part.start * plane, part.stop * plane)
        runs, member = objects.runs[near], objects.member[near]
        if len(runs):
            pixels = frame.read(part).reshape(frame.channels, -1)[:, runs.positions() - part.start * plane]
            channels = (channel.astype(np.float64) for channel in pixels)
            statistics.add(chain(channels, _separated(pixels, stains)), runs, member)
        yield progress
    columns: Table = {}
    deviation = statistics.deviation
    for i, name in enumerate(f"_{name}" if name else "" for name in names):
        columns |= {f"mean{name}": statistics.mean[i], f"std{name}": deviation[i]}
        columns |= {f"min{name}": statistics.low[i], f"max{name}": statistics.high[i]}
    return columns


def _channel_names(frame: Frame) -> list[str]:
    """Names of the channels, all different; one channel needs none."""
    given = frame.image.channel_names
    if frame.channels == 1 and not given:
        return [""]
    if len(given) == frame.channels == len(set(given)):
        return list(given)
    if frame.channels in (3, 4) and frame.image.axes.endswith("C"):
        return ["red", "green", "blue", "alpha"][: frame.channels]
    return [f"channel{i}" for i in range(frame.channels)]


def _separated(pixels: NDArray[Any], stains: str) -> NDArray[np.float64]:
    """Optical density of each stain, from colors ``(C, n)``."""
    if not stains:
        return np.empty((0, pixels.shape[1]))
    from skimage import color

    check_range(pixels[:3])
    matrix = color.hed_from_rgb if stains == "hed" else color.hdx_from_rgb
    densities: NDArray[np.float64] = color.separate_stains(pixels[:3].T, matrix).T
    return densities[: len(STAINS[stains])].astype(np.float64)
