"""Volumes of the clinic: labels lie where the anatomy lies, here and elsewhere; what is not whole is refused."""

from __future__ import annotations

import contextlib
import errno
import gzip
import itertools
import json
import random
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_unetstyle.core import read_image, write_labels
from napari_unetstyle.core.errors import ImageError, ImageFileError, OutputError, UnetstyleError
from napari_unetstyle.core.imaging import payload
from napari_unetstyle.core.imaging.files import is_image_file
from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.imaging.medical import SUFFIXES, medical_suffix
from napari_unetstyle.core.models.spec import ClassSpec
from napari_unetstyle.core.segmentation.output import label_info
from tests.core.geometry_for_tests import AXIS_ORIENTATIONS, geometries, rotation

SHAPE = (9, 14, 23)
APART = (".nhdr", ".mhd")
CLASSES = (ClassSpec(value=1, name="anterior", color="#ff8000"), ClassSpec(value=2, name="müll", color="#0000ff"))
ONE_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
RAS = np.array([-1.0, -1.0, 1.0])
PLACE = Geometry(
    spacing=(3.0, 0.8, 0.7),
    unit="mm",
    origin=(-20.0, 33.0, 104.5),
    direction=tuple(map(tuple, (rotation((1.0, 2.0, -0.5), 0.4) @ AXIS_ORIENTATIONS[13]).tolist())),
    is_anatomical=True,
)


def corners_marked(shape: tuple[int, ...] = SHAPE) -> tuple[NDArray[Any], dict[int, tuple[int, ...]]]:
    """A volume whose corners have the values 1 to 8, and where each is."""
    labels = np.zeros(shape, np.uint8)
    where = dict(enumerate(itertools.product(*[(0, n - 1) for n in shape]), start=1))
    for value, index in where.items():
        labels[index] = value
    return labels, where


def worlds_in_simpleitk(path: Path) -> dict[int, NDArray[Any]]:
    """World position (left, back, head; mm) of each marked voxel, by SimpleITK alone."""
    image = SimpleITK.ReadImage(str(path))
    found = np.argwhere(array := SimpleITK.GetArrayFromImage(image))
    return {
        int(array[tuple(index)]): np.array(image.TransformIndexToPhysicalPoint([int(i) for i in index[::-1]]))
        for index in found
    }


def worlds_in_nibabel(path: Path) -> dict[int, NDArray[Any]]:
    image = nibabel.load(path)
    array = np.asanyarray(image.dataobj)
    return {int(array[tuple(i)]): RAS * nibabel.affines.apply_affine(image.affine, i) for i in np.argwhere(array)}


def check_worlds(path: Path, place: Geometry, where: dict[int, tuple[int, ...]]) -> None:
    readers = [worlds_in_simpleitk, *([worlds_in_nibabel] if ".nii" in path.name else [])]
    for reader in readers:
        worlds = reader(path)
        assert worlds.keys() == where.keys()
        for value, index in where.items():
            np.testing.assert_allclose(worlds[value][::-1], place.to_world(index), atol=1e-4)


# The place ---------------------------------------------------------------------------------------------------------


EACH_WITH_TWO = [  # each direction with two formats, so each format with sixteen directions; the others if it is long
    pytest.param(orientation, suffix, marks=() if (orientation + number) % 3 == 0 else pytest.mark.long)
    for orientation in range(48)
    for number, suffix in enumerate(SUFFIXES)
]


@pytest.mark.parametrize(("orientation", "suffix"), EACH_WITH_TWO)
@settings(ONE_FOLDER, max_examples=2)
@given(data=st.data())
def test_labels_lie_in_other_programs_where_they_lie_here(
    suffix: str, orientation: int, data: st.DataObject, tmp_path: Path
) -> None:
    place = data.draw(geometries(orientation=AXIS_ORIENTATIONS[orientation]))
    labels, where = corners_marked()
    path = write_labels(tmp_path / f"x{suffix}", labels, axes="ZYX", geometry=place)
    check_worlds(path, place, where)
    again = read_image(path)
    assert (again.axes, again.geometry.unit, again.geometry.is_anatomical) == ("ZYX", "mm", True)
    np.testing.assert_array_equal(again.array, labels)
    np.testing.assert_allclose(again.geometry.affine, place.affine, atol=1e-4)
    assert again.geometry.orientation == place.orientation


@pytest.mark.parametrize("kind", ["itk.nii.gz", "itk.nii", "itk.nrrd", "itk.mha", "itk.mhd", "itk.nhdr", "nibabel.nii"])
@ONE_FOLDER
@given(place=geometries())
def test_a_volume_of_another_program_lies_here_where_it_lies_there(kind: str, place: Geometry, tmp_path: Path) -> None:
    marked, where = corners_marked()
    path = tmp_path / kind
    if kind.startswith("itk"):
        image = SimpleITK.GetImageFromArray(marked)
        image.SetSpacing(place.spacing[::-1])
        image.SetOrigin(place.origin[::-1])
        image.SetDirection(np.array(place.direction)[::-1, ::-1].ravel().tolist())
        SimpleITK.WriteImage(image, str(path), "gz" in kind)
    else:
        nibabel.save(
            nibabel.Nifti1Image(marked.T, np.diag([*RAS, 1]) @ place.affine[[2, 1, 0, 3]][:, [2, 1, 0, 3]]), path
        )
    read = read_image(path)
    np.testing.assert_array_equal(read.array, marked)
    np.testing.assert_allclose(read.geometry.affine, place.affine, atol=1e-4)
    labels = write_labels(tmp_path / "labels.nii.gz", read.array, axes=read.axes, geometry=read.geometry)
    check_worlds(labels, place, where)


