"""Largest areas, holes and smallest sizes as options of a run."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unetstyle.core import Model, refine, segment
from napari_unetstyle.core.errors import OptionError
from napari_unetstyle.core.models.spec import Postprocessing
from napari_unetstyle.core.segmentation.holes import fill_holes
from napari_unetstyle.core.segmentation.options import SegmentOptions, pixels_in
from napari_unetstyle.core.segmentation.postprocessing import areas
from tests.core.networks_for_tests import tiny_model, tiny_volume_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny_volume_model(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def volume() -> Any:
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(np.random.default_rng(3).random((14, 40, 44)), (1, 2, 2))
    return (1000 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.int16)


def usual(model: Model, **cleaning: Any) -> Model:
    """The same model, measured to be better with some cleaning."""
    spec = model.spec.model_copy(update={"postprocessing": Postprocessing(**cleaning)})
    return Model(spec=spec, folder=model.folder)


def test_options_do_what_they_say_and_refining_is_the_same(model: Model, volume: Any) -> None:
    plain = segment(volume, model, axes="ZYX")
    assert (plain.options.keep_largest, plain.options.fill_holes) == (None, None)
    values = plain.probability_bytes
    expected = fill_holes(areas(values, threshold=plain.options.threshold, keep_largest=True))
    assert (expected != plain.labels).any()
    for cleaned in (
        segment(volume, model, axes="ZYX", keep_largest=True, fill_holes=True),
        refine(plain, keep_largest=True, fill_holes=True),
    ):
        np.testing.assert_array_equal(cleaned.labels, expected)
        assert cleaned.objects["area"].tolist() == [(expected == c).sum() for c in (1, 2)]
        assert cleaned.provenance["options"]["keep_largest"] is True
        again = segment(volume, model, axes="ZYX", **cleaned.options.stated())
        np.testing.assert_array_equal(again.labels, expected)
    np.testing.assert_array_equal(refine(cleaned, keep_largest=False, fill_holes=False).labels, plain.labels)


def test_a_model_that_was_measured_to_be_better_does_it_unasked(model: Model, volume: Any) -> None:
    better = usual(model, keep_largest=True, fill_holes=True, min_size="30 mm3")
    options: dict[str, Any] = {"axes": "ZYX", "spacing": (2000.0, 1000.0, 1000.0)}  # micrometers
    unasked = segment(volume, better, **options)
    asked = segment(volume, model, keep_largest=True, fill_holes=True, min_size="30 mm3", **options)
    np.testing.assert_array_equal(unasked.labels, asked.labels)
    assert unasked.options.min_pixels == asked.options.min_pixels == 15
    plain = segment(volume, better, keep_largest=False, fill_holes=False, min_pixels=0, **options)
    np.testing.assert_array_equal(plain.labels, segment(volume, model, **options).labels)
    again = segment(volume, better, axes="ZYX", spacing=options["spacing"], **plain.options.stated())
    np.testing.assert_array_equal(again.labels, plain.labels)
    assert segment(volume, better, axes="ZYX").options.min_pixels == 0  # how large a voxel is is not known


def test_a_model_that_knows_no_pixel_size_counts_its_networks_pixels(model: Model, volume: Any, tmp_path: Any) -> None:
    assert segment(volume, usual(model, min_size="30 px3"), axes="ZYX").options.min_pixels == 30
    assert segment(volume, usual(model, min_size="30 px2"), axes="ZYX").options.min_pixels == 0  # of slices
    flat = usual(tiny_model(tmp_path), min_size="32 px2")
    known = flat.spec.input.model_copy(update={"spacing": (0.5, 0.5), "unit": "um"})
    flat = Model(spec=flat.spec.model_copy(update={"input": known}), folder=flat.folder)
    options: dict[str, Any] = {"output": "areas", "spacing": (1.0, 1.0)}  # the network sees four pixels for one
    unasked = segment(volume[0], flat, **options)
    assert unasked.options.min_pixels == 8
    np.testing.assert_array_equal(unasked.labels, segment(volume[0], flat, min_pixels=8, **options).labels)


@given(
    amount=st.floats(0.01, 1e5),
    spacing=st.lists(st.floats(0.01, 10), min_size=2, max_size=3),
    unit=st.sampled_from(["um", "mm"]),
    stated=st.sampled_from(["um", "mm"]),
)
def test_a_size_is_the_fewest_pixels_that_reach_it(amount: float, spacing: Any, unit: str, stated: str) -> None:
    dims = len(spacing)
    pixels = pixels_in(f"{amount:.6f} {stated}{dims}", tuple(spacing), unit)
    in_unit = amount * ({"um": 1, "mm": 1000}[stated] / {"um": 1, "mm": 1000}[unit]) ** dims
    pixel = math.prod(spacing)
    assert pixels * pixel >= in_unit * (1 - 1e-5) - 1e-5 * pixel
    assert (pixels - 1) * pixel < in_unit * (1 + 1e-5) + 1e-5 * pixel


@pytest.mark.parametrize("size", ["30", "mm3", "-3 mm3", "3 px3", "3 mm4", ""])
def test_a_size_without_a_meaning_is_refused(size: str) -> None:
    with pytest.raises(OptionError, match="30 mm3"):
        SegmentOptions(min_size=size)


def test_what_does_not_go_together_is_refused_in_words(model: Model, volume: Any, tmp_path: Any) -> None:
    with pytest.raises(OptionError, match="pixel size"):
        segment(volume, model, axes="ZYX", min_size="3 mm3")
    with pytest.raises(OptionError, match="decides volumes"):
        segment(volume, model, axes="ZYX", spacing=(1, 1, 1), min_size="3 mm2")
    with pytest.raises(OptionError, match="not both"):
        SegmentOptions(min_size="3 mm2", min_pixels=3)
    flat = tiny_model(tmp_path)
    with pytest.raises(OptionError, match="areas"):
        segment(volume[0], flat, keep_largest=True)  # this model finds objects
    with pytest.raises(OptionError, match="areas"):
        SegmentOptions(output="objects", keep_largest=True)
    assert segment(volume[0], flat, min_size="3 um2", spacing=(1, 1)).options.min_pixels == 3
