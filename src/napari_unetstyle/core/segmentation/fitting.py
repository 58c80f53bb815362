"""Fitting a model to a picture: scale, intensity and layer statistics, decided once."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core import device as devices
from napari_unetstyle.core.errors import ImageError, OptionError
from napari_unetstyle.core.free_memory import free_memory
from napari_unetstyle.core.imaging.geometry import UNITS, in_known_unit
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.imaging.resample import Resampler
from napari_unetstyle.core.models.spec import ModelSpec
from napari_unetstyle.core.models.store import Model
from napari_unetstyle.core.progress import Progress, Steps
from napari_unetstyle.core.segmentation.options import SegmentOptions, pixels_in
from napari_unetstyle.core.segmentation.planes import turned
from napari_unetstyle.core.segmentation.preprocessing import Intensity, Prepared, channel_index
from napari_unetstyle.core.style.distance import Distance, Look, look_of

if TYPE_CHECKING:
    from torch import Tensor

    from napari_unetstyle.core.inference.probability import Engine
    from napari_unetstyle.core.networks.unet import UNet

Index = tuple[int, ...]
Box = tuple[slice, ...]
Scale = tuple[float, ...]
AMP_PPM = 200.0  # mixed precision is used unasked if fewer pixels in a million change
_LEAST_MEMORY = 2**27  # below, halos would be most of the work
_SCALES = (1 / 32, 32.0)
SPECK = 1 / 32  # of the typical object's area
_SAME_SPACING = 0.01  # pixel sizes that differ by less are the same
_SIZE_REGIONS = 2  # regions in which the size of the objects is looked at
_SIZE_OBJECTS = 5  # fewer do not tell a typical size
_SIZE_SHARE = 0.005  # nor do specks on next to nothing of the picture
_SIZE_SCALES = (1 / 8, 4.0)  # what is scaled unasked
_PART_PIXELS = 2**22  # resampled at once
_SIZE_MARGIN = 1.4  # clumps look like large objects, fragments like small ones


@dataclass(frozen=True, kw_only=True, eq=False)
class _Group:
    """Frames that share one set of statistics."""

    network: UNet
    intensity: Intensity
    sample: Tensor  # a few normalized regions (N, C, *spatial)
    look: Look


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitted:
    """A model fitted to one picture; any part of the picture gets the same pixels from it.

    Attributes
    ----------
    image, model
        What was fitted to what; a volume for a model of pictures is turned so that its slices ``YX`` are the
        chosen ones.
    source
        The picture as it was given.
    options
        With every choice resolved.
    scale
        Factor from the picture's grid to the model's, for each spatial axis.
    frames
        Indices along the leading label axes that are segmented.
    notes
        Sentences that a person should read.
    distance
        How unlike the pictures of its training the picture is to the model; None where it does not say.
    """

    image: Image
    source: Image
    model: Model
    options: SegmentOptions
    scale: Scale
    frames: tuple[Index, ...]
    engine: Engine
    groups: dict[Index, _Group]
    notes: tuple[str, ...]
    distance: Distance | None = None

    @property
    def dims(self) -> int:
        """Spatial dimensions of the network."""
        return self.model.spec.network.spatial_dims

    @property
    def channels(self) -> int:
        """Number of probability channels."""
        return self.model.spec.out_channels

    def prepared(self, index: Index) -> Prepared:
        """The frame as its network sees it."""
        return _prepared(self.image, self.model.spec, self.options, self.scale, index, self.groups[index].intensity)

    def iter_bytes(self, index: Index, box: Box, out: NDArray[np.uint8]) -> Steps[int]:
        """Fill `out` ``(channels, *box)`` with the probability bytes of a box of one frame.

        Where the picture is not a finite number the answer is background; returns how many such pixels the
        box has.
        """
        picture = self.prepared(index)
        resampler = Resampler(picture.shape, self.image.frame(index, self.dims).shape)
        inner = resampler.needs(box)
        small = out if picture.shape == resampler.target else _scratch(self, inner)
        yield from self._iter_flips(index, picture, inner, small)
        if small is not out:
            _bring_back(resampler, small, inner, box, out)
        return _clear_nonfinite(picture, box, out) if picture.has_nonfinite else 0

    def _iter_flips(self, index: Index, picture: Prepared, box: Box, out: NDArray[np.uint8]) -> Steps[None]:
        from napari_unetstyle.core.inference.probability import iter_probabilities

        network, seeds = self.groups[index].network, self.model.spec.separation is not None
        if not self.options.flip:
            yield from iter_probabilities(network, picture, out, box, self.engine, seeds=seeds)
            return
        total = np.zeros(out.shape, np.uint16)
        flips = _flips(self.dims)
        for i, flip in enumerate(flips):
            mirrored = _Mirrored(picture, flip)
            piece = np.empty_like(out)
            steps = iter_probabilities(network, mirrored, piece, mirrored.box(box), self.engine, seeds=seeds)
            for progress in steps:
                yield Progress(i * progress.total + progress.step, len(flips) * progress.total, progress.message)
            total += _mirror(piece, flip)
        np.copyto(out, (total + len(flips) // 2) // len(flips), casting="unsafe")


def _flips(dims: int) -> list[Index]:
    return list(np.ndindex(*(2,) * dims))


def _mirror(pixels: NDArray[Any], flip: Index) -> NDArray[Any]:
    key: Any = (slice(None), *(slice(None, None, -1) if f else slice(None) for f in flip))
    mirrored: NDArray[Any] = pixels[key]
    return mirrored


class _Mirrored:
    """A picture seen in a mirror along some axes."""

    def __init__(self, picture: Prepared, flip: Index) -> None:
        self._picture, self._flip, self.shape = picture, flip, picture.shape

    def box(self, box: Box) -> Box:
        return tuple(
            slice(n - s.stop, n - s.start) if f else s for s, n, f in zip(box, self.shape, self._flip, strict=True)
        )

    def read(self, *slices: slice) -> NDArray[Any]:
        given = [*slices, *[slice(None)] * (len(self.shape) - len(slices))]
        box = tuple(slice(*s.indices(n)) for s, n in zip(given, self.shape, strict=True))
        return _mirror(self._picture.read(*self.box(box)), self._flip)


def iter_fit(image: Image, model: Model, options: SegmentOptions) -> Steps[Fitted]:
    """Decide everything that follows from the whole picture, before any part of it is segmented.

    Raises
    ------
    ImageError
        If the picture does not fit the model or has no finite pixel.
    DeviceError, OptionError
        If the device or an option cannot be had.
    """
    dims = model.spec.network.spatial_dims
    check_plane(image, model.spec, options)
    source, image = image, turned(image, options.plane)
    frames = frames_of(image, dims, options)
    notes: list[str] = list(image.notes)
    if options.restyle is not None:
        from napari_unetstyle.core.segmentation.restyle import restyled

        yield Progress(0, 1, "Looking at the picture")
        image, said = restyled(image, model, options)
        notes.append(said)
    engine = engine_for(options, model.spec, notes)
    spec = model.spec
    options = resolved(options, spec, image)
    scale = scale_for(image, spec, options)
    yield Progress(0, 1, "Looking at the picture")
    groups = yield from _iter_fit_groups(image, model, options, scale, frames, engine)
    distance = Distance.of(groups[frames[0]].look, spec)
    if _is_size_open(options, spec):
        diameter = _typical_diameter(groups[frames[0]], spec, engine)
        options = options.changed(object_diameter=diameter)
        scale = scale_for(image, spec, options)
        if set(scale) != {1.0}:
            groups = yield from _iter_fit_groups(image, model, options, scale, frames, engine)
    options = options.changed(min_pixels=_smallest(scale, options, spec))
    notes += _size_notes(image, scale, options, spec)
    return Fitted(
        image=image,
        source=source,
        model=model,
        options=options,
        scale=scale,
        frames=frames,
        engine=engine,
        groups=groups,
        notes=tuple(notes),
        distance=distance,
    )


def _iter_fit_groups(
    image: Image, model: Model, options: SegmentOptions, scale: Scale, frames: tuple[Index, ...], engine: Engine
) -> Steps[dict[Index, _Group]]:
    """Statistics for each frame: one set for all frames of the picture, or one for each."""
    everything = tuple(image.frames(model.spec.network.spatial_dims))
    shared = [everything] if options.statistics == "picture" else [(index,) for index in frames]
    groups: dict[Index, _Group] = {}
    for i, group in enumerate(shared):
        groups.update(dict.fromkeys(group, _fit_group(image, model, options, scale, group, engine)))
        yield Progress(i + 1, len(shared), "Looking at the picture")
    return groups


def _fit_group(
    image: Image, model: Model, options: SegmentOptions, scale: Scale, group: tuple[Index, ...], engine: Engine
) -> _Group:
    from napari_unetstyle.core.inference.probability import regions_tensor
    from napari_unetstyle.core.inference.statistics import fold

    dims = model.spec.network.spatial_dims
    pieces = pieces_of(image, model.spec, options, scale, group)
    intensity = Intensity.of(np.concatenate([piece.reshape(len(piece), -1) for piece in pieces], axis=1))
    if not any(np.isfinite(piece).any() for piece in pieces):
        raise ImageError("The picture has no finite pixel (all are NaN or Inf). Check how it was made or exported.")
    flips = _flips(dims) if options.flip else [(0,) * dims]  # so that a mirrored picture has the same statistics
    batch = regions_tensor((_mirror(intensity.normalize(piece), flip) for piece in pieces for flip in flips), engine)
    network = fold(model.network.to(engine.device), batch)
    return _Group(
        network=engine.network(network),
        intensity=intensity,
        sample=batch[: _SIZE_REGIONS * len(flips)],
        look=look_of(pieces),
    )


def pieces_of(
    image: Image, spec: ModelSpec, options: SegmentOptions, scale: Scale, group: tuple[Index, ...]
) -> list[NDArray[Any]]:
    """The regions that statistics are taken from, as stored, at the model's scale."""
    from napari_unetstyle.core.inference.statistics import choose_regions

    stored = [_prepared(image, spec, options, scale, index, None) for index in group]
    regions = choose_regions(stored, spec.input.region)
    return [stored[region.frame].read(*region.slices) for region in regions]