def test_the_place_of_a_volume_in_micrometers_is_written_in_millimeters(tmp_path: Path) -> None:
    labels, _ = corners_marked()
    place = Geometry(spacing=(2000, 500, 250), unit="um", origin=(1000, 0, -3000))
    for suffix in SUFFIXES:
        path = write_labels(tmp_path / f"x{suffix}", labels, axes="ZYX", geometry=place)
        again = read_image(path).geometry
        assert (again.unit, again.spacing, again.origin) == ("mm", (2, 0.5, 0.25), (1, 0, -3))
        assert not again.is_anatomical
        assert SimpleITK.ReadImage(str(path)).GetSpacing() == pytest.approx((0.25, 0.5, 2))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((6, 7), "YX"), ((3, 6, 7), "TYX"), ((3, 5, 6, 7), "TZYX"), ((1, 6, 7), "ZYX"), ((1, 6, 7), "TYX"),
        ((1, 1, 6, 7), "TZYX"), ((3, 1, 6, 7), "TZYX"), ((1, 5, 6, 7), "TZYX"), ((1, 1, 7), "TYX"), ((1, 1), "YX"),
    ],
)  # fmt: skip
def test_axes_come_back(suffix: str, shape: tuple[int, ...], axes: str, tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(0, 300, shape)
    dims = sum(a in "ZYX" for a in axes)
    place = Geometry(spacing=(3.0, 0.5, 0.25)[-dims:], unit="mm", origin=(9.0, 5.0, -7.0)[-dims:])
    again = read_image(write_labels(tmp_path / f"x{suffix}", labels, axes=axes, geometry=place))
    assert (again.axes, again.geometry) == (axes, place)
    assert again.notes == ()
    np.testing.assert_array_equal(again.array, labels)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_size_that_nobody_knows_stays_unknown(suffix: str, tmp_path: Path) -> None:
    labels, _ = corners_marked()
    for place in (None, Geometry(spacing=(2, 0.5, 0.25), unit="px"), Geometry(spacing=(1, 1, 2), origin=(3, 4, 5))):
        again = read_image(write_labels(tmp_path / f"x{suffix}", labels, axes="ZYX", geometry=place))
        assert again.geometry == (place or Geometry(spacing=(1, 1, 1)))
        assert again.notes == ()


def test_a_pixel_size_that_a_person_states_leaves_the_volume_where_it_is(tmp_path: Path) -> None:
    path = write_labels(tmp_path / "x.nrrd", corners_marked()[0], axes="ZYX", geometry=PLACE)
    stated = read_image(path, spacing=(2000, 1000, 1000)).geometry.in_unit("mm")
    assert stated.spacing == pytest.approx((2, 1, 1))
    assert stated.origin == pytest.approx(PLACE.origin)
    np.testing.assert_allclose(stated.direction, PLACE.direction, atol=1e-12)


# NIfTI's positions -------------------------------------------------------------------------------------------------


def nifti(path: Path, array: NDArray[Any] | None = None, affine: Any = None, **fields: Any) -> Path:
    """A NIfTI file by nibabel, with some header fields changed behind its back."""
    volume = np.arange(5 * 6 * 7, dtype=np.int16).reshape(5, 6, 7) if array is None else array
    image = nibabel.Nifti1Image(volume.T, np.diag([2.0, 3.0, 4.0, 1.0]) if affine is None else affine)
    image.to_filename(path)
    data = bytearray(gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes())
    header = np.frombuffer(data, image.header.template_dtype, 1)
    for name, value in fields.items():
        header[name] = value
    path.write_bytes(gzip.compress(bytes(data)) if path.suffix == ".gz" else bytes(data))
    return path


def test_without_a_position_the_sides_are_unknown_and_that_is_said(tmp_path: Path) -> None:
    image = read_image(nifti(tmp_path / "x.nii", sform_code=0, qform_code=0))
    assert image.geometry == Geometry(spacing=(4.0, 3.0, 2.0), unit="mm")
    assert "neither sform nor qform" in image.notes[0]
    labels = write_labels(tmp_path / "y.nii.gz", np.zeros((5, 6, 7), int), geometry=image.geometry)
    assert nibabel.load(labels).header["sform_code"] == 0  # every program takes it for what it takes the source for
    np.testing.assert_array_equal(nibabel.load(labels).affine, nibabel.load(tmp_path / "x.nii").affine)


def test_a_place_that_is_no_patients_is_not_called_one(tmp_path: Path) -> None:
    place = Geometry(spacing=(3.0, 0.5, 0.5), unit="mm", origin=(10.0, 20.0, 30.0))
    path = write_labels(tmp_path / "x.nii.gz", corners_marked()[0], axes="ZYX", geometry=place)
    assert read_image(path).geometry == place
    check_worlds(path, place, corners_marked()[1])
    for known, code in ((False, 2), (True, 1)):  # aligned to something; in the scanner
        write_labels(path, corners_marked()[0], axes="ZYX", geometry=replace(place, is_anatomical=known))
        header = nibabel.load(path).header
        assert (header["sform_code"], header["qform_code"]) == (code, code)


def test_two_positions_that_disagree_are_said(tmp_path: Path) -> None:
    both = {"sform_code": 1, "qform_code": 1, "pixdim": [1, 2, 3, 4, 1, 1, 1, 1], "quatern_b": 0, "quatern_c": 0}
    agreeing = {f"qoffset_{a}": 0 for a in "xyz"}
    assert read_image(nifti(tmp_path / "x.nii", **both, **agreeing)).notes == ()
    image = read_image(nifti(tmp_path / "x.nii", **both, qoffset_x=10, qoffset_y=0, qoffset_z=0))
    assert "up to 10 mm apart" in image.notes[0]
    assert image.geometry.origin == (0, 0, 0)


@given(place=geometries())
@ONE_FOLDER
def test_a_qform_alone_is_taken_as_nibabel_takes_it(place: Geometry, tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.zeros((3, 4, 5), np.uint8), None)
    image.set_qform(np.diag([*RAS, 1]) @ place.affine[[2, 1, 0, 3]][:, [2, 1, 0, 3]], code=1)
    image.to_filename(tmp_path / "x.nii")
    expected = np.diag([*RAS, 1]) @ nibabel.load(tmp_path / "x.nii").affine
    np.testing.assert_allclose(  # a quaternion in float32 says no more
        read_image(tmp_path / "x.nii").geometry.affine, expected[[2, 1, 0, 3]][:, [2, 1, 0, 3]], atol=5e-3
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"srow_x": [np.nan, 0, 0, 0]},
        {"srow_x": [0, 0, 0, 0]},
        {"srow_x": [2, 0, 0, np.inf]},
        {"srow_x": [2, 0.5, 0, 0]},  # sheared
        {"srow_y": [2, 0, 0, 0]},  # two axes in one direction
        {"sform_code": 0, "qform_code": 1, "quatern_b": 2},
        {"sform_code": 0, "qform_code": 1, "quatern_b": np.nan},
        {"sform_code": 0, "qform_code": 1, "pixdim": [1, -2, 3, 4, 1, 1, 1, 1]},
        {"sform_code": 0, "qform_code": 0, "pixdim": [1, 0, 3, 4, 1, 1, 1, 1]},
        {"sform_code": 0, "qform_code": 0, "pixdim": [1, 2, np.nan, 4, 1, 1, 1, 1]},
    ],
)
def test_a_position_that_is_none_is_refused(fields: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"x\.nii"):
        read_image(nifti(tmp_path / "x.nii", **fields))


@pytest.mark.parametrize(("units", "factor", "unit"), [(0, 1, "mm"), (1, 1000, "mm"), (2, 1, "mm"), (3, 1, "um")])
def test_units_of_nifti(units: int, factor: float, unit: str, tmp_path: Path) -> None:
    place = read_image(nifti(tmp_path / "x.nii", xyzt_units=units)).geometry
    assert (place.unit, place.spacing) == (unit, (4 * factor, 3 * factor, 2 * factor))


# Axes --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fields", [{}, {"xyzt_units": 2 + 8}])  # many programs write seconds whatever it is
def test_a_fourth_axis_is_asked_for(fields: dict[str, Any], tmp_path: Path) -> None:
    array = np.zeros((2, 5, 6, 7), np.int16)
    path = nifti(tmp_path / "x.nii.gz", array, **fields)
    with pytest.raises(ImageError, match=r"length 2 is\. State all axes.*axes='TZYX'.*axes='CZYX'"):
        read_image(path)
    assert read_image(path, axes="czyx").axes == "CZYX"
    assert read_image(path, axes="TZYX").geometry.spacing == (4, 3, 2)


