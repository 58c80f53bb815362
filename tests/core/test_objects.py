from __future__ import annotations

from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import label as connected
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import watershed

from napari_unetstyle.core.imaging.resample import Resampler
from napari_unetstyle.core.progress import Progress, Steps, run
from napari_unetstyle.core.segmentation import canvas
from napari_unetstyle.core.segmentation import objects as objects_module
from napari_unetstyle.core.segmentation import relief as relief_module
from napari_unetstyle.core.segmentation.objects import iter_objects, objects
from napari_unetstyle.core.segmentation.relief import DEEPEST, HOLE_SHARE, LEVELS, relief
from napari_unetstyle.core.segmentation.runs import Runs
from tests.core.turns_for_tests import number_pairs, right_turns

HALF = 127  # the byte below probability 0.5
RISE = 4  # levels; the default


def stack(foreground: NDArray[np.uint8], seed_map: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Bytes of a model with one class."""
    return np.stack([255 - foreground, foreground, seed_map])


def blobs(shape: tuple[int, ...], random: int, size: float, classes: int = 1) -> NDArray[np.uint8]:
    """Smooth random bytes: blobs of all shapes, many touching, some across the whole picture."""
    rng = np.random.default_rng(random)
    maps = [ndimage.gaussian_filter(rng.normal(size=shape), s) for s in (size, *[size / 2] * classes)]
    maps = [m / m.std() for m in maps]
    foreground = np.clip(127.5 + 60 * (maps[0] + 0.3), 0, 255)
    shares = np.stack([np.exp(m) for m in maps[1:]])
    shares = shares / shares.sum(axis=0) * foreground
    seed_map = np.clip(60 + 60 * (maps[0] / 2 + maps[1]), 0, 255)
    return np.rint(np.stack([255 - foreground, *shares, seed_map])).astype(np.uint8)


def whole(values: NDArray[np.uint8], fill_holes: bool = True) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:
    """Foreground without small holes, and its relief, with scikit-image and scipy on the whole array at once."""
    inside = values[0] <= HALF
    if not fill_holes:
        return inside, relief(inside, values[-1])
    component, hole = connected(inside, connectivity=1), connected(~inside, connectivity=1)
    around = np.bincount(component.ravel())
    framed = connected(np.pad(~inside, 1, constant_values=True), connectivity=1)
    enclosed = (framed != framed.flat[0])[(slice(1, -1),) * inside.ndim] & ~inside
    for number in np.unique(hole[enclosed]):
        here = hole == number
        first = np.unravel_index(np.flatnonzero(here)[0], here.shape)
        left = component[(*first[:-1], first[-1] - 1)]
        inside |= here & (here.sum() <= HOLE_SHARE * around[left])
    return inside, relief(inside, values[-1])


def tops(depth: NDArray[np.uint8], inside: NDArray[np.bool_], rise: int) -> NDArray[np.int64]:
    """Seeds by scikit-image's reconstruction of the whole array: h-maxima of what is above a pixel's depth."""
    height = np.where(inside, np.maximum(depth.astype(int) - LEVELS, 0), 0)
    faces = ndimage.generate_binary_structure(height.ndim, 1)
    filled = reconstruction(np.maximum(height - rise, 0), height, footprint=faces).astype(int)
    highest = local_maxima(np.pad(filled, 1), connectivity=1)[(slice(1, -1),) * height.ndim]
    return connected(highest & (filled > 0), connectivity=1)


def flood_everything(
    values: NDArray[np.uint8], min_pixels: int = 0, rise: int = RISE, fill_holes: bool = True
) -> NDArray[np.int32]:
    """The rule of `objects` with scikit-image on the whole array at once, one thing after the other."""
    inside, lying = whole(values, fill_holes)
    seeds = tops(lying, inside, rise)
    depth = 255.0 - lying
    ranks = np.linspace(0, 1, seeds.size + 2)[1:-1].reshape(seeds.shape)
    flooded = watershed(np.where(seeds > 0, depth - 1 + ranks, depth), seeds, mask=inside)
    kept, result = np.bincount(flooded.ravel()) >= max(1, min_pixels), np.zeros(inside.shape, np.int32)
    numbers, first = np.unique(flooded, return_index=True)
    in_order = [n for n in numbers[np.argsort(first)] if n and kept[n]]
    for i, number in enumerate(in_order):
        result[flooded == number] = i + 1
    return result


def banded(
    values: NDArray[np.uint8], band: int, min_pixels: int = 0, rise: int = RISE, fill_holes: bool = True
) -> NDArray[np.int32]:
    out = np.full(values.shape[1:], -1, np.int32)
    thresholds = {"foreground_threshold": 0.5, "seed_rise": rise / LEVELS, "fill_holes": fill_holes}
    run(iter_objects(values, out, **thresholds, min_pixels=min_pixels, band=band))
    return out


few_bytes = st.sampled_from([0, 100, 128, 130, 255])  # many ties
small = hnp.array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=9)


@given(
    data=st.data(),
    shape=small,
    band=st.integers(1, 10),
    min_pixels=st.integers(0, 5),
    rise=st.integers(0, 12),
    fill_holes=st.booleans(),
)
def test_is_the_watershed_of_the_whole_array_whatever_the_band(
    data: st.DataObject, shape: tuple[int, ...], band: int, min_pixels: int, rise: int, fill_holes: bool
) -> None:
    foreground, seed_map = (data.draw(hnp.arrays(np.uint8, shape, elements=few_bytes)) for _ in range(2))
    values = stack(foreground, seed_map)
    expected = flood_everything(values, min_pixels, rise, fill_holes)
    labels, owners = objects(values, min_pixels=min_pixels, seed_rise=rise / LEVELS, fill_holes=fill_holes)
    np.testing.assert_array_equal(labels, expected)
    np.testing.assert_array_equal(banded(values, band, min_pixels, rise, fill_holes), expected)
    assert len(owners) == expected.max(initial=0)


@pytest.mark.parametrize("band", [1, 5, 20, 60])
@pytest.mark.parametrize("random", range(3))
def test_one_component_with_hundreds_of_seeds_is_flooded_in_windows(band: int, random: int) -> None:
    values = blobs((300, 120), random, 2.0)
    values[0], values[1] = 0, 255
    expected = flood_everything(values)
    assert expected.max() > 100
    np.testing.assert_array_equal(banded(values, band), expected)


def test_a_window_looks_as_far_as_it_must() -> None:
    seed_map = np.zeros((200, 5), np.uint8)  # two seeds far apart on one plateau share it in the middle
    seed_map[0], seed_map[-1] = 200, 255
    values = stack(np.full_like(seed_map, 255), seed_map)
    labels = banded(values, 8)
    np.testing.assert_array_equal(labels, flood_everything(values))
    assert labels.max() == 2


@pytest.mark.parametrize("times", [2, 3])
def test_a_picture_that_the_network_saw_smaller_falls_into_no_more_objects(times):
    counts = []
    for random in range(6):
        values = blobs((96, 120), random, 5)
        large = (96 * times, 120 * times)
        brought_back = Resampler((96, 120), large).apply(values, tuple(slice(0, n) for n in large))
        small = objects(values, foreground_threshold=0.5)[0]
        found = objects(np.rint(brought_back).astype(np.uint8), foreground_threshold=0.5, zoom=1 / times)[0]
        counts.append((small.max(), found.max()))
    seen, found = np.sum(counts, axis=0)
    assert abs(found - seen) < 0.05 * seen


@settings(max_examples=15)
@given(random=st.integers(0, 2**20), rows=st.integers(20, 200), columns=st.integers(20, 400), zoom=st.floats(0.5, 2))
def test_the_relief_of_a_wide_picture_is_that_of_the_whole_however_it_is_cut(random, rows, columns, zoom):
    rng = np.random.default_rng(random)
    inside = ndimage.gaussian_filter(rng.random((220, 500)), 6) > 0.5
    told = rng.integers(0, 256, inside.shape, dtype=np.uint8)
    out = np.zeros(inside.shape, np.uint8)
    with mock.patch.object(relief_module, "piece_shape", return_value=(rows, columns)):
        run(relief_module.iter_relief(told, Runs.of(inside, 0), out, zoom))
    np.testing.assert_array_equal(out, relief(inside, told, zoom))


def test_wide_pictures_are_cut_into_pieces_that_are_no_larger_than_else():
    assert relief_module.piece_shape((16384, 16384)) == (512, 4096)
    assert relief_module.piece_shape((300, 100_000)) == (512, 4096)
    assert relief_module.piece_shape((4096, 4096)) == (512, 4096)  # as it is
    assert relief_module.piece_shape((64, 512, 512))[1] == 512


@given(random=st.integers(0, 2**20), size=st.floats(1, 8), band=st.integers(1, 200), min_pixels=st.integers(0, 200))
@example(random=0, size=30.0, band=7, min_pixels=0)
def test_large_blobs_are_the_same_whatever_the_band(random: int, size: float, band: int, min_pixels: int) -> None:
    values = blobs((150, 70), random, size, classes=2)
    expected, owners = objects(values, min_pixels=min_pixels)
    out = np.empty_like(expected)
    job = iter_objects(values, out, foreground_threshold=0.5, min_pixels=min_pixels, first_id=11, band=band)
    np.testing.assert_array_equal(run(job), owners)
    np.testing.assert_array_equal(out, np.where(expected, expected + 10, 0))


@pytest.mark.parametrize(("shape", "size"), [((120, 150), 3.0), ((24, 30, 36), 1.5)])
@pytest.mark.parametrize("random", range(4))
def test_blobs_are_the_watershed_of_the_whole_array(shape: tuple[int, ...], size: float, random: int) -> None:
    values = blobs(shape, random, size)
    labels, _ = objects(values, min_pixels=5, fill_holes=True)
    np.testing.assert_array_equal(labels, flood_everything(values, min_pixels=5))
    assert labels.max() > 10
    more, _ = objects(values, min_pixels=5, seed_rise=0, fill_holes=True)
    np.testing.assert_array_equal(more, flood_everything(values, 5, rise=0))
    assert more.max() > labels.max()


@pytest.mark.parametrize("pixels", [1, 500, 10**6])
def test_it_does_not_matter_which_components_are_flooded_together(pixels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canvas, "_CANVAS_PIXELS", pixels)
    values = blobs((300, 200), 5, 3.0)
    np.testing.assert_array_equal(objects(values, fill_holes=True)[0], flood_everything(values))


@given(
    shape=hnp.array_shapes(min_dims=2, max_dims=3, max_side=24),
    random=st.integers(0, 99),
    size=st.sampled_from((0, 1, 4)),
    rise=st.integers(1, 200),
)
@settings(max_examples=60, deadline=None)
def test_tops_are_reconstructed_as_by_scikit_image(shape, random, size, rise):
    smooth = ndimage.gaussian_filter(np.random.default_rng(random).random(shape), size)
    limit = np.rint(250 * (smooth - smooth.min()) / max(np.ptp(smooth), 1e-9)).astype(np.uint8)
    marker = np.maximum(limit, rise) - np.uint8(rise)
    expected = reconstruction(marker, limit, footprint=ndimage.generate_binary_structure(limit.ndim, 1))
    np.testing.assert_array_equal(canvas.reconstructed(marker, limit), expected)


@given(random=st.integers(0, 2**20), size=st.floats(1, 8))
def test_ids_follow_the_first_pixels_and_objects_are_connected(random: int, size: float) -> None:
    labels, _ = objects(blobs((60, 80), random, size))
    numbers, first = np.unique(labels[labels > 0], return_index=True)
    np.testing.assert_array_equal(numbers, np.arange(1, labels.max() + 1))
    assert (np.diff(first) > 0).all()
    assert connected(labels, connectivity=1, background=0).max() == labels.max()


# Mirrors and turns. Holes are not filled here: where several components that meet at corners enclose one, the size of
# the first of them in raster order counts, which is another one in a mirror.


@given(data=st.data(), dims=st.sampled_from((2, 3)), random=st.integers(0, 2**20), size=st.floats(0.5, 3))
@settings(max_examples=60)
def test_mirrored_and_turned_pictures_without_ties_have_the_same_objects(
    data: st.DataObject, dims: int, random: int, size: float
) -> None:
    """The relief, which smoothing and rounding would give ties, is stated: each pixel is as deep as no other one."""
    turn = data.draw(right_turns(dims))
    shape = data.draw(hnp.array_shapes(min_dims=dims, max_dims=dims, max_side=15 if dims == 2 else 6))
    rise = data.draw(st.integers(0, 12))
    rng = np.random.default_rng(random)
    field = ndimage.gaussian_filter(rng.normal(size=shape), size)
    depth = field.ravel().argsort().argsort().reshape(shape).astype(np.uint8) + np.uint8(1)  # at most 225
    values = rng.integers(0, 256, (4, *shape), np.uint8)
    values[0], values[-1] = np.where(depth > data.draw(st.integers(0, 100)), 0, 255), depth

    def stated(seed_map: NDArray[np.uint8], _: Runs, out: NDArray[np.uint8], *__: object) -> Steps[None]:
        out[...] = seed_map
        yield Progress(1, 1)

    with mock.patch.object(objects_module, "iter_relief", stated):
        labels, owners = objects(values, seed_rise=rise / LEVELS)
        seen, classes = objects(turn(values), seed_rise=rise / LEVELS)
    pairs = number_pairs(turn(labels), seen) | {(0, 0)}
    assert len(pairs) == labels.max() + 1 == seen.max() + 1  # one to one
    assert all(owners[one - 1] == classes[other - 1] for one, other in pairs if other)


@given(data=st.data(), dims=st.sampled_from((2, 3)), random=st.integers(0, 2**20), size=st.floats(1, 6))
def test_mirrored_and_turned_pictures_have_the_same_objects_up_to_ties(
    data: st.DataObject, dims: int, random: int, size: float
) -> None:
    """Foreground and seeds are the same, and where objects are alone the whole of them.

    Between the seeds that share a component pixels of equal depth are taken in the order in which they are reached,
    so one in the middle may belong to another object in a mirror.
    """
    turn = data.draw(right_turns(dims))
    values = blobs((60, 80) if dims == 2 else (10, 18, 22), random, size, classes=2)
    labels, owners = objects(values)
    seen, classes = objects(turn(values))
    inside, lying = whole(values, fill_holes=False)
    seeds, component = tops(lying, inside, RISE), connected(inside, connectivity=1)
    here = np.unique(np.stack([component, seeds])[:, seeds > 0], axis=1)[0]
    alone = (np.bincount(here, minlength=component.max() + 1) == 1)[component]
    np.testing.assert_array_equal(seen > 0, turn(labels) > 0)
    pairs = number_pairs(turn(labels)[turn((seeds > 0) | alone)], seen[turn((seeds > 0) | alone)])
    assert len(pairs) == labels.max() == seen.max()  # one to one
    classes_of = [np.append(0, kinds)[ids] for kinds, ids in ((owners, turn(labels)), (classes, seen))]
    np.testing.assert_array_equal(*(of[turn(alone)] for of in classes_of))


def test_a_component_across_everything_is_one_object_in_any_band() -> None:
    foreground = np.zeros((50, 31), np.uint8)
    foreground[::2] = 255  # a snake
    foreground[1::4, -1] = foreground[3::4, 0] = 255
    foreground = foreground.repeat(4, 0).repeat(4, 1)
    values = stack(foreground, foreground // 2)
    for band in (1, 3, 64):
        np.testing.assert_array_equal(banded(values, band, rise=16), foreground > 0)


def disks(*circles: tuple[int, int, int], shape: tuple[int, int] = (60, 90)) -> NDArray[np.uint8]:
    y, x = np.indices(shape)
    depth = np.max([1 - np.hypot(y - a, x - b) / r for a, b, r in circles], axis=0)
    pixels = np.max([r - np.hypot(y - a, x - b) for a, b, r in circles], axis=0)
    seed_map = np.rint(255 * np.sqrt(np.clip(pixels / DEEPEST, 0, 1))).astype(np.uint8)
    return stack(np.where(depth > 0, 255, 0).astype(np.uint8), seed_map)


def test_touching_disks_are_separated_and_a_disk_alone_stays_whole() -> None:
    labels, owners = objects(disks((20, 20, 15), (20, 46, 15), (48, 75, 10)))
    assert len(owners) == 3
    assert labels[20, 20] == 1
    assert labels[20, 46] == 2
    assert labels[48, 75] == 3
    assert abs(int((labels == 1).sum()) - int((labels == 2).sum())) < 20


def test_what_is_shallow_everywhere_is_noise() -> None:
    values = disks((20, 20, 15))
    values[:2, 48:50, 75:77] = np.array([0, 255])[:, None, None]
    labels, owners = objects(values)
    np.testing.assert_array_equal(labels > 0, (values[1] > 0) & (np.indices(labels.shape)[0] < 40))
    assert len(owners) == 1


def test_a_ripple_is_no_seed_but_a_top_is() -> None:
    values = disks((20, 20, 15), (20, 46, 15))
    values[-1, 16, 20] = 255  # 4 pixels beside the top of the first
    assert objects(values, seed_rise=0.75)[0].max() == 2
    values[-1, 9:13, 18:23] = 255
    assert objects(values, seed_rise=0.75)[0].max() == 3
    assert objects(values, seed_rise=6)[0].max() == 2


def test_the_network_tells_apart_what_touches_along_a_whole_side() -> None:
    values = stack(np.full((40, 80), 255, np.uint8), np.zeros((40, 80), np.uint8))
    assert objects(values)[0].max() == 1
    x = np.abs(np.arange(80) % 40 - 19.5)
    values[-1] = np.rint(255 * np.sqrt((20 - x) / DEEPEST))
    labels, _ = objects(values)
    np.testing.assert_array_equal(labels, np.repeat([[1, 2]], 40, 0).repeat(40, 1))


def test_if_wanted_a_pale_middle_is_filled_and_a_lumen_is_not() -> None:
    values = disks((20, 20, 15), (20, 62, 15))
    y, x = np.indices(values.shape[1:])
    values[:2, np.hypot(y - 20, x - 20) < 4] = np.array([255, 0])[:, None]
    values[:2, np.hypot(y - 20, x - 62) < 9] = np.array([255, 0])[:, None]
    labels, _ = objects(values, fill_holes=True)
    assert labels[20, 20] == labels[20, 10] > 0
    assert labels[20, 62] == 0 < labels[20, 50]
    as_found, _ = objects(values)
    assert as_found[20, 20] == 0 < as_found[20, 10]


def test_the_threshold_moves_the_edge() -> None:
    values = disks((20, 20, 15), (20, 46, 15))
    values[1] = values[-1]
    values[0] = 255 - values[1]
    areas = [(objects(values, foreground_threshold=t)[0] > 0).sum() for t in (0.1, 0.3, 0.4, 0.5)]
    assert areas == sorted(areas, reverse=True)
    assert len(set(areas)) == 4


def test_an_object_has_the_class_with_the_largest_sum() -> None:
    values = np.zeros((4, 6, 12), np.uint8)
    values[0] = 255
    for columns, one, two in ((slice(0, 4), 100, 120), (slice(6, 10), 200, 40)):
        values[0, :, columns], values[1, :, columns], values[2, :, columns] = 255 - one - two, one, two
        values[3, :, columns] = 128
    values[1, :2, 0], values[2, :2, 0] = 150, 70  # a few pixels of the other class do not matter
    for band in (1, 4, 100):
        out = np.empty((6, 12), np.int32)
        owners = run(iter_objects(values, out, foreground_threshold=0.5, band=band))
        assert owners.tolist() == [2, 1]
        assert owners.dtype == np.uint8


@pytest.mark.parametrize("fill", [0, 255])
@pytest.mark.parametrize("shape", [(1, 1), (5, 1), (1, 5), (40, 30), (3, 4, 5)])
def test_nothing_or_everything(fill: int, shape: tuple[int, ...]) -> None:
    labels, owners = objects(stack(*[np.full(shape, fill, np.uint8)] * 2))
    assert labels.dtype == np.int32
    assert (labels == (fill > 0)).all()
    assert len(owners) == (fill > 0)


def test_arrays_on_disk_and_views_of_larger_ones(tmp_path: Path) -> None:
    values = blobs((90, 60), 1, 3.0)
    expected, _ = objects(values)
    stored = np.lib.format.open_memmap(tmp_path / "bytes.npy", "w+", np.uint8, (3, 2, 90, 60))
    stored[:, 1] = values
    out = np.lib.format.open_memmap(tmp_path / "labels.npy", "w+", np.int32, (2, 90, 60))
    run(iter_objects(stored[:, 1], out[1], foreground_threshold=0.5, band=16))
    np.testing.assert_array_equal(out[1], expected)
    assert not out[0].any()
    turned = np.asfortranarray(values)
    np.testing.assert_array_equal(objects(turned)[0], expected)


def test_reports_progress_and_stops_when_closed() -> None:
    values = blobs((64, 64), 2, 2.0)
    out = np.zeros((64, 64), np.int32)
    arguments = {"foreground_threshold": 0.5, "band": 4}
    fractions: list[float] = []
    run(iter_objects(values, out, **arguments), lambda p: fractions.append(p.fraction))
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    out[:] = 0
    job = iter_objects(values, out, **arguments)
    assert isinstance(next(job), Progress)
    job.close()
    assert not out.any()
