"""Optimizers of a picture: those of torch, without what these bring along."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from napari_unetstyle.core.style import optimizers
from napari_unetstyle.core.style.optimizers import LBFGS, Adam, Optimizer


def ours_and_torchs(name: str, picture: torch.Tensor) -> tuple[Optimizer, torch.optim.Optimizer]:
    if name == "adam":
        return Adam(0.02), torch.optim.Adam([picture], lr=0.02)
    given = {"lr": 1.0, "max_iter": 1, "max_eval": 1, "history_size": 3, "tolerance_grad": 0, "tolerance_change": 0}
    return LBFGS(3), torch.optim.LBFGS([picture], **given)


@pytest.mark.parametrize("name", ["lbfgs", "adam"])
def test_the_steps_are_those_of_torch(name: str) -> None:
    random = torch.Generator().manual_seed(0)
    slopes = torch.randn(30, 20, generator=random)
    one = torch.randn(20, generator=random).requires_grad_(True)
    other = one.detach().clone().requires_grad_(True)
    ours, torchs = ours_and_torchs(name, other)

    def loss(picture: torch.Tensor) -> torch.Tensor:
        return (slopes @ picture).square().sum()

    def closure() -> torch.Tensor:
        torchs.zero_grad()
        value = loss(other)
        value.backward()
        return value

    for _ in range(12):
        (gradient,) = torch.autograd.grad(loss(one), one)
        with torch.no_grad():
            one.add_(ours.change(gradient))
        torchs.step(closure)
        assert torch.allclose(one, other, atol=1e-4)


def test_no_style_uses_those_of_torch_whose_compiler_a_window_may_not_survive() -> None:
    files = Path(optimizers.__file__).parent.glob("*.py")
    assert not [file.name for file in files if "torch.optim" in file.read_text(encoding="utf-8")]
