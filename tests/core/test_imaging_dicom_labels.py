"""DICOM-SEG is read back as it was written: values, names, colors and place, whatever its frames leave out."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from napari_unetstyle.core import read_image, write_labels
from napari_unetstyle.core.annotation.masks import find_pairs
from napari_unetstyle.core.errors import ImageError, ImageFileError, OptionError, UnetstyleError
from napari_unetstyle.core.imaging import dicom_labels
from napari_unetstyle.core.imaging.dicom_labels import on_grid
from napari_unetstyle.core.imaging.dicom_seg import Segment, write_segmentation
from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.models.spec import ClassSpec
from napari_unetstyle.core.segmentation.compare import common_geometry, read_label_pair
from napari_unetstyle.core.segmentation.folder_inputs import pictures_in
from napari_unetstyle.core.segmentation.output import label_info
from tests.core import dicom_for_tests as made
from tests.core.geometry_for_tests import placed

highdicom = pytest.importorskip("highdicom")

NEAR = 1e-4  # mm
SHAPE = (7, 5, 6)
PLACE = Geometry(spacing=(2.5, 0.75, 0.5), unit="mm", origin=(-40.0, 12.0, 7.0), is_anatomical=True)
CLASSES = (
    ClassSpec(value=1, name="liver", color="#e41a1c"),
    ClassSpec(value=5, name="Größe (links)", color="#377eb8"),
    ClassSpec(value=700, name="x" * 63, color="#000000"),
)


def phantom(shape: tuple[int, ...] = SHAPE) -> Any:
    """Labels that look the same from no two sides; the first, the last and a middle slice are empty."""
    labels = np.zeros(shape, np.uint16)
    labels[1, :2, :4], labels[2, 1, 2:], labels[2, 3:, 0] = 1, 5, 700
    labels[-2, -1, 1:4] = 5
    return labels


def series(folder: Path, place: Geometry = PLACE, shape: tuple[int, ...] = SHAPE, **options: Any) -> Path:
    voxels: Any = np.random.default_rng(0).integers(0, 3000, shape).astype(np.int16)
    return made.write_volume(folder, voxels, place, **options)


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The phantom as a segmentation, beside its series."""
    return written(tmp_path_factory.mktemp("labels"), phantom())


@pytest.fixture
def path(made_once: Path, tmp_path: Path) -> Path:
    """The same in a place of its own."""
    return Path(shutil.copytree(made_once.parent, tmp_path, dirs_exist_ok=True)) / made_once.name


def written(folder: Path, labels: Any, place: Geometry = PLACE, **options: Any) -> Path:
    """A segmentation of a series that is written beside it."""
    source = series(folder / "series", place, labels.shape)
    grid = read_image(source)
    array = on_grid_of(grid.geometry, labels, place)
    options = {"classes": CLASSES, "output": "areas", **options}
    return write_labels(folder / "seg.dcm", array, axes="ZYX", geometry=grid.geometry, source=source, **options)


def on_grid_of(grid: Geometry, labels: Any, place: Geometry) -> Any:
    """DICOM has its slices along their normal, whichever way they were given."""
    return labels if np.linalg.norm(np.subtract(grid.origin, place.origin)) < NEAR else labels[::-1]


def changed(path: Path, change: Callable[[Any], None]) -> Path:
    ds = pydicom.dcmread(path)
    change(ds)
    target = path.with_name("changed.dcm")
    ds.save_as(target)
    return target


def reordered(ds: Any, order: list[int]) -> None:
    frames = ds.pixel_array.reshape(-1, ds.Rows, ds.Columns)[order]
    bits = np.packbits(frames.ravel(), bitorder="little").tobytes()
    ds.PixelData = bits + b"\0" * (len(bits) % 2)
    ds.PerFrameFunctionalGroupsSequence = [ds.PerFrameFunctionalGroupsSequence[i] for i in order]
    ds.NumberOfFrames = len(order)


def test_every_orientation_comes_back(tmp_path: Path, repeats: Callable[[int], int]) -> None:
    """All of them with ``--long``, else two."""
    for number in range(48) if repeats(1) > 1 else (18, 31):
        check_orientation(number, tmp_path / str(number))


