"""What a picture looks like to VGG16: the features that styles are measured in."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from napari_unetstyle.core.errors import ModelFileError, OptionError, OutputError
from napari_unetstyle.core.files import atomic_path

Pooling = Literal["max", "average"]
POOLINGS: tuple[Pooling, ...] = ("max", "average")

_WIDTHS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512))
TAPS = {"relu1_2": 3, "relu2_2": 8, "relu3_3": 15, "relu4_3": 22}
"""Layers that are looked at (Johnson et al. 2016), by their place in torchvision's ``vgg16().features``."""

SMALLEST = 16
"""Least side of a picture in pixels: two rows are left at relu4_3."""

_MEAN = (0.485, 0.456, 0.406)  # of ImageNet, as torchvision's weights expect
_STD = (0.229, 0.224, 0.225)


class Features(nn.Module):
    """VGG16 (Simonyan and Zisserman 2015) up to relu4_3, for reading only.

    Its state has the names of torchvision's ``vgg16``: ``features.0.weight`` and so on. Use `pretrained` or
    `random_features` to get one that has weights.

    Parameters
    ----------
    pooling
        ``"max"`` as in the original; ``"average"`` gives smoother styles (Gatys et al. 2015).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, pooling: Pooling = "max") -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise OptionError(f"pooling is {pooling!r}; it can be {' or '.join(map(repr, POOLINGS))}.")
        self.features = nn.Sequential(*_layers(pooling))
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_STD).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False).eval()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Features ``(N, C, H, W)`` of each of `TAPS` for pictures ``(N, 3, H, W)`` in 0..1."""
        x = (x - self.mean) / self.std
        names = {place: name for name, place in TAPS.items()}
        found = {}
        for place, layer in enumerate(self.features):
            x = layer(x)
            if place in names:
                found[names[place]] = x
        return found


def pretrained(path: str | Path, pooling: Pooling = "max") -> Features:
    """Features with the weights of torchvision's VGG16, from a file that the person has.

    Parameters
    ----------
    path
        A file such as ``vgg16-397923af.pth``, as torchvision keeps it: a state with ``features.*``. Only tensors
        are read (``weights_only``), and of them only what is used: 31 of 528 MB.
    pooling
        See `Features`.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, holds anything but tensors or NaN, or is of another network.
    """
    network = Features(pooling)
    given = _state(Path(path))
    wanted = network.state_dict()
    for name, tensor in wanted.items():
        got = given.get(name)
        if not isinstance(got, Tensor) or got.shape != tensor.shape:
            found = tuple(got.shape) if isinstance(got, Tensor) else "nothing"
            raise ModelFileError(
                f"{path} is not torchvision's VGG16: expected {name!r} of shape {tuple(tensor.shape)}, got {found}. "
                "Choose the file of torchvision.models.vgg16 (VGG16_Weights.IMAGENET1K_V1), or none."
            )
        if not got.isfinite().all():
            raise ModelFileError(f"{path}: tensor {name!r} holds NaN or Inf. The file is damaged; get it again.")
    network.load_state_dict({name: given[name].float() for name in wanted})
    return network


def fetch(path: str | Path, *, progress: bool = False) -> Path:
    """Get torchvision's VGG16 from where torchvision has it, and keep what is used of it: 31 of 528 MB.

    Nothing calls this but the command that is named after it.

    Parameters
    ----------
    path
        File to write, for :func:`pretrained`; nothing is replaced.
    progress
        Whether to show it on stderr.

    Raises
    ------
    ModelFileError
        If it cannot be reached, or what came is not what torchvision names by the first digits of its SHA-256.
    OutputError
        If the file is there already, or cannot be written.
    """
    target = Path(path)
    if target.exists():
        raise OutputError(f"{target} exists already, and nothing is replaced. Give another name, or take it as it is.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=target.parent) as folder:
            network = pretrained(_downloaded(Path(folder), progress))
    except OSError as error:
        raise OutputError(
            f"Could not write to {target.parent}: {error.strerror or error}. It needs 528 MB for a while; free some "
            "space or choose another folder."
        ) from error
    with atomic_path(target) as kept:
        torch.save(network.state_dict(), kept)
    return target


def _downloaded(folder: Path, progress: bool) -> Path:
    """The whole file, whose SHA-256 begins as its name ends."""
    from http.client import HTTPException
    from urllib.error import URLError

    from torch.hub import download_url_to_file
    from torchvision.models import VGG16_Weights  # type: ignore[import-untyped]

    url: str = VGG16_Weights.IMAGENET1K_V1.url
    whole = folder / url.rsplit("/", 1)[-1]
    try:
        download_url_to_file(url, str(whole), whole.stem.rsplit("-", 1)[-1], progress)
    except (URLError, HTTPException, RuntimeError, TimeoutError, ConnectionError) as error:
        raise ModelFileError(
            f"torchvision's VGG16 could not be fetched ({error}). Nothing was kept. Try again, bring the file "
            f"{whole.name} from another machine, or do without: random weights need no file."
        ) from error
    return whole


def random_features(seed: int = 0, pooling: Pooling = "max") -> Features:
    """Features with random weights, each layer scaled (He, Wang and Hopcroft 2016): needs no file.

    Weights are drawn as in He et al. (2015), without bias; then each layer is scaled so that its output has a mean
    square of one on smooth noise. Without that, deep layers say nothing.

    Parameters
    ----------
    seed
        Of the weights: same seed, same weights on every machine.
    pooling
        See `Features`.
    """
    network = Features(pooling)
    dice = torch.Generator().manual_seed(seed)
    x = (_smooth_noise(dice) - network.mean) / network.std
    for layer in network.features:
        if isinstance(layer, nn.Conv2d):
            fan_in = layer.weight[0].numel()
            layer.weight.copy_(torch.randn(layer.weight.shape, generator=dice) * (2 / fan_in) ** 0.5)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
            layer.weight.div_(layer(x).relu().square().mean().sqrt())
        x = layer(x)
    return network


def _layers(pooling: Pooling) -> list[nn.Module]:
    pool = nn.MaxPool2d if pooling == "max" else nn.AvgPool2d
    layers: list[nn.Module] = []
    below = 3
    for widths in _WIDTHS:
        if layers:
            layers.append(pool(2, 2))
        for width in widths:
            layers += [nn.Conv2d(below, width, 3, padding=1), nn.ReLU(inplace=True)]
            below = width
    return layers


def _smooth_noise(dice: torch.Generator, side: int = 64) -> Tensor:
    """Noise ``(1, 3, side, side)`` in 0..1, as strong at each scale, as pictures are."""
    scales = [
        nn.functional.interpolate(torch.randn(1, 3, size, size, generator=dice), side, mode="bilinear")
        for size in (4, 8, 16, 32, 64)
    ]
    noise = torch.stack(scales).sum(0)
    return (noise - noise.min()) / (noise.max() - noise.min())


def _state(path: Path) -> dict[str, Any]:
    try:
        # torchvision's older files are no zip archives and cannot be mapped
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except FileNotFoundError as error:
        raise ModelFileError(f"There is no file {path}. Choose torchvision's VGG16 file, or none.") from error
    except Exception as error:
        raise ModelFileError(
            f"{path} cannot be read as weights ({str(error).splitlines()[0] if str(error) else 'it is empty'}). "
            "Only files that hold nothing but tensors are read. Choose torchvision's VGG16 file, or none."
        ) from error
    if not isinstance(state, dict):
        raise ModelFileError(f"{path} holds a {type(state).__name__}, not a table of weights. Choose another file.")
    return state
