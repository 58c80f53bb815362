"""What decoders of chunks and tiles make of changed bytes: an error, wrong values, or the end of their process.

    python benchmarks/damaged_chunks.py [--tries 6000] [--only Blosc] [--json FILE]

The numbers stand in ``docs/explanation/files.md``. A check of this program comes before a decoder only in the rows that
say so. Few damages end a process: for Blosc it takes 30000 tries to see some.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
from collections import Counter
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from napari_unetstyle.core.imaging.zarr_level import _guarded

SEED = np.random.default_rng(0)
PIXELS = (np.add.outer(np.arange(64), np.arange(64)) * 37 + SEED.integers(0, 40, (64, 64))).astype("u2")
CHUNKS = {
    **{name: getattr(numcodecs, name)() for name in ("GZip", "Zlib", "BZ2", "LZMA", "Zstd", "LZ4")},
    **{f"Blosc {name}": numcodecs.Blosc(name) for name in ("lz4", "lz4hc", "blosclz", "zstd", "zlib")},
}
CHUNKS |= {f"{name}, checked": _guarded(CHUNKS[name], 8 * PIXELS.size) for name in CHUNKS if name.startswith("Blosc")}
TILES = ("deflate", "lzw", "zstd", "packbits", "lzma", "lerc", "jpeg", "jpeg2000", "webp")
PATIENCE = 30  # seconds

Decoder = Callable[[bytes], NDArray[Any]]


def chunk(name: str) -> tuple[bytes, Decoder]:
    """A packed chunk of OME-Zarr, and what unpacks such."""
    codec = CHUNKS[name]
    return bytes(codec.encode(PIXELS)), lambda data: np.frombuffer(codec.decode(data), "u2")


def tile(name: str) -> tuple[bytes, Decoder]:
    """The first tile of a TIFF, and what reads the file with another one in its place."""
    colors = name in ("jpeg", "webp")
    pixels = np.stack([PIXELS >> i for i in (0, 3, 6)], -1).astype("u1") if colors else PIXELS
    stream = io.BytesIO()
    told: dict[str, Any] = {"photometric": "rgb"} if colors else {}
    tifffile.imwrite(stream, pixels.astype("f4") if name == "lerc" else pixels, tile=(32, 32), compression=name, **told)
    whole = stream.getvalue()
    with tifffile.TiffFile(io.BytesIO(whole)) as file:
        start, count = file.pages.first.dataoffsets[0], file.pages.first.databytecounts[0]

    def read(data: bytes) -> NDArray[Any]:
        return np.asarray(tifffile.imread(io.BytesIO(whole[:start] + data + whole[start + count :])))

    return whole[start : start + count], read


def changed(data: bytes, rng: np.random.Generator) -> bytes:
    """One to four bits or bytes changed, half of the time near the start, and sometimes noise besides."""
    out, kind = bytearray(data), rng.integers(4)
    for _ in range(rng.integers(1, 5)):
        place = rng.integers(min(len(out), 64) if kind % 2 else len(out))
        out[place] = out[place] ^ (1 << rng.integers(8)) if rng.integers(2) else rng.integers(256)
    if kind == 3:
        place = int(rng.integers(len(out) - 32))
        count = int(rng.integers(1, 32))
        out[place : place + count] = rng.bytes(count)
    return bytes(out)


def work(make: Callable[[], tuple[bytes, Decoder]], first: int, tries: int, told: Connection) -> None:
    """Say what became of each try, in a process that may end."""
    data, decode = make()
    right = decode(data)
    for number in range(first, tries):
        try:
            seen = decode(changed(data, np.random.default_rng(number)))
            told.send("right" if np.array_equal(seen, right) else "wrong")
        except Exception:  # noqa: BLE001 (each decoder has its own)
            told.send("error")


def outcomes(make: Callable[[], tuple[bytes, Decoder]], tries: int) -> Counter[str]:
    """How many tries ended how; after a crash another process goes on."""
    found, done = Counter[str](), 0
    while done < tries:
        here, there = multiprocessing.Pipe(duplex=False)
        process = multiprocessing.Process(target=work, args=(make, done, tries, there))
        process.start()
        there.close()
        try:
            while done < tries:
                found[here.recv() if here.poll(PATIENCE) else "ended"] += 1
                done += 1
        except EOFError:
            found["ended"] += 1
            done += 1
        process.kill()
        process.join()
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=6000)
    parser.add_argument("--only", default="", help="a part of the name")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    makes = {**{name: partial(chunk, name) for name in CHUNKS}, **{f"TIFF {n}": partial(tile, n) for n in TILES}}
    kinds = ("error", "wrong", "right", "ended")
    table, rows = Table("packed by", *kinds), {}
    for name in filter(lambda name: options.only in name, makes):
        rows[name] = outcomes(makes[name], options.tries)
        table.add_row(name, *(str(rows[name][kind]) for kind in kinds))
    Console().print(table)
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=1), "utf-8")


if __name__ == "__main__":
    main()