def check_orientation(number: int, folder: Path) -> None:
    path = written(folder, phantom(), placed(number))
    back, grid = read_image(path), read_image(folder / "series")
    assert (back.axes, back.geometry.unit, back.geometry.is_anatomical) == ("ZYX", "mm", True)
    assert back.array.shape == (5, *SHAPE[1:])  # without the empty slices at the ends
    voxels = placed(number).to_world(np.argwhere(phantom()))
    found = back.geometry.to_world(np.argwhere(back.array))
    apart = np.abs(found[:, np.newaxis] - voxels).max(-1)
    assert len(found) == len(voxels)
    assert max(apart.min(0).max(), apart.min(1).max()) < NEAR
    nearest = apart.argmin(1)
    assert np.array_equal(back.array[np.nonzero(back.array)], phantom()[np.nonzero(phantom())][nearest])
    np.testing.assert_allclose(back.geometry.direction, grid.geometry.direction, atol=1e-6)
    whole = on_grid(back, grid.geometry, grid.label_shape)
    assert np.array_equal(whole.array, on_grid_of(grid.geometry, phantom(), placed(number)))
    assert whole.geometry == grid.geometry


def test_values_names_and_colors_come_back(path: Path) -> None:
    info = label_info(path)
    assert info == {"output": "areas", "classes": [c.model_dump() for c in CLASSES]}
    back = read_image(path)
    assert back.array.dtype == np.uint16
    assert np.array_equal(back.array, phantom()[1:-1])


def test_objects_keep_their_numbers(tmp_path: Path) -> None:
    labels = phantom().astype(np.int64)
    labels[labels == 700] = 2**32 + 1
    path = written(tmp_path, labels, classes=(), output="objects")
    assert label_info(path) == {"output": "objects", "classes": []}
    assert np.array_equal(read_image(path).array, labels[1:-1])


def test_segments_of_other_programs_have_their_numbers(path: Path) -> None:
    def change(ds: Any) -> None:
        for number, item in zip((2, 3, 9), ds.SegmentSequence, strict=True):
            item.SegmentNumber = number
            item.SegmentedPropertyTypeCodeSequence[0].CodingSchemeDesignator = "SCT"
            del item.RecommendedDisplayCIELabValue
        for group in ds.PerFrameFunctionalGroupsSequence:
            item = group.SegmentIdentificationSequence[0]
            item.ReferencedSegmentNumber = {1: 2, 2: 3, 3: 9}[item.ReferencedSegmentNumber]

    path = changed(path, change)
    back = read_image(path)
    renumbered = np.select([phantom() == 1, phantom() == 5, phantom() == 700], [2, 3, 9])
    assert np.array_equal(back.array, renumbered[1:-1])
    classes = label_info(path)["classes"]
    assert [row["value"] for row in classes] == [2, 3, 9]
    assert len({row["color"] for row in classes}) == 3


