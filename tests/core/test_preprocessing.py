from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unetstyle.core.errors import ImageError
from napari_unetstyle.core.imaging.channels import channel_index
from napari_unetstyle.core.imaging.image import as_image
from napari_unetstyle.core.models.spec import InputSpec
from napari_unetstyle.core.segmentation import preprocessing
from napari_unetstyle.core.segmentation.preprocessing import Intensity, Prepared, select_channels


@given(gain=st.floats(1e-3, 1e6), offset=st.floats(-1e4, 1e4), seed=st.integers(0, 99))
def test_normalized_pixels_do_not_depend_on_gain_and_offset(gain, offset, seed):
    pixels = np.random.default_rng(seed).gamma(2.0, size=(1, 500))
    plain = Intensity.of(pixels).normalize(pixels)
    changed = pixels * gain + offset * gain
    np.testing.assert_allclose(Intensity.of(changed).normalize(changed), plain, atol=0.02)


def test_normalized_pixels_have_zero_mean_and_unit_deviation_per_channel():
    pixels = np.random.default_rng(0).normal([[5], [900]], [[2], [40]], (2, 4000))
    normalized = Intensity.of(pixels).normalize(pixels)
    np.testing.assert_allclose(normalized.mean(axis=1), 0, atol=0.02)
    np.testing.assert_allclose(normalized.std(axis=1), 1, atol=0.02)


def test_nan_and_inf_neither_count_nor_spread():
    pixels = np.random.default_rng(0).random((1, 1000)).astype(np.float32)
    clean = Intensity.of(pixels)
    pixels[0, ::50] = np.nan
    pixels[0, 1::50] = np.inf
    holed = Intensity.of(pixels)
    assert holed.mean[0] == pytest.approx(clean.mean[0], abs=0.02)
    normalized = holed.normalize(pixels)
    assert np.isfinite(normalized).all()
    assert (normalized[0, ::50] == 0).all()
    assert (normalized[0, 1::50] == 0).all()


@pytest.mark.parametrize("holes", [False, True])
def test_gray_in_color_has_the_moments_of_gray_in_each_channel(holes: bool) -> None:
    gray = np.random.default_rng(3).gamma(2.0, 30.0, (1, 5000)).astype(np.float32)
    if holes:
        gray[0, ::7] = np.nan
    alone, color = Intensity.of(gray), Intensity.of(np.repeat(gray, 3, 0))
    assert color.mean.tolist() == 3 * alone.mean.tolist()
    assert color.std.tolist() == 3 * alone.std.tolist()


def test_saturated_and_dead_pixels_hardly_matter():
    pixels = np.random.default_rng(0).normal(100, 10, (1, 100_000))
    clean = Intensity.of(pixels)
    pixels[0, :50], pixels[0, 50:100] = 65535, 0
    assert Intensity.of(pixels).std[0] == pytest.approx(clean.std[0], rel=0.05)


@pytest.mark.parametrize("value", [0, 7, 255, 1e-12, -3e8])
def test_a_constant_channel_becomes_zero(value):
    pixels = np.full((1, 10, 10), value, np.float64)
    assert not Intensity.of(pixels.reshape(1, -1)).normalize(pixels).any()


@pytest.mark.parametrize(
    ("kind", "given_channels", "network", "taken"),
    [("rgb", 1, 3, 3), ("rgb", 3, 3, 3), ("rgb", 4, 3, 3), ("gray", 1, 1, 1), ("gray", 3, 1, 1), ("exact", 2, 2, 2)],
)
def test_channels_become_those_of_the_model(kind, given_channels, network, taken):
    pixels = np.random.default_rng(0).integers(0, 255, (given_channels, 4, 5), dtype=np.uint8)
    assert select_channels(pixels, InputSpec(channels=kind), network).shape == (taken, 4, 5)


@pytest.mark.parametrize(("kind", "given_channels", "network"), [("rgb", 2, 3), ("gray", 2, 1), ("exact", 3, 2)])
def test_wrong_channels_are_refused_in_words(kind, given_channels, network):
    with pytest.raises(ImageError, match=f"{given_channels} channels"):
        select_channels(np.zeros((given_channels, 4, 5)), InputSpec(channels=kind), network)


def test_a_channel_is_found_by_name_or_number():
    image = as_image(np.zeros((3, 4, 5)), axes="CYX")
    named = type(image)(array=image.array, axes="CYX", geometry=image.geometry, channel_names=("DAPI", "GFP", "RFP"))
    assert channel_index(named, "GFP") == channel_index(named, 1) == channel_index(named, "1") == 1
    assert channel_index(named, None) is None
    with pytest.raises(ImageError, match=r"0 \(DAPI\), 1 \(GFP\)"):
        channel_index(named, "CY5")
    for odd in ("²", "१", "-1", -1, "", "9" * 5000):
        with pytest.raises(ImageError, match="There is no channel"):
            channel_index(named, odd)


