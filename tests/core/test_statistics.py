from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_unetstyle.core.inference.statistics import (
    REGIONS_PIXELS,
    choose_regions,
    fold,
    fold_and_answer,
    fold_in_turn,
)
from tests.core.networks_for_tests import random_unet


class Pixels:
    def __init__(self, array):
        self.array, self.shape = array, array.shape[1:]

    def read(self, *slices):
        return self.array[(slice(None), *slices)]


def textured(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 200, (1, *shape), dtype=np.uint8)


def pixels_of(region):
    return int(np.prod([s.stop - s.start for s in region.slices]))


def test_small_pictures_are_taken_whole():
    (region,) = choose_regions([Pixels(textured((300, 400)))], 256)
    assert region.slices == (slice(0, 300), slice(0, 400))


def test_at_most_half_a_megapixel_is_looked_at_and_it_is_spread_out():
    regions = choose_regions([Pixels(textured((2000, 3000)))], 256)
    assert 4 * 256**2 <= sum(map(pixels_of, regions)) <= REGIONS_PIXELS[2]
    starts = [region.slices[0].start for region in regions]
    assert min(starts) < 500
    assert max(starts) > 1200


def test_blank_parts_are_left_out():
    picture = np.random.default_rng(1).normal(10, 1, (1, 2048, 2048)).astype(np.float32)
    picture[:, 1000:1200, 300:500] += 100 * np.random.default_rng(2).random((200, 200)) ** 4
    for region in choose_regions([Pixels(picture)], 256):
        y, x = region.slices
        assert y.start < 1200
        assert y.stop > 1000
        assert x.start < 500
        assert x.stop > 300


def test_one_small_object_in_the_dark_is_found():
    picture = np.zeros((1, 2048, 2048), np.uint8)
    picture[:, 700:718, 1500:1520] = 180
    for region in choose_regions([Pixels(picture)], 256):
        assert picture[0][region.slices].any()


def test_the_choice_is_the_same_for_float_and_survives_nan():
    stored = textured((1200, 1200))
    as_float = stored.astype(np.float64)
    assert choose_regions([Pixels(stored)], 256) == choose_regions([Pixels(as_float)], 256)
    as_float[:, :, :600] = np.nan
    assert all(r.slices[1].stop > 600 for r in choose_regions([Pixels(as_float)], 256))


def test_a_stack_shares_its_regions_between_frames():
    stack = [Pixels(textured((600, 600), seed)) for seed in range(8)]
    assert len({region.frame for region in choose_regions(stack, 256)}) > 3


def test_the_floor_keeps_a_blank_picture_quiet():
    network = random_unet()
    with torch.no_grad():
        for name, floor in network.named_buffers():
            assert name.endswith("variance_floor")
            floor.fill_(0.5)
    noise = 1e-4 * torch.randn(1, 2, 64, 64)
    loud = fold(random_unet(), noise)(noise)
    quiet = fold(network, noise)(noise)
    inside = (..., slice(8, -8), slice(8, -8))
    assert (quiet[inside].std((2, 3)) < 0.2 * loud[inside].std((2, 3))).all()


def laid_out(module_or_tensor, dims):
    """As the engine lays out what it computes with."""
    layout = torch.channels_last if dims == 2 else torch.channels_last_3d
    if isinstance(module_or_tensor, torch.Tensor):
        return module_or_tensor.contiguous(memory_format=layout)
    return module_or_tensor.to(memory_format=layout)


@pytest.mark.parametrize(("dims", "side"), [(2, 40), (3, 12)])
def test_regions_in_turn_have_the_statistics_of_regions_together(dims, side):
    network = laid_out(random_unet(dims=dims, widths=(4, 6, 8)), dims)
    generator = torch.Generator().manual_seed(0)
    regions = torch.arange(1, 4).view(-1, 1, *(1,) * dims) * torch.randn(3, 2, *(side,) * dims, generator=generator)
    regions = laid_out(regions, dims)
    (together, answers), (in_turn, same) = (how(network, regions) for how in (fold_and_answer, fold_in_turn))
    torch.testing.assert_close(same, answers, atol=1e-5, rtol=1e-5)
    for (name, one), other in zip(together.named_parameters(), in_turn.parameters(), strict=True):
        torch.testing.assert_close(other, one, atol=1e-6, rtol=1e-5, msg=name)


@pytest.mark.parametrize(("dims", "shape"), [(2, (1, 300, 280)), (2, (3, 64, 64)), (3, (1, 40, 44, 36))])
def test_statistics_do_not_depend_on_how_many_threads_there_are(dims, shape):
    """To the last bit: else a probability that lies between two bytes is another one on another computer."""
    network = laid_out(random_unet(dims=dims, widths=(8, 16, 24)), dims)
    regions = torch.randn(shape[0], 2, *shape[1:], generator=torch.Generator().manual_seed(0))
    usual, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(fold_and_answer(network, laid_out(regions, dims)))
    finally:
        torch.set_num_threads(usual)
    for folded, logits in found[1:]:
        torch.testing.assert_close(logits, found[0][1], atol=1e-6, rtol=0)  # the last layer is a matrix product
        for one, other in zip(folded.parameters(), found[0][0].parameters(), strict=True):
            assert torch.equal(one, other)
