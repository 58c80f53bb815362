"""Fitting a model to a picture: scale, intensity and layer statistics, decided once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core import device as devices
from napari_unetstyle.core.errors import ImageError, OptionError
from napari_unetstyle.core.free_memory import free_memory
from napari_unetstyle.core.imaging.channels import channel_index
from napari_unetstyle.core.imaging.geometry import in_words
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.imaging.stains import in_stain, is_stain
from napari_unetstyle.core.imaging.turn import Turn
from napari_unetstyle.core.models.model import Model
from napari_unetstyle.core.models.spec import ModelSpec
from napari_unetstyle.core.progress import Progress, Steps, share, told
from napari_unetstyle.core.segmentation.fitted import Fitted, Group, prepared
from napari_unetstyle.core.segmentation.flips import Index, flips_of, mirrored
from napari_unetstyle.core.segmentation.options import SegmentOptions, pixels_in
from napari_unetstyle.core.segmentation.planes import turned
from napari_unetstyle.core.segmentation.preprocessing import Intensity
from napari_unetstyle.core.segmentation.scale import (
    Scale,
    believed,
    diameter_seen,
    far_diameter,
    is_clear_to,
    is_same_size,
    is_size_open,
    scale_for,
    size_factor,
    size_notes,
    smallest_of,
)
from napari_unetstyle.core.style.distance import Distance, look_of

if TYPE_CHECKING:
    from napari_unetstyle.core.inference.probability import Engine

AMP_PPM = 200.0  # mixed precision is used unasked if fewer pixels in a million change
_LEAST_MEMORY = 2**27  # below, halos would be most of the work
_SIZE_LOOKS = 3  # how often at most, after the first time


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
    source, image = image, turned(in_stain(image, options.channel), options.plane)
    frames = frames_of(image, dims, options)
    notes: list[str] = list(image.notes)
    if options.restyle is not None:
        from napari_unetstyle.core.segmentation.restyle import restyled

        yield Progress(0, 1, "Looking at the picture")
        image, said = restyled(image, model, options)
        notes.append(said)
    engine = engine_for(options, model.spec, notes)
    spec = model.spec
    stain = options.channel if is_stain(source, options.channel) else None
    options = resolved(options, spec, image)
    options = options if stain is None else options.changed(channel=stain)  # its number would name a color
    turn = Turn.of(image, spec.input.orientation)
    facing = turn.image(image)
    yield Progress(0, 1, "Looking at the picture")
    looks = _Looks(facing, model, options, frames, engine)
    groups = yield from looks.iter_at(options.object_diameter, is_clear=True)
    distance = Distance.of(groups[frames[0]].look, spec)
    if is_size_open(options, spec):
        options = options.changed(object_diameter=(yield from _iter_diameter(looks)))
        groups = yield from looks.iter_at(options.object_diameter, is_clear=True)
    is_clear = looks.is_clear(groups)
    if not is_clear:
        groups = yield from looks.iter_at(options.object_diameter, is_clear=False)
    scale = scale_for(facing, spec, options, is_clear=is_clear)
    options = options.changed(min_pixels=smallest_of(scale, options, spec))
    notes += [*_color_note(image, options, spec), *_orientation_note(image, spec)]
    if all(groups[index].is_blank for index in frames):
        notes.append("The picture has one value wherever it was looked at, so nothing is found in it.")
    notes += [*size_notes(facing, scale, options, spec), *dict.fromkeys(engine.said)]
    return Fitted(
        image=image,
        source=source,
        model=model,
        options=options,
        turn=turn,
        scale=scale,
        frames=frames,
        engine=engine,
        groups=groups,
        notes=tuple(notes),
        distance=distance,
        is_clear=is_clear,
    )


@dataclass
class _Looks:
    """Looks at a picture at one scale after another; each is taken once."""

    image: Image
    model: Model
    options: SegmentOptions
    frames: tuple[Index, ...]
    engine: Engine
    taken: dict[Scale, dict[Index, Group]] = field(default_factory=dict)

    def iter_at(self, diameter: float | None, *, is_clear: bool) -> Steps[dict[Index, Group]]:
        """With objects of a diameter, as if the picture were clear to the model or not."""
        options = self.options.changed(object_diameter=diameter)
        scale = scale_for(self.image, self.model.spec, options, is_clear=is_clear)
        if scale not in self.taken:
            left = 0.5 ** len(self.taken)  # nobody knows how many looks there will be
            steps = _iter_fit_groups(self.image, self.model, options, scale, self.frames, self.engine)
            self.taken[scale] = yield from share(steps, 1 - left, 1 - left / 2)
        return self.taken[scale]

    def diameter_seen(self, groups: dict[Index, Group]) -> float | None:
        """Of the objects in the first frame, in pixels of the network."""
        return diameter_seen(groups[self.frames[0]].answers, self.model.spec)

    def is_clear(self, groups: dict[Index, Group]) -> bool:
        """Whether the first frame is clear to the model."""
        return groups[self.frames[0]].is_clear


def _iter_diameter(looks: _Looks) -> Steps[float | None]:
    """Find the size of the objects: look again at the scale that follows from it until it is the size seen there.

    Large objects look like fragments to a model that knows smaller ones, or like nothing: then it looks from afar.
    """
    spec = looks.model.spec
    groups = yield from looks.iter_at(None, is_clear=True)
    seen, diameter = looks.diameter_seen(groups), None
    if seen is None:
        diameter = far_diameter(looks.image, spec)
        if diameter is None:
            return None
        groups = yield from looks.iter_at(diameter, is_clear=False)
        seen = looks.diameter_seen(groups)
        if seen is None:
            return None
    for _ in range(_SIZE_LOOKS):
        factor = 1.0 if diameter is None else size_factor(diameter, spec, is_clear=False)
        found = believed(seen / factor, spec)
        if diameter is not None and is_same_size(diameter, found):
            break
        is_first, diameter = diameter is None, found
        if size_factor(found, spec, is_clear=is_first and looks.is_clear(groups)) == factor:
            break
        groups = yield from looks.iter_at(found, is_clear=False)
        seen = looks.diameter_seen(groups)
        if seen is None:
            break
    return diameter


def _color_note(image: Image, options: SegmentOptions, spec: ModelSpec) -> list[str]:
    """That channels, which need not be colors, were made gray as these are."""
    count = image.size("C")
    if spec.input.channels != "gray" or options.channel is not None or count not in (3, 4) or image.is_color:
        return []
    return [f"The {count} channels were taken as red, green and blue, and made gray. If they are not, choose one."]


def _orientation_note(image: Image, spec: ModelSpec) -> list[str]:
    """That nobody knows whether a volume lies as the model needs it."""
    if spec.input.orientation is None or image.geometry.is_anatomical:
        return []
    return [
        f"How the volume lies in the patient is not known. It was taken as {spec.name!r} was taught, "
        f"{in_words(spec.input.orientation)}; if it is stored another way, the labels are wrong."
    ]


def _iter_fit_groups(
    image: Image, model: Model, options: SegmentOptions, scale: Scale, frames: tuple[Index, ...], engine: Engine
) -> Steps[dict[Index, Group]]:
    """Statistics for each frame: one set for all frames of the picture, or one for each."""
    everything = tuple(image.frames(model.spec.network.spatial_dims))
    shared = [everything] if options.statistics == "picture" else [(index,) for index in frames]
    groups: dict[Index, Group] = {}
    for i, group in enumerate(shared):
        steps = told(_iter_fit_group(image, model, options, scale, group, engine), "Looking at the picture")
        fitted = yield from share(steps, i / len(shared), (i + 1) / len(shared))
        groups.update(dict.fromkeys(group, fitted))
    return groups


def _iter_fit_group(
    image: Image, model: Model, options: SegmentOptions, scale: Scale, group: tuple[Index, ...], engine: Engine
) -> Steps[Group]:
    from napari_unetstyle.core.inference.probability import folded, regions_tensor

    dims = model.spec.network.spatial_dims
    pieces = yield from share(iter_pieces(image, model.spec, options, scale, group), 0.0, 0.9)
    pixels = np.concatenate([piece.reshape(len(piece), -1) for piece in pieces], axis=1)
    intensity, is_finite = Intensity.of(pixels), np.isfinite(pixels)
    if not is_finite.any():
        raise ImageError("The picture has no finite pixel (all are NaN or Inf). Check how it was made or exported.")
    flips = flips_of(dims) if options.flip else [(0,) * dims]  # so that a mirrored picture has the same statistics
    batch = regions_tensor((mirrored(intensity.normalize(piece), flip) for piece in pieces for flip in flips), engine)
    network, logits = folded(model.network.to(engine.device), batch, engine)
    yield Progress(1, 1)
    return Group(
        network=engine.network(network),
        intensity=intensity,
        answers=logits,
        look=look_of(pieces),
        is_clear=is_clear_to(logits, batch, model.spec),
        is_blank=_has_one_value(pixels[:, is_finite.all(axis=0)]),
    )


def _has_one_value(pixels: NDArray[Any]) -> bool:
    """Whether every channel of pixels ``(C, N)`` has one value."""
    return bool((pixels == pixels[:, :1]).all())


def iter_pieces(
    image: Image, spec: ModelSpec, options: SegmentOptions, scale: Scale, group: tuple[Index, ...]
) -> Steps[list[NDArray[Any]]]:
    """The regions that statistics are taken from, as stored, at the model's scale."""
    from napari_unetstyle.core.inference.statistics import iter_regions

    stored = [prepared(image, spec, options, scale, index, None) for index in group]
    regions = yield from share(iter_regions(stored, spec.input.region), 0.0, 0.9)
    pieces = []
    for region in regions:
        pieces.append(stored[region.frame].read(*region.slices))
        yield Progress(9 * len(regions) + len(pieces), 10 * len(regions))
    return pieces


