"""What a network is made of, as it stands in ``model.json``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class NetworkSpec(BaseModel):
    """The network's architecture.

    Attributes
    ----------
    kind
        Architecture family.
    spatial_dims
        2 or 3.
    in_channels
        Channels of the normalized picture.
    widths
        Feature channels of each level, full resolution first; the depth is one less than their number.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["unet"] = "unet"
    spatial_dims: Literal[2, 3] = 2
    in_channels: Annotated[int, Field(ge=1, le=64)] = 1
    widths: Annotated[tuple[Annotated[int, Field(ge=1, le=4096)], ...], Field(min_length=2, max_length=8)]
