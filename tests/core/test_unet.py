from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_unetstyle.core.models.spec import NetworkSpec
from napari_unetstyle.core.networks.unet import ImageNorm, UNet


@given(size=st.tuples(st.integers(1, 40), st.integers(1, 40)), depth=st.integers(1, 3))
def test_any_size_comes_back(size, depth):
    network = UNet(NetworkSpec(in_channels=2, widths=(2, 3, 4, 5)[: depth + 1]), 3).eval()
    with torch.inference_mode():
        assert network(torch.randn(1, 2, *size)).shape == (1, 3, *size)


def test_one_definition_for_two_and_three_dimensions():
    volume = UNet(NetworkSpec(spatial_dims=3, in_channels=1, widths=(2, 4)), 2).eval()
    with torch.inference_mode():
        assert volume(torch.randn(1, 1, 5, 6, 7)).shape == (1, 2, 5, 6, 7)


def test_the_classic_parameters_are_there():
    network = UNet(NetworkSpec(in_channels=3, widths=(16, 32, 64)), 2)
    convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d) and m.kernel_size == (3, 3)]
    assert len(convolutions) == 2 * (3 + 2)
    assert network.depth == 2
    assert network.decoder[0][0].conv.in_channels == 32


@pytest.mark.parametrize("training", [True, False])
def test_normalization_is_per_sample_and_equals_pytorchs(training):
    norm = ImageNorm(4).train(training)
    x = torch.randn(3, 4, 9, 8) * 5 + 2
    expected = torch.nn.functional.instance_norm(x, eps=norm.eps)
    torch.testing.assert_close(norm(x), expected, atol=1e-4, rtol=1e-4)


def test_the_floor_holds_where_there_is_nothing_to_see():
    norm = ImageNorm(1).eval().requires_grad_(False)
    norm.variance_floor.fill_(4.0)
    whisper, shout = 1e-3 * torch.randn(1, 1, 30, 30), 100 * torch.randn(1, 1, 30, 30)
    assert norm(whisper).std() < 1e-3
    assert norm(shout).std() == pytest.approx(1, abs=0.05)


def test_brightness_and_contrast_of_the_features_are_normalized_away():
    network = UNet(NetworkSpec(in_channels=1, widths=(4, 8)), 2).eval()
    x = torch.randn(1, 1, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(network(x), network(3 * x), atol=0.05, rtol=0.05)
