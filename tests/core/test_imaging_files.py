"""Picture files: read as they are, lazily where large, and refused unless they are whole."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_unetstyle.core import read_image
from napari_unetstyle.core.errors import ImageError, ImageFileError
from napari_unetstyle.core.imaging import tiff
from napari_unetstyle.core.imaging.files import is_image_file, read_levels
from napari_unetstyle.core.imaging.tiff import TiffBlocks

UM = "µm"


def noise(*shape: int, dtype: str = "uint8", seed: int = 0) -> NDArray[Any]:
    """Noise with structure, so that it compresses a little."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 60, shape) + np.linspace(0, 60, shape[-1]).astype(int)
    return values.astype(dtype)


def write(path: Path, array: NDArray[Any], **options: Any) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tifffile.imwrite(path, array, **options)
    return path


# Axes and pixels ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "options", "axes"),
    [
        ((7, 9), {}, "YX"),
        ((7, 9, 3), {"photometric": "rgb"}, "YXC"),
        ((7, 9, 4), {"photometric": "rgb"}, "YXC"),
        ((3, 7, 9), {"photometric": "rgb", "planarconfig": "separate"}, "CYX"),
        ((5, 7, 9), {"imagej": True, "metadata": {"axes": "TYX"}}, "TYX"),
        ((5, 7, 9), {"imagej": True, "metadata": {"axes": "ZYX"}}, "ZYX"),
        ((2, 4, 3, 7, 9), {"imagej": True, "metadata": {"axes": "TZCYX"}}, "TZCYX"),
        ((5, 7, 9, 3), {"imagej": True, "metadata": {"axes": "TYXS"}}, "TYXC"),
        ((2, 3, 7, 9), {"metadata": {"axes": "TCYX"}}, "TCYX"),
        ((2, 3, 4, 7, 9), {"ome": True, "metadata": {"axes": "TCZYX"}}, "TCZYX"),
        ((3, 7, 9), {"ome": True, "metadata": {"axes": "CYX"}}, "CYX"),
        ((7, 9, 3), {"ome": True, "photometric": "rgb", "metadata": {"axes": "YXS"}}, "YXC"),
    ],
)
def test_axes_are_those_the_file_states(
    shape: tuple[int, ...], options: dict[str, Any], axes: str, tmp_path: Path
) -> None:
    array = noise(*shape)
    image = read_image(write(tmp_path / "x.tif", array, **options))
    assert image.axes == axes
    np.testing.assert_array_equal(image.array, array)
    assert image.geometry.unit == "px"
    assert image.name == "x"


@pytest.mark.parametrize("shape", [(5, 7, 9), (2, 5, 7, 9)])
def test_unknown_axes_are_asked_for(shape: tuple[int, ...], tmp_path: Path) -> None:
    path = write(tmp_path / "x.tif", noise(*shape), photometric="minisblack")
    with pytest.raises(ImageError, match=r"does not say what numbers? 1( and 2)? (is|are)\. .*axes="):
        read_image(path)
    stated = "TZYX"[-len(shape) :]
    assert read_image(path, axes=stated.lower()).axes == stated
    with pytest.raises(ImageError, match="name 2 axes"):
        read_image(path, axes="YX")


def test_channels_and_colors_at_once_are_refused(tmp_path: Path) -> None:
    array = noise(2, 7, 9, 3)
    path = write(tmp_path / "x.tif", array, imagej=True, metadata={"axes": "CYXS"})
    with pytest.raises(ImageError, match="both channels and colors"):
        read_image(path)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "float32", "float64", "bool"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("bigtiff", [False, True])
def test_every_type_comes_back(dtype: str, byteorder: Any, bigtiff: bool, tmp_path: Path) -> None:
    array = noise(7, 9, dtype=dtype)
    path = write(tmp_path / "x.tif", array, byteorder=byteorder, bigtiff=bigtiff)
    np.testing.assert_array_equal(read_image(path).array, array)


def test_complex_pixels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="complex64"):
        read_image(write(tmp_path / "x.tif", noise(7, 9, dtype="complex64")))


def test_printing_colors_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "x.tif", noise(16, 16, 4), photometric="separated")
    (tmp_path / "x.jpg").write_bytes(
        imagecodecs.jpeg8_encode(noise(16, 16, 4), colorspace="CMYK", outcolorspace="CMYK")
    )
    for name in ("x.tif", "x.jpg"):
        with pytest.raises(ImageError, match="CMYK"):
            read_image(tmp_path / name)


