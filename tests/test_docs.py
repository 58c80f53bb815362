"""The documentation is true: its code runs, its example files are valid, its pages build, its links lead somewhere."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
OTHERS = [ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "SECURITY.md"]
BLOCK = re.compile(r"^```(python|sh|json)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, *languages: str) -> list[tuple[str, str]]:
    return [(language, code) for language, code in BLOCK.findall(page.read_text("utf-8")) if language in languages]


def with_code(*languages: str) -> list[Path]:
    return [page for page in PAGES if blocks(page, *languages)]


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the sample pictures, as the pages assume; of large ones a quarter, which is done in a quarter."""
    from napari_unetstyle.core import read_image, write_image

    shutil.copytree(ROOT / "sample_data", tmp_path / "sample_data")
    for path in (tmp_path / "sample_data").rglob("*.tif"):
        image = read_image(path)
        part = tuple(slice(256 if axis in "YX" else None) for axis in image.axes)
        write_image(path, dataclasses.replace(image, array=np.asarray(image.array)[part]))
    monkeypatch.setenv("NAPARI_UNETSTYLE_MODELS", str(tmp_path / "own"))  # other tests see nothing of what is kept
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def few_old_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models carry one picture of each role here: a teaching measures itself on all that there are to check with."""
    from napari_unetstyle.core.models.memory import Memory
    from napari_unetstyle.core.models.model import Model

    carried = Model.memory

    def few(model: Model) -> tuple[Memory, ...]:
        return tuple({one.role: one for one in reversed(carried.fget(model))}.values())

    monkeypatch.setattr(Model, "memory", property(few))


@pytest.mark.usefixtures("few_old_pictures")
@pytest.mark.parametrize("page", with_code("python", "sh"), ids=name)
def test_code_on_the_page_runs(page: Path, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a page share one namespace and folder. Of shell, only our own command is run."""
    namespace: dict[str, object] = {"__name__": "__main__"}
    for language, code in blocks(page, "python", "sh"):
        if language == "python":
            exec(compile(code, name(page), "exec"), namespace)
            continue
        for line in code.replace("\\\n", " ").splitlines():
            if line.startswith("napari-unetstyle "):
                run_command(line, monkeypatch)


def run_command(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the installed command in this process (PyTorch is loaded once), with globs as a shell expands them."""
    words = [sorted(map(str, Path().glob(word))) or [word] for word in shlex.split(line, comments=True)]
    (command,) = importlib.metadata.entry_points(group="console_scripts", name="napari-unetstyle")
    monkeypatch.setattr(sys, "argv", [word for expanded in words for word in expanded])
    with pytest.raises(SystemExit) as stop:
        sys.exit(command.load()())
    assert stop.value.code in (0, None), line


def test_readme_keeps_its_word() -> None:
    (python,) = blocks(ROOT / "README.md", "python")
    lines = [line for line in python[1].splitlines() if line]
    assert len(lines) <= 10
    commands = [code for _, code in blocks(ROOT / "README.md", "sh") if code.startswith("napari-unetstyle")]
    assert len(commands[0].splitlines()) == 3


def test_the_recording_of_the_readme_moves_and_is_small() -> None:
    """As ``docs/recording.py`` makes it."""
    from PIL import Image

    recording = ROOT / "docs" / "images" / "teach.gif"
    assert f"]({recording.relative_to(ROOT).as_posix()})" in (ROOT / "README.md").read_text("utf-8")
    assert recording.stat().st_size < 3e6
    with Image.open(recording) as frames:
        assert frames.n_frames > 50
        assert frames.size == (900, 680)


def test_example_models_are_valid() -> None:
    from napari_unetstyle.core.models.spec import ModelSpec

    examples = [code for page in PAGES for _, code in blocks(page, "json")]
    assert examples
    for code in examples:
        ModelSpec.model_validate_json(code)


@pytest.mark.parametrize("page", [*PAGES, *OTHERS], ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text("utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_documentation_builds(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path / "site"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "site" / "reference" / "python" / "index.html").read_text("utf-8")
    assert "SegmentOptions" in page
    assert "object_diameter" in page


def test_samples_can_be_segmented_without_a_window(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What `python dev.py run` does where there is no display."""
    script = runpy.run_path(str(ROOT / "docs" / "examples" / "segment_samples.py"))
    assert script["main"](["-o", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert re.search(r"nuclei-fluorescence\.tif: \d+ objects, model 'nuclei', [\d.]+ s", said)
    left_out = re.findall(r"(.+)\.tif: left out", said)
    for stem in {"nuclei-fluorescence", "nuclei-he", "axons-sem", "timelapse-two-channels"} - set(left_out):
        assert (tmp_path / f"{stem}-labels.tif").stat().st_size > 1000
        assert (tmp_path / f"{stem}-outlines.png").stat().st_size > 1000


def test_pictures_of_one_s_own_can_be_segmented_without_a_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = runpy.run_path(str(ROOT / "docs" / "examples" / "segment_samples.py"))
    shutil.copy(ROOT / "sample_data" / "nuclei-he.tif", tmp_path / "mine.tif")
    (tmp_path / "bad.tif").write_bytes(b"no picture")
    before = (tmp_path / "mine.tif").read_bytes()
    monkeypatch.chdir(tmp_path)
    assert script["main"](["bad.tif", "none.tif", "mine.tif", "-o", "."]) == 1
    said = capsys.readouterr().out
    assert re.search(r"^bad\.tif: .+\nnone\.tif: .+\nmine\.tif: \d+ objects, model 'nuclei'", said, re.MULTILINE)
    assert (tmp_path / "mine.tif").read_bytes() == before
    assert sorted(path.name for path in tmp_path.glob("mine-*")) == ["mine-labels.tif", "mine-outlines.png"]
    with pytest.raises(SystemExit):
        script["main"](["mine.tif", "more/mine.tif"])


def test_what_is_collected_for_offline_is_installed_and_has_what_reads_and_writes_files() -> None:
    page = (ROOT / "docs" / "how-to" / "install-offline.md").read_text("utf-8")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    collected, installed = (set(named.split(",")) for named in re.findall(r'\[([a-z,]+)\]"', page))
    assert collected == installed == extras.keys() - {"tensorboard"}  # a log of what is taught


def test_samples_are_what_their_script_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tifffile

    monkeypatch.setattr(sys, "argv", ["make.py", str(tmp_path)])
    runpy.run_path(str(ROOT / "sample_data" / "make.py"), run_name="__main__")
    made = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.tif"))
    kept = sorted(path.relative_to(ROOT / "sample_data") for path in (ROOT / "sample_data").rglob("*.tif"))
    assert made == kept
    for path in kept:
        assert (ROOT / "sample_data" / path).stat().st_size < 300_000
        old, new = tifffile.imread(ROOT / "sample_data" / path), tifffile.imread(tmp_path / path)
        assert old.shape == new.shape
        # libraries round differently; a pixel here and there may be another
        assert np.mean(np.abs(old.astype(float) - new.astype(float)) > 1) < 0.01


def test_every_command_and_option_is_documented() -> None:
    import click
    import typer

    from napari_unetstyle.cli.main import app

    def walk(command: click.Command, path: str) -> Iterator[str]:
        yield path
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                yield next(option for option in parameter.opts if option.startswith("--"))
        for child in getattr(command, "commands", {}).values():
            yield from walk(child, f"{path} {child.name}")

    page = (ROOT / "docs" / "reference" / "command-line.md").read_text("utf-8")
    everything = set(walk(typer.main.get_command(app), "napari-unetstyle")) - {
        "--install-completion",
        "--show-completion",
    }
    assert {word for word in everything if word not in page} == set()
