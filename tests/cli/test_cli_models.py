"""The command ``models``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from napari_unetstyle.core import segment
from napari_unetstyle.core.models.model import Model
from napari_unetstyle.core.models.spec import InputSpec
from napari_unetstyle.core.models.store import ModelStore
from tests.cli.cli_for_tests import Shell
from tests.core.networks_for_tests import tiny_model
from tests.core.slides_for_tests import shrunk, stained, write_svs


@pytest.fixture
def own_store(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NAPARI_UNETSTYLE_MODELS", str(tmp_path / "own"))
    return tmp_path / "own"


def test_list(shell: Shell) -> None:
    done = shell("models", "list")
    (line,) = [line for line in done.out.splitlines() if line.startswith("tiny")]
    assert "objects and areas" in line
    rows = json.loads(shell("models", "list", "--json").out)["models"]
    (row,) = [row for row in rows if row["name"] == "tiny"]
    assert (row["version"], row["gives"], row["bundled"]) == (1, ["objects", "areas"], False)


def test_a_taught_model_is_listed_below_the_one_it_came_from(shell: Shell, own_store: Path, tiny: Model) -> None:
    shell("models", "import", tiny.folder)
    store = ModelStore()
    taught = {"name": "another", "version": 2, "parent": "tiny@1", "files": {}, "provenance": {"date": "2026-01-05"}}
    store.save(tiny.spec.model_copy(update=taught), tiny.network)
    lines = shell("models", "list").out.splitlines()
    (at,) = [i for i, line in enumerate(lines) if line.startswith("tiny ")]
    assert lines[at + 1].startswith("  another@2 ")
    rows = json.loads(shell("models", "list", "--json").out)["models"]
    assert [row["parent"] for row in rows if row["name"] in ("another", "tiny")] == ["tiny@1", None]
    shown = shell("models", "show", "another").out
    assert "Came from     tiny@1" in shown
    assert "Date          2026-01-05" in shown


def test_two_are_compared_on_pictures(shell: Shell, own_store: Path, tiny: Model, slides: Path) -> None:
    shell("models", "import", tiny.folder)
    tiny_model(own_store, name="other", seed=3)
    done = shell("models", "compare", "tiny", "other", slides / "a.tif", slides / "b.tif")
    assert done.code == 0
    heads = [line for line in done.out.splitlines() if not line.startswith(" ")]
    assert heads == [str(slides / "a.tif"), str(slides / "b.tif")]
    lines = shell("models", "compare", "tiny", "other", slides / "a.tif", "--json").out.splitlines()
    (found,) = map(json.loads, lines)
    assert found["models"] == ["tiny", "other"]
    first, second = found["objects"]
    assert found["only"] == [first - found["alike"], second - found["alike"]]
    assert f"other  {second} objects, {found['only'][1]} of them found by it alone" in done.out
    assert 0 <= found["dice"] < 1
    assert len(list(slides.iterdir())) == 2  # nothing was written


def test_a_bad_picture_does_not_stop_a_comparison(shell: Shell, own_store: Path, tiny: Model, slides: Path) -> None:
    shell("models", "import", tiny.folder)
    tiny_model(own_store, name="other", seed=3)
    (slides / "more").mkdir()
    (slides / "a.tif").rename(slides / "more" / "z.tif")
    (slides / "a.tif").write_text("no picture")
    words = ["models", "compare", "tiny", "other", slides]
    done = shell(*words)
    assert done.code == 1
    assert "a.tif is not a picture" in done.err
    heads = [line for line in done.out.splitlines() if not line.startswith(" ")]
    assert heads == [f"{slides / 'a.tif'}: failed", str(slides / "b.tif"), str(slides / "more" / "z.tif")]
    said = [json.loads(line) for line in shell(*words, "--json").out.splitlines()]
    assert ["error" in one for one in said] == [True, False, False]
    assert shell("models", "compare", "tiny", "other", slides / "a.tif").code == 2


def test_models_are_compared_on_the_level_that_segment_takes(
    shell: Shell, own_store: Path, tiny: Model, tmp_path: Path
) -> None:
    finest = stained((80, 96))
    path = write_svs(tmp_path / "slide.svs", [finest, shrunk(finest, 2)])
    known = InputSpec(channels="rgb", spacing=(1.0, 1.0), unit="um", region=64)
    for seed, name in enumerate(("one", "two")):
        spec = tiny.spec.model_copy(update={"name": name, "input": known, "files": {}})
        ModelStore().save(spec, tiny_model(tmp_path / "models", name=name, seed=seed).network)
    words = ["models", "compare", "one", "two", path]
    done = shell(*words)
    assert "The models fit level 1 of the picture" in done.out
    found, finer = (json.loads(shell(*words, "--json", *more).out) for more in ([], ["--level", 0]))
    assert found["pixels"][0] == np.count_nonzero(segment(path, "one", device="cpu").labels)
    assert sum(finer["pixels"]) > 2 * sum(found["pixels"])


def test_a_model_is_not_compared_with_itself(shell: Shell, tiny: Model, slides: Path) -> None:
    done = shell("models", "compare", "tiny", "tiny@1", slides / "a.tif")
    assert (done.code, done.out) == (2, "")
    assert "Choose two different ones" in done.err


def test_show(shell: Shell, tiny: Model) -> None:
    done = shell("models", "show", "tiny")
    for text in ("blobs, badly", "MIT", "nucleus", "Research use only", str(tiny.folder)):
        assert text in done.out
    content = json.loads(shell("models", "show", "tiny", "--json").out)
    assert content["card"]["license"] == "MIT"
    assert content["folder"] == str(tiny.folder)
    assert "Done unasked" not in done.out
    assert "Done unasked  Small holes in objects are filled." in shell("models", "show", "nuclei").out


def test_import_show_and_remove(shell: Shell, own_store: Path, tiny: Model) -> None:
    assert shell("models", "import", tiny.folder).code == 0
    assert "tiny" in shell("models", "list").out
    renamed = shell("models", "import", tiny.folder, "--name", "other")
    assert renamed.code == 0
    assert "'other' is installed" in renamed.out
    assert shell("models", "remove", "tiny").code == 0
    assert not any(line.startswith("tiny") for line in shell("models", "list").out.splitlines())
    assert shell("models", "remove", "tiny").code == 2


def test_export_is_a_file_that_can_be_imported(shell: Shell, own_store: Path, tiny: Model, tmp_path: Path) -> None:
    assert shell("models", "import", tiny.folder).code == 0
    (tmp_path / "out").mkdir()
    done = shell("models", "export", "tiny", "-o", tmp_path / "out")
    assert done.code == 0
    assert str(tmp_path / "out" / "tiny-1.unetmodel.zip") in done.out
    assert shell("models", "export", "tiny", "-o", tmp_path / "with.zip", "--pictures").code == 0
    assert shell("models", "remove", "tiny").code == 0
    assert shell("models", "import", tmp_path / "out" / "tiny-1.unetmodel.zip").code == 0
    assert shell("models", "export", "tiny", "-o", tmp_path / "out").code == 2


def test_import_of_another_under_a_taken_name(shell: Shell, own_store: Path, tiny: Model, tmp_path: Path) -> None:
    shell("models", "import", tiny.folder)
    done = shell("models", "import", tiny_model(tmp_path / "elsewhere", seed=5).folder)
    assert done.code == 2
    assert "never changes its meaning" in done.err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["show", "nothing"], "no model 'nothing'"),
        (["remove", "nothing"], "no model 'nothing'"),
        (["import", "nowhere"], "nothing at nowhere"),
        (["import", __file__], "cannot be read as a zip"),
    ],
)
def test_what_cannot_be(words: list[str], sentence: str, shell: Shell, own_store: Path) -> None:
    done = shell("models", *words)
    assert (done.code, done.out) == (2, "")
    assert sentence in done.err


def test_a_broken_model_is_named(shell: Shell, own_store: Path, tiny: Model) -> None:
    shell("models", "import", tiny.folder)
    (own_store / "broken").mkdir()
    done = shell("models", "list")
    assert done.code == 0
    assert "Not usable" in done.err
    assert "broken" in done.err
