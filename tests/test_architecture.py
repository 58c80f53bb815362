"""The house holds: who may import whom, what never happens in the source, and what people are always told."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "napari_unetstyle"
DISCLAIMER = "research use only"

GUI = {"napari", "qtpy", "magicgui", "superqt", "PyQt6", "PySide6", "vispy"}
TORCH = {"torch", "torchvision"}
COMPUTES = ("napari_unetstyle.core.networks", "napari_unetstyle.core.inference", "napari_unetstyle.core.training")


def modules(*rooms: str) -> list[str]:
    """Dotted names of every module in the rooms, packages included."""
    files = [file for room in rooms for file in sorted((SOURCE / room).rglob("*.py"))]
    names = [".".join(file.relative_to(SOURCE.parent).with_suffix("").parts) for file in files]
    return [name.removesuffix(".__init__") for name in names]


def in_clean_process(code: str, names: list[str]) -> str:
    """What `code` prints in a process of its own, where ``sys.argv[1:]`` are module names."""
    done = subprocess.run([sys.executable, "-c", code, *names], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def loaded_after_importing(names: list[str]) -> set[str]:
    """Top-level packages in a clean process that has imported `names` and nothing else."""
    code = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print(*{name.partition('.')[0] for name in sys.modules})
"""
    return set(in_clean_process(code, names).split())


def test_import_directions() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache", "--no-logo"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_core_and_cli_are_headless() -> None:
    everything = modules("core", "cli")
    assert "napari_unetstyle.core.segmentation.segment" in everything
    assert loaded_after_importing(everything) & GUI == set()


def test_core_and_cli_start_without_torch() -> None:
    until_computing = [name for name in modules("core", "cli") if not name.startswith(COMPUTES)]
    assert loaded_after_importing(until_computing) & TORCH == set()


def test_dock_opens_without_torch() -> None:
    pytest.importorskip("qtpy.QtWidgets", exc_type=(ImportError, RuntimeError))
    assert loaded_after_importing(modules("widgets")) & TORCH == set()


def test_dock_opens_without_what_reads_files() -> None:
    pytest.importorskip("qtpy.QtWidgets", exc_type=(ImportError, RuntimeError))
    code = "import sys, napari_unetstyle.widgets.main_dock\nprint('napari_unetstyle.core.imaging.files' in sys.modules)"
    assert in_clean_process(code, []).strip() == "False"


def test_importing_writes_nothing_and_starts_no_thread() -> None:
    code = """
import importlib, sys, threading
def watch(event, args):
    writing = event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+")
    if writing and "__pycache__" not in str(args[0]):
        print("opened for writing:", args[0])
sys.addaudithook(watch)
for name in sys.argv[1:]:
    importlib.import_module(name)
print(*[thread.name for thread in threading.enumerate() if thread is not threading.main_thread()])
"""
    until_computing = [name for name in modules("core", "cli") if not name.startswith(COMPUTES)]
    assert in_clean_process(code, until_computing).strip() == ""


# What the source never does --------------------------------------------------------------------------------------

FORBIDDEN_IMPORTS = {"pickle", "dill", "joblib", "shelve", "marshal", "cloudpickle"}
FORBIDDEN_NAMES = {"eval", "exec", "__import__"}
FORBIDDEN_CALLS = {  # as written, the last two parts of the dotted name
    "torch.load": "weights are safetensors; torchvision's own file is read as tensors only (weights_only=True)",
    "jit.load": "it runs code from the file",
    "yaml.load": "use safe_load",
    "os.system": "no shell",
}
OPENERS = {"open", "fdopen", "ZipFile", "TarFile"}
WRITERS = {
    "write_text", "write_bytes", "imwrite", "imsave", "TiffWriter", "roiwrite", "save_file",
    "savez", "savez_compressed", "savetxt", "copyfile", "copy2",
}  # fmt: skip


def sources() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    """Calls with the dotted name of what is called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node, ast.unparse(node.func)


def keyword(call: ast.Call, name: str) -> str:
    return next((ast.unparse(k.value) for k in call.keywords if k.arg == name), "")


def unsafe(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Lines that could run code which came with data, or a shell."""
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            if name.partition(".")[0] in FORBIDDEN_IMPORTS:
                yield node.lineno, f"import {name}"
    for call, name in calls(tree):
        last_two = ".".join(name.split(".")[-2:])
        is_tensors = last_two == "torch.load" and keyword(call, "weights_only") == "True"
        if name in FORBIDDEN_NAMES or (last_two in FORBIDDEN_CALLS and not is_tensors) or name.endswith(".extractall"):
            yield call.lineno, name
        if keyword(call, "allow_pickle") == "True" or keyword(call, "shell") == "True":
            yield call.lineno, ast.unparse(call)