@pytest.mark.parametrize("photometric", ["miniswhite", "palette"])
def test_unusual_meanings_of_values_are_mentioned(photometric: str, tmp_path: Path) -> None:
    colors = {"colormap": np.zeros((3, 256), np.uint16)} if photometric == "palette" else {}
    image = read_image(write(tmp_path / "x.tif", noise(16, 16), photometric=photometric, **colors))
    np.testing.assert_array_equal(image.array, noise(16, 16))
    assert "were taken as" in image.notes[0]


def test_several_pictures_in_one_file(tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(noise(7, 9))
        writer.write(noise(5, 5))
    image = read_image(path)
    assert image.array.shape == (7, 9)
    assert "2 pictures" in image.notes[0]


def test_only_the_full_resolution_of_a_pyramid(tmp_path: Path) -> None:
    array = noise(64, 64)
    path = tmp_path / "x.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(array, subifds=1, tile=(16, 16))
        writer.write(array[::2, ::2], subfiletype=1, tile=(16, 16))
    image = read_image(path)
    np.testing.assert_array_equal(image.array, array)
    assert (image.name, image.notes) == ("x", ())


# Pixel size --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "spacing", "unit"),
    [
        ({}, (1, 1), "px"),
        ({"resolution": (4, 2), "imagej": True, "metadata": {"unit": "um"}}, (0.5, 0.25), "um"),
        ({"resolution": (4, 4), "imagej": True, "metadata": {"unit": "micron"}}, (0.25, 0.25), "um"),
        ({"resolution": (4, 4), "imagej": True, "metadata": {"unit": "\\u00B5m"}}, (0.25, 0.25), "um"),
        ({"resolution": (10, 10), "imagej": True, "metadata": {"unit": "mm"}}, (0.1, 0.1), "mm"),
        ({"resolution": (0.1, 0.1), "imagej": True, "metadata": {"unit": "nm"}}, (0.01, 0.01), "um"),
        ({"resolution": (4, 4), "imagej": True}, (1, 1), "px"),
        ({"resolution": (4, 4), "imagej": True, "metadata": {"unit": "pixel"}}, (1, 1), "px"),
        ({"resolution": (4, 4), "imagej": True, "metadata": {"unit": "furlong"}}, (1, 1), "px"),
        ({"resolution": (40000, 20000), "resolutionunit": "CENTIMETER"}, (0.5, 0.25), "um"),
        ({"resolution": (25400, 25400), "resolutionunit": "INCH"}, (1, 1), "um"),
        ({"resolution": (300, 300), "resolutionunit": "INCH"}, (1, 1), "px"),
        ({"resolution": (118.11, 118.11), "resolutionunit": "CENTIMETER"}, (1, 1), "px"),
        ({"resolution": (5, 5), "resolutionunit": "NONE"}, (1, 1), "px"),
        ({"resolution": (0, 0), "resolutionunit": "CENTIMETER"}, (1, 1), "px"),
        ({"ome": True, "metadata": {"PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5}}, (0.5, 0.25), "um"),
        (
            {
                "ome": True,
                "metadata": {
                    "PhysicalSizeX": 250,
                    "PhysicalSizeXUnit": "nm",
                    "PhysicalSizeY": 0.0005,
                    "PhysicalSizeYUnit": "mm",
                },
            },
            (0.5, 0.25),
            "um",
        ),
        ({"ome": True}, (1, 1), "px"),
    ],
)
def test_pixel_size_is_read_and_never_invented(
    options: dict[str, Any], spacing: tuple[float, ...], unit: str, tmp_path: Path
) -> None:
    geometry = read_image(write(tmp_path / "x.tif", noise(7, 9), **options)).geometry
    assert geometry.unit == unit
    assert geometry.spacing == pytest.approx(spacing, rel=1e-6)


@pytest.mark.parametrize("kind", ["imagej", "ome"])
def test_distance_of_slices(kind: str, tmp_path: Path) -> None:
    stated = {"spacing": 2.0, "unit": "um"} if kind == "imagej" else {"PhysicalSizeZ": 2.0}
    pixel = {} if kind == "imagej" else {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    options = {kind: True, "resolution": (2, 2), "metadata": {"axes": "ZYX", **stated, **pixel}}
    image = read_image(write(tmp_path / "x.tif", noise(3, 7, 9), **options))
    assert image.geometry.spacing == pytest.approx((2.0, 0.5, 0.5))
    assert image.notes == ()
    for name in ("spacing", "PhysicalSizeZ"):
        options["metadata"].pop(name, None)
    image = read_image(write(tmp_path / "x.tif", noise(3, 7, 9), **options))
    assert "no distance between slices" in image.notes[0]
    assert image.geometry.spacing == pytest.approx((1.0 if kind == "imagej" else 0.5, 0.5, 0.5))


@pytest.mark.parametrize(
    ("lines", "spacing"),
    [
        ("unit=micron\n", (1.0, 0.2, 0.2)),
        ("unit=micron\nyunit=mm\nzunit=nm\nspacing=3.0\n", (0.003, 200.0, 0.2)),
        ("unit=micron\nzunit=mm\n", (1000.0, 0.2, 0.2)),
    ],
)
def test_what_imagej_leaves_out_is_as_in_imagej(lines: str, spacing: tuple[float, ...], tmp_path: Path) -> None:
    description = f"ImageJ=1.53t\nimages=5\nslices=5\n{lines}loop=false\n"
    options = {"description": description, "metadata": None, "resolution": (5, 5), "resolutionunit": "NONE"}
    geometry = read_image(write(tmp_path / "x.tif", noise(5, 7, 9), **options)).geometry
    assert (geometry.spacing, geometry.unit) == (pytest.approx(spacing), "um")


def test_printing_resolution_is_mentioned(tmp_path: Path) -> None:
    image = read_image(write(tmp_path / "x.tif", noise(7, 9), resolution=(72, 72), resolutionunit="INCH"))
    assert "72 dots per inch" in image.notes[0]
    image = read_image(write(tmp_path / "x.tif", noise(7, 9), resolution=(500, 500), resolutionunit="CENTIMETER"))
    assert "500 dots per centimeter" in image.notes[0]


def test_given_pixel_size_wins(tmp_path: Path) -> None:
    path = write(tmp_path / "x.tif", noise(7, 9), resolution=(25400, 25400), resolutionunit="INCH")
    geometry = read_image(path, spacing=(2, 3)).geometry
    assert (geometry.spacing, geometry.unit) == ((2.0, 3.0), "um")
    for wrong in ((1.0,), (1, 1, 1), (0, 1), (float("nan"), 1)):
        with pytest.raises(ImageError, match="Pixel size"):
            read_image(path, spacing=wrong)


@pytest.mark.parametrize("stated", [{"axes": ["Y", "X"]}, {"spacing": 0.5}, {"spacing": (0.5,)}])
def test_what_is_stated_in_another_way_is_refused(stated: dict[str, Any], tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 6), np.uint8))
    with pytest.raises(ImageError):
        read_image(tmp_path / "a.tif", **stated)


def test_channel_names(tmp_path: Path) -> None:
    metadata = {"axes": "CYX", "Channel": {"Name": ["DAPI", "actin"]}}
    image = read_image(write(tmp_path / "x.ome.tif", noise(2, 7, 9), ome=True, metadata=metadata))
    assert image.channel_names == ("DAPI", "actin")


# Large files -------------------------------------------------------------------------------------------------------


def test_large_plain_file_is_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff, "LARGE", 100)
    array = noise(4, 30, 40, dtype="uint16")
    for byteorder in "<>":
        path = write(tmp_path / "x.tif", array, byteorder=byteorder, metadata={"axes": "TYX"})
        lazy = read_image(path).array
        assert isinstance(lazy, np.memmap)
        np.testing.assert_array_equal(lazy, array)


index = st.one_of(st.integers(-1, 30), st.slices(40))


@given(key=st.tuples(index, index, st.one_of(st.integers(-1, 2), st.slices(3))), length=st.integers(0, 3))
def test_blocks_index_like_numpy(key: tuple[Any, ...], length: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.getbasetemp()
    path, array = folder / "tiled.tif", noise(35, 45, 3)
    if not path.exists():
        write(path, array, tile=(16, 16), compression="zlib", photometric="rgb")
    np.testing.assert_array_equal(TiffBlocks(path)[key[:length]], array[key[:length]])


@pytest.mark.parametrize(
    "options", [{"tile": (16, 16)}, {"rowsperstrip": 3}, {"tile": (32, 16), "planarconfig": "separate"}]
)
def test_large_compressed_file_is_decoded_block_by_block(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiff, "LARGE", 100)
    array = noise(3, 70, 50) if "planarconfig" in options else noise(70, 50, 3)
    image = read_image(write(tmp_path / "x.tif", array, compression="zlib", photometric="rgb", **options))
    assert isinstance(image.array, TiffBlocks)
    frame = image.frame((), 2)
    whole = array if image.axes == "CYX" else array.transpose(2, 0, 1)
    np.testing.assert_array_equal(frame.read(), whole)
    np.testing.assert_array_equal(frame.read(slice(7, 30), slice(5, 49)), whole[:, 7:30, 5:49])
    np.testing.assert_array_equal(np.asarray(image.array), array)


def test_reading_strips_in_order_decodes_each_block_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "x.tif", noise(128, 128), tile=(32, 32), compression="zlib")
    decoded: list[tuple[int, ...]] = []
    decode = TiffBlocks._decode

    def counted(self: TiffBlocks, numbers: tuple[int, ...]) -> NDArray[Any]:
        decoded.append(numbers)
        return decode(self, numbers)

    monkeypatch.setattr(TiffBlocks, "_decode", counted)
    monkeypatch.setattr(tiff, "_CACHE", 0)
    blocks = TiffBlocks(path)
    for row in range(0, 128, 10):
        blocks[row : row + 10, 20:100]
    assert len(decoded) == len(set(decoded)) == 16


def test_a_giant_block_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff, "LARGE", 100)
    monkeypatch.setattr(tiff, "LARGEST_BLOCK", 1000)
    path = write(tmp_path / "x.tif", noise(64, 64), rowsperstrip=64, compression="zlib")
    with pytest.raises(ImageFileError, match="Save it with tiles"):
        read_image(path)


