from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from napari_unetstyle.core import ModelStore, as_image, refine, segment, stylize, write_labels
from napari_unetstyle.core.errors import ImageError, OptionError
from napari_unetstyle.core.segmentation.options import SegmentOptions
from napari_unetstyle.core.segmentation.restyle import restyled
from tests.core.networks_for_tests import tiny_model
from tests.core.training_for_tests import discs


@pytest.fixture(scope="module")
def nuclei():
    return ModelStore().load("nuclei")


def fluorescence(seed=0, shape=(96, 112)):
    return (30 + 160 * discs(shape, count=9, seed=seed).image[0]).astype(np.uint8)


def test_labels_are_those_of_the_restyled_picture(tmp_path, nuclei):
    import tifffile

    stain = (240 - 150 * discs((80, 90), count=8, seed=3).image * np.array([1, 0.9, 0.4]).reshape(3, 1, 1)).astype(
        np.uint8
    )
    tifffile.imwrite(tmp_path / "stain.tif", np.moveaxis(stain, 0, -1), photometric="rgb")
    picture = np.repeat(fluorescence()[..., None], 3, -1)
    result = segment(picture, nuclei, restyle=str(tmp_path / "stain.tif"), object_diameter=20)
    plain = segment(stylize(picture, tmp_path / "stain.tif").image, nuclei, object_diameter=20)
    assert np.array_equal(result.labels, plain.labels)
    assert result.options.restyle == str(tmp_path / "stain.tif")
    assert any("restyled to look like" in note for note in result.notes)
    assert not np.array_equal(result.labels, segment(picture, nuclei, object_diameter=20).labels)


def test_nothing_in_the_labels_says_what_the_pictures_are_called(tmp_path, nuclei):
    import tifffile

    style, picture = tmp_path / "DOE_JANE" / "DOE_JANE.tif", tmp_path / "DOE_JOHN.tif"
    style.parent.mkdir()
    tifffile.imwrite(style, fluorescence(seed=1))
    with tifffile.TiffWriter(picture) as writer:
        for _ in range(2):
            writer.write(fluorescence(), photometric="miniswhite")
    result = segment(picture, nuclei, restyle=str(style), object_diameter=20)
    assert len(result.notes) >= 3
    for i, one in enumerate((result, refine(result, threshold=0.4))):
        assert one.options.restyle == str(style)
        assert "DOE" not in json.dumps(one.provenance)
        for suffix in (".tif", ".nrrd", ".mha", ".zarr"):
            path = write_labels(tmp_path / f"{i}{suffix}", one)
            for file in [path] if path.is_file() else [f for f in path.rglob("*") if f.is_file()]:
                data = file.read_bytes()
                assert not any("DOE_J".encode(code) in data for code in ("utf-8", "utf-16-le", "utf-16-be"))


def test_a_model_knows_what_it_was_trained_with(nuclei):
    image = as_image(fluorescence())
    changed, said = restyled(image, nuclei, SegmentOptions(restyle="model"))
    assert changed.array.shape == image.array.shape
    assert changed.array.dtype == image.array.dtype
    assert "what the model knows" in said
    assert segment(fluorescence(), nuclei, restyle="model", object_diameter=20).labels.max() > 3


@pytest.mark.parametrize(
    ("shape", "axes"), [((60, 70), "YX"), ((60, 70, 3), "YXC"), ((3, 60, 70), "CYX"), ((4, 60, 70), "ZYX")]
)
def test_a_part_is_what_it_is_in_the_whole(shape, axes, nuclei):
    pixels = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    array = restyled(as_image(pixels, axes=axes), nuclei, SegmentOptions(restyle="model"))[0].array
    whole = np.asarray(array[...])
    part = tuple(slice(None) if axis == "C" else slice(2, 50) if axis in "YX" else 1 for axis in axes)
    assert np.array_equal(array[part], whole[part])


def test_one_channel_of_many_is_changed_and_the_others_stay(nuclei):
    pixels = np.random.default_rng(0).integers(0, 255, (2, 60, 70)).astype(np.uint8)
    image = as_image(pixels, axes="CYX")
    array = restyled(image, nuclei, SegmentOptions(restyle="model", channel=1))[0].array[...]
    assert np.array_equal(array[0], pixels[0])
    assert not np.array_equal(array[1], pixels[1])
    with pytest.raises(ImageError, match="Choose one channel"):
        restyled(image, nuclei, SegmentOptions(restyle="model"))


def test_unknown_pixels_stay_unknown(nuclei):
    pixels = fluorescence().astype(np.float32)
    pixels[3, 4] = np.nan
    array = restyled(as_image(pixels), nuclei, SegmentOptions(restyle="model"))[0].array[...]
    assert np.argwhere(~np.isfinite(array)).tolist() == [[3, 4]]


def test_what_is_not_possible_is_said(tmp_path, nuclei):
    bare = tiny_model(tmp_path)
    with pytest.raises(OptionError, match="carries no pictures"):
        segment(fluorescence(), dataclasses.replace(bare), restyle="model")
    with pytest.raises(Exception, match=r"gone\.tif"):
        segment(fluorescence(), nuclei, restyle=str(tmp_path / "gone.tif"))
