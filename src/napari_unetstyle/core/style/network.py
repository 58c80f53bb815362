"""A trained network of a style, as numbers: kept in a file that is read without running anything in it."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.errors import StyleFileError
from napari_unetstyle.core.networks.spec import StyleNetSpec

if TYPE_CHECKING:
    from napari_unetstyle.core.networks.style_net import StyleNet

LARGEST = 2**22
"""Bytes of a file; the largest network that a specification allows fits."""

_HEAD = 8  # bytes of the length that a safetensors file begins with
_STYLE, _SPEC = "style", "network"


@dataclass(frozen=True, eq=False)
class StyleNetwork:
    """A network of one style.

    Attributes
    ----------
    spec
        Its architecture.
    weights
        float32 arrays by name, exactly those of ``spec.shapes``, all finite.
    """

    spec: StyleNetSpec
    weights: dict[str, NDArray[np.float32]]

    def __post_init__(self) -> None:
        expected = self.spec.shapes
        wrong = sorted(expected.keys() ^ self.weights.keys())
        if wrong:
            raise StyleFileError(f"tensor {wrong[0]!r} is {'missing' if wrong[0] in expected else 'not known'}")
        for name, array in self.weights.items():
            if array.shape != expected[name] or array.dtype != np.float32:
                raise StyleFileError(
                    f"tensor {name!r} is {array.dtype} {array.shape}, expected float32 {expected[name]}"
                )
            if not np.isfinite(array).all():
                raise StyleFileError(f"tensor {name!r} holds NaN or Inf")

    @classmethod
    def of(cls, spec: StyleNetSpec, network: StyleNet) -> StyleNetwork:
        """The numbers of a network."""
        state = network.state_dict()
        return cls(spec, {name: np.array(t.detach().float().cpu().numpy()) for name, t in state.items()})

    def built(self) -> StyleNet:
        """The network, for use."""
        import torch

        from napari_unetstyle.core.networks.style_net import StyleNet

        network = StyleNet(self.spec)
        network.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in self.weights.items()})
        return network.requires_grad_(False).eval()


def is_packed(data: bytes) -> bool:
    """Whether a file's bytes look as :func:`packed` writes them, and not as text."""
    return data[_HEAD // 2 : _HEAD] == bytes(_HEAD // 2)


def packed(style: str, network: StyleNetwork) -> bytes:
    """A style's JSON and its network as the bytes of one safetensors file."""
    from safetensors.numpy import save

    data: bytes = save(network.weights, {_STYLE: style, _SPEC: network.spec.model_dump_json()})
    return data


def unpacked(data: bytes) -> tuple[str, StyleNetwork]:
    """The inverse of :func:`packed`.

    Raises
    ------
    ValueError
        In words, if the bytes are damaged, too many or of something else.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    if len(data) > LARGEST:
        raise StyleFileError(f"more than {LARGEST >> 20} MB")
    try:
        tensors = load(data)
        about = _about(data)
        style, spec = about[_STYLE], StyleNetSpec.model_validate_json(about[_SPEC])
    except SafetensorError as error:
        raise StyleFileError(f"no safetensors file: {error}") from error
    except (KeyError, TypeError) as error:
        raise StyleFileError(f"what it says about itself is not that of a style: {error}") from error
    return style, StyleNetwork(spec, {name: np.array(array) for name, array in tensors.items()})


def _about(data: bytes) -> dict[str, str]:
    """The texts in the header, whose length and syntax have been checked by then."""
    (length,) = struct.unpack("<Q", data[:_HEAD])
    about: dict[str, str] = json.loads(data[_HEAD : _HEAD + length]).get("__metadata__") or {}
    return about
