"""Distances and volumes against MONAI and SimpleITK, and where they are known by reason."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from napari_unetstyle.core import evaluate
from napari_unetstyle.core.errors import OptionError
from napari_unetstyle.core.metrics import pair, surface

shapes = st.one_of(
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), hnp.array_shapes(min_dims=3, max_dims=3, max_side=8)
)
masks = hnp.arrays(np.uint8, st.shared(shapes, key="shape"), elements=st.sampled_from([0, 0, 1]))
labels = hnp.arrays(np.int32, st.shared(shapes, key="shape"), elements=st.integers(0, 3))
steps = st.sampled_from([0.3, 0.7, 1.0, 2.5, 6.0])
spacings = st.tuples(steps, steps, steps)


def scores_of(prediction: NDArray[Any], truth: NDArray[Any], spacing: tuple[float, ...], **options: Any) -> Any:
    options = {"tolerance": 1.0, "classes": (1,), **options}
    return evaluate(prediction, truth, output="areas", spacing=spacing[-truth.ndim :], **options)["classes"][1]


def blobs(shape: tuple[int, ...], seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Two smooth shapes that overlap in part and touch the border."""
    from scipy.ndimage import gaussian_filter

    noise = [gaussian_filter(np.random.default_rng((seed, i)).random(shape), 2) for i in range(3)]
    first, second = noise[0] + noise[2], noise[1] + noise[2]
    return (first > np.median(first)).astype(np.uint8), (second > np.quantile(second, 0.6)).astype(np.uint8)


def one(shape: tuple[int, ...], *place: int) -> NDArray[np.uint8]:
    array = np.zeros(shape, np.uint8)
    array[place] = 1
    return array


FULL = np.ones((5, 6, 7), np.uint8)
DEGENERATE = {
    "one pixel each": (one((5, 6, 7), 0, 0, 0), one((5, 6, 7), 4, 5, 6)),
    "the same pixel": (one((5, 6, 7), 2, 3, 3), one((5, 6, 7), 2, 3, 3)),
    "one pixel in all": (one((5, 6, 7), 2, 3, 3), FULL),
    "all and all": (FULL, FULL),
    "a plane": (one((5, 6, 7), 0), one((5, 6, 7), 3)),
    "one slice thick": (FULL[:1], one((1, 6, 7), 0, 5, 6)),
    "nothing predicted": (0 * FULL, FULL),
    "nothing true": (FULL, 0 * FULL),
    "flat": (one((6, 7), 0), one((6, 7), slice(2, 5), slice(1, 6))),
}


# MONAI -----------------------------------------------------------------------------------------------------------


def monai_scores(prediction: NDArray[Any], truth: NDArray[Any], spacing: tuple[float, ...], tolerance: float) -> Any:
    metrics = pytest.importorskip("monai.metrics")
    import torch

    pair = [torch.from_numpy(a[np.newaxis, np.newaxis].astype(np.float32)) for a in (prediction, truth)]
    place: dict[str, Any] = {"include_background": True, "spacing": list(spacing[-truth.ndim :])}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            "hd95": metrics.compute_hausdorff_distance(*pair, percentile=95, **place).item(),
            "assd": metrics.compute_average_surface_distance(*pair, symmetric=True, **place).item(),
            "nsd": metrics.compute_surface_dice(*pair, class_thresholds=[tolerance], **place).item(),
            "dice": metrics.compute_dice(*pair, ignore_empty=False).item(),
            "iou": metrics.compute_iou(*pair, ignore_empty=False).item(),
        }


def assert_agrees_with_monai(prediction: NDArray[Any], truth: NDArray[Any], spacing: tuple[float, ...]) -> None:
    ours = scores_of(prediction, truth, spacing, tolerance=1.1)  # no sum of steps is exactly there
    theirs = monai_scores(prediction, truth, spacing, 1.1)
    if not prediction.any() and not truth.any():  # MONAI: not a number, or 1; here they agree
        assert (ours["hd95"], ours["assd"], ours["nsd"], ours["dice"]) == (0, 0, 1, 1)
        assert math.isnan(theirs["hd95"])
        return
    if prediction.any() != truth.any():  # MONAI ranks infinities to NaN in places, and here they stay infinite
        assert (ours["hd95"], ours["assd"], ours["nsd"], ours["dice"]) == (math.inf, math.inf, 0, 0)
        assert not math.isfinite(theirs["hd95"])
        assert not math.isfinite(theirs["assd"])
        assert theirs["nsd"] == theirs["dice"] == 0
        return
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value, rel=1e-5, abs=1e-6), name