def test_damage_in_a_lazily_read_block_is_an_error_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff, "LARGE", 100)
    path = write(tmp_path / "x.tif", noise(64, 64), tile=(16, 16), compression="zlib")
    with tifffile.TiffFile(path) as file:
        offset = file.pages.first.dataoffsets[5]
    data = bytearray(path.read_bytes())
    data[offset : offset + 20] = b"\xff" * 20
    path.write_bytes(bytes(data))
    array = read_image(path).array
    assert array[:10, :10].shape == (10, 10)
    with pytest.raises(ImageFileError, match="damaged"):
        array[16:32]


# PNG and JPEG ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(7, 9), (7, 9, 3), (7, 9, 4)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_png(shape: tuple[int, ...], dtype: str, tmp_path: Path) -> None:
    array = noise(*shape, dtype=dtype)
    (tmp_path / "x.png").write_bytes(imagecodecs.png_encode(array))
    image = read_image(tmp_path / "x.png")
    np.testing.assert_array_equal(image.array, array)
    assert (image.axes, image.geometry.unit) == ("YX" if len(shape) == 2 else "YXC", "px")


@pytest.mark.parametrize("shape", [(7, 9), (70, 90, 3)])
def test_jpeg(shape: tuple[int, ...], tmp_path: Path) -> None:
    data = imagecodecs.jpeg8_encode(noise(*shape), level=95)
    (tmp_path / "x.JPG").write_bytes(data)
    image = read_image(tmp_path / "x.JPG")
    np.testing.assert_array_equal(image.array, imagecodecs.jpeg8_decode(data))
    assert image.axes == ("YX" if len(shape) == 2 else "YXC")


