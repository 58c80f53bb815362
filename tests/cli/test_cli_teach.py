"""The command ``teach``."""

from __future__ import annotations

import errno
import json
import re
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_unetstyle.core import Geometry, ModelStore, read_image, segment, write_labels
from napari_unetstyle.core.annotation.corrections import Correction
from napari_unetstyle.core.errors import OptionError
from napari_unetstyle.core.training import contradictions, fresh
from tests.cli.cli_for_tests import Shell
from tests.core import dicom_for_tests as made
from tests.core.disk_for_tests import LOG_MAY_END, Disk, needs_proc
from tests.core.networks_for_tests import tiny_model
from tests.core.teaching_for_tests import checkpoints_at_every_step
from tests.core.training_for_tests import discs


@pytest.fixture
def lessons(tmp_path: Path) -> list[object]:
    """Two pictures of discs in one folder, their objects in another."""
    for part in ("pictures", "masks"):
        (tmp_path / part).mkdir()
    for seed in (0, 1):
        example = discs((96, 112), count=10, seed=seed)
        pixels = np.moveaxis((255 * example.image).astype(np.uint8), 0, -1)
        tifffile.imwrite(tmp_path / "pictures" / f"slide{seed}.tif", pixels, photometric="rgb")
        tifffile.imwrite(tmp_path / "masks" / f"slide{seed}_mask.tif", example.labels[1].astype(np.uint16))
    return ["--images", tmp_path / "pictures", "--labels", tmp_path / "masks"]