@pytest.mark.parametrize("seed", range(2))
def test_frames_may_come_in_any_order(path: Path, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(pydicom.dcmread(path).NumberOfFrames).tolist()
    shuffled = changed(path, lambda ds: reordered(ds, order))
    assert np.array_equal(read_image(shuffled).array, read_image(path).array)
    assert read_image(shuffled).geometry == read_image(path).geometry


@pytest.mark.parametrize("stated", ["SpacingBetweenSlices", "SliceThickness", ""])
def test_slices_that_are_left_out_are_empty(tmp_path: Path, stated: str) -> None:
    """Also where the file does not say how far apart slices are: two neighbors do."""
    labels = np.zeros((12, 4, 5), np.uint8)
    labels[2], labels[3, 1], labels[9, 2:] = 1, 1, 1

    def change(ds: Any) -> None:
        measures = ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
        for keyword in {"SpacingBetweenSlices", "SliceThickness"} - {stated}:
            del measures[keyword]

    back = read_image(changed(written(tmp_path, labels, classes=CLASSES[:1]), change))
    assert np.array_equal(back.array, labels[2:10])
    np.testing.assert_allclose(back.geometry.spacing, PLACE.spacing)
    np.testing.assert_allclose(back.geometry.origin, PLACE.to_world((2, 0, 0)))


def test_a_distance_of_slices_that_is_only_likely_is_said(tmp_path: Path) -> None:
    labels = np.zeros((12, 4, 5), np.uint8)
    labels[2], labels[4], labels[8] = 1, 1, 1

    def change(ds: Any) -> None:
        del ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices

    path = written(tmp_path, labels, classes=CLASSES[:1])
    assert read_image(path).notes == ()
    assert "there may be slices without any" in " ".join(read_image(changed(path, change)).notes)


def test_slices_of_a_slightly_uneven_series_keep_their_thickness(tmp_path: Path) -> None:
    def shift(ds: Any, i: int) -> None:
        ds.ImagePositionPatient = made.decimals(made.place_of_slice(PLACE, i) + 0.1 * (i % 2) * normal)

    normal = made.place_of_slice(PLACE, 1) - made.place_of_slice(PLACE, 0)
    normal /= np.linalg.norm(normal)
    source = series(tmp_path / "series", PLACE, change=shift)
    grid, labels = read_image(source), np.zeros(SHAPE, np.uint8)
    labels[1], labels[3] = 1, 1
    options: dict[str, Any] = {"axes": "ZYX", "geometry": grid.geometry, "classes": CLASSES[:1], "output": "areas"}
    back = read_image(write_labels(tmp_path / "seg.dcm", labels, source=source, **options))
    assert np.array_equal(back.array, labels[1:4])
    np.testing.assert_allclose(back.geometry.spacing, grid.geometry.spacing, rtol=0.05)


def test_a_single_slice_is_as_thick_as_it_says(tmp_path: Path) -> None:
    labels = np.zeros(SHAPE, np.uint8)
    labels[4, 2, 1:3] = 1
    back = read_image(written(tmp_path, labels, classes=CLASSES[:1]))
    assert np.array_equal(back.array, labels[4:5])
    np.testing.assert_allclose(back.geometry.spacing, PLACE.spacing)


def test_without_any_label_the_grid_is_whole(tmp_path: Path) -> None:
    back = read_image(written(tmp_path, np.zeros(SHAPE, np.uint8)))
    assert back.array.shape == SHAPE
    assert not np.any(back.array)


def by_highdicom(folder: Path, masks: Any, kind: str, **options: Any) -> Path:
    """A segmentation that highdicom writes itself."""
    source = [pydicom.dcmread(file) for file in sorted(series(folder / "series").iterdir())]
    source.sort(key=lambda ds: ds.ImagePositionPatient[2])
    described = [
        highdicom.seg.SegmentDescription(
            segment_number=i,
            segment_label=f"part {i}",
            segmented_property_category=highdicom.sr.CodedConcept("123037004", "SCT", "Anatomical Structure"),
            segmented_property_type=highdicom.sr.CodedConcept("10200004", "SCT", "Liver"),
            algorithm_type="MANUAL",
        )
        for i in (1, 2)
    ]
    seg = highdicom.seg.Segmentation(
        source_images=source,
        pixel_array=masks,
        segmentation_type=kind,
        segment_descriptions=described,
        series_instance_uid=highdicom.UID(),
        series_number=9,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="x",
        manufacturer_model_name="x",
        software_versions="x",
        device_serial_number="x",
        **options,
    )
    path = folder / "theirs.dcm"
    seg.save_as(path)
    return path


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2.5"])
def test_a_label_map_is_read(tmp_path: Path, syntax: str) -> None:
    labels = (phantom() > 0).astype(np.uint8) + (phantom() > 5)
    path = by_highdicom(tmp_path, labels, "LABELMAP", transfer_syntax_uid=syntax)
    back = read_image(path)
    assert np.array_equal(back.array, labels if len(back.array) == len(labels) else labels[1:-1])
    assert [row["name"] for row in label_info(path)["classes"]] == ["part 1", "part 2"]


def test_overlapping_segments_are_refused(tmp_path: Path) -> None:
    masks = np.stack([phantom() > 0, phantom() > 4], axis=-1).astype(np.uint8)
    path = by_highdicom(tmp_path, masks, "BINARY")
    with pytest.raises(ImageError, match=r"segments that overlap \(1 and 2\)"):
        read_image(path)
    assert len(label_info(path)["classes"]) == 2


def test_probabilities_are_refused(tmp_path: Path) -> None:
    path = by_highdicom(tmp_path, np.stack([phantom() / 1000] * 2, axis=-1), "FRACTIONAL")
    with pytest.raises(ImageError, match="fractional"):
        read_image(path)


def twice(ds: Any) -> None:
    reordered(ds, [0, *range(ds.NumberOfFrames)])


def aside(ds: Any) -> None:
    ds.PerFrameFunctionalGroupsSequence[-1].PlanePositionSequence[0].ImagePositionPatient[0] += 3


def uneven(ds: Any) -> None:
    places = [group.PlanePositionSequence[0].ImagePositionPatient for group in groups(ds)]
    last = max(float(place[2]) for place in places)
    for place in places:
        place[2] += 1.3 * (float(place[2]) == last)


def far_away(ds: Any) -> None:
    ds.PerFrameFunctionalGroupsSequence[-1].PlanePositionSequence[0].ImagePositionPatient[2] = 2.5e9


def turned(ds: Any) -> None:
    orientation = ds.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence
    for i, group in enumerate(groups(ds)):
        group.PlaneOrientationSequence = [pydicom.Dataset()]
        group.PlaneOrientationSequence[0].ImageOrientationPatient = (
            [0, 1, 0, 0, 0, 1] if i == 0 else orientation[0].ImageOrientationPatient
        )


def unplaced(ds: Any) -> None:
    for group in groups(ds):
        del group.PlanePositionSequence


def undescribed(ds: Any) -> None:
    del ds.SegmentSequence[0]


def tiled(ds: Any) -> None:
    ds.TotalPixelMatrixRows = ds.TotalPixelMatrixColumns = 1000


def cut(ds: Any) -> None:
    ds.PixelData = ds.PixelData[:2]


def groups(ds: Any) -> Any:
    return ds.PerFrameFunctionalGroupsSequence


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (twice, "several frames of one segment"),
        (aside, "gantry tilt"),
        (uneven, "distance between slices"),
        (far_away, "so far apart"),
        (turned, "several directions"),
        (unplaced, "do not say where they lie"),
        (undescribed, "does not describe"),
        (tiled, "slide in tiles"),
        (cut, "truncated or damaged"),
    ],
)
def test_what_makes_no_labels_is_refused_in_words(path: Path, change: Any, said: str) -> None:
    with pytest.raises(UnetstyleError, match=said):
        read_image(changed(path, change))