def frames_of(image: Image, dims: int, options: SegmentOptions) -> tuple[Index, ...]:
    """Indices along the leading label axes that are to be segmented, each once, in the picture's order."""
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
    return tuple(sorted(set(options.frames)))


def check_plane(image: Image, spec: ModelSpec, options: SegmentOptions) -> None:
    """Refuse a picture where the model wants a volume, and planes of what is none or is wanted whole.

    Raises
    ------
    ImageError, OptionError
        In words.
    """
    image.check_dims(spec.network.spatial_dims)
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
        fill_holes=_wanted(options.fill_holes, usual.fill_holes if are_areas else usual.fill_small_holes),
        threshold=spec.foreground_threshold if options.threshold is None else options.threshold,
    )


def _stated_size(options: SegmentOptions, spec: ModelSpec, image: Image) -> int | None:
    """Pixels of the smallest object or area that a person or, of areas, the model asks for."""
    if options.min_pixels is not None:
        return options.min_pixels
    dims = 3 if options.has_linked_slices else spec.network.spatial_dims
    size, usual = options.min_size, spec.postprocessing.min_size
    if size is None and options.output == "areas" and usual and usual.endswith(f"m{dims}"):  # um or mm
        size = usual if image.geometry.is_physical else None
    return None if size is None else pixels_in(size, image.geometry.spacing[-dims:], image.geometry.unit)


def _wanted(choice: bool | None, is_usual: bool) -> bool | None:
    """What is done to what was found: None where neither a person nor the model asks for it."""
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
        notes.append(f"{device} is not known to have instructions for bfloat16; full precision was used.")
    amp = possible and (harmless if options.amp is None else options.amp)
    dtype = torch.bfloat16 if amp else torch.float32
    memory = Engine.memory if device.type != "cpu" else max(_LEAST_MEMORY, min(Engine.memory, free_memory() // 2))
    return Engine(device=device, dtype=dtype, tile=options.tile, dims=spec.network.spatial_dims, memory=memory)
