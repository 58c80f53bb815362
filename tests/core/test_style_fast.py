"""A network for each style: what it is, how it is trained, kept and applied."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from napari_unetstyle.core.networks.spec import StyleNetSpec
from napari_unetstyle.core.networks.style_net import StyleNet

TINY = StyleNetSpec(in_channels=3, width=4, blocks=1)


def stirred(spec: StyleNetSpec = TINY) -> StyleNet:
    """A network that does something."""
    network = StyleNet(spec).eval()
    torch.nn.init.normal_(network.last.weight, std=0.05, generator=torch.Generator().manual_seed(1))
    return network


# The network


@pytest.mark.parametrize("spec", [StyleNetSpec(), StyleNetSpec(in_channels=1), TINY])
def test_a_new_network_changes_nothing(spec: StyleNetSpec) -> None:
    network = StyleNet(spec)
    assert {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()} == spec.shapes
    for shape in ((32, 40), (1, 1), (17, 3), (33, 31)):
        x = torch.rand(2, spec.in_channels, *shape)
        assert torch.equal(network(x), x)


def test_the_same_seed_gives_the_same_weights() -> None:
    one, same, other = (StyleNet(TINY, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["first.conv.weight"], other["first.conv.weight"])


def test_nothing_moves_and_borders_are_as_the_rest() -> None:
    network = stirred()
    with torch.no_grad():
        flat = network(torch.full((1, 3, 29, 35), 0.5))
    assert float(flat.std(dim=(2, 3)).max()) < 0.02


def test_the_network_can_be_scripted_traced_and_exported() -> None:
    network = stirred()
    x, y = torch.rand(1, 3, 20, 30), torch.rand(1, 3, 25, 19)
    scripted = torch.jit.script(network)
    sides = {2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}
    exported = torch.export.export(network, (x,), dynamic_shapes=(sides,)).module()
    with torch.no_grad():
        for made in (scripted, exported):
            for picture in (x, y):
                assert torch.allclose(made(picture), network(picture), atol=1e-5)
        assert torch.allclose(torch.jit.trace(network, x)(x), network(x), atol=1e-5)


@pytest.mark.parametrize(
    "wrong", [{"width": 10**6}, {"width": 3}, {"blocks": 99}, {"in_channels": 2}, {"code": "x"}, {"kind": "unet"}]
)
def test_a_specification_has_bounds(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        StyleNetSpec(**wrong)
