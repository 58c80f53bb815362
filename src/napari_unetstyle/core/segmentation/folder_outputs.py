"""The files of one picture of a folder run: which of them are ours, and how new ones take their place."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_unetstyle.core.errors import OutputError
from napari_unetstyle.core.files import atomic_path, atomic_write
from napari_unetstyle.core.imaging.files import digest_of
from napari_unetstyle.core.imaging.medical import medical_suffix
from napari_unetstyle.core.imaging.ome_zarr import is_zarr, ome_zarr_info


@dataclass(frozen=True)
class Outputs:
    """What is written for a picture, and the sidecar that knows it again.

    The sidecar holds the sha256 of everything of ours that may lie there: of the last run's files (``files``), and of
    what earlier runs, with other options, left or were about to write (``ours``). Any other file was changed or made
    by somebody, and is not replaced.

    Attributes
    ----------
    targets
        Every file, by what it is.
    sidecar
        A JSON file.
    """

    targets: Mapping[str, Path]
    sidecar: Path

    def check(self, *, force: bool = False) -> None:
        """Whether nothing that somebody painted would be lost.

        Parameters
        ----------
        force
            Files may be lost; folders that are no labels of ours may not.

        Raises
        ------
        OutputError
            If one of the files is not as a run left it.
        """
        ours = self._ours()
        for path in self.targets.values():
            if path.exists() and not (force and _may_be_forced(path)) and digest_of(path) not in ours:
                problem = (
                    f"Could not write {path}: what is there was changed after a run wrote it, or is somebody else's, "
                    "and would be lost. Move it away or choose another output folder"
                )
                forced = ", or replace it with --force (force=True)" if _may_be_forced(path) else ""
                raise OutputError(f"{problem}{forced}.").for_windows(f"{problem}.")

    def staged(self) -> dict[str, Path]:
        """A path beside each target, with its suffix, for the new file until :meth:`put`."""
        unique = uuid.uuid4().hex[:8]
        return {
            kind: path.with_name(f".partial-{unique}-{kind}{medical_suffix(path) or path.suffix}")
            for kind, path in self.targets.items()
        }

    def put(self, staged: Mapping[str, Path], facts: Mapping[str, Any], *, force: bool = False) -> None:
        """Put the new files in the place of the old ones, and keep `facts` with their digests.

        A run may be killed at any moment. So the sidecar says what is about to be there before the first file is
        replaced, and at no time lies there a file of ours that it does not know; until the last one is replaced it
        has no facts, which means that the picture is not finished.

        Raises
        ------
        OutputError
            If the disk refuses, or somebody changed one of the old files meanwhile.
        """
        self.check(force=force)
        earlier, files = self._ours(), {kind: digest_of(path) for kind, path in staged.items()}
        self._note({"ours": sorted(earlier | set(files.values()))})
        for kind, path in staged.items():
            _replace(path, self.targets[kind])
        self._note({**facts, "files": files, "ours": sorted(earlier - set(files.values()))})

    def known(self) -> dict[str, Any]:
        """What the sidecar says; nothing if there is none, or it cannot be read."""
        with suppress(OSError, ValueError):
            known = json.loads(self.sidecar.read_text(encoding="utf-8"))
            return known if isinstance(known, dict) else {}
        return {}

    def _ours(self) -> set[str]:
        known = self.known()
        with suppress(TypeError, AttributeError):
            return {*known.get("files", {}).values(), *known.get("ours", ())}
        return set()

    def _note(self, known: Mapping[str, Any]) -> None:
        atomic_write(self.sidecar, json.dumps(known, indent=1) + "\n")


def discard(staged: Mapping[str, Path]) -> None:
    """Remove what was not put in its place."""
    for path in staged.values():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _may_be_forced(path: Path) -> bool:
    """Whether a person may ask to lose it: a file, or a folder of labels that this program made."""
    if not path.is_dir():
        return True
    return is_zarr(path) and str(ome_zarr_info(path).get("program", "")).startswith("napari-unetstyle")


def _replace(new: Path, target: Path) -> None:
    if new.is_file():
        with atomic_path(target) as temporary:
            new.replace(temporary)
        return
    try:
        old = new.with_name(f"{new.name}-old")
        if target.exists():  # a folder is not replaced in one step, but it can go in one
            target.rename(old)
        new.rename(target)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise OutputError(
            f"Could not write {target}: {error.strerror or error}. Close what has it open, or choose another folder."
        ) from error
