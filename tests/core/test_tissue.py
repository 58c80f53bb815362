"""Slides are mostly glass: only tissue is computed, and its pixels are those of the whole slide."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unetstyle.core import SegmentOptions, as_image, read_image, run, segment
from napari_unetstyle.core.errors import ImageFileError
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.imaging.levels import overview_level
from napari_unetstyle.core.models.model import Model
from napari_unetstyle.core.segmentation.fitting import iter_fit
from napari_unetstyle.core.segmentation.folder import iter_segment_folder
from napari_unetstyle.core.segmentation.result import SegmentResult
from napari_unetstyle.core.segmentation.segment import iter_segment_fitted
from napari_unetstyle.core.segmentation.tissue import _boxes, tissue_mask
from tests.core.networks_for_tests import tiny_model
from tests.core.slides_for_tests import shrunk, stained, two_pieces, write_svs

SHAPE = (512, 700)
GLASS, TISSUE, PALE = (243, 241, 243), (200, 150, 190), (226, 206, 222)
FIRST, LAST = np.s_[10:100, 20:110], np.s_[300:390, 450:540]  # of the pieces of tissue


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny_model(tmp_path_factory.mktemp("models"))


def plain(color: tuple[int, ...] = GLASS, noise: float = 2) -> np.ndarray:
    drawn = np.random.default_rng(0).normal(color, noise, (*SHAPE, 3))
    return np.clip(drawn.round(), 0, 255).astype(np.uint8)


def pieces() -> np.ndarray:
    """A dark one and a pale one on glass."""
    picture = plain()
    picture[80:220, 60:240] = plain(TISSUE, 15)[80:220, 60:240]
    picture[300:440, 480:640] = plain(PALE, 8)[300:440, 480:640]
    return picture


def is_covered(mask: np.ndarray | None) -> bool:
    """Whether both pieces are tissue, and hardly any glass is."""
    assert mask is not None
    return bool(mask[84:216, 64:236].mean() > 0.99 and mask[304:436, 484:636].mean() > 0.99 and mask.mean() < 0.25)


# Finding tissue ------------------------------------------------------------------------------------------------------


def test_dark_and_pale_tissue_are_told_from_glass() -> None:
    assert is_covered(tissue_mask(pieces()))


@pytest.mark.parametrize("noise", [0, 2, 6])
def test_glass_alone_is_no_tissue(noise: float) -> None:
    dusty = plain(noise=noise)
    dusty[100:102, 100:103] = 120
    for picture in (plain(noise=noise), dusty):
        mask = tissue_mask(picture)
        assert mask is not None
        assert not mask.any()


@pytest.mark.parametrize("color", [TISSUE, PALE, (120, 110, 105), (10, 12, 9)])
def test_without_glass_to_compare_with_everything_is_taken(color: tuple[int, ...]) -> None:
    mask = tissue_mask(plain(color, 6))
    assert mask is None or mask.mean() > 0.98


def test_tissue_with_holes_is_tissue() -> None:
    picture = plain(TISSUE, 20)
    picture[200:260, 300:340] = GLASS
    mask = tissue_mask(picture)
    assert mask is None or mask.mean() > 0.98


def test_a_pen_and_the_edge_of_the_glass_hide_no_tissue() -> None:
    picture = pieces()
    picture[20:50, 300:680] = (20, 40, 120)
    picture[:, 300:312] = (12, 10, 11)
    picture[3:6], picture[:, -8:-4] = 150, 170
    mask = tissue_mask(picture)
    assert mask is not None
    assert mask[84:216, 64:236].all()
    assert mask[304:436, 484:636].mean() > 0.99


@pytest.mark.parametrize("fill", [0, 255])
def test_what_was_not_scanned_is_no_tissue(fill: int) -> None:
    picture = np.full((*SHAPE, 3), fill, np.uint8)
    picture[60:460, 40:660] = pieces()[60:460, 40:660]
    assert is_covered(tissue_mask(picture))
    for nothing in (np.full_like(picture, fill), picture[:50]):
        mask = tissue_mask(nothing)
        assert mask is not None
        assert not mask.any()


def test_tissue_that_fills_what_was_scanned_is_told_from_the_rest() -> None:
    picture = np.full((*SHAPE, 3), 255, np.uint8)
    picture[60:460, 40:300] = plain(PALE, 4)[60:460, 40:300]
    mask = tissue_mask(picture)
    assert mask is not None
    assert mask[60:460, 40:300].mean() > 0.99
    assert mask.mean() < 0.3


def test_cells_strewn_about_are_no_dust() -> None:
    picture = plain()
    for y in range(10, 500, 12):
        picture[y : y + 2, 10 + y % 7 : 690 : 14] = (150, 100, 150)
    mask = tissue_mask(picture)
    assert mask is None or mask.mean() > 0.9


@settings(max_examples=50, deadline=None)
@given(
    rectangles=st.lists(
        st.tuples(st.integers(0, 39), st.integers(0, 59), st.integers(1, 12), st.integers(1, 12)), max_size=8
    ),
    halo=st.floats(0, 300),
    shape=st.tuples(st.integers(40, 900), st.integers(60, 900)),
)
def test_boxes_cover_a_mask_once(rectangles: Any, halo: float, shape: tuple[int, int]) -> None:
    mask = np.zeros((40, 60), bool)
    for y, x, height, width in rectangles:
        mask[y : y + height, x : x + width] = True
    times = np.zeros(shape, int)
    for box in _boxes(mask, [halo, halo], shape):
        times[box] += 1
    rows, columns = (np.linspace(0, n, m + 1).round().astype(int) for n, m in zip(shape, mask.shape, strict=True))
    wanted = np.repeat(np.repeat(mask, np.diff(rows), axis=0), np.diff(columns), axis=1)
    assert times.max() <= 1
    assert times[wanted].all()
    if not mask.any():
        assert not times.any()


def test_the_coarsest_level_with_enough_pixels_is_looked_at() -> None:
    shapes = [(4000, 3000, 3), (1000, 750, 3), (250, 187, 3)]
    assert overview_level(shapes) == 1
    assert overview_level(shapes[2:]) == 0
    assert all(overview_level([one, two]) == 0 for one, two in pairwise(shapes[1:]))


# Runs ----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    finest = two_pieces()
    return write_svs(tmp_path_factory.mktemp("slides") / "slide.svs", [finest, shrunk(finest, 2), shrunk(finest, 4)])


def same_objects(labels: np.ndarray, others: np.ndarray) -> None:
    """Equal but for the ids."""
    pairs = np.unique(np.stack([labels.ravel(), others.ravel()]), axis=1)
    np.testing.assert_array_equal(*(np.unique(side).size for side in pairs))
    assert pairs.shape[1] == np.unique(pairs[0]).size
    np.testing.assert_array_equal(labels > 0, others > 0)


@pytest.mark.parametrize("options", [{}, {"output": "areas"}, {"flip": True}, {"object_diameter": 31}])
def test_in_tissue_labels_are_those_of_the_whole_slide(slide: Path, model: Model, options: dict[str, Any]) -> None:
    options = {"object_diameter": 20} | options
    part, whole = segment(slide, model, **options), segment(slide, model, skip_glass=False, **options)
    for piece in (FIRST, LAST):
        assert part.labels[piece].max() > 0
        same_objects(part.labels[piece], whole.labels[piece])
        np.testing.assert_array_equal(
            part.probability_bytes[(slice(None), *piece)], whole.probability_bytes[(slice(None), *piece)]
        )
    glass = np.ones(part.labels.shape, bool)
    glass[:200, :220] = glass[200:, -220:] = False
    assert not part.labels[glass].any()
    np.testing.assert_array_equal(part.probability_bytes[0][glass], 255)
    assert (whole.probability_bytes[0][glass] < 255).any()


def test_the_result_says_how_much_is_tissue(slide: Path, model: Model) -> None:
    result = segment(slide, model, object_diameter=20)
    assert result.provenance["tissue"] == pytest.approx(2 * 90**2 / (400 * 560), abs=0.01)
    assert any(note.startswith("Tissue is ") and "% of this slide" in note for note in result.notes)
    off = segment(slide, model, object_diameter=20, skip_glass=False)
    assert off.provenance["tissue"] is None
    assert off.provenance["options"]["skip_glass"] is False
    assert not any("issue" in note for note in off.notes)


class Counting:
    """An array that counts the pixels that are read of it."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.shape, self.dtype, self.read = array, array.shape, array.dtype, 0

    def __getitem__(self, key: Any) -> np.ndarray:
        piece = self.array[key]
        self.read += piece.size // 3
        return piece