def test_a_fourth_axis_with_a_time_step_is_time(tmp_path: Path) -> None:
    path = nifti(
        tmp_path / "x.nii", np.zeros((2, 5, 6, 7), np.int16), xyzt_units=2 + 8, pixdim=[1, 2, 3, 4, 2.5, 1, 1, 1]
    )
    assert read_image(path).axes == "TZYX"


def test_axes_of_length_one_are_no_axes(tmp_path: Path) -> None:
    path = nifti(tmp_path / "x.nii", np.zeros((1, 1, 5, 6, 7), np.int16))
    assert (read_image(path).axes, read_image(path).array.shape) == ("ZYX", (5, 6, 7))


def test_other_axes_than_the_files_cost_the_place_and_that_is_said(tmp_path: Path) -> None:
    image = read_image(nifti(tmp_path / "x.nii", affine=np.diag([-2.0, 3.0, 4.0, 1.0])), axes="TYX")
    assert (image.axes, image.geometry.spacing) == ("TYX", (3, 2))
    sheet = np.array([[0, 0, 4, 5], [2, 0, 0, 5], [0, 3, 0, 5], [0, 0, 0, 1]])
    image = read_image(nifti(tmp_path / "x.nii", affine=sheet), axes="TYX")
    assert image.geometry == Geometry(spacing=(3.0, 2.0), unit="mm")
    assert "its place was left out" in image.notes[0]


def test_a_vector_is_channels_and_colors_are_colors(tmp_path: Path) -> None:
    path = nifti(tmp_path / "x.nii", np.zeros((3, 1, 5, 6, 7), np.float32), intent_code=1007)
    assert read_image(path).axes == "CZYX"
    colors = np.zeros((7, 6, 5), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    colors["G"] = 7
    nibabel.Nifti1Image(colors, np.eye(4)).to_filename(tmp_path / "y.nii.gz")
    image = read_image(tmp_path / "y.nii.gz")
    assert (image.axes, image.array.shape) == ("ZYXC", (5, 6, 7, 3))
    assert np.asarray(image.array[0, 0, 0]).tolist() == [0, 7, 0]


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_components_of_simpleitk_are_channels(suffix: str, tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 99, (5, 6, 7, 3)).astype(np.uint8)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(array, isVector=True), str(tmp_path / f"x{suffix}"))
    image = read_image(tmp_path / f"x{suffix}")
    assert image.axes == "ZYXC"
    np.testing.assert_array_equal(image.array, array)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_four_axes_of_simpleitk(suffix: str, tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 99, (2, 5, 6, 7)).astype(np.uint8)
    path = tmp_path / f"x{suffix}"
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(array, isVector=False), str(path))
    with pytest.raises(ImageError, match="axes='TZYX'"):
        read_image(path)
    image = read_image(path, axes="TZYX")
    np.testing.assert_array_equal(image.array, array)
    assert image.geometry.spacing == (1, 1, 1)


@pytest.mark.parametrize(
    ("line", "is_said"), [("ElementSpacing = 1 1 1\n", False), ("ElementSize = 1 1 1\n", False), ("", True)]
)
def test_a_metaimage_without_a_size_says_so(line: str, is_said: bool, tmp_path: Path) -> None:
    lines = f"ObjectType = Image\nNDims = 3\nelementspacing = 1 2 3\n{line}DimSize = 4 3 2\nElementType = MET_UCHAR\n"
    (tmp_path / "x.mha").write_bytes(f"{lines}ElementDataFile = LOCAL\n".encode() + bytes(24))
    image = read_image(tmp_path / "x.mha")
    assert (image.geometry.spacing, image.geometry.unit) == ((1, 1, 1), "mm")
    assert ["1 mm was taken" in note for note in image.notes] == [True] * is_said


def nrrd(path: Path, *lines: str, data: bytes = bytes(24)) -> Path:
    path.write_bytes("\n".join(["NRRD0004", "type: uchar", "encoding: raw", *lines, "", ""]).encode() + data)
    return path


@pytest.mark.parametrize(
    ("lines", "axes", "size"),
    [
        (["sizes: 4 3 2", "spacings: 1 2 3", "units: \"mm\" \"mm\" \"mm\""], "ZYX", ((3, 2, 1), "mm")),
        (["sizes: 4 3 2", "spacings: 1 2 nan", "kinds: domain domain time", "units: \"um\" \"um\" \"\""], "TYX",
         ((2, 1), "um")),
        (["sizes: 4 3 2", "kinds: domain domain domain"], "ZYX", ((1, 1, 1), "px")),
        (["sizes: 2 4 3", "kinds: vector domain domain"], "YXC", ((1, 1), "px")),
        (["sizes: 8 3"], "YX", ((1, 1), "px")),
        (["sizes: 4 3 2", "space: right-anterior-superior", "space directions: (1,0,0) (0,2,0) (0,0,3)"], "ZYX",
         ((3, 2, 1), "mm")),
    ],
)  # fmt: skip
def test_axes_and_sizes_of_nrrd(lines: list[str], axes: str, size: Any, tmp_path: Path) -> None:
    image = read_image(nrrd(tmp_path / "x.nrrd", f"dimension: {len(lines[0].split()) - 1}", *lines))
    assert (image.axes, (image.geometry.spacing, image.geometry.unit)) == (axes, size)


def test_what_an_nrrd_does_not_say_is_asked_for_or_said(tmp_path: Path) -> None:
    path = nrrd(tmp_path / "x.nrrd", "dimension: 3", "sizes: 4 3 2")
    with pytest.raises(ImageError, match="does not say what"):
        read_image(path)
    assert read_image(path, axes="CYX").axes == "CYX"
    image = read_image(nrrd(path, "dimension: 3", "sizes: 4 3 2", "spacings: 1 2 3"))
    assert "taken to be millimeters" in image.notes[0]


@pytest.mark.parametrize("centerings", ["", "cell cell cell", "??? cell ???", "node node node"])
def test_the_least_values_of_the_axes_of_nrrd_place_it(centerings: str, tmp_path: Path) -> None:
    lines = ["dimension: 3", "sizes: 4 3 2", "spacings: 1 2 3", "axis mins: 10 20 30"]
    path = nrrd(tmp_path / "x.nrrd", *lines, *([f"centerings: {centerings}"] if centerings else []))
    assert read_image(path).geometry.origin == SimpleITK.ReadImage(str(path)).GetOrigin()[::-1]
    assert read_image(path).geometry.origin == ((30, 20, 10) if "node" in centerings else (31.5, 21, 10.5))


@pytest.mark.parametrize(
    "lines",
    [
        ["spacings: 500 500 2", "units: \"um\" \"µm\" \"mm\"", "axis mins: 1000 2000 3", "centerings: node node node"],
        ["space dimension: 3", "space directions: (500,0,0) (0,500,0) (0,0,2)", "space origin: (1000,2000,3)",
         "space units: \"um\" \"um\" \"mm\""],
    ],
)  # fmt: skip
def test_each_axis_of_nrrd_has_its_unit(lines: list[str], tmp_path: Path) -> None:
    image = read_image(nrrd(tmp_path / "x.nrrd", "dimension: 3", "sizes: 4 3 2", *lines))
    assert (image.geometry.spacing, image.geometry.unit, image.notes) == ((2000, 500, 500), "um", ())
    assert image.geometry.origin == (3000, 2000, 1000)