def test_every_truncation_is_refused(path: Path, repeats: Callable[[int], int]) -> None:
    data = path.read_bytes()
    short = path.with_name("short.dcm")
    for length in np.linspace(140, len(data) - 1, repeats(12)).astype(int):
        short.write_bytes(data[:length])
        with pytest.raises(ImageFileError):
            read_image(short)


def test_nothing_of_the_patient_is_told(
    path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    said = []
    with caplog.at_level(logging.DEBUG):
        image = read_image(path)
        said.append(f"{image!r} {image.name} {image.notes} {label_info(path)}")
        for change in (twice, aside, uneven, far_away, turned, unplaced, undescribed, tiled, cut):
            with pytest.raises(UnetstyleError) as caught:
                read_image(changed(path, change))
            said.append(str(caught.value))
    told = " ".join([*said, caplog.text, *capfd.readouterr()]).lower()
    assert [word for word in ("canary", "nominata", "19331103", "4711") if word in told] == []


# Where labels are taken ------------------------------------------------------------------------------------------


def test_the_labels_are_compared_on_the_grid_of_the_other_file(tmp_path: Path) -> None:
    place = placed(31)
    path = written(tmp_path, phantom(), place)
    grid = read_image(tmp_path / "series")
    array = on_grid_of(grid.geometry, phantom(), place)
    mirrored = Geometry.from_affine(
        grid.geometry.affine @ np.array([[1, 0, 0, 0], [0, -1, 0, SHAPE[1] - 1], [0, 0, 1, 0], [0, 0, 0, 1]]),
        "mm",
        is_anatomical=True,
    )
    for name, labels, where in (("a", array, grid.geometry), ("b", array[:, ::-1], mirrored)):
        truth = write_labels(tmp_path / f"{name}.nii.gz", labels, axes="ZYX", geometry=where)
        for pair in ((path, truth), (truth, path)):
            first, second = read_label_pair(*pair)
            assert np.array_equal(first.array, second.array)
            assert common_geometry(first, second).unit == "mm"
            assert [note for image in (first, second) for note in image.notes if "taken as empty" in note]


def test_labels_beside_the_grid_are_not_compared(path: Path, tmp_path: Path) -> None:
    beside = Geometry(spacing=PLACE.spacing, unit="mm", origin=(-40, 12.2, 7), is_anatomical=True)
    truth = write_labels(tmp_path / "a.nii.gz", phantom(), axes="ZYX", geometry=beside)
    with pytest.raises(ImageError, match="same shape"):
        common_geometry(*read_label_pair(path, truth))
    cropped = write_labels(tmp_path / "b.nii.gz", phantom()[:3], axes="ZYX", geometry=PLACE)
    with pytest.raises(ImageError, match="same shape"):
        common_geometry(*read_label_pair(path, cropped))


def test_two_segmentations_are_compared_where_either_has_slices(path: Path, tmp_path: Path) -> None:
    other = np.zeros(SHAPE, np.uint8)
    other[4:, 1] = 1
    first, second = read_label_pair(path, written(tmp_path / "b", other, classes=CLASSES[:1]))
    assert np.array_equal(first.array, phantom()[1:])
    assert np.array_equal(second.array, other[1:])
    assert common_geometry(first, second) == first.geometry
    np.testing.assert_allclose(first.geometry.origin, PLACE.to_world((1, 0, 0)))


def test_segmentations_are_masks_of_their_series(path: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        series(tmp_path / "scans" / name)
        (tmp_path / "labels").mkdir(exist_ok=True)
        (tmp_path / "labels" / f"{name}_seg.dcm").write_bytes(path.read_bytes())
    pairs = find_pairs(tmp_path / "scans", tmp_path / "labels")
    assert [(p.picture.name, p.masks.name) for p in pairs] == [("one", "one_seg.dcm"), ("two", "two_seg.dcm")]
    for pair in pairs:
        assert np.array_equal(pair.correction("areas", CLASSES).labels, phantom())


def test_labels_beside_slices_do_not_hide_them(path: Path, tmp_path: Path) -> None:
    path.rename(tmp_path / "series" / "AA.dcm")
    assert list(pictures_in(tmp_path)) == [tmp_path / "series"]


def test_labels_are_no_picture(path: Path, tmp_path: Path) -> None:
    from napari_unetstyle.core import segment

    with pytest.raises(ImageError, match="a picture is needed"):
        segment(path)
    with pytest.raises(OptionError, match="holds labels"):
        read_image(path, series=1)
    (tmp_path / "alone").mkdir()
    path.rename(tmp_path / "alone" / "seg.dcm")
    with pytest.raises(ImageFileError, match="the file itself"):
        read_image(tmp_path / "alone")


def test_it_needs_no_highdicom(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "highdicom", None)
    assert np.array_equal(read_image(path).array, phantom()[1:-1])


def test_long_names_keep_their_values(tmp_path: Path) -> None:
    source = series(tmp_path / "series")
    segments = [Segment(value=value, name="n" * 70, color="#00ff7f") for value in (3, 45678)]
    labels = np.where(phantom() == 1, 3, np.where(phantom() > 0, 45678, 0))
    path = write_segmentation(tmp_path / "seg.dcm", labels, PLACE, segments, source)
    assert sorted(np.unique(read_image(path).array)) == [0, 3, 45678]
    assert dicom_labels.segmentation_info(path)["classes"][1]["color"] == "#00ff7f"
