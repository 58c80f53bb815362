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

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

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


class StyleNetSpec(BaseModel):
    """The architecture of a network that gives pictures one style.

    Attributes
    ----------
    kind
        Architecture family.
    in_channels
        1 for gray, 3 for color.
    width
        Feature channels at half the resolution; twice as many below, half as many above.
    blocks
        Residual blocks, at a quarter of the resolution.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    kind: Literal["style-net"] = "style-net"
    in_channels: Literal[1, 3] = 3
    width: Annotated[int, Field(ge=2, le=64, multiple_of=2)] = 16
    blocks: Annotated[int, Field(ge=1, le=8)] = 5

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of each tensor of the network's state, by name: known without the network."""
        half, deep, fine, channels = self.width, 2 * self.width, self.width // 2, self.in_channels
        found: dict[str, tuple[int, ...]] = {}

        def norm(name: str, width: int) -> None:
            found.update({f"{name}.weight": (width,), f"{name}.bias": (width,)})

        def separable(name: str, width: int) -> None:
            found.update({f"{name}.0.weight": (width, 1, 3, 3), f"{name}.1.weight": (width, width, 1, 1)})

        def point(name: str, below: int, above: int) -> None:
            found.update({f"{name}.weight": (above, below, 1, 1), f"{name}.bias": (above,)})

        for name, below, above in (("first", channels, half), ("down", half, deep)):
            found[f"{name}.conv.weight"] = (above, below, 3, 3)
            norm(f"{name}.norm", above)
        for number in range(self.blocks):
            separable(f"blocks.{number}.one.conv", deep)
            norm(f"blocks.{number}.one.norm", deep)
            separable(f"blocks.{number}.two", deep)
            norm(f"blocks.{number}.norm", deep)
        point("narrow", deep, half)
        separable("up.conv", half)
        norm("up.norm", half)
        point("thin", half, fine)
        point("seen", channels, fine)
        found["fine.conv.weight"] = (fine, 1, 3, 3)
        norm("fine.norm", fine)
        point("last", fine, channels)
        return found


class AnyStyleSpec(BaseModel):
    """The architecture of a network that makes the network of any style.

    Attributes
    ----------
    kind
        Architecture family.
    body
        Of the networks that it makes.
    look_widths
        Feature channels of the layers that look at the style, each at half the resolution of the one before.
    code
        Numbers that a style comes down to.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    kind: Literal["any-style-net"] = "any-style-net"
    body: StyleNetSpec = StyleNetSpec(width=32)
    look_widths: Annotated[tuple[Annotated[int, Field(ge=1, le=512)], ...], Field(min_length=1, max_length=6)] = (
        32,
        64,
        96,
    )
    code: Annotated[int, Field(ge=1, le=1024)] = 96
