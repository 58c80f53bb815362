"""How much memory a run will take, said before it begins."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from napari_unetstyle.core import device as devices
from napari_unetstyle.core.errors import DeviceError
from napari_unetstyle.core.free_memory import free_memory, gigabytes
from napari_unetstyle.core.imaging.image import Frame, Image
from napari_unetstyle.core.imaging.resample import Resampler, scaled_shape
from napari_unetstyle.core.imaging.turn import Turn
from napari_unetstyle.core.models.model import Model
from napari_unetstyle.core.scratch import IN_MEMORY
from napari_unetstyle.core.segmentation.fitting import check_plane, engine_for
from napari_unetstyle.core.segmentation.flips import Box
from napari_unetstyle.core.segmentation.options import SegmentOptions
from napari_unetstyle.core.segmentation.planes import PLANES, turned
from napari_unetstyle.core.segmentation.postprocessing import BAND_PIXELS
from napari_unetstyle.core.segmentation.preprocessing import ahead_bytes
from napari_unetstyle.core.segmentation.relief import piece_shape, reach
from napari_unetstyle.core.segmentation.scale import Scale, scale_for, zoom_of
from napari_unetstyle.core.segmentation.segment import scope
from napari_unetstyle.core.side_by_side import workers

if TYPE_CHECKING:
    from napari_unetstyle.core.inference.probability import Engine
    from napari_unetstyle.core.models.spec import ModelSpec
    from napari_unetstyle.core.networks.unet import UNet

_FLOAT = 4
_MUCH = 1 / 4  # of what is free
_ALWAYS = 5 * 2**23  # code and buffers that come with the first run
_ALIVE = 6  # arrays as wide as the network's top, at the end of a pass: skip, raised, both joined, two convolutions
_INPUTS, _LOGITS = 4, 4  # copies of what goes in and comes out, in several types
_SCATTERED = {2: 1.2, 3: 1.15}  # memory by what is in use of it: the C library (glibc) keeps freed arrays below 32 MB
_STRIPS = {2: 1.1, 3: 104.0}  # each so many strips it is 1 more
_MOST_SCATTERED = 2.5
_LOOKED, _LOOKED_LARGE = 1.0, 1.1  # the same of looking, and where its arrays are larger
_LOOKED_GRAY = 1.4  # what the first convolution makes of one channel is laid out anew
_KEPT_FREE = 2**25  # bytes of arrays that are kept
_SUM = 2  # bytes of a sum of probability bytes
_FINDING, _FINDING_MOST = 0.4, 5 * 2**23  # kept besides what is in use while objects are found: a part of it, at most
_DECIDING = 24  # bytes for each pixel that is decided at once
_RELIEF = {2: 41, 3: 57}  # bytes for each pixel whose depth in its object is looked at, by dimensions
_RUN, _KEPT_RUN = 160, 20  # bytes for each run of the objects' pixels: at most, and while the relief is made
_SMALL = 12.0  # pixels across, of objects of which the model does not say how large they are
_RUNS = 0.9  # runs for each pixel, times the objects' diameter, in a picture full of objects
_LINE = 200  # bytes for each line of pixels where pieces and holes are looked for: its runs, and what touches them


def predict_memory(image: Image, model: Model, options: SegmentOptions | None = None) -> int:
    """Bytes of main memory that :func:`~napari_unetstyle.core.segment` will need beyond those in use already.

    The largest of three: looking at the picture (layer statistics), the network with what it keeps of the picture,
    and deciding; the probabilities and labels count while they are below ``options.memory``, beyond it they lie on
    disk. On a GPU the network's part is the GPU's. It is foretold within a fifth (``benchmarks/memory_forecast.py``),
    of objects for a picture full of them, each apart: fewer take less, and one lump that fills a large volume takes
    more. The picture itself is not counted, but what is read of it is.

    Parameters
    ----------
    image
        The picture; nothing of it is read.
    model
        The model; its weights are read.
    options
        Of the run. Where the size of objects is to be found out from the picture, it counts as the model's.
    """
    options = asked = options or SegmentOptions()
    check_plane(image, model.spec, options)
    engine, pixels, network = engine_for(options, model.spec, []), math.prod(image.label_shape), model.network
    channels = model.spec.out_channels
    probabilities = _kept(channels * pixels, options)
    labels = _kept((_FLOAT if model.spec.separation else 1) * pixels, options)
    looking = running = 0
    for plane in PLANES if asked.plane == "all" else (asked.plane,):
        options, seen = asked.changed(plane=plane), turned(image, plane)
        turn, frames = Turn.of(seen, model.spec.input.orientation), seen.frames(engine.dims)
        shape = seen.frame(frames[0], engine.dims).shape
        box = turn.box(scope(options, shape), shape)
        seen = turn.image(seen)
        scale, frame = scale_for(seen, model.spec, options), seen.frame(frames[0], engine.dims)
        shape = frame.shape
        looking = max(looking, _looking(network, scaled_shape(shape, scale), len(frames), options))
        running = max(running, _running(network, frame, box, scale, options, engine))
    running += probabilities + (_kept(_SUM * channels * pixels, options) if asked.plane == "all" else 0)
    if (options.output or "objects") == "objects" and model.spec.separation:
        is_whole = asked.has_linked_slices and (not asked.link or asked.plane == "all")
        decided = image.label_shape[-3:] if is_whole else shape
        zoom = zoom_of(scale)
        finding = _finding(decided, _diameter(model.spec, scale, options), zoom)
        deciding = finding + min(round(_FINDING * finding), _FINDING_MOST)
    else:
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


def memory_words(needed: int, free: int, *, is_asked: bool = False) -> str:
    """What a person should know of a run that needs so many bytes; nothing where there is plenty and nobody asks."""
    if needed <= free * _MUCH and not is_asked:
        return ""
    if needed <= free:
        return f"Needs about {gigabytes(needed)} of memory; {gigabytes(free)} are free."
    return f"Needs about {gigabytes(needed)} of memory, but only {gigabytes(free)} are free."


def _diameter(spec: ModelSpec, scale: Scale, options: SegmentOptions) -> float:
    """Of an object, in pixels of the picture."""
    known = (spec.input.object_diameter or _SMALL) / zoom_of(scale)
    return max(1.0, options.object_diameter or known)


def _finding(shape: tuple[int, ...], diameter: float, zoom: float) -> int:
    """Objects are told apart on a relief, made in bands with what is around them, and kept as runs."""
    pixels, plane = math.prod(shape), math.prod(shape[1:])
    rows, columns = piece_shape(shape)
    bands = min(workers(), math.ceil(shape[0] / rows))
    runs = round(_RUNS * pixels / diameter)
    seen = min(shape[0], rows + 2 * reach(zoom)) * (plane if columns == shape[-1] else columns + 2 * reach(zoom))
    window = bands * _RELIEF[len(shape)] * seen
    return (pixels if pixels <= IN_MEMORY else 0) + max(window + _KEPT_RUN * runs, _RUN * runs)


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
    usual = _LOOKED_GRAY if inputs == 1 else _LOOKED
    scattered = usual if pixels * width * _FLOAT <= _KEPT_FREE else _LOOKED_LARGE
    return round(scattered * pixels * _FLOAT * (_ALIVE * width + _INPUTS * inputs))


def _running(network: UNet, frame: Frame, box: Box, scale: Scale, options: SegmentOptions, engine: Engine) -> int:
    """The largest column of a box of the picture, streamed."""
    from napari_unetstyle.core.inference.probability import Cut, columns_of
    from napari_unetstyle.core.inference.streaming import stream_bytes

    shape, scaled = frame.shape, scaled_shape(frame.shape, scale)
    resampler, reading = Resampler(scaled, shape), Resampler(shape, scaled)
    box = resampler.needs(box)
    columns = columns_of(network, box, resampler.source, engine)
    cuts = [Cut.of(network, (box[0], *column), resampler.source, engine.strip_pixels) for column in columns]
    logits, inputs = network.head.out_channels, _widths(network)[0]
    strips, dims = sum(cut.bands[0].width / cut.rows for cut in cuts), len(shape)
    scattered = min(_MOST_SCATTERED, _SCATTERED[dims] + (strips - 1) / _STRIPS[dims])
    each = []
    for cut in cuts:
        at_once = min(engine.at_once, (1 + len(cut.strips())) // 2)  # of two the first is done early
        streamed = stream_bytes(network, cut.rows, cut.bands[0].width, cut.plane, engine.dtype.itemsize, at_once)
        around = at_once * cut.rows * math.prod(cut.plane) * _FLOAT * (_LOGITS * logits + _INPUTS * inputs)
        read = ahead_bytes(frame, reading.needs(tuple(band.outer for band in cut.bands))[1:])
        each.append(round(scattered * (streamed + around)) + read)
    answer = logits * math.prod(s.stop - s.start for s in box)
    small = _kept(answer, options) if resampler.source != shape else 0
    mirrored = _kept(answer, options) + _kept(_SUM * answer, options) if options.flip else 0
    return small + mirrored + max(each)


def _widths(network: UNet) -> tuple[int, int]:
    """Channels of the input, and of the features at the top of the U."""
    width, inputs = next(network.encoder.parameters()).shape[:2]
    return inputs, width
