from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import ndimage
from skimage.color import hed_from_rgb, separate_stains
from skimage.draw import ellipse
from skimage.measure import regionprops_table

from napari_unetstyle.core.errors import ImageError, OptionError
from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.imaging.image import Image, as_image
from napari_unetstyle.core.progress import run
from napari_unetstyle.core.segmentation import postprocessing
from napari_unetstyle.core.segmentation.measure import iter_measure, measure

SAME = {
    "label": "label",
    "equivalent_diameter": "equivalent_diameter_area",
    "major_axis": "axis_major_length",
    "minor_axis": "axis_minor_length",
}
SAME_2D = {"eccentricity": "eccentricity"}

ids_2d = hnp.arrays(
    np.int32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.sampled_from([0, 3, 7])
)


def patches(shape: tuple[int, ...], random: int) -> NDArray[np.int32]:
    """Labels that touch, with holes and islands, ids not in order."""
    rng = np.random.default_rng(random)
    smooth = ndimage.gaussian_filter(rng.normal(size=(6, *shape)), (0, *[2] * len(shape)))
    return np.array([0, 12, 5, 900, 2, 44], np.int32)[smooth.argmax(axis=0)]


def places(table: dict[str, NDArray[Any]], dims: int) -> tuple[NDArray[Any], NDArray[Any]]:
    axes = "zyx"[-dims:]
    return (
        np.stack([table[f"centroid_{a}"] for a in axes], axis=1),
        np.stack([table[f"box_{a}{end}"] for end in (0, 1) for a in axes], axis=1),
    )


@given(labels=ids_2d, spacing=st.sampled_from([(1.0, 1.0), (0.5, 0.5), (0.3, 0.7)]))
def test_sizes_and_shapes_are_those_of_scikit_image(labels: NDArray[np.int32], spacing: tuple[float, float]) -> None:
    table = measure(labels, geometry=Geometry(spacing=spacing))
    theirs = regionprops_table(labels, spacing=spacing, properties=["area", *SAME.values(), *SAME_2D.values()])
    for ours, name in {**SAME, **SAME_2D}.items():
        np.testing.assert_allclose(table[ours], theirs[name], atol=1e-6, err_msg=name)
    np.testing.assert_allclose(table["area"] * spacing[0] * spacing[1], theirs["area"])
    if spacing == (1.0, 1.0):
        others = regionprops_table(labels, properties=["perimeter", "centroid", "bbox"])
        np.testing.assert_allclose(table["perimeter"], others["perimeter"], atol=1e-9)
        centroid, box = places(table, 2)
        np.testing.assert_allclose(centroid, np.stack([others[f"centroid-{i}"] for i in range(2)], axis=1))
        np.testing.assert_array_equal(box, np.stack([others[f"bbox-{i}"] for i in range(4)], axis=1))


@pytest.mark.parametrize("random", range(3))
def test_volumes_are_measured_as_scikit_image_does(random: int) -> None:
    labels, spacing = patches((9, 20, 25), random), (2.0, 0.5, 0.5)
    table = measure(labels, geometry=Geometry(spacing=spacing, unit="um"))
    theirs = regionprops_table(labels, spacing=spacing, properties=["area", *SAME.values(), "bbox"])
    np.testing.assert_array_equal(table["label"], theirs["label"])
    np.testing.assert_allclose(table["volume_um3"], theirs["area"])
    for name in ("equivalent_diameter", "major_axis", "minor_axis"):
        np.testing.assert_allclose(table[f"{name}_um"], theirs[SAME[name]], rtol=1e-9)
    np.testing.assert_array_equal(places(table, 3)[1][:, 0], theirs["bbox-0"])
    assert "perimeter_um" not in table
    assert ((table["solidity"] > 0) & (table["solidity"] <= 1 + 1e-12)).all()


@pytest.mark.parametrize("degrees", [-80, -45, -10, 0, 30, 60, 90])
@pytest.mark.parametrize("spacing", [(1.0, 1.0), (2.0, 1.0)])
def test_orientation_is_scikit_images_in_degrees(degrees: float, spacing: tuple[float, float]) -> None:
    labels = np.zeros((90, 90), np.uint8)
    labels[ellipse(45, 45, 30, 10, rotation=np.radians(degrees))] = 1
    theirs = regionprops_table(labels, spacing=spacing, properties=["orientation"])["orientation"]
    apart = measure(labels, geometry=Geometry(spacing=spacing))["orientation"] - np.degrees(theirs)
    np.testing.assert_allclose((apart + 90) % 180 - 90, 0, atol=1e-6)


