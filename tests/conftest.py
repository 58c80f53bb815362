"""What every test shares. Plugins of pytest are named here; none is loaded unasked (see pyproject.toml)."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# before anything imports napari or torch:
OURS = tempfile.TemporaryDirectory(prefix="unetstyle-tests-", ignore_cleanup_errors=True)  # never the person's own
os.environ["NAPARI_CONFIG"] = str(Path(OURS.name) / "settings.yaml")
os.environ["NAPARI_UNETSTYLE_MODELS"] = str(Path(OURS.name) / "models")
os.environ["NAPARI_UNETSTYLE_FIXES"] = str(Path(OURS.name) / "fixes")
THREADS = 1 if "PYTEST_XDIST_WORKER" in os.environ else min(4, os.cpu_count() or 1)  # more gain small pictures nothing
os.environ.setdefault("OMP_NUM_THREADS", str(THREADS))
os.environ.setdefault("NUMBA_NUM_THREADS", str(THREADS))  # which napari uses, and which else sets PyTorch's, too

WINDOWS = ("tests/widgets/", "tests/test_parity.py", "tests/test_manifest.py")
ALWAYS = ["_hypothesis_pytestplugin"]
NO_DISPLAY = sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
if NO_DISPLAY:
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

with contextlib.suppress(ImportError):
    # torch.optim imports it; loaded after Mesa's software renderer, which has an LLVM of its own, it kills the process
    import triton  # noqa: F401

try:
    import napari.layers  # noqa: F401 (loads OpenGL and fontconfig)
    import qtpy.QtWidgets  # noqa: F401
except (ImportError, OSError, RuntimeError) as error:  # no Qt, or a system library that it needs is missing
    GUI = f"left out, because Qt cannot be loaded here: {error}"
    pytest_plugins = [*ALWAYS]
    collect_ignore_glob = ["widgets/*", "test_manifest.py", "test_parity.py"]
else:
    GUI = "on, without a display" if NO_DISPLAY else "on"
    pytest_plugins = [
        *ALWAYS,
        "npe2._pytest_plugin",
        "pytestqt.plugin",
        "napari.utils._testsupport",
    ]

settings.register_profile("ci", derandomize=True, max_examples=15, deadline=None)
settings.register_profile("dev", max_examples=15, deadline=None)
settings.register_profile("long", max_examples=100, deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--long`` repeats what is random hundreds of times, kills at any moment above all, and tries every variant."""
    parser.addoption("--long", action="store_true", help="repeat random trials 200 times, and try every variant")


def pytest_configure(config: pytest.Config) -> None:
    """More examples of each property where there is time."""
    if config.getoption("--long"):
        settings.load_profile("long")


@pytest.fixture(scope="session")
def repeats(request: pytest.FixtureRequest) -> Callable[[int], int]:
    """How often to try what is random: as often as the quick run wants, or 200 times with ``--long``."""
    return lambda quick: 200 if request.config.getoption("--long") else quick


def pytest_unconfigure() -> None:
    """Leave nothing behind."""
    OURS.cleanup()


def pytest_report_header() -> str:
    """Say at the top whether the GUI tests run."""
    return f"GUI tests: {GUI}"


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what this machine cannot do.

    With several processes, what opens windows comes first and stays in one of them: two at a time would take the focus
    from each other. The code of the documentation follows, some pages of which would else be left to one process at the
    end.
    """
    items.sort(key=lambda item: (not item.nodeid.startswith(WINDOWS), not item.nodeid.startswith("tests/test_docs.py")))
    for item in items:
        if item.nodeid.startswith(WINDOWS):
            item.add_marker(pytest.mark.xdist_group("windows"))
        if item.get_closest_marker("screen") and NO_DISPLAY:
            item.add_marker(pytest.mark.skip(reason="needs a display"))
        if item.get_closest_marker("long") and not item.config.getoption("--long"):
            item.add_marker(pytest.mark.skip(reason="takes long: --long"))
        if item.get_closest_marker("gpu") and not _has_gpu():
            item.add_marker(pytest.mark.skip(reason="needs an accelerator"))


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available() or torch.backends.mps.is_available()


@pytest.fixture(autouse=True, scope="module")
def _settled() -> None:
    """What is there by now need not be gone through whenever garbage is collected: that was a quarter of the time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=NO_DISPLAY)
def _without_opengl(monkeypatch: pytest.MonkeyPatch) -> None:
    """Qt's offscreen platform has no OpenGL; napari asks it for limits whenever a picture is added."""
    if "napari._vispy.utils.visual" not in sys.modules:
        try:
            import napari._vispy.utils.visual  # noqa: F401
        except ImportError:
            return
    for name, module in list(sys.modules.items()):
        if name.startswith("napari._vispy"):
            if hasattr(module, "get_gl_extensions"):
                monkeypatch.setattr(module, "get_gl_extensions", lambda: "")
            if hasattr(module, "get_max_texture_sizes"):
                monkeypatch.setattr(module, "get_max_texture_sizes", lambda: (2048, 2048))
