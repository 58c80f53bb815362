"""Arrays that are decoded where they are sliced take the keys that numpy's take."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from napari_unetstyle.core import as_image, read_image, write_image
from napari_unetstyle.core.annotation.masks import read_masks
from napari_unetstyle.core.imaging import slides, tiff
from napari_unetstyle.core.imaging.lazy import LazyArray
from napari_unetstyle.core.imaging.stains import StainArray
from napari_unetstyle.core.imaging.tiff import TiffBlocks
from napari_unetstyle.core.imaging.zarr_level import StoredLevel
from tests.core.slides_for_tests import stained

COLORS = stained((35, 45))


def region(_work: Any, _path: str, _number: int, place: Any, _level: int, extent: Any, **_more: Any) -> Any:
    """What OpenSlide gives of one level."""
    (left, top), (width, height) = place, extent
    part = COLORS[top : top + height, left : left + width]
    return np.concatenate([part, np.full((*part.shape[:2], 1), 255, np.uint8)], axis=2)


@pytest.fixture(scope="module")
def lazy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, LazyArray]]:
    folder = tmp_path_factory.mktemp("lazy")
    tifffile.imwrite(folder / "x.tif", COLORS, tile=(16, 16), compression="zlib", photometric="rgb")
    stored = StoredLevel(zarr.array(COLORS, chunks=(16, 16, 3)), "x.zarr")
    blocks = TiffBlocks(folder / "x.tif")
    opened = slides._Slide(path=folder / "x.mrxs", number=0, properties={}, sizes=[(45, 35)], steps=[1.0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slides, "result", region)
        slide = slides.SlideLevel(opened, 0)
        yield {"blocks": blocks, "stored": stored, "slide": slide, "stain": StainArray(stored, 0)}


@pytest.mark.parametrize("name", ["blocks", "stored", "slide", "stain"])
@settings(deadline=None)
@given(data=st.data())
def test_keys_mean_what_they_mean_to_numpy(name: str, lazy: dict[str, LazyArray], data: st.DataObject) -> None:
    array = lazy[name]
    whole = np.asarray(array)
    key = data.draw(arrays.basic_indices(whole.shape, allow_newaxis=False, allow_ellipsis=True))
    found = array[key]
    assert found.shape == whole[key].shape
    assert found.dtype == whole.dtype
    np.testing.assert_array_equal(found, whole[key])


@pytest.mark.parametrize("name", ["blocks", "stored", "slide", "stain"])
def test_other_keys_are_refused_and_so_are_places_outside(name: str, lazy: dict[str, LazyArray]) -> None:
    for key in (None, True, 1.0, [0, 1], (..., ...), (0, 0, 0, 0), 35, (0, -46), np.ones(35, bool)):
        with pytest.raises(IndexError):
            lazy[name][key]


def test_large_pictures_are_copied_and_taken_as_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff, "LARGE", 100)
    tifffile.imwrite(tmp_path / "a.tif", COLORS[..., 0], tile=(16, 16), compression="zlib")
    image = read_image(tmp_path / "a.tif")
    assert isinstance(image.array, TiffBlocks)
    np.testing.assert_array_equal(read_image(write_image(tmp_path / "b.tif", image)).array, COLORS[..., 0])
    labels, _ = read_masks(tmp_path / "a.tif", as_image(np.zeros(COLORS.shape[:2])))
    np.testing.assert_array_equal(labels, COLORS[..., 0])