def _prepared(
    image: Image, spec: ModelSpec, options: SegmentOptions, scale: Scale, index: Index, intensity: Intensity | None
) -> Prepared:
    channel = options.channel
    return Prepared(
        image.frame(index, spec.network.spatial_dims),
        spec.input,
        spec.network.in_channels,
        channel=channel if channel is None else int(channel),
        scale=scale,
        intensity=intensity,
    )


def frames_of(image: Image, dims: int, options: SegmentOptions) -> tuple[Index, ...]:
    """Indices along the leading label axes that are to be segmented."""
    everything = image.frames(dims)
    if options.frames is None:
        return tuple(everything)
    for index in options.frames:
        if index not in everything:
            axes = image.label_axes[:-dims]
            raise OptionError(
                f"There is no frame {index}: the leading axes {axes or '(none)'} have lengths "
                f"{image.label_shape[:-dims]}. Count from 0."
            )
    return options.frames


def check_plane(image: Image, spec: ModelSpec, options: SegmentOptions) -> None:
    """Refuse planes where there is no volume, or where the model wants it whole.

    Raises
    ------
    OptionError
        In words.
    """
    if options.plane == "YX" and not options.link:
        return
    if spec.network.spatial_dims == 3:
        raise OptionError(
            f"Options plane={options.plane!r} and link={options.link} are for models of pictures, but {spec.name!r} "
            "works on volumes. Leave them out."
        )
    if "Z" not in image.axes:
        raise OptionError(
            f"Options plane={options.plane!r} and link={options.link} need a volume, but axes {image.axes} have no Z. "
            "Leave them out, or state the axes."
        )


