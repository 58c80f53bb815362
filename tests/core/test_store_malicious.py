"""Model files made to do harm: no code runs, nothing is written outside the store, and each gets one kind of error."""

from __future__ import annotations

import io
import json
import pickle
import random
import shutil
import stat
import struct
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_unetstyle.core.errors import ModelFileError
from napari_unetstyle.core.files import sha256_of
from napari_unetstyle.core.models.folder import sealed, to_json
from napari_unetstyle.core.models.model import Model
from napari_unetstyle.core.models.spec import Card, Measurement, ModelSpec
from napari_unetstyle.core.models.store import ModelStore
from tests.core.networks_for_tests import tiny_model


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("models")).folder


class Writes:
    """Unpickled, it would write a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self.marker), "w"))


def torch_file(marker: Path, **options: Any) -> bytes:
    import torch

    buffer = io.BytesIO()
    torch.save({"weights": Writes(marker)}, buffer, **options)
    return buffer.getvalue()


def torchscript(_: Path) -> bytes:
    import torch

    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), buffer)
    return buffer.getvalue()


def object_array(marker: Path) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([Writes(marker)], object), allow_pickle=True)
    return buffer.getvalue()


def safetensors(header: Any, data: bytes = bytes(64), length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def tensor(shape: list[int], offsets: list[int], dtype: str = "F16") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def raw_pickles(marker: Path) -> Iterator[bytes]:
    for protocol in range(6):
        yield pickle.dumps(Writes(marker), protocol)
    name = str(marker).encode()
    yield b"cos\nsystem\n(S'touch " + name + b"'\ntR."
    yield b"(S'touch " + name + b"'\nios\nsystem\n."
    yield b"(cos\nsystem\nS'touch " + name + b"'\no."
    yield b"c__builtin__\neval\n(S'open(\"" + name + b'","w")\'\ntR.'


WEIGHTS: list[bytes] = [
    b"",
    b"\0" * 7,
    b"\xff" * 8,
    b"\xff" * 100,
    safetensors({}, length=2**63),
    safetensors({}, length=100_000_001),
    safetensors({"a": tensor([4], [0, 8])}, length=3),
    safetensors({"a": tensor([4], [0, 8]), "b": tensor([4], [4, 12])}),  # overlapping
    safetensors({"a": tensor([4], [0, 8]), "b": tensor([4], [16, 24])}),  # a hole
    safetensors({"a": tensor([4], [8, 0])}),
    safetensors({"a": tensor([-4], [0, 8])}),
    safetensors({"a": tensor([2**62, 4], [0, 8])}),
    safetensors({"a": tensor([10**6] * 8, [0, 8])}),
    safetensors({"a": tensor([4], [0, 2**63])}),
    safetensors({"a": tensor([4], [0, 8], "PICKLE")}),
    safetensors({"../../evil": tensor([32], [0, 64])}),
    safetensors({"a": "b"}),
    safetensors({"__metadata__": {"a": 1}}),
    safetensors([1, 2]),
    safetensors(b"{" * 1000),
    safetensors(b'{"a":' * 5000 + b"1" + b"}" * 5000),
    safetensors(b'{"a": 1, "a": 2}'),
    safetensors(b"\xff\xfe{}"),
    safetensors({"a": tensor([32], [0, 64])}) + b"PK\x03\x04trailing zip",
]


def manifests(good: Path) -> Iterator[bytes]:
    """Contents of ``model.json``, most of them resealed, so that only what they say can give them away."""
    content = json.loads((good / "model.json").read_text())

    def with_(**changes: Any) -> bytes:
        text = json.dumps({**content, **changes})
        try:
            spec = ModelSpec.model_validate_json(text)
        except ValueError:
            return text.encode()
        return to_json(sealed(spec, {k: v for k, v in spec.files.items() if k != "model.json"})).encode()

    weights = content["files"]["weights.safetensors"]
    for name in (
        "../evil",
        "/evil",
        "a/b",
        "..",
        ".hidden",
        "a\\b",
        "C:evil",
        "a\0b",
        "",
        "weights.safetensors/x",
        "~",
        "é",
    ):
        yield with_(files={**content["files"], name: weights})
    yield with_(files={**content["files"], **{f"f{i}": weights for i in range(200)}})
    yield with_(name="../../evil")
    yield with_(name="/evil")
    yield with_(network={**content["network"], "widths": [4096] * 8})
    yield with_(network={**content["network"], "widths": [10**9, 10**9]})
    yield with_(network={**content["network"], "kind": "os.system"})
    yield with_(network={**content["network"], "in_channels": -1})
    yield with_(network={**content["network"], "__class__": "x"})
    yield with_(schema_version=99)
    yield with_(schema_version="1; import os")
    yield with_(foreground_threshold="NaN")
    yield with_(version=10**400)
    yield b'{"name": ' + b"9" * 10000 + b"}"
    yield b'{"schema_version": 1e999}'
    yield b"{" + b'"a": [' * 50_000
    yield json.dumps({**content, "card": {**content["card"], "purpose": "x" * 2**21}}).encode()


def archives(good: Path, folder: Path) -> Iterator[Path]:
    files = [(file.name, file.read_bytes()) for file in sorted(good.iterdir())]
    evil = ["../evil", "../../evil", "/tmp/evil", "a/../../evil", "..\\evil", "C:\\evil", "\\\\host\\evil", "./../evil"]
    for i, name in enumerate(evil):
        path = folder / f"slip{i}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for member, data in [*files, (name, b"x")]:
                archive.writestr(member, data)
        yield path
    link = zipfile.ZipInfo("weights.safetensors")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(folder / "link.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
        archive.write(good / "model.json", "model.json")
    yield folder / "link.zip"
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(10**7))
    for name, data in (("bomb", bytes(10**7)), ("nested", inner.getvalue() + bytes(10**6))):
        with zipfile.ZipFile(folder / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for member, content in [*files, ("more", data)]:
                archive.writestr(member, content)
        yield folder / f"{name}.zip"


def corpus(good: Path, root: Path) -> list[Path]:
    """Every harmful folder and archive, each in a place of its own."""
    marker = root / "marker"
    makers: list[Callable[[Path], bytes]] = [
        torch_file,
        lambda m: torch_file(m, _use_new_zipfile_serialization=False),
        torchscript,
        object_array,
    ]
    bad_weights = [*WEIGHTS, *raw_pickles(marker), *[make(marker) for make in makers]]
    found = []
    for i, (name, data) in enumerate(
        [*[("weights.safetensors", w) for w in bad_weights], *[("model.json", m) for m in manifests(good)]]
    ):
        folder = root / f"case{i}"
        shutil.copytree(good, folder)
        (folder / name).write_bytes(data)
        if name != "model.json":
            reseal(folder)
        found.append(folder)
    return [*found, *archives(good, root)]


def reseal(folder: Path) -> None:
    """Make the hashes right again, as somebody who means harm would."""
    spec = ModelSpec.model_validate_json((folder / "model.json").read_text())
    files = {"weights.safetensors": sha256_of(folder / "weights.safetensors")}
    (folder / "model.json").write_text(to_json(sealed(spec, files)))


WATCHED = """
import sys, warnings, encodings.cp437
from pathlib import Path
import torch, safetensors.torch, pydantic, hashlib, zipfile
from napari_unetstyle.core import ModelStore
from napari_unetstyle.core.errors import ModelFileError
root, store_root = Path(sys.argv[1]), Path(sys.argv[2])
store = ModelStore(store_root, bundled=store_root / "none")
for line in (root / "corpus.txt").read_text().splitlines()[:1]:
    try: store.import_(line)  # once before watching, so that everything is imported
    except ModelFileError: pass