def test_axes_that_an_nrrd_says_nothing_of_are_asked_for_as_those_of_a_volume(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"what they are.*axes='ZYX'"):
        read_image(nrrd(tmp_path / "x.nrrd", "dimension: 3", "sizes: 4 3 2"))


def test_a_plane_of_nrrd_in_a_space_is_not_called_damaged(tmp_path: Path) -> None:
    lines = ["dimension: 2", "sizes: 4 6", "space dimension: 3", "space directions: (1,0,0) (0,1,0)"]
    with pytest.raises(ImageError, match="2 axes in a space of 3 dimensions"):
        read_image(nrrd(tmp_path / "x.nrrd", *lines))


def test_a_unit_of_time_says_nothing_of_space(tmp_path: Path) -> None:
    lines = ["sizes: 4 3 2", "spacings: 2 3 1", "kinds: space space time", 'units: "mm" "cm" "s"']
    image = read_image(nrrd(tmp_path / "x.nrrd", "dimension: 3", *lines))
    assert (image.axes, image.geometry.spacing, image.geometry.unit, image.notes) == ("TYX", (30, 2), "mm", ())


def test_least_values_that_cannot_be_taken_are_said(tmp_path: Path) -> None:
    lines = ["dimension: 3", "sizes: 4 3 2", "spacings: 1 2 -3"]
    image = read_image(nrrd(tmp_path / "x.nrrd", *lines, "axis mins: 10 20 30"))
    assert image.geometry.origin == (0, 0, 0)
    assert "axis mins" in image.notes[-1]
    with pytest.raises(ImageFileError, match="2 axis mins"):
        read_image(nrrd(tmp_path / "x.nrrd", *lines, "axis mins: 10 20"))


def test_the_worlds_of_nrrd_are_turned_into_one(tmp_path: Path) -> None:
    places = {
        space: read_image(
            nrrd(tmp_path / "x.nrrd", "dimension: 3", "sizes: 4 3 2", f"space: {space}",
                 "space directions: (1,0,0) (0,1,0) (0,0,1)", "space origin: (10,20,30)")
        ).geometry
        for space in ("left-posterior-superior", "RAS", "left-anterior-superior", "scanner-xyz")
    }  # fmt: skip
    assert [(p.orientation, p.origin) for p in places.values()] == [
        ("SPL", (30, 20, 10)),
        ("SAR", (30, -20, -10)),
        ("SAL", (30, -20, 10)),
        ("", (30, 20, 10)),
    ]


@pytest.mark.parametrize(
    ("space", "first", "orientation"),
    [
        ("right-anterior-superior-time", (30, -20, -10), "SAR"), ("RAST", (30, -20, -10), "SAR"),
        ("left-anterior-superior-time", (30, -20, 10), "SAL"), ("LAST", (30, -20, 10), "SAL"),
        ("left-posterior-superior-time", (30, 20, 10), "SPL"), ("LPST", (30, 20, 10), "SPL"),
        ("scanner-xyz-time", (30, 20, 10), ""), ("3D-left-handed-time", (30, 20, 10), ""),
    ],
)  # fmt: skip
@pytest.mark.parametrize("is_first", [False, True])
def test_a_world_of_nrrd_with_time_is_the_patient(
    space: str, first: tuple[int, ...], orientation: str, is_first: bool, tmp_path: Path
) -> None:
    sizes, steps = ["4", "3", "2"], ["(1,0,0,0)", "(0,2,0,0)", "(0,0,3,0)"]
    end = 0 if is_first else 3
    sizes.insert(end, "5"), steps.insert(end, "(0,0,0,7)")
    lines = [f"space: {space}", f"sizes: {' '.join(sizes)}", f"space directions: {' '.join(steps)}"]
    units = 'space units: "mm" "mm" "mm" "s"'
    place = "space origin: (10,20,30,0)"
    image = read_image(nrrd(tmp_path / "x.nrrd", "dimension: 4", *lines, units, place, data=bytes(120)))
    assert image.axes == ("ZYXT" if is_first else "TZYX")
    assert (image.geometry.spacing, image.geometry.unit) == ((3, 2, 1), "mm")
    assert (image.geometry.origin, image.geometry.orientation) == (first, orientation)
    assert ["left and right are unknown" in note for note in image.notes] == [True] * (not orientation)


@pytest.mark.parametrize(
    "steps", ["(1,0,0,0) (0,2,0,0) (0,0,3,1) (0,0,0,7)", "(1,0,0,1) (0,2,0,0) (0,0,3,0) (0,0,1,0)"]
)
def test_time_that_is_mixed_with_space_is_refused(steps: str, tmp_path: Path) -> None:
    lines = ["dimension: 4", "sizes: 4 3 2 1", "space: RAST", f"space directions: {steps}"]
    with pytest.raises(ImageError, match="mixes space with its other axes"):
        read_image(nrrd(tmp_path / "x.nrrd", *lines))
    with pytest.raises(ImageFileError, match="its space has four axes"):
        read_image(nrrd(tmp_path / "x.nrrd", "dimension: 3", "sizes: 4 3 2", "space: RAST",
                        "space directions: (1,0,0) (0,2,0) (0,0,3)"))  # fmt: skip


@pytest.mark.parametrize(
    "space", ["right-posterior-superior", "left-posterior-inferior", "RPS", "nonsense", "RAS-time"]
)
def test_a_world_that_nrrd_does_not_know_is_refused(space: str, tmp_path: Path) -> None:
    steps = "space directions: (1,0,0) (0,2,0) (0,0,3)"
    with pytest.raises(ImageError, match=rf"space '{space}', which NRRD does not know.* left-posterior-superior"):
        read_image(nrrd(tmp_path / "x.nrrd", "dimension: 3", "sizes: 4 3 2", f"space: {space}", steps))


@pytest.mark.parametrize("space", ["scanner-xyz", "3D-right-handed", "3D-left-handed"])
def test_a_world_of_nrrd_that_is_no_patient_is_said(space: str, tmp_path: Path) -> None:
    steps = "space directions: (1,0,0) (0,2,0) (0,0,3)"
    image = read_image(nrrd(tmp_path / "x.nrrd", "dimension: 3", "sizes: 4 3 2", f"space: {space}", steps))
    assert not image.geometry.is_anatomical
    assert f"(space {space.lower()}): left and right are unknown." in image.notes[-1]


