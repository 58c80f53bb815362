"""What takes seconds to load, loaded in the background once the dock is open, so that the first run starts at once.

The window must not freeze meanwhile, but Python loads a compiled module with its lock held: half a second for torch.
So torch's libraries are loaded before it, by the system's loader, which is called without that lock.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from napari_unetstyle.core.progress import Progress, Steps

_LIBRARIES = ("torch_global_deps", "torch_cpu", "torch")  # in the order in which torch loads them
_SUFFIX = ".dylib" if sys.platform == "darwin" else ".so"


def iter_load() -> Steps[None]:
    """Load torch, what a run imports, and what napari needs for its first labels; can be stopped in between."""
    loads = (*_library_loads(), _import_core, _compile_colors)
    for i, load in enumerate(loads):
        yield Progress(i, len(loads), "Loading")
        load()


def _library_loads() -> Iterator[_LibraryLoad]:
    """One load for each library of torch; none on Windows, where torch itself loads them without Python's lock."""
    found = importlib.util.find_spec("torch")  # imports nothing
    if found is None or found.origin is None or not hasattr(os, "RTLD_NOW"):
        return
    folder = Path(found.origin).parent / "lib"
    for stem in _LIBRARIES:
        path = folder / f"lib{stem}{_SUFFIX}"
        if path.is_file():
            yield _LibraryLoad(path)


class _LibraryLoad:
    """Loads a library as torch would; if that fails, importing torch says why."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self) -> None:
        visible = os.RTLD_GLOBAL if "global" in self._path.name else os.RTLD_LOCAL
        open_library = ctypes.CDLL(None).dlopen  # a call by ctypes releases the lock; ctypes.CDLL(path) does not
        open_library.restype = ctypes.c_void_p
        open_library(os.fsencode(self._path), os.RTLD_NOW | visible)


def _import_core() -> None:
    with _garbage_kept():
        import skimage.measure
        import skimage.segmentation  # noqa: F401

        import napari_unetstyle.core.inference.probability
        import napari_unetstyle.core.segmentation.segment  # noqa: F401


@contextlib.contextmanager
def _garbage_kept() -> Iterator[None]:
    """Importing makes hardly any garbage, but its search freezes everything for up to 0.4 s, several times."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _compile_colors() -> None:
    """Have napari compile how labels get their colors, which it would do when the first ones are shown."""
    import numpy as np

    from napari_unetstyle.widgets.label_layers import object_colors

    object_colors().map(np.ones((1, 1), np.int32))
