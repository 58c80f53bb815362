"""A network's numbers on disk: safetensors, half precision, checked for non-finite values."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_unetstyle.core.errors import ModelFileError
from napari_unetstyle.core.files import atomic_write

if TYPE_CHECKING:
    from torch import Tensor, nn

    from napari_unetstyle.core.models.spec import ModelSpec
    from napari_unetstyle.core.networks.unet import UNet


def create_network(spec: ModelSpec) -> UNet:
    """A network of this specification with fresh weights, in training mode."""
    from napari_unetstyle.core.networks.unet import UNet

    return UNet(spec.network, spec.out_channels)


def load_weights(network: nn.Module, path: str | Path) -> None:
    """Read weights into `network`; names and shapes must match exactly.

    Raises
    ------
    ModelFileError
        If the file is damaged, does not fit the network, or holds a NaN or Inf.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(str(path))
    except (SafetensorError, OSError) as error:
        raise ModelFileError(f"{path} cannot be read as weights: {error}. Import the model again.") from error
    _check(tensors, network, path)
    network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})


def save_weights(network: nn.Module, path: str | Path, *, half: bool = True) -> None:
    """Write the weights of `network` to `path` in one step, as float16 unless `half` is false."""
    import torch
    from safetensors.torch import save

    tensors = {
        name: tensor.detach().cpu().to(torch.float16 if half else torch.float32).contiguous()
        for name, tensor in network.state_dict().items()
    }
    _check(tensors, network, path)
    atomic_write(path, save(tensors))  # safetensors' own writing to a file has errors of another kind


def _check(tensors: dict[str, Tensor], network: nn.Module, path: str | Path) -> None:
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    got = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if got != expected:
        wrong = sorted(name for name in expected.keys() | got.keys() if expected.get(name) != got.get(name))
        raise ModelFileError(
            f"{path} does not fit its model.json: {len(wrong)} tensors differ, first {wrong[0]!r} "
            f"(expected {expected.get(wrong[0])}, got {got.get(wrong[0])}). Import the model again."
        )
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise ModelFileError(f"{path}: tensor {name!r} holds NaN or Inf. The model is damaged; import it again.")
