from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_unetstyle.core.errors import ImageError
from napari_unetstyle.core.imaging.image import as_image
from napari_unetstyle.core.inference import probability
from napari_unetstyle.core.inference.probability import Engine, iter_probabilities, to_bytes
from napari_unetstyle.core.inference.statistics import fold
from napari_unetstyle.core.progress import run
from napari_unetstyle.core.segmentation.preprocessing import Intensity
from napari_unetstyle.core.segmentation.segment import segment
from tests.core.networks_for_tests import random_unet, tiny_volume_model

SHAPE = (21, 37, 30)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_volume_model(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def separating(tmp_path_factory):
    return tiny_volume_model(tmp_path_factory.mktemp("models"), separation="depth")


@pytest.fixture(scope="module")
def whole(model):
    return segment(blobs(SHAPE), model, axes="ZYX")


def blobs(shape, seed=0, sigma=2):
    smooth = ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), sigma)
    return np.round(1000 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.int16)


def forward(model, volume):
    """Bytes of the whole volume in one pass of the network as it was trained."""
    pixels = volume[np.newaxis].astype(np.float32)
    normal = torch.from_numpy(Intensity.of(pixels.reshape(1, -1)).normalize(pixels))[None]
    with torch.inference_mode():
        return to_bytes(fold(model.network, normal)(normal), seeds=model.spec.separation is not None)


def assert_same_bytes(one, other):
    """Up to rounding, where the network gave almost exactly half a step."""
    difference = np.abs(one.astype(int) - other)
    assert difference.max() <= 1
    assert np.count_nonzero(difference) <= max(2, 1e-3 * difference.size)


@settings(max_examples=12, deadline=None)
@given(shape=st.tuples(st.integers(1, 24), st.integers(1, 30), st.integers(1, 30)), tile=st.integers(16, 200))
def test_any_volume_equals_one_pass_over_all_of_it(shape, tile, model):
    assume(np.prod(shape) > 1)  # one value has nothing in it, whatever the network gives
    volume = blobs(shape)
    result = segment(volume, model, axes="ZYX", tile=tile)
    assert result.labels.shape == shape
    assert_same_bytes(result.probability_bytes, forward(model, volume))


def engine_of(memory):
    return Engine(device=torch.device("cpu"), dims=3, memory=memory)


@pytest.fixture
def logits_are_kept(monkeypatch):
    """What the network answers is kept as it is, and not as bytes."""
    monkeypatch.setattr(probability, "to_bytes", lambda logits, *, seeds: logits[0].numpy())


def streamed(network, x, memory=2**30):
    """Logits of ``(1, C, Z, Y, X)``, with `logits_are_kept`."""

    class Pixels:
        shape = x.shape[2:]

        def read(self, *slices):
            return x[(0, slice(None), *slices)].numpy()

    engine = engine_of(memory)
    out = np.full((network.head.out_channels, *Pixels.shape), np.nan, np.float32)
    box = tuple(slice(0, n) for n in Pixels.shape)
    run(iter_probabilities(network, Pixels(), out, box, engine, seeds=False))
    return out


@pytest.mark.parametrize("memory", [1, 2**21, 2**30])
def test_columns_have_the_logits_of_the_whole(memory, logits_are_kept):
    network = fold(random_unet(dims=3, channels=1, widths=(4, 6), out=2), torch.randn(1, 1, 16, 16, 16))
    x = torch.randn(1, 1, 13, 47, 50)
    with torch.inference_mode():
        expected = network(x)[0].numpy()
    np.testing.assert_allclose(streamed(network, x, memory=memory), expected, rtol=0, atol=1e-5)
    columns = probability.columns_of(network, tuple(slice(0, n) for n in x.shape[2:]), x.shape[2:], engine_of(memory))
    assert (len(columns) > 1) == (memory < 2**30)


def test_large_slices_are_cut_though_a_small_network_could_take_them_whole():
    network, box = random_unet(dims=3, channels=1, widths=(2, 2), out=2), (slice(0, 9), slice(0, 1300), slice(0, 1300))
    columns = probability.columns_of(network, box, (9, 1300, 1300), engine_of(2**40))
    assert columns == [(slice(0, 650), slice(0, 1300)), (slice(650, 1300), slice(0, 1300))]


def test_strips_and_the_picture_do_not_change_the_labels(model, whole):
    assert 0.05 < (whole.labels > 0).mean() < 0.95
    assert set(np.unique(whole.labels)) == {0, 1, 2}
    for tile in (16, 61):
        np.testing.assert_array_equal(segment(blobs(SHAPE), model, axes="ZYX", tile=tile).labels, whole.labels)
    scaled = segment(blobs(SHAPE).astype(np.float32) * 1000, model, axes="ZYX")
    assert (scaled.labels != whole.labels).mean() < 1e-3


def test_lazy_volumes_give_the_same(model, whole):
    dask = pytest.importorskip("dask.array")
    zarr = pytest.importorskip("zarr")
    for lazy in (dask.from_array(blobs(SHAPE), chunks=(8, 16, 16)), zarr.array(blobs(SHAPE), chunks=(8, 16, 16))):
        np.testing.assert_array_equal(segment(lazy, model, axes="ZYX").labels, whole.labels)