# Pixels ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_every_type_of_pixel(dtype: str, suffix: str, tmp_path: Path) -> None:
    array = (np.random.default_rng(0).random((4, 5, 6)) * 100).astype(dtype)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(array), str(tmp_path / f"x{suffix}"))
    image = read_image(tmp_path / f"x{suffix}")
    np.testing.assert_array_equal(image.array, array)
    assert image.array.dtype == array.dtype


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_foreign_byte_order(kind: Any, suffix: str, tmp_path: Path) -> None:
    array = np.arange(60, dtype=">i2").reshape(3, 4, 5)
    header = kind.header_class(endianness=">")
    header.set_data_dtype(">i2")
    kind(array.T, np.diag([2.0, 3, 4, 1]), header).to_filename(tmp_path / f"x{suffix}")
    image = read_image(tmp_path / f"x{suffix}")
    np.testing.assert_array_equal(image.array, array)
    assert image.array.dtype == np.int16
    assert image.geometry.spacing == (4, 3, 2)


@pytest.mark.parametrize(
    ("slope", "intercept", "dtype"),
    [(1, -1024, np.int16), (2, 0, np.int32), (0.5, 3, np.float32), (0, 7, np.int16), (np.nan, 7, np.int16)],
)
@pytest.mark.parametrize("is_large", [False, True])
def test_values_are_rescaled_and_stay_integers_where_they_can(
    slope: float, intercept: float, dtype: Any, is_large: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = (np.arange(210, dtype=np.int16) % 90).astype(np.uint8 if slope == 1 else np.int16).reshape(5, 6, 7)
    path = nifti(tmp_path / "x.nii", stored, scl_slope=slope, scl_inter=intercept)
    monkeypatch.setattr(payload, "LARGE", 10 if is_large else 2**20)
    image = read_image(path)
    assert (type(image.array).__name__ == "Rescaled") == (is_large and slope in (1, 2, 0.5))
    expected = stored if not slope > 0 else stored.astype(float) * slope + intercept
    np.testing.assert_allclose(np.asarray(image.array[1:3, ::2]), expected[1:3, ::2])
    assert (
        image.array.dtype == np.asarray(image.array[0]).dtype == (np.uint8 if not slope > 0 and slope == 1 else dtype)
    )


@pytest.mark.parametrize("suffix", [".nii", ".nrrd", ".mha"])
def test_large_plain_volumes_are_mapped(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.random.default_rng(0).integers(0, 99, (5, 6, 7)).astype(np.int16)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(array), str(tmp_path / f"x{suffix}"), False)
    monkeypatch.setattr(payload, "LARGE", 100)
    image = read_image(tmp_path / f"x{suffix}")
    assert isinstance(image.array, np.memmap)
    np.testing.assert_array_equal(image.array, array)


def test_large_compressed_volumes_lie_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.random.default_rng(0).integers(0, 99, (5, 6, 7)).astype(">i2")
    monkeypatch.setattr(payload, "IN_MEMORY", 10)
    monkeypatch.setattr(payload, "_PIECE", 32)
    image = read_image(nifti(tmp_path / "x.nii.gz", array))
    assert type(image.array).__name__ == "ScratchArray"
    np.testing.assert_array_equal(image.array, array)
    rescaled = read_image(nifti(tmp_path / "x.nii.gz", array, scl_slope=1, scl_inter=-1024)).array
    assert type(rescaled).__name__ == "Rescaled"
    np.testing.assert_array_equal(rescaled[2:4], array[2:4] - 1024.0)


def test_gzip_in_several_members_and_with_padding(tmp_path: Path) -> None:
    plain = nifti(tmp_path / "x.nii").read_bytes()
    path = tmp_path / "y.nii.gz"
    path.write_bytes(gzip.compress(plain[:400]) + gzip.compress(plain[400:]) + bytes(100))
    np.testing.assert_array_equal(read_image(path).array, np.arange(210).reshape(5, 6, 7))


# Whole, or refused -------------------------------------------------------------------------------------------------

KINDS = (
    "a.nii",
    "a.nii.gz",
    "two.nii",
    "a.nrrd",
    "plain.nrrd",
    "a.mha",
    "plain.mha",
    "own.nii.gz",
    "own.nrrd",
    "own.mha",
)


def whole(folder: Path, kind: str) -> Path:
    """A small volume of noise, by this program or another."""
    array = np.random.default_rng(0).integers(0, 3000, (6, 11, 12)).astype(np.int16)
    path = folder / kind
    if kind.startswith("own"):
        return write_labels(path, array, axes="ZYX", geometry=PLACE, classes=CLASSES)
    if kind.startswith("two"):
        nibabel.Nifti2Image(array.T, np.eye(4)).to_filename(path)
        return path
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(array), str(path), "plain" not in kind)
    return path


