"""Choosing where the network runs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from napari_unetstyle.core.errors import DeviceError

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cpu", "cuda", "mps")


def resolve(name: str = "auto") -> torch.device:
    """Turn a device name into a device that is there.

    Parameters
    ----------
    name
        ``"auto"`` (CUDA, else MPS, else CPU), ``"cpu"``, ``"cuda"``, ``"cuda:N"`` or ``"mps"``.

    Raises
    ------
    DeviceError
        If the device was asked for by name and is absent.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if _mps() else "cpu")
    if name == "cpu":
        return torch.device("cpu")
    if name == "mps" and _mps():
        return torch.device("mps")
    if name.startswith("cuda") and _cuda_index(name) < torch.cuda.device_count():
        return torch.device(name)
    raise DeviceError(
        f"Device {name!r} is not available on this machine (available: {', '.join(available())}). "
        "Choose one of these, or 'auto'."
    )


def available() -> list[str]:
    """Names of the devices of this machine, fastest first."""
    import torch

    cuda = [f"cuda:{i}" if i else "cuda" for i in range(torch.cuda.device_count())]
    return [*cuda, *(["mps"] if _mps() else []), "cpu"]


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for bfloat16, so that mixed precision is worth it."""
    import torch

    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and torch.cpu._is_avx512_bf16_supported()
    return False


def _mps() -> bool:
    import torch

    return torch.backends.mps.is_available()


def _cuda_index(name: str) -> int:
    _, _, index = name.partition(":")
    return int(index) if re.fullmatch("[0-9]{1,9}", index) else 0 if not index else 10**6