def resolved(options: SegmentOptions, spec: ModelSpec, image: Image) -> SegmentOptions:
    """Options with every choice made that follows from model and picture."""
    if options.output == "objects" and spec.separation is None:
        raise OptionError(f"Model {spec.name!r} knows areas only. Use output='areas', or another model.")
    dims = spec.network.spatial_dims
    if options.box is not None and len(options.box) != dims:
        raise OptionError(f"The box has {len(options.box)} ranges, but the model works in {dims} dimensions.")
    options = options.changed(output=options.output or ("objects" if spec.separation else "areas"))
    usual, are_areas = spec.postprocessing, options.output == "areas"
    return options.changed(
        channel=channel_index(image, options.channel),
        min_pixels=_stated_size(options, spec, image),
        min_size=None,
        keep_largest=_wanted(options.keep_largest, usual.keep_largest and are_areas),
        fill_holes=_wanted(options.fill_holes, usual.fill_holes and are_areas),
        threshold=spec.foreground_threshold if options.threshold is None else options.threshold,
    )


def _stated_size(options: SegmentOptions, spec: ModelSpec, image: Image) -> int | None:
    """Pixels of the smallest object or area that a person or, of areas, the model asks for."""
    if options.min_pixels is not None:
        return options.min_pixels
    dims = 3 if options.has_linked_slices else spec.network.spatial_dims
    size, usual = options.min_size, spec.postprocessing.min_size
    if size is None and options.output == "areas" and usual and usual.endswith(str(dims)):
        size = usual if image.geometry.is_physical else None
    return None if size is None else pixels_in(size, image.geometry.spacing[-dims:], image.geometry.unit)


