from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unetstyle.core.inference.statistics import fold
from napari_unetstyle.core.inference.streaming import Reach, Stream, bands
from tests.core.networks_for_tests import random_unet


def streamed(network, x, heights, most=None):
    stream, rows, start, i = Stream(network, most), [], 0, 0
    while start < x.shape[2]:
        stop = min(start + heights[i % len(heights)], x.shape[2])
        rows += stream.push(x[:, :, start:stop], last=stop == x.shape[2])
        start, i = stop, i + 1
    return torch.cat(rows, 2)


@given(
    size=st.tuples(st.integers(1, 70), st.integers(1, 50)),
    heights=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    depth=st.integers(1, 3),
)
def test_any_strips_give_the_whole_picture(size, heights, depth):
    network = random_unet(widths=(3, 4, 5, 6)[: depth + 1])
    x = torch.randn(1, 2, *size, generator=torch.Generator().manual_seed(size[0]))
    folded = fold(network, torch.randn(1, 2, 64, 64))  # a picture of two pixels has no statistics to speak of
    with torch.inference_mode():
        whole = folded(x)
    assert whole.shape == (1, 3, *size)
    torch.testing.assert_close(streamed(folded, x, heights), whole, atol=1e-5, rtol=0)


AXES = st.sampled_from([(2, 2, 2), (1, 2, 2), (2, 1, 2), (2, 2, 1), (2, 1, 1), (1, 1, 2)])
SIDES = st.tuples(*[st.sampled_from([1, 3])] * 3)


@given(
    size=st.tuples(st.integers(1, 24), st.integers(1, 14), st.integers(1, 14)),
    heights=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    most=st.none() | st.integers(1, 9),
    strides=st.lists(AXES, min_size=1, max_size=3),
    data=st.data(),
)
def test_any_slabs_give_the_whole_volume(size, heights, most, strides, data):
    kernels = data.draw(st.lists(SIDES, min_size=len(strides) + 1, max_size=len(strides) + 1))
    widths = (3, 4, 5, 6)[: len(strides) + 1]
    network = random_unet(dims=3, widths=widths, strides=tuple(strides), kernels=tuple(kernels))
    x = torch.randn(1, 2, *size, generator=torch.Generator().manual_seed(size[0]))
    folded = fold(network, torch.randn(1, 2, 16, 16, 16))
    with torch.inference_mode():
        whole = folded(x)
    assert whole.shape == (1, 3, *size)
    torch.testing.assert_close(streamed(folded, x, heights, most), whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_reach_covers_the_receptive_field_of_an_anisotropic_network(axis):
    strides, kernels = ((1, 2, 2), (2, 2, 1)), ((1, 3, 3), (3, 3, 1), (3, 3, 3))
    network = fold(
        random_unet(dims=3, widths=(3, 4, 5), strides=strides, kernels=kernels), torch.randn(1, 2, 16, 16, 16)
    )
    reach = Reach.of(network, axis)
    assert reach.window == [2, 4, 2][axis]
    size = [6, 6, 6]
    size[axis] = 4 * reach.halo + 2
    x = torch.randn(1, 2, *size, requires_grad=True)
    network(x).select(2 + axis, 2 * reach.halo).sum().backward()
    touched = x.grad.abs().movedim(2 + axis, 0).flatten(1).sum(1).nonzero().ravel()
    assert touched.min() >= reach.halo
    assert touched.max() <= 3 * reach.halo


def test_folded_network_equals_the_network_with_that_pictures_statistics():
    network = random_unet(widths=(4, 6, 8, 8))
    x = torch.randn(1, 2, 40, 56)
    with torch.inference_mode():
        torch.testing.assert_close(fold(network, x)(x), network(x), atol=1e-4, rtol=1e-4)


def test_folding_leaves_the_network_alone():
    network = random_unet()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    fold(network, torch.randn(2, 2, 32, 32))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_halo_covers_the_receptive_field(depth):
    network = fold(random_unet(widths=(3, 4, 5, 6)[: depth + 1]), torch.randn(1, 2, 64, 64))
    margin = Reach.of(network, -1).halo
    x = torch.randn(1, 2, 1, 4 * margin + 2, requires_grad=True)
    column = 2 * margin
    network(x)[..., column].sum().backward()
    touched = x.grad.abs().sum(dim=(0, 1, 2)).nonzero().ravel()
    assert touched.min() >= column - margin
    assert touched.max() <= column + margin


@settings(max_examples=50, deadline=None)
@given(
    size=st.integers(1, 400), count=st.integers(1, 6), depth=st.integers(0, 4), halo=st.integers(1, 5), data=st.data()
)
def test_bands_tile_the_range(size, count, depth, halo, data):
    start = data.draw(st.integers(0, size - 1))
    stop = data.draw(st.integers(start + 1, size))
    reach = Reach(2**depth, halo * 2**depth)
    pieces = bands(start, stop, size, count, reach)
    assert pieces[0].start == start
    assert pieces[-1].stop == stop
    assert all(a.stop == b.start for a, b in itertools.pairwise(pieces))
    for piece in pieces:
        assert piece.outer_start % reach.window == 0
        assert piece.outer_start == 0 or piece.start - piece.outer_start >= reach.halo
        assert piece.outer_stop == size or piece.outer_stop - piece.stop >= reach.halo
