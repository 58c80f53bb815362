from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from skimage.measure import regionprops_table

from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.models.spec import ClassSpec
from napari_unetstyle.core.progress import run
from napari_unetstyle.core.segmentation import surface
from napari_unetstyle.core.segmentation.surface import surface_area
from napari_unetstyle.core.segmentation.table import iter_area_table, object_table

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
    table = run(iter_area_table(labels, CLASSES, Geometry(spacing=(1.0,) * 3), band=band))
    assert table["class_name"].tolist() == ["myelin", "axon"]
    assert table["area"].tolist() == [(labels == 1).sum(), (labels == 2).sum()]
    np.testing.assert_allclose(table["share"], [(labels == 1).mean(), (labels == 2).mean()])


def test_a_value_that_is_no_class_has_no_row() -> None:
    labels = np.array([[0, 1, 1], [7, 2, 0]], np.uint8)
    table = run(iter_area_table(labels, CLASSES, PIXELS))
    assert table["area"].tolist() == [2, 1]
    assert not any("surface" in column for column in table)


volumes = hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=9)


@given(
    labels=volumes.flatmap(lambda s: hnp.arrays(np.uint8, s, elements=st.integers(0, 3))),
    band=st.integers(1, 10),
    slab=st.sampled_from([1, 30, 150, 2**22]),
)
def test_surfaces_of_classes_are_those_of_the_whole_whatever_the_slab(
    labels: NDArray[np.uint8], band: int, slab: int
) -> None:
    spacing = (2.0, 0.7, 0.5)
    whole = [surface_area(labels == c.value, spacing) for c in CLASSES]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(surface, "_SLAB_VOXELS", slab)
        table = run(iter_area_table(labels, CLASSES, Geometry(spacing=spacing, unit="mm"), band=band))
    assert table["surface_mm2"].tolist() == pytest.approx(whole, rel=1e-6)


class Cut:
    """A volume that can only be cut, and remembers the largest piece."""

    def __init__(self, array: NDArray[Any]) -> None:
        self.array, self.shape, self.ndim, self.size, self.largest = array, array.shape, array.ndim, array.size, 0

    def __getitem__(self, key: Any) -> NDArray[Any]:
        piece = self.array[key]
        self.largest = max(self.largest, piece.size)
        return piece


def test_no_copy_of_the_whole_is_made_for_surfaces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surface, "_SLAB_VOXELS", 5000)
    labels = np.zeros((60, 20, 20), np.uint8)
    labels[5:55, 3:17, 3:17] = 1
    cut: Any = Cut(labels)
    table = run(iter_area_table(cut, CLASSES, Geometry(spacing=(1.0,) * 3, unit="mm"), band=8))
    assert table["surface_mm2"].tolist() == [pytest.approx(surface_area(labels == 1, (1.0, 1.0, 1.0))), 0]
    assert cut.largest <= 5000
