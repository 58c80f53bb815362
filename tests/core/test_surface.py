from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.measure import marching_cubes, mesh_surface_area

from napari_unetstyle.core import measure
from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.segmentation import surface
from napari_unetstyle.core.segmentation.surface import surface_area

SPACING = (2.0, 0.7, 0.5)


def meshed_at_once(mask: Any) -> float:
    vertices, faces, *_ = marching_cubes(np.pad(mask, 1).astype(float), 0.5)
    return float(mesh_surface_area(vertices.astype(float) * SPACING, faces))


@given(mask=hnp.arrays(bool, hnp.array_shapes(min_dims=3, max_dims=3, max_side=7)), slab=st.sampled_from([1, 150, 999]))
def test_slabs_add_up_to_the_whole_mesh(mask: Any, slab: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(surface, "_SLAB_VOXELS", slab)
        area = surface_area(mask, SPACING)
    assert area == pytest.approx(meshed_at_once(mask) if mask.any() else 0, rel=1e-6)


def test_a_ball_is_a_little_too_large_and_a_box_is_what_it_is() -> None:
    z, y, x = np.ogrid[-20:21, -20:21, -20:21]
    ball = z**2 + y**2 + x**2 <= 16**2
    assert 1.05 < surface_area(ball, (1, 1, 1)) / (4 * np.pi * 16**2) < 1.12
    box = np.ones((30, 40, 50), bool)  # the mesh rounds its edges
    assert surface_area(box, (1, 1, 1)) == pytest.approx(2 * (30 * 40 + 40 * 50 + 50 * 30), rel=0.03)


def test_the_table_has_volume_and_surface_of_each_class() -> None:
    labels = np.zeros((12, 20, 22), np.uint8)
    labels[2:8, 3:12, 4:15] = 1
    labels[5:7, 5:9, 5:9] = 2
    table = measure(labels, geometry=Geometry(spacing=SPACING, unit="mm"), classes={1: "organ", 2: "tumor"})
    assert table["class_name"].tolist() == ["organ", "tumor"]
    for row, value in enumerate((1, 2)):
        assert table["volume_ml"][row] == pytest.approx((labels == value).sum() * np.prod(SPACING) / 1000)
        assert table["surface_mm2"][row] == pytest.approx(meshed_at_once(labels == value), rel=1e-6)
    assert "surface" in measure(labels)
    assert "surface" not in measure(labels[3])
