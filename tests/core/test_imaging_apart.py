"""Decoders that can crash run in processes of their own: of what goes wrong there, one sentence is left."""

from __future__ import annotations

import contextlib
import copy
import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from pydicom.data import get_testdata_file

from napari_unetstyle.core import read_image
from napari_unetstyle.core.errors import ImageFileError
from napari_unetstyle.core.imaging import apart, tiff
from napari_unetstyle.core.imaging.codec import decode
from tests.core.slides_for_tests import stained, write_mrxs

COLORS = stained((96, 112))
CRASHING, ENDLESS = "import os\nos.abort()", "while True:\n    pass"


def png(folder: Path) -> Path:
    return written(folder / "x.png", imagecodecs.png_encode(COLORS))


def jpeg(folder: Path) -> Path:
    return written(folder / "x.jpg", imagecodecs.jpeg8_encode(COLORS, level=90))


def jpeg_in_tiff(folder: Path) -> Path:
    tifffile.imwrite(folder / "x.tif", COLORS, tile=(64, 64), compression="jpeg", photometric="rgb")
    return folder / "x.tif"


def mirax(folder: Path) -> Path:
    pytest.importorskip("openslide")
    return write_mrxs(folder / "x.mrxs", stained((128, 192)), levels=1)


def jpeg_2000_in_dicom(folder: Path) -> Path:
    file = get_testdata_file("MR_small_jp2klossless.dcm")
    return written(folder / "x.dcm", Path(str(file)).read_bytes())


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def pixels(path: Path) -> np.ndarray:
    return np.asarray(read_image(path).array)


@contextlib.contextmanager
def broken(folder: Path, code: str) -> Iterator[None]:
    """Processes that start in here run some code where they would load a decoder."""
    folder = folder / "broken"
    folder.mkdir()
    for module in ("imagecodecs", "openslide", "pydicom"):
        (folder / f"{module}.py").write_text(code)
    apart.end_idle()
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        apart.end_idle()


@pytest.mark.parametrize("make", [png, jpeg, jpeg_in_tiff, mirax, jpeg_2000_in_dicom])
def test_a_crash_ends_in_a_sentence_and_the_next_picture_is_read(make: Any, tmp_path: Path) -> None:
    path = make(tmp_path)
    before = pixels(path)
    with broken(tmp_path, CRASHING), pytest.raises(ImageFileError, match=r"x\.\w+ (is|has) .*[Cc]opy.*\.$") as caught:
        pixels(path)
    assert "crashed" in str(caught.value) or path.suffix == ".dcm"  # of which no reason is quoted
    np.testing.assert_array_equal(pixels(path), before)


@pytest.mark.parametrize("make", [jpeg_in_tiff, mirax])
def test_a_crash_where_a_lazy_picture_is_sliced(make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff, "LARGE", 1000)
    array: Any = read_image(make(tmp_path)).array
    with broken(tmp_path, CRASHING), pytest.raises(ImageFileError, match="crashed"):
        array[:8, :8]
    assert array[:8, :8].shape == (8, 8, 3)


def test_a_decoder_that_never_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = png(tmp_path)
    with broken(tmp_path, ENDLESS), monkeypatch.context() as patch:
        patch.setattr(apart, "PATIENCE", 0.5)
        with pytest.raises(ImageFileError, match="crashed or took too long"):
            pixels(path)
    np.testing.assert_array_equal(pixels(path), COLORS)


def test_a_process_that_was_killed_is_replaced(tmp_path: Path) -> None:
    path = png(tmp_path)
    for _ in range(2):
        np.testing.assert_array_equal(pixels(path), COLORS)
        for process in apart._idle:
            os.kill(process.pid, signal.SIGTERM)
            process.wait()


def test_what_a_decoder_refuses_is_said_and_the_process_is_kept() -> None:
    decode("png_decode", bytes(imagecodecs.png_encode(COLORS)), size=0)
    kept = [process.pid for process in apart._idle]
    with pytest.raises(ValueError, match=r"^\S"):
        decode("png_decode", b"\x89PNG", size=0)
    with pytest.raises(ValueError, match="no_such"):
        decode("no_such", b"", size=0)
    assert [process.pid for process in apart._idle] == kept


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system does not keep to the limit")
def test_memory_is_measured_out() -> None:
    with pytest.raises(ValueError, match=r"memory|allocate"):
        apart.result(np.ones, 2**31, size=2**20)