@given(prediction=masks, truth=masks, spacing=spacings)
def test_noise_agrees_with_monai(prediction: NDArray[Any], truth: NDArray[Any], spacing: tuple[float, ...]) -> None:
    assert_agrees_with_monai(prediction, truth, spacing)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (5.0, 0.7, 0.9)])
def test_shapes_agree_with_monai(seed: int, spacing: tuple[float, ...]) -> None:
    assert_agrees_with_monai(*blobs((14, 25, 31), seed), spacing)
    assert_agrees_with_monai(*blobs((40, 50), seed), spacing)


@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_masks_agree_with_monai(name: str) -> None:
    assert_agrees_with_monai(*DEGENERATE[name], (3.0, 0.8, 0.5))


def test_surface_elements_weighted_by_area_give_other_values() -> None:
    """MONAI's `use_subvoxels` is Nikolov's definition; the documentation says that it differs, and here it does."""
    metrics = pytest.importorskip("monai.metrics")
    import torch

    prediction, truth = blobs((14, 25, 31), 0)
    tensors = [torch.from_numpy(a[np.newaxis, np.newaxis].astype(np.float32)) for a in (prediction, truth)]
    options = {"include_background": True, "spacing": [5.0, 0.7, 0.9], "class_thresholds": [1.1]}
    weighted = metrics.compute_surface_dice(*tensors, use_subvoxels=True, **options).item()
    ours = scores_of(prediction, truth, (5.0, 0.7, 0.9), tolerance=1.1)["nsd"]
    assert ours != pytest.approx(weighted, abs=1e-4)
    assert ours == pytest.approx(weighted, abs=0.1)


# SimpleITK -------------------------------------------------------------------------------------------------------


def itk_distances(prediction: NDArray[Any], truth: NDArray[Any], spacing: tuple[float, ...]) -> list[NDArray[Any]]:
    """Distances of both directions by ITK's own contours and distance maps."""
    sitk = pytest.importorskip("SimpleITK")
    images = []
    for mask in (prediction, truth):
        image = sitk.GetImageFromArray(np.pad(mask, 1))  # ITK sees no contour at the border of the picture
        image.SetSpacing(spacing[-mask.ndim :][::-1])
        images.append(sitk.LabelContour(image, fullyConnected=False))
    maps = [
        np.abs(sitk.GetArrayFromImage(sitk.SignedMaurerDistanceMap(i, squaredDistance=False, useImageSpacing=True)))
        for i in images
    ]
    contours = [sitk.GetArrayFromImage(image) > 0 for image in images]
    return [maps[1][contours[0]], maps[0][contours[1]]]


def assert_agrees_with_itk(prediction: NDArray[Any], truth: NDArray[Any], spacing: tuple[float, ...]) -> None:
    ours = scores_of(prediction, truth, spacing, tolerance=1.1)
    found = itk_distances(prediction, truth, spacing)
    both = np.concatenate(found)
    assert ours["hd95"] == pytest.approx(max(np.percentile(d, 95) for d in found), rel=1e-5, abs=1e-6)
    assert ours["assd"] == pytest.approx(both.mean(), rel=1e-5, abs=1e-6)
    assert ours["nsd"] == pytest.approx((both <= 1.1).mean())


@given(prediction=masks, truth=masks, spacing=spacings)
def test_noise_agrees_with_simpleitk(prediction: NDArray[Any], truth: NDArray[Any], spacing: tuple[float, ...]) -> None:
    if prediction.any() and truth.any():
        assert_agrees_with_itk(prediction, truth, spacing)


@pytest.mark.parametrize("seed", range(3))
def test_shapes_agree_with_simpleitk(seed: int) -> None:
    assert_agrees_with_itk(*blobs((14, 25, 31), seed), (3.0, 0.7, 0.9))


@pytest.mark.parametrize("name", [name for name in DEGENERATE if "nothing" not in name])
def test_degenerate_masks_agree_with_simpleitk(name: str) -> None:
    assert_agrees_with_itk(*DEGENERATE[name], (3.0, 0.8, 0.5))


