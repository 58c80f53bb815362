"""The whole road: DICOM in, labels out as NIfTI and DICOM-SEG. The marked side stays, the patient does not."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import logging
import warnings
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import tifffile
import zarr

from napari_unetstyle.core import KeptStyle, ModelStore, StyleBank, read_image, run, segment, write_labels
from napari_unetstyle.core.annotation.changes import Changes
from napari_unetstyle.core.annotation.corrections import Correction
from napari_unetstyle.core.annotation.journal_header import Header
from napari_unetstyle.core.annotation.project import Project
from napari_unetstyle.core.annotation.recorder import Recorder, changed_places
from napari_unetstyle.core.errors import OutputError, UnetstyleError
from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.models.spec import ClassSpec
from napari_unetstyle.core.segmentation.folder import iter_segment_folder
from napari_unetstyle.core.segmentation.folder_inputs import find_entries
from napari_unetstyle.core.segmentation.folder_report import FolderFiles
from napari_unetstyle.core.segmentation.options import SegmentOptions
from napari_unetstyle.core.segmentation.output import label_info, write_probabilities, write_table
from napari_unetstyle.core.segmentation.output_outlines import write_geojson, write_rois
from napari_unetstyle.core.training.finetune import fine_tune
from tests.core import dicom_for_tests as made
from tests.core.geometry_for_tests import AXIS_ORIENTATIONS, rotation
from tests.core.networks_for_tests import tiny_model, tiny_volume_model
from tests.core.teaching_for_tests import QUICK, checkpoints_at_every_step
from tests.core.training_for_tests import discs
from tests.core.zarr_for_tests import described, write_picture

CLASSES = (ClassSpec(value=1, name="one", color="#e41a1c"), ClassSpec(value=2, name="two", color="#377eb8"))
SIDES = AXIS_ORIENTATIONS[::6]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return tiny_volume_model(tmp_path_factory.mktemp("models"))


def phantom_head(place: Geometry, shape: tuple[int, ...] = (9, 20, 22)) -> tuple[Any, Any]:
    """A volume whose bright voxels all lie in the patient's left half; and the world position ZYX of its middle."""
    index = np.argwhere(np.ones(shape))
    world = place.to_world(index)
    middle = world.mean(axis=0)
    away = world - middle
    reach = np.abs(away).max(axis=0)
    is_marked = (away[:, 2] > 0.3 * reach[2]) & (away[:, 1] > 0) & (away[:, 0] > 0)  # left, posterior, superior
    return np.where(is_marked, 2000, 100).reshape(shape).astype(np.int16), middle


def is_left_posterior_superior(points: Any, middle: Any) -> bool:
    return bool(len(points) and (points > middle).all())


@pytest.mark.parametrize("orientation", SIDES, ids=range(len(SIDES)))
def test_the_marked_side_stays_the_marked_side(orientation: Any, tmp_path: Path) -> None:
    nibabel, highdicom = pytest.importorskip("nibabel"), pytest.importorskip("highdicom")
    direction = rotation((0.3, 1, 0.2), 0.2) @ orientation
    place = Geometry(spacing=(2.5, 0.75, 0.5), unit="mm", origin=(-40, 12, 7), direction=direction)
    volume, middle = phantom_head(place)
    folder = made.write_volume(tmp_path / "in", volume, place)
    image = read_image(folder)
    labels = (np.asarray(image.array) > 1000).astype(np.uint8)
    options: dict[str, Any] = {"axes": "ZYX", "geometry": image.geometry, "classes": CLASSES}

    nifti = nibabel.load(write_labels(tmp_path / "labels.nii.gz", labels, **options))
    ras = nibabel.affines.apply_affine(nifti.affine, np.argwhere(np.asarray(nifti.dataobj) == 1))
    assert is_left_posterior_superior((ras * (-1, -1, 1))[:, ::-1], middle)
    assert len(ras) == (volume > 1000).sum()

    path = write_labels(tmp_path / "labels.dcm", labels, source=folder, **options)
    seg = highdicom.seg.segread(path).get_volume(combine_segments=True)
    xyz = np.argwhere(seg.array == 1) @ seg.affine[:3, :3].T + seg.affine[:3, 3]
    assert is_left_posterior_superior(xyz[:, ::-1], middle)
    assert len(xyz) == (volume > 1000).sum()