def counted(array: np.ndarray, model: Model, **options: Any) -> tuple[SegmentResult, int]:
    """A run, and the pixels of the slide that it read after the model was fitted to it."""
    image = as_image(array, axes="YXC")
    counting = Counting(array)
    slide = Image(array=counting, axes="YXC", geometry=image.geometry, overview=lambda: shrunk(array, 2))
    fitted = run(iter_fit(slide, model, SegmentOptions(object_diameter=20, **options)))
    counting.read = 0
    return run(iter_segment_fitted(fitted)), counting.read


def test_glass_costs_nothing(model: Model) -> None:
    far = two_pieces((700, 900))
    result, read = counted(far, model)
    assert result.count > 0
    assert read < far.size / 3 / 3
    _, everything = counted(two_pieces(), model, skip_glass=False)
    assert everything >= two_pieces().size / 3


def test_a_slide_of_glass_alone_is_empty_at_once(model: Model) -> None:
    result, read = counted(two_pieces()[110:290], model)
    assert read == 0
    assert result.count == 0
    assert not result.labels.any()
    assert result.provenance["tissue"] == 0
    assert any("No tissue was found" in note for note in result.notes)


def test_a_slide_of_tissue_alone_is_computed_whole(model: Model) -> None:
    array = stained((300, 400))
    result, read = counted(array, model)
    assert read >= array.size // 3
    np.testing.assert_array_equal(result.labels, segment(array, model, object_diameter=20).labels)


