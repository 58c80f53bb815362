"""What becomes of volumes that were cut off, or in which one bit was changed, here and in SimpleITK.

    python benchmarks/damaged_files.py [--tries 300] [--json FILE]

The numbers stand in ``docs/explanation/files.md``.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from rich.console import Console
from rich.table import Table

from napari_unetstyle.core import read_image
from napari_unetstyle.core.errors import ImageFileError

FILES = {
    "raw.nii": False,
    "gzip.nii.gz": True,
    "raw.nrrd": False,
    "gzip.nrrd": True,
    "raw.mha": False,
    "zlib.mha": True,
}


def by_simpleitk(path: Path) -> Any:
    """The voxels, or None if the file is refused."""
    try:
        return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
    except RuntimeError:
        return None


def here(path: Path) -> Any:
    """The voxels, or None if the file is refused."""
    try:
        return np.asarray(read_image(path).array[...])
    except ImageFileError:
        return None


READERS: dict[str, Callable[[Path], Any]] = {"SimpleITK": by_simpleitk, "here": here}


def cut_off(data: bytes, rng: np.random.Generator) -> bytes:
    """The start of a file, of any length."""
    return data[: int(rng.integers(1, len(data)))]


def changed(data: bytes, rng: np.random.Generator) -> bytes:
    """A file with one bit of its second half changed."""
    place = int(rng.integers(len(data) // 2, len(data) - 20))
    return data[:place] + bytes([data[place] ^ (1 << int(rng.integers(8)))]) + data[place + 1 :]


def rows(tries: int) -> Iterator[dict[str, Any]]:
    """For each file and damage, how many of the tries each reader refused, read rightly, and read wrongly."""
    rng = np.random.default_rng(0)
    voxels = (rng.normal(size=(20, 40, 50)) * 100).astype(np.int16)
    with tempfile.TemporaryDirectory() as name:
        for file, is_packed in FILES.items():
            path = Path(name) / file
            SimpleITK.WriteImage(SimpleITK.GetImageFromArray(voxels), str(path), is_packed)
            whole = path.read_bytes()
            for damage in (cut_off, changed):
                found = {reader: Counter[str]() for reader in READERS}
                for _ in range(tries):
                    path.write_bytes(damage(whole, rng))
                    for reader, read in READERS.items():
                        seen = read(path)
                        kind = "refused" if seen is None else "right" if np.array_equal(seen, voxels) else "wrong"
                        found[reader][kind] += 1
                yield {"file": file, "damage": damage.__name__, **{reader: dict(c) for reader, c in found.items()}}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=300)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    table, found = Table("file", "damage", *READERS), list(rows(options.tries))
    for row in found:
        table.add_row(*(str(value) for value in row.values()))
    Console().print(table)
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1), "utf-8")


if __name__ == "__main__":
    main()
