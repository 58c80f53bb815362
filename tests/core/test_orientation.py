"""A volume gives the same labels whatever way its axes are stored in the file."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from napari_unetstyle.core import SegmentOptions, segment
from napari_unetstyle.core.annotation.corrections import Correction
from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.imaging.turn import Turn
from napari_unetstyle.core.models.spec import InputSpec
from napari_unetstyle.core.progress import run
from napari_unetstyle.core.segmentation.fitting import iter_fit
from napari_unetstyle.core.segmentation.memory import predict_memory
from napari_unetstyle.core.segmentation.segment import iter_preview
from napari_unetstyle.core.training.fresh import fresh_spec
from napari_unetstyle.core.training.lessons import lesson, sayings
from tests.core.geometry_for_tests import AXIS_ORIENTATIONS, rotation
from tests.core.networks_for_tests import tiny_model, tiny_volume_model

TAUGHT = "SAR"
SPACING = (2.0, 1.0, 0.75)
MODEL = {"spacing": SPACING, "unit": "mm", "orientation": TAUGHT}


class Lazy:
    """An array that can only be sliced, forward."""

    def __init__(self, array):
        self._array, self.shape, self.dtype, self.ndim = array, array.shape, array.dtype, array.ndim

    def __getitem__(self, key):
        assert all(k.step in (None, 1) for k in key if isinstance(k, slice))
        return self._array[key]


def scan(tilt=0.0):
    """As the model was taught, or tilted by a little."""
    pixels = np.random.default_rng(0).integers(0, 1000, (10, 14, 18)).astype(np.int16)
    pixels[3:7, 4:9, 5:14] += 900
    direction = rotation((1, 2, 3), tilt) @ np.array(Geometry.facing(TAUGHT).direction)
    place = Geometry(spacing=SPACING, unit="mm", origin=(5, -3, 9), direction=direction, is_anatomical=True)
    return Image(array=pixels, axes="ZYX", geometry=place)


def stored(image, orientation, lazy=False):
    """The same volume as another scanner stores it, and what its arrays `ZYX` are to those of `image`."""
    other = Geometry(spacing=(1, 1, 1), direction=AXIS_ORIENTATIONS[orientation], is_anatomical=True)
    turn = Turn(*image.geometry.turns_onto(other))
    array = np.ascontiguousarray(turn.seen(image.array))
    place = image.geometry.turned(image.array.shape, turn.order, turn.is_mirrored)
    return Image(array=Lazy(array) if lazy else array, axes="ZYX", geometry=place), turn


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_volume_model(tmp_path_factory.mktemp("models"), **MODEL)


@pytest.fixture(scope="module")
def expected(model):
    return functools.cache(lambda tilt, flip: segment(scan(tilt), model, flip=flip))


@given(orientation=st.integers(0, 47), lazy=st.booleans(), tilt=st.sampled_from([0.0, 0.3]), flip=st.booleans())
def test_labels_do_not_depend_on_how_a_scan_is_stored(model, expected, orientation, lazy, tilt, flip):
    expected = expected(tilt, flip)
    assert 0 < np.count_nonzero(expected.labels) < expected.labels.size
    image, turn = stored(scan(tilt), orientation, lazy)
    result = segment(image, model, flip=flip)
    np.testing.assert_array_equal(result.labels, turn.seen(expected.labels))
    np.testing.assert_array_equal(result.probability_bytes, turn.seen(expected.probability_bytes))
    assert result.geometry == image.geometry
    assert result.notes == expected.notes == ()


@given(orientation=st.integers(0, 47), data=st.data())
@settings(max_examples=5, phases=[Phase.generate])
def test_a_part_is_that_of_the_whole(model, expected, orientation, data):
    image, turn = stored(scan(), orientation)
    whole = turn.seen(expected(0.0, False).labels)
    fitted = run(iter_fit(image, model, SegmentOptions()))
    box = tuple(
        slice(*sorted(data.draw(st.lists(st.integers(0, n), min_size=2, max_size=2, unique=True))))
        for n in image.array.shape
    )
    np.testing.assert_array_equal(run(iter_preview(fitted, (), box)), whole[box])
    chosen = segment(image, model, box=tuple((s.start, s.stop) for s in box)).labels
    np.testing.assert_array_equal(chosen[box], whole[box])


@given(orientation=st.integers(0, 47))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_it_is_taught_as_it_is_run(model, orientation):
    image, turn = stored(scan(), orientation)
    labels = (scan().array > 1000).astype(np.int32)
    accepted = np.zeros(labels.shape, bool)
    accepted[2:, :9] = True
    one, other = (
        lesson(sayings([Correction(image=i, labels=ids, accepted=where)], model.spec)[0], model.spec, SegmentOptions())
        for i, ids, where in (
            (scan(), labels, accepted),
            (image, turn.seen(labels), turn.seen(accepted)),
        )
    )
    np.testing.assert_array_equal(one.image, other.image)
    np.testing.assert_array_equal(one.labels[0], other.labels[0])
    np.testing.assert_array_equal(one.valid, other.valid)


def test_a_new_model_keeps_the_orientation_of_its_first_scan():
    labels = (scan().array > 1000).astype(np.int32)
    first, turn = stored(scan(), 13)
    corrections = [Correction(image=first, labels=turn.seen(labels)), Correction(image=scan(), labels=labels)]
    spec = fresh_spec(corrections, "new", ["bright"])
    assert spec.input.orientation == first.geometry.orientation != TAUGHT
    assert spec.input.spacing == pytest.approx(first.geometry.spacing)
    nowhere = Image(array=first.array, axes="ZYX", geometry=first.geometry.sizes(3))
    unplaced = fresh_spec([Correction(image=nowhere, labels=turn.seen(labels))], "new", ["bright"])
    assert unplaced.input.orientation is None


def test_a_volume_that_lies_in_no_patient_is_taken_as_it_is_and_that_is_said(model, tmp_path):
    image, _ = stored(scan(), 30)
    nowhere = Image(array=image.array, axes="ZYX", geometry=Geometry(spacing=SPACING, unit="mm"))
    (note,) = segment(nowhere, model).notes
    assert "not known" in note
    assert "Z to the head, Y to the front and X to the right" in note
    assert segment(nowhere, tiny_volume_model(tmp_path, spacing=SPACING, unit="mm")).notes == ()


def test_memory_is_foretold_for_the_volume_as_the_network_sees_it(model):
    image, turn = stored(scan(), 30)
    assert turn.order != (0, 1, 2)
    assert predict_memory(image, model) == predict_memory(scan(), model)


@pytest.mark.parametrize("orientation", ["SAX", "SSR", "SIR", "SA", "sar"])
def test_an_orientation_that_is_none_is_refused(tmp_path, orientation):
    with pytest.raises(ValidationError):
        tiny_volume_model(tmp_path, spacing=SPACING, unit="mm", orientation=orientation)


def test_pictures_have_no_orientation(tmp_path):
    spec = tiny_model(tmp_path).spec
    content = spec.model_dump() | {"input": InputSpec(orientation=TAUGHT).model_dump()}
    with pytest.raises(ValidationError, match="for volumes"):
        type(spec).model_validate(content)
