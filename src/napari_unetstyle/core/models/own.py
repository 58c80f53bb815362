"""Crops of a person's own pictures that a taught model remembers for its next teaching, and that never travel.

They lie in the folder ``own`` inside the model folder, each as the pictures that a model carries (pixels and labels),
with an index of their own. They are no part of the model: ``model.json`` does not name them, so that a copy, an import
or an archive of the model is without them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_unetstyle.core.errors import ModelFileError
from napari_unetstyle.core.files import atomic_write, sha256_of
from napari_unetstyle.core.models.memory import Memory, read_pair, write_pair
from napari_unetstyle.core.models.spec import ModelSpec

OWN = "own"
INDEX = "index.json"
MOST_OWN = 20


def write_own(memories: Sequence[Memory], folder: Path) -> None:
    """Put the pictures of a person, at most 20, into the folder of a model; none, and there is no such folder."""
    entries = []
    for number, one in enumerate(spread(memories), 1):
        name = f"{number:02}.tif"
        entries.append(
            {"picture": one.picture, "role": one.role, "name": name, "files": write_pair(one, folder / OWN / name)}
        )
    if entries:
        atomic_write(folder / OWN / INDEX, json.dumps({"schema_version": 1, "pictures": entries}, indent=2) + "\n")


def read_own(spec: ModelSpec, folder: Path) -> tuple[Memory, ...]:
    """The pictures of a person in the folder of a model.

    One that is damaged, missing or does not fit is left out: teaching does without it.
    """
    try:
        content = json.loads((folder / OWN / INDEX).read_text(encoding="utf-8"))
        entries = content["pictures"] if content["schema_version"] == 1 else []
        found = [_read(entry, spec, folder / OWN) for entry in entries[:MOST_OWN]]
    except (OSError, ValueError, KeyError, TypeError):
        return ()
    return tuple(one for one in found if one is not None)


def _read(entry: Mapping[str, Any], spec: ModelSpec, folder: Path) -> Memory | None:
    name, role = str(entry["name"]), entry["role"]
    path = folder / name
    is_plain = path.name == name and role in ("learn", "check") and entry["picture"]
    if not is_plain or any(Path(file).name != file for file in entry["files"]):
        return None
    try:
        if any(sha256_of(folder / file) != digest for file, digest in entry["files"].items()):
            return None
        return read_pair(path, spec, role, picture=str(entry["picture"]))
    except (OSError, ModelFileError):
        return None


def spread(memories: Sequence[Memory]) -> list[Memory]:
    """At most 20, of pictures to learn from and to check with alike, from as many pictures as can be.

    Of each picture the first crop of each role comes first, picture by picture, then the second ones, and so on.
    """
    seen: dict[tuple[str, str], int] = {}
    pictures: dict[str, int] = {}
    ranked = []
    for one in memories:
        seen[one.picture, one.role] = rank = seen.get((one.picture, one.role), -1) + 1
        ranked.append((rank, pictures.setdefault(one.picture, len(pictures)), one))
    return [one for _, _, one in sorted(ranked, key=lambda found: found[:2])][:MOST_OWN]