def check_truncations(path: Path, count: int) -> None:
    data = path.read_bytes()
    for length in random.Random(0).sample(range(len(data)), min(count, len(data))):
        path.write_bytes(data[:length])
        with pytest.raises(ImageFileError):
            read_image(path)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("version", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_the_window_that_a_nifti_states_is_in_its_scaled_values(
    version: Any, order: str, name: str, tmp_path: Path
) -> None:
    array = np.random.default_rng(0).integers(0, 3000, (6, 11, 12)).astype(np.int16)
    stored = version(array.T, np.eye(4), version.header_class(endianness=order))
    stored.header["cal_min"], stored.header["cal_max"] = -160, 240
    stored.header.set_slope_inter(0.5, -1000)
    stored.to_filename(tmp_path / name)
    assert read_image(tmp_path / name).window == (-160, 240)


@pytest.mark.parametrize("window", [(0, 0), (240, -160), (np.nan, 240), (0, np.inf)])
def test_a_window_that_is_none_is_left_out(window: tuple[float, float], tmp_path: Path) -> None:
    stored = nibabel.Nifti1Image(np.zeros((4, 5, 6), np.int16), np.eye(4))
    stored.header["cal_min"], stored.header["cal_max"] = window
    stored.to_filename(tmp_path / "a.nii")
    assert read_image(tmp_path / "a.nii").window is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_truncated_volume_is_refused(kind: str, tmp_path: Path) -> None:
    path = whole(tmp_path, kind)
    assert read_image(path).array.shape == (6, 11, 12)
    check_truncations(path, 20)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_300_of_300_truncations_are_refused(kind: str, tmp_path: Path) -> None:
    check_truncations(whole(tmp_path, kind), 300)


@pytest.mark.parametrize("kind", ["a.nii.gz", "own.nii.gz", "own.nrrd", "own.mha"])
def test_a_flipped_bit_in_compressed_voxels_is_refused_or_without_effect(kind: str, tmp_path: Path) -> None:
    path = whole(tmp_path, kind)
    data, array, chance = path.read_bytes(), np.array(read_image(path).array), random.Random(0)
    for _ in range(30):
        flipped = bytearray(data)
        flipped[chance.randrange(len(data) // 3, len(data))] ^= 1 << chance.randrange(8)
        path.write_bytes(flipped)
        with contextlib.suppress(ImageFileError):
            np.testing.assert_array_equal(read_image(path).array, array)


def test_the_checksum_is_compared(tmp_path: Path) -> None:
    path = whole(tmp_path, "a.nii.gz")
    data = bytearray(path.read_bytes())
    data[-8] ^= 1
    path.write_bytes(data)
    with pytest.raises(ImageFileError, match="incorrect data check"):
        read_image(path)


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_volumes_are_read_or_refused_in_words(kind: str, tmp_path: Path) -> None:
    path = whole(tmp_path, kind)
    data, chance = path.read_bytes(), random.Random(1)
    is_gzip = kind.endswith(".gz")
    plain = gzip.decompress(data) if is_gzip else data
    for _ in range(60):
        mutant = bytearray(plain)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(min(len(mutant), 400))
            mutant[at : at + chance.randint(0, 4)] = bytes(chance.randrange(256) for _ in range(chance.randint(0, 4)))
        path.write_bytes(gzip.compress(mutant, 1) if is_gzip else mutant)
        try:
            image = read_image(path)
        except UnetstyleError:
            continue
        assert np.isfinite(image.geometry.affine).all()


@pytest.mark.parametrize("kind", ["x.nii", "x.nii.gz", "x.nrrd", "x.mha", "z.nrrd", "z.mha"])
def test_a_header_that_promises_terabytes_is_refused_before_anything_is_allocated(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, side = tmp_path / kind, 30000
    if ".nii" in kind:
        nifti(path, dim=[3, side, side, side, 1, 1, 1, 1])
    elif "nrrd" in kind:
        encoding = "gzip" if kind[0] == "z" else "raw"
        path.write_text(
            f"NRRD0004\ntype: short\nendian: little\ndimension: 3\nsizes: {side} {side} {side}\n"
            f"kinds: domain domain domain\nencoding: {encoding}\n\n{'x' * 6000}"
        )
    else:
        path.write_text(
            f"NDims = 3\nCompressedData = {kind[0] == 'z'}\nDimSize = {side} {side} {side}\nElementType = MET_SHORT\n"
            f"ElementDataFile = LOCAL\n{'x' * 6000}"
        )
    for make in ("zeros", "empty", "fromfile"):
        monkeypatch.setattr(np, make, lambda *args, **options: pytest.fail("something was allocated"))
    with pytest.raises(ImageFileError, match="54000000000000 bytes of voxels are promised"):
        read_image(path)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".mha", ".mhd", ".nrrd", ".nhdr"])
@pytest.mark.parametrize("packed", [False, True])
def test_more_voxels_than_the_header_says_are_refused(suffix: str, packed: bool, tmp_path: Path) -> None:
    path = tmp_path / f"x{suffix}"
    volume = SimpleITK.GetImageFromArray(np.zeros((20, 40, 50), np.int16))
    SimpleITK.WriteImage(volume, str(path), packed)
    for written, slices, is_whole in ((20, 20, True), (20, 19, False), (20, 10, False)):
        data = gzip.decompress(path.read_bytes()) if suffix == ".nii.gz" else path.read_bytes()
        words = {".mha": b"DimSize = 50 40 %d", ".mhd": b"DimSize = 50 40 %d", ".nii": b"\x03\0\x32\0\x28\0%c\0"}
        word = words.get(suffix.removesuffix(".gz"), b"sizes: 50 40 %d")
        assert word % written in data
        changed = data.replace(word % written, word % slices, 1)
        other = tmp_path / f"other{suffix}"
        other.write_bytes(gzip.compress(changed) if suffix == ".nii.gz" else changed)
        if is_whole:
            assert read_image(other).array.shape == (20, 40, 50)
        else:
            with pytest.raises(ImageFileError, match=f"bytes of voxels or more, but its header says {slices * 4000}"):
                read_image(other)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".mha", ".nrrd"])
def test_a_little_after_the_voxels_says_nothing_against_them(suffix: str, tmp_path: Path) -> None:
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.ones((20, 40, 50), np.int16)), str(tmp_path / f"x{suffix}"))
    data = (tmp_path / f"x{suffix}").read_bytes()
    data = gzip.compress(gzip.decompress(data) + bytes(600)) if suffix == ".nii.gz" else data + bytes(600)
    (tmp_path / f"x{suffix}").write_bytes(data)
    assert np.asarray(read_image(tmp_path / f"x{suffix}").array).all()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"dim": [9, 7, 6, 5, 1, 1, 1, 1]}, "the size"),
        ({"dim": [3, 7, -6, 5, 1, 1, 1, 1]}, "the size 7 x -6 x 5"),
        ({"dim": [1, 210, 1, 1, 1, 1, 1, 1]}, "the size 210"),
        ({"datatype": 5}, "data type 5"),
        ({"bitpix": 8}, "with 8 bits"),
        ({"datatype": 32, "bitpix": 64}, "complex"),
        ({"vox_offset": 8}, "start at byte 8"),
        ({"vox_offset": np.nan}, "start at byte nan"),
        ({"magic": b"ni1"}, "in another file"),
    ],
)
def test_a_header_that_cannot_be_is_refused(fields: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(UnetstyleError, match=words):
        read_image(nifti(tmp_path / "x.nii", **fields))


@pytest.mark.parametrize("name", ["../x.raw", "/etc/hostname", "LIST", "slice%03d.raw 1 3 1", ""])
@pytest.mark.parametrize("suffix", [".mhd", ".nhdr"])
def test_voxels_elsewhere_are_not_read(name: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{suffix}"
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.zeros((3, 4, 5), np.uint8)), str(path), False)
    lines = [
        line for line in path.read_text().splitlines() if not line.lower().startswith(("elementdata", "data file"))
    ]
    path.write_text("\n".join([*lines, f"{'ElementDataFile =' if suffix == '.mhd' else 'data file:'} {name}", ""]))
    with pytest.raises(ImageFileError, match="one file in the same folder"):
        read_image(path)


def test_voxels_beside_a_header_have_to_be_there(tmp_path: Path) -> None:
    path = tmp_path / "x.mhd"
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.zeros((3, 4, 5), np.uint8)), str(path), False)
    assert read_image(path).array.shape == (3, 4, 5)
    (tmp_path / "x.raw").unlink()
    with pytest.raises(ImageFileError, match=r"x\.mhd.*should be in .*x\.raw, which is not there"):
        read_image(path)


MHD = "ObjectType = Image\nNDims = 3\nDimSize = 4 3 2\nElementSpacing = 1 1 1\nBinaryData = True\n"
NHDR = "NRRD0004\ntype: short\ndimension: 3\nsizes: 4 3 2\nendian: little\nencoding: raw\n"


