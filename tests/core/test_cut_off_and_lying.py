"""Files that are cut off are refused or whole, and headers that lie take no memory, in formats of all kinds."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import SimpleITK
import tifffile
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.data import get_testdata_file

from napari_unetstyle.core import read_image
from napari_unetstyle.core.errors import UnetstyleError
from napari_unetstyle.core.imaging import tiff
from tests.core.slides_for_tests import shrunk, stained, write_ndpi, write_svs
from tests.core.zarr_for_tests import two_levels

NOISE = np.random.default_rng(0).integers(0, 3000, (6, 11, 12)).astype(np.int16)

# Cut off -------------------------------------------------------------------------------------------------------------


def by_simpleitk(path: Path) -> Path:
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(NOISE), str(path), "packed" in path.name)
    return path


def slide(path: Path) -> Path:
    finest = stained((130, 150))
    write = write_svs if path.suffix == ".svs" else write_ndpi
    return write(path, [finest, shrunk(finest, 2)])


def picture(path: Path) -> Path:
    two_levels(path, NOISE, "0.4" if "four" in path.name else "0.5", chunks=(3, 11, 12))
    return path


def packaged(path: Path) -> Path:
    found = get_testdata_file(path.name)
    if found is None:
        pytest.skip(f"pydicom does not bring {path.name}")
    header = dcmread(found)
    header.pop(0xFFFCFFFC, None)  # padding after the pixels, without which a file is whole, too
    header.save_as(path)
    return path


KINDS: dict[str, Callable[[Path], Path]] = {
    **dict.fromkeys(("plain.mhd", "packed.mhd", "plain.nhdr", "packed.nhdr"), by_simpleitk),
    **dict.fromkeys(("one.svs", "one.ndpi"), slide),
    **dict.fromkeys(("four.zarr", "five.zarr"), picture),
    **dict.fromkeys(("MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "SC_rgb_jpeg_dcmtk.dcm"), packaged),
}


def whole(path: Path) -> tuple[str, list[np.ndarray]]:
    images = [read_image(path, level=level) for level in range(2 if path.suffix in (".svs", ".ndpi", ".zarr") else 1)]
    return images[0].axes, [np.array(image.array[...]) for image in images]


def check_cut(kind: str, folder: Path, count: int) -> None:
    """Each of its files in turn, half of the cuts near the end."""
    path = KINDS[kind](folder / kind)
    axes, arrays = whole(path)
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    random, refused = np.random.default_rng(0), 0
    for number in range(count):
        file = files[number % len(files)]
        data = file.read_bytes()
        is_near = number // len(files) % 2
        first = max(0, len(data) - 40) if is_near else 0
        file.write_bytes(data[: random.integers(first, len(data))])
        try:
            again, pixels = whole(path)
        except UnetstyleError:
            refused += 1
        else:
            assert again == axes
            for one, other in zip(pixels, arrays, strict=True):
                np.testing.assert_array_equal(one, other)
        file.write_bytes(data)
    assert refused >= count / 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_cut_off_is_refused_or_whole(kind: str, tmp_path: Path, repeats: Callable[[int], int]) -> None:
    """300 cuts with ``--long``; in DICOM few without it, as each needs a decoder in a process of its own."""
    quick = 2 if kind.endswith(".dcm") else 12
    check_cut(kind, tmp_path, 300 if repeats(1) > 1 else quick)


# Lies: 30000 pixels along each axis ----------------------------------------------------------------------------------

SIDE = 30000
MOST = 2**26  # bytes


def meta(path: Path, *, packed: bool = False) -> Path:
    path.write_text(
        f"NDims = 3\nCompressedData = {packed}\nDimSize = {SIDE} {SIDE} {SIDE}\nElementType = MET_SHORT\n"
        "ElementDataFile = x.raw\n"
    )
    return path


def nrrd(path: Path, encoding: str = "raw") -> Path:
    path.write_text(
        f"NRRD0004\ntype: short\nendian: little\ndimension: 3\nsizes: {SIDE} {SIDE} {SIDE}\n"
        f"kinds: domain domain domain\nencoding: {encoding}\ndata file: x.raw\n\n"
    )
    return path


def stretched(path: Path, *, strips: bool = True) -> Path:
    with tifffile.TiffFile(path, mode="r+b") as opened:
        tags = opened.pages[0].tags
        for name in ("ImageWidth", "ImageLength", *(["RowsPerStrip"] if strips and "RowsPerStrip" in tags else [])):
            tags[name].overwrite(SIDE, dtype="I")
    return path


def flat(path: Path, **options: Any) -> Path:
    tifffile.imwrite(path, np.zeros((64, 64), np.uint16), **options)
    return stretched(path, strips="strips" not in path.name)


def described(path: Path, **options: Any) -> Path:
    """Planes that the description, of ImageJ or OME, makes 30000 of."""
    tifffile.imwrite(path, np.zeros((3, 64, 64), np.uint16), metadata={"axes": "ZYX"}, **options)
    with tifffile.TiffFile(path, mode="r+b") as opened:
        tag = opened.pages[0].tags["ImageDescription"]
        said = str(tag.value)
        for word in ("images=", "slices=", 'SizeZ="'):
            said = said.replace(f"{word}3", f"{word}{SIDE}")
        assert said != tag.value
        tag.overwrite(said)
    return path


def jpeg(path: Path) -> Path:
    data = bytearray(imagecodecs.jpeg8_encode(np.zeros((64, 64), np.uint8)))
    start = data.index(b"\xff\xc0") + 5
    data[start : start + 4] = struct.pack(">HH", SIDE, SIDE)
    path.write_bytes(bytes(data))
    return path


LIES: dict[str, Callable[[Path], Path]] = {
    "plain.mhd": meta,
    "packed.mhd": lambda path: meta(path, packed=True),
    "plain.nhdr": nrrd,
    "packed.nhdr": lambda path: nrrd(path, "gzip"),
    "plain.tif": flat,
    "imagej.tif": lambda path: described(path, imagej=True),
    "ome.tif": lambda path: described(path, ome=True),
    **{f"{kind}.tif": (lambda path, kind=kind: flat(path, compression=kind)) for kind in ("zlib", "lzw", "zstd")},
    "strips.tif": lambda path: flat(path, compression="zlib"),
    "tiles.tif": lambda path: flat(path, compression="zlib", tile=(64, 64)),
    "one.svs": lambda path: stretched(write_svs(path, [stained((70, 70))])),
    "one.jpg": jpeg,
}


def first_row(path: Path) -> NDArray[Any]:
    array = read_image(path).array
    return np.asarray(array[(0,) * (array.ndim - 1)])


@pytest.mark.parametrize("kind", LIES)
def test_a_header_that_lies_takes_no_memory(kind: str, tmp_path: Path) -> None:
    (tmp_path / "x.raw").write_bytes(np.random.default_rng(0).bytes(6000))
    path = LIES[kind](tmp_path / kind)
    assert tiff.LARGE > MOST  # so that what is read at once would be seen
    tracemalloc.start()
    try:
        with pytest.raises(UnetstyleError, match=r"\.$"):
            first_row(path)
        assert tracemalloc.get_traced_memory()[1] < MOST
    finally:
        tracemalloc.stop()