@given(scale=st.floats(0.3, 3), data=st.data())
def test_a_part_of_a_prepared_picture_is_that_part_of_the_whole(scale, data):
    image = as_image(np.random.default_rng(0).random((37, 29)).astype(np.float32))
    intensity = Intensity.of(np.asarray(image.array).reshape(1, -1))
    prepared = Prepared(image.frame((), 2), InputSpec(channels="gray"), 1, scale=scale, intensity=intensity)
    whole = prepared.read()
    assert whole.shape == (1, *prepared.shape)
    starts = [data.draw(st.integers(0, n - 1)) for n in prepared.shape]
    box = [slice(a, data.draw(st.integers(a + 1, n))) for a, n in zip(starts, prepared.shape, strict=True)]
    np.testing.assert_array_equal(prepared.read(*box), whole[(slice(None), *box)])


@given(slabs=st.lists(st.tuples(st.integers(0, 36), st.integers(1, 12)), min_size=1, max_size=8))
def test_slabs_of_a_chunked_volume_are_those_of_the_array(slabs):
    array = np.random.default_rng(0).integers(0, 99, (37, 3, 4))
    prepared = Prepared(as_image(_Chunked(array), axes="ZYX").frame((), 3), InputSpec(channels="gray"), 1)
    for start, height in slabs:
        box = (slice(start, min(start + height, 37)), slice(0, 2), slice(1, 4))
        np.testing.assert_array_equal(prepared.stored(*box)[0], array[box])


def test_a_chunk_is_unpacked_once_where_slabs_come_in_order():
    chunked = _Chunked(np.arange(37 * 12).reshape(37, 3, 4))
    prepared = Prepared(as_image(chunked, axes="ZYX").frame((), 3), InputSpec(channels="gray"), 1)
    for start in range(0, 37, 3):
        prepared.read(slice(start, min(start + 3, 37)), slice(0, 3), slice(0, 4))
    assert chunked.reads == [(0, 8), (8, 16), (16, 24), (24, 32), (32, 37)]


def test_no_more_than_a_chunk_is_held_while_the_next_one_is_read():
    chunked = _Chunked(np.zeros((64, 200, 200)))
    prepared = Prepared(as_image(chunked, axes="ZYX").frame((), 3), InputSpec(channels="gray"), 1)
    tracemalloc.start()
    for start in range(63):
        prepared.stored(slice(start, start + 1))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1.5 * chunked.array[:8].nbytes


@pytest.mark.parametrize(
    "chunks", [(60, 8, 8), (60, 16, 64), (16, 16, 16), (1, 64, 64), (7, 64, 5), (60, 64, 64)], ids=str
)
@pytest.mark.parametrize("held", [2**30, 2**14])
def test_a_lazy_volume_is_never_one_piece_and_chunks_are_unpacked_once(chunks, held, monkeypatch):
    piece = 2**14  # bytes; the volume has 15 times as many
    monkeypatch.setattr(preprocessing, "_PIECE", piece)
    monkeypatch.setattr(preprocessing, "_IN_MEMORY", held)
    array = np.random.default_rng(0).integers(0, 99, (60, 64, 64)).astype(np.uint8)
    chunked = _Counting(array, chunks)
    prepared = Prepared(as_image(chunked, axes="ZYX").frame((), 3), InputSpec(channels="gray"), 1)
    for start in range(0, 60, 4):
        box = (slice(start, min(start + 4, 60)), slice(0, 64), slice(0, 64))
        np.testing.assert_array_equal(prepared.stored(*box)[0], array[box])
    assert chunked.largest <= max(piece, math.prod(chunks))
    assert (chunked.unpacked == 1).all()


def test_what_would_be_too_much_to_unpack_is_unpacked_a_few_times(monkeypatch):
    monkeypatch.setattr(preprocessing, "_MOST_AHEAD", 20 * 64 * 64)
    chunked = _Counting(np.zeros((60, 64, 64), np.uint8), (60, 8, 8))
    prepared = Prepared(as_image(chunked, axes="ZYX").frame((), 3), InputSpec(channels="gray"), 1)
    for start in range(0, 60, 4):
        prepared.stored(slice(start, start + 4))
    assert chunked.largest <= 20 * 64 * 64
    assert (chunked.unpacked == 3).all()


class _Counting:
    """Like a zarr array, which counts how often each chunk is unpacked, and the pixels of the largest piece."""

    def __init__(self, array, chunks):
        self.array, self.chunks, self.shape, self.dtype = array, chunks, array.shape, array.dtype
        self.unpacked = np.zeros([-(-n // c) for n, c in zip(array.shape, chunks, strict=True)], int)
        self.largest = 0

    def __getitem__(self, key):
        ranges = [s.indices(n) for s, n in zip(key, self.shape, strict=True)]
        self.unpacked[tuple(slice(a // c, -(-b // c)) for (a, b, _), c in zip(ranges, self.chunks, strict=True))] += 1
        self.largest = max(self.largest, math.prod(b - a for a, b, _ in ranges))
        return self.array[key].copy()


class _Chunked:
    """Like a zarr array with eight slices in a chunk."""

    chunks = (8, 3, 4)

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.reads = array, array.shape, array.dtype, []

    def __getitem__(self, key):
        self.reads.append((key[0].start, key[0].stop))
        return self.array[key].copy()
