"""The model store: what is saved comes back, what was touched is refused, and names keep their meaning."""

from __future__ import annotations

import json
import os
import random
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unetstyle.core import ModelStore
from napari_unetstyle.core.errors import ModelFileError, ModelNotFoundError, OutputError
from napari_unetstyle.core.files import sha256_of
from napari_unetstyle.core.models import archive
from napari_unetstyle.core.models import folder as model_folder
from napari_unetstyle.core.models.folder import read_spec, sealed, to_json, verify
from napari_unetstyle.core.models.model import Model
from napari_unetstyle.core.models.partial import name_it, remove_whole
from napari_unetstyle.core.models.spec import Card, ClassSpec, InputSpec, ModelSpec, NetworkSpec
from napari_unetstyle.core.models.weights import create_network


def tiny(name: str = "tiny", version: int = 1, **changes: object) -> ModelSpec:
    fields: dict[str, object] = {
        "name": name,
        "version": version,
        "network": NetworkSpec(widths=(2, 3)),
        "input": InputSpec(),
        "classes": (ClassSpec(value=1, name="nucleus", color="#ff8800"),),
        "card": Card(purpose="tests", summary="s", training_data="none", license="MIT"),
    }
    return ModelSpec.model_validate({**fields, **changes})


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models", bundled=tmp_path / "bundled")


@pytest.fixture(scope="session")
def saved_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good model folder, for tests that copy it and do harm to the copy."""
    store = ModelStore(tmp_path_factory.mktemp("models"), bundled=Path("none"))
    store.save(tiny(), create_network(tiny()))
    return store.folder("tiny")


@pytest.fixture
def folder(saved_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved_folder, tmp_path / "a model"))


def edit(folder: Path, change: Callable[[dict[str, object]], object], *, seal: bool = False) -> None:
    content = json.loads((folder / "model.json").read_text())
    change(content)
    text = json.dumps(content)
    if seal:
        spec = ModelSpec.model_validate(content)
        text = to_json(sealed(spec, {k: v for k, v in spec.files.items() if k != "model.json"}))
    (folder / "model.json").write_text(text)


# Saving and loading ----------------------------------------------------------------------------------------------


def test_saved_model_comes_back(store: ModelStore) -> None:
    import torch

    network = create_network(tiny())
    written = store.save(tiny(), network, half=False)
    model = store.load("tiny")
    assert model.spec == written
    assert store.list() == [written]
    assert not model.network.training
    expected = network.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in model.network.state_dict().items())
    assert {file.name for file in model.folder.iterdir()} == {"model.json", "weights.safetensors"}
    assert written.files["weights.safetensors"] == sha256_of(model.folder / "weights.safetensors")


@pytest.mark.parametrize("separation", ["depth", None])
def test_a_model_of_objects_from_before_they_had_a_say_still_fills_small_holes(
    separation: str | None, store: ModelStore
) -> None:
    spec = tiny(separation=separation)
    written = store.save(spec, create_network(spec))
    assert not store.load("tiny").spec.postprocessing.fill_small_holes
    manifest = store.folder("tiny") / "model.json"
    content = json.loads(manifest.read_text())
    del content["postprocessing"]["fill_small_holes"]
    content["files"]["model.json"] = model_folder._seal(content)
    manifest.write_text(json.dumps(content))
    read = store.load("tiny").spec
    assert read.postprocessing.fill_small_holes == (separation is not None)
    assert read.postprocessing.words == ("Small holes in objects are filled." if separation else "")
    assert written.files != read.files


def test_loads_by_folder_too(folder: Path, store: ModelStore) -> None:
    assert store.load(folder).spec == store.load(str(folder)).spec
    assert store.list() == []


def test_versions_stand_beside_each_other(store: ModelStore) -> None:
    for version in (1, 2, 10):
        store.save(tiny(version=version), create_network(tiny()))
    assert store.spec("tiny").version == 10
    assert [store.spec(f"tiny@{v}").version for v in (1, 2, 10)] == [1, 2, 10]
    assert [spec.version for spec in store.list()] == [1, 2, 10]
    with pytest.raises(ModelNotFoundError, match="tiny@3"):
        store.load("tiny@3")


def test_saving_never_overwrites(store: ModelStore) -> None:
    store.save(tiny(), create_network(tiny()))
    before = {file: file.read_bytes() for file in store.root.rglob("*") if file.is_file()}
    with pytest.raises(ModelFileError, match="exists already"):
        store.save(tiny(), create_network(tiny()))
    assert {file: file.read_bytes() for file in store.root.rglob("*") if file.is_file()} == before


def test_a_network_that_does_not_fit_leaves_nothing(store: ModelStore) -> None:
    with pytest.raises(ModelFileError, match="does not fit"):
        store.save(tiny(), create_network(tiny(network=NetworkSpec(widths=(2, 4)))))
    assert list(store.root.iterdir()) == []


def test_non_finite_weights_are_not_saved(store: ModelStore) -> None:
    network = create_network(tiny())
    next(iter(network.parameters())).data[0] = float("nan")
    with pytest.raises(ModelFileError, match="NaN"):
        store.save(tiny(), network)
    assert store.list() == []


def test_unknown_model_lists_the_known(store: ModelStore) -> None:
    store.save(tiny("nuclei"), create_network(tiny()))
    store.save(tiny("axons"), create_network(tiny()))
    with pytest.raises(ModelNotFoundError, match=r"no model 'nucleis'.*axons, nuclei.*mean 'nuclei'"):
        store.load("nucleis")
    with pytest.raises(ModelNotFoundError, match="no model"):
        store.load(store.root / "nowhere")


def test_empty_store(store: ModelStore) -> None:
    assert store.list() == []
    assert store.problems() == {}
    with pytest.raises(ModelNotFoundError, match="Installed: none"):
        store.load("nuclei")
    assert not store.root.exists()


def test_environment_names_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NAPARI_UNETSTYLE_MODELS", str(tmp_path / "mine"))
    assert ModelStore().root == tmp_path / "mine"
    monkeypatch.delenv("NAPARI_UNETSTYLE_MODELS")
    assert "napari-unetstyle" in ModelStore().root.parts


def test_listing_needs_no_torch(saved_folder: Path) -> None:
    code = """