def test_where_nothing_can_be_told_everything_is_computed(model: Model) -> None:
    array = np.minimum(stained((300, 400)), 150)
    result, _ = counted(array, model)
    np.testing.assert_array_equal(result.labels, segment(array, model, object_diameter=20).labels)
    assert result.provenance["tissue"] is None
    assert any("could not be told" in note for note in result.notes)


def test_a_chosen_part_is_computed_as_it_is(slide: Path, model: Model) -> None:
    """Also where the finder saw nothing: it is the way round it."""
    for chosen in ({"box": ((150, 260), (200, 330))}, {"polygon": ((150, 200), (150, 330), (260, 200))}):
        part = segment(slide, model, object_diameter=20, **chosen)
        np.testing.assert_array_equal(part.labels, segment(two_pieces(), model, object_diameter=20, **chosen).labels)
        assert not (part.probability_bytes[0, 160:170, 210:220] == 255).all()
        assert part.provenance["tissue"] is None


def plain_tiff(path: Path, picture: np.ndarray) -> Path:
    """Levels in color, but of no slide scanner."""
    with tifffile.TiffWriter(path.with_suffix(".tif")) as writer:
        writer.write(picture, photometric="rgb", tile=(64, 64), subifds=1)
        writer.write(shrunk(picture, 2), photometric="rgb", tile=(64, 64), subfiletype=1)
    return path.with_suffix(".tif")


def test_other_pictures_are_computed_whole(tmp_path: Path, model: Model) -> None:
    picture = two_pieces()
    path = plain_tiff(tmp_path / "picture", picture)
    result = segment(path, model, object_diameter=20)
    np.testing.assert_array_equal(result.labels, segment(picture, model, object_diameter=20).labels)
    assert read_image(path).overview is None
    assert read_image(write_svs(tmp_path / "one.svs", [picture])).overview is None  # no coarser level
    assert result.provenance["tissue"] is None
    assert not any("issue" in note for note in result.notes)


def test_a_slide_that_is_gone_is_said(slide: Path, model: Model, tmp_path: Path) -> None:
    copy = tmp_path / "copy.svs"
    copy.write_bytes(slide.read_bytes())
    image = read_image(copy)
    copy.unlink()
    with pytest.raises(ImageFileError, match=r"copy\.svs"):
        segment(image, model, object_diameter=20)


def test_a_folder_of_slides_is_computed_where_there_is_tissue(slide: Path, model: Model, tmp_path: Path) -> None:
    options = SegmentOptions(object_diameter=20)
    report = run(iter_segment_folder([slide], tmp_path / "out", model, options))
    labels = np.asarray(read_image(report.pictures[0].labels).array)
    np.testing.assert_array_equal(labels, segment(slide, model, object_diameter=20).labels)
    assert any("Tissue is" in note for note in report.pictures[0].notes)


def test_labels_lie_on_the_level_that_fits(slide: Path, model: Model) -> None:
    """Tissue is found on one level, objects on another."""
    result = segment(slide, model, object_diameter=60)
    assert result.labels.shape == (200, 280)
    assert result.provenance["tissue"] == pytest.approx(2 * 90**2 / (400 * 560), abs=0.01)
    whole = segment(slide, model, object_diameter=60, skip_glass=False)
    same_objects(result.labels[5:50, 10:55], whole.labels[5:50, 10:55])
