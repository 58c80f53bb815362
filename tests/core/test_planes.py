from __future__ import annotations

import numpy as np
import pytest

from napari_unetstyle.core.errors import OptionError
from napari_unetstyle.core.imaging.image import as_image
from napari_unetstyle.core.progress import run
from napari_unetstyle.core.segmentation.fitting import iter_fit
from napari_unetstyle.core.segmentation.options import SegmentOptions
from napari_unetstyle.core.segmentation.planes import PLANES, seen, turned
from napari_unetstyle.core.segmentation.segment import iter_preview, segment
from tests.core.networks_for_tests import tiny_model, tiny_volume_model
from tests.core.test_segment_volumes import blobs

ORDERS = {"YX": (0, 1, 2), "ZX": (1, 0, 2), "ZY": (2, 0, 1)}  # which axis slices follow, then rows and columns


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def volume():
    return blobs((18, 26, 22))


@pytest.mark.parametrize("plane", PLANES)
def test_a_turned_volume_is_the_same_array_with_other_names(plane):
    array = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    image = as_image(array, axes="ZCYX", spacing=(5.0, 2.0, 1.0))
    turn = turned(image, plane)
    assert turn.array is array
    expected = array.transpose(1, 0, 2, 3).transpose(0, *(1 + axis for axis in ORDERS[plane]))
    np.testing.assert_array_equal(turn.frame((), 3).read(), expected)
    assert turn.geometry.spacing == tuple(image.geometry.spacing[axis] for axis in ORDERS[plane])
    labels = np.zeros(image.label_shape, np.uint8)
    assert seen(labels, plane).shape == turn.label_shape
    assert np.shares_memory(seen(labels, plane), labels)


@pytest.mark.parametrize("plane", PLANES)
def test_slices_along_any_axis_have_the_probabilities_of_the_turned_volume(plane, model, volume):
    given = {"object_diameter": 20, "axes": "ZYX"}
    result = segment(volume, model, plane=plane, **given)
    assert result.labels.shape == volume.shape
    expected = segment(volume.transpose(ORDERS[plane]), model, **given)
    np.testing.assert_array_equal(seen(result.probability_bytes, plane), expected.probability_bytes)
    assert ("frame_z" in result.objects) == (plane == "YX")


def test_all_planes_are_averaged_and_decided_as_a_volume(model, volume):
    options = {"axes": "ZYX", "object_diameter": 20}
    each = [segment(volume, model, plane=plane, **options).probability_bytes.astype(int) for plane in PLANES]
    result = segment(volume, model, plane="all", **options)
    np.testing.assert_array_equal(result.probability_bytes, (sum(each) + 1) // 3)
    assert result.frames == ((),)
    assert "volume_um3" not in result.objects
    assert "centroid_z" in result.objects
    again = segment(volume, model, axes="ZYX", **result.options.stated())
    np.testing.assert_array_equal(again.labels, result.labels)
    assert result.provenance["options"]["plane"] == "all"


def test_linked_slices_are_fewer_objects_of_the_same_pixels(model, volume):
    options = {"axes": "ZYX", "object_diameter": 20, "min_pixels": 0}
    apart = segment(volume, model, **options)
    result = segment(volume, model, link=True, **options)
    np.testing.assert_array_equal(result.labels > 0, apart.labels > 0)
    assert 0 < result.count < apart.count
    assert result.labels.max() == result.count
    np.testing.assert_array_equal(result.objects["area"], np.bincount(result.labels.ravel())[1:])


@pytest.mark.parametrize("plane", ["ZX", "ZY"])
def test_one_slice_of_another_plane_is_a_picture(plane, model, volume):
    options = {"axes": "ZYX", "object_diameter": 20}
    one = segment(volume, model, plane=plane, link=True, frames=((7,),), **options)
    turn = volume.transpose(ORDERS[plane])
    alone = segment(turn, model, frames=((7,),), **options)
    np.testing.assert_array_equal(seen(one.labels, plane), alone.labels)
    assert one.options.min_pixels == alone.options.min_pixels


@pytest.mark.parametrize("given", [{"plane": "YX", "link": True}, {"plane": "ZX", "link": True}])
def test_a_part_of_a_slice_is_that_of_the_linked_run(given, model, volume):
    options = SegmentOptions(object_diameter=20, min_pixels=9, **given)
    whole = segment(volume, model, axes="ZYX", object_diameter=20, min_pixels=0, **given)
    fitted = run(iter_fit(as_image(volume, axes="ZYX"), model, options))
    labels = run(iter_preview(fitted, (7,), (slice(2, 16), slice(1, 20))))
    expected = seen(whole.labels, given["plane"])[7, 2:16, 1:20]
    np.testing.assert_array_equal(labels > 0, expected > 0)
    edges = (expected[1:] != expected[:-1]), (expected[:, 1:] != expected[:, :-1])
    np.testing.assert_array_equal(labels[1:] != labels[:-1], edges[0])
    np.testing.assert_array_equal(labels[:, 1:] != labels[:, :-1], edges[1])


def test_thick_slices_are_stretched_where_they_are_cut_across(model, volume):
    options = {"axes": "ZYX", "object_diameter": 20, "spacing": (3.0, 1.0, 1.0)}
    assert segment(volume, model, **options).provenance["scale"] == 1
    across = segment(volume, model, plane="ZX", **options)
    assert across.provenance["scale"] == [3.0, 1.0]
    assert across.labels.shape == volume.shape


@pytest.mark.parametrize("options", [{"plane": "ZX"}, {"link": True}, {"plane": "all"}])
def test_planes_are_for_volumes_and_for_models_of_pictures(options, model, volume, tmp_path):
    with pytest.raises(OptionError, match="no Z"):
        segment(volume[0], model, **options)
    with pytest.raises(OptionError, match="works on volumes"):
        segment(volume, tiny_volume_model(tmp_path), axes="ZYX", **options)


@pytest.mark.parametrize("options", [{"plane": "XY"}, {"plane": "all", "box": ((0, 3), (0, 3))}])
def test_a_plane_that_cannot_be_is_refused(options, model, volume):
    with pytest.raises(OptionError, match="plane"):
        segment(volume, model, axes="ZYX", **options)
