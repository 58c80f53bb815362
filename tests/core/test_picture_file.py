from __future__ import annotations

import numpy as np
import pytest

from napari_unetstyle.core import read_image, write_image
from napari_unetstyle.core.errors import OutputError
from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.imaging.image import Image


def image(shape, axes, dtype=np.uint8, **more):
    count = sum(a in "ZYX" for a in axes)
    place = Geometry(spacing=(0.5, 0.25, 0.3)[-count:], unit="um")
    values = np.random.default_rng(0).integers(0, 200, shape).astype(dtype)
    return Image(array=values, axes=axes, geometry=place, **more)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((20, 30), "YX"),
        ((20, 30, 3), "YXC"),
        ((2, 20, 30), "CYX"),
        ((4, 20, 30), "ZYX"),
        ((3, 2, 4, 9, 8), "TCZYX"),
        ((1, 9, 8), "ZYX"),
        ((2, 1, 9, 8), "TZYX"),
        ((1, 3, 9, 8), "TZYX"),
        ((2, 1, 9, 8), "CZYX"),
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_picture_comes_back(shape, axes, dtype, tmp_path):
    picture = image(shape, axes, dtype)
    found = read_image(write_image(tmp_path / "p.tif", picture))
    turned = np.transpose(np.asarray(found.array[:]), [found.axes.index(axis) for axis in axes])
    assert np.array_equal(turned, picture.array)
    assert turned.dtype == dtype
    assert found.geometry.in_unit("um").spacing == pytest.approx(picture.geometry.spacing)


def test_colors_with_opacity_stay_colors(tmp_path):
    picture = image((20, 30, 4), "YXC")
    found = read_image(write_image(tmp_path / "p.tif", picture))
    assert found.axes == "YXC"
    assert np.array_equal(found.array[:], picture.array)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_a_volume_comes_back(suffix, dtype, tmp_path):
    picture = image((4, 20, 30), "ZYX", dtype)
    found = read_image(write_image(tmp_path / f"p{suffix}", picture))
    assert np.array_equal(found.array[:], picture.array)
    assert found.array.dtype == dtype


@pytest.mark.parametrize("suffix", [".tif", ".nii", ".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("dtype", [np.bool_, np.int64, np.uint64, np.float16, np.longdouble, ">i8", ">f2", ">u2"])
def test_types_that_a_format_lacks_are_written_in_one_that_holds_them(suffix, dtype, tmp_path):
    picture = image((4, 20, 30), "ZYX", dtype)
    found = read_image(write_image(tmp_path / f"p{suffix}", picture))
    assert np.array_equal(found.array[:], picture.array)


@pytest.mark.parametrize(("dtype", "value"), [(np.int64, 2**40), (np.uint64, 2**64 - 1)])
def test_values_that_a_tiff_would_round_are_refused(dtype, value, tmp_path):
    picture = image((20, 30), "YX", dtype)
    picture.array[0, 0] = value
    with pytest.raises(OutputError, match="exactly"):
        write_image(tmp_path / "p.tif", picture)
    assert not list(tmp_path.iterdir())


def test_a_volume_is_no_labels(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    write_image(tmp_path / "p.nii", image((4, 20, 30), "ZYX"))
    assert nibabel.load(tmp_path / "p.nii").header["intent_code"] == 0


def test_names_do_not_travel(tmp_path):
    picture = image((20, 30), "YX", name="Doe, Jane", notes=("Jane",))
    assert b"Jane" not in write_image(tmp_path / "p.tif", picture).read_bytes()


@pytest.mark.parametrize(("name", "axes", "shape"), [("p.png", "YX", (9, 9)), ("p.nrrd", "YXC", (9, 9, 3))])
def test_what_a_format_cannot_hold_is_refused(name, axes, shape, tmp_path):
    with pytest.raises(OutputError, match=r"\.tif"):
        write_image(tmp_path / name, image(shape, axes))
    assert not list(tmp_path.iterdir())