def test_png_that_promises_too_much(tmp_path: Path) -> None:
    data = bytearray(imagecodecs.png_encode(noise(7, 9)))
    data[16:24] = (60000).to_bytes(4, "big") * 2
    data[29:33] = __import__("zlib").crc32(data[12:29]).to_bytes(4, "big")
    (tmp_path / "x.png").write_bytes(bytes(data))
    with pytest.raises(ImageFileError, match="60000 x 60000 pixels are promised"):
        read_image(tmp_path / "x.png")


# What is not a picture, or not a whole one -------------------------------------------------------------------------

FORMATS: dict[str, Callable[[Path], Path]] = {
    "plain.tif": lambda p: write(p, noise(24, 20, dtype="uint16")),
    "imagej.tif": lambda p: write(p, noise(6, 24, 20), imagej=True, metadata={"axes": "TYX"}),
    "imagej-one.tif": lambda p: write(p, noise(6, 24, 20), imagej=True, contiguous=True, metadata={"axes": "ZYX"}),
    "ome.tif": lambda p: write(p, noise(2, 3, 24, 20), ome=True, metadata={"axes": "TCYX"}),
    "pages.tif": lambda p: write(p, noise(6, 24, 20), metadata={"axes": "TYX"}, compression="lzw"),
    "zlib.tif": lambda p: write(p, noise(64, 48, 3), photometric="rgb", tile=(16, 16), compression="zlib"),
    "strips.tif": lambda p: write(p, noise(64, 48), rowsperstrip=5, compression="zlib", predictor=True),
    "jpeg.tif": lambda p: write(p, noise(64, 48, 3), photometric="rgb", tile=(16, 16), compression="jpeg"),
    "big.tif": lambda p: write(p, noise(24, 20), bigtiff=True, byteorder=">"),
    "gray.png": lambda p: p.write_bytes(imagecodecs.png_encode(noise(24, 20, dtype="uint16"))) and p,
    "color.png": lambda p: p.write_bytes(imagecodecs.png_encode(noise(24, 20, 3))) and p,
    "gray.jpg": lambda p: p.write_bytes(imagecodecs.jpeg8_encode(noise(64, 48))) and p,
    "color.jpg": lambda p: p.write_bytes(imagecodecs.jpeg8_encode(noise(64, 48, 3))) and p,
}


