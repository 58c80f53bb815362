from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_unetstyle.core.annotation.corrections import Correction
from napari_unetstyle.core.annotation.known import UNKNOWN
from napari_unetstyle.core.errors import OptionError
from napari_unetstyle.core.imaging.image import as_image
from napari_unetstyle.core.progress import run
from napari_unetstyle.core.segmentation.segment import segment
from napari_unetstyle.core.training.contradictions import Contradiction, contradictions, iter_contradictions
from tests.core.networks_for_tests import tiny_model
from tests.core.teaching_for_tests import small_picture


def planted(shape=(60, 80)):
    """A model that is sure of background everywhere, except of class 2 in one place and of nothing in another."""
    said = np.zeros(shape, np.int32)
    values = np.zeros((3, *shape), np.uint8)
    values[0] = 252
    values[:, 40:50, 10:30] = np.array([0, 2, 253], np.uint8)[:, None, None]
    values[:, 5:20, 50:70] = np.array([130, 120, 5], np.uint8)[:, None, None]
    return said, np.ones(shape, bool), values


def test_planted_places_are_found_largest_first():
    said, valid, values = planted()
    said[2:8, 3:9] = 1  # 36 pixels; the model says background
    said[45:50, 10:30] = 1  # 100 pixels of what it calls class 2, above them 100 that are said to be background
    said[5:20, 50:70] = 1  # it is not sure there
    found = contradictions(said, valid, values, picture=4, frame=(1,), offset=(100, 200))
    assert [(one.size, one.said, one.sure_of) for one in found] == [(100, 0, 2), (100, 1, 2), (36, 1, 0)]
    last = Contradiction(picture=4, frame=(1,), box=(slice(102, 108), slice(203, 209)), size=36, said=1, sure_of=0)
    assert found[-1] == last


def test_what_is_not_said_or_agrees_or_is_as_thin_as_an_outline_is_none():
    said, valid, values = planted()
    said[40:50, 10:30] = 2
    said[2:8, 3:9] = 1
    valid[2:8, 3:9] = False
    said[30, 60:75] = 1  # 15 pixels
    said[20:30, 40:50] = -1
    assert contradictions(said, valid, values) == []


def test_of_classes_that_the_model_does_not_know_only_those_are_told_that_it_took_for_something():
    said, valid, values = planted()
    said[:] = UNKNOWN
    said[2:8, 3:9] = 3  # on what the model calls background, as it has to
    said[40:50, 10:20] = 3
    said[40:50, 20:30] = UNKNOWN - 2  # none of two classes, from before there was a third
    found = contradictions(said, valid, values)
    assert [(one.box[1].start, one.said, one.sure_of) for one in found] == [(10, 3, 2), (20, 0, 2)]
    said[40:50, 20:30] = UNKNOWN - 1  # none of one class, perhaps the second
    assert len(contradictions(said, valid, values)) == 1


@pytest.mark.parametrize(("byte", "count"), [(249, 0), (250, 1)])
def test_sure_is_above_98_percent(byte, count):
    values = np.stack([np.full((9, 9), byte, np.uint8), np.full((9, 9), 255 - byte, np.uint8)])
    assert len(contradictions(np.ones((9, 9), np.int32), np.ones((9, 9), bool), values)) == count


@pytest.mark.parametrize(("sure", "count"), [(4, 0), (5, 1)])
def test_a_place_is_judged_as_a_whole(sure, count):
    """The usual fix is of an object that the model was sure of in its middle, and not at its rim."""
    values = np.stack([np.full((9, 9), 60, np.uint8), np.full((9, 9), 195, np.uint8)])
    values[:, :sure] = np.array([2, 253], np.uint8)[:, None, None]
    assert len(contradictions(np.zeros((9, 9), np.int32), np.ones((9, 9), bool), values)) == count


def test_volumes_have_places_of_volumes():
    values = np.stack([np.full((6, 9, 9), 255, np.uint8), np.zeros((6, 9, 9), np.uint8)])
    said = np.zeros((6, 9, 9), np.int32)
    said[1:4, 2:6, 2:6] = 1
    said[5, 0, :] = 1
    (one,) = contradictions(said, np.ones(said.shape, bool), values)
    assert (one.size, one.box) == (48, (slice(1, 4), slice(2, 6), slice(2, 6)))


def test_a_model_is_asked_only_about_what_was_said_and_answers_as_it_segments(tmp_path):
    model = tiny_model(tmp_path)
    with torch.no_grad():
        for parameter in model.network.head.parameters():
            parameter *= 30  # sure of itself
    right = small_picture()
    sure = segment(right.image, model).probability_bytes[:2]
    class_of = sure.argmax(0)
    opposite = np.where(sure.max(0) > 249, 1 - class_of, class_of).astype(np.int32)
    accepted = np.zeros(opposite.shape, bool)
    accepted[10:70, 20:90] = True
    said = Correction(image=right.image, labels=opposite, accepted=accepted)
    other = Correction(
        image=as_image(np.asarray(right.image.array).copy(), axes="YXC"), labels=class_of, accepted=accepted
    )
    found = run(iter_contradictions([other, said], model))
    expected = contradictions((opposite > 0).astype(np.int32), accepted, sure, picture=1)
    assert found
    assert found == expected
    added = replace(said, labels=np.where(class_of == 1, 2 * opposite, opposite), output="areas")
    with pytest.raises(OptionError, match="class 2"):
        run(iter_contradictions([replace(added, labels=2 * class_of)], model))
    assert run(iter_contradictions([replace(added, known=1)], model, added=["bar"])) == [
        replace(one, picture=0) for one in expected
    ]
    model.__dict__["network"] = None  # is not asked where a run left its probabilities
    assert run(iter_contradictions([said], model, known=[sure])) == [replace(one, picture=0) for one in expected]
