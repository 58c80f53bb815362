"""Models that were taught but have no name yet: measured, then taken in, written elsewhere, or forgotten."""

from __future__ import annotations

import contextlib
import itertools
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unetstyle.core.errors import ModelFileError, OutputError
from napari_unetstyle.core.files import atomic_write, bytes_of
from napari_unetstyle.core.models import folder as model_folder
from napari_unetstyle.core.models.folder import MANIFEST, WEIGHTS
from napari_unetstyle.core.models.memory import Memory
from napari_unetstyle.core.models.model import Model, reference
from napari_unetstyle.core.models.partial import (
    ENVIRONMENT,
    PREFIX,
    bytes_of_network,
    name_it,
    new_partial,
    partial_folder,
)
from napari_unetstyle.core.models.spec import ModelSpec

if TYPE_CHECKING:
    from torch import nn

    from napari_unetstyle.core.models.store import ModelStore


def save_aside(
    store: ModelStore, spec: ModelSpec, network: nn.Module, *, memory: Sequence[Memory] = (), license_text: str = ""
) -> Model:
    """Write a complete model that no list shows, until it is taken in; forgotten a day later.

    Parameters and errors as those of :meth:`ModelStore.save`.
    """
    folder = new_partial(store.root, bytes_of_network(network))
    with contextlib.ExitStack() as undo:
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        aside = type(store)(folder, bundled=folder)
        aside.save(spec, network, memory=memory, license_text=license_text)
        model = aside.load(spec.name)
        undo.pop_all()
    return model


def take_in(store: ModelStore, model: Model, spec: ModelSpec) -> Model:
    """Make a model that was saved aside the next version of its name.

    Parameters
    ----------
    store
        Where it becomes a model like the others.
    model
        From :func:`save_aside`; its folder moves.
    spec
        What it is, now that it has been measured; the version is filled in.

    Raises
    ------
    OutputError
        If its folder cannot be moved.
    ModelFileError
        If it was forgotten, or a file of it is missing or damaged.
    """
    versions = itertools.count(store.next_version(spec.name))
    while True:
        numbered = model_folder.sealed(spec.model_copy(update={"version": next(versions)}), model.spec.files)
        target = store.root / reference(numbered)
        if target.exists():
            continue
        _check_whole(model)
        atomic_write(model.folder / MANIFEST, model_folder.to_json(numbered))
        try:
            model.folder.rename(target)
        except OSError as error:
            if target.exists():  # another window was faster
                continue
            raise OutputError(
                f"Could not write {bytes_of(model.folder)} bytes to {target}: {error.strerror or error}. Free some "
                f"space or choose a model folder that you may write to (environment variable {ENVIRONMENT})."
            ) from error
        forget(store, model)
        return Model(numbered, target)


def write_to(store: ModelStore, model: Model, spec: ModelSpec, folder: Path) -> Model:
    """Make a model that was saved aside a folder of its own, elsewhere.

    Parameters
    ----------
    store, model, spec
        As for :func:`take_in`.
    folder
        Must not exist; appears in one step.

    Raises
    ------
    OutputError
        If there is something already, or it cannot be written.
    """
    if folder.exists():
        raise OutputError(f"{folder} exists already, and models are never changed. Give a new folder.")
    sealed = model_folder.sealed(spec, model.spec.files)
    _check_whole(model)
    atomic_write(model.folder / MANIFEST, model_folder.to_json(sealed))
    with partial_folder(folder.parent, bytes_of(model.folder)) as partial:
        model_folder.copy(model.folder, partial)
        name_it(partial, folder)
    forget(store, model)
    return Model(sealed, folder)


def forget(store: ModelStore, model: Model) -> None:
    """Remove what is left of a model that was saved aside."""
    aside = model.folder.parent
    if aside.parent == store.root and aside.name.startswith(PREFIX):
        shutil.rmtree(aside, ignore_errors=True)


def _check_whole(model: Model) -> None:
    if not (model.folder / WEIGHTS).exists():
        raise ModelFileError(
            f"The taught model {model.spec.name!r} is no longer there ({model.folder}): it was forgotten, or "
            "nobody asked for it for a day. Teach again."
        )
    model_folder.verify(model.spec, model.folder, model.folder)