def test_a_run_is_written_as_dicom_seg_with_its_classes(model: Any, tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    place = Geometry(spacing=(2.5, 0.75, 0.5), unit="mm", origin=(-40, 12, 7), is_anatomical=True)
    folder = made.write_volume(tmp_path / "in", smooth((9, 40, 44)), place)
    result = segment(folder, model)
    seg = pydicom.dcmread(write_labels(tmp_path / "seg.dcm", result, source=folder))
    assert [item.SegmentLabel for item in seg.SegmentSequence] == ["one", "two"]
    assert result.geometry == place
    assert seg.pixel_array.sum() == np.count_nonzero(result.labels)
    with pytest.raises(OutputError, match="source=FOLDER"):
        write_labels(tmp_path / "other.dcm", result)


def test_objects_become_segments_of_their_own(model: Any, tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    place = Geometry(spacing=(2.5, 0.75, 0.5), unit="mm", is_anatomical=True)
    folder = made.write_volume(tmp_path / "in", smooth((4, 8, 8)), place)
    labels = np.zeros((4, 8, 8), np.int32)
    labels[1, 2, 2], labels[2, 5, 5] = 7, 2**31 - 1
    path = write_labels(tmp_path / "seg.dcm", labels, axes="ZYX", geometry=place, source=folder)
    names = [item.SegmentLabel for item in pydicom.dcmread(path).SegmentSequence]
    assert names == ["object 7", f"object {2**31 - 1}"]


def smooth(shape: tuple[int, ...]) -> Any:
    from scipy import ndimage

    values = ndimage.gaussian_filter(np.random.default_rng(0).random(shape), 2)
    return np.round(3000 * (values - values.min()) / np.ptp(values)).astype(np.int16)


# Patient data do not travel --------------------------------------------------------------------------------------

CANARIES = ("canary", "nominata", "19331103", "1.2.3.4", "4711")


def unpacked(data: bytes) -> bytes:
    """Everything that is in a file, also inside of what is compressed."""
    found = [data]
    if data[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            found += [name.encode() + archive.read(name) for name in archive.namelist()]
    for magic, bits in ((b"\x1f\x8b", 31), (b"\x78", 15)):
        start = data.find(magic)
        if 0 <= start < 4096:
            try:
                found.append(zlib.decompressobj(bits).decompress(data[start:]))
            except zlib.error:
                continue
    return b"".join(found)


def told(path: Path) -> list[str]:
    """Planted words in a file or its name, in any case and in UTF-8 or UTF-16."""
    text = unpacked(path.read_bytes()).lower() + str(path.name).lower().encode()
    return [word for word in CANARIES if word.encode() in text or word.encode("utf-16-le") in text]


def planted(folder: Path) -> Path:
    place = Geometry(spacing=(2.5, 0.75, 0.5), unit="mm", origin=(-40, 12, 7), is_anatomical=True)

    def plant(ds: Any, i: int) -> None:
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.4.{i}"
        block = ds.private_block(0x0019, "CANARY PRIVATE", create=True)
        block.add_new(1, "LO", "canary private")
        ds.OtherPatientIDsSequence = [pydicom.Dataset()]
        ds.OtherPatientIDsSequence[0].PatientID = "CANARY-NESTED"

    return made.write_volume(folder, smooth((9, 40, 44)), place, change=plant)


def test_nothing_of_the_patient_is_in_what_a_run_writes_or_says(
    model: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = planted(tmp_path / "in")
    assert told(next(folder.iterdir())), "the planted words are found where they are"
    out = tmp_path / "out"
    with caplog.at_level(logging.DEBUG):
        image = read_image(folder)
        result = segment(image, model)
        for name in ("labels.tif", "labels.nii.gz", "labels.nrrd", "labels.mha"):
            write_labels(out / name, result)
        write_table(out / "table.csv", result)
        write_probabilities(out / "probabilities.tif", result)
        write_rois(out / "rois.zip", result)
        write_geojson(out / "shapes.geojson", result)
    written = [path for path in out.rglob("*") if path.is_file()]
    assert len(written) == 8
    assert {path.name: told(path) for path in written if told(path)} == {}
    said = f"{image.name} {image.notes} {image!r} {result.provenance} {result.notes} {caplog.text} {capfd.readouterr()}"
    assert [word for word in CANARIES if word in said.lower()] == []


EVERYTHING = FolderFiles(table=True, measure=True, rois=True, geojson=True, probabilities=True)
STRAIGHT = FolderFiles(zarr=True)


@pytest.mark.parametrize("files", [EVERYTHING, STRAIGHT], ids=["everything", "zarr"])
def test_nothing_of_the_patient_is_in_what_a_folder_run_writes(files: FolderFiles, model: Any, tmp_path: Path) -> None:
    folder = planted(tmp_path / "in")
    out = tmp_path / "out"
    options = SegmentOptions()
    report = run(iter_segment_folder([folder], out, model, options, files=files))
    assert [status.name for status in report.having("done")] == ["in"]
    written = [path for path in out.rglob("*") if path.is_file()]
    assert (out / "in.zarr").is_dir() == files.zarr
    assert len(written) > 2
    assert {path.name: told(path) for path in written if told(path)} == {}


def test_nothing_of_the_patient_is_in_labels_that_a_picture_takes_in(model: Any, tmp_path: Path) -> None:
    """Made of a DICOM series, and put into the OME-Zarr that somebody made of it."""
    folder, path = planted(tmp_path / "in"), tmp_path / "picture.zarr"
    image = read_image(folder)
    place = [(list(image.geometry.spacing), list(image.geometry.origin))]
    write_picture(path, [image.array], described("zyx", place, "millimeter"))
    write_labels(path, segment(dataclasses.replace(image, name="canary nominata"), model), name="tiny3d")
    written = [one for one in (path / "labels").rglob("*") if one.is_file()]
    assert (path / "labels" / "tiny3d").is_dir()
    assert {str(one): told(one) for one in written if told(one)} == {}


def with_unit(path: Path, unit: str) -> Path:
    """A volume of ones in a format whose units are free text."""
    pixels = np.ones((3, 4, 5), np.uint8)
    if path.name == "zarr":
        units = [{"name": axis, "type": "space", "unit": unit} for axis in "zyx"]
        scale = [{"type": "scale", "scale": [2.0, 0.5, 0.5]}]
        group = zarr.create_group(path, zarr_format=2)
        group.create_array("0", data=pixels)
        level = {"path": "0", "coordinateTransformations": scale}
        group.attrs["multiscales"] = [{"version": "0.4", "axes": units, "datasets": [level]}]
    elif path.suffix == ".nrrd":
        fields = ["NRRD0005", "type: uint8", "dimension: 3", "sizes: 5 4 3", "encoding: raw", "spacings: 0.5 0.5 2"]
        lines = [*fields, "kinds: domain domain domain", f'units: "{unit}" "{unit}" "{unit}"']
        path.write_bytes("\n".join(lines).encode() + b"\n\n" + pixels.tobytes())
    elif path.name == "ome.tif":
        sizes = {f"PhysicalSize{axis}{end}": value for axis in "XYZ" for end, value in (("", 0.5), ("Unit", unit))}
        tifffile.imwrite(path, pixels, ome=True, metadata={"axes": "ZYX", **sizes})
    else:
        more = {"metadata": {"axes": "ZYX", "unit": unit, "spacing": 2.0}}
        tifffile.imwrite(path, pixels, imagej=True, resolution=(2, 2), **more)
    return path


@pytest.mark.parametrize("name", ["zarr", "a.nrrd", "ome.tif", "imagej.tif"])
def test_an_unknown_unit_is_not_quoted(name: str, tmp_path: Path) -> None:
    image = read_image(with_unit(tmp_path / name, "canary nominata"), "ZYX")
    assert [note for note in image.notes if "unit" in note] == list(image.notes) != []
    assert [word for word in CANARIES if word in repr(image).lower()] == []


@pytest.mark.parametrize("first", ["screenshot", "report"])
def test_what_comes_before_the_slices_does_not_make_pictures_of_them(first: str, tmp_path: Path) -> None:
    folder = planted(tmp_path / "cases" / "one")
    report = made.header(modality="SR", sop_class=pydicom.uid.BasicTextSRStorage)
    other = report if first == "report" else x_ray(0)
    other.save_as(folder / "A.dcm", enforce_file_format=True)
    (entry,) = find_entries([tmp_path / "cases"], tmp_path / "out")
    assert entry.path == folder
    for file in sorted(folder.glob("IM*.dcm")):
        file.rename(file.with_suffix(""))
    (entry,) = find_entries([tmp_path / "cases"], tmp_path / "out")
    assert entry.path == folder


def test_a_folder_of_slices_is_one_picture_of_a_folder_run(model: Any, tmp_path: Path) -> None:
    folder = planted(tmp_path / "cases" / "one.two")
    made.write(tmp_path / "cases" / "x-rays", [x_ray(i) for i in range(2)])
    series = {"SeriesInstanceUID": "9.9", "SeriesNumber": 9}
    place = Geometry(spacing=(2.5, 0.75, 0.5), unit="mm", is_anatomical=True)
    made.write_volume(tmp_path / "cases" / "two" / "a", smooth((5, 40, 44)), place)
    (tmp_path / "cases" / "two" / "a" / "b").mkdir()
    entries = find_entries([tmp_path / "cases"], tmp_path / "out")
    rays = sorted((tmp_path / "cases" / "x-rays").iterdir())
    assert {(e.path, str(e.target)) for e in entries} == {
        (folder, "one.two.nii.gz"),
        (tmp_path / "cases" / "two" / "a", "two/a.nii.gz"),
        *((ray, f"x-rays/{ray.stem}.nii.gz") for ray in rays),
    }
    made.write(tmp_path / "cases" / "two" / "a" / "b", made.slices(smooth((4, 40, 44)), place, **series))
    two = tmp_path / "cases" / "two"
    (failed,) = run(iter_segment_folder([two], tmp_path / "out", model)).pictures
    assert "2 series" in failed.message
    assert "--series 1" in failed.message
    (done,) = run(iter_segment_folder([two], tmp_path / "out", model, series="2")).pictures
    assert read_image(done.labels, "ZYX").array.shape[0] == 4
    (again,) = run(iter_segment_folder([two], tmp_path / "out", model, series="2")).pictures
    assert again.state == "skipped"
    files = FolderFiles(full_resolution=True)  # which it has already
    (full,) = run(iter_segment_folder([two], tmp_path / "full", model, series="2", files=files)).pictures
    assert full.state == "done"
    (other,) = run(iter_segment_folder([two], tmp_path / "out", model, series="1")).pictures
    assert read_image(other.labels, "ZYX").array.shape[0] == 5
    assert segment(two, model, series=2).labels.shape == (4, 40, 44)
    for state in ("done", "skipped"):
        (inside,) = run(iter_segment_folder([two], two / "out", model, series="2")).pictures
        assert inside.state == state  # results beside the slices are none of the picture


def x_ray(number: int) -> Any:
    ds = made.header(modality="DX", SeriesInstanceUID=f"7.{number}")
    made.set_pixels(ds, smooth((30, 40)))
    return ds


def test_nothing_that_is_said_of_damage_quotes_the_patient(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    warnings.simplefilter("always")
    caplog.set_level(logging.DEBUG)
    folder, rng = planted(tmp_path / "in"), np.random.default_rng(0)
    said, errors = [], 0
    for path in list(folder.iterdir())[:3]:
        data = path.read_bytes()
        cut = [data[:length] for length in range(200, len(data), 997)]
        for damaged in (*cut, *(with_other_bytes(data, rng) for _ in range(150))):
            path.write_bytes(damaged)
            try:
                read_image(path)
            except UnetstyleError as error:
                errors += 1
                said.append(f"{error} {error.__cause__}")
        path.write_bytes(data)
    assert errors > 20
    said += [caplog.text, *(str(warning.message) for warning in recwarn)]
    assert [word for word in CANARIES if word in "".join(said).lower()] == []
    logging.getLogger("pydicom").warning("said by somebody else")
    assert "said by somebody else" in caplog.text


def with_other_bytes(data: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(data)
    for place in rng.integers(132, 1500, rng.integers(1, 4)):
        changed[place] = rng.integers(256)
    return bytes(changed)


def test_no_log_names_a_damaged_picture(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    path, rng = tmp_path / "canary nominata.tif", np.random.default_rng(0)
    tifffile.imwrite(path, np.zeros((64, 64), np.uint8), compression="zlib")
    data = path.read_bytes()
    for _ in range(300):
        changed = bytearray(data)
        changed[rng.integers(min(len(data), 400))] = rng.integers(256)
        path.write_bytes(changed)
        with contextlib.suppress(UnetstyleError):
            read_image(path)
        label_info(path)
    assert [word for word in CANARIES if word in caplog.text.lower()] == []


def test_nothing_of_the_patient_is_in_a_taught_model_its_card_or_what_is_shared(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    caplog.set_level(logging.DEBUG)
    store = ModelStore(tmp_path / "models")
    tiny_model(store.root, channels="gray")
    example = discs((96, 96), count=8)
    ds = made.header(modality="DX")
    made.set_pixels(ds, (4000 * example.image[0]).astype(np.uint16))
    ray = next(made.write(tmp_path / "in" / "canary nominata", [ds]).iterdir())
    ray = ray.rename(ray.with_name("canary 4711.dcm"))
    assert told(ray)
    correction = Correction(image=read_image(ray), labels=example.labels[1], rest_is_right=True)
    with checkpoints_at_every_step():
        candidate = fine_tune([correction], "tiny", store=store, folder=tmp_path / "run", **QUICK | {"steps": 2})
    in_run = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert {path.name: told(path) for path in in_run if told(path)} == {}  # a checkpoint, and a log with tensorboard
    kept = candidate.keep(store)
    shared = store.share(kept.spec.name, tmp_path / "shared", pictures=True)
    written = [path for path in (*kept.folder.rglob("*"), shared) if path.is_file()]
    assert len(written) >= 3
    assert {path.name: told(path) for path in written if told(path)} == {}
    said = f"{candidate.notes} {kept.spec!r} {caplog.text} {[str(warning.message) for warning in recwarn]}"
    assert [word for word in CANARIES if word in said.lower()] == []


def test_no_name_of_a_file_or_folder_is_in_what_is_written_of_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    store, example = ModelStore(tmp_path / "models"), discs((96, 96), count=8)
    tiny_model(store.root, channels="gray")
    picture = tmp_path / "canary nominata" / "canary nominata.tif"
    picture.parent.mkdir()
    tifffile.imwrite(picture, (255 * example.image[0]).astype(np.uint8))
    image, out = read_image(picture), tmp_path / "out"
    result = segment(image, "tiny", store=store)
    for suffix in (".tif", ".ome.tif", ".nii.gz", ".nii", ".nrrd", ".mha", ".zarr"):
        write_labels(out / f"labels{suffix}", result)
    write_table(out / "table.csv", result)
    write_probabilities(out / "probabilities.tif", result)
    write_rois(out / "rois.zip", result)
    write_geojson(out / "shapes.geojson", result)
    bank = StyleBank(tmp_path / "bank")
    bank.add(KeptStyle.of("mine", [image]))
    exported = bank.export("mine", tmp_path / "exported", thumbnail=True)
    written = [path for path in (*out.rglob("*"), *bank.root.rglob("*"), exported) if path.is_file()]
    assert len(written) > 14
    words = {path.name: [word for word in told(path) if word.isalpha()] for path in written}  # a style is all numbers
    assert {name: found for name, found in words.items() if found} == {}
    said = f"{result.provenance} {result.notes} {caplog.text} {capfd.readouterr()}"
    assert [word for word in CANARIES if word in said.lower()] == []


@pytest.mark.parametrize("is_zarr", [False, True])
def test_a_folder_run_names_a_picture_beside_it_and_in_its_column(
    is_zarr: bool, model: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    picture, out = tmp_path / "canary nominata" / "canary.nii.gz", tmp_path / "out"
    picture.parent.mkdir()
    write_labels(picture, smooth((9, 40, 44)), axes="ZYX")
    files = FolderFiles(zarr=True, table=True) if is_zarr else EVERYTHING
    run(iter_segment_folder([picture.parent], out, model, SegmentOptions(), files=files))
    written = [path for path in out.rglob("*") if path.is_file()]
    held = {}
    for i, path in enumerate(written):
        bare = path.rename(path.with_name(str(i)))
        if told(bare):
            held[path.name] = bare
    assert list(held) == ["areas.csv"]
    with held["areas.csv"].open(newline="") as file:
        for row in csv.DictReader(file):
            assert row.pop("picture") == "canary.nii.gz"
            assert not [word for word in CANARIES if word in str(row).lower()]
    assert [word for word in CANARIES if word in caplog.text.lower()] == []


def test_a_journal_of_paint_names_a_picture_in_its_header_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """And in the names of folders, and in its mark while it is open: it has to find the picture again."""
    caplog.set_level(logging.DEBUG)
    picture, marks = tmp_path / "canary nominata" / "canary 4711.tif", tmp_path / "marks"
    picture.parent.mkdir()
    tifffile.imwrite(picture, np.zeros((40, 50), np.uint8))
    labels = np.zeros((40, 50), np.int32)
    header = Header.of("canary 4711 nuclei", read_image(picture), labels.dtype, picture, model="nuclei@1")
    folder = Project.for_picture(picture).new_folder(header.layer)
    recorder = Recorder.new(folder, header, Changes.of(labels), lambda: labels, marks)
    for value in range(1, 9):
        labels[4 * value : 4 * value + 3, 5:45] = value
        recorder.changed()
        assert recorder.flush()
    recorder.accept(changed_places(np.zeros(labels.shape, bool), (), labels > 3, True))
    recorder.say(rest_is_right=True, touched=[3])
    assert recorder.flush()
    assert [bool(told(mark)) for mark in marks.iterdir()] == [True]
    assert recorder.close()
    assert list(marks.iterdir()) == []
    (entry,) = Project.for_picture(picture).entries()
    entry.publish()
    written = [path for path in entry.folder.rglob("*") if path.is_file()]
    assert len(written) >= 4
    assert [path.name for path in written if told(path)] == ["journal.json"]
    assert [word for word in CANARIES if word in caplog.text.lower()] == []


def test_readers_side_by_side_leave_warnings_as_they_were(tmp_path: Path) -> None:
    folder = planted(tmp_path / "in")
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(read_image, [*folder.iterdir()] * 4))) == 36
    assert warnings.filters == before
    with pytest.warns(UserWarning, match="heard"):
        warnings.warn_explicit("heard", UserWarning, "dataelem.py", 1, module="pydicom.dataelem")


def test_only_dicom_seg_carries_the_patient(model: Any, tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    folder = planted(tmp_path / "in")
    path = write_labels(tmp_path / "seg.dcm", segment(folder, model), source=folder)
    seg = pydicom.dcmread(path)
    assert (seg.PatientName, seg.PatientID) == ("Canary^Nominata", "CANARY-4711")
    assert "canary series" not in str(seg).lower()
