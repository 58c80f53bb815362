"""Slides as scanners write them, made of small arrays."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from pathlib import Path
from typing import Any, BinaryIO

import imagecodecs
import numpy as np
import tifffile
from scipy.ndimage import gaussian_filter

DESCRIPTION = "Aperio Image Library v11.2.1 |AppMag = 20|MPP = {mpp}|User = Jane Doe"


def stained(shape: tuple[int, int] = (600, 700), seed: int = 0) -> np.ndarray:
    """Dark blobs on bright glass, in color."""
    smooth = gaussian_filter(np.random.default_rng(seed).random(shape), 4)
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    return np.stack([250 - 180 * smooth**2, 245 - 220 * smooth**2, 250 - 120 * smooth**2], axis=-1).astype(np.uint8)


def shrunk(array: np.ndarray, factor: int) -> np.ndarray:
    """The mean of every `factor` x `factor` pixels; what is left at the borders is lost."""
    height, width = (n // factor for n in array.shape[:2])
    blocks = array[: height * factor, : width * factor].reshape(height, factor, width, factor, -1)
    return blocks.mean(axis=(1, 3)).round().astype(array.dtype)


def write_svs(
    path: Path, levels: list[np.ndarray], *, mpp: float | None = 0.5, compression: Any = "zlib", tile: int = 64
) -> Path:
    """A file as scanners of Aperio write it: levels, a thumbnail, a photo of the label and one of the glass."""
    said = DESCRIPTION.format(mpp=mpp) if mpp is not None else "Aperio Image Library v11.2.1 |AppMag = 20"
    options: dict[str, Any] = {"photometric": "rgb", "metadata": None, "software": False}
    small = levels[-1][:32, :32]
    with tifffile.TiffWriter(path) as writer:
        writer.write(levels[0], tile=(tile, tile), description=said, compression=compression, **options)
        writer.write(small, description="Aperio thumbnail", rowsperstrip=16, **options)
        for level in levels[1:]:
            writer.write(level, tile=(tile, tile), description="Aperio level", compression=compression, **options)
        writer.write(small, description="Aperio label", rowsperstrip=16, subfiletype=1, **options)
        writer.write(small, description="Aperio macro", rowsperstrip=16, subfiletype=9, **options)
    return path


def write_ndpi(path: Path, levels: list[np.ndarray], *, mpp: float = 0.5, at: int = 12) -> Path:
    """A file as scanners of Hamamatsu write it, its pixels from `at` on, be that a position beyond four bytes."""
    with path.open("wb") as file:
        file.write(b"II*\0" + bytes(8))
        link = 4  # where the position of the next directory is to be written
        file.seek(at)
        for number, level in enumerate(levels):
            pixels, place = imagecodecs.jpeg_encode(level, level=95), file.tell()
            file.write(pixels)
            height, width = level.shape[:2]
            density = 10_000_000, round(1000 * mpp * 2**number)  # pixels per centimeter
            fields = [
                (256, 4, width), (257, 4, height), (258, 3, 8, 8, 8), (259, 3, 7), (262, 3, 6), (273, 4, place),
                (277, 3, 3), (278, 4, height), (279, 4, len(pixels)), (282, 5, *density), (283, 5, *density),
                (296, 3, 3), (65420, 4, 1), (65421, 11, 20 / 2**number), (65422, 9, 0), (65423, 9, 0), (65424, 9, 0),
            ]  # fmt: skip
            link = _write_ndpi_directory(file, fields, link)
    return path


_NDPI_TYPES = {3: "<u2", 4: "<u8", 5: "<u4", 9: "<i4", 11: "<f4"}  # 4: its upper half lies behind the directory


def _write_ndpi_directory(file: BinaryIO, fields: list[tuple[Any, ...]], link: int) -> int:
    """The place for the position of the next one; that of this one is written to `link`."""
    entries, upper = b"", b""
    for tag, kind, *values in fields:
        data = np.array(values, _NDPI_TYPES[kind]).tobytes()
        if len(data) > 4 and kind != 4:
            place = file.tell()
            file.write(data)
            data = np.array(place, "<u8").tobytes()
        count = 1 if kind == 5 else len(values)  # a fraction has two numbers
        data = data.ljust(8, b"\0")
        entries += np.array([tag, kind], "<u2").tobytes() + np.array(count, "<u4").tobytes() + data[:4]
        upper += data[4:]
    start = file.tell()
    file.write(np.array(len(fields), "<u2").tobytes() + entries + bytes(8) + upper)
    end = file.tell()
    file.seek(link)
    file.write(np.array(start, "<u8").tobytes())
    file.seek(end)
    return start + 2 + len(entries)


def write_mrxs(
    path: Path,
    finest: np.ndarray,
    *,
    missing: Collection[tuple[int, int]] = (),
    levels: int = 3,
    tile: int = 64,
    overlap: int = 0,
    mpp: tuple[float, float] = (0.5, 0.25),
    kind: str = "PNG",
    glass: tuple[int, int, int] = (255, 255, 255),
) -> Path:
    """A slide as scanners of MIRAX write it: photos, each a `tile` wide, of all but the `missing` rows and columns.

    A coarser level is made of 2 x 2 photos of the one before, halved and set side by side, even where they overlap.
    Each level has a data file of its own.
    """
    step = tile - overlap
    rows, columns = ((n - overlap) // step for n in finest.shape[:2])
    photos = {
        (row, column): finest[row * step : row * step + tile, column * step : column * step + tile]
        for row, column in itertools.product(range(rows), range(columns))
        if (row, column) not in missing
    }
    folder = path.with_suffix("")
    folder.mkdir()
    pages = []
    for level in range(levels):
        encoded = [_ENCODERS[kind](photo) for photo in photos.values()]
        ends = np.cumsum([len(_SLIDE_ID), *map(len, encoded)])
        places = zip(photos, ends, encoded, strict=False)
        pages.append([(row * columns + column, end, len(data), level) for (row, column), end, data in places])
        (folder / f"Data{level:04}.dat").write_bytes(b"".join([_SLIDE_ID.encode(), *encoded]))
        photos = _in_fours(photos, 2**level, glass)
    (folder / "Index.dat").write_bytes(_mirax_index(pages))
    groups: dict[str, dict[str, Any]] = {
        "GENERAL": {
            "SLIDE_VERSION": "01.02",
            "SLIDE_ID": _SLIDE_ID,
            "IMAGENUMBER_X": columns,
            "IMAGENUMBER_Y": rows,
            "OBJECTIVE_MAGNIFICATION": 20,
        },
        "HIERARCHICAL": {
            "HIER_COUNT": 1,
            "NONHIER_COUNT": 0,
            "INDEXFILE": "Index.dat",
            "HIER_0_NAME": "Slide zoom level",
            "HIER_0_COUNT": levels,
            **{f"HIER_0_VAL_{level}_SECTION": f"LEVEL_{level}" for level in range(levels)},
        },
        "DATAFILE": {"FILE_COUNT": levels, **{f"FILE_{level}": f"Data{level:04}.dat" for level in range(levels)}},
    }
    for level in range(levels):
        groups[f"LEVEL_{level}"] = {
            "OVERLAP_X": overlap / 2**level,
            "OVERLAP_Y": overlap / 2**level,
            "MICROMETER_PER_PIXEL_X": mpp[1] * 2**level,
            "MICROMETER_PER_PIXEL_Y": mpp[0] * 2**level,
            "IMAGE_FORMAT": kind,
            "IMAGE_FILL_COLOR_BGR": int.from_bytes(glass, "little"),
            "DIGITIZER_WIDTH": tile,
            "DIGITIZER_HEIGHT": tile,
            "IMAGE_CONCAT_FACTOR": min(level, 1),  # as a power of two, beyond the level before
        }
    sections = (f"[{name}]\n" + "".join(f"{k} = {v}\n" for k, v in group.items()) for name, group in groups.items())
    (folder / "Slidedat.ini").write_text("".join(sections), "utf-8")
    path.write_bytes(imagecodecs.jpeg_encode(shrunk(finest, 4)))
    return path


_SLIDE_ID = "0123456789ABCDEF0123456789ABCDEF"
_ENCODERS = {"PNG": imagecodecs.png_encode, "JPEG": imagecodecs.jpeg_encode}


def _in_fours(
    photos: dict[tuple[int, int], np.ndarray], step: int, glass: tuple[int, int, int]
) -> dict[tuple[int, int], np.ndarray]:
    """The photos of the next level; those of this one are at multiples of `step`."""
    fours: dict[tuple[int, int], np.ndarray] = {}
    for (row, column), photo in photos.items():
        blank = np.broadcast_to(np.array(glass, np.uint8), photo.shape)
        four = fours.setdefault((row - row % (2 * step), column - column % (2 * step)), blank.copy())
        height, width = (n // 2 for n in photo.shape[:2])
        top, left = row // step % 2 * height, column // step % 2 * width
        four[top : top + height, left : left + width] = shrunk(photo, 2)
    return fours


def _mirax_index(levels: list[list[tuple[int, int, int, int]]]) -> bytes:
    """Of each level a chain of pages, the first one empty: how many photos, where the next page is, and the photos."""
    head = f"01.02{_SLIDE_ID}".encode()
    table, pages = [], b""
    for photos in levels:
        at, half = len(head) + 8 + 4 * len(levels) + len(pages), len(photos) // 2
        table.append(at)
        for following, page in ((at + 8, []), (at + 16 + 16 * half, photos[:half]), (0, photos[half:])):
            pages += np.array([len(page), following, *itertools.chain(*page)], "<i4").tobytes()
    roots = len(head) + 8, 0  # there is nothing besides levels
    return head + np.array([*roots, *table], "<i4").tobytes() + pages


def two_pieces(shape: tuple[int, int] = (400, 560), side: int = 90) -> np.ndarray:
    """Glass with two pieces of tissue, near its first and its last corner."""
    glass = np.random.default_rng(1).normal((243, 241, 243), 1.5, (*shape, 3)).round().astype(np.uint8)
    for seed, place in enumerate((np.s_[10 : 10 + side, 20 : 20 + side], np.s_[-side - 10 : -10, -side - 20 : -20])):
        glass[place] = np.minimum(stained((side, side), seed), 225)
    return glass
