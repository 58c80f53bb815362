"""What a person can choose about a run; the same object from the form, the command line and a script."""

from __future__ import annotations

import dataclasses
import math
import numbers
import operator
import re
from dataclasses import dataclass
from typing import Any, Literal

from napari_unetstyle.core.errors import OptionError

BACKENDS = ("torch",)
_SIZE = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(um|µm|μm|mm)([23²³])\s*")
_SIZE_WORDS = "a size with its unit, as in '30 mm3' for volumes or '12.5 um2' for pictures"


@dataclass(frozen=True, kw_only=True)
class SegmentOptions:
    """Options of :func:`~napari_unetstyle.core.segmentation.segment.segment`.

    Attributes
    ----------
    channel
        Take this channel only (index from 0, or name); of a picture in colors also a stain: ``"hematoxylin"``,
        ``"eosin"`` or ``"dab"``, separated by color (Ruifrok and Johnston 2001).
    output
        ``"objects"`` (each object its own id) or ``"areas"`` (each pixel its class); None: objects if the
        model separates them.
    object_diameter
        Diameter of a typical object in pixels of the picture; the picture is scaled to what the model knows.
        None: estimated from the picture if the model knows its own size, else the pixel sizes decide.
    threshold
        Foreground probability in (0, 1) from which a pixel counts; None: the model's.
    min_pixels
        Objects (or connected areas of a class) with fewer pixels are dropped; 0: none. None: none of the objects; of
        areas those that the model was measured to be better without.
    min_size
        The same as a size with its unit, which the picture's pixel size turns into `min_pixels`: ``"30 mm3"`` for
        volumes, ``"12.5 um2"`` or ``"2 mm2"`` for pictures. None: the model's, if it was measured to help.
    keep_largest
        Of areas, keep only the largest connected one of each class (in each picture, or in the whole volume if it is
        decided as one). None: off, unless the model was measured to be better with it.
    fill_holes
        Of areas, give background that one class encloses to that class; of objects, fill holes of at most 1/8 of what
        is around them. None: as for `keep_largest`.
    box
        ``((y0, y1), (x0, x1))`` in pixels: only this part is segmented, everything outside is background.
        Statistics are the whole picture's.
    polygon
        ``((y, x), ...)`` vertices in pixels, whose centers are whole numbers: as `box`, for the inside of a polygon.
    frames
        Indices along the leading label axes (T, Z) to segment; None: all.
    skip_glass
        Of a slide, tissue is found first and only it is computed; glass is background. A chosen `box` or `polygon` is
        computed as it is.
    statistics
        For a stack: ``"picture"`` (one set for all frames) or ``"frame"`` (one for each).
    plane
        Where a model of pictures is given a volume: the plane that its slices lie in (``"YX"``, ``"ZX"``, ``"ZY"``),
        or ``"all"``: the probabilities of all three are averaged and the volume is decided as one.
    link
        Where a model of pictures is given a volume: find objects in each slice, and those of neighboring slices
        that overlap are one. Without it slices ``"YX"`` have objects of their own, and those of another plane
        are decided as one volume.
    restyle
        ``"model"``: the picture is shown to the model in the look of the most similar picture that the model was
        trained with; or the path of a picture whose look it takes. The labels lie on the picture as it is.
    flip
        Average over mirrored pictures: slower, slightly steadier.
    tile
        Strips of about `tile` times `tile` pixels are computed at once; never changes a label.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:N"`` or ``"mps"``.
    amp
        Mixed precision: bfloat16 on processors and GPUs of CUDA with instructions for it, else full precision, which is
        said; never float16. None: where the device has it and the model was measured to keep its labels
        (200 pixels in a million).
    backend
        What runs the network: ``"torch"``.
    memory
        Bytes that results may take before they are put on disk; None: 256 MB.
    """

    channel: int | str | None = None
    output: Literal["objects", "areas"] | None = None
    object_diameter: float | None = None
    threshold: float | None = None
    min_pixels: int | None = None
    min_size: str | None = None
    keep_largest: bool | None = None
    fill_holes: bool | None = None
    box: tuple[tuple[int, int], ...] | None = None
    polygon: tuple[tuple[float, float], ...] | None = None
    frames: tuple[tuple[int, ...], ...] | None = None
    skip_glass: bool = True
    statistics: Literal["picture", "frame"] = "picture"
    plane: Literal["YX", "ZX", "ZY", "all"] = "YX"
    link: bool = False
    restyle: str | None = None
    flip: bool = False
    tile: int | None = None
    device: str = "auto"
    amp: bool | None = None
    backend: str = "torch"
    memory: int | None = None

    def __post_init__(self) -> None:
        _require(self.output in (None, "objects", "areas"), "output", self.output, "'objects' or 'areas'")
        _require(self.statistics in ("picture", "frame"), "statistics", self.statistics, "'picture' or 'frame'")
        _require(self.plane in ("YX", "ZX", "ZY", "all"), "plane", self.plane, "'YX', 'ZX', 'ZY' or 'all'")
        is_open = self.plane != "all" or (self.box is None and self.polygon is None and self.frames is None)
        _require(is_open, "plane", self.plane, "one plane where only a part is segmented")
        is_within = self.threshold is None or (_is_number(self.threshold) and 0 < self.threshold < 1)
        _require(is_within, "threshold", self.threshold, "a number in (0, 1)")
        is_count = self.min_pixels is None or (_is_number(self.min_pixels) and self.min_pixels >= 0)
        _require(is_count, "min_pixels", self.min_pixels, "0 or more")
        is_size = self.min_size is None or (isinstance(self.min_size, str) and bool(_SIZE.fullmatch(self.min_size)))
        _require(is_size, "min_size", self.min_size, _SIZE_WORDS)
        is_one = self.min_size is None or self.min_pixels is None
        _require(is_one, "min_size", self.min_size, "either it or min_pixels, not both")
        is_free = not self.keep_largest or self.output != "objects"
        _require(is_free, "keep_largest", self.keep_largest, "it with output='areas' only")
        is_tile = self.tile is None or (_is_number(self.tile) and self.tile >= 16)
        _require(is_tile, "tile", self.tile, "16 or more")
        _require(self.memory is None or _is_number(self.memory), "memory", self.memory, "a number of bytes")
        _require(self.backend in BACKENDS, "backend", self.backend, " or ".join(map(repr, BACKENDS)))
        diameter = self.object_diameter
        is_diameter = diameter is None or (_is_number(diameter) and 1 <= diameter <= 1e5)
        _require(is_diameter, "object_diameter", diameter, "pixels from 1 to 100000")
        _require(self.box is None or _is_box(self.box), "box", self.box, "((y0, y1), (x0, x1)), whole numbers, y0 < y1")
        is_polygon = self.polygon is None or _is_polygon(self.polygon)
        _require(is_polygon, "polygon", self.polygon, "at least three (y, x) vertices of finite numbers")
        are_frames = self.frames is None or _are_frames(self.frames)
        _require(are_frames, "frames", self.frames, "at least one index of whole numbers, as in ((0,), (4,))")
        self._settle()

    def _settle(self) -> None:
        """Arrays, lists and devices as what they are kept as."""
        for name, number in (("box", operator.index), ("polygon", float), ("frames", operator.index)):
            rows = getattr(self, name)
            if rows is not None:
                object.__setattr__(self, name, tuple(tuple(map(number, row)) for row in rows))
        object.__setattr__(self, "device", str(self.device))  # torch has a type of its own

    @property
    def has_linked_slices(self) -> bool:
        """Whether slices are put together before anything is decided."""
        return self.plane != "YX" or self.link

    def changed(self, **changes: Any) -> SegmentOptions:
        """A copy with some options replaced."""
        return dataclasses.replace(self, **changes)

    def stated(self) -> dict[str, Any]:
        """The options that differ from their defaults."""
        pairs = ((f.name, getattr(self, f.name), f.default) for f in dataclasses.fields(self))
        return {name: value for name, value, default in pairs if value != default}

    def kept(self) -> dict[str, Any]:
        """What is kept with the labels: as `stated`, but for the path of a picture, which may name a patient."""
        is_path = self.restyle not in (None, "model")
        return self.stated() | ({"restyle": "another picture"} if is_path else {})


