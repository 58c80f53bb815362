"""Where models are kept: one folder each, checked before use, never changed in place.

A model folder holds ``model.json`` and ``weights.safetensors``. Its ``files`` entry has the sha256 of every
file; the one of ``model.json`` itself is taken over its contents without that very line, so a changed
threshold is found as surely as a changed weight.

``nuclei@2`` is version 2 of the model *nuclei* and never means anything else, not even once that was removed (which
the folder ``.removed`` remembers); ``nuclei`` alone is its newest version. An import can therefore never change what a
name means: it is refused if the name is taken.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unetstyle.core.errors import ModelFileError, ModelNameTakenError, ModelNotFoundError, OutputError
from napari_unetstyle.core.files import atomic_write, bytes_of, new_file, sha256_of
from napari_unetstyle.core.models import folder as model_folder
from napari_unetstyle.core.models.folder import LICENSE, MANIFEST, WEIGHTS
from napari_unetstyle.core.models.memory import Memory, write_memory
from napari_unetstyle.core.models.missing_pictures import with_pictures_from
from napari_unetstyle.core.models.model import Model, reference
from napari_unetstyle.core.models.own import write_own
from napari_unetstyle.core.models.partial import ENVIRONMENT, bytes_of_network, name_it, partial_folder, remove_whole
from napari_unetstyle.core.models.spec import ModelSpec

if TYPE_CHECKING:
    from torch import nn

REMOVED = ".removed"
BUNDLED = Path(__file__).with_name("bundled")
_REFERENCE = re.compile(r"(?P<name>[a-z0-9][a-z0-9_-]{0,63})(@(?P<version>[1-9][0-9]{0,8}))?")


_Scan = tuple[list[Model], dict[Path, str]]  # usable models, and folders that are none with the reason


class ModelStore:
    """The models of a person, and those that come with the package.

    Parameters
    ----------
    root
        Folder that holds the model folders. None: the one named by the environment variable
        ``NAPARI_UNETSTYLE_MODELS``, else ``models`` in the person's data folder.
    bundled
        Folder of the models that come with the package; never written to.
    """

    def __init__(self, root: str | os.PathLike[str] | None = None, bundled: Path = BUNDLED) -> None:
        self.root = default_root() if root is None else Path(root)
        self._bundled = bundled

    def list(self) -> list[ModelSpec]:
        """Every usable model, by name and version; reads no weights."""
        return [model.spec for model in self._scan()[0]]

    def problems(self) -> dict[Path, str]:
        """Model folders that cannot be used, and why."""
        return self._scan()[1]

    def load(self, name_or_folder: str | os.PathLike[str]) -> Model:
        """A model by name (``nuclei``, ``nuclei@2``) or by folder.

        A name is looked up among the installed models first; a text that is no known name may be a folder.

        Raises
        ------
        ModelNotFoundError
            If there is no such model; the message lists the known ones.
        ModelFileError
            If the folder is incomplete, edited, damaged or of a newer schema.
        """
        models, problems = self._scan()
        if isinstance(name_or_folder, str) and (match := _REFERENCE.fullmatch(name_or_folder)):
            if found := _pick(models, match["name"], match["version"]):
                return found
            for folder, problem in problems.items():
                if name_or_folder in (folder.name, folder.name.partition("@")[0]):
                    raise ModelFileError(problem)
        folder = Path(name_or_folder)
        if folder.is_dir():
            return Model(model_folder.read_spec(folder), folder)
        raise ModelNotFoundError(_not_found(str(name_or_folder), models))

    def spec(self, name_or_folder: str | os.PathLike[str]) -> ModelSpec:
        """What a model is; see :meth:`load`."""
        return self.load(name_or_folder).spec

    def folder(self, name_or_folder: str | os.PathLike[str]) -> Path:
        """Where a model lies; see :meth:`load`."""
        return self.load(name_or_folder).folder

    def is_bundled(self, name_or_folder: str | os.PathLike[str]) -> bool:
        """Whether a model came with the package (and so cannot be removed)."""
        return self._bundled in self.folder(name_or_folder).parents

    def save(
        self,
        spec: ModelSpec,
        network: nn.Module,
        *,
        half: bool = True,
        memory: Sequence[Memory] = (),
        license_text: str = "",
    ) -> ModelSpec:
        """Write a new model folder in one step; weights as float16 unless `half` is false.

        Parameters
        ----------
        spec
            Its name and version must be free; ``files`` is filled in.
        network
            Fits `spec`.
        memory
            Pictures for it to carry, and crops of a person's own for it to remember.
        license_text
            Goes into a file ``LICENSE.txt``, for weights whose license has to go along.

        Returns
        -------
        ModelSpec
            As written.

        Raises
        ------
        ModelFileError
            If another model has this name and version, or the network does not fit or holds NaN or Inf.
        OutputError
            If the folder cannot be written; nothing is left behind.
        """
        from napari_unetstyle.core.models.weights import save_weights

        self._check_free(spec)
        with partial_folder(self.root, bytes_of_network(network)) as partial:
            save_weights(network, partial / WEIGHTS, half=half)
            files = {WEIGHTS: sha256_of(partial / WEIGHTS), **write_memory(memory, partial)}
            if license_text:
                atomic_write(partial / LICENSE, license_text)
                files[LICENSE] = sha256_of(partial / LICENSE)
            write_own([one for one in memory if one.picture], partial)
            written = model_folder.sealed(spec, files)
            atomic_write(partial / MANIFEST, model_folder.to_json(written))
            model_folder.load_network(written, partial, shown_as=reference(spec))  # what is kept can be loaded
            return self._adopt(partial, written)

    def import_(self, path: str | os.PathLike[str], *, name: str | None = None) -> ModelSpec:
        """Copy a model folder or a ``.zip`` of one into the store, after checking all of it.

        Parameters
        ----------
        path
            Model folder, its ``model.json``, or a zip file with the folder or its files.
        name
            What to call it here; None keeps its own name.

        Returns
        -------
        ModelSpec
            As installed. A model that is installed already is left as it is.

        Raises
        ------
        ModelNotFoundError
            If there is nothing at `path`.
        ModelFileError
            If it is no complete, unedited model of a known schema, or its name belongs to another model.
        OutputError
            If the store cannot be written to.
        """
        from napari_unetstyle.core.models.archive import unpack

        source = Path(path)
        if not source.exists():
            raise ModelNotFoundError(f"There is nothing at {source}. Give a model folder or a .zip of one.")
        is_archive = source.is_file() and source.name != MANIFEST
        given = source if is_archive or source.is_dir() else source.parent
        with partial_folder(self.root, bytes_of(given)) as partial:
            if is_archive:
                unpack(given, partial)
            else:
                model_folder.copy(given, partial)
            spec = with_pictures_from(self._scan()[0], model_folder.read_spec(partial, shown_as=source), partial)
            model_folder.load_network(spec, partial, shown_as=source)
            if name is not None and name != spec.name:
                spec = model_folder.renamed(spec, name)
                atomic_write(partial / MANIFEST, model_folder.to_json(spec))
            return self._adopt(partial, spec, is_import=True)

    def share(self, name: str, path: str | os.PathLike[str], *, pictures: bool = False) -> Path:
        """Write a model as one file to hand on; crops of a person's own pictures never go along.

        Parameters
        ----------
        name
            ``nuclei``, or ``nuclei@2``.
        path
            A file (``….unetmodel.zip``), or a folder for one named after the model, ``nuclei-2.unetmodel.zip``.
        pictures
            Whether the pictures of its first training go along that it carries. Whoever imports the file has those of
            bundled models anyway.

        Raises
        ------
        ModelNotFoundError
            If there is no such model.
        ModelFileError
            If a file of it is missing or was edited.
        OutputError
            If the file exists, or cannot be written.
        """
        from napari_unetstyle.core.models.archive import SHARED, pack

        model = self.load(name)
        target = new_file(path, f"{model.spec.name}-{model.spec.version}{SHARED}", SHARED)
        pack(model.spec, model.folder, target, pictures=pictures)
        return target

    def remove(self, name: str) -> None:
        """Delete one version of a model from the store.

        Raises
        ------
        ModelNotFoundError
            If there is no such model.
        ModelFileError
            If the model came with the package.
        OutputError
            If the folder cannot be deleted.
        """
        model = self.load(name)
        folder = model.folder
        if self.root.resolve() != folder.resolve().parent:
            where = "came with the package" if self._bundled in folder.parents else f"lies outside the store ({folder})"
            raise ModelFileError(f"Model {name!r} {where} and is not removed from there. Models of yours: {self.root}.")
        with contextlib.suppress(OutputError):  # of a full disk, on which removing makes room
            atomic_write(self.root / REMOVED / reference(model.spec), "")
        remove_whole(folder)

    def next_version(self, name: str) -> int:
        """One above every version of a model that there is or was."""
        known = [spec.version for spec in self.list() if spec.name == name]
        matches = map(_REFERENCE.fullmatch, (path.name for path in (self.root / REMOVED).glob(f"{name}@*")))
        return 1 + max([*known, *(int(found["version"]) for found in matches if found)], default=0)

    def free_name(self, name: str) -> str:
        """`name`, or the first of ``name-2``, ``name-3``, … that no model has."""
        taken = {spec.name for spec in self.list()}
        candidates = (name if i == 1 else f"{name[:56]}-{i}" for i in range(1, len(taken) + 2))
        return next(candidate for candidate in candidates if candidate not in taken)

    def _scan(self) -> _Scan:
        models: dict[tuple[str, int], Model] = {}
        problems: dict[Path, str] = {}
        for root in (self._bundled, self.root):  # so a name that comes with the package means that model
            for folder in _folders(root):
                try:
                    spec = model_folder.read_spec(folder)
                except ModelFileError as error:
                    if folder.is_dir():  # else another window has removed it since
                        problems[folder] = str(error)
                    continue
                first = models.setdefault((spec.name, spec.version), Model(spec, folder))
                if first.folder != folder:
                    problems[folder] = f"{folder} has the name of {first.folder} and is not used. Remove one of them."
        return [models[key] for key in sorted(models)], problems

    def _check_free(self, spec: ModelSpec) -> None:
        for model in self._scan()[0]:
            if (model.spec.name, model.spec.version) == (spec.name, spec.version):
                raise ModelFileError(
                    f"Model {reference(spec)!r} exists already ({model.folder}), and models are never changed. "
                    "Save it under another name or a higher version."
                )

    def _adopt(self, partial: Path, spec: ModelSpec, *, is_import: bool = False) -> ModelSpec:
        """Give a complete folder its name, unless the name is taken."""
        if is_import and self._is_installed(spec):
            return spec
        try:
            name_it(partial, self.root / reference(spec))
        except OutputError:
            if not (is_import and self._is_installed(spec)):  # by another window since
                raise
        return spec

    def _is_installed(self, spec: ModelSpec) -> bool:
        """Whether this very model is; ModelNameTakenError if another one has its name."""
        for model in self._scan()[0]:
            if model.spec == spec:
                return True
            if model.spec.name == spec.name:
                free = self.free_name(spec.name)
                raise ModelNameTakenError(
                    f"Another model named {spec.name!r} is installed ({model.folder}), and a name never changes its "
                    f"meaning. Import this one under a name of its own, for example {free!r}.",
                    free,
                )
        return False


def default_root() -> Path:
    """The person's own model folder."""
    if named := os.environ.get(ENVIRONMENT):
        return Path(named)
    import platformdirs

    return Path(platformdirs.user_data_dir("napari-unetstyle", appauthor=False)) / "models"


def _folders(root: Path) -> list[Path]:
    try:
        return sorted(folder for folder in root.iterdir() if folder.is_dir() and folder.name[0] not in "._")
    except OSError:  # a store that nobody has written to yet
        return []


def _pick(models: list[Model], name: str, version: str | None) -> Model | None:
    found = [m for m in models if m.spec.name == name and (version is None or m.spec.version == int(version))]
    return found[-1] if found else None


def _not_found(asked: str, models: list[Model]) -> str:
    names = sorted({model.spec.name for model in models})
    close = difflib.get_close_matches(asked, names, 1)
    return (
        f"There is no model {asked!r}. Installed: {', '.join(names) or 'none'}. "
        + (f"Did you mean {close[0]!r}? " if close else "")
        + "Give one of these names, or a model folder, or import a model first."
    )