@pytest.mark.parametrize("dtype", ["u1", "<i2", ">u2", "f4", ">f8", "?", "c8"])
def test_arrays_and_bytes_go_there_and_come_back(dtype: str) -> None:
    data, shape = bytes(range(240)), (2, 3, 5)
    values = np.frombuffer(data, dtype)[:30].reshape(shape)
    there = [data, {"inner": [values[:, ::2], values[:0]]}, "tëxt\n", None, 1.5, np.int64(3)]
    back = apart.result(copy.copy, there)
    assert back[0] == data
    assert back[2:] == ["tëxt\n", None, 1.5, 3]
    for sent, received in zip(there[1]["inner"], back[1]["inner"], strict=True):
        assert (received.dtype, received.shape, received.tobytes()) == (sent.dtype, sent.shape, sent.tobytes())
        assert received.flags.writeable


def test_objects_are_not_made_of_what_comes_back() -> None:
    with pytest.raises(ValueError, match="crashed"):
        apart.result(np.array, ["text"])
    assert decode("png_decode", bytes(imagecodecs.png_encode(COLORS)), size=0).shape == COLORS.shape


def test_many_threads_read_at_once(tmp_path: Path) -> None:
    pictures = [np.full((20 + i, 30, 3), i, np.uint8) for i in range(40)]
    paths = [written(tmp_path / f"{i}.png", imagecodecs.png_encode(array)) for i, array in enumerate(pictures)]
    with ThreadPoolExecutor(8) as threads:
        for array, expected in zip(threads.map(pixels, paths), pictures, strict=True):
            np.testing.assert_array_equal(array, expected)
    assert len(apart._idle) <= apart._MOST


# The same bits as in this process ------------------------------------------------------------------------------------

GRAY = COLORS[..., 0]
COMPRESSED: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
    "jpeg": (COLORS, {"compression": "jpeg", "photometric": "rgb"}),
    "jpeg, subsampled": (COLORS, {"compression": "jpeg", "photometric": "ycbcr", "subsampling": (2, 2)}),
    "jpeg 2000": (COLORS.astype(np.uint16) * 250, {"compression": "jpeg2000", "photometric": "rgb"}),
    "webp": (np.dstack([COLORS, GRAY]), {"compression": "webp", "photometric": "rgb", "extrasamples": ["unassalpha"]}),
    "lerc": (GRAY.astype(np.float32) / 7, {"compression": "lerc"}),
    "lerc, zstd": (GRAY, {"compression": "lerc", "compressionargs": {"compression": "zstd"}}),
    "lzma": (GRAY.astype(np.uint16) * 250, {"compression": "lzma", "predictor": True}),
    "lzma, floats": (GRAY.astype(">f4") / 7, {"compression": "lzma", "predictor": True, "byteorder": ">"}),
}


@pytest.mark.parametrize("large", [2**27, 1000])
@pytest.mark.parametrize("kind", COMPRESSED)
@pytest.mark.parametrize("layout", [{"tile": (32, 48)}, {"rowsperstrip": 40}])
def test_tiff_has_the_same_bits(
    kind: str, layout: dict[str, Any], large: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiff, "LARGE", large)
    array, options = COMPRESSED[kind]
    tifffile.imwrite(tmp_path / "x.tif", array, **layout, **options)
    expected = tifffile.imread(tmp_path / "x.tif")
    found = pixels(tmp_path / "x.tif")
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(30, 50), (30, 50, 3)])
def test_png_and_jpeg_have_the_same_bits(shape: tuple[int, ...], dtype: Any, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape).astype(dtype)
    for name, data, read in (
        ("x.png", imagecodecs.png_encode(noise), imagecodecs.png_decode),
        ("x.jpg", imagecodecs.jpeg8_encode(noise.astype(np.uint8)), imagecodecs.jpeg8_decode),
    ):
        found = pixels(written(tmp_path / name, data))
        assert found.dtype == read(data).dtype
        np.testing.assert_array_equal(found, read(data))
