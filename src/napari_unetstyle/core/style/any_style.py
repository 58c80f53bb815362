"""Texture of any style in one pass, by the bundled network, which is shown the style."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.errors import StyleFileError
from napari_unetstyle.core.files import atomic_write
from napari_unetstyle.core.networks.spec import AnyStyleSpec
from napari_unetstyle.core.style.perceptual import as_tensor, is_gray, reduced
from napari_unetstyle.core.style.pixels import Pixels
from napari_unetstyle.core.style.reference import Reference
from napari_unetstyle.core.style.span import Span

if TYPE_CHECKING:
    from napari_unetstyle.core.networks.any_style_net import AnyStyleNet, TowardStyle

FILE = "any-style.safetensors"
_BUNDLED = Path(__file__).parent / "bundled" / FILE
_SPEC = "network"


def with_texture(style: Reference, look: Pixels) -> Reference:
    """A style, with how a picture of it looks to the bundled network: gray where the picture is.

    Parameters
    ----------
    style
        Of the picture.
    look
        The picture, ``(C, Y, X)`` in 0..1, of one channel or three.
    """
    style = style.gray() if is_gray(look) else style
    texture = seen([look], Span.of(style, style.channels))
    return Reference.of_stated({**style.stated(), "texture": texture})


def seen(looks: Sequence[Pixels], span: Span) -> NDArray[np.float32]:
    """How pictures of a style look to the bundled network, which need never have seen it: the mean of them.

    Parameters
    ----------
    looks
        ``(C, Y, X)`` in 0..1, of one channel or three.
    span
        Of the style, for one channel or three.
    """
    import torch

    with torch.inference_mode():
        found = [bundled().look(as_tensor(span.into(reduced(look))).expand(-1, 3, -1, -1)) for look in looks]
        mean: NDArray[np.float32] = torch.stack(found).mean(0).numpy()
    return mean


def toward(texture: NDArray[np.float32]) -> TowardStyle:
    """The bundled network on its way to a style that was :func:`seen`."""
    import torch

    from napari_unetstyle.core.networks.any_style_net import TowardStyle

    network = copy.deepcopy(bundled())  # it may be moved to another device
    return TowardStyle(network, torch.from_numpy(texture)).requires_grad_(False).eval()


@lru_cache(maxsize=1)
def seen_by() -> tuple[str, int]:
    """What tells the bundled network from others, and how many numbers it sees in a style."""
    from safetensors import safe_open

    with safe_open(str(_BUNDLED), "np") as file:
        spec = AnyStyleSpec.model_validate_json(file.metadata()[_SPEC])
    return hashlib.sha256(_BUNDLED.read_bytes()).hexdigest()[:16], 2 * sum(spec.look_widths)


@lru_cache(maxsize=1)
def bundled() -> AnyStyleNet:
    """The network that comes with the package (see ``recipes/any_style.py``)."""
    return read(_BUNDLED)


def write(network: AnyStyleNet, path: Path, about: Mapping[str, str]) -> None:
    """Write a network as float16; `about` goes into the file's header."""
    from safetensors.torch import save

    tensors = {name: tensor.detach().cpu().half().contiguous() for name, tensor in network.state_dict().items()}
    atomic_write(path, save(tensors, {**about, _SPEC: network.spec.model_dump_json()}))


def read(path: Path) -> AnyStyleNet:
    """The inverse of :func:`write`.

    Raises
    ------
    StyleFileError
        If the file is missing, damaged or of another network.
    """
    from safetensors import SafetensorError, safe_open

    from napari_unetstyle.core.networks.any_style_net import AnyStyleNet

    try:
        with safe_open(str(path), "pt") as file:
            spec = AnyStyleSpec.model_validate_json((file.metadata() or {})[_SPEC])
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        network = AnyStyleNet(spec)
        network.load_state_dict(tensors)
    except (SafetensorError, OSError, KeyError, ValueError, RuntimeError) as error:
        raise StyleFileError(f"{path} is not a network of any style ({error}). Install the package again.") from error
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        raise StyleFileError(f"{path} holds NaN or Inf. Install the package again.")
    return network.requires_grad_(False).eval()