@pytest.fixture
def own(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelStore:
    """A store that nobody else writes to."""
    monkeypatch.setenv("NAPARI_UNETSTYLE_MODELS", str(tmp_path / "models"))
    tiny_model(tmp_path / "models")
    return ModelStore()


def test_a_better_model_is_kept_as_the_next_version(shell: Shell, lessons: list[object], own: ModelStore) -> None:
    done = shell("teach", *lessons, "-m", "tiny", "--steps", 16, "--rate", 0.02)
    assert (done.code, done.out[:8]) == (0, "Better: ")
    assert "tiny-mine, version 1" in done.out
    kept = own.load("tiny-mine")
    assert kept.spec.parent == "tiny@1"
    assert segment(np.zeros((40, 40), np.uint8), kept).labels.shape == (40, 40)


@pytest.mark.long
def test_one_that_is_no_better_is_not_kept_unless_asked(
    shell: Shell, lessons: list[object], own: ModelStore, tmp_path: Path
) -> None:
    words = ["teach", *lessons, "-m", "tiny", "--steps", 1, "--rate", 1e-9]
    tifffile.imwrite(tmp_path / "pictures" / "slide7.tif", np.zeros((20, 20), np.uint8))
    done = shell(*words)
    assert done.code == 1
    assert "Note: 1 picture has no masks: slide7.tif." in done.err
    assert "the model you had stays" in done.out
    assert "tiny-mine" not in [spec.name for spec in own.list()]
    kept = shell(*words, "--keep", "-o", tmp_path / "out", "--json")
    assert kept.code == 0
    said = json.loads(kept.out)
    assert said["verdict"] == "not better"
    assert said["notes"][0] == "1 picture has no masks: slide7.tif."
    assert said["places"]["count"] >= 3
    assert ModelStore().load(tmp_path / "out").spec.name == "tiny-mine"
    told = shell(*words, "--keep", "-o", tmp_path / "told")
    assert "Not better: " in told.out
    assert "stays" not in told.out
    again = shell(*words, "-o", tmp_path / "out")
    assert (again.code, again.out) == (2, "")
    assert "exists already" in again.err


@pytest.mark.long
def test_a_look_that_nobody_labeled_is_learned_too(
    shell: Shell, lessons: list[object], own: ModelStore, tmp_path: Path
) -> None:
    dark = (255 * (1 - 0.6 * discs((128, 144), count=12, seed=7).image)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "dark.tif", np.moveaxis(dark, 0, -1), photometric="rgb")
    words = ["teach", *lessons, "-m", "tiny", "--steps", 16, "--rate", 0.02, "--style", tmp_path / "dark.tif"]
    done = shell(*words)
    assert (done.code, done.out[:8]) == (0, "Better: ")
    assert "styles 1" in own.load("tiny-mine").spec.provenance["recipe"]
    assert "dark.tif" not in (own.load("tiny-mine").folder / "model.json").read_text()
    textured = shell("teach", *lessons, "-m", "tiny", "--steps", 2, "--keep", "--texture", "--randomized", *words[-2:])
    assert textured.code == 0
    assert "styles 1 with texture, randomized" in own.load("tiny-mine").spec.provenance["recipe"]
    missing = shell(*words[:-1], tmp_path / "gone.tif")
    assert missing.code == 2
    assert "gone.tif" in missing.err


def test_stopped_before_it_began(
    shell: Shell, lessons: list[object], own: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("napari_unetstyle.core.annotation.masks.find_pairs", interrupted)
    done = shell("teach", *lessons, "-m", "tiny")
    assert (done.code, done.out, done.err) == (130, "", "Stopped.\n")


def test_texture_needs_a_style(shell: Shell, lessons: list[object], own: ModelStore) -> None:
    done = shell("teach", *lessons, "-m", "tiny", "--texture")
    assert done.code == 2
    assert "--texture needs a picture" in done.err


@pytest.mark.long
def test_styles_are_tried_and_what_helps_is_used(
    shell: Shell, lessons: list[object], own: ModelStore, tmp_path: Path
) -> None:
    words = [
        "teach",
        *lessons,
        "-m",
        "tiny",
        "--steps",
        3,
        "--rate",
        0.02,
        "--style",
        "he-dark",
        "--try-styles",
        "--keep",
    ]
    done = shell(*words, "--style", "he-dark", "--try-styles")
    assert done.code == 0
    assert done.out.startswith("Styles ")
    assert "in the other looks " in done.out.splitlines()[0]
    kept = own.load("tiny-mine").spec.provenance["recipe"]
    assert f"styles {int(done.out.startswith('Styles help'))}" in kept
    assert {path.name for path in own.root.iterdir() if not path.name.startswith("_")} == {"tiny@1", "tiny-mine@1"}


def test_from_scratch(
    shell: Shell, lessons: list[object], own: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fresh, "WIDTHS", (8, 16, 32))  # a width that learns in seconds
    mask = tmp_path / "masks" / "slide1_mask.tif"
    tifffile.imwrite(mask, ((tifffile.imread(mask) > 0) * 255).astype(np.uint8))
    done = shell(
        "teach",
        "--from-scratch",
        "--classes",
        "disc",
        *lessons,
        "-o",
        tmp_path / "Disc model",
        "--steps",
        3,
        "--mirror",
        "X",
    )
    assert (done.code, done.out[:11]) == (0, "A new model")
    spec = own.load(tmp_path / "Disc model").spec
    assert "Note: In 1 of 2 pictures masks have one value: each patch counts as one object." in done.err
    assert 10 < spec.input.object_diameter < 40  # not that of the whole mask
    assert (spec.name, [c.name for c in spec.classes], spec.parent) == ("disc-model", ["disc"], None)
    assert spec.input.mirror == "X"


def test_from_scratch_on_two_volumes_with_two_classes(shell: Shell, own: ModelStore, tmp_path: Path) -> None:
    place = Geometry(spacing=(2.0, 1.0, 1.0), unit="mm")
    z, y, x = np.ogrid[:8, :20, :20]
    for seed in (0, 1):
        organ = (z - 4) ** 2 + (y - 12) ** 2 + (x - 9 - 2 * seed) ** 2 < 16
        labels = np.where(organ, 1, 2 * ((abs(y - 4) < 3) & (abs(x - 10) < 7) & (z > 0))).astype(np.uint8)
        pixels = (80 * labels + np.random.default_rng(seed).integers(0, 20, labels.shape)).astype(np.uint8)
        for folder, values in (("volumes", pixels), ("labels", labels)):
            (tmp_path / folder).mkdir(exist_ok=True)
            write_labels(tmp_path / folder / f"{seed}.nii.gz", values, axes="ZYX", geometry=place)
    given = ["--images", tmp_path / "volumes", "--labels", tmp_path / "labels", "-o", tmp_path / "organs"]
    classes = ["--classes", "organ", "--classes", "vessel", "--areas"]
    done = shell("teach", "--from-scratch", *classes, *given, "--steps", 1)
    assert (done.code, done.out[:11]) == (0, "A new model"), done.err
    model = own.load(tmp_path / "organs")
    assert model.spec.network.spatial_dims == 3
    assert [(c.value, c.name) for c in model.spec.classes] == [(1, "organ"), (2, "vessel")]
    result = segment(read_image(tmp_path / "volumes" / "0.nii.gz"), model)
    assert result.labels.shape == (8, 20, 20)


def test_a_class_is_added_and_told_by_itself(
    shell: Shell, lessons: list[object], own: ModelStore, tmp_path: Path
) -> None:
    tiny_model(own.root, name="areas", separation=None)
    for path in (tmp_path / "masks").iterdir():
        ids = tifffile.imread(path)
        tifffile.imwrite(path, np.where(ids > 5, 2, ids > 0).astype(np.uint8))
    words = ["teach", *lessons, "-m", "areas", "--steps", 2, "--keep", "--json"]
    refused = shell(*words)
    assert (refused.code, refused.out) == (2, "")
    assert "add the class" in refused.err
    again = shell(*words, "--add-class", "Nucleus")
    assert (again.code, again.out) == (2, "")
    assert "not there already" in again.err
    done = shell(*words, "--add-class", "vessel")
    assert done.code == 0
    assert set(json.loads(done.out)["added"]) == {"vessel"}
    spec = own.load("areas-mine").spec
    assert [(c.value, c.name) for c in spec.classes] == [(1, "nucleus"), (2, "vessel")]
    assert spec.parent == "areas@1"


def test_a_class_is_added_to_a_model_of_objects(
    shell: Shell, lessons: list[object], own: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contradictions, "SURE", 0.0)  # the little model is sure of nothing
    words = ["teach", *lessons, "-m", "tiny", "--add-class", "vessel", "--steps", 2, "--keep", "--json"]
    refused = shell(*words)
    assert (refused.code, refused.out) == (2, "")
    assert "does not say which are nucleus and which vessel" in refused.err
    for path in list((tmp_path / "masks").iterdir()):
        ids = tifffile.imread(path)
        path.unlink()
        squares = [_square(ids == number, "vessel" if number > 6 else "nucleus") for number in np.unique(ids[ids > 0])]
        path.with_suffix(".geojson").write_text(json.dumps({"type": "FeatureCollection", "features": squares}))
    done = shell(*words)
    assert done.code == 0, done.err
    assert "contradict what tiny was sure of" in done.err
    assert set(json.loads(done.out)["added"]) == {"vessel"}
    model = own.load("tiny-mine")
    assert [(c.value, c.name) for c in model.spec.classes] == [(1, "nucleus"), (2, "vessel")]
    assert (model.spec.parent, model.spec.separation) == ("tiny@1", "depth")
    result = segment(read_image(tmp_path / "pictures" / "slide0.tif"), model)
    assert result.output == "objects"
    assert set(result.objects["class_name"]) <= {"nucleus", "vessel"}


def _square(inside: np.ndarray, name: str) -> dict[str, object]:
    """The box around an object, as QuPath writes it."""
    (top, left), (bottom, right) = (reduce(np.argwhere(inside), axis=0).tolist() for reduce in (np.min, np.max))
    ring = [[left, top], [right + 1, top], [right + 1, bottom + 1], [left, bottom + 1], [left, top]]
    about = {"objectType": "annotation", "classification": {"name": name, "color": [255, 0, 0]}}
    return {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": about}


def test_what_is_ignored_is_not_learned_from(lessons: list[object]) -> None:
    from napari_unetstyle.cli.teach import corrections
    from napari_unetstyle.core.annotation.corrections import learned
    from napari_unetstyle.core.annotation.masks import find_pairs

    images, labels = Path(str(lessons[1])), Path(str(lessons[3]))
    found = corrections(find_pairs(images, labels), 3, is_areas=False, classes=())
    whole = corrections(find_pairs(images, labels), None, is_areas=False, classes=())
    for one, all_ in zip(found, whole, strict=True):
        targets, valid = learned(one)
        np.testing.assert_array_equal(valid, all_.labels != 3)
        assert 3 not in targets[1]


def test_a_mask_of_nothing_but_what_is_ignored_teaches_no_class(lessons: list[object]) -> None:
    from napari_unetstyle.cli.teach import corrections
    from napari_unetstyle.core.annotation.masks import find_pairs
    from napari_unetstyle.core.models.classes import class_specs

    images, labels = Path(str(lessons[1])), Path(str(lessons[3]))
    for path in labels.iterdir():
        tifffile.imwrite(path, np.where(tifffile.imread(path) > 0, 255, 0).astype(np.uint8))
    for one in corrections(find_pairs(images, labels), 255, is_areas=True, classes=class_specs(["disc"])):
        assert not one.labels.any()
        assert one.accepted is not None
        assert not one.accepted.all()


def test_of_a_dicom_folder_the_series_that_is_stated_is_learned_from(
    shell: Shell, own: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Geometry(spacing=(2.5, 0.75, 0.5), unit="mm", is_anatomical=True)
    labels = np.zeros((3, 24, 24), np.uint8)
    labels[1, 4:12, 4:12] = 1
    for number in (1, 2):
        about = {"SeriesNumber": number, "SeriesInstanceUID": f"1.2.3.{number}"}
        files = made.slices(np.full(labels.shape, number, np.int16), place, **about)
        made.write(tmp_path / "all" / str(number), files, seed=number)
    (tmp_path / "masks").mkdir()
    write_labels(tmp_path / "masks" / "scans_seg.nii.gz", labels, axes="ZYX", geometry=place)
    (tmp_path / "scans").mkdir()
    for file in sorted((tmp_path / "all").glob("*/*.dcm")):
        file.rename(tmp_path / "scans" / f"{file.parent.name}-{file.name}")
    words = ["teach", "--images", tmp_path / "scans", "--labels", tmp_path / "masks", "-m", "tiny"]
    asked = shell(*words)
    assert (asked.code, "holds 2 series" in asked.err, "--series 1" in asked.err) == (2, True, True)
    assert "is none of them" in shell(*words, "--series", 9).err

    def seen(lessons: list[Correction], *_: object) -> None:
        raise OptionError(f"learned from {[np.unique(np.asarray(one.image.array)).tolist() for one in lessons]}")

    monkeypatch.setattr("napari_unetstyle.cli.teach._tell_contradictions", seen)
    for number in (1, 2):
        assert f"learned from [[{number}]]" in shell(*words, "--series", number).err


@pytest.mark.parametrize(
    "words",
    [
        ["--from-scratch"],
        ["--classes", "disc"],
        ["--areas"],
        ["--learn", "head"],
        ["--name", ""],
        ["--replay", "2"],
        ["--try-styles"],
        ["--from-scratch", "--classes", "disc", "--add-class", "vessel"],
        ["--from-scratch", "--classes", "disc", "--replay", "0.3"],
        ["--from-scratch", "--classes", "disc", "--learn", "decoder"],
        ["--from-scratch", "--classes", "disc", "-m", "tiny"],
    ],
)
def test_options_that_do_not_go_together(
    shell: Shell, lessons: list[object], own: ModelStore, words: list[str]
) -> None:
    model = [] if {"--from-scratch", "--classes"} <= set(words) else ["-m", "tiny"]
    done = shell("teach", *lessons, *model, *words)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("Error: ")


def test_a_teaching_goes_on_from_its_folder_and_from_no_other(
    shell: Shell, lessons: list[object], own: ModelStore, tmp_path: Path
) -> None:
    words = ["teach", *lessons, "-m", "tiny", "--steps", 2, "--keep", "--json", "--work", tmp_path / "work"]
    assert shell(*words).code == 0
    assert (tmp_path / "work" / "training.safetensors").exists()
    again = shell(*words)
    assert again.code == 0
    first, second = (own.load(f"tiny-mine@{version}").spec for version in (1, 2))
    assert first.files["weights.safetensors"] == second.files["weights.safetensors"]
    other = shell(*words, "--seed", 1)
    assert (other.code, other.out) == (2, "")
    assert "Choose another folder" in other.err


@pytest.mark.long
@needs_proc
@LOG_MAY_END
def test_a_full_disk_ends_it_with_a_sentence_and_the_same_command_comes_to_the_same_bits(
    shell: Shell, lessons: list[object], own: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["teach", *lessons, "-m", "tiny", "--steps", 2, "--keep", "--json"]
    work = ["--work", tmp_path / "work"]
    disk = Disk(tmp_path, monkeypatch, errno.ENOSPC)
    with checkpoints_at_every_step():
        count = disk.writes(lambda: shell(*words, "--work", tmp_path / "other"))
        for writes in (4, count // 2):  # before the first step, and in the middle
            with disk.full_after(writes):
                done = shell(*words, *work)
            assert disk.refused
            assert (done.code, done.out) == (2, ""), writes
            assert re.search(r"Could not write (more than )?\d+ bytes to ", done.err), done.err
            assert str(tmp_path) in done.err
            assert "No space left on device" in done.err
            assert done.err.endswith(f"The same command goes on with it, from {tmp_path / 'work'}.\n")
            assert [f"{spec.name}@{spec.version}" for spec in own.list() if "tiny" in spec.name] == [
                "tiny@1",
                "tiny-mine@1",
            ]
        assert shell(*words, *work).code == 0
    first, second = (own.load(f"tiny-mine@{version}").spec for version in (1, 2))
    assert first.files["weights.safetensors"] == second.files["weights.safetensors"]


@needs_proc
def test_at_a_terminal_it_waits_until_the_disk_has_room(
    shell: Shell, lessons: list[object], own: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(tmp_path, monkeypatch, errno.ENOSPC)

    def make_room(_: float) -> None:
        disk.left = 10**9

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("napari_unetstyle.cli.teach.time.sleep", make_room)
    with disk.full_after(0):
        done = shell("teach", *lessons, "-m", "tiny", "--steps", 1, "--keep")
    assert (done.code, disk.refused > 0) == (0, True)
    assert "tried again every 10 seconds, until Ctrl+C" in done.err.replace("\n", " ")
    assert own.load("tiny-mine@1").network is not None


@pytest.mark.parametrize(
    "odd", [["--minutes", 0], ["--steps", -1], ["--minutes", 1, "--steps", 1], ["--name", "A b"], ["--seed", -1]]
)
def test_what_would_never_end_or_have_no_name_is_refused_at_once(
    shell: Shell, lessons: list[object], own: ModelStore, odd: list[object]
) -> None:
    done = shell("teach", *lessons, "-m", "tiny", *odd)
    assert (done.code, done.out) == (2, "")


def test_labels_that_contradict_what_the_model_was_sure_of_are_told(
    shell: Shell, lessons: list[object], own: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contradictions, "SURE", 0.0)  # the little model is sure of nothing
    done = shell("teach", *lessons, "-m", "tiny", "--steps", 1, "--keep")
    assert done.code == 0
    assert "places contradict what tiny was sure of. Largest: slide" in done.err