def _wanted(choice: bool | None, is_usual: bool) -> bool | None:
    """What is done to areas: None where neither a person nor the model asks for it."""
    if not is_usual:
        return choice or None
    return True if choice is None else choice


def engine_for(options: SegmentOptions, spec: ModelSpec, notes: list[str]) -> Engine:
    """How the network will be run; what a person should know about it is added to `notes`."""
    import torch

    from napari_unetstyle.core.inference.probability import Engine

    device = devices.resolve(options.device)
    harmless = spec.amp_changed_ppm is not None and spec.amp_changed_ppm <= AMP_PPM
    possible = devices.has_bfloat16(device)
    if options.amp and not possible:
        notes.append(f"{device} has no instructions for mixed precision; full precision was used.")
    amp = possible and (harmless if options.amp is None else options.amp)
    dtype = torch.bfloat16 if amp else torch.float32
    memory = Engine.memory if device.type != "cpu" else max(_LEAST_MEMORY, min(Engine.memory, free_memory() // 2))
    return Engine(device=device, dtype=dtype, tile=options.tile, dims=spec.network.spatial_dims, memory=memory)


def scale_for(image: Image, spec: ModelSpec, options: SegmentOptions) -> Scale:
    """Factors that bring the picture to the size the model knows: by objects, else by pixel size."""
    dims = spec.network.spatial_dims
    spacing = image.geometry.spacing[-dims:]
    even = image.geometry.is_physical and options.plane != "YX"  # slices across thick ones are stretched
    scale = tuple(side / min(spacing) if even else 1.0 for side in spacing)
    diameter, known = options.object_diameter, spec.input.object_diameter
    if diameter is not None and known is not None:
        low, high = spec.input.object_diameters or (known, known)
        factor = 1.0 if low <= diameter <= high else known / diameter
        scale = tuple(side * factor for side in scale)
    elif spec.input.spacing is not None and image.geometry.is_physical:
        wanted = in_known_unit(spec.input.spacing, spec.input.unit or "um").in_unit(image.geometry.unit)
        ratios = zip(spacing, wanted.spacing, strict=True)
        scale = tuple(1.0 if abs(have / want - 1) < _SAME_SPACING else have / want for have, want in ratios)
    if not all(_SCALES[0] <= factor <= _SCALES[1] for factor in scale):
        raise OptionError(
            f"The picture would have to be scaled by {_factor(scale)} for this model; allowed are "
            f"{_SCALES[0]:.3g} to {_SCALES[1]:.3g}. Check the pixel size "
            f"({image.geometry.spacing} {UNITS[image.geometry.unit]}) or the object diameter."
        )
    return scale


def _factor(scale: Scale) -> str:
    """A scale in words: one number if it is the same along all axes."""
    shown = [f"{factor:.3g}" for factor in scale]
    return shown[0] if len(set(shown)) == 1 else " x ".join(shown)


def _is_size_open(options: SegmentOptions, spec: ModelSpec) -> bool:
    known = spec.input.object_diameter is not None and spec.input.spacing is None
    return known and spec.separation is not None and options.object_diameter is None


def _typical_diameter(group: _Group, spec: ModelSpec, engine: Engine) -> float | None:
    """Diameter in pixels of the object that a random foreground pixel lies in; None if there are none to see.

    Weighing objects by their area makes fragments and specks count little.
    """
    import torch

    from napari_unetstyle.core.inference.probability import to_bytes
    from napari_unetstyle.core.segmentation.objects import objects

    with torch.inference_mode():
        logits = group.network(group.sample.to(engine.dtype))
    found = [
        objects(
            to_bytes(one[None], seeds=True),
            foreground_threshold=spec.foreground_threshold,
            seed_rise=spec.seed_rise,
        )[0]
        for one in logits
    ]
    areas = np.concatenate([np.bincount(labels.ravel())[1:] for labels in found])
    if len(areas) < _SIZE_OBJECTS or areas.sum() < _SIZE_SHARE * sum(labels.size for labels in found):
        return None
    return _believed(typical_diameter(areas, spec.network.spatial_dims), spec)


def typical_diameter(areas: NDArray[Any], dims: int) -> float:
    """Diameter of the object that a random pixel of objects of these `areas` (pixels, or voxels) lies in."""
    ordered = np.sort(areas)
    covered = np.cumsum(ordered)
    area = float(ordered[np.searchsorted(covered, covered[-1] / 2)])
    return float(2 * (area / _ball(dims)) ** (1 / dims))


def _ball(dims: int) -> float:
    """Pixels of a disk, or voxels of a ball, of radius 1."""
    return float(np.pi if dims == 2 else 4 / 3 * np.pi)


def _believed(diameter: float, spec: ModelSpec) -> float:
    """The diameter to go by: a little beyond what the model handles counts as its limit, far beyond is limited."""
    known = spec.input.object_diameter or diameter
    low, high = spec.input.object_diameters or (known, known)
    if low / _SIZE_MARGIN <= diameter <= high * _SIZE_MARGIN:
        return float(round(np.clip(diameter, low, high), 1))
    return float(round(np.clip(diameter, known / _SIZE_SCALES[1], known / _SIZE_SCALES[0]), 1))


def _smallest(scale: Scale, options: SegmentOptions, spec: ModelSpec) -> int:
    """Pixels below which an object is a speck, unless a person said so: a part of the typical object's area."""
    if options.min_pixels is not None:
        return options.min_pixels
    if options.output == "areas" or spec.input.object_diameter is None:
        return 0
    dims = spec.network.spatial_dims
    diameter = options.object_diameter or spec.input.object_diameter / float(np.prod(scale)) ** (1 / dims)
    dims = 3 if options.has_linked_slices else dims
    return round(SPECK * _ball(dims) * (diameter / 2) ** dims)


def _size_notes(image: Image, scale: Scale, options: SegmentOptions, spec: ModelSpec) -> list[str]:
    if spec.input.spacing is not None and not image.geometry.is_physical:
        size = " x ".join(f"{s:g}" for s in spec.input.spacing)
        return [f"The picture does not say how large its pixels are; they were taken to be {size} {spec.input.unit}."]
    if set(scale) == {1.0}:
        return []
    if options.object_diameter is None or spec.input.spacing is not None:
        return [f"The picture was scaled by {_factor(scale)} to the pixel size that the model knows."]
    return [
        f"Objects are about {options.object_diameter:g} pixels wide, so the picture was scaled by {_factor(scale)} "
        "for the model. If that is wrong, give the diameter of one object."
    ]


def _scratch(fitted: Fitted, box: Box) -> NDArray[np.uint8]:
    from napari_unetstyle.core import scratch

    shape = (fitted.channels, *(s.stop - s.start for s in box))
    return scratch.zeros(shape, np.uint8, fitted.options.memory)


def _bring_back(resampler: Resampler, small: NDArray[np.uint8], inner: Box, box: Box, out: NDArray[np.uint8]) -> None:
    """Resample probabilities to the picture's grid, part by part."""
    for part in _parts(box):
        needs = resampler.needs(part)
        there = tuple(slice(n.start - i.start, n.stop - i.start) for n, i in zip(needs, inner, strict=True))
        values = resampler.apply(small[(slice(None), *there)], part)
        out[:, part[0].start - box[0].start : part[0].stop - box[0].start] = np.rint(values).astype(np.uint8)


def _clear_nonfinite(picture: Prepared, box: Box, out: NDArray[np.uint8]) -> int:
    count = 0
    for part in _parts(box):
        bad = ~np.isfinite(picture.stored(*part)).all(axis=0)
        values = out[:, part[0].start - box[0].start : part[0].stop - box[0].start]
        values[:, bad] = 0
        values[0, bad] = 255
        count += int(bad.sum())
    return count


def _parts(box: Box) -> Iterator[Box]:
    """A box in bands of rows, or of slices, of a few megapixels."""
    plane = math.prod(s.stop - s.start for s in box[1:])
    rows = max(1, _PART_PIXELS // plane)
    for start in range(box[0].start, box[0].stop, rows):
        yield (slice(start, min(start + rows, box[0].stop)), *box[1:])
