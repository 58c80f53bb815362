"""A folder run: goes on after a bad picture, skips what is finished, and ends as if it had never been stopped."""

from __future__ import annotations

import csv
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from scipy.ndimage import gaussian_filter

from napari_unetstyle.core import (
    ModelStore,
    SegmentOptions,
    iter_segment,
    read_image,
    run,
    scratch,
    segment,
    write_labels,
    write_table,
)
from napari_unetstyle.core.errors import (
    DeviceError,
    ImageError,
    ModelFileError,
    ModelNotFoundError,
    OptionError,
    OutputError,
)
from napari_unetstyle.core.imaging import ome_zarr_labels
from napari_unetstyle.core.models.model import Model
from napari_unetstyle.core.segmentation import folder_job as module
from napari_unetstyle.core.segmentation.folder import iter_segment_folder
from napari_unetstyle.core.segmentation.folder_inputs import find_entries, find_pictures
from napari_unetstyle.core.segmentation.folder_report import FolderFiles, FolderProgress, FolderReport
from napari_unetstyle.core.style.bank import StyleBank
from napari_unetstyle.core.style.kept_style import KeptStyle
from tests.core import dicom_for_tests as made
from tests.core.networks_for_tests import tiny_model
from tests.core.test_medical import PLACE
from tests.core.zarr_for_tests import described, write_picture


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny_model(tmp_path_factory.mktemp("models"))


