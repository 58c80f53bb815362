"""A model whose objects are of several classes is measured, taught and corrected class by class."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_unetstyle.core import as_image
from napari_unetstyle.core.annotation.corrections import Correction, learned
from napari_unetstyle.core.annotation.fixes import owners_of_fixes, with_fixes
from napari_unetstyle.core.models.memory import Memory
from napari_unetstyle.core.progress import run
from napari_unetstyle.core.segmentation.deciding import relabeled
from napari_unetstyle.core.segmentation.options import SegmentOptions
from napari_unetstyle.core.segmentation.segment import segment
from napari_unetstyle.core.training.comparison import iter_scores
from napari_unetstyle.core.training.lessons import sayings
from napari_unetstyle.core.training.places import Place
from tests.core.networks_for_tests import tiny_model
from tests.core.training_for_tests import discs


@pytest.fixture
def model(tmp_path):
    return tiny_model(tmp_path, classes=("one", "two"), seed=4)


def pixels():
    found = np.moveaxis((255 * discs((128, 160), count=14).image).astype(np.uint8), 0, -1)
    found[:, :80] //= 2
    return found


@pytest.fixture
def result(model):
    result = segment(pixels(), model, object_diameter=20)
    assert set(result.objects["class"].tolist()) == {1, 2}  # else the tests below say nothing
    return result


def own(result):
    """What a model says, called right."""
    image = as_image(pixels(), axes="YXC")
    return Correction(image=image, labels=result.labels, classes=result.owners, rest_is_right=True)


def test_a_model_agrees_with_itself_in_every_class(model, result):
    sizes = model.spec.input.model_copy(update={"object_diameter": None})  # what it finds is large
    model = replace(model, spec=model.spec.model_copy(update={"input": sizes}))
    said = sayings([own(result)], model.spec)
    old = Memory(np.moveaxis(pixels(), -1, 0), said[0].targets, "check")
    places = [Place(0, (slice(0, 64), slice(0, 160))), Place(0, (slice(64, 128), slice(0, 160)))]
    scores = run(iter_scores(model, said, places, [old], SegmentOptions(object_diameter=20)))
    assert min(scores.old[0]) > 0.95
    assert scores.on_places > 0.95
    assert all(one.found for one in map(sum_of, zip(*scores.places, strict=True)))


def test_a_model_of_areas_agrees_with_itself_in_every_class(tmp_path):
    model = tiny_model(tmp_path, separation=None, classes=("one", "two"), seed=4)
    result = segment(pixels(), model)
    image = as_image(pixels(), axes="YXC")
    said = sayings([Correction(image=image, labels=result.labels, output="areas", rest_is_right=True)], model.spec)
    (counts,) = run(iter_scores(model, said, [Place(0, (slice(0, 128), slice(0, 160)))], [], SegmentOptions())).places
    assert [one.dice for one in counts] == [1.0, 1.0]
    assert all(one.found for one in counts)


def sum_of(counts):
    return counts[0] + counts[1]


def test_objects_keep_their_class_when_the_rest_is_numbered_anew(result):
    painted = result.labels.copy()
    painted[:4, :4] = painted.max() + 1
    again = relabeled(result, painted)
    np.testing.assert_array_equal(again.class_values()[4:], result.class_values()[4:])
    assert again.class_values()[0, 0] == 1


def test_fixes_bring_their_classes_to_new_labels(result):
    correction = own(result)
    fixed = with_fixes(correction, np.ones_like(result.labels))
    again = relabeled(result, fixed, owners_of_fixes(correction, fixed))
    np.testing.assert_array_equal(again.class_values(), learned(correction)[0][0])
