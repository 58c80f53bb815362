"""One stain of colors as a channel: the same as scikit-image's, whatever part is read, and what runs make of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.color import rgb2hed

from napari_unetstyle.core import Model, as_image, segment
from napari_unetstyle.core.annotation.corrections import Correction
from napari_unetstyle.core.errors import ImageError
from napari_unetstyle.core.imaging.stains import STAINS, in_stain, is_stain
from napari_unetstyle.core.segmentation.foreign import domain_distance
from napari_unetstyle.core.segmentation.options import SegmentOptions
from napari_unetstyle.core.training.lessons import lesson, sayings
from tests.core.networks_for_tests import tiny_model


def colors(shape: tuple[int, ...] = (60, 70, 3), seed: int = 0, dtype: Any = np.uint8) -> Any:
    made = np.random.default_rng(seed).random(shape)
    return made.astype(dtype) if np.dtype(dtype).kind == "f" else (made * np.iinfo(dtype).max).astype(dtype)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny_model(tmp_path_factory.mktemp("models"))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, ">u2"])
@pytest.mark.parametrize("name", [*STAINS, "DAB"])
def test_a_stain_is_what_scikit_image_separates(dtype: Any, name: str) -> None:
    pixels = colors(dtype=dtype)
    pixels[0, 0], pixels[0, 1] = 0, pixels.max()
    stain = in_stain(as_image(pixels), name)
    assert stain.channel_names == (name,)
    known = rgb2hed(pixels.astype(pixels.dtype.newbyteorder("=")))[..., STAINS.index(name.lower())]
    np.testing.assert_allclose(np.asarray(stain.array)[..., 0], known, atol=2e-7)


@given(data=st.data(), name=st.sampled_from(STAINS))
def test_any_part_has_the_values_of_the_whole(data: Any, name: str) -> None:
    array = in_stain(as_image(colors((19, 23, 4))), name).array
    whole = np.asarray(array)
    key = tuple(
        data.draw(st.one_of(st.integers(0, n - 1), st.builds(slice, st.integers(0, n), st.integers(0, n))))
        for n in array.shape
    )
    np.testing.assert_array_equal(array[key], whole[key])


def test_what_is_no_stain_is_left_as_it_is() -> None:
    image = as_image(colors())
    assert in_stain(image, None) is image
    assert in_stain(image, 1) is image
    assert not is_stain(as_image(colors((3, 40, 40)), axes="CYX"), "dab")  # no colors, but channels
    assert not is_stain(as_image(colors((40, 40))), "dab")
    own = as_image(colors(), axes="YXC")
    assert not is_stain(
        type(own)(array=own.array, axes="YXC", geometry=own.geometry, channel_names=("dab",) * 3), "dab"
    )


def test_what_cannot_be_separated_is_refused_in_words(model: Model) -> None:
    with pytest.raises(ImageError, match="these are int32"):
        segment(colors().astype(np.int32), model, channel="dab")
    with pytest.raises(ImageError, match="go up to 25"):
        segment(colors().astype(np.float32), model, channel="dab")
    with pytest.raises(ImageError, match="stains: hematoxylin, eosin, dab"):
        segment(colors(), model, channel="hematoxilin")
    with pytest.raises(ImageError, match="no channel 'dab'"):
        segment(colors((60, 70)), model, channel="dab")


def test_a_run_is_that_of_the_stain_alone_and_can_be_repeated(model: Model) -> None:
    pixels = colors((90, 80, 3), seed=4)
    run = segment(pixels, model, channel="Hematoxylin", flip=True)
    alone = np.asarray(in_stain(as_image(pixels), "hematoxylin").array)[..., 0]
    np.testing.assert_array_equal(run.labels, segment(alone, model, flip=True).labels)
    assert run.labels.any()
    assert run.provenance["options"]["channel"] == "Hematoxylin"
    stated = run.options.stated()
    for changed in ({"tile": 33}, {"restyle": None}):
        np.testing.assert_array_equal(segment(pixels, model, **stated | changed).labels, run.labels)
    assert "mean" not in run.objects
    assert (segment(pixels, model).labels != run.labels).any()


def test_a_stain_can_be_restyled_and_is_as_foreign_as_its_own_picture(model: Model) -> None:
    pixels = colors((90, 80, 3), seed=4)
    alone = np.asarray(in_stain(as_image(pixels), "hematoxylin").array)[..., 0]
    look = as_image(colors((50, 50), seed=2))
    one = segment(pixels, model, channel="hematoxylin", restyle=look)
    np.testing.assert_array_equal(one.labels, segment(alone, model, restyle=look).labels)
    ours, theirs = domain_distance(pixels, model, channel="hematoxylin"), domain_distance(alone, model)
    assert ours == theirs


def test_what_is_taught_is_the_stain(model: Model) -> None:
    pixels, labels = colors((90, 80, 3), seed=4), np.zeros((90, 80), np.int32)
    labels[20:40, 20:40] = 1
    options = SegmentOptions(channel="hematoxylin")
    alone = np.asarray(in_stain(as_image(pixels), "hematoxylin").array)[..., 0]
    lessons = []
    for image, how in ((as_image(pixels), options), (as_image(alone), SegmentOptions())):
        given = Correction(image=image, labels=labels, accepted=np.ones(labels.shape, bool))
        (said,) = sayings([given], model.spec)
        lessons.append(lesson(said, model.spec, how).image)
    np.testing.assert_array_equal(*lessons)
