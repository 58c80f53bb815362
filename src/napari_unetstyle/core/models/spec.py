"""What a model is: the contents of ``model.json``."""

from __future__ import annotations

import unicodedata
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from napari_unetstyle.core.networks.spec import NetworkSpec

SCHEMA_VERSION = 1
DISCLAIMER = "Research use only, not a medical device."


class _Part(BaseModel):
    # built when first used, so that the dock opens sooner
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
    has_lines: ClassVar[bool] = False

    @field_validator("*")
    @classmethod
    def _is_plain(cls, value: Any) -> Any:
        """No text of a model that somebody handed on does anything to the terminal that shows it."""
        texts = [*value, *value.values()] if isinstance(value, dict) else [value]
        if any(has_controls(text, lines=cls.has_lines) for text in texts if isinstance(text, str)):
            raise ValueError("a text has control characters in it")
        return value


def has_controls(text: str, *, lines: bool = False) -> bool:
    """Whether there are characters in a text that a terminal obeys; new lines may be in one of several lines."""
    return any(unicodedata.category(c) == "Cc" and not (lines and c in "\n\t") for c in text)


class ClassSpec(_Part):
    """One class of the labels; 0 is always the background and is not listed."""

    value: Annotated[int, Field(ge=1)]
    name: str
    color: Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")]


_OPPOSITE = str.maketrans("IAR", "SPL")


class InputSpec(_Part):
    """What the network expects of a picture.

    Attributes
    ----------
    channels
        ``"rgb"``: three channels, a gray picture is repeated; ``"gray"``: one channel, a color picture is
        turned into its luminance; ``"exact"``: as many as ``network.in_channels``, in their order.
    spacing
        Pixel size the model was trained at, ``(Z)YX`` in `unit` (None: ``"um"``), or None if it takes any.
    object_diameter
        Diameter in pixels of a typical object in the training pictures, or None.
    object_diameters
        Smallest and largest typical diameter in pixels that the model was trained to handle; others are scaled to them.
    clear_diameter
        Largest typical diameter in pixels of bright objects that the model has no doubts about; they are not scaled
        down further. None: as ``object_diameters`` say, however clear a picture is.
    region
        Side in pixels of the regions that statistics are taken from; about the patch size of the training.
    orientation
        Where the axes Z, Y and X of the volumes that it was taught go in the patient, as in ``"SAR"``; others are
        turned. None if they lie in no patient, or any way.
    mirror
        Axes of the picture along which teaching may mirror it, ``""`` for none; None: both of a picture, none of a
        volume, whose left is not its right.
    """

    channels: Literal["rgb", "gray", "exact"] = "exact"
    spacing: tuple[float, ...] | None = None
    unit: str | None = None
    object_diameter: Annotated[float, Field(gt=0)] | None = None
    object_diameters: tuple[float, float] | None = None
    clear_diameter: Annotated[float, Field(gt=0)] | None = None
    region: Annotated[int, Field(ge=16, le=4096)] = 256
    orientation: Annotated[str, Field(pattern=r"^[SIPALR]{3}$")] | None = None
    mirror: Annotated[str, Field(pattern=r"^Z?Y?X?$")] | None = None


class Measurement(_Part):
    """One row of the card's table of measured quality."""

    data: str
    metric: str
    value: float
    low: float | None = None
    high: float | None = None
    count: int | None = None


class Postprocessing(_Part):
    """What is done to what a model found unless a person says otherwise: only what was measured to help.

    Attributes
    ----------
    min_size
        Of areas, the smallest area or volume, with its unit: ``"30 mm3"``, ``"12.5 um2"``; ``"40 px2"`` counts pixels
        of the network, for models that know no pixel size.
    keep_largest
        Of areas, only the largest connected one of each class stays.
    fill_holes
        Of areas, background that one class encloses is given to it.
    fill_small_holes
        Of objects, holes of at most 1/8 of what is around them are filled.
    """

    min_size: Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)? (um|mm|px)[23]$")] | None = None
    keep_largest: bool = False
    fill_holes: bool = False
    fill_small_holes: bool = False

    @property
    def words(self) -> str:
        """What is done, as a card says it; empty if nothing is."""
        done = (
            f"areas below {self.min_size} are left out" if self.min_size else "",
            "of areas the largest one of each class is kept" if self.keep_largest else "",
            "holes in areas are filled" if self.fill_holes else "",
            "small holes in objects are filled" if self.fill_small_holes else "",
        )
        text = "; ".join(part for part in done if part)
        return text and f"{text[0].upper()}{text[1:]}."


