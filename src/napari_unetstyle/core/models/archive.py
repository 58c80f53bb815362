"""A model as one file: a zip of its folder, packed to hand on, and unpacked with distrust."""

from __future__ import annotations

import lzma
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from napari_unetstyle.core.errors import ModelFileError
from napari_unetstyle.core.files import atomic_path
from napari_unetstyle.core.models.folder import MANIFEST, verify
from napari_unetstyle.core.models.memory import is_picture
from napari_unetstyle.core.models.spec import ModelSpec

SHARED = ".unetmodel.zip"
"""What the name of a model that is handed on ends with: napari opens it when it is dropped."""
MOST_MEMBERS = 1000
MOST_BYTES = 4 * 2**30
HIGHEST_RATIO = 100
_PIECE = 2**20
_DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError, ValueError)


def pack(spec: ModelSpec, folder: Path, target: Path, *, pictures: bool) -> None:
    """Write the files that a model consists of, and no others, into one zip file; the same model, the same bytes.

    The pictures that it carries go along only if that is wanted.

    Raises
    ------
    ModelFileError
        If a file is missing or was edited.
    OutputError
        If `target` cannot be written to.
    """
    verify(spec, folder, folder)
    names = sorted(name for name in spec.files if pictures or not is_picture(name))
    size = sum((folder / name).stat().st_size for name in names)
    with atomic_path(target, size) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            member = zipfile.ZipInfo(f"{spec.name}@{spec.version}/{name}")  # of 1980: a date would change the bytes
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, (folder / name).read_bytes())


def unpack(path: Path, target: Path) -> None:
    """Copy the files of the one model in a zip file into an empty folder.

    Only files beside ``model.json`` are taken, each under its plain name. Nothing is taken from an archive
    that has a path leading elsewhere, a link, too many members or one that unpacks to far more than it holds.

    Raises
    ------
    ModelFileError
        If the archive is damaged, not trustworthy, or holds no model or several.
    OutputError
        If `target` cannot be written to.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in _checked(archive, path) if not member.is_dir()]
            for member in _beside_manifest(members, path):
                _unpack_member(archive, member, target / PurePosixPath(member.filename).name)
    except _DAMAGED as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError(
            f"{path} cannot be read as a zip file ({error}). Give a model folder or a .zip of one."
        ) from error


def _checked(archive: zipfile.ZipFile, path: Path) -> list[zipfile.ZipInfo]:
    members = archive.infolist()
    if len(members) > MOST_MEMBERS or sum(member.file_size for member in members) > MOST_BYTES:
        raise ModelFileError(
            f"{path} holds {len(members)} files of {sum(m.file_size for m in members)} bytes; a model has at most "
            f"{MOST_MEMBERS} and {MOST_BYTES}. It was not unpacked."
        )
    for member in members:
        name = member.orig_filename.replace("\\", "/")
        leads_out = name.startswith("/") or ".." in name.split("/") or ":" in name
        is_link = stat.S_ISLNK(member.external_attr >> 16)
        is_bomb = member.file_size > HIGHEST_RATIO * max(member.compress_size, 1)
        if leads_out or is_link or is_bomb or "\0" in member.orig_filename:
            why = "unpacks to far more than it holds" if is_bomb else "leads out of its folder"
            raise ModelFileError(f"{path}: the member {member.orig_filename!r} {why}. Nothing was unpacked.")
    return members


def _beside_manifest(members: list[zipfile.ZipInfo], path: Path) -> list[zipfile.ZipInfo]:
    folders = {PurePosixPath(m.filename).parent for m in members if PurePosixPath(m.filename).name == MANIFEST}
    folders = {folder for folder in folders if "__MACOSX" not in folder.parts}
    if len(folders) != 1:
        raise ModelFileError(f"{path} holds {len(folders)} models ({MANIFEST}); exactly one is needed.")
    (folder,) = folders
    beside = [member for member in members if PurePosixPath(member.filename).parent == folder]
    names = {PurePosixPath(member.filename).name.lower() for member in beside}
    if len(names) != len(beside):
        raise ModelFileError(f"{path} holds two files of the same name. Nothing was unpacked.")
    return beside


def _unpack_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    with (
        atomic_path(target, member.file_size) as temporary,
        archive.open(member) as source,
        temporary.open("wb") as sink,
    ):
        shutil.copyfileobj(source, sink, _PIECE)
