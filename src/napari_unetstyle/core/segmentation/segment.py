"""Image to labels: the road from a picture to a result, in one place."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle import __version__
from napari_unetstyle.core import scratch
from napari_unetstyle.core.errors import OptionError
from napari_unetstyle.core.free_memory import give_back
from napari_unetstyle.core.imaging.image import Image, as_image
from napari_unetstyle.core.models.model import Model
from napari_unetstyle.core.models.spec import DISCLAIMER, ModelSpec
from napari_unetstyle.core.models.store import ModelStore
from napari_unetstyle.core.progress import Progress, Steps, run, share
from napari_unetstyle.core.segmentation.averaging import Average
from napari_unetstyle.core.segmentation.deciding import LabelsMaker, iter_decide
from napari_unetstyle.core.segmentation.fitted import Fitted
from napari_unetstyle.core.segmentation.fitting import iter_fit
from napari_unetstyle.core.segmentation.flips import Box, Index
from napari_unetstyle.core.segmentation.level_choice import read_fitting
from napari_unetstyle.core.segmentation.options import SegmentOptions, make_options
from napari_unetstyle.core.segmentation.planes import PLANES, seen
from napari_unetstyle.core.segmentation.postprocessing import bands
from napari_unetstyle.core.segmentation.relief import reach
from napari_unetstyle.core.segmentation.result import SegmentResult
from napari_unetstyle.core.segmentation.scale import rise_for, zoom_of
from napari_unetstyle.core.segmentation.tissue import Tissue, find_tissue

_LARGE = 2**21  # pixels from which giving memory back takes hardly any of the time


def segment(
    image: Any,
    model: Model | str | Path = "nuclei",
    *,
    axes: str | None = None,
    spacing: tuple[float, ...] | None = None,
    series: int | str | None = None,
    level: int | None = None,
    store: ModelStore | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    **options: Any,
) -> SegmentResult:
    """Segment a picture.

    Parameters
    ----------
    image
        numpy, dask or zarr array, :class:`~napari_unetstyle.core.Image`, or the path of a picture file or DICOM folder.
    model
        Name in the store, model folder, or a loaded model.
    axes
        One letter per axis of an array out of ``T C Z Y X``; needed unless it is 2D or ends in 3 or 4 colors.
    spacing
        Pixel size ``(Z)YX`` in micrometers, if it is not stored with the picture; it wins over what is stored.
    series
        Which series of a DICOM folder, where there are several: its number in the list that the error gives.
    level
        Which level of a file in several resolutions (OME-Zarr, slides, TIFF); boxes, polygons and diameters are in its
        pixels then. None: the one that fits the model, with options in pixels of the finest; labels lie on its grid.
    store
        Where models are looked up; the person's own by default.
    on_progress
        Called with each :class:`~napari_unetstyle.core.Progress`.
    **options
        See :class:`~napari_unetstyle.core.SegmentOptions`.

    Returns
    -------
    SegmentResult
        Labels on the picture's own grid, objects, probabilities and provenance.

    Raises
    ------
    UnetstyleError
        In words, if picture, model or an option is not usable; nothing is written.
    """
    loaded = _loaded(model, store)
    where: dict[str, Any] = {"axes": axes, "spacing": spacing, "series": series, "level": level}
    picture, chosen = open_fitting(image, [loaded.spec], make_options(**options), **where)
    return run(iter_segment(picture, loaded, chosen), on_progress)


def iter_segment(
    image: Any,
    model: Model | str | Path = "nuclei",
    options: SegmentOptions | None = None,
    *,
    store: ModelStore | None = None,
    make: LabelsMaker | None = None,
) -> Steps[SegmentResult]:
    """Like :func:`segment`, as a job: yields progress after each strip and returns the result.

    `make` says where the labels will lie; None: in memory, or on disk when they are large.
    """
    started = time.perf_counter()
    from napari_unetstyle.core.segmentation.memory import check_memory  # which knows of this module

    loaded = _loaded(model, store)
    picture, chosen = open_fitting(image, [loaded.spec], options or SegmentOptions())
    check_memory(picture, loaded, chosen)
    planes = PLANES if chosen.plane == "all" else (chosen.plane,)
    fitted: list[Fitted] = []
    for i, plane in enumerate(planes):
        steps = iter_fit(picture, loaded, chosen.changed(plane=plane))
        fitted.append((yield from share(steps, 0.1 * i / len(planes), 0.1 * (i + 1) / len(planes))))
        chosen = chosen.changed(object_diameter=fitted[0].options.object_diameter)
    result = yield from share(iter_segment_fitted(*fitted, make=make), 0.1, 1.0)
    result.provenance["seconds"] = round(time.perf_counter() - started, 3)
    return result


def _loaded(model: Model | str | Path, store: ModelStore | None) -> Model:
    return model if isinstance(model, Model) else (store or ModelStore()).load(model)


def open_fitting(
    image: Any, specs: Sequence[ModelSpec], options: SegmentOptions, *, level: int | None = None, **where: Any
) -> tuple[Image, SegmentOptions]:
    """What a person hands over, of a file the level that fits the models, and the options in pixels of that.

    Raises
    ------
    OptionError
        If a level is asked for of what is no file, or the file has no such level.
    """
    if isinstance(image, (str, Path)):
        return read_fitting(Path(image), specs, options, level=level, **where)
    if level is not None:
        raise OptionError(f"Option level={level} is for files that have several. Give the array of that level.")
    return open_image(image, **where), options


def open_image(
    image: Any,
    *,
    axes: str | None = None,
    spacing: tuple[float, ...] | None = None,
    series: int | str | None = None,
) -> Image:
    """An :class:`Image` of whatever a person hands over: path, array or Image.

    Raises
    ------
    UnetstyleError
        In words, if it cannot be read, or axes or pixel size do not fit.
    """
    if isinstance(image, (str, Path)):
        from napari_unetstyle.core.imaging.files import read_image

        return read_image(image, axes=axes, spacing=spacing, series=series)
    if series is not None:
        raise OptionError(f"Option series={series!r} is for DICOM, and this is no file. Leave it out.")
    if isinstance(image, Image):
        return image.restated(axes, spacing)
    return as_image(image, axes=axes, spacing=spacing)


def iter_segment_fitted(*fitted: Fitted, make: LabelsMaker | None = None) -> Steps[SegmentResult]:
    """Segment with a model that was fitted to the picture before; of several planes the probabilities are averaged."""
    first, count = fitted[0], len(fitted)
    for one in fitted:
        one.engine.said.clear()
    is_large = math.prod(first.source.label_shape) >= _LARGE
    if is_large:
        give_back()  # what fitting took
    shape = (first.channels, *first.source.label_shape)
    values = scratch.zeros(shape, np.uint8, first.options.memory)
    tissue = find_tissue(first, _margin(first))
    nonfinite = yield from share(_iter_average(fitted, values, tissue), 0.0, 0.9)
    notes = dict.fromkeys(note for one in fitted for note in (*one.notes, *one.engine.said))  # each once, in order
    if nonfinite:
        notes[f"{nonfinite} pixels are NaN or Inf; they count as background."] = None
    if tissue is not None:
        notes[tissue.words] = None
    if first.distance is not None and first.distance.is_foreign:
        notes[first.distance.words] = None
    options = first.options if count == 1 else fitted[-1].options.changed(plane="all")
    if is_large:
        give_back()  # what the network took
    result = _undecided(first, options, values, tuple(notes))
    result.provenance["tissue"] = None if tissue is None else tissue.share
    return (yield from share(iter_decide(result, make), 0.9, 1.0))


def _iter_average(fitted: Sequence[Fitted], out: NDArray[np.uint8], tissue: Tissue | None) -> Steps[int]:
    """Fill `out` with the mean of what each gives; returns how many pixels of the picture are not finite."""
    count = len(fitted)
    if count == 1:
        return (yield from _iter_bytes(fitted[0], out, tissue))
    average, nonfinite = Average(out.shape, fitted[0].options.memory), 0
    for i, one in enumerate(fitted):
        nonfinite = yield from share(_iter_bytes(one, out, tissue), i / count, (i + 1) / count)
        average.add(out)
        if math.prod(out.shape[1:]) >= _LARGE:
            give_back()  # what the network took, before it runs along another plane
    average.write(out)
    return nonfinite


def _iter_bytes(fitted: Fitted, out: NDArray[np.uint8], tissue: Tissue | None) -> Steps[int]:
    """Fill `out` with the probability bytes of the whole source; returns how many pixels are not finite."""
    for part, _ in bands(out.shape[1:]):
        out[:, part], out[0, part] = 0, 255
        scratch.release(out)
    count, nonfinite = len(fitted.frames), 0
    for i, index in enumerate(fitted.frames):
        steps = iter_frame_bytes(fitted, index, seen(out, fitted.options.plane), tissue)
        counted = (i + 1, count) if count > 1 else None
        nonfinite += yield from share(steps, i / count, (i + 1) / count, counted)
    return nonfinite


def _volumes(fitted: Fitted) -> tuple[Index, ...]:
    """The volumes that the segmented slices are of."""
    return tuple(dict.fromkeys(index[:-1] for index in fitted.frames))


def _undecided(
    fitted: Fitted, options: SegmentOptions, probability_bytes: NDArray[np.uint8], notes: tuple[str, ...]
) -> SegmentResult:
    """A result whose pixels are not decided yet."""
    spec = fitted.model.spec
    return SegmentResult(
        labels=np.zeros(0, np.uint8),
        label_axes=fitted.source.label_axes,
        geometry=fitted.source.geometry,
        classes=spec.classes,
        output=options.output or "areas",
        objects={},
        probability_bytes=probability_bytes,
        seed_rise=rise_for(fitted.scale, spec, fitted.options),
        zoom=zoom_of(fitted.scale),
        frames=_volumes(fitted) if options.has_linked_slices else fitted.frames,
        options=options,
        provenance=_provenance(fitted, options, notes),
        notes=notes,
        temperature=spec.temperature,
        distance=fitted.distance,
    )


def iter_part(fitted: Fitted, index: Index, box: Box, margin: int | None = None) -> Steps[SegmentResult]:
    """A box of one frame, as a run over the whole picture would give them (ids apart).

    Which piece is the largest, what is a hole and how large an area of a volume or an object of several slices is, only
    the whole shows: none of that is done here.

    Parameters
    ----------
    fitted
        The model fitted to the picture; worth keeping, since fitting takes longer than a small box.
    index
        The frame; of slices that lie in another plane than YX, along T and the axis that goes through them.
    box
        Slices along its spatial axes, in pixels, inside the picture.
    margin
        Pixels around the box that are looked at too, so that objects at its border are split as in the whole. If not
        given, of pictures as far as the relief and a typical object reach and at least 64, of volumes 8, and none for
        the areas of a volume.

    Returns
    -------
    SegmentResult
        Its `labels` and `probability_bytes` are of `box` only.
    """
    options = fitted.options.changed(plane="YX", link=False, keep_largest=None)
    if fitted.options.has_linked_slices and len(fitted.frames) > 1:
        options = options.changed(min_pixels=None)
    if options.output == "areas":
        options = options.changed(fill_holes=None)
    if fitted.dims == 3 and options.output == "areas":
        margin, options = margin or 0, options.changed(min_pixels=None)
    margin = _margin(fitted) if margin is None else margin
    shape = fitted.image.frame(index, fitted.dims).shape
    outer = tuple(slice(max(0, s.start - margin), min(n, s.stop + margin)) for s, n in zip(box, shape, strict=True))
    sides = tuple(s.stop - s.start for s in outer)
    values = np.empty((fitted.channels, *sides), np.uint8)
    yield from share(fitted.iter_bytes(index, outer, values), 0.0, 0.9)
    result = _undecided(fitted, options, values, ()).changed(frames=((),))
    result = yield from share(iter_decide(result), 0.9, 1.0)
    key: Any = tuple(slice(s.start - o.start, s.stop - o.start) for s, o in zip(box, outer, strict=True))
    return result.changed(labels=result.labels[key], probability_bytes=values[(slice(None), *key)])


def _margin(fitted: Fitted) -> int:
    """How far around a part one has to look."""
    if fitted.dims == 3:
        return 8
    zoom = zoom_of(fitted.scale)
    diameter = fitted.options.object_diameter or (fitted.model.spec.input.object_diameter or 0) / zoom
    return max(64, reach(zoom) + math.ceil(diameter))


def iter_preview(fitted: Fitted, index: Index, box: Box) -> Steps[NDArray[Any]]:
    """Only the labels of :func:`iter_part`."""
    result = yield from iter_part(fitted, index, box)
    return result.labels


def iter_frame_bytes(fitted: Fitted, index: Index, out: NDArray[np.uint8], tissue: Tissue | None = None) -> Steps[int]:
    """Fill the bytes of one frame inside the chosen box or polygon, or where there is tissue.

    `out` is ``(channels, *label_shape)``, and background where nothing is filled.

    Returns how many pixels there were no finite numbers.
    """
    boxes = (scope(fitted.options, fitted.image.frame(index, fitted.dims).shape),) if tissue is None else tissue.boxes
    areas = [0, *accumulate(math.prod(s.stop - s.start for s in box) for box in boxes)]
    nonfinite = 0
    for box, start, stop in zip(boxes, areas, areas[1:], strict=False):
        key: Any = (slice(None), *index, *box)
        part = out[key]
        steps = scratch.releasing(fitted.iter_bytes(index, box, part), out)
        nonfinite += yield from share(steps, start / areas[-1], stop / areas[-1])
        if fitted.options.polygon is not None:
            outside = ~inside(fitted.options.polygon, box)
            part[:, outside] = 0
            part[0, outside] = 255
    return nonfinite


def scope(options: SegmentOptions, shape: tuple[int, ...]) -> Box:
    """The box of a frame that `options` ask for.

    Raises
    ------
    OptionError
        If it lies outside the picture, or has not as many axes.
    """
    ranges = options.box or tuple((0, n) for n in shape)
    if len(ranges) != len(shape):
        raise OptionError(
            f"The box {ranges} has {len(ranges)} ranges, but a frame of {shape} pixels has {len(shape)} axes. Give one "
            f"range for each of {'ZYX'[-len(shape) :]}."
        )
    if options.polygon is not None:
        points = np.array(options.polygon)
        low, high = np.floor(points.min(axis=0)), np.ceil(points.max(axis=0)) + 1
        polygon = [(0, n) for n in shape[:-2]] + [(int(a), int(b)) for a, b in zip(low, high, strict=True)]
        ranges = tuple((max(a, c), min(b, d)) for (a, b), (c, d) in zip(ranges, polygon, strict=True))
    box = tuple(slice(max(a, 0), min(b, n)) for (a, b), n in zip(ranges, shape, strict=True))
    if any(s.start >= s.stop for s in box):
        raise OptionError(f"The chosen part {ranges} lies outside the picture of {shape} pixels.")
    return box


def inside(polygon: tuple[tuple[float, float], ...], box: Box) -> NDArray[np.bool_]:
    """Which pixels of a box have their center in a polygon of :class:`SegmentOptions`."""
    from skimage import draw

    y, x = box[-2:]
    mask: NDArray[np.bool_] = draw.polygon2mask(  # type: ignore[no-untyped-call]
        (y.stop - y.start, x.stop - x.start), np.array(polygon) - (y.start, x.start)
    )
    return np.broadcast_to(mask, tuple(s.stop - s.start for s in box))


def _provenance(fitted: Fitted, options: SegmentOptions, notes: tuple[str, ...]) -> dict[str, Any]:
    spec, image = fitted.model.spec, fitted.source
    return {
        "program": f"napari-unetstyle {__version__}",
        "intended_use": DISCLAIMER,
        "model": {"name": spec.name, "version": spec.version, "sha256": fitted.model.sha256},
        "picture": {"shape": list(image.array.shape), "axes": image.axes, "type": str(np.dtype(image.array.dtype))},
        "options": options.kept(),
        "scale": fitted.scale[0] if len(set(fitted.scale)) == 1 else list(fitted.scale),
        "device": str(fitted.engine.device),
        "precision": str(fitted.engine.dtype).removeprefix("torch."),
        "notes": list(notes),
        "distance": None if fitted.distance is None else fitted.distance.value,
    }
