"""Everything that is written, on a disk that is full, read-only or somebody else's from any write on.

What was there before is whole, nothing half written is left, and a sentence says which path and how many bytes; once
there is space the same call succeeds. What a teaching writes besides is in ``test_teaching_disk_full``, strokes are in
``test_journal``.
"""

from __future__ import annotations

import errno
import re

import numpy as np
import pytest

from napari_unetstyle.cli.previews import _write
from napari_unetstyle.core import KeptStyle, ModelStore, StyleBank, as_image, read_image, write_image, write_labels
from napari_unetstyle.core.annotation.changes import Changes
from napari_unetstyle.core.annotation.journal import Journal
from napari_unetstyle.core.annotation.journal_state import LOG
from napari_unetstyle.core.annotation.open_journals import mark_open
from napari_unetstyle.core.annotation.project import Project, keep_copy
from napari_unetstyle.core.errors import UnetstyleError
from napari_unetstyle.core.imaging.dicom_seg import Segment, write_segmentation
from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.progress import run
from napari_unetstyle.core.segmentation.folder import iter_segment_folder
from napari_unetstyle.core.segmentation.output import write_probabilities, write_table
from napari_unetstyle.core.segmentation.output_outlines import write_geojson, write_rois
from napari_unetstyle.core.segmentation.segment import segment
from tests.core import dicom_for_tests as dicom
from tests.core.annotation_for_tests import blobs, header
from tests.core.disk_for_tests import ERRORS, Disk, needs_proc, told
from tests.core.networks_for_tests import tiny_model
from tests.core.zarr_for_tests import described, write_picture

pytestmark = needs_proc
VOLUME = Geometry(spacing=(2.0, 1.0, 1.0), unit="mm", origin=(1, 2, 3), is_anatomical=True)
LABELS = np.random.default_rng(0).integers(0, 2000, (3, 60, 70)).astype(np.uint16)


def labels(suffix):
    def prepare(folder):
        def write(seed=0):
            return write_labels(folder / f"x{suffix}", LABELS + seed, axes="ZYX", geometry=VOLUME, say=lambda _: None)

        if suffix != ".zarr":  # which is never replaced
            write()
        return lambda: write(1)

    return prepare


def labels_of_a_picture(folder):
    write_picture(folder / "a.zarr", [np.ones((60, 70), np.uint8)], described("yx", [([1.0, 1.0], [0.0, 0.0])]))
    return lambda: write_labels(folder / "a.zarr", LABELS[0] % 200, name="ours")


def result_with(write, suffix):
    def prepare(folder):
        pixels = (255 * np.random.default_rng(0).random((60, 70, 3))).astype(np.uint8)
        result = segment(pixels, tiny_model(folder.parent / f"{folder.name}-model"))
        found = result.changed(labels=blobs(4, (60, 70)))
        (folder / f"x{suffix}").write_text("what was there")
        return lambda: write(folder / f"x{suffix}", found)

    return prepare


def picture(suffix):
    def prepare(folder):
        image = as_image(LABELS, axes="ZYX")
        (folder / f"x{suffix}").write_text("what was there")
        return lambda: write_image(folder / f"x{suffix}", image)

    return prepare


def import_of(kind):
    def prepare(folder):
        other = tiny_model(folder / "other", name="theirs")
        path = other.folder
        if kind == "file":
            path = ModelStore(folder / "other").share("theirs", folder / "handed-on")
        tiny_model(folder / "store")
        return lambda: ModelStore(folder / "store").import_(path, name="mine" if kind == "renamed" else None)

    return prepare


def share(folder):
    tiny_model(folder / "store")
    return lambda: ModelStore(folder / "store").share("tiny", folder / "there")


def style(act):
    def prepare(folder):
        pixels = (255 * np.random.default_rng(0).random((40, 40, 3))).astype(np.uint8)
        bank, made = StyleBank(folder / "bank"), KeptStyle.of("ours", [as_image(pixels)], thumbnail=True)
        bank.add(made)
        other = made.model_copy(update={"name": "more", "statistics": {**made.statistics, "name": "more"}})
        return {
            "add": lambda: bank.add(other),
            "export": lambda: bank.export("ours", folder / "there"),
            "import": lambda: bank.import_(folder / "bank" / made.file_name, name="more"),
        }[act]

    return prepare


def entry_of(folder):
    image = as_image((255 * np.random.default_rng(0).random((24, 30))).astype(np.uint8), axes="YX", name="slide7")
    return Project(folder / "fixes").add(image, blobs(4), layer="cells"), image


def fixes(act):
    def prepare(folder):
        entry, image = entry_of(folder)
        if act == "add":
            return lambda: Project(folder / "fixes").add(image, blobs(5), layer="more")
        if act == "say":
            return lambda: entry.say(ticked=False)
        state = entry.state()
        state.labels[:5] = 77
        return (lambda: entry.publish(state)) if act == "publish" else lambda: keep_copy(entry, image)

    return prepare