class Card(_Part):
    """What a person must know before trusting the model."""

    has_lines = True

    purpose: str
    summary: str
    training_data: str
    license: str
    attribution: str = ""
    limits: str = ""
    measured: tuple[Measurement, ...] = ()
    intended_use: str = DISCLAIMER


class Kind(_Part):
    """One kind of pictures that the model was taught, as numbers; see ``style/distance.py``.

    Attributes
    ----------
    name
        What they are; empty for a person's own.
    count
        Pictures.
    mean, spread
        Of their looks.
    """

    name: str = ""
    count: Annotated[int, Field(ge=1)]
    mean: Annotated[tuple[float, ...], Field(min_length=17, max_length=17)]
    spread: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=17, max_length=17)]


class ModelSpec(_Part):
    """Everything about a model except its numbers.

    The network gives ``1 + len(classes)`` class logits (background first, softmax) and, if `separation`
    is set, one more logit (sigmoid): the seed map, high in the middle of an object and low where two touch.

    Attributes
    ----------
    separation
        How the seed map was defined in training, or None for a model that only knows areas.
    foreground_threshold
        Default decision level in (0, 1), measured on validation pictures.
    seed_rise
        Depth in pixels by which the middle of an object of ``input.object_diameter`` rises above the saddle to the
        next, measured likewise; that of other objects in proportion to their diameter.
    postprocessing
        What was measured on validation pictures to make areas better; all off otherwise.
    amp_changed_ppm
        Pixels in a million whose label changes in mixed precision (bfloat16), measured on test pictures; None
        if nobody measured it.
    temperature
        By which logits are divided where it is shown how sure the model is, fitted to held-out pixels; labels do not
        depend on it. Above 1: the model is surer than it is right. None if nobody fitted it.
    seen
        The kinds of pictures that it was taught; empty if nobody looked.
    files
        sha256 of each file of the model folder; that of ``model.json`` is taken without its own line.
    """

    schema_version: Literal[1] = 1
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
    version: Annotated[int, Field(ge=1, le=999_999)] = 1
    network: NetworkSpec
    input: InputSpec
    classes: Annotated[tuple[ClassSpec, ...], Field(min_length=1)]
    separation: Literal["depth"] | None = None
    foreground_threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    seed_rise: Annotated[float, Field(ge=0, le=10)] = 0.75
    postprocessing: Postprocessing = Postprocessing()
    amp_changed_ppm: Annotated[float, Field(ge=0)] | None = None
    temperature: Annotated[float, Field(ge=0.05, le=20)] | None = None
    card: Card
    seen: tuple[Kind, ...] = ()
    parent: str | None = None
    provenance: dict[str, str] = {}
    files: dict[str, Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]] = {}

    @property
    def out_channels(self) -> int:
        """Channels of the network's logits."""
        return 1 + len(self.classes) + (self.separation is not None)

    @property
    def mirrored(self) -> str:
        """Axes along which teaching may mirror a picture."""
        stated = self.input.mirror
        return stated if stated is not None else "YX" if self.network.spatial_dims == 2 else ""

    @model_validator(mode="after")
    def _consistent(self) -> ModelSpec:
        values = [c.value for c in self.classes]
        if values != list(range(1, len(values) + 1)):
            raise ValueError(f"class values must be 1, 2, … in order, got {values}")
        need = {"rgb": 3, "gray": 1}.get(self.input.channels)
        if need is not None and self.network.in_channels != need:
            raise ValueError(f"{self.input.channels!r} input needs in_channels {need}, got {self.network.in_channels}")
        if self.input.spacing is not None and len(self.input.spacing) != self.network.spatial_dims:
            raise ValueError(f"spacing {self.input.spacing} does not fit a {self.network.spatial_dims}D network")
        facing = self.input.orientation
        if facing is not None and (self.network.spatial_dims != 3 or len({*facing.translate(_OPPOSITE)}) != 3):
            raise ValueError(f"orientation {facing!r} is for volumes, and needs one of S I, one of P A and one of L R")
        return self