def test_known_shapes() -> None:
    labels = np.zeros((70, 160), np.int32)
    labels[5:15, 5:25] = 1
    labels[20:40, 5:10] = labels[35:40, 5:25] = 2  # an L of two bars 20 long and 5 wide
    y, x = np.indices(labels.shape)
    labels[np.hypot(y - 35, x - 110) < 30] = 3
    labels[0, 0] = 4
    table = measure(labels)
    np.testing.assert_allclose(table["solidity"], [1, 175 / (400 - 15 * 15 / 2), 0.985, 1], atol=0.01)
    np.testing.assert_allclose(table["circularity"], [0.8, 0.4, 0.95, 1], atol=0.05)
    np.testing.assert_allclose(table["equivalent_diameter"][2], 60, atol=0.5)
    np.testing.assert_allclose(table["major_axis"][2], 60, atol=0.5)
    assert table["area"].tolist()[:2] == [200, 175]
    assert np.isfinite([table[column][3] for column in table]).all()


@given(
    labels=ids_2d,
    data=st.data(),
    channels=st.integers(1, 3),
    dtype=st.sampled_from([np.uint8, np.uint16, np.float32, np.int16]),
)
def test_intensities_are_those_of_the_pixels(
    labels: NDArray[np.int32], data: st.DataObject, channels: int, dtype: type[np.generic]
) -> None:
    pixels = np.random.default_rng(data.draw(st.integers(0, 999))).uniform(0, 200, (channels, *labels.shape))
    pixels = pixels.astype(dtype)
    table = measure(labels, as_image(pixels, axes="CYX"))
    for row, number in enumerate(table["label"]):
        for channel, values in enumerate(pixels):
            inside = values[labels == number].astype(np.float64)
            name = f"_channel{channel}" if channels > 1 else ""
            ours = [table[f"{kind}{name}"][row] for kind in ("mean", "std", "min", "max")]
            np.testing.assert_allclose(ours, [inside.mean(), inside.std(), inside.min(), inside.max()], atol=1e-9)


def test_a_small_spread_on_a_large_offset_is_kept() -> None:
    pixels = 1e9 + np.random.default_rng(0).normal(size=(50, 50))
    table = measure(np.ones((50, 50), np.uint8), as_image(pixels))
    np.testing.assert_allclose(table["std"], pixels.std(), rtol=1e-6)


def test_nan_stays_in_its_object() -> None:
    labels = np.repeat([[1, 2, 3]], 4, axis=0)
    pixels = np.ones((4, 3))
    pixels[1, 1], pixels[2, 2] = np.nan, np.inf
    table = measure(labels, as_image(pixels))
    assert np.isnan(table["mean"][1])
    assert np.isnan(table["std"][1])
    assert table["max"][2] == np.inf
    assert table["mean"][0] == 1


def test_bands_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = patches((60, 50), 1)
    image = as_image(np.random.default_rng(1).normal(size=(60, 50)))
    expected = measure(labels, image)
    monkeypatch.setattr(postprocessing, "BAND_PIXELS", 150)
    for column, values in measure(labels, image).items():
        np.testing.assert_allclose(values, expected[column], rtol=1e-9, err_msg=column)


@given(labels=ids_2d)
def test_only_some_are_measured_as_among_all(labels: NDArray[np.int32]) -> None:
    assume((labels == 7).any())
    image = as_image(np.arange(labels.size, dtype=float).reshape(labels.shape))
    everything, one = measure(labels, image), measure(labels, image, only=[7, 1234])
    row = everything["label"].tolist().index(7)
    assert {k: v.tolist() for k, v in one.items()} == {k: v[row : row + 1].tolist() for k, v in everything.items()}


def test_columns_say_unit_channel_and_class() -> None:
    image = Image(
        array=np.ones((2, 8, 8)),
        axes="CYX",
        geometry=Geometry(spacing=(0.5, 0.5), unit="um"),
        channel_names=("DAPI", "GFP"),
    )
    table = measure(np.eye(8, dtype=np.uint8) * 3, image, classes={3: "nucleus"})
    assert list(table)[:2] == ["label", "class_name"]
    assert table["class_name"].tolist() == ["nucleus"]
    assert {"area_um2", "perimeter_um", "major_axis_um", "mean_DAPI", "std_GFP"} <= set(table)
    assert table["area_um2"] == 2.0


def test_a_series_is_measured_frame_by_frame() -> None:
    labels = np.zeros((3, 8, 8), np.int32)
    labels[0, :2, :2] = labels[2, :3, :3] = 5
    pixels = np.arange(3, dtype=np.uint8).repeat(64).reshape(3, 8, 8)
    table = measure(labels, as_image(pixels, axes="TYX"))
    assert table["label"].tolist() == [5, 5]
    assert table["frame_t"].tolist() == [0, 2]
    assert table["area"].tolist() == [4, 9]
    assert table["mean"].tolist() == [0, 2]


