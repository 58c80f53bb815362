"""Pictures of a model that was handed on without them: other models here may carry the very same."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from napari_unetstyle.core.files import atomic_path, atomic_write, sha256_of
from napari_unetstyle.core.models.folder import MANIFEST, sealed, to_json
from napari_unetstyle.core.models.memory import is_picture
from napari_unetstyle.core.models.model import Model
from napari_unetstyle.core.models.spec import ModelSpec


def with_pictures_from(models: Iterable[Model], spec: ModelSpec, folder: Path) -> ModelSpec:
    """Make the model in a folder whole, and return what it is then.

    Its pictures are copied from models that carry the same ones, as the model that it came from does. Where one of
    them is nowhere, it is a model without those that are missing; its former seal goes into the provenance.
    """
    missing = {name: digest for name, digest in spec.files.items() if is_picture(name) and not (folder / name).exists()}
    if not missing:
        return spec
    known = {
        digest: model.folder / name
        for model in models
        for name, digest in model.spec.files.items()
        if digest in missing.values() and is_picture(name) and _is_whole(model.folder / name, digest)
    }
    if all(digest in known for digest in missing.values()):
        for name, digest in missing.items():
            with atomic_path(folder / name, known[digest].stat().st_size) as temporary:
                shutil.copyfile(known[digest], temporary)
        return spec
    origin = {"imported_seal": spec.files[MANIFEST]}
    left = {name: digest for name, digest in spec.files.items() if name not in missing}
    spec = sealed(spec.model_copy(update={"provenance": {**spec.provenance, **origin}}), left)
    atomic_write(folder / MANIFEST, to_json(spec))
    return spec


def _is_whole(path: Path, digest: str) -> bool:
    try:
        return sha256_of(path) == digest
    except OSError:
        return False
