"""Fixes of many pictures collect in one folder, and come back with their picture."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest
import tifffile

from napari_unetstyle.core import write_labels
from napari_unetstyle.core.annotation.changes import Changes
from napari_unetstyle.core.annotation.corrections import learned
from napari_unetstyle.core.annotation.journal import Journal
from napari_unetstyle.core.annotation.journal_header import Header
from napari_unetstyle.core.annotation.journal_state import read_journal
from napari_unetstyle.core.annotation.project import COPY, FOLDER, Project, count, keep_copy
from napari_unetstyle.core.annotation.recorder import Recorder, changed_places
from napari_unetstyle.core.errors import ImageFileError, JournalError, OutputError
from napari_unetstyle.core.imaging.files import read_image
from napari_unetstyle.core.imaging.image import as_image
from tests.core import dicom_for_tests as dicom
from tests.core.annotation_for_tests import blobs, picture
from tests.core.test_medical import PLACE
from tests.core.zarr_for_tests import described, write_picture


@pytest.fixture
def file(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (24, 30), np.uint8)
    tifffile.imwrite(tmp_path / "slide7.tif", pixels)
    return tmp_path / "slide7.tif"


@pytest.fixture
def project(file):
    return Project.for_picture(file)


def corrected_entry(project, file, acts):
    """An entry in which `acts` was done to the labels, in a window that was closed again."""
    image = read_image(file)
    labels = blobs(1)
    header = Header.of(f"{file.stem} nuclei", image, labels.dtype, file)
    recorder = Recorder.new(project.new_folder(header.layer), header, Changes.of(labels), lambda: labels)
    acts(labels, recorder)
    recorder.changed()
    assert recorder.close()
    return next(e for e in project.entries() if e.folder == recorder.folder), labels


def trim(labels, recorder):
    labels[labels == 1] = 0
    labels[:3, :3] = 90


def test_a_project_lies_beside_the_picture(file, tmp_path):
    assert Project.for_picture(file, tmp_path / "own").folder == tmp_path / FOLDER
    assert Project.for_picture(None, tmp_path / "own").folder == tmp_path / "own"


def test_where_nobody_may_write_each_folder_of_pictures_has_a_project_in_the_persons_own(file, tmp_path, monkeypatch):
    own, other = tmp_path / "own", tmp_path / "other" / "slide7.tif"
    other.parent.mkdir()
    shutil.copy(file, other)
    early = [corrected_entry(Project(own), picture, trim)[0] for picture in (file, other)]  # as it once was
    monkeypatch.setattr(os, "access", lambda *_: False)
    here, there = (Project.for_picture(picture, own) for picture in (file, other))
    assert Project.for_picture(file.with_name("slide8.tif"), own).folder == here.folder
    assert here.folder.parent == there.folder.parent == own
    assert here.folder != there.folder
    assert there.folder.name.startswith("other-")
    late, _ = corrected_entry(here, file, trim)
    assert late.folder.parent == here.folder
    assert [entry.folder for entry in here.entries()] == [late.folder, early[0].folder]
    assert [entry.folder for entry in there.entries()] == [early[1].folder]


def test_fixes_come_back_with_their_picture(project, file):
    entry, labels = corrected_entry(project, file, trim)
    image = entry.image()
    assert np.array_equal(np.asarray(image.array), tifffile.imread(file))
    correction = entry.correction()
    assert np.array_equal(correction.labels, labels)
    assert correction.touched == {90}
    _, valid = learned(correction)
    assert valid[:3, :3].all()
    assert valid[blobs(1) == 1].all()
    assert not entry.is_changed()
    assert [e.folder for e in project.entries()] == [entry.folder]


def test_labels_are_plain_for_other_programs(project, file):
    entry, labels = corrected_entry(project, file, trim)
    assert np.array_equal(tifffile.imread(entry.folder / "labels.tif"), labels)


def test_a_person_sees_how_much_there_is(project, file):
    def act(labels, recorder):
        trim(labels, recorder)
        right = np.zeros(labels.shape, bool)
        right[5:9, 5:9] = right[15:20, 15:20] = True
        recorder.accept(changed_places(np.zeros(labels.shape, bool), (), right, True))
        recorder.say(rest_is_right=False)

    entry, _ = corrected_entry(project, file, act)
    said = count(entry.state())
    assert (said.right, said.rest_is_right) == (2, False)
    replaced = set(np.unique(blobs(1)[:3, :3])) | {1, 90}
    assert said.fixes == len(replaced - {0})


def test_what_is_not_ticked_is_not_learned(project, file):
    entry, _ = corrected_entry(project, file, trim)
    assert len(project.corrections()) == 1
    entry.say(ticked=False)
    assert project.corrections() == []
    entry.say(ticked=True, rest_is_right=True)
    (correction,) = project.corrections()
    assert correction.rest_is_right


def test_an_untouched_picture_teaches_nothing(project, file):
    corrected_entry(project, file, lambda labels, recorder: None)
    assert project.corrections() == []


def test_voxels_that_changed_under_the_same_header_are_told(tmp_path):
    path = tmp_path / "picture.mhd"
    write_labels(path, np.arange(720).reshape(24, 30), axes="YX")
    (voxels,) = set(tmp_path.iterdir()) - {path}
    entry, _ = corrected_entry(Project.for_picture(path), path, trim)
    assert not entry.is_changed()
    os.utime(voxels)
    assert not entry.is_changed()
    voxels.write_bytes(voxels.read_bytes()[::-1])
    assert entry.is_changed()


def test_a_folder_of_slices_that_changed_is_told(tmp_path):
    volume = np.arange(4 * 24 * 30, dtype=np.uint16).reshape(4, 24, 30)
    scan = tmp_path / "scan"
    for i, uid in enumerate(("1.2.3.77", "1.2.3.78")):
        dicom.write(scan / str(i), dicom.slices(volume + i, PLACE, SeriesInstanceUID=uid, SeriesNumber=1 + i))
    project = Project(tmp_path / "fixes")
    entry = emptied(project, read_image(scan, series=2), scan, series=2)
    (scan / "labels.txt").write_text("beside it")
    slices, others = (sorted((scan / name).iterdir()) for name in "10")
    others[0].write_bytes(others[1].read_bytes())  # of the other series
    os.utime(slices[0])
    assert not entry.is_changed()
    slices[0].write_bytes(slices[0].read_bytes()[:-2] + b"\1\2")
    assert entry.is_changed()
    shutil.rmtree(scan / "1")
    assert entry.is_changed()


def test_an_ome_zarr_that_changed_is_told_and_labels_in_it_are_no_change(tmp_path):
    path = tmp_path / "a.zarr"
    pixels = np.random.default_rng(0).integers(0, 255, (24, 30), np.uint8)
    write_picture(path, [pixels], described("yx", [([1.0, 1.0], [0.0, 0.0])]))
    entry, labels = corrected_entry(Project.for_picture(path), path, trim)
    write_labels(path, labels, name="ours")
    assert not entry.is_changed()
    (chunk,) = (file for file in path.rglob("*") if file.is_file() and file.name == "0" and "labels" not in file.parts)
    chunk.write_bytes(chunk.read_bytes() + b"\0")
    assert entry.is_changed()


def test_a_file_that_changed_is_told(project, file):
    entry, _ = corrected_entry(project, file, trim)
    os.utime(file)  # looked at or copied, but the same pixels
    assert not entry.is_changed()
    tifffile.imwrite(file, np.zeros((24, 30), np.uint8))
    assert entry.is_changed()
    tifffile.imwrite(file, np.zeros((9, 9), np.uint8))
    with pytest.raises(ImageFileError, match="Put the former file back"):
        entry.image()
    file.unlink()
    with pytest.raises(ImageFileError):
        entry.image()


def test_a_picture_without_a_file_is_kept_on_request(tmp_path):
    project = Project(tmp_path / "p")
    image = picture((3, 24, 30), axes="TYX")
    image.array[1, 5] = 9
    entry = project.add(image, np.stack([blobs(i) for i in range(3)]), layer="fixes")
    with pytest.raises(ImageFileError, match="has no file"):
        entry.image()
    assert keep_copy(entry, image) == entry.folder / COPY
    again = entry.image()
    assert again.axes == "TYX"
    assert np.array_equal(np.asarray(again.array), image.array)


def test_a_copy_holds_every_value_or_is_refused(tmp_path):
    for name, pixels in [("a", np.full((24, 30), 70_000)), ("b", np.full((24, 30), 0.1, np.float16))]:
        entry = Project(tmp_path / name).add(as_image(pixels), blobs(1), layer="fixes")
        keep_copy(entry, as_image(pixels))
        assert np.array_equal(np.asarray(entry.image().array), pixels)
    with pytest.raises(OutputError, match="exactly"):
        keep_copy(entry, as_image(np.full((24, 30), 2**40)))


def test_masks_made_elsewhere_are_right_everywhere(project, file):
    entry = project.add(read_image(file), blobs(2).astype(np.uint16), file, layer="their masks", classes={2: 2})
    correction = entry.correction()
    assert correction.rest_is_right
    assert learned(correction)[1].all()
    assert correction.classes == {2: 2}
    assert not entry.is_changed()
    assert entry.folder.name == "their-masks"


def test_two_windows_never_write_to_one_entry(project, file):
    entry, _ = corrected_entry(project, file, trim)
    journal = Journal(entry.folder)
    assert entry.is_open
    with pytest.raises(JournalError, match="another window"):
        entry.say(ticked=False)
    assert np.array_equal(entry.state().labels, read_journal(entry.folder).labels)  # reading goes on
    journal.close()
    assert not entry.is_open


def test_a_damaged_entry_does_not_hide_the_others(project, file):
    good, _ = corrected_entry(project, file, trim)
    bad, _ = corrected_entry(project, file, trim)
    (bad.folder / "journal.json").write_text("{")
    assert [e.folder for e in project.entries()] == [good.folder]
    assert len(project.problems()) == 1


@pytest.mark.parametrize("name", ["../../x", "a/b\\c", "...", "", "slide 7: nuclei"])
def test_names_of_layers_stay_in_the_project(project, name):
    assert project.new_folder(name).parent == project.folder
    assert project.new_folder(name).name not in ("", ".", "..")


def emptied(project, image, file, **part):
    """An entry of masks made elsewhere, on one picture of a file."""
    labels = np.zeros(image.label_shape, np.uint16)
    labels[..., :3, :3] = 1
    return project.add(image, labels, file, layer="masks", **part)


def test_fixes_come_back_on_the_series_they_were_made_on(tmp_path):
    volume = np.arange(4 * 20 * 22, dtype=np.uint16).reshape(4, 20, 22)
    for i, uid in enumerate(("1.2.3.77", "1.2.3.78")):
        values = {"SeriesInstanceUID": uid, "SeriesNumber": 3 + i}
        dicom.write(tmp_path / "in" / str(i), dicom.slices(volume + i, PLACE, **values))
    project = Project(tmp_path / "fixes")
    former = read_image(tmp_path / "in", series=2)
    entry = emptied(project, former, tmp_path / "in", series=2)
    dicom.write(
        tmp_path / "in" / "0th", dicom.slices(volume, PLACE, SeriesInstanceUID="1.2.3.2", SeriesNumber=1)
    )  # so that it is the third now
    assert np.array_equal(np.asarray(entry.image().array), np.asarray(former.array))
    assert len(project.corrections()) == 1
    assert not any(b"1.2.3." in path.read_bytes() for path in entry.folder.iterdir())


def test_fixes_come_back_on_the_level_they_were_made_on(tmp_path):
    file, pixels = tmp_path / "levels.tif", np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    with tifffile.TiffWriter(file) as writer:
        writer.write(pixels, subifds=1, tile=(16, 16))
        writer.write(pixels[::2, ::2], subfiletype=1, tile=(16, 16))
    entry = emptied(Project(tmp_path / "fixes"), read_image(file, level=1), file, level=1)
    assert np.array_equal(np.asarray(entry.image().array), pixels[::2, ::2])


@pytest.mark.parametrize(("stored", "stated"), [("ZYX", "TYX"), ("TYX", "ZYX")])
def test_fixes_come_back_with_the_axes_that_were_stated(stored, stated, tmp_path):
    file = tmp_path / "stack.tif"
    tifffile.imwrite(file, np.zeros((3, 24, 30), np.uint8), photometric="minisblack", metadata={"axes": stored})
    entry = emptied(Project(tmp_path / "fixes"), read_image(file, axes=stated), file)
    image = entry.image()
    assert (image.axes, image.geometry) == (stated, entry.header.picture.geometry)


def test_one_entry_that_cannot_be_read_does_not_hide_the_others(project, file, tmp_path):
    corrected_entry(project, file, trim)
    other = shutil.copy(file, tmp_path / "gone.tif")
    corrected_entry(project, other, trim)
    other.unlink()
    with pytest.raises(ImageFileError, match=r"gone\.tif"):
        project.corrections()
    problems: list[str] = []
    assert len(project.corrections(problems)) == 1
    (sentence,) = problems
    assert "gone.tif" in sentence


def test_a_journal_that_names_no_series_and_no_level_is_read(project, file):
    """Of a time before these were kept."""
    entry, _ = corrected_entry(project, file, trim)
    path = entry.folder / "journal.json"
    about = json.loads(path.read_text())
    del about["picture"]["series"], about["picture"]["level"]
    path.write_text(json.dumps(about))
    (again,) = project.entries()
    assert np.array_equal(np.asarray(again.image().array), tifffile.imread(file))


def test_of_two_windows_that_began_under_two_names_each_sees_the_fixes_of_both(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_UNETSTYLE_FIXES", str(tmp_path))
    both = [Project.for_pixels(name, "ab" * 32) for name in ("first", "second")]  # neither has a folder yet
    for number, project in enumerate(both):
        project.add(picture(), blobs(number), layer=f"fixes {number}")
    found = Project.for_pixels("second", "ab" * 32).entries()
    assert sorted(entry.header.layer for entry in found) == ["fixes 0", "fixes 1"]
