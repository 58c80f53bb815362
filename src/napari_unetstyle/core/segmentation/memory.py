"""How much memory a run will take, said before it begins."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from napari_unetstyle.core import device as devices
from napari_unetstyle.core.errors import DeviceError
from napari_unetstyle.core.free_memory import free_memory
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.imaging.resample import Resampler, scaled_shape
from napari_unetstyle.core.models.model import Model
from napari_unetstyle.core.scratch import IN_MEMORY
from napari_unetstyle.core.segmentation.fitting import check_plane, engine_for
from napari_unetstyle.core.segmentation.options import SegmentOptions
from napari_unetstyle.core.segmentation.planes import turned
from napari_unetstyle.core.segmentation.postprocessing import BAND_PIXELS
from napari_unetstyle.core.segmentation.scale import Scale, scale_for
from napari_unetstyle.core.segmentation.segment import scope

if TYPE_CHECKING:
    from napari_unetstyle.core.inference.probability import Engine
    from napari_unetstyle.core.networks.unet import UNet

_FLOAT = 4
_ALWAYS = 3 * 2**25  # code and buffers that come with the first run
_ALIVE = 6  # arrays as wide as the network's top, at the end of a pass: skip, raised, both joined, two convolutions
_INPUTS, _LOGITS = 4, 4  # copies of what goes in and comes out, in several types
_DECIDING = 24  # bytes for each pixel that is decided at once
_LINE = 200  # bytes for each line of pixels where pieces and holes are looked for: its runs, and what touches them


def predict_memory(image: Image, model: Model, options: SegmentOptions | None = None) -> int:
    """Bytes of main memory that :func:`~napari_unetstyle.core.segment` will need beyond those in use already.

    The largest of three: looking at the picture (layer statistics), the network with what it keeps of the picture,
    and deciding; the probabilities and labels count while they are below ``options.memory``, beyond it they lie on
    disk. On a GPU the network's part is the GPU's. Volumes are foretold within a fifth on one thread (two took up to
    22 % less, or 20 % more); how much finding objects takes depends on how many there are. The picture itself is not
    counted, but what is read of it is.

    Parameters
    ----------
    image
        The picture; nothing of it is read.
    model
        The model; its weights are read.
    options
        Of the run. Where the size of objects is to be found out from the picture, it counts as the model's.
    """
    options = options or SegmentOptions()
    check_plane(image, model.spec, options)
    plane = "YX" if options.plane == "all" else options.plane
    options, seen = options.changed(plane=plane), turned(image, plane)
    engine, scale = engine_for(options, model.spec, []), scale_for(seen, model.spec, options)
    shape = seen.frame(seen.frames(engine.dims)[0], engine.dims).shape
    pixels, network = math.prod(image.label_shape), model.network
    probabilities = _kept(model.spec.out_channels * pixels, options)
    labels = _kept((_FLOAT if model.spec.separation else 1) * pixels, options)
    looking = _looking(network, scaled_shape(shape, scale), len(seen.frames(engine.dims)), options)
    running = probabilities + _running(network, shape, scale, options, engine)
    deciding = _DECIDING * min(pixels, BAND_PIXELS) + _cleaning(image.label_shape, options)
    return _ALWAYS + max(looking, running, probabilities + labels + deciding)


def check_memory(image: Image, model: Model, options: SegmentOptions) -> None:
    """Refuse a run that cannot fit into main memory, before it begins; on a GPU the run itself finds out.

    Raises
    ------
    DeviceError
        In words, with what is needed and what is there.
    """
    if devices.resolve(options.device).type != "cpu":
        return
    needed, free = predict_memory(image, model, options), free_memory()
    if needed > free:
        raise DeviceError(
            f"This run needs about {gigabytes(needed)} of memory, and {gigabytes(free)} are free. "
            "Close other programs, or segment a part of the picture. Nothing was changed."
        )


def gigabytes(size: int) -> str:
    """``1.4 GB``"""
    return f"{size / 1e9:.1f} GB"


def _cleaning(shape: tuple[int, ...], options: SegmentOptions) -> int:
    """Pieces and holes are found from runs, a few in each line of pixels."""
    is_needed = options.keep_largest or options.fill_holes or (options.min_pixels or 0) > 1
    return _LINE * math.prod(shape[:-1]) if is_needed else 0


def _kept(size: int, options: SegmentOptions) -> int:
    """Of an array that goes to disk when it is large."""
    return size if size <= (IN_MEMORY if options.memory is None else options.memory) else 0


def _looking(network: UNet, shape: tuple[int, ...], frames: int, options: SegmentOptions) -> int:
    """Regions in one batch: at the top of the U, six arrays of its width are alive at once."""
    from napari_unetstyle.core.inference.statistics import REGIONS_PIXELS

    flips = 2 ** len(shape) if options.flip else 1
    inputs, width = _widths(network)
    pixels = min(REGIONS_PIXELS[len(shape)], frames * math.prod(shape)) * flips
    return pixels * _FLOAT * (_ALIVE * width + _INPUTS * inputs)


def _running(network: UNet, shape: tuple[int, ...], scale: Scale, options: SegmentOptions, engine: Engine) -> int:
    """The largest column of the picture, streamed."""
    from napari_unetstyle.core.inference.probability import Cut, columns_of
    from napari_unetstyle.core.inference.streaming import stream_bytes

    resampler = Resampler(scaled_shape(shape, scale), shape)
    box = resampler.needs(scope(options, shape))
    columns = columns_of(network, box, resampler.source, engine)
    cuts = [Cut.of(network, (box[0], *column), resampler.source, engine.strip_pixels) for column in columns]
    logits, inputs = network.head.out_channels, _widths(network)[0]
    each = [
        stream_bytes(network, cut.rows, cut.bands[0].width, cut.plane, engine.dtype.itemsize)
        + cut.rows * math.prod(cut.plane) * _FLOAT * (_LOGITS * logits + _INPUTS * inputs)
        for cut in cuts
    ]
    small = _kept(logits * math.prod(s.stop - s.start for s in box), options) if resampler.source != shape else 0
    return small + max(each)


def _widths(network: UNet) -> tuple[int, int]:
    """Channels of the input, and of the features at the top of the U."""
    width, inputs = next(network.encoder.parameters()).shape[:2]
    return inputs, width
