"""What a network is made of, as it stands in ``model.json``."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Stride = tuple[Literal[1, 2], ...]
Kernel = tuple[Literal[1, 3], ...]


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
    strides
        What each pooling step divides each axis ``(Z)YX`` by, 1 or 2; None: all by 2.
    kernels
        Sides of the convolutions of each level along each axis, 1 or 3; None: 3 everywhere.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["unet"] = "unet"
    spatial_dims: Literal[2, 3] = 2
    in_channels: Annotated[int, Field(ge=1, le=64)] = 1
    widths: Annotated[tuple[Annotated[int, Field(ge=1, le=4096)], ...], Field(min_length=2, max_length=8)]
    strides: tuple[Stride, ...] | None = None
    kernels: tuple[Kernel, ...] | None = None

    @property
    def level_strides(self) -> tuple[tuple[int, ...], ...]:
        """`strides` with the default filled in, one for each pooling step."""
        return self.strides or ((2,) * self.spatial_dims,) * (len(self.widths) - 1)

    @property
    def level_kernels(self) -> tuple[tuple[int, ...], ...]:
        """`kernels` with the default filled in, one for each level."""
        return self.kernels or ((3,) * self.spatial_dims,) * len(self.widths)

    @model_validator(mode="after")
    def _consistent(self) -> NetworkSpec:
        for name, given, count in (
            ("strides", self.level_strides, len(self.widths) - 1),
            ("kernels", self.level_kernels, len(self.widths)),
        ):
            if len(given) != count or any(len(one) != self.spatial_dims for one in given):
                raise ValueError(f"{name} needs {count} entries of {self.spatial_dims} numbers each, got {given}")
        if any(math.prod(stride) == 1 for stride in self.level_strides):
            raise ValueError(f"each pooling step has to divide an axis, got strides {self.level_strides}")
        return self
