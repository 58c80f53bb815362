"""Crops of a person's own pictures: remembered for the next teaching, and never on the way to anybody."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest

from napari_unetstyle.core import ModelStore
from napari_unetstyle.core.errors import ModelFileError, OutputError
from napari_unetstyle.core.imaging.image import as_image
from napari_unetstyle.core.models import folder as model_folder
from napari_unetstyle.core.models.memory import Memory
from napari_unetstyle.core.models.own import MOST_OWN, spread
from napari_unetstyle.core.training.finetune import fine_tune, teach_new
from napari_unetstyle.core.training.lessons import sayings
from napari_unetstyle.core.training.remembering import SIDES, own_memories
from tests.core.networks_for_tests import tiny_model
from tests.core.teaching_for_tests import QUICK, fresh_store, small_picture

FEW = QUICK | {"steps": 1}
PLANTED = bytes(range(7, 247, 3)) * 5


def own(picture="a", role="learn", shape=(3, 40, 50)):
    pixels = np.resize(np.frombuffer(PLANTED, np.uint8), shape)
    return Memory(pixels, np.ones((2, *shape[1:]), np.int32), role, picture)


def travelling(role="learn"):
    return Memory(np.full((3, 30, 30), 9, np.uint8), np.zeros((2, 30, 30), np.int32), role)


@pytest.fixture
def model(tmp_path):
    """A model that carries one picture and remembers two."""
    store = fresh_store(tmp_path / "models")
    spec, network = store.load("tiny").spec, store.load("tiny").network
    store.save(spec.model_copy(update={"name": "has"}), network, memory=[own(), travelling(), own("b", "check")])
    return store.load("has")


def test_they_are_read_beside_those_that_travel_and_are_no_part_of_the_model(model):
    assert [(m.picture, m.role) for m in model.memory] == [("", "learn"), ("a", "learn"), ("b", "check")]
    np.testing.assert_array_equal(model.memory[1].pixels, own().pixels)
    assert sorted(name for name in model.spec.files if "memory" not in name) == ["model.json", "weights.safetensors"]
    assert "own" not in model_folder.to_json(model.spec)


def names(folder):
    return sorted(path.name for path in folder.rglob("*"))


def test_no_way_out_takes_them_along(model, tmp_path):
    there = ModelStore(tmp_path / "there")
    there.import_(model.folder)
    there.import_(model.folder, name="renamed")
    archive = tmp_path / "model.zip"
    with zipfile.ZipFile(archive, "w") as file:  # as a person would do it, with everything
        for path in sorted(model.folder.rglob("*")):
            file.write(path, path.relative_to(model.folder.parent))
    unpacked = ModelStore(tmp_path / "unpacked")
    unpacked.import_(archive)
    copied = tmp_path / "copy"
    copied.mkdir()
    model_folder.copy(model.folder, copied)
    shared = ModelStore(tmp_path / "shared")
    shared.import_(ModelStore(model.folder.parent).share("has", tmp_path, pictures=True))
    folders = (there.folder("has"), there.folder("renamed"), unpacked.folder("has"), shared.folder("has"), copied)
    for folder in folders:
        assert names(folder) == sorted(model.spec.files)
        assert [m.picture for m in there.load(folder).memory] == [""]


def test_a_shared_file_has_no_byte_of_them_and_is_the_same_each_time(model, tmp_path):
    store = ModelStore(model.folder.parent)
    one, two = (store.share("has", tmp_path / f"{name}.zip") for name in "ab")
    assert one.read_bytes() == two.read_bytes()
    with zipfile.ZipFile(one) as file:
        assert [name.partition("/")[2] for name in file.namelist()] == ["model.json", "weights.safetensors"]
        assert all(PLANTED[:40] not in file.read(name) for name in file.namelist())
    with pytest.raises(OutputError, match="exists already"):
        store.share("has", one)
    (model.folder / "weights.safetensors").write_bytes(b"edited")
    with pytest.raises(ModelFileError, match="damaged or was edited"):
        store.share("has", tmp_path / "c.zip")
    assert not list(tmp_path.glob("c*"))
    assert not list(tmp_path.glob(".partial*"))


def test_a_model_shared_without_pictures_gets_those_that_a_colleague_has(model, tmp_path):
    store, there = ModelStore(model.folder.parent), ModelStore(tmp_path / "there")
    file = store.share("has", tmp_path)
    whole = store.share("has", tmp_path / "whole.zip", pictures=True)
    with zipfile.ZipFile(whole) as opened:
        assert sorted(name.partition("/")[2] for name in opened.namelist()) == sorted(model.spec.files)
        assert all(PLANTED[:40] not in opened.read(name) for name in opened.namelist())
    assert store.import_(file) == model.spec  # as it is here already
    without = there.import_(file)
    assert there.load("has").memory == ()
    assert there.import_(file) == without
    assert without.provenance["imported_seal"] == model.spec.files["model.json"]
    elsewhere = ModelStore(tmp_path / "elsewhere")
    elsewhere.import_(whole, name="which-carries-them")
    assert elsewhere.import_(file) == model.spec
    (one,) = elsewhere.load("has").memory
    np.testing.assert_array_equal(one.pixels, travelling().pixels)
    for carried in elsewhere.folder("which-carries-them").glob("memory-*"):
        carried.write_bytes(b"edited")
    elsewhere.remove("has")
    assert not any("memory" in name for name in elsewhere.import_(file).files)


def test_a_candidate_written_elsewhere_goes_without_them_and_a_kept_one_has_them(tmp_path):
    store = fresh_store(tmp_path / "models")
    kept, written = (fine_tune([small_picture()], "tiny", store=store, **FEW) for _ in range(2))
    out = written.write(tmp_path / "out", store)
    assert names(out.folder) == ["model.json", "weights.safetensors"]
    assert {m.role for m in kept.keep(store).memory} == {"learn", "check"}
    nothing = fine_tune([small_picture()], "tiny", store=store, **FEW, remember=False).keep(store)
    assert nothing.memory == ()
    assert names(nothing.folder) == ["model.json", "weights.safetensors"]


@pytest.mark.parametrize("damage", ["pixels", "index", "gone", "leads out", "newer"])
def test_a_damaged_one_is_left_out_and_the_model_is_as_good_as_before(model, damage):
    folder = model.folder / "own"
    index = json.loads((folder / "index.json").read_text())
    if damage == "pixels":
        data = bytearray((folder / "01.tif").read_bytes())
        data[len(data) // 2] ^= 1
        (folder / "01.tif").write_bytes(data)
    elif damage == "gone":
        (folder / "01-labels.tif").unlink()
    elif damage == "index":
        (folder / "index.json").write_text("[1]")
    elif damage == "leads out":
        index["pictures"][0]["name"] = "../memory-learn-01.tif"
        (folder / "index.json").write_text(json.dumps(index))
    else:
        (folder / "index.json").write_text(json.dumps(index | {"schema_version": 2}))
    left = [m.picture for m in model.memory]
    assert left == ([""] if damage in ("index", "newer") else ["", "b"])
    assert ModelStore(model.folder.parent).load("has").network is not None


def test_there_are_never_more_than_twenty_and_each_picture_has_its_share(tmp_path):
    many = [own(f"{picture}", shape=(3, 20, 20)) for picture in range(7) for _ in range(4)]
    few = spread(many)
    assert len(few) == MOST_OWN == 20
    assert {m.picture for m in few} == {f"{picture}" for picture in range(7)}
    assert max(sum(m.picture == p for m in few) for p in "0123456") == 3
    store = fresh_store(tmp_path)
    spec, network = store.load("tiny").spec, store.load("tiny").network
    store.save(spec.model_copy(update={"name": "many"}), network, memory=many)
    assert len(store.load("many").memory) == 20


@pytest.mark.parametrize(("pictures", "learn", "check"), [(2, 6, 2), (7, 13, 7), (30, 10, 10)])
def test_pictures_to_check_with_are_kept_beside_those_to_learn_from(pictures, learn, check):
    names = [f"{number}" for number in range(pictures)]
    many = [own(name) for name in names for _ in range(3)] + [own(name, "check") for name in names]
    few = spread(many)
    assert [sum(m.role == role for m in few) for role in ("learn", "check")] == [learn, check]
    assert {m.picture for m in few if m.role == "check"} <= {m.picture for m in few if m.role == "learn"}


def test_a_large_picture_gives_small_crops_of_where_something_was_said(tmp_path):
    from napari_unetstyle.core.annotation.corrections import Correction
    from tests.core.training_for_tests import discs

    example = discs((500, 900), count=60)
    accepted = np.zeros((500, 900), bool)
    accepted[20:200, 500:850] = True
    pixels = np.moveaxis((255 * example.image).astype(np.uint8), 0, -1)
    given = Correction(image=as_image(pixels, axes="YXC"), labels=example.labels[1], accepted=accepted)
    from napari_unetstyle.core.segmentation.options import SegmentOptions
    from napari_unetstyle.core.training.lessons import lesson

    spec, options = tiny_model(tmp_path).spec, SegmentOptions(object_diameter=20)
    (said,) = sayings([given], spec)
    crops = own_memories([said], [said], [lesson(said, spec, options)], [], spec, options)
    assert 1 <= len(crops) <= 3
    for crop in crops:
        assert max(crop.pixels.shape[1:]) <= SIDES[2]
        assert crop.pixels.dtype == np.uint8
    assert sum((crop.targets[0] >= 0).sum() for crop in crops) == accepted.sum()
    assert {crop.picture for crop in crops} == {said.picture}


def test_the_next_teaching_replays_and_checks_them_but_not_those_of_a_picture_that_is_taught_again(tmp_path):
    store = fresh_store(tmp_path)
    first = fine_tune([small_picture(0)], "tiny", store=store, **FEW)
    assert first.comparison.child.old == ()
    one = first.keep(store)
    (key,) = {m.picture for m in one.memory}
    second = fine_tune([small_picture(1)], one, store=store, **FEW)
    assert len(second.comparison.child.old) == 1
    two = second.keep(store)
    assert len({m.picture for m in two.memory}) == 2
    again = fine_tune([small_picture(0)], two, store=store, **FEW)
    assert len(again.comparison.child.old) == 1
    pictures = [m.picture for m in again.keep(store).memory]
    assert pictures.count(key) == [m.picture for m in one.memory].count(key)
    assert len(set(pictures)) == 2


def test_a_new_model_remembers_too(tmp_path):
    store = ModelStore(tmp_path)
    taught = teach_new([small_picture()], ["disc"], "new", store=store, minutes=None, steps=1).keep(store)
    assert {m.role for m in taught.memory} == {"learn", "check"}
