"""The command ``evaluate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile

from napari_unetstyle.core import Geometry, evaluate, read_image, write_labels
from napari_unetstyle.core.models.spec import ClassSpec
from tests.cli.cli_for_tests import Shell
from tests.core import dicom_for_tests as made


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    truth = np.kron(np.arange(12).reshape(3, 4), np.ones((10, 10), int))
    write_labels(tmp_path / "prediction.tif", np.roll(truth, 2, axis=1))
    (tmp_path / "truth.png").write_bytes(imagecodecs.png_encode(truth.astype(np.uint16)))
    return tmp_path / "prediction.tif", tmp_path / "truth.png"


def test_objects(shell: Shell, pair: tuple[Path, Path]) -> None:
    truth = np.kron(np.arange(12).reshape(3, 4), np.ones((10, 10), int))
    expected = evaluate(np.roll(truth, 2, axis=1), truth)
    done = shell("evaluate", *pair)
    assert done.code == 0
    assert f"AP at IoU 0.5         {expected['average_precision'][0.5]:.4f}" in done.out
    assert f"Dice                  {expected['dice']:.4f}" in done.out
    scores = json.loads(shell("evaluate", *pair, "--json").out)
    assert scores["panoptic_quality"] == expected["panoptic_quality"]
    assert set(scores["average_precision"]) == {"0.5", "0.6", "0.7", "0.8", "0.9"}


def test_areas(shell: Shell, pair: tuple[Path, Path]) -> None:
    assert "class 11" in shell("evaluate", *pair, "--areas").out
    assert "11" in json.loads(shell("evaluate", *pair, "--areas", "--json").out)["classes"]


def test_with_a_spacing_values_are_classes_unless_a_word_says_otherwise(shell: Shell, pair: tuple[Path, Path]) -> None:
    assert "class 11" in shell("evaluate", *pair, "--spacing", "0.5,0.5").out
    assert "AP at" in shell("evaluate", *pair, "--spacing", "0.5,0.5", "--objects").out


def test_areas_are_known_from_the_file(shell: Shell, slides: Path, tmp_path: Path) -> None:
    shell("segment", slides / "a.tif", "-o", tmp_path / "out", "-m", "tiny", "--areas")
    done = shell("evaluate", tmp_path / "out" / "a.tif", tmp_path / "out" / "a.tif")
    assert "nucleus" in done.out
    assert "Dice 1.0000, IoU 1.0000" in done.out
    assert "AP at" in shell("evaluate", *[tmp_path / "out" / "a.tif"] * 2, "--objects").out


def test_a_file_whose_classes_are_none_is_compared_by_values(shell: Shell, tmp_path: Path) -> None:
    path, info = tmp_path / "x.tif", json.dumps({"output": "areas", "classes": [1]})
    tifffile.imwrite(path, np.eye(9, dtype=np.uint8), imagej=True, metadata={"Info": info})
    done = shell("evaluate", path, path)
    assert done.code == 0
    assert "class 1" in done.out


def test_of_a_file_in_levels_the_one_with_the_pixels_of_the_other_is_compared(shell: Shell, tmp_path: Path) -> None:
    labels = np.kron(np.arange(12).reshape(3, 4), np.ones((100, 100), int))
    place = Geometry(spacing=(0.5, 0.5), unit="um")
    write_labels(tmp_path / "truth.zarr", labels, geometry=place)
    coarse = Geometry(spacing=(1.0, 1.0), unit="um")
    write_labels(tmp_path / "found.tif", labels[::2, ::2], geometry=coarse)
    done = shell("evaluate", tmp_path / "found.tif", tmp_path / "truth.zarr", "--json")
    assert done.code == 0
    assert json.loads(done.out)["dice"] == 1
    assert f"Level 1 of {tmp_path / 'truth.zarr'} was compared" in done.err
    again = shell("evaluate", tmp_path / "truth.zarr", tmp_path / "truth.zarr")
    assert (again.code, again.err) == (0, "")


def test_what_cannot_be_compared(shell: Shell, pair: tuple[Path, Path], tmp_path: Path) -> None:
    write_labels(tmp_path / "small.tif", np.ones((3, 3), int))
    done = shell("evaluate", tmp_path / "small.tif", pair[1])
    assert (done.code, done.out) == (2, "")
    assert "same shape" in done.err
    assert shell("evaluate", pair[0], tmp_path / "gone.tif").code == 2
    assert shell("evaluate", *pair, "--objects", "--areas").code == 2
    assert "--spacing" in shell("evaluate", *pair, "--unit", "mm").err


@pytest.fixture
def scans(tmp_path: Path) -> tuple[Path, Path]:
    truth = np.zeros((6, 20, 20), np.uint8)
    truth[2:5, 4:12, 4:12], truth[1:3, 14:18, 3:9] = 1, 2
    place = Geometry(spacing=(3.0, 0.5, 0.5), unit="mm", origin=(-100.0, 20.0, 7.0), is_anatomical=True)
    for name, labels in (("prediction", np.roll(truth, 1, axis=2)), ("truth", truth)):
        write_labels(tmp_path / f"{name}.nii.gz", labels, axes="ZYX", geometry=place)
    return tmp_path / "prediction.nii.gz", tmp_path / "truth.nii.gz"


def test_scans_have_distances_and_volumes(shell: Shell, scans: tuple[Path, Path], tmp_path: Path) -> None:
    done = shell("evaluate", *scans, "--csv", tmp_path / "scores.csv")
    assert (done.code, done.err) == (0, "")
    assert "HD95                  0.5 mm" in done.out
    assert "NSD at 1 mm           1.0000" in done.out
    assert "volume 0.144 for 0.144 ml (+0.0%)" in done.out
    scores = json.loads(shell("evaluate", *scans, "--json", "--tolerance", "0.4").out)
    pair = [np.asarray(read_image(path).array) for path in scans]
    expected = evaluate(*pair, output="areas", spacing=(3.0, 0.5, 0.5), tolerance=0.4)
    assert scores["classes"]["2"] == pytest.approx(expected["classes"][2], rel=1e-6)
    assert scores["nsd"] < 1
    header, *rows = (tmp_path / "scores.csv").read_text().splitlines()
    assert header.startswith("class,class_name,dice,iou,hd95_mm,assd_mm,nsd_1_mm,volume_predicted_ml")
    assert [row.split(",")[0] for row in rows] == ["1", "2", ""]


def test_what_the_file_of_differences_cannot_hold_is_said(
    shell: Shell, scans: tuple[Path, Path], tmp_path: Path
) -> None:
    said = "Note: TIFF cannot hold where the volume lies"
    assert said in shell("evaluate", *scans, "--differences", tmp_path / "where.tif").err
    assert said not in shell("evaluate", *scans, "--differences", tmp_path / "where.nrrd").err


@pytest.mark.parametrize("stated", [[], ["--spacing", "3,0.5,0.5", "--unit", "mm"]], ids=["as the files say", "stated"])
def test_differences_lie_where_the_truth_lies(
    stated: list[str], shell: Shell, scans: tuple[Path, Path], tmp_path: Path
) -> None:
    assert shell("evaluate", *scans, *stated, "--differences", tmp_path / "where.nii.gz").code == 0
    where, truth = read_image(tmp_path / "where.nii.gz"), read_image(scans[1])
    prediction = np.asarray(read_image(scans[0]).array)
    np.testing.assert_array_equal(np.asarray(where.array) > 0, prediction != np.asarray(truth.array))
    np.testing.assert_allclose(where.geometry.affine, truth.geometry.affine, atol=1e-5)


def test_a_class_that_is_missing_is_null_in_json(shell: Shell, scans: tuple[Path, Path], tmp_path: Path) -> None:
    empty = read_image(scans[1])
    write_labels(tmp_path / "empty.nii.gz", np.zeros((6, 20, 20), np.uint8), axes="ZYX", geometry=empty.geometry)
    scores = json.loads(shell("evaluate", tmp_path / "empty.nii.gz", scans[1], "--json").out)
    assert scores["classes"]["1"]["hd95"] is None
    assert scores["classes"]["1"]["nsd"] == 0
    assert "HD95 inf mm" in shell("evaluate", tmp_path / "empty.nii.gz", scans[1]).out


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"spacing": (3.0, 0.5, 0.6)}, "Pixel sizes differ: 3 × 0.5 × 0.6 mm in the prediction"),
        ({"origin": (-100.0, 20.0, 8.0)}, "different places"),
        ({"direction": ((1, 0, 0), (0, 1, 0), (0, 0, -1))}, "mirrored"),
    ],
)
def test_another_grid_is_refused(
    change: dict[str, object], sentence: str, shell: Shell, scans: tuple[Path, Path], tmp_path: Path
) -> None:
    import dataclasses

    image = read_image(scans[0])
    other = dataclasses.replace(image.geometry, **change)  # type: ignore[arg-type]
    write_labels(tmp_path / "other.nii.gz", np.asarray(image.array), axes="ZYX", geometry=other)
    done = shell("evaluate", tmp_path / "other.nii.gz", scans[1])
    assert (done.code, done.out) == (2, "")
    assert sentence in done.err
    stated = shell("evaluate", tmp_path / "other.nii.gz", scans[1], "--spacing", "3,0.5,0.5", "--unit", "mm")
    assert "HD95                  0.5 mm" in stated.out
    assert ("different places" in stated.err) == ("spacing" not in change)  # said, as nobody else would
    alike = shell("evaluate", scans[0], scans[1], "--spacing", "3,0.5,0.5", "--unit", "mm")
    assert "Note" not in alike.err


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd"])
@pytest.mark.parametrize("stated", [[], ["--spacing", "3,0.5,0.5", "--unit", "mm"]], ids=["as the files say", "stated"])
@pytest.mark.parametrize(("order", "flip"), [((0, 1, 2), (False, True, True)), ((2, 0, 1), (True, False, True))])
def test_a_mask_stored_another_way_round_has_the_same_scores(
    order: tuple[int, ...], flip: tuple[bool, ...], stated: list[str], suffix: str,
    shell: Shell, scans: tuple[Path, Path], tmp_path: Path,
) -> None:  # fmt: skip
    image = read_image(scans[0])
    turned = np.flip(np.asarray(image.array).transpose(order), [axis for axis in range(3) if flip[axis]])
    place = image.geometry.turned(image.label_shape, order, flip)
    write_labels(tmp_path / f"other{suffix}", turned, axes="ZYX", geometry=place)
    expected = json.loads(shell("evaluate", *scans, "--json").out)
    where = tmp_path / "where.nii.gz"
    done = shell("evaluate", tmp_path / f"other{suffix}", scans[1], *stated, "--json", "--differences", where)
    found = json.loads(done.out)
    assert {**found, "prediction": ""} == {**expected, "prediction": ""}
    assert [line for line in done.err.splitlines() if "another way round" in line] == done.err.splitlines()
    assert "Z to the head, Y to the back and X to the left" in done.err
    truth = read_image(scans[1])
    differ = np.asarray(image.array) != np.asarray(truth.array)
    np.testing.assert_array_equal(np.asarray(read_image(where).array) > 0, differ)
    back = json.loads(shell("evaluate", scans[1], tmp_path / f"other{suffix}", "--json").out)
    assert back["dice"] == expected["dice"]
    assert back["hd95"] == expected["hd95"]


def test_a_picture_in_the_place_of_the_truth_is_refused(shell: Shell, scans: tuple[Path, Path], tmp_path: Path) -> None:
    place = read_image(scans[1]).geometry
    write_labels(tmp_path / "scan.nii.gz", np.arange(2400).reshape(6, 20, 20), axes="ZYX", geometry=place)
    done = shell("evaluate", scans[0], tmp_path / "scan.nii.gz")
    assert (done.code, done.out) == (2, "")
    assert "Is one of the two a picture?" in done.err
    assert shell("evaluate", scans[0], scans[0], "--areas").code == 0


def test_slides_need_a_tolerance_for_nsd(shell: Shell, pair: tuple[Path, Path]) -> None:
    done = shell("evaluate", *pair, "--areas", "--spacing", "0.5")
    assert "ASSD" in done.out
    assert "NSD" not in done.out
    assert "--tolerance" in done.err
    assert "NSD at 0.6 um" in shell("evaluate", *pair, "--tolerance", "0.6", "--spacing", "0.5").out
    assert shell("evaluate", *pair, "--tolerance", "1", "--objects").code == 2
    assert shell("evaluate", *pair, "--areas", "--spacing", "1,1,1").code == 2
    assert shell("evaluate", *pair, "--areas", "--spacing", "1", "--unit", "inch").code == 2


def test_objects_as_a_table_and_where_they_differ(shell: Shell, pair: tuple[Path, Path], tmp_path: Path) -> None:
    done = shell("evaluate", *pair, "--csv", tmp_path / "o.csv", "--differences", tmp_path / "where.tif")
    assert done.code == 0
    assert "panoptic_quality" in (tmp_path / "o.csv").read_text()
    where = np.asarray(read_image(tmp_path / "where.tif").array)
    assert set(np.unique(where)) == {0, 1, 2, 3}


def test_ids_taken_as_areas_are_refused_before_anything_is_scored(shell: Shell, tmp_path: Path) -> None:
    first, second = np.divmod(np.arange(300 * 300).reshape(300, 300), 300)
    paths = [write_labels(tmp_path / f"{i}.tif", labels + 1) for i, labels in enumerate((first, second))]
    done = shell(
        "evaluate", *paths, "--areas", "--csv", tmp_path / "scores.csv", "--differences", tmp_path / "where.tif"
    )
    assert done.code == 2
    assert "look like object ids; compare them as objects" in done.err
    assert "Traceback" not in done.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.tif", "1.tif"]


def test_what_is_compared_is_never_replaced(shell: Shell, scans: tuple[Path, Path], tmp_path: Path) -> None:
    before = [path.read_bytes() for path in scans]
    (tmp_path / "link.nii.gz").symlink_to(scans[1])
    for option in ("--csv", "--differences"):
        for target in (*scans, tmp_path / "link.nii.gz", tmp_path / "." / scans[0].name):
            for force in ([], ["--force"]):
                done = shell("evaluate", *scans, option, target, *force)
                assert (done.code, done.out) == (2, "")
                assert "one of the files that are compared" in done.err
    assert [path.read_bytes() for path in scans] == before


def test_what_exists_is_replaced_only_if_that_is_said(shell: Shell, pair: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("mine")
    write_labels(tmp_path / "mine.tif", np.ones((3, 3), int))
    words = ["evaluate", *pair, "--csv", tmp_path / "mine.csv"]
    done = shell(*words)
    assert (done.code, done.out, (tmp_path / "mine.csv").read_text()) == (2, "", "mine")
    assert "--force" in done.err
    assert shell("evaluate", *pair, "--differences", tmp_path / "mine.tif").code == 2
    assert shell(*words, "--force").code == 0
    assert "dice" in (tmp_path / "mine.csv").read_text()
    assert shell("evaluate", *pair, "--csv", tmp_path / "x", "--differences", tmp_path / "x").code == 2


def test_dicom_seg_is_compared_by_the_names_of_its_segments(shell: Shell, tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    place = Geometry(spacing=(2.5, 0.75, 0.5), unit="mm", origin=(-40, 12, 7), is_anatomical=True)
    labels = np.zeros((7, 8, 9), np.uint8)
    labels[2:5, 2:6, 3:7] = 2
    classes = (ClassSpec(value=2, name="liver", color="#e41a1c"),)
    source = made.write_volume(tmp_path / "series", labels.astype(np.int16), place)
    options: dict[str, Any] = {"axes": "ZYX", "geometry": place, "classes": classes, "output": "areas"}
    write_labels(tmp_path / "seg.dcm", labels, source=source, **options)
    write_labels(tmp_path / "truth.nii.gz", labels, **options)
    done = shell("evaluate", tmp_path / "seg.dcm", tmp_path / "truth.nii.gz")
    assert (done.code, "liver" in done.out, "Dice 1.0000, IoU 1.0000" in done.out) == (0, True, True)
    assert "Note: Slices that the labels (DICOM-SEG) leave out at their ends were taken as empty." in done.err
    scores = json.loads(shell("evaluate", tmp_path / "truth.nii.gz", tmp_path / "seg.dcm", "--json").out)
    assert (scores["dice"], scores["unit"], scores["tolerance"]) == (1, "mm", 1)