def assert_overlap_and_volumes_agree_with_itk(prediction: NDArray[Any], truth: NDArray[Any], spacing: Any) -> None:
    sitk = pytest.importorskip("SimpleITK")
    images = [sitk.GetImageFromArray(a) for a in (prediction, truth)]
    for image in images:
        image.SetSpacing(spacing[-truth.ndim :][::-1])
    overlap, shape = sitk.LabelOverlapMeasuresImageFilter(), sitk.LabelShapeStatisticsImageFilter()
    ours = scores_of(prediction, truth, spacing)
    if prediction.any() or truth.any():
        overlap.Execute(*images[::-1])
        assert ours["dice"] == pytest.approx(overlap.GetDiceCoefficient())
        assert ours["iou"] == pytest.approx(overlap.GetJaccardCoefficient())
    volumes = []
    for image in images:
        shape.Execute(image)
        found = shape.GetPhysicalSize(1) if shape.HasLabel(1) else 0.0
        volumes.append(found / 1000 if truth.ndim == 3 else found)  # mm3 to ml
    assert [ours["volume_predicted"], ours["volume_true"]] == pytest.approx(volumes)
    assert ours["volume_difference"] == pytest.approx(volumes[0] - volumes[1])
    if volumes[1]:
        assert ours["volume_difference_relative"] == pytest.approx(volumes[0] / volumes[1] - 1)
    else:
        assert ours["volume_difference_relative"] == (math.inf if volumes[0] else 0)


@pytest.mark.parametrize("seed", range(3))
def test_overlap_and_volumes_agree_with_simpleitk(seed: int) -> None:
    assert_overlap_and_volumes_agree_with_itk(*blobs((14, 25, 31), seed), (3.0, 0.7, 0.9))


@given(prediction=masks, truth=masks, spacing=spacings)
def test_volumes_of_noise_agree_with_simpleitk(prediction: NDArray[Any], truth: NDArray[Any], spacing: Any) -> None:
    assert_overlap_and_volumes_agree_with_itk(prediction, truth, spacing)


@pytest.mark.parametrize("name", DEGENERATE)
def test_volumes_of_degenerate_masks_agree_with_simpleitk(name: str) -> None:
    assert_overlap_and_volumes_agree_with_itk(*DEGENERATE[name], (3.0, 0.8, 0.5))


# By reason -------------------------------------------------------------------------------------------------------


def test_two_pixels_are_as_far_as_a_ruler_says() -> None:
    scores = scores_of(one((3, 10, 10), 0, 0, 0), one((3, 10, 10), 2, 4, 3), (5.0, 0.5, 2.0), tolerance=11.83)
    expected = math.hypot(10, 2, 6)
    assert scores["hd95"] == scores["assd"] == pytest.approx(expected)
    assert scores["nsd"] == 0
    assert scores_of(one((3, 10, 10), 0, 0, 0), one((3, 10, 10), 2, 4, 3), (5.0, 0.5, 2.0), tolerance=11.84)["nsd"] == 1


def test_a_distance_that_is_the_tolerance_is_within_it() -> None:
    pair = one((1, 8), 0, 0), one((1, 8), 0, 3)
    assert scores_of(*pair, (0.7, 0.7), tolerance=2.1)["nsd"] == 1  # 3 * 0.7 is a little more in floating point
    assert scores_of(*pair, (0.7, 0.7), tolerance=2.099)["nsd"] == 0


@given(prediction=labels, truth=labels, spacing=spacings, piece=st.integers(1, 60))
def test_pieces_never_change_a_distance(
    prediction: NDArray[Any], truth: NDArray[Any], spacing: tuple[float, ...], piece: int
) -> None:
    options: Any = {"output": "areas", "spacing": spacing[-truth.ndim :], "tolerance": 1.0, "ignore": 3}
    whole = evaluate(prediction, truth, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pair, "PIECE", piece)
        parts = evaluate(prediction, truth, **options)
    assert parts["classes"] == {v: pytest.approx(row, rel=1e-12) for v, row in whole["classes"].items()}


@given(prediction=masks, truth=masks, spacing=spacings)
def test_tree_and_transform_find_the_same(prediction: NDArray[Any], truth: NDArray[Any], spacing: Any) -> None:
    by_tree = scores_of(prediction, truth, spacing)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(surface, "_NEAR", 1)  # everything further goes the other way
        patch.setattr(surface, "_TREE_COST", 10**9)
        by_transform = scores_of(prediction, truth, spacing)
        patch.setattr(surface, "_LARGEST_BOX", 0)
        by_far_tree = scores_of(prediction, truth, spacing)
    assert by_tree == pytest.approx(by_transform, rel=1e-9)
    assert by_tree == pytest.approx(by_far_tree, rel=1e-9)


