"""Folders that are written aside and get their name in one step, when they are complete."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unetstyle.core.errors import OutputError
from napari_unetstyle.core.files import bytes_of

if TYPE_CHECKING:
    from torch import nn

ENVIRONMENT = "NAPARI_UNETSTYLE_MODELS"
PREFIX = ".partial-"
_A_DAY = 86400


@contextlib.contextmanager
def partial_folder(root: Path, size: int) -> Iterator[Path]:
    """A folder for `size` bytes beside the models that no scan sees; gone afterwards unless it was given a name.

    Raises
    ------
    OutputError
        If nothing can be written to `root`.
    """
    partial = new_partial(root, size)
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def new_partial(root: Path, size: int) -> Path:
    """A new such folder for `size` bytes; those that a killed process left a day ago or earlier are removed."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        _sweep(root)
        return Path(tempfile.mkdtemp(prefix=PREFIX, dir=root))
    except OSError as error:
        raise OutputError(
            f"Could not write {size} bytes to the model folder {root}: {error.strerror or error}. "
            f"Choose one that you may write to (environment variable {ENVIRONMENT})."
        ) from error


def name_it(partial: Path, target: Path) -> None:
    """Make a complete folder the folder `target`, which must not exist."""
    try:
        partial.chmod(0o755)
        partial.rename(target)
    except OSError as error:
        raise OutputError(
            f"Could not write {bytes_of(partial)} bytes to {target}: {error.strerror or error}. Remove what is there, "
            "or choose another name or a folder that you may write to."
        ) from error


def remove_whole(folder: Path) -> None:
    """Delete a folder; for whoever looks on it is gone in one step, however long the deleting takes."""
    hidden = None
    try:
        hidden = Path(tempfile.mkdtemp(prefix=PREFIX, dir=folder.parent))
        with contextlib.suppress(FileNotFoundError):  # another window was faster
            folder.rename(hidden / folder.name)
        shutil.rmtree(hidden)
    except OSError as error:
        if hidden is not None:
            shutil.rmtree(hidden, ignore_errors=True)
        raise OutputError(f"Could not remove {folder}: {error.strerror or error}. Remove it by hand.") from error


def bytes_of_network(network: nn.Module) -> int:
    """Bytes of its weights as they are kept, with 2 for each number."""
    return sum(2 * tensor.numel() for tensor in network.state_dict().values())


def _sweep(root: Path) -> None:
    for folder in root.glob(f"{PREFIX}*"):
        with contextlib.suppress(FileNotFoundError):  # its own window is done with it
            if time.time() - folder.stat().st_mtime > _A_DAY:
                shutil.rmtree(folder, ignore_errors=True)
