"""Styles that are kept, handed on and taken in."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from napari_unetstyle.core import KeptStyle, StyleBank, as_image, stylize
from napari_unetstyle.core.errors import OptionError, OutputError, StyleFileError
from napari_unetstyle.core.style.given import reference_of
from napari_unetstyle.core.style.kept_style import SUFFIX, read_style

BUNDLED = {"he-light", "he-dark", "fluorescence", "brightfield", "sem", "mr-t1", "mr-t2", "ct"}


@pytest.fixture
def bank(tmp_path: Path) -> StyleBank:
    return StyleBank(tmp_path / "bank")


def picture(seed: int = 0, shape: tuple[int, ...] = (80, 100, 3)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.random(shape) ** (seed + 1) * 255).astype(np.uint8)


def kept(name: str = "ours", seed: int = 0, **more: object) -> KeptStyle:
    return KeptStyle.of(name, [as_image(picture(seed))], **more)


def test_what_comes_with_the_package(bank: StyleBank) -> None:
    assert {style.name for style in bank.list()} >= BUNDLED
    assert not bank.problems()
    for style in bank.list():
        assert style.license
        assert style.about
        for method in ("automatic", "any"):
            assert stylize(picture(), style, method).image.array.shape == (80, 100, 3)
        with pytest.raises(OptionError, match="came with the package"):
            bank.remove(style.name)


def test_a_kept_style_gives_the_pixels_that_its_picture_gives(bank: StyleBank) -> None:
    bank.add(kept(seed=2))
    found = bank.load("ours")
    assert np.array_equal(stylize(picture(), found).image.array, stylize(picture(), picture(2)).image.array)


@pytest.mark.parametrize("kind", ["uint16", "int16", "float32"])
def test_a_picture_of_more_than_8_bit_can_be_kept(kind: str, bank: StyleBank) -> None:
    values = np.random.default_rng(0).gamma(2, 300, (64, 64)).astype(kind)
    values[3, 4] = 30_000
    look = as_image(values, axes="YX")
    bank.add(KeptStyle.of("ours", [look]))
    found = stylize(picture(), bank.load("ours"), "histogram").image.array
    assert np.array_equal(found, stylize(picture(), look, "histogram").image.array)


def test_a_style_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NAPARI_UNETSTYLE_MODELS", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    StyleBank().add(kept(seed=2))
    assert np.array_equal(stylize(picture(), "ours").image.array, stylize(picture(), picture(2)).image.array)
    with pytest.raises(OptionError, match="Did you mean 'ours'"):
        stylize(picture(), "our")


def test_several_pictures_are_averaged() -> None:
    both = KeptStyle.of("both", [as_image(picture(i)) for i in (1, 3)]).reference
    one, other = (kept(seed=i).reference for i in (1, 3))
    assert np.allclose(both.quantiles, (one.quantiles + other.quantiles) / 2, atol=1e-6)


def test_what_is_handed_on_has_no_picture_in_it_unless_asked(bank: StyleBank, tmp_path: Path) -> None:
    bank.add(kept(about="Scanner 2"))
    plain, shown = (
        bank.export("ours", tmp_path / "plain.json"),
        bank.export("ours", tmp_path / "b.json", thumbnail=True),
    )
    content = json.loads(plain.read_text())
    assert content["thumbnail"] is None
    assert set(content) == {"schema_version", "name", "about", "license", "statistics", "thumbnail", "texture"}
    small = read_style(shown).picture
    assert small is not None
    assert small.shape == (64, 64, 3)
    assert reference_of(shown).stated() == read_style(shown).reference.stated()  # a file is as good as a name
    with pytest.raises(OutputError, match="nothing is replaced"):
        bank.export("ours", plain)
    taken = StyleBank(tmp_path / "elsewhere").import_(plain, "theirs")
    assert np.array_equal(taken.reference.quantiles, kept().reference.quantiles)
    assert taken.reference.name == "theirs"


def test_no_file_name_or_path_of_the_picture_is_kept(tmp_path: Path) -> None:
    import tifffile

    from napari_unetstyle.core import read_image

    path = tmp_path / "Jane_Doe_1970.tif"
    tifffile.imwrite(path, picture(), photometric="rgb", description="Jane Doe")
    text = KeptStyle.of("ours", [read_image(path)]).model_dump_json()
    assert "Jane" not in text
    assert "Doe" not in text


def test_a_file_without_a_texture_is_read_as_before(tmp_path: Path) -> None:
    content = json.loads(kept(seed=2).model_dump_json())
    del content["texture"]
    (tmp_path / "old.style.json").write_text(json.dumps(content))
    old = read_style(tmp_path / "old.style.json")
    assert old.texture is None
    assert old.reference.stated() == kept(seed=2).reference.stated()


def test_teaching_takes_the_texture_of_a_kept_style_only_if_it_is_asked_for() -> None:
    assert reference_of(kept()).texture is None
    assert len(reference_of(kept(), texture=True).texture) == 384
    assert reference_of(kept(texture=False), texture=True).texture is None


def test_a_name_never_changes_its_meaning(bank: StyleBank) -> None:
    before = bank.add(kept())
    with pytest.raises(OptionError, match="'ours-2'"):
        bank.add(kept(seed=1))
    with pytest.raises(OptionError, match="already"):
        bank.add(kept("he-light"))
    assert bank.load("ours") == before
    bank.remove("ours")
    assert "ours" not in bank


ADD = """
import sys
from napari_unetstyle.core.errors import OptionError
from napari_unetstyle.core.style.bank import StyleBank
from napari_unetstyle.core.style.kept_style import read_style
style = read_style(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
try:
    StyleBank(sys.argv[2]).add(style)
except OptionError as error:
    print(error)
else:
    print("kept")
"""


def test_of_two_programs_that_add_a_name_at_the_same_time_one_is_told_that_it_is_taken(tmp_path: Path) -> None:
    files = [tmp_path / f"{i}.json" for i in range(2)]
    for i, file in enumerate(files):
        file.write_text(kept(seed=i).model_dump_json())
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", ADD]
    added = [
        subprocess.Popen([*command, file, tmp_path / "bank"], stdin=pipe, stdout=pipe, text=True) for file in files
    ]
    for one in added:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    for one in added:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    said = [one.communicate()[0] for one in added]
    bank = StyleBank(tmp_path / "bank")
    (winner,) = (i for i in range(2) if said[i] == "kept\n")
    assert "There is a style 'ours' already" in said[1 - winner]
    assert bank.load("ours") == read_style(files[winner])
    assert not bank.problems()


@pytest.mark.parametrize("name", ["", "A", "../up", "a/b", "ä", "x" * 65])
def test_odd_names_are_refused(name: str) -> None:
    with pytest.raises(OptionError, match="small letters"):
        kept(name)


def test_constant_pictures_and_none_are_refused() -> None:
    with pytest.raises(OptionError, match="same value"):
        KeptStyle.of("flat", [as_image(np.full((40, 40), 7, np.uint8))])
    with pytest.raises(OptionError, match="at least one"):
        KeptStyle.of("none", [])
    with pytest.raises(OptionError, match="plain text"):
        KeptStyle.of("none", [], about="nice\x1b[2J")


def textured(content: dict, look: list) -> dict:
    return {**content, "texture": {**content["texture"], "look": look}}


DAMAGES = {
    "cut": lambda content: json.dumps(content)[:-40],
    "empty": lambda content: "",
    "no json": lambda content: "PK\x03\x04",
    "deep": lambda content: "[" * 100_000,
    "newer": lambda content: json.dumps({**content, "schema_version": 2}),
    "more": lambda content: json.dumps({**content, "script": "import os"}),
    "name": lambda content: json.dumps({**content, "name": "../../x"}),
    "thumbnail": lambda content: json.dumps({**content, "thumbnail": "AAAA"}),
    "few": lambda content: json.dumps({**content, "statistics": {**content["statistics"], "quantiles": [[0.1, 0.2]]}}),
    "control characters": lambda content: json.dumps({**content, "about": "nice\x1b[2J"}),
    "none": lambda content: json.dumps({**content, "statistics": {}}),
    "text": lambda content: json.dumps({**content, "statistics": {**content["statistics"], "mean": ["a", "b", "c"]}}),
    "nan": lambda content: json.dumps({**content, "statistics": {**content["statistics"], "mean": [float("nan")] * 3}}),
    "texture of nan": lambda content: json.dumps(textured(content, [float("nan")] * 384)),
    "texture of text": lambda content: json.dumps(textured(content, ["1"] * 384)),
    "texture out of all bounds": lambda content: json.dumps(textured(content, [1e30] * 384)),
    "short texture": lambda content: json.dumps(textured(content, [0.1] * 383)),
    "endless texture": lambda content: json.dumps({**content, "texture": {"network": "0" * 16, "look": [0.1] * 9999}}),
    "texture of no network": lambda content: json.dumps({**content, "texture": {"network": "../x", "look": [0.1]}}),
    "ranks": lambda content: json.dumps(
        {**content, "statistics": {**content["statistics"], "quantiles": [[1.0, 0.0] * 128 + [0.5]] * 3}}
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_files_that_are_no_styles_are_refused_in_words(damage: str, bank: StyleBank, tmp_path: Path) -> None:
    content = json.loads(kept().model_dump_json())
    path = tmp_path / "bad.json"
    path.write_text(DAMAGES[damage](content))
    with pytest.raises(StyleFileError, match=r"bad\.json"):
        bank.import_(path)
    assert "ours" not in bank
    bank.root.mkdir(exist_ok=True)
    path.rename(bank.root / f"ours{SUFFIX}")  # nor does it stop the others
    assert {style.name for style in bank.list()} >= BUNDLED
    assert len(bank.problems()) == 1
    with pytest.raises(StyleFileError):
        bank.load("ours")


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.text(max_size=3),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=3), inside, max_size=2),
    max_leaves=6,
)


@given(st.sampled_from(["quantiles", "mean", "std", "polarity", "stains", "amounts", "texture", "name"]), ANY_JSON)
@example("quantiles", 5)
@example("quantiles", 3.5e38)
@example("polarity", None)
@example("polarity", "x")
@settings(deadline=None)
def test_one_odd_number_does_not_hide_the_other_styles(
    tmp_path_factory: pytest.TempPathFactory, name: str, odd: object
) -> None:
    bank = StyleBank(tmp_path_factory.mktemp("bank"), bundled=tmp_path_factory.mktemp("none"))
    bank.add(kept("theirs", texture=False))
    content = json.loads(kept(texture=False).model_dump_json())
    content["statistics"][name] = odd
    (bank.root / f"ours{SUFFIX}").write_text(json.dumps(content))
    names = [style.name for style in bank.list()]
    assert "theirs" in names
    assert ("ours" in names) != bool(bank.problems())
    if "ours" in names:  # it said nothing that matters, or a number
        stylize(picture(), bank.load("ours"))


def test_a_volume_keeps_one_style_and_its_middle_slice() -> None:
    volume = as_image(np.random.default_rng(0).integers(0, 999, (9, 40, 30), np.uint16), axes="ZYX")
    style = KeptStyle.of("mr", [volume])
    assert style.reference.channels == 1
    assert style.picture is not None
    assert (style.picture == style.picture[..., :1]).all()


def test_a_file_that_this_version_cannot_read_is_not_replaced(tmp_path):
    bank = StyleBank(tmp_path)
    newer = tmp_path / "z.style.json"
    newer.write_text('{"schema_version": 2}')
    with pytest.raises(OptionError, match="nothing is replaced"):
        bank.add(KeptStyle.of("z", [as_image(np.arange(4096, dtype=np.uint8).reshape(64, 64))]))
    assert newer.read_text() == '{"schema_version": 2}'


def test_an_exported_file_has_its_suffix_and_a_name_without_one_is_a_folder(tmp_path):
    bank = StyleBank(tmp_path / "bank")
    assert bank.export("ct", tmp_path / "new folder").name == "ct.style.json"
    assert bank.export("ct", tmp_path / "mine.json").name == "mine.style.json"
    assert bank.export("ct", tmp_path / "ours.txt").name == "ours.txt.style.json"
    with pytest.raises(OutputError, match="exists already"):
        bank.export("ct", tmp_path / "mine.style.json")


def test_a_folder_does_not_take_the_name_of_a_style(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ct").mkdir()
    assert reference_of("ct").name == "ct"
