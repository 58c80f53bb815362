"""Slides: all levels where they lie, the scanner's pixel size, and nothing decoded that is not asked for."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_unetstyle.core import SegmentOptions, read_image, run, segment
from napari_unetstyle.core.errors import ImageError, ImageFileError, MissingExtraError, OptionError
from napari_unetstyle.core.imaging import slides, tiff
from napari_unetstyle.core.imaging.files import is_image_file, read_levels
from napari_unetstyle.core.imaging.tiff import TiffBlocks
from napari_unetstyle.core.models.model import Model
from napari_unetstyle.core.segmentation.folder import iter_segment_folder
from tests.core.networks_for_tests import tiny_model
from tests.core.slides_for_tests import shrunk, stained, write_mrxs, write_ndpi, write_svs


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Knows objects of 1 to 50 pixels."""
    return tiny_model(tmp_path_factory.mktemp("models"))


@pytest.fixture
def slide(tmp_path: Path) -> tuple[Path, list[np.ndarray]]:
    finest = stained((302, 351))
    levels = [finest, shrunk(finest, 2), shrunk(finest, 8)]
    return write_svs(tmp_path / "slide.svs", levels), levels


# Aperio and Hamamatsu ------------------------------------------------------------------------------------------------


def test_every_level_has_its_pixels_and_its_place(slide: tuple[Path, list[np.ndarray]]) -> None:
    path, levels = slide
    assert is_image_file(path)
    for number, (array, factor) in enumerate(zip(levels, (1, 2, 8), strict=True)):
        image = read_image(path, level=number)
        assert (image.axes, image.name, image.notes) == ("YXC", "slide", ())
        np.testing.assert_array_equal(image.array, array)
        assert image.geometry.spacing == (0.5 * factor, 0.5 * factor)
        assert image.geometry.origin == (0.5 * (factor - 1) / 2,) * 2
        assert image.geometry.unit == "um"
    assert [grid.factor for grid in read_levels(path)] == [(1, 1, 1), (2, 2, 1), (8, 8, 1)]
    with pytest.raises(OptionError, match="has no level 3: it has 3"):
        read_image(path, level=3)


