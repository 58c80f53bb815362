from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from skimage.measure import regionprops_table

from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.models.spec import ClassSpec
from napari_unetstyle.core.segmentation.table import area_table, object_table

CLASSES = (ClassSpec(value=1, name="myelin", color="#ff0000"), ClassSpec(value=2, name="axon", color="#00ff00"))
PIXELS = Geometry(spacing=(1.0, 1.0))

shapes = hnp.array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=9)


@given(labels=shapes.flatmap(lambda s: hnp.arrays(np.int32, s, elements=st.integers(0, 4))), band=st.integers(1, 10))
def test_is_what_scikit_image_measures_whatever_the_band(labels: NDArray[np.int32], band: int) -> None:
    numbers = np.unique(labels[labels > 0])
    labels = np.searchsorted(np.concatenate([[0], numbers]), labels).astype(np.int32)  # without gaps
    owners = np.arange(len(numbers), dtype=np.uint8) % 2 + 1
    shifted = np.where(labels, labels + 6, 0)
    table = object_table(shifted, owners, CLASSES, Geometry(spacing=(1.0,) * 3), first_id=7, band=band)
    theirs = regionprops_table(labels, properties=["area", "centroid", "bbox"])
    np.testing.assert_array_equal(table["label"], np.arange(len(numbers)) + 7)
    np.testing.assert_array_equal(table["area"], theirs["area"])
    dims, axes = labels.ndim, "zyx"[-labels.ndim :]
    for i, axis in enumerate(axes):
        np.testing.assert_allclose(table[f"centroid_{axis}"], theirs[f"centroid-{i}"])
        np.testing.assert_array_equal(table[f"box_{axis}0"], theirs[f"bbox-{i}"])
        np.testing.assert_array_equal(table[f"box_{axis}1"], theirs[f"bbox-{i + dims}"])
    assert table["class_name"].tolist() == [("myelin", "axon")[i % 2] for i in range(len(numbers))]


def test_sizes_are_physical_where_the_pixel_size_is_known() -> None:
    labels = np.array([[1, 1, 0], [1, 2, 2]], np.int32)
    owners = np.array([1, 2], np.uint8)
    flat = object_table(labels, owners, CLASSES, Geometry(spacing=(3.0, 0.5, 0.2), unit="um"))
    np.testing.assert_allclose(flat["area_um2"], [0.3, 0.2])
    deep = object_table(labels[None], owners, CLASSES, Geometry(spacing=(3.0, 0.5, 0.2), unit="mm"))
    np.testing.assert_allclose(deep["volume_mm3"], [0.9, 0.6])
    assert not any("um" in column for column in object_table(labels, owners, CLASSES, PIXELS))


@given(
    labels=shapes.flatmap(lambda s: hnp.arrays(np.uint8, s, elements=st.integers(0, 2))), band=st.none() | st.just(2)
)
def test_areas_have_a_row_for_each_class_even_where_there_is_none(labels: NDArray[np.uint8], band: int | None) -> None:
    table = area_table(labels, CLASSES, Geometry(spacing=(1.0,) * 3), band=band)
    assert table["class_name"].tolist() == ["myelin", "axon"]
    assert table["area"].tolist() == [(labels == 1).sum(), (labels == 2).sum()]
    np.testing.assert_allclose(table["share"], [(labels == 1).mean(), (labels == 2).mean()])


def test_a_value_that_is_no_class_has_no_row() -> None:
    labels = np.array([[0, 1, 1], [7, 2, 0]], np.uint8)
    assert area_table(labels, CLASSES, PIXELS)["area"].tolist() == [2, 1]