@pytest.mark.parametrize(
    ("name", "header", "before", "dtype"),
    [
        ("x.nrrd", NHDR + "byte skip: -1\n\n", 0, "<i2"),
        ("x.nhdr", NHDR + "byte skip: -1\ndata file: x.raw\n", 0, "<i2"),
        ("x.nhdr", NHDR + "byte skip: 8\ndata file: x.raw\n", 8, "<i2"),
        ("x.mhd", MHD + "ElementType = MET_SHORT\nHeaderSize = -1\nElementDataFile = x.raw\n", 0, "<i2"),
        ("x.mha", MHD + "ElementType = MET_SHORT\nHeaderSize = -1\nElementDataFile = LOCAL\n", 0, "<i2"),
        ("x.mha", MHD + "ElementType = MET_LONG\nElementDataFile = LOCAL\n", 0, "<i4"),
        ("x.mha", MHD + "ElementType = MET_ULONG\nElementDataFile = LOCAL\n", 0, "<u4"),
    ],
)
def test_voxels_start_where_simpleitk_has_them(name: str, header: str, before: int, dtype: str, tmp_path: Path) -> None:
    path, array = tmp_path / name, np.arange(24, dtype=dtype).reshape(2, 3, 4)
    is_local = "x.raw" not in header
    path.write_bytes(header.encode())
    with (path if is_local else tmp_path / "x.raw").open("ab") as file:
        file.write(bytes(before) + array.tobytes())
    expected = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
    np.testing.assert_array_equal(expected, array)
    axes = "ZYX"
    found = np.asarray(read_image(path, axes).array)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == expected.dtype
    voxels = path if is_local else tmp_path / "x.raw"
    whole_file = voxels.read_bytes()
    voxels.write_bytes(whole_file[:-2])
    with pytest.raises(ImageFileError):
        read_image(path, axes)
    if "-1" in header:  # what comes before is not known, so that a file that was cut off could not be told
        cut = len(whole_file) - array.nbytes
        voxels.write_bytes(whole_file[:cut] + bytes(8) + whole_file[cut:])
        with pytest.raises(ImageFileError, match="Write 8 in place of -1"):
            read_image(path, axes)


@pytest.mark.parametrize("line", ["encoding: bzip2", "encoding: hex", "line skip: 3", "type: block", "sizes: 4 3 x"])
def test_an_nrrd_of_an_unknown_kind_is_refused(line: str, tmp_path: Path) -> None:
    path = nrrd(tmp_path / "x.nrrd", "dimension: 3", "sizes: 4 3 2", "kinds: domain domain domain", line)
    with pytest.raises(ImageFileError, match=r"x\.nrrd"):
        read_image(path)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_endless_nesting_in_what_a_header_keeps_is_nothing(suffix: str, tmp_path: Path) -> None:
    path = write_labels(tmp_path / f"x{suffix}", corners_marked()[0], axes="ZYX", geometry=PLACE)
    data = path.read_bytes()
    start = data.index(b"{")
    path.write_bytes(data[:start] + b"[" * 100_000 + data[data.index(b"}\n", start) + 1 :])
    np.testing.assert_array_equal(read_image(path).array, corners_marked()[0])
    assert label_info(path) == {}


# What other programs write beside what was kept -------------------------------------------------------------------


def rewritten(path: Path, place: Geometry) -> Path:
    """The same voxels in another place, as nibabel and SimpleITK write them: with what they do not know."""
    if ".nii" in path.name:
        image = nibabel.load(path)
        affine = np.diag([*RAS, 1]) @ place.affine[[2, 1, 0, 3]][:, [2, 1, 0, 3]]
        nibabel.save(nibabel.Nifti1Image(np.asanyarray(image.dataobj).copy(), affine, image.header), path)
        return path
    volume = SimpleITK.ReadImage(str(path))
    volume.SetSpacing(place.spacing[::-1])
    volume.SetOrigin(place.origin[::-1])
    volume.SetDirection(np.array(place.direction)[::-1, ::-1].ravel().tolist())
    SimpleITK.WriteImage(volume, str(path))
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (3.0, 2.0, 2.0)])
def test_a_place_that_another_program_gave_is_believed(
    suffix: str, spacing: tuple[float, float, float], tmp_path: Path
) -> None:
    labels, where = corners_marked()
    path = write_labels(tmp_path / f"x{suffix}", labels, axes="ZYX", geometry=Geometry(spacing=spacing))
    again = read_image(rewritten(path, PLACE))
    check_worlds(path, PLACE, where)
    assert (again.axes, again.geometry.unit, again.geometry.is_anatomical) == ("ZYX", "mm", True)
    np.testing.assert_allclose(again.geometry.affine, PLACE.affine, atol=1e-4)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_a_file_that_another_program_wrote_as_it_was_is_as_it_was(suffix: str, tmp_path: Path) -> None:
    place = Geometry(spacing=(3.0, 2.0, 1.5), origin=(1 / 3, 2 / 7, 1e5 / 9))
    path = write_labels(tmp_path / f"x{suffix}", corners_marked()[0], axes="ZYX", geometry=place)
    again = read_image(rewritten(path, place)).geometry
    assert (again.spacing, again.origin, again.unit) == (place.spacing, pytest.approx(place.origin), "px")


def test_a_unit_that_another_program_gave_is_believed(tmp_path: Path) -> None:
    path = write_labels(tmp_path / "x.nii.gz", corners_marked()[0], axes="ZYX")
    image = nibabel.load(path)
    image.header.set_xyzt_units("mm")
    nibabel.save(nibabel.Nifti1Image(np.asanyarray(image.dataobj), None, image.header), tmp_path / "y.nii.gz")
    assert read_image(tmp_path / "y.nii.gz").geometry.unit == "mm"


def test_a_plain_place_in_the_patient_is_believed(tmp_path: Path) -> None:
    place = Geometry(spacing=(3.0, 2.0, 2.0), unit="mm")
    path = write_labels(tmp_path / "x.nii.gz", corners_marked()[0], axes="ZYX", geometry=place)
    assert not read_image(path).geometry.is_anatomical
    assert read_image(rewritten(path, place)).geometry.is_anatomical


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_axes_of_voxels_that_were_replaced_are_not_believed(suffix: str, tmp_path: Path) -> None:
    place = Geometry(spacing=(2.0, 2.0), unit="mm")
    path = write_labels(tmp_path / f"x{suffix}", np.zeros((3, 4, 5), np.uint8), axes="TYX", geometry=place)
    if ".nii" in suffix:
        header = nibabel.load(path).header
        nibabel.save(nibabel.Nifti1Image(np.zeros((5, 4, 7), np.uint8), np.eye(4), header), path)
        assert (read_image(path).axes, read_image(path).array.shape) == ("ZYX", (7, 4, 5))
    else:
        data = path.read_bytes()
        path.write_bytes(data.replace(b'"sizes": [5, 4, 3]', b'"sizes": [5, 4, 7]', 1))
        if suffix in (".mha", ".mhd"):
            assert read_image(path).axes == "ZYX"
        else:
            with pytest.raises(ImageError, match="State all axes"):
                read_image(path)


@pytest.mark.parametrize("affine", ["[[1]]", "null", "[1e999, 2]", '"x"', "{}", "[[1, 2], [3]]", f"[[{10**400}]]"])
def test_what_a_header_keeps_may_be_anything(affine: str, tmp_path: Path) -> None:
    path = write_labels(tmp_path / "x.mha", corners_marked()[0], axes="ZYX")
    data = path.read_bytes()
    end = data.index(b"}\n")
    path.write_bytes(data[: data.index(b'"affine": ')] + b'"affine": ' + affine.encode() + data[end:])
    assert read_image(path).geometry.unit == "mm"