@given(prediction=labels, truth=labels, spacing=spacings, axis=st.integers(0, 1))
def test_mirrored_and_swapped_pairs_have_the_same_distances(
    prediction: NDArray[Any], truth: NDArray[Any], spacing: tuple[float, ...], axis: int
) -> None:
    there = scores_of(prediction, truth, spacing)
    back = scores_of(np.flip(truth, axis), np.flip(prediction, axis), spacing)
    assert all(back[n] == pytest.approx(there[n]) for n in ("dice", "iou", "hd95", "assd", "nsd"))
    assert back["volume_difference"] == pytest.approx(-there["volume_difference"])


@given(prediction=masks, truth=masks, spacing=spacings, factor=st.sampled_from([0.1, 3.0, 1000.0]))
def test_a_larger_pixel_is_a_larger_distance(
    prediction: NDArray[Any], truth: NDArray[Any], spacing: tuple[float, ...], factor: float
) -> None:
    small = scores_of(prediction, truth, spacing, unit="um")
    large = scores_of(prediction, truth, tuple(s * factor for s in spacing), unit="um", tolerance=factor)
    assert large["hd95"] == pytest.approx(factor * small["hd95"])
    assert large["nsd"] == pytest.approx(small["nsd"])
    assert large["volume_true"] == pytest.approx(factor**truth.ndim * small["volume_true"])


def test_the_edge_of_what_does_not_count_is_no_surface() -> None:
    truth = np.zeros((9, 20), np.uint8)
    truth[2:7, 2:10] = 1
    truth[:, 10:] = 9  # nobody looked here
    prediction = np.zeros_like(truth)
    prediction[2:7, 2:18] = 1
    scores = scores_of(prediction, truth, (1.0, 1.0), ignore=9)
    assert scores["hd95"] == scores["volume_difference"] == 0
    assert scores["nsd"] == scores["dice"] == 1
    prediction[2:7, 2:4] = 0  # now its left edge is two pixels off, and nothing right of that moves
    assert scores_of(prediction, truth, (1.0, 1.0), ignore=9)["hd95"] == 2


def test_frames_are_compared_one_by_one() -> None:
    movie = np.zeros((2, 9, 9), np.uint8)
    movie[0, 4, 4] = movie[1, 0, 0] = 1
    assert scores_of(movie, movie, (1.0, 1.0))["hd95"] == 0
    options: Any = {"output": "areas", "tolerance": 1.0}
    late = evaluate(movie[::-1], movie, spacing=(1.0, 1.0), **options)
    assert late["classes"][1]["hd95"] == pytest.approx(math.hypot(4, 4))  # never the 1 between the frames
    gone = evaluate(movie * np.array([1, 0], np.uint8)[:, None, None], movie, spacing=(1.0, 1.0), **options)
    assert gone["classes"][1]["assd"] == math.inf
    assert gone["classes"][1]["nsd"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("unit", "shape", "name", "expected"),
    [
        ("mm", (10, 10, 10), "ml", 8.0),
        ("um", (10, 10, 10), "um3", 8000.0),
        ("mm", (10, 10), "mm2", 400.0),
        ("px", (10, 10), "px2", 400.0),
    ],
)
def test_volumes_have_the_unit_of_the_picture(unit: str, shape: tuple[int, ...], name: str, expected: float) -> None:
    truth = np.ones(shape, np.uint8)
    scores = evaluate(truth, truth, output="areas", spacing=(2.0,) * truth.ndim, unit=unit)
    assert scores["volume_unit"] == name
    assert scores["classes"][1]["volume_true"] == pytest.approx(expected)
    assert "nsd" not in scores["classes"][1]


def test_volume_differences() -> None:
    prediction, truth = np.array([[1, 1, 1, 2]]), np.array([[1, 1, 0, 0]])
    rows = evaluate(prediction, truth, output="areas", spacing=(1.0, 1.0), classes=(3,))["classes"]
    assert (rows[1]["volume_difference"], rows[1]["volume_difference_relative"]) == (1, 0.5)
    assert rows[2]["volume_difference_relative"] == math.inf
    assert (rows[3]["volume_difference"], rows[3]["volume_difference_relative"], rows[3]["hd95"]) == (0, 0, 0)


def test_nothing_at_all_agrees() -> None:
    nothing = np.zeros((4, 4, 4), np.uint8)
    scores = evaluate(nothing, nothing, output="areas", spacing=(1.0, 1.0, 1.0), tolerance=1.0)
    assert [scores[n] for n in ("dice", "iou", "nsd", "hd95", "assd")] == [1, 1, 1, 0, 0]
    named = evaluate(nothing, nothing, output="areas", spacing=(1.0, 1.0, 1.0), tolerance=1.0, classes=(1, 2))
    assert [named["classes"][2][n] for n in ("dice", "iou", "nsd", "hd95", "assd")] == [1, 1, 1, 0, 0]