def picture(path: Path, seed: int = 0, shape: tuple[int, ...] = (60, 70)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    smooth = gaussian_filter(np.random.default_rng(seed).random(shape), (0,) * (len(shape) - 2) + (4, 4))
    light = (250 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)
    tifffile.imwrite(path, light, metadata={"axes": "TYX"[-len(shape) :]})
    return path


@pytest.fixture
def slides(tmp_path: Path) -> Path:
    for i, name in enumerate(["a.tif", "b.tif", "more/c.tif"]):
        picture(tmp_path / "slides" / name, seed=i)
    return tmp_path / "slides"


def done(
    inputs: Sequence[Path], out: Path, model: Any, options: SegmentOptions | None = None, **more: Any
) -> FolderReport:
    return run(iter_segment_folder(inputs, out, model, options, **more))


def states(report: FolderReport) -> dict[str, str]:
    return {status.name: status.state for status in report.pictures}


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


EVERYTHING = FolderFiles(table=True, measure=True, rois=True, geojson=True, probabilities=True)


# What is written ---------------------------------------------------------------------------------------------------


def test_labels_are_those_of_segment(slides: Path, tmp_path: Path, model: Model) -> None:
    options = SegmentOptions(min_pixels=5, threshold=0.4)
    report = done([slides], tmp_path / "out", model, options)
    assert states(report) == {"a.tif": "done", "b.tif": "done", "more/c.tif": "done"}
    for status in report.pictures:
        expected = segment(status.path, model, min_pixels=5, threshold=0.4)
        np.testing.assert_array_equal(tifffile.imread(status.labels), expected.labels)
        assert (status.count, status.output) == (expected.count, "objects")
        assert status.labels == tmp_path / "out" / status.name
    assert report.table is None
    assert not list((tmp_path / "out").glob("*.csv"))


def test_everything_that_was_asked_for(slides: Path, tmp_path: Path, model: Model) -> None:
    out = tmp_path / "out"
    report = done([slides], out, model, files=EVERYTHING)
    visible = {name for name in contents(out) if not name.startswith(module.SIDECARS)}
    each = ("{}.tif", "{}_rois.zip", "{}.geojson", "{}_probabilities.tif")
    assert visible == {"objects.csv", *(kind.format(stem) for kind in each for stem in ("a", "b", "more/c"))}
    assert report.table == out / "objects.csv"
    with report.table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for status in report.pictures:
        assert sum(row["picture"] == status.name for row in rows) == status.count > 0
    assert {"picture", "label", "class_name", "area", "solidity", "mean"} <= rows[0].keys()


def test_areas(slides: Path, tmp_path: Path, model: Model) -> None:
    report = done([slides], tmp_path / "out", model, SegmentOptions(output="areas"), files=EVERYTHING)
    assert report.table == tmp_path / "out" / "areas.csv"
    assert len(report.table.read_text().splitlines()) == 1 + 3
    assert all("of objects only" in picture.notes[-1] for picture in report.pictures)
    again = done([slides], tmp_path / "out", model, SegmentOptions(output="areas"), files=EVERYTHING)
    assert [picture.notes for picture in again.pictures] == [picture.notes for picture in report.pictures]


@pytest.mark.parametrize("options", [{"link": True}, {"plane": "ZX"}, {"plane": "all"}], ids=str)
def test_objects_of_linked_slices_are_measured_as_those_of_a_volume(
    options: dict[str, Any], tmp_path: Path, model: Model
) -> None:
    path = picture(tmp_path / "in" / "a.tif", shape=(6, 30, 34))
    files = FolderFiles(table=True, measure=True)
    report = done([path], tmp_path / "out", model, SegmentOptions(**options), axes="ZYX", files=files)
    assert states(report) == {"a.tif": "done"}
    with (tmp_path / "out" / "objects.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    expected = segment(path, model, axes="ZYX", **options).objects
    assert [int(row["label"]) for row in rows] == expected["label"].tolist()
    assert [int(row["area"]) for row in rows] == expected["area"].tolist()
    assert all(float(row["surface"]) > 0 for row in rows)


def test_columns_of_different_pictures_are_joined(tmp_path: Path, model: Model) -> None:
    picture(tmp_path / "in" / "a.tif", shape=(2, 40, 50))
    picture(tmp_path / "in" / "b.tif")
    tifffile.imwrite(
        tmp_path / "in" / "c.tif",
        tifffile.imread(tmp_path / "in" / "b.tif"),
        imagej=True,
        resolution=(2, 2),
        metadata={"unit": "um"},
    )
    report = done([tmp_path / "in"], tmp_path / "out", model, files=FolderFiles(table=True))
    assert report.table is not None
    with report.table.open(newline="", encoding="utf-8") as file:
        rows = {row["picture"]: row for row in csv.DictReader(file)}
    assert rows["a.tif"]["frame_t"] == "1"
    assert rows["b.tif"]["frame_t"] == rows["b.tif"]["area_um2"] == ""
    assert float(rows["c.tif"]["area_um2"]) == float(rows["c.tif"]["area"]) / 4


# Going on ----------------------------------------------------------------------------------------------------------


def test_a_bad_picture_does_not_stop_the_rest(slides: Path, tmp_path: Path, model: Model) -> None:
    (slides / "b.tif").write_bytes((slides / "b.tif").read_bytes()[:500])
    (slides / "d.tif").write_text("no picture")
    report = done([slides, slides / "gone.tif"], tmp_path / "out", model, files=FolderFiles(table=True))
    assert states(report) == {
        "a.tif": "done", "b.tif": "failed", "d.tif": "failed", "gone.tif": "failed", "more/c.tif": "done",
    }  # fmt: skip
    messages = {status.name: status.message for status in report.having("failed")}
    assert "truncated" in messages["b.tif"]
    assert "not a picture" in messages["d.tif"]
    assert "no file" in messages["gone.tif"]
    assert not (tmp_path / "out" / "b.tif").exists()
    assert report.table is not None


@pytest.mark.parametrize("files", [FolderFiles(), FolderFiles(table=True, zarr=True)], ids=["tiff", "zarr"])
def test_where_every_picture_is_bad_no_folder_is_left_that_the_run_made(
    files: FolderFiles, slides: Path, tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OutputError("No space left on device.")

    monkeypatch.setattr(module, "write_table", full)  # after the labels were begun
    (slides / "b.tif").write_text("no picture")
    before = contents(tmp_path)
    report = done([slides], tmp_path / "new" / "out", model, files=files)
    assert set(states(report).values()) == {"failed"}
    assert not (tmp_path / "new").exists()
    (tmp_path / "mine" / "empty").mkdir(parents=True)
    done([slides / "b.tif"], tmp_path / "mine", model)
    assert (tmp_path / "mine" / "empty").is_dir()  # which was there before
    done([slides / "b.tif"], tmp_path / "mine" / "out", model)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["empty"]
    assert contents(tmp_path) == before


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("odd"), KeyError("x"), OSError(5, "Input/output error")])
def test_an_unexpected_problem_does_not_stop_the_rest(
    error: Exception, slides: Path, tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = module.iter_segment

    def breaks(image: Any, *rest: Any, **more: Any) -> Any:
        if image.name == "a":
            raise error
        return real(image, *rest, **more)

    monkeypatch.setattr(module, "iter_segment", breaks)
    report = done([slides], tmp_path / "out", model)
    assert list(states(report).values()) == ["failed", "done", "done"]
    assert report.pictures[0].message


def test_finished_pictures_are_skipped(slides: Path, tmp_path: Path, model: Model) -> None:
    out = tmp_path / "out"
    first = done([slides], out, model, files=EVERYTHING)
    before = contents(out)
    second = done([slides], out, model, files=EVERYTHING)
    assert set(states(second).values()) == {"skipped"}
    assert contents(out) == before
    assert [s.count for s in second.pictures] == [s.count for s in first.pictures]
    assert set(states(done([slides], out, model, files=EVERYTHING, force=True)).values()) == {"done"}
    assert contents(out) == before


def edit_pixel(slides: Path, out: Path) -> None:
    picture(slides / "a.tif", seed=9)


def edit_labels(slides: Path, out: Path) -> None:
    tifffile.imwrite(out / "a.tif", np.zeros((60, 70), np.uint8))


def drop_labels(slides: Path, out: Path) -> None:
    (out / "a.tif").unlink()


def drop_sidecar(slides: Path, out: Path) -> None:
    (out / module.SIDECARS / "a.json").unlink()


def break_sidecar(slides: Path, out: Path) -> None:
    (out / module.SIDECARS / "a.json").write_text('{"picture": 3')


def odd_sidecar(slides: Path, out: Path) -> None:
    (out / module.SIDECARS / "a.json").write_text('["picture"]')


@pytest.mark.parametrize("change", [edit_pixel, drop_labels])
def test_what_changed_is_done_again(change: Any, slides: Path, tmp_path: Path, model: Model) -> None:
    out = tmp_path / "out"
    done([slides], out, model)
    change(slides, out)
    assert states(done([slides], out, model)) == {"a.tif": "done", "b.tif": "skipped", "more/c.tif": "skipped"}


@pytest.mark.parametrize("change", [edit_labels, drop_sidecar, break_sidecar, odd_sidecar])
@pytest.mark.parametrize("threshold", [None, 0.3])
def test_what_a_person_painted_is_not_replaced(
    change: Any, threshold: float | None, slides: Path, tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor what might have been: without a sidecar nobody can tell."""
    out, options = tmp_path / "out", SegmentOptions(threshold=threshold)
    done([slides], out, model)
    change(slides, out)
    painted = (out / "a.tif").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(module, "read_fitting", None)  # it is said before anything is computed
        refused = done([slides / "a.tif"], out, model, options).pictures[0]
    assert (refused.state, (out / "a.tif").read_bytes()) == ("failed", painted)
    assert str(out / "a.tif") in refused.message
    assert "--force" in refused.message
    assert states(done([slides / "a.tif"], out, model, options, force=True)) == {"a.tif": "done"}
    assert (out / "a.tif").read_bytes() != painted or change is not edit_labels
    assert states(done([slides / "a.tif"], out, model, options)) == {"a.tif": "skipped"}


def test_what_is_painted_while_the_picture_is_computed_is_not_replaced(
    slides: Path, tmp_path: Path, model: Model
) -> None:
    out = tmp_path / "out"
    done([slides / "a.tif"], out, model)
    steps = iter_segment_folder([slides / "a.tif"], out, model, SegmentOptions(threshold=0.3))
    next(steps)
    edit_labels(slides, out)
    painted = (out / "a.tif").read_bytes()
    assert states(run(steps)) == {"a.tif": "failed"}
    assert (out / "a.tif").read_bytes() == painted
    assert not list(out.rglob(".partial-*"))


def test_files_of_somebody_else_beside_the_pictures_are_not_replaced(tmp_path: Path, model: Model) -> None:
    source = picture(tmp_path / "x.tif").rename(tmp_path / "b.tiff")
    for name in ("b.tif", "b.geojson"):
        (tmp_path / name).write_text("mine")
        refused = done([source], tmp_path, model, files=FolderFiles(geojson=True)).pictures[0]
        assert (refused.state, (tmp_path / name).read_text()) == ("failed", "mine")
        assert name in refused.message
        (tmp_path / name).unlink()
    assert states(done([source], tmp_path, model, files=FolderFiles(geojson=True))) == {"b.tiff": "done"}


def test_a_table_of_somebody_else_is_not_replaced(slides: Path, tmp_path: Path, model: Model) -> None:
    """Nor ours, once a person has written into it; a run that goes on, or has more pictures, writes it anew."""
    out, files = tmp_path / "out", FolderFiles(table=True)
    table = out / "objects.csv"
    out.mkdir()
    table.write_text("mine")
    with pytest.raises(OutputError, match=r"objects\.csv.*--force"):
        done([slides], out, model, files=files)
    assert contents(out) == {"objects.csv": b"mine"}
    assert set(states(done([slides], out, model)).values()) == {"done"}  # without a table it is not in the way
    report = done([slides], out, model, files=files, force=True)
    first = table.read_bytes()
    assert (report.table, first != b"mine") == (table, True)
    picture(slides / "d.tif", 5)
    done([slides], out, model, files=files)
    assert len(table.read_bytes()) > len(first)
    with table.open("a") as file:
        file.write("a note\n")
    with pytest.raises(OutputError, match="objects"):
        done([slides], out, model, files=files)
    assert table.read_text().endswith("a note\n")
    assert not list(out.rglob(".partial-*"))


def test_what_runs_of_other_kinds_left_is_known_as_ours(slides: Path, tmp_path: Path, model: Model) -> None:
    """Outlines that a run in between did not write, and TIFF beside OME-Zarr."""
    out, one = tmp_path / "out", slides / "a.tif"
    kinds = [FolderFiles(rois=True), FolderFiles(), FolderFiles(zarr=True), FolderFiles(rois=True)]
    for i, files in enumerate([*kinds, *kinds]):
        options = SegmentOptions(threshold=0.3 + 0.05 * i)
        assert states(done([one], out, model, options, files=files)) == {"a.tif": "done"}


@pytest.mark.parametrize("files", [EVERYTHING, FolderFiles(zarr=True, rois=True)])
def test_a_run_that_is_killed_while_it_writes_goes_on(
    files: FolderFiles, slides: Path, tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was replaced when it was killed, none of it is taken for somebody else's."""
    out, one = tmp_path / "out", slides / "a.tif"
    for at in itertools.count(1):
        options = SegmentOptions(threshold=(0.3, 0.4, 0.5)[at % 3])
        with monkeypatch.context() as patch:
            dies_at(patch, at)
            try:
                report = done([one], out, model, options, files=files)
                break
            except KeyboardInterrupt:
                pass
    assert at > 10
    assert states(report) == {"a.tif": "done"}
    assert states(done([one], out, model, options, files=files)) == {"a.tif": "skipped"}


def dies_at(patch: pytest.MonkeyPatch, at: int) -> None:
    """Instead of the file or folder of that number being put in its place."""
    count = itertools.count(1)

    def dying(put: Any) -> Any:
        def called(path: Path, target: Any) -> Any:
            is_ours = any(name.startswith(".partial-") for name in (path.name, Path(target).name))  # zarr has its own
            if is_ours and next(count) == at:
                raise KeyboardInterrupt
            return put(path, target)

        return called

    patch.setattr(Path, "replace", dying(Path.replace))
    patch.setattr(Path, "rename", dying(Path.rename))


@pytest.mark.parametrize(
    ("options", "more", "expected"),
    [
        (SegmentOptions(threshold=0.4), {}, "done"),
        (SegmentOptions(output="areas"), {}, "done"),
        (SegmentOptions(), {"spacing": (0.5, 0.5)}, "done"),
        (SegmentOptions(), {"files": FolderFiles(rois=True)}, "done"),
        (SegmentOptions(), {"files": FolderFiles(measure=True)}, "done"),
        (SegmentOptions(), {"files": FolderFiles(table=True)}, "skipped"),
        (SegmentOptions(tile=32, memory=10**6, device="cpu"), {}, "skipped"),
    ],
)
def test_options_decide_what_is_finished(
    options: SegmentOptions, more: dict[str, Any], expected: str, slides: Path, tmp_path: Path, model: Model
) -> None:
    done([slides], tmp_path / "out", model)
    assert set(states(done([slides], tmp_path / "out", model, options, **more)).values()) == {expected}


@pytest.mark.parametrize("suffix", [".mhd", ".nhdr"])
def test_other_voxels_under_the_same_header_do_it_again(suffix: str, tmp_path: Path, model: Model) -> None:
    sitk = pytest.importorskip("SimpleITK")
    for seed in (0, 1):
        picture(tmp_path / "p.tif", seed, (5, 40, 44))
        sitk.WriteImage(sitk.GetImageFromArray(tifffile.imread(tmp_path / "p.tif")), str(tmp_path / f"scan{suffix}"))
        for expected in ("done", "skipped"):
            (status,) = done([tmp_path / f"scan{suffix}"], tmp_path / "out", model).pictures
            assert status.state == expected
        found = segment(tmp_path / f"scan{suffix}", model).labels
        np.testing.assert_array_equal(np.asarray(read_image(status.labels).array), found)


def ome_xml(images: Sequence[str], number: int, *, told_by: int | None = None) -> str:
    """OME-XML of pictures of three times, each described by its TiffData, in the file of a number."""
    root = '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"'
    if told_by is not None and told_by != number:
        return (
            f'{root} UUID="urn:uuid:{number}"><BinaryOnly MetadataFile="t{told_by}" UUID="urn:uuid:{told_by}"/></OME>'
        )
    sizes = 'DimensionOrder="XYZTC" Type="uint8" SizeX="40" SizeY="32" SizeZ="1" SizeC="1" PhysicalSizeX="0.5"'
    pixels = f'<Pixels ID="P" {sizes} PhysicalSizeY="0.5" SizeT="3">'
    described = "".join(f'<Image ID="I{i}">{pixels}{data}</Pixels></Image>' for i, data in enumerate(images))
    return f'{root} UUID="urn:uuid:{number}">{described}</OME>'


def ome_plane(name: str, number: int, ifd: int, time: int) -> str:
    uuid = f'<UUID FileName="{name}">urn:uuid:{number}</UUID>'
    return f'<TiffData IFD="{ifd}" FirstT="{time}" PlaneCount="1">{uuid}</TiffData>'


@pytest.mark.parametrize("told_by", [None, 1])
def test_ome_tiff_in_several_files_is_one_picture(told_by: int | None, tmp_path: Path, model: Model) -> None:
    names = [f"t{i}.ome.tif" for i in range(3)]
    xml = "".join(ome_plane(name, i, 0, i) for i, name in enumerate(names))

    def write(number: int, seed: int) -> None:
        plane = np.random.default_rng(seed).integers(0, 255, (32, 40), np.uint8)
        tifffile.imwrite(
            tmp_path / "in" / names[number], plane, description=ome_xml([xml], number, told_by=told_by), metadata=None
        )

    (tmp_path / "in").mkdir()
    for i in range(3):
        write(i, i)
    picture = tmp_path / "in" / names[told_by or 0]
    (status,) = done([tmp_path / "in"], tmp_path / "out", model).pictures
    assert (status.state, status.name) == ("done", picture.name)
    np.testing.assert_array_equal(np.asarray(read_image(status.labels).array), segment(picture, model).labels)
    assert set(states(done([tmp_path / "in"], tmp_path / "out", model)).values()) == {"skipped"}
    write(2, 9)
    assert set(states(done([tmp_path / "in"], tmp_path / "out", model)).values()) == {"done"}


def test_each_position_of_an_ome_tiff_in_several_files_is_a_picture_of_its_own(tmp_path: Path) -> None:
    names = [f"Pos{i}.ome.tif" for i in range(2)]
    images = ["".join(ome_plane(name, i, t, t) for t in range(3)) for i, name in enumerate(names)]
    for i, name in enumerate(names):
        planes = np.full((3, 32, 40), i + 1, np.uint8)
        more: dict[str, Any] = {"photometric": "minisblack", **({"compression": "zlib"} if i else {})}
        tifffile.imwrite(tmp_path / name, planes, description=ome_xml(images, i), metadata=None, **more)
    for i, name in enumerate(names):
        image = read_image(tmp_path / name)
        assert (image.axes, np.unique(np.asarray(image.array)).tolist(), image.notes) == ("TYX", [i + 1], ())
    assert [entry.name for entry in find_entries([tmp_path], tmp_path / "out")] == names


def test_another_look_under_the_same_name_does_it_again(
    slides: Path, tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAPARI_UNETSTYLE_MODELS", str(tmp_path / "own"))
    file, bank = tmp_path / "look.tif", StyleBank()
    for restyle, seed in itertools.product([str(file), "our-look"], [7, 8]):
        picture(file, seed)
        if "our-look" in bank:
            bank.remove("our-look")
        bank.add(KeptStyle.of("our-look", [read_image(file)]))
        for expected in ("done", "skipped"):
            report = done([slides / "a.tif"], tmp_path / "out", model, SegmentOptions(restyle=restyle))
            assert states(report) == {"a.tif": expected}


def test_another_model_does_it_again(slides: Path, tmp_path: Path, model: Model) -> None:
    done([slides], tmp_path / "out", model)
    other = tiny_model(tmp_path / "models", seed=1)
    assert set(states(done([slides], tmp_path / "out", other)).values()) == {"done"}


def test_a_stopped_run_goes_on(slides: Path, tmp_path: Path, model: Model) -> None:
    clean, out = tmp_path / "clean", tmp_path / "out"
    done([slides], clean, model, files=EVERYTHING)
    for stop in range(1, 12):
        steps = iter_segment_folder([slides], out, model, files=EVERYTHING)
        for _ in range(stop):
            if next(steps, None) is None:
                break
        steps.close()
        assert not list(out.rglob(".partial-*"))
    done([slides], out, model, files=EVERYTHING)
    assert contents(out) == contents(clean)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_a_killed_run_ends_like_a_clean_one(slides: Path, tmp_path: Path, model: Model) -> None:
    clean, out = tmp_path / "clean", tmp_path / "out"
    done([slides], clean, model, files=EVERYTHING)
    code = """
import sys
from napari_unetstyle.core import run
from napari_unetstyle.core.segmentation.folder import iter_segment_folder
from napari_unetstyle.core.segmentation.folder_report import FolderFiles
files = FolderFiles(table=True, measure=True, rois=True, geojson=True, probabilities=True)
print("ready", flush=True)
run(iter_segment_folder([sys.argv[1]], sys.argv[2], sys.argv[3], files=files))
"""
    command = [sys.executable, "-c", code, str(slides), str(out), str(model.folder)]
    random_ = random.Random(0)
    for _ in range(6):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(random_.uniform(0, 2.5))
            process.send_signal(signal.SIGKILL)
        for path in out.rglob("*.tif"):
            if not path.name.startswith(".partial-"):
                assert tifffile.imread(path).size
    done([slides], out, model, files=EVERYTHING)
    left = {name: data for name, data in contents(out).items() if "/.partial-" not in f"/{name}"}
    assert left == contents(clean)


def test_what_a_killed_run_left_is_swept(slides: Path, tmp_path: Path, model: Model) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in (".partial-old.tif", ".partial-new.tif"):
        (out / name).touch()
    os.utime(out / ".partial-old.tif", (0, 0))
    done([slides / "a.tif"], out, model)
    assert [path.name for path in out.glob(".partial-*")] == [".partial-new.tif"]


# Progress ----------------------------------------------------------------------------------------------------------


def test_progress_rises_and_names_every_picture(slides: Path, tmp_path: Path, model: Model) -> None:
    seen: list[FolderProgress] = []
    run(iter_segment_folder([slides], tmp_path / "out", model), seen.append)  # type: ignore[arg-type]
    steps = [progress.step for progress in seen]
    assert steps == sorted(steps)
    assert seen[-1].step == seen[-1].total
    ends = [p.picture for p in seen if p.picture is not None and p.picture.state != "running"]
    assert [end.name for end in ends] == ["a.tif", "b.tif", "more/c.tif"]
    assert {p.picture.state for p in seen if p.picture} == {"running", "done"}
    assert [p.counted for p in seen] == sorted(p.counted for p in seen)
    assert {p.counted for p in seen} == {(1, 3), (2, 3), (3, 3)}


# Which pictures ----------------------------------------------------------------------------------------------------


def names(inputs: Sequence[Path], out: Path) -> dict[str, str]:
    return {entry.name: entry.target.as_posix() for entry in find_entries(inputs, out)}


def test_names_are_kept_relative(slides: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert names([slides], out) == {"a.tif": "a.tif", "b.tif": "b.tif", "more/c.tif": "more/c.tif"}
    assert list(names([slides / "more"], out)) == ["c.tif"]
    assert list(names([slides / "a.tif"], out)) == ["a.tif"]
    assert list(names([slides / "a.tif", slides / "more" / "c.tif"], out)) == ["a.tif", "more/c.tif"]
    assert list(names([slides / "*.tif"], out)) == ["a.tif", "b.tif"]
    assert list(names([slides / "**" / "*.tif"], out)) == ["a.tif", "b.tif", "more/c.tif"]
    assert list(names([slides, slides / "a.tif"], out)) == ["a.tif", "b.tif", "more/c.tif"]


def test_hidden_folders_are_not_looked_into(slides: Path, tmp_path: Path) -> None:
    picture(slides / ".git" / "q.tif")
    assert list(names([slides], tmp_path / "out")) == ["a.tif", "b.tif", "more/c.tif"]
    assert list(names([slides / ".git"], tmp_path / "out")) == ["q.tif"]


def test_results_never_leave_the_folder_for_them(
    slides: Path, tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    picture(tmp_path / "here" / "x.tif")
    monkeypatch.chdir(tmp_path / "here")
    out = tmp_path / "out"
    files = FolderFiles(table=True, geojson=True)
    report = done([Path("x.tif"), Path("../slides/a.tif")], out, model, files=files)
    assert states(report) == {"here/x.tif": "done", "slides/a.tif": "done"}
    assert set(contents(tmp_path / "here")) == {"x.tif"}
    assert {"here/x.tif", "slides/a.tif", "slides/a.geojson"} <= contents(out).keys()
    assert set(contents(tmp_path)) == {
        "here/x.tif", "slides/a.tif", "slides/b.tif", "slides/more/c.tif", *(f"out/{name}" for name in contents(out)),
    }  # fmt: skip


def test_a_picture_named_in_several_ways_is_one(slides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out"
    plain = Path("slides/a.tif")
    assert list(names([plain, Path("slides/../slides/a.tif"), slides / "a.tif"], out)) == ["a.tif"]
    assert list(names([Path("slides"), slides / "a.tif"], out)) == ["a.tif", "b.tif", "more/c.tif"]
    assert list(names([Path("slides/more/.."), slides / "more"], out)) == ["a.tif", "b.tif", "more/c.tif"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_what_links_are_called_is_kept(slides: Path, tmp_path: Path) -> None:
    (tmp_path / "links" / "x").mkdir(parents=True)
    (tmp_path / "links" / "one.tif").symlink_to(slides / "a.tif")
    (tmp_path / "links" / "more").symlink_to(slides / "more")
    assert list(names([tmp_path / "links" / "one.tif"], tmp_path / "out")) == ["one.tif"]
    behind = tmp_path / "links" / "more" / ".." / "b.tif"  # the disk goes up from where the link leads to
    (entry,) = find_entries([behind], tmp_path / "out")
    assert (entry.name, entry.path.samefile(slides / "b.tif")) == ("b.tif", True)
    assert list(names([behind, slides / "b.tif"], tmp_path / "out")) == ["b.tif"]


def test_results_are_no_pictures(slides: Path, model: Model) -> None:
    out = slides / "out"
    done([slides], out, model)
    report = done([slides], out, model)
    assert set(states(report)) == {"a.tif", "b.tif", "more/c.tif"}


@pytest.mark.parametrize("suffix", [".tif", ".nii.gz", ".nrrd", ".mha", ".zarr"])
def test_labels_of_another_run_are_no_pictures(suffix: str, slides: Path, tmp_path: Path, model: Model) -> None:
    path = tmp_path / "elsewhere" / f"labels{suffix}"
    path.parent.mkdir()
    write_labels(path, segment(np.asarray(read_image(next(slides.glob("*.tif"))).array), model=model))
    (failed,) = done([path], tmp_path / "again", model).pictures
    assert failed.state == "failed"
    assert "holds labels, and a picture is needed" in failed.message
    with pytest.raises(ImageError, match="holds labels"):
        segment(path, model=model)


def test_pictures_that_differ_in_suffix_only(tmp_path: Path) -> None:
    for name in ("x.png", "x.tif", "y.ome.tif", "z.jpg"):
        (tmp_path / name).touch()
    assert names([tmp_path], tmp_path / "out") == {
        "x.png": "x.png.tif", "x.tif": "x.tif", "y.ome.tif": "y.tif", "z.jpg": "z.tif",
    }  # fmt: skip


def test_labels_of_volumes_are_volumes(tmp_path: Path) -> None:
    for name in ("a.nii.gz", "b.NII", "c.nrrd", "d.mhd", "f.tif", "f.nii", "more/a.nhdr", "g.nii", "g.nii.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert names([tmp_path], tmp_path / "out") == {
        "a.nii.gz": "a.nii.gz", "b.NII": "b.nii.gz", "c.nrrd": "c.nrrd", "d.mhd": "d.mha",
        "f.tif": "f.tif", "f.nii": "f.nii.nii.gz", "more/a.nhdr": "more/a.nrrd",
        "g.nii": "g.nii.nii.gz", "g.nii.gz": "g.nii.gz.nii.gz",
    }  # fmt: skip


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_labels_of_a_volume_lie_on_it(suffix: str, tmp_path: Path, model: Model) -> None:
    pixels = tifffile.imread(picture(tmp_path / "x.tif", shape=(3, 40, 50)))
    source = write_labels(tmp_path / f"in/brain{suffix}", pixels, axes="ZYX", geometry=PLACE)
    every = FolderFiles(table=True, rois=True, geojson=True, probabilities=True)
    report = done([source], tmp_path / "out", model, files=every)
    assert states(report) == {source.name: "done"}
    labels = read_image(tmp_path / "out" / source.name)
    np.testing.assert_allclose(labels.geometry.affine, PLACE.affine, atol=1e-4)
    np.testing.assert_array_equal(labels.array, segment(source, model).labels)
    written = {path.name for path in (tmp_path / "out").iterdir() if path.is_file()}
    others = {"brain_rois.zip", "brain.geojson", "brain_probabilities.tif", "objects.csv"}
    assert written == {source.name, *others}
    assert states(done([source], tmp_path / "out", model, files=every)) == {source.name: "skipped"}


def test_ome_zarr_is_one_picture(slides: Path, tmp_path: Path, model: Model) -> None:
    pixels = tifffile.imread(picture(tmp_path / "x.tif", shape=(3, 40, 50)))
    source = tmp_path / "slides" / "deep" / "brain.ome.zarr"
    place = described("zyx", [([2.0, 0.5, 0.25], [10.0, -3.0, 7.0])], "millimeter")
    write_picture(source, [pixels], place, "0.4")
    report = done([tmp_path / "slides"], tmp_path / "out", model)
    assert states(report) == dict.fromkeys(["a.tif", "b.tif", "deep/brain.ome.zarr", "more/c.tif"], "done")
    labels = read_image(tmp_path / "out" / "deep" / "brain.nii.gz")
    np.testing.assert_array_equal(labels.array, segment(source, model).labels)
    np.testing.assert_allclose(labels.geometry.affine, read_image(source).geometry.affine, rtol=1e-5)
    assert states(done([source], tmp_path / "out2", model)) == {"brain.ome.zarr": "done"}
    assert states(done([source], tmp_path / "out2", model)) == {"brain.ome.zarr": "skipped"}
    (chunk,) = (source / "0" / "0" / "0").iterdir()
    chunk.rename(chunk.with_name("1"))  # the same bytes, elsewhere
    assert states(done([source], tmp_path / "out2", model))["brain.ome.zarr"] != "skipped"


@pytest.mark.skipif(sys.platform != "linux", reason="names are text there")
def test_names_that_are_no_text(tmp_path: Path, model: Model) -> None:
    odd = tmp_path / "in" / os.fsdecode(b"caf\xe9.tif")
    picture(tmp_path / "in" / "plain.tif").rename(odd)
    report = done([odd.parent], tmp_path / "out", model, files=FolderFiles(table=True))
    assert states(report) == {"caf\\udce9.tif": "done"}
    assert report.table is not None
    assert "caf\\udce9.tif," in report.table.read_text(encoding="utf-8")


def test_two_pictures_of_one_name(tmp_path: Path) -> None:
    picture(tmp_path / "1" / "a.tif")
    picture(tmp_path / "2" / "a.tif")
    with pytest.raises(OptionError, match="would both become"):
        find_entries([tmp_path / "1", tmp_path / "2"], tmp_path / "out")
    assert list(names([tmp_path / "1" / "a.tif", tmp_path / "2" / "a.tif"], tmp_path / "out")) == ["1/a.tif", "2/a.tif"]


def test_a_picture_is_never_replaced(slides: Path, tmp_path: Path, model: Model) -> None:
    before = contents(slides)
    with pytest.raises(OptionError, match="would replace a picture"):
        done([slides / "a.tif"], slides, model)
    with pytest.raises(OptionError, match="would replace a picture"):
        done([slides / "*.tif"], slides, model)
    assert contents(slides) == before


def test_no_result_of_one_picture_is_that_of_another(tmp_path: Path, model: Model) -> None:
    for name in ("x.tif", "x_probabilities.tif"):
        picture(tmp_path / "in" / name)
    with pytest.raises(OptionError, match="would both become"):
        done([tmp_path / "in"], tmp_path / "out", model, files=FolderFiles(probabilities=True))
    assert not (tmp_path / "out").exists()
    assert set(states(done([tmp_path / "in"], tmp_path / "out", model)).values()) == {"done"}


def test_probabilities_never_replace_a_picture(tmp_path: Path, model: Model) -> None:
    for name in ("x.tif", "x_probabilities.tif"):
        picture(tmp_path / name)
    before = contents(tmp_path)
    files = FolderFiles(probabilities=True, zarr=True)
    with pytest.raises(OptionError, match="would replace a picture"):
        done([tmp_path / "*.tif"], tmp_path, model, files=files, force=True)
    assert contents(tmp_path) == before


# What cannot be done at all ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "error", "sentence"),
    [
        ({"inputs": []}, OptionError, "no picture"),
        ({"inputs": ["nowhere/*.tif"]}, OptionError, "no picture"),
        ({"model": "unknown"}, ModelNotFoundError, "unknown"),
        ({"options": SegmentOptions(device="cuda:99")}, DeviceError, "not available"),
        ({"files": FolderFiles(stains="hed")}, OptionError, "measure"),
    ],
)
def test_nothing_is_written_if_nothing_can_be_done(
    changes: dict[str, Any], error: Any, sentence: str, slides: Path, tmp_path: Path, model: Model
) -> None:
    arguments = {"inputs": [slides], "out": tmp_path / "out", "model": model, **changes}
    with pytest.raises(error, match=sentence):
        run(iter_segment_folder(**arguments, store=ModelStore(tmp_path / "none", bundled=tmp_path)))
    assert not (tmp_path / "out").exists()


def test_an_edited_model_is_refused_before_the_first_picture(slides: Path, tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "models")
    with (model.folder / "weights.safetensors").open("ab") as file:
        file.write(b"more")
    with pytest.raises(ModelFileError, match=r"weights\.safetensors is damaged or was edited"):
        done([slides], tmp_path / "out", Model(model.spec, model.folder))
    assert not (tmp_path / "out").exists()


def test_a_model_that_is_in_use_or_in_no_folder_is_taken_as_it_is(slides: Path, tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "models")
    assert model.network
    shutil.rmtree(model.folder)
    for known in (model, Model.in_memory(model.spec, model.network)):
        report = done([slides / "a.tif"], tmp_path / "out", known, force=True)
        assert states(report) == {"a.tif": "done"}


def test_objects_from_a_model_of_areas(slides: Path, tmp_path: Path) -> None:
    areas = tiny_model(tmp_path / "models", separation=None)
    with pytest.raises(OptionError, match="areas only"):
        done([slides], tmp_path / "out", areas, SegmentOptions(output="objects"))


def test_an_output_folder_that_cannot_be(slides: Path, tmp_path: Path, model: Model) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="Could not write to"):
        done([slides], tmp_path / "file", model)


def test_disk_full_is_a_failed_picture_and_old_labels_stay(
    slides: Path, tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    done([slides], out, model)
    before = (out / "a.tif").read_bytes()

    def full(*_: Any, **__: Any) -> None:
        raise OutputError("Could not write a.tif: No space left on device.")

    monkeypatch.setattr(module, "write_labels", full)
    report = done([slides], out, model, SegmentOptions(threshold=0.3))
    assert set(states(report).values()) == {"failed"}
    assert "No space left" in report.pictures[0].message
    assert (out / "a.tif").read_bytes() == before
    shutil.rmtree(out)


def test_labels_as_ome_zarr_are_skipped_made_anew_and_never_replace_what_is_not_theirs(
    slides: Path, tmp_path: Path, model: Model
) -> None:
    """The labels of an earlier run may go, a picture may not."""
    out, files = tmp_path / "out", FolderFiles(zarr=True)
    first = done([slides], out, model, files=files)
    assert [status.state for status in first.pictures] == ["done"] * 3
    assert first.pictures[0].labels == out / "a.zarr"
    np.testing.assert_array_equal(read_image(out / "a.zarr").array[...], segment(slides / "a.tif", model).labels)
    assert [status.state for status in done([slides], out, model, files=files).pictures] == ["skipped"] * 3
    again = done([slides], out, model, SegmentOptions(threshold=0.7), files=files)
    assert [status.state for status in again.pictures] == ["done"] * 3
    shutil.rmtree(out / "a.zarr")
    write_picture(out / "a.zarr", [np.ones((60, 70), np.uint8)], described("yx", [([1.0, 1.0], [0.0, 0.0])]))
    refused = done([slides], out, model, files=files)
    assert [status.state for status in refused.pictures] == ["failed", "done", "done"]
    assert "Could not write" in refused.pictures[0].message
    assert read_image(out / "a.zarr").array[...].min() == 1


# Straight into the chunks of OME-Zarr -------------------------------------------------------------------------------


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of which the pictures here have many, some not full."""
    monkeypatch.setattr(ome_zarr_labels, "_CHUNK", {2: (16, 32), 3: (4, 32, 32)})
    monkeypatch.setattr(ome_zarr_labels, "_SMALLEST", 16)


def refuse_whole_labels(monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...]) -> None:
    def zeros(wanted: tuple[int, ...], dtype: Any, in_memory: int | None = None) -> Any:
        assert tuple(wanted) != shape or np.dtype(dtype) not in (np.int32, np.uint8) or in_memory is None, "labels"
        return scratch_zeros(wanted, dtype, in_memory)

    scratch_zeros = scratch.zeros
    monkeypatch.setattr(scratch, "zeros", zeros)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((60, 70), {"output": "objects"}),
        ((60, 70), {"output": "areas", "fill_holes": True, "keep_largest": True}),
        ((4, 60, 70), {"output": "objects"}),
        ((4, 60, 70), {"output": "areas", "min_pixels": 20}),
        ((9, 40, 50), {"output": "objects", "link": True, "axes": "ZYX"}),
        ((9, 40, 50), {"output": "objects", "plane": "ZX", "axes": "ZYX"}),
        ((9, 40, 50), {"output": "areas", "plane": "all", "fill_holes": True, "axes": "ZYX"}),
    ],
    ids=str,
)
def test_labels_are_decided_in_their_chunks_bit_for_bit(
    shape: tuple[int, ...], options: dict[str, Any], tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    axes = options.get("axes")
    asked = SegmentOptions(**{name: value for name, value in options.items() if name != "axes"}, memory=0)
    source = picture(tmp_path / "in" / "a.tif", shape=shape)
    usual = run(iter_segment(read_image(source, axes), model, asked))
    write_labels(tmp_path / "usual" / "a.zarr", usual)
    write_table(tmp_path / "usual.csv", usual)
    assert usual.labels.shape == shape
    refuse_whole_labels(monkeypatch, shape)
    report = done([source], tmp_path / "out", model, asked, axes=axes, files=FolderFiles(zarr=True, table=True))
    assert states(report) == {"a.tif": "done"}, report.pictures[0].message
    assert contents(tmp_path / "out" / "a.zarr") == contents(tmp_path / "usual" / "a.zarr")
    assert report.table is not None
    rows = [row.split(",", 1)[1] for row in report.table.read_text(encoding="utf-8").splitlines()]
    assert rows == (tmp_path / "usual.csv").read_text(encoding="utf-8").splitlines()
    assert usual.labels.max() > 0


@pytest.mark.usefixtures("small_chunks")
def test_of_labels_in_chunks_a_stop_or_a_full_disk_leaves_nothing(
    slides: Path, tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def left() -> list[str]:
        return [path.name for path in (tmp_path / "out").rglob("*") if path.name not in (module.SIDECARS, ".tables")]

    steps, seen = iter_segment_folder([slides / "a.tif"], tmp_path / "out", model, files=FolderFiles(zarr=True)), 0
    for _ in steps:
        seen += bool(left())
        if seen > 2:
            break
    assert any(name.startswith(".partial-") for name in left())
    steps.close()
    assert left() == []

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zarr.Array, "__setitem__", full)
    report = done([slides / "a.tif"], tmp_path / "out", model, files=FolderFiles(zarr=True))
    assert report.pictures[0].message.startswith("Could not write")
    assert "No space left on device" in report.pictures[0].message
    assert left() == []


def test_slices_that_are_named_one_by_one_are_the_volume_of_their_folder(tmp_path: Path) -> None:
    folder = made.write_volume(tmp_path / "scan", np.zeros((3, 20, 24), np.int16), PLACE)
    slices = sorted(folder.iterdir())
    picture = tmp_path / "a.tif"
    tifffile.imwrite(picture, np.zeros((20, 24), np.uint8))
    assert [path for path, _ in find_pictures([*slices, picture])] == [picture, folder]
    assert [path for path, _ in find_pictures(slices[:2])] == slices[:2]  # a part of it is what was asked for
    assert [path for path, _ in find_pictures(slices[:1])] == slices[:1]
    shutil.copytree(folder, folder / "out")  # where an earlier run has written DICOM, too
    assert [path for path, _ in find_pictures(slices, folder / "out")] == [folder]


def test_what_lies_in_the_output_folder_is_told_from_nothing(slides: Path, tmp_path: Path, model: Model) -> None:
    for given in (slides, slides / "sub"):
        given.mkdir(exist_ok=True)
        with pytest.raises(OptionError, match=r"is in the output folder .* Choose another"):
            done([given], slides, model)
