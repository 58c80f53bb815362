"""DICOM-SEG holds the same voxels at the same place, and refers to the series and its patient."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unetstyle.core.errors import ImageError, MissingExtraError, OutputError
from napari_unetstyle.core.imaging import dicom
from napari_unetstyle.core.imaging.dicom_seg import Segment, write_segmentation
from napari_unetstyle.core.imaging.geometry import Geometry
from tests.core import dicom_for_tests as made
from tests.core.geometry_for_tests import geometries

highdicom = pytest.importorskip("highdicom")

PLACE = Geometry(spacing=(2.5, 0.75, 0.5), unit="mm", origin=(-40.0, 12.0, 7.0), is_anatomical=True)
SEGMENTS = (
    Segment(value=1, name="anterior", color="#e41a1c"),
    Segment(value=5, name="posterior part", color="#377eb8"),
)


@pytest.fixture
def volume() -> Any:
    return np.random.default_rng(3).integers(0, 3000, (6, 5, 7)).astype(np.int16)


def labels_like(array: Any, seed: int = 0) -> Any:
    labels = np.random.default_rng(seed).choice([0, 1, 5], array.shape, p=[0.7, 0.2, 0.1]).astype(np.uint8)
    labels[0] = labels[-1] = 0  # empty slices are not stored
    return labels


def world_of(path: Path) -> dict[tuple[float, ...], int]:
    """World position XYZ and segment of every labeled voxel, by pydicom alone and the standard's formula."""
    ds = pydicom.dcmread(path)
    frames = ds.pixel_array.reshape(-1, ds.Rows, ds.Columns)
    shared = ds.SharedFunctionalGroupsSequence[0]
    found = {}
    for frame, group in zip(frames, ds.PerFrameFunctionalGroupsSequence, strict=True):
        place = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
        orientation = shared.PlaneOrientationSequence[0].ImageOrientationPatient
        along_row, along_column = np.array(orientation, float).reshape(2, 3)
        down, right = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
        number = int(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        for y, x in np.argwhere(frame):
            found[tuple(np.round(place + along_row * right * x + along_column * down * y, 3))] = number
    return found


def labeled(labels: Any, geometry: Geometry) -> dict[tuple[float, ...], int]:
    index = np.argwhere(labels)
    places = np.round(geometry.to_world(index)[:, ::-1], 3)
    return {tuple(place): {1: 1, 5: 2}[int(labels[tuple(i)])] for place, i in zip(places, index, strict=True)}


def same(one: dict[tuple[float, ...], int], other: dict[tuple[float, ...], int]) -> bool:
    a, b = (np.array(sorted((*place, number) for place, number in points.items())) for points in (one, other))
    if a.shape != b.shape:
        return False
    nearest = [np.abs(b[:, :3] - row[:3]).max(axis=1).argmin() for row in a]
    return bool(np.abs(b[nearest] - a).max() < 2e-3)


@settings(max_examples=10)
@given(place=geometries(), order=st.permutations(range(4)), is_enhanced=st.booleans(), seed=st.integers(0, 9))
def test_voxels_keep_their_place(place: Geometry, order: list[int], is_enhanced: bool, seed: int) -> None:
    volume = np.random.default_rng(seed).integers(0, 99, (4, 5, 6)).astype(np.int16)
    with tempfile.TemporaryDirectory() as name:
        folder, target = Path(name) / "in", Path(name) / "seg.dcm"
        files = [made.enhanced(volume, place, order)] if is_enhanced else made.slices(volume, place)
        made.write(folder, files, seed=seed)
        image = dicom.read_series(folder)
        labels = labels_like(image.array, seed)
        write_segmentation(target, labels, image.geometry, SEGMENTS, folder)
        assert same(world_of(target), labeled(labels, image.geometry))
        volume_back = highdicom.seg.segread(target).get_volume(combine_segments=True)
    back = {
        tuple(np.round(volume_back.affine[:3, :3] @ i + volume_back.affine[:3, 3], 3)): int(volume_back.array[tuple(i)])
        for i in np.argwhere(volume_back.array)
    }
    assert same(back, labeled(labels, image.geometry))


@pytest.mark.parametrize("series", [1, 2])
def test_labels_of_one_time_of_a_multi_frame_file_refer_to_its_frames(series: int, tmp_path: Path, volume: Any) -> None:
    ds = made.enhanced(np.concatenate([volume, volume + 1]), PLACE, order=[5, 0, 7, 2, 9, 4, 11, 6, 1, 8, 3, 10])
    for group in ds.PerFrameFunctionalGroupsSequence:
        content = group.FrameContentSequence[0]
        number = content.DimensionIndexValues[1] - 1
        content.DimensionIndexValues = [1 + number // 6, 1 + number % 6]
        group.PlanePositionSequence[0].ImagePositionPatient = made.decimals(made.place_of_slice(PLACE, number % 6))
    folder = made.write(tmp_path / "in", [ds])
    image = dicom.read_series(folder, series)
    labels = labels_like(image.array)
    path = write_segmentation(tmp_path / "seg.dcm", labels, image.geometry, SEGMENTS, folder, series=series)
    assert same(world_of(path), labeled(labels, image.geometry))
    for group in pydicom.dcmread(path).PerFrameFunctionalGroupsSequence:
        (source,) = group.DerivationImageSequence[0].SourceImageSequence
        meant = ds.PerFrameFunctionalGroupsSequence[int(source.ReferencedFrameNumber) - 1]
        assert meant.FrameContentSequence[0].DimensionIndexValues[0] == series
        places = [one.PlanePositionSequence[0].ImagePositionPatient for one in (meant, group)]
        np.testing.assert_allclose(*np.array(places, float), atol=1e-6)


def test_labels_in_the_folder_of_their_series_are_left_out(tmp_path: Path, volume: Any) -> None:
    place = Geometry(spacing=(3.0, 1.0, 1.0), unit="mm", is_anatomical=True)
    folder = made.write_volume(tmp_path, volume, place)
    read = dicom.read_series(folder)
    segments = [Segment(value=1, name="a", color="#ff0000"), Segment(value=5, name="b", color="#00ff00")]
    path = write_segmentation(folder / "labels.dcm", labels_like(volume), read.geometry, segments, folder)
    assert np.array_equal(dicom.read_series(folder).array, read.array)
    assert len(dicom.find_series(folder)) == 1
    for named in (path, [path]):
        with pytest.raises(ImageError, match="holds labels"):
            dicom.find_series(named)


@pytest.fixture
def written(tmp_path: Path, volume: Any) -> tuple[Path, Any]:
    folder = made.write_volume(tmp_path / "in", volume, PLACE)
    image = dicom.read_series(folder)
    path = write_segmentation(
        tmp_path / "seg.dcm",
        labels_like(volume),
        image.geometry,
        SEGMENTS,
        folder,
        algorithm="hippocampus",
        version="1.0",
    )
    return folder, pydicom.dcmread(path)


def test_it_carries_patient_study_and_frame_of_reference(written: tuple[Path, Any]) -> None:
    folder, seg = written
    source = pydicom.dcmread(next(folder.iterdir()))
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert seg[keyword].value == source[keyword].value
    assert seg.SeriesInstanceUID != source.SeriesInstanceUID
    assert seg.Modality == "SEG"


def test_it_refers_to_every_slice(written: tuple[Path, Any]) -> None:
    folder, seg = written
    referenced = seg.ReferencedSeriesSequence[0]
    assert referenced.SeriesInstanceUID == "1.2.3.4"
    uids = {item.ReferencedSOPInstanceUID for item in referenced.ReferencedInstanceSequence}
    assert uids == {pydicom.dcmread(file).SOPInstanceUID for file in folder.iterdir()}
    positions = {
        tuple(map(float, pydicom.dcmread(file).ImagePositionPatient)): pydicom.dcmread(file).SOPInstanceUID
        for file in folder.iterdir()
    }
    for group in seg.PerFrameFunctionalGroupsSequence:
        place = tuple(map(float, group.PlanePositionSequence[0].ImagePositionPatient))
        derived = group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        assert positions[place] == derived


def test_it_names_and_colors_its_segments(written: tuple[Path, Any]) -> None:
    first, second = written[1].SegmentSequence
    assert (first.SegmentLabel, second.SegmentLabel) == ("anterior", "posterior part")
    assert second.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "posterior part"
    assert first.SegmentationAlgorithmIdentificationSequence[0].AlgorithmName == "hippocampus"
    assert "RecommendedDisplayCIELabValue" in first


def test_no_label_at_all_is_stored_too(tmp_path: Path, volume: Any) -> None:
    folder = made.write_volume(tmp_path / "in", volume, PLACE)
    path = write_segmentation(tmp_path / "seg.dcm", np.zeros_like(volume), PLACE, SEGMENTS, folder)
    assert not pydicom.dcmread(path).pixel_array.any()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"labels": np.zeros((6, 5, 8), np.uint8)}, "do not fit the series"),
        ({"geometry": Geometry(spacing=(2.5, 0.75, 0.5), unit="mm", origin=(-40, 12, 7.5))}, "0.5 mm beside"),
        ({"geometry": Geometry(spacing=(2.5, 0.75, 0.5), unit="px", origin=(-40, 12, 7))}, "beside the series"),
        ({"labels": np.full((6, 5, 7), 9)}, "label 9 has no name"),
        ({"segments": ()}, "0 segments"),
    ],
)
def test_labels_of_another_series_are_refused(change: dict[str, Any], said: str, tmp_path: Path, volume: Any) -> None:
    folder = made.write_volume(tmp_path / "in", volume, PLACE)
    given_: dict[str, Any] = {
        "labels": np.zeros((6, 5, 7), np.uint8),
        "geometry": PLACE,
        "segments": SEGMENTS,
        **change,
    }
    with pytest.raises(OutputError, match=said):
        write_segmentation(tmp_path / "seg.dcm", source=folder, **given_)
    assert not (tmp_path / "seg.dcm").exists()


def test_a_picture_without_a_place_is_refused(tmp_path: Path, volume: Any) -> None:
    ds = made.header(modality="DX")
    made.set_pixels(ds, volume[0])
    folder = made.write(tmp_path / "in", [ds])
    with pytest.raises(OutputError, match="where it lies"):
        write_segmentation(tmp_path / "seg.dcm", volume[:1], PLACE, SEGMENTS, folder)


def test_without_highdicom_the_extra_is_named(tmp_path: Path, volume: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(MissingExtraError, match=r"napari-unetstyle\[dicom\]"):
        write_segmentation(tmp_path / "seg.dcm", volume, PLACE, SEGMENTS, tmp_path)


def test_a_source_that_states_little_is_enough(tmp_path: Path, volume: Any) -> None:
    def strip(ds: Any, i: int) -> None:
        for keyword in (*made.PATIENT, "StudyDate", "StudyTime", "PositionReferenceIndicator", "SliceThickness"):
            del ds[keyword]

    folder = made.write_volume(tmp_path / "in", volume, PLACE, change=strip)
    path = write_segmentation(tmp_path / "seg.dcm", labels_like(volume), PLACE, SEGMENTS, folder)
    assert pydicom.dcmread(path).PatientName == ""