def test_the_mean_is_over_classes() -> None:
    prediction, truth = np.zeros((6, 30), int), np.zeros((6, 30), int)
    prediction[2, 2], truth[2, 2], prediction[2, 20], truth[2, 24] = 1, 1, 2, 2
    scores = evaluate(prediction, truth, output="areas", spacing=(1.0, 1.0), tolerance=1.0)
    assert scores["hd95"] == 2
    assert scores["nsd"] == scores["dice"] == 0.5


class Lazy:
    """Labels that can only be cut, and remember the largest piece."""

    def __init__(self, array: NDArray[Any]) -> None:
        self.array, self.shape, self.dtype, self.largest = array, array.shape, array.dtype, 0

    def __getitem__(self, key: Any) -> NDArray[Any]:
        piece = self.array[key]
        self.largest = max(self.largest, piece.size)
        return piece


def test_lazy_labels_are_never_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair, "PIECE", 2000)
    prediction, truth = blobs((30, 20, 20), 1)
    lazy = Lazy(prediction), Lazy(truth)
    options: Any = {"output": "areas", "spacing": (2.0, 1.0, 1.0), "tolerance": 2.0}
    assert evaluate(*lazy, **options) == evaluate(prediction, truth, **options)
    assert max(part.largest for part in lazy) <= 2000 + 2 * 400


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"output": "objects", "spacing": (1, 1)}, "output='areas'"),
        ({"output": "objects", "tolerance": 1}, "output='areas'"),
        ({"tolerance": 1}, "output='areas'"),
        ({"spacing": "areas"}, "one number for each axis"),
        ({"spacing": 1.0}, "one number for each axis"),
        ({"output": "areas", "tolerance": 1}, "needs the spacing"),
        ({"output": "areas", "spacing": (1, 1, 1)}, "last of the 2 axes"),
        ({"output": "areas", "spacing": (1, 0)}, "positive"),
        ({"output": "areas", "spacing": (1, math.nan)}, "positive"),
        ({"output": "areas", "spacing": (1, 1), "unit": "inch"}, "mm, um, px"),
        ({"output": "areas", "spacing": (1, 1), "tolerance": -1}, "at least 0"),
        ({"output": "areas", "spacing": (1, 1), "tolerance": math.inf}, "at least 0"),
        ({"output": "shapes"}, "'objects' or 'areas'"),
    ],
)
def test_options_that_cannot_be(options: Any, sentence: str) -> None:
    with pytest.raises(OptionError, match=sentence):
        evaluate(np.ones((3, 3), int), np.ones((3, 3), int), **options)


@given(prediction=labels, truth=labels, spacing=spacings)
def test_with_a_spacing_values_are_classes_whatever_they_are(prediction: Any, truth: Any, spacing: Any) -> None:
    sizes = spacing[-truth.ndim :]
    expected = evaluate(prediction, truth, output="areas", spacing=sizes)
    assert evaluate(prediction, truth, sizes) == evaluate(prediction, truth, spacing=sizes) == expected
    assert "panoptic_quality" in evaluate(prediction, truth)


def test_numbers_of_objects_are_not_taken_as_classes_in_silence() -> None:
    many = np.arange(257).reshape(1, 257)
    with pytest.raises(OptionError, match=r"256 different ones.* leave the spacing out .*output='areas'"):
        evaluate(many, many, (1.0, 1.0))
    assert len(evaluate(many, many, (1.0, 1.0), output="areas")["classes"]) == 256
    assert len(evaluate(many, many % 256, (1.0, 1.0), classes=(3,), ignore=0)["classes"]) == 255
    assert evaluate(many, many)["objects_matched"] == 256


def test_far_apart_surfaces() -> None:
    """A tree alone would take minutes here: every pixel of the ball is about as far from all of the shell."""
    z, y, x = np.ogrid[:120, :120, :120]
    radius = np.sqrt((z - 60.0) ** 2 + (y - 60.0) ** 2 + (x - 60.0) ** 2)
    scores = scores_of(radius < 25, (radius < 55).astype(np.uint8), (1.0, 1.0, 1.0))
    assert scores["assd"] == pytest.approx(30, abs=0.5)
