"""A model folder: reading its ``model.json``, verifying its files, loading its network."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from napari_unetstyle.core.errors import ModelFileError
from napari_unetstyle.core.files import atomic_path, sha256_of
from napari_unetstyle.core.models.spec import SCHEMA_VERSION, ModelSpec

if TYPE_CHECKING:
    from napari_unetstyle.core.networks.unet import UNet

MANIFEST = "model.json"
LICENSE = "LICENSE.txt"
WEIGHTS = "weights.safetensors"
LARGEST_MANIFEST = 2**20
MOST_FILES = 100
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def read_spec(folder: str | os.PathLike[str], shown_as: str | os.PathLike[str] | None = None) -> ModelSpec:
    """What the model in `folder` is; opens ``model.json`` only.

    Parameters
    ----------
    folder
        The model folder.
    shown_as
        What messages call it, if it was copied from elsewhere.

    Raises
    ------
    ModelFileError
        If ``model.json`` is missing, edited, damaged or of a newer schema.
    """
    path, shown = Path(folder) / MANIFEST, Path(shown_as or folder)
    content = _parsed(path, shown)
    version = content.get("schema_version", SCHEMA_VERSION)
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise ModelFileError(
            f"{shown}: the model is of schema {version}, but this version reads schemas up to {SCHEMA_VERSION}. "
            "Update napari-unetstyle."
        )
    try:
        spec = ModelSpec.model_validate(content)
    except ValidationError as error:
        raise ModelFileError(f"{shown}: {MANIFEST} is not valid: {_first(error)}. Import the model again.") from error
    _check_names(spec, shown)
    if spec.files[MANIFEST] != _seal(content):
        raise ModelFileError(
            f"{shown}: {MANIFEST} was edited after the model was saved (sha256 differs), and models are never changed "
            "in place. Import the model again."
        )
    return _as_it_was_measured(spec, content)


def _as_it_was_measured(spec: ModelSpec, content: dict[str, Any]) -> ModelSpec:
    """`spec`, filling small holes in objects if it is from the time when that was always done."""
    said = content.get("postprocessing") or {}
    if spec.separation is None or "fill_small_holes" in said:
        return spec
    usual = spec.postprocessing.model_copy(update={"fill_small_holes": True})
    return spec.model_copy(update={"postprocessing": usual})


def verify(spec: ModelSpec, folder: Path, shown: Path) -> None:
    """Compare the sha256 of every file with the one in `spec`.

    Raises
    ------
    ModelFileError
        If one is missing, unreadable or differs.
    """
    for name, expected in spec.files.items():
        if name == MANIFEST:
            continue
        try:
            got = sha256_of(folder / name)
        except OSError as error:
            raise ModelFileError(
                f"{shown}: {name} cannot be read ({error.strerror or error}). Import the model again."
            ) from error
        if got != expected:
            raise ModelFileError(
                f"{shown}: {name} is damaged or was edited (sha256 is {got[:12]}…, not {expected[:12]}…). "
                "Import the model again."
            )


def load_network(spec: ModelSpec, folder: Path, shown_as: str | os.PathLike[str] | None = None) -> UNet:
    """The network of a model folder with its weights, in ``eval`` mode, after :func:`verify`."""
    from napari_unetstyle.core.models.weights import create_network, load_weights

    shown = Path(shown_as or folder)
    verify(spec, folder, shown)
    _check_size(spec, folder / WEIGHTS, shown)
    network = create_network(spec)
    load_weights(network, folder / WEIGHTS)
    return network.eval()


def copy(source: Path, target: Path) -> None:
    """Copy the files that a model consists of, and no others, into an empty folder.

    Raises
    ------
    ModelFileError
        If `source` is no complete, unedited model.
    """
    spec = read_spec(source)
    verify(spec, source, source)
    for name in spec.files:
        with atomic_path(target / name, (source / name).stat().st_size) as temporary:
            shutil.copyfile(source / name, temporary)


def sealed(spec: ModelSpec, files: dict[str, str]) -> ModelSpec:
    """`spec` with the sha256 of its files, its own included."""
    files = {name: digest for name, digest in files.items() if name != MANIFEST}
    unsealed = spec.model_copy(update={"files": files})
    return unsealed.model_copy(update={"files": {**files, MANIFEST: _seal(unsealed.model_dump(mode="json"))}})


def renamed(spec: ModelSpec, name: str) -> ModelSpec:
    """`spec` as version 1 of another name; the old name and its seal go into the provenance.

    Raises
    ------
    ModelFileError
        If the name is not allowed.
    """
    origin = {"imported_as": f"{spec.name}@{spec.version}", "imported_seal": spec.files[MANIFEST]}
    content = {**spec.model_dump(mode="json"), "name": name, "version": 1}
    try:
        changed = ModelSpec.model_validate({**content, "provenance": {**spec.provenance, **origin}})
    except ValidationError as error:
        raise ModelFileError(
            f"A model cannot be called {name!r}: use up to 64 small letters, digits, '-' and '_'."
        ) from error
    return sealed(changed, spec.files)


def to_json(spec: ModelSpec) -> str:
    """The text of ``model.json``."""
    return spec.model_dump_json(indent=2) + "\n"


def _parsed(path: Path, shown: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_MANIFEST + 1)
        content = json.loads(data) if len(data) <= LARGEST_MANIFEST else None
    except FileNotFoundError as error:
        raise ModelFileError(f"{shown} is not a model folder: it has no {MANIFEST}.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ModelFileError(f"{shown}: {MANIFEST} cannot be read: {error}. Import the model again.") from error
    if not isinstance(content, dict):
        raise ModelFileError(f"{shown}: {MANIFEST} does not describe a model. Import the model again.")
    return content


def _first(error: ValidationError) -> str:
    problem = error.errors()[0]
    where = "".join(c if c.isprintable() else "?" for c in ".".join(map(str, problem["loc"])))  # a key of a stranger
    return f"{where}: {problem['msg']}" if where else problem["msg"]


def _check_names(spec: ModelSpec, shown: Path) -> None:
    missing = [name for name in (MANIFEST, WEIGHTS) if name not in spec.files]
    if missing:
        raise ModelFileError(f"{shown}: {MANIFEST} has no sha256 of {' and '.join(missing)}. Import the model again.")
    odd = [name for name in spec.files if not _PLAIN_NAME.fullmatch(name)]
    if odd or len(spec.files) > MOST_FILES:
        what = f"names the file {odd[0]!r}" if odd else f"names {len(spec.files)} files"
        raise ModelFileError(f"{shown}: {MANIFEST} {what}; a model has up to {MOST_FILES} files, all in one folder.")


def _seal(content: dict[str, Any]) -> str:
    """sha256 of a manifest without its own line in ``files``."""
    files = content.get("files", {})
    open_content = {**content, "files": {name: digest for name, digest in files.items() if name != MANIFEST}}
    canonical = json.dumps(open_content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _check_size(spec: ModelSpec, weights: Path, shown: Path) -> None:
    """Refuse a network that its weights cannot fill, before memory is taken for it."""
    import torch

    from napari_unetstyle.core.models.weights import create_network

    with torch.device("meta"):
        needed = 2 * sum(parameter.numel() for parameter in create_network(spec).parameters())
    try:
        size = weights.stat().st_size
    except OSError as error:
        raise ModelFileError(
            f"{shown}: {WEIGHTS} cannot be read ({error.strerror}). Import the model again."
        ) from error
    if needed > size:
        raise ModelFileError(
            f"{shown}: the network of {MANIFEST} needs {needed} bytes of weights or more, but {WEIGHTS} has "
            f"{size}. Import the model again."
        )