def test_a_large_slide_is_decoded_where_it_is_sliced(
    slide: tuple[Path, list[np.ndarray]], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, levels = slide
    monkeypatch.setattr(tiff, "LARGE", 1000)
    image = read_image(path, level=1)
    assert isinstance(image.array, TiffBlocks)
    np.testing.assert_array_equal(image.array[10:80, 30:120, 1], levels[1][10:80, 30:120, 1])


def test_luminance_and_chroma_become_colors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Aperio's JPEG 2000 does not say which of the two it holds; its number does."""
    red = np.broadcast_to(np.array([76, 85, 255], np.uint8), (64, 64, 3))
    path = write_svs(tmp_path / "old.svs", [np.ascontiguousarray(red)], compression=33003)
    np.testing.assert_allclose(np.asarray(read_image(path).array)[5, 5], (254, 0, 0), atol=3)
    monkeypatch.setattr(tiff, "LARGE", 10)
    np.testing.assert_allclose(read_image(path).array[5, 5], (254, 0, 0), atol=3)


def test_a_scanner_that_states_no_pixel_size_leaves_it_unknown(tmp_path: Path) -> None:
    assert read_image(write_svs(tmp_path / "x.svs", [stained((80, 90))], mpp=None)).geometry.unit == "px"


def test_a_cut_slide_is_refused(slide: tuple[Path, list[np.ndarray]]) -> None:
    path, _ = slide
    data = path.read_bytes()
    for share in (0.2, 0.6, 0.95):
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(ImageFileError, match=r"slide\.svs"):
            read_image(path)


@pytest.fixture
def openslide() -> Any:
    return pytest.importorskip("openslide")


def on_white(slide: Any, level: int) -> np.ndarray:
    """All of a level as OpenSlide gives it to other programs."""
    region = slide.read_region((0, 0), level, slide.level_dimensions[level])
    glass = region.copy()
    glass.paste("white", (0, 0, *region.size))
    glass.alpha_composite(region)
    return np.asarray(glass)[..., :3]


@pytest.mark.parametrize("large", [2**27, 1000])
@pytest.mark.parametrize("compression", [None, "lzw", "zlib", "jpeg", 33003, 33005, "ndpi"])
def test_tiff_of_scanners_is_what_openslide_gives(
    compression: Any, large: int, tmp_path: Path, openslide: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiff, "LARGE", large)
    finest = stained((302, 351))
    levels = [finest, shrunk(finest, 2), shrunk(finest, 4)]
    if compression == "ndpi":
        path, vendor = write_ndpi(tmp_path / "slide.ndpi", levels), "hamamatsu"
    else:
        path, vendor = write_svs(tmp_path / "slide.svs", levels, compression=compression), "aperio"
    slide = openslide.OpenSlide(str(path))
    assert slide.properties["openslide.vendor"] == vendor
    grids = read_levels(path)
    assert [grid.factor[0] for grid in grids] == pytest.approx(slide.level_downsamples, rel=0.01)
    for level in range(3):
        image = read_image(path, level=level)
        np.testing.assert_array_equal(np.asarray(image.array), on_white(slide, level))
        np.testing.assert_array_equal(image.array[-40:, 3:60:7], on_white(slide, level)[-40:, 3:60:7])
    finest_size = [float(slide.properties[f"openslide.mpp-{axis}"]) for axis in "yx"]
    assert read_image(path).geometry.spacing == pytest.approx(finest_size)


def test_positions_beyond_four_bytes(tmp_path: Path) -> None:
    levels = [stained((50, 60)), stained((25, 30))]
    path = write_ndpi(tmp_path / "huge.ndpi", levels, at=2**32 + 4096)
    for level, array in enumerate(levels):
        np.testing.assert_allclose(np.asarray(read_image(path, level=level).array, float), array, atol=8)
    with path.open("r+b") as file:
        file.truncate(2**32 + 4200)
    with pytest.raises(ImageFileError, match=r"huge\.ndpi is truncated"):
        read_image(path)


# The level that fits -------------------------------------------------------------------------------------------------


def test_the_level_that_fits_the_model_is_taken(slide: tuple[Path, list[np.ndarray]], model: Model) -> None:
    """Objects of 90 pixels are 45 wide on the next level, which the model knows; options are in finest pixels."""
    path, levels = slide
    box = ((50, 150), (100, 250))
    result = segment(path, model, object_diameter=90, box=box)
    assert result.labels.shape == levels[1].shape[:2]
    assert result.geometry.spacing == (1.0, 1.0)
    assert any("level 1" in note for note in result.notes)
    same = segment(path, model, level=1, object_diameter=45, box=((25, 75), (50, 125)))
    np.testing.assert_array_equal(result.labels, same.labels)
    np.testing.assert_array_equal(result.labels, segment(levels[1], model, **_deciding(result.options)).labels)
    assert segment(path, model, object_diameter=30).labels.shape == levels[0].shape[:2]
    with pytest.raises(OptionError, match="is for files"):
        segment(levels[0], model, level=1)


def _deciding(options: SegmentOptions) -> dict[str, Any]:
    return {name: getattr(options, name) for name in ("object_diameter", "box", "min_pixels")}


def test_a_stated_pixel_size_is_that_of_the_finest_level(slide: tuple[Path, list[np.ndarray]], model: Model) -> None:
    result = segment(slide[0], model, object_diameter=90, spacing=(0.25, 0.25))
    assert result.geometry.spacing == (0.5, 0.5)


def test_a_folder_of_slides(slide: tuple[Path, list[np.ndarray]], model: Model, tmp_path: Path) -> None:
    options = SegmentOptions(object_diameter=90)
    report = run(iter_segment_folder([slide[0]], tmp_path / "out", model, options))
    written = read_image(report.pictures[0].labels)
    assert written.geometry.spacing == pytest.approx((1.0, 1.0))
    assert report.pictures[0].notes
    finest = run(iter_segment_folder([slide[0]], tmp_path / "out", model, options, level=0))
    assert finest.pictures[0].state == "done"
    assert read_image(finest.pictures[0].labels).geometry.spacing == pytest.approx((0.5, 0.5))


# MIRAX ---------------------------------------------------------------------------------------------------------------

UNSCANNED = {(0, 0), (0, 1), (1, 0), (1, 1), (2, 4)}


@pytest.fixture
def mirax(tmp_path: Path, openslide: Any) -> tuple[Path, np.ndarray]:
    """Five times four photos, the upper left four of them and one at the right not taken."""
    colors = stained((256, 320))
    path = write_mrxs(tmp_path / "slide.mrxs", colors, missing=UNSCANNED)
    for row, column in UNSCANNED:
        colors[64 * row : 64 * (row + 1), 64 * column : 64 * (column + 1)] = 255
    return path, colors


def test_mirax_is_read_in_all_its_levels(mirax: tuple[Path, np.ndarray], openslide: Any) -> None:
    path, colors = mirax
    slide = openslide.OpenSlide(str(path))
    assert slide.properties["openslide.vendor"] == "mirax"
    assert is_image_file(path)
    for level, factor in enumerate((1, 2, 4)):
        image = read_image(path, level=level)
        expected = shrunk(colors, factor) if factor < 4 else shrunk(shrunk(colors, 2), 2)
        np.testing.assert_array_equal(np.asarray(image.array), expected)
        np.testing.assert_array_equal(np.asarray(image.array), on_white(slide, level))
        assert (image.axes, image.name, image.notes) == ("YXC", "slide", ())
        assert (image.geometry.spacing, image.geometry.unit) == ((0.5 * factor, 0.25 * factor), "um")
        assert image.geometry.origin == (0.25 * (factor - 1), 0.125 * (factor - 1))
    assert [grid.factor for grid in read_levels(path)] == [(1, 1, 1), (2, 2, 1), (4, 4, 1)]
    with pytest.raises(ImageError, match="has the axes YXC"):
        read_image(path, axes="CYX")
    with pytest.raises(OptionError, match="has no level 3"):
        read_image(path, level=3)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("overlap", [0, 6])
def test_mirax_is_what_openslide_gives(kind: str, overlap: int, tmp_path: Path, openslide: Any) -> None:
    """Where photos overlap, coarser levels have pixels that are covered in part."""
    step = 64 - overlap
    colors = stained((4 * step + overlap, 5 * step + overlap))
    path = write_mrxs(tmp_path / "slide.mrxs", colors, missing=UNSCANNED, overlap=overlap, kind=kind)
    slide = openslide.OpenSlide(str(path))
    for level in range(3):
        given = read_image(path, level=level).array
        assert given.shape[1::-1] == slide.level_dimensions[level]
        np.testing.assert_allclose(np.asarray(given), on_white(slide, level), atol=1 if overlap else 0)


KEYS = (np.s_[3], np.s_[10:50, ::-3, 1], np.s_[60:2:-7, 5], np.s_[4:4], np.s_[20:21, 30:45], np.s_[-1, -1, -1])


@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_part_of_a_mirax_is_that_of_the_whole(mirax: tuple[Path, np.ndarray], level: int) -> None:
    array = read_image(mirax[0], level=level).array
    whole = np.asarray(array)
    for key in KEYS:
        np.testing.assert_array_equal(array[key], whole[key])


def test_a_level_is_decoded_piece_by_piece(
    mirax: tuple[Path, np.ndarray], openslide: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However far apart the pixels lie that are asked for: whoever looks at a slide from afar takes few of many."""
    path, colors = mirax
    sizes: list[tuple[int, int]] = []
    array = read_image(path).array
    result = slides.result

    def watched(work: Any, *arguments: Any, size: int) -> Any:
        sizes.append(arguments[-1])
        return result(work, *arguments, size=size)

    monkeypatch.setattr(slides, "result", watched)
    monkeypatch.setattr(slides, "PIECE", 50)
    for key in (*KEYS, np.s_[:], np.s_[::40, ::64], np.s_[::-7, 3:300:60, ::-1], np.s_[200:3:-49, -1]):
        np.testing.assert_array_equal(array[key], colors[key])
    assert max(map(max, sizes)) <= 50
    sizes.clear()
    assert array[::100, ::100].shape == (3, 4, 3)
    assert sizes == [(1, 1)] * 12


def test_what_was_not_scanned_has_the_color_of_the_glass(tmp_path: Path, openslide: Any) -> None:
    """White where the scanner says so, and black in fluorescence."""
    colors = stained((256, 320))
    for glass in ((255, 255, 255), (0, 0, 0), (200, 220, 240)):
        path = write_mrxs(tmp_path / f"{sum(glass)}.mrxs", colors, missing=UNSCANNED, glass=glass)
        for level in range(3):
            pixels = np.asarray(read_image(path, level=level).array)
            side = 128 >> level
            assert (pixels[:side, :side] == glass).all()
            assert not (pixels[side:, : 2 * side] == glass).all(axis=-1).any()


def test_mirax_without_a_pixel_size_leaves_it_unknown(tmp_path: Path, openslide: Any) -> None:
    path = write_mrxs(tmp_path / "slide.mrxs", stained((64, 64)), levels=1, mpp=(0, 0))
    assert read_image(path).geometry.unit == "px"
    assert read_levels(path) == ()


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_damaged_mirax_is_refused_before_a_pixel_is_read(
    kind: str, tmp_path: Path, openslide: Any, repeats: Callable[[int], int]
) -> None:
    path = write_mrxs(tmp_path / "slide.mrxs", stained((256, 320)), missing=UNSCANNED, kind=kind)
    for name in ("Slidedat.ini", "Index.dat", "Data0000.dat", "Data0002.dat"):
        file = tmp_path / "slide" / name
        data = file.read_bytes()
        for at in (*np.random.default_rng(0).integers(0, len(data) - 2, repeats(20)), len(data) - 2):
            file.write_bytes(data[:at])
            for look in (read_image, read_levels):
                with pytest.raises(ImageFileError, match=r"slide\.mrxs is .*[^.]\. .*Copy both again\."):
                    look(path)
        file.unlink()
        with pytest.raises(ImageFileError, match=r"slide\.mrxs is .*the folder of the same name"):
            read_image(path)
        file.write_bytes(data)
    assert len(read_levels(path)) == 3


def test_a_photo_that_cannot_be_decoded_is_refused_when_it_is_read(tmp_path: Path, openslide: Any) -> None:
    for kind in ("PNG", "JPEG"):
        path = write_mrxs(tmp_path / f"{kind}.mrxs", stained((128, 192)), kind=kind)
        file = tmp_path / kind / "Data0000.dat"
        data = file.read_bytes()
        file.write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))
        image = read_image(path)
        with pytest.raises(ImageFileError, match=r"\.mrxs is incomplete, damaged"):
            np.asarray(image.array)


def test_a_mirax_without_its_folder_is_refused(tmp_path: Path, openslide: Any) -> None:
    for name, data in (("empty.mrxs", b""), ("lone.mrxs", b"x")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ImageFileError, match="needs the folder of the same name"):
            read_image(tmp_path / name)
    with pytest.raises(ImageFileError, match="There is no file"):
        read_image(tmp_path / "missing.mrxs")


def test_a_mirax_in_capitals_is_to_be_renamed(mirax: tuple[Path, np.ndarray]) -> None:
    """OpenSlide says of it only that it is no slide, which would have one copy it again."""
    path = mirax[0].rename(mirax[0].with_suffix(".MRXS"))
    for look in (read_image, read_levels):
        with pytest.raises(ImageFileError, match=r"Rename it to slide\.mrxs\.$"):
            look(path)


def test_a_mirax_is_segmented_on_the_level_that_fits(mirax: tuple[Path, np.ndarray], model: Model) -> None:
    path, colors = mirax
    result = segment(path, model, object_diameter=60)
    assert result.geometry.spacing == (1.0, 0.5)
    assert any("level 1" in note for note in result.notes)
    options = _deciding(result.options) | {"spacing": (1.0, 0.5)}
    np.testing.assert_array_equal(result.labels, segment(shrunk(colors, 2), model, **options).labels)


def test_without_openslide_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "slide.mrxs"
    path.touch()
    real = builtins.__import__

    def without(name: str, *args: Any, **more: Any) -> Any:
        if name == "openslide":
            raise ModuleNotFoundError(name)
        return real(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"napari-unetstyle\[slides\]"):
        read_image(path)