def journal(act):
    def prepare(folder):
        made = Journal.begin(folder / "j", header(blobs(4)), blobs(4))
        if act == "begin":
            return lambda: Journal.begin(folder / "new" / "k", header(blobs(5)), blobs(5)).close()
        record = made.edit(Changes.between(blobs(4), blobs(4) + 1))
        made.write([record])
        picture = made.state.header.picture.model_copy(update={"sha256": "0" * 64})
        return {
            "write": lambda: made.write([made.say({"ticked": False})]),
            "snapshot": made.snapshot,
            "identify": lambda: made.identify(picture),
            "mark": lambda: mark_open(folder / "marks", folder / "j"),
        }[act]

    return prepare


def dicom_seg(folder):
    scan = dicom.write_volume(folder.parent / f"{folder.name}-scan", LABELS.astype(np.int16), VOLUME)
    image, path = read_image(scan), folder / "x.dcm"
    one = Segment(value=1, name="a", color="#ff0000")

    def write(seed=0):
        return write_segmentation(path, np.equal(LABELS % 7, 1 + seed).astype(np.uint8), image.geometry, [one], scan)

    write()
    return lambda: write(1)


def preview(folder):
    (folder / "x.png").write_text("what was there")
    return lambda: _write(folder / "x.png", np.random.default_rng(0).random((3, 40, 40), np.float32))


def folder_run(folder):
    model = tiny_model(folder.parent / f"{folder.name}-model")
    (folder / "in").mkdir()
    for i in range(2):
        write_image(folder / "in" / f"{i}.tif", as_image(LABELS[i].astype(np.uint8), axes="YX"))

    def write():
        report = run(iter_segment_folder([folder / "in"], folder / "out", model))
        if failed := [one.message for one in report.pictures if one.state == "failed"]:
            raise UnetstyleError(failed[0])

    return write


WRITERS = {
    **{
        f"labels{s}": labels(s)
        for s in (".tif", ".ome.tif", ".nii.gz", ".nii", ".nrrd", ".mha", ".mhd", ".nhdr", ".zarr")
    },
    "labels of a picture": labels_of_a_picture,
    "probabilities": result_with(write_probabilities, ".tif"),
    "table": result_with(write_table, ".csv"),
    "rois": result_with(write_rois, ".zip"),
    "geojson": result_with(write_geojson, ".geojson"),
    **{f"picture{s}": picture(s) for s in (".tif", ".nii.gz")},
    **{f"import of a {kind}": import_of(kind) for kind in ("folder", "file", "renamed")},
    "share": share,
    **{f"style: {act}": style(act) for act in ("add", "export", "import")},
    **{f"fixes: {act}": fixes(act) for act in ("add", "say", "publish", "copy")},
    **{f"journal: {act}": journal(act) for act in ("begin", "write", "snapshot", "identify", "mark")},
    "DICOM-SEG": dicom_seg,
    "preview of a style": preview,
    "folder run": folder_run,
}
NO_BYTES = re.compile(r"lock cannot be made|Could not write to \S*out:")  # holds nothing; a run that has not begun
EMPTY_LIST = ("labels", "zarr.json")  # of the labels in a picture, which may have none


def files_of(folder):
    """What is there, but for locks, which hold nothing, and what a killed program would leave, too."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock" and path.name != "lock")
    return {path: path.read_bytes() for path in files if ".partial-" not in str(path)}


@pytest.mark.parametrize("name", WRITERS)
def test_a_disk_that_refuses_loses_nothing_and_says_what_is_needed(name, tmp_path, monkeypatch, repeats):
    is_long = repeats(1) > 1
    few = [errno.ENOSPC] if name == "folder run" else [errno.ENOSPC, errno.EROFS, errno.EACCES]
    errors = ERRORS if is_long else few
    for place in (places := {what: tmp_path / str(what) for what in (0, *errors)}).values():
        place.mkdir()
    actions = {what: WRITERS[name](place) for what, place in places.items()}
    with monkeypatch.context() as patch:
        count = Disk(places[0], patch, errno.ENOSPC).writes(actions[0])
    assert count > 1
    for error in errors:
        place, action = places[error], actions[error]
        quick = {0, 1, count // 2, count - 3} if error == errno.ENOSPC else {count // 2}
        before = files_of(place)
        for after in range(count) if is_long else sorted(k for k in quick if 0 <= k < count):
            with monkeypatch.context() as patch:
                disk = Disk(place, patch, error)
                with disk.full_after(after):
                    problem = told(action, UnetstyleError)
            if problem is None:  # what was refused is nothing that anybody misses, as flushing the folder
                break
            at = f"{name}, {ERRORS[error]} after {after} of {count}: {problem}"
            assert disk.refused, at
            assert str(place) in problem, at
            assert ERRORS[error] in problem, at
            assert error != errno.ENOSPC or NO_BYTES.search(problem) or re.search(r"\d+ bytes", problem), at
            if name != "folder run":  # whose pictures are done one by one
                now = {path: data for path, data in files_of(place).items() if path.parts[-2:] != EMPTY_LIST}
                assert now.keys() >= before.keys(), at
                for path, data in before.items():  # of a record that was refused something may lie behind the others
                    assert now[path].startswith(data) if path.name == LOG else now[path] == data, at
            if error in (errno.ENOSPC, errno.EIO):  # on the others nothing can be removed
                assert not list(place.rglob(".partial-*")), at
                assert name == "folder run" or now.keys() == before.keys(), at
        else:
            action()
        assert files_of(place) != before