import sys
from napari_unetstyle.core import ModelStore
store = ModelStore(sys.argv[1], bundled=__import__("pathlib").Path("none"))
store.load("tiny").card
print(len(store.list()), "torch" in sys.modules)
"""
    command = [sys.executable, "-c", code, str(saved_folder.parent)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() == ["1", "False"]


def test_two_writers_lose_nothing(store: ModelStore) -> None:
    network = create_network(tiny())

    def save(version: int) -> int:
        try:
            return store.save(tiny(version=version), network).version
        except (ModelFileError, OutputError):
            return 0

    with ThreadPoolExecutor(4) as pool:
        saved = list(pool.map(save, [v for v in range(1, 21) for _ in range(2)]))
    assert sorted(filter(None, saved)) == list(range(1, 21))
    assert [spec.version for spec in store.list()] == list(range(1, 21))
    assert store.problems() == {}
    assert all(store.load(f"tiny@{v}").network is not None for v in range(1, 21))


# What was touched ------------------------------------------------------------------------------------------------


def test_every_flipped_bit_and_truncation_of_the_weights_is_found(folder: Path) -> None:
    random_ = random.Random(1)
    weights = folder / "weights.safetensors"
    whole = weights.read_bytes()
    spec = ModelStore(folder.parent / "none").spec(folder)
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[random_.randrange(len(whole))] ^= 1 << random_.randrange(8)
        for data in (bytes(damaged), whole[: random_.randrange(len(whole))]):
            weights.write_bytes(data)
            with pytest.raises(ModelFileError, match=r"weights\.safetensors is damaged"):
                _ = Model(spec, folder).network


def test_every_flipped_bit_and_truncation_of_the_manifest_is_found(folder: Path) -> None:
    random_ = random.Random(2)
    manifest, store = folder / "model.json", ModelStore(folder.parent / "none")
    whole, good = manifest.read_bytes(), store.spec(folder)
    for i in range(600):
        data = bytearray(whole)
        data[random_.randrange(len(whole))] ^= 1 << random_.randrange(8)
        manifest.write_bytes(bytes(data) if i % 2 else whole[: random_.randrange(len(whole))])
        try:
            assert store.spec(folder) == good  # white space may differ
        except ModelFileError:
            continue


def test_an_edited_threshold_is_found(folder: Path) -> None:
    edit(folder, lambda content: content.update(foreground_threshold=0.4))
    with pytest.raises(ModelFileError, match="edited"):
        ModelStore(folder.parent).spec(folder)


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (lambda f: (f / "weights.safetensors").unlink(), r"weights\.safetensors cannot be read"),
        (lambda f: (f / "model.json").unlink(), r"not a model folder: it has no model\.json"),
        (lambda f: (f / "model.json").write_bytes(b"\xff\xfe{"), "cannot be read"),
        (lambda f: (f / "model.json").write_text("[" * 100_000), "cannot be read"),
        (lambda f: (f / "model.json").write_text("[]"), "does not describe"),
        (lambda f: (f / "model.json").write_text(" " * 2**21), "does not describe"),
        (lambda f: edit(f, lambda c: c.update(schema_version=2)), r"schema 2.*Update"),
        (lambda f: edit(f, lambda c: c.update(surprise=1)), "surprise"),
        (lambda f: edit(f, lambda c: c.pop("card")), "card"),
        (lambda f: edit(f, lambda c: c["files"].pop("weights.safetensors")), r"no sha256 of weights\.safetensors"),
        (lambda f: edit(f, lambda c: c["files"].update({"../x": "0" * 64}), seal=True), r"names the file '\.\./x'"),
        (lambda f: edit(f, lambda c: c["files"].update({"/etc/x": "0" * 64}), seal=True), "names the file"),
    ],
)
def test_bad_folders_get_a_sentence(folder: Path, harm: Callable[[Path], object], sentence: str) -> None:
    harm(folder)
    store = ModelStore(folder.parent / "store", bundled=Path("none"))
    with pytest.raises(ModelFileError, match=sentence):
        _ = store.load(folder).network
    with pytest.raises(ModelFileError, match=sentence):
        store.import_(folder)
    assert store.list() == []
    assert list(store.root.iterdir()) == []


def test_a_giant_network_takes_no_memory(folder: Path) -> None:
    edit(folder, lambda c: c["network"].update(widths=[4096] * 8), seal=True)  # type: ignore[index]
    with pytest.raises(ModelFileError, match=r"needs \d+ bytes of weights"):
        _ = ModelStore(folder.parent).load(folder).network


def test_weights_of_another_network_are_refused(folder: Path) -> None:
    edit(folder, lambda c: c["network"].update(widths=[1, 2]), seal=True)  # type: ignore[index]
    with pytest.raises(ModelFileError, match="tensors differ"):
        _ = ModelStore(folder.parent).load(folder).network


def test_a_pickle_under_the_name_of_weights_is_never_opened(folder: Path) -> None:
    import torch

    bad = folder / "weights.safetensors"
    torch.save({"x": torch.zeros(1000)}, bad)
    edit(folder, lambda c: c["files"].update({bad.name: sha256_of(bad)}), seal=True)  # type: ignore[index]
    with pytest.raises(ModelFileError, match="cannot be read as weights"):
        _ = ModelStore(folder.parent).load(folder).network


def test_bad_folders_are_skipped_and_reported(store: ModelStore, folder: Path) -> None:
    store.save(tiny("good"), create_network(tiny()))
    shutil.copytree(folder, store.root / "bad")
    edit(store.root / "bad", lambda c: c.update(version=3))
    (store.root / "empty").mkdir()
    (store.root / ".partial-x").mkdir()
    assert [spec.name for spec in store.list()] == ["good"]
    assert {path.name for path in store.problems()} == {"bad", "empty"}
    with pytest.raises(ModelFileError, match="edited"):
        store.load("bad")


# Importing -------------------------------------------------------------------------------------------------------


def zipped(folder: Path, *, under: str = "", extra: dict[str, bytes] | None = None) -> Path:
    path = folder.parent / "model.zip"
    with zipfile.ZipFile(path, "w") as archive_:
        for file in folder.iterdir():
            archive_.write(file, under + file.name)
        for name, data in (extra or {}).items():
            archive_.writestr(name, data)
    return path


@pytest.mark.parametrize("kind", ["folder", "model.json", "zip", "zip with a folder", "zip from a Mac"])
def test_import(kind: str, folder: Path, store: ModelStore) -> None:
    (folder / ".DS_Store").write_bytes(b"x")
    source = {
        "folder": lambda: folder,
        "model.json": lambda: folder / "model.json",
        "zip": lambda: zipped(folder),
        "zip with a folder": lambda: zipped(folder, under="tiny/"),
        "zip from a Mac": lambda: zipped(folder, under="tiny/", extra={"__MACOSX/tiny/model.json": b"x"}),
    }[kind]()
    spec = store.import_(source)
    assert spec == store.spec(folder)
    assert store.list() == [spec]
    assert {"model.json", "weights.safetensors"} <= {f.name for f in store.folder("tiny").iterdir()}
    assert store.load("tiny").network is not None
    assert store.import_(source) == spec  # once more changes nothing
    assert len(store.list()) == 1


def test_of_two_windows_that_import_the_same_at_once_none_is_refused(
    folder: Path, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def first_there(partial: Path, target: Path) -> None:
        monkeypatch.undo()
        ModelStore(store.root, bundled=Path("none")).import_(folder)
        name_it(partial, target)

    monkeypatch.setattr("napari_unetstyle.core.models.store.name_it", first_there)
    assert store.import_(folder) == store.spec(folder)
    assert [path.name for path in store.root.iterdir()] == ["tiny@1"]


def test_import_never_changes_what_a_name_means(folder: Path, store: ModelStore) -> None:
    mine = store.save(tiny(version=3), create_network(tiny()))
    with pytest.raises(ModelFileError, match=r"Another model named 'tiny'.*'tiny-2'"):
        store.import_(folder)
    assert store.list() == [mine]
    assert store.spec("tiny") == mine
    other = store.import_(folder, name="tiny-2")
    assert (other.name, other.version) == ("tiny-2", 1)
    assert other.provenance["imported_as"] == "tiny@1"
    assert store.load("tiny-2").network is not None
    assert store.free_name("tiny") == "tiny-3"


@pytest.mark.parametrize("name", ["", "../x", "A b", "x" * 65, "é"])
def test_import_under_a_bad_name(name: str, folder: Path, store: ModelStore) -> None:
    with pytest.raises(ModelFileError, match="cannot be called"):
        store.import_(folder, name=name)
    assert store.list() == []


@pytest.mark.parametrize(
    "member",
    ["../evil", "/evil", "a/../../evil", "..\\evil", "C:\\evil", "C:evil", "\\evil", "tiny/..", "a\\..\\..\\evil"],
)
def test_zip_slip(member: str, folder: Path, store: ModelStore) -> None:
    with pytest.raises(ModelFileError, match="leads out of its folder"):
        store.import_(zipped(folder, extra={member: b"x"}))
    assert store.list() == []
    assert not list(folder.parent.rglob("evil"))


def test_zip_with_a_link(folder: Path, store: ModelStore) -> None:
    path = zipped(folder)
    link = zipfile.ZipInfo("notes.txt")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as archive_:
        archive_.writestr(link, "/etc/passwd")
    with pytest.raises(ModelFileError, match="leads out"):
        store.import_(path)


def test_zip_bomb(folder: Path, store: ModelStore) -> None:
    path = zipped(folder)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive_:
        archive_.writestr("bomb", bytes(10**7))
    with pytest.raises(ModelFileError, match="far more than it holds"):
        store.import_(path)


def test_zip_of_too_much(folder: Path, store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    many = zipped(folder, extra={f"f{i}": b"" for i in range(archive.MOST_MEMBERS)})
    with pytest.raises(ModelFileError, match="at most"):
        store.import_(many)
    monkeypatch.setattr(archive, "MOST_BYTES", 100)
    with pytest.raises(ModelFileError, match="at most"):
        store.import_(zipped(folder))


@pytest.mark.parametrize("models", [0, 2])
def test_zip_of_none_or_several(models: int, folder: Path, store: ModelStore) -> None:
    path = folder.parent / "model.zip"
    with zipfile.ZipFile(path, "w") as archive_:
        archive_.writestr("readme.txt", "x")
        for i in range(models):
            archive_.write(folder / "model.json", f"{i}/model.json")
    with pytest.raises(ModelFileError, match=f"holds {models} models"):
        store.import_(path)


def test_encrypted_or_odd_zip(folder: Path, store: ModelStore) -> None:
    data = bytearray(zipped(folder).read_bytes())
    for i in range(len(data) - 4):
        if data[i : i + 4] == b"PK\x01\x02":
            data[i + 8] |= 1  # the flag "encrypted"
    (folder.parent / "locked.zip").write_bytes(bytes(data))
    with pytest.raises(ModelFileError, match="cannot be read as a zip"):
        store.import_(folder.parent / "locked.zip")


@given(data=st.binary(max_size=200))
def test_any_file_is_imported_or_refused(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    place = tmp_path_factory.mktemp("any")
    (place / "x.zip").write_bytes(data)
    with pytest.raises(ModelFileError):
        ModelStore(place / "models").import_(place / "x.zip")


def test_damaged_zips_are_refused_or_whole(folder: Path, tmp_path: Path) -> None:
    random_ = random.Random(3)
    whole = zipped(folder).read_bytes()
    good = ModelStore(tmp_path / "none").spec(folder)
    for i in range(200):
        data = bytearray(whole)
        for _ in range(1 + i % 3):
            data[random_.randrange(len(whole))] ^= 1 << random_.randrange(8)
        path = tmp_path / "damaged.zip"
        path.write_bytes(bytes(data) if i % 2 else whole[: random_.randrange(len(whole))])
        target = tmp_path / f"unpacked-{i}"
        target.mkdir()
        try:
            archive.unpack(path, target)
            spec = read_spec(target)
            verify(spec, target, target)
        except ModelFileError:
            continue
        assert spec == good


# Removing, and places that cannot be written to -------------------------------------------------------------------


def test_remove(store: ModelStore) -> None:
    for version in (1, 2):
        store.save(tiny(version=version), create_network(tiny()))
    store.remove("tiny@1")
    assert [spec.version for spec in store.list()] == [2]
    assert store.next_version("tiny") == 3
    store.remove("tiny")
    assert [path.name for path in store.root.iterdir()] == [".removed"]
    assert store.list() == []
    assert store.problems() == {}
    assert (store.next_version("tiny"), store.next_version("tin")) == (3, 1)  # what was 2 is never another one
    with pytest.raises(ModelNotFoundError):
        store.remove("tiny")


def test_what_another_window_removes_meanwhile_is_no_problem(
    folder: Path, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.import_(folder)
    remove_whole(store.root / "another@1")  # and of what is gone already nothing is left
    monkeypatch.setattr(model_folder, "read_spec", lambda path: shutil.rmtree(path) or read_spec(path))
    assert store.problems() == {}
    assert list(store.root.iterdir()) == []


def test_bundled_models_stay(folder: Path, tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "models", bundled=folder.parent)
    assert store.is_bundled("tiny")
    with pytest.raises(ModelFileError, match="came with the package"):
        store.remove("tiny")
    with pytest.raises(ModelFileError, match="exists already"):
        store.save(tiny(), create_network(tiny()))
    assert store.import_(folder) == store.spec("tiny")
    assert not list(store.root.iterdir())


def test_a_folder_outside_the_store_is_not_removed(folder: Path, store: ModelStore) -> None:
    with pytest.raises(ModelFileError, match="outside the store"):
        store.remove(str(folder))
    assert folder.exists()


@pytest.mark.skipif(os.name == "nt", reason="folders have no write bit")
def test_store_that_cannot_be_written_to(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OutputError, match=r"Could not write \d+ bytes to the model folder"):
        ModelStore(tmp_path / "file").import_(folder)


def test_disk_full(folder: Path, store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(OutputError, match="No space left"):
        store.import_(folder)
    monkeypatch.undo()
    assert list(store.root.iterdir()) == []


def test_what_a_killed_process_left_is_swept(store: ModelStore) -> None:
    old = store.root / ".partial-old"
    old.mkdir(parents=True)
    os.utime(old, (0, 0))
    (store.root / ".partial-new").mkdir()
    store.save(tiny(), create_network(tiny()))
    assert {path.name for path in store.root.iterdir()} == {".partial-new", "tiny@1"}


def test_what_another_window_is_done_with_meanwhile_is_not_swept(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "glob", lambda root, _: iter([root / ".partial-gone"]))
    store.save(tiny(), create_network(tiny()))