def make_options(**options: Any) -> SegmentOptions:
    """Options by name, with an error in words for an unknown one.

    Raises
    ------
    OptionError
        If an option does not exist or has a value that is not allowed.
    """
    known = [f.name for f in dataclasses.fields(SegmentOptions)]
    for name in options:
        if name not in known:
            raise OptionError(f"There is no option {name!r}. Options: {', '.join(known)}.")
    return SegmentOptions(**options)


def pixels_in(size: str, spacing: tuple[float, ...], unit: str) -> int:
    """Fewest pixels that make up a size such as ``"30 mm3"``.

    Parameters
    ----------
    size
        As `SegmentOptions.min_size` allows it.
    spacing, unit
        Pixel size along the axes that are decided together.

    Raises
    ------
    OptionError
        If the pixel size is not known, or the size is not one of as many dimensions.
    """
    parts = _SIZE.fullmatch(size)
    dims = len(spacing)
    if parts is None or dims != {"2": 2, "²": 2, "3": 3, "³": 3}[parts[3]]:
        what = {2: "pictures, or slices one by one: give um2 or mm2", 3: "volumes: give um3 or mm3"}[dims]
        raise OptionError(f"Option min_size={size!r} is not allowed: this run decides {what}.")
    if unit == "px":
        raise OptionError(
            f"Option min_size={size!r} needs to know how large a pixel is, and the picture does not say it. "
            "State the pixel size, or give min_pixels."
        )
    factor = {"um": 1.0, "mm": 1e3}
    side = factor["mm" if parts[2] == "mm" else "um"] / factor[unit]
    return math.ceil(round(float(parts[1]) * side**dims / math.prod(spacing), 6))


def _is_box(value: Any) -> bool:
    try:
        return len(value) in (2, 3) and all(operator.index(low) < operator.index(high) for low, high in value)
    except (TypeError, ValueError):  # no pairs, or no whole numbers
        return False


def _are_frames(value: Any) -> bool:
    try:
        return len(value) > 0 and all(operator.index(i) is not None for index in value for i in index)
    except TypeError:
        return False


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real)


def _is_polygon(value: Any) -> bool:
    try:
        return len(value) >= 3 and all(math.isfinite(y) and math.isfinite(x) for y, x in value)
    except (TypeError, ValueError, OverflowError):
        return False


def _require(holds: bool, name: str, value: object, allowed: str) -> None:
    if not holds:
        raise OptionError(f"Option {name}={value!r} is not allowed: give {allowed}.")