log = []
def watch(event, args):
    if event in ("exec", "os.system", "subprocess.Popen", "socket.connect", "import", "os.exec", "pickle.find_class"):
        log.append((event, str(args)[:200]))
    if event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
        if not str(args[0]).startswith(str(store_root)):
            log.append((event, str(args)[:200]))
sys.addaudithook(watch)
for line in (root / "corpus.txt").read_text().splitlines():
    try:
        store.import_(line)
    except ModelFileError as error:
        assert str(error), line
        continue
    print("IMPORTED", line)
print("LOG", [entry for entry in log if not (entry[0] == "import" and ".so" in entry[1])])
print("LIST", store.list(), [path.name for path in store_root.iterdir()])
"""


def test_nothing_harmful_happens(good: Path, tmp_path: Path) -> None:
    cases = corpus(good, tmp_path)
    assert len(cases) >= 60
    (tmp_path / "corpus.txt").write_text("\n".join(map(str, cases)))
    before = set(tmp_path.rglob("*"))
    store = tmp_path / "store"
    command = [sys.executable, "-c", WATCHED, str(tmp_path), str(store)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["LOG []", "LIST [] []"], done.stdout
    assert set(tmp_path.rglob("*")) - before == {store}
    assert not (tmp_path / "marker").exists()
    assert not Path("/tmp/evil").exists()


@pytest.mark.parametrize("part", ["purpose", "summary", "class", "measured", "provenance", "key of provenance"])
def test_no_text_of_a_model_is_obeyed_by_a_terminal(part: str, good: Path, tmp_path: Path) -> None:
    spec, text = ModelSpec.model_validate_json((good / "model.json").read_text()), "nice\x1b[2J"
    row = Measurement.model_construct(data=text, metric="Dice", value=1.0)
    changed = {
        "purpose": {"card": spec.card.model_copy(update={"purpose": text})},
        "summary": {"card": spec.card.model_copy(update={"summary": text.replace("\x1b", "\x9b")})},
        "measured": {"card": spec.card.model_copy(update={"measured": (row,)})},
        "class": {"classes": (spec.classes[0].model_copy(update={"name": text}), *spec.classes[1:])},
        "provenance": {"provenance": {"recipe": text}},
        "key of provenance": {"provenance": {text: "recipe"}},
    }[part]
    shutil.copytree(good, tmp_path / "bad")
    files = {name: digest for name, digest in spec.files.items() if name != "model.json"}
    (tmp_path / "bad" / "model.json").write_text(to_json(sealed(spec.model_copy(update=changed), files)))
    with pytest.raises(ModelFileError, match="control characters") as told:
        ModelStore(tmp_path / "store").import_(tmp_path / "bad")
    assert str(told.value).isprintable()


def test_neither_is_the_name_of_something_that_no_model_has(good: Path, tmp_path: Path) -> None:
    shutil.copytree(good, tmp_path / "bad")
    content = json.loads((good / "model.json").read_text())
    (tmp_path / "bad" / "model.json").write_text(json.dumps({**content, "\x1b[2J": 1}))
    with pytest.raises(ModelFileError) as told:
        ModelStore(tmp_path / "store").import_(tmp_path / "bad")
    assert str(told.value).isprintable()


def test_a_card_may_have_several_lines() -> None:
    assert Card(purpose="one", summary="two\n\tlines", training_data="", license="").summary.endswith("lines")


def test_mutated_weights_load_or_are_refused(good: Path, tmp_path: Path) -> None:
    """With right hashes, so that every byte reaches the parser."""
    random_ = random.Random(0)
    folder = Path(shutil.copytree(good, tmp_path / "model"))
    whole = (folder / "weights.safetensors").read_bytes()
    header = 8 + struct.unpack("<Q", whole[:8])[0]
    refused = 0
    for i in range(300):
        data = bytearray(whole)
        for _ in range(1 + i % 4):
            data[random_.randrange(header if i % 5 else len(data))] = random_.randrange(256)
        (folder / "weights.safetensors").write_bytes(bytes(data[: None if i % 7 else random_.randrange(len(data))]))
        reseal(folder)
        model = Model(ModelStore(tmp_path / "store").spec(folder), folder)
        try:
            assert all(value.isfinite().all() for value in model.network.state_dict().values())
        except ModelFileError:
            refused += 1
    assert refused > 200