def unguarded_writes(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Writes outside a ``with atomic_path(...)`` block: an error or a crash would leave half a file."""
    guarded = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.With) and any("atomic_path(" in ast.unparse(item) for item in node.items)
        for inner in ast.walk(node)
    }
    for call, name in calls(tree):
        last = name.split(".")[-1]
        texts = [arg.value for arg in call.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
        modes = [*texts, keyword(call, "mode").strip("'\"")] if last in OPENERS else []
        opens = any(re.fullmatch("[rwaxbt+]*[wax+][rwaxbt+]*", mode) for mode in modes)
        if (opens or last in WRITERS) and call not in guarded:
            yield call.lineno, ast.unparse(call)


@pytest.mark.parametrize("file", sources(), ids=lambda file: file.relative_to(SOURCE).as_posix())
def test_source_is_safe(file: Path) -> None:
    tree = ast.parse(file.read_text())
    assert list(unsafe(tree)) == []
    if file != SOURCE / "core" / "files.py":
        assert list(unguarded_writes(tree)) == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "archive.extractall(folder)",
        "subprocess.run(line, shell=True)",
        "torch.jit.load(path)",
        "eval(text)",
    ],
)
def test_the_lint_sees_unsafe_code(code: str) -> None:
    assert list(unsafe(ast.parse(code)))


@pytest.mark.parametrize(
    "code", ["open(p, 'w')", "p.open('ab')", "open(p, mode='r+')", "p.write_text(t)", "tifffile.imwrite(p, a)"]
)
def test_the_lint_sees_unguarded_writes(code: str) -> None:
    assert list(unguarded_writes(ast.parse(code)))
    assert not list(unguarded_writes(ast.parse(f"with atomic_path(target) as p:\n    {code}")))


def test_the_lint_lets_reading_pass() -> None:
    assert not list(unguarded_writes(ast.parse("open(p, 'rb'); archive.open(member); p.open()")))


# What is in the repository, and what people are told -------------------------------------------------------------


def tracked_texts() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    kept = {".py", ".md", ".toml", ".yaml", ".yml", ".json", ".txt", ".cfg", ".css", ""}
    files = [ROOT / name for name in done.stdout.split("\0") if name]
    return [file for file in files if file.suffix in kept and file.is_file()]


def test_the_order_x_y_z_is_turned_in_one_module_only() -> None:
    kinds = "dicom|medical|meta|mirax|nifti|nrrd|ome|output|picture|slides|tiff"
    rooms = (SOURCE / "core" / "imaging", SOURCE / "core" / "segmentation")
    files = [file for room in rooms for file in room.glob("*.py") if re.match(kinds, file.name)]
    assert len(files) > 20
    assert [file.name for file in files if "[::-1" in file.read_text("utf-8")] == []


def test_no_registry_address_and_no_machine_path() -> None:
    places = r"pypi\.org|pythonhosted|index-url|deb\.debian|registry\.npmjs|/home/\w+/|/root/|/work/|[A-Z]:\\\\Users"
    found = [
        f"{file.relative_to(ROOT)}: {match.group()}"
        for file in tracked_texts()
        if file != Path(__file__)
        for match in re.finditer(places, file.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_no_large_file() -> None:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    files = [ROOT / name for name in done.stdout.split("\0") if name]
    bundled = [file for file in files if "bundled" in file.parts]
    sizes = {file.relative_to(ROOT).as_posix(): file.stat().st_size for file in files if file.is_file()}
    most = {name: 3_000_000 if name.endswith(".gif") else 500_000 for name in sizes if "bundled/" not in name}
    assert {name: sizes[name] for name, limit in most.items() if sizes[name] > limit} == {}
    assert sum(file.stat().st_size for file in bundled) < 30e6


@pytest.mark.parametrize("place", ["README.md", "docs/index.md", "pyproject.toml"])
def test_research_use_only_is_said_in(place: str) -> None:
    assert DISCLAIMER in (ROOT / place).read_text(encoding="utf-8").lower()


def test_research_use_only_is_said_by_the_dock() -> None:
    texts = [file.read_text(encoding="utf-8") for file in (SOURCE / "widgets").rglob("*.py")]
    assert any(DISCLAIMER in text.lower() or "DISCLAIMER" in text for text in texts)


def test_research_use_only_is_said_by_the_command_line() -> None:
    command = [Path(sys.executable).with_name("napari-unetstyle"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert DISCLAIMER in done.stdout.lower()


def test_research_use_only_is_said_by_every_model_card() -> None:
    from napari_unetstyle.core import ModelStore

    models = ModelStore().list()
    assert models
    assert all(DISCLAIMER in spec.card.intended_use.lower() for spec in models)
