"""Labels lie exactly on the picture, whatever napari did to it."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from napari.components import ViewerModel
from napari.layers import Image as ImageLayer

from napari_unetstyle.core import scratch
from napari_unetstyle.core.errors import ImageError
from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.progress import run
from napari_unetstyle.core.segmentation.deciding import iter_decide
from napari_unetstyle.core.segmentation.options import SegmentOptions
from napari_unetstyle.widgets.label_layers import add_labels
from napari_unetstyle.widgets.layers import Statement, image_from_layer, statement_of
from napari_unetstyle.widgets.outputs import Output, iter_fresh
from napari_unetstyle.widgets.placement import Placement
from tests.widgets.fake_core import blobs, undecided

NAMES = {"T": 2, "C": 3, "Z": 2, "Y": 12, "X": 16}
angles = st.floats(-170, 170)
offsets = st.floats(-100, 100)
scales = st.floats(0.1, 10)


def result_for(layer: Any, statement: Statement | None = None) -> Any:
    return run(iter_decide(undecided(image_from_layer(layer, statement), SegmentOptions())))


@given(
    scale=st.tuples(scales, scales),
    translate=st.tuples(offsets, offsets),
    rotate=angles,
    shear=st.floats(-2, 2),
    affine=st.tuples(*[st.floats(-3, 3)] * 6),
    point=st.tuples(st.integers(0, 11), st.integers(0, 15)),
)
def test_labels_take_every_transform(
    scale: Any, translate: Any, rotate: float, shear: float, affine: Any, point: Any
) -> None:
    matrix = np.array([[1 + affine[0] / 10, affine[1], affine[2]], [affine[3], 5 + affine[4], affine[5]], [0, 0, 1]])
    layer = ImageLayer(
        np.zeros((12, 16), np.uint8), scale=scale, translate=translate, rotate=rotate, shear=[shear], affine=matrix
    )
    viewer = ViewerModel()
    viewer.add_layer(layer)
    labels = add_labels(viewer, result_for(layer), Placement.of(layer, "YX"), "labels")
    np.testing.assert_allclose(labels.data_to_world(point), layer.data_to_world(point), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("axes", ["YX", "CYX", "TYX", "TCYX", "YXC", "XY", "ZTYX", "TYCX", "CTZYX"])
def test_every_pixel_of_the_labels_is_over_its_pixel_of_the_picture(axes: str) -> None:
    rng = np.random.default_rng(0)
    shape = tuple(NAMES[axis] for axis in axes)
    scale = rng.uniform(0.5, 2, len(shape))
    layer = ImageLayer(rng.integers(0, 255, shape, np.uint8), scale=scale, translate=rng.uniform(-5, 5, len(shape)))
    statement = Statement(axes=axes, geometry=Geometry(spacing=(1.0,) * sum(a in "ZYX" for a in axes)))
    viewer = ViewerModel()
    viewer.add_layer(layer)
    result, placement = result_for(layer, statement), Placement.of(layer, axes)
    labels = add_labels(viewer, result, placement, "labels")
    np.testing.assert_array_equal(placement.to_labels(labels.data), result.labels)
    for _ in range(20):
        place = {axis: int(rng.integers(NAMES[axis])) for axis in axes}
        world = layer.data_to_world([place[axis] for axis in axes])
        data = np.rint(labels.world_to_data(world)).astype(int)
        wanted = result.labels[tuple(place[axis] for axis in result.label_axes)]
        assert labels.data[tuple(data)] == wanted


def test_units_axis_names_and_provenance_go_along() -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(blobs(), units=("um", "um"), axis_labels=("y", "x"), scale=(0.5, 0.25))
    labels = add_labels(viewer, result_for(layer), Placement.of(layer, "YX"), "labels")
    assert labels.units == layer.units
    assert labels.axis_labels == layer.axis_labels
    assert labels.metadata["unetstyle"]["provenance"]["model"]["name"] == "nuclei"
    assert list(labels.features["index"]) == [1, 2, 3, 4, 5]


def test_labels_on_disk_are_painted_and_checked_like_others() -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(blobs())
    result = result_for(layer)
    on_disk = scratch.zeros(result.labels.shape, result.labels.dtype, in_memory=0)
    on_disk[:] = result.labels
    fresh = run(iter_fresh(_at_once(result.changed(labels=on_disk))))
    output = Output(viewer, image_from_layer(layer), fresh, Placement.of(layer, "YX"), "labels")
    output.layer.refresh()
    assert output.settle(run(output.iter_check()))
    assert output.is_free
    output.layer.paint((40, 40), 7)
    assert output.is_touched
    assert 7 in output.labels


def _at_once(result: Any) -> Any:
    return result
    yield


def test_areas_have_the_colors_of_their_classes() -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(blobs())
    image = image_from_layer(layer)
    result = run(iter_decide(undecided(image, SegmentOptions(output="areas"))))
    labels = add_labels(viewer, result, Placement.of(layer, "YX"), "labels")
    np.testing.assert_allclose(labels.colormap.map(1), [0xE4 / 255, 0x1A / 255, 0x1C / 255, 1], atol=0.01)


def test_objects_have_strong_colors() -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(blobs())
    labels = add_labels(viewer, result_for(layer), Placement.of(layer, "YX"), "labels")
    colors = labels.colormap.map(np.arange(1, 200))
    assert (colors[:, :3].max(axis=1) - colors[:, :3].min(axis=1) > 0.5).all()  # none is gray
    assert (colors[:, 3] == 1).all()
    assert labels.colormap.map(0)[3] == 0
    assert (np.abs(np.diff(colors[:, :3], axis=0)).max(axis=1) > 0.2).all()


# What a layer says --------------------------------------------------------------------------------------------


def said(layer: ImageLayer) -> tuple[str, bool]:
    statement = statement_of(layer)
    return statement.axes, statement.is_assumed


def test_axes_are_named_or_assumed_and_that_is_said() -> None:
    assert said(ImageLayer(np.zeros((5, 6)))) == ("YX", False)
    assert said(ImageLayer(np.zeros((5, 6, 3), np.uint8), rgb=True)) == ("YXC", False)
    assert said(ImageLayer(np.zeros((4, 5, 6)))) == ("ZYX", True)
    assert said(ImageLayer(np.zeros((4, 5, 6)), axis_labels=("t", "y", "x"))) == ("TYX", False)
    assert said(ImageLayer(np.zeros((4, 5, 6)), axis_labels=("Channel", "Y", "X"))) == ("CYX", False)
    assert said(ImageLayer(np.zeros((4, 5, 6, 3), np.uint8), rgb=True)) == ("ZYXC", True)
    with pytest.raises(ImageError, match="6 axes"):
        statement_of(ImageLayer(np.zeros((1,) * 6)))


@pytest.mark.parametrize(
    ("units", "scale", "expected"),
    [
        (("pixel", "pixel"), (0.5, 0.5), Geometry(spacing=(1.0, 1.0), unit="px")),  # a scale without a unit is no size
        (("um", "um"), (0.5, -0.25), Geometry(spacing=(0.5, 0.25), unit="um")),
        (("nm", "nm"), (250, 250), Geometry(spacing=(0.25, 0.25), unit="um")),
        (("mm", "mm"), (0.8, 0.7), Geometry(spacing=(0.8, 0.7), unit="mm")),
        (("mm", "um"), (0.001, 0.5), Geometry(spacing=(1.0, 0.5), unit="um")),
        (("um", "pixel"), (0.5, 0.5), Geometry(spacing=(1.0, 1.0), unit="px")),
    ],
)
def test_pixel_size_needs_a_unit(units: Any, scale: Any, expected: Geometry) -> None:
    stated = statement_of(ImageLayer(np.zeros((5, 6)), scale=scale, units=units)).geometry
    assert stated.unit == expected.unit
    np.testing.assert_allclose(stated.spacing, expected.spacing)


def test_lazy_stays_lazy_and_nothing_is_copied() -> None:
    lazy = da.zeros((40, 50), chunks=10)
    assert image_from_layer(ImageLayer(lazy)).array is lazy
    eager = np.zeros((40, 50))
    assert image_from_layer(ImageLayer(eager)).array is eager


def test_multiscale_gives_full_resolution() -> None:
    layer = ImageLayer([np.zeros((40, 50)), np.zeros((20, 25))], multiscale=True)
    assert image_from_layer(layer).array.shape == (40, 50)
    assert Placement.of(layer, "YX").changes(_viewer_with(layer)) == []


def _viewer_with(layer: ImageLayer) -> ViewerModel:
    viewer = ViewerModel()
    viewer.add_layer(layer)
    return viewer