def test_a_box_has_the_bytes_of_the_whole(model, whole):
    box = ((3, 15), (8, 30), (0, 17))
    part = segment(blobs(SHAPE), model, axes="ZYX", box=box)
    inside = tuple(slice(*ends) for ends in box)
    assert_same_bytes(part.probability_bytes[(slice(None), *inside)], whole.probability_bytes[(slice(None), *inside)])
    outside = np.ones(SHAPE, bool)
    outside[inside] = False
    assert not part.labels[outside].any()


def test_a_series_of_volumes_goes_one_by_one(model, whole):
    series = np.stack([blobs(SHAPE), blobs(SHAPE, seed=1)])
    each = segment(series, model, axes="TZYX", statistics="frame")
    np.testing.assert_array_equal(each.labels[0], whole.labels)
    shared = segment(series, model, axes="TZYX")
    assert shared.labels.shape == series.shape
    assert shared.objects["frame_t"].tolist() == [0, 0, 1, 1]


def test_objects_of_a_volume_have_their_volume(separating):
    result = segment(blobs(SHAPE), separating, axes="ZYX", spacing=(3.0, 0.5, 0.5))
    assert result.output == "objects"
    assert result.count > 2
    voxels = np.bincount(result.labels.ravel())[1:]
    np.testing.assert_array_equal(result.objects["area"], voxels)
    np.testing.assert_allclose(result.objects["volume_um3"], voxels * 0.75)
    assert {"centroid_z", "box_z0"} <= result.objects.keys()


@pytest.mark.parametrize("spacing", [(2.0, 1.0, 1.0), (1.0, 0.5, 0.7), (1.004, 1.0, 1.0)])
def test_another_voxel_size_is_brought_to_the_models_and_the_labels_back_to_the_picture(spacing, tmp_path):
    model = tiny_volume_model(tmp_path, spacing=(1.0, 1.0, 1.0), unit="mm")
    volume = blobs((40, 48, 44), sigma=5)
    known = segment(as_image(volume, axes="ZYX", spacing=(1, 1, 1), unit="mm"), model)
    assert known.provenance["scale"] == 1
    zoomed = ndimage.zoom(volume.astype(np.float32), [1 / s for s in spacing], order=1, grid_mode=True, mode="nearest")
    result = segment(as_image(zoomed, axes="ZYX", spacing=spacing, unit="mm"), model)
    assert result.labels.shape == zoomed.shape
    assert result.geometry.spacing == spacing
    back = ndimage.zoom(result.labels, np.divide(volume.shape, zoomed.shape), order=0, grid_mode=True, mode="nearest")
    assert back.shape == volume.shape
    inside = (slice(4, -4),) * 3

    def agreement(axis, shift):
        return (np.roll(back, shift, axis)[inside] == known.labels[inside]).mean()

    assert agreement(0, 0) > 0.85
    for axis in range(3):  # nothing is shifted by as much as half a voxel
        assert agreement(axis, 0) > max(agreement(axis, -1), agreement(axis, 1)) + 0.03
    scaled = max(spacing) > 1.1 or min(spacing) < 0.9
    assert any("scaled by" in note for note in result.notes) == scaled


def test_an_unknown_voxel_size_is_said(tmp_path):
    model = tiny_volume_model(tmp_path, spacing=(1.0, 1.0, 1.0), unit="mm")
    result = segment(blobs(SHAPE), model, axes="ZYX")
    assert any("does not say how large" in note for note in result.notes)
    model = tiny_volume_model(tmp_path / "no unit", spacing=(1.0, 1.0, 1.0), unit=None)
    assert any("1 x 1 x 1 um." in note for note in segment(blobs(SHAPE), model, axes="ZYX").notes)


def test_a_picture_is_no_volume(model):
    with pytest.raises(ImageError, match="no Z"):
        segment(np.zeros((20, 30)), model)


def test_missing_memory_takes_thinner_slabs_then_narrower_columns_and_gives_the_same_logits(
    monkeypatch, logits_are_kept
):
    network = fold(random_unet(dims=3, channels=1, widths=(4, 6), out=2), torch.randn(1, 1, 16, 16, 16))
    pixels, tried = torch.randn(1, 1, 13, 47, 50), []

    class Tight(probability.Stream):
        def push(self, rows, turn, *, last):
            tried.append(tuple(rows.shape[2:]))
            if rows.shape[2] > 1 or rows[0, 0, 0].numel() > 1500:
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")
            return super().push(rows, turn, last=last)

    monkeypatch.setattr(probability, "Stream", Tight)
    with torch.inference_mode():
        expected = network(pixels)[0].numpy()
    np.testing.assert_allclose(streamed(network, pixels), expected, rtol=0, atol=1e-5)
    assert tried[0] == (13, 47, 50)
    assert tried[-1][0] == 1


@pytest.mark.parametrize(("axes", "is_said"), [("CZYX", True), ("ZYXC", False), ("ZYX", False)])
def test_channels_that_become_gray_are_said_unless_they_are_colors(axes, is_said, model):
    shape = tuple({"C": 3, "Z": 6, "Y": 12, "X": 14}[a] for a in axes)
    volume = np.random.default_rng(0).integers(0, 200, shape).astype(np.uint8)
    words = ["taken as red, green and blue" in note for note in segment(volume, model, axes=axes).notes]
    assert any(words) == is_said
    if is_said:
        assert "red" not in " ".join(segment(volume, model, axes=axes, channel=1).notes)