# Labels ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", SUFFIXES)
@ONE_FOLDER
@given(highest=st.sampled_from([1, 255, 256, 65535, 65536, 2**24 + 1, 2**31, 2**32 - 1, 2**32 + 1, 2**53]))
def test_ids_come_back_exactly(suffix: str, highest: int, tmp_path: Path) -> None:
    labels = np.array([[[0, highest, highest - 1]]], np.int64)
    path = write_labels(tmp_path / f"x{suffix}", labels, axes="ZYX", geometry=PLACE)
    np.testing.assert_array_equal(read_image(path).array, labels)
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))), labels)
    if ".nii" in suffix:
        np.testing.assert_array_equal(np.asanyarray(nibabel.load(path).dataobj).T, labels)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "labels", [np.array([[2**53 + 1]]), np.array([[-1]]), np.array([[2**64 - 1]], np.uint64), np.array([[1.0]])]
)
def test_ids_that_others_would_round_are_refused_and_the_old_file_stays(
    suffix: str, labels: NDArray[Any], tmp_path: Path
) -> None:
    path = write_labels(tmp_path / f"x{suffix}", np.array([[7]]))
    before = path.read_bytes()
    with pytest.raises(OutputError, match="Could not write"):
        write_labels(path, labels)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == (2 if suffix in APART else 1)
    assert np.array_equal(read_image(path).array, [[7]])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_classes_are_kept_and_the_same_labels_give_the_same_bytes(suffix: str, tmp_path: Path) -> None:
    labels, _ = corners_marked()
    paths = [
        write_labels(tmp_path / name / f"x{suffix}", labels, axes="ZYX", geometry=PLACE, classes=CLASSES)
        for name in ("a", "b")
    ]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    info = label_info(paths[0])
    assert info["classes"] == [{"value": c.value, "name": c.name, "color": c.color} for c in CLASSES]
    assert "not a medical device" in info["intended_use"]


def test_segments_of_slicer_are_classes(tmp_path: Path) -> None:
    path = nrrd(
        tmp_path / "x.seg.nrrd", "dimension: 3", "sizes: 4 3 2", "kinds: domain domain domain",
        "Segment0_Name:=liver", "Segment0_LabelValue:=3", "Segment0_Color:=1 0.5 0", "Segment1_LabelValue:=oops",
        f"Segment2_LabelValue:={'9' * 5000}",
    )  # fmt: skip
    assert label_info(path) == {"output": "areas", "classes": [{"value": 3, "name": "liver", "color": "#ff8000"}]}


def test_an_nrrd_of_areas_has_segments(tmp_path: Path) -> None:
    from tests.core.test_output import result_of

    result = result_of(np.array([[[0, 1, 2]]], np.uint8), axes="ZYX", geometry=PLACE, kind="areas")
    image = SimpleITK.ReadImage(str(write_labels(tmp_path / "x.seg.nrrd", result)))
    assert image.GetMetaData("Segment0_Name") == result.classes[0].name
    assert image.GetMetaData("Segment1_LabelValue") == "2"
    assert image.GetMetaData("Segment0_Color") == "1.000000 0.501961 0.000000"


def test_nothing_about_a_patient_travels(tmp_path: Path) -> None:
    secret = b"DOE^JANE 1970"
    source = nifti(tmp_path / "DOE^JANE 1970.nii", descrip=secret, db_name=b"DOE^JANE", aux_file=secret)
    image = read_image(source)
    for suffix in SUFFIXES:
        path = write_labels(tmp_path / f"x{suffix}", image.array, axes="ZYX", geometry=image.geometry)
        written = b"".join(p.read_bytes() for p in tmp_path.iterdir() if p != source)
        if suffix.endswith("gz"):
            written = gzip.decompress(path.read_bytes())
        assert b"DOE" not in written
        assert "DOE" not in json.dumps(label_info(path))


@pytest.mark.parametrize("suffix", APART)
def test_voxels_beside_a_header_are_replaced_with_it(suffix: str, tmp_path: Path) -> None:
    path = write_labels(tmp_path / f"50% x{suffix}", np.full((2, 3, 4), 1))
    copied = tmp_path / f"copied{suffix}"
    copied.write_bytes(path.read_bytes())
    write_labels(path, np.full((2, 3, 4), 2))
    assert np.unique(read_image(copied, axes="ZYX").array) == [1]  # what it names stays
    copied.unlink()
    write_labels(path, np.full((2, 3, 4), 3))
    write_labels(path, np.full((2, 3, 4), 4))
    write_labels(path, np.full((2, 3, 4), 4))
    assert np.unique(read_image(path, axes="ZYX").array) == [4]
    assert len(list(tmp_path.iterdir())) == 3  # the copied one's voxels, which no version of `path` named at the end


@pytest.mark.parametrize("suffix", APART)
def test_a_header_that_cannot_be_replaced_keeps_its_own_voxels(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_labels(tmp_path / f"x{suffix}", np.full((2, 3, 4), 1))
    replace = Path.replace

    def refused(file: Path, target: Path) -> Path:
        if Path(target) == path:
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace(file, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", refused)
        with pytest.raises(OutputError, match="No space left"):
            write_labels(path, np.full((2, 3, 4), 2))
    assert np.unique(read_image(path, axes="ZYX").array) == [1]


@pytest.mark.parametrize("suffix", APART)
def test_the_picture_that_a_header_of_another_program_named_is_left_alone(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{suffix}"
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.ones((2, 3, 4), np.uint8)), str(path))
    voxels = next(p for p in tmp_path.iterdir() if p != path)
    before = voxels.read_bytes()
    write_labels(path, np.full((2, 3, 4), 2))
    assert voxels.read_bytes() == before


def test_axes_and_place_have_to_fit(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="do not fit"):
        write_labels(tmp_path / "x.nii", np.zeros((2, 3, 4), int), axes="TYX", geometry=PLACE)


def test_a_very_long_volume_is_nifti_2(tmp_path: Path) -> None:
    labels = np.zeros((1, 2, 40000), np.uint8)
    labels[0, 1, 39999] = 3
    path = write_labels(tmp_path / "x.nii.gz", labels, axes="ZYX", geometry=PLACE)
    assert isinstance(nibabel.load(path), nibabel.Nifti2Image)
    np.testing.assert_array_equal(read_image(path).array, labels)
    np.testing.assert_allclose(read_image(path).geometry.affine, PLACE.affine, atol=1e-12)


def test_files_are_known_by_content_and_listed_by_suffix(tmp_path: Path) -> None:
    assert all(is_image_file(f"a{suffix}") for suffix in SUFFIXES)
    assert [medical_suffix(name) for name in ("a.NII.GZ", "a.b.nrrd", "a.gz", "a.tif")] == [".nii.gz", ".nrrd", "", ""]
    renamed = nifti(tmp_path / "x.nii").rename(tmp_path / "Jane.dat")
    assert read_image(renamed).axes == "ZYX"
    (tmp_path / "x.gz").write_bytes(gzip.compress(b"no volume" * 100))
    with pytest.raises(ImageFileError, match="not a picture"):
        read_image(tmp_path / "x.gz")
    (tmp_path / "y.gz").write_bytes(b"\x1f\x8b" + zlib.compress(b"x"))
    with pytest.raises(ImageFileError, match=r"y\.gz is truncated or damaged"):
        read_image(tmp_path / "y.gz")