@pytest.mark.parametrize(
    ("name", "large"), [(name, large) for name in FORMATS for large in (False, True) if "tif" in name or not large]
)
def test_a_truncated_file_is_refused_or_whole(
    name: str, large: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if large:
        monkeypatch.setattr(tiff, "LARGE", 100)
    random_ = random.Random(name)
    path = FORMATS[name](tmp_path / name)
    whole = path.read_bytes()
    good = read_image(path)
    pixels = np.array(good.array)
    refused = 0
    for i in range(300):
        path.write_bytes(whole[: -1 - i if i < 20 else random_.randrange(len(whole))])
        try:
            image = read_image(path)
            got = np.array(image.array)
        except (ImageFileError, ImageError):
            refused += 1
            continue
        assert (image.axes, got.shape) == (good.axes, pixels.shape)
        np.testing.assert_array_equal(got, pixels)
    assert refused > 250


@pytest.mark.parametrize("name", FORMATS)
def test_flipped_bits_never_crash(name: str, tmp_path: Path) -> None:
    random_ = random.Random(name)
    path = FORMATS[name](tmp_path / name)
    whole = path.read_bytes()
    for i in range(120):
        data = bytearray(whole)
        for _ in range(1 + i % 4):
            place = random_.randrange(min(len(data), 600 if i % 3 else len(data)))
            data[place] ^= 1 << random_.randrange(8)
        path.write_bytes(bytes(data))
        try:
            image = read_image(path)
            if np.prod(image.array.shape, dtype=float) < 1e6:
                np.array(image.array)
            else:
                np.array(image.array[(0,) * (len(image.axes) - 1)])
        except (ImageFileError, ImageError):
            continue


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"II*\0", "truncated"),
        (b"II*\0\x08\0\0\0", "truncated"),
        (b"hello, world", "not a picture"),
        (b"\x80\x04\x95pickle", "not a picture"),
        (b"\x89PNG\r\n\x1a\n", "truncated"),
        (b"\xff\xd8\xff", "truncated"),
        (b"\xff\xd8\xff\xd9", "truncated"),
        (b"II*\0\x08\0\0\0\0\0\x08\0\0\0", "circle|does not say"),
    ],
)
@pytest.mark.parametrize("suffix", [".tif", ".png", ".jpg"])
def test_not_a_picture(content: bytes, sentence: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)
    with pytest.raises(ImageFileError, match=sentence):
        read_image(path)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(ImageFileError, match="no file"):
        read_image(tmp_path / "x.tif")
    with pytest.raises(ImageFileError, match="holds no DICOM pictures"):
        read_image(tmp_path)


@pytest.mark.parametrize("name", ["a\0b.tif", f"{'a' * 300}.tif", "\0.zarr"])
def test_a_name_that_no_file_can_have(name: str, tmp_path: Path) -> None:
    for read in (read_image, read_levels):
        with pytest.raises(ImageFileError, match="cannot be read"):
            read(tmp_path / name)


def test_ome_planes_that_are_nowhere(tmp_path: Path) -> None:
    path = write(tmp_path / "x.ome.tif", noise(2, 3, 24, 20), ome=True, metadata={"axes": "TCYX"})
    path.write_bytes(path.read_bytes().replace(b'SizeT="2"', b'SizeT="4"'))
    with pytest.raises(ImageFileError, match="incomplete"):
        read_image(path)


@pytest.mark.parametrize(
    ("name", "is_one"),
    [("a.tif", True), ("a.OME.TIFF", True), ("b.Png", True), ("b.jpeg", True), ("c.txt", False), (".a.tif", False)],
)
def test_is_image_file(name: str, is_one: bool) -> None:
    assert is_image_file(name) is is_one
