"""Folders that are written aside and get their name in one step, when they are complete."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from napari_unetstyle.core.errors import OutputError

ENVIRONMENT = "NAPARI_UNETSTYLE_MODELS"
PREFIX = ".partial-"
_A_DAY = 86400


@contextlib.contextmanager
def partial_folder(root: Path) -> Iterator[Path]:
    """A folder beside the models that no scan sees; gone afterwards unless it was given a name.

    Raises
    ------
    OutputError
        If nothing can be written to `root`.
    """
    partial = new_partial(root)
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def new_partial(root: Path) -> Path:
    """A new such folder, which a killed process may leave behind; those of a day ago or earlier are removed."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        _sweep(root)
        return Path(tempfile.mkdtemp(prefix=PREFIX, dir=root))
    except OSError as error:
        raise OutputError(
            f"Could not write to the model folder {root}: {error.strerror or error}. "
            f"Choose one that you may write to (environment variable {ENVIRONMENT})."
        ) from error


def name_it(partial: Path, target: Path) -> None:
    """Make a complete folder the folder `target`, which must not exist."""
    try:
        partial.chmod(0o755)
        partial.rename(target)
    except OSError as error:
        raise OutputError(
            f"Could not write {target}: {error.strerror or error}. Remove what is there, or choose another name."
        ) from error


def remove_whole(folder: Path) -> None:
    """Delete a folder; for whoever looks on it is gone in one step, however long the deleting takes."""
    try:
        hidden = Path(tempfile.mkdtemp(prefix=PREFIX, dir=folder.parent))
        folder.rename(hidden / folder.name)
        shutil.rmtree(hidden)
    except OSError as error:
        raise OutputError(f"Could not remove {folder}: {error.strerror or error}. Remove it by hand.") from error


def _sweep(root: Path) -> None:
    for folder in root.glob(f"{PREFIX}*"):
        if time.time() - folder.stat().st_mtime > _A_DAY:
            shutil.rmtree(folder, ignore_errors=True)
