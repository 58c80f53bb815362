"""LZW streams: good ones pass, and damaged ones are refused before a decoder sees them."""

from __future__ import annotations

import random
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from napari_unetstyle.core import read_image
from napari_unetstyle.core.errors import ImageFileError
from napari_unetstyle.core.imaging import tiff
from napari_unetstyle.core.imaging.lzw import is_valid_lzw


def slow_is_valid(data: bytes) -> bool:
    """Code by code, with a table."""
    bits = "".join(f"{byte:08b}" for byte in data)
    entries, width, position, codes = 258, 9, 0, 0
    if len(bits) < 9 or int(bits[:9], 2) != 256:
        return False
    while position + width <= len(bits):
        code = int(bits[position : position + width], 2)
        position += width
        if code == 257:
            return True
        if code == 256:
            entries, width, codes = 258, 9, 0
            continue
        if code >= (256 if codes == 0 else entries + 1) or codes >= 3839:
            return False
        codes += 1
        if codes > 1:
            entries += 1
        width = 9 + sum(entries > limit for limit in (510, 1022, 2046))
    return codes < 3839


def pixels(length: int, colors: int, seed: int = 0) -> bytes:
    return np.random.default_rng(seed).integers(0, colors, length).astype(np.uint8).tobytes()


@given(length=st.integers(0, 20_000), colors=st.sampled_from([1, 2, 5, 60, 256]))
def test_good_streams_pass(length: int, colors: int) -> None:
    assert is_valid_lzw(bytes(imagecodecs.lzw_encode(pixels(length, colors))))


@given(
    length=st.integers(1, 9000),
    colors=st.sampled_from([1, 2, 60, 256]),
    places=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=3),
    cut=st.floats(0, 1),
)
def test_agrees_with_a_slow_implementation(
    length: int, colors: int, places: list[tuple[float, int]], cut: float
) -> None:
    data = bytearray(imagecodecs.lzw_encode(pixels(length, colors)))
    for place, value in places:
        data[int(place * len(data))] = value
    damaged = bytes(data[: round(cut * len(data))])
    assert is_valid_lzw(damaged) == slow_is_valid(damaged)


@given(data=st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    assert is_valid_lzw(data) == slow_is_valid(data)


@pytest.mark.parametrize("large", [False, True])
def test_a_damaged_stream_in_a_file_is_an_error_in_words(
    large: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if large:
        monkeypatch.setattr(tiff, "LARGE", 100)
    path, good = tmp_path / "x.tif", np.frombuffer(pixels(64 * 48, 60), np.uint8).reshape(64, 48)
    tifffile.imwrite(path, good, rowsperstrip=16, compression="lzw")
    np.testing.assert_array_equal(np.asarray(read_image(path).array), good)
    with tifffile.TiffFile(path) as file:
        offset, count = file.pages.first.dataoffsets[1], file.pages.first.databytecounts[1]
    whole, random_, refused = path.read_bytes(), random.Random(0), 0
    for _ in range(50):
        data = bytearray(whole)
        for _ in range(4):
            data[offset + random_.randrange(count)] = random_.randrange(256)
        path.write_bytes(bytes(data))
        if is_valid_lzw(bytes(data[offset : offset + count])):
            continue
        refused += 1
        with pytest.raises(ImageFileError, match="LZW data are damaged"):
            np.asarray(read_image(path).array)
    assert refused > 10