def test_a_stack_can_be_measured_slice_by_slice() -> None:
    labels = np.zeros((2, 8, 8), np.int32)
    labels[:, :2, :2] = [[[1]], [[2]]]
    image = as_image(np.ones((2, 8, 8)), axes="ZYX", spacing=(3.0, 1.0, 1.0))
    table = measure(labels, image, dims=2)
    assert table["frame_z"].tolist() == [0, 1]
    assert table["area_um2"].tolist() == [4, 4]


def test_stains_are_scikit_images_densities() -> None:
    colors = np.random.default_rng(0).integers(1, 255, (20, 20, 3), dtype=np.uint8)
    labels = patches((20, 20), 0)
    table = measure(labels, as_image(colors), stains="hed")
    densities = separate_stains(colors, hed_from_rgb)
    for i, stain in enumerate(("hematoxylin", "eosin", "dab")):
        expected = ndimage.mean(densities[..., i], labels, table["label"])
        np.testing.assert_allclose(table[f"mean_{stain}"], expected, rtol=1e-6)
    assert "mean_red" in table
    with_alpha = np.dstack([colors, np.full((20, 20), 255, np.uint8)])
    np.testing.assert_allclose(
        measure(labels, as_image(with_alpha), stains="hdx")["mean_dab"],
        measure(labels, as_image(colors), stains="hdx")["mean_dab"],
    )


def test_nothing_gives_an_empty_table_with_all_columns() -> None:
    image = as_image(np.ones((6, 6, 3), np.uint8))
    empty = measure(np.zeros((6, 6), np.int32), image, stains="hed", classes={})
    one = measure(np.ones((6, 6), np.int32), image, stains="hed", classes={})
    assert list(empty) == list(one)
    assert {len(column) for column in empty.values()} == {0}


def test_what_cannot_be_measured_is_said() -> None:
    labels = np.ones((6, 6), np.uint8)
    with pytest.raises(ImageError, match="needs \\(5, 5\\)"):
        measure(labels, as_image(np.ones((5, 5))))
    with pytest.raises(OptionError, match="hed, hdx"):
        measure(labels, as_image(np.ones((6, 6, 3))), stains="purple")
    with pytest.raises(ImageError, match="RGB"):
        measure(labels, as_image(np.ones((6, 6))), stains="hed")
    with pytest.raises(ImageError, match="8 bits"):
        measure(labels, as_image(np.full((6, 6, 3), 200.0)), stains="hed")
    with pytest.raises(ImageError, match="int32"):
        measure(labels, as_image(np.full((6, 6, 3), 200, np.int32)), stains="hed")


def test_four_axes_of_labels_alone_are_volumes_over_time() -> None:
    table = measure(np.ones((2, 3, 4, 5), int))
    assert table["frame_t"].tolist() == [0, 1]
    assert table["area"].tolist() == [60, 60]
    assert "frame_z" not in table


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((), {}), ((5,), {}), ((5,), {"geometry": Geometry(spacing=(1.0, 1.0))}), ((0, 5), {}), ((5, 0), {}),
        ((0, 4, 4), {"dims": 2}), ((3, 4, 4), {"dims": 1}), ((3, 4, 4), {"dims": 0}), ((2, 3, 4, 4), {"dims": 4}),
        ((4, 4), {"dims": 3}), ((3, 4, 4), {"dims": 3, "geometry": Geometry(spacing=(1.0, 1.0))}),
        ((3, 4, 4), {"geometry": Geometry(spacing=(1.0,))}),
    ],
)  # fmt: skip
def test_labels_without_two_or_three_axes_to_measure_are_refused(shape: tuple[int, ...], options: Any) -> None:
    with pytest.raises(ImageError, match="2 or 3 are allowed"):
        measure(np.ones(shape, int), **options)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64])
def test_labels_of_any_integer_type(dtype: type) -> None:
    labels = np.zeros((9, 9), dtype)
    labels[2:5, 3:8] = 1
    table = measure(labels)
    assert table["label"].tolist() == [1]
    assert table["area"].tolist() == [15]
    assert table["perimeter"] == regionprops_table(labels.astype(int), properties=["perimeter"])["perimeter"]


def test_reports_progress() -> None:
    fractions: list[float] = []
    run(iter_measure(patches((40, 40), 3), as_image(np.ones((40, 40)))), lambda p: fractions.append(p.fraction))
    assert fractions == sorted(fractions)
    assert len(fractions) > 3
