"""DICOM series become volumes that lie where the scanner says, or are refused in words."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import struct
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from napari_unetstyle.core import read_image
from napari_unetstyle.core.errors import (
    AxesUnknownError,
    ImageError,
    ImageFileError,
    MissingExtraError,
    OptionError,
    UnetstyleError,
)
from napari_unetstyle.core.imaging import dicom, dicom_file, dicom_pixels
from napari_unetstyle.core.imaging.files import read_levels
from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.imaging.image import Image
from tests.core import dicom_for_tests as made
from tests.core.geometry_for_tests import AXIS_ORIENTATIONS, geometries

PLACE = Geometry(spacing=(2.5, 0.75, 0.5), unit="mm", origin=(-40.0, 12.0, 7.0), is_anatomical=True)
TEST_FILES = Path(pydicom.__file__).parent / "data" / "test_files"


@pytest.fixture
def volume() -> np.ndarray[Any, Any]:
    return np.random.default_rng(3).integers(0, 3000, (6, 5, 7)).astype(np.uint16)


def corners(shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    return np.array(list(itertools.product(*[(0, n - 1) for n in shape])))


def refusal(folder: Path) -> str:
    with pytest.raises(UnetstyleError) as caught:
        dicom.read_series(folder)
    return str(caught.value)


# Geometry --------------------------------------------------------------------------------------------------------


def check_against_simpleitk(folder: Path) -> None:
    sitk = pytest.importorskip("SimpleITK")
    image = dicom.read_series(folder)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    other = reader.Execute()
    assert np.array_equal(sitk.GetArrayFromImage(other), np.asarray(image.array))
    for corner in corners(image.array.shape):
        theirs = other.TransformIndexToPhysicalPoint([int(i) for i in corner[::-1]])
        assert np.abs(image.geometry.to_world(corner) - theirs[::-1]).max() < 1e-4
    assert image.geometry.is_anatomical


@pytest.mark.parametrize("orientation", AXIS_ORIENTATIONS[::5], ids=str)
def test_axis_orientations_agree_with_simpleitk(orientation: Any, tmp_path: Path, volume: Any) -> None:
    place = Geometry(spacing=(2.5, 0.75, 0.5), unit="mm", origin=(-40, 12, 7), direction=orientation)
    check_against_simpleitk(made.write_volume(tmp_path, volume, place))


@settings(max_examples=12)
@given(place=geometries(), seed=st.integers(0, 99))
def test_oblique_series_agree_with_simpleitk(place: Geometry, seed: int) -> None:
    volume = np.random.default_rng(seed).integers(0, 3000, (4, 3, 5)).astype(np.int16)
    with tempfile.TemporaryDirectory() as folder:
        check_against_simpleitk(made.write(Path(folder), made.slices(volume, place), seed=seed))


@settings(max_examples=12)
@given(place=geometries(), order=st.permutations(range(4)))
def test_every_voxel_lies_where_it_was_scanned(place: Geometry, order: list[int]) -> None:
    volume = np.arange(4 * 3 * 5, dtype=np.int16).reshape(4, 3, 5)
    with tempfile.TemporaryDirectory() as folder:
        single, multi = Path(folder) / "single", Path(folder) / "multi"
        made.write_volume(single, volume, place)
        made.write(multi, [made.enhanced(volume, place, order)])
        images = [dicom.read_series(single), dicom.read_series(multi)]
    assert np.array_equal(np.asarray(images[0].array) * 2 - 1000, images[1].array)
    for image in images:
        index = np.argwhere(np.ones(volume.shape))
        scanned = place.to_world(index)
        found = image.geometry.to_world(index)
        values = np.asarray(image.array).ravel()
        own = (values + 1000) // 2 if image is images[1] else values
        assert np.abs(found - scanned[own]).max() < 1e-4


def test_slices_are_ordered_by_position_not_by_name_or_number(tmp_path: Path, volume: Any) -> None:
    def misnumber(ds: Any, i: int) -> None:
        ds.InstanceNumber = [4, 1, 6, 2, 5, 3][i]

    made.write(tmp_path, made.slices(volume, PLACE, misnumber), seed=5)
    image = dicom.read_series(tmp_path)
    assert np.array_equal(image.array, volume)
    assert image.geometry == PLACE
    assert (image.axes, image.name, image.notes) == ("ZYX", "CT 3", ())


def test_a_single_slice_keeps_its_place(tmp_path: Path, volume: Any) -> None:
    made.write(tmp_path, made.slices(volume, PLACE)[2:3])
    image = dicom.read_series(next(tmp_path.iterdir()))
    assert image.array.shape == (1, 5, 7)
    assert image.geometry.spacing == PLACE.spacing
    assert np.allclose(image.geometry.origin, PLACE.to_world((2, 0, 0)))


# What makes no volume --------------------------------------------------------------------------------------------


def tilted(degrees: float) -> Any:
    def tilt(ds: Any, i: int) -> None:
        x, y, z = map(float, ds.ImagePositionPatient)
        ds.ImagePositionPatient = made.decimals((x, y + i * 2.5 * np.tan(np.radians(degrees)), z))

    return tilt


def test_gantry_tilt_is_refused_with_its_angle(tmp_path: Path, volume: Any) -> None:
    message = refusal(made.write_volume(tmp_path, volume, PLACE, change=tilted(15)))
    assert "gantry tilt of 15.0 degrees" in message


def test_a_shift_of_less_than_half_a_pixel_is_said(tmp_path: Path, volume: Any) -> None:
    image = dicom.read_series(made.write_volume(tmp_path, volume, PLACE, change=tilted(0.5)))
    assert "shifted" in " ".join(image.notes)


@pytest.mark.parametrize(
    ("gone", "said"), [([2], "1 of 6 slices are missing (between slices 2 and 3"), ([2, 3], "2 of 6")]
)
def test_missing_slices_are_refused_with_their_place(gone: list[int], said: str, tmp_path: Path, volume: Any) -> None:
    files = [ds for i, ds in enumerate(made.slices(volume, PLACE)) if i not in gone]
    assert said in refusal(made.write(tmp_path, files))


def test_a_series_cut_at_its_end_is_said_where_the_file_knows(tmp_path: Path, volume: Any) -> None:
    made.write(tmp_path, made.slices(volume, PLACE, ImagesInAcquisition=6)[:4])
    assert "6 slices, of which this series holds 4" in " ".join(dicom.read_series(tmp_path).notes)


def every(volume: Any, numbers: list[int], step: float = 2.5, **values: Any) -> list[Any]:
    """Slices with these numbers, so far apart, of 2.5 mm thickness."""

    def change(ds: Any, i: int) -> None:
        ds.InstanceNumber = numbers[i]
        ds.SliceThickness = 2.5

    place = dataclasses.replace(PLACE, spacing=(step, 0.75, 0.5))
    return made.slices(volume[: len(numbers)], place, change=change, **values)


@pytest.mark.parametrize(
    ("numbers", "step", "values", "said"),
    [
        ([1, 2, 3, 4], 2.5, {}, ""),
        ([4, 3, 2, 1], 2.5, {}, ""),
        ([1, 2, 3, 4], 3.5, {}, ""),  # a gap as in 2D MR
        ([1, 2, 3, 4], 5.0, {"SpacingBetweenSlices": 5}, ""),
        ([1, 2, 3, 4], 5.0, {"SpacingBetweenSlices": 2.5}, ""),  # some files state the gap alone
        ([7, 3, 9, 1], 2.5, {}, ""),  # they count something else
        ([1, 1, 1, 1], 2.5, {}, ""),
        ([1, 2, 3, 4], 5.0, {}, "5 mm apart and are 2.5 mm thick"),
        ([1, 2], 50.0, {}, "50 mm apart and are 2.5 mm thick"),
        ([1, 2, 3, 4], 9.0, {"SpacingBetweenSlices": 3}, "but their files say 3 mm"),
        ([1, 3, 5, 7], 2.5, {}, "in steps of 2"),
        ([1, 2, 3, 9], 2.5, {}, "a gap from 3 to 9, though they lie evenly"),
        ([9, 3, 2, 1], 2.5, {}, "a gap from 9 to 3, though they lie evenly"),
        ([3, 4, 5], 2.5, {}, "numbered from 3 on"),
    ],
)
def test_slices_that_may_be_missing_are_said(
    numbers: list[int], step: float, values: Any, said: str, tmp_path: Path, volume: Any
) -> None:
    notes = dicom.read_series(made.write(tmp_path, every(volume, numbers, step, **values))).notes
    assert len(notes) == bool(said)
    assert said in " ".join(notes)


def test_one_slice_out_of_a_series_says_so(tmp_path: Path, volume: Any) -> None:
    files = made.slices(volume, PLACE)
    first, third = (dicom.read_series(made.write(tmp_path / str(i), [files[i]])) for i in (0, 2))
    assert first.notes == ()
    assert "one slice, number 3 of its series" in " ".join(third.notes)


def test_numbers_of_one_of_several_echoes_are_not_counted(tmp_path: Path, volume: Any) -> None:
    for echo in (0, 1):
        files = every(volume, [2 * i + echo + 1 for i in range(4)], EchoTime=10 * (echo + 1), Modality="MR")
        made.write(tmp_path, files, seed=echo)
    assert [dicom.read_series(tmp_path, number).notes for number in (1, 2)] == [(), ()]


def test_of_the_packaged_series_the_one_that_was_cut_is_said() -> None:
    said = {}
    for folder in {path.parent for path in (TEST_FILES / "dicomdirtests").rglob("*") if path.is_file()}:
        with contextlib.suppress(UnetstyleError):
            series = [one for one in dicom.find_series(folder) if one.count > 1 and not one.problem()]
            said[folder.name] = [note for one in series for note in dicom.image_of(one).notes]
    assert [name for name, notes in said.items() if notes] == ["CT5N"]  # 5 slices of a series, numbered from 6 on


def test_slices_at_one_place_are_refused(tmp_path: Path, volume: Any) -> None:
    files = made.slices(volume, PLACE)
    message = refusal(made.write(tmp_path, [*files, *made.slices(volume[:1], PLACE)]))
    assert "1 of 7 slices lie where another one lies (number 2 by position)" in message


def moved(by: Any) -> Any:
    def move(ds: Any, i: int) -> None:
        x, y, z = map(float, ds.ImagePositionPatient)
        ds.ImagePositionPatient = made.decimals((x, y, z + by(i)))

    return move


def test_uneven_distances_are_refused(tmp_path: Path, volume: Any) -> None:
    message = refusal(made.write_volume(tmp_path, volume, PLACE, change=moved(lambda i: 0.2 * i * i)))
    assert "varies from 2.7 to 4.3 mm" in message


def test_slightly_uneven_distances_are_said(tmp_path: Path, volume: Any) -> None:
    image = dicom.read_series(made.write_volume(tmp_path, volume, PLACE, change=moved(lambda i: 0.1 * (i % 2))))
    assert "varies from 2.4 to 2.6 mm" in image.notes[0]


def test_distances_that_drift_are_refused(tmp_path: Path) -> None:
    volume = np.zeros((40, 5, 7), np.int16)
    folder = made.write_volume(tmp_path, volume, PLACE, change=moved(lambda i: 0.01 * i * i))
    assert "drifts" in refusal(folder) or "varies" in refusal(folder)


def test_a_volume_without_a_pixel_size_says_so(tmp_path: Path, volume: Any) -> None:
    def forget(ds: Any, i: int) -> None:
        del ds.PixelSpacing

    image = dicom.read_series(made.write_volume(tmp_path, volume, PLACE, change=forget))
    assert "no PixelSpacing" in " ".join(image.notes)
    assert not image.geometry.is_physical


def test_slices_without_a_place_are_not_stacked(tmp_path: Path, volume: Any) -> None:
    def forget(ds: Any, i: int) -> None:
        del ds.ImagePositionPatient, ds.ImageOrientationPatient

    made.write_volume(tmp_path, volume, PLACE, change=forget)
    assert len(dicom.find_series(tmp_path)) == 6
    image = dicom.read_series(next(tmp_path.iterdir()))
    assert (image.axes, image.geometry) == ("YX", Geometry(spacing=(0.75, 0.5), unit="mm"))


def test_directions_not_at_right_angles_are_refused(tmp_path: Path, volume: Any) -> None:
    def shear(ds: Any, i: int) -> None:
        ds.ImageOrientationPatient = [1, 0, 0, 0.1, 0.995, 0]

    assert "right angles" in refusal(made.write_volume(tmp_path, volume, PLACE, change=shear))


# Several series --------------------------------------------------------------------------------------------------


def two_series(folder: Path, volume: Any) -> Path:
    made.write(folder / "a", made.slices(volume, PLACE))
    made.write(
        folder / "b", made.slices(volume[:3] + 1, PLACE, SeriesInstanceUID="1.2.3.5", SeriesNumber=1, Modality="MR")
    )
    (folder / "readme.txt").write_text("not DICOM")
    return folder


def test_several_series_are_listed_and_one_can_be_chosen(tmp_path: Path, volume: Any) -> None:
    folder = two_series(tmp_path, volume)
    found = dicom.find_series(folder)
    assert [(one.number, one.modality, one.count, one.size) for one in found] == [
        (1, "MR", 3, (5, 7)),
        (2, "CT", 6, (5, 7)),
    ]
    assert found[1].description == made.PATIENT["SeriesDescription"]
    message = refusal(folder)
    assert "1: MR (series 1), 3 slices of 5 x 7; 2: CT (series 3), 6 slices of 5 x 7" in message
    assert "series=1" in message
    assert "--series 1" in message
    assert "canary" not in message.lower()
    assert np.array_equal(dicom.read_series(folder, series=2).array, volume)
    assert np.array_equal(dicom.read_series(folder, series="1.2.3.5").array, volume[:3] + 1)
    with pytest.raises(ImageError, match="7 is none of them"):
        dicom.read_series(folder, series=7)


def test_echoes_at_the_same_place_are_series_of_their_own(tmp_path: Path, volume: Any) -> None:
    for echo in (5.5, 11.0):
        made.write(tmp_path / str(echo), made.slices(volume + int(echo), PLACE, EchoTime=echo))
    found = dicom.find_series(tmp_path)
    assert [one.part for one in found] == ["echo 1 of 2", "echo 2 of 2"]
    assert np.array_equal(dicom.read_series(tmp_path, series=2).array, volume + 11)


def test_an_echo_with_fewer_slices_than_another_says_so(tmp_path: Path, volume: Any) -> None:
    for echo, count in ((1, 6), (2, 4)):
        made.write(tmp_path / str(echo), made.slices(volume[:count], PLACE, EchoTime=echo, Modality="MR"))
    whole, cut = (dicom.read_series(tmp_path, number) for number in (1, 2))
    assert not whole.notes
    assert cut.array.shape[0] == 4
    assert "holds 6 slices, and this one 4" in " ".join(cut.notes)


def test_mosaics_of_slices_are_refused(tmp_path: Path, volume: Any) -> None:
    kind = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]
    folder = made.write(tmp_path, made.slices(volume[:1], PLACE, ImageType=kind, Modality="MR"))
    assert "mosaic of slices" in refusal(folder)
    assert "mosaic of slices" in dicom.find_series(folder)[0].problem()


def test_times_in_one_file_are_series_of_their_own(tmp_path: Path, volume: Any) -> None:
    ds = made.enhanced(np.concatenate([volume, volume]), PLACE)
    for i, group in enumerate(ds.PerFrameFunctionalGroupsSequence):
        group.PlanePositionSequence[0].ImagePositionPatient = made.decimals(made.place_of_slice(PLACE, i % 6))
        group.FrameContentSequence[0].DimensionIndexValues = [1 + i // 6, 1 + i % 6]
    made.write(tmp_path, [ds])
    assert [(one.part, one.count) for one in dicom.find_series(tmp_path)] == [
        ("dimension 1 1 of 2", 6),
        ("dimension 1 2 of 2", 6),
    ]


def test_frames_of_unknown_meaning_are_asked_for(tmp_path: Path, volume: Any) -> None:
    ds = made.header(modality="XA")
    made.set_pixels(ds, volume, frames=6)
    made.write(tmp_path, [ds])
    assert "'TYX' for times" in refusal(tmp_path)
    assert dicom.read_series(tmp_path, axes="TYX").axes == "TYX"
    assert dicom.read_series(tmp_path, axes="zyx").axes == "ZYX"
    ds.FrameIncrementPointer, ds.FrameTime = 0x00181063, 40
    made.write(tmp_path, [ds])
    assert dicom.read_series(tmp_path).axes == "TYX"


def test_the_choices_that_frames_leave_are_named(tmp_path: Path, volume: Any) -> None:
    path = tmp_path / "x.dcm"
    ds = made.header(modality="XA")
    made.set_pixels(ds, volume, frames=6)
    ds.save_as(path, enforce_file_format=True)
    gray = ("ZYX", "TYX"), volume.shape
    made.set_pixels(ds, np.zeros((2, 5, 7 * 3), np.uint8), frames=2)
    ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 7, 3, "RGB", 0
    ds.save_as(tmp_path / "rgb.dcm", enforce_file_format=True)
    for file, (choices, shape) in {path: gray, tmp_path / "rgb.dcm": (("ZYXC", "TYXC"), (2, 5, 7, 3))}.items():
        with pytest.raises(AxesUnknownError) as caught:
            read_image(file)
        assert (caught.value.choices, caught.value.shape) == (choices, shape)
        assert [read_image(file, axes).array.shape for axes in choices] == [shape, shape]


# Values ----------------------------------------------------------------------------------------------------------


def test_rescale_is_applied_slice_by_slice(tmp_path: Path, volume: Any) -> None:
    def scale(ds: Any, i: int) -> None:
        ds.RescaleSlope, ds.RescaleIntercept = 1 + i % 2, -1024

    image = dicom.read_series(made.write_volume(tmp_path, volume, PLACE, change=scale))
    factors = np.array([1, 2, 1, 2, 1, 2])[:, np.newaxis, np.newaxis]
    assert image.array.dtype == np.int16
    assert np.array_equal(image.array, volume.astype(int) * factors - 1024)


def test_a_slice_that_does_not_say_how_it_is_scaled_is_refused(tmp_path: Path, volume: Any) -> None:
    def forget(ds: Any, i: int) -> None:
        if i == 1:
            made.unscaled(ds)

    made.write_volume(tmp_path, volume, PLACE, change=forget, RescaleIntercept=-1024)
    assert "1 of 6 slices do not say how their values are scaled" in refusal(tmp_path)
    assert "1 of 6" in dicom.find_series(tmp_path)[0].problem()


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_a_ct_that_does_not_say_how_it_is_scaled_is_as_stored_and_that_is_said(
    modality: str, tmp_path: Path, volume: Any
) -> None:
    image = dicom.read_series(made.write_volume(tmp_path, volume, PLACE, change=made.unscaled, modality=modality))
    assert np.array_equal(image.array, volume)
    assert ["Hounsfield units (no RescaleSlope)" in note for note in image.notes] == [True] * (modality == "CT")


@settings(max_examples=30)
@given(
    dtype=st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4"]),
    slopes=st.lists(st.sampled_from([1, 2, -1, 7, 300, 2**40]), min_size=3, max_size=3),
    intercept=st.integers(-(2**33), 2**33),
    data=st.data(),
)
def test_integers_stay_exact_or_become_floats(dtype: str, slopes: list[int], intercept: int, data: Any) -> None:
    limits = np.iinfo(dtype)
    ends = sorted(data.draw(st.lists(st.integers(limits.min, limits.max), min_size=2, max_size=2)))
    values = np.linspace(*ends, 3 * 4).round().astype(dtype).reshape(3, 2, 2)
    stored = make_planes(slopes, intercept)
    found = dicom_pixels._rescaled(values.copy(), stored)
    exact = [[int(v) * slope + intercept for v in frame.ravel()] for frame, slope in zip(values, slopes, strict=True)]
    if found.dtype.kind == "f":
        assert np.allclose(found.reshape(3, 4), np.array(exact, float), rtol=1e-5, atol=1e-5 * np.abs(exact).max())
    else:
        assert found.reshape(3, 4).tolist() == exact


def make_planes(slopes: list[int], intercept: int) -> Any:
    return [SimpleNamespace(slope=float(slope), intercept=float(intercept)) for slope in slopes]


def test_fractions_become_float32(tmp_path: Path, volume: Any) -> None:
    def scale(ds: Any, i: int) -> None:
        ds.RescaleSlope, ds.RescaleIntercept = made.decimals([0.25 * (i + 1), 0.5])

    image = dicom.read_series(made.write_volume(tmp_path, volume, PLACE, change=scale))
    factors = 0.25 * (np.arange(6) + 1)[:, np.newaxis, np.newaxis]
    assert image.array.dtype == np.float32
    assert np.allclose(image.array, volume * factors + 0.5)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4"])
@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless, JPEG2000Lossless])
def test_stored_types_are_read_as_pydicom_reads_them(dtype: str, syntax: Any, tmp_path: Path) -> None:
    if syntax in (RLELossless, JPEG2000Lossless) and dtype[1] == "4":
        pytest.skip("32 bits are not compressed")
    if syntax == JPEG2000Lossless:
        pytest.importorskip("openjpeg")
    limits = np.iinfo(dtype)
    values = np.random.default_rng(1).integers(limits.min, limits.max, (2, 40, 48), dtype=dtype, endpoint=True)

    def store(ds: Any, i: int) -> None:
        if syntax == ExplicitVRBigEndian:
            ds.set_original_encoding(False, False)
            ds.PixelData = values[i].astype(values.dtype.newbyteorder(">")).tobytes()
            if values.itemsize == 1:  # 8-bit values are swapped in pairs there
                ds.PixelData, ds["PixelData"].VR = values[i].view(np.uint16).byteswap().tobytes(), "OW"
        if syntax in (RLELossless, JPEG2000Lossless):
            ds.compress(syntax)
        ds.file_meta.TransferSyntaxUID = syntax

    folder = made.write(tmp_path, made.slices(values, PLACE, store))
    image = dicom.read_series(folder)
    assert image.array.dtype == np.dtype(dtype)
    assert np.array_equal(image.array, values)


@pytest.mark.parametrize("signed", [False, True])
def test_bits_that_do_not_count_are_dropped(signed: bool, tmp_path: Path) -> None:
    values = np.arange(-2048 if signed else 0, 2048 if signed else 4096, 273)[:15].reshape(1, 3, 5)
    stored = (values.astype(np.int32) & 0x0FFF | 0xA000).astype(np.uint16)

    def store(ds: Any, i: int) -> None:
        ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 12, 11, int(signed)

    image = dicom.read_series(made.write_volume(tmp_path, stored, PLACE, change=store))
    assert np.array_equal(image.array, values)


@pytest.mark.parametrize(("dtype", "total"), [("u2", 4095), ("i2", -1)])
def test_white_as_zero_is_turned_over_and_said(dtype: str, total: int, tmp_path: Path, volume: Any) -> None:
    values = (volume.astype(int) - (1500 if dtype == "i2" else 0)).astype(dtype)

    def invert(ds: Any, i: int) -> None:
        ds.PhotometricInterpretation = "MONOCHROME1"
        ds.BitsStored, ds.HighBit = 12, 11

    image = dicom.read_series(made.write_volume(tmp_path, values, PLACE, change=invert))
    assert np.array_equal(image.array, total - values.astype(int))
    assert "MONOCHROME1" in " ".join(image.notes)


@pytest.mark.parametrize("keyword", ["RescaleSlope", "DoseGridScaling"])
def test_values_that_are_scaled_by_nothing_are_refused(keyword: str, tmp_path: Path, volume: Any) -> None:
    change = made.unscaled if keyword == "DoseGridScaling" else lambda ds, i: None
    made.write_volume(tmp_path, volume, PLACE, change=change, **{keyword: 0})
    assert "scaled by 0" in refusal(tmp_path)


def test_quantities_are_not_turned_over(tmp_path: Path, volume: Any) -> None:
    def invert(ds: Any, i: int) -> None:
        ds.PhotometricInterpretation, ds.RescaleSlope, ds.RescaleIntercept = "MONOCHROME1", 1, -1024

    image = dicom.read_series(made.write_volume(tmp_path, volume, PLACE, change=invert))
    assert np.array_equal(image.array, volume.astype(int) - 1024)
    assert "values are those that the file states" in " ".join(image.notes)


def test_colors_are_the_last_axis(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 255, (4, 6, 3)).astype(np.uint8)
    ds = made.header(modality="US")
    made.set_pixels(ds, values[..., 0])
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 1
    ds.PixelData = np.moveaxis(values, -1, 0).tobytes()
    made.write(tmp_path, [ds])
    image = dicom.read_series(tmp_path)
    assert image.axes == "YXC"
    assert np.array_equal(image.array, values)


# Damage ----------------------------------------------------------------------------------------------------------


def truncations(data: bytes, count: int, seed: int) -> list[int]:
    """Lengths, half of them near the pixels and the end."""
    rng = np.random.default_rng(seed)
    return [*rng.integers(1, len(data), count - count // 2), *(len(data) - rng.integers(1, 40, count // 2))]


def check_truncated(tmp_path: Path, ds: Any, count: int, seed: int) -> None:
    path = tmp_path / "one.dcm"
    ds.save_as(path, enforce_file_format=True)
    data = path.read_bytes()
    assert dicom.read_series(path).array.size
    for length in truncations(data, count, seed):
        path.write_bytes(data[:length])
        with pytest.raises(UnetstyleError):
            dicom.read_series(path)


def kinds_of_files(volume: Any) -> dict[str, Any]:
    plain, rle = made.slices(volume[:2], PLACE)
    rle.compress(RLELossless)
    return {"plain": plain, "rle": rle, "enhanced": made.enhanced(volume, PLACE)}


@pytest.mark.parametrize("kind", ["plain", "rle", "enhanced"])
def test_truncated_files_are_refused(kind: str, tmp_path: Path, volume: Any) -> None:
    check_truncated(tmp_path, kinds_of_files(volume)[kind], 40, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "rle", "enhanced"])
def test_300_truncations_are_refused(kind: str, tmp_path: Path, volume: Any) -> None:
    check_truncated(tmp_path, kinds_of_files(volume)[kind], 300, seed=0)


def test_a_truncated_last_slice_does_not_shorten_the_volume(tmp_path: Path, volume: Any) -> None:
    made.write_volume(tmp_path, volume, PLACE)
    last = max(tmp_path.iterdir(), key=lambda file: float(pydicom.dcmread(file).ImagePositionPatient[2]))
    whole = last.read_bytes()
    for length in (0, 100, 300, 700, len(whole) - 1):
        last.write_bytes(whole[:length])
        with pytest.raises(ImageFileError, match=last.name):
            dicom.read_series(tmp_path)


@pytest.mark.parametrize(
    "changes", [{"Rows": 60000, "Columns": 60000}, {"NumberOfFrames": 2**31 - 1}, {"Rows": 0}, {"BitsStored": 17}]
)
@pytest.mark.parametrize("is_compressed", [False, True])
def test_headers_that_lie_about_size_allocate_nothing(
    changes: dict[str, int], is_compressed: bool, tmp_path: Path, volume: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ds = made.slices(volume[:1], PLACE)[0]
    if is_compressed:
        ds.compress(RLELossless)
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    made.write(tmp_path, [ds])
    monkeypatch.setattr(dicom, "read_pixels", lambda planes: pytest.fail("pixels were read"))
    assert "damaged" in refusal(tmp_path)


def test_a_length_of_the_header_that_cannot_be_is_refused(tmp_path: Path, volume: Any) -> None:
    path = tmp_path / "one.dcm"
    made.enhanced(volume, PLACE).save_as(path, enforce_file_format=True)
    data = bytearray(path.read_bytes())
    assert data[132:140] == b"\x02\0\0\0UL\x04\0"  # the length of the file's meta information
    data[138] = 1
    path.write_bytes(data)
    assert "damaged" in refusal(path)


@settings(max_examples=60)
@given(data=st.data())
def test_mutated_files_are_read_or_refused(data: st.DataObject) -> None:
    volume = np.arange(2 * 3 * 4, dtype=np.int16).reshape(2, 3, 4)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.dcm"
        made.enhanced(volume, PLACE).save_as(path, enforce_file_format=True)
        bytes_ = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            place = int(data.draw(st.floats(0, 1, exclude_max=True)) * len(bytes_))
            bytes_[place] = data.draw(st.integers(0, 255))
        path.write_bytes(bytes_)
        try:
            image = dicom.read_series(path)
        except UnetstyleError as error:
            said, size = str(error).lower(), 0
        else:
            said, size = " ".join((image.name, *image.notes)).lower(), image.array.size
        assert "canary" not in said
        assert size <= 2 * 3 * 4


JPEG_2000 = TEST_FILES / "MR_small_jp2klossless.dcm"
JPEG_LS = TEST_FILES / "MR_small_jpeg_ls_lossless.dcm"
JPEG = TEST_FILES / "SC_rgb_jpeg_dcmtk.dcm"


@pytest.mark.parametrize(
    ("path", "marker", "place", "size"),
    [
        (JPEG_2000, b"\xff\x4f\xff\x51", 8, struct.pack(">LL", 2**31, 2**31)),
        (JPEG_LS, b"\xff\xf7", 5, struct.pack(">HH", 65535, 65535)),
        (JPEG, b"\xff\xc0", 5, struct.pack(">HH", 65535, 65535)),
    ],
)
def test_codestreams_that_lie_about_size_are_not_decoded(
    path: Path, marker: bytes, place: int, size: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytearray(path.read_bytes())
    start = data.index(marker) + place
    assert bytes(data[start : start + len(size)]) != size
    data[start : start + len(size)] = size
    lying = tmp_path / "lying.dcm"
    lying.write_bytes(data)
    monkeypatch.setattr(dicom, "read_pixels", lambda planes: pytest.fail("pixels were read"))
    assert "not of the size" in refusal(lying)


def test_damaged_codestreams_never_end_this_process(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for path in (JPEG_2000, JPEG_LS, JPEG):
        data = path.read_bytes()
        for _ in range(2):
            mutant = bytearray(data)
            for place in rng.integers(len(data) - 2000, len(data) - 20, 5):
                mutant[place] = rng.integers(256)
            (tmp_path / "mutant.dcm").write_bytes(mutant)
            try:
                image = dicom.read_series(tmp_path / "mutant.dcm")
            except UnetstyleError:
                continue
            assert image.array.shape[-1] in (3, 64)


def test_a_missing_decoder_is_named(tmp_path: Path, volume: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ds = made.slices(volume[:1], PLACE)[0]
    ds.compress(RLELossless)
    made.write(tmp_path, [ds])
    from pydicom.pixels.decoders.base import Decoder

    monkeypatch.setattr(Decoder, "is_available", property(lambda self: False))
    with pytest.raises(MissingExtraError, match=r"RLE Lossless.*napari-unetstyle\[dicom\]"):
        dicom.read_series(tmp_path)


def test_an_unknown_transfer_syntax_is_named(tmp_path: Path, volume: Any) -> None:
    ds = made.slices(volume[:1], PLACE)[0]
    ds.compress(RLELossless)
    ds.file_meta.TransferSyntaxUID = pydicom.uid.MPEG2MPML
    made.write(tmp_path, [ds])
    with pytest.raises(ImageFileError, match="MPEG2"):
        dicom.read_series(tmp_path)


@pytest.mark.parametrize("names", ["IM{}", "IM.{}", "1.2.840.{}", "slice{}.img"])
@pytest.mark.parametrize("preamble", [b"\0" * 128, b"II*\0" + b"x" * 124])
def test_a_slice_cut_before_its_mark_is_missed(names: str, preamble: bytes, tmp_path: Path, volume: Any) -> None:
    folder = made.write_volume(tmp_path, volume, PLACE)
    for number, path in enumerate(sorted(folder.glob("*.dcm"))):
        path.write_bytes(preamble + path.read_bytes()[dicom_file.PREAMBLE :])
        path.rename(folder / names.format(number))
    assert np.array_equal(np.asarray(read_image(folder).array), volume)
    last = max(folder.iterdir(), key=lambda path: pydicom.dcmread(path).ImagePositionPatient[2])
    data = last.read_bytes()
    for cut in (*(data[:length] for length in (0, 1, 50, 128, 131, 132, 140, 300, len(data) - 1)), bytes(len(data))):
        last.write_bytes(cut)
        with pytest.raises(ImageFileError, match=last.name):
            read_image(folder)
        with pytest.raises(ImageFileError, match=last.name):
            dicom.find_series(folder)


def test_other_files_beside_slices_stop_nothing(tmp_path: Path, volume: Any) -> None:
    folder = made.write_volume(tmp_path, volume, PLACE)
    for number, path in enumerate(sorted(folder.glob("*.dcm"))):
        path.rename(folder / f"IM{number}")
    (folder / "README").write_text("Head, without contrast.")
    (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1" + bytes(500))
    (folder / "._IM3").write_bytes(b"")
    (folder / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0" + bytes(500))
    (folder / "empty.txt").write_bytes(b"")
    (folder / "mask.raw").write_bytes(bytes(500))
    assert np.array_equal(np.asarray(read_image(folder).array), volume)


def test_folders_without_pictures_say_so(tmp_path: Path) -> None:
    assert "holds no DICOM pictures" in refusal(tmp_path)
    assert "no file" in refusal(tmp_path / "missing.dcm")


# The files that come with pydicom ---------------------------------------------------------------------------------


REFUSED = {
    "ExplVR_BigEndNoMeta.dcm",
    "ExplVR_LitEndNoMeta.dcm",
    "JPEG-lossy.dcm",
    "JPEG2000-embedded-sequence-delimiter.dcm",
    "MR_truncated.dcm",
    "SC_rgb_jpeg.dcm",
    "SC_rgb_rle_16bit_2frame.dcm",
    "SC_rgb_rle_2frame.dcm",
    "SC_rgb_rle_32bit_2frame.dcm",
    "UN_sequence.dcm",
    "badVR.dcm",
    "empty_charset_LEI.dcm",
    "image_dfl.dcm",
    "liver_1frame.dcm",
    "liver_expb_1frame.dcm",
    "meta_missing_tsyntax.dcm",
    "nested_priv_SQ.dcm",
    "no_meta.dcm",
    "no_meta_group_length.dcm",
    "priv_SQ.dcm",
    "reportsi.dcm",
    "reportsi_with_empty_number_tags.dcm",
    "rtplan.dcm",
    "rtplan_truncated.dcm",
    "rtstruct.dcm",
    "test-SR.dcm",
    "waveform_ecg.dcm",
}  # labels, reports, plans, deflated, damaged, or frames of unknown meaning


@pytest.mark.parametrize("path", sorted(TEST_FILES.glob("*.dcm")), ids=lambda path: path.name)
def test_packaged_files_are_read_as_pydicom_reads_them_or_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if path not in (JPEG_2000, JPEG_LS, JPEG):  # others are decoded here, as a process for each takes its time
        monkeypatch.setattr(
            dicom_pixels, "_SAFE", [pydicom.dcmread(path, force=True).file_meta.get("TransferSyntaxUID")]
        )
    if path.name in REFUSED:
        with pytest.raises(UnetstyleError) as caught:
            read_image(path)
        assert len(str(caught.value)) > 40
        return
    image = read_image(path)
    reference = pydicom.dcmread(path, force=True)
    if reference.PhotometricInterpretation == "PALETTE COLOR":
        assert (image.axes, image.array.shape[-1]) == ("YXC", 3)
        return
    values = values_of(reference)
    assert np.allclose(np.asarray(image.array).reshape(values.shape), values, rtol=1e-6)


def values_of(reference: Any) -> Any:
    slope, intercept = float(reference.get("RescaleSlope", 1)), float(reference.get("RescaleIntercept", 0))
    return reference.pixel_array.astype(np.float64) * float(reference.get("DoseGridScaling", slope)) + intercept


@pytest.mark.parametrize("start", [b"II*\0", b"MM\0*", b"II+\0", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"NRRD0004"])
def test_a_preamble_may_hold_anything(start: bytes, tmp_path: Path, volume: Any) -> None:
    folder = made.write_volume(tmp_path, volume, PLACE)
    for path in folder.iterdir():
        path.write_bytes((start + b"\x08\0\0\0" * 32)[: dicom_file.PREAMBLE] + path.read_bytes()[dicom_file.PREAMBLE :])
    assert np.array_equal(np.asarray(read_image(folder).array), volume)
    for path in folder.iterdir():
        assert read_image(path).array.shape == (1, *volume.shape[1:])
        assert read_image(path, series=1).axes == "ZYX"
        assert read_levels(path) == ()
        with pytest.raises(OptionError, match="no level"):
            read_image(path, level=1)


MEDIA = [path for path in (TEST_FILES / "dicomdirtests").iterdir() if path.is_dir()]


@pytest.mark.parametrize("folder", sorted(MEDIA), ids=lambda path: path.name)
def test_packaged_media_are_read_or_refused_by_the_front_door(folder: Path) -> None:
    for path in (path for path in folder.rglob("*") if path.is_file()):
        if (image := read_or_refused(path)) is not None:
            assert np.allclose(np.asarray(image.array).squeeze(), values_of(pydicom.dcmread(path)), rtol=1e-6)
    read_or_refused(folder)


def read_or_refused(path: Path) -> Image | None:
    try:
        return read_image(path)
    except UnetstyleError as error:
        said = str(error)
    assert len(said) > 40
    assert "directory" not in said, "it is no TIFF"
    return None
