"""All the set-up there is: ``python dev.py run [PICTURE ...] | test | bench | docs`` straight after cloning.

The first call makes ``.venv``, installs what Qt needs of the system where it may, and the project; later calls
go straight to work. Needs Python 3.11 or newer and nothing else. Arguments after the command are passed on.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")

LIBRARIES = {  # what Qt and OpenGL load on Linux, and the Debian package of each
    "libglib-2.0.so.0": "libglib2.0-0",
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "libfontconfig.so.1": "libfontconfig1",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libdbus-1.so.3": "libdbus-1-3",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
}
PROGRAMS = {"xvfb-run": "xvfb", "xauth": "xauth"}  # a screen for the GUI tests where there is none


def main() -> int:
    """Run the command named first, with the arguments after it."""
    commands = {"run": run, "test": test, "bench": bench, "docs": docs}
    if len(sys.argv) < 2 or sys.argv[1] not in commands:
        print(f"{__doc__}\nusage: python dev.py {{{'|'.join(commands)}}} [arguments]")
        return 0 if sys.argv[1:] in (["-h"], ["--help"]) else 2
    install_system_libraries()
    return commands[sys.argv[1]](sys.argv[2:])


def run(arguments: list[str]) -> int:
    """Open napari with the dock and a sample picture; without a display, segment the samples and say where.

    Given pictures take the place of the samples; they are looked for where the caller is, then in the project's folder.
    """
    install("test")
    here, given = Path.cwd(), [from_here(argument) for argument in arguments]
    if not has_display():
        print("There is no display, so pictures are segmented without napari.", flush=True)
        return call(PYTHON, ROOT / "docs" / "examples" / "segment_samples.py", *given, folder=here)
    if given:
        return call(BIN / "napari", *given, "-w", "napari-unetstyle", folder=here)
    return call(PYTHON, "docs/examples/open_sample.py")


def from_here(argument: str) -> str:
    """An argument, with the project's folder before a picture that is there and not where the caller is."""
    is_ours = not Path(argument).exists() and (ROOT / argument).is_file()
    return str(ROOT / argument) if is_ours else argument


def test(arguments: list[str]) -> int:
    """Lint, types, import directions, then every test; the last line is pytest's own."""
    install("test")
    checks = [
        [BIN / "ruff", "check"],
        [BIN / "ruff", "format", "--check"],
        [BIN / "mypy"],
        [BIN / "lint-imports", "--no-logo"],
    ]
    for check in checks:
        if code := call(*check):
            print(f"{check[0].name} failed (see above); the tests were not run.", flush=True)
            return code
    two = [] if "-n" in arguments or (os.cpu_count() or 1) < 2 else ["-n", "2"]
    for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # else the threads of both processes mostly wait for each other
    return call(*virtual_screen(), PYTHON, "-m", "pytest", *two, "--dist", "loadgroup", *arguments)


def bench(arguments: list[str]) -> int:
    """Run the benchmarks that need no data; with ``--data FOLDER``, those that do."""
    install("test", "bench")
    texts = {script: script.read_text() for script in sorted((ROOT / "benchmarks").glob("*.py"))}
    scripts = [script for script, text in texts.items() if "__main__" in text]
    chosen = [script for script in scripts if ('"--data"' in texts[script]) == ("--data" in arguments)]
    return max([call(PYTHON, script, *arguments) for script in chosen], default=0)


def docs(arguments: list[str]) -> int:
    """Build the documentation into site/."""
    install("test")
    return call(PYTHON, "-m", "mkdocs", "build", "--strict", *arguments)


def install(*groups: str) -> None:
    """Install the project (editable, with napari and Qt) and dependency groups, unless that is already done."""
    state = hashlib.sha256(sys.version.encode())
    for name in ("pyproject.toml", "napari.yaml"):  # the manifest is copied at installation, as entry points are
        state.update((ROOT / name).read_bytes())
    stamp = VENV / f".installed-{'-'.join(groups)}"
    if stamp.exists() and stamp.read_text() == state.hexdigest():
        return
    print("Installing into .venv; the first time takes minutes, as PyTorch and Qt are large.", flush=True)
    venv.create(VENV, with_pip=True)
    pip = [PYTHON, "-m", "pip", "install", *([] if sys.stdout.isatty() else ["-qq"])]
    wanted = [option for group in groups for option in ("--group", group)]
    if call(*pip, "--upgrade", "pip>=25.1") or call(*pip, "--no-compile", "--editable", ".[all]", *wanted):
        sys.exit("The installation failed, see pip's message above. Remove .venv to start afresh.")
    stamp.write_text(state.hexdigest())


def install_system_libraries() -> None:
    """On Linux, install the missing system libraries with apt where that is allowed; otherwise name them."""
    missing = missing_packages() if sys.platform == "linux" else []
    if missing and shutil.which("apt-get") and (prefix := as_root()) is not None:
        print(f"Installing system packages: {' '.join(missing)}", flush=True)
        apt = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300"]
        subprocess.run([*apt, "update"], check=False)
        install_them = [*apt, "install", "-y", "--no-install-recommends", *missing]
        subprocess.run(install_them, check=False, stdout=subprocess.DEVNULL)
        importlib.invalidate_caches()
        missing = missing_packages()
    if missing:
        print(f"Please have an administrator install what these Debian packages hold: {' '.join(missing)}", flush=True)


def as_root() -> list[str] | None:
    """How to start a command as root without a password; None where that is not possible."""
    if os.geteuid() == 0:
        return []
    sudo = ["sudo", "-n"]
    allowed = shutil.which("sudo") and subprocess.run([*sudo, "true"], capture_output=True, check=False).returncode == 0
    return sudo if allowed else None


def missing_packages() -> list[str]:
    """Debian packages of what cannot be loaded or found."""
    programs = {} if has_display() else PROGRAMS
    packages = [package for library, package in LIBRARIES.items() if not can_load(library)]
    packages += [package for program, package in programs.items() if not shutil.which(program)]
    if importlib.util.find_spec("ensurepip") is None:  # Debian keeps it apart
        packages.append(f"python3.{sys.version_info.minor}-venv")
    return packages


def can_load(library: str) -> bool:
    """Whether the system has this shared library."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def has_display() -> bool:
    """Whether a window can be opened."""
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def virtual_screen() -> list[str]:
    """Give the words to put before a command that opens windows, where there is no display."""
    if has_display() or not shutil.which("xvfb-run"):
        return []
    return ["xvfb-run", "-a", "-s", "-screen 0 1280x1024x24"]


def call(*command: str | Path, folder: Path = ROOT) -> int:
    """Run a command in the project's folder, or in another one, and return its exit code.

    Whatever is imported is compiled once and kept, even where the machine is told not to: without, each process of the
    tests compiles thousands of files of PyTorch and napari.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return subprocess.run([str(part) for part in command], cwd=folder, env=environment, check=False).returncode


if __name__ == "__main__":
    if sys.version_info < (3, 11):  # noqa: UP036 (what this line is for)
        sys.exit(f"Python 3.11 or newer is needed; this is {sys.version.split()[0]}.")
    sys.exit(main())
